// SPDX-License-Identifier: Apache-2.0

package guests

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
	h "unicri.dev/e2e/harness"
)

const virtiofsdPath = "/usr/lib/qemu/virtiofsd"

var fsModules = append(append([]string{}, blockModules...), "fs/fuse/fuse", "fs/fuse/virtiofs")

// appOnShare is the program of the image, which runs from its shared root and finds its volumes there.
const appOnShare = `#!/bin/busybox sh
export PATH=/bin
mount -t proc proc /proc
echo "app: $* on $(grep ' / ' /proc/mounts | grep -v rootfs | cut -d' ' -f1,3)"
eval "$1"
poweroff -f
`

// shareImage is an image whose files are the guest's root.
func shareImage(t *testing.T) *h.Image {
	files := append(h.BusyboxFiles(), h.Dir("dev", 0o755), h.Dir("proc", 0o755), h.Dir("sys", 0o755), h.Dir("data", 0o755), h.Reg("data/from-image", 0o644, []byte("a file of the image\n")),
		h.Dir("real", 0o755), h.Link("var", "/real"), h.Reg("etc/single", 0o600, []byte("covered\n")), h.Reg("app", 0o755, []byte(appOnShare)))
	return linuxGuest(t, diskInit, fsModules, map[string]string{"com.urunc.unikernel.mountRootfs": "true"}, files...)
}

func needVirtiofsd(t *testing.T) {
	if _, err := os.Stat(virtiofsdPath); err != nil {
		t.Skip("package qemu-system-common of Debian 12 is not installed: no virtiofsd")
	}
}

