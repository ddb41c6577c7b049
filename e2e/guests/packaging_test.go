// SPDX-License-Identifier: Apache-2.0

package guests

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
	h "unicri.dev/e2e/harness"
)

const key = "com.urunc.unikernel."

// keys are plain values under urunc's prefix.
func keys(kv ...string) map[string]string {
	m := map[string]string{}
	for i := 0; i < len(kv); i += 2 {
		m[key+kv[i]] = kv[i+1]
	}
	return m
}

func encoded(m map[string]string) map[string]string {
	e := map[string]string{}
	for k, v := range m {
		e[k] = base64.StdEncoding.EncodeToString([]byte(v))
	}
	return e
}

func jsonFile(m map[string]string) h.File {
	data, _ := json.Marshal(m)
	return h.Reg("urunc.json", 0o644, data)
}

// annotate puts annotations into the manifest.
func annotate(img *h.Image, annotations map[string]string) *h.Image {
	var m map[string]any
	json.Unmarshal(img.Manifest, &m)
	m["annotations"] = annotations
	img.Manifest, _ = json.Marshal(m)
	return img
}

// kraft is an image as KraftKit lays it out: files of a layer each, uncompressed, annotated, below an index whose
// platform is the hypervisor. The manifest is pushed by its digest.
func kraft(r *h.Registry, repo string, kernel []byte, cfg h.ImageConfig, legacy bool, annotations map[string]string) error {
	layerType, configType := h.TypeLayerTar, h.TypeConfig
	if legacy {
		layerType, configType = "application/vnd.unikraft.image.v1", "application/vnd.unikraft.config.v1"
	}
	tar := h.Tar([]h.File{h.Dir("unikraft", 0o755), h.Dir("unikraft/bin", 0o755), h.Reg("unikraft/bin/kernel", 0o644, kernel)})
	config, _ := json.Marshal(map[string]any{
		"architecture": "x86_64", "os": "qemu", "os.version": "0.17.0", "os.features": []string{"CONFIG_X=y"}, "config": cfg,
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{h.Digest(tar)}},
	})
	manifest, _ := json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": h.TypeManifest, "annotations": annotations,
		"config": map[string]any{"mediaType": configType, "digest": h.Digest(config), "size": len(config)},
		"layers": []any{map[string]any{"mediaType": layerType, "digest": h.Digest(tar), "size": len(tar),
			"annotations": map[string]string{"org.unikraft.kernel.image": "/unikraft/bin/kernel"}}},
	})
	img := &h.Image{Type: h.TypeManifest, Manifest: manifest, Config: config,
		Blobs: map[string][]byte{h.Digest(config): config, h.Digest(tar): tar}}
	if err := r.Push(repo, "qemu", img); err != nil {
		return err
	}
	index, _ := json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": h.TypeIndex, "annotations": map[string]string{"sh.kraftkit.version": "0.9.4"},
		"manifests": []any{map[string]any{"mediaType": h.TypeManifest, "digest": h.Digest(manifest), "size": len(manifest),
			"platform": map[string]any{"os": "qemu", "architecture": "x86_64", "os.version": "0.17.0"}}},
	})
	return r.PushManifest(repo, "1", h.TypeIndex, index)
}

// tools makes an image with umoci and pushes it with skopeo, as people do without any builder of unikernels.
func tools(r *h.Registry, dir, repo string, kernel []byte) error {
	layout, bundle := dir+"/oci:t", dir+"/bundle"
	steps := []func() error{
		umoci("init", "--layout", dir+"/oci"),
		umoci("new", "--image", layout),
		umoci("unpack", "--image", layout, bundle),
		func() error { return os.MkdirAll(bundle+"/rootfs/unikernel", 0o755) },
		func() error { return os.WriteFile(bundle+"/rootfs/unikernel/k", kernel, 0o644) },
		umoci("repack", "--image", layout, bundle),
		umoci("config", "--image", layout, "--config.cmd", "made", "--config.cmd", "by tools",
			"--config.label", key+"unikernelType=mirage", "--config.label", key+"hypervisor=spt", "--config.label", key+"binary=/wrong",
			"--manifest.annotation", key+"binary=/unikernel/k"),
		func() error {
			out, err := r.NS.Output("skopeo", "copy", "--quiet", "--dest-tls-verify=false", "oci:"+layout, "docker://"+r.Addr+"/"+repo+":1")
			if err != nil {
				return fmt.Errorf("skopeo: %w: %s", err, out)
			}
			return nil
		},
	}
	for _, s := range steps {
		if err := s(); err != nil {
			return err
		}
	}
	return nil
}

func umoci(args ...string) func() error {
	return func() error {
		if out, err := exec.Command("umoci", args...).CombinedOutput(); err != nil {
			return fmt.Errorf("umoci %v: %w: %s", args, err, out)
		}
		return nil
	}
}

