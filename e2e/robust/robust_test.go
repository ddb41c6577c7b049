// SPDX-License-Identifier: Apache-2.0

// Package robust tests what a host does to a daemon: full disks, no descriptors, broken databases, plugins and runtimes
// that fail or hang, two daemons on one directory.
package robust

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
	h "unicri.dev/e2e/harness"
)

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(h.Slow(60 * time.Second)); !ok(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not after a minute: %s", what)
		}
	}
}

// retryCode tells whether a kubelet would retry and show the error well.
func understood(err error) bool {
	switch status.Code(err) {
	case codes.OK, codes.Internal, codes.Unknown:
		return false
	}
	return true
}

// script writes an executable and returns its directory.
func script(t *testing.T, n *h.Node, name, text string) string {
	t.Helper()
	dir := filepath.Join(n.Dir, "scripts")
	os.MkdirAll(dir, 0o755)
	if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+text), 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// plugin is a fake CNI plugin: what it does on ADD and on DEL. `real` runs the true bridge plugin.
func pluginNode(t *testing.T, add, del string) *h.Node {
	dir, err := os.MkdirTemp("", "unicri-e2e-plugin-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	text := "#!/bin/sh\nreal() { exec /usr/lib/cni/bridge; }\ncase $CNI_COMMAND in\nADD) " + add + " ;;\nDEL) " + del + " ;;\n*) real ;;\nesac\n"
	if err := os.WriteFile(dir+"/bridge", []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	return h.NewNode(t, h.NodeOptions{CNIBin: []string{dir}, Set: map[string]string{"network.timeout": "2"}})
}

// TestPlugins: CNI plugins that misbehave on ADD.
func TestPlugins(t *testing.T) {
	h.NeedUnicrid(t)
	cases := []struct{ name, add, want string }{
		{"fails with its own words", `echo '{"cniVersion":"1.0.0","code":11,"msg":"no more addresses on the moon"}'; exit 1`, "no more addresses on the moon"},
		{"fails without a word", "exit 1", "bridge"},
		{"prints garbage", `printf 'this is \377 not JSON'; exit 0`, "bridge"},
		{"prints nothing", "exit 0", "bridge"},
		{"prints without end", "yes", "bridge"},
		{"hangs", "sleep 1000", "bridge"},
		{"hangs and ignores TERM", "trap '' TERM; sleep 1000; sleep 1000", "bridge"},
		{"leaves a child that holds its pipes", "sleep 1000 & exit 1", "bridge"},
		{"kills itself", "kill -9 $$", "bridge"},
		{"result without addresses", `echo '{"cniVersion":"1.0.0","interfaces":[]}'`, "address"},
		{"result with a bad address", `echo '{"cniVersion":"1.0.0","ips":[{"address":"10.0.0.0.1/99"}]}'`, "10.0.0.0.1"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			n := pluginNode(t, c.add, "exit 0")
			before := n.Census()
			start := time.Now()
			_, err := n.TryRunPod("p", "")
			if err == nil {
				t.Fatal("the pod runs")
			}
			if !understood(err) || !strings.Contains(err.Error(), c.want) || time.Since(start) > h.Slow(15*time.Second) {
				t.Errorf("after %v: %v", time.Since(start), err)
			}
			// The name is not blocked: the next try gets the same honest answer, at once or after the same deadline.
			_, err = n.TryRunPod("p", "")
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("second try: %v", err)
			}
			l, err := n.RT.ListPodSandbox(h.Ctx, nil)
			if err != nil || len(l) != 0 {
				t.Errorf("listed: %v %v", l, err)
			}
			n.ExpectCensus(t, before, true)
		})
	}
}

