// SPDX-License-Identifier: Apache-2.0

package debug

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
	h "unicri.dev/e2e/harness"
)

// core is a core file that has been read.
type core struct {
	*elf.File
	pc     uint64
	signal uint16
}

func readCore(t testing.TB, data []byte) core {
	t.Helper()
	f, err := elf.NewFile(bytes.NewReader(data))
	if err != nil {
		t.Fatalf("%d bytes: %v", len(data), err)
	}
	if f.Type != elf.ET_CORE || f.Machine != elf.EM_X86_64 || f.Progs[0].Type != elf.PT_NOTE {
		t.Fatalf("%v", f.FileHeader)
	}
	last := f.Progs[len(f.Progs)-1]
	if last.Off+last.Filesz != uint64(len(data)) {
		t.Fatalf("%d bytes, the headers tell of %d", len(data), last.Off+last.Filesz)
	}
	note := make([]byte, f.Progs[0].Filesz)
	if _, err := f.Progs[0].ReadAt(note, 0); err != nil {
		t.Fatal(err)
	}
	le := binary.LittleEndian
	if le.Uint32(note[8:]) != 1 || string(note[12:16]) != "CORE" {
		t.Fatalf("% x", note[:20])
	}
	status := note[20:]
	return core{f, le.Uint64(status[112+16*8:]), le.Uint16(status[12:])}
}

func (c core) memory(addr uint64, n int) []byte {
	for _, p := range c.Progs {
		if p.Type == elf.PT_LOAD && addr >= p.Vaddr && addr+uint64(n) <= p.Vaddr+p.Filesz {
			b := make([]byte, n)
			p.ReadAt(b, int64(addr-p.Vaddr))
			return b
		}
	}
	return nil
}

// gdbOpens has gdb look at a core file, where there is one.
func gdbOpens(t *testing.T, kernel string, data []byte, want ...string) {
	t.Helper()
	if _, err := exec.LookPath("gdb"); err != nil {
		t.Logf("gdb is not installed: the core file is only parsed")
		return
	}
	file := filepath.Join(t.TempDir(), "core")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("gdb", "-q", "-nx", "-batch", h.Guest(kernel), file, "-ex", "x/s &debug_text", "-ex", "info registers rip", "-ex", "bt")
	timer := time.AfterFunc(h.Slow(30*time.Second), func() { cmd.Process.Kill() })
	out, err := cmd.CombinedOutput()
	timer.Stop()
	for _, w := range append(want, `"in the guest"`) {
		if err != nil || !strings.Contains(string(out), w) {
			t.Errorf("gdb: no %q, %v: %s", w, err, out)
		}
	}
}

func TestCore(t *testing.T) {
	n := node(t, "debug")
	for _, b := range backends(t) {
		kernel := "debug." + b
		p, c := runIn(t, n, "core-"+b, "open", kernel)
		c.WaitLog(t, "counting", 20*time.Second)
		s := start(t, "websocket", c, false, false, "unicri:core")
		data, err := s.rest(t)
		if err != nil {
			t.Fatalf("%v %q", err, s.errout.String())
		}
		f := readCore(t, data)
		if f.pc < 0x100000 || f.pc > 0x200000 || f.signal != 0 {
			t.Errorf("%s: pc %#x signal %d", b, f.pc, f.signal)
		}
		if got := f.memory(symbol(t, kernel, "debug_text"), 12); string(got) != "in the guest" {
			t.Errorf("%s: memory %q", b, got)
		}
		if got := f.memory(symbol(t, kernel, "debug_counter"), 8); got == nil || binary.LittleEndian.Uint64(got) > 1000000 {
			t.Errorf("%s: counter %v", b, got)
		}
		if len(data) > 4<<20 {
			t.Errorf("%s: %d bytes of a guest that uses little", b, len(data))
		}
		gdbOpens(t, kernel, data, "rip ")
		if r, err := execSync(n, c, "unicri:core"); err != nil || r.ExitCode != 0 || !bytes.HasPrefix(r.Stdout, []byte("\x7fELF")) {
			t.Errorf("%s: ExecSync: %v", b, err)
		}
		t.Logf("%s: %d bytes", b, len(data))
		// A client that does not read keeps the guest neither stopped for ever nor alive.
		s = start(t, "spdy", c, false, false, "unicri:core")
		s.cancel()
		<-s.done
		noDebuggers(t, n)
		goesOn(t, c)
		if _, err := n.Raw.Exec(h.Ctx, execTTY(c, "unicri:core")); err != nil && status.Code(err) != codes.InvalidArgument {
			t.Errorf("%v", err)
		}
		p.Remove(t)
	}
	noDebuggers(t, n)
}

func execTTY(c *h.Ctr, argv ...string) *cri.ExecRequest {
	return &cri.ExecRequest{ContainerId: c.ID, Cmd: argv, Tty: true, Stdout: true}
}
