// SPDX-License-Identifier: Apache-2.0

// attach_test.go: terminals, much data, and a unikernel's console by Attach; ExecSync's limits.
package streaming

import (
	"bytes"
	"crypto/sha256"
	"io"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"k8s.io/client-go/tools/remotecommand"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
	h "unicri.dev/e2e/harness"
)

func attachURL(t testing.TB, c *h.Ctr, tty, stdin bool) string {
	t.Helper()
	r, err := c.Pod.N.RT.Attach(h.Ctx, &cri.AttachRequest{ContainerId: c.ID, Tty: tty, Stdin: stdin, Stdout: true, Stderr: !tty})
	if err != nil {
		t.Fatalf("Attach: %v", err)
	}
	return relay(t, c.Pod.N, r.Url)
}

// TestAttachMore: what TestAttach leaves: much data, terminals, leaving without an end of input.
func TestAttachMore(t *testing.T) {
	n := h.NewNode(t, h.NodeOptions{})
	n.Pull(t, h.BusyboxRef)
	p := n.RunPod(t, "more")
	for _, kind := range kinds {
		t.Run("bulk "+kind, func(t *testing.T) {
			c := p.Sh(t, "bulk-"+kind, "cat", func(c *cri.ContainerConfig) { c.Stdin, c.StdinOnce, c.LogPath = true, true, "" })
			data := random(t, bulk)
			var out bytes.Buffer
			err := run(t, executor(t, kind, attachURL(t, c, false, true)),
				remotecommand.StreamOptions{Stdin: bytes.NewReader(data), Stdout: &out, Stderr: io.Discard}, 120*time.Second)
			if err != nil || sha256.Sum256(out.Bytes()) != sha256.Sum256(data) {
				t.Errorf("there and back: %v, %d of %d bytes", err, out.Len(), len(data))
			}
			if s := c.Wait(t, 10*time.Second); s.ExitCode != 0 {
				t.Errorf("exit: %v", s)
			}
		})
		t.Run("terminal "+kind, func(t *testing.T) {
			c := p.Sh(t, "tty-"+kind, "stty -echo; echo up; read x; "+sized("29 83")+"stty size; read x; exit 4", func(c *cri.ContainerConfig) { c.Stdin, c.Tty = true, true })
			c.WaitLog(t, "up", 10*time.Second)
			size := sizes{make(chan remotecommand.TerminalSize, 1)}
			size.c <- remotecommand.TerminalSize{Width: 83, Height: 29}
			r, w := io.Pipe()
			go func() { io.WriteString(w, "x\n"); io.WriteString(w, "y\n") }()
			var out bytes.Buffer
			err := run(t, executor(t, kind, attachURL(t, c, true, true)),
				remotecommand.StreamOptions{Stdin: r, Stdout: &out, Tty: true, TerminalSizeQueue: size}, 20*time.Second)
			w.Close()
			close(size.c)
			if err != nil || !strings.Contains(out.String(), "29 83") || strings.Contains(out.String(), "up") {
				t.Errorf("terminal: %v, %q", err, &out)
			}
			if s := c.Wait(t, 10*time.Second); s.ExitCode != 4 {
				t.Errorf("exit: %v", s)
			}
		})
	}
	t.Run("stdin goes on", func(t *testing.T) {
		c := p.Sh(t, "on", "while read x; do echo got $x; [ $x = two ] && exit 0; done; exit 9", func(c *cri.ContainerConfig) { c.Stdin = true })
		for _, word := range []string{"one", "two"} {
			conn, _ := upgrade(t, n, rawAttach(t, c), "v4.channel.k8s.io")
			stream(t, conn, "streamtype", "error")
			in, out := stream(t, conn, "streamtype", "stdin"), stream(t, conn, "streamtype", "stdout")
			stream(t, conn, "streamtype", "stderr")
			io.WriteString(in, word+"\n")
			in.Close() // without stdin_once nobody else's
			b := make([]byte, 64)
			if k, err := out.Read(b); string(b[:k]) != "got "+word+"\n" {
				t.Errorf("%q, %v", b[:k], err)
			}
			conn.Close()
		}
		if s := c.Wait(t, 10*time.Second); s.ExitCode != 0 {
			t.Errorf("exit: %v", s)
		}
	})
	p.Remove(t)
}

func rawAttach(t testing.TB, c *h.Ctr) string {
	t.Helper()
	r, err := c.Pod.N.RT.Attach(h.Ctx, &cri.AttachRequest{ContainerId: c.ID, Stdin: true, Stdout: true, Stderr: true})
	if err != nil {
		t.Fatal(err)
	}
	return r.Url
}

// TestConsole: attaching to a unikernel shows its console from now on; its end ends the attach.
func TestConsole(t *testing.T) {
	n := h.NewNode(t, h.NodeOptions{})
	n.Pull(t, h.GuestRef("http.spt"))
	p := n.RunPod(t, "console")
	c := p.Run(t, "g", h.GuestRef("http.spt"), nil, func(c *cri.ContainerConfig) { c.Linux.SecurityContext.RunAsUser = nil })
	c.WaitLog(t, "8080", 10*time.Second)
	done := make(chan error, 1)
	e := executor(t, "spdy", attachURL(t, c, false, false))
	go func() {
		done <- run(t, e, remotecommand.StreamOptions{Stdout: io.Discard, Stderr: io.Discard}, 60*time.Second)
	}()
	select {
	case err := <-done:
		t.Fatalf("the attach ended while the guest runs: %v", err)
	case <-time.After(500 * time.Millisecond):
	}
	if err := n.RT.StopContainer(h.Ctx, c.ID, 0); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Errorf("at the guest's end: %v", err)
	}
	_, _, err := n.RT.ExecSync(h.Ctx, c.ID, []string{"true"}, time.Minute)
	if status.Code(err) != codes.Unimplemented && status.Code(err) != codes.FailedPrecondition {
		t.Errorf("ExecSync into a guest: %v", err)
	}
	p.Remove(t)
}

// TestExecSyncLimits: a time limit ends the whole tree, background children keep nobody, floods are cut below what the
// client takes.
func TestExecSyncLimits(t *testing.T) {
	n, p, c := busybox(t, "limits")
	_, err := n.Raw.ExecSync(h.Ctx, &cri.ExecSyncRequest{ContainerId: c.ID, Cmd: []string{"sh", "-c", "setsid sleep 5101 & sleep 5101"}, Timeout: 2})
	if status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("past its time: %v", err)
	}
	if out := c.Exec(t, "sh", "-c", "cat /proc/[0-9]*/cmdline"); strings.Contains(out, "sleep\x005101") {
		t.Error("something of the command lives on")
	}
	began := time.Now()
	if out := c.Exec(t, "sh", "-c", "sleep 60 & echo done"); out != "done\n" || time.Since(began) > 30*time.Second {
		t.Errorf("a background child: %q after %v", out, time.Since(began))
	}
	r, err := n.Raw.ExecSync(h.Ctx, &cri.ExecSyncRequest{ContainerId: c.ID, Cmd: []string{"sh", "-c", "head -c 20000000 /dev/zero; echo last >&2; exit 6"}})
	if err != nil || r.ExitCode != 6 || len(r.Stdout) < 15<<20 || len(r.Stdout) > 16<<20 {
		t.Errorf("a flood: %v, exit %d, %d bytes", err, r.GetExitCode(), len(r.GetStdout()))
	}
	p.Remove(t)
}