// TestPluginDel: a DEL that fails or hangs is owed and retried until it succeeds; stop and remove answer.
func TestPluginDel(t *testing.T) {
	h.NeedUnicrid(t)
	for _, c := range []struct{ name, del string }{
		{"fails", `test -e FLAG || { echo '{"cniVersion":"1.0.0","code":999,"msg":"not today"}'; exit 1; }; real`},
		{"hangs", `test -e FLAG || sleep 1000; real`},
		{"prints garbage and fails", `test -e FLAG || { echo garbage; exit 7; }; real`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			flagDir, err := os.MkdirTemp("", "unicri-e2e-flag-")
			if err != nil {
				t.Fatal(err)
			}
			defer os.RemoveAll(flagDir)
			flag := flagDir + "/ok"
			n := pluginNode(t, "real", strings.ReplaceAll(c.del, "FLAG", flag))
			os.WriteFile(flag, nil, 0o644)
			w := n.RunPod(t, "warm")
			w.Stop(t)
			w.Remove(t)
			n.ExpectCensus(t, n.Census(), true)
			before := n.Census()
			os.Remove(flag)
			p := n.RunPod(t, "p")
			if err := n.RT.StopPodSandbox(h.Ctx, p.ID); err != nil {
				t.Logf("stop while DEL fails: %v", err)
			}
			if err := n.RT.RemovePodSandbox(h.Ctx, p.ID); err != nil {
				t.Logf("remove while DEL fails: %v", err)
			}
			leases, _ := filepath.Glob(n.Leases + "/*/10.*")
			if len(leases) == 0 {
				t.Error("the lease is gone although DEL failed: the test proves nothing")
			}
			// A daemon that starts anew still knows what it owes.
			n.Restart()
			os.WriteFile(flag, nil, 0o644)
			eventually(t, "the owed DEL is done", func() bool {
				leases, _ := filepath.Glob(n.Leases + "/*/10.*")
				if len(leases) > 0 { // a kubelet would ask again
					n.RT.StopPodSandbox(h.Ctx, p.ID)
					n.RT.RemovePodSandbox(h.Ctx, p.ID)
				}
				return len(leases) == 0
			})
			p.Remove(t)
			n.ExpectCensus(t, before, false)
		})
	}
}

// TestNetnsGone: somebody unmounts the pod's namespace; DEL still runs and everything goes.
func TestNetnsGone(t *testing.T) {
	h.NeedUnicrid(t)
	n := h.NewNode(t, h.NodeOptions{})
	w := n.RunPod(t, "warm")
	w.Stop(t)
	w.Remove(t)
	n.ExpectCensus(t, n.Census(), true)
	before := n.Census()
	p := n.RunPod(t, "p")
	gone := 0
	b, _ := os.ReadFile("/proc/self/mountinfo")
	for _, line := range strings.Split(string(b), "\n") {
		f := strings.Fields(line)
		if len(f) > 4 && strings.HasPrefix(f[4], n.Run) && strings.Contains(f[4], p.ID) && strings.Contains(line, "nsfs") {
			if err := unix.Unmount(f[4], unix.MNT_DETACH); err != nil {
				t.Fatal(err)
			}
			os.Remove(f[4])
			gone++
		}
	}
	if gone == 0 {
		t.Fatal("no pinned network namespace below the run directory")
	}
	p.Stop(t)
	p.Remove(t)
	n.ExpectCensus(t, before, true)
}

