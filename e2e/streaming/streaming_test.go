// SPDX-License-Identifier: Apache-2.0

package streaming

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"k8s.io/client-go/tools/remotecommand"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
	h "unicri.dev/e2e/harness"
)

// bulk is how much goes each way.
var bulk = full(20, 100) << 20

func itoa(n int) string { return strconv.Itoa(n) }

func exitStatus(err error) int {
	var e interface{ ExitStatus() int }
	if errors.As(err, &e) {
		return e.ExitStatus()
	}
	return -1
}

func random(t testing.TB, n int) []byte {
	b := make([]byte, n)
	if _, err := rand.Read(b); err != nil {
		t.Fatal(err)
	}
	return b
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(h.Slow(10 * time.Second)); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not after 10 s: %s", what)
		}
	}
}

// use counts the server's descriptors and threads.
func use(n *h.Node) (fds, threads int) {
	f, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", n.Pid()))
	t, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", n.Pid()))
	return len(f), len(t)
}

// sized is the part of a script that waits for a size of its terminal: sizes and input come on streams of their own.
func sized(size string) string {
	return "until stty size | grep -q '" + size + "'; do sleep 0.05; done; "
}

// sizes hands out terminal sizes.
type sizes struct {
	c chan remotecommand.TerminalSize
}

func (s sizes) Next() *remotecommand.TerminalSize {
	if v, ok := <-s.c; ok {
		return &v
	}
	return nil
}

func TestExec(t *testing.T) {
	n := h.NewNode(t, h.NodeOptions{})
	n.Pull(t, h.BusyboxRef)
	p := n.RunPod(t, "exec")
	c := p.Sh(t, "c", "sleep 1000")
	var fdsBefore, threadsBefore int
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			var out, errout bytes.Buffer
			u := execURL(t, c, false, false, "sh", "-c", "echo out; echo err >&2; exit 3")
			err := run(t, executor(t, kind, u), remotecommand.StreamOptions{Stdout: &out, Stderr: &errout}, 20*time.Second)
			if exitStatus(err) != 3 || out.String() != "out\n" || errout.String() != "err\n" {
				t.Errorf("exit 3: %v, %q, %q", err, &out, &errout)
			}
			if err := run(t, executor(t, kind, u), remotecommand.StreamOptions{Stdout: &out, Stderr: &errout}, 20*time.Second); err == nil {
				t.Error("a token was good twice")
			}
			if kind == kinds[0] {
				fdsBefore, threadsBefore = use(n)
			}

			out.Reset()
			data := random(t, bulk)
			u = execURL(t, c, false, true, "cat")
			err = run(t, executor(t, kind, u), remotecommand.StreamOptions{Stdin: bytes.NewReader(data), Stdout: &out, Stderr: &errout}, 60*time.Second)
			if err != nil || sha256.Sum256(out.Bytes()) != sha256.Sum256(data) {
				t.Errorf("bulk there and back: %v, %d bytes", err, out.Len())
			}

			// Input that stays open does not keep a command, nor does a child that holds its output.
			r, w := io.Pipe()
			out.Reset()
			u = execURL(t, c, false, true, "sh", "-c", "sleep 1000 & echo done")
			began := time.Now()
			err = run(t, executor(t, kind, u), remotecommand.StreamOptions{Stdin: r, Stdout: &out, Stderr: &errout}, 20*time.Second)
			w.Close()
			if err != nil || out.String() != "done\n" || time.Since(began) > 30*time.Second {
				t.Errorf("background child: %v, %q, %v", err, &out, time.Since(began))
			}

			out.Reset()
			size := sizes{make(chan remotecommand.TerminalSize, 2)}
			size.c <- remotecommand.TerminalSize{Width: 0, Height: 0}
			size.c <- remotecommand.TerminalSize{Width: 91, Height: 37}
			u = execURL(t, c, true, true, "sh", "-c", "stty -echo; read x; "+sized("37 91")+"stty size; exit 5")
			r, w = io.Pipe()
			go func() { w.Write([]byte("x\n")) }()
			err = run(t, executor(t, kind, u), remotecommand.StreamOptions{Stdin: r, Stdout: &out, Tty: true, TerminalSizeQueue: size}, 20*time.Second)
			w.Close()
			close(size.c)
			if exitStatus(err) != 5 || !strings.Contains(out.String(), "37 91") {
				t.Errorf("terminal: %v, %q", err, &out)
			}

			u = execURL(t, c, false, false, "/no/such/program")
			err = run(t, executor(t, kind, u), remotecommand.StreamOptions{Stdout: &out, Stderr: &errout}, 20*time.Second)
			if err == nil || !strings.Contains(err.Error(), "no such file") {
				t.Errorf("no such program: %v", err)
			}

			// A client that goes takes its command along.
			ctx, cancel := context.WithCancel(context.Background())
			gone := make(chan struct{})
			u = execURL(t, c, false, false, "sh", "-c", "sleep 7777")
			go func() {
				executor(t, kind, u).StreamWithContext(ctx, remotecommand.StreamOptions{Stdout: io.Discard, Stderr: io.Discard})
				close(gone)
			}()
			running := func() bool {
				return strings.Contains(c.Exec(t, "sh", "-c", "cat /proc/[0-9]*/cmdline"), "sleep\x007777")
			}
			eventually(t, "the command runs", running)
			cancel()
			<-gone
			eventually(t, "the command has gone with its client", func() bool { return !running() })
		})
	}
	// gRPC has threads of its own, more when the machine is busy.
	eventually(t, "as few descriptors and threads as after the first session", func() bool {
		fds, threads := use(n)
		return fds <= fdsBefore && threads <= threadsBefore+2
	})
	p.Remove(t)
}

