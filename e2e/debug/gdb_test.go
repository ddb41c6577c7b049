// SPDX-License-Identifier: Apache-2.0

package debug

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
	h "unicri.dev/e2e/harness"
)

// gdb is a client of GDB's remote protocol on a session.
type gdb struct {
	t testing.TB
	*session
}

func sum(s string) (n byte) {
	for i := 0; i < len(s); i++ {
		n += s[i]
	}
	return n
}

func (g *gdb) send(packet string) {
	g.t.Helper()
	if _, err := fmt.Fprintf(g.in, "$%s#%02x", packet, sum(packet)); err != nil {
		g.t.Fatal(err)
	}
}

func (g *gdb) byte() byte {
	g.t.Helper()
	var b [1]byte
	if _, err := io.ReadFull(g.out, b[:]); err != nil {
		g.t.Fatalf("%v, stderr %q", err, g.errout.String())
	}
	return b[0]
}

// answer is the next packet, acknowledged.
func (g *gdb) answer() string {
	g.t.Helper()
	for g.byte() != '$' {
	}
	var b []byte
	raw := byte(0)
	for c := g.byte(); c != '#'; c = g.byte() {
		raw += c
		if c == '}' {
			c = g.byte()
			raw += c
			c ^= 0x20
		}
		b = append(b, c)
	}
	if told := string([]byte{g.byte(), g.byte()}); told != fmt.Sprintf("%02x", raw) {
		g.t.Fatalf("checksum %s of %q", told, b)
	}
	io.WriteString(g.in, "+")
	return string(b)
}

func (g *gdb) ask(packet string) string {
	g.t.Helper()
	g.send(packet)
	return g.answer()
}

func (g *gdb) want(packet, answer string) {
	g.t.Helper()
	if got := g.ask(packet); !strings.HasPrefix(got, answer) {
		g.t.Fatalf("%q: %q, not %q", packet, got, answer)
	}
}

// pc is the instruction pointer, out of all registers.
func (g *gdb) pc() uint64 {
	g.t.Helper()
	raw, err := hex.DecodeString(g.ask("g"))
	if err != nil || len(raw) < 136 {
		g.t.Fatalf("g: %d bytes, %v", len(raw), err)
	}
	return binary.LittleEndian.Uint64(raw[128:])
}

func (g *gdb) word(addr uint64) uint64 {
	g.t.Helper()
	raw, err := hex.DecodeString(g.ask(fmt.Sprintf("m%x,8", addr)))
	if err != nil || len(raw) != 8 {
		g.t.Fatalf("m: % x, %v", raw, err)
	}
	return binary.LittleEndian.Uint64(raw)
}

func connect(t testing.TB, kind string, c *h.Ctr) *gdb {
	t.Helper()
	g := &gdb{t, start(t, kind, c, true, false, "unicri:gdb")}
	if got := g.ask("qSupported:swbreak+;hwbreak+"); !strings.Contains(got, "PacketSize=4000") {
		t.Fatal(got)
	}
	g.want("?", "T05")
	return g
}

// symbol of a guest's kernel.
func symbol(t testing.TB, kernel, name string) uint64 {
	t.Helper()
	f, err := elf.Open(h.Guest(kernel))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	list, _ := f.Symbols()
	for _, s := range list {
		if s.Name == name {
			return s.Value
		}
	}
	t.Fatalf("no symbol %q in %s", name, kernel)
	return 0
}

