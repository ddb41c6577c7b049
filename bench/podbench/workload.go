// SPDX-License-Identifier: Apache-2.0

// workload.go: what is run, its images, and which of it this host can run.
package main

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	h "unicri.dev/e2e/harness"
)

// workload is an image with a command, or a guest.
type workload struct {
	label   string
	image   string
	command []string
	handler string // "": the server's default
}

var busybox = workload{"busybox", registryAddr + "/busybox:1", []string{"sh", "-c", "echo up; exec sleep 100000"}, ""}

// workloads of a server. Guests of unicri are labelled with their VMM.
func workloads(server string) []workload {
	spt, hvt := registryAddr+"/guest:spt", registryAddr+"/guest:hvt"
	idle := []string{"idle"} // these guests read no arguments, but containerd wants a command
	switch {
	case !*unikernels && server == "unicri":
		return []workload{{"spt", spt, idle, ""}, busybox}
	case !*unikernels:
		return []workload{busybox}
	case server == "unicri":
		return []workload{{"spt", spt, idle, "tender-spt"}, {"hvt", hvt, idle, "tender-hvt"}, {"solo5-spt", spt, idle, "solo5-spt"},
			{"solo5-hvt", hvt, idle, "solo5-hvt"}, {"qemu", registryAddr + "/guest:pvh", idle, "qemu"}}
	default:
		return []workload{{"urunc", spt, idle, "urunc"}}
	}
}

// thatRun runs each side a few times, so that what is done once is done, and leaves out VMMs that this host lacks.
func thatRun(sides []*side) ([]*side, error) {
	var out []*side
	for _, d := range sides {
		var err error
		for i := 0; i < 3 && err == nil; i++ {
			err = d.one(figures{})
		}
		switch {
		case err == nil:
			out = append(out, d)
		case d.w.handler != "" && d.w.handler != "urunc" && d.w.handler != "tender-spt":
			fmt.Printf("left out: %s: %v\n", d.label(), err)
		default:
			return nil, fmt.Errorf("%s: %w\n%s", d.label(), err, tail(d.s.path("log")))
		}
	}
	if len(out) == 0 {
		return nil, errors.New("nothing runs here")
	}
	return out, nil
}

// images fills a registry storage: busybox, a static pause, the guest.
func images(top string) (string, error) {
	ns, err := h.NewNetNS(filepath.Join(top, "images-netns"))
	if err != nil {
		return "", err
	}
	defer ns.Close()
	storage := filepath.Join(top, "storage")
	r, err := h.StartRegistry(ns, registryAddr, storage, filepath.Join(top, "images"), "", "")
	if err != nil {
		return "", err
	}
	defer r.Close()
	if err := r.Push("busybox", "1", h.Busybox()); err != nil {
		return "", err
	}
	pause := filepath.Join(top, "pause")
	src := "#include <signal.h>\n#include <stdlib.h>\n#include <sys/wait.h>\n#include <unistd.h>\nstatic void end(int n){(void)n;_exit(0);}static void reap(int n){(void)n;while(waitpid(-1,0,WNOHANG)>0);}\nint main(void){signal(SIGTERM,end);signal(SIGINT,end);signal(SIGCHLD,reap);for(;;)pause();}\n"
	cc := exec.Command("gcc", "-Os", "-static", "-s", "-x", "c", "-o", pause, "-")
	cc.Stdin = strings.NewReader(src)
	if out, err := cc.CombinedOutput(); err != nil {
		return "", fmt.Errorf("pause: %w: %s", err, out)
	}
	b, err := os.ReadFile(pause)
	if err != nil {
		return "", err
	}
	if err := r.Push("pause", "1", h.NewImage(h.ImageConfig{Entrypoint: []string{"/pause"}}, h.GzipLayer(h.Reg("pause", 0o755, b)))); err != nil {
		return "", err
	}
	if *lists == 0 && (*only != "containerd" || *unikernels) {
		if err := guests(r); err != nil {
			return "", err
		}
	}
	return storage, nil
}

// guests pushes the idle guest as each kind of kernel; the tag is the kind. What it says of itself is said in the places
// that each server reads: labels, and a file in the image.
func guests(r *h.Registry) error {
	name := "idle"
	if *urunc != "" {
		name = "http" // it runs no guest without a network device of its name
	}
	for _, g := range []struct{ tag, file, hypervisor, family string }{
		{"spt", name + ".spt", "spt", "mirage"}, {"hvt", name + ".hvt", "hvt", "mirage"}, {"pvh", "roles.pvh", "qemu", "generic"}} {
		if g.tag != "spt" && !*unikernels {
			continue
		}
		k, err := os.ReadFile(filepath.Join(*build, "unikernels", g.file))
		if err != nil {
			return err
		}
		says := map[string]string{"com.urunc.unikernel.unikernelType": g.family, "com.urunc.unikernel.hypervisor": g.hypervisor,
			"com.urunc.unikernel.binary": "/unikernel/kernel", "com.urunc.unikernel.cmdline": ""}
		coded := map[string]string{}
		for key, value := range says {
			coded[key] = base64.StdEncoding.EncodeToString([]byte(value))
		}
		file, err := json.Marshal(coded)
		if err != nil {
			return err
		}
		delete(says, "com.urunc.unikernel.cmdline")
		image := h.NewImage(h.ImageConfig{Labels: says}, h.GzipLayer(h.Dir("unikernel", 0o755), h.Reg("unikernel/kernel", 0o755, k), h.Reg("urunc.json", 0o644, file)))
		if err := r.Push("guest", g.tag, image); err != nil {
			return err
		}
	}
	return nil
}
