// SPDX-License-Identifier: Apache-2.0

// Package images tests pulling, listing and removing images, from an honest registry and from hostile ones.
package images

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
	h "unicri.dev/e2e/harness"
)

func statusOf(t *testing.T, n *h.Node, ref string) *cri.Image {
	t.Helper()
	r, err := n.IM.ImageStatus(h.Ctx, &cri.ImageSpec{Image: ref}, false)
	if err != nil {
		t.Fatalf("ImageStatus %s: %v", ref, err)
	}
	return r.Image
}

func remove(t *testing.T, n *h.Node, ref string) {
	t.Helper()
	if err := n.IM.RemoveImage(h.Ctx, &cri.ImageSpec{Image: ref}); err != nil {
		t.Fatalf("RemoveImage %s: %v", ref, err)
	}
}

// TestImages covers images from an honest registry.
func TestImages(t *testing.T) {
	small := h.NewImage(h.ImageConfig{Cmd: []string{"/bin/busybox"}, User: "33:33"}, h.GzipLayer(h.BusyboxFiles()...))
	plainTar := h.Tar([]h.File{h.Reg("plain", 0o644, []byte("plain"))})
	zstdTar := h.Tar([]h.File{h.Reg("zstd", 0o644, []byte("zstd"))})
	zblob, err := h.Zstd(zstdTar)
	if err != nil {
		t.Fatalf("zstd: %v", err)
	}
	layered := h.NewImage(h.ImageConfig{Cmd: []string{"sh", "-c", "cat /plain /zstd; ls /dir /opaque; test ! -e /gone"}},
		h.GzipLayer(append(h.BusyboxFiles(), h.Dir("dir", 0o755), h.Reg("dir/a", 0o644, nil), h.Reg("gone", 0o644, nil), h.Dir("opaque", 0o755), h.Reg("opaque/old", 0o644, nil))...),
		h.Layer{Type: h.TypeLayerTar, Blob: plainTar, DiffID: h.Digest(plainTar)},
		h.Layer{Type: h.TypeLayerZstd, Blob: zblob, DiffID: h.Digest(zstdTar)},
		h.GzipLayer(h.Reg(".wh.gone", 0o644, nil), h.Dir("dir", 0o755), h.Reg("dir/.wh.a", 0o644, nil), h.Reg("dir/b", 0o644, nil),
			h.Dir("opaque", 0o755), h.Reg("opaque/.wh..wh..opq", 0o644, nil), h.Reg("opaque/new", 0o644, nil)))
	n := h.NewNode(t, h.NodeOptions{Images: func(r *h.Registry) error {
		if err := r.Push("small", "1", small); err != nil {
			return err
		}
		if err := r.Push("layered", "latest", layered); err != nil {
			return err
		}
		// An index with one platform that is not ours, and ours.
		if err := r.Push("multi", "amd64", small); err != nil {
			return err
		}
		index, _ := json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": h.TypeIndex, "manifests": []map[string]any{
			{"mediaType": h.TypeManifest, "digest": layered.Digest(), "size": len(layered.Manifest), "platform": map[string]string{"os": "linux", "architecture": "s390x"}},
			{"mediaType": h.TypeManifest, "digest": small.Digest(), "size": len(small.Manifest), "platform": map[string]string{"os": "linux", "architecture": "amd64"}},
		}})
		if err := r.Push("multi", "s390x", layered); err != nil {
			return err
		}
		return r.PushManifest("multi", "all", h.TypeIndex, index)
	}, CertsD: map[string]string{
		"registry.example": "server = \"https://registry.example\"\n\n[host.\"http://" + h.RegistryAddr + "\"]\n  capabilities = [\"pull\", \"resolve\"]\n",
		"dead.example":     "server = \"https://dead.example\"\n\n[host.\"http://127.0.0.1:1\"]\n  capabilities = [\"pull\", \"resolve\"]\n[host.\"http://" + h.RegistryAddr + "\"]\n  capabilities = [\"pull\", \"resolve\"]\n",
	}})
	before := n.Census()

	t.Run("pull, status, list, remove", func(t *testing.T) {
		if img := statusOf(t, n, h.RegistryAddr+"/small:1"); img != nil {
			t.Errorf("before the pull: %v", img)
		}
		id := n.Pull(t, h.RegistryAddr+"/small:1")
		img := statusOf(t, n, h.RegistryAddr+"/small:1")
		if img == nil || img.Id != small.ID() || (id != img.Id && !h.Peer()) || img.Size == 0 || !slices.Equal(img.RepoTags, []string{h.RegistryAddr + "/small:1"}) ||
			!slices.Equal(img.RepoDigests, []string{h.RegistryAddr + "/small@" + small.Digest()}) || img.Uid.GetValue() != 33 {
			t.Fatalf("pulled %q: %v", id, img)
		}
		for _, name := range []string{img.Id, img.RepoDigests[0], strings.TrimPrefix(img.Id, "sha256:")} {
			if s := statusOf(t, n, name); s == nil || s.Id != img.Id {
				t.Errorf("by %q: %v", name, s)
			}
		}
		list, err := n.IM.ListImages(h.Ctx, nil)
		if err != nil || len(list) < 1 {
			t.Errorf("list: %v %v", list, err)
		}
		n.Pull(t, h.RegistryAddr+"/small:1") // again: nothing changes
		remove(t, n, h.RegistryAddr+"/small:1")
		remove(t, n, h.RegistryAddr+"/small:1")
		if img := statusOf(t, n, small.ID()); img != nil {
			t.Errorf("after remove: %v", img)
		}
	})
	t.Run("two names, one image", func(t *testing.T) {
		a, b := n.Pull(t, h.BusyboxRef), n.Pull(t, h.RegistryAddr+"/other/name:2")
		img := statusOf(t, n, a)
		if a != b || img == nil || len(img.RepoTags) != 2 || len(img.RepoDigests) != 2 {
			t.Errorf("%q %q %v", a, b, img)
		}
		remove(t, n, h.BusyboxRef)
		if img := statusOf(t, n, h.RegistryAddr+"/other/name:2"); img != nil && !h.Peer() {
			t.Errorf("the other name is still there: %v", img)
		}
		remove(t, n, h.RegistryAddr+"/other/name:2")
	})
	t.Run("by digest", func(t *testing.T) {
		ref := h.RegistryAddr + "/small@" + small.Digest()
		id := n.Pull(t, ref)
		img := statusOf(t, n, ref)
		if img == nil || id != small.ID() || len(img.RepoTags) != 0 || !slices.Equal(img.RepoDigests, []string{ref}) {
			t.Errorf("%q %v", id, img)
		}
		remove(t, n, id)
	})
	t.Run("index", func(t *testing.T) {
		id := n.Pull(t, h.RegistryAddr+"/multi:all")
		img := statusOf(t, n, id)
		if id != small.ID() || img == nil || len(img.RepoDigests) != 1 || strings.HasSuffix(img.RepoDigests[0], small.Digest()) {
			t.Errorf("%q %v: the digest must be the index's", id, img)
		}
		remove(t, n, id)
	})
	t.Run("gzip, plain and zstd layers, whiteouts", func(t *testing.T) {
		n.Pull(t, h.RegistryAddr+"/layered")
		p := n.RunPod(t, "layered")
		c := p.Run(t, "c", h.RegistryAddr+"/layered:latest", nil)
		if s := c.Wait(t, 10e9); s.ExitCode != 0 || c.Out(t, "stdout") != "plainzstd/dir:\nb\n\n/opaque:\nnew\n" {
			t.Errorf("%v %q", s, c.RawLog())
		}
		// Removing an image in use does not take the container's files away.
		d := p.Run(t, "d", h.RegistryAddr+"/layered", []string{"sleep", "1000"})
		remove(t, n, h.RegistryAddr+"/layered")
		if got := d.Exec(t, "cat", "/plain"); got != "plain" {
			t.Errorf("after the image went: %q", got)
		}
		p.Stop(t)
		p.Remove(t)
	})
	t.Run("mirror keeps the original name", func(t *testing.T) {
		n.Pull(t, "registry.example/small:1")
		img := statusOf(t, n, "registry.example/small:1")
		if img == nil || !slices.Equal(img.RepoTags, []string{"registry.example/small:1"}) || !slices.Equal(img.RepoDigests, []string{"registry.example/small@" + small.Digest()}) {
			t.Errorf("%v", img)
		}
		remove(t, n, "registry.example/small:1")
	})
	t.Run("a dead mirror is passed over", func(t *testing.T) {
		n.Pull(t, "dead.example/small:1")
		remove(t, n, "dead.example/small:1")
	})
	t.Run("not there", func(t *testing.T) {
		_, err := n.IM.PullImage(h.Ctx, &cri.ImageSpec{Image: h.RegistryAddr + "/small:nope"}, nil, nil)
		if status.Code(err) != codes.NotFound && status.Code(err) != codes.Unknown || !strings.Contains(err.Error(), "small:nope") {
			t.Errorf("%v", err)
		}
		_, err = n.IM.PullImage(h.Ctx, &cri.ImageSpec{Image: "127.0.0.1:4/small:1"}, nil, nil)
		if err == nil || (!strings.Contains(err.Error(), "RegistryUnavailable") && !h.Peer()) {
			t.Errorf("no registry: %v", err)
		}
	})
	t.Run("names that are none", func(t *testing.T) {
		h.NeedUnicrid(t)
		for _, name := range []string{"", "host.example/UPPER/case", "a b", "x@sha256:zz", "x@sha256:../../../etc/passwd", "host:99999999/x", "../../x", "x:tag:tag", strings.Repeat("a", 5000), "x\n/y", "file:///etc/passwd"} {
			_, err := n.RawIM.PullImage(h.Ctx, &cri.PullImageRequest{Image: &cri.ImageSpec{Image: name}})
			if status.Code(err) != codes.InvalidArgument {
				t.Errorf("%.40q: %v", name, err)
			}
		}
		if _, err := n.RawIM.PullImage(h.Ctx, &cri.PullImageRequest{}); status.Code(err) != codes.InvalidArgument {
			t.Errorf("no image at all: %v", err)
		}
	})
	t.Run("fifty pulls at once", func(t *testing.T) {
		var wg sync.WaitGroup
		for i := 0; i < 50; i++ {
			wg.Add(1)
			go func() {
				defer wg.Done()
				if _, err := n.IM.PullImage(h.Ctx, &cri.ImageSpec{Image: h.RegistryAddr + "/layered"}, nil, nil); err != nil {
					t.Errorf("%v", err)
				}
			}()
		}
		wg.Wait()
		for i := 0; i < 5; i++ {
			wg.Add(1)
			go func() {
				defer wg.Done()
				if err := n.IM.RemoveImage(h.Ctx, &cri.ImageSpec{Image: h.RegistryAddr + "/layered"}); err != nil {
					t.Errorf("%v", err)
				}
			}()
		}
		wg.Wait()
	})
	t.Run("file system info", func(t *testing.T) {
		empty, err := n.IM.ImageFsInfo(h.Ctx)
		if err != nil || len(empty.ImageFilesystems) == 0 || empty.ImageFilesystems[0].UsedBytes == nil || empty.ImageFilesystems[0].FsId.GetMountpoint() == "" {
			t.Fatalf("%v %v", empty, err)
		}
		id := n.Pull(t, h.BusyboxRef)
		full, err := n.IM.ImageFsInfo(h.Ctx)
		if err != nil {
			t.Fatal(err)
		}
		if grown := full.ImageFilesystems[0].UsedBytes.Value - empty.ImageFilesystems[0].UsedBytes.Value; !h.Peer() && (grown < 1<<20 || grown > 8<<20) {
			t.Errorf("grown by %d", grown)
		}
		remove(t, n, id)
	})
	t.Run("set-uid and links survive", func(t *testing.T) {
		n.Pull(t, h.BusyboxRef)
		p := n.RunPod(t, "modes")
		c := p.Sh(t, "c", "stat -c %a /tmp; readlink /bin/ls")
		c.Wait(t, 10e9)
		if got := c.Out(t, "stdout"); got != "1777\nbusybox\n" {
			t.Errorf("%q", got)
		}
		p.Stop(t)
		p.Remove(t)
		remove(t, n, h.BusyboxRef)
	})
	if !h.Peer() {
		n.ExpectCensus(t, before, true)
	}
}