func TestGdb(t *testing.T) {
	n := node(t, "debug")
	for i, b := range backends(t) {
		t.Run(b, func(t *testing.T) {
			kernel := "debug." + b
			p, c := runIn(t, n, "gdb-"+b, "open", kernel)
			c.WaitLog(t, "counting", 20*time.Second)
			g := connect(t, []string{"spdy", "websocket"}[i%2], c)
			counter := symbol(t, kernel, "debug_counter")
			if pc := g.pc(); pc < 0x100000 || pc > 0x200000 {
				t.Errorf("pc %#x", pc)
			}
			if got, _ := hex.DecodeString(g.ask(fmt.Sprintf("m%x,c", symbol(t, kernel, "debug_text")))); string(got) != "in the guest" {
				t.Errorf("memory %q", got)
			}
			was := g.word(counter)
			time.Sleep(100 * time.Millisecond)
			if now := g.word(counter); now != was {
				t.Errorf("it counts on while it is stopped: %d %d", was, now)
			}
			g.want("m1000,8", "E")
			g.want("mffffffffffffff00,8", "E")
			g.want(fmt.Sprintf("M%x,8:00000000000000", counter), "E") // too short
			g.want(fmt.Sprintf("M%x,8:0000010000000000", counter), "OK")
			if now := g.word(counter); now != 0x10000 {
				t.Errorf("written: %#x", now)
			}
			g.want("qXfer:features:read:target.xml:0,fff", "l<?xml")
			g.want("vMustReplyEmpty", "")
			for end := time.Now().Add(h.Slow(10 * time.Second)); g.word(counter) == 0x10000; {
				g.send("c")
				time.Sleep(100 * time.Millisecond)
				io.WriteString(g.in, "\x03")
				if got := g.answer(); !strings.HasPrefix(got, "T02") {
					t.Fatalf("interrupt: %q", got)
				}
				if time.Now().After(end) {
					t.Fatal("it does not run")
				}
			}
			if now := g.word(counter); now < 0x10000 || now > 0x10000+5000 {
				t.Errorf("it ran from %#x to %#x", 0x10000, now)
			}
			g.want("D", "OK")
			if _, err := g.rest(t); err != nil {
				t.Errorf("detach: %v %q", err, g.errout.String())
			}
			goesOn(t, c)
			p.Remove(t)
		})
	}
	noDebuggers(t, n)
}

func TestGdbBreakpoints(t *testing.T) {
	n := node(t, "debug")
	p, c := runIn(t, n, "break", "open", "debug.spt")
	c.WaitLog(t, "counting", 20*time.Second)
	g := connect(t, "spdy", c)
	at, counter := symbol(t, "debug.spt", "debug_middle"), symbol(t, "debug.spt", "debug_counter")
	code := g.word(at)
	g.want(fmt.Sprintf("Z0,%x,1", at), "OK")
	if g.word(at) != code {
		t.Error("a breakpoint shows in memory")
	}
	was := g.word(counter)
	for i := uint64(0); i < 3; i++ {
		g.want("vCont;c:1", "T05thread:1;swbreak")
		if pc, now := g.pc(), g.word(counter); pc != at || now != was+i && now != was+i+1 {
			t.Fatalf("stop %d at %#x, not %#x; count %d after %d", i, pc, at, now, was)
		}
		g.want(fmt.Sprintf("z0,%x,1", at), "OK") // as GDB does it: out, one step, in again
		g.want("s", "T05")
		if g.pc() == at {
			t.Error("a step that stays")
		}
		g.want(fmt.Sprintf("Z0,%x,1", at), "OK")
	}
	// A register can be changed: the argument of debug_inner.
	g.want("vCont;c", "T05")
	g.want("p10", hex.EncodeToString(binary.LittleEndian.AppendUint64(nil, at)))
	g.want("P5="+hex.EncodeToString(binary.LittleEndian.AppendUint64(nil, 1000)), "OK")
	was = g.word(counter)
	g.want(fmt.Sprintf("z0,%x,1", at), "OK")
	g.want(fmt.Sprintf("Z0,%x,1", at+1), "OK") // a second one stays in when the client goes
	g.want(fmt.Sprintf("z0,%x,1", at+1), "OK")
	inner := symbol(t, "debug.spt", "guest_wait")
	g.want(fmt.Sprintf("Z0,%x,1", inner), "OK")
	g.want("c", "T05")
	if now := g.word(counter); now != was+1000 {
		t.Errorf("count %d after %d with an argument of 1000", now, was)
	}
	// The client is gone, a breakpoint is in, the guest runs.
	g.send("c")
	g.answer()
	g.cancel()
	<-g.done
	noDebuggers(t, n)
	goesOn(t, c)
	// The same while it runs, and with the daemon killed.
	g = connect(t, "websocket", c)
	g.want(fmt.Sprintf("Z0,%x,1", symbol(t, "debug.spt", "guest_exit")), "OK")
	g.send("c")
	time.Sleep(50 * time.Millisecond)
	n.Kill()
	g.cancel()
	<-g.done
	noDebuggers(t, n)
	n.Start()
	goesOn(t, c)
	// And with the debugger told to end.
	g = connect(t, "spdy", c)
	g.want(fmt.Sprintf("Z0,%x,1", at), "OK")
	for _, pid := range debuggers(t, n) {
		syscall.Kill(pid, syscall.SIGTERM)
	}
	g.rest(t)
	goesOn(t, c)
	// A second debugger is refused, and does no harm.
	g = connect(t, "spdy", c)
	if r, err := execSync(n, c, "unicri:regs"); err != nil || r.ExitCode != 1 || !strings.Contains(string(r.Stderr), "another debugger") {
		t.Errorf("two at once: %v %v", r, err)
	}
	g.want("D;1", "OK")
	g.rest(t)
	goesOn(t, c)
	if _, err := execSync(n, c, "unicri:gdb"); status.Code(err) != codes.Unimplemented || !strings.Contains(err.Error(), "streaming") {
		t.Errorf("ExecSync: %v", err)
	}
	// A stopped guest still stops in time.
	g = connect(t, "spdy", c)
	began := time.Now()
	if err := n.RT.StopContainer(h.Ctx, c.ID, 1); err != nil {
		t.Error(err)
	}
	if d := time.Since(began); d > h.Slow(10*time.Second) {
		t.Errorf("stopping took %v", d)
	}
	g.cancel()
	<-g.done
	p.Remove(t)
	noDebuggers(t, n)
}