// TestPackaging runs the same guest from images of every packaging.
func TestPackaging(t *testing.T) {
	h.NeedUnicrid(t)
	kernel := mustRead(h.Guest("hello.spt"))
	boot := []h.File{h.Dir(".boot", 0o755), h.Reg(".boot/kernel", 0o644, kernel)}
	all := keys("unikernelType", "mirage", "hypervisor", "spt", "binary", "/.boot/kernel")
	spt := keys("unikernelType", "mirage", "hypervisor", "spt")
	images := map[string]*h.Image{
		// bunny: plain annotations and labels, an encoded file
		"bunny": annotate(h.NewImage(h.ImageConfig{Labels: all, Cmd: []string{"a", "b c"}},
			h.GzipLayer(append(boot, jsonFile(encoded(all)))...)), all),
		// bima: all encoded, the command line split into Cmd
		"bima": annotate(h.NewImage(h.ImageConfig{Cmd: []string{"a", "b c"}},
			h.GzipLayer(append(boot, jsonFile(encoded(all)))...)), encoded(all)),
		"file":       h.NewImage(h.ImageConfig{Cmd: []string{"a", "b c"}}, h.GzipLayer(append(boot, jsonFile(encoded(all)))...)),
		"plain-file": h.NewImage(h.ImageConfig{Cmd: []string{"a", "b c"}}, h.GzipLayer(append(boot, jsonFile(all))...)),
		// no type, no hypervisor: the kernel's notes tell both
		"untyped": h.NewImage(h.ImageConfig{Labels: keys("binary", "/.boot/kernel", "unikernelType", "generic"), Cmd: []string{"a", "b c"}}, h.GzipLayer(boot...)),
		"bare":    h.NewImage(h.ImageConfig{Entrypoint: []string{"/.boot/kernel", "a"}, Cmd: []string{"b c"}}, h.GzipLayer(boot...)),
		"linked": h.NewImage(h.ImageConfig{Entrypoint: []string{"/init"}, Cmd: []string{"a", "b c"}},
			h.GzipLayer(append(boot, h.Link("init", ".boot/kernel"))...)),
		// each source says something wrong that the next stronger one puts right
		"precedence": annotate(h.NewImage(h.ImageConfig{Labels: keys("binary", "/.boot/kernel", "hypervisor", "qemu", "unikernelType", "unikraft")},
			h.GzipLayer(append(boot, jsonFile(keys("binary", "/no", "hypervisor", "firecracker", "cmdline", "from file")))...)),
			keys("hypervisor", "hvt", "unikernelType", "mirage")),
		"conflict": h.NewImage(h.ImageConfig{Labels: keys("binary", "/.boot/kernel", "hypervisor", "spt", "unikernelType", "linux")}, h.GzipLayer(boot...)),
		"device":   h.NewImage(h.ImageConfig{Labels: keys("binary", "/.boot/kernel", "solo5NetDev", "service")}, h.GzipLayer(boot...)),
		"unknown":  h.NewImage(h.ImageConfig{Labels: keys("binary", "/.boot/kernel", "unikernelType", "templeos")}, h.GzipLayer(boot...)),
		"host": h.NewImage(h.ImageConfig{Labels: keys("unikernelType", "mirage", "mountRootfs", "false", "bootKernel", h.Guest("hello.spt")), Cmd: []string{"a", "b c"}},
			h.GzipLayer(h.Reg("ordinary", 0o644, []byte("image\n")))),
		"host-other": h.NewImage(h.ImageConfig{Labels: keys("bootKernel", "/etc/shadow")}, h.GzipLayer(boot...)),
		"host-both":  h.NewImage(h.ImageConfig{Labels: keys("bootKernel", h.Guest("hello.spt"), "binary", "/.boot/kernel")}, h.GzipLayer(boot...)),
		"vaccel":     h.NewImage(h.ImageConfig{Labels: keys("binary", "/.boot/kernel", "vAccel", "vsock")}, h.GzipLayer(boot...)),
		"rumprun": h.NewImage(h.ImageConfig{Labels: keys("binary", "/.boot/kernel", "hypervisor", "spt", "unikernelType", "rumprun"),
			Cmd: []string{"a", "b c"}, Env: []string{"K=v w"}}, h.GzipLayer(boot...)),
		"mixed": annotate(h.NewImage(h.ImageConfig{}, h.GzipLayer(boot...)),
			map[string]string{key + "unikernelType": "bWlyYWdl", key + "binary": "/.boot/kernel"}),
	}
	n := h.NewNode(t, h.NodeOptions{
		Set: map[string]string{"handlers.keyed.kind": `"auto"`, "handlers.guests.kind": `"tender-spt"`, "handlers.guests.side_containers": "false", "vmm.boot_files": fmt.Sprintf("[%q]", h.Guest("hello.spt")),
			"handlers.keyed.pod_annotations": `["com.urunc.unikernel.hypervisor", "com.urunc.unikernel.cmdline"]`},
		Images: func(r *h.Registry) error {
			for name, img := range images {
				if err := r.Push("pack/"+name, "1", img); err != nil {
					return err
				}
			}
			if err := kraft(r, "pack/kraft", kernel, h.ImageConfig{Cmd: []string{"a", "b c"}}, false, spt); err != nil {
				return err
			}
			if err := kraft(r, "pack/kraft-legacy", kernel, h.ImageConfig{Cmd: []string{"a", "b c"}}, true, spt); err != nil {
				return err
			}
			if err := kraft(r, "pack/kraft-only", kernel, h.ImageConfig{}, false, map[string]string{"org.unikraft.image.name": "x"}); err != nil {
				return err
			}
			return tools(r, filepath.Join(t.TempDir()), "pack/tools", kernel)
		}})
	ref := func(name string) string { return h.RegistryAddr + "/pack/" + name + ":1" }
	runs := func(name, image, handler string, annotations map[string]string, command, args []string, want string) {
		t.Run(name, func(t *testing.T) {
			n.Pull(t, ref(image))
			p, err := n.TryRunPod("pack-"+name, handler, func(c *cri.PodSandboxConfig) { c.Annotations = annotations })
			if err != nil {
				t.Fatal(err)
			}
			c := p.Run(t, "guest", ref(image), command, func(c *cri.ContainerConfig) { c.Args = args })
			s := c.Wait(t, 10e9)
			if out := c.Out(t, "stdout"); s.ExitCode != 0 || !strings.Contains(out, "Hello from a unikernel\n") || !strings.Contains(out, "command line: "+want+"\n") {
				t.Errorf("want %q: %v\n%s", want, s, out)
			}
			p.Stop(t)
			p.Remove(t)
		})
	}
	refused := func(name, image, handler string, annotations map[string]string, command []string, want ...string) {
		t.Run(name, func(t *testing.T) {
			n.Pull(t, ref(image))
			p, err := n.TryRunPod("pack-"+name, handler, func(c *cri.PodSandboxConfig) { c.Annotations = annotations })
			if err != nil {
				t.Fatal(err)
			}
			_, err = p.TryCreate("guest", ref(image), command)
			for _, w := range want {
				if err == nil || !strings.Contains(err.Error(), w) {
					t.Errorf("want %q: %v", w, err)
				}
			}
			p.Stop(t)
			p.Remove(t)
		})
	}
	for _, name := range []string{"bunny", "bima", "file", "plain-file", "kraft", "kraft-legacy"} {
		runs(name, name, "", nil, nil, nil, `a "b c"`) // as MirageOS quotes
	}
	runs("untyped", "untyped", "", nil, nil, nil, "a b c")
	runs("tools", "tools", "", nil, nil, nil, `made "by tools"`)
	runs("bare", "bare", "", nil, nil, nil, "a b c")
	runs("bare-args", "bare", "", nil, nil, []string{"mine"}, "a mine")
	runs("bare-command", "bare", "", nil, []string{"/.boot/kernel", "other"}, nil, "other")
	runs("bare-handler", "bare", "tender-spt", nil, nil, nil, "a b c")
	runs("linked", "linked", "", nil, nil, nil, "a b c")
	refused("bare-not", "bare", "guests", nil, []string{"/urunc.json"}, "declares no unikernel", "/urunc.json")

	runs("host", "host", "", nil, nil, nil, `a "b c"`)

	spec := keys("hypervisor", "spt", "binary", "/not/allowed", "cmdline", "from pod")
	runs("precedence", "precedence", "keyed", spec, nil, nil, "from pod")
	refused("annotation-not-allowed", "precedence", "", spec, nil, "Solo5 spt", "hvt")

	// what a family cannot be told is refused when the container is created
	runs("family-line", "rumprun", "", nil, nil, nil, `{"cmdline":"'a' 'b c'","env":"K=v w"}`)
	refused("family-word", "rumprun", "", nil, []string{`say "hi"`}, "argument 'say \"hi\"'", "double quote")
	refused("kraft-only", "kraft-only", "", nil, nil, "qemu", "spt")
	refused("conflict", "conflict", "", nil, nil, "declares type 'linux'", "Solo5")
	refused("device", "device", "", nil, nil, "solo5NetDev 'service'", "none of the kind")
	refused("unknown", "unknown", "", nil, nil, "unikernelType 'templeos'", "image label")
	refused("host-other", "host-other", "", nil, nil, "/etc/shadow", "vmm.boot_files")
	refused("host-both", "host-both", "", nil, nil, "declares both", "bootKernel", "binary")
	refused("vaccel", "vaccel", "", nil, nil, "vAccel")
	refused("mixed", "mixed", "", nil, nil, "is not base64 like the other values", "manifest annotation")
}
