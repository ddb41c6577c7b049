// SPDX-License-Identifier: Apache-2.0

// Package crash kills the daemon with -9 at every fault point that a life of a pod passes, starts it again, asks
// again as a kubelet would, stops and removes: what is left must equal what was there before.
package crash

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
	h "unicri.dev/e2e/harness"
)

// kind of pod whose life is walked through.
type kind struct {
	name, image string
	command     []string
	marker      string // in the log when it runs
}

var kinds = []kind{
	{"runc", h.BusyboxRef, []string{"sh", "-c", "echo idle: waiting; exec sleep 1000"}, "idle: waiting"},
	{"guest", h.GuestRef("http.spt"), nil, "http: listening on"},
}

// life drives one pod from nothing to nothing as a kubelet does: whatever fails is asked for again with the same
// key, and what a restarted daemon lists is taken up. `check` is called after each failure and may restart the daemon.
type life struct {
	n      *h.Node
	k      kind
	name   string
	failed func(err error) error // returns nil to go on
}

const tries = 5

func (l *life) retry(what string, f func() error) error {
	var err error
	for i := 0; i < tries; i++ {
		if err = f(); err == nil {
			return nil
		}
		if ferr := l.failed(fmt.Errorf("%s: %w", what, err)); ferr != nil {
			return ferr
		}
	}
	return fmt.Errorf("%s still fails: %w", what, err)
}

// sandbox finds or makes the pod's sandbox.
func (l *life) sandbox(cfg *cri.PodSandboxConfig) (string, error) {
	list, err := l.n.RT.ListPodSandbox(h.Ctx, &cri.PodSandboxFilter{LabelSelector: map[string]string{"app": l.name}})
	if err != nil {
		return "", err
	}
	for _, p := range list {
		if p.State == cri.PodSandboxState_SANDBOX_READY {
			return p.Id, nil
		}
		if p.Metadata.Attempt >= cfg.Metadata.Attempt {
			cfg.Metadata.Attempt = p.Metadata.Attempt + 1
		}
	}
	return l.n.RT.RunPodSandbox(h.Ctx, cfg, "")
}

// container finds or makes the container and starts it.
func (l *life) container(p *h.Pod, cc *cri.ContainerConfig) (string, error) {
	list, err := l.n.RT.ListContainers(h.Ctx, &cri.ContainerFilter{PodSandboxId: p.ID})
	if err != nil {
		return "", err
	}
	for _, c := range list {
		switch c.State {
		case cri.ContainerState_CONTAINER_RUNNING:
			return c.Id, nil
		case cri.ContainerState_CONTAINER_EXITED, cri.ContainerState_CONTAINER_CREATED, cri.ContainerState_CONTAINER_UNKNOWN:
			// A kubelet leaves it to garbage collection and makes the next attempt.
			if c.Metadata.Attempt >= cc.Metadata.Attempt {
				cc.Metadata.Attempt = c.Metadata.Attempt + 1
			}
		}
	}
	id, err := l.n.RT.CreateContainer(h.Ctx, p.ID, cc, p.Config)
	if err != nil {
		return "", err
	}
	return id, l.n.RT.StartContainer(h.Ctx, id)
}

