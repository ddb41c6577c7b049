// SPDX-License-Identifier: Apache-2.0

// storage.go: the standard images, pushed once a run into a registry storage that all nodes' registries read.
package harness

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// BusyboxRef is the standard container image.
const BusyboxRef = RegistryAddr + "/busybox:1"

// GuestRef is the image of a test unikernel: GuestRef("hello.spt") is the kernel hello for spt.
func GuestRef(kernel string) string {
	return RegistryAddr + "/guest/" + strings.ReplaceAll(kernel, ".", ":")
}

// Storage is the directory of the shared registry storage; it is filled by the first caller of the run.
var Storage = sync.OnceValues(func() (string, error) {
	dir := filepath.Join(runDir(), "images-"+filepath.Base(Build()))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	lock, err := os.OpenFile(dir+"/lock", os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o644)
	if err != nil {
		return "", err
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return "", err
	}
	storage := dir + "/storage"
	if _, err := os.Stat(dir + "/complete"); err == nil {
		return storage, nil
	}
	os.RemoveAll(storage)
	ns, err := NewNetNS(dir + "/netns")
	if err != nil {
		return "", err
	}
	defer ns.Close()
	r, err := StartRegistry(ns, RegistryAddr, storage, dir, "", "")
	if err != nil {
		return "", err
	}
	defer r.Close()
	if err := pushStandard(r); err != nil {
		return "", err
	}
	return storage, os.WriteFile(dir+"/complete", nil, 0o644)
})

func pushStandard(r *Registry) error {
	bb := Busybox()
	if err := r.Push("busybox", "1", bb); err != nil {
		return err
	}
	if err := r.Push("other/name", "2", bb); err != nil {
		return err
	}
	pause := NewImage(ImageConfig{Entrypoint: []string{"/bin/busybox", "sleep", "2147483647"}}, GzipLayer(BusyboxFiles()...))
	if err := r.Push("pause", "1", pause); err != nil {
		return err
	}
	kernels, _ := filepath.Glob(Guest("*"))
	for _, k := range kernels {
		ext := strings.TrimPrefix(filepath.Ext(k), ".")
		if ext != "spt" && ext != "hvt" && ext != "pvh" {
			continue
		}
		data, err := os.ReadFile(k)
		if err != nil {
			return err
		}
		name := strings.TrimSuffix(filepath.Base(k), "."+ext)
		extra := map[string]string{}
		if ext == "pvh" { // any monitor that has such machines
			extra["com.urunc.unikernel.unikernelType"] = "generic"
			extra["com.urunc.unikernel.hypervisor"] = ""
		}
		if err := r.Push("guest/"+name, ext, Unikernel(data, ext, nil, extra)); err != nil {
			return fmt.Errorf("guest %s: %w", name, err)
		}
	}
	return nil
}