// runcNode has a handler "fake" whose program is the given script; $REAL is the true runc.
func runcNode(t *testing.T, text string) *h.Node {
	dir, err := os.MkdirTemp("", "unicri-e2e-runc-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	real, err := exec.LookPath("runc")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/fake", []byte("#!/bin/sh\nREAL="+real+"\nwhat=\nfor a; do case $a in run|create|start|kill|delete|exec|state|features) test -n \"$what\" || what=$a;; esac; done\n"+text+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	n := h.NewNode(t, h.NodeOptions{Config: fmt.Sprintf("[handlers.fake]\nkind = \"runc\"\nprogram = %q\n", dir+"/fake"),
		Set: map[string]string{"runtime.timeout": "3"}})
	n.Pull(t, h.BusyboxRef)
	return n
}

// TestRunc: an OCI runtime that fails, hangs or lies.
func TestRunc(t *testing.T) {
	h.NeedUnicrid(t)
	for _, c := range []struct{ name, text, want string }{
		{"fails with its own words", `case $what in run|create) echo "cannot find the left shoe" >&2; exit 1;; *) exec $REAL "$@";; esac`, "left shoe"},
		{"hangs", `case $what in run|create) sleep 1000;; *) exec $REAL "$@";; esac`, ""},
		{"succeeds without doing anything", `case $what in run|create) exit 0;; *) exec $REAL "$@";; esac`, ""},
		{"is killed", `case $what in run|create) kill -9 $$;; *) exec $REAL "$@";; esac`, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			n := runcNode(t, c.text)
			before := n.Census()
			p, err := n.TryRunPod("p", "fake")
			if err != nil {
				t.Fatal(err)
			}
			ctr, err := p.TryCreate("c", h.BusyboxRef, []string{"sleep", "1000"})
			start := time.Now()
			if err == nil {
				err = n.RT.StartContainer(h.Ctx, ctr.ID)
			}
			if err == nil {
				t.Fatal("the container runs")
			}
			if !strings.Contains(err.Error(), c.want) || time.Since(start) > h.Slow(20*time.Second) || status.Code(err) == codes.Unknown {
				t.Errorf("after %v: %v", time.Since(start), err)
			}
			p.Stop(t)
			p.Remove(t)
			n.ExpectCensus(t, before, true)
		})
	}
	for _, c := range []struct{ name, text string }{
		{"kill fails", `case $what in kill) echo "no" >&2; exit 1;; *) exec $REAL "$@";; esac`},
		{"kill hangs", `case $what in kill) sleep 1000;; *) exec $REAL "$@";; esac`},
		{"delete fails", `case $what in delete) echo "no" >&2; exit 1;; *) exec $REAL "$@";; esac`},
		{"delete hangs", `case $what in delete) sleep 1000;; *) exec $REAL "$@";; esac`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			n := runcNode(t, c.text)
			before := n.Census()
			p, err := n.TryRunPod("p", "fake")
			if err != nil {
				t.Fatal(err)
			}
			ctr := p.Sh(t, "c", "sleep 1000")
			start := time.Now()
			if err := n.RT.StopContainer(h.Ctx, ctr.ID, 1); err != nil {
				t.Errorf("stop: %v", err)
			}
			if s := ctr.Status(t); s.State != cri.ContainerState_CONTAINER_EXITED || s.ExitCode == 0 {
				t.Errorf("after stop: %v", s)
			}
			p.Stop(t)
			p.Remove(t)
			if d := time.Since(start); d > h.Slow(20*time.Second) {
				t.Errorf("took %v", d)
			}
			n.ExpectCensus(t, before, true)
		})
	}
}

// TestTwoDaemons: the second one on a directory says so and ends; the first is not disturbed.
func TestTwoDaemons(t *testing.T) {
	h.NeedUnicrid(t)
	n := h.NewNode(t, h.NodeOptions{})
	n.Pull(t, h.GuestRef("idle.spt"))
	p := n.RunPod(t, "p")
	out, err := exec.Command("timeout", "20", h.Bin("unicrid"), "--config", n.Config).CombinedOutput()
	if err == nil || !bytes.Contains(out, []byte(n.Root)) || !bytes.Contains(out, []byte("another")) {
		t.Errorf("%v: %s", err, out)
	}
	c := p.Run(t, "c", h.GuestRef("idle.spt"), nil)
	out, err = exec.Command("timeout", "20", h.Bin("unicrid"), "--config", n.Config, "--set", "server.root_dir="+n.Dir+"/other",
		"--set", "server.socket="+n.Dir+"/other.sock").CombinedOutput()
	if err == nil || !bytes.Contains(out, []byte(n.Run)) || !bytes.Contains(out, []byte("another")) {
		t.Errorf("with the first one's run_dir: %v: %s", err, out)
	}
	out, err = exec.Command("timeout", "20", h.Bin("unicrid"), "--config", n.Config, "--set", "server.root_dir="+n.Dir+"/other",
		"--set", "server.run_dir="+n.Dir+"/other-run", "--set", "server.socket="+n.Dir+"/other.sock").CombinedOutput()
	if err == nil || !bytes.Contains(out, []byte("runtime.cgroup_root")) || !bytes.Contains(out, []byte("another")) {
		t.Errorf("with the first one's cgroup: %v: %s", err, out)
	}
	if s := c.Status(t); s.State != cri.ContainerState_CONTAINER_RUNNING {
		t.Errorf("the first daemon's container: %v", s)
	}
	if r, err := n.RT.PodSandboxStatus(h.Ctx, p.ID, false); err != nil || r.Status.State != cri.PodSandboxState_SANDBOX_READY {
		t.Errorf("the first daemon: %v %v", r, err)
	}
	p.Stop(t)
	p.Remove(t)
}

