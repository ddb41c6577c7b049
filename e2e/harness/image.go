// SPDX-License-Identifier: Apache-2.0

// image.go: images made on the fly. A test says which files and which config it wants, honest or hostile, and gets
// manifest, config and layer blobs to push to a registry or to serve itself.
package harness

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

// Media types of OCI images.
const (
	TypeManifest  = "application/vnd.oci.image.manifest.v1+json"
	TypeIndex     = "application/vnd.oci.image.index.v1+json"
	TypeConfig    = "application/vnd.oci.image.config.v1+json"
	TypeLayerGzip = "application/vnd.oci.image.layer.v1.tar+gzip"
	TypeLayerTar  = "application/vnd.oci.image.layer.v1.tar"
	TypeLayerZstd = "application/vnd.oci.image.layer.v1.tar+zstd"
)

// File is an entry of a layer. Hdr is written as it is, so that a test can lie.
type File struct {
	Hdr  tar.Header
	Data []byte
}

// Reg is a regular file.
func Reg(name string, mode int64, data []byte) File {
	return File{Hdr: tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, Size: int64(len(data))}, Data: data}
}

// Dir is a directory.
func Dir(name string, mode int64) File {
	return File{Hdr: tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: mode}}
}

// Link is a symbolic link.
func Link(name, target string) File {
	return File{Hdr: tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: target, Mode: 0o777}}
}

// HardLink is a hard link.
func HardLink(name, target string) File {
	return File{Hdr: tar.Header{Typeflag: tar.TypeLink, Name: name, Linkname: target, Mode: 0o644}}
}

// Tar packs entries in the order given.
func Tar(files []File) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range files {
		h := f.Hdr
		if h.ModTime.IsZero() {
			h.ModTime = time.Unix(1700000000, 0)
		}
		if err := w.WriteHeader(&h); err != nil {
			panic(fmt.Sprintf("tar %q: %v", h.Name, err))
		}
		if _, err := w.Write(f.Data); err != nil {
			panic(fmt.Sprintf("tar %q: %v", h.Name, err))
		}
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// Gzip compresses.
func Gzip(data []byte) []byte {
	var b bytes.Buffer
	w, _ := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	w.Write(data)
	w.Close()
	return b.Bytes()
}

// Zstd compresses with the zstd program.
func Zstd(data []byte) ([]byte, error) {
	cmd := exec.Command("zstd", "-q", "-c")
	cmd.Stdin = bytes.NewReader(data)
	return cmd.Output()
}

// Digest is the OCI digest of a blob.
func Digest(b []byte) string {
	h := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(h[:])
}

// ImageConfig is the part of an image's config that runtimes read.
type ImageConfig struct {
	User       string            `json:"User,omitempty"`
	Env        []string          `json:"Env,omitempty"`
	Entrypoint []string          `json:"Entrypoint,omitempty"`
	Cmd        []string          `json:"Cmd,omitempty"`
	WorkingDir string            `json:"WorkingDir,omitempty"`
	Labels     map[string]string `json:"Labels,omitempty"`
	StopSignal string            `json:"StopSignal,omitempty"`
}

// Layer is one blob and what the manifest says of it.
type Layer struct {
	Type   string
	Blob   []byte
	DiffID string
	Digest string // "" = the true one
	Size   int64  // 0 = the true one
}

// GzipLayer packs files as a gzip layer.
func GzipLayer(files ...File) Layer {
	t := Tar(files)
	return Layer{Type: TypeLayerGzip, Blob: Gzip(t), DiffID: Digest(t)}
}

// Image is a manifest with its blobs.
type Image struct {
	Manifest []byte
	Type     string
	Blobs    map[string][]byte // by digest
	Config   []byte
}

// Digest is the manifest's.
func (i *Image) Digest() string { return Digest(i.Manifest) }

// ID is the image id every runtime reports: the digest of the config.
func (i *Image) ID() string { return Digest(i.Config) }

// NewImage makes an image for linux on this architecture.
func NewImage(cfg ImageConfig, layers ...Layer) *Image {
	img := &Image{Type: TypeManifest, Blobs: map[string][]byte{}}
	diffs := []string{}
	descs := []map[string]any{}
	for _, l := range layers {
		digest, size := l.Digest, l.Size
		if digest == "" {
			digest = Digest(l.Blob)
		}
		if size == 0 {
			size = int64(len(l.Blob))
		}
		img.Blobs[digest] = l.Blob
		diffs = append(diffs, l.DiffID)
		descs = append(descs, map[string]any{"mediaType": l.Type, "digest": digest, "size": size})
	}
	img.Config, _ = json.Marshal(map[string]any{
		"architecture": "amd64", "os": "linux", "config": cfg, "created": "2024-01-01T00:00:00Z",
		"rootfs": map[string]any{"type": "layers", "diff_ids": diffs},
	})
	img.Blobs[Digest(img.Config)] = img.Config
	img.Manifest, _ = json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": TypeManifest,
		"config": map[string]any{"mediaType": TypeConfig, "digest": Digest(img.Config), "size": len(img.Config)},
		"layers": descs,
	})
	return img
}

// BusyboxFiles are a static busybox with all its applets and the few files a container expects.
func BusyboxFiles() []File {
	data, err := os.ReadFile("/bin/busybox")
	if err != nil {
		panic(fmt.Sprintf("busybox-static is not installed: %v", err))
	}
	out, err := exec.Command("/bin/busybox", "--list").Output()
	if err != nil {
		panic(err)
	}
	files := []File{Dir("bin", 0o755), Dir("etc", 0o755), Dir("tmp", 0o1777), Dir("root", 0o700), Dir("home", 0o755), Dir("www", 0o755),
		Reg("bin/busybox", 0o755, data),
		Reg("etc/passwd", 0o644, []byte("root:x:0:0:root:/root:/bin/sh\nwww-data:x:33:33:www:/www:/bin/sh\n")),
		Reg("etc/group", 0o644, []byte("root:x:0:\nwww-data:x:33:\nextra:x:4242:www-data\n")),
		Reg("www/index.html", 0o644, []byte("hello from the side container\n"))}
	for _, name := range strings.Fields(string(out)) {
		if name != "busybox" {
			files = append(files, Link("bin/"+name, "busybox"))
		}
	}
	return files
}

// Busybox is an image of BusyboxFiles with "sh" as its command.
func Busybox() *Image {
	return NewImage(ImageConfig{Cmd: []string{"sh"}, Env: []string{"PATH=/bin", "FROM_IMAGE=yes"}}, GzipLayer(BusyboxFiles()...))
}

// Unikernel is an image that declares the kernel at path `kernel` by urunc's labels.
func Unikernel(kernel []byte, hypervisor string, cmd []string, extra map[string]string) *Image {
	labels := map[string]string{
		"com.urunc.unikernel.unikernelType": "mirage",
		"com.urunc.unikernel.hypervisor":    hypervisor,
		"com.urunc.unikernel.binary":        "/unikernel/kernel",
	}
	for k, v := range extra {
		if v == "" {
			delete(labels, k)
		} else {
			labels[k] = v
		}
	}
	return NewImage(ImageConfig{Cmd: cmd, Labels: labels},
		GzipLayer(Dir("unikernel", 0o755), Reg("unikernel/kernel", 0o755, kernel)))
}
