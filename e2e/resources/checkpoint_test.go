// SPDX-License-Identifier: Apache-2.0

package resources

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
	h "unicri.dev/e2e/harness"
)

// A runc that writes images of its own instead of asking CRIU, as the file `mode` beside it says.
const fakeRunc = `#!/bin/sh
dir=${0%/*}
hit=; images=; work=; last=
for a; do
  [ "$a" = checkpoint ] && hit=1
  [ "$last" = --image-path ] && images=$a
  [ "$last" = --work-path ] && work=$a
  last=$a
done
[ -n "$hit" ] || exec RUNC "$@"
echo "$*" >>$dir/calls
echo "(00.1) starting" >$work/dump.log
case $(cat $dir/mode) in
fail) echo "(00.2) Error (criu/x.c:1): cannot dump this" >>$work/dump.log; echo "criu failed" >&2; exit 1;;
slow) echo >$dir/begun; until [ -e $dir/go ]; do sleep 0.05; done;;
endless) echo >$dir/begun; sleep 1000;;
esac
cat $(cat $dir/freezer) >$dir/seen
echo inventory >$images/inventory.img
head -c 300000 /dev/zero >$images/pages-1.img
echo stats >$work/stats-dump
`

const fakeCriu = `#!/bin/sh
[ "$(cat ${0%/*}/mode)" = nocriu ] || exit 0
echo "Warn  (criu/a.c:1): something" >&2
echo "Error (criu/vdso.c:381): no way on this kernel" >&2
exit 1
`

// freezer is the file that says whether a container stands still, and the word it has then.
func freezer(t *testing.T, pid int) (string, string) {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(string(b), "\n") {
		f := strings.SplitN(line, ":", 3)
		if len(f) == 3 && f[1] == "freezer" {
			return mountOf("freezer") + f[2] + "/freezer.state", "FROZEN"
		}
		if len(f) == 3 && v2() && f[0] == "0" {
			return "/sys/fs/cgroup" + f[2] + "/cgroup.events", "frozen 1"
		}
	}
	t.Skip("this host has no freezer for cgroups")
	return "", ""
}

func untar(t *testing.T, b []byte) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	for r := tar.NewReader(bytes.NewReader(b)); ; {
		e, err := r.Next()
		if err == io.EOF {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if e.Typeflag == tar.TypeSymlink {
			content = []byte("-> " + e.Linkname)
		}
		files[e.Name] = content
	}
}

