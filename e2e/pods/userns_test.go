// SPDX-License-Identifier: Apache-2.0

package pods

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
	h "unicri.dev/e2e/harness"
)

const (
	firstID = 1000 * 65536
	manyIDs = 65536
)

func idmap() []*cri.IDMapping {
	return []*cri.IDMapping{{HostId: firstID, ContainerId: 0, Length: manyIDs}}
}

func userns() *cri.UserNamespace {
	return &cri.UserNamespace{Mode: cri.NamespaceMode_POD, Uids: idmap(), Gids: idmap()}
}

func podUserns(c *cri.PodSandboxConfig) {
	c.Linux.SecurityContext.NamespaceOptions.UsernsOptions = userns()
}

func ctrUserns(c *cri.ContainerConfig) {
	c.Linux.SecurityContext.NamespaceOptions.UsernsOptions = userns()
}

// promising writes an OCI runtime that says it has idmapped mounts and else is the node's own: what is made before
// the runtime is called can be tested on any node.
func promising(t *testing.T, dir string) string {
	real, err := exec.LookPath("runc")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "promising")
	script := fmt.Sprintf(`#!/bin/sh
[ "$1" = features ] || exec %s "$@"
echo '{"mountOptions":["rro"],"linux":{"namespaces":["user"],"mountExtensions":{"idmap":{"enabled":true}}},"annotations":{"org.opencontainers.runc.version":"9.9.9"}}'
`, real)
	if err := os.WriteFile(path, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func refused(t *testing.T, what string, err error, words ...string) {
	t.Helper()
	if c := status.Code(err); c != codes.InvalidArgument && c != codes.Unimplemented && c != codes.FailedPrecondition {
		t.Errorf("%s: code %v (%v)", what, c, err)
	}
	for _, w := range words {
		if err == nil || !strings.Contains(err.Error(), w) {
			t.Errorf("%s: %v; does not say %q", what, err, w)
		}
	}
}

func owner(t *testing.T, path string) uint32 {
	t.Helper()
	var st syscall.Stat_t
	if err := syscall.Lstat(path, &st); err != nil {
		t.Fatal(err)
	}
	return st.Uid
}

// nsOwner is the user namespace that owns a pinned namespace, as a number.
func nsOwner(t *testing.T, path string) uint64 {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const nsGetUserns = 0xb701
	fd, _, errno := syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), nsGetUserns, 0)
	if errno != 0 {
		t.Fatalf("owner of %s: %v", path, errno)
	}
	defer syscall.Close(int(fd))
	var st syscall.Stat_t
	if err := syscall.Fstat(int(fd), &st); err != nil {
		t.Fatal(err)
	}
	return st.Ino
}

// pushVolumes pushes images that are good for volumes only: one of two layers, one of none.
func pushVolumes(r *h.Registry) error {
	users := h.Reg("d/users", 0o644, nil)
	users.Hdr.Uid = 33
	two := h.NewImage(h.ImageConfig{}, h.GzipLayer(h.Dir("d", 0o755), h.Reg("d/old", 0o644, nil)), h.GzipLayer(h.Reg("d/new", 0o600, []byte("new")), users))
	if err := r.Push("two", "latest", two); err != nil {
		return err
	}
	return r.Push("none", "latest", h.NewImage(h.ImageConfig{}))
}

// volumes are mounts of images as a kubelet asks for them in such a pod.
func volumes(t *testing.T, n *h.Node) (out []*cri.Mount) {
	for i, ref := range []string{h.BusyboxRef, h.RegistryAddr + "/two", h.RegistryAddr + "/two", h.RegistryAddr + "/none"} {
		out = append(out, &cri.Mount{ContainerPath: fmt.Sprint("/vol", i), Image: &cri.ImageSpec{Image: n.Pull(t, ref)}, Readonly: true, UidMappings: idmap(), GidMappings: idmap()})
	}
	return out
}

