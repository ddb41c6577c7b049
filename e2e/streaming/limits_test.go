// SPDX-License-Identifier: Apache-2.0

// limits_test.go: time limits, tokens, and many: UNICRI_E2E_FULL=1 does all sessions that the project promises.
package streaming

import (
	"bytes"
	"fmt"
	"io"
	"net"
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

// full chooses between what continuous integration has time for and the whole.
func full(some, all int) int {
	if os.Getenv("UNICRI_E2E_FULL") == "1" {
		return all
	}
	return some
}

// ended waits for the server to hang up and tells how long that took.
func ended(t testing.TB, c net.Conn, limit time.Duration) time.Duration {
	t.Helper()
	began := time.Now()
	c.SetReadDeadline(began.Add(h.Slow(limit)))
	if _, err := io.Copy(io.Discard, c); err != nil && os.IsTimeout(err) {
		t.Errorf("the server did not hang up: %v", err)
	}
	return time.Since(began)
}

func TestTimeouts(t *testing.T) {
	n := h.NewNode(t, h.NodeOptions{Set: map[string]string{"streaming.idle_timeout": "4", "streaming.creation_timeout": "1"}})
	n.Pull(t, h.BusyboxRef)
	p := n.RunPod(t, "timeouts")
	c := p.Sh(t, "c", "sleep 1000")

	t.Run("creation", func(t *testing.T) {
		t.Parallel()
		conn, _ := upgrade(t, n, execRaw(t, c, false, "sleep", "4001"), "v4.channel.k8s.io")
		stream(t, conn, "streamtype", "error")
		select {
		case <-conn.CloseChan():
		case <-time.After(h.Slow(10 * time.Second)):
			t.Error("streams that never came were waited for")
		}
	})
	t.Run("idle", func(t *testing.T) {
		t.Parallel()
		began := time.Now()
		err := run(t, executor(t, "spdy", execURL(t, c, false, false, "sleep", "4002")), remotecommand.StreamOptions{Stdout: io.Discard, Stderr: io.Discard}, 20*time.Second)
		if took := time.Since(began); err == nil || !strings.Contains(err.Error(), "idle_timeout") || took < 4*time.Second || took > h.Slow(15*time.Second) {
			t.Errorf("idle: %v after %v", err, took)
		}
		eventually(t, "its command has gone as well", func() bool {
			return !strings.Contains(c.Exec(t, "sh", "-c", "cat /proc/[0-9]*/cmdline"), "sleep\x004002")
		})
	})
	t.Run("busy", func(t *testing.T) {
		t.Parallel()
		var out bytes.Buffer
		err := run(t, executor(t, "spdy", execURL(t, c, false, false, "sh", "-c", "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do echo $i; sleep 0.5; done")),
			remotecommand.StreamOptions{Stdout: &out, Stderr: io.Discard}, 30*time.Second)
		if err != nil || strings.Count(out.String(), "\n") != 12 {
			t.Errorf("one that says something now and then: %v, %q", err, &out)
		}
	})
	t.Run("head", func(t *testing.T) {
		t.Parallel()
		s, err := n.NS.Dial(h.Ctx, "tcp", strings.Split(strings.TrimPrefix(rawURL(t, c), "http://"), "/")[0])
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		io.WriteString(s, "GET /exec/")
		if took := ended(t, s, 20*time.Second); took < 5*time.Second {
			t.Errorf("hung up after %v", took)
		}
	})
}

// TestTokens: a thousand may wait; used ones do not count, whatever waits before them.
func TestTokens(t *testing.T) {
	n, p, c := busybox(t, "tokens")
	first := rawURL(t, c)
	for range 50 {
		f, err := n.RT.PortForward(h.Ctx, &cri.PortForwardRequest{PodSandboxId: p.ID})
		if err != nil {
			t.Fatal(err)
		}
		conn, _ := upgrade(t, n, f.Url, "portforward.k8s.io")
		conn.Close()
	}
	var err error
	waiting := 1
	for ; waiting < 2000; waiting++ {
		if _, err = n.Raw.Exec(h.Ctx, &cri.ExecRequest{ContainerId: c.ID, Cmd: []string{"true"}, Stdout: true}); err != nil {
			break
		}
	}
	if waiting != 1000 || status.Code(err) != codes.ResourceExhausted {
		t.Errorf("after %d: %v", waiting, err)
	}
	if err := run(t, executor(t, "spdy", relay(t, n, first)), remotecommand.StreamOptions{Stdout: io.Discard}, 20*time.Second); err != nil {
		t.Errorf("the first token: %v", err)
	}
	if _, err := n.Raw.Exec(h.Ctx, &cri.ExecRequest{ContainerId: c.ID, Cmd: []string{"true"}, Stdout: true}); err != nil {
		t.Errorf("with room again: %v", err)
	}
	p.Remove(t)
}

func rssMiB(n *h.Node) int {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/statm", n.Pid()))
	pages, _ := strconv.Atoi(strings.Fields(string(b))[1])
	return pages * os.Getpagesize() >> 20
}

// TestSessions: many at once and many in a row leave nothing: no descriptor, thread, process or file, and no memory.
func TestSessions(t *testing.T) {
	n := h.NewNode(t, h.NodeOptions{Env: []string{h.SanitizerOptions(":quarantine_size_mb=4:thread_local_quarantine_size_kb=64:malloc_context_size=4")}})
	n.Pull(t, h.BusyboxRef)
	p := n.RunPod(t, "sessions")
	c := p.Sh(t, "c", "nc -ll -p 7000 -e cat & "+h.Listening(7000)+"echo up; wait")
	c.WaitLog(t, "up", 10*time.Second)
	one := func(i int) {
		var out, errout bytes.Buffer
		text := fmt.Sprintf("session %d", i)
		err := run(t, executor(t, kinds[i%2], execURL(t, c, false, true, "cat")),
			remotecommand.StreamOptions{Stdin: strings.NewReader(text), Stdout: &out, Stderr: &errout}, 120*time.Second)
		if err != nil || out.String() != text {
			t.Errorf("%s: %v, %q, %q", text, err, &out, &errout)
		}
	}
	forwarded := func(i int) {
		r, err := n.RT.PortForward(h.Ctx, &cri.PortForwardRequest{PodSandboxId: p.ID})
		if err != nil {
			t.Error(err)
			return
		}
		conn, _ := upgrade(t, n, r.Url, "portforward.k8s.io")
		defer conn.Close()
		e := stream(t, conn, "streamtype", "error", "port", "7000", "requestid", "1")
		e.Close()
		s := stream(t, conn, "streamtype", "data", "port", "7000", "requestid", "1")
		fmt.Fprint(s, i)
		s.Close()
		if got := readAll(t, s); got != itoa(i) {
			t.Errorf("%q instead of %d", got, i)
		}
	}
	for i := range 4 {
		one(i)
		forwarded(i)
	}
	before := n.Census()
	_, threads := use(n)
	for i := range full(40, 5000) {
		one(i)
	}
	for i := range full(300, 5000) {
		forwarded(i)
	}
	rss := rssMiB(n)
	var wg sync.WaitGroup
	for i := range full(40, 200) {
		wg.Add(1)
		go func() { defer wg.Done(); one(i) }()
	}
	wg.Wait()
	eventually(t, "nothing is left of them", func() bool {
		_, now := use(n)
		return len(before.Left(n.Census())) == 0 && now <= threads+2
	})
	if now := rssMiB(n); now > rss+32 {
		t.Errorf("the server has grown from %d to %d MiB", rss, now)
	}
	p.Remove(t)
}
