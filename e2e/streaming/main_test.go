// SPDX-License-Identifier: Apache-2.0

// Package streaming tests Exec, Attach and PortForward with the client library that kubectl uses.
package streaming

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/transport/spdy"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
	h "unicri.dev/e2e/harness"
)

func TestMain(m *testing.M) { h.Main(m) }

// relay gives the server's address in the node's namespace a twin in ours, half-closes and resets included.
func relay(t testing.TB, n *h.Node, target string) string {
	t.Helper()
	u, err := url.Parse(target)
	if err != nil || u.Scheme != "http" || u.Host == "" {
		t.Fatalf("not an absolute http URL: %q", target)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	server := u.Host
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s, err := n.NS.Dial(context.Background(), "tcp", server)
			if err != nil {
				c.Close()
				continue
			}
			var wg sync.WaitGroup
			for _, pair := range [][2]*net.TCPConn{{c.(*net.TCPConn), s.(*net.TCPConn)}, {s.(*net.TCPConn), c.(*net.TCPConn)}} {
				wg.Add(1)
				go func() {
					defer wg.Done()
					if _, err := io.Copy(pair[0], pair[1]); err != nil {
						pair[1].Close()
					}
					pair[0].CloseWrite()
				}()
			}
			go func() { wg.Wait(); c.Close(); s.Close() }()
		}
	}()
	u.Host = l.Addr().String()
	return u.String()
}

var kinds = []string{"spdy", "websocket"}

// executor is client-go's, for a URL that the server gave.
func executor(t testing.TB, kind, target string) remotecommand.Executor {
	t.Helper()
	u, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	config := &rest.Config{Host: u.Host}
	var e remotecommand.Executor
	if kind == "spdy" {
		e, err = remotecommand.NewSPDYExecutor(config, http.MethodPost, u)
	} else {
		e, err = remotecommand.NewWebSocketExecutor(config, http.MethodGet, target)
	}
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// execURL asks for a command.
func execURL(t testing.TB, c *h.Ctr, tty, stdin bool, argv ...string) string {
	t.Helper()
	r, err := c.Pod.N.RT.Exec(h.Ctx, &cri.ExecRequest{ContainerId: c.ID, Cmd: argv, Tty: tty, Stdin: stdin, Stdout: true, Stderr: !tty})
	if err != nil {
		t.Fatalf("Exec %q: %v", argv, err)
	}
	return relay(t, c.Pod.N, r.Url)
}

// run streams with a limit.
func run(t testing.TB, e remotecommand.Executor, o remotecommand.StreamOptions, limit time.Duration) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), h.Slow(limit))
	defer cancel()
	return e.StreamWithContext(ctx, o)
}

// forward starts a port-forward; the address it listens on is returned.
func forward(t testing.TB, p *h.Pod, kind string, port string) (string, *portforward.PortForwarder) {
	t.Helper()
	r, err := p.N.RT.PortForward(h.Ctx, &cri.PortForwardRequest{PodSandboxId: p.ID})
	if err != nil {
		t.Fatalf("PortForward: %v", err)
	}
	target, err := url.Parse(relay(t, p.N, r.Url))
	if err != nil {
		t.Fatal(err)
	}
	config := &rest.Config{Host: target.Host}
	transport, upgrader, err := spdy.RoundTripperFor(config)
	if err != nil {
		t.Fatal(err)
	}
	dialer := spdy.NewDialer(upgrader, &http.Client{Transport: transport}, http.MethodPost, target)
	if kind == "websocket" {
		if dialer, err = portforward.NewSPDYOverWebsocketDialer(target, config); err != nil {
			t.Fatal(err)
		}
	}
	stop, ready := make(chan struct{}), make(chan struct{})
	f, err := portforward.NewOnAddresses(dialer, []string{"127.0.0.1"}, []string{"0:" + port}, stop, ready, io.Discard, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- f.ForwardPorts() }()
	t.Cleanup(func() {
		close(stop)
		<-done
	})
	select {
	case <-ready:
	case err := <-done:
		done <- err
		t.Fatalf("port-forward: %v", err)
	case <-time.After(h.Slow(20 * time.Second)):
		t.Fatal("port-forward is not ready")
	}
	ports, err := f.GetPorts()
	if err != nil {
		t.Fatal(err)
	}
	return net.JoinHostPort("127.0.0.1", itoa(int(ports[0].Local))), f
}
