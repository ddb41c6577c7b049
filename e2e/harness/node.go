// SPDX-License-Identifier: Apache-2.0

// node.go: one CRI server with everything it needs: network namespace, registry, CNI configuration, directories,
// cgroup. All processes of a node live below one cgroup, so that what is left behind can be counted and removed.
package harness

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	internalapi "k8s.io/cri-api/pkg/apis"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
	criclient "k8s.io/cri-client/pkg"
	"k8s.io/klog/v2"
)

// RegistryAddr is where every node's registry listens in the node's own namespace.
const RegistryAddr = "127.0.0.1:5000"

// NodeOptions choose what is unusual about a node. The zero value is the usual one.
type NodeOptions struct {
	Env        []string                // added to the server's environment
	Config     string                  // TOML put behind the generated configuration (tables, or top-level keys that are not set)
	Set        map[string]string       // generated values to replace, by dotted key, written as TOML
	Conflist   string                  // instead of DefaultConflist
	CNIBin     []string                // plugin directories searched before the distribution's
	NoStart    bool                    // prepare only
	NoRegistry bool                    // no docker-registry
	RootTmpfs  string                  // size of a tmpfs mounted on the root directory, "" = none
	Cmd        func(cmd *exec.Cmd)     // last change to the server's command (limits and so on)
	CertsD     map[string]string       // hosts.toml by host name
	Images     func(r *Registry) error // images to push beyond the standard ones
}

// Node is a CRI server and its surroundings.
type Node struct {
	T        testing.TB
	Opt      NodeOptions
	Dir      string // everything of this node
	Root     string // durable state
	Run      string // per-boot state
	Socket   string
	Config   string // file
	LogFile  string
	Logs     string // pods' log directories
	Leases   string // host-local's data
	CNIConf  string
	Cgroup   string // name below each hierarchy
	NS       *NetNS
	Registry *Registry
	RT       internalapi.RuntimeService      // the kubelet's client
	IM       internalapi.ImageManagerService // the kubelet's client
	Raw      cri.RuntimeServiceClient        // plain stubs: the test's own contexts and deadlines
	RawIM    cri.ImageServiceClient

	conn *grpc.ClientConn
	cmd  *exec.Cmd
	dead chan struct{}
	werr error
	mu   sync.Mutex
}

// DefaultConflist is bridge + host-local without masquerading; leases lie in dir.
func DefaultConflist(leases string) string {
	return fmt.Sprintf(`{"cniVersion":"1.0.0","name":"test","plugins":[{"type":"bridge","bridge":"cni0","isGateway":true,"ipMasq":false,"hairpinMode":false,
 "ipam":{"type":"host-local","ranges":[[{"subnet":"10.89.0.0/16"}]],"routes":[{"dst":"0.0.0.0/0"}],"dataDir":%q}}]}`, leases)
}

