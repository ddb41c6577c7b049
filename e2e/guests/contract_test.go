// SPDX-License-Identifier: Apache-2.0

package guests

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
	h "unicri.dev/e2e/harness"
)

// A driver of unikernels, as its contract is tested. What is the same for all stands in contract(); what a driver's
// monitor does in its own way stands in the table.
type driver struct {
	name   string                                     // handler
	option string                                     // configuration key of its program; "" = built in
	find   func() (program, why string)               // why: it cannot be tested here
	old    string                                     // what a version that is too old says of itself
	guest  func(role string) (ref string, a []string) // roles: hello, exit 42, crash, idle, spin
	api    bool                                       // its monitor is a stand-in that plays roles, and has an API
	panics bool                                       // its stand-in also plays guests that panic and reset
	crash  string                                     // reason of a container whose guest crashed; "" = any but "Completed"
	root   []string                                   // what its jail may hold
	disk   string                                     // what a guest of it says of its disk
	net    bool                                       // a guest of it answers HTTP on port 8080
}

func builtIn() (string, string) { return "", "" }

func installed(program string, needsKVM bool) func() (string, string) {
	return func() (string, string) {
		if needsKVM && !kvm() {
			return "", "there is no KVM"
		}
		path, err := exec.LookPath(program)
		if err != nil {
			return "", program + " is not installed"
		}
		path, err = filepath.Abs(path)
		if err != nil {
			return "", err.Error()
		}
		return path, ""
	}
}

// solo5 guests do by themselves what their role asks for.
func solo5(target string) func(string) (string, []string) {
	return func(role string) (string, []string) {
		switch role {
		case "hello":
			return h.GuestRef("hello." + target), []string{"one", "two"}
		case "exit":
			return h.GuestRef("exitcode." + target), []string{"42"}
		}
		if role == "disk" {
			return h.RegistryAddr + "/guest/disk:" + target, nil
		}
		return h.GuestRef(role + "." + target), nil
	}
}

const sector = "first sector of the disk"

// machine is the guest for monitors whose guests have machines.
func machine(role string) (string, []string) {
	return h.GuestRef("roles.pvh"), map[string][]string{"hello": {"hello", "one", "two"}, "exit": {"exit", "42"}, "crash": {"crash"}, "idle": {"idle"}, "spin": {"spin"}}[role]
}

var externalRoot = []string{"kernel", "dev", "lib", "lib64", "usr", "disk0"}

var drivers = []driver{
	{name: "tender-spt", find: builtIn, guest: solo5("spt"), crash: "GuestCrashed", disk: sector, net: true},
	{name: "tender-hvt", find: func() (string, string) {
		if !kvm() {
			return "", "there is no KVM"
		}
		return "", ""
	}, guest: solo5("hvt"), crash: "GuestCrashed", disk: sector, net: true},
	{name: "solo5-spt", option: "vmm.solo5_spt_program", find: installed("solo5-spt", false), old: "solo5-spt tender, version v0.6.9",
		guest: solo5("spt"), crash: "GuestCrashed", root: externalRoot, disk: sector, net: true},
	{name: "firecracker", option: "vmm.firecracker_program", find: fake("fake-firecracker"), old: "Firecracker v1.5.1",
		guest: fakeGuest, api: true, crash: "GuestCrashed", root: []string{"kernel", "initrd", "disk0", "dev", "run", "config.json"}},
	{name: "cloud-hypervisor", option: "vmm.cloud_hypervisor_program", find: fake("fake-cloud-hypervisor"), old: "cloud-hypervisor v50.0.0",
		guest: fakeGuest, api: true, panics: true, root: []string{"kernel", "initrd", "disk0", "dev"}},
	{name: "solo5-hvt", option: "vmm.solo5_hvt_program", find: installed("solo5-hvt", true), old: "solo5-hvt tender, version v0.6.9",
		guest: solo5("hvt"), root: externalRoot, disk: sector, net: true},
	{name: "qemu", option: "vmm.qemu_program", find: installed("qemu-system-x86_64", false), old: "QEMU emulator version 6.2.0",
		guest: machine, crash: "GuestReset", root: []string{"kernel", "end", "dev", "lib", "lib64", "usr"}},
}