func (l *life) run() error {
	cfg := l.n.PodConfig(l.name)
	defer os.RemoveAll(cfg.LogDirectory)
	p := &h.Pod{N: l.n, Config: cfg}
	if err := l.retry("run the sandbox", func() (err error) {
		p.ID, err = l.sandbox(cfg)
		return err
	}); err != nil {
		return err
	}
	cc := p.CtrConfig("c", l.k.image, l.k.command)
	var id string
	if err := l.retry("run the container", func() (err error) {
		id, err = l.container(p, cc)
		return err
	}); err != nil {
		return err
	}
	log := filepath.Join(cfg.LogDirectory, cc.LogPath)
	for end := time.Now().Add(h.Slow(10 * time.Second)); ; time.Sleep(10 * time.Millisecond) {
		b, _ := os.ReadFile(log)
		if strings.Contains(string(b), l.k.marker) {
			break
		}
		if time.Now().After(end) {
			return fmt.Errorf("the container does not run; its log: %q", b)
		}
	}
	if err := l.retry("stop the container", func() error { return l.n.RT.StopContainer(h.Ctx, id, 0) }); err != nil {
		return err
	}
	if err := l.retry("see the exit", func() error {
		r, err := l.n.RT.ContainerStatus(h.Ctx, id, false)
		if err == nil && r.Status.State != cri.ContainerState_CONTAINER_EXITED {
			err = fmt.Errorf("state %v", r.Status.State)
		}
		return err
	}); err != nil {
		return err
	}
	if err := l.retry("stop the sandbox", func() error { return l.n.RT.StopPodSandbox(h.Ctx, p.ID) }); err != nil {
		return err
	}
	if err := l.retry("remove the container", func() error { return l.n.RT.RemoveContainer(h.Ctx, id) }); err != nil {
		return err
	}
	// Everything with our label goes, as the kubelet's garbage collection would have it.
	return l.retry("remove the sandboxes", func() error {
		list, err := l.n.RT.ListPodSandbox(h.Ctx, &cri.PodSandboxFilter{LabelSelector: map[string]string{"app": l.name}})
		if err != nil {
			return err
		}
		for _, s := range list {
			if err := l.n.RT.StopPodSandbox(h.Ctx, s.Id); err != nil {
				return err
			}
			if err := l.n.RT.RemovePodSandbox(h.Ctx, s.Id); err != nil {
				return err
			}
		}
		return nil
	})
}

func newNode(t *testing.T) *h.Node {
	n := h.NewNode(t, h.NodeOptions{})
	n.Pull(t, h.BusyboxRef)
	n.Pull(t, h.GuestRef("http.spt"))
	return n
}

// point is the k-th passage of a fault point.
type point struct {
	name string
	k    int
}

// trace lists the fault points that one life passes, with how often each.
func trace(t *testing.T, n *h.Node, k kind) []point {
	t.Helper()
	file := n.Dir + "/trace-" + k.name
	n.Restart("UNICRI_FAULTS_TRACE=" + file)
	l := &life{n: n, k: k, name: "trace", failed: func(err error) error { return err }}
	if err := l.run(); err != nil {
		t.Fatalf("without faults: %v", err)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("the daemon wrote no trace: is it built with fault points? %v", err)
	}
	os.Remove(file)
	counts := map[string]int{}
	for _, name := range strings.Fields(string(b)) {
		counts[name]++
	}
	var list []point
	for name, c := range counts {
		steps := strings.HasPrefix(name, "pod.") || strings.HasPrefix(name, "container.")
		for i := 1; i <= min(c, 2); i++ {
			if steps || i == 1 {
				list = append(list, point{name, i})
			}
		}
	}
	sort.Slice(list, func(i, j int) bool { return list[i].name+fmt.Sprint(list[i].k) < list[j].name+fmt.Sprint(list[j].k) })
	return list
}

// TestKillAtEveryStep is the crash matrix.
func TestKillAtEveryStep(t *testing.T) {
	h.NeedUnicrid(t)
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			n := newNode(t)
			points := trace(t, n, k)
			steps := 0
			for _, p := range points {
				if strings.HasPrefix(p.name, "pod.") || strings.HasPrefix(p.name, "container.") {
					steps++
				}
			}
			if steps < 12 {
				t.Fatalf("only %d points of step tables are passed: %v", steps, points)
			}
			t.Logf("%d points", len(points))
			n.Restart()
			before := n.Census()
			for i, p := range points {
				t.Run(fmt.Sprintf("%s@%d", p.name, p.k), func(t *testing.T) {
					killed := false
					n.Kill()
					if err := n.TryStart(fmt.Sprintf("UNICRI_FAULTS=%s=kill@%d", p.name, p.k)); err != nil {
						killed = true // passed at the start already
						n.Start()
					}
					l := &life{n: n, k: k, name: fmt.Sprintf("crash-%d", i), failed: func(err error) error {
						if _, derr := n.WaitDeath(h.Slow(5 * time.Second)); derr != nil {
							time.Sleep(100 * time.Millisecond)
							return nil // a failure of its own: ask again
						}
						if killed {
							return fmt.Errorf("the daemon died without a fault: %w\n%s", err, n.LogTail(20))
						}
						killed = true
						return n.TryStart()
					}}
					if err := l.run(); err != nil {
						t.Errorf("%v\n%s", err, n.LogTail(30))
					}
					if !killed && n.Alive() {
						// Some points are passed after the last answer, in the background.
						if _, err := n.WaitDeath(2 * time.Second); err != nil {
							t.Logf("the point was not passed this time")
						}
					}
					if !n.Alive() {
						n.Start()
					}
					n.ExpectCensus(t, before, false)
				})
				if t.Failed() {
					if !n.Alive() {
						t.Fatal("the daemon does not start any more")
					}
					before = n.Census() // one leftover is reported once
				}
			}
		})
	}
}

