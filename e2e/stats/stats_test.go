// SPDX-License-Identifier: Apache-2.0

// Package stats tests what the server says of resource usage: statistics of containers over the CRI, and the metrics
// page.
package stats

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
	h "unicri.dev/e2e/harness"
)

// eventually polls until ok says so.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(h.Slow(20 * time.Second)); !ok(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not in time: %s", what)
		}
	}
}

func get(t *testing.T, c *h.Ctr) *cri.ContainerStats {
	t.Helper()
	s, err := c.Pod.N.RT.ContainerStats(h.Ctx, c.ID)
	if err != nil {
		t.Fatalf("ContainerStats %s: %v", c.Config.Metadata.Name, err)
	}
	return s
}

func list(t *testing.T, n *h.Node, f *cri.ContainerStatsFilter) map[string]*cri.ContainerStats {
	t.Helper()
	l, err := n.RT.ListContainerStats(h.Ctx, f)
	if err != nil {
		t.Fatalf("ListContainerStats %v: %v", f, err)
	}
	m := map[string]*cri.ContainerStats{}
	for _, s := range l {
		m[s.Attributes.Id] = s
	}
	if len(m) != len(l) {
		t.Fatalf("a container is listed twice: %v", l)
	}
	return m
}

// checkRunning is what holds for every container that runs.
func checkRunning(t *testing.T, c *h.Ctr, s *cri.ContainerStats) {
	t.Helper()
	a := s.Attributes
	if a == nil || a.Id != c.ID || a.Metadata == nil || a.Metadata.Name != c.Config.Metadata.Name {
		t.Fatalf("attributes: %v", a)
	}
	for k, v := range c.Config.Labels {
		if a.Labels[k] != v {
			t.Errorf("label %q is %q, not %q", k, a.Labels[k], v)
		}
	}
	for k, v := range c.Config.Annotations {
		if a.Annotations[k] != v {
			t.Errorf("annotation %q is %q, not %q", k, a.Annotations[k], v)
		}
	}
	if s.Cpu == nil || s.Cpu.UsageCoreNanoSeconds == nil || s.Memory == nil || s.Memory.WorkingSetBytes == nil ||
		s.Memory.UsageBytes == nil || s.Memory.RssBytes == nil || s.Memory.PageFaults == nil || s.Memory.MajorPageFaults == nil {
		t.Fatalf("parts are missing: %v", s)
	}
	for _, ts := range []int64{s.Cpu.Timestamp, s.Memory.Timestamp} {
		if age := time.Since(time.Unix(0, ts)); age < 0 || age > h.Slow(30*time.Second) {
			t.Errorf("a timestamp is %v old", age)
		}
	}
	if s.Cpu.UsageCoreNanoSeconds.Value == 0 || s.Memory.UsageBytes.Value == 0 ||
		s.Memory.WorkingSetBytes.Value > s.Memory.UsageBytes.Value {
		t.Errorf("no usage: %v", s)
	}
}

