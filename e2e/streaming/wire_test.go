// SPDX-License-Identifier: Apache-2.0

// wire_test.go: clients below client-go's: SPDY streams one by one and WebSocket messages as they are, for every protocol
// that old clients and proxies speak.
package streaming

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/moby/spdystream"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
	h "unicri.dev/e2e/harness"
)

// buffered is a connection whose first bytes an HTTP reader has taken.
type buffered struct {
	net.Conn
	r *bufio.Reader
}

func (b buffered) Read(p []byte) (int, error) { return b.r.Read(p) }

// upgrade asks for SPDY by one protocol line each; the server's choice is returned.
func upgrade(t testing.TB, n *h.Node, target string, protocols ...string) (*spdystream.Connection, string) {
	t.Helper()
	u, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	c, err := n.NS.Dial(h.Ctx, "tcp", u.Host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(h.Slow(30 * time.Second)))
	fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nContent-Length: 0\r\n", u.Path)
	for _, p := range protocols {
		fmt.Fprintf(c, "X-Stream-Protocol-Version: %s\r\n", p)
	}
	io.WriteString(c, "\r\n")
	r := bufio.NewReader(c)
	a, err := http.ReadResponse(r, nil)
	if err != nil || a.StatusCode != http.StatusSwitchingProtocols || a.Header.Get("Upgrade") != "SPDY/3.1" {
		t.Fatalf("upgrade: %v, %v", a, err)
	}
	s, err := spdystream.NewConnection(buffered{c, r}, false)
	if err != nil {
		t.Fatal(err)
	}
	go s.Serve(spdystream.NoOpStreamHandler)
	t.Cleanup(func() { s.Close() })
	return s, a.Header.Get("X-Stream-Protocol-Version")
}

// stream opens one and waits for the server's reply.
func stream(t testing.TB, c *spdystream.Connection, pairs ...string) *spdystream.Stream {
	t.Helper()
	hd := http.Header{}
	for i := 0; i < len(pairs); i += 2 {
		hd.Set(pairs[i], pairs[i+1])
	}
	s, err := c.CreateStream(hd, nil, false)
	if err == nil {
		err = s.WaitTimeout(h.Slow(20 * time.Second))
	}
	if err != nil {
		t.Fatalf("stream %v: %v", pairs, err)
	}
	return s
}

func readAll(t testing.TB, r io.Reader) string {
	t.Helper()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Errorf("read: %v after %.80q", err, b)
	}
	return string(b)
}

func busybox(t *testing.T, name string) (*h.Node, *h.Pod, *h.Ctr) {
	n := h.NewNode(t, h.NodeOptions{})
	n.Pull(t, h.BusyboxRef)
	p := n.RunPod(t, name)
	return n, p, p.Sh(t, "c", "sleep 1000")
}

func execRaw(t testing.TB, c *h.Ctr, tty bool, argv ...string) string {
	t.Helper()
	r, err := c.Pod.N.RT.Exec(h.Ctx, &cri.ExecRequest{ContainerId: c.ID, Cmd: argv, Tty: tty, Stdin: true, Stdout: true, Stderr: !tty})
	if err != nil {
		t.Fatalf("Exec: %v", err)
	}
	return r.Url
}