func TestExecRefused(t *testing.T) {
	n := h.NewNode(t, h.NodeOptions{})
	n.Pull(t, h.BusyboxRef)
	p := n.RunPod(t, "refused")
	c := p.Sh(t, "c", "sleep 1000")
	ended := p.Sh(t, "ended", "true")
	ended.Wait(t, 10*time.Second)
	for _, q := range []struct {
		name string
		req  *cri.ExecRequest
		code codes.Code
	}{
		{"no id", &cri.ExecRequest{Cmd: []string{"x"}, Stdout: true}, codes.InvalidArgument},
		{"tty and stderr", &cri.ExecRequest{ContainerId: c.ID, Cmd: []string{"x"}, Tty: true, Stdout: true, Stderr: true}, codes.InvalidArgument},
		{"no stream", &cri.ExecRequest{ContainerId: c.ID, Cmd: []string{"x"}}, codes.InvalidArgument},
		{"no command", &cri.ExecRequest{ContainerId: c.ID, Stdout: true}, codes.InvalidArgument},
		{"unknown", &cri.ExecRequest{ContainerId: strings.Repeat("0", 64), Cmd: []string{"x"}, Stdout: true}, codes.NotFound},
		{"ended", &cri.ExecRequest{ContainerId: ended.ID, Cmd: []string{"x"}, Stdout: true}, codes.FailedPrecondition},
	} {
		if _, err := n.Raw.Exec(h.Ctx, q.req); status.Code(err) != q.code {
			t.Errorf("%s: %v", q.name, err)
		}
	}
	r, err := n.Raw.Exec(h.Ctx, &cri.ExecRequest{ContainerId: c.ID, Cmd: []string{"true"}, Stdout: true})
	if err != nil {
		t.Fatal(err)
	}
	u, _ := url.Parse(r.Url)
	for _, q := range []struct{ head, want string }{
		{"GET /exec/guess HTTP/1.1\r\nHost: x\r\n\r\n", "404"},
		{"GET " + strings.Replace(u.Path, "exec", "attach", 1) + " HTTP/1.1\r\nHost: x\r\n\r\n", "404"},
		{"PUT / HTTP/1.1\r\nHost: x\r\n\r\n", "405"},
		{"nonsense\r\n\r\n", "400"},
		{"GET / HTTP/1.1\r\nX: " + strings.Repeat("x", 20000) + "\r\n\r\n", "431"},
		{"POST " + u.Path + " HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: v9\r\n\r\n", "403"},
	} {
		s, err := n.NS.Dial(h.Ctx, "tcp", u.Host)
		if err != nil {
			t.Fatal(err)
		}
		s.SetDeadline(time.Now().Add(20 * time.Second))
		io.WriteString(s, q.head)
		answer, _ := io.ReadAll(s)
		s.Close()
		if !strings.HasPrefix(string(answer), "HTTP/1.1 "+q.want) {
			t.Errorf("%.40q: %.60q", q.head, answer)
		}
	}
	p.Remove(t)
}

