// SPDX-License-Identifier: Apache-2.0

package guests

import (
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	h "unicri.dev/e2e/harness"
)

// emptyKernel has the header of a Linux kernel and nothing to run.
func emptyKernel() []byte {
	k := make([]byte, 8192)
	k[0x1f1] = 1
	binary.LittleEndian.PutUint16(k[0x1fe:], 0xaa55)
	copy(k[0x202:], "HdrS")
	binary.LittleEndian.PutUint16(k[0x206:], 0x20f)
	k[0x211] = 1 // loaded high
	k[0x236] = 1 // a 64-bit entry
	binary.LittleEndian.PutUint32(k[0x1f4:], 8192/16/2)
	binary.LittleEndian.PutUint32(k[0x260:], 8192)
	return k
}

var verdictLine = regexp.MustCompile(`(?m)^(.+): (trying|refused|bounded|ESCAPED|)(: .*)?$`)

// attempts reads what the evil VMM told of itself: the names in order, and the fate of each.
func attempts(out string, fate map[string]string) (last string) {
	for _, m := range verdictLine.FindAllStringSubmatch(out, -1) {
		if m[2] == "trying" {
			last = m[1]
		} else if m[2] != "" {
			fate[m[1]] = m[2] + m[3]
		}
	}
	return last
}

// TestEvilVMM puts a program that tries to get out into the place of a VMM: the tender's, whose root is empty, QEMU's,
// whose root holds libraries and the guest's kernel, and those that open their tap by name in the pod's network. It gets
// nothing. What has been deadly for all of QEMU's kind is not died of again by the others: the filter is the same.
func TestEvilVMM(t *testing.T) {
	h.NeedUnicrid(t)
	evil := h.Bin("evil-vmm")
	if _, err := os.Stat(evil); err != nil {
		t.Fatal(err)
	}
	if l, err := net.Listen("unix", "@unicri-evil-test"); err == nil { // else another run listens: the same for us
		defer l.Close()
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				c.Close()
			}
		}()
	}
	linux := h.NewImage(h.ImageConfig{Labels: map[string]string{
		"com.urunc.unikernel.unikernelType": "linux", "com.urunc.unikernel.hypervisor": "qemu", "com.urunc.unikernel.binary": "/boot/kernel",
	}}, h.GzipLayer(h.Dir("boot", 0o755), h.Reg("boot/kernel", 0o644, emptyKernel())))
	quoted := fmt.Sprintf("%q", evil)
	n := h.NewNode(t, h.NodeOptions{
		Images: func(r *h.Registry) error {
			if err := r.Push("guest/pvh", "1", fakeImage()); err != nil {
				return err
			}
			return r.Push("guest/linux", "latest", linux)
		},
		Set: map[string]string{"vmm.tender_program": quoted, "vmm.qemu_program": quoted, "vmm.qemu_accel": `"tcg"`, "vmm.firecracker_program": quoted,
			"vmm.cloud_hypervisor_program": quoted, "vmm.solo5_spt_program": quoted},
	})
	skip := ""
	for _, e := range []struct {
		place, handler, ref string
		kvm                 bool
		may                 string // what those that open their tap by name can do in any case
	}{
		{"tender", "", h.GuestRef("hello.spt"), false, ""},
		{"qemu", "", h.RegistryAddr + "/guest/linux:latest", false, ""},
		{"solo5-spt", "solo5-spt", h.GuestRef("http.spt"), false, "open /dev/net/tun, socket netlink"},
		{"firecracker", "firecracker", fakeRef, true, "open /dev/net/tun"},
		{"cloud-hypervisor", "cloud-hypervisor", fakeRef, true, ""},
	} {
		t.Run(e.place, func(t *testing.T) {
			if e.kvm && !kvm() {
				t.Skip("there is no KVM")
			}
			if deadly := beEvil(t, n, e.place, e.handler, e.ref, skip, e.may); e.place == "qemu" {
				skip = deadly
			}
		})
	}
}

// serverMay is what a file server may do as root of a namespace of its own, where the others may not: none of it leads out.
var serverMay = map[string]bool{"change root": true, "uid 0": true, "gid 0": true, "groups": true, "securebits": true, "read /proc/self/maps": true, "descriptor bomb": true,
	"file system uid": true, "file system gid": true}

