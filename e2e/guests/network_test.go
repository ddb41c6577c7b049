// SPDX-License-Identifier: Apache-2.0

package guests

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
	h "unicri.dev/e2e/harness"
)

// What a guest reaches its pod's ordinary containers by.
const (
	peer4 = "169.254.77.1"
	peer6 = "fd75:6e69:6372:6900::1"
	node4 = "10.89.0.1"
	node6 = "fd89::1"
)

const dualStack = `{"cniVersion":"1.0.0","name":"test","plugins":[{"type":"bridge","bridge":"cni0","isGateway":true,"ipMasq":false,"mtu":1400,
 "ipam":{"type":"host-local","ranges":[[{"subnet":"10.89.0.0/16"}],[{"subnet":"fd89::/64"}]],"routes":[{"dst":"0.0.0.0/0"},{"dst":"::/0"}],"dataDir":"@LEASES@"}}%s]}`

// dualNode has pods of both families; hostPorts where the host can.
func dualNode(t *testing.T, hostPorts bool, env ...string) *h.Node {
	h.NeedUnicrid(t)
	more := ""
	if hostPorts {
		more = `,{"type":"portmap","capabilities":{"portMappings":true}}`
	}
	n := h.NewNode(t, h.NodeOptions{Conflist: fmt.Sprintf(dualStack, more), Env: env})
	n.Pull(t, h.BusyboxRef)
	for _, b := range backends(t, n) {
		n.Pull(t, h.GuestRef("http."+b))
	}
	return n
}

// ips are the pod's IPv4 and IPv6 addresses.
func ips(t *testing.T, p *h.Pod) (string, string) {
	t.Helper()
	r, err := p.N.RT.PodSandboxStatus(h.Ctx, p.ID, false)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Status.Network.AdditionalIps) != 1 {
		t.Fatalf("not two addresses: %v", r.Status.Network)
	}
	return r.Status.Network.Ip, r.Status.Network.AdditionalIps[0].Ip
}

// askUDP sends a datagram and returns the answer.
func askUDP(ns *h.NetNS, ip, port, text string) string {
	for end := time.Now().Add(h.Slow(5 * time.Second)); time.Now().Before(end); {
		c, err := ns.Dial(h.Ctx, "udp", net.JoinHostPort(ip, port))
		if err != nil {
			return err.Error()
		}
		b := make([]byte, 200)
		c.SetDeadline(time.Now().Add(time.Second))
		io.WriteString(c, text)
		k, _ := c.Read(b)
		c.Close()
		if k > 0 {
			return string(b[:k])
		}
	}
	return "no answer"
}

// nodeServer answers HTTP and UDP (with what it was sent) at port 7000 of the node.
func nodeServer(t *testing.T, n *h.Node) {
	l, err := n.NS.Listen("tcp", ":7000")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "close")
		io.WriteString(w, "hello from the node\n")
	})}
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
	echoUDP(t, n.NS, "7000", "echo of ")
}

// echoUDP answers datagrams with what they hold, on both families.
func echoUDP(t *testing.T, ns *h.NetNS, port, prefix string) {
	var u net.PacketConn
	if err := ns.Do(func() (err error) { u, err = net.ListenPacket("udp", ":"+port); return err }); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { u.Close() })
	go func() {
		b := make([]byte, 2000)
		for {
			k, from, err := u.ReadFrom(b)
			if err != nil {
				return
			}
			u.WriteTo(append([]byte(prefix), b[:k]...), from)
		}
	}()
}

// podNS is the network namespace that ordinary containers of the pod share; the image's busybox has no UDP tools, so the
// test makes their UDP sockets itself.
func podNS(t *testing.T, c *h.Ctr) *h.NetNS {
	t.Helper()
	ns, err := h.OpenNetNS(fmt.Sprintf("/proc/%d/ns/net", findGuest(t, c.Pod.N, c).pid))
	if err != nil {
		t.Fatal(err)
	}
	return ns
}

// side starts a container that serves HTTP.
func side(t *testing.T, p *h.Pod, name string, port int) *h.Ctr {
	c := p.Sh(t, name, fmt.Sprintf("mkdir /tmp/w; echo hello from %s > /tmp/w/index.html; exec httpd -f -p %d -h /tmp/w", name, port))
	p.N.Get(fmt.Sprintf("http://%s:%d/index.html", p.IP(t), port), 10*time.Second)
	return c
}

// expect a text in the guest's console after it was told to do something.
func told(t *testing.T, n *h.Node, g *h.Ctr, ip, path, want string) {
	t.Helper()
	if _, err := n.Get("http://"+net.JoinHostPort(ip, "8080")+path, 10*time.Second); err != nil {
		t.Errorf("%s: %v", path, err)
		return
	}
	for end := time.Now().Add(h.Slow(5 * time.Second)); !strings.Contains(g.RawLog(), want); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Errorf("after %s no %q on the console:\n%s", path, want, g.RawLog())
			return
		}
	}
}