// TestUserNamespacePod covers what is there before the OCI runtime comes: the pod's namespaces, its files, the
// root filesystem with mapped owners, and what is refused.
func TestUserNamespacePod(t *testing.T) {
	h.NeedUnicrid(t)
	dir := t.TempDir()
	weak := filepath.Join(dir, "weak")
	os.WriteFile(weak, []byte("#!/bin/sh\necho '{\"mountOptions\":[],\"linux\":{\"namespaces\":[\"user\"]},\"annotations\":{\"org.opencontainers.runc.version\":\"1.1.5\"}}'\n"), 0o755)
	n := h.NewNode(t, h.NodeOptions{Images: pushVolumes, Config: fmt.Sprintf("[handlers.promising]\nkind = \"runc\"\nprogram = %q\n[handlers.weak]\nkind = \"runc\"\nprogram = %q\n", promising(t, dir), weak)})
	volumes(t, n)
	before := warm(t, n)

	s, err := n.RT.Status(h.Ctx, false)
	if err != nil {
		t.Fatal(err)
	}
	runc := slices.IndexFunc(s.RuntimeHandlers, func(r *cri.RuntimeHandler) bool { return r.Name == "runc" })
	for _, r := range s.RuntimeHandlers {
		if r.Name == "promising" && (!r.Features.UserNamespaces || !r.Features.RecursiveReadOnlyMounts) {
			t.Errorf("features of a runtime with idmapped mounts: %v", r.Features)
		}
		if r.Name == "weak" && (r.Features.UserNamespaces || r.Features.RecursiveReadOnlyMounts) {
			t.Errorf("features of a runtime without: %v", r.Features)
		}
		// a monitor's pods may hold ordinary containers
		if strings.HasPrefix(r.Name, "tender-") && r.Features.String() != s.RuntimeHandlers[runc].Features.String() {
			t.Errorf("features of %s: %v", r.Name, r.Features)
		}
	}
	if !s.Features.UserNamespacesHostNetwork || !s.Features.MountOptions {
		t.Errorf("features: %v", s.Features)
	}

	p, err := n.TryRunPod("userns", "promising", podUserns, func(c *cri.PodSandboxConfig) {
		c.Linux.Sysctls = map[string]string{"kernel.shm_rmid_forced": "1", "net.ipv4.ip_forward": "1"}
	})
	if err != nil {
		t.Fatal(err)
	}
	pin := filepath.Join(n.Run, "userns", p.ID)
	var st syscall.Stat_t
	if err := syscall.Stat(pin, &st); err != nil {
		t.Fatal(err)
	}
	if got := nsOwner(t, filepath.Join(n.Run, "netns", p.ID)); got != st.Ino {
		t.Errorf("the network namespace belongs to user namespace %d, not to the pod's %d", got, st.Ino)
	}
	if p.IP(t) == "" {
		t.Error("no address")
	}
	c, err := p.TryCreate("made", h.BusyboxRef, []string{"true"}, ctrUserns)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{"containers/" + c.ID + "/rootfs", "containers/" + c.ID + "/rootfs/bin"} {
		if got := owner(t, filepath.Join(n.Root, f)); got != firstID {
			t.Errorf("%s belongs to %d", f, got)
		}
	}
	for _, f := range []string{"hosts", "hostname", "resolv.conf", "shm"} {
		if got := owner(t, filepath.Join(n.Run, "pods", p.ID, f)); got != firstID {
			t.Errorf("%s belongs to %d", f, got)
		}
	}
	for _, f := range []string{"ipc", "uts"} {
		if got := nsOwner(t, filepath.Join(n.Run, "pods", p.ID, f)); got != st.Ino {
			t.Errorf("namespace %s belongs to user namespace %d, not to the pod's %d", f, got, st.Ino)
		}
	}
	if out, err := exec.Command("nsenter", "--ipc="+filepath.Join(n.Run, "pods", p.ID, "ipc"), "cat", "/proc/sys/kernel/shm_rmid_forced").Output(); err != nil || string(out) != "1\n" {
		t.Errorf("sysctl of the pod's IPC namespace: %q %v", out, err)
	}

	t.Run("image volumes", func(t *testing.T) {
		for i, how := range []string{"", "rootfs.attach_layers=EINVAL", "rootfs.old_kernel=ENOSYS,rootfs.attach_layers=EINVAL"} {
			if how != "" {
				n.Restart("UNICRI_FAULTS=" + how)
			}
			c, err := p.TryCreate(fmt.Sprint("volumes", i), h.BusyboxRef, []string{"true"}, ctrUserns, func(c *cri.ContainerConfig) {
				c.Mounts = volumes(t, n)
				c.Mounts[2].UidMappings = []*cri.IDMapping{{HostId: 7, Length: 1}, {HostId: firstID + 1, ContainerId: 1, Length: 100}}
			})
			if err != nil {
				t.Fatalf("%s: %v", how, err)
			}
			for file, want := range map[string]uint32{"0/rootfs/bin/busybox": firstID, "1/rootfs/d/new": firstID, "2/rootfs/d/new": 7, "2/rootfs/d/users": firstID + 33, "3/rootfs": firstID} {
				if got := owner(t, filepath.Join(n.Root, "containers", c.ID, "volumes", file)); got != want {
					t.Errorf("%s: %s belongs to %d, not to %d", how, file, got, want)
				}
			}
			if err := n.RT.RemoveContainer(h.Ctx, c.ID); err != nil {
				t.Error(err)
			}
		}
		n.Restart()
	})
	t.Run("refusals", func(t *testing.T) {
		_, err := n.TryRunPod("weak", "weak", podUserns)
		refused(t, "runtime without idmapped mounts", err, "weak", "1.1.5", "lacks idmapped mounts")
		_, err = n.TryRunPod("vmm", "tender-spt", podUserns)
		refused(t, "unikernel", err, "tender-spt")
		for what, change := range map[string]func(u *cri.UserNamespace, o *cri.NamespaceOption){
			"mode CONTAINER": func(u *cri.UserNamespace, _ *cri.NamespaceOption) { u.Mode = cri.NamespaceMode_CONTAINER },
			"mode TARGET":    func(u *cri.UserNamespace, _ *cri.NamespaceOption) { u.Mode = cri.NamespaceMode_TARGET },
			"two mappings":   func(u *cri.UserNamespace, _ *cri.NamespaceOption) { u.Uids = append(u.Uids, u.Uids[0]) },
			"no mapping":     func(u *cri.UserNamespace, _ *cri.NamespaceOption) { u.Gids = nil },
			"id 0 unmapped":  func(u *cri.UserNamespace, _ *cri.NamespaceOption) { u.Uids[0].ContainerId = 1 },
			"empty":          func(u *cri.UserNamespace, _ *cri.NamespaceOption) { u.Gids[0].Length = 0 },
			"beyond the end": func(u *cri.UserNamespace, _ *cri.NamespaceOption) { u.Uids[0].HostId = 1<<32 - 10 },
			"node IPC":       func(_ *cri.UserNamespace, o *cri.NamespaceOption) { o.Ipc = cri.NamespaceMode_NODE },
			"node PID":       func(_ *cri.UserNamespace, o *cri.NamespaceOption) { o.Pid = cri.NamespaceMode_NODE },
		} {
			_, err := n.TryRunPod("bad", "promising", podUserns, func(c *cri.PodSandboxConfig) {
				change(c.Linux.SecurityContext.NamespaceOptions.UsernsOptions, c.Linux.SecurityContext.NamespaceOptions)
			})
			refused(t, what, err)
		}
		_, err = p.TryCreate("plain", h.BusyboxRef, []string{"true"})
		refused(t, "container without", err, "user namespace")
		_, err = p.TryCreate("other", h.BusyboxRef, []string{"true"}, ctrUserns, func(c *cri.ContainerConfig) {
			c.Linux.SecurityContext.NamespaceOptions.UsernsOptions.Uids[0].HostId += manyIDs
		})
		refused(t, "container with another mapping", err, "user namespace")
		_, err = p.TryCreate("half", h.BusyboxRef, []string{"true"}, ctrUserns, func(c *cri.ContainerConfig) {
			c.Mounts = []*cri.Mount{{ContainerPath: "/v", HostPath: dir, UidMappings: idmap()}}
		})
		refused(t, "mount with half a mapping", err, "/v")
		q, err := n.TryRunPod("nodeusers", "weak")
		if err != nil {
			t.Fatal(err)
		}
		_, err = q.TryCreate("c", h.BusyboxRef, []string{"true"}, func(c *cri.ContainerConfig) {
			c.Mounts = []*cri.Mount{{ContainerPath: "/v", HostPath: dir, UidMappings: idmap(), GidMappings: idmap()}}
		})
		refused(t, "mapped mount by a runtime without", err, "/v", "lacks idmapped mounts")
		q.Remove(t)
	})

	// A daemon that was killed finds the namespaces again and takes them away with the pod.
	n.Kill()
	n.Start()
	p.Stop(t)
	if _, err := os.Lstat(pin); err == nil {
		t.Error("the user namespace is still pinned after StopPodSandbox")
	}
	p.Remove(t)
	n.ExpectCensus(t, before, false)
}

