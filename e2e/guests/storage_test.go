// SPDX-License-Identifier: Apache-2.0

package guests

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
	h "unicri.dev/e2e/harness"
)

// mount is a mount of the container; kubelet's paths tell what kind of volume it is.
func mount(host, path string, readonly bool) h.CtrOpt {
	return func(c *cri.ContainerConfig) {
		c.Mounts = append(c.Mounts, &cri.Mount{HostPath: host, ContainerPath: path, Readonly: readonly})
	}
}

func device(host, path, permissions string) h.CtrOpt {
	return func(c *cri.ContainerConfig) {
		c.Devices = append(c.Devices, &cri.Device{HostPath: host, ContainerPath: path, Permissions: permissions})
	}
}

func readonlyRoot(c *cri.ContainerConfig) { c.Linux.SecurityContext.ReadonlyRootfs = true }

// write makes a file and the directories above it.
func write(t testing.TB, path, text string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// kubelets is what a kubelet mounts into every container, laid out as it does.
func kubelets(t testing.TB) h.CtrOpt {
	pod := filepath.Join(t.TempDir(), "pods/uid")
	token := filepath.Join(pod, "volumes/kubernetes.io~projected/kube-api-access-x7k2p")
	write(t, filepath.Join(token, "..2026/token"), "the token")
	os.Symlink("..2026", filepath.Join(token, "..data"))
	os.Symlink("..data/token", filepath.Join(token, "token"))
	hosts := write(t, filepath.Join(pod, "etc-hosts"), "127.0.0.1 localhost\n10.1.2.3 from-kubelet\n")
	log := write(t, filepath.Join(pod, "containers/guest/5f3a"), "")
	return func(c *cri.ContainerConfig) {
		mount(token, "/var/run/secrets/kubernetes.io/serviceaccount", true)(c)
		mount(hosts, "/etc/hosts", false)(c)
		mount(log, "/dev/termination-log", false)(c)
		c.Annotations["io.kubernetes.container.terminationMessagePath"] = "/dev/termination-log"
	}
}

// loop is a block device of the node with `text` at its beginning, and the file behind it.
func loop(t testing.TB, text string) (dev, file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "volume.img")
	disk := make([]byte, 1<<20)
	copy(disk, text)
	if err := os.WriteFile(file, disk, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("losetup", "-f", "--show", file).CombinedOutput()
	if err != nil {
		t.Skipf("no loop devices on this host: %v %s", err, out)
	}
	dev = strings.TrimSpace(string(out))
	t.Cleanup(func() { exec.Command("losetup", "-d", dev).Run() })
	return dev, file
}

// TestGuestVolumes: what a guest of the built-in monitor is given, and what it is refused.
func TestGuestVolumes(t *testing.T) {
	h.NeedUnicrid(t)
	n := h.NewNode(t, h.NodeOptions{Images: func(r *h.Registry) error { return r.Push("guest/disk", "spt", blockImage(t, "blk.spt")) }})
	n.Pull(t, h.GuestRef("hello.spt"))
	n.Pull(t, h.GuestRef("blk.spt"))
	n.Pull(t, h.GuestRef("disks.spt"))
	own := h.RegistryAddr + "/guest/disk:spt"
	n.Pull(t, own)
	before := n.Census()
	p := n.RunPod(t, "volumes")
	ok := func(t *testing.T, c *h.Ctr, words ...string) {
		t.Helper()
		if s := c.Wait(t, 10e9); s.ExitCode != 0 {
			t.Errorf("%v", s)
		}
		for _, w := range words {
			if !strings.Contains(c.RawLog(), w) {
				t.Errorf("no %q in\n%s", w, c.RawLog())
			}
		}
	}

	t.Run("what a kubelet adds does not hinder", func(t *testing.T) {
		c := p.Run(t, "kubelet", h.GuestRef("hello.spt"), nil, args(), kubelets(t))
		ok(t, c, "Hello from a unikernel")
		want := c.ID + ": the guest is not given '/dev/termination-log', '/var/run/secrets/kubernetes.io/serviceaccount', '/etc/hosts'"
		if strings.Count(n.LogTail(200), want) != 1 {
			t.Errorf("not once in the log: %s\n%s", want, n.LogTail(200))
		}
	})
	t.Run("a block volume by name", func(t *testing.T) {
		dev, file := loop(t, "raw block volume\n")
		ok(t, p.Run(t, "raw", h.GuestRef("blk.spt"), nil, args(), device(dev, "/dev/storage", "mrw")), "sector 0: raw block volume", "written and verified")
		disk, err := os.ReadFile(file)
		if err != nil || disk[512] != 3 || disk[513] != 10 {
			t.Errorf("what the guest wrote is not in the volume: %v", err)
		}
		ok(t, p.Run(t, "raw-ro", h.GuestRef("blk.spt"), nil, args("ro"), device(dev, "/dev/xyz/storage", "mr")), "the disk is read-only")
	})
	t.Run("two block devices", func(t *testing.T) {
		a, file := loop(t, "the first\n")
		b, _ := loop(t, "the second\n")
		ok(t, p.Run(t, "two", h.GuestRef("disks.spt"), nil, args(), device(b, "/dev/extra", "mr"), device(a, "/dev/storage", "mrw")),
			"storage: the first", "extra: the second")
		if disk, err := os.ReadFile(file); err != nil || !bytes.HasPrefix(disk[512:], []byte("the second\n")) {
			t.Errorf("sector 1: %q %v", disk[512:540], err)
		}
	})
	t.Run("the image's disk", func(t *testing.T) {
		dev, file := loop(t, "instead of the image's\n")
		ok(t, p.Run(t, "over", own, nil, args(), device(dev, "/dev/storage", "mrw")), "sector 0: instead of the image's")
		if disk, _ := os.ReadFile(file); disk[512] != 3 {
			t.Error("not written")
		}
		ok(t, p.Run(t, "shared", own, nil, args("ro"), readonlyRoot), "first sector of the disk", "the disk is read-only")
	})

	t.Run("a daemon that is killed between create and start", func(t *testing.T) {
		c := p.Create(t, "killed", own, nil, args())
		gone := p.Create(t, "gone", own, nil, args())
		n.Restart()
		c.Start(t)
		ok(t, c, "first sector of the disk", "written and verified")
		if err := n.RT.RemoveContainer(h.Ctx, gone.ID); err != nil {
			t.Error(err)
		}
		files, _ := filepath.Glob(filepath.Join(n.Root, "containers", gone.ID))
		if len(files) > 0 {
			t.Errorf("left behind: %q", files)
		}
	})

	dev, _ := loop(t, "x")
	dir := t.TempDir()
	empty := filepath.Join(dir, "pods/uid/volumes/kubernetes.io~empty-dir/cache")
	configMap := filepath.Join(dir, "pods/uid/volumes/kubernetes.io~configmap/kube-api-access-mine")
	for _, d := range []string{empty, configMap} {
		os.MkdirAll(d, 0o755)
	}
	file := write(t, filepath.Join(dir, "file"), "x")
	for _, e := range []struct {
		name, image string
		opt         h.CtrOpt
		code        codes.Code
		want        string
	}{
		{"config map", "hello.spt", mount(configMap, "/etc/config", true), codes.Unimplemented, "volume '/etc/config': unikernels of type 'mirage' take no volumes by 'tender-spt'; remove it"},
		{"empty dir", "hello.spt", mount(empty, "/cache", false), codes.Unimplemented, "volume '/cache'"},
		{"a user's own hosts", "hello.spt", mount(file, "/etc/hosts", true), codes.Unimplemented, "volume '/etc/hosts'"},
		{"image volume", "hello.spt", func(c *cri.ContainerConfig) {
			c.Mounts = append(c.Mounts, &cri.Mount{ContainerPath: "/vol", Readonly: true, Image: &cri.ImageSpec{Image: h.GuestRef("hello.spt")}})
		}, codes.Unimplemented, "volume '/vol'"},
		{"no device for a volume", "hello.spt", device(dev, "/dev/data", "mrw"), codes.InvalidArgument, "declares no block device 'data'"},
		{"no volume for a device", "blk.spt", func(*cri.ContainerConfig) {}, codes.InvalidArgument, "devicePath '/dev/storage'"},
		{"one of two", "disks.spt", device(dev, "/dev/storage", "mrw"), codes.InvalidArgument, "devicePath '/dev/extra'"},
		{"character device", "blk.spt", device("/dev/null", "/dev/storage", "mrw"), codes.Unimplemented, "'/dev/null' is none"},
		{"file as a device", "blk.spt", device(file, "/dev/storage", "mrw"), codes.Unimplemented, "is none"},
		{"missing device", "blk.spt", device(dir+"/none", "/dev/storage", "mrw"), codes.NotFound, "/none"},
	} {
		t.Run("refused: "+e.name, func(t *testing.T) {
			c, err := p.TryCreate("refused", h.GuestRef(e.image), nil, args(), e.opt)
			if err == nil {
				t.Fatalf("created as %s", c.ID)
			}
			if status.Code(err) != e.code || !strings.Contains(err.Error(), e.want) {
				t.Errorf("%v", err)
			}
		})
	}
	p.Stop(t)
	p.Remove(t)
	n.ExpectCensus(t, before, false)
}
