// SPDX-License-Identifier: Apache-2.0

package stats

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
	h "unicri.dev/e2e/harness"
)

// told reads what is left of a stream; it must have ended with the status that says what to do. Of one that was cut
// within a message this client shows that instead.
func told(t *testing.T, recv func() error) {
	t.Helper()
	var err error
	for end := time.Now().Add(h.Slow(20 * time.Second)); err == nil && time.Now().Before(end); {
		err = recv()
	}
	s := status.Convert(err)
	if !(s.Code() == codes.ResourceExhausted && strings.Contains(s.Message(), "ask anew")) &&
		!(s.Code() == codes.Internal && s.Message() == io.ErrUnexpectedEOF.Error()) {
		t.Errorf("a client that did not read: %v", err)
	}
}

// TestSlowReaders: whoever does not read what he asked for is told so in time, and costs nobody else anything.
func TestSlowReaders(t *testing.T) {
	h.NeedUnicrid(t)
	n := h.NewNode(t, h.NodeOptions{Set: map[string]string{"server.reply_patience": "1", "metrics.address": `"127.0.0.1:9730"`}})
	n.Pull(t, h.BusyboxRef)
	p := n.RunPod(t, "slow")
	for i := 0; i < 8; i++ {
		p.Sh(t, fmt.Sprint("c", i), "sleep 10000")
	}
	ctx, cancel := context.WithTimeout(h.Ctx, h.Slow(time.Minute))
	defer cancel()
	// Windows that do not grow: the bytes that are not read stay with the server.
	conn, err := grpc.NewClient("unix://"+n.Socket, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithAuthority("localhost"),
		grpc.WithInitialWindowSize(65535), grpc.WithInitialConnWindowSize(1<<20))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	slow := cri.NewRuntimeServiceClient(conn)

	stream, err := slow.StreamPodSandboxMetrics(ctx, &cri.StreamPodSandboxMetricsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	unary, err := conn.NewStream(ctx, &grpc.StreamDesc{}, cri.RuntimeService_ListPodSandboxMetrics_FullMethodName)
	if err == nil {
		err = unary.SendMsg(&cri.ListPodSandboxMetricsRequest{})
	}
	if err == nil {
		err = unary.CloseSend()
	}
	if err != nil {
		t.Fatal(err)
	}
	events, err := slow.GetContainerEvents(ctx, &cri.GetEventsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	_, _ = events.Header() // the first of all followers gets what was before
	fast := follow(t, n, ctx)
	const rounds = 12 // of two events with the statuses of nine containers each: more than the window holds
	for i := 0; i < rounds; i++ {
		c := p.Create(t, fmt.Sprint("passing", i), h.BusyboxRef, []string{"true"})
		next(t, fast, cri.ContainerEventType_CONTAINER_CREATED_EVENT, c.ID, p)
		if err := n.RT.RemoveContainer(h.Ctx, c.ID); err != nil {
			t.Fatal(err)
		}
		next(t, fast, cri.ContainerEventType_CONTAINER_DELETED_EVENT, c.ID, p)
	}
	// Both streams are given up before anything is read; so is the reply, which nobody reads for longer still.
	for _, name := range []string{"StreamPodSandboxMetrics", "GetContainerEvents"} {
		eventually(t, name+" is given up", func() bool { return metrics(t, n).value(t, "unicri_rpc_errors_total", name) == 1 })
	}
	time.Sleep(h.Slow(time.Second))

	told(t, func() error { _, err := stream.Recv(); return err })
	told(t, func() error { return unary.RecvMsg(&cri.ListPodSandboxMetricsResponse{}) })
	got := 0
	told(t, func() error {
		_, err := events.Recv()
		if err == nil {
			got++
		}
		return err
	})
	if got == 2*rounds {
		t.Errorf("all %d events fitted", got)
	}

	// It asks anew: everything is answered, events go on with what comes next.
	s, err := slow.StreamPodSandboxMetrics(ctx, &cri.StreamPodSandboxMetricsRequest{})
	for err == nil {
		_, err = s.Recv()
	}
	if !errors.Is(err, io.EOF) {
		t.Errorf("metrics again: %v", err)
	}
	if events, err = slow.GetContainerEvents(ctx, &cri.GetEventsRequest{}); err != nil {
		t.Fatal(err)
	}
	_, _ = events.Header()
	c := p.Create(t, "last", h.BusyboxRef, []string{"true"})
	if e, err := events.Recv(); err != nil || e.ContainerId != c.ID {
		t.Errorf("the next event: %v, %v", e, err)
	}
}
