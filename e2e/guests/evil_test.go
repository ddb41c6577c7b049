// SPDX-License-Identifier: Apache-2.0

package guests

import (
	"encoding/binary"
	"fmt"
	"net"
	"os"
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

// TestEvilVMM puts a program that tries to get out into the place of a VMM: the tender's, whose root is empty, and
// QEMU's, whose root holds libraries and the guest's kernel. It gets nothing.
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
		Images: func(r *h.Registry) error { return r.Push("guest/linux", "latest", linux) },
		Set:    map[string]string{"vmm.tender_program": quoted, "vmm.qemu_program": quoted, "vmm.qemu_accel": `"tcg"`},
	})
	for place, ref := range map[string]string{"tender": h.GuestRef("hello.spt"), "qemu": h.RegistryAddr + "/guest/linux:latest"} {
		t.Run(place, func(t *testing.T) { beEvil(t, n, place, ref) })
	}
}

func beEvil(t *testing.T, n *h.Node, place, ref string) {
	n.Pull(t, ref)
	p := n.RunPod(t, "evil-"+place)
	fate, killed, names := map[string]string{}, 0, []string{}
	for round := 0; round < 200; round++ {
		c := p.Run(t, fmt.Sprintf("c%d", round), ref, nil, args("/init", fmt.Sprintf("evil=%d", len(fate))), memory(64<<20))
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
		fate[last] = "killed"
		killed++
		names = append(names, last)
	}
	t.Logf("%d attempts, %d of them deadly: %s", len(fate), killed, strings.Join(names, ", "))
	if len(fate) < 100 {
		t.Errorf("only %d attempts were made: %v", len(fate), fate)
	}
	for name, f := range fate {
		if strings.HasPrefix(f, "ESCAPED") {
			t.Errorf("%s: %s", name, f)
		}
	}

	c := p.Run(t, "memory", ref, nil, args("/init", "evil=memory"), memory(64<<20))
	if s := c.Wait(t, 60*time.Second); s.Reason != "OOMKilled" || s.ExitCode != 137 {
		t.Errorf("memory without end: %v\n%s", s, c.Out(t, "stdout"))
	}
	p.Stop(t)
	p.Remove(t)
}
