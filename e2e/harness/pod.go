// SPDX-License-Identifier: Apache-2.0

// pod.go: pods and containers as a kubelet asks for them, and reading their logs.
package harness

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Ctx is the context of calls whose deadline the client sets itself.
var Ctx = context.Background()

// Pod is a sandbox that was asked for.
type Pod struct {
	N       *Node
	ID      string
	Config  *cri.PodSandboxConfig
	Handler string
}

// Ctr is a container that was asked for.
type Ctr struct {
	Pod    *Pod
	ID     string
	Config *cri.ContainerConfig
}

// PodOpt changes a pod's configuration.
type PodOpt func(*cri.PodSandboxConfig)

// CtrOpt changes a container's configuration.
type CtrOpt func(*cri.ContainerConfig)

// PodConfig is what a kubelet sends for a pod without special wishes.
func (n *Node) PodConfig(name string, opts ...PodOpt) *cri.PodSandboxConfig {
	dir := filepath.Join(n.Logs, name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		n.T.Fatal(err)
	}
	cfg := &cri.PodSandboxConfig{
		Metadata:     &cri.PodSandboxMetadata{Name: name, Uid: "uid-" + name, Namespace: "e2e"},
		Hostname:     name,
		LogDirectory: dir,
		DnsConfig:    &cri.DNSConfig{Servers: []string{"10.96.0.10"}, Searches: []string{"e2e.svc.cluster.local"}, Options: []string{"ndots:5"}},
		Labels:       map[string]string{"app": name, "io.kubernetes.pod.uid": "uid-" + name},
		Annotations:  map[string]string{"note": "kept"},
		Linux: &cri.LinuxPodSandboxConfig{
			SecurityContext: &cri.LinuxSandboxSecurityContext{
				NamespaceOptions: &cri.NamespaceOption{Pid: cri.NamespaceMode_CONTAINER},
				Seccomp:          &cri.SecurityProfile{ProfileType: cri.SecurityProfile_RuntimeDefault},
			},
		},
	}
	if Peer() {
		cfg.Linux.CgroupParent = "/" + n.Cgroup + "/pods"
	}
	for _, o := range opts {
		o(cfg)
	}
	return cfg
}

// TryRunPod runs a sandbox.
func (n *Node) TryRunPod(name, handler string, opts ...PodOpt) (*Pod, error) {
	cfg := n.PodConfig(name, opts...)
	id, err := n.RT.RunPodSandbox(Ctx, cfg, handler)
	return &Pod{N: n, ID: id, Config: cfg, Handler: handler}, err
}

// RunPod runs a sandbox or fails the test.
func (n *Node) RunPod(t testing.TB, name string, opts ...PodOpt) *Pod {
	t.Helper()
	p, err := n.TryRunPod(name, "", opts...)
	if err != nil {
		t.Fatalf("RunPodSandbox %s: %v", name, err)
	}
	return p
}

// Pull pulls an image or fails the test; it returns the image's id.
func (n *Node) Pull(t testing.TB, ref string) string {
	t.Helper()
	id, err := n.IM.PullImage(Ctx, &cri.ImageSpec{Image: ref}, nil, nil)
	if err != nil {
		t.Fatalf("PullImage %s: %v", ref, err)
	}
	return id
}

// CtrConfig is what a kubelet sends for a container without special wishes.
func (p *Pod) CtrConfig(name, image string, command []string, opts ...CtrOpt) *cri.ContainerConfig {
	cfg := &cri.ContainerConfig{
		Metadata:    &cri.ContainerMetadata{Name: name},
		Image:       &cri.ImageSpec{Image: image, UserSpecifiedImage: image},
		Command:     command,
		LogPath:     name + "/0.log",
		Labels:      map[string]string{"io.kubernetes.container.name": name},
		Annotations: map[string]string{"io.kubernetes.container.restartCount": "0"},
		Linux: &cri.LinuxContainerConfig{
			Resources: &cri.LinuxContainerResources{CpuShares: 2, OomScoreAdj: 1000},
			SecurityContext: &cri.LinuxContainerSecurityContext{
				NamespaceOptions: &cri.NamespaceOption{Pid: cri.NamespaceMode_CONTAINER},
				RunAsUser:        &cri.Int64Value{Value: 0},
				Seccomp:          &cri.SecurityProfile{ProfileType: cri.SecurityProfile_RuntimeDefault},
			},
		},
	}
	for _, o := range opts {
		o(cfg)
	}
	if cfg.LogPath != "" {
		os.MkdirAll(filepath.Dir(filepath.Join(p.Config.LogDirectory, cfg.LogPath)), 0o755)
	}
	return cfg
}

