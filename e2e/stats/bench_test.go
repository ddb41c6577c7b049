// SPDX-License-Identifier: Apache-2.0

package stats

import (
	"fmt"
	"os"
	"sort"
	"strconv"
	"testing"
	"time"

	h "unicri.dev/e2e/harness"
)

// BenchmarkList measures ListContainerStats over many running containers (UNICRI_BENCH_CONTAINERS, 100 by default) as
// a kubelet meets it: with samples that are there, while other pods start and stop.
func BenchmarkList(b *testing.B) {
	want := 100
	if v, err := strconv.Atoi(os.Getenv("UNICRI_BENCH_CONTAINERS")); err == nil && v > 0 {
		want = v
	}
	n := h.NewNode(b, h.NodeOptions{})
	n.Pull(b, h.BusyboxRef)
	for i := 0; i < want; {
		p := n.RunPod(b, fmt.Sprint("bench", i))
		for j := 0; j < 10 && i < want; j, i = j+1, i+1 {
			p.Sh(b, fmt.Sprint("c", j), "sleep 100000")
		}
	}
	ask := func() time.Duration {
		began := time.Now()
		l, err := n.RT.ListContainerStats(h.Ctx, nil)
		if err != nil || len(l) < want {
			b.Fatalf("%d containers, %v", len(l), err)
		}
		return time.Since(began)
	}
	first := ask()
	time.Sleep(time.Second)
	stop, stopped := make(chan struct{}), make(chan int)
	go func() {
		passed := 0
		defer func() { stopped <- passed }()
		for ; ; passed++ {
			select {
			case <-stop:
				return
			default:
			}
			p, err := n.TryRunPod(fmt.Sprint("passing", passed), "")
			if err != nil {
				b.Error(err)
				return
			}
			if c, err := p.TryCreate("c", h.BusyboxRef, []string{"sleep", "100000"}); err != nil {
				b.Error(err)
			} else if err := n.RT.StartContainer(h.Ctx, c.ID); err != nil {
				b.Error(err)
			}
			if err := n.RT.RemovePodSandbox(h.Ctx, p.ID); err != nil {
				b.Error(err)
			}
		}
	}()
	var took []time.Duration
	b.ResetTimer()
	for i := 0; i < b.N; i++ {
		took = append(took, ask())
		time.Sleep(2 * time.Millisecond)
	}
	b.StopTimer()
	close(stop)
	b.ReportMetric(float64(<-stopped), "pods")
	sort.Slice(took, func(i, j int) bool { return took[i] < took[j] })
	b.ReportMetric(float64(first.Microseconds()), "µs/first")
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "µs/p50")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "µs/p99")
}
