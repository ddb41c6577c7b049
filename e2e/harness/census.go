// SPDX-License-Identifier: Apache-2.0

// census.go: counts everything a server may leave behind. Two censuses are compared as multisets of plain
// lines, so that a difference says what is left.
package harness

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"testing"
	"time"
)

// Census is a multiset of lines.
type Census map[string]int

// Left tells what is in now and was not before. What has gone is nothing left behind: it may have been ending already
// when the first census was taken.
func (before Census) Left(now Census) []string {
	var l []string
	for k, n := range now {
		if n > before[k] {
			l = append(l, fmt.Sprintf("%+d %s", n-before[k], k))
		}
	}
	sort.Strings(l)
	return l
}

var (
	inode   = regexp.MustCompile(`\[[0-9]+\]`)
	dbFile  = regexp.MustCompile(`\.db(-wal|-shm|-journal|\.corrupt.*)?$`)
	keepers = regexp.MustCompile(`^(lo|cni0|eth0)$`)
)

// Census counts what the node holds now. Descriptors of the server are counted by kind when it runs.
func (n *Node) Census() Census {
	c := Census{}
	n.censusCgroups(c)
	n.censusMounts(c)
	if links, err := n.NS.Links(); err == nil {
		for _, l := range links {
			if !keepers.MatchString(l) {
				c["link "+l]++
			}
		}
	}
	for _, pid := range n.Pids() {
		if n.cmd != nil && pid == n.Pid() {
			continue
		}
		cmd, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err != nil {
			continue
		}
		comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		c[fmt.Sprintf("process %s [%s]", strings.TrimSpace(string(comm)), strings.TrimSpace(strings.ReplaceAll(string(cmd), "\x00", " ")))]++
	}
	n.censusFiles(c, n.Root)
	n.censusFiles(c, n.Run)
	leases, _ := filepath.Glob(n.Leases + "/*/*")
	for _, l := range leases {
		if b := filepath.Base(l); b != "lock" && !strings.HasPrefix(b, "last_reserved_ip") {
			c["lease "+b]++
		}
	}
	if n.Alive() {
		n.censusFds(c)
	}
	return c
}

func (n *Node) censusCgroups(c Census) {
	for _, d := range n.cgroupDirs() {
		i := strings.Index(d, "/"+n.Cgroup)
		rel := d[i+len(n.Cgroup)+1:]
		if rel != "" && rel != "/daemon" && rel != "/pods" && rel != "/kubepods" {
			c["cgroup "+d]++
		}
	}
}

func (n *Node) censusMounts(c Census) {
	tables := []string{"/proc/self/mountinfo"}
	if n.Alive() {
		tables = append(tables, fmt.Sprintf("/proc/%d/mountinfo", n.Pid()))
	}
	seen := map[string]bool{}
	for _, t := range tables {
		b, _ := os.ReadFile(t)
		for _, line := range strings.Split(string(b), "\n") {
			f := strings.Fields(line)
			if len(f) < 5 || !strings.HasPrefix(f[4], n.Dir+"/") || f[4] == n.NS.Path || f[4] == n.Root || seen[f[4]] {
				continue
			}
			seen[f[4]] = true
			c["mount "+f[4]]++
		}
	}
}

// censusFiles lists a state directory. Databases change and logs grow; directories of layers are named, not walked.
func (n *Node) censusFiles(c Census, dir string) {
	filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if err != nil || dbFile.MatchString(p) {
			return nil
		}
		if Peer() {
			return nil
		}
		rel := strings.TrimPrefix(p, n.Dir)
		c["file "+rel]++
		if d.IsDir() && filepath.Base(filepath.Dir(p)) == "layers" {
			return filepath.SkipDir
		}
		return nil
	})
}

func (n *Node) censusFds(c Census) {
	dir := fmt.Sprintf("/proc/%d/fd", n.Pid())
	fds, _ := os.ReadDir(dir)
	for _, f := range fds {
		target, err := os.Readlink(dir + "/" + f.Name())
		if err != nil || dbFile.MatchString(target) {
			continue
		}
		c["fd "+inode.ReplaceAllString(target, "")]++
	}
}

// ExpectCensus waits until nothing is left beyond what was. Descriptors are compared only while the same process serves, and
// may only grow by the connections that gRPC keeps (sameProcess false skips them).
func (n *Node) ExpectCensus(t testing.TB, before Census, sameProcess bool) {
	t.Helper()
	want := before.without(!sameProcess)
	var diff []string
	for end := time.Now().Add(Slow(10 * time.Second)); ; time.Sleep(50 * time.Millisecond) {
		diff = want.Left(n.Census().without(!sameProcess))
		if len(diff) == 0 {
			return
		}
		if time.Now().After(end) {
			break
		}
	}
	t.Errorf("left behind:\n  %s", strings.Join(diff, "\n  "))
}

func (before Census) without(fds bool) Census {
	out := Census{}
	for k, v := range before {
		if strings.HasPrefix(k, "fd ") && (fds || strings.HasPrefix(k, "fd socket:") || strings.HasPrefix(k, "fd anon_inode:[event")) {
			continue
		}
		out[k] = v
	}
	return out
}
