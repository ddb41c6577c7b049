// SPDX-License-Identifier: Apache-2.0

package pods

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
	h "unicri.dev/e2e/harness"
)

// warm runs one pod so that what is made once (bridge, directories) exists before a census.
func warm(t *testing.T, n *h.Node) h.Census {
	t.Helper()
	n.Pull(t, h.BusyboxRef)
	p := n.RunPod(t, "warm-"+strings.ToLower(strings.Map(alnum, t.Name())))
	c := p.Sh(t, "c", "true")
	c.Wait(t, 10e9)
	p.Stop(t)
	p.Remove(t)
	return n.Census()
}

func alnum(r rune) rune {
	if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
		return r
	}
	return -1
}

// TestSandbox covers the life of a pod without containers and with them.
func TestSandbox(t *testing.T) {
	n := h.NewNode(t, h.NodeOptions{})
	before := warm(t, n)

	t.Run("life", func(t *testing.T) {
		p := n.RunPod(t, "life")
		r, err := n.RT.PodSandboxStatus(h.Ctx, p.ID, true)
		if err != nil {
			t.Fatal(err)
		}
		s := r.Status
		if s.State != cri.PodSandboxState_SANDBOX_READY || s.CreatedAt == 0 || s.Metadata.Name != "life" || s.Metadata.Uid != "uid-life" {
			t.Errorf("status: %v", s)
		}
		if !strings.HasPrefix(s.Network.GetIp(), "10.89.") {
			t.Errorf("ip %q", s.Network.GetIp())
		}
		if s.Labels["app"] != "life" || s.Annotations["note"] != "kept" {
			t.Errorf("labels %v annotations %v", s.Labels, s.Annotations)
		}
		p.Stop(t)
		p.Stop(t) // idempotent
		r, err = n.RT.PodSandboxStatus(h.Ctx, p.ID, false)
		if err != nil || r.Status.State != cri.PodSandboxState_SANDBOX_NOTREADY {
			t.Errorf("after stop: %v %v", r, err)
		}
		p.Remove(t)
		p.Remove(t)
		if _, err := n.RT.PodSandboxStatus(h.Ctx, p.ID, false); status.Code(err) != codes.NotFound {
			t.Errorf("status after remove: %v", err)
		}
	})
	t.Run("unknown ids", func(t *testing.T) {
		h.NeedUnicrid(t)
		if err := n.RT.StopPodSandbox(h.Ctx, "nope"); err != nil {
			t.Errorf("stop: %v", err)
		}
		if err := n.RT.RemovePodSandbox(h.Ctx, "nope"); err != nil {
			t.Errorf("remove: %v", err)
		}
		if err := n.RT.StopContainer(h.Ctx, "nope", 1); err != nil {
			t.Errorf("stop container: %v", err)
		}
		if err := n.RT.RemoveContainer(h.Ctx, "nope"); err != nil {
			t.Errorf("remove container: %v", err)
		}
		if _, err := n.RT.ContainerStatus(h.Ctx, "nope", false); status.Code(err) != codes.NotFound {
			t.Errorf("container status: %v", err)
		}
		if err := n.RT.StartContainer(h.Ctx, "nope"); status.Code(err) != codes.NotFound {
			t.Errorf("start: %v", err)
		}
		if _, err := n.Raw.CreateContainer(h.Ctx, &cri.CreateContainerRequest{PodSandboxId: "nope", Config: &cri.ContainerConfig{
			Metadata: &cri.ContainerMetadata{Name: "x"}, Image: &cri.ImageSpec{Image: h.BusyboxRef}}, SandboxConfig: n.PodConfig("nope")}); status.Code(err) != codes.NotFound {
			t.Errorf("create: %v", err)
		}
	})
	t.Run("list and filter", func(t *testing.T) {
		a, b := n.RunPod(t, "list-a"), n.RunPod(t, "list-b")
		b.Stop(t)
		count := func(f *cri.PodSandboxFilter) string {
			l, err := n.RT.ListPodSandbox(h.Ctx, f)
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, p := range l {
				names = append(names, p.Metadata.Name)
			}
			return strings.Join(names, " ")
		}
		if got := count(nil); got != "list-b list-a" {
			t.Errorf("all: %q", got)
		}
		if got := count(&cri.PodSandboxFilter{State: &cri.PodSandboxStateValue{State: cri.PodSandboxState_SANDBOX_READY}}); got != "list-a" {
			t.Errorf("ready: %q", got)
		}
		if got := count(&cri.PodSandboxFilter{State: &cri.PodSandboxStateValue{State: cri.PodSandboxState_SANDBOX_NOTREADY}}); got != "list-b" {
			t.Errorf("not ready: %q", got)
		}
		if got := count(&cri.PodSandboxFilter{LabelSelector: map[string]string{"app": "list-a"}}); got != "list-a" {
			t.Errorf("label: %q", got)
		}
		if got := count(&cri.PodSandboxFilter{Id: a.ID[:12]}); got != "list-a" {
			t.Errorf("id prefix: %q", got)
		}
		if got := count(&cri.PodSandboxFilter{Id: "ffffffffffffffffff"}); got != "" {
			t.Errorf("unknown id: %q", got)
		}
		a.Stop(t)
		a.Remove(t)
		b.Remove(t)
	})
	t.Run("files of the pod", func(t *testing.T) {
		p := n.RunPod(t, "files")
		c := p.Sh(t, "c", "sleep 1000")
		if got := c.Exec(t, "cat", "/etc/resolv.conf"); !strings.Contains(got, "nameserver 10.96.0.10") || !strings.Contains(got, "search e2e.svc.cluster.local") || !strings.Contains(got, "options ndots:5") {
			t.Errorf("resolv.conf %q", got)
		}
		if got := c.Exec(t, "hostname"); got != "files\n" {
			t.Errorf("hostname %q", got)
		}
		if got := c.Exec(t, "cat", "/etc/hostname"); got != "files\n" {
			t.Errorf("/etc/hostname %q", got)
		}
		if got := c.Exec(t, "sh", "-c", "mount | grep ' /dev/shm '; ip -o addr"); !strings.Contains(got, "tmpfs") || !strings.Contains(got, p.IP(t)) || !strings.Contains(got, "127.0.0.1") {
			t.Errorf("shm and addresses: %q", got)
		}
		p.Stop(t)
		p.Remove(t)
	})
	t.Run("sysctls", func(t *testing.T) {
		p := n.RunPod(t, "sysctls", func(c *cri.PodSandboxConfig) {
			c.Linux.Sysctls = map[string]string{"net.ipv4.ip_unprivileged_port_start": "1024", "kernel.shm_rmid_forced": "1"}
		})
		c := p.Sh(t, "c", "cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/shm_rmid_forced")
		c.Wait(t, 10e9)
		if got := c.Out(t, "stdout"); got != "1024\n1\n" {
			t.Errorf("sysctls %q", got)
		}
		p.Stop(t)
		p.Remove(t)
	})
	t.Run("shared pid namespace has a reaping init", func(t *testing.T) {
		h.NeedUnicrid(t) // the peer's pause image is a busybox here, which does not reap
		p := n.RunPod(t, "pidpod", func(c *cri.PodSandboxConfig) { c.Linux.SecurityContext.NamespaceOptions.Pid = cri.NamespaceMode_POD })
		pid := func(c *cri.ContainerConfig) { c.Linux.SecurityContext.NamespaceOptions.Pid = cri.NamespaceMode_POD }
		c := p.Sh(t, "c", "echo pid $$; sleep 1000", pid)
		d := p.Sh(t, "d", "sleep 1001", pid)
		c.WaitLog(t, "pid ", 10e9)
		if out := c.Out(t, "stdout"); out == "pid 1\n" {
			t.Error("the container is pid 1 in a shared namespace")
		}
		if got := d.Exec(t, "ps"); !strings.Contains(got, "sleep 1000") {
			t.Errorf("ps in the other container: %q", got)
		}
		d.Exec(t, "sh", "-c", "(sleep 0.1 &) ; true")
		eventually(t, "the orphan is reaped", func() bool { return !strings.Contains(d.Exec(t, "ps"), "[sleep]") })
		p.Stop(t)
		p.Remove(t)
	})
	t.Run("host network", func(t *testing.T) {
		p := n.RunPod(t, "hostnet", func(c *cri.PodSandboxConfig) {
			c.Hostname = ""
			c.Linux.SecurityContext.NamespaceOptions.Network = cri.NamespaceMode_NODE
		})
		r, err := n.RT.PodSandboxStatus(h.Ctx, p.ID, false)
		if err != nil || r.Status.Linux.Namespaces.Options.Network != cri.NamespaceMode_NODE {
			t.Errorf("status %v %v", r, err)
		}
		c := p.Sh(t, "c", "ip -o link show cni0", func(c *cri.ContainerConfig) {
			c.Linux.SecurityContext.NamespaceOptions.Network = cri.NamespaceMode_NODE
		})
		if s := c.Wait(t, 10e9); s.ExitCode != 0 {
			t.Errorf("the node's bridge is not seen: %s", c.RawLog())
		}
		p.Stop(t)
		p.Remove(t)
	})
	t.Run("a hundred duplicates", func(t *testing.T) {
		h.NeedUnicrid(t)
		cfg := n.PodConfig("dup")
		var wg sync.WaitGroup
		ids := make([]string, 100)
		errs := make([]error, 100)
		for i := range ids {
			wg.Add(1)
			go func() {
				defer wg.Done()
				ids[i], errs[i] = n.RT.RunPodSandbox(h.Ctx, cfg, "")
			}()
		}
		wg.Wait()
		for i := range ids {
			if errs[i] != nil || ids[i] != ids[0] {
				t.Fatalf("duplicate %d: %q %v, the first got %q", i, ids[i], errs[i], ids[0])
			}
		}
		p := &h.Pod{N: n, ID: ids[0], Config: cfg}
		cc := p.CtrConfig("c", h.BusyboxRef, []string{"sleep", "1000"})
		for i := range ids {
			wg.Add(1)
			go func() {
				defer wg.Done()
				ids[i], errs[i] = n.RT.CreateContainer(h.Ctx, p.ID, cc, cfg)
			}()
		}
		wg.Wait()
		for i := range ids {
			if errs[i] != nil || ids[i] != ids[0] {
				t.Fatalf("duplicate container %d: %q %v, the first got %q", i, ids[i], errs[i], ids[0])
			}
		}
		for i := range ids {
			wg.Add(1)
			go func() {
				defer wg.Done()
				errs[i] = n.RT.StopPodSandbox(h.Ctx, p.ID)
			}()
		}
		wg.Wait()
		for i := range errs {
			if errs[i] != nil {
				t.Fatalf("duplicate stop %d: %v", i, errs[i])
			}
		}
		p.Remove(t)
	})
	t.Run("a changed request with a key in use", func(t *testing.T) {
		h.NeedUnicrid(t)
		p := n.RunPod(t, "changed")
		_, err := n.TryRunPod("changed", "", func(c *cri.PodSandboxConfig) { c.Hostname = "another" })
		if status.Code(err) != codes.AlreadyExists || !strings.Contains(err.Error(), "changed") {
			t.Errorf("changed request: %v", err)
		}
		p.Stop(t)
		p.Remove(t)
	})
	t.Run("create in a stopped sandbox", func(t *testing.T) {
		h.NeedUnicrid(t)
		p := n.RunPod(t, "stopped")
		p.Stop(t)
		_, err := p.TryCreate("c", h.BusyboxRef, []string{"true"})
		if status.Code(err) != codes.FailedPrecondition {
			t.Errorf("create: %v", err)
		}
		p.Remove(t)
	})
	t.Run("pods in parallel", func(t *testing.T) {
		var wg sync.WaitGroup
		for i := 0; i < 8; i++ {
			wg.Add(1)
			go func() {
				defer wg.Done()
				for j := 0; j < 3; j++ {
					name := fmt.Sprintf("par-%d-%d", i, j)
					p, err := n.TryRunPod(name, "")
					if err != nil {
						t.Errorf("%s: %v", name, err)
						return
					}
					c, err := p.TryCreate("c", h.BusyboxRef, []string{"sh", "-c", "echo up; sleep 1000"})
					if err == nil {
						err = n.RT.StartContainer(h.Ctx, c.ID)
					}
					if err != nil {
						t.Errorf("%s: %v", name, err)
					}
					if err := n.RT.StopPodSandbox(h.Ctx, p.ID); err != nil {
						t.Errorf("%s: %v", name, err)
					}
					if err := n.RT.RemovePodSandbox(h.Ctx, p.ID); err != nil {
						t.Errorf("%s: %v", name, err)
					}
					os.RemoveAll(p.Config.LogDirectory)
				}
			}()
		}
		wg.Wait()
	})
	n.ExpectCensus(t, before, true)
}

