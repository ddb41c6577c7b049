// SPDX-License-Identifier: Apache-2.0

package resources

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
	h "unicri.dev/e2e/harness"
)

// TestRetry is a client that gives up too early and asks again: it gets what its first attempt made.
func TestRetry(t *testing.T) {
	h.NeedUnicrid(t)
	n := h.NewNode(t, h.NodeOptions{})
	impatient := func(f func(ctx context.Context)) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
		defer cancel()
		f(ctx)
	}
	image := &cri.ImageSpec{Image: h.BusyboxRef}
	impatient(func(ctx context.Context) { n.IM.PullImage(ctx, image, nil, nil) })
	n.Pull(t, h.BusyboxRef)
	p := n.RunPod(t, "retry")
	again, err := n.RT.RunPodSandbox(h.Ctx, p.Config, "")
	if err != nil || again != p.ID {
		t.Errorf("RunPodSandbox again: %q, %v", again, err)
	}

	cfg := p.CtrConfig("c", h.BusyboxRef, []string{"sleep", "1000"})
	impatient(func(ctx context.Context) { n.RT.CreateContainer(ctx, p.ID, cfg, p.Config) })
	ids := make([]string, 8)
	side := func(f func(i int) error) {
		t.Helper()
		var wg sync.WaitGroup
		for i := range ids {
			wg.Add(1)
			go func() {
				defer wg.Done()
				if err := f(i); err != nil {
					t.Error(err)
				}
			}()
		}
		wg.Wait()
	}
	side(func(i int) (err error) {
		ids[i], err = n.RT.CreateContainer(h.Ctx, p.ID, cfg, p.Config)
		return err
	})
	for _, id := range ids {
		if id != ids[0] {
			t.Fatalf("one request, several containers: %v", ids)
		}
	}
	if l, err := n.RT.ListContainers(h.Ctx, nil); err != nil || len(l) != 1 {
		t.Errorf("containers: %v, %v", l, err)
	}
	other := p.CtrConfig("c", h.BusyboxRef, []string{"sleep", "2000"})
	if _, err := n.RT.CreateContainer(h.Ctx, p.ID, other, p.Config); status.Code(err) != codes.AlreadyExists || !strings.Contains(err.Error(), "command") {
		t.Errorf("the same name, another command: %v", err)
	}
	impatient(func(ctx context.Context) { n.RT.StartContainer(ctx, ids[0]) })
	side(func(int) error { return n.RT.StartContainer(h.Ctx, ids[0]) })
	if s, err := n.RT.ContainerStatus(h.Ctx, ids[0], false); err != nil || s.Status.State != cri.ContainerState_CONTAINER_RUNNING {
		t.Errorf("status: %v, %v", s, err)
	}
	// An update changes nothing for a retry of the creation.
	must(t, n.RT.UpdateContainerResources(h.Ctx, ids[0], &cri.ContainerResources{Linux: &cri.LinuxContainerResources{CpuShares: 77}}))
	if id, err := n.RT.CreateContainer(h.Ctx, p.ID, cfg, p.Config); err != nil || id != ids[0] {
		t.Errorf("CreateContainer again: %q, %v", id, err)
	}
	impatient(func(ctx context.Context) { n.RT.StopPodSandbox(ctx, p.ID) })
	side(func(int) error { return n.RT.StopPodSandbox(h.Ctx, p.ID) })
	side(func(int) error { return n.RT.RemovePodSandbox(h.Ctx, p.ID) })
	if l, err := n.RT.ListContainers(h.Ctx, nil); err != nil || len(l) != 0 {
		t.Errorf("left: %v, %v", l, err)
	}
}