// TryCreate creates a container.
func (p *Pod) TryCreate(name, image string, command []string, opts ...CtrOpt) (*Ctr, error) {
	cfg := p.CtrConfig(name, image, command, opts...)
	id, err := p.N.RT.CreateContainer(Ctx, p.ID, cfg, p.Config)
	return &Ctr{Pod: p, ID: id, Config: cfg}, err
}

// Create creates a container or fails the test.
func (p *Pod) Create(t testing.TB, name, image string, command []string, opts ...CtrOpt) *Ctr {
	t.Helper()
	c, err := p.TryCreate(name, image, command, opts...)
	if err != nil {
		t.Fatalf("CreateContainer %s: %v", name, err)
	}
	return c
}

// Run creates and starts a container or fails the test.
func (p *Pod) Run(t testing.TB, name, image string, command []string, opts ...CtrOpt) *Ctr {
	t.Helper()
	c := p.Create(t, name, image, command, opts...)
	c.Start(t)
	return c
}

// Sh runs a shell script in a busybox container.
func (p *Pod) Sh(t testing.TB, name, script string, opts ...CtrOpt) *Ctr {
	t.Helper()
	return p.Run(t, name, BusyboxRef, []string{"sh", "-c", script}, opts...)
}

// Gated lets a container see the node's gates at /gate; its script waits there by Await.
func (n *Node) Gated(c *cri.ContainerConfig) {
	if err := os.MkdirAll(n.Dir+"/gate", 0o755); err != nil {
		n.T.Fatal(err)
	}
	c.Mounts = append(c.Mounts, &cri.Mount{HostPath: n.Dir + "/gate", ContainerPath: "/gate", Readonly: true})
}

// Await is the part of a script that waits until the test has opened a gate, whether a daemon is there or not.
func Await(gate string) string { return "until [ -e /gate/" + gate + " ]; do sleep 0.05; done; " }

// Open lets those go on who wait at a gate.
func (n *Node) Open(gate string) {
	n.T.Helper()
	if err := os.WriteFile(filepath.Join(n.Dir, "gate", gate), nil, 0o644); err != nil {
		n.T.Fatal(err)
	}
}

// Listening is the part of a script that waits until something in its network namespace listens on all these ports.
func Listening(ports ...int) string {
	s := ""
	for _, p := range ports {
		s += fmt.Sprintf("until cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | grep -q ':%04X 0*:0000 0A '; do sleep 0.05; done; ", p)
	}
	return s
}

// Start starts the container or fails the test.
func (c *Ctr) Start(t testing.TB) {
	t.Helper()
	if err := c.Pod.N.RT.StartContainer(Ctx, c.ID); err != nil {
		t.Fatalf("StartContainer %s: %v", c.Config.Metadata.Name, err)
	}
}

// Status is the container's, or the test fails.
func (c *Ctr) Status(t testing.TB) *cri.ContainerStatus {
	t.Helper()
	r, err := c.Pod.N.RT.ContainerStatus(Ctx, c.ID, false)
	if err != nil {
		t.Fatalf("ContainerStatus %s: %v", c.Config.Metadata.Name, err)
	}
	return r.Status
}

// Wait waits until the container has exited.
func (c *Ctr) Wait(t testing.TB, d time.Duration) *cri.ContainerStatus {
	t.Helper()
	for end := time.Now().Add(Slow(d)); ; time.Sleep(20 * time.Millisecond) {
		s := c.Status(t)
		if s.State == cri.ContainerState_CONTAINER_EXITED {
			return s
		}
		if time.Now().After(end) {
			t.Fatalf("container %s is %v after %v; log:\n%s", c.Config.Metadata.Name, s.State, d, c.RawLog())
		}
	}
}

