// SPDX-License-Identifier: Apache-2.0

package images

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
	h "unicri.dev/e2e/harness"
)

func timeout(d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(h.Ctx, d)
}

// serve answers registry requests inside the node's namespace.
func serve(t *testing.T, n *h.Node, addr string, handler http.Handler) {
	t.Helper()
	l, err := n.NS.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: handler}
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
}

// imageHandler serves one image under any name, through hooks that may answer instead.
func imageHandler(img *h.Image, hook func(w http.ResponseWriter, r *http.Request, kind string) bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		path := r.URL.Path
		switch {
		case path == "/v2/":
			if hook != nil && hook(w, r, "ping") {
				return
			}
		case strings.Contains(path, "/manifests/"):
			if hook != nil && hook(w, r, "manifest") {
				return
			}
			w.Header().Set("Content-Type", img.Type)
			w.Header().Set("Docker-Content-Digest", img.Digest())
			w.Header().Set("Content-Length", fmt.Sprint(len(img.Manifest)))
			if r.Method != "HEAD" {
				w.Write(img.Manifest)
			}
		case strings.Contains(path, "/blobs/"):
			digest := path[strings.LastIndex(path, "/")+1:]
			kind := "layer"
			if digest == img.ID() {
				kind = "config"
			}
			if hook != nil && hook(w, r, kind) {
				return
			}
			blob, ok := img.Blobs[digest]
			if !ok {
				http.NotFound(w, r)
				return
			}
			w.Header().Set("Content-Length", fmt.Sprint(len(blob)))
			w.Write(blob)
		default:
			http.NotFound(w, r)
		}
	}
}

// tinyConfig shortens the clocks of a pull, so that a stall shows within seconds.
var tinyClocks = map[string]string{"image.header_timeout": "2", "image.stall_timeout": "2", "image.connect_timeout": "2", "image.min_rate": "1024"}