// TestDatabase: files that are corrupt, cut or from the future.
func TestDatabase(t *testing.T) {
	h.NeedUnicrid(t)
	db := func(n *h.Node) string {
		l, _ := filepath.Glob(n.Root + "/*.db")
		if len(l) != 1 {
			t.Fatalf("databases: %v", l)
		}
		return l[0]
	}
	for _, c := range []struct {
		name  string
		spoil func(t *testing.T, file string)
	}{
		{"garbage", func(t *testing.T, file string) {
			os.Remove(file + "-wal")
			os.WriteFile(file, bytes.Repeat([]byte("garbage "), 4096), 0o600)
		}},
		{"truncated", func(t *testing.T, file string) {
			os.Remove(file + "-wal")
			if err := os.Truncate(file, 1000); err != nil {
				t.Fatal(err)
			}
		}},
		{"empty", func(t *testing.T, file string) {
			os.Remove(file + "-wal")
			os.Truncate(file, 0)
		}},
		{"flipped bytes", func(t *testing.T, file string) {
			b, _ := os.ReadFile(file)
			for i := 4096; i < len(b); i += 37 {
				b[i] ^= 0x55
			}
			os.WriteFile(file, b, 0o600)
		}},
		{"log of another database", func(t *testing.T, file string) { os.WriteFile(file+"-wal", bytes.Repeat([]byte{7}, 8192), 0o600) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			n := h.NewNode(t, h.NodeOptions{})
			n.Pull(t, h.BusyboxRef)
			if err := n.Terminate(); err != nil {
				t.Error(err)
			}
			c.spoil(t, db(n))
			n.Start() // a corrupt database never keeps the daemon from starting
			n.Pull(t, h.BusyboxRef)
			p := n.RunPod(t, "after")
			ctr := p.Sh(t, "c", "exit 3")
			if s := ctr.Wait(t, 10e9); s.ExitCode != 3 {
				t.Errorf("%v", s)
			}
			p.Stop(t)
			p.Remove(t)
		})
	}
	t.Run("newer", func(t *testing.T) {
		t.Parallel()
		n := h.NewNode(t, h.NodeOptions{NoRegistry: true})
		if err := n.Terminate(); err != nil {
			t.Error(err)
		}
		file := db(n)
		if out, err := exec.Command("sqlite3", file, "PRAGMA user_version = 9999;").CombinedOutput(); err != nil {
			t.Fatalf("sqlite3: %v %s", err, out)
		}
		was, _ := os.ReadFile(file)
		err := n.TryStart()
		if err == nil {
			t.Fatal("the daemon started on a newer database")
		}
		if tail := n.LogTail(5); !strings.Contains(tail, "9999") && !strings.Contains(tail, "newer") {
			t.Errorf("it does not say why: %s", tail)
		}
		if now, _ := os.ReadFile(file); !bytes.Equal(was, now) {
			t.Error("the newer database was changed")
		}
	})
}

// TestFullDisk: no space during a pull and during a pod start; stop and remove work all the same.
func TestFullDisk(t *testing.T) {
	h.NeedUnicrid(t)
	n := h.NewNode(t, h.NodeOptions{RootTmpfs: "24m", Set: map[string]string{"runtime.reserve_bytes": "1048576", "image.min_free_bytes": "1048576"}})
	fill := func() {
		f, err := os.Create(n.Root + "/filler")
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 65536)
		for err == nil {
			_, err = f.Write(b)
		}
		f.Close()
	}
	fill()
	_, err := n.RawIM.PullImage(h.Ctx, &cri.PullImageRequest{Image: &cri.ImageSpec{Image: h.BusyboxRef}})
	if status.Code(err) != codes.ResourceExhausted || !strings.Contains(err.Error(), "busybox") {
		t.Errorf("pull on a full disk: %v", err)
	}
	os.Remove(n.Root + "/filler")
	n.Pull(t, h.BusyboxRef)
	p := n.RunPod(t, "before")
	c := p.Sh(t, "c", "sleep 1000")
	before := n.Census()
	fill()
	for i := 0; i < 20; i++ { // sqlite's log has some room left in its last page: go on until it has not
		q, err := n.TryRunPod(fmt.Sprintf("full-%d", i), "")
		if err == nil {
			_, err = q.TryCreate("c", h.BusyboxRef, []string{"true"})
			if serr := n.RT.StopPodSandbox(h.Ctx, q.ID); serr != nil {
				t.Fatalf("stop on a full disk: %v", serr)
			}
			if rerr := n.RT.RemovePodSandbox(h.Ctx, q.ID); rerr != nil {
				t.Fatalf("remove on a full disk: %v", rerr)
			}
		}
		if err != nil && status.Code(err) != codes.ResourceExhausted {
			t.Fatalf("pod start on a full disk: %v", err)
		}
	}
	if err := n.RT.StopContainer(h.Ctx, c.ID, 0); err != nil {
		t.Errorf("stop on a full disk: %v", err)
	}
	if s := c.Status(t); s.State != cri.ContainerState_CONTAINER_EXITED {
		t.Errorf("%v", s)
	}
	os.Remove(n.Root + "/filler")
	_ = before
	p.Stop(t)
	p.Remove(t)
	q := n.RunPod(t, "after")
	q.Stop(t)
	q.Remove(t)
}

