// SPDX-License-Identifier: Apache-2.0

// Package resources tests limits of containers and pods: at create, and changed while they run.
package resources

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
	h "unicri.dev/e2e/harness"
)

// v2 says whether the controllers are in the unified hierarchy.
func v2() bool {
	_, err := os.Stat("/sys/fs/cgroup/cgroup.controllers")
	return err == nil
}

// mountOf is where a controller's hierarchy is mounted.
func mountOf(controller string) string {
	if v2() {
		return "/sys/fs/cgroup"
	}
	for _, m := range h.CgroupMounts() {
		for _, c := range strings.Split(filepath.Base(m), ",") {
			if c == controller {
				return m
			}
		}
	}
	return ""
}

func pid(t *testing.T, c *h.Ctr) int {
	t.Helper()
	s, err := c.Pod.N.RT.ContainerStatus(h.Ctx, c.ID, true)
	if err != nil {
		t.Fatal(err)
	}
	var info struct{ Pid int }
	if err := json.Unmarshal([]byte(s.Info["info"]), &info); err != nil || info.Pid == 0 {
		t.Fatalf("info %q: %v", s.Info["info"], err)
	}
	return info.Pid
}

// file of the cgroup that a process is in, version 1 and 2 by their names.
func file(t *testing.T, pid int, controller, one, two string) string {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		t.Fatal(err)
	}
	name := one
	if v2() {
		controller, name = "", two
	}
	for _, l := range strings.Split(strings.TrimSpace(string(b)), "\n") {
		f := strings.SplitN(l, ":", 3)
		for _, c := range strings.Split(f[1], ",") {
			if c == controller {
				v, err := os.ReadFile(filepath.Join(mountOf(controller), f[2], name))
				if err != nil {
					t.Fatal(err)
				}
				return strings.TrimSpace(string(v))
			}
		}
	}
	t.Fatalf("process %d is in no cgroup of %q: %s", pid, controller, b)
	return ""
}

type limits struct{ memory, quota, period, shares, cpus string }

// of a running process, as the kernel has them.
func of(t *testing.T, pid int) limits {
	t.Helper()
	l := limits{
		memory: file(t, pid, "memory", "memory.limit_in_bytes", "memory.max"),
		quota:  file(t, pid, "cpu", "cpu.cfs_quota_us", "cpu.max"),
		shares: file(t, pid, "cpu", "cpu.shares", "cpu.weight"),
		cpus:   file(t, pid, "cpuset", "cpuset.cpus", "cpuset.cpus"),
	}
	if v2() {
		l.quota, l.period, _ = strings.Cut(l.quota, " ")
	} else {
		l.period = file(t, pid, "cpu", "cpu.cfs_period_us", "")
	}
	return l
}

func shares(v int64) string {
	if v2() {
		return fmt.Sprint(1 + (v-2)*9999/262142)
	}
	return fmt.Sprint(v)
}

func update(c *h.Ctr, r *cri.LinuxContainerResources) error {
	return c.Pod.N.RT.UpdateContainerResources(h.Ctx, c.ID, &cri.ContainerResources{Linux: r})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func shown(t *testing.T, c *h.Ctr) *cri.LinuxContainerResources {
	t.Helper()
	return c.Status(t).Resources.Linux
}

func hostPids(t *testing.T) string {
	t.Helper()
	l, err := os.Readlink("/proc/self/ns/pid")
	must(t, err)
	return l
}
