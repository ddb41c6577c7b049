// SPDX-License-Identifier: Apache-2.0

package stats

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
	h "unicri.dev/e2e/harness"
)

// drain reads a stream to its end.
func drain[M any](s grpc.ServerStreamingClient[M], err error) error {
	for err == nil {
		_, err = s.Recv()
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// TestAskedWhileKilled: fifty clients ask everything that statistics, metrics, events and updates have while pods come
// and go and the daemon is killed. What is answered is whole, what is not is UNAVAILABLE, and nothing is left behind.
func TestAskedWhileKilled(t *testing.T) {
	h.NeedUnicrid(t)
	n := h.NewNode(t, h.NodeOptions{Set: map[string]string{"stats.period": "1"}})
	n.Pull(t, h.BusyboxRef)
	p := n.RunPod(t, "steady")
	c := p.Sh(t, "steady", "sleep 10000")
	ctx, cancel := context.WithCancel(h.Ctx)
	defer cancel()
	// A connection of its own: the node's is made anew with each daemon.
	conn, err := grpc.NewClient("unix://"+n.Socket, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithAuthority("localhost"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	rt := cri.NewRuntimeServiceClient(conn)
	asks := []func(i int) error{
		func(int) error {
			l, err := rt.ListContainerStats(ctx, &cri.ListContainerStatsRequest{Filter: &cri.ContainerStatsFilter{Id: c.ID}})
			if err == nil && (len(l.Stats) != 1 || l.Stats[0].Cpu == nil || l.Stats[0].Memory == nil) {
				err = fmt.Errorf("stats: %v", l.Stats)
			}
			return err
		},
		func(int) error {
			s, err := rt.PodSandboxStats(ctx, &cri.PodSandboxStatsRequest{PodSandboxId: p.ID})
			if err == nil && (s.Stats.Linux.GetCpu() == nil || len(s.Stats.Linux.Containers) != 1) {
				err = fmt.Errorf("pod stats: %v", s.Stats)
			}
			return err
		},
		func(int) error {
			_, err := rt.ListPodSandboxMetrics(ctx, &cri.ListPodSandboxMetricsRequest{})
			return err
		},
		func(int) error {
			s, err := rt.StreamPodSandboxMetrics(ctx, &cri.StreamPodSandboxMetricsRequest{})
			return drain(s, err)
		},
		func(int) error {
			s, err := rt.StreamContainers(ctx, &cri.StreamContainersRequest{})
			return drain(s, err)
		},
		func(i int) error {
			_, err := rt.UpdateContainerResources(ctx, &cri.UpdateContainerResourcesRequest{ContainerId: c.ID, Linux: &cri.LinuxContainerResources{CpuShares: int64(100 + i%5)}})
			return err
		},
		func(int) error {
			short, done := context.WithTimeout(ctx, 50*time.Millisecond)
			defer done()
			s, err := rt.GetContainerEvents(short, &cri.GetEventsRequest{})
			return drain(s, err)
		},
	}
	var clients sync.WaitGroup
	stop := make(chan struct{})
	answered := make([]int, len(asks))
	var mu sync.Mutex
	for i := 0; i < 50; i++ {
		clients.Add(1)
		go func() {
			defer clients.Done()
			for round := i; ; round++ {
				select {
				case <-stop:
					return
				default:
				}
				k := round % len(asks)
				err := asks[k](round)
				switch status.Code(err) {
				case codes.OK:
					mu.Lock()
					answered[k]++
					mu.Unlock()
				case codes.Unavailable, codes.DeadlineExceeded, codes.ResourceExhausted: // killed; of events; too many streams
				default:
					t.Errorf("question %d: %v", k, err)
					return
				}
				time.Sleep(10 * time.Millisecond)
			}
		}()
	}
	for round := 0; round < 3; round++ {
		q := n.RunPod(t, fmt.Sprint("passing", round))
		q.Sh(t, "c", "sleep 10000")
		time.Sleep(300 * time.Millisecond)
		n.Kill()
		n.Start()
		if err := n.RT.StopPodSandbox(h.Ctx, q.ID); err != nil {
			t.Error(err)
		}
		if err := n.RT.RemovePodSandbox(h.Ctx, q.ID); err != nil {
			t.Error(err)
		}
	}
	time.Sleep(500 * time.Millisecond)
	close(stop)
	clients.Wait()
	for k, a := range answered[:6] {
		if a == 0 {
			t.Errorf("question %d was never answered", k)
		}
	}
	checkRunning(t, c, get(t, c))
	if l, err := n.RT.ListPodSandbox(h.Ctx, nil); err != nil || len(l) != 1 {
		t.Errorf("at the end: %v, %v", l, err)
	}
}