// TestHostileRegistry: each case is a registry that misbehaves; the pull must fail in time, say why, and leave nothing.
func TestHostileRegistry(t *testing.T) {
	h.NeedUnicrid(t)
	n := h.NewNode(t, h.NodeOptions{Set: tinyClocks})
	img := h.Busybox()
	layer := func() []byte {
		for d, b := range img.Blobs {
			if d != img.ID() {
				return b
			}
		}
		return nil
	}()
	var mu sync.Mutex
	var leaked []string
	serve(t, n, "127.0.0.2:7000", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if a := r.Header.Get("Authorization"); a != "" {
			leaked = append(leaked, r.URL.Path+" "+a)
		}
		if strings.Contains(r.URL.Path, "challenge") {
			w.Header().Set("WWW-Authenticate", `Basic realm="gimme"`)
			w.WriteHeader(401)
			return
		}
		if strings.HasPrefix(r.URL.Path, "/blob/") {
			w.Write(img.Blobs[strings.TrimPrefix(r.URL.Path, "/blob/")])
			return
		}
		http.NotFound(w, r)
	}))
	redirect := func(kind, to string) func(w http.ResponseWriter, r *http.Request, k string) bool {
		return func(w http.ResponseWriter, r *http.Request, k string) bool {
			if k != kind {
				return false
			}
			http.Redirect(w, r, to, http.StatusTemporaryRedirect)
			return true
		}
	}
	stall := func(kind string, send int) func(w http.ResponseWriter, r *http.Request, k string) bool {
		return func(w http.ResponseWriter, r *http.Request, k string) bool {
			if k != kind {
				return false
			}
			if send >= 0 {
				w.Header().Set("Content-Length", fmt.Sprint(len(layer)))
				w.Write(layer[:send])
				w.(http.Flusher).Flush()
			}
			select {
			case <-r.Context().Done():
			case <-time.After(60 * time.Second):
			}
			return true
		}
	}
	badManifest := func(change func(m map[string]any)) *h.Image {
		var m map[string]any
		json.Unmarshal(img.Manifest, &m)
		change(m)
		b, _ := json.Marshal(m)
		return &h.Image{Manifest: b, Type: img.Type, Blobs: img.Blobs, Config: img.Config}
	}
	layer0 := func(m map[string]any) map[string]any { return m["layers"].([]any)[0].(map[string]any) }

	cases := []struct {
		name    string
		handler http.Handler
		want    []string
	}{
		{"stalls before the header", imageHandler(img, stall("manifest", -1)), []string{"time", "stall", "no answer", "header", "slow"}},
		{"stalls in a layer", imageHandler(img, stall("layer", 100000)), []string{"stall", "time", "slow"}},
		{"trickles", imageHandler(img, func(w http.ResponseWriter, r *http.Request, k string) bool {
			if k != "layer" {
				return false
			}
			w.Header().Set("Content-Length", fmt.Sprint(len(layer)))
			for i := 0; i < 600 && r.Context().Err() == nil; i++ {
				w.Write(layer[i : i+1])
				w.(http.Flusher).Flush()
				time.Sleep(100 * time.Millisecond)
			}
			return true
		}), []string{"slow", "rate", "stall", "bytes"}},
		{"answers HTML", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			fmt.Fprint(w, "<html><body>log in to the hotel's network</body></html>")
		}), []string{"HTML", "html", "JSON", "manifest", "type"}},
		{"manifest is no JSON", imageHandler(&h.Image{Manifest: []byte("\x00\x01{{{"), Type: img.Type, Blobs: img.Blobs, Config: img.Config}, nil), []string{"JSON", "manifest"}},
		{"manifest without end", imageHandler(img, func(w http.ResponseWriter, r *http.Request, k string) bool {
			if k != "manifest" {
				return false
			}
			w.Header().Set("Content-Type", img.Type)
			for i := 0; i < 1000 && r.Context().Err() == nil; i++ {
				if _, err := w.Write(bytes.Repeat([]byte(" "), 65536)); err != nil {
					break
				}
			}
			return true
		}), []string{"large", "limit", "bytes", "more than"}},
		{"redirects to file://", imageHandler(img, redirect("layer", "file:///etc/passwd")), []string{"redirect", "file", "protocol"}},
		{"redirects to a unix socket", imageHandler(img, redirect("layer", "unix:///run/x")), []string{"redirect", "unix", "protocol"}},
		{"redirects for ever", imageHandler(img, func(w http.ResponseWriter, r *http.Request, k string) bool {
			http.Redirect(w, r, r.URL.Path, http.StatusFound)
			return true
		}), []string{"redirect"}},
		{"redirects to another host that asks for credentials", imageHandler(img, redirect("layer", "http://127.0.0.2:7000/challenge")), []string{"401", "denied", "denies", "credential"}},
		{"layer is not what the digest says", imageHandler(img, func(w http.ResponseWriter, r *http.Request, k string) bool {
			if k != "layer" {
				return false
			}
			b := bytes.Clone(layer)
			b[len(b)/2] ^= 1
			w.Write(b)
			return true
		}), []string{"digest", "corrupt", "data"}},
		{"layer is shorter than said", imageHandler(img, func(w http.ResponseWriter, r *http.Request, k string) bool {
			if k != "layer" {
				return false
			}
			w.Write(layer[:len(layer)-10])
			return true
		}), []string{"size", "short", "digest", "bytes", "end"}},
		{"layer is longer than said", imageHandler(img, func(w http.ResponseWriter, r *http.Request, k string) bool {
			if k != "layer" {
				return false
			}
			w.Write(append(bytes.Clone(layer), make([]byte, 100000)...))
			return true
		}), []string{"size", "more", "digest", "bytes"}},
		{"config is not what the digest says", imageHandler(img, func(w http.ResponseWriter, r *http.Request, k string) bool {
			if k != "config" {
				return false
			}
			w.Write(bytes.Replace(img.Config, []byte("amd64"), []byte("AMD64"), 1))
			return true
		}), []string{"digest"}},
		{"layer is missing", imageHandler(img, func(w http.ResponseWriter, r *http.Request, k string) bool {
			if k == "layer" {
				http.NotFound(w, r)
			}
			return k == "layer"
		}), []string{"404", "not found", "Not Found"}},
		{"always 503", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(503) }), []string{"503", "RegistryUnavailable"}},
		{"digest that is a path", imageHandler(badManifest(func(m map[string]any) { layer0(m)["digest"] = "sha256:../../../../etc/passwd" }), nil), []string{"digest"}},
		{"digest of another algorithm", imageHandler(badManifest(func(m map[string]any) { layer0(m)["digest"] = "md5:d41d8cd98f00b204e9800998ecf8427e" }), nil), []string{"digest"}},
		{"negative size", imageHandler(badManifest(func(m map[string]any) { layer0(m)["size"] = -1 }), nil), []string{"size"}},
		{"foreign layer type", imageHandler(badManifest(func(m map[string]any) { layer0(m)["mediaType"] = "application/x-bzip2" }), nil), []string{"type", "bzip2"}},
		{"layers and manifests", imageHandler(badManifest(func(m map[string]any) { m["manifests"] = []any{} }), nil), []string{"manifest"}},
		{"more layers than diff ids", imageHandler(badManifest(func(m map[string]any) { m["layers"] = append(m["layers"].([]any), m["layers"].([]any)[0]) }), nil), []string{"diff_id", "layers"}},
		{"index that names itself", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", h.TypeIndex)
			fmt.Fprintf(w, `{"schemaVersion":2,"mediaType":%q,"manifests":[{"mediaType":%q,"digest":"sha256:%064d","size":10,"platform":{"os":"linux","architecture":"amd64"}}]}`, h.TypeIndex, h.TypeIndex, 1)
		}), []string{"digest", "index", "size", "nested"}},
		{"index without our platform", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", h.TypeIndex)
			fmt.Fprintf(w, `{"schemaVersion":2,"mediaType":%q,"manifests":[{"mediaType":%q,"digest":"sha256:%064d","size":10,"platform":{"os":"plan9","architecture":"mips"}}]}`, h.TypeIndex, h.TypeManifest, 1)
		}), []string{"platform", "amd64"}},
		{"bearer realm on another host", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("WWW-Authenticate", `Bearer realm="http://127.0.0.2:7000/token",service="x",scope="y"`)
			w.WriteHeader(401)
		}), []string{"realm", "token", "denied", "401", "auth"}},
	}
	n.Pull(t, h.BusyboxRef)
	n.IM.RemoveImage(h.Ctx, &cri.ImageSpec{Image: h.BusyboxRef})
	before := n.Census()
	for i, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			addr := fmt.Sprintf("127.0.0.1:%d", 7001+i)
			serve(t, n, addr, c.handler)
			start := time.Now()
			ctx, cancel := timeout(h.Slow(60 * time.Second))
			defer cancel()
			_, err := n.RawIM.PullImage(ctx, &cri.PullImageRequest{Image: &cri.ImageSpec{Image: addr + "/x/y:1"},
				Auth: &cri.AuthConfig{Username: "ann", Password: "s3cret", ServerAddress: addr}})
			took := time.Since(start)
			if err == nil {
				t.Fatal("the pull succeeded")
			}
			if code := status.Code(err); code == codes.DeadlineExceeded || code == codes.Internal || took > h.Slow(25*time.Second) {
				t.Errorf("after %v: %v", took, err)
			}
			ok := strings.Contains(err.Error(), addr) || strings.Contains(err.Error(), "x/y")
			if !ok {
				t.Errorf("the error does not name the image: %v", err)
			}
			for _, w := range c.want {
				if strings.Contains(err.Error(), w) {
					return
				}
			}
			t.Errorf("none of %q in: %v", c.want, err)
		})
	}
	t.Run("redirect to another host for a blob works, without credentials", func(t *testing.T) {
		serve(t, n, "127.0.0.1:7100", imageHandler(img, func(w http.ResponseWriter, r *http.Request, k string) bool {
			if k == "manifest" && r.Header.Get("Authorization") == "" {
				w.Header().Set("WWW-Authenticate", `Basic realm="here"`)
				w.WriteHeader(401)
				return true
			}
			if k == "layer" {
				http.Redirect(w, r, "http://127.0.0.2:7000/blob/"+r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:], 307)
				return true
			}
			return false
		}))
		_, err := n.RawIM.PullImage(h.Ctx, &cri.PullImageRequest{Image: &cri.ImageSpec{Image: "127.0.0.1:7100/x/y:1"}, Auth: &cri.AuthConfig{Username: "ann", Password: "s3cret"}})
		if err != nil {
			t.Errorf("%v", err)
		}
		n.IM.RemoveImage(h.Ctx, &cri.ImageSpec{Image: "127.0.0.1:7100/x/y:1"})
	})
	mu.Lock()
	if len(leaked) > 0 {
		t.Errorf("credentials went to another host: %q", leaked)
	}
	mu.Unlock()
	n.ExpectCensus(t, before, true)
}

