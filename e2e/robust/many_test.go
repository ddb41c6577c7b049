// SPDX-License-Identifier: Apache-2.0

// Pods side by side and pods in a row: races, growth, size at rest.

package robust

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
	h "unicri.dev/e2e/harness"
)

// TestParallel starts and stops pods of both kinds side by side; ThreadSanitizer watches it in the tsan run.
func TestParallel(t *testing.T) {
	h.NeedUnicrid(t)
	n := h.NewNode(t, h.NodeOptions{})
	n.Pull(t, h.BusyboxRef)
	n.Pull(t, h.GuestRef("hello.spt"))
	if err := roundTrip(n, "warm", true); err != nil {
		t.Fatal(err)
	}
	before := n.Census()
	var wg sync.WaitGroup
	for i := 0; i < 6; i++ {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for j := 0; j < 4; j++ {
				if err := roundTrip(n, fmt.Sprintf("par-%d-%d", i, j), (i+j)%2 == 0); err != nil {
					t.Error(err)
				}
			}
		}()
	}
	stop := make(chan bool)
	wg.Add(1)
	go func() {
		defer wg.Done()
		for {
			select {
			case <-stop:
				return
			case <-time.After(5 * time.Millisecond):
				n.RT.ListPodSandbox(h.Ctx, nil)
				l, _ := n.RT.ListContainers(h.Ctx, nil)
				for _, c := range l {
					n.Raw.ContainerStatus(h.Ctx, &cri.ContainerStatusRequest{ContainerId: c.Id, Verbose: true})
				}
				n.RT.Status(h.Ctx, true)
			}
		}
	}()
	time.AfterFunc(h.Slow(4*time.Second), func() { close(stop) })
	wg.Wait()
	n.ExpectCensus(t, before, true)
}

func roundTrip(n *h.Node, name string, guest bool) error {
	p, err := n.TryRunPod(name, "")
	if err != nil {
		return fmt.Errorf("%s: run: %w", name, err)
	}
	image, cmd := h.BusyboxRef, []string{"sh", "-c", "echo Hello from a unikernel"}
	if guest {
		image, cmd = h.GuestRef("hello.spt"), nil
	}
	c, err := p.TryCreate("c", image, cmd)
	if err == nil {
		err = n.RT.StartContainer(h.Ctx, c.ID)
	}
	if err != nil {
		return fmt.Errorf("%s: start: %w", name, err)
	}
	for end := time.Now().Add(h.Slow(15 * time.Second)); !strings.Contains(c.RawLog(), "Hello from a unikernel"); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			return fmt.Errorf("%s: no output: %q", name, c.RawLog())
		}
	}
	if err := n.RT.StopPodSandbox(h.Ctx, p.ID); err != nil {
		return fmt.Errorf("%s: stop: %w", name, err)
	}
	if err := n.RT.RemovePodSandbox(h.Ctx, p.ID); err != nil {
		return fmt.Errorf("%s: remove: %w", name, err)
	}
	return os.RemoveAll(p.Config.LogDirectory)
}

// TestManyPods: after many pods the daemon is as large as before. UNICRI_E2E_PODS says how many (100).
func TestManyPods(t *testing.T) {
	h.NeedUnicrid(t)
	count := 100
	if s := os.Getenv("UNICRI_E2E_PODS"); s != "" {
		fmt.Sscan(s, &count)
	}
	// Freed memory that AddressSanitizer keeps in quarantine is no leak: keep it short.
	n := h.NewNode(t, h.NodeOptions{Env: []string{h.SanitizerOptions(":quarantine_size_mb=4:thread_local_quarantine_size_kb=64:malloc_context_size=4")}})
	n.Pull(t, h.BusyboxRef)
	n.Pull(t, h.GuestRef("hello.spt"))
	run := func(from, to int) {
		var wg sync.WaitGroup
		for w := 0; w < 4; w++ {
			wg.Add(1)
			go func() {
				defer wg.Done()
				for i := from + w; i < to; i += 4 {
					if err := roundTrip(n, fmt.Sprintf("many-%d", i), i%4 != 0); err != nil {
						t.Error(err)
						return
					}
				}
			}()
		}
		wg.Wait()
	}
	run(0, count/2)
	before := n.Census()
	rss := rssKB(t, n.Pid())
	run(count/2, count)
	n.ExpectCensus(t, before, true)
	grown := rssKB(t, n.Pid()) - rss
	t.Logf("resident %d KiB after %d pods, grown by %d KiB in the second half", rss, count/2, grown)
	limit := 16*count/2 + 1024
	if os.Getenv("UNICRI_E2E_RELEASE") == "" {
		limit = 64*count/2 + 16384 // a sanitizer's own bookkeeping
	}
	if grown > limit {
		t.Errorf("the daemon grew by %d KiB", grown)
	}
}

func rssKB(t *testing.T, pid int) int {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range strings.Split(string(b), "\n") {
		var kb int
		if _, err := fmt.Sscanf(l, "VmRSS: %d kB", &kb); err == nil {
			return kb
		}
	}
	t.Fatal("no VmRSS")
	return 0
}

// TestIdleSize: the release build's daemon, just started, and with pods.
func TestIdleSize(t *testing.T) {
	h.NeedUnicrid(t)
	if os.Getenv("UNICRI_E2E_RELEASE") == "" {
		t.Skip("release build only: sanitizers are large")
	}
	n := h.NewNode(t, h.NodeOptions{})
	n.Pull(t, h.BusyboxRef)
	time.Sleep(time.Second)
	rss := rssKB(t, n.Pid())
	t.Logf("resident %d KiB", rss)
	if rss > 25*1024 {
		t.Errorf("resident %d KiB idle, 25 MiB are allowed", rss)
	}
}