// TestFailAtEveryStep: every point fails with an error once; the answer names what failed, a retry succeeds.
func TestFailAtEveryStep(t *testing.T) {
	h.NeedUnicrid(t)
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			n := newNode(t)
			points := trace(t, n, k)
			n.Restart()
			before := n.Census()
			for i, p := range points {
				if strings.HasSuffix(p.name, ".undo") && p.k > 1 {
					continue
				}
				t.Run(fmt.Sprintf("%s@%d", p.name, p.k), func(t *testing.T) {
					n.Kill()
					if err := n.TryStart(fmt.Sprintf("UNICRI_FAULTS=%s=EIO@%d", p.name, p.k)); err != nil {
						n.Start() // a daemon that cannot start says so and ends; the next one does
					}
					l := &life{n: n, k: k, name: fmt.Sprintf("fail-%d", i), failed: func(err error) error {
						if !n.Alive() {
							return fmt.Errorf("the daemon died: %w", err)
						}
						if c := status.Code(err); c == codes.Unavailable && strings.Contains(err.Error(), "connection") {
							return fmt.Errorf("the connection broke: %w", err)
						}
						time.Sleep(50 * time.Millisecond)
						return nil
					}}
					if err := l.run(); err != nil {
						t.Errorf("%v\n%s", err, n.LogTail(30))
					}
					n.ExpectCensus(t, before, false)
				})
				if t.Failed() && n.Alive() {
					before = n.Census()
				}
			}
		})
	}
}

