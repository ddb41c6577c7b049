// SPDX-License-Identifier: Apache-2.0

package debug

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"io"
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

const machineConfig = "[handlers.machine]\nkind = \"qemu\"\nmachine = \"%s\"\naccel = \"tcg\"\ndebug = true\n"

func machineNode(t *testing.T, machine, guest string) *h.Node {
	t.Helper()
	h.NeedUnicrid(t)
	if _, err := exec.LookPath("qemu-system-x86_64"); err != nil {
		t.Skip("package qemu-system-x86 is not installed")
	}
	n := h.NewNode(t, h.NodeOptions{Config: fmt.Sprintf(machineConfig, machine)})
	n.Pull(t, h.GuestRef(guest))
	return n
}

func cpus(count int64) h.CtrOpt {
	return func(c *cri.ContainerConfig) {
		c.Linux.Resources = &cri.LinuxContainerResources{CpuPeriod: 100000, CpuQuota: count * 100000, MemoryLimitInBytes: 64 << 20}
	}
}

// connectMachine begins a session with QEMU's own server.
func connectMachine(t testing.TB, kind string, c *h.Ctr) *gdb {
	t.Helper()
	g := &gdb{t, start(t, kind, c, true, false, "unicri:gdb")}
	if got := g.ask("qSupported:multiprocess+;swbreak+"); !strings.Contains(got, "PacketSize=") || strings.Contains(got, "multiprocess+") {
		t.Fatal(got)
	}
	g.want("?", "T05")
	return g
}

// TestQemuRegs shows all processors of a guest, and where they are.
func TestQemuRegs(t *testing.T) {
	n := machineNode(t, "q35", "machine.pvh")
	p, c := runIn(t, n, "regs", "machine", "machine.pvh", args(), cpus(2))
	c.WaitLog(t, "counted to", 30*time.Second)
	r, err := execSync(n, c, "unicri:regs")
	if err != nil || r.ExitCode != 0 {
		t.Fatalf("%v %v", r, err)
	}
	for _, want := range []string{"2 processors, ", "processor 01", "processor 02", "rip    0x0000000000200", "(by frame pointers)", " debug_outer+0x", " guest_main+0x"} {
		if !strings.Contains(string(r.Stdout), want) {
			t.Errorf("no %q: %s", want, r.Stdout)
		}
	}
	if r, err := execSync(n, c, "unicri:regs", "all"); err != nil || r.ExitCode != 2 {
		t.Errorf("%v %v", r, err)
	}
	goesOn(t, c)
	p.Remove(t)
	noDebuggers(t, n)
}