// newer starts a node whose default runtime has idmapped mounts, or skips. UNICRI_E2E_RUNC names one.
func newer(t *testing.T) *h.Node {
	h.NeedUnicrid(t)
	opt := h.NodeOptions{Images: pushVolumes}
	if runc := os.Getenv("UNICRI_E2E_RUNC"); runc != "" {
		opt.Config = fmt.Sprintf("[handlers.newer]\nkind = \"runc\"\nprogram = %q\n", runc)
		opt.Set = map[string]string{"runtime.default_handler": `"newer"`}
	}
	n := h.NewNode(t, opt)
	s, err := n.RT.Status(h.Ctx, false)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range s.RuntimeHandlers {
		if r.Name == "" && r.Features.UserNamespaces {
			return n
		}
	}
	_, err = n.TryRunPod("probe", "", podUserns)
	refused(t, "user namespace", err, "user namespaces")
	out, _ := exec.Command("runc", "--version").Output()
	t.Skipf("%s lacks idmapped mounts: %v", strings.SplitN(string(out), "\n", 2)[0], err)
	return nil
}

// TestUserNamespaceContainer covers containers in a pod with users of its own.
func TestUserNamespaceContainer(t *testing.T) {
	n := newer(t)
	vols := volumes(t, n)
	before := warm(t, n)
	p := n.RunPod(t, "userns", podUserns)
	dir := n.Dir + "/volume"
	os.MkdirAll(dir, 0o755)
	os.WriteFile(dir+"/in", []byte("from the host\n"), 0o600)

	t.Run("ids", func(t *testing.T) {
		c := p.Sh(t, "ids", "cat /proc/self/uid_map; id -u; stat -c %u:%g / /bin /etc/hosts /etc/resolv.conf /dev/shm /proc/1; "+
			"touch /new /dev/shm/x && chown 33:33 /new && stat -c %u:%g /new; echo more >> /etc/hosts && echo wrote; hostname; mkdir -p /mnt; mount -t tmpfs x /mnt && echo root", ctrUserns,
			func(c *cri.ContainerConfig) {
				c.Linux.SecurityContext.Capabilities = &cri.Capability{AddCapabilities: []string{"SYS_ADMIN"}}
			})
		c.Wait(t, 20e9)
		want := fmt.Sprintf("0 %d %d\n0\n0:0\n0:0\n0:0\n0:0\n0:0\n0:0\n33:33\nwrote\nuserns\nroot\n", firstID, manyIDs)
		if got := strings.Join(strings.Fields(c.Out(t, "stdout")), " "); got != strings.Join(strings.Fields(want), " ") {
			t.Errorf("got %q, stderr %q", got, c.Out(t, "stderr"))
		}
	})
	t.Run("mounts", func(t *testing.T) {
		c := p.Sh(t, "mounts", "stat -c %u:%g /v /v/in; cat /v/in; echo x > /v/out; stat -c %u:%g /p/in; cat /p/in", ctrUserns, func(c *cri.ContainerConfig) {
			c.Mounts = []*cri.Mount{{ContainerPath: "/v", HostPath: dir, UidMappings: idmap(), GidMappings: idmap()}, {ContainerPath: "/p", HostPath: dir}}
		})
		c.Wait(t, 20e9)
		if got := c.Out(t, "stdout"); got != "0:0\n0:0\nfrom the host\n65534:65534\n" {
			t.Errorf("got %q", got)
		}
		if got := owner(t, dir+"/out"); got != 0 {
			t.Errorf("what the container's root wrote belongs to %d on the node", got)
		}
	})
	t.Run("image volumes", func(t *testing.T) {
		c := p.Sh(t, "volumes", "stat -c %u:%g /vol0/bin/busybox /vol1/d/new /vol1/d/users /vol3; cat /vol1/d/new; touch /vol0/x || echo ro; /vol0/bin/busybox echo runs", ctrUserns, func(c *cri.ContainerConfig) {
			c.Mounts = vols
			c.Mounts[2].ImageSubPath, c.Mounts[2].ContainerPath = "d", "/vol2"
		})
		c.Wait(t, 20e9)
		if got := strings.Join(strings.Fields(c.Out(t, "stdout")), " "); got != "0:0 0:0 33:0 0:0 newro runs" {
			t.Errorf("got %q, stderr %q", got, c.Out(t, "stderr"))
		}
	})
	t.Run("devices, masked paths, propagation", func(t *testing.T) {
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		must(os.MkdirAll(n.Dir+"/devs", 0o755))
		dev := n.Dir + "/devs/zero"
		must(syscall.Mknod(dev, syscall.S_IFCHR|0o666, 1<<8|5))
		must(os.Chmod(dev, 0o666))
		c := p.Sh(t, "devices", "head -c 3 /dev/mine | wc -c; ls /opt/d; head -c 2 /opt/d/zero | wc -c; echo x > /dev/null && echo null; cat /etc/passwd | wc -c; touch /tmp/x || echo ro; touch /v/x || echo rro; readlink /proc/self/ns/ipc", ctrUserns,
			func(c *cri.ContainerConfig) {
				c.Devices = []*cri.Device{{ContainerPath: "/dev/mine", HostPath: dev, Permissions: "rw"}, {ContainerPath: "/opt/d", HostPath: n.Dir + "/devs", Permissions: "r"}}
				c.Linux.SecurityContext.MaskedPaths, c.Linux.SecurityContext.ReadonlyPaths = []string{"/etc/passwd"}, []string{"/tmp"}
				c.Mounts = []*cri.Mount{{ContainerPath: "/v", HostPath: dir, Readonly: true, RecursiveReadOnly: true, UidMappings: idmap(), GidMappings: idmap()}}
			})
		c.Wait(t, 20e9)
		if got := strings.Join(strings.Fields(c.Out(t, "stdout")), " "); !strings.HasPrefix(got, "3 zero 2 null 0 ro rro ipc:[") {
			t.Errorf("got %q, stderr %q", got, c.Out(t, "stderr"))
		}
	})
	t.Run("exec, user, second container", func(t *testing.T) {
		c := p.Sh(t, "one", "exec sleep 1000", ctrUserns, func(c *cri.ContainerConfig) { c.Linux.SecurityContext.RunAsUser.Value = 33 })
		d := p.Sh(t, "two", "exec sleep 1000", ctrUserns)
		if got := c.Exec(t, "id", "-u"); got != "33\n" {
			t.Errorf("id %q", got)
		}
		a, b := c.Exec(t, "readlink", "/proc/self/ns/user"), d.Exec(t, "readlink", "/proc/self/ns/user")
		if a != b {
			t.Errorf("two containers of the pod are in user namespaces %q and %q", a, b)
		}
		if host, _ := os.Readlink("/proc/self/ns/user"); host+"\n" == a {
			t.Error("the container is in the node's user namespace")
		}
		if got := d.Exec(t, "ping", "-c1", "-W2", "127.0.0.1"); !strings.Contains(got, "1 packets received") {
			t.Errorf("ping: %q", got)
		}
	})
	t.Run("terminal", func(t *testing.T) {
		c := p.Sh(t, "tty", "tty; echo done", ctrUserns, func(c *cri.ContainerConfig) { c.Tty = true })
		c.Wait(t, 20e9)
		if got := c.Out(t, "stdout"); !strings.Contains(got, "/dev/") || !strings.Contains(got, "done") {
			t.Errorf("got %q", got)
		}
	})
	p.Remove(t)

	t.Run("shared PID namespace", func(t *testing.T) {
		p := n.RunPod(t, "sharedpid", podUserns, func(c *cri.PodSandboxConfig) {
			c.Linux.SecurityContext.NamespaceOptions.Pid = cri.NamespaceMode_POD
		})
		c := p.Sh(t, "c", "cat /proc/1/comm; grep ^Uid: /proc/1/status", ctrUserns, func(c *cri.ContainerConfig) {
			c.Linux.SecurityContext.NamespaceOptions.Pid = cri.NamespaceMode_POD
		})
		c.Wait(t, 20e9)
		if got := strings.Join(strings.Fields(c.Out(t, "stdout")), " "); got != "unicri-init Uid: 65534 65534 65534 65534" {
			t.Errorf("got %q, stderr %q", got, c.Out(t, "stderr"))
		}
		p.Remove(t)
	})
	t.Run("few ids", func(t *testing.T) {
		few := func(u *cri.UserNamespace) {
			u.Uids, u.Gids = []*cri.IDMapping{{HostId: firstID, Length: 100}}, []*cri.IDMapping{{HostId: firstID + 500, Length: 100}}
		}
		p := n.RunPod(t, "few", podUserns, func(c *cri.PodSandboxConfig) {
			few(c.Linux.SecurityContext.NamespaceOptions.UsernsOptions)
			c.Linux.SecurityContext.NamespaceOptions.Pid = cri.NamespaceMode_POD
		})
		c := p.Sh(t, "c", "cat /proc/self/uid_map /proc/self/gid_map", ctrUserns, func(c *cri.ContainerConfig) {
			few(c.Linux.SecurityContext.NamespaceOptions.UsernsOptions)
			c.Linux.SecurityContext.NamespaceOptions.Pid = cri.NamespaceMode_POD
			c.Linux.SecurityContext.RunAsUser.Value = 0
		})
		c.Wait(t, 20e9)
		if got := strings.Join(strings.Fields(c.Out(t, "stdout")), " "); got != fmt.Sprintf("0 %d 100 0 %d 100", firstID, firstID+500) {
			t.Errorf("got %q", got)
		}
		p.Remove(t)
	})
	t.Run("the node's network", func(t *testing.T) {
		host := func(o *cri.NamespaceOption) { o.Network = cri.NamespaceMode_NODE }
		p := n.RunPod(t, "hostnet", podUserns, func(c *cri.PodSandboxConfig) { host(c.Linux.SecurityContext.NamespaceOptions); c.Hostname = "" })
		c := p.Sh(t, "c", "ls /sys/class/net; echo x > /sys/kernel/uevent_seqnum; ls -d /sys/fs/cgroup", ctrUserns, func(c *cri.ContainerConfig) {
			host(c.Linux.SecurityContext.NamespaceOptions)
		})
		c.Wait(t, 20e9)
		if got := c.Out(t, "stdout"); !strings.Contains(got, "lo\n") || !strings.Contains(got, "/sys/fs/cgroup") {
			t.Errorf("got %q, stderr %q", got, c.Out(t, "stderr"))
		}
		p.Remove(t)
	})
	n.ExpectCensus(t, before, true)
}

// TestMappedMountWithoutUserNamespace: a volume's mapping is its own matter.
func TestMappedMountWithoutUserNamespace(t *testing.T) {
	n := newer(t)
	n.Pull(t, h.BusyboxRef)
	p := n.RunPod(t, "plain")
	dir := n.Dir + "/volume"
	os.MkdirAll(dir, 0o755)
	c := p.Sh(t, "c", "stat -c %u:%g /v", func(c *cri.ContainerConfig) {
		c.Mounts = []*cri.Mount{{ContainerPath: "/v", HostPath: dir, UidMappings: idmap(), GidMappings: idmap()}}
	})
	c.Wait(t, 20e9)
	if got := c.Out(t, "stdout"); got != fmt.Sprintf("%d:%d\n", firstID, firstID) {
		t.Errorf("got %q, stderr %q", got, c.Out(t, "stderr"))
	}
	p.Remove(t)
}
