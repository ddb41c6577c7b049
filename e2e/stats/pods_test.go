// SPDX-License-Identifier: Apache-2.0

package stats

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
	h "unicri.dev/e2e/harness"
)

// checkPod is what a kubelet takes for granted of a pod that runs.
func checkPod(t *testing.T, p *h.Pod, s *cri.PodSandboxStats) {
	t.Helper()
	m := s.GetAttributes().GetMetadata()
	if s.Attributes.GetId() != p.ID || m.GetName() == "" || m.GetNamespace() == "" || m.GetUid() == "" {
		t.Fatalf("attributes: %v", s.Attributes)
	}
	l := s.Linux
	if l.GetCpu().GetUsageCoreNanoSeconds() == nil || l.GetMemory().GetWorkingSetBytes() == nil || l.GetProcess().GetProcessCount() == nil {
		t.Fatalf("parts are missing: %v", l)
	}
	if l.Cpu.Timestamp == 0 || l.Memory.Timestamp == 0 || l.Process.Timestamp == 0 {
		t.Errorf("a timestamp is missing: %v", l)
	}
	if l.Network != nil && (l.Network.DefaultInterface.GetName() != "eth0" || l.Network.Timestamp == 0 || len(l.Network.Interfaces) == 0) {
		t.Errorf("network: %v", l.Network)
	}
}

