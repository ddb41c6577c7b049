// SPDX-License-Identifier: Apache-2.0

package guests

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
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

// evalInit runs its first argument as a shell's line.
const evalInit = `#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
for m in MODULES; do insmod /modules/$m; done
eval "$1"
poweroff -f
`

// diskInit does as the initrds of distributions do: it mounts the root that the kernel's command line names and goes there.
const diskInit = `#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t devtmpfs dev /dev
mount -t proc proc /proc
for m in MODULES; do insmod /modules/$m; done
mode=rw
for w in $(cat /proc/cmdline); do
	case $w in
	root=*) root=${w#root=} ;;
	rootfstype=*) type=${w#rootfstype=} ;;
	init=*) init=${w#init=} ;;
	ro|rw) mode=$w ;;
	--) break ;;
	esac
done
mkdir /root
mount -t $type -o $mode $root /root || poweroff -f
mount -t devtmpfs dev /root/dev
exec switch_root /root $init "$@"
`

// appOnDisk is the program of the image, which runs from its disk.
const appOnDisk = `#!/bin/busybox sh
export PATH=/bin
mount -t proc proc /proc
echo "app: $* on $(grep ' / ' /proc/mounts | grep -v rootfs | cut -d' ' -f1,3) $(cut -c1-2 /proc/mounts | wc -l)"
cat /data/from-image
if touch /written 2>/dev/null; then echo "written $(ls /written)"; else echo "cannot write"; fi
[ -b /dev/vdb ] && echo "vdb: $(head -c 9 /dev/vdb)" && mount -t sysfs sys /sys && echo "serial: $(cat /sys/block/vdb/serial)"
[ -b /dev/vdb ] && printf 'from the guest' | dd of=/dev/vdb bs=512 seek=1 conv=sync 2>/dev/null && sync
poweroff -f
`

var blockModules = []string{"drivers/virtio/virtio_ring", "drivers/virtio/virtio", "drivers/virtio/virtio_pci_legacy_dev", "drivers/virtio/virtio_pci_modern_dev",
	"drivers/virtio/virtio_pci", "drivers/block/virtio_blk"}

// run runs a guest to its end and returns what it printed.
func runToEnd(t *testing.T, p *h.Pod, name, ref string, opts ...h.CtrOpt) string {
	t.Helper()
	c := p.Run(t, name, ref, nil, append(opts, memory(192<<20))...)
	if s := c.Wait(t, 150*time.Second); s.ExitCode != 0 {
		t.Errorf("%v", s)
	}
	return c.RawLog()
}

func expectAll(t *testing.T, log string, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(log, w) {
			t.Errorf("no %q in\n%s", w, log)
		}
	}
}

// warm runs a guest with a network: the classifier is loaded once.
func warm(t *testing.T, n *h.Node) {
	n.Pull(t, h.GuestRef("http.spt"))
	w := n.RunPod(t, "warm")
	w.Run(t, "c", h.GuestRef("http.spt"), nil, args()).WaitLog(t, "8080", 10e9)
	w.Stop(t)
	w.Remove(t)
}

