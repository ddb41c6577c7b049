// SPDX-License-Identifier: Apache-2.0

// An OCI runtime that fails or hangs.

package robust

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
	h "unicri.dev/e2e/harness"
)

// runcNode has a handler "fake" whose program is the given script; $REAL is the true runc.
func runcNode(t *testing.T, text string) *h.Node {
	dir, err := os.MkdirTemp("", "unicri-e2e-runc-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	real, err := exec.LookPath("runc")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/fake", []byte("#!/bin/sh\nREAL="+real+"\nwhat=\nfor a; do case $a in run|create|start|kill|delete|exec|state|features) test -n \"$what\" || what=$a;; esac; done\n"+text+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	n := h.NewNode(t, h.NodeOptions{Config: fmt.Sprintf("[handlers.fake]\nkind = \"runc\"\nprogram = %q\n", dir+"/fake"),
		Set: map[string]string{"runtime.timeout": "3"}})
	n.Pull(t, h.BusyboxRef)
	return n
}

// TestRunc: an OCI runtime that fails, hangs or lies.
func TestRunc(t *testing.T) {
	h.NeedUnicrid(t)
	for _, c := range []struct{ name, text, want string }{
		{"fails with its own words", `case $what in run|create) echo "cannot find the left shoe" >&2; exit 1;; *) exec $REAL "$@";; esac`, "left shoe"},
		{"hangs", `case $what in run|create) sleep 1000;; *) exec $REAL "$@";; esac`, ""},
		{"succeeds without doing anything", `case $what in run|create) exit 0;; *) exec $REAL "$@";; esac`, ""},
		{"is killed", `case $what in run|create) kill -9 $$;; *) exec $REAL "$@";; esac`, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			n := runcNode(t, c.text)
			before := n.Census()
			p, err := n.TryRunPod("p", "fake")
			if err != nil {
				t.Fatal(err)
			}
			ctr, err := p.TryCreate("c", h.BusyboxRef, []string{"sleep", "1000"})
			start := time.Now()
			if err == nil {
				err = n.RT.StartContainer(h.Ctx, ctr.ID)
			}
			if err == nil {
				t.Fatal("the container runs")
			}
			if !strings.Contains(err.Error(), c.want) || time.Since(start) > h.Slow(20*time.Second) || status.Code(err) == codes.Unknown {
				t.Errorf("after %v: %v", time.Since(start), err)
			}
			p.Stop(t)
			p.Remove(t)
			n.ExpectCensus(t, before, true)
		})
	}
	for _, c := range []struct{ name, text string }{
		{"kill fails", `case $what in kill) echo "no" >&2; exit 1;; *) exec $REAL "$@";; esac`},
		{"kill hangs", `case $what in kill) sleep 1000;; *) exec $REAL "$@";; esac`},
		{"delete fails", `case $what in delete) echo "no" >&2; exit 1;; *) exec $REAL "$@";; esac`},
		{"delete hangs", `case $what in delete) sleep 1000;; *) exec $REAL "$@";; esac`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			n := runcNode(t, c.text)
			before := n.Census()
			p, err := n.TryRunPod("p", "fake")
			if err != nil {
				t.Fatal(err)
			}
			ctr := p.Sh(t, "c", "sleep 1000")
			start := time.Now()
			if err := n.RT.StopContainer(h.Ctx, ctr.ID, 1); err != nil {
				t.Errorf("stop: %v", err)
			}
			if s := ctr.Status(t); s.State != cri.ContainerState_CONTAINER_EXITED || s.ExitCode == 0 {
				t.Errorf("after stop: %v", s)
			}
			p.Stop(t)
			p.Remove(t)
			if d := time.Since(start); d > h.Slow(20*time.Second) {
				t.Errorf("took %v", d)
			}
			n.ExpectCensus(t, before, true)
		})
	}
}