func TestAttach(t *testing.T) {
	n := h.NewNode(t, h.NodeOptions{})
	n.Pull(t, h.BusyboxRef)
	p := n.RunPod(t, "attach")
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			c := p.Sh(t, "c-"+kind, "while read x; do echo got $x; echo e >&2; done; echo over; exit 0",
				func(c *cri.ContainerConfig) { c.Stdin, c.StdinOnce = true, true })
			r, err := n.RT.Attach(h.Ctx, &cri.AttachRequest{ContainerId: c.ID, Stdin: true, Stdout: true, Stderr: true})
			if err != nil {
				t.Fatal(err)
			}
			var out, errout bytes.Buffer
			err = run(t, executor(t, kind, relay(t, n, r.Url)),
				remotecommand.StreamOptions{Stdin: strings.NewReader("one\ntwo\n"), Stdout: &out, Stderr: &errout}, 20*time.Second)
			if err != nil || out.String() != "got one\ngot two\nover\n" || errout.String() != "e\ne\n" {
				t.Errorf("attach: %v, %q, %q", err, &out, &errout)
			}
			if s := c.Wait(t, 10*time.Second); s.ExitCode != 0 {
				t.Errorf("exit: %v", s)
			}
			if _, err := n.Raw.Attach(h.Ctx, &cri.AttachRequest{ContainerId: c.ID, Stdout: true}); status.Code(err) != codes.FailedPrecondition {
				t.Errorf("attach to one that has ended: %v", err)
			}
		})
	}
	p.Remove(t)
}

func TestPortForward(t *testing.T) {
	n := h.NewNode(t, h.NodeOptions{})
	n.Pull(t, h.BusyboxRef)
	p := n.RunPod(t, "forward")
	p.Sh(t, "echo", "nc -ll -p 7000 -e cat")
	last := p.Sh(t, "sum", "nc -ll -p 7001 -e md5sum & "+h.Listening(7000, 7001)+"echo up; wait")
	last.WaitLog(t, "up", 10*time.Second)
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			addr, _ := forward(t, p, kind, "7000")
			data := random(t, bulk)
			var wg sync.WaitGroup
			for i := range 4 {
				part := data
				if i > 0 {
					part = data[:1<<20]
				}
				wg.Add(1)
				go func() {
					defer wg.Done()
					s, err := net.Dial("tcp", addr)
					if err != nil {
						t.Error(err)
						return
					}
					defer s.Close()
					s.SetDeadline(time.Now().Add(h.Slow(60 * time.Second)))
					go func() { s.Write(part); s.(*net.TCPConn).CloseWrite() }()
					back, err := io.ReadAll(s)
					if err != nil || sha256.Sum256(back) != sha256.Sum256(part) {
						t.Errorf("there and back: %v, %d of %d bytes", err, len(back), len(part))
					}
				}()
			}
			wg.Wait()
			// md5sum answers after the end of its input only: a real half-close.
			addr, _ = forward(t, p, kind, "7001")
			s, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			s.SetDeadline(time.Now().Add(h.Slow(20 * time.Second)))
			io.WriteString(s, "hello")
			s.(*net.TCPConn).CloseWrite()
			if sum, err := io.ReadAll(s); err != nil || !strings.HasPrefix(string(sum), "5d41402abc4b2a76b9719d911017c592") {
				t.Errorf("half-close: %v, %q", err, sum)
			}
			s.Close()
		})
	}
	p.Remove(t)
}

func TestGuest(t *testing.T) {
	n := h.NewNode(t, h.NodeOptions{})
	n.Pull(t, h.GuestRef("http.spt"))
	p := n.RunPod(t, "guest")
	c := p.Run(t, "g", h.GuestRef("http.spt"), nil, func(c *cri.ContainerConfig) { c.Linux.SecurityContext.RunAsUser = nil })
	c.WaitLog(t, "8080", 10*time.Second)
	_, err := n.Raw.Exec(h.Ctx, &cri.ExecRequest{ContainerId: c.ID, Cmd: []string{"sh"}, Stdout: true})
	if status.Code(err) != codes.Unimplemented || !strings.Contains(err.Error(), "unikernel") {
		t.Errorf("exec: %v", err)
	}
	addr, _ := forward(t, p, "spdy", "8080")
	var body string
	eventually(t, "the guest answers", func() bool {
		r, err := http.Get("http://" + addr + "/")
		if err != nil {
			return false
		}
		b, _ := io.ReadAll(r.Body)
		r.Body.Close()
		body = string(b)
		return r.StatusCode == 200
	})
	if body == "" {
		t.Error("an empty answer")
	}
	p.Remove(t)
}

