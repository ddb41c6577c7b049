// SPDX-License-Identifier: Apache-2.0

package resources

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
	h "unicri.dev/e2e/harness"
)

const mb = int64(1 << 20)

func withResources(r *cri.LinuxContainerResources) h.CtrOpt {
	return func(c *cri.ContainerConfig) { c.Linux.Resources = r }
}

// TestUpdateContainer changes limits as a kubelet does for an in-place resize and for exclusive CPUs.
func TestUpdateContainer(t *testing.T) {
	n := h.NewNode(t, h.NodeOptions{})
	n.Pull(t, h.BusyboxRef)
	p := n.RunPod(t, "update")
	first := func() *cri.LinuxContainerResources {
		return &cri.LinuxContainerResources{CpuPeriod: 100000, CpuQuota: 20000, CpuShares: 204,
			MemoryLimitInBytes: 64 * mb, MemorySwapLimitInBytes: 64 * mb, OomScoreAdj: 900}
	}

	t.Run("running", func(t *testing.T) {
		c := p.Sh(t, "running", "sleep 1000", withResources(first()))
		must(t, update(c, &cri.LinuxContainerResources{CpuPeriod: 100000, CpuQuota: 50000, CpuShares: 512, MemoryLimitInBytes: 128 * mb}))
		l := of(t, pid(t, c))
		if l.memory != fmt.Sprint(128*mb) || l.quota != "50000" || l.period != "100000" || l.shares != shares(512) {
			t.Errorf("in force: %+v", l)
		}
		r := shown(t, c)
		if r.MemoryLimitInBytes != 128*mb || r.CpuQuota != 50000 || r.CpuPeriod != 100000 || r.CpuShares != 512 || r.OomScoreAdj != 900 {
			t.Errorf("shown: %v", r)
		}
		// The CPU manager sets one field: the others stay.
		must(t, update(c, &cri.LinuxContainerResources{CpusetCpus: "0"}))
		if m := of(t, pid(t, c)); m.cpus != "0" || m.memory != l.memory || m.quota != l.quota || m.shares != l.shares {
			t.Errorf("after cpuset: %+v", m)
		}
		if r := shown(t, c); r.CpusetCpus != "0" || r.MemoryLimitInBytes != 128*mb || r.CpuQuota != 50000 {
			t.Errorf("shown after cpuset: %v", r)
		}
		must(t, update(c, &cri.LinuxContainerResources{CpuQuota: -1, MemoryLimitInBytes: 32 * mb}))
		l = of(t, pid(t, c))
		if (l.quota != "-1" && l.quota != "max") || l.memory != fmt.Sprint(32*mb) {
			t.Errorf("lowered: %+v", l)
		}
		must(t, update(c, &cri.LinuxContainerResources{}))
		n.Kill()
		n.Restart()
		if r := shown(t, c); r.CpusetCpus != "0" || r.MemoryLimitInBytes != 32*mb || r.CpuQuota != -1 || r.CpuShares != 512 {
			t.Errorf("after a restart: %v", r)
		}
		if c.Status(t).State != cri.ContainerState_CONTAINER_RUNNING {
			t.Error("an update ended it")
		}
	})
	t.Run("created", func(t *testing.T) {
		c := p.Create(t, "created", h.BusyboxRef, []string{"sleep", "1000"}, withResources(first()))
		must(t, update(c, &cri.LinuxContainerResources{MemoryLimitInBytes: 96 * mb, CpuQuota: 30000, OomScoreAdj: 950}))
		n.Restart()
		c.Start(t)
		l := of(t, pid(t, c))
		if l.memory != fmt.Sprint(96*mb) || l.quota != "30000" || l.shares != shares(204) {
			t.Errorf("in force: %+v", l)
		}
		if b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/oom_score_adj", pid(t, c))); strings.TrimSpace(string(b)) != "950" {
			t.Errorf("OOM score %q", b)
		}
		if r := shown(t, c); r.MemoryLimitInBytes != 96*mb || r.CpuQuota != 30000 || r.OomScoreAdj != 950 {
			t.Errorf("shown: %v", r)
		}
	})
	t.Run("refused", func(t *testing.T) {
		c := p.Sh(t, "hungry", "dd if=/dev/zero of=/dev/shm/x bs=1M count=24; echo full; sleep 1000", withResources(first()))
		c.WaitLog(t, "full", 10e9)
		before, shownBefore := of(t, pid(t, c)), shown(t, c)
		for what, r := range map[string]*cri.LinuxContainerResources{
			"in use": {MemoryLimitInBytes: 8 * mb, CpuQuota: 40000},
			"cpuset": {CpusetCpus: "4000", MemoryLimitInBytes: 128 * mb},
		} {
			err := update(c, r)
			if err == nil || !strings.Contains(err.Error(), what) {
				t.Errorf("%s: %v", what, err)
			}
			if l := of(t, pid(t, c)); l != before {
				t.Errorf("%s: in force after a refusal: %+v, before %+v", what, l, before)
			}
			if r := shown(t, c); r.String() != shownBefore.String() {
				t.Errorf("%s: shown after a refusal: %v", what, r)
			}
		}
		if !v2() {
			if err := update(c, &cri.LinuxContainerResources{Unified: map[string]string{"memory.high": "1"}}); err == nil || !strings.Contains(err.Error(), "version 1") {
				t.Errorf("unified on version 1: %v", err)
			}
		}
		if err := update(c, &cri.LinuxContainerResources{MemorySwapLimitInBytes: mb}); status.Code(err) != codes.InvalidArgument {
			t.Errorf("swap below memory: %v", err)
		}
	})
	t.Run("ended or unknown", func(t *testing.T) {
		c := p.Sh(t, "ended", "exit 0")
		c.Wait(t, 10e9)
		err := update(c, &cri.LinuxContainerResources{CpuShares: 100})
		if status.Code(err) != codes.FailedPrecondition || !strings.Contains(err.Error(), "EXITED") {
			t.Errorf("ended: %v", err)
		}
		err = n.RT.UpdateContainerResources(h.Ctx, "nobody", &cri.ContainerResources{Linux: &cri.LinuxContainerResources{CpuShares: 100}})
		if status.Code(err) != codes.NotFound {
			t.Errorf("unknown: %v", err)
		}
	})
	t.Run("every page size of the host", func(t *testing.T) {
		// A kubelet lists them all, with limit 0.
		var pages []*cri.HugepageLimit
		dirs, _ := filepath.Glob("/sys/kernel/mm/hugepages/hugepages-*kB")
		for _, d := range append(dirs, "hugepages-64kB") {
			var kb int
			fmt.Sscanf(filepath.Base(d), "hugepages-%dkB", &kb)
			size := fmt.Sprintf("%dKB", kb)
			if kb >= 1<<20 {
				size = fmt.Sprintf("%dGB", kb>>20)
			} else if kb >= 1024 {
				size = fmt.Sprintf("%dMB", kb>>10)
			}
			pages = append(pages, &cri.HugepageLimit{PageSize: size})
		}
		r := first()
		r.HugepageLimits = pages
		c := p.Sh(t, "pages", "sleep 1000", withResources(r))
		must(t, update(c, &cri.LinuxContainerResources{HugepageLimits: pages, CpuShares: 300}))
		if got := shown(t, c); len(got.HugepageLimits) != len(pages) || got.CpuShares != 300 {
			t.Errorf("shown: %v", got)
		}
	})
	t.Run("many at once", func(t *testing.T) {
		c := p.Sh(t, "many", "sleep 1000", withResources(first()))
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Add(1)
			go func() {
				defer wg.Done()
				if err := update(c, &cri.LinuxContainerResources{CpuShares: int64(100 + i%4), MemoryLimitInBytes: int64(60+i%5) * mb}); err != nil {
					t.Error(err)
				}
			}()
		}
		wg.Wait()
		r, l := shown(t, c), of(t, pid(t, c))
		if l.memory != fmt.Sprint(r.MemoryLimitInBytes) || l.shares != shares(r.CpuShares) {
			t.Errorf("shown %v, in force %+v", r, l)
		}
	})
}

