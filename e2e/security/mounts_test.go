// SPDX-License-Identifier: Apache-2.0

package security

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
	h "unicri.dev/e2e/harness"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// tmpfs mounts one for the time of the test, with a propagation of its own.
func tmpfs(t *testing.T, dir string, propagation uintptr) string {
	t.Helper()
	must(t, os.MkdirAll(dir, 0o755))
	must(t, unix.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"))
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	must(t, unix.Mount("", dir, "", propagation, ""))
	return dir
}

// TestMounts covers what a mount's source may be, where it lands, and how it is seen.
func TestMounts(t *testing.T) {
	h.NeedUnicrid(t)
	n := h.NewNode(t, h.NodeOptions{})
	n.Pull(t, h.BusyboxRef)
	p := n.RunPod(t, "mounts")
	dir := n.Dir + "/volumes"
	must(t, os.MkdirAll(dir+"/a/b", 0o755))
	must(t, os.MkdirAll(dir+"/c", 0o755))
	for _, f := range []string{"a/in-a", "a/b/in-b", "c/in-c", "file", "hosts"} {
		must(t, os.WriteFile(filepath.Join(dir, f), []byte(f+"\n"), 0o644))
	}
	must(t, os.Symlink("a", dir+"/link"))
	must(t, os.Symlink("file", dir+"/filelink"))
	must(t, os.Symlink("nowhere", dir+"/dangling"))
	must(t, unix.Mkfifo(dir+"/fifo", 0o644))
	socket, err := net.Listen("unix", dir+"/socket")
	must(t, err)
	defer socket.Close()
	under := tmpfs(t, dir+"/under", unix.MS_PRIVATE)
	tmpfs(t, under+"/sub", unix.MS_PRIVATE)
	at := func(container, host string) *cri.Mount {
		return &cri.Mount{ContainerPath: container, HostPath: filepath.Join(dir, host)}
	}
	ro := func(m *cri.Mount) *cri.Mount { m.Readonly = true; return m }
	rro := func(m *cri.Mount) *cri.Mount { m.Readonly, m.RecursiveReadOnly = true, true; return m }
	spread := func(m *cri.Mount, p cri.MountPropagation) *cri.Mount { m.Propagation = p; return m }
	const slave, shared = cri.MountPropagation_PROPAGATION_HOST_TO_CONTAINER, cri.MountPropagation_PROPAGATION_BIDIRECTIONAL
	runCases(t, p, []ctrCase{
		{name: "directory", script: "cat /v/in-a /v/b/in-b; echo x > /v/new && echo rw", opt: mounts(at("/v", "a")), want: "a/in-a a/b/in-b rw"},
		{name: "file", script: "cat /v/deep/f", opt: mounts(at("/v/deep/f", "file")), want: "file"},
		{name: "link to a directory", script: "cat /v/in-a", opt: mounts(at("/v", "link")), want: "a/in-a"},
		{name: "link to a file", script: "cat /v; test -L /v || echo none", opt: mounts(at("/v", "filelink")), want: "file none"},
		{name: "link to nowhere", opt: mounts(at("/v", "dangling")), refused: "dangling"},
		{name: "below a file", opt: mounts(at("/v", "file/x")), refused: "file/x"},
		{name: "fifo", script: "test -p /v && echo fifo", opt: mounts(at("/v", "fifo")), want: "fifo"},
		{name: "socket", script: "test -S /run/s && echo socket", opt: mounts(at("/run/s", "socket")), want: "socket"},
		{name: "device", script: "test -c /v && echo x > /v && echo written", opt: mounts(&cri.Mount{ContainerPath: "/v", HostPath: "/dev/null"}), want: "written"},
		{name: "a missing directory is made", script: "touch /v/x && echo made", opt: mounts(at("/v", "new/deeper")), want: "made"},
		{name: "the inner one first", script: "cat /v/in-a /v/b/in-c", opt: mounts(at("/v/b", "c"), at("/v", "a")), want: "a/in-a c/in-c"},
		{name: "slashes do not matter", script: "cat /v/in-a /v/b/in-c", opt: mounts(at("//v/b/", "c"), at("/v/", "a")), want: "a/in-a c/in-c"},
		{name: "dots do not matter", script: "cat /v/in-a /v/b/in-c", opt: mounts(at("/x/../v/./b", "c"), at("/v", "a")), want: "a/in-a c/in-c"},
		{name: "the later of two", script: "ls /v", opt: mounts(at("/v", "a"), at("/v", "c")), want: "in-c"},
		{name: "above the root", script: "cat /v/in-a", opt: mounts(at("/../../v", "a")), want: "a/in-a"},
		{name: "over the pod's file", script: "cat /etc/hosts; grep -c nameserver /etc/resolv.conf", opt: mounts(at("/etc/hosts", "hosts")), want: "hosts 1"},
		{name: "over /dev/shm", script: "ls /dev/shm", opt: mounts(at("/dev/shm", "c")), want: "in-c"},
		{name: "over /tmp of a read-only root", script: "touch /tmp/y && echo rw; touch /y || echo ro", want: "rw ro",
			opt: func(c *cri.ContainerConfig) {
				mounts(at("/tmp", "a"))(c)
				c.Linux.SecurityContext.ReadonlyRootfs = true
			}},
		{name: "over the root", opt: mounts(at("/", "a")), refused: "root"},
		{name: "over the root by dots", opt: mounts(at("/a/..", "a")), refused: "root"},
		{name: "relative target", opt: mounts(at("v", "a")), refused: "container_path"},
		{name: "relative source", opt: mounts(&cri.Mount{ContainerPath: "/v", HostPath: "a"}), refused: "host_path"},
		{name: "source with dots", opt: mounts(&cri.Mount{ContainerPath: "/v", HostPath: dir + "/a/../c"}), refused: "host_path"},

		{name: "read-only", script: "touch /v/x || echo ro; touch /v/sub/x && echo rw", opt: mounts(ro(at("/v", "under"))), want: "ro rw"},
		{name: "recursively read-only", script: "touch /v/x || echo ro; touch /v/sub/x || echo ro", opt: mounts(rro(at("/v", "under"))), want: "ro ro"},
		{name: "recursively, but not read-only", opt: mounts(&cri.Mount{ContainerPath: "/v", HostPath: dir, RecursiveReadOnly: true}), refused: "recursive_read_only"},
		{name: "recursively read-only, with propagation", opt: mounts(spread(rro(at("/v", "under")), slave)), refused: "recursive_read_only"},
		{name: "propagation of a private mount", opt: mounts(spread(at("/v", "under"), slave)), refused: "private"},
		{name: "propagation to a private mount", opt: mounts(spread(at("/v", "under"), shared)), refused: "shared"},
		{name: "relabel without SELinux", script: "cat /v/in-a", opt: mounts(&cri.Mount{ContainerPath: "/v", HostPath: dir + "/a", SelinuxRelabel: true}), want: "a/in-a"},
		{name: "unknown option", opt: mounts(&cri.Mount{ContainerPath: "/v", HostPath: dir, MountOptions: []string{"suid"}}), refused: "suid"},
	})
	c := p.Create(t, "proc", h.BusyboxRef, []string{"true"}, mounts(at("/proc/a", "a"))) // the OCI runtime knows what it can
	if err := n.RT.StartContainer(h.Ctx, c.ID); err == nil || !strings.Contains(err.Error(), "/proc") {
		t.Errorf("a mount inside /proc: %v", err)
	}
	c = p.Create(t, "status", h.BusyboxRef, []string{"true"}, mounts(at("/x/../v", "link"), rro(at("/w", "c"))))
	if m := c.Status(t).Mounts; len(m) != 2 || m[0].ContainerPath != "/v" || m[0].HostPath != dir+"/link" || !m[1].RecursiveReadOnly || !m[1].Readonly {
		t.Errorf("mounts of the status: %v", m)
	}
}

// TestPropagation mounts on the node and in a container while both look.
func TestPropagation(t *testing.T) {
	h.NeedUnicrid(t)
	n := h.NewNode(t, h.NodeOptions{})
	n.Pull(t, h.BusyboxRef)
	p := n.RunPod(t, "propagation", func(c *cri.PodSandboxConfig) { c.Linux.SecurityContext.Privileged = true })
	dir := tmpfs(t, n.Dir+"/shared", unix.MS_SHARED)
	for _, d := range []string{"host", "private", "slave", "bidirectional"} {
		must(t, os.Mkdir(dir+"/"+d, 0o755))
	}
	for _, c := range []struct {
		name               string
		mode               cri.MountPropagation
		sees, isSeen, late bool
	}{
		{"private", cri.MountPropagation_PROPAGATION_PRIVATE, false, false, false},
		{"slave", cri.MountPropagation_PROPAGATION_HOST_TO_CONTAINER, true, false, true},
		{"bidirectional", cri.MountPropagation_PROPAGATION_BIDIRECTIONAL, true, true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctr := p.Sh(t, c.name, "mount -t tmpfs inside /v/"+c.name+" && touch /v/"+c.name+"/in && echo ready; exec sleep 1000",
				mounts(&cri.Mount{ContainerPath: "/v", HostPath: dir, Propagation: c.mode}), context(func(s *secContext) { s.Privileged = true }))
			ctr.WaitLog(t, "ready", 10e9)
			_, err := os.Stat(dir + "/" + c.name + "/in")
			if (err == nil) != c.isSeen {
				t.Errorf("the node sees the container's mount: %v", err == nil)
			}
			must(t, unix.Mount("tmpfs", dir+"/host", "tmpfs", 0, "size=1m"))
			must(t, os.WriteFile(dir+"/host/from-host", nil, 0o644))
			if got := strings.Contains(ctr.Exec(t, "ls", "/v/host"), "from-host"); got != c.sees {
				t.Errorf("the container sees the node's mount: %v", got)
			}
			must(t, unix.Unmount(dir+"/host", 0))
			n.RT.StopContainer(h.Ctx, ctr.ID, 0)
			for end := time.Now().Add(h.Slow(5 * time.Second)); unix.Unmount(dir+"/"+c.name, unix.MNT_DETACH) == nil && time.Now().Before(end); {
			}
		})
	}
	p.Remove(t)
}

