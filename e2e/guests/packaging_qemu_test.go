// SPDX-License-Identifier: Apache-2.0

package guests

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
	h "unicri.dev/e2e/harness"
)

const bootInit = `#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t devtmpfs dev /dev
mount -t proc proc /proc
for m in MODULES; do insmod /modules/$m; done
init=$(sed 's/.* init=\([^ ]*\).*/\1/' /proc/cmdline)
mount -t ext4 /dev/vda /www && exec chroot /www $init "$@"
`

// TestPackagingMachines runs packagings that need a machine: KraftKit's as it is, families whose end is their own, and an unmodified image by a kernel
// of the node.
func TestPackagingMachines(t *testing.T) {
	h.NeedUnicrid(t)
	needQemu(t)
	pvh := mustRead(h.Guest("roles.pvh"))
	_, version := cloudKernel(t)
	kernel, initrd := "/boot/vmlinuz-"+version, filepath.Join(t.TempDir(), "initrd")
	modules := []string{"drivers/virtio/virtio_ring", "drivers/virtio/virtio", "drivers/virtio/virtio_pci_legacy_dev", "drivers/virtio/virtio_pci_modern_dev",
		"drivers/virtio/virtio_pci", "drivers/block/virtio_blk"}
	if err := os.WriteFile(initrd, linuxInitrd(t, bootInit, modules), 0o644); err != nil {
		t.Fatal(err)
	}
	n := h.NewNode(t, h.NodeOptions{
		Config: machineConfig + "[handlers.boot]\nkind = \"qemu\"\nmachine = \"q35\"\naccel = \"tcg\"\n" +
			"pod_annotations = [\"" + key + "bootKernel\", \"" + key + "bootInitrd\"]\n",
		Set: map[string]string{"vmm.boot_files": fmt.Sprintf("[%q, %q]", kernel, initrd)},
		Images: func(r *h.Registry) error {
			toro := h.NewImage(h.ImageConfig{Labels: keys("binary", "/k", "unikernelType", "toro")}, h.GzipLayer(h.Reg("k", 0o644, pvh)))
			if err := r.Push("pack/toro", "1", toro); err != nil {
				return err
			}
			rumprun := h.NewImage(h.ImageConfig{Labels: keys("binary", "/k", "unikernelType", "rumprun")}, h.GzipLayer(h.Reg("k", 0o644, pvh)))
			if err := r.Push("pack/conflict", "1", rumprun); err != nil {
				return err
			}
			return kraft(r, "pack/kraft", pvh, h.ImageConfig{Cmd: []string{"a", "b c"}, Env: []string{"K=v w"}}, false, nil)
		}})
	run := func(t *testing.T, name, handler, image string, annotations map[string]string, command []string, opts ...h.CtrOpt) (*h.Pod, *h.Ctr) {
		n.Pull(t, image)
		p, err := n.TryRunPod("machine-"+name, handler, func(c *cri.PodSandboxConfig) { c.Annotations = annotations })
		if err != nil {
			t.Fatal(err)
		}
		return p, p.Run(t, "guest", image, command, opts...)
	}
	end := func(t *testing.T, p *h.Pod) {
		p.Stop(t)
		p.Remove(t)
	}
	t.Run("kraft", func(t *testing.T) {
		p, c := run(t, "kraft", "q35", h.RegistryAddr+"/pack/kraft:1", nil, nil)
		c.WaitLog(t, "memory:", 60*time.Second)
		if out := c.Out(t, "stdout"); !strings.Contains(out, "command line: unikraft netdev.ip="+p.IP(t)+"/") || !strings.Contains(out, "env.vars=[ 'K=v w' ] -- a 'b c'\n") {
			t.Error(out)
		}
		end(t, p)
	})
	t.Run("a kernel that its type does not come as", func(t *testing.T) {
		n.Pull(t, h.RegistryAddr+"/pack/conflict:1")
		p, err := n.TryRunPod("machine-conflict", "q35")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.TryCreate("guest", h.RegistryAddr+"/pack/conflict:1", nil); err == nil || !strings.Contains(err.Error(), "declares type 'rumprun', but its kernel '/k' is a PVH kernel") {
			t.Error(err)
		}
		end(t, p)
	})
	t.Run("a reset is Toro's end", func(t *testing.T) {
		p, c := run(t, "toro", "q35", h.RegistryAddr+"/pack/toro:1", nil, nil, args("crash"))
		if s := c.Wait(t, 60*time.Second); s.ExitCode != 0 || s.Reason != "Completed" || !strings.Contains(s.Message, "Toro does not tell") {
			t.Errorf("%v\n%s", s, c.RawLog())
		}
		end(t, p)
	})
	t.Run("an unmodified image by a kernel of the node", func(t *testing.T) {
		p, c := run(t, "boot", "boot", h.BusyboxRef, keys("bootKernel", kernel, "bootInitrd", initrd),
			[]string{"/bin/sh", "-c", "echo is it from the image: $FROM_IMAGE; cat /www/index.html; poweroff -f"}, memory(192<<20))
		if s := c.Wait(t, 120*time.Second); s.ExitCode != 0 || s.Reason != "Completed" || !strings.Contains(c.RawLog(), "is it from the image: yes") ||
			!strings.Contains(c.RawLog(), "hello from the side container") {
			t.Errorf("%v\n%s", s, c.RawLog())
		}
		end(t, p)
	})
}