// TestPods asks for the statistics and metrics of whole pods.
func TestPods(t *testing.T) {
	h.NeedUnicrid(t)
	n := h.NewNode(t, h.NodeOptions{Set: map[string]string{"stats.period": "1"}})
	n.Pull(t, h.BusyboxRef)
	p := n.RunPod(t, "pod")
	empty := n.RunPod(t, "empty")
	busy := p.Sh(t, "busy", "dd if=/dev/zero of=/layer bs=1M count=3 2>/dev/null; while :; do :; done",
		func(c *cri.ContainerConfig) { c.Linux.Resources.MemoryLimitInBytes = 64 << 20 })
	idle := p.Sh(t, "idle", "sleep 1000 & sleep 1000 & wait")
	one := func(id string) *cri.PodSandboxStats {
		t.Helper()
		s, err := n.RT.PodSandboxStats(h.Ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}

	t.Run("probe", func(t *testing.T) {
		_, err := n.Raw.PodSandboxStats(h.Ctx, &cri.PodSandboxStatsRequest{})
		if status.Code(err) != codes.NotFound {
			t.Errorf("an empty id: %v", err)
		}
		_, err = n.Raw.PodSandboxStats(h.Ctx, &cri.PodSandboxStatsRequest{PodSandboxId: strings.Repeat("0", 64)})
		if status.Code(err) != codes.NotFound {
			t.Errorf("an unknown id: %v", err)
		}
	})
	t.Run("one", func(t *testing.T) {
		var s *cri.PodSandboxStats
		eventually(t, "four processes and a rate", func() bool {
			s = one(p.ID)
			return s.Linux.Process.GetProcessCount().GetValue() == 4 && s.Linux.Cpu.UsageNanoCores.GetValue() > 50e6
		})
		checkPod(t, p, s)
		if len(s.Linux.Containers) != 2 {
			t.Fatalf("%d containers", len(s.Linux.Containers))
		}
		var sum uint64
		for _, c := range s.Linux.Containers {
			sum += c.Cpu.UsageCoreNanoSeconds.Value
			if c.Attributes.GetMetadata() == nil {
				t.Errorf("no metadata: %v", c)
			}
		}
		if cpu := s.Linux.Cpu.UsageCoreNanoSeconds.Value; cpu < sum/2 || cpu == 0 {
			t.Errorf("the pod used %d ns, its containers %d", cpu, sum)
		}
		if s.Linux.Network == nil {
			t.Error("no network")
		}
	})
	t.Run("traffic", func(t *testing.T) {
		before := one(p.ID).Linux.Network.DefaultInterface.TxBytes.Value
		idle.Exec(t, "sh", "-c", "for i in 1 2 3 4; do ping -c 1 -W 1 10.255.255.1 >/dev/null 2>&1; nslookup x.invalid 10.255.255.1 >/dev/null 2>&1 & done; wait; true")
		eventually(t, "bytes sent", func() bool { return one(p.ID).Linux.Network.DefaultInterface.TxBytes.Value > before })
	})
	t.Run("list", func(t *testing.T) {
		for _, row := range []struct {
			f    *cri.PodSandboxStatsFilter
			want int
		}{
			{nil, 2}, {&cri.PodSandboxStatsFilter{}, 2}, {&cri.PodSandboxStatsFilter{Id: p.ID}, 1}, {&cri.PodSandboxStatsFilter{Id: p.ID[:12]}, 1},
			{&cri.PodSandboxStatsFilter{Id: strings.Repeat("0", 64)}, 0},
			{&cri.PodSandboxStatsFilter{LabelSelector: map[string]string{"no": "such"}}, 0},
		} {
			l, err := n.RT.ListPodSandboxStats(h.Ctx, row.f)
			if err != nil || len(l) != row.want {
				t.Errorf("%v: %d pods, %v", row.f, len(l), err)
			}
			for _, s := range l {
				if s.Attributes.Id == p.ID {
					checkPod(t, p, s)
				} else {
					checkPod(t, empty, s)
				}
			}
		}
	})
	t.Run("metrics", func(t *testing.T) { checkMetrics(t, n, p, busy) })
	t.Run("ended", func(t *testing.T) {
		p.Stop(t)
		s := one(p.ID)
		if s.Attributes.GetId() != p.ID || s.Linux.GetCpu() != nil || s.Linux.GetNetwork() != nil {
			t.Errorf("a stopped pod: %v", s)
		}
		if l, err := n.RT.ListPodSandboxStats(h.Ctx, nil); err != nil || len(l) != 1 {
			t.Errorf("after the stop: %d pods, %v", len(l), err)
		}
	})
	t.Run("filesystems", func(t *testing.T) {
		r, err := n.IM.ImageFsInfo(h.Ctx)
		if err != nil || len(r.ImageFilesystems) != 1 || len(r.ContainerFilesystems) != 1 {
			t.Fatalf("%v, %v", r, err)
		}
		for _, f := range []*cri.FilesystemUsage{r.ImageFilesystems[0], r.ContainerFilesystems[0]} {
			if f.FsId.GetMountpoint() == "" || f.UsedBytes == nil || f.InodesUsed == nil || f.Timestamp == 0 {
				t.Errorf("%v", f)
			}
		}
	})
}

// checkMetrics compares metrics with their descriptors, as a kubelet does before it shows them.
func checkMetrics(t *testing.T, n *h.Node, p *h.Pod, busy *h.Ctr) {
	descriptors := map[string]*cri.MetricDescriptor{}
	l, err := n.RT.ListMetricDescriptors(h.Ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range l {
		if descriptors[d.Name] != nil || d.Help == "" {
			t.Errorf("descriptor %v", d)
		}
		descriptors[d.Name] = d
	}
	for _, name := range []string{
		"container_cpu_usage_seconds_total", "container_memory_working_set_bytes", "container_memory_failures_total", "container_oom_events_total",
		"container_network_receive_bytes_total", "container_fs_usage_bytes", "container_fs_reads_bytes_total", "container_processes", "container_threads",
		"container_pressure_cpu_waiting_seconds_total", "container_spec_memory_limit_bytes", "container_start_time_seconds", "container_last_seen",
	} {
		if descriptors[name] == nil {
			t.Errorf("no %s", name)
		}
	}
	check := func(m *cri.Metric) {
		d := descriptors[m.Name]
		if d == nil || len(m.LabelValues) != len(d.LabelKeys) || m.Value == nil || m.Timestamp == 0 {
			t.Fatalf("%v does not fit %v", m, d)
		}
	}
	label := func(m *cri.Metric, key string) string {
		for i, k := range descriptors[m.Name].LabelKeys {
			if k == key {
				return m.LabelValues[i]
			}
		}
		return ""
	}
	eventually(t, "a second of CPU time and the writable layer", func() bool {
		all, err := n.RT.ListPodSandboxMetrics(h.Ctx)
		if err != nil || len(all) != 2 {
			t.Fatalf("%d pods, %v", len(all), err)
		}
		seconds, layer, network := false, false, false
		for _, pod := range all {
			for _, m := range pod.Metrics {
				check(m)
				network = network || m.Name == "container_network_transmit_bytes_total" && pod.PodSandboxId == p.ID &&
					label(m, "interface") == "eth0" && label(m, "container") == "" && m.Value.Value > 0
			}
			for _, c := range pod.ContainerMetrics {
				series := map[string]bool{}
				for _, m := range c.Metrics {
					check(m)
					key := m.Name + " " + strings.Join(m.LabelValues, "|")
					if series[key] {
						t.Fatalf("twice: %s", key)
					}
					series[key] = true
					if label(m, "container") == "" || label(m, "pod") == "" || label(m, "namespace") == "" || label(m, "image") == "" || label(m, "name") != c.ContainerId {
						t.Fatalf("labels of %v", m)
					}
					if c.ContainerId != busy.ID {
						continue
					}
					switch m.Name {
					case "container_cpu_usage_seconds_total":
						seconds = m.Value.Value >= 1 && label(m, "cpu") == "total"
					case "container_fs_usage_bytes":
						layer = m.Value.Value >= 3<<20
					case "container_spec_memory_limit_bytes":
						if m.Value.Value != 64<<20 {
							t.Fatalf("limit %v", m)
						}
					case "container_processes":
						if m.Value.Value != 1 {
							t.Fatalf("processes %v", m)
						}
					case "container_file_descriptors":
						if m.Value.Value < 3 {
							t.Fatalf("descriptors %v", m)
						}
					case "container_start_time_seconds":
						if age := time.Since(time.Unix(int64(m.Value.Value), 0)); age < 0 || age > h.Slow(time.Minute) {
							t.Fatalf("started %v ago", age)
						}
					}
				}
			}
		}
		return seconds && layer && network
	})
}

// TestPodOfGuest: the numbers of a pod that holds a unikernel are those of its VMM, and the traffic is the guest's.
func TestPodOfGuest(t *testing.T) {
	h.NeedUnicrid(t)
	n := h.NewNode(t, h.NodeOptions{Set: map[string]string{"stats.period": "1"}})
	ref := h.GuestRef("spin.spt")
	n.Pull(t, ref)
	p := n.RunPod(t, "guest")
	c := p.Run(t, "spin", ref, nil, func(c *cri.ContainerConfig) { c.Linux.SecurityContext.RunAsUser = nil })
	eventually(t, "CPU time of the guest", func() bool {
		s, err := n.RT.PodSandboxStats(h.Ctx, p.ID)
		if err != nil {
			t.Fatal(err)
		}
		checkPod(t, p, s)
		return len(s.Linux.Containers) == 1 && s.Linux.Containers[0].Attributes.Id == c.ID && s.Linux.Cpu.UsageCoreNanoSeconds.Value > 50e6 &&
			s.Linux.Process.ProcessCount.Value > 0 && s.Linux.Network != nil
	})
}

// TestFirstMetrics: a container that has only just been started has all its metrics, the size of its layer among them.
func TestFirstMetrics(t *testing.T) {
	n := h.NewNode(t, h.NodeOptions{})
	n.Pull(t, h.BusyboxRef)
	p := n.RunPod(t, "first")
	c := p.Sh(t, "c", "sleep 1000")
	c.Exec(t, "sh", "-c", "for i in 1 2 3; do echo hi > /file$i; done")
	r, err := n.Raw.ListPodSandboxMetrics(h.Ctx, &cri.ListPodSandboxMetricsRequest{})
	if err != nil || len(r.PodMetrics) != 1 || len(r.PodMetrics[0].ContainerMetrics) != 1 {
		t.Fatalf("%v, %v", r, err)
	}
	got := map[string]uint64{}
	for _, m := range append(r.PodMetrics[0].Metrics, r.PodMetrics[0].ContainerMetrics[0].Metrics...) {
		got[m.Name] = m.Value.Value
	}
	if got["container_fs_usage_bytes"] == 0 {
		t.Error("no container_fs_usage_bytes in the first list")
	}
	l, err := n.RT.ListMetricDescriptors(h.Ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range l {
		if _, ok := got[d.Name]; !ok && strings.HasPrefix(d.Name, "container_memory_") {
			t.Errorf("%s is described and never has a value here", d.Name)
		}
	}
	p.Remove(t)
}
