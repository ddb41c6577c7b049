// SPDX-License-Identifier: Apache-2.0

package debug

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"
)

// KVM's numbers (linux/kvm.h).
const (
	kvmCreateVM      = 0xae01
	kvmVcpuMmapSize  = 0xae04
	kvmCreateVcpu    = 0xae41
	kvmSetUserMemory = 0x4020ae46
	kvmRun           = 0xae80
	kvmSetRegs       = 0x4090ae82
	kvmGetSregs      = 0x8138ae83
	kvmSetSregs      = 0x4138ae84
	kvmSetGuestDebug = 0x4048ae9b
	kvmExitDebug     = 4
	guestDebugEnable = 1
	guestDebugStep   = 2
	guestDebugHw     = 0x20000
	debugRegisters   = 8 // offset in struct kvm_guest_debug
	exitReason       = 8 // in struct kvm_run
	sregsCSBase      = 0 // in struct kvm_sregs
	sregsCSSelector  = 12
	regsFlag         = 17 * 8 // in struct kvm_regs
)

// kvmDebugs tries on four instructions whether this KVM stops at a debug register and after a step: emulations promise
// and do not. Returns what is missing.
func kvmDebugs() (missing string) {
	defer func() {
		if e := recover(); e != nil {
			missing = fmt.Sprint(e)
		}
	}()
	ioctl := func(fd, nr, arg uintptr) uintptr {
		r, _, e := syscall.Syscall(syscall.SYS_IOCTL, fd, nr, arg)
		if e != 0 {
			panic(fmt.Sprintf("ioctl %#x: %v", nr, e))
		}
		return r
	}
	kvm, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	if err != nil {
		return err.Error()
	}
	defer kvm.Close()
	vm := ioctl(kvm.Fd(), kvmCreateVM, 0)
	defer syscall.Close(int(vm))
	memory, err := syscall.Mmap(-1, 0, 4096, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE|syscall.MAP_ANON)
	if err != nil {
		return err.Error()
	}
	defer syscall.Munmap(memory)
	copy(memory, []byte{0x90, 0x90, 0x90, 0xf4})
	// What is passed to the kernel lies in memory that Go does not move.
	scratch, err := syscall.Mmap(-1, 0, 4096, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE|syscall.MAP_ANON)
	if err != nil {
		return err.Error()
	}
	defer syscall.Munmap(scratch)
	at := uintptr(unsafe.Pointer(&scratch[0]))
	region := scratch[:32]
	binary.LittleEndian.PutUint64(region[16:], 4096)
	binary.LittleEndian.PutUint64(region[24:], uint64(uintptr(unsafe.Pointer(&memory[0]))))
	ioctl(vm, kvmSetUserMemory, at)
	vcpu := ioctl(vm, kvmCreateVcpu, 0)
	defer syscall.Close(int(vcpu))
	run, err := syscall.Mmap(int(vcpu), 0, int(ioctl(kvm.Fd(), kvmVcpuMmapSize, 0)), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	if err != nil {
		return err.Error()
	}
	defer syscall.Munmap(run)
	sregs := scratch[512:]
	ioctl(vcpu, kvmGetSregs, at+512)
	binary.LittleEndian.PutUint64(sregs[sregsCSBase:], 0)
	binary.LittleEndian.PutUint16(sregs[sregsCSSelector:], 0)
	ioctl(vcpu, kvmSetSregs, at+512)
	scratch[1024+regsFlag] = 2 // all others 0
	ioctl(vcpu, kvmSetRegs, at+1024)
	for _, how := range []struct {
		name    string
		control uint32
	}{{"single steps", guestDebugEnable | guestDebugStep}, {"breakpoints by debug registers", guestDebugEnable | guestDebugHw}} {
		d := scratch[2048:]
		binary.LittleEndian.PutUint32(d, how.control)
		binary.LittleEndian.PutUint64(d[debugRegisters:], 2)
		binary.LittleEndian.PutUint64(d[debugRegisters+7*8:], 0x402)
		ioctl(vcpu, kvmSetGuestDebug, at+2048)
		ioctl(vcpu, kvmRun, 0)
		if reason := binary.LittleEndian.Uint32(run[exitReason:]); reason != kvmExitDebug {
			return fmt.Sprintf("this KVM does not make %s (exit %d)", how.name, reason)
		}
	}
	return ""
}

func needHvtDebug(t *testing.T) {
	t.Helper()
	if why := kvmDebugs(); why != "" {
		t.Skipf("hvt guests cannot be debugged on this host: %s", why)
	}
}

func le(n uint64) string {
	return hex.EncodeToString(binary.LittleEndian.AppendUint64(nil, n))
}

func TestGdbHvt(t *testing.T) {
	needHvtDebug(t)
	n := node(t, "debug")
	p, c := runIn(t, n, "hvt", "open", "debug.hvt")
	c.WaitLog(t, "counting", 20*time.Second)
	g := connect(t, "spdy", c)
	at, counter := symbol(t, "debug.hvt", "debug_middle"), symbol(t, "debug.hvt", "debug_counter")
	code := g.word(at)
	g.want(fmt.Sprintf("Z0,%x,1", at), "OK")
	was := g.word(counter)
	for i := uint64(0); i < 3; i++ {
		g.want("vCont;c:1", "T05thread:1;swbreak")
		if pc, now := g.pc(), g.word(counter); pc != at || now != was+i && now != was+i+1 {
			t.Fatalf("stop %d at %#x, not %#x; count %d after %d", i, pc, at, now, was)
		}
		g.want(fmt.Sprintf("z0,%x,1", at), "OK") // as GDB does it: out, one step, in again
		g.want("s", "T05")
		if pc := g.pc(); pc == at || pc > at+15 {
			t.Errorf("a step from %#x to %#x", at, pc)
		}
		g.want(fmt.Sprintf("Z1,%x,1", at), "OK")
	}
	// The argument of debug_inner, and the registers as they were otherwise.
	g.want("c", "T05")
	g.want("P5="+le(1000), "OK")
	all := g.ask("g")
	g.want("G"+all, "OK")
	if now := g.ask("g"); now != all {
		t.Errorf("registers %s, not %s", now, all)
	}
	was = g.word(counter)
	g.want(fmt.Sprintf("z0,%x,1", at), "OK")
	g.want(fmt.Sprintf("Z0,%x,1", symbol(t, "debug.hvt", "guest_wait")), "OK")
	g.want("c", "T05")
	if now := g.word(counter); now != was+1000 {
		t.Errorf("count %d after %d with an argument of 1000", now, was)
	}
	// Four there are; the code is never changed.
	for i := uint64(1); i < 4; i++ {
		g.want(fmt.Sprintf("Z0,%x,1", at+i), "OK")
	}
	g.want(fmt.Sprintf("Z0,%x,1", at+9), "E")
	if g.word(at) != code {
		t.Error("a breakpoint in memory")
	}
	// A step over a hypercall, whatever it takes.
	for i := 0; i < 40; i++ {
		g.want("s", "T05")
	}
	g.want("D", "OK")
	g.rest(t)
	goesOn(t, c)
	// An interrupt between breakpoints.
	g = connect(t, "websocket", c)
	g.want(fmt.Sprintf("Z0,%x,1", symbol(t, "debug.hvt", "guest_exit")), "OK")
	g.send("c")
	time.Sleep(50 * time.Millisecond)
	io.WriteString(g.in, "\x03")
	if got := g.answer(); !strings.HasPrefix(got, "T02") {
		t.Errorf("interrupt: %q", got)
	}
	g.send("c")
	g.cancel()
	<-g.done
	noDebuggers(t, n)
	goesOn(t, c)
	p.Remove(t)
	// A handler that does not allow gdb: the tender has the narrow filter.
	p, c = runIn(t, n, "narrow", "regs", "debug.hvt")
	c.WaitLog(t, "counting", 20*time.Second)
	if line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", vmm(t, n, c))); strings.Contains(string(line), "--debug") {
		t.Errorf("started with %q", line)
	}
	p.Remove(t)
	noDebuggers(t, n)
}
