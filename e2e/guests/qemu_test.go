// SPDX-License-Identifier: Apache-2.0

package guests

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
	h "unicri.dev/e2e/harness"
)

// cloudKernel is Debian's kernel for virtual machines and its modules; the test is skipped without.
func cloudKernel(t *testing.T) (kernel []byte, version string) {
	found, _ := filepath.Glob("/boot/vmlinuz-*-cloud-amd64")
	if len(found) == 0 {
		t.Skip("package linux-image-cloud-amd64 is not installed: no kernel for the guest")
	}
	needQemu(t)
	data, err := os.ReadFile(found[0])
	if err != nil {
		t.Fatal(err)
	}
	return data, strings.TrimPrefix(found[0], "/boot/vmlinuz-")
}

func needQemu(t *testing.T) {
	if _, err := exec.LookPath("qemu-system-x86_64"); err != nil {
		t.Skip("package qemu-system-x86 is not installed")
	}
}

// Handlers, one for each machine; emulated, for the KVM of a host that is virtual itself may be too poor for any guest.
const machineConfig = "[handlers.q35]\nkind = \"qemu\"\nmachine = \"q35\"\naccel = \"tcg\"\n[handlers.microvm]\nkind = \"qemu\"\nmachine = \"microvm\"\naccel = \"tcg\"\n"

func env(key, value string) h.CtrOpt {
	return func(c *cri.ContainerConfig) { c.Envs = append(c.Envs, &cri.KeyValue{Key: key, Value: []byte(value)}) }
}

// cpio is an archive in the "newc" format.
type cpio struct{ b bytes.Buffer }