// TestDescriptors: a daemon with few descriptors answers with an error, and serves again when they are free.
func TestDescriptors(t *testing.T) {
	h.NeedUnicrid(t)
	n := h.NewNode(t, h.NodeOptions{})
	n.Pull(t, h.BusyboxRef)
	w := n.RunPod(t, "warm")
	w.Stop(t)
	w.Remove(t)
	n.ExpectCensus(t, n.Census(), true)
	before := n.Census()
	fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", n.Pid()))
	if err != nil {
		t.Fatal(err)
	}
	limit := unix.Rlimit{Cur: uint64(len(fds) + 1), Max: 4096}
	if err := unix.Prlimit(n.Pid(), unix.RLIMIT_NOFILE, &limit, nil); err != nil {
		t.Fatal(err)
	}
	for i := 0; i < 5; i++ {
		_, err := n.TryRunPod("few", "")
		if err == nil {
			t.Error("a pod was made without descriptors")
		} else if !understood(err) && !strings.Contains(err.Error(), "Too many open files") {
			t.Errorf("%v", err)
		}
	}
	limit.Cur = 4096
	if err := unix.Prlimit(n.Pid(), unix.RLIMIT_NOFILE, &limit, nil); err != nil {
		t.Fatal(err)
	}
	p := n.RunPod(t, "few")
	p.Stop(t)
	p.Remove(t)
	n.ExpectCensus(t, before, true)
}

// TestEmptyRequests: every RPC with an empty request answers with a code, and the daemon lives.
func TestEmptyRequests(t *testing.T) {
	h.NeedUnicrid(t)
	n := h.NewNode(t, h.NodeOptions{NoRegistry: true})
	c := n.Dial()
	defer c.Close()
	for _, desc := range services() {
		for _, m := range desc.methods {
			err := c.Invoke(h.Ctx, "/"+desc.name+"/"+m, &cri.VersionRequest{}, &cri.RemoveImageResponse{})
			switch status.Code(err) {
			case codes.Internal, codes.Unavailable, codes.DeadlineExceeded, codes.Unknown:
				t.Errorf("%s: %v", m, err)
			}
			if !n.Alive() {
				t.Fatalf("%s ended the daemon: %s", m, n.LogTail(20))
			}
		}
	}
}

type service struct {
	name    string
	methods []string
}

func services() []service {
	var l []service
	for _, d := range []struct {
		name    string
		methods []string
	}{{cri.RuntimeService_ServiceDesc.ServiceName, nil}, {cri.ImageService_ServiceDesc.ServiceName, nil}} {
		l = append(l, service{d.name, nil})
	}
	for _, m := range cri.RuntimeService_ServiceDesc.Methods {
		l[0].methods = append(l[0].methods, m.MethodName)
	}
	for _, m := range cri.ImageService_ServiceDesc.Methods {
		l[1].methods = append(l[1].methods, m.MethodName)
	}
	return l
}