// TestSPDYVersions: all four protocols of remotecommand, told apart by what comes at the end.
func TestSPDYVersions(t *testing.T) {
	n, p, c := busybox(t, "versions")
	for version, name := range map[int]string{1: "channel.k8s.io", 2: "v2.channel.k8s.io", 3: "v3.channel.k8s.io", 4: "v4.channel.k8s.io"} {
		t.Run(name, func(t *testing.T) {
			for _, code := range []int{0, 7} {
				conn, got := upgrade(t, n, execRaw(t, c, false, "sh", "-c", fmt.Sprintf("cat; echo e >&2; exit %d", code)), "v9.channel.k8s.io", name)
				if got != name {
					t.Fatalf("the server took %q", got)
				}
				e := stream(t, conn, "streamtype", "error")
				in := stream(t, conn, "streamtype", "stdin")
				out, errout := stream(t, conn, "streamtype", "stdout"), stream(t, conn, "streamtype", "stderr")
				io.WriteString(in, "there and back")
				in.Close() // a half-close: output still comes
				if o, e := readAll(t, out), readAll(t, errout); o != "there and back" || e != "e\n" {
					t.Errorf("%q, %q", o, e)
				}
				want := map[bool]string{true: "", false: "exit status 7"}[code == 0]
				if version == 4 {
					want = map[bool]string{true: `"status":"Success"`, false: `"message":"7"`}[code == 0]
				}
				if s := readAll(t, e); !strings.Contains(s, want) || (want == "" && s != "") {
					t.Errorf("exit %d: %q", code, s)
				}
			}
		})
	}
	t.Run("client's order", func(t *testing.T) {
		if _, got := upgrade(t, n, execRaw(t, c, false, "true"), "v5.channel.k8s.io", "v3.channel.k8s.io, v4.channel.k8s.io"); got != "v3.channel.k8s.io" {
			t.Errorf("the server took %q", got)
		}
	})
	t.Run("ping", func(t *testing.T) {
		conn, _ := upgrade(t, n, execRaw(t, c, false, "true"), "v4.channel.k8s.io")
		if _, err := conn.Ping(); err != nil {
			t.Error(err)
		}
	})
	t.Run("resize", func(t *testing.T) {
		conn, _ := upgrade(t, n, execRaw(t, c, true, "sh", "-c", "stty -echo; echo up; read x; stty size"), "v4.channel.k8s.io")
		stream(t, conn, "streamtype", "error")
		in, out, size := stream(t, conn, "streamtype", "stdin"), stream(t, conn, "streamtype", "stdout"), stream(t, conn, "streamtype", "resize")
		io.WriteString(size, "{\"Width\":0,\"Height\":0}\n{\"Width\":70,")
		io.WriteString(size, "\"Height\":21}\n")
		r := bufio.NewReader(out)
		if s, err := r.ReadString('\n'); !strings.HasPrefix(s, "up") {
			t.Fatalf("%q, %v", s, err)
		}
		io.WriteString(in, "go\n")
		if s := readAll(t, r); !strings.Contains(s, "21 70") {
			t.Errorf("size: %q", s)
		}
	})
	p.Remove(t)
}

func dialWS(t testing.TB, n *h.Node, target string, protocols ...string) *websocket.Conn {
	t.Helper()
	d := websocket.Dialer{NetDialContext: n.NS.Dial, Subprotocols: protocols, HandshakeTimeout: h.Slow(20 * time.Second)}
	c, a, err := d.Dial(strings.Replace(target, "http:", "ws:", 1), nil)
	if err != nil {
		t.Fatalf("WebSocket %v: %v, %v", protocols, err, a)
	}
	t.Cleanup(func() { c.Close() })
	c.SetReadDeadline(time.Now().Add(h.Slow(30 * time.Second)))
	if len(protocols) > 0 && c.Subprotocol() != protocols[len(protocols)-1] {
		t.Fatalf("the server took %q of %q", c.Subprotocol(), protocols)
	}
	return c
}

// channels collects messages by channel until the server closes; first is the number of the first one.
func channels(t testing.TB, c *websocket.Conn, text bool) (first int, got map[int]string) {
	t.Helper()
	first, got = -1, map[int]string{}
	for {
		kind, b, err := c.ReadMessage()
		if err != nil {
			if !websocket.IsCloseError(err, websocket.CloseNormalClosure) {
				t.Errorf("end: %v", err)
			}
			return
		}
		if len(b) == 0 || (kind == websocket.TextMessage) != text {
			t.Fatalf("message of kind %d: %q", kind, b)
		}
		n := int(b[0])
		if b = b[1:]; text {
			n -= '0'
			if b, err = base64.StdEncoding.DecodeString(string(b)); err != nil {
				t.Fatal(err)
			}
		}
		if first < 0 {
			first = n
			if len(b) != 0 {
				t.Errorf("the first message is %q", b)
			}
		}
		got[n] += string(b)
	}
}