// TestTwoSidesAndAGuest: two side containers and a guest at one address of each family, and every way between them, the
// node and back; where the image chooses, and where the pod is pinned to the guest's monitor.
func TestTwoSidesAndAGuest(t *testing.T) {
	n := dualNode(t, false)
	nodeServer(t, n)
	last := backends(t, n)[len(backends(t, n))-1]
	for handler, b := range map[string]string{"auto": "spt", "tender-" + last: last} {
		t.Run(handler, func(t *testing.T) {
			p, err := n.TryRunPod("all-"+handler, handler)
			if err != nil {
				t.Fatal(err)
			}
			a := side(t, p, "first", 8081)
			z := side(t, p, "second", 8082)
			g := p.Run(t, "guest", h.GuestRef("http."+b), nil, args())
			v4, v6 := ips(t, p)
			pod := podNS(t, a)
			echoUDP(t, pod, "9081", "")
			echoUDP(t, pod, "9082", "")
			for _, f := range []struct{ ip, peer, node string }{{v4, peer4, node4}, {v6, peer6, node6}} {
				fromNode(t, n, f.ip)
				fromSides(t, a, z, pod, f.ip, f.node)
				fromGuest(t, n, g, f.ip, f.peer, f.node)
			}
			p.Stop(t)
			p.Remove(t)
		})
	}
}

func fromNode(t *testing.T, n *h.Node, ip string) {
	t.Helper()
	for port, want := range map[string]string{"8080": "unicri http guest", "8081": "hello from first", "8082": "hello from second"} {
		if got, err := n.Get("http://"+net.JoinHostPort(ip, port)+"/index.html", 10*time.Second); err != nil || !strings.Contains(got, want) {
			t.Errorf("node -> %s port %s: %q %v", ip, port, got, err)
		}
	}
	for _, port := range []string{"8080", "9081", "9082"} {
		if got := askUDP(n.NS, ip, port, "datagram to "+port+"\n"); got != "datagram to "+port+"\n" {
			t.Errorf("node -> %s UDP port %s: %q", ip, port, got)
		}
	}
	out, err := n.NS.Output("busybox", "ping", "-c", "2", "-W", "3", ip)
	if err != nil || !strings.Contains(out, "2 packets received") {
		t.Errorf("ping %s: %v %s", ip, err, out)
	}
}

func fromSides(t *testing.T, a, z *h.Ctr, pod *h.NetNS, ip, node string) {
	t.Helper()
	try := func(c *h.Ctr, want, script string) {
		t.Helper()
		out, _, _ := c.Pod.N.RT.ExecSync(h.Ctx, c.ID, []string{"sh", "-c", script}, h.Slow(15*time.Second))
		if !strings.Contains(string(out), want) {
			t.Errorf("%s: %q, wanted %q", script, out, want)
		}
	}
	get := func(host, port, want string) {
		t.Helper()
		url := "http://" + net.JoinHostPort(host, port) + "/index.html"
		r, err := pod.HTTP(h.Slow(5 * time.Second)).Get(url)
		if err != nil {
			t.Errorf("container -> %s: %v", url, err)
			return
		}
		b, err := io.ReadAll(r.Body)
		r.Body.Close()
		if err != nil || !strings.Contains(string(b), want) {
			t.Errorf("container -> %s: %q %v, wanted %q", url, b, err, want)
		}
	}
	udp := func(to, port, want string) {
		t.Helper()
		if got := askUDP(pod, to, port, "hello"); got != want {
			t.Errorf("container -> %s UDP port %s: %q", to, port, got)
		}
	}
	loop := "127.0.0.1"
	if strings.Contains(ip, ":") {
		loop = "::1"
	} else { // busybox's wget knows no IPv6 addresses
		for _, c := range []*h.Ctr{a, z} {
			try(c, "unicri http guest", "wget -q -O - http://"+ip+":8080/")
			try(c, "hello from second", "wget -q -O - http://"+ip+":8082/")
			try(c, "hello from the node", "wget -q -O - http://"+node+":7000/")
		}
	}
	get(ip, "8080", "unicri http guest")
	get(node, "7000", "hello from the node")
	get(ip, "8082", "hello from second")
	get(loop, "8081", "hello from first")
	udp(ip, "8080", "hello")
	udp(node, "7000", "echo of hello")
	udp(ip, "9081", "hello")
	try(a, "1 packets received", "ping -c 1 -W 3 "+node)
}

func fromGuest(t *testing.T, n *h.Node, g *h.Ctr, ip, peer, node string) {
	t.Helper()
	told(t, n, g, ip, "/get/"+peer+"/8081/2001", "port 8081 from port 2001 says: hello from first")
	told(t, n, g, ip, "/get/"+peer+"/8082/2002", "port 8082 from port 2002 says: hello from second")
	told(t, n, g, ip, "/get/"+node+"/7000/2003", "port 7000 from port 2003 says: hello from the node")
	told(t, n, g, ip, "/get/"+peer+"/8099/2004", "port 8099 from port 2004: refused")
	told(t, n, g, ip, "/udp/"+peer+"/9082/2005", "port 9082 to port 2005: hello from the guest")
	told(t, n, g, ip, "/udp/"+node+"/7000/2006", "port 7000 to port 2006: echo of hello from the guest")
}

