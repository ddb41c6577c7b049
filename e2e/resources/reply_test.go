// SPDX-License-Identifier: Apache-2.0

package resources

import (
	"maps"
	"os"
	"testing"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
	h "unicri.dev/e2e/harness"
)

// TestReplyFields checks each field of a reply without which a kubelet breaks.
func TestReplyFields(t *testing.T) {
	n := h.NewNode(t, h.NodeOptions{})
	ref := n.Pull(t, h.BusyboxRef)
	labels := map[string]string{"io.kubernetes.pod.uid": "u", "a/b": "", "z": "ö"}
	annotations := map[string]string{"io.kubernetes.container.hash": "1f", "text": "two\nlines"}
	p := n.RunPod(t, "reply", func(c *cri.PodSandboxConfig) { c.Labels, c.Annotations = labels, annotations })
	message := n.Dir + "/termination-log"
	must(t, os.WriteFile(message, nil, 0o666))
	c := p.Create(t, "c", ref, []string{"sh", "-c", "printf why > /dev/termination-log; exit 4"}, func(c *cri.ContainerConfig) {
		c.Image.UserSpecifiedImage = h.BusyboxRef
		c.Labels, c.Annotations = labels, annotations
		c.Mounts = []*cri.Mount{{ContainerPath: "/dev/termination-log", HostPath: message}}
	})

	t.Run("image", func(t *testing.T) {
		s, err := n.IM.ImageStatus(h.Ctx, &cri.ImageSpec{Image: h.BusyboxRef}, false)
		must(t, err)
		i := s.Image
		if i.Id != ref || i.Size == 0 {
			t.Errorf("image: %v, pulled as %s", i, ref)
		}
		if s, err := n.IM.ImageStatus(h.Ctx, &cri.ImageSpec{Image: "nobody/has:it"}, false); err != nil || s.Image != nil {
			t.Errorf("an image that is not there: %v, %v", s, err)
		}
		fs, err := n.IM.ImageFsInfo(h.Ctx)
		must(t, err)
		if len(fs.ImageFilesystems) == 0 || len(fs.ContainerFilesystems) == 0 {
			t.Fatalf("filesystems: %v", fs)
		}
		for _, f := range append(fs.ImageFilesystems, fs.ContainerFilesystems...) {
			if f.UsedBytes == nil || f.InodesUsed == nil || f.Timestamp == 0 || f.GetFsId().GetMountpoint() == "" {
				t.Errorf("filesystem: %v", f)
			}
		}
	})
	t.Run("pod", func(t *testing.T) {
		r, err := n.RT.PodSandboxStatus(h.Ctx, p.ID, false)
		must(t, err)
		s := r.Status
		m := s.GetMetadata()
		if s.Id != p.ID || m.GetName() != "reply" || m.GetNamespace() != "e2e" || m.GetUid() != "uid-reply" || s.CreatedAt == 0 || s.State != cri.PodSandboxState_SANDBOX_READY {
			t.Errorf("status: %v", s)
		}
		if s.GetNetwork().GetIp() == "" || s.GetLinux().GetNamespaces().GetOptions().GetNetwork() != cri.NamespaceMode_POD {
			t.Errorf("network: %v, %v", s.Network, s.Linux)
		}
		if (r.Timestamp != 0) != (len(r.ContainersStatuses) != 0) {
			t.Errorf("timestamp %d with %d statuses of containers", r.Timestamp, len(r.ContainersStatuses))
		}
		if !maps.Equal(s.Labels, labels) || !maps.Equal(s.Annotations, annotations) {
			t.Errorf("labels %v, annotations %v", s.Labels, s.Annotations)
		}
		l, err := n.RT.ListPodSandbox(h.Ctx, &cri.PodSandboxFilter{State: &cri.PodSandboxStateValue{State: cri.PodSandboxState_SANDBOX_READY}})
		must(t, err)
		if len(l) != 1 || l[0].Metadata.GetUid() != "uid-reply" || l[0].CreatedAt != s.CreatedAt || !maps.Equal(l[0].Labels, labels) {
			t.Errorf("list: %v", l)
		}
		host := n.RunPod(t, "host", func(c *cri.PodSandboxConfig) {
			c.Linux.SecurityContext.NamespaceOptions.Network = cri.NamespaceMode_NODE
		})
		r, err = n.RT.PodSandboxStatus(h.Ctx, host.ID, false)
		must(t, err)
		if r.Status.GetLinux().GetNamespaces().GetOptions().GetNetwork() != cri.NamespaceMode_NODE || r.Status.GetNetwork().GetIp() != "" {
			t.Errorf("with the node's network: %v", r.Status)
		}
	})
	t.Run("container", func(t *testing.T) {
		c.Start(t)
		s := c.Wait(t, 10e9)
		if s.Id != c.ID || s.GetMetadata().GetName() != "c" || s.CreatedAt == 0 || s.GetImage().GetImage() == "" || s.ImageRef == "" {
			t.Errorf("status: %v", s)
		}
		if s.ImageId != ref {
			t.Errorf("image_id %q, pulled as %q", s.ImageId, ref)
		}
		if s.ExitCode != 4 || s.Reason != "Error" || s.FinishedAt < s.StartedAt || s.StartedAt < s.CreatedAt {
			t.Errorf("end: %v", s)
		}
		if !maps.Equal(s.Labels, labels) || !maps.Equal(s.Annotations, annotations) {
			t.Errorf("labels %v, annotations %v", s.Labels, s.Annotations)
		}
		if len(s.Mounts) != 1 || s.Mounts[0].ContainerPath != "/dev/termination-log" || s.Mounts[0].HostPath != message {
			t.Fatalf("mounts: %v", s.Mounts)
		}
		if b, _ := os.ReadFile(s.Mounts[0].HostPath); string(b) != "why" {
			t.Errorf("termination message %q", b)
		}
		if s.GetUser().GetLinux() == nil || s.GetResources().GetLinux() == nil || s.LogPath != c.LogPath() {
			t.Errorf("user, resources, log: %v", s)
		}
		l, err := n.RT.ListContainers(h.Ctx, nil)
		must(t, err)
		if len(l) != 1 || l[0].Id != c.ID || l[0].Image == nil || l[0].ImageId != ref || l[0].ImageRef == "" || l[0].PodSandboxId != p.ID || !maps.Equal(l[0].Labels, labels) {
			t.Errorf("list: %v", l)
		}
	})
	t.Run("version", func(t *testing.T) {
		v, err := n.RT.Version(h.Ctx, "")
		must(t, err)
		if v.Version != "0.1.0" || v.RuntimeName == "" || v.RuntimeVersion == "" || v.RuntimeApiVersion == "" {
			t.Errorf("version: %v", v)
		}
	})
}
