// SPDX-License-Identifier: Apache-2.0

package stats

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
	h "unicri.dev/e2e/harness"
)

// collect reads a stream to its end.
func collect[M any](t *testing.T, s grpc.ServerStreamingClient[M], err error, ids func(*M) []string) []string {
	t.Helper()
	all := []string{}
	for err == nil {
		var m *M
		if m, err = s.Recv(); err == nil {
			got := ids(m)
			if len(got) == 0 {
				t.Error("a message without items")
			}
			all = append(all, got...)
		}
	}
	if !errors.Is(err, io.EOF) {
		t.Errorf("stream: %v", err)
	}
	sort.Strings(all)
	return all
}

// each is the id of every item.
func each[I any](items []I, id func(I) string) []string {
	ids := []string{}
	for _, i := range items {
		ids = append(ids, id(i))
	}
	sort.Strings(ids)
	return ids
}

func same(t *testing.T, what string, got, want []string) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s: streamed %v, listed %v", what, got, want)
	}
}

// TestStreams compares each stream with its list.
func TestStreams(t *testing.T) {
	h.NeedUnicrid(t)
	n := h.NewNode(t, h.NodeOptions{})
	pods, err := n.Raw.StreamPodSandboxes(h.Ctx, &cri.StreamPodSandboxesRequest{})
	same(t, "no pods", collect(t, pods, err, func(m *cri.StreamPodSandboxesResponse) []string {
		return each(m.PodSandboxes, (*cri.PodSandbox).GetId)
	}), []string{})
	n.Pull(t, h.BusyboxRef)
	a, b := n.RunPod(t, "a"), n.RunPod(t, "b")
	for i := 0; i < 3; i++ {
		a.Sh(t, fmt.Sprint("c", i), "sleep 1000")
	}
	c := b.Sh(t, "c", "exit 0")
	c.Wait(t, 10*time.Second)
	b.Stop(t)

	t.Run("pods", func(t *testing.T) {
		for _, f := range []*cri.PodSandboxFilter{nil, {}, {State: &cri.PodSandboxStateValue{}}, {Id: b.ID}, {Id: strings.Repeat("0", 64)},
			{State: &cri.PodSandboxStateValue{State: cri.PodSandboxState_SANDBOX_NOTREADY}}} {
			s, err := n.Raw.StreamPodSandboxes(h.Ctx, &cri.StreamPodSandboxesRequest{Filter: f})
			l, _ := n.RT.ListPodSandbox(h.Ctx, f)
			same(t, f.String(), collect(t, s, err, func(m *cri.StreamPodSandboxesResponse) []string {
				return each(m.PodSandboxes, (*cri.PodSandbox).GetId)
			}), each(l, (*cri.PodSandbox).GetId))
		}
		if l, _ := n.RT.ListPodSandbox(h.Ctx, &cri.PodSandboxFilter{State: &cri.PodSandboxStateValue{}}); len(l) != 1 || l[0].Id != a.ID {
			t.Errorf("READY, an empty message: %v", l)
		}
	})
	t.Run("containers", func(t *testing.T) {
		for _, f := range []*cri.ContainerFilter{nil, {}, {State: &cri.ContainerStateValue{State: cri.ContainerState_CONTAINER_EXITED}},
			{State: &cri.ContainerStateValue{}}, {PodSandboxId: a.ID}} {
			s, err := n.Raw.StreamContainers(h.Ctx, &cri.StreamContainersRequest{Filter: f})
			l, _ := n.RT.ListContainers(h.Ctx, f)
			same(t, f.String(), collect(t, s, err, func(m *cri.StreamContainersResponse) []string {
				return each(m.Containers, (*cri.Container).GetId)
			}), each(l, (*cri.Container).GetId))
		}
	})
	t.Run("stats", func(t *testing.T) {
		s, err := n.Raw.StreamContainerStats(h.Ctx, &cri.StreamContainerStatsRequest{Filter: &cri.ContainerStatsFilter{PodSandboxId: a.ID}})
		got := collect(t, s, err, func(m *cri.StreamContainerStatsResponse) []string {
			return each(m.ContainerStats, func(s *cri.ContainerStats) string { return s.Attributes.Id })
		})
		if len(got) != 3 {
			t.Errorf("containers: %v", got)
		}
		p, err := n.Raw.StreamPodSandboxStats(h.Ctx, &cri.StreamPodSandboxStatsRequest{})
		same(t, "pod stats", collect(t, p, err, func(m *cri.StreamPodSandboxStatsResponse) []string {
			return each(m.PodSandboxStats, func(s *cri.PodSandboxStats) string { return s.Attributes.Id })
		}), []string{a.ID})
		x, err := n.Raw.StreamPodSandboxMetrics(h.Ctx, &cri.StreamPodSandboxMetricsRequest{})
		same(t, "metrics", collect(t, x, err, func(m *cri.StreamPodSandboxMetricsResponse) []string {
			return each(m.PodSandboxMetrics, (*cri.PodSandboxMetrics).GetPodSandboxId)
		}), []string{a.ID})
	})
	t.Run("images", func(t *testing.T) {
		for _, f := range []*cri.ImageFilter{nil, {Image: &cri.ImageSpec{Image: h.BusyboxRef}}, {Image: &cri.ImageSpec{Image: "no.such/image:1"}}} {
			s, err := n.RawIM.StreamImages(h.Ctx, &cri.StreamImagesRequest{Filter: f})
			l, _ := n.IM.ListImages(h.Ctx, f)
			same(t, f.String(), collect(t, s, err, func(m *cri.StreamImagesResponse) []string {
				return each(m.Images, (*cri.Image).GetId)
			}), each(l, (*cri.Image).GetId))
		}
	})
	t.Run("bad filter", func(t *testing.T) {
		s, err := n.Raw.StreamPodSandboxes(h.Ctx, &cri.StreamPodSandboxesRequest{Filter: &cri.PodSandboxFilter{
			State: &cri.PodSandboxStateValue{State: 99}}})
		if err == nil {
			_, err = s.Recv()
		}
		if status.Code(err) != codes.InvalidArgument {
			t.Errorf("%v", err)
		}
	})
	t.Run("clients that leave", func(t *testing.T) {
		var clients sync.WaitGroup
		for i := 0; i < 64; i++ {
			clients.Add(1)
			go func() {
				defer clients.Done()
				ctx, cancel := context.WithTimeout(h.Ctx, time.Duration(i)*time.Millisecond)
				defer cancel()
				if s, err := n.Raw.StreamPodSandboxMetrics(ctx, &cri.StreamPodSandboxMetricsRequest{}); err == nil && i%2 == 0 {
					_, _ = s.Recv()
				}
			}()
		}
		clients.Wait()
		eventually(t, "a stream after them", func() bool {
			s, err := n.Raw.StreamContainers(h.Ctx, &cri.StreamContainersRequest{})
			if err == nil {
				_, err = s.Recv()
			}
			return err == nil
		})
	})
}