func (c *cpio) add(name string, mode uint32, data []byte) {
	fmt.Fprintf(&c.b, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x", c.b.Len(), mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name)+1, 0)
	c.b.WriteString(name + "\x00")
	c.pad()
	c.b.Write(data)
	c.pad()
}

func (c *cpio) pad() {
	for c.b.Len()%4 != 0 {
		c.b.WriteByte(0)
	}
}

const guestInit = `#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
for m in MODULES; do insmod /modules/$m; done
echo "guest runs: $* GREETING=$GREETING"
ip link set lo up
what=$1
set -- $(sed 's/.* ip=\([^: ]*\)::\([^:]*\):\([^:]*\):.*/\1 \2 \3/' /proc/cmdline)
ifconfig eth0 $1 netmask $3 up && route add default gw $2
echo "mtu $(cat /sys/class/net/eth0/mtu)"
echo "queues $(ls -d /sys/class/net/eth0/queues/rx-* | wc -l)"
echo 'hello from linux' > /www/index.html
button() {
	dd if=$1 bs=24 count=1 of=/dev/null 2>/dev/null
	echo "the button was pressed"
	poweroff -f
}
case $what in
deaf) ;;
panic)
	free=$(awk '/MemAvailable/ { print int($2 / 1024) - 12 }' /proc/meminfo)
	mkdir /fill && mount -t tmpfs -o size=100% fill /fill
	dd if=/dev/zero of=/fill/up bs=1M count=$free 2>/dev/null && echo "filled $free MiB"
	echo c > /proc/sysrq-trigger
	;;
*) for e in /dev/input/event*; do button $e & done ;;
esac
httpd -p 80 -h /www
echo "guest is ready"
while :; do sleep 1000; done
`

// linuxModules are what guestInit needs besides the kernel.
var linuxModules = []string{"drivers/virtio/virtio_ring", "drivers/virtio/virtio", "drivers/virtio/virtio_pci_legacy_dev", "drivers/virtio/virtio_pci_modern_dev",
	"drivers/virtio/virtio_pci", "drivers/virtio/virtio_mmio", "net/core/failover", "drivers/net/net_failover", "drivers/net/virtio_net", "drivers/acpi/button", "drivers/input/evdev",
	"drivers/misc/pvpanic/pvpanic", "drivers/misc/pvpanic/pvpanic-mmio"}

func linuxImage(t *testing.T) *h.Image {
	return linuxGuest(t, guestInit, linuxModules, nil)
}

// linuxInitrd is an archive with busybox, modules and a script that is its first program: MODULES in it becomes their names, in order.
func linuxInitrd(t *testing.T, init string, modules []string) []byte {
	_, version := cloudKernel(t)
	busybox, err := os.ReadFile("/bin/busybox")
	if err != nil {
		t.Skip("package busybox-static is not installed")
	}
	var c cpio
	for _, d := range []string{"bin", "dev", "proc", "sys", "modules", "www"} {
		c.add(d, 0o40755, nil)
	}
	c.add("bin/busybox", 0o100755, busybox)
	var names []string
	for _, m := range modules {
		data, err := os.ReadFile(filepath.Join("/lib/modules", version, "kernel", m+".ko"))
		if err != nil {
			t.Skip(err)
		}
		names = append(names, filepath.Base(m)+".ko")
		c.add("modules/"+filepath.Base(m)+".ko", 0o100644, data)
	}
	c.add("init", 0o100755, []byte(strings.Replace(init, "MODULES", strings.Join(names, " "), 1)))
	c.add("TRAILER!!!", 0, nil)
	return c.b.Bytes()
}

// linuxGuest is an image of Debian's kernel and linuxInitrd. The labels and files are further ones of the image.
func linuxGuest(t *testing.T, init string, modules []string, labels map[string]string, files ...h.File) *h.Image {
	kernel, _ := cloudKernel(t)
	initrd := linuxInitrd(t, init, modules)
	all := map[string]string{
		"com.urunc.unikernel.unikernelType": "linux",
		"com.urunc.unikernel.hypervisor":    "qemu",
		"com.urunc.unikernel.binary":        "/boot/kernel",
		"com.urunc.unikernel.initrd":        "/boot/initrd",
	}
	for k, v := range labels {
		all[k] = v
	}
	files = append(files, h.Dir("boot", 0o755), h.Reg("boot/kernel", 0o644, kernel), h.Reg("boot/initrd", 0o644, initrd))
	return h.NewImage(h.ImageConfig{Labels: all}, h.GzipLayer(files...))
}

// qemuNode is a node with the handlers q35 and microvm, on which a guest with a network has run: the classifier is loaded once.
func qemuNode(t *testing.T, images func(r *h.Registry) error) *h.Node {
	n := h.NewNode(t, h.NodeOptions{Images: images, Config: machineConfig, NoStart: true})
	n.WriteConflist(strings.Replace(h.DefaultConflist(n.Leases), `"hairpinMode"`, `"mtu":1400,"hairpinMode"`, 1))
	n.Start()
	n.Pull(t, h.GuestRef("http.spt"))
	n.Pull(t, h.GuestRef("roles.pvh"))
	w := n.RunPod(t, "warm")
	w.Run(t, "c", h.GuestRef("http.spt"), nil, args()).WaitLog(t, "8080", 10e9)
	w.Stop(t)
	w.Remove(t)
	return n
}

// TestQemuLinux runs a Linux kernel and a busybox under QEMU: console, arguments, environment, network, and each way to end.
func TestQemuLinux(t *testing.T) {
	h.NeedUnicrid(t)
	image := linuxImage(t)
	n := qemuNode(t, func(r *h.Registry) error { return r.Push("guest/linux", "latest", image) })
	ref := h.RegistryAddr + "/guest/linux:latest"
	n.Pull(t, ref)
	before := n.Census()
	run := func(t *testing.T, machine, name string, opts ...h.CtrOpt) (*h.Pod, *h.Ctr) {
		t.Helper()
		p, err := n.TryRunPod("linux-"+name+"-"+machine, machine)
		if err != nil {
			t.Fatal(err)
		}
		opts = append(opts, args("/init", name), memory(192<<20), env("GREETING", "good day"))
		return p, p.Run(t, "guest", ref, nil, opts...)
	}
	end := func(t *testing.T, p *h.Pod) {
		p.Stop(t)
		p.Remove(t)
	}

	t.Run("all its memory, and panic", func(t *testing.T) {
		p, c := run(t, "q35", "panic")
		if s := c.Wait(t, 120*time.Second); s.Reason != "GuestPanicked" || s.ExitCode != 1 {
			t.Errorf("%v\n%s", s, c.RawLog())
		}
		if !strings.Contains(c.RawLog(), "guest runs: panic GREETING=good day") || !strings.Contains(c.RawLog(), "filled ") {
			t.Error(c.RawLog())
		}
		end(t, p)
	})
	t.Run("microvm", func(t *testing.T) { // Debian's kernel finds no virtio device there
		p, c := run(t, "microvm", "deaf")
		c.WaitLog(t, "guest runs: deaf GREETING=good day", 120*time.Second)
		if err := n.RT.StopContainer(h.Ctx, c.ID, 1); err != nil {
			t.Fatal(err)
		}
		if s := c.Status(t); s.ExitCode != 137 {
			t.Errorf("%v", s)
		}
		end(t, p)
	})
	t.Run("network, a new daemon, and shutdown", func(t *testing.T) {
		p, c := run(t, "q35", "serve", func(c *cri.ContainerConfig) { c.Linux.Resources.CpuPeriod, c.Linux.Resources.CpuQuota = 100000, 200000 })
		c.WaitLog(t, "guest is ready", 120*time.Second)
		if !strings.Contains(c.RawLog(), "mtu 1400\n") {
			t.Error("the guest is not told of its network's MTU")
		}
		if !strings.Contains(c.RawLog(), "queues 2\n") {
			t.Errorf("two processors, and not two queues:\n%s", c.RawLog())
		}
		if body, err := n.Get("http://"+p.IP(t)+"/", 10*time.Second); err != nil || body != "hello from linux\n" {
			t.Errorf("%q %v\n%s", body, err, c.RawLog())
		}
		n.Restart()
		if body, err := n.Get("http://"+p.IP(t)+"/", 10*time.Second); err != nil || body != "hello from linux\n" {
			t.Errorf("with a new daemon: %q %v", body, err)
		}
		begin := time.Now()
		if err := n.RT.StopContainer(h.Ctx, c.ID, 30); err != nil {
			t.Fatal(err)
		}
		s := c.Status(t)
		if s.ExitCode != 0 || s.Reason != "Completed" || time.Since(begin) > 25*time.Second || !strings.Contains(c.RawLog(), "the button was pressed") {
			t.Errorf("%v after %v\n%s", s, time.Since(begin), c.RawLog())
		}
		end(t, p)
		warm(t, n)
	})
	n.ExpectCensus(t, before, true)
}

// unikraftImage is the guest of roles under a family that knows no power button.
func unikraftImage(t *testing.T) *h.Image {
	kernel, err := os.ReadFile(h.Guest("roles.pvh"))
	if err != nil {
		t.Fatal(err)
	}
	return h.Unikernel(kernel, "qemu", nil, map[string]string{"com.urunc.unikernel.unikernelType": "unikraft"})
}

// TestQemuEnds: how a guest of a machine ended is told apart, on both machines.
func TestQemuEnds(t *testing.T) {
	h.NeedUnicrid(t)
	needQemu(t)
	n := qemuNode(t, func(r *h.Registry) error { return r.Push("guest/unikraft", "1", unikraftImage(t)) })
	deaf := h.RegistryAddr + "/guest/unikraft:1"
	n.Pull(t, deaf)
	before := n.Census()
	for _, e := range []struct {
		machine, what, reason string
		code                  int32
	}{
		{"q35", "exit 0", "Completed", 0},
		{"q35", "exit 42", "Error", 42},
		{"q35", "off", "Completed", 0},
		{"q35", "reset", "GuestReset", 1},
		{"q35", "crash", "GuestReset", 1},
		{"q35", "panic", "GuestPanicked", 1},
		{"microvm", "exit 0", "Completed", 0},
		{"microvm", "exit 42", "Error", 42},
		{"microvm", "crash", "GuestReset", 1},
		{"microvm", "panic", "GuestPanicked", 1},
	} {
		t.Run(e.machine+" "+e.what, func(t *testing.T) {
			p, err := n.TryRunPod(strings.ReplaceAll(e.machine+"-"+e.what, " ", "-"), e.machine)
			if err != nil {
				t.Fatal(err)
			}
			c := p.Run(t, "guest", h.GuestRef("roles.pvh"), nil, args(strings.Fields(e.what)...), memory(64<<20))
			s := c.Wait(t, 30*time.Second)
			if s.Reason != e.reason || s.ExitCode != e.code {
				t.Errorf("%v\n%s", s, c.RawLog())
			}
			if log := c.RawLog(); !strings.Contains(log, "command line: "+e.what+"\n") || !strings.Contains(log, "memory: 63 MiB") {
				t.Error(log)
			}
			p.Stop(t)
			p.Remove(t)
		})
	}
	t.Run("no wait for a guest without a power button", func(t *testing.T) {
		p, err := n.TryRunPod("deaf", "q35")
		if err != nil {
			t.Fatal(err)
		}
		c := p.Run(t, "guest", deaf, nil, args("word"))
		c.WaitLog(t, "Hello from a unikernel", 30*time.Second)
		begin := time.Now()
		if err := n.RT.StopContainer(h.Ctx, c.ID, 60); err != nil {
			t.Fatal(err)
		}
		if s := c.Status(t); s.ExitCode != 137 || time.Since(begin) > 20*time.Second {
			t.Errorf("%v after %v", s, time.Since(begin))
		}
		p.Stop(t)
		p.Remove(t)
	})
	t.Run("killed", func(t *testing.T) {
		p, err := n.TryRunPod("killed", "q35")
		if err != nil {
			t.Fatal(err)
		}
		c := p.Run(t, "guest", h.GuestRef("roles.pvh"), nil, args("idle"))
		c.WaitLog(t, "idle: waiting", 30*time.Second)
		if err := n.RT.StopContainer(h.Ctx, c.ID, 1); err != nil {
			t.Fatal(err)
		}
		if s := c.Status(t); s.ExitCode != 137 || s.Reason != "Error" {
			t.Errorf("%v", s)
		}
		p.Stop(t)
		p.Remove(t)
	})
	n.ExpectCensus(t, before, true)
}