// TestUpdateGuest changes the limits of a unikernel: those of its VMM.
func TestUpdateGuest(t *testing.T) {
	h.NeedUnicrid(t)
	n := h.NewNode(t, h.NodeOptions{})
	n.Pull(t, h.GuestRef("idle.spt"))
	p := n.RunPod(t, "guest")
	c := p.Create(t, "spin", h.GuestRef("idle.spt"), nil, func(c *cri.ContainerConfig) {
		c.Linux.Resources = &cri.LinuxContainerResources{MemoryLimitInBytes: 32 * mb, CpuQuota: 30000, CpuPeriod: 100000, CpusetCpus: "0"}
		c.Linux.SecurityContext.RunAsUser = nil
	})
	must(t, update(c, &cri.LinuxContainerResources{CpuShares: 400}))
	c.Start(t)
	l := of(t, pid(t, c))
	var start int64
	fmt.Sscan(l.memory, &start)
	if start < 32*mb || start > 64*mb || l.quota != "30000" || l.cpus != "0" || l.shares != shares(400) {
		t.Fatalf("at the start: %+v", l)
	}
	overhead := start - 32*mb
	must(t, update(c, &cri.LinuxContainerResources{MemoryLimitInBytes: 48 * mb, CpuQuota: 60000, CpusetCpus: "0-1"}))
	l = of(t, pid(t, c))
	if l.memory != fmt.Sprint(48*mb+overhead) || l.quota != "60000" || l.cpus != "0-1" {
		t.Errorf("raised: %+v, overhead %d", l, overhead)
	}
	n.Restart()
	err := update(c, &cri.LinuxContainerResources{MemoryLimitInBytes: 16 * mb, CpuQuota: 10000})
	if status.Code(err) != codes.FailedPrecondition || !strings.Contains(err.Error(), "guest has") {
		t.Errorf("below the guest's memory: %v", err)
	}
	if m := of(t, pid(t, c)); m != l {
		t.Errorf("after a refusal: %+v, before %+v", m, l)
	}
	must(t, update(c, &cri.LinuxContainerResources{MemoryLimitInBytes: 32 * mb}))
	if r, l := shown(t, c), of(t, pid(t, c)); l.memory != fmt.Sprint(start) || r.MemoryLimitInBytes != 32*mb || r.CpuQuota != 60000 {
		t.Errorf("back again: %+v, shown %v", l, r)
	}
	if c.Status(t).State != cri.ContainerState_CONTAINER_RUNNING {
		t.Error("an update ended the guest")
	}
	if mountOf("cpuset") != "" {
		q := n.RunPod(t, "guest2")
		d := q.Run(t, "late", h.GuestRef("idle.spt"), nil, func(c *cri.ContainerConfig) { c.Linux.SecurityContext.RunAsUser = nil })
		must(t, update(d, &cri.LinuxContainerResources{CpusetCpus: "1"}))
		if l := of(t, pid(t, d)); l.cpus != "1" {
			t.Errorf("CPUs given later: %+v", l)
		}
	}
}