// TestBadPods: requests that no pod can be made of.
func TestBadPods(t *testing.T) {
	h.NeedUnicrid(t)
	n := h.NewNode(t, h.NodeOptions{})
	n.Pull(t, h.BusyboxRef)
	before := n.Census()
	for _, c := range []struct {
		name   string
		change h.PodOpt
		want   string
	}{
		{"no metadata", func(c *cri.PodSandboxConfig) { c.Metadata = nil }, "metadata"},
		{"no name", func(c *cri.PodSandboxConfig) { c.Metadata.Name = "" }, "name"},
		{"long hostname", func(c *cri.PodSandboxConfig) { c.Hostname = strings.Repeat("h", 300) }, "hostname"},
		{"hostname with a slash", func(c *cri.PodSandboxConfig) { c.Hostname = "../../etc" }, "hostname"},
		{"newline in a name server", func(c *cri.PodSandboxConfig) { c.DnsConfig.Servers = []string{"1.1.1.1\nnameserver 6.6.6.6"} }, "1.1.1.1"},
		{"cgroup parent that climbs", func(c *cri.PodSandboxConfig) { c.Linux.CgroupParent = "/../../x" }, "cgroup"},
		{"sysctl of the host", func(c *cri.PodSandboxConfig) { c.Linux.Sysctls = map[string]string{"kernel.core_pattern": "|/bin/sh"} }, "kernel.core_pattern"},
		{"sysctl that climbs", func(c *cri.PodSandboxConfig) {
			c.Linux.Sysctls = map[string]string{"net.../../../kernel/core_pattern": "x"}
		}, "net"},
		{"host port out of range", func(c *cri.PodSandboxConfig) {
			c.PortMappings = []*cri.PortMapping{{HostPort: 70000, ContainerPort: 80}}
		}, "70000"},
		{"unknown protocol", func(c *cri.PodSandboxConfig) {
			c.PortMappings = []*cri.PortMapping{{Protocol: 99, HostPort: 7000, ContainerPort: 80}}
		}, "protocol"},
		{"relative log directory", func(c *cri.PodSandboxConfig) { c.LogDirectory = "logs/../.." }, "log"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := n.PodConfig("bad")
			c.change(cfg)
			_, err := n.Raw.RunPodSandbox(h.Ctx, &cri.RunPodSandboxRequest{Config: cfg})
			if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v", err)
			}
		})
	}
	p := n.RunPod(t, "good")
	for _, c := range []struct {
		name   string
		change h.CtrOpt
		want   string
	}{
		{"no metadata", func(c *cri.ContainerConfig) { c.Metadata = nil }, "metadata"},
		{"no image", func(c *cri.ContainerConfig) { c.Image = nil }, "image"},
		{"env without a name", func(c *cri.ContainerConfig) { c.Envs = []*cri.KeyValue{{Key: "", Value: []byte("x")}} }, "env"},
		{"env with a NUL", func(c *cri.ContainerConfig) { c.Envs = []*cri.KeyValue{{Key: "A", Value: []byte("x\x00y")}} }, "A"},
		{"env name with =", func(c *cri.ContainerConfig) { c.Envs = []*cri.KeyValue{{Key: "A=B", Value: []byte("x")}} }, "A=B"},
		{"relative mount", func(c *cri.ContainerConfig) { c.Mounts = []*cri.Mount{{ContainerPath: "a/b", HostPath: "/tmp"}} }, "a/b"},
		{"mount source that climbs", func(c *cri.ContainerConfig) { c.Mounts = []*cri.Mount{{ContainerPath: "/a", HostPath: "tmp/../.."}} }, "tmp/../.."},
		{"propagation out of range", func(c *cri.ContainerConfig) {
			c.Mounts = []*cri.Mount{{ContainerPath: "/a", HostPath: "/tmp", Propagation: 9}}
		}, "propagation"},
		{"recursive read-only without read-only", func(c *cri.ContainerConfig) {
			c.Mounts = []*cri.Mount{{ContainerPath: "/a", HostPath: "/tmp", RecursiveReadOnly: true}}
		}, "read"},
		{"uid out of range", func(c *cri.ContainerConfig) { c.Linux.SecurityContext.RunAsUser = &cri.Int64Value{Value: 1 << 32} }, "4294967296"},
		{"negative uid", func(c *cri.ContainerConfig) { c.Linux.SecurityContext.RunAsUser = &cri.Int64Value{Value: -1} }, "-1"},
		{"unknown capability", func(c *cri.ContainerConfig) {
			c.Linux.SecurityContext.Capabilities = &cri.Capability{AddCapabilities: []string{"FLY"}}
		}, "FLY"},
		{"seccomp profile that is not there", func(c *cri.ContainerConfig) {
			c.Linux.SecurityContext.Seccomp = &cri.SecurityProfile{ProfileType: cri.SecurityProfile_Localhost, LocalhostRef: "/no/profile.json"}
		}, "/no/profile.json"},
		{"device that is not there", func(c *cri.ContainerConfig) {
			c.Devices = []*cri.Device{{HostPath: "/dev/no-such-device", ContainerPath: "/dev/x", Permissions: "rwm"}}
		}, "/dev/no-such-device"},
		{"pid target in another pod", func(c *cri.ContainerConfig) {
			c.Linux.SecurityContext.NamespaceOptions = &cri.NamespaceOption{Pid: cri.NamespaceMode_TARGET, TargetId: "nobody"}
		}, "nobody"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := p.CtrConfig("bad", h.BusyboxRef, []string{"true"})
			c.change(cfg)
			r, err := n.Raw.CreateContainer(h.Ctx, &cri.CreateContainerRequest{PodSandboxId: p.ID, Config: cfg, SandboxConfig: p.Config})
			if err == nil {
				err = n.RT.StartContainer(h.Ctx, r.ContainerId)
				n.RT.RemoveContainer(h.Ctx, r.ContainerId)
			}
			if !understood(err) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v", err)
			}
		})
	}
	t.Run("image without a command", func(t *testing.T) {
		// A kubelet may send neither command nor args; an image without either cannot run.
		n2 := h.NewNode(t, h.NodeOptions{Images: func(r *h.Registry) error {
			return r.Push("nocommand", "1", h.NewImage(h.ImageConfig{}, h.GzipLayer(h.Reg("file", 0o644, nil))))
		}})
		n2.Pull(t, h.RegistryAddr+"/nocommand:1")
		q := n2.RunPod(t, "q")
		c, err := q.TryCreate("c", h.RegistryAddr+"/nocommand:1", nil)
		if err == nil {
			err = n2.RT.StartContainer(h.Ctx, c.ID)
		}
		if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "command") {
			t.Errorf("%v", err)
		}
		q.Stop(t)
		q.Remove(t)
	})
	p.Stop(t)
	p.Remove(t)
	os.RemoveAll(n.Logs + "/bad")
	n.ExpectCensus(t, before, true)
}