// TestCheckpoint is CheckpointContainer with an OCI runtime that stands in for runc and CRIU.
func TestCheckpoint(t *testing.T) {
	h.NeedUnicrid(t)
	runc, err := exec.LookPath("runc")
	if err != nil {
		t.Fatal(err)
	}
	dir, out := t.TempDir(), t.TempDir()
	write := func(name, text string, mode os.FileMode) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	write("runc", strings.Replace(fakeRunc, "RUNC", runc, 1), 0o755)
	write("criu", fakeCriu, 0o755)
	write("mode", "", 0o644)
	n := h.NewNode(t, h.NodeOptions{Env: []string{"PATH=" + dir + ":" + os.Getenv("PATH")},
		Config: "[handlers.runc]\nkind = \"runc\"\nprogram = \"" + dir + "/runc\"\n"})
	n.Pull(t, h.BusyboxRef)
	guest := h.GuestRef("idle.spt")
	n.Pull(t, guest)
	before := n.Census()
	pod, err := n.TryRunPod("checkpoint", "runc")
	if err != nil {
		t.Fatal(err)
	}
	c := pod.Sh(t, "c", "echo new >/new; mkdir -p /d/e; ln -s /new /d/link; rm /etc/group; rm -r /www; mkdir /www; echo x >/www/x; echo 0 >/count; echo from the log; i=0; while :; do i=$((i+1)); echo $i >/count; sleep 0.01; done")
	c.WaitLog(t, "from the log", h.Slow(10*time.Second))
	state, word := freezer(t, pid(t, c))
	write("freezer", state, 0o644)
	frozen := func() bool {
		b, err := os.ReadFile(state)
		return err == nil && strings.Contains(string(b), word)
	}
	goesOn := func(t *testing.T) {
		t.Helper()
		if frozen() {
			t.Error("the container stands still")
		}
		one := c.Exec(t, "cat", "/count")
		for end := time.Now().Add(h.Slow(5 * time.Second)); c.Exec(t, "cat", "/count") == one; time.Sleep(20 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("the container does not go on: %s", one)
			}
		}
		if s := c.Status(t).State; s != cri.ContainerState_CONTAINER_RUNNING {
			t.Errorf("state %v", s)
		}
	}
	request := func(id, location string, timeout int64) error {
		_, err := n.Raw.CheckpointContainer(h.Ctx, &cri.CheckpointContainerRequest{ContainerId: id, Location: location, Timeout: timeout})
		return err
	}
	location := filepath.Join(out, "checkpoint-pod_ns-c.tar")
	nothing := func(t *testing.T) {
		t.Helper()
		if l, _ := os.ReadDir(out); len(l) != 0 {
			t.Errorf("left in the directory: %v", l)
		}
	}

	t.Run("archive", func(t *testing.T) {
		if err := request(c.ID, location, 0); err != nil {
			t.Fatal(err)
		}
		st, err := os.Stat(location)
		if err != nil || st.Mode() != 0o600 {
			t.Fatalf("%v %v", st, err)
		}
		if seen, _ := os.ReadFile(dir + "/seen"); !strings.Contains(string(seen), word) {
			t.Errorf("while it was dumped: %q", seen)
		}
		goesOn(t)
		b, _ := os.ReadFile(location)
		files := untar(t, b)
		for name, want := range map[string]string{"checkpoint/inventory.img": "inventory\n", "dump.log": "starting", "stats-dump": "stats", "container.log": "from the log",
			"config.dump": `"name":"c"`, "spec.dump": `"io.kubernetes.cri.sandbox-name":"checkpoint"`, "status": `"Pid"`, "bind.mounts": `"file_type":"file"`} {
			if !bytes.Contains(files[name], []byte(want)) {
				t.Errorf("%s: %.200q", name, files[name])
			}
		}
		if len(files["checkpoint/pages-1.img"]) != 300000 {
			t.Errorf("pages of %d bytes", len(files["checkpoint/pages-1.img"]))
		}
		var config struct {
			ID, RootfsImageRef            string
			CreatedTime, CheckpointedTime time.Time
		}
		if err := json.Unmarshal(files["config.dump"], &config); err != nil || config.ID != c.ID || config.RootfsImageRef == "" ||
			time.Since(config.CheckpointedTime) > time.Minute || config.CheckpointedTime.Before(config.CreatedTime) {
			t.Errorf("config.dump %s: %v", files["config.dump"], err)
		}
		diff := untar(t, files["rootfs-diff.tar"])
		if string(diff["new"]) != "new\n" || string(diff["d/link"]) != "-> /new" || string(diff["www/x"]) != "x\n" {
			t.Errorf("rootfs-diff.tar: %v", diff)
		}
		_, opaque := diff["www/.wh..wh..opq"]
		_, gone := diff["etc/.wh.group"]
		_, e := diff["d/e/"]
		_, count := diff["count"] // which may stand still between its truncation and its write
		if !opaque || !gone || !e || !count {
			t.Errorf("rootfs-diff.tar: %v", diff)
		}
		// A second one replaces the file.
		if err := request(c.ID, location, 60); err != nil {
			t.Fatal(err)
		}
		again, _ := os.ReadFile(location)
		if bytes.Equal(b, again) || len(untar(t, again)) != len(files) {
			t.Error("the second archive is the first one, or another")
		}
		os.Remove(location)
		nothing(t)
	})
	t.Run("refused", func(t *testing.T) {
		g := pod2(t, n, guest)
		ended := pod.Sh(t, "ended", "true")
		ended.Wait(t, h.Slow(10*time.Second))
		for name, r := range map[string]struct {
			id, location string
			timeout      int64
			code         codes.Code
			text         string
		}{
			"no container":  {"0123456789", location, 0, codes.NotFound, "no such container"},
			"relative":      {c.ID, "a/b.tar", 0, codes.InvalidArgument, "not the absolute path"},
			"empty":         {c.ID, "", 0, codes.InvalidArgument, "not the absolute path"},
			"a directory":   {c.ID, out, 0, codes.InvalidArgument, "is there and not a file"},
			"no name":       {c.ID, out + "/", 0, codes.InvalidArgument, "not the absolute path"},
			"no directory":  {c.ID, out + "/none/x.tar", 0, codes.NotFound, "location"},
			"negative time": {c.ID, location, -1, codes.InvalidArgument, "timeout"},
			"ended":         {ended.ID, location, 0, codes.FailedPrecondition, "not RUNNING"},
			"a unikernel":   {g, location, 0, codes.Unimplemented, "is a unikernel"},
		} {
			err := request(r.id, r.location, r.timeout)
			if s, _ := status.FromError(err); s.Code() != r.code || !strings.Contains(s.Message(), r.text) {
				t.Errorf("%s: %v", name, err)
			}
		}
		nothing(t)
	})
	t.Run("criu cannot, criu fails", func(t *testing.T) {
		for mode, r := range map[string]struct {
			code codes.Code
			text string
		}{
			"nocriu": {codes.Unimplemented, "Error (criu/vdso.c:381): no way on this kernel"},
			"fail":   {codes.Internal, "Error (criu/x.c:1): cannot dump this"},
		} {
			write("mode", mode, 0o644)
			err := request(c.ID, location, 0)
			if s, _ := status.FromError(err); s.Code() != r.code || !strings.Contains(s.Message(), r.text) {
				t.Errorf("%s: %v", mode, err)
			}
			goesOn(t)
		}
		nothing(t)
	})
	t.Run("timeout", func(t *testing.T) {
		write("mode", "endless", 0o644)
		if err := request(c.ID, location, 1); status.Code(err) != codes.DeadlineExceeded {
			t.Errorf("%v", err)
		}
		goesOn(t)
		nothing(t)
	})
	t.Run("kill -9 in the midst", func(t *testing.T) {
		os.Remove(dir + "/begun")
		write("mode", "slow", 0o644)
		done := make(chan error, 1)
		ctx, cancel := context.WithCancel(h.Ctx)
		defer cancel()
		go func() {
			_, err := n.Raw.CheckpointContainer(ctx, &cri.CheckpointContainerRequest{ContainerId: c.ID, Location: location})
			done <- err
		}()
		for end := time.Now().Add(h.Slow(10 * time.Second)); ; time.Sleep(10 * time.Millisecond) {
			if _, err := os.Stat(dir + "/begun"); err == nil {
				break
			}
			if time.Now().After(end) {
				t.Fatal("it does not begin")
			}
		}
		if !frozen() {
			t.Error("the container goes on while it is dumped")
		}
		n.Kill()
		<-done
		write("go", "", 0o644)
		// Without a daemon too.
		for end := time.Now().Add(h.Slow(10 * time.Second)); frozen(); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal("the container stands still for ever")
			}
		}
		nothing(t)
		n.Start()
		goesOn(t)
		if _, err := os.Stat(filepath.Join(n.Root, "containers", c.ID, "checkpoint")); err == nil {
			t.Error("the work directory is there")
		}
		write("mode", "", 0o644)
		if err := request(c.ID, location, 0); err != nil {
			t.Error(err)
		}
		os.Remove(location)
	})
	t.Run("stop while it stands still", func(t *testing.T) {
		os.Remove(dir + "/begun")
		write("mode", "endless", 0o644)
		done := make(chan error, 1)
		go func() { done <- request(c.ID, location, 0) }()
		for end := time.Now().Add(h.Slow(10 * time.Second)); !frozen() && time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		}
		if err := n.RT.StopContainer(h.Ctx, c.ID, 0); err != nil {
			t.Error(err)
		}
		if s := c.Status(t).State; s != cri.ContainerState_CONTAINER_EXITED {
			t.Errorf("state %v", s)
		}
		if err := <-done; status.Code(err) != codes.FailedPrecondition || !strings.Contains(err.Error(), "has ended") {
			t.Errorf("the checkpoint: %v", err)
		}
		nothing(t)
	})
	pod.Stop(t)
	pod.Remove(t)
	n.ExpectCensus(t, before, false)
}

