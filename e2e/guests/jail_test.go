// SPDX-License-Identifier: Apache-2.0

package guests

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	h "unicri.dev/e2e/harness"
)

// jail is what /proc says of the process that runs a guest.
type jail struct {
	pid       int
	status    map[string]string
	uid       string
	root      []string
	fds       map[string]string
	ns        map[string]string
	cgroups   []string
	environ   string
	limits    string
	memoryMax int64
	pidsMax   int64
	oomScore  string
	cpuQuota  string
	cpus      string
}

// findGuest reads the process whose cgroup is the container's and whose program is the tender.
func findGuest(t *testing.T, n *h.Node, c *h.Ctr) *jail {
	t.Helper()
	for _, pid := range n.Pids() {
		dir := fmt.Sprintf("/proc/%d", pid)
		cg, _ := os.ReadFile(dir + "/cgroup")
		exe, _ := os.Readlink(dir + "/exe")
		comm, _ := os.ReadFile(dir + "/comm")
		if !strings.Contains(string(cg), c.ID) || strings.Contains(exe, "monitor") || strings.HasPrefix(string(comm), "unicri-monitor") {
			continue
		}
		return readJail(t, pid, string(cg))
	}
	t.Fatalf("no process in the cgroup of container %s", c.ID)
	return nil
}

func readJail(t *testing.T, pid int, cg string) *jail {
	t.Helper()
	dir := fmt.Sprintf("/proc/%d", pid)
	j := &jail{pid: pid, status: map[string]string{}, fds: map[string]string{}, ns: map[string]string{}}
	read := func(name string) string {
		b, err := os.ReadFile(dir + "/" + name)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	for _, l := range strings.Split(read("status"), "\n") {
		k, v, _ := strings.Cut(l, ":")
		j.status[k] = strings.Join(strings.Fields(v), " ")
	}
	j.uid = strings.Fields(j.status["Uid"] + " ?")[0]
	entries, err := os.ReadDir(dir + "/root")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		j.root = append(j.root, e.Name())
	}
	fds, err := os.ReadDir(dir + "/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range fds {
		j.fds[f.Name()], _ = os.Readlink(dir + "/fd/" + f.Name())
	}
	for _, ns := range []string{"mnt", "pid", "net", "ipc", "uts", "user"} {
		j.ns[ns], _ = os.Readlink(dir + "/ns/" + ns)
	}
	j.environ, j.limits, j.oomScore = read("environ"), read("limits"), strings.TrimSpace(read("oom_score_adj"))
	for _, l := range strings.Split(strings.TrimSpace(cg), "\n") {
		f := strings.SplitN(l, ":", 3)
		j.cgroups = append(j.cgroups, f[2])
		for _, m := range h.CgroupMounts() {
			number := func(name string) int64 {
				b, err := os.ReadFile(filepath.Join(m, f[2], name))
				if err != nil {
					return 0
				}
				v, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
				if err != nil {
					return 0
				}
				return v
			}
			if base := filepath.Base(m); strings.Contains(f[1], base) || f[1] == "" || f[1] == "name="+base {
				for _, name := range []string{"memory.max", "memory.limit_in_bytes"} {
					if v := number(name); v > 0 {
						j.memoryMax = v
					}
				}
				if v := number("pids.max"); v > 0 {
					j.pidsMax = v
				}
				text := func(name string) string {
					b, _ := os.ReadFile(filepath.Join(m, f[2], name))
					return strings.TrimSpace(string(b))
				}
				for _, name := range []string{"cpu.cfs_quota_us", "cpu.max"} {
					if v := strings.Fields(text(name)); len(v) > 0 {
						j.cpuQuota = v[0]
					}
				}
				if v := text("cpuset.cpus"); v != "" {
					j.cpus = v
				}
			}
		}
	}
	return j
}

// kvmGroup owns /dev/kvm.
func kvmGroup() string {
	st, err := os.Stat("/dev/kvm")
	if err != nil {
		return ""
	}
	return strconv.Itoa(int(st.Sys().(*syscall.Stat_t).Gid))
}