// TestWebSocketForms: every name that a client may offer, as text in base64 and as binary.
func TestWebSocketForms(t *testing.T) {
	n, p, c := busybox(t, "forms")
	for _, q := range []struct {
		name           string
		base64, status bool
	}{
		{"", false, false}, {"channel.k8s.io", false, false}, {"base64.channel.k8s.io", true, false},
		{"v4.channel.k8s.io", false, true}, {"v4.base64.channel.k8s.io", true, true}, {"v5.channel.k8s.io", false, true},
	} {
		t.Run("protocol "+q.name, func(t *testing.T) {
			var offer []string
			if q.name != "" {
				offer = []string{"v9.channel.k8s.io", q.name}
			}
			ws := dialWS(t, n, execRaw(t, c, false, "sh", "-c", "read x; echo $x; echo e >&2; exit 9"), offer...)
			if q.base64 {
				ws.WriteMessage(websocket.TextMessage, []byte("0"+base64.StdEncoding.EncodeToString([]byte("hi\n"))))
			} else {
				ws.WriteMessage(websocket.BinaryMessage, []byte("\x00hi\n"))
			}
			first, got := channels(t, ws, q.base64)
			if first != 1 || got[1] != "hi\n" || got[2] != "e\n" {
				t.Errorf("first on %d, %v", first, got)
			}
			if q.status != strings.Contains(got[3], `"message":"9"`) || !strings.Contains(got[3], "non-zero exit code") {
				t.Errorf("status: %q", got[3])
			}
		})
	}
	t.Run("half-close", func(t *testing.T) {
		ws := dialWS(t, n, execRaw(t, c, false, "md5sum"), "v5.channel.k8s.io")
		ws.WriteMessage(websocket.BinaryMessage, []byte("\x00hello"))
		ws.WriteMessage(websocket.BinaryMessage, []byte{255, 0})
		if _, got := channels(t, ws, false); !strings.HasPrefix(got[1], "5d41402abc4b2a76b9719d911017c592") || !strings.Contains(got[3], "Success") {
			t.Errorf("%v", got)
		}
	})
	t.Run("resize", func(t *testing.T) {
		ws := dialWS(t, n, execRaw(t, c, true, "sh", "-c", "stty -echo; read x; stty size"), "v4.channel.k8s.io")
		ws.WriteMessage(websocket.BinaryMessage, []byte("\x04{\"Width\":55,\"Height\":11}"))
		time.Sleep(300 * time.Millisecond) // echo may be on for what comes at once; the size counts
		ws.WriteMessage(websocket.BinaryMessage, []byte("\x00go\n"))
		if _, got := channels(t, ws, false); !strings.Contains(got[1], "11 55") {
			t.Errorf("%v", got)
		}
	})
	p.Remove(t)
}

