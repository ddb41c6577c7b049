// SPDX-License-Identifier: Apache-2.0

// node_cgroup.go: where the processes of a node are held, and how they are counted.
package harness

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// CgroupMounts are the roots of all cgroup hierarchies of this host.
func CgroupMounts() []string {
	b, _ := os.ReadFile("/proc/self/mountinfo")
	var l []string
	for _, line := range strings.Split(string(b), "\n") {
		i := strings.Index(line, " - ")
		if i < 0 {
			continue
		}
		fs := strings.Fields(line[i+3:])[0]
		if fs == "cgroup" || fs == "cgroup2" {
			l = append(l, strings.Fields(line)[4])
		}
	}
	return l
}

// trackers are the hierarchies used to keep hold of the server's own processes.
func trackers() []string {
	var l []string
	for _, m := range CgroupMounts() {
		switch filepath.Base(m) {
		case "cpuacct", "pids", "freezer", "cgroup", "unified", "cpu,cpuacct":
			l = append(l, m)
		}
	}
	return l
}

func (n *Node) daemonCgroups() []string {
	var l []string
	for _, m := range trackers() {
		l = append(l, filepath.Join(m, n.Cgroup, "daemon"))
	}
	return l
}

func (n *Node) makeCgroup() error {
	for _, d := range n.daemonCgroups() {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return err
		}
	}
	if m := CgroupMounts(); len(m) == 1 { // v2 only: the pods' side needs the controllers
		b, _ := os.ReadFile(m[0] + "/cgroup.controllers")
		for _, d := range []string{m[0], filepath.Join(m[0], n.Cgroup)} {
			for _, c := range strings.Fields(string(b)) {
				os.WriteFile(d+"/cgroup.subtree_control", []byte("+"+c), 0)
			}
		}
	}
	return nil
}

// cgroupDirs are all directories below the node's cgroup in all hierarchies, deepest first.
func (n *Node) cgroupDirs() []string {
	var l []string
	for _, m := range CgroupMounts() {
		filepath.Walk(filepath.Join(m, n.Cgroup), func(p string, i os.FileInfo, err error) error {
			if err == nil && i.IsDir() {
				l = append([]string{p}, l...)
			}
			return nil
		})
	}
	return l
}

// Pids are all processes below the node's cgroup.
func (n *Node) Pids() []int {
	seen := map[int]bool{}
	var l []int
	for _, d := range n.cgroupDirs() {
		b, _ := os.ReadFile(d + "/cgroup.procs")
		for _, f := range strings.Fields(string(b)) {
			if pid, err := strconv.Atoi(f); err == nil && pid != 0 && !seen[pid] {
				seen[pid] = true
				l = append(l, pid)
			}
		}
	}
	return l
}
