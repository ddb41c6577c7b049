// SPDX-License-Identifier: Apache-2.0

package security

import (
	"fmt"
	"os"
	"testing"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
	h "unicri.dev/e2e/harness"
)

const (
	defaultCaps = 0xa80425fb
	allCaps     = 0x1ffffffffff
	netAdmin    = 1 << 12
	chown       = 1
)

func caps(add, drop []string) h.CtrOpt {
	return context(func(s *secContext) { s.Capabilities = &cri.Capability{AddCapabilities: add, DropCapabilities: drop} })
}

func seccomp(p *cri.SecurityProfile) h.CtrOpt { return context(func(s *secContext) { s.Seccomp = p }) }

func apparmor(p *cri.SecurityProfile, older string) h.CtrOpt {
	return context(func(s *secContext) { s.Apparmor, s.ApparmorProfile = p, older })
}

// TestProcess covers who a container's process is and what it may do.
func TestProcess(t *testing.T) {
	h.NeedUnicrid(t)
	n := h.NewNode(t, h.NodeOptions{})
	n.Pull(t, h.BusyboxRef)
	p := n.RunPod(t, "process")
	profile := n.Dir + "/profile.json"
	for file, text := range map[string]string{
		profile:             `{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO","errnoRet":95}]}`,
		n.Dir + "/bad.json": `{"defaultAction":`} {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	const eff, bnd, mode = "grep CapEff /proc/self/status | cut -f2", "grep CapBnd /proc/self/status | cut -f2", "grep Seccomp: /proc/self/status | cut -f2"
	local := func(ref string) *cri.SecurityProfile {
		return &cri.SecurityProfile{ProfileType: cri.SecurityProfile_Localhost, LocalhostRef: ref}
	}
	user := func(uid int64, change func(*secContext)) h.CtrOpt {
		return context(func(s *secContext) {
			s.RunAsUser = &cri.Int64Value{Value: uid}
			if change != nil {
				change(s)
			}
		})
	}
	name := func(name string, change func(*secContext)) h.CtrOpt {
		return context(func(s *secContext) {
			s.RunAsUser, s.RunAsUsername = nil, name
			if change != nil {
				change(s)
			}
		})
	}
	const ids = "id -u; id -g; id -G"
	runCases(t, p, []ctrCase{
		{name: "default capabilities", script: eff, want: bounded(t, defaultCaps)},
		{name: "none for an ordinary user", script: eff + ";" + bnd, opt: user(33, nil), want: fmt.Sprintf("%016x ", 0) + bounded(t, defaultCaps)},
		{name: "add", script: eff, opt: caps([]string{"NET_ADMIN"}, nil), want: bounded(t, defaultCaps|netAdmin)},
		{name: "add by its long name", script: eff, opt: caps([]string{"CAP_NET_ADMIN"}, nil), want: bounded(t, defaultCaps|netAdmin)},
		{name: "add in small letters", script: eff, opt: caps([]string{"net_admin"}, nil), want: bounded(t, defaultCaps|netAdmin)},
		{name: "drop", script: eff, opt: caps(nil, []string{"CHOWN"}), want: bounded(t, defaultCaps&^chown)},
		{name: "drop all", script: bnd, opt: caps(nil, []string{"ALL"}), want: fmt.Sprintf("%016x", 0)},
		{name: "drop all, add one", script: bnd, opt: caps([]string{"CHOWN"}, []string{"all"}), want: bounded(t, chown)},
		{name: "add all", script: eff, opt: caps([]string{"ALL"}, nil), want: bounded(t, allCaps)},
		{name: "add all, drop one", script: eff, opt: caps([]string{"ALL"}, []string{"CHOWN"}), want: bounded(t, allCaps&^chown)},
		{name: "unknown capability", opt: caps([]string{"NET_WISH"}, nil), refused: "NET_WISH"},

		{name: "new privileges", script: "grep NoNewPrivs /proc/self/status | cut -f2", want: "0"},
		{name: "no new privileges", script: "grep NoNewPrivs /proc/self/status | cut -f2", opt: context(func(s *secContext) { s.NoNewPrivs = true }), want: "1"},

		{name: "no seccomp profile", script: mode, opt: seccomp(nil), want: "0"},
		{name: "unconfined", script: mode, opt: seccomp(&cri.SecurityProfile{ProfileType: cri.SecurityProfile_Unconfined}), want: "0"},
		{name: "the runtime's profile", script: mode, opt: seccomp(&cri.SecurityProfile{}), want: "2"},
		{name: "a profile of this node", script: mode + "; mkdir /x 2>&1", opt: seccomp(local(profile)), want: "2 mkdir: can't create directory '/x': Operation not supported"},
		{name: "the same by the older field", script: "mkdir /x 2>&1", want: "mkdir: can't create directory '/x': Operation not supported",
			opt: context(func(s *secContext) { s.Seccomp, s.SeccompProfilePath = nil, "localhost/"+profile })},
		{name: "the newer field wins", script: mode, want: "2", opt: context(func(s *secContext) { s.SeccompProfilePath = "unconfined" })},
		{name: "missing profile", opt: seccomp(local(n.Dir + "/none.json")), refused: "none.json"},
		{name: "broken profile", opt: seccomp(local(n.Dir + "/bad.json")), refused: "bad.json"},
		{name: "relative profile", opt: seccomp(local("profile.json")), refused: "profile.json"},
		{name: "profile without a name", opt: seccomp(local("")), refused: "localhost_ref"},

		{name: "user", script: ids, opt: user(33, nil), want: "33 33 33 4242"},
		{name: "user of no file", script: ids, opt: user(12345, nil), want: "12345 0 0"},
		{name: "user and group", script: ids, opt: user(33, func(s *secContext) { s.RunAsGroup = &cri.Int64Value{Value: 7} }), want: "33 7 7 4242"},
		{name: "user by name", script: ids, opt: name("www-data", nil), want: "33 33 33 4242"},
		{name: "unknown name", opt: name("nobody-here", nil), refused: "nobody-here"},
		{name: "more groups", script: ids, opt: user(33, func(s *secContext) { s.SupplementalGroups = []int64{5, 33, 4242} }), want: "33 33 33 5 4242"},
		{name: "only the groups of the request", script: ids, want: "33 33 33 5", opt: user(33, func(s *secContext) {
			s.SupplementalGroups, s.SupplementalGroupsPolicy = []int64{5}, cri.SupplementalGroupsPolicy_Strict
		})},
		{name: "group without user", opt: context(func(s *secContext) { s.RunAsUser, s.RunAsGroup = nil, &cri.Int64Value{Value: 7} }), refused: "run_as_group"},
		{name: "negative user", opt: user(-1, nil), refused: "run_as_user"},

		{name: "read-only root", script: "touch /x || echo ro; touch /dev/shm/x && echo shm", opt: context(func(s *secContext) { s.ReadonlyRootfs = true }), want: "ro shm"},
		{name: "masked paths", script: "cat /etc/passwd; ls /www; ls -d /proc/keys", want: "/proc/keys",
			opt: context(func(s *secContext) { s.MaskedPaths = []string{"/etc/passwd", "/www", "/not/there"} })},
		{name: "read-only paths", script: "touch /tmp/x || echo ro; touch /home/x && echo rw", want: "ro rw",
			opt: context(func(s *secContext) { s.ReadonlyPaths = []string{"/tmp", "/not/there"} })},
		{name: "relative masked path", opt: context(func(s *secContext) { s.MaskedPaths = []string{"proc/keys"} }), refused: "masked_paths"},

		{name: "privileged needs a privileged pod", opt: context(func(s *secContext) { s.Privileged = true }), refused: "privileged: the pod"},
	})
	if _, err := os.Stat("/sys/kernel/security/apparmor"); err != nil {
		runCases(t, p, []ctrCase{
			{name: "AppArmor's default where there is none", script: "echo ran", opt: apparmor(&cri.SecurityProfile{}, "runtime/default"), want: "ran"},
			{name: "AppArmor unconfined", script: "echo ran", opt: apparmor(&cri.SecurityProfile{ProfileType: cri.SecurityProfile_Unconfined}, ""), want: "ran"},
			{name: "an AppArmor profile", opt: apparmor(local("mine"), ""), refused: "no AppArmor"},
			{name: "an AppArmor profile by the older field", opt: apparmor(nil, "localhost/mine"), refused: "no AppArmor"},
		})
	}
	if _, err := os.Stat("/sys/fs/selinux/enforce"); err != nil {
		runCases(t, p, []ctrCase{
			{name: "SELinux options", opt: context(func(s *secContext) { s.SelinuxOptions = &cri.SELinuxOption{Level: "s0:c1,c2"} }), refused: "no SELinux"},
			{name: "empty SELinux options", script: "echo ran", opt: context(func(s *secContext) { s.SelinuxOptions = &cri.SELinuxOption{} }), want: "ran"},
		})
		_, err := n.TryRunPod("selinux", "", func(c *cri.PodSandboxConfig) {
			c.Linux.SecurityContext.SelinuxOptions = &cri.SELinuxOption{Type: "spc_t"}
		})
		if !isRefusal(err) {
			t.Errorf("a pod with SELinux options: %v", err)
		}
	}
}

// TestPrivileged covers what privileged containers have and what they still are refused.
func TestPrivileged(t *testing.T) {
	h.NeedUnicrid(t)
	n := h.NewNode(t, h.NodeOptions{})
	n.Pull(t, h.BusyboxRef)
	p := n.RunPod(t, "privileged", func(c *cri.PodSandboxConfig) { c.Linux.SecurityContext.Privileged = true })
	privileged := func(change func(*secContext)) h.CtrOpt {
		return context(func(s *secContext) {
			s.Privileged = true
			if change != nil {
				change(s)
			}
		})
	}
	rw := `c=/sys/fs/cgroup; [ -d $c/memory ] && c=$c/memory; for m in /sys $c; do grep " $m " /proc/mounts | head -1 | cut -d' ' -f4 | cut -d, -f1; done`
	runCases(t, p, []ctrCase{
		{name: "capabilities", script: "grep CapEff /proc/self/status | cut -f2", opt: privileged(nil), want: bounded(t, allCaps)},
		{name: "no profile applies", script: "grep Seccomp: /proc/self/status | cut -f2", opt: privileged(func(s *secContext) {
			s.Apparmor = &cri.SecurityProfile{ProfileType: cri.SecurityProfile_Localhost, LocalhostRef: "mine"}
		}), want: "0"},
		{name: "nothing is masked", script: "wc -l < /etc/passwd; touch /tmp/x && echo rw", opt: privileged(func(s *secContext) { s.MaskedPaths, s.ReadonlyPaths = []string{"/etc/passwd"}, []string{"/tmp"} }), want: "2 rw"},
		{name: "sysfs and cgroups can be written", script: rw, opt: privileged(nil), want: "rw rw"},
		{name: "but not without it", script: rw, want: "ro ro"},
		{name: "the node's devices", script: "stat -c %t:%T /dev/kmsg /dev/null; mknod /x c 1 3 && echo x > /x && echo written", opt: privileged(nil), want: "1:b 1:3 written"},
		{name: "only few of them without it", script: "ls -d /dev/kmsg /dev/null; mknod /x c 1 11 && head -c1 /x", want: "/dev/null"},
		{name: "no new privileges", script: "grep NoNewPrivs /proc/self/status | cut -f2", opt: privileged(func(s *secContext) { s.NoNewPrivs = true }), want: "1"},
		{name: "an ordinary user", script: "id -u; grep CapEff /proc/self/status | cut -f2", opt: privileged(func(s *secContext) { s.RunAsUser.Value = 33 }), want: fmt.Sprintf("33 %016x", 0)},
		{name: "read-only root", script: "touch /x || echo ro", opt: privileged(func(s *secContext) { s.ReadonlyRootfs = true }), want: "ro"},
	})
}