func TestGdbSeesCrash(t *testing.T) {
	n := node(t, "debug")
	p, c := runIn(t, n, "crash", "open", "debug.spt", args("stop"))
	g := connect(t, "spdy", c)
	g.want("c", "T0b")
	if got := g.ask("g"); len(got) < 272 {
		t.Error(got)
	}
	g.want("C0b", "X0b")
	g.rest(t)
	if s := c.Wait(t, 10e9); s.ExitCode != 139 || s.Reason != "GuestCrashed" {
		t.Errorf("%v", s)
	}
	p.Remove(t)
	noDebuggers(t, n)
}

// TestRealGdb is what a person does.
func TestRealGdb(t *testing.T) {
	if _, err := exec.LookPath("gdb"); err != nil {
		t.Skip("gdb is not installed; TestGdb speaks its protocol")
	}
	n := node(t, "debug")
	for _, b := range backends(t) {
		p, c := runIn(t, n, "real-"+b, "open", "debug."+b)
		c.WaitLog(t, "counting", 20*time.Second)
		s := start(t, "spdy", c, true, false, "unicri:gdb")
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go io.Copy(conn, s.out)
			io.Copy(s.in, conn)
			s.in.Close()
		}()
		script := []string{"-ex", "target remote " + l.Addr().String(), "-ex", "info registers rip", "-ex", "x/s &debug_text", "-ex", "bt"}
		if b == "spt" {
			script = append(script, "-ex", "break debug_middle", "-ex", "continue", "-ex", "bt", "-ex", "stepi", "-ex", "finish", "-ex", "delete")
		}
		cmd := exec.Command("gdb", append(append([]string{"-q", "-nx", "-batch", "-ex", "set confirm off", h.Guest("debug." + b)}, script...), "-ex", "detach")...)
		timer := time.AfterFunc(h.Slow(40*time.Second), func() { cmd.Process.Kill() })
		out, err := cmd.CombinedOutput()
		timer.Stop()
		l.Close()
		if err != nil || !bytes.Contains(out, []byte(`"in the guest"`)) || !bytes.Contains(out, []byte(" in debug_")) && !bytes.Contains(out, []byte(" in guest_wait")) ||
			!bytes.Contains(out, []byte(") detached]")) {
			t.Errorf("%s: %v: %s", b, err, out)
		}
		if b == "spt" && !(bytes.Contains(out, []byte("Breakpoint 1, ")) && bytes.Contains(out, []byte("in debug_outer"))) {
			t.Errorf("%s", out)
		}
		if os.Getenv("UNICRI_E2E_SHOW") != "" {
			t.Logf("%s", out)
		}
		s.rest(t)
		goesOn(t, c)
		if s := c.Status(t); s.State != cri.ContainerState_CONTAINER_RUNNING {
			t.Errorf("%v", s)
		}
		p.Remove(t)
	}
	noDebuggers(t, n)
}
