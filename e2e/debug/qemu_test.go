// SPDX-License-Identifier: Apache-2.0

package debug

import (
	"encoding/binary"
	"io"
	"os/exec"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	h "unicri.dev/e2e/harness"
)

// TestQemuGuest sees console and frames of a guest of another driver; what needs its processor is refused by name.
func TestQemuGuest(t *testing.T) {
	h.NeedUnicrid(t)
	if _, err := exec.LookPath("qemu-system-x86_64"); err != nil {
		t.Skip("package qemu-system-x86 is not installed")
	}
	n := h.NewNode(t, h.NodeOptions{Config: "[handlers.machine]\nkind = \"qemu\"\nmachine = \"microvm\"\naccel = \"tcg\"\ndebug = true\ncrash_cores = 1\n"})
	n.Pull(t, h.GuestRef("roles.pvh"))
	p, c := runIn(t, n, "qemu", "machine", "roles.pvh", args("idle"))
	s := start(t, "spdy", c, false, false, "unicri:pcap", "--snaplen=64")
	head := make([]byte, 24)
	if _, err := io.ReadFull(s.out, head); err != nil {
		if _, err := s.rest(t); err != nil {
			t.Fatalf("%v %q", err, s.errout.String())
		}
	}
	if binary.LittleEndian.Uint32(head) != 0xa1b23c4d {
		t.Errorf("% x", head)
	}
	s.cancel()
	<-s.done
	for end := time.Now().Add(h.Slow(30 * time.Second)); ; time.Sleep(50 * time.Millisecond) {
		r, err := execSync(n, c, "unicri:console")
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Stdout) > 0 || time.Now().After(end) {
			if len(r.Stdout) == 0 || !strings.Contains(c.RawLog(), strings.SplitN(string(r.Stdout), "\n", 2)[0]) {
				t.Errorf("console %q, log %q", r.Stdout, c.RawLog())
			}
			break
		}
	}
	for _, command := range []string{"unicri:regs", "unicri:gdb", "unicri:core"} {
		if _, err := execSync(n, c, command); status.Code(err) != codes.Unimplemented || !strings.Contains(err.Error(), "driver 'qemu'") {
			t.Errorf("%s: %v", command, err)
		}
	}
	p.Remove(t)
	noDebuggers(t, n)
}