// NewNode prepares a node and, unless told otherwise, starts it. Everything goes away with the test.
func NewNode(t testing.TB, opt NodeOptions) *Node {
	t.Helper()
	if !Peer() {
		NeedUnicrid(t)
	}
	quiet()
	name := "unicri-e2e-" + tag()
	dir, err := os.MkdirTemp("", name+"-")
	if err != nil {
		t.Fatal(err)
	}
	n := &Node{T: t, Opt: opt, Dir: dir, Root: dir + "/root", Run: dir + "/run", Socket: dir + "/cri.sock", Config: dir + "/config.toml",
		LogFile: dir + "/server.log", Logs: dir + "/logs", Leases: dir + "/leases", CNIConf: dir + "/cni", Cgroup: name}
	t.Cleanup(n.destroy)
	if err := os.Chmod(dir, 0o711); err != nil { // users of a pod's own namespace walk to their root
		t.Fatal(err)
	}
	for _, d := range []string{n.Root, n.Run, n.Logs, n.Leases, n.CNIConf, dir + "/certs.d", dir + "/cni-cache"} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if opt.RootTmpfs != "" {
		if err := unix.Mount("tmpfs", n.Root, "tmpfs", 0, "size="+opt.RootTmpfs); err != nil {
			t.Fatalf("mount tmpfs: %v", err)
		}
	}
	if n.NS, err = NewNetNS(dir + "/netns"); err != nil {
		t.Fatalf("network namespace: %v", err)
	}
	if !opt.NoRegistry {
		storage, err := Storage()
		if err != nil {
			t.Fatalf("standard images: %v", err)
		}
		if opt.Images != nil {
			copied := dir + "/registry-data"
			if out, err := exec.Command("cp", "-a", storage, copied).CombinedOutput(); err != nil {
				t.Fatalf("copy registry storage: %v: %s", err, out)
			}
			storage = copied
		}
		if n.Registry, err = StartRegistry(n.NS, RegistryAddr, storage, dir+"/registry", "", ""); err != nil {
			t.Fatal(err)
		}
		if opt.Images != nil {
			if err := opt.Images(n.Registry); err != nil {
				t.Fatal(err)
			}
		}
	}
	conflist := opt.Conflist
	if conflist == "" {
		conflist = DefaultConflist(n.Leases)
	}
	n.WriteConflist(strings.ReplaceAll(conflist, "@LEASES@", n.Leases))
	for host, text := range opt.CertsD {
		os.MkdirAll(filepath.Join(dir, "certs.d", host), 0o755)
		if err := os.WriteFile(filepath.Join(dir, "certs.d", host, "hosts.toml"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(n.Config, []byte(n.config()), 0o644); err != nil {
		t.Fatal(err)
	}
	if !opt.NoStart {
		n.Start()
	}
	return n
}

// WriteConflist replaces the node's network configuration.
func (n *Node) WriteConflist(text string) {
	tmp := filepath.Join(n.CNIConf, ".new")
	if err := os.WriteFile(tmp, []byte(text), 0o644); err != nil {
		n.T.Fatal(err)
	}
	if err := os.Rename(tmp, filepath.Join(n.CNIConf, "10-test.conflist")); err != nil {
		n.T.Fatal(err)
	}
}

// Start starts the server with extra environment and waits until it serves.
func (n *Node) Start(env ...string) {
	n.T.Helper()
	if err := n.TryStart(env...); err != nil {
		n.T.Fatalf("%v\n%s", err, n.LogTail(40))
	}
}

// TryStart is Start with the error handed back.
func (n *Node) TryStart(env ...string) error {
	if err := n.spawn(env...); err != nil {
		return err
	}
	return n.Connect()
}

// spawn starts the server's process in the node's namespace and cgroup.
func (n *Node) spawn(env ...string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	log, err := os.OpenFile(n.LogFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	argv := []string{Bin("unicrid"), "--config", n.Config}
	if Peer() {
		argv = []string{"containerd", "--config", n.Config}
	}
	if err := n.makeCgroup(); err != nil {
		return err
	}
	// The shell moves itself into the node's cgroups, then becomes the server.
	script := `for d in "$@"; do [ "$d" = -- ] && break; echo $$ > "$d/cgroup.procs" || exit 97; shift; done; shift; exec "$@"`
	args := append([]string{"-c", script, "sh"}, n.daemonCgroups()...)
	args = append(append(args, "--"), argv...)
	cmd := exec.Command("/bin/sh", args...)
	cmd.Env = append([]string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8",
		SanitizerOptions(":log_path=" + n.Dir + "/sanitizer"),
		"UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1:log_path=" + n.Dir + "/sanitizer",
		"TSAN_OPTIONS=halt_on_error=0:exitcode=0:second_deadlock_stack=1:log_path=" + n.Dir + "/sanitizer" + tsanSuppressions(),
	}, append(append([]string{}, n.Opt.Env...), env...)...)
	for i, e := range cmd.Env {
		if strings.HasPrefix(e, "ASAN_OPTIONS=") && !strings.Contains(e, "log_path") {
			cmd.Env[i] = e + ":log_path=" + n.Dir + "/sanitizer"
		}
	}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Dir = n.Dir
	if n.Opt.Cmd != nil {
		n.Opt.Cmd(cmd)
	}
	if err := n.NS.Start(cmd); err != nil {
		return fmt.Errorf("start %s: %w", argv[0], err)
	}
	dead := make(chan struct{})
	n.cmd, n.dead = cmd, dead
	go func() {
		n.werr = cmd.Wait()
		close(dead)
	}()
	return nil
}

// SanitizerOptions is the environment of AddressSanitizer; a later one replaces an earlier one, so a node's own must
// not lose the log: spawn adds it.
func SanitizerOptions(more string) string {
	return "ASAN_OPTIONS=detect_leaks=1:halt_on_error=1:abort_on_error=0:exitcode=66" + more
}

func tsanSuppressions() string {
	f := filepath.Join(Repo(), "cri", "tests", "tsan.supp")
	if _, err := os.Stat(f); err != nil {
		return ""
	}
	return ":suppressions=" + f
}

// Connect waits until the server answers and makes the clients.
func (n *Node) Connect() error {
	n.disconnect()
	endpoint := "unix://" + n.Socket
	var err error
	ctx := context.Background()
	for end := time.Now().Add(Slow(20 * time.Second)); ; time.Sleep(20 * time.Millisecond) {
		n.RT, err = criclient.NewRemoteRuntimeServiceBuilder().WithEndpoint(endpoint).WithConnectionTimeout(Slow(60 * time.Second)).Build(quick(ctx))
		if err == nil {
			break
		}
		if !n.Alive() {
			return fmt.Errorf("the server ended at start: %v", n.werr)
		}
		if time.Now().After(end) {
			return fmt.Errorf("the server does not answer: %w", err)
		}
	}
	if n.IM, err = criclient.NewRemoteImageServiceBuilder().WithEndpoint(endpoint).WithConnectionTimeout(Slow(60 * time.Second)).Build(ctx); err != nil {
		return err
	}
	n.conn, err = grpc.NewClient(endpoint, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithAuthority("localhost"),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(16<<20)))
	if err != nil {
		return err
	}
	n.Raw, n.RawIM = cri.NewRuntimeServiceClient(n.conn), cri.NewImageServiceClient(n.conn)
	return nil
}

// quiet keeps the client library's own log, which repeats every error that a test provokes, out of the way.
var quiet = sync.OnceFunc(func() {
	fs := flag.NewFlagSet("klog", flag.ContinueOnError)
	klog.InitFlags(fs)
	fs.Set("logtostderr", "false")
	fs.Set("stderrthreshold", "FATAL")
	klog.SetOutput(io.Discard)
})

// quick bounds one attempt to connect.
func quick(ctx context.Context) context.Context {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	_ = cancel // ends with its deadline
	return ctx
}

// Dial opens one more connection; the caller closes it.
func (n *Node) Dial() *grpc.ClientConn {
	c, err := grpc.NewClient("unix://"+n.Socket, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithAuthority("localhost"))
	if err != nil {
		n.T.Fatal(err)
	}
	return c
}

func (n *Node) disconnect() {
	ctx := context.Background()
	if c, ok := n.RT.(interface{ Close(context.Context) error }); ok && n.RT != nil {
		c.Close(ctx)
	}
	if c, ok := n.IM.(interface{ Close(context.Context) error }); ok && n.IM != nil {
		c.Close(ctx)
	}
	if n.conn != nil {
		n.conn.Close()
	}
	n.RT, n.IM, n.conn = nil, nil, nil
}

// Pid is the server's.
func (n *Node) Pid() int { return n.cmd.Process.Pid }

// Alive tells whether the server's process runs.
func (n *Node) Alive() bool {
	if n.cmd == nil {
		return false
	}
	select {
	case <-n.dead:
		return false
	default:
		return true
	}
}

// WaitDeath waits for the server to end and returns how it did.
func (n *Node) WaitDeath(d time.Duration) (*os.ProcessState, error) {
	select {
	case <-n.dead:
		return n.cmd.ProcessState, nil
	case <-time.After(d):
		return nil, errors.New("the server still runs")
	}
}

// Kill is kill -9: the normal stop.
func (n *Node) Kill() {
	if n.cmd == nil {
		return
	}
	n.disconnect()
	n.cmd.Process.Signal(syscall.SIGKILL)
	<-n.dead
}

// Terminate asks the server to end and waits: leak checkers report then.
func (n *Node) Terminate() error {
	if !n.Alive() {
		return nil
	}
	n.disconnect()
	n.cmd.Process.Signal(syscall.SIGTERM)
	if _, err := n.WaitDeath(Slow(30 * time.Second)); err != nil {
		n.Kill()
		return fmt.Errorf("after SIGTERM: %w", err)
	}
	return nil
}

// Restart kills and starts again.
func (n *Node) Restart(env ...string) {
	n.T.Helper()
	n.Kill()
	n.Start(env...)
}

// LogTail is the end of the server's log.
func (n *Node) LogTail(lines int) string {
	b, _ := os.ReadFile(n.LogFile)
	l := strings.Split(strings.TrimRight(string(b), "\n"), "\n")
	if len(l) > lines {
		l = l[len(l)-lines:]
	}
	return strings.Join(l, "\n")
}

// Sanitizer returns all reports of sanitizers, "" for none.
func (n *Node) Sanitizer() string {
	files, _ := filepath.Glob(n.Dir + "/sanitizer*")
	var out bytes.Buffer
	for _, f := range files {
		b, _ := os.ReadFile(f)
		if len(bytes.TrimSpace(b)) > 0 {
			fmt.Fprintf(&out, "%s:\n%s\n", filepath.Base(f), b)
		}
	}
	return out.String()
}