// TestUpdatePod covers UpdatePodSandboxResources, with a cgroup of the server's and one of the client's.
func TestUpdatePod(t *testing.T) {
	h.NeedUnicrid(t)
	n := h.NewNode(t, h.NodeOptions{})
	n.Pull(t, h.BusyboxRef)
	limit := func(path string) string {
		name := "memory.limit_in_bytes"
		if v2() {
			name = "memory.max"
		}
		b, err := os.ReadFile(filepath.Join(mountOf("memory"), path, name))
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(b))
	}
	set := func(p *h.Pod, overhead, r *cri.LinuxContainerResources) error {
		_, err := n.RT.UpdatePodSandboxResources(h.Ctx, &cri.UpdatePodSandboxResourcesRequest{PodSandboxId: p.ID, Overhead: overhead, Resources: r})
		return err
	}

	t.Run("its own cgroup", func(t *testing.T) {
		p := n.RunPod(t, "own", func(c *cri.PodSandboxConfig) {
			c.Linux.Overhead = &cri.LinuxContainerResources{MemoryLimitInBytes: 8 * mb}
			c.Linux.Resources = &cri.LinuxContainerResources{MemoryLimitInBytes: 64 * mb, CpuShares: 100}
		})
		dir := filepath.Join("/", n.Cgroup, p.ID)
		if found, _ := filepath.Glob(filepath.Join(mountOf("memory"), n.Cgroup, "*", p.ID)); len(found) == 1 {
			dir = strings.TrimPrefix(found[0], mountOf("memory"))
		}
		if got := limit(dir); got != fmt.Sprint(72*mb) {
			t.Errorf("at the start: %s", got)
		}
		must(t, set(p, nil, &cri.LinuxContainerResources{MemoryLimitInBytes: 128 * mb, CpuShares: 200}))
		if got := limit(dir); got != fmt.Sprint(136*mb) {
			t.Errorf("raised: %s", got)
		}
		n.Restart()
		must(t, set(p, &cri.LinuxContainerResources{MemoryLimitInBytes: 16 * mb}, nil))
		if got := limit(dir); got != fmt.Sprint(144*mb) {
			t.Errorf("overhead raised: %s", got)
		}
		c := p.Sh(t, "hungry", "dd if=/dev/zero of=/dev/shm/x bs=1M count=40; echo full; sleep 1000")
		c.WaitLog(t, "full", 10e9)
		err := set(p, nil, &cri.LinuxContainerResources{MemoryLimitInBytes: 10 * mb})
		if status.Code(err) != codes.FailedPrecondition || !strings.Contains(err.Error(), "in use") {
			t.Errorf("below what is in use: %v", err)
		}
		if got := limit(dir); got != fmt.Sprint(144*mb) {
			t.Errorf("after a refusal: %s", got)
		}
	})
	t.Run("the client's cgroup", func(t *testing.T) {
		parent := "/" + filepath.Join(n.Cgroup, "kubelet-pod")
		p := n.RunPod(t, "client", func(c *cri.PodSandboxConfig) { c.Linux.CgroupParent = parent })
		before := limit(parent)
		c := p.Sh(t, "small", "echo up; sleep 1000", withResources(&cri.LinuxContainerResources{MemoryLimitInBytes: 64 * mb}))
		c.WaitLog(t, "up", 10e9)
		// The kubelet asks first and writes to its cgroup afterwards.
		must(t, set(p, &cri.LinuxContainerResources{}, &cri.LinuxContainerResources{MemoryLimitInBytes: mb, CpuShares: 2, CpuPeriod: 100000, CpuQuota: 1000}))
		if got := limit(parent); got != before {
			t.Errorf("the client's cgroup was changed: %s, before %s", got, before)
		}
	})
	t.Run("stopped or unknown", func(t *testing.T) {
		p := n.RunPod(t, "stopped")
		p.Stop(t)
		if err := set(p, nil, &cri.LinuxContainerResources{CpuShares: 5}); status.Code(err) != codes.FailedPrecondition {
			t.Errorf("stopped: %v", err)
		}
		p.ID = "nobody"
		if err := set(p, nil, &cri.LinuxContainerResources{CpuShares: 5}); status.Code(err) != codes.NotFound {
			t.Errorf("unknown: %v", err)
		}
	})
}

