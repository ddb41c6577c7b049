// SPDX-License-Identifier: Apache-2.0

// Package debug tests what an exec of unicri:COMMAND shows of a unikernel: through client-go's executors, as kubectl
// does, and through ExecSync.
package debug

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/remotecommand"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
	h "unicri.dev/e2e/harness"
)

const config = `
[handlers.open]
kind = "auto"
debug = true

[handlers.some]
kind = "auto"
debug = ["console"]

[handlers.regs]
kind = "auto"
debug = ["regs"]
`

func node(t *testing.T, guests ...string) *h.Node {
	t.Helper()
	h.NeedUnicrid(t)
	n := h.NewNode(t, h.NodeOptions{Config: config})
	for _, g := range guests {
		for _, b := range backends(t) {
			n.Pull(t, h.GuestRef(g+"."+b))
		}
	}
	return n
}

func backends(t *testing.T) []string {
	f, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	if err != nil {
		t.Logf("hvt is left out: %v", err)
		return []string{"spt"}
	}
	f.Close()
	return []string{"spt", "hvt"}
}

func args(a ...string) h.CtrOpt {
	return func(c *cri.ContainerConfig) {
		c.Args = a
		c.Linux.SecurityContext.RunAsUser = nil
	}
}

func runIn(t *testing.T, n *h.Node, name, handler, guest string, opts ...h.CtrOpt) (*h.Pod, *h.Ctr) {
	t.Helper()
	p, err := n.TryRunPod(name, handler)
	if err != nil {
		t.Fatal(err)
	}
	if len(opts) == 0 {
		opts = []h.CtrOpt{args()}
	}
	return p, p.Run(t, "guest", h.GuestRef(guest), nil, opts...)
}

// relay reaches the node's loopback from the test's.
func relay(t testing.TB, n *h.Node, target string) string {
	t.Helper()
	u, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	server := u.Host
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		s, err := n.NS.Dial(context.Background(), "tcp", server)
		if err != nil {
			c.Close()
			return
		}
		var both sync.WaitGroup
		for _, p := range [][2]net.Conn{{c, s}, {s, c}} {
			both.Add(1)
			go func() {
				defer both.Done()
				io.Copy(p[0], p[1])
				p[0].(*net.TCPConn).CloseWrite()
			}()
		}
		both.Wait()
		c.Close()
		s.Close()
	}()
	u.Host = l.Addr().String()
	return u.String()
}

// session is a streaming exec that runs.
type session struct {
	in     *io.PipeWriter
	out    *io.PipeReader
	errout bytes.Buffer
	cancel context.CancelFunc
	done   chan error
}

func start(t testing.TB, kind string, c *h.Ctr, stdin, tty bool, argv ...string) *session {
	t.Helper()
	r, err := c.Pod.N.RT.Exec(h.Ctx, &cri.ExecRequest{ContainerId: c.ID, Cmd: argv, Tty: tty, Stdin: stdin, Stdout: true, Stderr: !tty})
	if err != nil {
		t.Fatalf("Exec %q: %v", argv, err)
	}
	target := relay(t, c.Pod.N, r.Url)
	u, _ := url.Parse(target)
	cfg := &rest.Config{Host: u.Host}
	var e remotecommand.Executor
	if kind == "spdy" {
		e, err = remotecommand.NewSPDYExecutor(cfg, http.MethodPost, u)
	} else {
		e, err = remotecommand.NewWebSocketExecutor(cfg, http.MethodGet, target)
	}
	if err != nil {
		t.Fatal(err)
	}
	s := &session{done: make(chan error, 1)}
	ctx, cancel := context.WithTimeout(context.Background(), h.Slow(60*time.Second))
	s.cancel = cancel
	t.Cleanup(cancel)
	outR, outW := io.Pipe()
	s.out = outR
	o := remotecommand.StreamOptions{Stdout: outW, Tty: tty}
	if !tty {
		o.Stderr = &s.errout
	}
	if stdin {
		var inR *io.PipeReader
		inR, s.in = io.Pipe()
		o.Stdin = inR
	}
	go func() {
		err := e.StreamWithContext(ctx, o)
		outW.Close()
		s.done <- err
	}()
	return s
}

// until reads until text is there.
func (s *session) until(t testing.TB, text string) string {
	t.Helper()
	var got bytes.Buffer
	piece := make([]byte, 4096)
	for !strings.Contains(got.String(), text) {
		n, err := s.out.Read(piece)
		got.Write(piece[:n])
		if err != nil {
			t.Fatalf("%v before %q: %q, stderr %q", err, text, got.String(), s.errout.String())
		}
	}
	return got.String()
}

