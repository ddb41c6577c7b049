// SPDX-License-Identifier: Apache-2.0

// Requests that are empty or that no pod can be made of.

package robust

import (
	"os"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
	h "unicri.dev/e2e/harness"
)

// TestEmptyRequests: every RPC with an empty request answers with a code, and the daemon lives.
func TestEmptyRequests(t *testing.T) {
	h.NeedUnicrid(t)
	n := h.NewNode(t, h.NodeOptions{NoRegistry: true})
	c := n.Dial()
	defer c.Close()
	for _, desc := range services() {
		for _, m := range desc.methods {
			err := c.Invoke(h.Ctx, "/"+desc.name+"/"+m, &cri.VersionRequest{}, &cri.RemoveImageResponse{})
			switch status.Code(err) {
			case codes.Internal, codes.Unavailable, codes.DeadlineExceeded, codes.Unknown:
				t.Errorf("%s: %v", m, err)
			}
			if !n.Alive() {
				t.Fatalf("%s ended the daemon: %s", m, n.LogTail(20))
			}
		}
	}
}

type service struct {
	name    string
	methods []string
}

func services() []service {
	var l []service
	for _, d := range []struct {
		name    string
		methods []string
	}{{cri.RuntimeService_ServiceDesc.ServiceName, nil}, {cri.ImageService_ServiceDesc.ServiceName, nil}} {
		l = append(l, service{d.name, nil})
	}
	for _, m := range cri.RuntimeService_ServiceDesc.Methods {
		l[0].methods = append(l[0].methods, m.MethodName)
	}
	for _, m := range cri.ImageService_ServiceDesc.Methods {
		l[1].methods = append(l[1].methods, m.MethodName)
	}
	return l
}