// LogPath is the container's log file.
func (c *Ctr) LogPath() string { return filepath.Join(c.Pod.Config.LogDirectory, c.Config.LogPath) }

// RawLog is the log file as it is.
func (c *Ctr) RawLog() string {
	b, _ := os.ReadFile(c.LogPath())
	return string(b)
}

// Line is one line of a CRI log.
type Line struct {
	Time   time.Time
	Stream string
	Tag    string // F or P
	Text   string
}

// ParseLog reads a CRI log; a line that is none is an error.
func ParseLog(text string) ([]Line, error) {
	var l []Line
	for text != "" {
		s, rest, ok := strings.Cut(text, "\n")
		if !ok {
			return l, fmt.Errorf("no newline at the end: %q", s)
		}
		f := strings.SplitN(s, " ", 4)
		if len(f) < 4 {
			return l, fmt.Errorf("not a log line: %q", s)
		}
		ts, err := time.Parse(time.RFC3339Nano, f[0])
		if err != nil || (f[1] != "stdout" && f[1] != "stderr") || (f[2] != "F" && f[2] != "P") {
			return l, fmt.Errorf("not a log line: %q", s)
		}
		l = append(l, Line{ts, f[1], f[2], f[3]})
		text = rest
	}
	return l, nil
}

// Out is everything one stream wrote, partial lines joined.
func (c *Ctr) Out(t testing.TB, stream string) string {
	t.Helper()
	lines, err := ParseLog(c.RawLog())
	if err != nil {
		t.Fatalf("log of %s: %v", c.Config.Metadata.Name, err)
	}
	var b strings.Builder
	for _, l := range lines {
		if l.Stream == stream {
			b.WriteString(l.Text)
			if l.Tag == "F" {
				b.WriteByte('\n')
			}
		}
	}
	return b.String()
}

// WaitLog waits until the log holds a text.
func (c *Ctr) WaitLog(t testing.TB, text string, d time.Duration) {
	t.Helper()
	for end := time.Now().Add(Slow(d)); !strings.Contains(c.RawLog(), text); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("no %q in the log of %s after %v:\n%s", text, c.Config.Metadata.Name, d, c.RawLog())
		}
	}
}

// Exec is ExecSync or a failed test.
func (c *Ctr) Exec(t testing.TB, argv ...string) string {
	t.Helper()
	out, errout, err := c.Pod.N.RT.ExecSync(Ctx, c.ID, argv, Slow(20*time.Second))
	if err != nil {
		t.Fatalf("ExecSync %q: %v, stderr %q", argv, err, errout)
	}
	return string(out)
}

// IP is the pod's address.
func (p *Pod) IP(t testing.TB) string {
	t.Helper()
	r, err := p.N.RT.PodSandboxStatus(Ctx, p.ID, false)
	if err != nil {
		t.Fatalf("PodSandboxStatus: %v", err)
	}
	if r.Status.Network == nil || r.Status.Network.Ip == "" {
		t.Fatalf("pod %s has no IP: %v", p.Config.Metadata.Name, r.Status)
	}
	return r.Status.Network.Ip
}

// Get fetches a URL from the node, over the pod network.
func (n *Node) Get(url string, d time.Duration) (string, error) {
	var last error
	for end := time.Now().Add(Slow(d)); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		r, err := n.NS.HTTP(2 * time.Second).Get(url)
		if err != nil {
			last = err
			continue
		}
		b, err := io.ReadAll(r.Body)
		r.Body.Close()
		if err == nil && r.StatusCode == 200 {
			return string(b), nil
		}
		last = fmt.Errorf("%s: %s %q %v", url, r.Status, b, err)
	}
	return "", last
}

// Stop stops the sandbox or fails the test.
func (p *Pod) Stop(t testing.TB) {
	t.Helper()
	if err := p.N.RT.StopPodSandbox(Ctx, p.ID); err != nil {
		t.Fatalf("StopPodSandbox: %v", err)
	}
}

// Remove removes the sandbox or fails the test.
func (p *Pod) Remove(t testing.TB) {
	t.Helper()
	if err := p.N.RT.RemovePodSandbox(Ctx, p.ID); err != nil {
		t.Fatalf("RemovePodSandbox: %v", err)
	}
	os.RemoveAll(p.Config.LogDirectory)
}