// TestHostPort: portmap's rules lead to the guest as to any container.
func TestHostPort(t *testing.T) {
	if _, err := exec.LookPath("iptables"); err != nil {
		t.Skip("the portmap plugin needs iptables")
	}
	n := dualNode(t, true)
	p, err := n.TryRunPod("ports", "", func(c *cri.PodSandboxConfig) {
		c.PortMappings = []*cri.PortMapping{{Protocol: cri.Protocol_TCP, ContainerPort: 8080, HostPort: 18080}}
	})
	if err != nil {
		t.Fatal(err)
	}
	p.Run(t, "guest", h.GuestRef("http.spt"), nil, args())
	if got, err := n.Get("http://"+node4+":18080/port", 10*time.Second); err != nil || !strings.Contains(got, "/port") {
		t.Errorf("%q %v", got, err)
	}
	p.Stop(t)
	p.Remove(t)
}

// TestGuestsSideBySide: what one guest of a pod does never touches the network of another.
func TestGuestsSideBySide(t *testing.T) {
	n := dualNode(t, false)
	for _, g := range []string{"crash", "idle"} {
		n.Pull(t, h.GuestRef(g+".spt"))
	}
	p := n.RunPod(t, "several")
	web := p.Run(t, "web", h.GuestRef("http.spt"), nil, args())
	v4, v6 := ips(t, p)
	answers := func(after string) {
		t.Helper()
		for _, ip := range []string{v4, v6} {
			if _, err := n.Get("http://"+net.JoinHostPort(ip, "8080")+"/", 10*time.Second); err != nil {
				t.Fatalf("after %s: %v", after, err)
			}
		}
	}
	answers("start")
	p.Run(t, "crash", h.GuestRef("crash.spt"), nil, args()).Wait(t, 10e9)
	answers("another guest's crash")
	idle := p.Run(t, "idle", h.GuestRef("idle.spt"), nil, args())
	if err := n.RT.StopContainer(h.Ctx, idle.ID, 1); err != nil {
		t.Fatal(err)
	}
	answers("another guest's stop")
	second, err := p.TryCreate("second", h.GuestRef("http.spt"), nil, args())
	if err == nil {
		err = n.RT.StartContainer(h.Ctx, second.ID)
	}
	if err == nil || !strings.Contains(err.Error(), "unikernel 'web' of this pod") {
		t.Errorf("a second guest with a network device: %v", err)
	}
	if err := n.RT.RemoveContainer(h.Ctx, second.ID); err != nil {
		t.Error(err)
	}
	answers("the refusal of a second guest")

	// As after a kubelet's restart of the container, by each way a guest may end: the next attempt has the address at once.
	for attempt, end := range []func(){
		func() { n.RT.StopContainer(h.Ctx, web.ID, 1) },
		func() { syscall.Kill(findGuest(t, n, web).pid, syscall.SIGKILL) },
	} {
		end()
		web.Wait(t, 10e9)
		cfg := p.CtrConfig("web", h.GuestRef("http.spt"), nil, args())
		cfg.Metadata.Attempt = uint32(attempt + 1)
		id, err := n.RT.CreateContainer(h.Ctx, p.ID, cfg, p.Config)
		if err == nil {
			err = n.RT.StartContainer(h.Ctx, id)
		}
		if err != nil {
			t.Fatalf("attempt %d: %v", attempt+1, err)
		}
		web = &h.Ctr{Pod: p, ID: id, Config: cfg}
		answers("a restart")
	}
	p.Stop(t)
	p.Remove(t)

	host, err := n.TryRunPod("host", "", func(c *cri.PodSandboxConfig) {
		c.Linux.SecurityContext.NamespaceOptions.Network = cri.NamespaceMode_NODE
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err = host.TryCreate("web", h.GuestRef("http.spt"), nil, args()); err == nil || !strings.Contains(err.Error(), "hostNetwork") {
		t.Errorf("a guest in the node's network: %v", err)
	}
	host.Stop(t)
	host.Remove(t)
}

// TestNoLinkNoStart: a guest whose network cannot be set up is not started without it.
func TestNoLinkNoStart(t *testing.T) {
	n := dualNode(t, false, "UNICRI_FAULTS=cni.link.create=EPERM")
	p := n.RunPod(t, "fault")
	c := p.Create(t, "guest", h.GuestRef("http.spt"), nil, args())
	if err := n.RT.StartContainer(h.Ctx, c.ID); err == nil || !strings.Contains(strings.ToLower(err.Error()), "operation not permitted") {
		t.Errorf("%v", err)
	}
	if strings.Contains(c.RawLog(), "listening") {
		t.Error("the guest ran")
	}
	p.Stop(t)
	p.Remove(t)
}