// TestHostileLayers: archives that try to leave their directory or to fill the disk.
func TestHostileLayers(t *testing.T) {
	h.NeedUnicrid(t)
	victim := h.File{Hdr: tar.Header{Typeflag: tar.TypeReg, Mode: 0o644, Size: 6}, Data: []byte("pwned\n")}
	at := func(name string) h.File {
		f := victim
		f.Hdr.Name = name
		return f
	}
	node := "" // the node's own directory, known below
	escapes := func(target string) map[string][]h.File {
		return map[string][]h.File{
			"dotdot":                {at("../../../../../../../../.." + target)},
			"absolute":              {at(target)},
			"inner dotdot":          {at("a/../../../../../../../../../.." + target)},
			"symlink then file":     {h.Link("x", "/"), at("x" + target)},
			"relative symlink":      {h.Link("x", "../../../../../../../../../.."), at("x" + target)},
			"symlink chain":         {h.Link("a", "b"), h.Link("b", "/"), at("a" + target)},
			"hardlink outside":      {h.HardLink("passwd", "../../../../../../../../../../etc/passwd"), at("passwd")},
			"hardlink absolute":     {h.HardLink("passwd", "/etc/passwd"), at("passwd")},
			"hardlink over symlink": {h.Link("x", "/etc"), h.HardLink("y", "x/passwd"), at("y")},
			"whiteout of dotdot":    {at("a/.wh...")},
			"whiteout path":         {h.Link("x", "/"), at("x/.wh.etc")},
			"whiteout empty":        {at("a/.wh.")},
			"replaced directory":    {h.Dir("d", 0o755), h.Link("d", "/"), at("d" + target)},
		}
	}
	var images func(r *h.Registry) error
	names := []string{}
	images = func(r *h.Registry) error {
		base := h.BusyboxFiles()
		for name, files := range escapes("/UNICRI_TARGET") {
			names = append(names, name)
			img := h.NewImage(h.ImageConfig{Cmd: []string{"true"}}, h.GzipLayer(base...), h.GzipLayer(files...))
			if err := r.Push("esc/"+strings.ReplaceAll(name, " ", "-"), "1", img); err != nil {
				return err
			}
		}
		// Two layers that play together.
		two := h.NewImage(h.ImageConfig{Cmd: []string{"true"}}, h.GzipLayer(append(base, h.Link("etc2", "/etc"))...), h.GzipLayer(at("etc2/UNICRI_TARGET")))
		if err := r.Push("esc/two-layers", "1", two); err != nil {
			return err
		}
		var b bytes.Buffer
		w, _ := gzip.NewWriterLevel(&b, gzip.BestCompression)
		tw := tar.NewWriter(w)
		tw.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "zeros", Size: 300 << 20, Mode: 0o644})
		zeros := make([]byte, 1<<20)
		for i := 0; i < 300; i++ {
			tw.Write(zeros)
		}
		tw.Close()
		w.Close()
		bomb := h.NewImage(h.ImageConfig{Cmd: []string{"true"}}, h.Layer{Type: h.TypeLayerGzip, Blob: b.Bytes(), DiffID: "sha256:" + strings.Repeat("0", 64)})
		if err := r.Push("bomb", "1", bomb); err != nil {
			return err
		}
		cut := h.Gzip(h.Tar(base))
		cut = cut[:len(cut)/2]
		if err := r.Push("cut", "1", h.NewImage(h.ImageConfig{}, h.Layer{Type: h.TypeLayerGzip, Blob: cut, DiffID: h.Digest(h.Tar(base))})); err != nil {
			return err
		}
		lie := h.GzipLayer(base...)
		lie.DiffID = "sha256:" + strings.Repeat("1", 64)
		if err := r.Push("diffid", "1", h.NewImage(h.ImageConfig{}, lie)); err != nil {
			return err
		}
		return r.Push("garbage", "1", h.NewImage(h.ImageConfig{}, h.Layer{Type: h.TypeLayerGzip, Blob: []byte("not gzip at all"), DiffID: h.Digest(nil)}))
	}
	n := h.NewNode(t, h.NodeOptions{Images: images, Set: map[string]string{"image.max_image_bytes": `"100MiB"`}})
	node = n.Dir
	passwd, _ := os.ReadFile("/etc/passwd")
	before := n.Census()
	pull := func(ref string) error {
		_, err := n.RawIM.PullImage(h.Ctx, &cri.PullImageRequest{Image: &cri.ImageSpec{Image: h.RegistryAddr + "/" + ref + ":1"}})
		return err
	}
	for _, name := range append(names, "two layers") {
		t.Run(name, func(t *testing.T) {
			ref := "esc/" + strings.ReplaceAll(name, " ", "-")
			err := pull(ref) // refused, or kept inside
			if err != nil {
				if code := status.Code(err); code == codes.Internal || code == codes.DeadlineExceeded {
					t.Errorf("%v", err)
				}
				if !strings.Contains(err.Error(), ref) {
					t.Errorf("the error does not name the image: %v", err)
				}
			} else {
				n.IM.RemoveImage(h.Ctx, &cri.ImageSpec{Image: h.RegistryAddr + "/" + ref + ":1"})
			}
			for _, f := range []string{"/UNICRI_TARGET", "/etc/UNICRI_TARGET", node + "/UNICRI_TARGET", n.Root + "/UNICRI_TARGET"} {
				if _, err := os.Lstat(f); err == nil {
					os.Remove(f)
					t.Errorf("the layer wrote %s", f)
				}
			}
			if now, _ := os.ReadFile("/etc/passwd"); !bytes.Equal(now, passwd) {
				os.WriteFile("/etc/passwd", passwd, 0o644)
				t.Error("the layer wrote /etc/passwd")
			}
		})
	}
	for _, c := range []struct{ ref, want string }{{"bomb", "large"}, {"cut", ""}, {"diffid", "diff"}, {"garbage", ""}} {
		t.Run(c.ref, func(t *testing.T) {
			err := pull(c.ref)
			if err == nil || !strings.Contains(err.Error(), c.ref) || status.Code(err) == codes.Internal {
				t.Fatalf("%v", err)
			}
			if c.ref == "bomb" && status.Code(err) != codes.ResourceExhausted {
				t.Errorf("code %v: %v", status.Code(err), err)
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("no %q in: %v", c.want, err)
			}
		})
	}
	n.ExpectCensus(t, before, true)
}