// TestConfig: configurations that are wrong say where.
func TestConfig(t *testing.T) {
	h.NeedUnicrid(t)
	dir := t.TempDir()
	for _, c := range []struct{ name, text, want string }{
		{"unknown key", "[server]\nsokket = \"/x\"\n", ":2"},
		{"wrong type", "[server]\nsocket = 5\n", ":2"},
		{"not TOML", "[server\nx\n", ":1"},
		{"out of bounds", "[server]\nmax_workers = 999999\n", "max_workers"},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := filepath.Join(dir, "config.toml")
			os.WriteFile(file, []byte(c.text), 0o644)
			out, err := exec.Command("timeout", "10", h.Bin("unicrid"), "--config", file).CombinedOutput()
			if err == nil || !bytes.Contains(out, []byte(file)) || !bytes.Contains(out, []byte(c.want)) {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
	t.Run("print-config reads back", func(t *testing.T) {
		out, err := exec.Command(h.Bin("unicrid"), "--print-config").Output()
		if err != nil || len(out) < 500 {
			t.Fatalf("%v %s", err, out)
		}
		file := filepath.Join(dir, "printed.toml")
		os.WriteFile(file, out, 0o644)
		again, err := exec.Command(h.Bin("unicrid"), "--config", file, "--print-config").CombinedOutput()
		if err != nil || !bytes.Equal(out, again) {
			t.Errorf("%v: %d bytes, then %d", err, len(out), len(again))
		}
	})
}

// TestParallel starts and stops pods of both kinds side by side; ThreadSanitizer watches it in the tsan run.
func TestParallel(t *testing.T) {
	h.NeedUnicrid(t)
	n := h.NewNode(t, h.NodeOptions{})
	n.Pull(t, h.BusyboxRef)
	n.Pull(t, h.GuestRef("hello.spt"))
	if err := roundTrip(n, "warm", true); err != nil {
		t.Fatal(err)
	}
	before := n.Census()
	var wg sync.WaitGroup
	for i := 0; i < 6; i++ {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for j := 0; j < 4; j++ {
				if err := roundTrip(n, fmt.Sprintf("par-%d-%d", i, j), (i+j)%2 == 0); err != nil {
					t.Error(err)
				}
			}
		}()
	}
	stop := make(chan bool)
	wg.Add(1)
	go func() {
		defer wg.Done()
		for {
			select {
			case <-stop:
				return
			case <-time.After(5 * time.Millisecond):
				n.RT.ListPodSandbox(h.Ctx, nil)
				l, _ := n.RT.ListContainers(h.Ctx, nil)
				for _, c := range l {
					n.Raw.ContainerStatus(h.Ctx, &cri.ContainerStatusRequest{ContainerId: c.Id, Verbose: true})
				}
				n.RT.Status(h.Ctx, true)
			}
		}
	}()
	time.AfterFunc(h.Slow(4*time.Second), func() { close(stop) })
	wg.Wait()
	n.ExpectCensus(t, before, true)
}

func roundTrip(n *h.Node, name string, guest bool) error {
	p, err := n.TryRunPod(name, "")
	if err != nil {
		return fmt.Errorf("%s: run: %w", name, err)
	}
	image, cmd := h.BusyboxRef, []string{"sh", "-c", "echo Hello from a unikernel"}
	if guest {
		image, cmd = h.GuestRef("hello.spt"), nil
	}
	c, err := p.TryCreate("c", image, cmd)
	if err == nil {
		err = n.RT.StartContainer(h.Ctx, c.ID)
	}
	if err != nil {
		return fmt.Errorf("%s: start: %w", name, err)
	}
	for end := time.Now().Add(h.Slow(15 * time.Second)); !strings.Contains(c.RawLog(), "Hello from a unikernel"); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			return fmt.Errorf("%s: no output: %q", name, c.RawLog())
		}
	}
	if err := n.RT.StopPodSandbox(h.Ctx, p.ID); err != nil {
		return fmt.Errorf("%s: stop: %w", name, err)
	}
	if err := n.RT.RemovePodSandbox(h.Ctx, p.ID); err != nil {
		return fmt.Errorf("%s: remove: %w", name, err)
	}
	return os.RemoveAll(p.Config.LogDirectory)
}