func TestManySessions(t *testing.T) {
	n := h.NewNode(t, h.NodeOptions{})
	n.Pull(t, h.BusyboxRef)
	p := n.RunPod(t, "many")
	c := p.Sh(t, "c", "sleep 1000")
	session := func(i int) {
		var out, errout bytes.Buffer
		text := fmt.Sprintf("session %d", i)
		err := run(t, executor(t, kinds[i%2], execURL(t, c, false, true, "cat")),
			remotecommand.StreamOptions{Stdin: strings.NewReader(text), Stdout: &out, Stderr: &errout}, 60*time.Second)
		if err != nil || out.String() != text {
			t.Errorf("%s: %v, %q, %q", text, err, &out, &errout)
		}
	}
	session(0)
	before := n.Census()
	stalled, err := n.NS.Dial(h.Ctx, "tcp", strings.Split(strings.TrimPrefix(rawURL(t, c), "http://"), "/")[0])
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Add(1)
		go func() { defer wg.Done(); session(i) }()
	}
	wg.Wait()
	stalled.Close()
	eventually(t, "nothing is left of 50 sessions", func() bool { return len(before.Left(n.Census())) == 0 })
	p.Remove(t)
}

func rawURL(t testing.TB, c *h.Ctr) string {
	r, err := c.Pod.N.RT.Exec(h.Ctx, &cri.ExecRequest{ContainerId: c.ID, Cmd: []string{"true"}, Stdout: true})
	if err != nil {
		t.Fatal(err)
	}
	return r.Url
}

type stuck struct{ c chan struct{} }

func (s stuck) Write(b []byte) (int, error) {
	<-s.c
	return len(b), nil
}

// TestStalledClient: one that takes nothing neither grows the server nor holds up others, and its end ends its command.
func TestStalledClient(t *testing.T) {
	// What the sanitizer keeps of freed memory is not the server's growth.
	n := h.NewNode(t, h.NodeOptions{Env: []string{h.SanitizerOptions(":quarantine_size_mb=4:thread_local_quarantine_size_kb=64:malloc_context_size=4")}})
	n.Pull(t, h.BusyboxRef)
	p := n.RunPod(t, "stalled")
	c := p.Sh(t, "c", "sleep 1000")
	rss := func() int {
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/statm", n.Pid()))
		pages, _ := strconv.Atoi(strings.Fields(string(b))[1])
		return pages * os.Getpagesize() >> 20
	}
	before := rss()
	s := stuck{make(chan struct{})}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		executor(t, "spdy", execURL(t, c, false, false, "cat", "/dev/zero")).StreamWithContext(ctx, remotecommand.StreamOptions{Stdout: s, Stderr: io.Discard})
		close(done)
	}()
	eventually(t, "the command runs", func() bool {
		return strings.Contains(c.Exec(t, "sh", "-c", "cat /proc/[0-9]*/cmdline"), "cat\x00/dev/zero")
	})
	time.Sleep(2 * time.Second)
	var out bytes.Buffer
	err := run(t, executor(t, "spdy", execURL(t, c, false, false, "echo", "others go on")), remotecommand.StreamOptions{Stdout: &out, Stderr: io.Discard}, 10*time.Second)
	if err != nil || out.String() != "others go on\n" {
		t.Errorf("beside a stalled client: %v, %q", err, &out)
	}
	if after := rss(); after > before+32 {
		t.Errorf("the server grew from %d to %d MiB", before, after)
	}
	cancel()
	close(s.c)
	<-done
	eventually(t, "the command has gone", func() bool {
		return !strings.Contains(c.Exec(t, "sh", "-c", "cat /proc/[0-9]*/cmdline"), "cat\x00/dev/zero")
	})
	p.Remove(t)
}
