// SPDX-License-Identifier: Apache-2.0

package security

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
	h "unicri.dev/e2e/harness"
)

func namespaces(change func(*cri.NamespaceOption)) (h.PodOpt, h.CtrOpt) {
	return func(c *cri.PodSandboxConfig) { change(c.Linux.SecurityContext.NamespaceOptions) },
		func(c *cri.ContainerConfig) { change(c.Linux.SecurityContext.NamespaceOptions) }
}

// links are the namespaces of a running container by name.
func links(t *testing.T, c *h.Ctr) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, link := range strings.Fields(c.Exec(t, "sh", "-c", "cd /proc/self/ns; for n in net pid ipc uts mnt user; do readlink $n; done")) {
		ns, _, _ := strings.Cut(link, ":")
		out[ns] = link
	}
	return out
}

// TestNamespaces compares the namespaces of containers with those of the node and of each other.
func TestNamespaces(t *testing.T) {
	h.NeedUnicrid(t)
	n := h.NewNode(t, h.NodeOptions{})
	n.Pull(t, h.BusyboxRef)
	node := map[string]string{}
	for _, ns := range []string{"net", "pid", "ipc", "uts", "mnt", "user"} {
		link, err := os.Readlink("/proc/self/ns/" + ns)
		if err != nil {
			t.Fatal(err)
		}
		node[ns] = link
	}
	// The node of the test has a network of its own.
	st, err := os.Stat(n.NS.Path)
	if err != nil {
		t.Fatal(err)
	}
	node["net"] = fmt.Sprintf("net:[%d]", st.Sys().(*syscall.Stat_t).Ino)
	const pod, ctr, host = cri.NamespaceMode_POD, cri.NamespaceMode_CONTAINER, cri.NamespaceMode_NODE
	for _, c := range []struct {
		name          string
		net, pid, ipc cri.NamespaceMode
		ofNode        string // namespaces that are the node's
		shared        string // between two containers of the pod
	}{
		{"own", pod, ctr, pod, "user", "net ipc uts user"},
		{"shared pids", pod, pod, pod, "user", "net ipc uts user pid"},
		{"network of the node", host, ctr, pod, "user net uts", "net ipc uts user"},
		{"ipc of the node", pod, ctr, host, "user ipc", "net ipc uts user"},
		{"pids of the node", pod, host, pod, "user pid", "net ipc uts user pid"},
		{"all of the node", host, host, host, "user net uts pid ipc", "net ipc uts user pid"},
	} {
		t.Run(c.name, func(t *testing.T) {
			podOpt, ctrOpt := namespaces(func(o *cri.NamespaceOption) { o.Network, o.Pid, o.Ipc = c.net, c.pid, c.ipc })
			p := n.RunPod(t, strings.ReplaceAll(c.name, " ", "-"), podOpt, func(cfg *cri.PodSandboxConfig) {
				if c.net == host {
					cfg.Hostname = ""
				}
			})
			a, b := p.Sh(t, "a", "exec sleep 1000", ctrOpt), p.Sh(t, "b", "exec sleep 1000", ctrOpt)
			la, lb := links(t, a), links(t, b)
			for ns := range node {
				if got, want := la[ns] == node[ns], strings.Contains(c.ofNode, ns); got != want {
					t.Errorf("%s is the node's: %v, not %v", ns, got, want)
				}
				if got, want := la[ns] == lb[ns], strings.Contains(c.shared, ns); got != want {
					t.Errorf("%s is shared: %v, not %v", ns, got, want)
				}
			}
			o, err := n.RT.PodSandboxStatus(h.Ctx, p.ID, false)
			if err != nil {
				t.Fatal(err)
			}
			if got := o.Status.Linux.Namespaces.Options; got.Network != c.net || got.Pid != c.pid || got.Ipc != c.ipc {
				t.Errorf("status: %v", got)
			}
			a.Exec(t, "touch", "/dev/shm/unicri-test-"+n.Cgroup)
			_, err = os.Stat("/dev/shm/unicri-test-" + n.Cgroup)
			if (err == nil) != (c.ipc == host) {
				t.Errorf("/dev/shm is the node's: %v", err == nil)
			}
			os.Remove("/dev/shm/unicri-test-" + n.Cgroup)
			p.Remove(t)
		})
	}

	// An ephemeral container looks at another one.
	p := n.RunPod(t, "target")
	q := n.RunPod(t, "elsewhere")
	one, other := p.Sh(t, "one", "exec sleep 1000"), q.Sh(t, "other", "exec sleep 1000")
	ended := p.Sh(t, "ended", "true")
	ended.Wait(t, 10e9)
	target := func(id string) h.CtrOpt {
		_, o := namespaces(func(o *cri.NamespaceOption) { o.Pid, o.TargetId = cri.NamespaceMode_TARGET, id })
		return o
	}
	eph := p.Sh(t, "ephemeral", "exec sleep 2000", target(one.ID))
	if got, want := links(t, eph)["pid"], links(t, one)["pid"]; got != want {
		t.Errorf("target's PID namespace: %s, not %s", got, want)
	}
	if ps := eph.Exec(t, "ps"); !strings.Contains(ps, "sleep 1000") {
		t.Errorf("ps: %s", ps)
	}
	runCases(t, p, []ctrCase{
		{name: "target in another pod", opt: target(other.ID), refused: "not in this pod"},
		{name: "unknown target", opt: target("feedface"), refused: "feedface"},
		{name: "ended target", opt: target(ended.ID), refused: "does not run"},
		{name: "no target", opt: target(""), refused: "target_id"},
		{name: "network of nobody", opt: context(func(s *secContext) { s.NamespaceOptions.Network = cri.NamespaceMode_CONTAINER }), refused: "network"},
	})
	for what, change := range map[string]func(*cri.NamespaceOption){
		"a pod with a target":       func(o *cri.NamespaceOption) { o.Pid, o.TargetId = cri.NamespaceMode_TARGET, one.ID },
		"a pod with CONTAINER net":  func(o *cri.NamespaceOption) { o.Network = cri.NamespaceMode_CONTAINER },
		"a pod with an unknown ipc": func(o *cri.NamespaceOption) { o.Ipc = 17 },
	} {
		opt, _ := namespaces(change)
		if _, err := n.TryRunPod("bad", "", opt); !isRefusal(err) {
			t.Errorf("%s: %v", what, err)
		}
	}
	// The target's end is not the ephemeral container's concern, but its process 1 is: the kernel ends both.
	n.RT.StopContainer(h.Ctx, one.ID, 0)
	if s := eph.Wait(t, 10e9); s.ExitCode != 137 {
		t.Errorf("after the end of process 1: %v", s)
	}
}