// TestCgroupParent: a kubelet makes the pod's cgroup itself and names it.
func TestCgroupParent(t *testing.T) {
	n := h.NewNode(t, h.NodeOptions{})
	before := warm(t, n)
	parent := "/" + n.Cgroup + "/kubepods/poduid-parent"
	p := n.RunPod(t, "parent", func(c *cri.PodSandboxConfig) { c.Linux.CgroupParent = parent })
	c := p.Sh(t, "c", "cat /proc/self/cgroup; sleep 1000", func(c *cri.ContainerConfig) {
		c.Linux.Resources.MemoryLimitInBytes = 64 << 20
		c.Linux.Resources.CpuShares = 512
	})
	pids := n.Pids()
	found := false
	for _, pid := range pids {
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
		if strings.Contains(string(b), parent+"/") {
			found = true
		}
	}
	if !found {
		t.Errorf("no process below %s", parent)
	}
	limit := ""
	for _, m := range h.CgroupMounts() {
		for _, name := range []string{"memory.limit_in_bytes", "memory.max"} {
			for _, pat := range []string{"/*" + c.ID + "*/" + name, "/*/" + c.ID + "/" + name} {
				b, _ := readGlob(m + parent + pat)
				if b != "" {
					limit = b
				}
			}
		}
	}
	if limit != "67108864" {
		t.Errorf("memory limit %q", limit)
	}
	p.Stop(t)
	p.Remove(t)
	if !h.Peer() {
		n.ExpectCensus(t, withParents(before, n.Census(), parent), true)
	}
}

// withParents adds what the kubelet itself would have made below its own cgroup.
func withParents(before, now h.Census, parent string) h.Census {
	out := h.Census{}
	for k, v := range before {
		out[k] = v
	}
	for k, v := range now {
		if strings.HasPrefix(k, "cgroup ") && strings.HasSuffix(k, parent) {
			out[k] = v
		}
	}
	return out
}