// TestUpdateInterrupted ends the server between the row and the cgroup.
func TestUpdateInterrupted(t *testing.T) {
	h.NeedUnicrid(t)
	n := h.NewNode(t, h.NodeOptions{})
	n.Pull(t, h.BusyboxRef)
	p := n.RunPod(t, "interrupted")
	r := &cri.LinuxContainerResources{MemoryLimitInBytes: 64 * mb}
	running := p.Sh(t, "running", "sleep 1000", withResources(r))
	created := p.Create(t, "created", h.BusyboxRef, []string{"sleep", "1000"}, withResources(r))

	for i, c := range []*h.Ctr{running, created} {
		want := int64(80+i) * mb
		n.Kill()
		n.Restart("UNICRI_FAULTS=container.update=kill")
		if err := update(c, &cri.LinuxContainerResources{MemoryLimitInBytes: want}); err == nil {
			t.Fatal("the server lives on")
		}
		n.WaitDeath(h.Slow(10e9))
		n.Restart()
		if got := shown(t, c).MemoryLimitInBytes; got != want {
			t.Errorf("%s: shown %d", c.Config.Metadata.Name, got)
		}
	}
	created.Start(t)
	for i, c := range []*h.Ctr{running, created} {
		if l := of(t, pid(t, c)); l.memory != fmt.Sprint(int64(80+i)*mb) {
			t.Errorf("%s: in force %+v", c.Config.Metadata.Name, l)
		}
	}
	n.Kill()
	n.Restart("UNICRI_FAULTS=container.update=EIO")
	if err := update(running, &cri.LinuxContainerResources{MemoryLimitInBytes: 99 * mb}); err == nil {
		t.Error("a failure was not told")
	}
	if l, s := of(t, pid(t, running)), shown(t, running); l.memory != fmt.Sprint(80*mb) || s.MemoryLimitInBytes != 80*mb {
		t.Errorf("after a failure: in force %+v, shown %v", l, s)
	}
}
