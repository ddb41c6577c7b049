// SPDX-License-Identifier: Apache-2.0

package pods

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
	criclient "k8s.io/cri-client/pkg"
	h "unicri.dev/e2e/harness"
)

func readGlob(pattern string) (string, error) {
	l, _ := filepath.Glob(pattern)
	if len(l) == 0 {
		return "", os.ErrNotExist
	}
	b, err := os.ReadFile(l[0])
	return strings.TrimSpace(string(b)), err
}

// exitCode of a failed ExecSync as the kubelet sees it.
func exitCode(err error) int {
	var e interface{ ExitStatus() int }
	if errors.As(err, &e) {
		return e.ExitStatus()
	}
	return -1
}

// TestContainer covers containers by runc.
func TestContainer(t *testing.T) {
	n := h.NewNode(t, h.NodeOptions{})
	before := warm(t, n)
	p := n.RunPod(t, "ctr")

	t.Run("life and exit codes", func(t *testing.T) {
		c := p.Create(t, "life", h.BusyboxRef, []string{"sh", "-c", "echo out; echo err >&2; exit 7"})
		if s := c.Status(t); s.State != cri.ContainerState_CONTAINER_CREATED || s.CreatedAt == 0 || s.StartedAt != 0 {
			t.Errorf("created: %v", s)
		}
		c.Start(t)
		s := c.Wait(t, 10e9)
		if s.ExitCode != 7 || s.Reason != "Error" || s.FinishedAt < s.StartedAt || s.StartedAt < s.CreatedAt {
			t.Errorf("exited: %v", s)
		}
		if s.LogPath != c.LogPath() || s.Image.Image == "" || s.ImageRef == "" || s.Metadata.Name != "life" {
			t.Errorf("status: %v", s)
		}
		if c.Out(t, "stdout") != "out\n" || c.Out(t, "stderr") != "err\n" {
			t.Errorf("log: %q", c.RawLog())
		}
		ok := p.Sh(t, "zero", "exit 0")
		if s := ok.Wait(t, 10e9); s.ExitCode != 0 || s.Reason != "Completed" {
			t.Errorf("exit 0: %v", s)
		}
		sig := p.Sh(t, "signal", "kill -SEGV $$")
		if s := sig.Wait(t, 10e9); s.ExitCode != 139 && s.ExitCode != 0 { // pid 1 ignores signals it does not handle
			t.Errorf("signal: %v", s)
		}
	})
	t.Run("image config", func(t *testing.T) {
		c := p.Create(t, "env", h.BusyboxRef, []string{"sh", "-c", `echo "$FROM_IMAGE $MINE $PWD"; id`}, func(c *cri.ContainerConfig) {
			c.Envs = []*cri.KeyValue{{Key: "MINE", Value: []byte("a b")}}
			c.WorkingDir = "/made/for/it"
			c.Linux.SecurityContext.RunAsUser = &cri.Int64Value{Value: 33}
			c.Linux.SecurityContext.RunAsGroup = &cri.Int64Value{Value: 33}
			c.Linux.SecurityContext.SupplementalGroups = []int64{77}
		})
		c.Start(t)
		c.Wait(t, 10e9)
		out := c.Out(t, "stdout")
		if !strings.HasPrefix(out, "yes a b /made/for/it\n") || !strings.Contains(out, "uid=33(www-data) gid=33(www-data)") || !strings.Contains(out, "77") || !strings.Contains(out, "4242") {
			t.Errorf("%q", out)
		}
	})
	t.Run("user name", func(t *testing.T) {
		h.NeedUnicrid(t)
		c := p.Sh(t, "user", "id -u", func(c *cri.ContainerConfig) {
			c.Linux.SecurityContext.RunAsUser = nil
			c.Linux.SecurityContext.RunAsUsername = "www-data"
		})
		c.Wait(t, 10e9)
		if got := c.Out(t, "stdout"); got != "33\n" {
			t.Errorf("uid %q", got)
		}
		_, err := p.TryCreate("nouser", h.BusyboxRef, []string{"true"}, func(c *cri.ContainerConfig) {
			c.Linux.SecurityContext.RunAsUser = nil
			c.Linux.SecurityContext.RunAsUsername = "nobody-here"
		})
		if err == nil || !strings.Contains(err.Error(), "nobody-here") {
			t.Errorf("unknown user: %v", err)
		}
		_, err = p.TryCreate("nogroup", h.BusyboxRef, []string{"true"}, func(c *cri.ContainerConfig) {
			c.Linux.SecurityContext.RunAsUser = nil
			c.Linux.SecurityContext.RunAsGroup = &cri.Int64Value{Value: 5}
		})
		if err == nil {
			t.Error("a group without a user was accepted")
		}
	})
	t.Run("mounts", func(t *testing.T) {
		dir := n.Dir + "/volume"
		os.MkdirAll(dir, 0o755)
		os.WriteFile(dir+"/in", []byte("from the host\n"), 0o644)
		c := p.Sh(t, "mounts", "cat /rw/in; echo x > /rw/out; echo y > /ro/out", func(c *cri.ContainerConfig) {
			c.Mounts = []*cri.Mount{{ContainerPath: "/rw", HostPath: dir}, {ContainerPath: "/ro", HostPath: dir, Readonly: true}}
		})
		s := c.Wait(t, 10e9)
		if c.Out(t, "stdout") != "from the host\n" || s.ExitCode == 0 {
			t.Errorf("exit %d, log %q", s.ExitCode, c.RawLog())
		}
		if b, _ := os.ReadFile(dir + "/out"); string(b) != "x\n" {
			t.Errorf("written: %q", b)
		}
		if len(s.Mounts) != 2 || s.Mounts[1].HostPath != dir || !s.Mounts[1].Readonly {
			t.Errorf("mounts in the status: %v", s.Mounts)
		}
	})
	t.Run("security context", func(t *testing.T) {
		c := p.Sh(t, "sec", "grep -E 'CapEff|CapBnd|NoNewPrivs|Seccomp:' /proc/self/status; touch /x; cat /proc/kcore | head -c1 | wc -c", func(c *cri.ContainerConfig) {
			sc := c.Linux.SecurityContext
			sc.Capabilities = &cri.Capability{DropCapabilities: []string{"ALL"}, AddCapabilities: []string{"NET_BIND_SERVICE"}}
			sc.NoNewPrivs, sc.ReadonlyRootfs = true, true
			sc.MaskedPaths = []string{"/proc/kcore"}
		})
		s := c.Wait(t, 10e9)
		out := c.Out(t, "stdout")
		if !strings.Contains(out, "CapEff:\t0000000000000400") || !strings.Contains(out, "CapBnd:\t0000000000000400") || !strings.Contains(out, "NoNewPrivs:\t1") || !strings.Contains(out, "Seccomp:\t2") {
			t.Errorf("exit %d: %q", s.ExitCode, out)
		}
		if !strings.Contains(c.Out(t, "stderr"), "Read-only file system") || !strings.HasSuffix(out, "\n0\n") {
			t.Errorf("read-only root or masked path: %q", c.RawLog())
		}
		u := p.Sh(t, "unconfined", "grep Seccomp: /proc/self/status", func(c *cri.ContainerConfig) {
			c.Linux.SecurityContext.Seccomp = &cri.SecurityProfile{ProfileType: cri.SecurityProfile_Unconfined}
		})
		u.Wait(t, 10e9)
		if got := u.Out(t, "stdout"); got != "Seccomp:\t0\n" {
			t.Errorf("unconfined: %q", got)
		}
	})
	t.Run("stop", func(t *testing.T) {
		c := p.Sh(t, "graceful", "trap 'echo bye; exit 3' TERM; echo ready; while :; do sleep 0.1; done")
		c.WaitLog(t, "ready", 10e9)
		if err := n.RT.StopContainer(h.Ctx, c.ID, 20); err != nil {
			t.Fatal(err)
		}
		if s := c.Status(t); s.State != cri.ContainerState_CONTAINER_EXITED || s.ExitCode != 3 || !strings.Contains(c.RawLog(), "bye") {
			t.Errorf("after stop: %v %q", s, c.RawLog())
		}
		d := p.Sh(t, "stubborn", "trap '' TERM; echo ready; while :; do sleep 0.1; done")
		d.WaitLog(t, "ready", 10e9)
		start := time.Now()
		if err := n.RT.StopContainer(h.Ctx, d.ID, 1); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took < 900*time.Millisecond || took > h.Slow(5*time.Second) {
			t.Errorf("grace of 1 s took %v", took)
		}
		if s := d.Status(t); s.ExitCode != 137 {
			t.Errorf("killed: %v", s)
		}
		if err := n.RT.StopContainer(h.Ctx, d.ID, 1); err != nil {
			t.Errorf("stop of a stopped container: %v", err)
		}
	})
	t.Run("a shorter stop wins", func(t *testing.T) {
		h.NeedUnicrid(t)
		c := p.Sh(t, "shorter", "trap '' TERM; echo ready; while :; do sleep 0.1; done")
		c.WaitLog(t, "ready", 10e9)
		first := make(chan error, 1)
		start := time.Now()
		go func() { first <- n.RT.StopContainer(h.Ctx, c.ID, 100) }()
		time.Sleep(300 * time.Millisecond)
		if err := n.RT.StopContainer(h.Ctx, c.ID, 0); err != nil {
			t.Error(err)
		}
		if err := <-first; err != nil {
			t.Error(err)
		}
		if d := time.Since(start); d > h.Slow(10*time.Second) {
			t.Errorf("took %v", d)
		}
	})
	t.Run("remove a running container", func(t *testing.T) {
		c := p.Sh(t, "running", "sleep 1000")
		if err := n.RT.RemoveContainer(h.Ctx, c.ID); err != nil {
			t.Fatal(err)
		}
		if _, err := n.RT.ContainerStatus(h.Ctx, c.ID, false); status.Code(err) != codes.NotFound {
			t.Errorf("after remove: %v", err)
		}
		// The name is free again.
		again := p.Sh(t, "running", "exit 4")
		if s := again.Wait(t, 10e9); s.ExitCode != 4 {
			t.Errorf("again: %v", s)
		}
	})
	t.Run("list and filter", func(t *testing.T) {
		c := p.Sh(t, "listed", "sleep 1000")
		l, err := n.RT.ListContainers(h.Ctx, &cri.ContainerFilter{State: &cri.ContainerStateValue{State: cri.ContainerState_CONTAINER_RUNNING}})
		if err != nil || len(l) != 1 || l[0].Id != c.ID || l[0].PodSandboxId != p.ID {
			t.Errorf("running: %v %v", l, err)
		}
		l, err = n.RT.ListContainers(h.Ctx, &cri.ContainerFilter{LabelSelector: map[string]string{"io.kubernetes.container.name": "listed"}, PodSandboxId: p.ID})
		if err != nil || len(l) != 1 {
			t.Errorf("by label: %v %v", l, err)
		}
		l, err = n.RT.ListContainers(h.Ctx, &cri.ContainerFilter{Id: "feedfacefeedface"})
		if err != nil || len(l) != 0 {
			t.Errorf("unknown id: %v %v", l, err)
		}
		n.RT.StopContainer(h.Ctx, c.ID, 0)
	})
	t.Run("start twice", func(t *testing.T) {
		c := p.Sh(t, "twice", "sleep 1000")
		if err := n.RT.StartContainer(h.Ctx, c.ID); err == nil && !h.Peer() {
			// A duplicate of a start that succeeded may succeed; it must not run the program again.
			if got := c.Exec(t, "sh", "-c", "ps | grep -c '[s]leep 1000'"); got != "1\n" {
				t.Errorf("after a second start: %q", got)
			}
		}
		n.RT.StopContainer(h.Ctx, c.ID, 0)
	})
	t.Run("oom", func(t *testing.T) {
		c := p.Sh(t, "oom", "dd if=/dev/zero of=/dev/null bs=256M", func(c *cri.ContainerConfig) {
			c.Linux.Resources.MemoryLimitInBytes = 16 << 20
			c.Linux.Resources.MemorySwapLimitInBytes = 16 << 20
		})
		s := c.Wait(t, 20e9)
		if s.Reason != "OOMKilled" || s.ExitCode != 137 {
			t.Errorf("oom: %v", s)
		}
	})
	t.Run("exec", func(t *testing.T) {
		c := p.Sh(t, "exec", "sleep 1000")
		out, errout, err := n.RT.ExecSync(h.Ctx, c.ID, []string{"sh", "-c", "echo o; echo e >&2; exit 5"}, h.Slow(10*time.Second))
		if string(out) != "o\n" || string(errout) != "e\n" || exitCode(err) != 5 {
			t.Errorf("exec: %q %q %v", out, errout, err)
		}
		_, _, err = n.RT.ExecSync(h.Ctx, c.ID, []string{"/no/such/program"}, h.Slow(10*time.Second))
		if err == nil {
			t.Error("exec of a missing program succeeded")
		}
		start := time.Now()
		script := "sleep 4242 & sleep 4243"
		if h.Peer() {
			script = "exec sleep 4243" // the peer waits for whoever holds the pipes
		}
		_, _, err = n.RT.ExecSync(h.Ctx, c.ID, []string{"sh", "-c", script}, time.Second)
		if err == nil || (!errors.Is(err, criclient.ErrCommandTimedOut) && status.Code(err) != codes.DeadlineExceeded) {
			t.Errorf("timeout: %v", err)
		}
		if d := time.Since(start); d > h.Slow(6*time.Second) {
			t.Errorf("a timeout of 1 s took %v", d)
		}
		if !h.Peer() {
			eventually(t, "the timed out exec and its children are gone", func() bool { return !strings.Contains(c.Exec(t, "ps"), "sleep 424") })
		}
		big := c.Exec(t, "sh", "-c", "head -c 3000000 /dev/zero | tr '\\0' x")
		if len(big) != 3000000 || strings.Trim(big, "x") != "" {
			t.Errorf("large output: %d bytes", len(big))
		}
		for i := 0; i < 20; i++ {
			if got := c.Exec(t, "echo", "short"); got != "short\n" {
				t.Fatalf("short output %d: %q", i, got)
			}
		}
		n.RT.StopContainer(h.Ctx, c.ID, 0)
		_, _, err = n.RT.ExecSync(h.Ctx, c.ID, []string{"true"}, 5*time.Second)
		if err == nil {
			t.Error("exec in an exited container succeeded")
		}
	})
	t.Run("exec output is bounded", func(t *testing.T) {
		h.NeedUnicrid(t)
		c := p.Sh(t, "execbig", "sleep 1000")
		r, err := n.Raw.ExecSync(h.Ctx, &cri.ExecSyncRequest{ContainerId: c.ID, Cmd: []string{"sh", "-c", "head -c 40000000 /dev/zero; echo done >&2"}, Timeout: 60})
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Stdout) > 16<<20 || len(r.Stdout) < 8<<20 || r.ExitCode != 0 {
			t.Errorf("%d bytes, exit code %d", len(r.Stdout), r.ExitCode)
		}
		if string(r.Stderr) != "done\n" {
			t.Errorf("what it said of it: %q", r.Stderr)
		}
		n.RT.StopContainer(h.Ctx, c.ID, 0)
	})
	t.Run("exec without a limit ends with its client", func(t *testing.T) {
		h.NeedUnicrid(t)
		c := p.Sh(t, "execleft", "sleep 1000")
		ctx, cancel := context.WithTimeout(h.Ctx, 500*time.Millisecond)
		defer cancel()
		if _, err := n.Raw.ExecSync(ctx, &cri.ExecSyncRequest{ContainerId: c.ID, Cmd: []string{"sh", "-c", "sleep 4711 & sleep 4712"}}); status.Code(err) != codes.DeadlineExceeded {
			t.Errorf("%v", err)
		}
		for end := time.Now().Add(h.Slow(10 * time.Second)); ; time.Sleep(100 * time.Millisecond) {
			out := c.Exec(t, "sh", "-c", "ps | grep -c '[s]leep 471' || true")
			if strings.TrimSpace(out) == "0" {
				break
			}
			if time.Now().After(end) {
				t.Fatalf("%s processes of an exec whose client has gone", out)
			}
		}
		n.RT.StopContainer(h.Ctx, c.ID, 0)
	})
	t.Run("exec leaves children that hold the pipes", func(t *testing.T) {
		h.NeedUnicrid(t)
		c := p.Sh(t, "execbg", "sleep 1000")
		start := time.Now()
		out, _, err := n.RT.ExecSync(h.Ctx, c.ID, []string{"sh", "-c", "sleep 30 & echo here"}, h.Slow(20*time.Second))
		if err != nil || string(out) != "here\n" || time.Since(start) > h.Slow(5*time.Second) {
			t.Errorf("%q %v after %v", out, err, time.Since(start))
		}
		n.RT.StopContainer(h.Ctx, c.ID, 0)
	})
	t.Run("no command", func(t *testing.T) {
		_, err := p.TryCreate("nocmd", h.RegistryAddr+"/busybox:1", []string{"/no/such"})
		if err == nil && !h.Peer() {
			c := p.Create(t, "nocmd", h.BusyboxRef, []string{"/no/such"})
			err = n.RT.StartContainer(h.Ctx, c.ID)
		}
		if err == nil && !h.Peer() {
			t.Error("a program that does not exist was started")
		} else if err != nil && !strings.Contains(err.Error(), "/no/such") {
			t.Errorf("the error does not name it: %v", err)
		}
	})
	t.Run("missing image", func(t *testing.T) {
		_, err := p.TryCreate("noimage", h.RegistryAddr+"/never:pulled", []string{"true"})
		if status.Code(err) != codes.NotFound || !strings.Contains(err.Error(), "never:pulled") {
			t.Errorf("%v", err)
		}
	})
	p.Stop(t)
	p.Remove(t)
	n.ExpectCensus(t, before, true)
}

