// SPDX-License-Identifier: Apache-2.0

package resources

import (
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
	h "unicri.dev/e2e/harness"
)

// TestPrefix names pods and containers by what "crictl ps" prints: the beginning of an id.
func TestPrefix(t *testing.T) {
	n := h.NewNode(t, h.NodeOptions{})
	n.Pull(t, h.BusyboxRef)
	p := n.RunPod(t, "prefix")
	c := p.Create(t, "c", h.BusyboxRef, []string{"sleep", "1000"})
	must(t, n.RT.StartContainer(h.Ctx, c.ID[:13]))
	s, err := n.RT.ContainerStatus(h.Ctx, c.ID[:13], false)
	must(t, err)
	if s.Status.Id != c.ID || s.Status.State != cri.ContainerState_CONTAINER_RUNNING {
		t.Errorf("status: %v", s.Status)
	}
	ps, err := n.RT.PodSandboxStatus(h.Ctx, p.ID[:13], false)
	must(t, err)
	if ps.Status.Id != p.ID {
		t.Errorf("status: %v", ps.Status)
	}
	if _, err := n.RT.ContainerStatus(h.Ctx, c.ID[:13]+"zz", false); status.Code(err) != codes.NotFound {
		t.Errorf("a wrong prefix: %v", err)
	}
	ids := map[byte]int{}
	for i := range 17 { // two of them begin alike
		d := p.Create(t, "many"+string(rune('a'+i)), h.BusyboxRef, []string{"true"})
		ids[d.ID[0]]++
		if ids[d.ID[0]] == 2 {
			if _, err := n.RT.ContainerStatus(h.Ctx, d.ID[:1], false); status.Code(err) != codes.NotFound {
				t.Errorf("a prefix of two: %v", err)
			}
		}
	}
	must(t, n.RT.RemoveContainer(h.Ctx, c.ID[:13]))
	if _, err := n.RT.ContainerStatus(h.Ctx, c.ID, false); status.Code(err) != codes.NotFound {
		t.Errorf("removed by its prefix: %v", err)
	}
	must(t, n.RT.StopPodSandbox(h.Ctx, p.ID[:13]))
	must(t, n.RT.RemovePodSandbox(h.Ctx, p.ID[:13]))
	if _, err := n.RT.PodSandboxStatus(h.Ctx, p.ID, false); status.Code(err) != codes.NotFound {
		t.Errorf("removed by its prefix: %v", err)
	}
}