// TestEvilServer puts the same program into the place of the server of a guest's shares: it, too, is told what to do by a guest.
func TestEvilServer(t *testing.T) {
	h.NeedUnicrid(t)
	quoted := fmt.Sprintf("%q", h.Bin("evil-vmm"))
	image := h.NewImage(h.ImageConfig{Labels: map[string]string{
		"com.urunc.unikernel.unikernelType": "linux", "com.urunc.unikernel.hypervisor": "qemu", "com.urunc.unikernel.binary": "/boot/kernel",
		"com.urunc.unikernel.mountRootfs": "true",
	}}, h.GzipLayer(h.Dir("boot", 0o755), h.Reg("boot/kernel", 0o644, emptyKernel())))
	ref := h.RegistryAddr + "/guest/linux:shared"
	n := h.NewNode(t, h.NodeOptions{
		Images: func(r *h.Registry) error { return r.Push("guest/linux", "shared", image) },
		Set:    map[string]string{"vmm.virtiofsd_program": quoted, "vmm.qemu_program": quoted, "vmm.qemu_accel": `"tcg"`},
	})
	n.Pull(t, ref)
	dir := t.TempDir()
	order, out := filepath.Join(dir, "evil"), filepath.Join(dir, "out")
	if err := os.Mkdir(out, 0o777); err != nil {
		t.Fatal(err)
	}
	os.Chmod(out, 0o777)
	before := n.Census()
	p := n.RunPod(t, "evil-server")
	fate, names := map[string]string{}, []string{}
	for round := 0; round < 200; round++ {
		write(t, order, fmt.Sprint(len(fate)))
		os.Remove(filepath.Join(out, "log"))
		os.Remove(filepath.Join(out, "go"))
		c := p.Run(t, fmt.Sprintf("c%d", round), ref, nil, args("/init", "evil=wait"), memory(64<<20), mount(order, "/evil", true), mount(out, "/out", false))
		write(t, filepath.Join(out, "go"), "")
		s := c.Wait(t, 20*time.Second)
		log, _ := os.ReadFile(filepath.Join(out, "log"))
		last := attempts(string(log), fate)
		if s.Reason != "FileServerEnded" || s.ExitCode != 137 || !strings.Contains(s.Message, "its file server ended") {
			t.Errorf("%s: ended with %v", last, s)
		}
		if strings.Contains(string(log), "done: ") {
			break
		}
		if _, told := fate[last]; told || last == "" {
			t.Fatalf("an end that no attempt explains: %v\n%s", s, log)
		}
		if !strings.Contains(s.Message, "by signal 31") { // SIGSYS
			t.Errorf("%s: %v", last, s)
		}
		fate[last] = "killed"
		names = append(names, last)
	}
	t.Logf("%d attempts, %d of them deadly: %s", len(fate), len(names), strings.Join(names, ", "))
	if len(fate) < 100 {
		t.Errorf("only %d attempts were made: %v", len(fate), fate)
	}
	for name, f := range fate {
		if strings.HasPrefix(f, "ESCAPED") && !serverMay[name] {
			t.Errorf("%s: %s", name, f)
		}
	}
	p.Stop(t)
	p.Remove(t)
	n.ExpectCensus(t, before, false)
}

// beEvil makes all attempts but those to be skipped, and returns those that the jail killed for.
func beEvil(t *testing.T, n *h.Node, place, handler, ref, skip, may string) (deadly string) {
	n.Pull(t, ref)
	p, err := n.TryRunPod("evil-"+place, handler)
	if err != nil {
		t.Fatal(err)
	}
	fate, killed, names := map[string]string{}, 0, []string{}
	skipped := strings.Count(skip, ",")
	for round := 0; round < 200; round++ {
		from := len(fate)
		if skip != "" {
			from = 0 // nobody has died yet
		}
		c := p.Run(t, fmt.Sprintf("c%d", round), ref, nil, args("/init", fmt.Sprintf("evil=%d:%s", from, skip)), memory(64<<20))
		s := c.Wait(t, 20*time.Second)
		out := c.Out(t, "stdout")
		last := attempts(out, fate)
		if strings.Contains(out, "done: ") {
			break
		}
		if _, told := fate[last]; told || last == "" {
			t.Fatalf("an end that no attempt explains: %v\n%s", s, out)
		}
		if s.ExitCode != 128+31 { // SIGSYS
			t.Errorf("%s: ended with %v", last, s)
		}
		if skip != "" {
			t.Fatalf("%s: killed for what nobody was killed before: %v", last, s)
		}
		deadly += fmt.Sprintf("%d,", len(fate))
		fate[last] = "killed"
		killed++
		names = append(names, last)
	}
	t.Logf("%d attempts, %d of them deadly: %s", len(fate), killed, strings.Join(names, ", "))
	if len(fate)+skipped < 150 {
		t.Errorf("only %d attempts were made: %v", len(fate), fate)
	}
	for name, f := range fate {
		if strings.HasPrefix(f, "ESCAPED") && !strings.Contains(may, name) {
			t.Errorf("%s: %s", name, f)
		}
	}

	c := p.Run(t, "memory", ref, nil, args("/init", "evil=memory"), memory(64<<20))
	if s := c.Wait(t, 60*time.Second); s.Reason != "OOMKilled" || s.ExitCode != 137 {
		t.Errorf("memory without end: %v\n%s", s, c.Out(t, "stdout"))
	}
	p.Stop(t)
	p.Remove(t)
	return deadly
}
