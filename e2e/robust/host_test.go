// SPDX-License-Identifier: Apache-2.0

// What a host does to a daemon: a second one on its directory, broken databases, full disks, no descriptors.

package robust

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
	h "unicri.dev/e2e/harness"
)

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
	// What only reads goes on; what must write down first says why it cannot, or has found room.
	if s, err := n.RT.ContainerStats(h.Ctx, c.ID); err != nil || s.Cpu == nil {
		t.Errorf("statistics on a full disk: %v, %v", s, err)
	}
	if _, err := n.RT.PodSandboxStats(h.Ctx, p.ID); err != nil {
		t.Errorf("pod statistics on a full disk: %v", err)
	}
	if l, err := n.RT.ListPodSandboxMetrics(h.Ctx); err != nil || len(l) != 1 {
		t.Errorf("metrics on a full disk: %v, %v", l, err)
	}
	if _, err := n.Raw.UpdateContainerResources(h.Ctx, &cri.UpdateContainerResourcesRequest{ContainerId: c.ID, Linux: &cri.LinuxContainerResources{CpuShares: 77}}); err != nil && status.Code(err) != codes.ResourceExhausted {
		t.Errorf("an update on a full disk: %v", err)
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
	before := n.Census()
	limit := func(cur int) {
		t.Helper()
		if err := unix.Prlimit(n.Pid(), unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: uint64(cur), Max: 4096}, nil); err != nil {
			t.Fatal(err)
		}
	}
	// What was still ending when descriptors were counted lets go of its own and a pod may be made all the same. It stays,
	// so that nothing new is ending when they are counted again.
	var made []*h.Pod
	for refused := 0; refused < 5; {
		fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", n.Pid()))
		if err != nil {
			t.Fatal(err)
		}
		limit(len(fds) + 1)
		p, err := n.TryRunPod(fmt.Sprint("few", len(made)), "")
		limit(4096)
		if err == nil {
			if made = append(made, p); len(made) > 10 {
				t.Fatal("pods are made without descriptors")
			}
			continue
		}
		refused++
		if !understood(err) && !strings.Contains(err.Error(), "Too many open files") {
			t.Errorf("%v", err)
		}
	}
	for _, p := range append(made, n.RunPod(t, "many")) {
		p.Stop(t)
		p.Remove(t)
	}
	n.ExpectCensus(t, before, true)
}