// TestStats asks for the statistics of one of each kind of container.
func TestStats(t *testing.T) {
	n := h.NewNode(t, h.NodeOptions{Set: map[string]string{"stats.period": "1"}})
	n.Pull(t, h.BusyboxRef)
	p := n.RunPod(t, "stats")
	other := n.RunPod(t, "other")
	label := func(v string) h.CtrOpt {
		return func(c *cri.ContainerConfig) { c.Labels["role"] = v }
	}
	limit := func(c *cri.ContainerConfig) { c.Linux.Resources.MemoryLimitInBytes = 64 << 20 }
	busy := p.Sh(t, "busy", "echo on; while :; do :; done", label("busy"), limit)
	idle := other.Sh(t, "idle", "dd if=/dev/zero of=/layer bs=1M count=3 2>/dev/null; echo written; sleep 10000", label("idle"))
	created := p.Create(t, "created", h.BusyboxRef, []string{"sleep", "1"})
	exited := p.Sh(t, "exited", "exit 0")
	exited.Wait(t, 10*time.Second)
	busy.WaitLog(t, "on", 10*time.Second)
	idle.WaitLog(t, "written", 10*time.Second)

	t.Run("busy", func(t *testing.T) {
		first := get(t, busy)
		checkRunning(t, busy, first)
		var s *cri.ContainerStats
		eventually(t, "a rate of nearly one core's share", func() bool {
			s = get(t, busy)
			return s.Cpu.UsageNanoCores != nil && s.Cpu.UsageNanoCores.Value > 50e6
		})
		checkRunning(t, busy, s)
		used := float64(s.Cpu.UsageCoreNanoSeconds.Value - first.Cpu.UsageCoreNanoSeconds.Value)
		passed := float64(s.Cpu.Timestamp - first.Cpu.Timestamp)
		if used <= 0 || used > 1.1*passed+1e7 || s.Cpu.UsageNanoCores.Value > 1.3e9 {
			t.Errorf("one thread used %.0f ns of CPU in %.0f ns, rate %v", used, passed, s.Cpu.UsageNanoCores)
		}
		if s.Memory.AvailableBytes == nil || s.Memory.AvailableBytes.Value+s.Memory.WorkingSetBytes.Value != 64<<20 {
			t.Errorf("available %v and working set %v do not make up the limit", s.Memory.AvailableBytes, s.Memory.WorkingSetBytes)
		}
	})
	t.Run("idle", func(t *testing.T) {
		s := get(t, idle)
		checkRunning(t, idle, s)
		if s.Memory.AvailableBytes != nil {
			t.Errorf("without a limit, %v are available", s.Memory.AvailableBytes)
		}
		eventually(t, "the writable layer", func() bool {
			s = get(t, idle)
			w := s.WritableLayer
			return w != nil && w.UsedBytes.GetValue() >= 3<<20 && w.InodesUsed.GetValue() >= 2
		})
		if w := s.WritableLayer; w.UsedBytes.Value > 4<<20 || w.FsId.GetMountpoint() == "" || w.Timestamp == 0 {
			t.Errorf("writable layer: %v", w)
		}
		idle.Exec(t, "rm", "/layer")
		eventually(t, "a smaller writable layer", func() bool { return get(t, idle).WritableLayer.UsedBytes.Value < 1<<20 })
	})
	t.Run("not running", func(t *testing.T) {
		for _, c := range []*h.Ctr{created, exited} {
			s := get(t, c)
			if s.Attributes.GetId() != c.ID || s.Cpu != nil || s.Memory != nil {
				t.Errorf("%s: %v", c.Config.Metadata.Name, s)
			}
		}
		if _, err := n.RT.ContainerStats(h.Ctx, strings.Repeat("0", 64)); status.Code(err) != codes.NotFound {
			t.Errorf("an unknown container: %v", err)
		}
	})
	t.Run("started later", func(t *testing.T) {
		late := p.Create(t, "late", h.BusyboxRef, []string{"sh", "-c", "dd if=/dev/zero of=/layer bs=1M count=3; sleep 10000"})
		eventually(t, "the writable layer before the start", func() bool { return get(t, late).WritableLayer != nil })
		late.Start(t)
		eventually(t, "what was written", func() bool { return get(t, late).WritableLayer.UsedBytes.Value >= 3<<20 })
		if err := n.RT.RemoveContainer(h.Ctx, late.ID); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("filters", func(t *testing.T) {
		for _, row := range []struct {
			f    *cri.ContainerStatsFilter
			want []*h.Ctr
		}{
			{nil, []*h.Ctr{busy, idle, created, exited}},
			{&cri.ContainerStatsFilter{}, []*h.Ctr{busy, idle, created, exited}},
			{&cri.ContainerStatsFilter{Id: busy.ID}, []*h.Ctr{busy}},
			{&cri.ContainerStatsFilter{Id: busy.ID[:12]}, []*h.Ctr{busy}},
			{&cri.ContainerStatsFilter{Id: strings.Repeat("0", 64)}, nil},
			{&cri.ContainerStatsFilter{PodSandboxId: other.ID}, []*h.Ctr{idle}},
			{&cri.ContainerStatsFilter{PodSandboxId: strings.Repeat("0", 64)}, nil},
			{&cri.ContainerStatsFilter{LabelSelector: map[string]string{"role": "busy"}}, []*h.Ctr{busy}},
			{&cri.ContainerStatsFilter{LabelSelector: map[string]string{"role": "none"}}, nil},
			{&cri.ContainerStatsFilter{PodSandboxId: p.ID, LabelSelector: map[string]string{"role": "idle"}}, nil},
			{&cri.ContainerStatsFilter{Id: idle.ID, PodSandboxId: p.ID}, nil},
		} {
			got := list(t, n, row.f)
			if len(got) != len(row.want) {
				t.Errorf("%v: %d containers, want %d", row.f, len(got), len(row.want))
			}
			for _, c := range row.want {
				if got[c.ID] == nil {
					t.Errorf("%v: no %s", row.f, c.Config.Metadata.Name)
				}
			}
		}
		checkRunning(t, busy, list(t, n, nil)[busy.ID])
	})
	t.Run("restart", func(t *testing.T) {
		n.Restart()
		checkRunning(t, busy, list(t, n, nil)[busy.ID])
		checkRunning(t, idle, get(t, idle))
	})
	t.Run("gone", func(t *testing.T) {
		p.Stop(t)
		p.Remove(t)
		if got := list(t, n, nil); len(got) != 1 || got[idle.ID] == nil {
			t.Errorf("after the pod's removal: %v", got)
		}
	})
}

// TestUnikernel asks for the statistics of a guest that computes.
func TestUnikernel(t *testing.T) {
	h.NeedUnicrid(t)
	n := h.NewNode(t, h.NodeOptions{})
	ref := h.GuestRef("spin.spt")
	n.Pull(t, ref)
	p := n.RunPod(t, "guest")
	c := p.Run(t, "spin", ref, nil, func(c *cri.ContainerConfig) {
		c.Linux.SecurityContext.RunAsUser = nil
		c.Linux.Resources.MemoryLimitInBytes = 64 << 20
	})
	eventually(t, "CPU time and a rate", func() bool {
		s := get(t, c)
		return s.Cpu.GetUsageCoreNanoSeconds().GetValue() > 50e6 && s.Cpu.UsageNanoCores.GetValue() > 50e6
	})
	s := get(t, c)
	checkRunning(t, c, s)
	if s.Memory.AvailableBytes == nil {
		t.Errorf("a guest has a limit: %v", s.Memory)
	}
	eventually(t, "an empty writable layer", func() bool {
		w := get(t, c).WritableLayer
		return w != nil && w.UsedBytes.GetValue() == 0
	})
}

// TestManyInTwoLooks: a client that asks for many containers twice, a second apart, sees CPU time pass in between.
func TestManyInTwoLooks(t *testing.T) {
	n := h.NewNode(t, h.NodeOptions{})
	n.Pull(t, h.BusyboxRef)
	const pods, each = 5, 5
	var all []*h.Ctr
	for i := 0; i < pods; i++ {
		p := n.RunPod(t, fmt.Sprint("many", i))
		for j := 0; j < each; j++ {
			all = append(all, p.Sh(t, fmt.Sprint("c", j), "while :; do sleep 0.05; done"))
		}
	}
	for round := 0; round < 2; round++ {
		first := list(t, n, nil)
		time.Sleep(time.Second)
		second := list(t, n, nil)
		same := func() bool {
			for _, c := range all {
				if second[c.ID].GetCpu().GetTimestamp() <= first[c.ID].GetCpu().GetTimestamp() {
					return true
				}
			}
			return false
		}
		// The new samples are taken behind the first answer: on a busy machine that may take longer. The period is 10 s.
		for end := time.Now().Add(6 * time.Second); same() && time.Now().Before(end); second = list(t, n, nil) {
			time.Sleep(500 * time.Millisecond)
		}
		if same() {
			t.Fatalf("round %d: the same sample twice", round)
		}
		for _, c := range all {
			checkRunning(t, c, first[c.ID])
			checkRunning(t, c, second[c.ID])
		}
		time.Sleep(1500 * time.Millisecond)
	}
}

// TestParallel: many clients ask while containers come and go; whoever runs all the time is in every answer, complete.
func TestParallel(t *testing.T) {
	n := h.NewNode(t, h.NodeOptions{Set: map[string]string{"stats.period": "1", "metrics.address": `"127.0.0.1:9730"`}})
	n.Pull(t, h.BusyboxRef)
	p := n.RunPod(t, "parallel")
	steady := p.Sh(t, "steady", "sleep 10000")
	stop := make(chan struct{})
	var clients sync.WaitGroup
	for i := 0; i < 8; i++ {
		clients.Add(1)
		go func() {
			defer clients.Done()
			for {
				select {
				case <-stop:
					return
				default:
				}
				r, err := n.Raw.ListContainerStats(h.Ctx, &cri.ListContainerStatsRequest{})
				if err != nil {
					t.Errorf("ListContainerStats: %v", err)
					return
				}
				found := false
				for _, s := range r.Stats {
					found = found || (s.Attributes.Id == steady.ID && s.Cpu != nil && s.Memory != nil)
				}
				if !found {
					t.Errorf("%s is not in %v", steady.ID, r.Stats)
					return
				}
				if i == 0 && !h.Peer() {
					if _, err := n.Get("http://127.0.0.1:9730/metrics", 10*time.Second); err != nil {
						t.Errorf("metrics: %v", err)
						return
					}
				}
				time.Sleep(time.Millisecond)
			}
		}()
	}
	for round := 0; round < 6; round++ {
		q := n.RunPod(t, fmt.Sprint("passing", round))
		for j := 0; j < 4; j++ {
			q.Sh(t, fmt.Sprint("c", j), "sleep 10000")
		}
		q.Stop(t)
		q.Remove(t)
	}
	close(stop)
	clients.Wait()
	if got := list(t, n, nil); len(got) != 1 {
		t.Errorf("at the end: %v", got)
	}
}

// TestQuiet: a node that nobody asks for statistics stops sampling, and begins again when asked.
func TestQuiet(t *testing.T) {
	h.NeedUnicrid(t)
	n := h.NewNode(t, h.NodeOptions{Set: map[string]string{"metrics.address": `"127.0.0.1:9730"`, "stats.period": "1"}})
	n.Pull(t, h.BusyboxRef)
	c := n.RunPod(t, "quiet").Sh(t, "sleeper", "sleep 10000")
	rounds := func() float64 { return metrics(t, n).value(t, "unicri_stats_round_seconds", "") }
	time.Sleep(1500 * time.Millisecond)
	if r := rounds(); r != 0 {
		t.Errorf("%v rounds before anybody asked", r)
	}
	checkRunning(t, c, get(t, c))
	eventually(t, "rounds in the background", func() bool { return rounds() >= 3 })
	time.Sleep(6 * time.Second) // as many periods after the question
	var before float64
	eventually(t, "no rounds while nobody asks", func() bool {
		before = rounds()
		time.Sleep(2500 * time.Millisecond)
		return rounds() == before
	})
	checkRunning(t, c, get(t, c))
	eventually(t, "rounds again", func() bool { return rounds() > before })
}
