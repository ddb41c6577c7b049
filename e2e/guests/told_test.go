// SPDX-License-Identifier: Apache-2.0

package guests

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	h "unicri.dev/e2e/harness"
)

// TestNotTold: what a guest has no way to be told is in the verbose status and, once, in the daemon's log; also after
// a restart.
func TestNotTold(t *testing.T) {
	n := h.NewNode(t, h.NodeOptions{})
	n.Pull(t, h.GuestRef("idle.spt"))
	p, err := n.TryRunPod("told", "")
	if err != nil {
		t.Fatal(err)
	}
	c := p.Run(t, "guest", h.GuestRef("idle.spt"), nil, env("KUBERNETES_PORT", "tcp://10.0.0.1:443"))
	const words = "environment: 1 variable (KUBERNETES_PORT)"
	check := func() {
		t.Helper()
		s, err := n.RT.ContainerStatus(h.Ctx, c.ID, true)
		if err != nil {
			t.Fatal(err)
		}
		var info struct {
			Unikernel *struct {
				Type    string
				Ignored []string
			}
		}
		if err := json.Unmarshal([]byte(s.Info["info"]), &info); err != nil || info.Unikernel == nil {
			t.Fatalf("%v %s", err, s.Info["info"])
		}
		if u := info.Unikernel; u.Type != "mirage" || len(u.Ignored) == 0 || u.Ignored[0] != words {
			t.Errorf("%+v", *u)
		}
	}
	check()
	n.Restart()
	check()
	log, err := os.ReadFile(n.LogFile)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(string(log), "is not told: "+words); got != 1 {
		t.Errorf("the daemon's log says it %d times", got)
	}
	p.Stop(t)
	p.Remove(t)
}
