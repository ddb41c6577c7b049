// SPDX-License-Identifier: Apache-2.0

// CNI plugins that fail, hang or talk nonsense; namespaces that somebody takes away.

package robust

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
	h "unicri.dev/e2e/harness"
)

// pluginNode has a fake CNI plugin: what it does on ADD and on DEL. `real` runs the true bridge plugin.
func pluginNode(t *testing.T, add, del string, set ...map[string]string) *h.Node {
	dir, err := os.MkdirTemp("", "unicri-e2e-plugin-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	text := "#!/bin/sh\nreal() { exec /usr/lib/cni/bridge; }\ncase $CNI_COMMAND in\nADD) " + add + " ;;\nDEL) " + del + " ;;\n*) real ;;\nesac\n"
	if err := os.WriteFile(dir+"/bridge", []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	config := map[string]string{"network.timeout": "2"}
	for _, s := range set {
		maps.Copy(config, s)
	}
	return h.NewNode(t, h.NodeOptions{CNIBin: []string{dir}, Set: config})
}

// TestPlugins: CNI plugins that misbehave on ADD.
func TestPlugins(t *testing.T) {
	h.NeedUnicrid(t)
	cases := []struct{ name, add, want string }{
		{"fails with its own words", `echo '{"cniVersion":"1.0.0","code":11,"msg":"no more addresses on the moon"}'; exit 1`, "no more addresses on the moon"},
		{"fails without a word", "exit 1", "bridge"},
		{"prints garbage", `printf 'this is \377 not JSON'; exit 0`, "bridge"},
		{"prints nothing", "exit 0", "bridge"},
		{"prints without end", "yes", "bridge"},
		{"hangs", "sleep 1000", "bridge"},
		{"hangs and ignores TERM", "trap '' TERM; sleep 1000; sleep 1000", "bridge"},
		{"leaves a child that holds its pipes", "sleep 1000 & exit 1", "bridge"},
		{"kills itself", "kill -9 $$", "bridge"},
		{"result without addresses", `echo '{"cniVersion":"1.0.0","interfaces":[]}'`, "address"},
		{"result with a bad address", `echo '{"cniVersion":"1.0.0","ips":[{"address":"10.0.0.0.1/99"}]}'`, "10.0.0.0.1"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			n := pluginNode(t, c.add, "exit 0")
			before := n.Census()
			start := time.Now()
			_, err := n.TryRunPod("p", "")
			if err == nil {
				t.Fatal("the pod runs")
			}
			if !understood(err) || !strings.Contains(err.Error(), c.want) || time.Since(start) > h.Slow(15*time.Second) {
				t.Errorf("after %v: %v", time.Since(start), err)
			}
			// The name is not blocked: the next try gets the same honest answer, at once or after the same deadline.
			_, err = n.TryRunPod("p", "")
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("second try: %v", err)
			}
			l, err := n.RT.ListPodSandbox(h.Ctx, nil)
			if err != nil || len(l) != 0 {
				t.Errorf("listed: %v %v", l, err)
			}
			n.ExpectCensus(t, before, true)
		})
	}
}