// pod2 runs a guest in a pod of its own.
func pod2(t *testing.T, n *h.Node, image string) string {
	t.Helper()
	p := n.RunPod(t, "guest")
	g := p.Run(t, "guest", image, nil)
	t.Cleanup(func() {
		p.Stop(t)
		p.Remove(t)
	})
	return g.ID
}

// TestCheckpointNoCriu: the error of a node without CRIU says so.
func TestCheckpointNoCriu(t *testing.T) {
	h.NeedUnicrid(t)
	runc, err := exec.LookPath("runc")
	if err != nil {
		t.Fatal(err)
	}
	n := h.NewNode(t, h.NodeOptions{Config: "[handlers.runc]\nkind = \"runc\"\nprogram = \"" + runc + "\"\n"})
	n.Pull(t, h.BusyboxRef)
	pod, err := n.TryRunPod("nocriu", "runc")
	if err != nil {
		t.Fatal(err)
	}
	c := pod.Sh(t, "c", "sleep 1000")
	n.Kill()
	n.Start("PATH=" + t.TempDir())
	_, err = n.Raw.CheckpointContainer(h.Ctx, &cri.CheckpointContainerRequest{ContainerId: c.ID, Location: t.TempDir() + "/x.tar"})
	if status.Code(err) != codes.Unimplemented || !strings.Contains(err.Error(), "criu is not in PATH") {
		t.Errorf("%v", err)
	}
	pod.Stop(t)
	pod.Remove(t)
}

