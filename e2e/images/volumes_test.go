// SPDX-License-Identifier: Apache-2.0

package images

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
	h "unicri.dev/e2e/harness"
)

func volume(image, sub string) h.CtrOpt {
	return func(c *cri.ContainerConfig) {
		c.Mounts = append(c.Mounts, &cri.Mount{ContainerPath: "/vol", Readonly: true, Image: &cri.ImageSpec{Image: image}, ImageSubPath: sub})
	}
}

// TestImageVolumes mounts images into containers as kubelets ask for it.
func TestImageVolumes(t *testing.T) {
	data := h.NewImage(h.ImageConfig{},
		h.GzipLayer(append(h.BusyboxFiles(), h.Dir("d", 0o755), h.Reg("d/old", 0o644, []byte("old")), h.Reg("d/deep", 0o644, []byte("deep")),
			h.Link("link", "/d"), h.Link("out", "../../../../../../var/lib"), h.Link("up", "../.."), h.Reg("file", 0o644, []byte("file")))...),
		h.GzipLayer(h.Dir("d", 0o755), h.Reg("d/.wh.old", 0o644, nil), h.Reg("d/new", 0o644, []byte("new"))))
	single := h.NewImage(h.ImageConfig{}, h.GzipLayer(h.Reg("only", 0o644, []byte("only"))))
	n := h.NewNode(t, h.NodeOptions{Images: func(r *h.Registry) error {
		if err := r.Push("busybox", "latest", h.Busybox()); err != nil {
			return err
		}
		if err := r.Push("single", "latest", single); err != nil {
			return err
		}
		return r.Push("data", "latest", data)
	}})
	busybox := n.Pull(t, h.RegistryAddr+"/busybox")
	id := n.Pull(t, h.RegistryAddr+"/data")
	one := n.Pull(t, h.RegistryAddr+"/single")
	before := n.Census()
	pod := n.RunPod(t, "volumes")

	t.Run("whole image, read-only, executable", func(t *testing.T) {
		c := pod.Run(t, "whole", busybox, []string{"sh", "-c", "cat /vol/d/new /vol/file; test -e /vol/d/old || echo -n gone; touch /vol/x || echo -n ro; /vol/bin/busybox echo run"}, volume(id, ""))
		c.Wait(t, 30*time.Second)
		if got := c.Out(t, "stdout"); got != "newfilegonerorun\n" {
			t.Errorf("stdout %q", got)
		}
		m := c.Status(t).Mounts
		if len(m) != 1 || m[0].Image.GetImage() != id || m[0].Image.GetImageRef() != id || !m[0].Readonly {
			t.Errorf("mounts %v", m)
		}
	})
	t.Run("image of one layer", func(t *testing.T) {
		c := pod.Run(t, "one", busybox, []string{"cat", "/vol/only"}, volume(one, ""))
		c.Wait(t, 30*time.Second)
		if got := c.Out(t, "stdout"); got != "only" {
			t.Errorf("stdout %q", got)
		}
	})
	t.Run("sub paths", func(t *testing.T) {
		for _, sub := range []string{"d", "link", "up/d"} {
			c := pod.Run(t, "sub-"+strings.ReplaceAll(sub, "/", "-"), busybox, []string{"ls", "/vol"}, volume(id, sub))
			c.Wait(t, 30*time.Second)
			if got := c.Out(t, "stdout"); got != "deep\nnew\n" {
				t.Errorf("%s: stdout %q", sub, got)
			}
		}
	})
	t.Run("what cannot be mounted", func(t *testing.T) {
		for name, c := range map[string]struct {
			opt  h.CtrOpt
			code codes.Code
			text string
		}{
			"missing sub path":  {volume(id, "none"), codes.NotFound, "image sub path 'none'"},
			"escaping sub path": {volume(id, "out"), codes.NotFound, "image sub path 'out'"},
			"file as sub path":  {volume(id, "file"), codes.InvalidArgument, "is not a directory"},
			"removed file":      {volume(id, "d/old"), codes.NotFound, "image sub path 'd/old'"},
			"missing image":     {volume("sha256:"+strings.Repeat("0", 64), ""), codes.NotFound, "not found"},
			"writable": {func(c *cri.ContainerConfig) {
				c.Mounts = []*cri.Mount{{ContainerPath: "/vol", Image: &cri.ImageSpec{Image: id}}}
			}, codes.InvalidArgument, "read-only"},
			"propagation": {func(c *cri.ContainerConfig) {
				c.Mounts = []*cri.Mount{{ContainerPath: "/vol", Readonly: true, Propagation: cri.MountPropagation_PROPAGATION_HOST_TO_CONTAINER, Image: &cri.ImageSpec{Image: id}}}
			}, codes.InvalidArgument, "propagation"},
		} {
			_, err := pod.TryCreate("bad", busybox, []string{"true"}, c.opt)
			s, _ := status.FromError(err)
			if s.Code() != c.code || !strings.HasPrefix(s.Message(), "ImageVolumeMountFailed") || !strings.Contains(s.Message(), c.text) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
	t.Run("a removed image stays while it is mounted, over a crash too", func(t *testing.T) {
		c := pod.Create(t, "held", busybox, []string{"cat", "/vol/d/new"}, volume(id, ""))
		remove(t, n, id)
		n.Kill()
		n.Start()
		c.Start(t)
		c.Wait(t, 30*time.Second)
		if got := c.Out(t, "stdout"); got != "new" {
			t.Errorf("stdout %q", got)
		}
		if ref := c.Status(t).Mounts[0].Image.GetImage(); ref != id {
			t.Errorf("image %q", ref)
		}
	})
	pod.Stop(t)
	pod.Remove(t)
	n.Pull(t, h.RegistryAddr+"/data")
	n.ExpectCensus(t, before, false)
}