// TestDevices covers devices of the request and a node's /dev as a volume.
func TestDevices(t *testing.T) {
	h.NeedUnicrid(t)
	n := h.NewNode(t, h.NodeOptions{})
	n.Pull(t, h.BusyboxRef)
	p := n.RunPod(t, "devices", func(c *cri.PodSandboxConfig) { c.Linux.SecurityContext.Privileged = true })
	dir := n.Dir + "/dev"
	must(t, os.MkdirAll(dir+"/deep/er", 0o755))
	for name, minor := range map[string]uint32{"zero": 5, "deep/full": 7, "deep/er/null": 3} {
		must(t, unix.Mknod(filepath.Join(dir, name), unix.S_IFCHR|0o666, int(unix.Mkdev(1, minor))))
		must(t, os.Chmod(filepath.Join(dir, name), 0o666))
	}
	must(t, os.Symlink("zero", dir+"/link"))
	must(t, os.WriteFile(dir+"/deep/file", nil, 0o644))
	must(t, os.MkdirAll(n.Dir+"/nothing", 0o755))
	device := func(container, host, permissions string) h.CtrOpt {
		return func(c *cri.ContainerConfig) {
			c.Devices = append(c.Devices, &cri.Device{ContainerPath: container, HostPath: host, Permissions: permissions})
		}
	}
	runCases(t, p, []ctrCase{
		{name: "all permissions", script: "stat -c %t:%T:%a /dev/mine; head -c 3 /dev/mine | wc -c; echo x > /dev/mine && echo written", opt: device("/dev/mine", dir+"/zero", "rwm"), want: "1:5:666 3 written"},
		{name: "no permissions are all", script: "head -c 3 /dev/mine | wc -c", opt: device("/dev/mine", dir+"/zero", ""), want: "3"},
		{name: "elsewhere", script: "head -c 3 /opt/d/zero | wc -c", opt: device("/opt/d/zero", dir+"/zero", "rw"), want: "3"},
		{name: "by a link", script: "head -c 3 /dev/mine | wc -c", opt: device("/dev/mine", dir+"/link", "r"), want: "3"},
		{name: "a directory of devices", script: "cd /dev/all; find . | sort; echo x > full || echo full", opt: device("/dev/all", dir+"/deep", "rw"), want: ". ./er ./er/null ./full full"},
		{name: "a directory without devices", opt: device("/dev/all", n.Dir+"/nothing", "rw"), refused: "nothing"},
		{name: "a file", opt: device("/dev/mine", dir+"/deep/file", "rw"), refused: "not a device"},
		{name: "missing", opt: device("/dev/mine", dir+"/none", "rw"), refused: "none"},
		{name: "unknown permission", opt: device("/dev/mine", dir+"/zero", "rx"), refused: "rx"},
		{name: "relative", opt: device("mine", dir+"/zero", "r"), refused: "container_path"},
		{name: "upwards", opt: device("/dev/../../mine", dir+"/zero", "r"), refused: "container_path"},
		{name: "the node's /dev", script: "stat -c %t:%T /dev/kmsg; ls -d /dev/pts/ptmx; echo x > /dev/null && echo null",
			opt: func(c *cri.ContainerConfig) {
				mounts(&cri.Mount{ContainerPath: "/dev", HostPath: "/dev"})(c)
				c.Linux.SecurityContext.Privileged = true
			}, want: "1:b /dev/pts/ptmx null"},
		{name: "the node's /sys", script: "ls /sys/fs/cgroup | wc -l | sed 's/[1-9][0-9]*/some/'", opt: mounts(&cri.Mount{ContainerPath: "/sys", HostPath: "/sys", Readonly: true}), want: "some"},
	})
	// What a rule does not allow, not even root may. The OCI runtime allows some devices anyway: this one is none of them.
	for _, dev := range []string{"/dev/fuse", "/dev/net/tun", "/dev/loop-control"} {
		if _, err := os.Stat(dev); err == nil {
			runCases(t, p, []ctrCase{{name: "to read only", script: "exec 3< /dev/mine && echo read; ( : > /dev/mine ) 2>/dev/null || echo not", opt: device("/dev/mine", dev, "r"), want: "read not"}})
			break
		}
	}
}