// TestDeadDaemon: workloads, logs and exit codes survive a daemon that is dead while they end.
func TestDeadDaemon(t *testing.T) {
	h.NeedUnicrid(t)
	n := newNode(t)
	l := &life{n: n, k: kinds[1], name: "warm", failed: func(err error) error { return err }}
	if err := l.run(); err != nil {
		t.Fatal(err)
	}
	before := n.Census()
	p := n.RunPod(t, "dead")
	runs := p.Sh(t, "runs", "i=0; while :; do echo tick $i; i=$((i+1)); sleep 0.05; done")
	ends := p.Sh(t, "ends", "sleep 1; echo last words; exit 23")
	guest := p.Run(t, "guest", h.GuestRef("http.spt"), nil)
	oom := p.Sh(t, "oom", "sleep 1; dd if=/dev/zero of=/dev/null bs=256M", func(c *cri.ContainerConfig) {
		c.Linux.Resources.MemoryLimitInBytes, c.Linux.Resources.MemorySwapLimitInBytes = 16<<20, 16<<20
	})
	created := p.Create(t, "created", h.BusyboxRef, []string{"sh", "-c", "exit 6"})
	ip := p.IP(t)
	if _, err := n.Get("http://"+ip+":8080/", 10*time.Second); err != nil {
		t.Fatal(err)
	}
	n.Kill()
	size := len(runs.RawLog())
	if _, err := n.Get("http://"+ip+":8080/", 5*time.Second); err != nil {
		t.Errorf("the guest does not answer while the daemon is dead: %v", err)
	}
	time.Sleep(h.Slow(1500 * time.Millisecond))
	if len(runs.RawLog()) <= size {
		t.Error("the log does not grow while the daemon is dead")
	}
	n.Start()
	if s := ends.Wait(t, 5e9); s.ExitCode != 23 || !strings.Contains(ends.RawLog(), "last words") || s.FinishedAt == 0 {
		t.Errorf("ended while dead: %v %q", s, ends.RawLog())
	}
	if s := oom.Wait(t, 5e9); s.Reason != "OOMKilled" {
		t.Errorf("oom while dead: %v", s)
	}
	for _, c := range []*h.Ctr{runs, guest} {
		if s := c.Status(t); s.State != cri.ContainerState_CONTAINER_RUNNING {
			t.Errorf("%s: %v", c.Config.Metadata.Name, s)
		}
	}
	if p.IP(t) != ip {
		t.Errorf("the pod's address was %s, is %s", ip, p.IP(t))
	}
	if got := runs.Exec(t, "echo", "x"); got != "x\n" {
		t.Errorf("exec after the restart: %q", got)
	}
	os.Rename(runs.LogPath(), runs.LogPath()+".1")
	if err := n.RT.ReopenContainerLog(h.Ctx, runs.ID); err != nil {
		t.Errorf("reopen after the restart: %v", err)
	}
	runs.WaitLog(t, "tick", 5e9)
	created.Start(t)
	if s := created.Wait(t, 5e9); s.ExitCode != 6 {
		t.Errorf("created before, started after: %v", s)
	}
	if _, err := n.Get("http://"+ip+":8080/exit/9", 5*time.Second); err != nil {
		t.Error(err)
	}
	if s := guest.Wait(t, 5e9); s.ExitCode != 9 {
		t.Errorf("guest: %v", s)
	}
	// Its pod stops while nobody watches, too.
	n.Restart()
	p.Stop(t)
	p.Remove(t)
	n.ExpectCensus(t, before, false)
}

// TestReboot: after a reboot nothing runs, the rows say so, and everything can be removed.
func TestReboot(t *testing.T) {
	h.NeedUnicrid(t)
	n := newNode(t)
	before := n.Census()
	p := n.RunPod(t, "reboot")
	c := p.Sh(t, "c", "sleep 1000")
	n.Kill()
	// What a reboot takes away: processes, mounts, namespaces, links, cgroups, and the run directory.
	n.Crash()
	forgeBoot(t, n)
	n.Start()
	if s := c.Status(t); s.State != cri.ContainerState_CONTAINER_EXITED || s.ExitCode == 0 {
		t.Errorf("container after the reboot: %v", s)
	}
	r, err := n.RT.PodSandboxStatus(h.Ctx, p.ID, false)
	if err != nil || r.Status.State != cri.PodSandboxState_SANDBOX_NOTREADY {
		t.Errorf("pod after the reboot: %v %v", r, err)
	}
	// A kubelet makes the next attempt and removes the old one.
	q := n.RunPod(t, "reboot", func(c *cri.PodSandboxConfig) { c.Metadata.Attempt = 1 })
	p.Stop(t)
	p.Remove(t)
	q.Stop(t)
	q.Remove(t)
	n.ExpectCensus(t, before, false)
}

// forgeBoot makes every row say that it was written in another boot.
func forgeBoot(t *testing.T, n *h.Node) {
	t.Helper()
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		t.Fatal(err)
	}
	real, other := strings.TrimSpace(string(b)), "00000000-1111-2222-3333-444444444444"
	sql := ""
	for _, column := range []string{"meta.value", "pods.runtime", "containers.runtime"} {
		table, name, _ := strings.Cut(column, ".")
		sql += fmt.Sprintf("UPDATE %s SET %s = replace(%s, '%s', '%s') WHERE %s LIKE '%%%s%%'; SELECT changes();", table, name, name, real, other, name, real)
	}
	out, err := exec.Command("sqlite3", n.Root+"/unicri.db", sql).CombinedOutput()
	if err != nil || strings.Contains("\n"+string(out), "\n0\n") {
		t.Fatalf("forge the boot id: %v %s", err, out)
	}
}