// rest reads to the end.
func (s *session) rest(t testing.TB) ([]byte, error) {
	t.Helper()
	b, _ := io.ReadAll(s.out)
	return b, <-s.done
}

func execSync(n *h.Node, c *h.Ctr, argv ...string) (*cri.ExecSyncResponse, error) {
	return n.Raw.ExecSync(h.Ctx, &cri.ExecSyncRequest{ContainerId: c.ID, Cmd: argv, Timeout: 30})
}

// counts reads the number of the last "counted to N".
func counts(t testing.TB, c *h.Ctr) int {
	m := regexp.MustCompile(`counted to (\d+)`).FindAllStringSubmatch(c.RawLog(), -1)
	if len(m) == 0 {
		return 0
	}
	n, err := strconv.Atoi(m[len(m)-1][1])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// goesOn fails unless the guest counts on.
func goesOn(t testing.TB, c *h.Ctr) {
	t.Helper()
	was := counts(t, c)
	for end := time.Now().Add(h.Slow(10 * time.Second)); counts(t, c) == was; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the guest stands still at %d: %v", was, c.Status(t))
		}
	}
}

// tracers are processes that trace a guest: none when nobody debugs.
func debuggers(t testing.TB, n *h.Node) (list []int) {
	for _, pid := range n.Pids() {
		if name, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/comm"); strings.TrimSpace(string(name)) == "unicri-debug" {
			list = append(list, pid)
		}
	}
	return list
}

func noDebuggers(t testing.TB, n *h.Node) {
	t.Helper()
	for end := time.Now().Add(h.Slow(10 * time.Second)); len(debuggers(t, n)) > 0; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("still there: %v", debuggers(t, n))
		}
	}
}

func TestAllowed(t *testing.T) {
	n := node(t, "idle")
	p, c := runIn(t, n, "closed", "", "idle.spt")
	_, err := execSync(n, c, "unicri:regs")
	if status.Code(err) != codes.PermissionDenied || !strings.Contains(err.Error(), "debug") {
		t.Errorf("off by default: %v", err)
	}
	if _, err = execSync(n, c, "ls"); status.Code(err) != codes.Unimplemented || !strings.Contains(err.Error(), "key debug") {
		t.Errorf("an ordinary exec: %v", err)
	}
	p.Remove(t)
	p, c = runIn(t, n, "some", "some", "idle.spt")
	if _, err = execSync(n, c, "unicri:regs"); status.Code(err) != codes.PermissionDenied || !strings.Contains(err.Error(), `handler 'some'`) {
		t.Errorf("not in the list: %v", err)
	}
	if _, err = n.Raw.Exec(h.Ctx, &cri.ExecRequest{ContainerId: c.ID, Cmd: []string{"unicri:pcap"}, Stdout: true}); status.Code(err) != codes.PermissionDenied {
		t.Errorf("streaming, not in the list: %v", err)
	}
	if _, err = execSync(n, c, "sh"); status.Code(err) != codes.Unimplemented || !strings.Contains(err.Error(), "unicri:console") || strings.Contains(err.Error(), "unicri:regs") {
		t.Errorf("an ordinary exec names what is allowed: %v", err)
	}
	if _, err = execSync(n, c, "unicri:nothing"); status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "unicri:regs") {
		t.Errorf("no such command: %v", err)
	}
	c.WaitLog(t, "idle: waiting", 10*time.Second)
	if r, err := execSync(n, c, "unicri:console"); err != nil || r.ExitCode != 0 || !strings.Contains(string(r.Stdout), "idle: waiting") {
		t.Errorf("allowed: %v %v", r, err)
	}
	p.Remove(t)
}

func TestConfigIsChecked(t *testing.T) {
	h.NeedUnicrid(t)
	n := h.NewNode(t, h.NodeOptions{NoStart: true, Config: "[handlers.bad]\nkind = \"auto\"\ndebug = [\"everything\"]\n"})
	if err := n.TryStart(); err == nil || !strings.Contains(n.LogTail(20), "'everything'") {
		t.Errorf("%v: %s", err, n.LogTail(5))
	}
}

func TestConsole(t *testing.T) {
	n := node(t, "debug")
	for _, b := range backends(t) {
		p, c := runIn(t, n, "console-"+b, "open", "debug."+b)
		c.WaitLog(t, "counted to 50", 20*time.Second)
		for _, tty := range []bool{false, true} {
			s := start(t, "websocket", c, false, tty, "unicri:console")
			got := s.until(t, "counted to 100")
			got = strings.ReplaceAll(got, "\r", "")
			if !strings.Contains(got, "debug: counting\ndebug: counted to 50\ndebug: counted to 100") {
				t.Errorf("%s: tty %v: history, then what is new, each once: %q", b, tty, got)
			}
			s.cancel()
			<-s.done
		}
		noDebuggers(t, n)
		s := start(t, "spdy", c, false, false, "unicri:console")
		s.until(t, "counted to")
		go p.Stop(t)
		if _, err := s.rest(t); err != nil {
			t.Errorf("%s: the guest's end is the console's: %v, stderr %q", b, err, s.errout.String())
		}
		p.Stop(t)
		p.Remove(t)
	}
	noDebuggers(t, n)
}

