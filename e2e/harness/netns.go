// SPDX-License-Identifier: Apache-2.0

// Package harness starts unicrid (or another CRI server) with a registry in a network namespace of its own, drives
// it with the kubelet's client and counts what it leaves behind.
//
// netns.go: network namespaces for tests. A namespace is pinned as a file in the test's directory; nothing of
// the host's network is touched, so any number of nodes run side by side with the same addresses.
package harness

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"sort"

	"golang.org/x/sys/unix"
)

// NetNS is a pinned network namespace.
type NetNS struct {
	Path string
	fd   *os.File
}

// onThread runs fn on an operating system thread of its own that ends afterwards, so that whatever namespace
// fn enters is never seen by other goroutines.
func onThread(fn func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread dies with the goroutine
		done <- fn()
	}()
	return <-done
}

// NewNetNS makes a namespace with lo up and pins it at path.
func NewNetNS(path string) (*NetNS, error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	f.Close()
	err = onThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("unshare netns: %w", err)
		}
		if err := loUp(); err != nil {
			return fmt.Errorf("lo up: %w", err)
		}
		self := fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid())
		return unix.Mount(self, path, "", unix.MS_BIND, "")
	})
	if err != nil {
		os.Remove(path)
		return nil, err
	}
	fd, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	return &NetNS{Path: path, fd: fd}, nil
}

func loUp() error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	ifr, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	ifr.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, ifr)
}

// Do runs fn on a thread inside the namespace. Processes and sockets made by fn belong to it.
func (n *NetNS) Do(fn func() error) error {
	return onThread(func() error {
		if err := unix.Setns(int(n.fd.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("setns: %w", err)
		}
		return fn()
	})
}

// Start starts a process inside the namespace. (Only the network changes: /sys stays as it is.)
func (n *NetNS) Start(cmd *exec.Cmd) error { return n.Do(cmd.Start) }

// Dial connects from inside the namespace; addr must be numeric.
func (n *NetNS) Dial(ctx context.Context, network, addr string) (c net.Conn, err error) {
	derr := n.Do(func() error {
		var d net.Dialer
		d.FallbackDelay = -1 // no second goroutine: it would dial from another namespace
		c, err = d.DialContext(ctx, network, addr)
		return err
	})
	return c, derr
}

// Listen listens inside the namespace.
func (n *NetNS) Listen(network, addr string) (l net.Listener, err error) {
	derr := n.Do(func() error {
		l, err = net.Listen(network, addr)
		return err
	})
	return l, derr
}

// Links are the names of all interfaces in the namespace, sorted.
func (n *NetNS) Links() ([]string, error) {
	var names []string
	err := n.Do(func() error {
		l, err := net.Interfaces()
		for _, i := range l {
			names = append(names, i.Name)
		}
		return err
	})
	sort.Strings(names)
	return names, err
}

// Close unpins the namespace.
func (n *NetNS) Close() {
	n.fd.Close()
	unix.Unmount(n.Path, unix.MNT_DETACH)
	os.Remove(n.Path)
}

// Output runs a program inside the namespace and returns what it writes.
func (n *NetNS) Output(name string, args ...string) (string, error) {
	var out bytes.Buffer
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := n.Start(cmd); err != nil {
		return "", err
	}
	err := cmd.Wait()
	return out.String(), err
}

// OpenNetNS is the namespace of a file, such as /proc/PID/ns/net.
func OpenNetNS(path string) (*NetNS, error) {
	fd, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	return &NetNS{Path: path, fd: fd}, nil
}