// TestLinuxVolumes: a Linux guest reads ConfigMaps, Secrets and all that a kubelet mounts.
func TestLinuxVolumes(t *testing.T) {
	h.NeedUnicrid(t)
	image := linuxGuest(t, evalInit, nil, nil)
	ref := h.RegistryAddr + "/guest/linux:volumes"
	n := h.NewNode(t, h.NodeOptions{Images: func(r *h.Registry) error { return r.Push("guest/linux", "volumes", image) }})
	n.Pull(t, ref)
	warm(t, n)
	dir := t.TempDir()
	volumes := filepath.Join(dir, "pods/uid/volumes")
	configMap := filepath.Join(volumes, "kubernetes.io~configmap/config")
	write(t, filepath.Join(configMap, "..2026_11/colour"), "blue\n")
	os.Symlink("..2026_11", filepath.Join(configMap, "..data"))
	os.Symlink("..data/colour", filepath.Join(configMap, "colour"))
	secret := filepath.Join(volumes, "kubernetes.io~secret/key")
	os.MkdirAll(secret, 0o755)
	if err := unix.Mount("tmpfs", secret, "tmpfs", 0, "size=64k"); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(secret, unix.MNT_DETACH)
	os.WriteFile(write(t, filepath.Join(secret, "password"), ""), []byte("a well kept secret\n"), 0)
	os.Chmod(filepath.Join(secret, "password"), 0o400)
	os.Chown(filepath.Join(secret, "password"), 1234, 5678)
	empty := filepath.Join(volumes, "kubernetes.io~empty-dir/cache")
	write(t, filepath.Join(empty, "old"), "old\n")
	single := write(t, filepath.Join(dir, "single.conf"), "one file\n")
	before := n.Census()
	p := n.RunPod(t, "volumes")

	log := runToEnd(t, p, "guest", ref, kubelets(t), mount(configMap, "/etc/config", true), mount(secret, "/run/keys", true), mount(empty, "/cache", false),
		mount(single, "/etc/app/single.conf", true), args("/init", "cd /etc/config; echo colour=$(cat colour) $(readlink ..data); ls -ln /run/keys/password; cat /run/keys/password /etc/app/single.conf "+
			"/var/run/secrets/kubernetes.io/serviceaccount/token /etc/resolv.conf; grep from-kubelet /etc/hosts; echo host $(cat /etc/hostname); echo new > /cache/new; ls /cache; ls /dev/termination-log"))
	expectAll(t, log, "colour=blue ..2026_11", "-r--------    1 1234     5678            19", "a well kept secret", "one file", "the token", "nameserver 10.96.0.10",
		"10.1.2.3 from-kubelet", "host volumes", "new", "old", "/dev/termination-log: No such file")
	if _, err := os.Stat(filepath.Join(empty, "new")); err == nil {
		t.Error("what the guest wrote into its copy is on the node")
	}
	expectAll(t, n.LogTail(300), "the guest is not given '/dev/termination-log'", "has '/etc/hosts', '/cache' as a copy")

	// A secret never lies on a disk.
	filepath.WalkDir(n.Root, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			if data, err := os.ReadFile(path); err == nil && bytes.Contains(data, []byte("a well kept secret")) {
				t.Errorf("the secret is in %s", path)
			}
		}
		return nil
	})

	// More variables than a kernel takes, and such as it would take for its own or cannot read.
	opts := []h.CtrOpt{env("lower_case", "a \"b\" 'c'"), env("init", "/nowhere"), args("/init", "echo n=$(env | grep -c '^SVC_'); env | grep -E '^(lower_case|init|HOME)='; ls -d /.unicri")}
	for i := 0; i < 70; i++ {
		opts = append(opts, env(fmt.Sprintf("SVC_%d_PORT", i), "tcp://10.96.0.1:443"))
	}
	expectAll(t, runToEnd(t, p, "many", ref, opts...), "n=70", `lower_case=a "b" 'c'`, "init=/nowhere", "HOME=/", "ls: /.unicri: No such file")

	// What was made at create is there after a restart, and is a copy of that time.
	c := p.Create(t, "killed", ref, nil, mount(configMap, "/etc/config", true), args("/init", "cat /etc/config/colour"), memory(192<<20))
	write(t, filepath.Join(configMap, "..2026_11/colour"), "red\n")
	n.Restart()
	c.Start(t)
	c.Wait(t, 150*time.Second)
	expectAll(t, c.RawLog(), "stdout F blue")

	for _, e := range []struct {
		name string
		opt  h.CtrOpt
		code codes.Code
		want string
	}{
		{"writable", mount(dir, "/data", false), codes.Unimplemented, "volume '/data': is writable"},
		{"too big", mount(hugeFile(t), "/data", true), codes.Unimplemented, "volume '/data': more than"},
		{"propagation", func(c *cri.ContainerConfig) {
			c.Mounts = append(c.Mounts, &cri.Mount{HostPath: dir, ContainerPath: "/data", Readonly: true, Propagation: cri.MountPropagation_PROPAGATION_HOST_TO_CONTAINER})
		}, codes.Unimplemented, "mountPropagation"},
	} {
		t.Run("refused: "+e.name, func(t *testing.T) {
			_, err := p.TryCreate("refused", ref, nil, args("/init", ":"), e.opt)
			if err == nil || status.Code(err) != e.code || !strings.Contains(err.Error(), e.want) {
				t.Errorf("%v", err)
			}
		})
	}
	p.Stop(t)
	p.Remove(t)
	n.ExpectCensus(t, before, false)
}

// hugeFile is one that looks like a terabyte.
func hugeFile(t *testing.T) string {
	path := write(t, filepath.Join(t.TempDir(), "huge"), "")
	if err := os.Truncate(path, 1<<40); err != nil {
		t.Skip(err)
	}
	return path
}