func TestRegs(t *testing.T) {
	n := node(t, "debug", "idle", "spin")
	for _, b := range backends(t) {
		p, c := runIn(t, n, "regs-"+b, "open", "debug."+b)
		c.WaitLog(t, "counted to 50", 20*time.Second)
		r, err := execSync(n, c, "unicri:regs")
		if err != nil || r.ExitCode != 0 {
			t.Fatalf("%s: %v %v", b, r, err)
		}
		out := string(r.Stdout)
		// It sleeps nearly all the time, below three functions that keep frame pointers.
		re := regexp.MustCompile(`(?s)rip +0x00000000001[0-9a-f]{5}.*by frame pointers.*#0 .*debug_inner.*debug_middle\+0x.*debug_outer\+0x.*guest_main\+0x`)
		for i := 0; i < 20 && !re.MatchString(out); i++ { // it may have been busy with its line
			if r, err = execSync(n, c, "unicri:regs"); err != nil {
				t.Fatal(err)
			}
			out = string(r.Stdout)
		}
		if !re.MatchString(out) {
			t.Errorf("%s: %s", b, out)
		}
		if _, err := execSync(n, c, "unicri:regs", "now"); err == nil {
			if r, _ := execSync(n, c, "unicri:regs", "now"); r.ExitCode != 2 || !strings.Contains(string(r.Stderr), "arguments") {
				t.Errorf("an argument: %v", r)
			}
		}
		for i := 0; i < 20; i++ {
			if r, err := execSync(n, c, "unicri:regs"); err != nil || r.ExitCode != 0 {
				t.Fatalf("%s: again: %v %v", b, r, err)
			}
		}
		s := start(t, "spdy", c, false, false, "unicri:regs")
		if out, err := s.rest(t); err != nil || !strings.Contains(string(out), "guest_main") {
			t.Errorf("%s: streaming: %v %q %q", b, err, out, s.errout.String())
		}
		goesOn(t, c)
		p.Remove(t)
		for _, g := range []string{"idle", "spin"} {
			p, c := runIn(t, n, g+"-"+b, "open", g+"."+b)
			c.WaitLog(t, g+":", 20*time.Second)
			if r, err := execSync(n, c, "unicri:regs"); err != nil || r.ExitCode != 0 || !strings.Contains(string(r.Stdout), "guest_main") {
				t.Errorf("%s %s: %v %v", g, b, r, err)
			}
			if s := c.Status(t); s.State != cri.ContainerState_CONTAINER_RUNNING {
				t.Errorf("%s %s: %v", g, b, s)
			}
			p.Remove(t)
		}
	}
	noDebuggers(t, n)
}