// TestVirtiofs: a Linux guest whose root is its image's files, shared because it has volumes, which lie in it.
func TestVirtiofs(t *testing.T) {
	h.NeedUnicrid(t)
	needVirtiofsd(t)
	image := shareImage(t)
	ref := h.RegistryAddr + "/guest/linux:share"
	n := h.NewNode(t, h.NodeOptions{Images: func(r *h.Registry) error { return r.Push("guest/linux", "share", image) },
		Config: "[handlers.alone]\nkind = \"qemu\"\nshare = \"none\"\n"})
	warm(t, n)
	before := n.Census()
	n.Pull(t, ref)
	dir := t.TempDir()
	configMap := filepath.Join(dir, "volumes/kubernetes.io~configmap/config")
	write(t, filepath.Join(configMap, "..2026_11/colour"), "blue\n")
	os.Symlink("..2026_11", filepath.Join(configMap, "..data"))
	os.Symlink("..data/colour", filepath.Join(configMap, "colour"))
	os.Chmod(configMap, 0o777) // only the mount is read-only
	empty := filepath.Join(dir, "volumes/kubernetes.io~empty-dir/cache")
	write(t, filepath.Join(empty, "old"), "old\n")
	os.Chmod(empty, 0o777)
	group := filepath.Join(dir, "group")
	write(t, filepath.Join(group, "message"), "of the group\n")
	os.Chown(group, 0, 4321)
	os.Chmod(group, 0o770)
	single := write(t, filepath.Join(dir, "single.conf"), "one file\n")
	p := n.RunPod(t, "share")
	volumes := []h.CtrOpt{kubelets(t), mount(configMap, "/etc/config", true), mount(empty, "/cache", false), mount(single, "/etc/single", true),
		mount(group, "/var/deep/er/group", false), func(c *cri.ContainerConfig) { c.Linux.SecurityContext.SupplementalGroups = []int64{0, 4321} }}

	c := p.Run(t, "guest", ref, nil, append(volumes, memory(192<<20), args("/app", "cd /etc/config; echo colour=$(cat colour) $(readlink ..data); cat /etc/single; echo new > /cache/new; cat /cache/old "+
		"/real/deep/er/group/message /var/run/secrets/kubernetes.io/serviceaccount/token /data/from-image; echo x > /etc/config/no || echo config is read-only; "+
		"echo y > /real/deep/er/group/reply; echo z > /etc/written && echo written $(ls -ln /etc/written); cat /etc/hosts; stat -c '%u %a' /app; "+
		"echo ready-$((6*7)); while [ ! -e /cache/go ]; do sleep 1; done; echo seen"))...)
	c.WaitLog(t, "ready-42", 150*time.Second)
	n.Restart() // by SIGKILL: neither VMM nor server notice
	write(t, filepath.Join(empty, "go"), "")
	if s := c.Wait(t, 60*time.Second); s.ExitCode != 0 || s.Reason != "Completed" {
		t.Errorf("%v", s)
	}
	expectAll(t, c.RawLog(), "app: cd /etc/config", "on fs0 virtiofs", "colour=blue ..2026_11", "one file", "old", "of the group", "the token", "a file of the image", "config is read-only",
		"written -rw-r--r-- 1 0 0 2 ", "from-kubelet", "0 755", "seen")
	for path, want := range map[string]string{filepath.Join(empty, "new"): "new\n", filepath.Join(group, "reply"): "y\n"} {
		if b, err := os.ReadFile(path); string(b) != want {
			t.Errorf("%s: %q %v", path, b, err)
		}
	}
	if _, err := os.Stat(filepath.Join(configMap, "no")); err == nil {
		t.Error("a read-only volume was written to")
	}
	c = p.Run(t, "readonly", ref, nil, append(volumes, readonlyRoot, memory(192<<20), args("/app", "echo z > /etc/written || echo root is read-only; echo more > /cache/more && echo the cache is not; "+
		"touch /etc/config/no || echo nor-$((6*7)); while true; do sleep 1; cat /cache/more; done"))...)
	c.WaitLog(t, "nor-42", 150*time.Second)
	expectAll(t, c.RawLog(), "on fs0 virtiofs", "root is read-only", "the cache is not")
	if err := unix.Kill(childOfMonitor(t, c, "virtiofsd"), unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if s := c.Wait(t, 20*time.Second); s.ExitCode != 137 || s.Reason != "FileServerEnded" || !strings.Contains(s.Message, "its file server ended by signal 9") {
		t.Errorf("%v", s)
	}

	alone, err := n.TryRunPod("alone", "alone")
	if err != nil {
		t.Fatal(err)
	}
	_, err = alone.TryCreate("volume", ref, nil, args("/app"), mount(configMap, "/etc/config", true))
	if status.Code(err) != codes.Unimplemented || !strings.Contains(err.Error(), "volume '/etc/config': a guest whose root is made of its image's files gets volumes with a root that is shared") {
		t.Errorf("%v", err)
	}
	alone.Stop(t)
	alone.Remove(t)
	p.Stop(t)
	p.Remove(t)
	n.IM.RemoveImage(h.Ctx, &cri.ImageSpec{Image: ref})
	n.ExpectCensus(t, before, true)
}

// childOfMonitor is the process of that name that the container's monitor holds.
func childOfMonitor(t *testing.T, c *h.Ctr, name string) int {
	t.Helper()
	lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, l := range lines {
		if b, _ := os.ReadFile(l); string(b) != "unicri-monitor\x00"+c.ID+"\x00" {
			continue
		}
		pid := filepath.Base(filepath.Dir(l))
		children, _ := os.ReadFile(filepath.Join("/proc", pid, "task", pid, "children"))
		for _, child := range strings.Fields(string(children)) {
			if b, _ := os.ReadFile(filepath.Join("/proc", child, "comm")); strings.TrimSpace(string(b)) == name {
				var n int
				fmt.Sscan(child, &n)
				return n
			}
		}
	}
	t.Fatalf("container %s has no process '%s'", c.ID, name)
	return 0
}

// TestVirtiofsdFails: a server that is not there, that dies before its VMM has found it, or that never answers.
func TestVirtiofsdFails(t *testing.T) {
	h.NeedUnicrid(t)
	image := h.NewImage(h.ImageConfig{Labels: map[string]string{
		"com.urunc.unikernel.unikernelType": "linux", "com.urunc.unikernel.hypervisor": "qemu", "com.urunc.unikernel.binary": "/boot/kernel",
		"com.urunc.unikernel.mountRootfs": "true",
	}}, h.GzipLayer(h.Dir("boot", 0o755), h.Reg("boot/kernel", 0o644, emptyKernel())))
	ref := h.RegistryAddr + "/guest/linux:fails"
	needQemu(t)
	config := "[handlers.shared]\nkind = \"qemu\"\nshare = \"virtiofs\"\naccel = \"tcg\"\n"
	node := func(t *testing.T, program string) (*h.Node, *h.Pod, h.Census) {
		n := h.NewNode(t, h.NodeOptions{Images: func(r *h.Registry) error { return r.Push("guest/linux", "fails", image) }, Config: config,
			Set: map[string]string{"vmm.virtiofsd_program": fmt.Sprintf("%q", program), "vmm.ready_timeout": "5"}})
		n.Pull(t, ref)
		before := n.Census()
		p, err := n.TryRunPod("fails", "shared")
		if err != nil {
			t.Fatal(err)
		}
		return n, p, before
	}
	t.Run("absent", func(t *testing.T) {
		_, p, _ := node(t, "/none/virtiofsd")
		_, err := p.TryCreate("c", ref, nil, args("/app"), mount(t.TempDir(), "/data", false))
		if status.Code(err) != codes.Unimplemented || !strings.Contains(err.Error(), "virtiofs: '/none/virtiofsd' is not installed") {
			t.Errorf("%v", err)
		}
	})
	for _, e := range []struct {
		order string
		code  codes.Code
		want  string
	}{
		{"die", codes.Unavailable, "its file server ended with status 3: evil: dying as told"},
		{"hang", codes.DeadlineExceeded, "it waits for its file server, virtiofsd"},
	} {
		t.Run(e.order, func(t *testing.T) {
			n, p, before := node(t, h.Bin("evil-vmm"))
			order := write(t, filepath.Join(t.TempDir(), "evil"), e.order)
			c := p.Create(t, "c", ref, nil, args("/app"), memory(64<<20), mount(order, "/evil", true))
			began := time.Now()
			err := n.RT.StartContainer(h.Ctx, c.ID)
			if status.Code(err) != e.code || !strings.Contains(err.Error(), e.want) {
				t.Errorf("%v", err)
			}
			t.Logf("after %v: %v", time.Since(began), err)
			if err := n.RT.RemoveContainer(h.Ctx, c.ID); err != nil {
				t.Error(err)
			}
			p.Stop(t)
			p.Remove(t)
			n.ExpectCensus(t, before, false)
		})
	}
}
