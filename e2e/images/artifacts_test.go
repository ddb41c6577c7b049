// SPDX-License-Identifier: Apache-2.0

package images

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
	h "unicri.dev/e2e/harness"
)

// artifact is what `oras push` makes of files: name, content, name, content ...
func artifact(files ...string) *h.Image {
	config := []byte("{}")
	img := &h.Image{Type: h.TypeManifest, Config: config, Blobs: map[string][]byte{h.Digest(config): config}}
	layers := []map[string]any{}
	for i := 0; i+1 < len(files); i += 2 {
		b := []byte(files[i+1])
		img.Blobs[h.Digest(b)] = b
		layers = append(layers, map[string]any{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": h.Digest(b), "size": len(b),
			"annotations": map[string]string{"org.opencontainers.image.title": files[i]}})
	}
	img.Manifest, _ = json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": h.TypeManifest, "artifactType": "application/vnd.unknown.artifact.v1",
		"config": map[string]any{"mediaType": "application/vnd.oci.empty.v1+json", "digest": h.Digest(config), "size": len(config)},
		"layers": layers,
	})
	return img
}

// TestArtifacts mounts OCI artifacts as image volumes.
func TestArtifacts(t *testing.T) {
	h.NeedUnicrid(t)
	model := artifact("model.bin", "\x1f\x8bweights", "conf/a.txt", "a", "conf/b.txt", "b", "run.sh", "#!/bin/sh\necho ran\n")
	n := h.NewNode(t, h.NodeOptions{Images: func(r *h.Registry) error {
		if err := r.Push("busybox", "latest", h.Busybox()); err != nil {
			return err
		}
		if err := r.Push("evil", "latest", artifact("../../etc/passwd", "x")); err != nil {
			return err
		}
		return r.Push("model", "v1", model)
	}})
	busybox := n.Pull(t, h.RegistryAddr+"/busybox")
	empty := n.Census()
	ref := h.RegistryAddr + "/model:v1"
	id := n.Pull(t, ref)
	before := n.Census()
	pod := n.RunPod(t, "artifacts")

	t.Run("status and list", func(t *testing.T) {
		if id != model.Digest() {
			t.Errorf("id %s, the manifest is %s", id, model.Digest())
		}
		for _, name := range []string{ref, id, strings.TrimPrefix(id, "sha256:")[:12], h.RegistryAddr + "/model@" + model.Digest()} {
			s, err := n.IM.ImageStatus(h.Ctx, &cri.ImageSpec{Image: name}, true)
			if err != nil || s.Image == nil || s.Image.Id != id || s.Image.Size == 0 || len(s.Image.RepoTags) != 1 || len(s.Image.RepoDigests) != 1 {
				t.Errorf("%s: %v %v", name, s, err)
			}
		}
		l, err := n.IM.ListImages(h.Ctx, &cri.ImageFilter{Image: &cri.ImageSpec{Image: ref}})
		if err != nil || len(l) != 1 || l[0].Id != id {
			t.Errorf("list: %v %v", l, err)
		}
	})
	t.Run("its files, read-only, not executable", func(t *testing.T) {
		c := pod.Run(t, "files", busybox, []string{"sh", "-c",
			"cd /vol; find . | sort | tr '\\n' ' '; cat conf/a.txt; head -c 2 model.bin | od -An -tx1; touch x 2>/dev/null || echo -n ro-; ./run.sh 2>/dev/null || echo -n noexec"}, volume(id, ""))
		c.Wait(t, 30*time.Second)
		want := ". ./conf ./conf/a.txt ./conf/b.txt ./model.bin ./run.sh a 1f 8b\nro-noexec"
		if got := c.Out(t, "stdout"); got != want {
			t.Errorf("stdout %q", got)
		}
		if m := c.Status(t).Mounts; len(m) != 1 || m[0].Image.GetImage() != id {
			t.Errorf("mounts %v", m)
		}
	})
	t.Run("sub path", func(t *testing.T) {
		c := pod.Run(t, "sub", busybox, []string{"ls", "/vol"}, volume(id, "conf"))
		c.Wait(t, 30*time.Second)
		if got := c.Out(t, "stdout"); got != "a.txt\nb.txt\n" {
			t.Errorf("stdout %q", got)
		}
		_, err := pod.TryCreate("nosub", busybox, []string{"true"}, volume(id, "none"))
		if s, _ := status.FromError(err); s.Code() != codes.NotFound || !strings.HasPrefix(s.Message(), "ImageVolumeMountFailed") {
			t.Errorf("%v", err)
		}
	})
	t.Run("no container", func(t *testing.T) {
		_, err := pod.TryCreate("run", id, []string{"/run.sh"})
		if s, _ := status.FromError(err); s.Code() != codes.InvalidArgument || !strings.Contains(s.Message(), "is an artifact of type 'application/vnd.unknown.artifact.v1'") {
			t.Errorf("%v", err)
		}
	})
	t.Run("a bad name", func(t *testing.T) {
		_, err := n.IM.PullImage(h.Ctx, &cri.ImageSpec{Image: h.RegistryAddr + "/evil"}, nil, nil)
		if s, _ := status.FromError(err); s.Code() != codes.InvalidArgument || !strings.Contains(s.Message(), "file name") {
			t.Errorf("%v", err)
		}
	})
	t.Run("removed while it is mounted, over a crash", func(t *testing.T) {
		c := pod.Create(t, "held", busybox, []string{"cat", "/vol/conf/b.txt"}, volume(id, ""))
		remove(t, n, ref)
		n.Kill()
		n.Start()
		c.Start(t)
		c.Wait(t, 30*time.Second)
		if got := c.Out(t, "stdout"); got != "b" {
			t.Errorf("stdout %q", got)
		}
	})
	pod.Stop(t)
	pod.Remove(t)
	n.Pull(t, ref)
	n.ExpectCensus(t, before, false)
	remove(t, n, id)
	n.ExpectCensus(t, empty, false)
}
