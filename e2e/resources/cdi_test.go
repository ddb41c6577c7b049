// SPDX-License-Identifier: Apache-2.0

package resources

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
	h "unicri.dev/e2e/harness"
)

func cdi(names ...string) h.CtrOpt {
	return func(c *cri.ContainerConfig) {
		for _, n := range names {
			c.CDIDevices = append(c.CDIDevices, &cri.CDIDevice{Name: n})
		}
	}
}

func annotated(value string) h.CtrOpt {
	return func(c *cri.ContainerConfig) { c.Annotations["cdi.k8s.io/vendor_x"] = value }
}

const cdiFile = `---
cdiVersion: 0.7.0
kind: vendor.com/zero
containerEdits:
  env: [CDI_FILE=once]
  additionalGids: [0, 4242]
devices:
- name: a
  containerEdits:
    env: [CDI_A=1, PATH=/bin:/vendor]
    deviceNodes:
    - path: /dev/vendor-a
      hostPath: /dev/zero
    - path: /dev/vendor-fuse
      hostPath: /dev/fuse
      permissions: r
    mounts:
    - {hostPath: DIR/data, containerPath: /vendor, options: [ro, nosuid, nodev, rbind]}
    hooks:
    - {hookName: createRuntime, path: /bin/sh, args: [sh, -c, "echo ran >> DIR/hook"]}
- name: b
  containerEdits:
    env: [CDI_B=1]
`

// TestCDI gives containers devices that a vendor's files describe.
func TestCDI(t *testing.T) {
	h.NeedUnicrid(t)
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("data/file", "from the host")
	write("etc/vendor.yaml", strings.ReplaceAll(cdiFile, "DIR", dir))
	n := h.NewNode(t, h.NodeOptions{Set: map[string]string{"cdi.spec_dirs": `["` + dir + `/etc", "` + dir + `/run"]`}})
	guest := h.GuestRef("hello.spt")
	n.Pull(t, h.BusyboxRef)
	n.Pull(t, guest)
	before := n.Census()
	pod := n.RunPod(t, "cdi")

	t.Run("node, environment, mount, group, hook", func(t *testing.T) {
		c := pod.Create(t, "a", h.BusyboxRef, []string{"sh", "-c", "head -c 3 /dev/vendor-a | wc -c; (: </dev/vendor-fuse) && echo -n r-; (: >/dev/vendor-fuse) 2>/dev/null || echo -n locked-; " +
			"echo $CDI_FILE$CDI_A$CDI_B $PATH; cat /vendor/file; echo; touch /vendor/x 2>/dev/null || echo ro; id -G; sleep 1000"}, cdi("vendor.com/zero=a"))
		// What was read when it was created holds, over a crash too.
		write("etc/vendor.yaml", "kind: [")
		n.Kill()
		n.Start()
		c.Start(t)
		c.WaitLog(t, "4242", h.Slow(10e9))
		want := "3\nr-locked-once1 /bin:/vendor\nfrom the host\nro\n0 10 4242\n"
		if got := c.Out(t, "stdout"); got != want && got != strings.Replace(want, "0 10", "0", 1) {
			t.Errorf("stdout %q", got)
		}
		if hook, err := os.ReadFile(dir + "/hook"); err != nil || string(hook) != "ran\n" {
			t.Errorf("hook: %q %v", hook, err)
		}
		if groups := c.Status(t).GetUser().GetLinux().GetSupplementalGroups(); len(groups) == 0 || groups[len(groups)-1] != 4242 {
			t.Errorf("groups %v", groups)
		}
		if got := c.Exec(t, "sh", "-c", "echo -n $CDI_A; id -G"); !strings.HasPrefix(got, "10") || !strings.Contains(got, "4242") {
			t.Errorf("exec: %q", got)
		}
		write("etc/vendor.yaml", strings.ReplaceAll(cdiFile, "DIR", dir))
	})
	t.Run("by annotation and field, the later directory's file", func(t *testing.T) {
		write("run/vendor.json", `{"cdiVersion": "0.5.0", "kind": "vendor.com/zero", "devices": [{"name": "b", "containerEdits": {"env": ["CDI_B=json"]}}]}`)
		c := pod.Sh(t, "b", "echo $CDI_FILE $CDI_A $CDI_B", cdi("vendor.com/zero=b"), annotated("vendor.com/zero=b,vendor.com/zero=a"))
		c.Wait(t, 10e9)
		if got := c.Out(t, "stdout"); got != "once 1 json\n" {
			t.Errorf("stdout %q", got)
		}
	})
	t.Run("refused", func(t *testing.T) {
		write("etc/same.yaml", "cdiVersion: 0.5.0\nkind: vendor.com/zero\ndevices: [{name: a, containerEdits: {env: [A=1]}}, {name: gone, containerEdits: {deviceNodes: [{path: /dev/no-such}]}}]\n")
		write("etc/bad.yaml", "cdiVersion: 0.5.0\nkinds: x\n")
		for name, c := range map[string]struct {
			opt  h.CtrOpt
			code codes.Code
			text string
		}{
			"no such device": {cdi("vendor.com/zero=c"), codes.NotFound, "CDI device 'vendor.com/zero=c': not in"},
			"a bad file":     {cdi("vendor.com/zero=c"), codes.NotFound, "bad.yaml': line 2"},
			"conflict":       {cdi("vendor.com/zero=a"), codes.FailedPrecondition, "vendor.yaml' have it"},
			"no such node":   {cdi("vendor.com/zero=gone"), codes.NotFound, "'/dev/no-such'"},
			"annotation":     {annotated("zero"), codes.InvalidArgument, "vendor.com/class=name"},
		} {
			_, err := pod.TryCreate("bad", h.BusyboxRef, []string{"true"}, c.opt)
			if s, _ := status.FromError(err); s.Code() != c.code || !strings.Contains(s.Message(), c.text) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
	t.Run("not for a unikernel", func(t *testing.T) {
		for _, opt := range []h.CtrOpt{cdi("vendor.com/zero=b"), annotated("vendor.com/zero=b")} {
			_, err := pod.TryCreate("guest", guest, nil, opt)
			if s, _ := status.FromError(err); s.Code() != codes.Unimplemented || !strings.Contains(s.Message(), "unikernel") {
				t.Errorf("%v", err)
			}
		}
	})
	pod.Stop(t)
	pod.Remove(t)
	n.ExpectCensus(t, before, false)
}
