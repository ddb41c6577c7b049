// SPDX-License-Identifier: Apache-2.0

// memory.go: processor time and memory of a server with all its helpers.
package main

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	h "unicri.dev/e2e/harness"
)

// cpu is the processor time in ms that everything below the server's cgroup has used: daemon, helpers, plugins,
// runtimes and workloads, those that have ended too.
func (s *server) cpu() (float64, error) {
	for _, m := range h.CgroupMounts() {
		if b, err := os.ReadFile(filepath.Join(m, s.cgroup, "cpuacct.usage")); err == nil {
			v, err := strconv.ParseFloat(strings.TrimSpace(string(b)), 64)
			return v / 1e6, err
		}
	}
	for _, m := range h.CgroupMounts() {
		b, err := os.ReadFile(filepath.Join(m, s.cgroup, "cpu.stat"))
		if err != nil {
			continue
		}
		for _, l := range strings.Split(string(b), "\n") {
			if v, ok := strings.CutPrefix(l, "usage_usec "); ok {
				f, err := strconv.ParseFloat(v, 64)
				return f / 1e3, err
			}
		}
	}
	return 0, fmt.Errorf("no processor accounting for %s", s.cgroup)
}

// guestTop bounds guest memory: the tender maps it at the bottom of its address space and itself far above.
const guestTop = 256 << 20

// pss is the proportional set size in KiB of everything but the workloads themselves, by program. A workload of runc
// (busybox) is left out as a whole; of a tender, the guest's memory is.
func (s *server) pss() (map[string]int64, error) {
	out := map[string]int64{}
	for pid := range s.pids() {
		comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		if err != nil {
			continue
		}
		name := strings.TrimSpace(string(comm))
		exe, _ := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
		if filepath.Base(exe) == "busybox" || name == "sleep" || name == "sh" || name == "busybox" {
			continue
		}
		tender := strings.Contains(exe, "unicri-tender") || strings.Contains(name, "tender")
		kb, err := smaps(pid, tender)
		if err != nil {
			continue // it has ended
		}
		out[name] += kb
	}
	return out, nil
}

func smaps(pid int, tender bool) (int64, error) {
	file := "smaps_rollup"
	if tender {
		file = "smaps"
	}
	f, err := os.Open(fmt.Sprintf("/proc/%d/%s", pid, file))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	var total int64
	skip := false
	for sc := bufio.NewScanner(f); sc.Scan(); {
		l := sc.Text()
		if v, ok := strings.CutPrefix(l, "Pss:"); ok && !skip {
			n, err := strconv.ParseInt(strings.Fields(v)[0], 10, 64)
			if err != nil {
				return 0, err
			}
			total += n
		} else if dash := strings.IndexByte(l, '-'); tender && dash > 0 && dash <= 16 && !strings.Contains(l[:dash], ":") {
			if at, err := strconv.ParseUint(l[:dash], 16, 64); err == nil {
				skip = at < guestTop
			}
		}
	}
	return total, nil
}

func sum(m map[string]int64) (t int64) {
	for _, v := range m {
		t += v
	}
	return t
}

// rss is the server's own resident memory in KiB.
func (s *server) rss() (int64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	for _, l := range strings.Split(string(b), "\n") {
		if v, ok := strings.CutPrefix(l, "VmRSS:"); ok {
			return strconv.ParseInt(strings.Fields(v)[0], 10, 64)
		}
	}
	return 0, fmt.Errorf("no VmRSS")
}
