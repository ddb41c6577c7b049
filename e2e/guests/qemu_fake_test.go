// SPDX-License-Identifier: Apache-2.0

package guests

import (
	"strconv"
	"strings"
	"testing"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
	h "unicri.dev/e2e/harness"
)

// TestQemuFails: a QEMU that ends, hangs or lies before its guest runs is an error of StartContainer in its words and in bounded time; one that crashes
// later is told from a guest that did.
func TestQemuFails(t *testing.T) {
	h.NeedUnicrid(t)
	n := h.NewNode(t, h.NodeOptions{Set: map[string]string{"vmm.qemu_program": strconv.Quote(h.Bin("fake-qemu")), "vmm.qemu_accel": `"tcg"`, "vmm.ready_timeout": "2"}})
	n.Pull(t, h.GuestRef("http.spt"))
	n.Pull(t, h.GuestRef("roles.pvh"))
	w := n.RunPod(t, "warm")
	w.Run(t, "c", h.GuestRef("http.spt"), nil, args()).WaitLog(t, "8080", 10e9)
	w.Stop(t)
	w.Remove(t)
	before := n.Census()
	for role, words := range map[string]string{
		"early":   "cannot find the left shoe",
		"deaf":    "QEMU does not answer",
		"mute":    "QEMU does not answer",
		"garbage": "not a JSON object",
		"error":   "QEMU says: the fake is in a mood",
		"hangup":  "QEMU hung up",
	} {
		t.Run(role, func(t *testing.T) {
			p, err := n.TryRunPod(role, "qemu")
			if err != nil {
				t.Fatal(err)
			}
			c, begin := p.Create(t, "guest", h.GuestRef("roles.pvh"), nil, args(role)), time.Now()
			if err := n.RT.StartContainer(h.Ctx, c.ID); err == nil || !strings.Contains(err.Error(), words) || !strings.Contains(err.Error(), "'qemu'") {
				t.Errorf("%v", err)
			}
			if d := time.Since(begin); d > h.Slow(8*time.Second) {
				t.Errorf("took %v", d)
			}
			if s := c.Status(t); s.State != cri.ContainerState_CONTAINER_EXITED || s.Reason != "StartError" || s.ExitCode == 0 {
				t.Errorf("%v", s)
			}
			p.Stop(t)
			p.Remove(t)
		})
	}
	t.Run("signal", func(t *testing.T) {
		p, err := n.TryRunPod("signal", "qemu")
		if err != nil {
			t.Fatal(err)
		}
		c := p.Run(t, "guest", h.GuestRef("roles.pvh"), nil, args("signal"))
		if s := c.Wait(t, 20e9); s.ExitCode != 128+4 || s.Reason != "VmmCrashed" || !strings.Contains(s.Message, "QEMU") {
			t.Errorf("%v", s)
		}
		p.Stop(t)
		p.Remove(t)
	})
	t.Run("stuck", func(t *testing.T) { // the VMM waits for somebody, who will never come
		p, err := n.TryRunPod("stuck", "qemu")
		if err != nil {
			t.Fatal(err)
		}
		c := p.Run(t, "guest", h.GuestRef("roles.pvh"), nil, args("stuck"))
		if s := c.Wait(t, 20e9); s.ExitCode != 1 || s.Reason != "DiskError" || !strings.Contains(s.Message, "disk") {
			t.Errorf("%v", s)
		}
		p.Stop(t)
		p.Remove(t)
	})
	n.ExpectCensus(t, before, true)
}