// TestForwardChannels: ports as channels of a WebSocket, each beginning with its number.
func TestForwardChannels(t *testing.T) {
	n, p, _ := busybox(t, "channels")
	s := p.Sh(t, "s", "nc -ll -p 7000 -e sh -c 'echo one; cat' & nc -ll -p 7001 -e cat & "+h.Listening(7000, 7001)+"echo up; wait")
	s.WaitLog(t, "up", 10*time.Second)
	for _, name := range []string{"v4.channel.k8s.io", "v4.base64.channel.k8s.io"} {
		t.Run(name, func(t *testing.T) {
			text := strings.Contains(name, "base64")
			r, err := n.RT.PortForward(h.Ctx, &cri.PortForwardRequest{PodSandboxId: p.ID, Port: []int32{7000, 7001, 9}})
			if err != nil {
				t.Fatal(err)
			}
			ws := dialWS(t, n, r.Url, name)
			got := map[int][]byte{}
			sent := false
			for len(got[0]) < 2+len("one\nhello") || len(got[2]) < 2+len("world") || len(got[5]) < 3 {
				_, b, err := ws.ReadMessage()
				if err != nil {
					t.Fatalf("%v after %v", err, got)
				}
				ch := int(b[0])
				if b = b[1:]; text {
					ch -= '0'
					b, _ = base64.StdEncoding.DecodeString(string(b))
				}
				got[ch] = append(got[ch], b...)
				if !sent && len(got) == 6 {
					sent = true
					for ch, s := range map[int]string{0: "hello", 2: "world"} {
						if text {
							ws.WriteMessage(websocket.TextMessage, []byte(itoa(ch)+base64.StdEncoding.EncodeToString([]byte(s))))
						} else {
							ws.WriteMessage(websocket.BinaryMessage, append([]byte{byte(ch)}, s...))
						}
					}
				}
			}
			for i, port := range []uint16{7000, 7001, 9} {
				for _, ch := range []int{2 * i, 2*i + 1} {
					if binary.LittleEndian.Uint16(got[ch]) != port {
						t.Errorf("channel %d begins with %v, not port %d", ch, got[ch][:2], port)
					}
				}
			}
			if string(got[0][2:]) != "one\nhello" || string(got[2][2:]) != "world" || !bytes.Contains(got[5], []byte("port 9 ")) || len(got[1]) != 2 {
				t.Errorf("%v", got)
			}
		})
	}
	p.Remove(t)
}

// TestForwardStreams: pairs by stream number, a server that ends its half first, and a reset that nobody is told of. The
// pod has the node's network, so that the servers are ours.
func TestForwardStreams(t *testing.T) {
	n := h.NewNode(t, h.NodeOptions{})
	p := n.RunPod(t, "streams", func(c *cri.PodSandboxConfig) {
		c.Linux.SecurityContext.NamespaceOptions.Network = cri.NamespaceMode_NODE
	})
	serve := func(f func(c *net.TCPConn)) string {
		l, err := n.NS.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		go func() {
			if c, err := l.Accept(); err == nil {
				defer c.Close()
				c.SetDeadline(time.Now().Add(h.Slow(20 * time.Second)))
				f(c.(*net.TCPConn))
			}
		}()
		_, port, _ := net.SplitHostPort(l.Addr().String())
		return port
	}
	heard := make(chan string, 1)
	bye := serve(func(c *net.TCPConn) {
		io.WriteString(c, "bye\n")
		c.CloseWrite()
		b, _ := io.ReadAll(c)
		heard <- string(b)
	})
	resets := serve(func(c *net.TCPConn) {
		c.Read(make([]byte, 1))
		c.SetLinger(0)
	})
	r, err := n.RT.PortForward(h.Ctx, &cri.PortForwardRequest{PodSandboxId: p.ID})
	if err != nil {
		t.Fatal(err)
	}
	conn, _ := upgrade(t, n, r.Url, "portforward.k8s.io")
	e := stream(t, conn, "streamtype", "error", "port", bye)
	e.Close()
	data := stream(t, conn, "streamtype", "data", "port", bye)
	if got := readAll(t, data); got != "bye\n" { // its end has come, ours has not
		t.Errorf("%q", got)
	}
	said := strings.Repeat("still said\n", 20000)
	if _, err := io.WriteString(data, said); err != nil {
		t.Error(err)
	}
	data.Close()
	if got := <-heard; got != said {
		t.Errorf("%d of %d bytes were heard after the server had ended its half", len(got), len(said))
	}
	if got := readAll(t, e); got != "" {
		t.Errorf("error stream: %q", got)
	}
	e = stream(t, conn, "streamtype", "error", "port", resets, "requestid", "r")
	e.Close()
	data = stream(t, conn, "streamtype", "data", "port", resets, "requestid", "r")
	io.WriteString(data, "x")
	io.ReadAll(data)
	data.Close()
	if got := readAll(t, e); got != "" {
		t.Errorf("a reset connection was reported: %q", got)
	}
	p.Remove(t)
}
