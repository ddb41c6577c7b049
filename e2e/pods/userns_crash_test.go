// SPDX-License-Identifier: Apache-2.0

package pods

import (
	"fmt"
	"os"
	"sort"
	"strings"
	"testing"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
	h "unicri.dev/e2e/harness"
)

// usernsLife is a pod with users of its own and a container with an image volume, made and removed. What fails is asked
// for again, by a new daemon if need be.
func usernsLife(t *testing.T, n *h.Node, name string) (deaths int) {
	t.Helper()
	again := func(what string, call func() error) {
		t.Helper()
		for end := time.Now().Add(h.Slow(20 * time.Second)); ; {
			err := call()
			if err == nil {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("%s: %v\n%s", what, err, n.LogTail(20))
			}
			if _, derr := n.WaitDeath(h.Slow(5 * time.Second)); derr != nil {
				t.Fatalf("%s failed and the daemon lives: %v", what, err)
			}
			deaths++
			n.Start()
		}
	}
	p := &h.Pod{N: n, Config: n.PodConfig(name, podUserns)}
	again("run the sandbox", func() (err error) {
		p.ID, err = n.RT.RunPodSandbox(h.Ctx, p.Config, "promising")
		return err
	})
	cfg := p.CtrConfig("c", h.BusyboxRef, []string{"true"}, ctrUserns, func(c *cri.ContainerConfig) {
		c.Mounts = []*cri.Mount{{ContainerPath: "/v", Image: &cri.ImageSpec{Image: h.BusyboxRef}, Readonly: true, UidMappings: idmap(), GidMappings: idmap()}}
	})
	again("create the container", func() error {
		_, err := n.RT.CreateContainer(h.Ctx, p.ID, cfg, p.Config)
		return err
	})
	again("stop the sandbox", func() error { return n.RT.StopPodSandbox(h.Ctx, p.ID) })
	again("remove the sandbox", func() error { return n.RT.RemovePodSandbox(h.Ctx, p.ID) })
	return deaths
}

// TestUserNamespaceKilled kills the daemon where user namespaces, mapped mounts and what belongs to them are made and
// removed.
func TestUserNamespaceKilled(t *testing.T) {
	h.NeedUnicrid(t)
	n := h.NewNode(t, h.NodeOptions{Config: fmt.Sprintf("[handlers.promising]\nkind = \"runc\"\nprogram = %q\n", promising(t, t.TempDir()))})
	n.Pull(t, h.BusyboxRef)
	file := n.Dir + "/trace"
	n.Restart("UNICRI_FAULTS_TRACE=" + file)
	usernsLife(t, n, "trace")
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("the daemon wrote no trace: is it built with fault points? %v", err)
	}
	passed := map[string]bool{}
	for _, name := range strings.Fields(string(b)) {
		for _, part := range []string{"userns.", "rootfs.", "pod.netns", "pod.room", "container.rootfs"} {
			passed[name] = passed[name] || strings.HasPrefix(name, part)
		}
	}
	var points []string
	for name, wanted := range passed {
		if wanted && !strings.HasSuffix(name, "attach_layers") && !strings.HasSuffix(name, "old_kernel") {
			points = append(points, name)
		}
	}
	sort.Strings(points)
	if len(points) < 8 {
		t.Fatalf("only %v are passed of %s", points, b)
	}
	n.Restart()
	before := n.Census()
	for i, point := range points {
		t.Run(point, func(t *testing.T) {
			n.Kill()
			n.Start("UNICRI_FAULTS=" + point + "=kill@1")
			if deaths := usernsLife(t, n, fmt.Sprint("killed-", i)); deaths != 1 {
				t.Errorf("the daemon died %d times", deaths)
			}
			n.ExpectCensus(t, before, false)
		})
	}
}