// TestLinuxDisk: the image's root filesystem as a guest's disk, shared and private, and a raw block volume beside it.
func TestLinuxDisk(t *testing.T) {
	h.NeedUnicrid(t)
	files := append(h.BusyboxFiles(), h.Dir("dev", 0o755), h.Dir("proc", 0o755), h.Dir("sys", 0o755), h.Dir("data", 0o755), h.Reg("data/from-image", 0o644, []byte("a file of the image\n")),
		h.Reg("app", 0o755, []byte(appOnDisk)))
	image := linuxGuest(t, diskInit, blockModules, map[string]string{"com.urunc.unikernel.mountRootfs": "true"}, files...)
	ref := h.RegistryAddr + "/guest/linux:disk"
	n := h.NewNode(t, h.NodeOptions{Images: func(r *h.Registry) error { return r.Push("guest/linux", "disk", image) }})
	warm(t, n)
	before := n.Census()
	n.Pull(t, ref)
	p := n.RunPod(t, "disk")
	dev, file := loop(t, "of a node")

	log := runToEnd(t, p, "private", ref, args("/app", "first run"), device(dev, "/dev/block/my-volume", "mrw"))
	expectAll(t, log, "app: first run on /dev/vda ext4", "a file of the image", "written /written", "vdb: of a node", "serial: my-volume")
	if disk, err := os.ReadFile(file); err != nil || !bytes.HasPrefix(disk[512:], []byte("from the guest")) {
		t.Errorf("sector 1 of the volume: %q %v", disk[512:540], err)
	}
	log = runToEnd(t, p, "shared", ref, args("/app", "second run"), readonlyRoot)
	expectAll(t, log, "app: second run on /dev/vda ext4", "a file of the image", "cannot write")

	p.Stop(t)
	p.Remove(t)
	n.IM.RemoveImage(h.Ctx, &cri.ImageSpec{Image: ref}) // its disk goes with it
	n.ExpectCensus(t, before, true)
}

// TestShares: volumes by 9p, live on both sides. The guest speaks the protocol itself and is told of its shares as Unikraft is.
func TestShares(t *testing.T) {
	h.NeedUnicrid(t)
	if _, err := exec.LookPath("qemu-system-x86_64"); err != nil {
		t.Skip("package qemu-system-x86 is not installed")
	}
	image := h.NewImage(h.ImageConfig{Labels: map[string]string{
		"com.urunc.unikernel.unikernelType": "unikraft",
		"com.urunc.unikernel.hypervisor":    "qemu",
		"com.urunc.unikernel.binary":        "/kernel",
	}}, h.GzipLayer(h.Reg("kernel", 0o644, mustRead(h.Guest("share.pvh")))))
	ref := h.RegistryAddr + "/guest/share:pvh"
	n := h.NewNode(t, h.NodeOptions{Images: func(r *h.Registry) error { return r.Push("guest/share", "pvh", image) }})
	n.Pull(t, ref)
	warm(t, n)
	dir := t.TempDir()
	data, config, group := filepath.Join(dir, "data"), filepath.Join(dir, "config"), filepath.Join(dir, "group")
	for d, text := range map[string]string{data: "of the data", config: "of the config", group: "of the group"} {
		write(t, filepath.Join(d, "message"), text+"\n")
	}
	os.Chmod(data, 0o777)
	os.Chown(group, 0, 4321)
	os.Chmod(group, 0o770)
	os.Chmod(config, 0o777) // only the mount is read-only
	before := n.Census()
	p := n.RunPod(t, "shares")

	c := p.Run(t, "guest", ref, nil, args("word"), memory(64<<20), kubelets(t), mount(config, "/etc/config", true), mount(data, "/data", false),
		mount(group, "/group", false), func(c *cri.ContainerConfig) { c.Linux.SecurityContext.SupplementalGroups = []int64{0, 4321} })
	c.Wait(t, 60*time.Second)
	expectAll(t, c.Out(t, "stdout"),
		`vfs.fstab=[ "fs1:/var/run/secrets/kubernetes.io/serviceaccount:9pfs:::" "fs2:/etc/config:9pfs:::" "fs3:/data:9pfs:::" "fs4:/group:9pfs:::" ] -- word`,
		"share fs2\nattach: ok\nof the config\nmessage: ok\nreply: error 30", "share fs3\nattach: ok\nof the data\nmessage: ok\nreply: ok",
		"share fs4\nattach: ok\nof the group\nmessage: ok\nreply: ok")
	for _, d := range []string{data, group} {
		if b, err := os.ReadFile(filepath.Join(d, "reply")); string(b) != "written by the guest\n" {
			t.Errorf("%s: %q %v", d, b, err)
		}
	}
	if _, err := os.Stat(filepath.Join(config, "reply")); err == nil {
		t.Error("a read-only volume was written to")
	}
	expectAll(t, n.LogTail(300), "the guest is not given '/dev/termination-log', '/etc/hosts'")

	_, err := p.TryCreate("file", ref, nil, args(), mount(data, "/data", false), mount(filepath.Join(data, "message"), "/etc/message", true))
	if status.Code(err) != codes.Unimplemented || !strings.Contains(err.Error(), "volume '/etc/message': is a single file") {
		t.Errorf("%v", err)
	}
	p.Stop(t)
	p.Remove(t)
	n.ExpectCensus(t, before, true)
}
