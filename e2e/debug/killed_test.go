// SPDX-License-Identifier: Apache-2.0

package debug

import (
	"debug/elf"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	h "unicri.dev/e2e/harness"
)

// kill9 ends the debuggers of a node, and with `daemon` first the daemon, which starts again.
func kill9(t *testing.T, n *h.Node, g *gdb, daemon bool) {
	t.Helper()
	if daemon {
		n.Kill()
	}
	for _, pid := range debuggers(t, n) {
		syscall.Kill(pid, syscall.SIGKILL)
	}
	g.cancel()
	<-g.done
	noDebuggers(t, n)
	if daemon {
		n.Start()
	}
}

// vmm is the process of a container's guest.
func vmm(t *testing.T, n *h.Node, c *h.Ctr) int {
	t.Helper()
	for _, pid := range n.Pids() {
		if line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); strings.HasPrefix(string(line), "unicri-tender\x00") && strings.Contains(string(line), "--name="+c.ID+"\x00") {
			return pid
		}
	}
	t.Fatalf("no tender of %s", c.ID)
	return 0
}

// code is what a guest's kernel has at a symbol, as GDB's protocol shows it.
func code(t *testing.T, kernel, name string, n int) string {
	t.Helper()
	f, err := elf.Open(h.Guest(kernel))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b, at := make([]byte, n), symbol(t, kernel, name)
	for _, p := range f.Progs {
		if p.Type == elf.PT_LOAD && at >= p.Vaddr && at+uint64(n) <= p.Vaddr+p.Filesz {
			if _, err := p.ReadAt(b, int64(at-p.Vaddr)); err != nil {
				t.Fatal(err)
			}
			return hex.EncodeToString(b)
		}
	}
	t.Fatalf("%s is not in %s", name, kernel)
	return ""
}

// TestGdbKilled kills the debugger in all of its states. What it has put into an spt guest is taken out by the daemon, or
// by the next one; hvt guests have nothing in them.
func TestGdbKilled(t *testing.T) {
	n := node(t, "debug")
	for _, b := range backends(t) {
		t.Run(b, func(t *testing.T) {
			if b == "hvt" {
				needHvtDebug(t)
			}
			kernel := "debug." + b
			p, c := runIn(t, n, "killed-"+b, "open", kernel)
			c.WaitLog(t, "counting", 20*time.Second)
			at, pid := symbol(t, kernel, "debug_middle"), vmm(t, n, c)
			for i, how := range []string{"stopped at a breakpoint", "running into one", "stepping", "stopped at one, with the daemon", "running into one, with the daemon"} {
				g := connect(t, []string{"spdy", "websocket"}[i%2], c)
				g.want(fmt.Sprintf("Z0,%x,1", symbol(t, kernel, "guest_exit")), "OK")
				g.want(fmt.Sprintf("Z0,%x,1", at), "OK")
				g.want("c", "T05")
				if strings.HasPrefix(how, "running") || how == "stepping" {
					g.want(fmt.Sprintf("z0,%x,1", at), "OK")
					g.want("s", "T05")
				}
				if strings.HasPrefix(how, "running") {
					g.want(fmt.Sprintf("Z0,%x,1", at), "OK")
					g.send("c")
				} else if how == "stepping" {
					g.send("s")
				}
				kill9(t, n, g, strings.HasSuffix(how, "daemon"))
				t.Log(how)
				goesOn(t, c)
				if now := vmm(t, n, c); now != pid {
					t.Fatalf("another VMM: %d, was %d", now, pid)
				}
			}
			// Nothing is left for the next one, and none of the guest's code is changed.
			g := connect(t, "spdy", c)
			for _, name := range []string{"debug_middle", "guest_exit"} {
				if got, want := g.ask(fmt.Sprintf("m%x,10", symbol(t, kernel, name))), code(t, kernel, name, 16); got != want {
					t.Errorf("%s: %s, not %s", name, got, want)
				}
			}
			g.send("c")
			time.Sleep(200 * time.Millisecond)
			io.WriteString(g.in, "\x03")
			if got := g.answer(); !strings.HasPrefix(got, "T02") {
				t.Errorf("a stop of nobody's: %q", got)
			}
			g.want("D", "OK")
			g.rest(t)
			goesOn(t, c)
			p.Remove(t)
		})
	}
	noDebuggers(t, n)
}

// TestOwnInt3Kills has a guest that may be debugged jump to an int3 of its own: nobody waits for somebody to take it out.
func TestOwnInt3Kills(t *testing.T) {
	n := node(t, "debug")
	p, c := runIn(t, n, "int3", "open", "debug.spt")
	c.WaitLog(t, "counting", 20*time.Second)
	g := connect(t, "spdy", c)
	g.want(fmt.Sprintf("M%x,1:cc", symbol(t, "debug.spt", "debug_middle")), "OK") // what GDB writes is the guest's own code
	g.want("D", "OK")
	g.rest(t)
	if s := c.Wait(t, 10*time.Second); s.Reason != "GuestCrashed" || s.ExitCode != 128+5 {
		t.Errorf("%v", s)
	}
	p.Remove(t)
	noDebuggers(t, n)
}
