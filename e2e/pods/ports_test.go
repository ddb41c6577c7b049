// SPDX-License-Identifier: Apache-2.0

package pods

import (
	"os/exec"
	"strings"
	"testing"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
	h "unicri.dev/e2e/harness"
)

// TestHostPorts: a port of the node leads to the pod, from loopback too; a mapping to port 0 is none.
func TestHostPorts(t *testing.T) {
	h.NeedUnicrid(t)
	if _, err := exec.LookPath("iptables"); err != nil {
		t.Skip("the portmap plugin needs iptables")
	}
	n := h.NewNode(t, h.NodeOptions{Conflist: `{"cniVersion":"1.0.0","name":"test","plugins":[{"type":"bridge","bridge":"cni0","isGateway":true,"ipMasq":false,
 "ipam":{"type":"host-local","ranges":[[{"subnet":"10.89.0.0/16"}]],"routes":[{"dst":"0.0.0.0/0"}],"dataDir":"@LEASES@"}},{"type":"portmap","capabilities":{"portMappings":true}}]}`})
	n.Pull(t, h.BusyboxRef)
	p := n.RunPod(t, "ports", func(c *cri.PodSandboxConfig) {
		c.PortMappings = []*cri.PortMapping{
			{Protocol: cri.Protocol_TCP, ContainerPort: 8080, HostPort: 18080},
			{Protocol: cri.Protocol_TCP, ContainerPort: 8081},
			{Protocol: cri.Protocol_UDP, ContainerPort: 8081, HostPort: 0},
		}
	})
	p.Sh(t, "web", "exec httpd -f -p 8080 -h /www")
	for _, url := range []string{"http://" + p.IP(t) + ":8080/", "http://127.0.0.1:18080/", "http://10.89.0.1:18080/"} {
		if got, err := n.Get(url+"index.html", h.Slow(10*time.Second)); err != nil || !strings.Contains(got, "hello") {
			t.Errorf("%s: %q, %v", url, got, err)
		}
	}
	p.Stop(t)
	if got, err := n.Get("http://127.0.0.1:18080/", time.Second); err == nil {
		t.Errorf("after the pod's stop: %q", got)
	}
	p.Remove(t)
	// The port is free again.
	q := n.RunPod(t, "again", func(c *cri.PodSandboxConfig) {
		c.PortMappings = []*cri.PortMapping{{Protocol: cri.Protocol_TCP, ContainerPort: 8080, HostPort: 18080}}
	})
	q.Sh(t, "web", "exec httpd -f -p 8080 -h /www")
	if got, err := n.Get("http://127.0.0.1:18080/index.html", h.Slow(10*time.Second)); err != nil || !strings.Contains(got, "hello") {
		t.Errorf("the next pod: %q, %v", got, err)
	}
}
