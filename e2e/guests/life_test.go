// SPDX-License-Identifier: Apache-2.0

package guests

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
	h "unicri.dev/e2e/harness"
)

// control: its monitor has an API that says when the guest runs.
func (d driver) control() bool { return d.api || d.name == "qemu" }

// startSeconds is what a container's verbose status tells of the phases of its start.
func startSeconds(t *testing.T, n *h.Node, c *h.Ctr) map[string]float64 {
	t.Helper()
	r, err := n.Raw.ContainerStatus(h.Ctx, &cri.ContainerStatusRequest{ContainerId: c.ID, Verbose: true})
	if err != nil {
		t.Fatal(err)
	}
	var info struct {
		StartSeconds map[string]float64 `json:"startSeconds"`
	}
	if err := json.Unmarshal([]byte(r.Info["info"]), &info); err != nil {
		t.Fatalf("%v in %s", err, r.Info["info"])
	}
	return info.StartSeconds
}

// phases checks that each phase of a start is told of; the first byte may be told a moment after the end.
func phases(t *testing.T, n *h.Node, c *h.Ctr, control bool) {
	t.Helper()
	want := []string{"storage", "plan", "exec", "boot"}
	if control { // a machine: it has a network; the Solo5 guest here asks for none
		want = append(want, "network")
	}
	var got map[string]float64
	for until := time.Now().Add(h.Slow(10 * time.Second)); time.Now().Before(until); time.Sleep(20 * time.Millisecond) {
		if got = startSeconds(t, n, c); got["boot"] > 0 {
			break
		}
	}
	for _, name := range want {
		if got[name] <= 0 || got[name] > 60 {
			t.Errorf("phase %s took %v s: %v", name, got[name], got)
		}
	}
	// A guest that ends before the API is asked leaves it unknown.
	if !control && got["api"] != 0 {
		t.Errorf("an API where there is none: %v", got)
	}
}

// resources: limits are the VMM's: the guest's memory, never more than was asked for and hardly less, with the overhead
// beside it; they change in place, and what the guest has cannot be taken from it.
func resources(t *testing.T, n *h.Node, d driver) {
	const mb, mib = 1_000_000, 1 << 20
	p, err := n.TryRunPod("resources-"+d.name, d.name)
	if err != nil {
		t.Fatal(err)
	}
	ref, a := d.guest("idle")
	n.Pull(t, ref)
	c := p.Create(t, "guest", ref, nil, args(a...), func(c *cri.ContainerConfig) {
		c.Linux.Resources = &cri.LinuxContainerResources{MemoryLimitInBytes: 64 * mb, CpuQuota: 150000, CpuPeriod: 100000, CpusetCpus: "0"}
	})
	c.Start(t)
	c.WaitLog(t, "idle: waiting", 20*time.Second)
	if d.control() {
		if got := startSeconds(t, n, c); got["api"] <= 0 {
			t.Errorf("its API took no time: %v", got)
		}
	}
	before := findGuest(t, n, c)
	if before.cpuQuota != "150000" || before.cpus != "0" {
		t.Errorf("CPU quota %s, CPUs %s", before.cpuQuota, before.cpus)
	}
	update := func(r *cri.LinuxContainerResources) error {
		_, err := n.Raw.UpdateContainerResources(h.Ctx, &cri.UpdateContainerResourcesRequest{ContainerId: c.ID, Linux: r})
		return err
	}
	if err := update(&cri.LinuxContainerResources{MemoryLimitInBytes: 128 * mib, CpuQuota: 50000}); err != nil {
		t.Fatal(err)
	}
	after := findGuest(t, n, c)
	if overhead := after.memoryMax - 128*mib; overhead <= 0 || before.memoryMax-overhead > 64*mb || before.memoryMax-overhead <= 64*mb-2*mib {
		t.Errorf("a guest of 64 MB: %d bytes, of which %d are overhead", before.memoryMax, overhead)
	}
	if after.cpuQuota != "50000" || after.pid != before.pid {
		t.Errorf("CPU quota %s, process %d was %d", after.cpuQuota, after.pid, before.pid)
	}
	if err := update(&cri.LinuxContainerResources{MemoryLimitInBytes: 32 * mib}); status.Code(err) != codes.FailedPrecondition || !strings.Contains(err.Error(), "guest has") {
		t.Errorf("below the guest's memory: %v", err)
	}
	if s := c.Status(t); s.State != cri.ContainerState_CONTAINER_RUNNING || s.Resources.Linux.MemoryLimitInBytes != 128*mib {
		t.Errorf("%v", s)
	}
	p.Stop(t)
	p.Remove(t)
}