// TestBadPods: requests that no pod can be made of.
func TestBadPods(t *testing.T) {
	h.NeedUnicrid(t)
	n := h.NewNode(t, h.NodeOptions{})
	n.Pull(t, h.BusyboxRef)
	before := n.Census()
	for _, c := range []struct {
		name   string
		change h.PodOpt
		want   string
	}{
		{"no metadata", func(c *cri.PodSandboxConfig) { c.Metadata = nil }, "metadata"},
		{"no name", func(c *cri.PodSandboxConfig) { c.Metadata.Name = "" }, "name"},
		{"long hostname", func(c *cri.PodSandboxConfig) { c.Hostname = strings.Repeat("h", 300) }, "hostname"},
		{"hostname with a slash", func(c *cri.PodSandboxConfig) { c.Hostname = "../../etc" }, "hostname"},
		{"newline in a name server", func(c *cri.PodSandboxConfig) { c.DnsConfig.Servers = []string{"1.1.1.1\nnameserver 6.6.6.6"} }, "1.1.1.1"},
		{"cgroup parent that climbs", func(c *cri.PodSandboxConfig) { c.Linux.CgroupParent = "/../../x" }, "cgroup"},
		{"sysctl of the host", func(c *cri.PodSandboxConfig) { c.Linux.Sysctls = map[string]string{"kernel.core_pattern": "|/bin/sh"} }, "kernel.core_pattern"},
		{"sysctl that climbs", func(c *cri.PodSandboxConfig) {
			c.Linux.Sysctls = map[string]string{"net.../../../kernel/core_pattern": "x"}
		}, "net"},
		{"host port out of range", func(c *cri.PodSandboxConfig) {
			c.PortMappings = []*cri.PortMapping{{HostPort: 70000, ContainerPort: 80}}
		}, "70000"},
		{"unknown protocol", func(c *cri.PodSandboxConfig) {
			c.PortMappings = []*cri.PortMapping{{Protocol: 99, HostPort: 7000, ContainerPort: 80}}
		}, "protocol"},
		{"relative log directory", func(c *cri.PodSandboxConfig) { c.LogDirectory = "logs/../.." }, "log"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := n.PodConfig("bad")
			c.change(cfg)
			_, err := n.Raw.RunPodSandbox(h.Ctx, &cri.RunPodSandboxRequest{Config: cfg})
			if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v", err)
			}
		})
	}
	p := n.RunPod(t, "good")
	for _, c := range []struct {
		name   string
		change h.CtrOpt
		want   string
	}{
		{"no metadata", func(c *cri.ContainerConfig) { c.Metadata = nil }, "metadata"},
		{"no image", func(c *cri.ContainerConfig) { c.Image = nil }, "image"},
		{"env without a name", func(c *cri.ContainerConfig) { c.Envs = []*cri.KeyValue{{Key: "", Value: []byte("x")}} }, "env"},
		{"env with a NUL", func(c *cri.ContainerConfig) { c.Envs = []*cri.KeyValue{{Key: "A", Value: []byte("x\x00y")}} }, "A"},
		{"env name with =", func(c *cri.ContainerConfig) { c.Envs = []*cri.KeyValue{{Key: "A=B", Value: []byte("x")}} }, "A=B"},
		{"relative mount", func(c *cri.ContainerConfig) { c.Mounts = []*cri.Mount{{ContainerPath: "a/b", HostPath: "/tmp"}} }, "a/b"},
		{"mount source that climbs", func(c *cri.ContainerConfig) { c.Mounts = []*cri.Mount{{ContainerPath: "/a", HostPath: "tmp/../.."}} }, "tmp/../.."},
		{"propagation out of range", func(c *cri.ContainerConfig) {
			c.Mounts = []*cri.Mount{{ContainerPath: "/a", HostPath: "/tmp", Propagation: 9}}
		}, "propagation"},
		{"recursive read-only without read-only", func(c *cri.ContainerConfig) {
			c.Mounts = []*cri.Mount{{ContainerPath: "/a", HostPath: "/tmp", RecursiveReadOnly: true}}
		}, "read"},
		{"uid out of range", func(c *cri.ContainerConfig) { c.Linux.SecurityContext.RunAsUser = &cri.Int64Value{Value: 1 << 32} }, "4294967296"},
		{"negative uid", func(c *cri.ContainerConfig) { c.Linux.SecurityContext.RunAsUser = &cri.Int64Value{Value: -1} }, "-1"},
		{"unknown capability", func(c *cri.ContainerConfig) {
			c.Linux.SecurityContext.Capabilities = &cri.Capability{AddCapabilities: []string{"FLY"}}
		}, "FLY"},
		{"seccomp profile that is not there", func(c *cri.ContainerConfig) {
			c.Linux.SecurityContext.Seccomp = &cri.SecurityProfile{ProfileType: cri.SecurityProfile_Localhost, LocalhostRef: "/no/profile.json"}
		}, "/no/profile.json"},
		{"device that is not there", func(c *cri.ContainerConfig) {
			c.Devices = []*cri.Device{{HostPath: "/dev/no-such-device", ContainerPath: "/dev/x", Permissions: "rwm"}}
		}, "/dev/no-such-device"},
		{"pid target in another pod", func(c *cri.ContainerConfig) {
			c.Linux.SecurityContext.NamespaceOptions = &cri.NamespaceOption{Pid: cri.NamespaceMode_TARGET, TargetId: "nobody"}
		}, "nobody"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := p.CtrConfig("bad", h.BusyboxRef, []string{"true"})
			c.change(cfg)
			r, err := n.Raw.CreateContainer(h.Ctx, &cri.CreateContainerRequest{PodSandboxId: p.ID, Config: cfg, SandboxConfig: p.Config})
			if err == nil {
				err = n.RT.StartContainer(h.Ctx, r.ContainerId)
				n.RT.RemoveContainer(h.Ctx, r.ContainerId)
			}
			if !understood(err) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v", err)
			}
		})
	}
	t.Run("image without a command", func(t *testing.T) {
		// A kubelet may send neither command nor args; an image without either cannot run.
		n2 := h.NewNode(t, h.NodeOptions{Images: func(r *h.Registry) error {
			return r.Push("nocommand", "1", h.NewImage(h.ImageConfig{}, h.GzipLayer(h.Reg("file", 0o644, nil))))
		}})
		n2.Pull(t, h.RegistryAddr+"/nocommand:1")
		q := n2.RunPod(t, "q")
		c, err := q.TryCreate("c", h.RegistryAddr+"/nocommand:1", nil)
		if err == nil {
			err = n2.RT.StartContainer(h.Ctx, c.ID)
		}
		if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "command") {
			t.Errorf("%v", err)
		}
		q.Stop(t)
		q.Remove(t)
	})
	p.Stop(t)
	p.Remove(t)
	os.RemoveAll(n.Logs + "/bad")
	n.ExpectCensus(t, before, true)
}
