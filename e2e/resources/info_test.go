// SPDX-License-Identifier: Apache-2.0

package resources

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
	h "unicri.dev/e2e/harness"
)

// TestInfo reads what "crictl inspect" and "inspectp" show beside the status.
func TestInfo(t *testing.T) {
	h.NeedUnicrid(t)
	n := h.NewNode(t, h.NodeOptions{})
	n.Pull(t, h.BusyboxRef)
	n.Pull(t, h.GuestRef("idle.spt"))
	p := n.RunPod(t, "info")
	c := p.Create(t, "c", h.BusyboxRef, []string{"sleep", "1000"}, withResources(&cri.LinuxContainerResources{MemoryLimitInBytes: 64 * mb}))
	type config struct {
		Metadata struct{ Name, Namespace string }
		Image    struct{ Image string }
	}
	var info struct {
		Pid         *int
		SandboxID   string
		SnapshotKey string
		Config      config
		RuntimeSpec *struct {
			Process struct{ Args []string }
			Linux   struct {
				Resources struct{ Memory struct{ Limit int64 } }
			}
		}
	}
	read := func(c *h.Ctr) {
		t.Helper()
		s, err := n.RT.ContainerStatus(h.Ctx, c.ID, true)
		must(t, err)
		info.RuntimeSpec = nil
		must(t, json.Unmarshal([]byte(s.Info["info"]), &info))
		if info.SandboxID != p.ID || info.SnapshotKey != c.ID || info.Config.Metadata.Name != c.Config.Metadata.Name || info.Config.Image.Image != c.Config.Image.Image {
			t.Errorf("info: %s", s.Info["info"])
		}
	}
	read(c)
	if info.Pid == nil || *info.Pid != 0 || info.RuntimeSpec == nil || strings.Join(info.RuntimeSpec.Process.Args, " ") != "sleep 1000" {
		t.Errorf("created: %+v", info)
	}
	c.Start(t)
	must(t, update(c, &cri.LinuxContainerResources{MemoryLimitInBytes: 80 * mb}))
	read(c)
	if *info.Pid == 0 || info.RuntimeSpec == nil || info.RuntimeSpec.Linux.Resources.Memory.Limit != 80*mb {
		t.Errorf("running: %+v", info)
	}
	g := p.Run(t, "g", h.GuestRef("idle.spt"), nil, func(c *cri.ContainerConfig) { c.Linux.SecurityContext.RunAsUser = nil })
	read(g)
	if *info.Pid == 0 || info.RuntimeSpec != nil {
		t.Errorf("guest: %+v", info)
	}
	s, err := n.RT.PodSandboxStatus(h.Ctx, p.ID, true)
	must(t, err)
	var pod struct {
		Pid    *int
		Config config
	}
	must(t, json.Unmarshal([]byte(s.Info["info"]), &pod))
	if pod.Pid == nil || pod.Config.Metadata.Name != "info" || pod.Config.Metadata.Namespace != "e2e" {
		t.Errorf("pod: %s", s.Info["info"])
	}
}

// TestMountOptions: what Status promises is done.
func TestMountOptions(t *testing.T) {
	h.NeedUnicrid(t)
	n := h.NewNode(t, h.NodeOptions{})
	s, err := n.RT.Status(h.Ctx, false)
	must(t, err)
	if !s.Features.GetMountOptions() {
		t.Fatal("mount_options is not promised")
	}
	if len(s.RuntimeHandlers) == 0 || s.RuntimeHandlers[0].Name != "" {
		t.Errorf("handlers: %v", s.RuntimeHandlers)
	}
	n.Pull(t, h.BusyboxRef)
	dir := n.Dir + "/volume"
	must(t, os.MkdirAll(dir, 0o755))
	must(t, os.WriteFile(dir+"/run", []byte("#!/bin/sh\necho ran\n"), 0o755))
	p := n.RunPod(t, "options")
	c := p.Sh(t, "noexec", "/v/run; echo $?; grep ' /v ' /proc/self/mounts", func(c *cri.ContainerConfig) {
		c.Mounts = []*cri.Mount{{ContainerPath: "/v", HostPath: dir, MountOptions: []string{"noexec", "nodev", "nosuid"}}}
	})
	c.Wait(t, 10e9)
	out := c.Out(t, "stdout")
	if strings.Contains(out, "ran") || !strings.HasPrefix(out, "126\n") {
		t.Errorf("noexec: %q", c.RawLog())
	}
	for _, o := range []string{"noexec", "nodev", "nosuid"} {
		if !strings.Contains(out, o) {
			t.Errorf("%s is missing: %q", o, out)
		}
	}
}