// TestQemuGdb stops, looks, steps and goes; whatever a client leaves, the guest goes on.
func TestQemuGdb(t *testing.T) {
	n := machineNode(t, "microvm", "machine.pvh")
	p, c := runIn(t, n, "gdb", "machine", "machine.pvh", args())
	c.WaitLog(t, "counting", 30*time.Second)
	g := connectMachine(t, "spdy", c)
	counter, at := symbol(t, "machine.pvh", "debug_counter"), symbol(t, "machine.pvh", "debug_middle")
	was := g.word(counter)
	time.Sleep(100 * time.Millisecond)
	if now := g.word(counter); now != was {
		t.Errorf("it counts on while it is stopped: %d %d", was, now)
	}
	g.want("qXfer:features:read:target.xml:0,fff", "l<?xml")
	// Nothing that is the VMM's: its monitor, its end, a restart.
	for _, packet := range []string{"qRcmd,71756974", "R00", "!", "vRun;", "F0", "Qfoo", "QStartNoAckMode", "vFile:open:00,0,0"} {
		if got := g.ask(packet); got != "" {
			t.Errorf("%s: %q", packet, got)
		}
	}
	g.want(fmt.Sprintf("Z0,%x,1", at), "OK")
	for i := 0; i < 3; i++ {
		g.want("vCont;c", "T05")
		if pc := g.pc(); pc != at {
			t.Fatalf("%#x, not %#x", pc, at)
		}
		for j := 0; j < 40; j++ { // more than a record has room for
			g.want("s", "T05")
		}
	}
	g.send("c")
	g.answer()
	g.want(fmt.Sprintf("z0,%x,1", at), "OK")
	g.send("c")
	time.Sleep(50 * time.Millisecond)
	io.WriteString(g.in, "\x03")
	if got := g.answer(); !strings.HasPrefix(got, "T02") {
		t.Errorf("interrupt: %q", got)
	}
	g.want("D", "OK")
	if _, err := g.rest(t); err != nil {
		t.Errorf("detach: %v %q", err, g.errout.String())
	}
	goesOn(t, c)
	// The client is gone: with a breakpoint, stopped or running; and with `k`.
	for _, last := range []string{"", "c", "k"} {
		g = connectMachine(t, "websocket", c)
		g.want(fmt.Sprintf("Z0,%x,1", at), "OK")
		if last != "" {
			g.send(last)
			time.Sleep(20 * time.Millisecond)
		}
		g.cancel()
		<-g.done
		noDebuggers(t, n)
		goesOn(t, c)
	}
	// The daemon is killed, and its debugger at the same moment: the next daemon takes the breakpoint out.
	g = connectMachine(t, "spdy", c)
	g.want(fmt.Sprintf("Z0,%x,1", at), "OK")
	list := debuggers(t, n)
	for _, pid := range list {
		syscall.Kill(pid, syscall.SIGSTOP)
	}
	n.Kill()
	for _, pid := range list {
		syscall.Kill(pid, syscall.SIGKILL)
	}
	g.cancel()
	<-g.done
	n.Start()
	goesOn(t, c)
	// A second debugger is refused, and does no harm. A stopped guest is stopped in time.
	g = connectMachine(t, "spdy", c)
	if _, err := execSync(n, c, "unicri:regs"); status.Code(err) != codes.FailedPrecondition || !strings.Contains(err.Error(), "another debugger") {
		t.Errorf("two at once: %v", err)
	}
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

// TestQemuCore has a core file written by QEMU.
func TestQemuCore(t *testing.T) {
	n := machineNode(t, "microvm", "machine.pvh")
	p, c := runIn(t, n, "core", "machine", "machine.pvh", args(), cpus(1))
	c.WaitLog(t, "counted to", 30*time.Second)
	s := start(t, "websocket", c, false, false, "unicri:core")
	data, err := s.rest(t)
	if err != nil {
		t.Fatalf("%v %q", err, s.errout.String())
	}
	checkMachineCore(t, data)
	// A client that goes in the midst keeps the guest neither stopped nor alive.
	s = start(t, "spdy", c, false, false, "unicri:core")
	if _, err := io.ReadFull(s.out, make([]byte, 4096)); err != nil {
		t.Error(err)
	}
	s.cancel()
	<-s.done
	noDebuggers(t, n)
	goesOn(t, c)
	p.Remove(t)
	noDebuggers(t, n)
}

func checkMachineCore(t *testing.T, data []byte) {
	t.Helper()
	f, err := elf.NewFile(bytes.NewReader(data))
	if err != nil || f.Type != elf.ET_CORE {
		t.Fatalf("%d bytes: %v", len(data), err)
	}
	c := core{File: f}
	if got := c.memory(symbol(t, "machine.pvh", "debug_text"), 12); string(got) != "in the guest" {
		t.Errorf("memory %q", got)
	}
	if got := c.memory(symbol(t, "machine.pvh", "debug_counter"), 8); got == nil || binary.LittleEndian.Uint64(got) == 0 {
		t.Errorf("counter %v", got)
	}
	gdbOpens(t, "machine.pvh", data, "rip ")
}

// TestQemuGuest sees console and frames of a guest of another driver.
func TestQemuGuest(t *testing.T) {
	n := machineNode(t, "microvm", "roles.pvh")
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
	p.Remove(t)
	noDebuggers(t, n)
}

// TestQemuCrashCore: a guest that crashes is held until its core file is written; one that ends well leaves none.
func TestQemuCrashCore(t *testing.T) {
	h.NeedUnicrid(t)
	if _, err := exec.LookPath("qemu-system-x86_64"); err != nil {
		t.Skip("package qemu-system-x86 is not installed")
	}
	n := h.NewNode(t, h.NodeOptions{Config: fmt.Sprintf(machineConfig, "q35") + "crash_cores = 2\n"})
	n.Pull(t, h.GuestRef("machine.pvh"))
	ends := func(c *h.Ctr, reason string, code int32) string {
		t.Helper()
		s := c.Wait(t, 30*time.Second)
		m := corePath.FindStringSubmatch(s.Message)
		if s.Reason != reason || s.ExitCode != code || (m != nil) != (code != 0) {
			t.Fatalf("%v %s", s, n.LogTail(5))
		}
		if m == nil {
			return ""
		}
		return m[2]
	}
	for how, reason := range map[string]string{"stop": "GuestReset", "panic": "GuestPanicked"} {
		p, c := runIn(t, n, how, "machine", "machine.pvh", args(how), cpus(1))
		path := ends(c, reason, 1)
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		checkMachineCore(t, data)
		p.Remove(t)
		if _, err := os.Stat(path); !os.IsNotExist(err) {
			t.Errorf("goes with the container: %v", err)
		}
	}
	p, c := runIn(t, n, "off", "machine", "machine.pvh", args("off"), cpus(1))
	ends(c, "Completed", 0)
	p.Remove(t)
	// It crashes under a debugger, and while there is no daemon.
	p, c = runIn(t, n, "debugged", "machine", "machine.pvh", args("stop"), cpus(1))
	g := connectMachine(t, "spdy", c)
	g.send("c")
	if got := g.answer(); got[0] != 'T' {
		t.Error(got)
	}
	if at := symbol(t, "machine.pvh", "guest_main"); g.pc() < at || g.pc() > at+0x400 {
		t.Errorf("%#x, guest_main is at %#x", g.pc(), at)
	}
	g.want("D", "OK")
	g.rest(t)
	ends(c, "GuestReset", 1)
	p.Remove(t)
	p, c = runIn(t, n, "alone", "machine", "machine.pvh", args("stop"), cpus(1))
	n.Kill()
	time.Sleep(500 * time.Millisecond)
	n.Start()
	ends(c, "GuestReset", 1)
	p.Remove(t)
	noDebuggers(t, n)
}