// TestLogs covers the CRI log format and reopening.
func TestLogs(t *testing.T) {
	n := h.NewNode(t, h.NodeOptions{})
	before := warm(t, n)
	p := n.RunPod(t, "logs")

	t.Run("partial lines", func(t *testing.T) {
		c := p.Sh(t, "long", `head -c 40000 /dev/zero | tr '\0' a; echo; printf 'no newline'`)
		c.Wait(t, 10e9)
		lines, err := h.ParseLog(c.RawLog())
		if err != nil {
			t.Fatal(err)
		}
		total, tags := 0, ""
		for _, l := range lines {
			tags += l.Tag
			if len(l.Text) > 16384 {
				t.Errorf("a line of %d bytes", len(l.Text))
			}
			total += len(l.Text)
		}
		if total != 40010 || len(lines) != 4 || (tags != "PPFP" && !h.Peer()) {
			t.Errorf("%d bytes in %d lines, tags %s", total, len(lines), tags)
		}
	})
	t.Run("everything is there when it has exited", func(t *testing.T) {
		c := p.Sh(t, "many", `i=0; while [ $i -lt 5000 ]; do echo "line $i"; i=$((i+1)); done`)
		c.Wait(t, 30e9)
		out := strings.Split(strings.TrimSuffix(c.Out(t, "stdout"), "\n"), "\n")
		if len(out) != 5000 || out[4999] != "line 4999" {
			t.Errorf("%d lines, the last is %q", len(out), out[len(out)-1])
		}
	})
	t.Run("binary", func(t *testing.T) {
		c := p.Sh(t, "binary", `printf '\000\001\377\033[2Jx\n'`)
		c.Wait(t, 10e9)
		if got := c.Out(t, "stdout"); got != "\x00\x01\xff\x1b[2Jx\n" {
			t.Errorf("%q", got)
		}
	})
	t.Run("reopen", func(t *testing.T) {
		c := p.Sh(t, "reopen", `i=0; while :; do echo "tick $i"; i=$((i+1)); sleep 0.05; done`)
		c.WaitLog(t, "tick 3", 10e9)
		old := c.LogPath() + ".old"
		if err := os.Rename(c.LogPath(), old); err != nil {
			t.Fatal(err)
		}
		if err := n.RT.ReopenContainerLog(h.Ctx, c.ID); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(c.LogPath()); err != nil {
			t.Errorf("no new file when the call has returned: %v", err)
		}
		size, _ := os.Stat(old)
		c.WaitLog(t, "tick", 10e9)
		time.Sleep(300 * time.Millisecond)
		if now, _ := os.Stat(old); now.Size() != size.Size() {
			t.Error("the old file still grows")
		}
		a, _ := os.ReadFile(old)
		la, err1 := h.ParseLog(string(a))
		n.RT.StopContainer(h.Ctx, c.ID, 0)
		lb, err2 := h.ParseLog(c.RawLog())
		if err1 != nil || err2 != nil || len(la) == 0 || len(lb) == 0 {
			t.Fatalf("%v %v", err1, err2)
		}
		for i, l := range append(la, lb...) {
			if l.Text != fmt.Sprintf("tick %d", i) {
				t.Fatalf("line %d is %q: lost or twice", i, l.Text)
			}
		}
		if err := n.RT.ReopenContainerLog(h.Ctx, c.ID); err == nil {
			t.Error("reopen of an exited container succeeded")
		}
	})
	t.Run("no log path", func(t *testing.T) {
		c := p.Sh(t, "nolog", `head -c 1000000 /dev/zero`, func(c *cri.ContainerConfig) { c.LogPath = "" })
		if s := c.Wait(t, 10e9); s.ExitCode != 0 {
			t.Errorf("%v", s)
		}
	})
	t.Run("log path outside the pod's directory", func(t *testing.T) {
		h.NeedUnicrid(t)
		cfg := p.CtrConfig("escape", h.BusyboxRef, []string{"true"})
		cfg.LogPath = "../../escaped.log"
		_, err := n.RT.CreateContainer(h.Ctx, p.ID, cfg, p.Config)
		if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "log") {
			t.Errorf("%v", err)
		}
	})
	t.Run("stdin", func(t *testing.T) {
		h.NeedUnicrid(t)
		c := p.Run(t, "closed", h.BusyboxRef, []string{"cat"})
		if s := c.Wait(t, 10e9); s.ExitCode != 0 {
			t.Errorf("cat without stdin: %v", s)
		}
		d := p.Run(t, "open", h.BusyboxRef, []string{"cat"}, func(c *cri.ContainerConfig) { c.Stdin = true })
		time.Sleep(300 * time.Millisecond)
		if s := d.Status(t); s.State != cri.ContainerState_CONTAINER_RUNNING {
			t.Errorf("cat with open stdin: %v", s)
		}
		n.RT.StopContainer(h.Ctx, d.ID, 0)
	})
	t.Run("tty", func(t *testing.T) {
		c := p.Sh(t, "tty", "tty; echo err >&2", func(c *cri.ContainerConfig) { c.Tty = true })
		c.Wait(t, 10e9)
		if out := c.Out(t, "stdout"); !strings.Contains(out, "/dev/pts/0") || !strings.Contains(out, "err") || c.Out(t, "stderr") != "" {
			t.Errorf("%q", c.RawLog())
		}
	})
	t.Run("a full disk never stops the workload", func(t *testing.T) {
		h.NeedUnicrid(t)
		dir := n.Dir + "/small"
		os.MkdirAll(dir, 0o755)
		if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
			t.Fatal(err)
		}
		defer syscall.Unmount(dir, syscall.MNT_DETACH)
		small := n.RunPod(t, "small", func(c *cri.PodSandboxConfig) { c.LogDirectory = dir })
		c := small.Sh(t, "flood", "head -c 1000000 /dev/zero | tr '\\0' '\\n'; exit 9")
		if s := c.Wait(t, 30e9); s.ExitCode != 9 {
			t.Errorf("%v", s)
		}
		small.Stop(t)
		small.Remove(t)
	})
	p.Stop(t)
	p.Remove(t)
	os.RemoveAll(n.Dir + "/small")
	n.ExpectCensus(t, before, true)
}

