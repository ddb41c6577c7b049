// SPDX-License-Identifier: Apache-2.0

// server.go: a CRI server to be measured, in directories, a network namespace and control groups of its own.
package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
	h "unicri.dev/e2e/harness"
)

const registryAddr = "127.0.0.1:5000"

type server struct {
	name     string // "unicri" or "containerd"
	dir      string
	socket   string
	cgroup   string // below each hierarchy; daemon/ and pods/ below it
	parent   string // cgroup_parent of its pods
	ns       *h.NetNS
	registry *h.Registry
	cmd      *exec.Cmd
	dead     chan struct{}
	rt       cri.RuntimeServiceClient
	im       cri.ImageServiceClient
	version  string
	seq      int
	conn     *grpc.ClientConn
	reply    []byte // of ListContainers, once
}

func (s *server) path(name string) string { return filepath.Join(s.dir, name) }

// start prepares everything and starts the server.
func start(name, bin, storage, top string, index int) (*server, error) {
	s := &server{name: name, dir: filepath.Join(top, name), cgroup: fmt.Sprintf("unicri-bench-%d-%s", os.Getpid(), name), dead: make(chan struct{})}
	s.socket, s.parent = s.path("cri.sock"), "/"+s.cgroup+"/pods"
	for _, d := range []string{"root", "run", "cni", "leases", "logs", "cni-cache"} {
		if err := os.MkdirAll(s.path(d), 0o755); err != nil {
			return nil, err
		}
	}
	var err error
	if s.ns, err = h.NewNetNS(s.path("netns")); err != nil {
		return nil, err
	}
	if s.registry, err = h.StartRegistry(s.ns, registryAddr, storage, s.path("registry"), "", ""); err != nil {
		return s, err
	}
	if err := os.WriteFile(s.path("cni/10-bench.conflist"), []byte(h.DefaultConflist(s.path("leases"))), 0o644); err != nil {
		return s, err
	}
	config, argv := s.unicriConfig(), []string{filepath.Join(bin, "unicrid")}
	if name == "containerd" {
		config, argv = s.containerdConfig(), []string{"containerd"}
	}
	if err := os.WriteFile(s.path("config.toml"), []byte(config), 0o644); err != nil {
		return s, err
	}
	argv = append(argv, "--config", s.path("config.toml"))
	script := `for d in "$@"; do [ "$d" = -- ] && break; echo $$ > "$d/cgroup.procs" || exit 97; shift; done; shift; exec "$@"`
	args := []string{"-c", script, "sh"}
	for _, m := range h.CgroupMounts() {
		d := filepath.Join(m, s.cgroup, "daemon")
		if base := filepath.Base(m); base == "cpuacct" || base == "cpu,cpuacct" || base == "cgroup" || base == "unified" {
			if err := os.MkdirAll(d, 0o755); err != nil {
				return s, err
			}
			args = append(args, d)
		}
	}
	log, err := os.Create(s.path("log"))
	if err != nil {
		return s, err
	}
	defer log.Close()
	s.cmd = exec.Command("/bin/sh", append(append(args, "--"), argv...)...)
	s.cmd.Stdout, s.cmd.Stderr = log, log
	path := "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	if *urunc != "" {
		path += ":" + *urunc
	}
	s.cmd.Env = []string{path}
	if err := s.ns.Start(s.cmd); err != nil {
		return s, err
	}
	go func() {
		s.cmd.Wait()
		close(s.dead)
	}()
	return s, s.connect()
}

func (s *server) connect() error {
	conn, err := grpc.NewClient("unix://"+s.socket, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithAuthority("localhost"))
	if err != nil {
		return err
	}
	s.conn = conn
	s.rt, s.im = cri.NewRuntimeServiceClient(conn), cri.NewImageServiceClient(conn)
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		v, err := s.rt.Version(ctx, &cri.VersionRequest{})
		cancel()
		if err == nil {
			s.version = v.RuntimeName + " " + v.RuntimeVersion
			return nil
		}
		select {
		case <-s.dead:
			b, _ := os.ReadFile(s.path("log"))
			return fmt.Errorf("%s has ended:\n%s", s.name, b)
		default:
		}
		if time.Now().After(end) {
			return fmt.Errorf("%s does not answer: %w", s.name, err)
		}
	}
}

func (s *server) unicriConfig() string {
	vmm := ""
	for _, kind := range []string{"spt", "hvt"} {
		if program := filepath.Join(*urunc, "solo5-"+kind); *urunc != "" && unix.Access(program, unix.X_OK) == nil {
			vmm += fmt.Sprintf("solo5_%s_program = %q\n", kind, program)
		}
	}
	return fmt.Sprintf("[server]\nsocket = %q\nroot_dir = %q\nrun_dir = %q\n\n[network]\nconf_dir = %q\nbin_dirs = [\"/usr/lib/cni\"]\ncache_dir = %q\n\n[image]\ncerts_dir = %q\n\n[runtime]\ncgroup_root = %q\n\n[vmm]\n%s",
		s.socket, s.path("root"), s.path("run"), s.path("cni"), s.path("cni-cache"), s.path("certs.d"), s.parent, vmm)
}

func (s *server) containerdConfig() string {
	runtime := ""
	if *urunc != "" {
		runtime = "  [plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.urunc]\n    runtime_type = \"io.containerd.runc.v2\"\n    pod_annotations = [\"com.urunc.unikernel.*\"]\n    container_annotations = [\"com.urunc.unikernel.*\"]\n    [plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.urunc.options]\n      BinaryName = \"urunc\"\n"
	}
	return fmt.Sprintf(`version = 2
root = %q
state = %q
[grpc]
  address = %q
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "%s/pause:1"
  restrict_oom_score_adj = true
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  [plugins."io.containerd.grpc.v1.cri".cni]
    conf_dir = %q
    bin_dir = "/usr/lib/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = false
%s`, s.path("root"), s.path("run"), s.socket, registryAddr, s.path("cni"), runtime)
}

// groups are all directories below the server's cgroup, deepest first.
func (s *server) groups() []string {
	var l []string
	for _, m := range h.CgroupMounts() {
		filepath.Walk(filepath.Join(m, s.cgroup), func(p string, i os.FileInfo, err error) error {
			if err == nil && i.IsDir() {
				l = append([]string{p}, l...)
			}
			return nil
		})
	}
	return l
}

// pids maps every process of the server to the directory it was found in.
func (s *server) pids() map[int]string {
	out := map[int]string{}
	for _, d := range s.groups() {
		b, _ := os.ReadFile(d + "/cgroup.procs")
		for _, f := range strings.Fields(string(b)) {
			pid, err := strconv.Atoi(f)
			if err == nil && pid > 0 && !strings.HasSuffix(out[pid], "/daemon") {
				out[pid] = d
			}
		}
	}
	return out
}

func (s *server) stop() {
	if s.cmd != nil {
		s.cmd.Process.Signal(syscall.SIGKILL)
		<-s.dead
	}
	for i := 0; i < 100 && len(s.pids()) > 0; i++ {
		for p := range s.pids() {
			syscall.Kill(p, syscall.SIGKILL)
		}
		time.Sleep(10 * time.Millisecond)
	}
	for i := 0; i < 100 && len(s.groups()) > 0; i++ {
		for _, d := range s.groups() {
			unix.Rmdir(d)
		}
		time.Sleep(10 * time.Millisecond)
	}
	if s.registry != nil {
		s.registry.Close()
	}
	h.UnmountBelow(s.dir)
	if s.ns != nil {
		s.ns.Close()
	}
}
