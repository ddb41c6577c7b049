// SPDX-License-Identifier: Apache-2.0

package stats

import (
	"context"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
	h "unicri.dev/e2e/harness"
)

// follow gives events as they come, from the moment that it returns; the channel ends with the stream.
func follow(t *testing.T, n *h.Node, ctx context.Context) chan *cri.ContainerEventResponse {
	t.Helper()
	s, err := n.Raw.GetContainerEvents(ctx, &cri.GetEventsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	_, _ = s.Header() // the server follows, or has refused
	events := make(chan *cri.ContainerEventResponse, 1000)
	go func() {
		defer close(events)
		for {
			e, err := s.Recv()
			if err != nil {
				return
			}
			events <- e
		}
	}()
	return events
}

// next is the next event, which must be of that kind and object, complete as a kubelet wants it. Events of the object of
// the kinds `again` may come before it.
func next(t *testing.T, events chan *cri.ContainerEventResponse, kind cri.ContainerEventType, id string, p *h.Pod, again ...cri.ContainerEventType) *cri.ContainerEventResponse {
	t.Helper()
	select {
	case e := <-events:
		if e == nil {
			t.Fatalf("the stream ended before %v of %s", kind, id)
		}
		if e.ContainerId == id && slices.Contains(again, e.ContainerEventType) {
			return next(t, events, kind, id, p, again...)
		}
		if e.ContainerEventType != kind || e.ContainerId != id {
			t.Fatalf("%v of %s, want %v of %s", e.ContainerEventType, e.ContainerId, kind, id)
		}
		s := e.PodSandboxStatus
		if s.GetId() != p.ID || s.GetMetadata().GetUid() == "" || s.Metadata.Namespace == "" || s.Metadata.Name == "" {
			t.Fatalf("%v without its pod: %v", kind, s)
		}
		if age := time.Since(time.Unix(0, e.CreatedAt)); age < -time.Second || age > h.Slow(time.Minute) {
			t.Errorf("an event %v old", age)
		}
		return e
	case <-time.After(h.Slow(20 * time.Second)):
		t.Fatalf("no %v of %s", kind, id)
	}
	return nil
}

// state is that of a container in an event.
func state(e *cri.ContainerEventResponse, id string) string {
	for _, c := range e.ContainersStatuses {
		if c.Id == id {
			return c.State.String()
		}
	}
	return "none"
}

// TestEvents follows a pod's life, a kill of the daemon included.
func TestEvents(t *testing.T) {
	h.NeedUnicrid(t)
	const created, started, stopped, deleted = cri.ContainerEventType_CONTAINER_CREATED_EVENT, cri.ContainerEventType_CONTAINER_STARTED_EVENT,
		cri.ContainerEventType_CONTAINER_STOPPED_EVENT, cri.ContainerEventType_CONTAINER_DELETED_EVENT
	n := h.NewNode(t, h.NodeOptions{})
	n.Pull(t, h.BusyboxRef)
	ctx, cancel := context.WithCancel(h.Ctx)
	events := follow(t, n, ctx)
	p := n.RunPod(t, "events")
	if e := next(t, events, created, p.ID, p); e.PodSandboxStatus.State != cri.PodSandboxState_SANDBOX_READY || e.PodSandboxStatus.Network.GetIp() == "" {
		t.Errorf("%v", e)
	}
	next(t, events, started, p.ID, p)
	want := func(kind cri.ContainerEventType, id, s string) {
		t.Helper()
		if e := next(t, events, kind, id, p); state(e, id) != s {
			t.Errorf("%v of a container that is %s, want %s", kind, state(e, id), s)
		}
	}
	c := p.Create(t, "c", h.BusyboxRef, []string{"sh", "-c", "read x < /go 2>/dev/null; sleep 1000"})
	want(created, c.ID, "CONTAINER_CREATED")
	c.Start(t)
	want(started, c.ID, "CONTAINER_RUNNING")
	if err := n.RT.StopContainer(h.Ctx, c.ID, 0); err != nil {
		t.Fatal(err)
	}
	want(stopped, c.ID, "CONTAINER_EXITED")
	if err := n.RT.RemoveContainer(h.Ctx, c.ID); err != nil {
		t.Fatal(err)
	}
	want(deleted, c.ID, "none")

	// A second follower begins with what comes next.
	second := follow(t, n, ctx)
	short := p.Sh(t, "short", h.Await("end")+"exit 3", n.Gated)
	for _, ch := range []chan *cri.ContainerEventResponse{events, second} {
		next(t, ch, created, short.ID, p)
		next(t, ch, started, short.ID, p)
	}
	cancel()

	// It ends while nobody is there to see it.
	n.Kill()
	n.Open("end")
	eventually(t, "its exit file", func() bool {
		_, err := os.Stat(n.Run + "/exits/" + short.ID)
		return err == nil
	})
	n.Start()
	ctx, cancel = context.WithCancel(h.Ctx)
	defer cancel()
	events = follow(t, n, ctx)
	// What had been sent when the daemon was killed may not have been recorded as sent: that comes again.
	e := next(t, events, stopped, short.ID, p, created, started)
	if state(e, short.ID) != "CONTAINER_EXITED" {
		t.Errorf("%v", e)
	}
	for _, s := range e.ContainersStatuses {
		if s.Id == short.ID && s.ExitCode != 3 {
			t.Errorf("exit code %d", s.ExitCode)
		}
	}
	p.Stop(t)
	if e := next(t, events, stopped, p.ID, p); e.PodSandboxStatus.State != cri.PodSandboxState_SANDBOX_NOTREADY {
		t.Errorf("%v", e)
	}
	p.Remove(t)
	want(deleted, short.ID, "none")
	next(t, events, deleted, p.ID, p)

	// Only so many may follow; those that leave make room.
	var cancels []func()
	for i := 0; i < 20; i++ {
		ctx, cancel := context.WithCancel(h.Ctx)
		cancels = append(cancels, cancel)
		follow(t, n, ctx)
	}
	for _, c := range cancels {
		c()
	}
	eventually(t, "room for one more", func() bool {
		ctx, cancel := context.WithCancel(h.Ctx)
		defer cancel()
		ch := follow(t, n, ctx)
		q := n.RunPod(t, fmt.Sprint("room", time.Now().UnixNano()))
		defer q.Remove(t)
		select {
		case e := <-ch:
			return e != nil
		case <-time.After(h.Slow(5 * time.Second)):
			return false
		}
	})
}
