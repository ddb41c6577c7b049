// SPDX-License-Identifier: Apache-2.0

// Package pods tests sandboxes and ordinary containers through the socket.
package pods

import (
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
	h "unicri.dev/e2e/harness"
)

// TestRuntime covers the RPCs that a kubelet calls before it starts a pod.
func TestRuntime(t *testing.T) {
	n := h.NewNode(t, h.NodeOptions{})

	t.Run("version", func(t *testing.T) {
		v, err := n.RT.Version(h.Ctx, "0.1.0")
		if err != nil {
			t.Fatal(err)
		}
		if v.Version != "0.1.0" || v.RuntimeName == "" || v.RuntimeVersion == "" || v.RuntimeApiVersion != "v1" {
			t.Errorf("version: %v", v)
		}
		if !h.Peer() && v.RuntimeName != "unicri" {
			t.Errorf("runtime name %q", v.RuntimeName)
		}
	})
	t.Run("status", func(t *testing.T) {
		s, err := n.RT.Status(h.Ctx, true)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"RuntimeReady", "NetworkReady"} {
			found := false
			for _, c := range s.Status.Conditions {
				if c.Type == want {
					found = true
					if !c.Status {
						t.Errorf("%s is false: %s %s", c.Type, c.Reason, c.Message)
					}
				}
			}
			if !found {
				t.Errorf("no condition %s", want)
			}
		}
		if h.Peer() {
			return
		}
		names := map[string]bool{}
		for _, r := range s.RuntimeHandlers {
			names[r.Name] = true
		}
		for _, want := range []string{"", "runc", "tender-spt"} {
			if !names[want] {
				t.Errorf("no runtime handler %q in %v", want, s.RuntimeHandlers)
			}
		}
	})
	t.Run("network not ready without a configuration", func(t *testing.T) {
		h.NeedUnicrid(t)
		bare := h.NewNode(t, h.NodeOptions{Conflist: "{}", NoRegistry: true})
		s, err := bare.RT.Status(h.Ctx, false)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range s.Status.Conditions {
			if c.Type == "NetworkReady" && (c.Status || c.Message == "") {
				t.Errorf("NetworkReady %v with message %q", c.Status, c.Message)
			}
		}
		if _, err := bare.TryRunPod("nonet", ""); status.Code(err) != codes.Unavailable {
			t.Errorf("RunPodSandbox without network: %v", err)
		}
		bare.WriteConflist(h.DefaultConflist(bare.Leases))
		eventually(t, "NetworkReady after the file came", func() bool {
			s, err := bare.RT.Status(h.Ctx, false)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range s.Status.Conditions {
				if c.Type == "NetworkReady" {
					return c.Status
				}
			}
			return false
		})
	})
	t.Run("runtime config", func(t *testing.T) {
		h.NeedUnicrid(t)
		r, err := n.RT.RuntimeConfig(h.Ctx)
		if err != nil {
			t.Fatal(err)
		}
		if r.Linux == nil || r.Linux.CgroupDriver != cri.CgroupDriver_CGROUPFS {
			t.Errorf("cgroup driver: %v", r)
		}
	})
	t.Run("update runtime config", func(t *testing.T) {
		if err := n.RT.UpdateRuntimeConfig(h.Ctx, &cri.RuntimeConfig{NetworkConfig: &cri.NetworkConfig{PodCidr: "10.89.0.0/16"}}); err != nil {
			t.Error(err)
		}
	})
	t.Run("calls that are not built", func(t *testing.T) {
		h.NeedUnicrid(t)
		_, err := n.Raw.CheckpointPod(h.Ctx, &cri.CheckpointPodRequest{PodSandboxId: "x"})
		if status.Code(err) != codes.Unimplemented || !strings.Contains(err.Error(), "CheckpointPod") {
			t.Errorf("CheckpointPod: %v", err)
		}
	})
	t.Run("calls that do not exist", func(t *testing.T) {
		c := n.Dial()
		defer c.Close()
		err := c.Invoke(h.Ctx, "/runtime.v1.RuntimeService/NoSuchCall", &cri.VersionRequest{}, &cri.VersionResponse{})
		if status.Code(err) != codes.Unimplemented {
			t.Errorf("unknown method: %v", err)
		}
	})
}