// TestSysctls covers names as clients write them, and whose they are.
func TestSysctls(t *testing.T) {
	h.NeedUnicrid(t)
	n := h.NewNode(t, h.NodeOptions{})
	n.Pull(t, h.BusyboxRef)
	sysctls := func(kv ...string) h.PodOpt {
		return func(c *cri.PodSandboxConfig) {
			c.Linux.Sysctls = map[string]string{}
			for i := 0; i < len(kv); i += 2 {
				c.Linux.Sysctls[kv[i]] = kv[i+1]
			}
		}
	}
	p := n.RunPod(t, "sysctls", sysctls("kernel.shm_rmid_forced", "1", "fs.mqueue.msg_max", "100", "kernel.sem", "300 32000 32 128", "net.ipv4.ip_forward", "1",
		"net/ipv4/conf/lo/forwarding", "1", "net.ipv4.conf.lo.rp_filter", "2", "kernel/msgmax", "9000"))
	runCases(t, p, []ctrCase{{name: "values", want: "1 100 300 32000 32 128 1 1 2 9000 0 0 2147483647",
		script: "cd /proc/sys; cat kernel/shm_rmid_forced fs/mqueue/msg_max kernel/sem net/ipv4/ip_forward net/ipv4/conf/lo/forwarding net/ipv4/conf/lo/rp_filter kernel/msgmax net/ipv4/ip_unprivileged_port_start net/ipv4/ping_group_range"}})
	host, _ := namespaces(func(o *cri.NamespaceOption) { o.Network, o.Ipc = cri.NamespaceMode_NODE, cri.NamespaceMode_NODE })
	for what, opts := range map[string][]h.PodOpt{
		"the node's own":       {sysctls("kernel.panic", "1")},
		"the node's own slash": {sysctls("kernel/panic", "1")},
		"vm":                   {sysctls("vm.swappiness", "1")},
		"network of the node":  {host, sysctls("net.ipv4.ip_forward", "1")},
		"ipc of the node":      {host, sysctls("kernel.sem", "300 32000 32 128")},
		"upwards":              {sysctls("net/../kernel/panic", "1")},
		"upwards with dots":    {sysctls("net.//.kernel.panic", "1")},
		"no name":              {sysctls("net.", "1")},
		"absent":               {sysctls("net.ipv4.no_such_thing", "1")},
		"control byte":         {sysctls("net.ipv4.ip_forward", "1\n")},
	} {
		if _, err := n.TryRunPod("bad", "", opts...); err == nil {
			t.Errorf("%s: accepted", what)
		} else if !isRefusal(err) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestStopSignals stops containers with the signal of the request, of the image, or SIGTERM.
func TestStopSignals(t *testing.T) {
	h.NeedUnicrid(t)
	n := h.NewNode(t, h.NodeOptions{Images: func(r *h.Registry) error {
		for _, s := range []string{"SIGUSR2", "12", "RTMIN+3", "NONSENSE"} {
			img := h.NewImage(h.ImageConfig{Cmd: []string{"sh"}, Env: []string{"PATH=/bin"}, StopSignal: s}, h.GzipLayer(h.BusyboxFiles()...))
			if err := r.Push("stop", strings.ToLower(strings.ReplaceAll(s, "+", "-")), img); err != nil {
				return err
			}
		}
		return nil
	}})
	n.Pull(t, h.BusyboxRef)
	p := n.RunPod(t, "signals")
	for _, c := range []struct {
		name, image string
		signal      cri.Signal
		got         string
		shown       cri.Signal
	}{
		{"default", h.BusyboxRef, 0, "TERM", cri.Signal_SIGNAL_SIGTERM},
		{"request", h.BusyboxRef, cri.Signal_SIGNAL_SIGUSR1, "USR1", cri.Signal_SIGNAL_SIGUSR1},
		{"image", h.RegistryAddr + "/stop:sigusr2", 0, "USR2", cri.Signal_SIGNAL_SIGUSR2},
		{"image-number", h.RegistryAddr + "/stop:12", 0, "USR2", cri.Signal_SIGNAL_SIGUSR2},
		{"image-realtime", h.RegistryAddr + "/stop:rtmin-3", 0, "RTMIN+3", cri.Signal_SIGNAL_SIGRTMINPLUS3},
		{"request-over-image", h.RegistryAddr + "/stop:sigusr2", cri.Signal_SIGNAL_SIGINT, "INT", cri.Signal_SIGNAL_SIGINT},
	} {
		t.Run(c.name, func(t *testing.T) {
			n.Pull(t, c.image)
			ctr := p.Run(t, c.name, c.image, []string{"sh", "-c", "for s in TERM INT USR1 USR2; do trap \"echo $s; exit 0\" $s; done; trap 'echo RTMIN+3; exit 0' 37; echo ready; while :; do sleep 0.05; done"},
				func(cfg *cri.ContainerConfig) { cfg.StopSignal = c.signal })
			ctr.WaitLog(t, "ready", 10e9)
			if got := ctr.Status(t).StopSignal; got != c.shown {
				t.Errorf("status says %v, not %v", got, c.shown)
			}
			if err := n.RT.StopContainer(h.Ctx, ctr.ID, 20); err != nil {
				t.Fatal(err)
			}
			if got := words(ctr.Out(t, "stdout")); got != "ready "+c.got {
				t.Errorf("got %q, stderr %q", got, ctr.Out(t, "stderr"))
			}
		})
	}
	n.Pull(t, h.RegistryAddr+"/stop:nonsense")
	if _, err := p.TryCreate("nonsense", h.RegistryAddr+"/stop:nonsense", []string{"true"}); !isRefusal(err) || !strings.Contains(err.Error(), "NONSENSE") {
		t.Errorf("an image with a bad signal: %v", err)
	}
}
