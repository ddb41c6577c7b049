// SPDX-License-Identifier: Apache-2.0

// node_end.go: the end of a node: nothing of it is left, whatever became of its server.
package harness

import (
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// destroy ends everything of the node and removes it. Sanitizer reports fail the test.
func (n *Node) destroy() {
	if n.cmd != nil && n.Alive() && !Peer() {
		if err := n.Terminate(); err != nil {
			n.T.Errorf("%v", err)
		}
	}
	n.Kill()
	if s := n.Sanitizer(); s != "" {
		n.T.Errorf("sanitizer report:\n%s", s)
	}
	if n.T.Failed() {
		n.T.Logf("server log:\n%s", n.LogTail(60))
	}
	for i := 0; i < 100; i++ {
		pids := n.Pids()
		if len(pids) == 0 {
			break
		}
		for _, p := range pids {
			syscall.Kill(p, syscall.SIGCONT)
			syscall.Kill(p, syscall.SIGKILL)
		}
		time.Sleep(20 * time.Millisecond)
	}
	for i := 0; i < 50 && len(n.cgroupDirs()) > 0; i++ {
		for _, d := range n.cgroupDirs() {
			unix.Rmdir(d)
		}
		time.Sleep(10 * time.Millisecond)
	}
	if n.Registry != nil {
		n.Registry.Close()
	}
	UnmountBelow(n.Dir)
	if n.NS != nil {
		n.NS.Close()
	}
	if os.Getenv("UNICRI_E2E_KEEP") != "" && n.T.Failed() {
		n.T.Logf("kept: %s", n.Dir)
		return
	}
	os.RemoveAll(n.Dir)
}

// UnmountBelow detaches every mount below dir, the last made first.
func UnmountBelow(dir string) {
	b, _ := os.ReadFile("/proc/self/mountinfo")
	lines := strings.Split(string(b), "\n")
	for i := len(lines) - 1; i >= 0; i-- {
		if f := strings.Fields(lines[i]); len(f) > 4 && strings.HasPrefix(f[4], dir+"/") {
			unix.Unmount(f[4], unix.MNT_DETACH)
		}
	}
}

// Crash takes away what a reboot would: all processes of the node but the registry, cgroups, mounts and links. The
// server must not run.
func (n *Node) Crash() {
	for i := 0; i < 100 && len(n.Pids()) > 0; i++ {
		for _, p := range n.Pids() {
			syscall.Kill(p, syscall.SIGKILL)
		}
		time.Sleep(10 * time.Millisecond)
	}
	for i := 0; i < 50 && len(n.cgroupDirs()) > 0; i++ {
		for _, d := range n.cgroupDirs() {
			unix.Rmdir(d)
		}
		time.Sleep(10 * time.Millisecond)
	}
	UnmountBelow(n.Run)
	UnmountBelow(n.Root)
	os.RemoveAll(n.Run)
	os.MkdirAll(n.Run, 0o755)
}
