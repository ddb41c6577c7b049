// SPDX-License-Identifier: Apache-2.0

package guests

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
	h "unicri.dev/e2e/harness"
)

// newerRunc writes an OCI runtime that says it has idmapped mounts and else is the node's own.
func newerRunc(t *testing.T) string {
	path := filepath.Join(t.TempDir(), "newer")
	script := `#!/bin/sh
[ "$1" = features ] || exec runc "$@"
echo '{"mountOptions":["rro"],"linux":{"namespaces":["user"],"mountExtensions":{"idmap":{"enabled":true}}}}'
`
	if err := os.WriteFile(path, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestPinnedPod: in a pod that is pinned to a guest's monitor, an image that declares no unikernel is an ordinary container
// in everything, unless the handler says that there are none. (The ways between them: TestTwoSidesAndAGuest.)
func TestPinnedPod(t *testing.T) {
	h.NeedUnicrid(t)
	n := h.NewNode(t, h.NodeOptions{Set: map[string]string{
		"handlers.only.kind": `"tender-spt"`, "handlers.only.side_containers": "false",
		"handlers.mesh.kind": `"tender-spt"`, "handlers.mesh.program": fmt.Sprintf("%q", newerRunc(t)),
	}})
	n.Pull(t, h.BusyboxRef)
	n.Pull(t, h.GuestRef("http.spt"))
	n.Pull(t, h.GuestRef("hello.spt"))
	pinned := func(t *testing.T, name, handler string, opts ...h.PodOpt) *h.Pod {
		t.Helper()
		p, err := n.TryRunPod(name, handler, opts...)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}

	t.Run("ordinary", func(t *testing.T) {
		p := pinned(t, "ordinary", "tender-spt")
		g := p.Run(t, "guest", h.GuestRef("http.spt"), nil, args())
		c := side(t, p, "proxy", 8081)
		if got := c.Exec(t, "cat", "/tmp/w/index.html"); got != "hello from proxy\n" {
			t.Errorf("exec: %q", got)
		}
		_, errout, err := n.RT.ExecSync(h.Ctx, g.ID, []string{"true"}, time.Second)
		if err == nil || !strings.Contains(err.Error(), "unikernel") {
			t.Errorf("exec into the guest: %q %v", errout, err)
		}
		if s := p.Sh(t, "once", "exit 7").Wait(t, h.Slow(10*time.Second)); s.ExitCode != 7 {
			t.Errorf("exit status: %v", s)
		}
		for _, kill := range []bool{false, true} {
			if kill {
				n.Kill()
				n.Start()
			}
			for port, want := range map[string]string{"8080": "unicri http guest", "8081": "hello from proxy"} {
				if got, err := n.Get("http://"+net.JoinHostPort(p.IP(t), port)+"/index.html", 10*time.Second); err != nil || !strings.Contains(got, want) {
					t.Errorf("port %s, daemon killed %v: %q %v", port, kill, got, err)
				}
			}
		}
		if err := n.RT.StopContainer(h.Ctx, c.ID, 1); err != nil {
			t.Error(err)
		}
		if s := c.Status(t); s.State != cri.ContainerState_CONTAINER_EXITED {
			t.Errorf("after its stop: %v", s)
		}
		r, err := n.RT.PodSandboxStatus(h.Ctx, p.ID, false)
		if err != nil || r.Status.RuntimeHandler != "tender-spt" {
			t.Errorf("%v %v", r, err)
		}
		p.Stop(t)
		p.Remove(t)
	})

	t.Run("another's guest", func(t *testing.T) { // declared for spt: no reason to run it as something else
		p := pinned(t, "other", "tender-hvt")
		if _, err := p.TryCreate("guest", h.GuestRef("hello.spt"), nil, args()); err == nil || !strings.Contains(err.Error(), "spt") {
			t.Errorf("%v", err)
		}
		p.Stop(t)
		p.Remove(t)
	})

	t.Run("none allowed", func(t *testing.T) {
		p := pinned(t, "none", "only")
		if _, err := p.TryCreate("proxy", h.BusyboxRef, []string{"true"}); err == nil ||
			!strings.Contains(err.Error(), "handler 'only'") || !strings.Contains(err.Error(), "declares no unikernel") {
			t.Errorf("%v", err)
		}
		p.Stop(t)
		p.Remove(t)
		_, err := n.TryRunPod("users", "only", podUsers)
		if err == nil || !strings.Contains(err.Error(), "side_containers = false") {
			t.Errorf("a user namespace: %v", err)
		}
	})

	t.Run("features", func(t *testing.T) {
		s, err := n.RT.Status(h.Ctx, false)
		if err != nil {
			t.Fatal(err)
		}
		seen := 0
		for _, r := range s.RuntimeHandlers {
			switch f := r.Features; r.Name {
			case "only":
				if f.UserNamespaces || f.RecursiveReadOnlyMounts {
					t.Errorf("features of %s: %v", r.Name, f)
				}
				seen++
			case "mesh":
				if !f.UserNamespaces || !f.RecursiveReadOnlyMounts {
					t.Errorf("features of %s: %v", r.Name, f)
				}
				seen++
			}
		}
		if seen != 2 {
			t.Errorf("handlers: %v", s.RuntimeHandlers)
		}
	})

	// The guest's monitor has a user of its own on the node in any case; the network belongs to the pod's user namespace.
	t.Run("user namespace", func(t *testing.T) {
		p := pinned(t, "users", "mesh", podUsers)
		g := p.Run(t, "guest", h.GuestRef("http.spt"), nil, args(), func(c *cri.ContainerConfig) {
			c.Linux.SecurityContext.NamespaceOptions.UsernsOptions = users()
		})
		if got, err := n.Get("http://"+net.JoinHostPort(p.IP(t), "8080")+"/x", 10*time.Second); err != nil || !strings.Contains(got, "unicri http guest") {
			t.Errorf("%q %v", got, err)
		}
		var st syscall.Stat_t
		if err := syscall.Stat(fmt.Sprintf("/proc/%d", findGuest(t, n, g).pid), &st); err != nil || st.Uid == 0 {
			t.Errorf("the monitor's user: %d %v", st.Uid, err)
		}
		p.Stop(t)
		p.Remove(t)
	})
}

func users() *cri.UserNamespace {
	all := []*cri.IDMapping{{HostId: 2000 * 65536, ContainerId: 0, Length: 65536}}
	return &cri.UserNamespace{Mode: cri.NamespaceMode_POD, Uids: all, Gids: all}
}

func podUsers(c *cri.PodSandboxConfig) {
	c.Linux.SecurityContext.NamespaceOptions.UsernsOptions = users()
}

// TestSideContainersOption: the option belongs to handlers of monitors.
func TestSideContainersOption(t *testing.T) {
	h.NeedUnicrid(t)
	for _, v := range [][3]string{{"auto", "true", "is for handlers whose kind is a driver"}, {"runc", "false", "is for handlers whose kind is a driver"},
		{"qemu", `"no"`, "side_containers"}} {
		n := h.NewNode(t, h.NodeOptions{NoStart: true, Config: fmt.Sprintf("[handlers.bad]\nkind = %q\nside_containers = %s\n", v[0], v[1])})
		if err := n.TryStart(); err == nil {
			t.Errorf("%v: the daemon started", v)
		}
		if log := n.LogTail(20); !strings.Contains(log, "handler 'bad'") || !strings.Contains(log, v[2]) {
			t.Errorf("%v: %s", v, log)
		}
	}
}

// TestWithoutBPF: where the kernel loads no BPF classifier the guest has the pod's address of both families for itself.
func TestWithoutBPF(t *testing.T) {
	n := dualNode(t, false, "UNICRI_GUEST_LINK=u32")
	nodeServer(t, n)
	p := n.RunPod(t, "plain")
	g := p.Run(t, "guest", h.GuestRef("http.spt"), nil, args())
	v4, v6 := ips(t, p)
	for _, f := range [][2]string{{v4, node4}, {v6, node6}} {
		ip, node := f[0], f[1]
		if got, err := n.Get("http://"+net.JoinHostPort(ip, "8080")+"/", 10*time.Second); err != nil || !strings.Contains(got, "unicri http guest") {
			t.Errorf("node -> %s: %q %v", ip, got, err)
		}
		if got := askUDP(n.NS, ip, "8080", "datagram\n"); got != "datagram\n" {
			t.Errorf("node -> %s, UDP: %q", ip, got)
		}
		if out, err := n.NS.Output("busybox", "ping", "-c", "1", "-W", "3", ip); err != nil {
			t.Errorf("ping %s: %v %s", ip, err, out)
		}
		told(t, n, g, ip, "/get/"+node+"/7000/2003", "port 7000 from port 2003 says: hello from the node")
		told(t, n, g, ip, "/udp/"+node+"/7000/2006", "port 7000 to port 2006: echo of hello from the guest")
	}
	p.Stop(t)
	p.Remove(t)
}

// TestFarGateway: a plugin as the clouds' and Calico's are: the pod has one address and no network, its result names no
// gateway, and the one that the namespace's routes name is known to the pod's own stack alone.
func TestFarGateway(t *testing.T) {
	h.NeedUnicrid(t)
	dir := t.TempDir()
	script := `#!/bin/sh
host=far$(echo "$CNI_CONTAINERID" | cut -c1-8)
case $CNI_COMMAND in
ADD)
	exec 3>&1 >&2
	set -e
	ip link add $host type veth peer name fartmp
	ip link set fartmp netns "$CNI_NETNS"
	ip link set $host address 02:00:00:00:00:01 up
	nsenter --net="$CNI_NETNS" sh -c "set -e; ip link set fartmp name $CNI_IFNAME; ip link set $CNI_IFNAME up
		ip addr add 10.77.0.5/32 dev $CNI_IFNAME; ip route add 169.254.1.1 dev $CNI_IFNAME scope link
		ip route add default via 169.254.1.1; ip neigh add 169.254.1.1 dev $CNI_IFNAME lladdr 02:00:00:00:00:01 nud permanent"
	ip route add 10.77.0.5 dev $host
	echo "{\"cniVersion\":\"1.0.0\",\"interfaces\":[{\"name\":\"$CNI_IFNAME\",\"sandbox\":\"$CNI_NETNS\"}],\"ips\":[{\"address\":\"10.77.0.5/32\",\"interface\":0}]}" >&3 ;;
DEL) ip link del $host 2>/dev/null; exit 0 ;;
VERSION) echo '{"cniVersion":"1.0.0","supportedVersions":["0.4.0","1.0.0"]}' ;;
esac
`
	if err := os.WriteFile(filepath.Join(dir, "far"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	n := h.NewNode(t, h.NodeOptions{CNIBin: []string{dir}, Conflist: `{"cniVersion":"1.0.0","name":"far","plugins":[{"type":"far"}]}`})
	if out, err := n.NS.Output("ip", "addr", "add", "10.78.0.1/32", "dev", "lo"); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	n.Pull(t, h.BusyboxRef)
	n.Pull(t, h.GuestRef("http.spt"))
	nodeServer(t, n)
	p := n.RunPod(t, "far")
	g := p.Run(t, "guest", h.GuestRef("http.spt"), nil, args())
	g.WaitLog(t, "http: gateway 169.254.1.1", 10*time.Second)
	side(t, p, "proxy", 8081)
	for port, want := range map[string]string{"8080": "unicri http guest", "8081": "hello from proxy"} {
		if got, err := n.Get("http://10.77.0.5:"+port+"/index.html", 10*time.Second); err != nil || !strings.Contains(got, want) {
			t.Errorf("port %s: %q %v", port, got, err)
		}
	}
	told(t, n, g, "10.77.0.5", "/get/10.78.0.1/7000/2003", "port 7000 from port 2003 says: hello from the node")
	told(t, n, g, "10.77.0.5", "/get/"+peer4+"/8081/2004", "port 8081 from port 2004 says: hello from proxy")
	p.Stop(t)
	p.Remove(t)
}