// TestCancel lets clients go away at many moments; the names must stay usable and nothing be left.
func TestCancel(t *testing.T) {
	n := h.NewNode(t, h.NodeOptions{})
	before := warm(t, n)
	for i, d := range []time.Duration{0, 1, 2, 4, 7, 11, 16, 25, 40, 80} {
		name := fmt.Sprintf("cancel-%d", i)
		cfg := n.PodConfig(name)
		ctx, cancel := context.WithTimeout(h.Ctx, d*time.Millisecond)
		_, err := n.Raw.RunPodSandbox(ctx, &cri.RunPodSandboxRequest{Config: cfg})
		cancel()
		if err != nil && status.Code(err) != codes.DeadlineExceeded && status.Code(err) != codes.Canceled {
			t.Errorf("%s: %v", name, err)
		}
		var p *h.Pod
		eventually(t, name+" can be asked for again", func() bool {
			p, err = n.TryRunPod(name, "")
			if err != nil && !h.Peer() {
				t.Fatalf("%s again: %v", name, err)
			}
			return err == nil
		})
		cc := p.CtrConfig("c", h.BusyboxRef, []string{"sh", "-c", "echo up; sleep 1000"})
		ctx, cancel = context.WithTimeout(h.Ctx, d*time.Millisecond)
		n.Raw.CreateContainer(ctx, &cri.CreateContainerRequest{PodSandboxId: p.ID, Config: cc, SandboxConfig: cfg})
		cancel()
		var id string
		eventually(t, name+": the container can be asked for again", func() bool {
			id, err = n.RT.CreateContainer(h.Ctx, p.ID, cc, cfg)
			if err != nil && !h.Peer() {
				t.Fatalf("%s: create again: %v", name, err)
			}
			return err == nil || strings.Contains(err.Error(), "reserved")
		})
		ctx, cancel = context.WithTimeout(h.Ctx, d*time.Millisecond)
		n.Raw.StartContainer(ctx, &cri.StartContainerRequest{ContainerId: id})
		cancel()
		ctx, cancel = context.WithTimeout(h.Ctx, d*time.Millisecond)
		n.Raw.ExecSync(ctx, &cri.ExecSyncRequest{ContainerId: id, Cmd: []string{"sleep", "3"}})
		cancel()
		ctx, cancel = context.WithTimeout(h.Ctx, d*time.Millisecond)
		n.Raw.StopPodSandbox(ctx, &cri.StopPodSandboxRequest{PodSandboxId: p.ID})
		cancel()
		p.Stop(t)
		p.Remove(t)
	}
	n.ExpectCensus(t, before, true)
}

// TestManyConnections: clients that connect and never close, and one that sends rubbish.
func TestManyConnections(t *testing.T) {
	n := h.NewNode(t, h.NodeOptions{NoRegistry: true})
	for i := 0; i < 250; i++ {
		c := n.Dial()
		defer c.Close()
		if _, err := cri.NewRuntimeServiceClient(c).Version(h.Ctx, &cri.VersionRequest{}); err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
	}
	s, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(s)
	if err := syscall.Connect(s, &syscall.SockaddrUnix{Name: n.Socket}); err != nil {
		t.Fatal(err)
	}
	syscall.Write(s, bytes.Repeat([]byte("GET / HTTP/1.1\r\n\xff\xff\xff\xff"), 1000))
	if _, err := n.RT.Version(h.Ctx, "0.1.0"); err != nil {
		t.Errorf("after rubbish: %v", err)
	}
}
