// SPDX-License-Identifier: Apache-2.0

package debug

import (
	"bytes"
	"os/exec"
	"strings"
	"testing"
	"time"

	h "unicri.dev/e2e/harness"
)

// unicri runs the command for people, in the node's namespace.
func unicri(t testing.TB, n *h.Node, stdin string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	cmd := exec.Command(h.Bin("unicri"), append([]string{"--socket", n.Socket}, args...)...)
	var out, errout bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &errout
	if err := n.NS.Start(cmd); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(h.Slow(30*time.Second), func() { cmd.Process.Kill() })
	cmd.Wait()
	timer.Stop()
	return out.String(), errout.String(), cmd.ProcessState.ExitCode()
}

func TestCommand(t *testing.T) {
	n := node(t, "debug", "http")
	p, c := runIn(t, n, "cli", "open", "debug.spt")
	c.WaitLog(t, "counted to 50", 20*time.Second)
	if out, errout, code := unicri(t, n, "", "debug", "--help"); code != 0 || !strings.Contains(out, "target remote") || errout != "" {
		t.Errorf("help: %d %q %q", code, out, errout)
	}
	for _, word := range []string{c.ID, "guest", p.ID[:12], "cli"} { // id, name, beginning and name of the pod
		if out, errout, code := unicri(t, n, "", "debug", word, "regs"); code != 0 || !strings.Contains(out, "guest_main+0x") {
			t.Errorf("regs of %s: %d %q %q", word, code, out, errout)
		}
	}
	if out, errout, code := unicri(t, n, "", "debug", "cli", "core"); code != 0 || readCore(t, []byte(out)).pc < 0x100000 || !strings.Contains(errout, "bytes; open it with") {
		t.Errorf("core: %d, %d bytes, %q", code, len(out), errout)
	}
	// A session as gdb would begin it; its end is the end of stdin.
	if out, errout, code := unicri(t, n, "$?#3f+$D#44+", "debug", "cli", "gdb"); code != 0 || !strings.Contains(out, "$T05thread:1;#") || !strings.Contains(out, "$OK#9a") {
		t.Errorf("gdb: %d %q %q", code, out, errout)
	}
	if _, errout, code := unicri(t, n, "", "debug", "cli", "regs", "x"); code != 2 || !strings.Contains(errout, "arguments") {
		t.Errorf("a wrong word: %d %q", code, errout)
	}
	if _, errout, code := unicri(t, n, "", "debug", "cli", "all"); code != 1 || !strings.Contains(errout, "unicri:regs") {
		t.Errorf("no such command: %d %q", code, errout)
	}
	if _, errout, code := unicri(t, n, "", "debug", "nobody", "regs"); code != 1 || !strings.Contains(errout, "'nobody'") {
		t.Errorf("no such pod: %d %q", code, errout)
	}
	if _, errout, code := unicri(t, n, "", "debug", "cli"); code != 2 || !strings.Contains(errout, "command") {
		t.Errorf("no command: %d %q", code, errout)
	}
	// What it prints ends with the guest.
	done := make(chan string)
	go func() {
		out, _, _ := unicri(t, n, "", "debug", "cli", "console")
		done <- out
	}()
	for len(debuggers(t, n)) == 0 {
		time.Sleep(10 * time.Millisecond)
	}
	goesOn(t, c)
	p.Stop(t)
	if out := <-done; !strings.Contains(out, "debug: counting\ndebug: counted to 50\n") {
		t.Errorf("console: %q", out)
	}
	p.Remove(t)
	noDebuggers(t, n)
	p, c = runIn(t, n, "net", "open", "http.spt")
	c.WaitLog(t, "8080", 20*time.Second)
	if out, errout, code := unicri(t, n, "", "debug", "net", "pcap", "--seconds=1"); code != 0 || !strings.HasPrefix(out, "\x4d\x3c\xb2\xa1") || !strings.Contains(errout, "frames") {
		t.Errorf("pcap: %d %q %q", code, out, errout)
	}
	p.Remove(t)
	noDebuggers(t, n)
}