// TestManyPods: after many pods the daemon is as large as before. UNICRI_E2E_PODS says how many (100).
func TestManyPods(t *testing.T) {
	h.NeedUnicrid(t)
	count := 100
	if s := os.Getenv("UNICRI_E2E_PODS"); s != "" {
		fmt.Sscan(s, &count)
	}
	// Freed memory that AddressSanitizer keeps in quarantine is no leak: keep it short.
	n := h.NewNode(t, h.NodeOptions{Env: []string{h.SanitizerOptions(":quarantine_size_mb=4:thread_local_quarantine_size_kb=64:malloc_context_size=4")}})
	n.Pull(t, h.BusyboxRef)
	n.Pull(t, h.GuestRef("hello.spt"))
	run := func(from, to int) {
		var wg sync.WaitGroup
		for w := 0; w < 4; w++ {
			wg.Add(1)
			go func() {
				defer wg.Done()
				for i := from + w; i < to; i += 4 {
					if err := roundTrip(n, fmt.Sprintf("many-%d", i), i%4 != 0); err != nil {
						t.Error(err)
						return
					}
				}
			}()
		}
		wg.Wait()
	}
	run(0, count/2)
	before := n.Census()
	rss := rssKB(t, n.Pid())
	run(count/2, count)
	n.ExpectCensus(t, before, true)
	grown := rssKB(t, n.Pid()) - rss
	t.Logf("resident %d KiB after %d pods, grown by %d KiB in the second half", rss, count/2, grown)
	limit := 16*count/2 + 1024
	if os.Getenv("UNICRI_E2E_RELEASE") == "" {
		limit = 64*count/2 + 16384 // a sanitizer's own bookkeeping
	}
	if grown > limit {
		t.Errorf("the daemon grew by %d KiB", grown)
	}
}

func rssKB(t *testing.T, pid int) int {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range strings.Split(string(b), "\n") {
		var kb int
		if _, err := fmt.Sscanf(l, "VmRSS: %d kB", &kb); err == nil {
			return kb
		}
	}
	t.Fatal("no VmRSS")
	return 0
}

// TestIdleSize: the release build's daemon, just started, and with pods.
func TestIdleSize(t *testing.T) {
	h.NeedUnicrid(t)
	if os.Getenv("UNICRI_E2E_RELEASE") == "" {
		t.Skip("release build only: sanitizers are large")
	}
	n := h.NewNode(t, h.NodeOptions{})
	n.Pull(t, h.BusyboxRef)
	time.Sleep(time.Second)
	rss := rssKB(t, n.Pid())
	t.Logf("resident %d KiB", rss)
	if rss > 25*1024 {
		t.Errorf("resident %d KiB idle, 25 MiB are allowed", rss)
	}
}
