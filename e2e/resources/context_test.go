// SPDX-License-Identifier: Apache-2.0

package resources

import (
	"strings"
	"testing"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
	h "unicri.dev/e2e/harness"
)

// TestAmbient gives an ordinary user a capability that its program never asked for.
func TestAmbient(t *testing.T) {
	h.NeedUnicrid(t)
	n := h.NewNode(t, h.NodeOptions{})
	n.Pull(t, h.BusyboxRef)
	p := n.RunPod(t, "ambient")
	c := p.Sh(t, "user", "grep -E 'Cap(Amb|Eff|Inh|Bnd)' /proc/self/status", func(c *cri.ContainerConfig) {
		c.Linux.SecurityContext.RunAsUser = &cri.Int64Value{Value: 1000}
		c.Linux.SecurityContext.Capabilities = &cri.Capability{DropCapabilities: []string{"ALL"}, AddAmbientCapabilities: []string{"NET_BIND_SERVICE"}}
	})
	c.Wait(t, 10e9)
	for _, set := range []string{"CapAmb", "CapEff", "CapInh", "CapBnd"} {
		if out := c.Out(t, "stdout"); !strings.Contains(out, set+":\t0000000000000400") {
			t.Errorf("%s: %q", set, out)
		}
	}
}

// TestPodPids puts containers into the PID namespace of a pod whose other containers have their own.
func TestPodPids(t *testing.T) {
	h.NeedUnicrid(t)
	n := h.NewNode(t, h.NodeOptions{})
	n.Pull(t, h.BusyboxRef)
	shared := func(c *cri.ContainerConfig) { c.Linux.SecurityContext.NamespaceOptions.Pid = cri.NamespaceMode_POD }
	p := n.RunPod(t, "mixed")
	own := p.Sh(t, "own", "sleep 1000")
	a := p.Sh(t, "a", "sleep 1111", shared)
	b := p.Sh(t, "b", "sleep 2222", shared)
	if out := own.Exec(t, "ps"); strings.Contains(out, "1111") {
		t.Errorf("a container of its own sees others: %s", out)
	}
	for _, c := range []*h.Ctr{a, b} {
		if out := c.Exec(t, "ps"); !strings.Contains(out, "1111") || !strings.Contains(out, "2222") || strings.Contains(out, "1000") {
			t.Errorf("shared: %s", out)
		}
	}
	p.Remove(t)
	q := n.RunPod(t, "host", func(c *cri.PodSandboxConfig) {
		c.Linux.SecurityContext.NamespaceOptions.Pid = cri.NamespaceMode_NODE
	})
	d := q.Sh(t, "d", "readlink /proc/self/ns/pid", shared)
	d.Wait(t, 10e9)
	if out := strings.TrimSpace(d.Out(t, "stdout")); out != hostPids(t) {
		t.Errorf("pod with the node's PID namespace: %s", out)
	}
}