// fake is a stand-in built beside the others; it needs /dev/kvm as the real one does.
func fake(name string) func() (string, string) {
	return func() (string, string) {
		if !kvm() {
			return "", "there is no KVM"
		}
		return h.Bin(name), ""
	}
}

const fakeRef = h.RegistryAddr + "/guest/pvh:1"

func fakeGuest(role string) (string, []string) {
	return fakeRef, []string{"role=" + role, "one", "two"}
}

// pvhKernel is the smallest file that is a kernel with a PVH entry.
func pvhKernel() []byte {
	var b bytes.Buffer
	le := func(v any) { binary.Write(&b, binary.LittleEndian, v) }
	b.Write([]byte{0x7f, 'E', 'L', 'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	le([]uint16{2, 62})
	le(uint32(1))
	le([]uint64{0x100000, 64, 0})
	le(uint32(0))
	le([]uint16{64, 56, 2, 64, 0, 0})
	segment := func(kind uint32, offset, size uint64) {
		le([]uint32{kind, 5})
		le([]uint64{offset, 0x100000 + offset, 0x100000 + offset, size, size, 4})
	}
	segment(1, 0, 64+2*56+20)
	segment(4, 64+2*56, 20)
	le([]uint32{4, 4, 18})
	b.WriteString("Xen\x00")
	le(uint32(0x100000))
	return b.Bytes()
}

func fakeImage() *h.Image {
	return h.NewImage(h.ImageConfig{Labels: map[string]string{
		"com.urunc.unikernel.unikernelType": "generic",
		"com.urunc.unikernel.binary":        "/unikernel/kernel",
		"com.urunc.unikernel.initrd":        "/unikernel/initrd",
		"com.urunc.unikernel.block":         "/unikernel/disk.img",
	}}, h.GzipLayer(h.Dir("unikernel", 0o755), h.Reg("unikernel/kernel", 0o755, pvhKernel()),
		h.Reg("unikernel/initrd", 0o644, []byte("initrd")), h.Reg("unikernel/disk.img", 0o600, make([]byte, 4096))))
}

// script is a program that says `text` on both streams, whatever it is asked.
func script(t *testing.T, text string) string {
	path := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(path, []byte("#!/bin/sh\necho '"+text+"'\necho '"+text+"' >&2\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestContract is what every driver promises, whichever monitor is behind it.
func TestContract(t *testing.T) {
	h.NeedUnicrid(t)
	set := map[string]string{"vmm.ready_timeout": "4"}
	for _, d := range drivers {
		if program, why := d.find(); why == "" && d.option != "" {
			set[d.option] = strconv.Quote(program)
		}
	}
	n := h.NewNode(t, h.NodeOptions{Set: set, Images: func(r *h.Registry) error {
		for _, b := range []string{"spt", "hvt"} {
			if err := r.Push("guest/disk", b, blockImage(t, "blk."+b)); err != nil {
				return err
			}
		}
		return r.Push("guest/pvh", "1", fakeImage())
	}})
	for _, d := range drivers {
		t.Run(d.name, func(t *testing.T) {
			if _, why := d.find(); why != "" {
				t.Skip(why)
			}
			contract(t, n, d)
		})
	}
}

func contract(t *testing.T, n *h.Node, d driver) {
	run := func(t *testing.T, role string) (*h.Pod, *h.Ctr) {
		t.Helper()
		p, err := n.TryRunPod(role+"-"+d.name, d.name)
		if err != nil {
			t.Fatal(err)
		}
		ref, a := d.guest(role)
		n.Pull(t, ref)
		return p, p.Run(t, "guest", ref, nil, args(a...))
	}
	end := func(t *testing.T, p *h.Pod) {
		t.Helper()
		p.Stop(t)
		p.Remove(t)
	}
	t.Run("console and end", func(t *testing.T) {
		p, c := run(t, "hello")
		s := c.Wait(t, 20e9)
		if s.ExitCode != 0 || s.Reason != "Completed" {
			t.Errorf("%v", s)
		}
		if out := c.Out(t, "stdout"); !strings.Contains(out, "Hello from a unikernel\n") || !strings.Contains(out, "one two") {
			t.Errorf("%q", c.RawLog())
		}
		phases(t, n, c, d.control())
		end(t, p)
	})
	t.Run("exit status", func(t *testing.T) {
		if d.api {
			t.Skip("its guests have no exit status")
		}
		p, c := run(t, "exit")
		if s := c.Wait(t, 20e9); s.ExitCode != 42 || s.Reason != "Error" {
			t.Errorf("%v %s", s, c.RawLog())
		}
		end(t, p)
	})
	t.Run("crash", func(t *testing.T) {
		p, c := run(t, "crash")
		s := c.Wait(t, 20e9)
		if s.ExitCode == 0 || s.Reason == "Completed" || s.Reason == "" || s.Message == "" || d.crash != "" && s.Reason != d.crash {
			t.Errorf("%v %s", s, c.RawLog())
		}
		if lines := strings.Fields(c.Out(t, "stdout")); len(lines) > 0 && !strings.HasSuffix(strings.TrimSpace(s.Message), lines[len(lines)-1]) {
			t.Errorf("the message does not end as the console does: %q, %q", s.Message, c.RawLog())
		}
		end(t, p)
	})
	t.Run("stop", func(t *testing.T) {
		for _, role := range []string{"idle", "spin"} {
			p, c := run(t, role)
			c.WaitLog(t, map[string]string{"idle": "idle: waiting", "spin": "busy from now on"}[role], 20e9)
			start := time.Now()
			if err := n.RT.StopContainer(h.Ctx, c.ID, 2); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(start); took > h.Slow(5*time.Second) {
				t.Errorf("%s: a grace of 2 s took %v", role, took)
			}
			if s := c.Status(t); s.State != cri.ContainerState_CONTAINER_EXITED {
				t.Errorf("%s: %v", role, s)
			}
			end(t, p)
		}
	})
	t.Run("jail", func(t *testing.T) {
		p, c := run(t, "idle")
		c.WaitLog(t, "idle: waiting", 20e9)
		q, e := run(t, "spin")
		e.WaitLog(t, "busy from now on", 20e9)
		a, b := findGuest(t, n, c), findGuest(t, n, e)
		checkJail(t, a, d.root...)
		if a.uid == b.uid {
			t.Errorf("two guests share the uid %s", a.uid)
		}
		end(t, q)
		end(t, p)
	})
	t.Run("resources", func(t *testing.T) { resources(t, n, d) })
	if d.api {
		if d.panics {
			t.Run("panic and reset", func(t *testing.T) {
				p, c := run(t, "panic")
				if s := c.Wait(t, 20e9); s.ExitCode != 1 || s.Reason != "GuestPanicked" {
					t.Errorf("%v %s", s, c.RawLog())
				}
				end(t, p)
				// One that resets would be booted anew by its monitor.
				p, c = run(t, "reset")
				if s := c.Wait(t, 30e9); s.ExitCode != 1 || s.Reason != "GuestReset" {
					t.Errorf("%v %s", s, c.RawLog())
				}
				end(t, p)
			})
		}
		t.Run("network", func(t *testing.T) { // through the tap and to the MAC that it was handed
			p, c := run(t, "net")
			c.WaitLog(t, "net: listening", 20e9)
			for _, size := range []string{"56", "1400"} {
				if out, err := n.NS.Output("busybox", "ping", "-c", "1", "-W", "5", "-s", size, p.IP(t)); err != nil {
					t.Errorf("ping of %s bytes: %v %s", size, err, out)
				}
			}
			c.WaitLog(t, "net: answered a ping", 20e9)
			end(t, p)
		})
		t.Run("the monitor crashes", func(t *testing.T) {
			p, c := run(t, "signal")
			if s := c.Wait(t, 20e9); s.ExitCode <= 128 || s.Reason != "Error" || s.Message == "" {
				t.Errorf("%v %s", s, c.RawLog())
			}
			end(t, p)
		})
		t.Run("an API that is none", func(t *testing.T) {
			for role, words := range map[string]string{"mute": "does not answer", "deaf": "does not answer", "garbage": "is not HTTP", "fault": "the fake is in a mood"} {
				p, err := n.TryRunPod(role+"-"+d.name, d.name)
				if err != nil {
					t.Fatal(err)
				}
				ref, a := d.guest(role)
				n.Pull(t, ref)
				c, start := p.Create(t, "guest", ref, nil, args(a...)), time.Now()
				if err := n.RT.StartContainer(h.Ctx, c.ID); err == nil || !strings.Contains(err.Error(), words) || !strings.Contains(err.Error(), d.name) {
					t.Errorf("%s: %v", role, err)
				}
				if took := time.Since(start); took > h.Slow(12*time.Second) {
					t.Errorf("%s: took %v", role, took)
				}
				if s := c.Status(t); s.State != cri.ContainerState_CONTAINER_EXITED || s.Reason != "StartError" {
					t.Errorf("%s: %v", role, s)
				}
				end(t, p)
			}
		})
	}
	if d.disk != "" {
		t.Run("disk", func(t *testing.T) {
			p, c := run(t, "disk")
			if s := c.Wait(t, 20e9); s.ExitCode != 0 || !strings.Contains(c.RawLog(), d.disk) {
				t.Errorf("%v %s", s, c.RawLog())
			}
			end(t, p)
		})
	}
	if d.net {
		t.Run("network", func(t *testing.T) {
			p, c := run(t, "http")
			if got, err := n.Get("http://"+p.IP(t)+":8080/hello", 10*time.Second); err != nil || !strings.Contains(got, "/hello") {
				t.Errorf("%q %v\n%s", got, err, c.RawLog())
			}
			checkJail(t, findGuest(t, n, c), d.root...)
			end(t, p)
		})
	}
}

// TestUnfit: a driver whose program is missing or too old says so, and `unicri check` says the same.
func TestUnfit(t *testing.T) {
	h.NeedUnicrid(t)
	for _, kind := range []string{"missing", "old"} {
		t.Run(kind, func(t *testing.T) {
			set := map[string]string{}
			for _, d := range drivers {
				if d.option != "" && kind == "missing" {
					set[d.option] = strconv.Quote("/nonexistent/" + d.name)
				} else if d.option != "" {
					set[d.option] = strconv.Quote(script(t, d.old))
				}
			}
			n := h.NewNode(t, h.NodeOptions{Set: set, Images: func(r *h.Registry) error { return r.Push("guest/pvh", "1", fakeImage()) }})
			out, _ := exec.Command(h.Bin("unicri"), "--socket", n.Socket, "check").CombinedOutput()
			for _, d := range drivers {
				if d.option != "" {
					unfit(t, n, d, map[string]string{"missing": "is not installed", "old": "is needed"}[kind], string(out))
				}
			}
		})
	}
}

func unfit(t *testing.T, n *h.Node, d driver, words, check string) {
	t.Helper()
	line := ""
	for _, l := range strings.Split(check, "\n") {
		if strings.Contains(l, " "+d.name+": ") {
			line = l
		}
	}
	if !strings.HasPrefix(line, "no ") || !strings.Contains(line, words) {
		t.Errorf("%s: unicri check says %q:\n%s", d.name, line, check)
	}
	p, err := n.TryRunPod("unfit-"+d.name, d.name)
	if err != nil {
		t.Fatal(err)
	}
	ref, a := d.guest("hello")
	n.Pull(t, ref)
	if _, err := p.TryCreate("guest", ref, nil, args(a...)); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("driver '%s'", d.name)) || !strings.Contains(err.Error(), words) {
		t.Errorf("%s: CreateContainer: %v", d.name, err)
	}
	p.Stop(t)
	p.Remove(t)
}
