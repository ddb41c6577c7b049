// SPDX-License-Identifier: Apache-2.0

package debug

import (
	"encoding/binary"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	h "unicri.dev/e2e/harness"
)

const crashConfig = `
[handlers.cores]
kind = "auto"
debug = true
crash_cores = 2
`

var corePath = regexp.MustCompile(`core file \((\d+) bytes, until the container is removed\): (/\S+/core)(?:;|$)`)

// crashed runs a guest until it crashes and returns what its status names.
func crashed(t *testing.T, n *h.Node, name, b string) (*h.Pod, *h.Ctr, string) {
	t.Helper()
	p, c := runIn(t, n, name, "cores", "debug."+b, args("stop"))
	s := c.Wait(t, 20*time.Second)
	m := corePath.FindStringSubmatch(s.Message)
	if s.ExitCode != 139 || s.Reason != "GuestCrashed" || m == nil {
		t.Fatalf("%s: %v %s", b, s, n.LogTail(5))
	}
	return p, c, m[2]
}

func TestCrashCore(t *testing.T) {
	h.NeedUnicrid(t)
	n := h.NewNode(t, h.NodeOptions{Config: crashConfig})
	for _, b := range backends(t) {
		n.Pull(t, h.GuestRef("debug."+b))
	}
	for _, b := range backends(t) {
		kernel := "debug." + b
		p, _, path := crashed(t, n, "crash-"+b, b)
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		f := readCore(t, data)
		if got := f.memory(symbol(t, kernel, "debug_counter"), 8); got == nil || binary.LittleEndian.Uint64(got) != 60 || f.signal != 11 {
			t.Errorf("%s: counter %v signal %d", b, got, f.signal)
		}
		if at := symbol(t, kernel, "guest_main"); f.pc < at || f.pc > at+0x200 {
			t.Errorf("%s: pc %#x, guest_main is at %#x", b, f.pc, at)
		}
		gdbOpens(t, kernel, data, "SIGSEGV", "guest_main")
		p.Remove(t)
		if _, err := os.Stat(path); !os.IsNotExist(err) {
			t.Errorf("%s: goes with the container: %v", b, err)
		}
	}
}

// TestEarlyCrash is of guests that crash with their first words: no watcher was ever that fast.
func TestEarlyCrash(t *testing.T) {
	h.NeedUnicrid(t)
	n := h.NewNode(t, h.NodeOptions{Config: crashConfig})
	for _, b := range backends(t) {
		n.Pull(t, h.GuestRef("crash."+b))
		for i := 0; i < 3; i++ {
			p, c := runIn(t, n, fmt.Sprintf("early-%s-%d", b, i), "cores", "crash."+b)
			s := c.Wait(t, 20*time.Second)
			m := corePath.FindStringSubmatch(s.Message)
			if s.ExitCode != 139 || s.Reason != "GuestCrashed" || m == nil {
				t.Fatalf("%s: %v %s", b, s, n.LogTail(5))
			}
			data, err := os.ReadFile(m[2])
			if err != nil {
				t.Fatal(err)
			}
			if f, at := readCore(t, data), symbol(t, "crash."+b, "guest_main"); f.pc < at || f.pc > at+0x200 || f.signal != 11 {
				t.Errorf("%s: pc %#x signal %d, guest_main is at %#x", b, f.pc, f.signal, at)
			}
			p.Remove(t)
		}
	}
}

// TestWatcherStepsAside takes the watcher's place and gives it back.
func TestWatcherStepsAside(t *testing.T) {
	h.NeedUnicrid(t)
	n := h.NewNode(t, h.NodeOptions{Config: crashConfig})
	n.Pull(t, h.GuestRef("debug.spt"))
	// A debugger takes the watcher's place and gives it back; a killed daemon changes nothing.
	p, c := runIn(t, n, "aside", "cores", "debug.spt")
	c.WaitLog(t, "counted to 50", 20*time.Second)
	if r, err := execSync(n, c, "unicri:regs"); err != nil || r.ExitCode != 0 || !strings.Contains(string(r.Stdout), "guest_main") {
		t.Fatalf("regs: %v %v", r, err)
	}
	g := connect(t, "spdy", c)
	g.want(fmt.Sprintf("Z0,%x,1", symbol(t, "debug.spt", "debug_middle")), "OK")
	g.want("c", "T05")
	g.want("D", "OK")
	g.rest(t)
	n.Kill()
	n.Start()
	goesOn(t, c)
	g = connect(t, "spdy", c)
	// Without the debugger the next fault is the watcher's: jump to nowhere.
	g.want("P10=0000000000700000", "OK")
	g.want("D", "OK")
	g.rest(t)
	if s := c.Wait(t, 20*time.Second); s.Reason != "GuestCrashed" {
		t.Errorf("%v", s)
	}
	p.Remove(t)
	// A guest that ends well leaves none, and no watcher.
	p, c = runIn(t, n, "well", "cores", "debug.spt")
	c.WaitLog(t, "counting", 20*time.Second)
	if err := n.RT.StopContainer(h.Ctx, c.ID, 5); err != nil {
		t.Error(err)
	}
	if s := c.Wait(t, 20*time.Second); s.ExitCode != 143 || strings.Contains(s.Message, "core") {
		t.Errorf("%v", s)
	}
	p.Remove(t)
}

func TestCrashCoresAreBounded(t *testing.T) {
	h.NeedUnicrid(t)
	n := h.NewNode(t, h.NodeOptions{Config: crashConfig})
	n.Pull(t, h.GuestRef("debug.spt"))
	var paths []string
	for i := 0; i < 3; i++ {
		_, _, path := crashed(t, n, fmt.Sprintf("bound-%d", i), "spt")
		paths = append(paths, path)
	}
	for i, path := range paths {
		if _, err := os.Stat(path); (err == nil) != (i > 0) {
			t.Errorf("core file %d of 3 where 2 are kept: %v", i, err)
		}
	}
	small := h.NewNode(t, h.NodeOptions{Config: crashConfig, Set: map[string]string{"runtime.crash_core_bytes": "4096"}})
	small.Pull(t, h.GuestRef("debug.spt"))
	_, c := runIn(t, small, "small", "cores", "debug.spt", args("stop"))
	if s := c.Wait(t, 20*time.Second); s.Reason != "GuestCrashed" || !strings.Contains(s.Message, "allowed are 4096") {
		t.Errorf("%v", s)
	}
}