// checkJail asserts everything the jail promises; root is what its root directory may hold.
func checkJail(t *testing.T, j *jail, root ...string) {
	t.Helper()
	may := map[string]bool{}
	for _, name := range root {
		may[name] = true
	}
	uids, gids := strings.Fields(j.status["Uid"]), strings.Fields(j.status["Gid"])
	for _, u := range append(uids, gids...) {
		if u == "0" || u != uids[0] && u != gids[0] {
			t.Errorf("uid %v gid %v", uids, gids)
			break
		}
	}
	if g := j.status["Groups"]; g != "" && (!may["dev"] || g != kvmGroup()) {
		t.Errorf("supplementary groups %q", g)
	}
	for _, set := range []string{"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"} {
		if j.status[set] != "0000000000000000" {
			t.Errorf("%s %s", set, j.status[set])
		}
	}
	if j.status["NoNewPrivs"] != "1" {
		t.Errorf("NoNewPrivs %s", j.status["NoNewPrivs"])
	}
	if j.status["Seccomp"] != "2" {
		t.Errorf("Seccomp %s", j.status["Seccomp"])
	}
	for _, name := range j.root {
		if !may[name] {
			t.Errorf("the root holds %q", j.root)
			break
		}
	}
	self := map[string]string{}
	for ns := range j.ns {
		self[ns], _ = os.Readlink("/proc/self/ns/" + ns)
	}
	namespaces := []string{"mnt", "pid", "net", "ipc", "uts"}
	if b, err := os.ReadFile("/proc/sys/user/max_user_namespaces"); err == nil && strings.TrimSpace(string(b)) != "0" {
		namespaces = append(namespaces, "user")
	}
	for _, ns := range namespaces {
		if j.ns[ns] == self[ns] {
			t.Errorf("namespace %s is the host's", ns)
		}
	}
	outside := 0 // what leads out of the process: not its own events and timers
	for _, target := range j.fds {
		if !strings.HasPrefix(target, "anon_inode:") {
			outside++
		}
	}
	if outside > 12 {
		t.Errorf("%d descriptors: %v", outside, j.fds)
	}
	for fd, target := range j.fds {
		ok := false
		for _, prefix := range []string{"pipe:", "socket:", "anon_inode:", "/dev/null", "/dev/net/tun", "/dev/kvm", "/dev/urandom", "/memfd:", "/unikernel/", "/kernel"} {
			ok = ok || strings.HasPrefix(target, prefix)
		}
		// Files of the image are reached by descriptor only; they must be regular files and read-only or private.
		if st, err := os.Stat(fmt.Sprintf("/proc/%d/fd/%s", j.pid, fd)); err == nil {
			dev := st.Sys().(*syscall.Stat_t).Rdev
			ok = ok || st.Mode().IsRegular() || st.Mode()&os.ModeCharDevice != 0 && dev == 1<<8|3 // null
		}
		if !ok {
			t.Errorf("descriptor %s is %s", fd, target)
		}
		if st, err := os.Stat(fmt.Sprintf("/proc/%d/fd/%s", j.pid, fd)); err == nil && st.IsDir() {
			t.Errorf("descriptor %s is the directory %s", fd, target)
		}
	}
	if env := strings.Trim(j.environ, "\x00"); env != "" && (strings.Contains(env, "\x00") || !strings.HasPrefix(env, "QEMU_MODULE_DIR=/")) {
		t.Errorf("environment %q", j.environ)
	}
	if j.memoryMax == 0 || j.memoryMax > 1<<40 {
		t.Errorf("no memory limit: %d", j.memoryMax)
	}
	if j.pidsMax == 0 || j.pidsMax > 64 {
		t.Errorf("pids limit %d", j.pidsMax)
	}
	if !strings.Contains(j.limits, "Max core file size        0 ") {
		t.Errorf("core dumps are allowed:\n%s", j.limits)
	}
	if v, err := strconv.Atoi(j.oomScore); err != nil || v < 0 {
		t.Errorf("oom_score_adj %s", j.oomScore)
	}
}