func TestPcap(t *testing.T) {
	n := node(t, "http", "idle")
	for _, b := range backends(t) {
		p, c := runIn(t, n, "pcap-"+b, "open", "http."+b)
		c.WaitLog(t, "8080", 20*time.Second)
		get := func() {
			if _, err := n.Get("http://"+p.IP(t)+":8080/", 10*time.Second); err != nil {
				t.Fatal(err)
			}
		}
		get()
		s := start(t, "websocket", c, false, false, "unicri:pcap", "--snaplen=96")
		head := make([]byte, 24)
		if _, err := io.ReadFull(s.out, head); err != nil {
			t.Fatalf("%v %q", err, s.errout.String())
		}
		le := binary.LittleEndian
		if le.Uint32(head) != 0xa1b23c4d || le.Uint32(head[16:]) != 96 || le.Uint32(head[20:]) != 1 {
			t.Errorf("header % x", head)
		}
		get()
		var to, from, ack bool // SYN to the guest's port, SYN+ACK from it, and what came with data
		for !to || !from || !ack {
			var rec [16]byte
			if _, err := io.ReadFull(s.out, rec[:]); err != nil {
				t.Fatalf("%s: to %v from %v: %v %q", b, to, from, err, s.errout.String())
			}
			kept, full := le.Uint32(rec[8:]), le.Uint32(rec[12:])
			if kept > 96 || kept > full || time.Since(time.Unix(int64(le.Uint32(rec[:])), 0)) > time.Hour {
				t.Fatalf("record % x", rec)
			}
			f := make([]byte, kept)
			if _, err := io.ReadFull(s.out, f); err != nil {
				t.Fatal(err)
			}
			if kept < 54 || binary.BigEndian.Uint16(f[12:]) != 0x0800 || f[23] != 6 {
				continue
			}
			src, dst, flags := binary.BigEndian.Uint16(f[34:]), binary.BigEndian.Uint16(f[36:]), f[47]
			to = to || dst == 8080 && flags == 2
			from = from || src == 8080 && flags == 0x12
			ack = ack || full > 96
		}
		s.cancel()
		<-s.done
		noDebuggers(t, n)
		if r, err := execSync(n, c, "unicri:pcap", "--count=x"); err != nil || r.ExitCode != 2 || !strings.Contains(string(r.Stderr), "--count") {
			t.Errorf("%v %v", r, err)
		}
		if _, err := n.Raw.ExecSync(h.Ctx, &cri.ExecSyncRequest{ContainerId: c.ID, Cmd: []string{"unicri:pcap", "--seconds=1"}, Timeout: 20}); err != nil {
			t.Errorf("%v", err)
		}
		s = start(t, "spdy", c, false, false, "unicri:pcap", "--count=1")
		io.ReadFull(s.out, head)
		get()
		if _, err := s.rest(t); err != nil || !strings.Contains(s.errout.String(), "1 frames, 0 lost") {
			t.Errorf("--count: %v %q", err, s.errout.String())
		}
		get()
		p.Remove(t)
	}
	p, c := runIn(t, n, "nonet", "open", "idle.spt")
	if _, err := execSync(n, c, "unicri:pcap"); status.Code(err) != codes.FailedPrecondition || !strings.Contains(err.Error(), "no network") {
		t.Errorf("a guest without a network: %v", err)
	}
	p.Remove(t)
	noDebuggers(t, n)
}

// TestShutIn looks at a debugger from outside while it holds a guest.
func TestShutIn(t *testing.T) {
	n := node(t, "http")
	p, c := runIn(t, n, "shut", "open", "http.spt")
	c.WaitLog(t, "8080", 20*time.Second)
	for _, command := range []string{"unicri:gdb", "unicri:console", "unicri:pcap"} {
		s := start(t, "spdy", c, true, false, command)
		if command == "unicri:gdb" {
			(&gdb{t, s}).want("?", "T05")
		} else if _, err := io.ReadFull(s.out, make([]byte, 4)); err != nil {
			t.Fatal(err)
		}
		pids := debuggers(t, n)
		if len(pids) != 1 {
			t.Fatalf("%s: %v", command, pids)
		}
		proc := "/proc/" + strconv.Itoa(pids[0])
		text, _ := os.ReadFile(proc + "/status")
		status := string(text)
		for _, want := range []string{"CapInh:\t0000000000000000\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\nCapBnd:\t0000000000000000\nCapAmb:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"} {
			if !strings.Contains(status, "\n"+want+"\n") {
				t.Errorf("%s: no %q in %s", command, want, status)
			}
		}
		uid := regexp.MustCompile(`\nUid:\t(\d+)\t(\d+)\t(\d+)\t(\d+)\nGid:\t(\d+)\t(\d+)\t(\d+)\t(\d+)\n`).FindStringSubmatch(status)
		if uid == nil || len(map[string]bool{uid[1]: true, uid[2]: true, uid[3]: true, uid[4]: true, uid[5]: true, uid[6]: true, uid[7]: true, uid[8]: true}) != 1 || uid[1] == "0" {
			t.Errorf("%s: users %v", command, uid)
		}
		if list, err := os.ReadDir(proc + "/root"); err != nil || len(list) != 0 {
			t.Errorf("%s: its root holds %v, %v", command, list, err)
		}
		fds, _ := os.ReadDir(proc + "/fd")
		for _, fd := range fds {
			target, _ := os.Readlink(proc + "/fd/" + fd.Name())
			ok := strings.HasPrefix(target, "pipe:") || strings.HasPrefix(target, "anon_inode:") || strings.HasPrefix(target, "socket:") ||
				strings.HasPrefix(target, "net:") || strings.Contains(target, "/netns/") || target == "/dev/null" ||
				strings.HasSuffix(target, "/mem") || strings.HasSuffix(target, "/pagemap") || strings.HasSuffix(target, c.LogPath()) ||
				strings.HasSuffix(target, "/unikernel/kernel") || strings.HasSuffix(target, ".spt")
			if !ok {
				t.Errorf("%s: descriptor %s is %s", command, fd.Name(), target)
			}
		}
		s.cancel()
		<-s.done
		noDebuggers(t, n)
	}
	p.Remove(t)
}