// TestPluginHangsBesideQuestions: a pod that waits for its plugin keeps nobody else waiting.
func TestPluginHangsBesideQuestions(t *testing.T) {
	h.NeedUnicrid(t)
	gate := t.TempDir()
	n := pluginNode(t, `test "${CNI_ARGS#*slow}" = "$CNI_ARGS" && real; echo > `+gate+`/hangs; until [ -e `+gate+`/go ]; do sleep 0.05; done; exit 1`, "real",
		map[string]string{"network.timeout": "60"})
	n.Pull(t, h.BusyboxRef)
	p := n.RunPod(t, "quick")
	c := p.Sh(t, "c", "sleep 1000")
	done := make(chan error, 1)
	go func() {
		_, err := n.TryRunPod("slow", "")
		done <- err
	}()
	eventually(t, "its plugin hangs", func() bool {
		_, err := os.Stat(gate + "/hangs")
		return err == nil
	})
	began := time.Now()
	if s, err := n.RT.ContainerStats(h.Ctx, c.ID); err != nil || s.Cpu == nil {
		t.Errorf("%v, %v", s, err)
	}
	if l, err := n.RT.ListPodSandboxStats(h.Ctx, nil); err != nil || len(l) != 1 {
		t.Errorf("%v, %v", l, err)
	}
	if l, err := n.RT.ListPodSandboxMetrics(h.Ctx); err != nil || len(l) != 1 {
		t.Errorf("%v, %v", l, err)
	}
	if s, err := n.Raw.StreamContainers(h.Ctx, &cri.StreamContainersRequest{}); err != nil {
		t.Error(err)
	} else if _, err := s.Recv(); err != nil {
		t.Error(err)
	}
	if _, err := n.Raw.UpdateContainerResources(h.Ctx, &cri.UpdateContainerResourcesRequest{ContainerId: c.ID, Linux: &cri.LinuxContainerResources{CpuShares: 77}}); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > h.Slow(10*time.Second) {
		t.Errorf("questions took %v beside a plugin that hangs", took)
	}
	select {
	case err := <-done:
		t.Errorf("the slow pod did not wait: %v", err)
	default:
	}
	if err := os.WriteFile(gate+"/go", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err == nil {
		t.Error("the slow pod runs")
	}
}

// TestPluginDel: a DEL that fails or hangs is owed and retried until it succeeds; stop and remove answer.
func TestPluginDel(t *testing.T) {
	h.NeedUnicrid(t)
	for _, c := range []struct{ name, del string }{
		{"fails", `test -e FLAG || { echo '{"cniVersion":"1.0.0","code":999,"msg":"not today"}'; exit 1; }; real`},
		{"hangs", `test -e FLAG || sleep 1000; real`},
		{"prints garbage and fails", `test -e FLAG || { echo garbage; exit 7; }; real`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			flagDir, err := os.MkdirTemp("", "unicri-e2e-flag-")
			if err != nil {
				t.Fatal(err)
			}
			defer os.RemoveAll(flagDir)
			flag := flagDir + "/ok"
			n := pluginNode(t, "real", strings.ReplaceAll(c.del, "FLAG", flag))
			os.WriteFile(flag, nil, 0o644)
			w := n.RunPod(t, "warm")
			w.Stop(t)
			w.Remove(t)
			before := n.Census()
			os.Remove(flag)
			p := n.RunPod(t, "p")
			if err := n.RT.StopPodSandbox(h.Ctx, p.ID); err != nil {
				t.Logf("stop while DEL fails: %v", err)
			}
			if err := n.RT.RemovePodSandbox(h.Ctx, p.ID); err != nil {
				t.Logf("remove while DEL fails: %v", err)
			}
			leases, _ := filepath.Glob(n.Leases + "/*/10.*")
			if len(leases) == 0 {
				t.Error("the lease is gone although DEL failed: the test proves nothing")
			}
			// A daemon that starts anew still knows what it owes.
			n.Restart()
			os.WriteFile(flag, nil, 0o644)
			eventually(t, "the owed DEL is done", func() bool {
				leases, _ := filepath.Glob(n.Leases + "/*/10.*")
				if len(leases) > 0 { // a kubelet would ask again
					n.RT.StopPodSandbox(h.Ctx, p.ID)
					n.RT.RemovePodSandbox(h.Ctx, p.ID)
				}
				return len(leases) == 0
			})
			p.Remove(t)
			n.ExpectCensus(t, before, false)
		})
	}
}

// TestNetnsGone: somebody unmounts the pod's namespace; DEL still runs and everything goes.
func TestNetnsGone(t *testing.T) {
	h.NeedUnicrid(t)
	n := h.NewNode(t, h.NodeOptions{})
	w := n.RunPod(t, "warm")
	w.Stop(t)
	w.Remove(t)
	before := n.Census()
	p := n.RunPod(t, "p")
	gone := 0
	b, _ := os.ReadFile("/proc/self/mountinfo")
	for _, line := range strings.Split(string(b), "\n") {
		f := strings.Fields(line)
		if len(f) > 4 && strings.HasPrefix(f[4], n.Run) && strings.Contains(f[4], p.ID) && strings.Contains(line, "nsfs") {
			if err := unix.Unmount(f[4], unix.MNT_DETACH); err != nil {
				t.Fatal(err)
			}
			os.Remove(f[4])
			gone++
		}
	}
	if gone == 0 {
		t.Fatal("no pinned network namespace below the run directory")
	}
	p.Stop(t)
	p.Remove(t)
	n.ExpectCensus(t, before, true)
}