// TestBasicAuth pulls from a registry that asks for a password.
func TestBasicAuth(t *testing.T) {
	n := h.NewNode(t, h.NodeOptions{})
	storage, err := h.Storage()
	if err != nil {
		t.Fatal(err)
	}
	r, err := h.StartRegistry(n.NS, "127.0.0.1:5001", storage, n.Dir+"/private", "ann", "s3cret")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	ref := "127.0.0.1:5001/busybox:1"
	pull := func(auth *cri.AuthConfig) error {
		_, err := n.IM.PullImage(h.Ctx, &cri.ImageSpec{Image: ref}, auth, nil)
		return err
	}
	if err := pull(nil); err == nil {
		t.Error("without credentials")
	}
	err = pull(&cri.AuthConfig{Username: "ann", Password: "wrong"})
	if err == nil || strings.Contains(err.Error(), "wrong") {
		t.Errorf("with a wrong password: %v", err)
	}
	if err := pull(&cri.AuthConfig{Username: "ann", Password: "s3cret", ServerAddress: "other.example"}); err == nil {
		t.Error("credentials of another server were used")
	}
	if err := pull(&cri.AuthConfig{Username: "ann", Password: "s3cret"}); err != nil {
		t.Errorf("with credentials: %v", err)
	}
	remove(t, n, ref)
	if err := pull(&cri.AuthConfig{Auth: "YW5uOnMzY3JldA=="}); err != nil {
		t.Errorf("with auth: %v", err)
	}
	if b, _ := os.ReadFile(n.LogFile); strings.Contains(string(b), "s3cret") || strings.Contains(string(b), "YW5uOnMzY3JldA") {
		t.Error("a password is in the log")
	}
}

// TestPullCancel: a client that goes away neither breaks nor blocks the image.
func TestPullCancel(t *testing.T) {
	n := h.NewNode(t, h.NodeOptions{})
	for _, d := range []time.Duration{0, 1, 3, 10, 30, 60} {
		ctx, cancel := timeout(d * time.Millisecond)
		_, err := n.RawIM.PullImage(ctx, &cri.PullImageRequest{Image: &cri.ImageSpec{Image: h.BusyboxRef}})
		cancel()
		if err != nil && status.Code(err) != codes.DeadlineExceeded && status.Code(err) != codes.Canceled {
			t.Errorf("%v", err)
		}
		n.Pull(t, h.BusyboxRef)
		p := n.RunPod(t, fmt.Sprintf("cancelled-%d", d))
		c := p.Sh(t, "c", "exit 0")
		if s := c.Wait(t, 10e9); s.ExitCode != 0 {
			t.Errorf("%v", s)
		}
		p.Stop(t)
		p.Remove(t)
		remove(t, n, h.BusyboxRef)
	}
}