// TestCheckpointCriu is the same by runc and CRIU themselves, where CRIU works.
func TestCheckpointCriu(t *testing.T) {
	h.NeedUnicrid(t)
	if b, err := exec.Command("criu", "check").CombinedOutput(); err != nil {
		t.Skipf("criu does not work on this host: criu check: %v: %.300s", err, b)
	}
	n := h.NewNode(t, h.NodeOptions{Env: []string{"PATH=" + os.Getenv("PATH")}})
	n.Pull(t, h.BusyboxRef)
	before := n.Census()
	pod := n.RunPod(t, "criu")
	// Some memory, a child, a pipe between them.
	c := pod.Sh(t, "c", "x=$(head -c 30000000 /dev/zero | tr '\\0' a); (while :; do sleep 0.1; echo; done) | cat >/dev/null & echo 0 >/count; echo begun; i=0; while :; do i=$((i+1)); echo $i >/count; usleep 10000; done")
	c.WaitLog(t, "begun", h.Slow(20*time.Second))
	out := t.TempDir()
	location := out + "/c.tar"
	// After a kill -9 a dump that had begun may still be at work, and the container may stand still for it.
	goesOn := func(t *testing.T) {
		t.Helper()
		seen := map[string]bool{}
		for end := time.Now().Add(h.Slow(10 * time.Second)); len(seen) < 2; time.Sleep(20 * time.Millisecond) {
			if count, _, err := n.RT.ExecSync(h.Ctx, c.ID, []string{"cat", "/count"}, 10*time.Second); err == nil && len(count) > 0 {
				seen[string(count)] = true
			}
			if time.Now().After(end) {
				t.Fatalf("the container does not go on: %v", c.Status(t))
			}
		}
	}

	t.Run("archive", func(t *testing.T) {
		if _, err := n.Raw.CheckpointContainer(h.Ctx, &cri.CheckpointContainerRequest{ContainerId: c.ID, Location: location}); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(location)
		if err != nil {
			t.Fatal(err)
		}
		files := untar(t, b)
		_, count := untar(t, files["rootfs-diff.tar"])["count"]
		if len(files["checkpoint/inventory.img"]) == 0 || len(files["dump.log"]) == 0 || len(b) < 30000000 || !count {
			t.Errorf("%d files, %d bytes", len(files), len(b))
		}
		goesOn(t)
		os.Remove(location)
	})
	t.Run("kill -9 at any moment", func(t *testing.T) {
		for i := range 4 {
			go n.Raw.CheckpointContainer(context.Background(), &cri.CheckpointContainerRequest{ContainerId: c.ID, Location: location})
			time.Sleep(time.Duration(i) * 60 * time.Millisecond)
			n.Kill()
			n.Start()
			goesOn(t)
			if b, err := os.ReadFile(location); err == nil && len(untar(t, b)) == 0 {
				t.Error("half a file")
			}
			os.Remove(location)
			if l, _ := os.ReadDir(out); len(l) != 0 {
				t.Errorf("left in the directory: %v", l)
			}
		}
	})
	pod.Stop(t)
	pod.Remove(t)
	n.ExpectCensus(t, before, false)
}
