// SPDX-License-Identifier: Apache-2.0

package resources

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
	h "unicri.dev/e2e/harness"
)

// scopes writes an OCI runtime that does with a scope what runc and systemd do together: it is made below its slice,
// which the test knows, and the container in it. The log has the arguments as they came.
func scopes(t *testing.T, dir, slice, path string) (program, log string) {
	real, err := exec.LookPath("runc")
	must(t, err)
	program, log = filepath.Join(dir, "runc-of-systemd"), filepath.Join(dir, "runc.log")
	script := fmt.Sprintf(`#!/bin/bash
echo "$*" >> %[1]s
args=() bundle=
for a; do
    [ "$last" = --bundle ] && bundle=$a
    [ "$a" = --systemd-cgroup ] && systemd=yes || args+=("$a")
    last=$a
done
if [ -n "$systemd$bundle" ] && [ -n "$bundle" ]; then
    grep -o '"cgroupsPath": *"[^"]*"' "$bundle/config.json" >> %[1]s
    [ -n "$systemd" ] && sed -i -E 's|("cgroupsPath": *")%[2]s:([^:"]*):([^"]*)"|\1%[3]s/\2-\3.scope"|' "$bundle/config.json"
fi
exec %[4]s "${args[@]}"
`, log, strings.ReplaceAll(slice, ".", `\.`), path, real)
	must(t, os.WriteFile(program, []byte(script), 0o755))
	return program, log
}

// asOnSystemd lets the server believe that systemd runs.
func asOnSystemd(cmd *exec.Cmd) {
	unshare, err := exec.LookPath("unshare")
	if err != nil {
		panic(err)
	}
	cmd.Args = append([]string{"unshare", "-m", "/bin/sh", "-c", `mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/system && exec "$@"`, "sh", cmd.Path}, cmd.Args[1:]...)
	cmd.Path = unshare
}

func removeCgroups(path string) {
	for _, m := range h.CgroupMounts() {
		out, _ := exec.Command("find", m+path, "-depth", "-type", "d").Output()
		for _, d := range strings.Fields(string(out)) {
			os.Remove(d)
		}
	}
}

// TestSystemdCgroups runs pods in slices, as a kubelet with the systemd driver has them.
func TestSystemdCgroups(t *testing.T) {
	h.NeedUnicrid(t)
	dir := t.TempDir()
	root := fmt.Sprintf("unicritest%d", os.Getpid())
	slice := root + "-pod1.slice"
	path := "/" + root + ".slice/" + slice
	program, log := scopes(t, dir, slice, path)
	t.Cleanup(func() { removeCgroups("/" + root + ".slice") })
	n := h.NewNode(t, h.NodeOptions{
		Config: fmt.Sprintf("[handlers.scopes]\nkind = \"runc\"\nprogram = %q\n", program),
		Set:    map[string]string{"runtime.cgroup_driver": `"systemd"`, "runtime.cgroup_root": fmt.Sprintf("%q", root+".slice"), "runtime.default_handler": `"scopes"`},
		Cmd:    asOnSystemd,
	})
	r, err := n.RT.RuntimeConfig(h.Ctx)
	must(t, err)
	if r.Linux.CgroupDriver != cri.CgroupDriver_SYSTEMD {
		t.Errorf("driver %v", r.Linux.CgroupDriver)
	}
	n.Pull(t, h.BusyboxRef)
	if _, err := n.TryRunPod("path", "", func(c *cri.PodSandboxConfig) { c.Linux.CgroupParent = "/kubepods/pod1" }); err == nil || !strings.Contains(err.Error(), "slice") {
		t.Errorf("a parent that is no slice: %v", err)
	}
	p := n.RunPod(t, "slice", func(c *cri.PodSandboxConfig) { c.Linux.CgroupParent = "/" + root + ".slice/" + slice })
	c := p.Sh(t, "scope", "exec sleep 1000", withResources(&cri.LinuxContainerResources{MemoryLimitInBytes: 64 * mb}))
	scope := path + "/unicri-" + c.ID + ".scope"
	in := func() string {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid(t, c)))
		must(t, err)
		return string(b)
	}
	if !strings.Contains(in(), scope) {
		t.Errorf("the container is in %s", in())
	}
	if c.Exec(t, "echo", "there") != "there\n" {
		t.Error("exec")
	}
	must(t, update(c, &cri.LinuxContainerResources{MemoryLimitInBytes: 96 * mb}))
	if l := of(t, pid(t, c)); l.memory != fmt.Sprint(96*mb) {
		t.Errorf("in force: %+v", l)
	}
	said, err := os.ReadFile(log)
	must(t, err)
	for _, want := range []string{" --systemd-cgroup run --detach", `"` + slice + ":unicri:" + c.ID + `"`, " --systemd-cgroup update --resources "} {
		if !strings.Contains(string(said), want) {
			t.Errorf("the runtime was not called with %q:\n%s", want, said)
		}
	}
	// Nobody calls the runtime with the option for a pod that lies in no slice.
	q := n.RunPod(t, "plain")
	d := q.Sh(t, "plain", "cat /proc/self/cgroup")
	d.Wait(t, 10e9)
	if out := d.Out(t, "stdout"); strings.Contains(out, ".scope") || !strings.Contains(out, root+".slice/"+q.ID+"/"+d.ID) {
		t.Errorf("plain: %s", out)
	}
	n.Restart()
	if s := c.Status(t).State; s != cri.ContainerState_CONTAINER_RUNNING {
		t.Errorf("after a restart: %v", s)
	}
	must(t, n.RT.StopContainer(h.Ctx, c.ID, 0))
	must(t, n.RT.RemoveContainer(h.Ctx, c.ID))
	for _, m := range h.CgroupMounts() {
		if _, err := os.Stat(m + scope); err == nil {
			t.Errorf("left: %s", m+scope)
		}
	}
	p.Remove(t)
	q.Remove(t)
}
