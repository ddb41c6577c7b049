// SPDX-License-Identifier: Apache-2.0

// Package guests tests unikernel pods: Solo5 guests on the built-in tender.
package guests

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
	h "unicri.dev/e2e/harness"
)

// backends are the tenders this host can run: hvt needs a usable KVM.
func backends(t *testing.T, n *h.Node) []string {
	s, err := n.RT.Status(h.Ctx, false)
	if err != nil {
		t.Fatal(err)
	}
	list := []string{"spt"}
	for _, r := range s.RuntimeHandlers {
		if r.Name == "tender-hvt" && kvm() {
			list = append(list, "hvt")
		}
	}
	return list
}

func kvm() bool {
	f, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	if err == nil {
		f.Close()
	}
	return err == nil
}

// args of a guest; the image names none.
func args(a ...string) h.CtrOpt {
	return func(c *cri.ContainerConfig) {
		c.Args = a
		c.Linux.SecurityContext.RunAsUser = nil
	}
}

func memory(bytes int64) h.CtrOpt {
	return func(c *cri.ContainerConfig) { c.Linux.Resources.MemoryLimitInBytes = bytes }
}

func blockImage(t *testing.T, kernel string) *h.Image {
	k, err := os.ReadFile(h.Guest(kernel))
	if err != nil {
		t.Fatal(err)
	}
	disk := make([]byte, 1<<20)
	copy(disk, "first sector of the disk\n")
	return h.NewImage(h.ImageConfig{Labels: map[string]string{
		"com.urunc.unikernel.unikernelType": "mirage",
		"com.urunc.unikernel.hypervisor":    strings.TrimPrefix(kernel, "blk."),
		"com.urunc.unikernel.binary":        "/unikernel/kernel",
		"com.urunc.unikernel.block":         "/unikernel/disk.img",
	}}, h.GzipLayer(h.Dir("unikernel", 0o755), h.Reg("unikernel/kernel", 0o755, k), h.Reg("unikernel/disk.img", 0o644, disk)))
}

// TestGuests runs every test guest on every tender.
func TestGuests(t *testing.T) {
	h.NeedUnicrid(t)
	n := h.NewNode(t, h.NodeOptions{Images: func(r *h.Registry) error {
		for _, b := range []string{"spt", "hvt"} {
			if err := r.Push("guest/disk", b, blockImage(t, "blk."+b)); err != nil {
				return err
			}
		}
		return nil
	}})
	n.Pull(t, h.BusyboxRef)
	for _, b := range backends(t, n) {
		for _, g := range []string{"hello", "http", "exitcode", "crash", "abort", "spin", "idle", "flood", "longline"} {
			n.Pull(t, h.GuestRef(g+"."+b))
		}
		n.Pull(t, h.RegistryAddr+"/guest/disk:"+b)
	}
	w := n.RunPod(t, "warm") // with a network: the classifier is loaded once
	w.Run(t, "c", h.GuestRef("http.spt"), nil, args()).WaitLog(t, "8080", 10e9)
	w.Stop(t)
	w.Remove(t)
	before := n.Census()
	for _, b := range backends(t, n) {
		t.Run(b, func(t *testing.T) { guests(t, n, b) })
	}
	n.ExpectCensus(t, before, true)
}

func guests(t *testing.T, n *h.Node, b string) {
	run := func(t *testing.T, name, guest string, opts ...h.CtrOpt) (*h.Pod, *h.Ctr) {
		t.Helper()
		p := n.RunPod(t, name+"-"+b)
		return p, p.Run(t, "guest", h.GuestRef(guest+"."+b), nil, opts...)
	}
	end := func(t *testing.T, p *h.Pod) {
		t.Helper()
		p.Stop(t)
		p.Remove(t)
	}

	t.Run("hello", func(t *testing.T) {
		p, c := run(t, "hello", "hello", args("one", "two"))
		s := c.Wait(t, 10e9)
		if s.ExitCode != 0 || s.Reason != "Completed" {
			t.Errorf("%v", s)
		}
		if out := c.Out(t, "stdout"); !strings.Contains(out, "Hello from a unikernel\n") || !strings.Contains(out, "one two") {
			t.Errorf("%q", c.RawLog())
		}
		end(t, p)
	})
	t.Run("exit status", func(t *testing.T) {
		p, c := run(t, "exit", "exitcode", args("42"))
		if s := c.Wait(t, 10e9); s.ExitCode != 42 || s.Reason != "Error" {
			t.Errorf("%v %s", s, c.RawLog())
		}
		end(t, p)
	})
	t.Run("crash", func(t *testing.T) {
		p, c := run(t, "crash", "crash", args())
		s := c.Wait(t, 10e9)
		if s.ExitCode == 0 || s.Reason == "Completed" || s.Reason == "" || !strings.Contains(c.RawLog(), "reading from nowhere") || strings.Contains(c.RawLog(), "survived") {
			t.Errorf("%v %s", s, c.RawLog())
		}
		end(t, p)
	})
	t.Run("abort", func(t *testing.T) {
		p, c := run(t, "abort", "abort", args())
		if s := c.Wait(t, 10e9); s.ExitCode != 255 || !strings.Contains(c.RawLog(), "ABORT") {
			t.Errorf("%v %s", s, c.RawLog())
		}
		end(t, p)
	})
	t.Run("long lines", func(t *testing.T) {
		p, c := run(t, "long", "longline", args())
		c.Wait(t, 10e9)
		lines, err := h.ParseLog(c.RawLog())
		if err != nil {
			t.Fatal(err)
		}
		total := 0
		for _, l := range lines {
			total += len(l.Text)
		}
		if total < 40000 || !strings.Contains(c.RawLog(), "a line without an end") {
			t.Errorf("%d bytes in %d lines", total, len(lines))
		}
		end(t, p)
	})
	t.Run("console flood", func(t *testing.T) {
		lines := 20000
		if b == "hvt" { // each line leaves the guest, which is slow on an emulated KVM
			lines = 1000
		}
		p, c := run(t, "flood", "flood", args(fmt.Sprint(lines)))
		if s := c.Wait(t, 60e9); s.ExitCode != 0 {
			t.Errorf("%v", s)
		}
		if out := c.Out(t, "stdout"); strings.Count(out, "\n") != lines || !strings.Contains(out, fmt.Sprintf("line %d of many", lines)) {
			t.Errorf("%d lines", strings.Count(out, "\n"))
		}
		end(t, p)
	})
	t.Run("disk", func(t *testing.T) {
		p := n.RunPod(t, "disk-"+b)
		c := p.Run(t, "guest", h.RegistryAddr+"/guest/disk:"+b, nil, args())
		if s := c.Wait(t, 10e9); s.ExitCode != 0 || !strings.Contains(c.RawLog(), "first sector of the disk") {
			t.Errorf("%v %s", s, c.RawLog())
		}
		// The image's disk is untouched: a second container reads the same.
		d := p.Run(t, "again", h.RegistryAddr+"/guest/disk:"+b, nil, args())
		if s := d.Wait(t, 10e9); s.ExitCode != 0 || !strings.Contains(d.RawLog(), "first sector of the disk") {
			t.Errorf("second: %v %s", s, d.RawLog())
		}
		end(t, p)
	})
	t.Run("stop", func(t *testing.T) {
		p, c := run(t, "idle", "idle", args())
		c.WaitLog(t, "idle: waiting", 10e9)
		start := time.Now()
		if err := n.RT.StopContainer(h.Ctx, c.ID, 10); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(start); d > h.Slow(10*time.Second) {
			t.Errorf("took %v", d)
		}
		s := c.Status(t)
		if s.State != cri.ContainerState_CONTAINER_EXITED || (s.ExitCode != 143 && s.ExitCode != 137 && s.ExitCode != 0) {
			t.Errorf("%v", s)
		}
		end(t, p)
	})
	t.Run("stop a guest that spins", func(t *testing.T) {
		p, c := run(t, "spin", "spin", args())
		c.WaitLog(t, "busy from now on", 10e9)
		start := time.Now()
		if err := n.RT.StopContainer(h.Ctx, c.ID, 2); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(start); d > h.Slow(4*time.Second) {
			t.Errorf("a grace of 2 s took %v", d)
		}
		end(t, p)
	})
	t.Run("exec is refused", func(t *testing.T) {
		p, c := run(t, "exec", "idle", args())
		_, err := n.Raw.ExecSync(h.Ctx, &cri.ExecSyncRequest{ContainerId: c.ID, Cmd: []string{"true"}, Timeout: 5})
		if status.Code(err) != codes.Unimplemented || !strings.Contains(err.Error(), "unikernel") {
			t.Errorf("%v", err)
		}
		end(t, p)
	})
	t.Run("two answers at one address", func(t *testing.T) {
		p := n.RunPod(t, "web-"+b)
		side := p.Run(t, "side", h.BusyboxRef, []string{"httpd", "-f", "-p", "8081", "-h", "/www"})
		g := p.Run(t, "guest", h.GuestRef("http."+b), nil, args())
		ip := p.IP(t)
		got, err := n.Get("http://"+ip+":8080/hello", 10*time.Second)
		if err != nil || !strings.Contains(got, "/hello") {
			t.Errorf("guest: %q %v\n%s", got, err, g.RawLog())
		}
		got, err = n.Get("http://"+ip+":8081/index.html", 10*time.Second)
		if err != nil || got != "hello from the side container\n" {
			t.Errorf("side container: %q %v", got, err)
		}
		// The side container keeps its own way out: the gateway answers.
		if out := side.Exec(t, "ping", "-c", "1", "-W", "3", "10.89.0.1"); !strings.Contains(out, "1 packets received") {
			t.Errorf("ping from the side container: %q", out)
		}
		for i := 0; i < 20; i++ {
			if _, err := n.Get(fmt.Sprintf("http://%s:8080/%d", ip, i), 5*time.Second); err != nil {
				t.Fatalf("request %d: %v", i, err)
			}
		}
		if _, err := n.Get("http://"+ip+":8080/exit/5", 5*time.Second); err != nil {
			t.Errorf("exit: %v", err)
		}
		if s := g.Wait(t, 10e9); s.ExitCode != 5 {
			t.Errorf("%v", s)
		}
		// The guest is gone, the side container still answers; the guest can be started anew.
		if _, err := n.Get("http://"+ip+":8081/index.html", 5*time.Second); err != nil {
			t.Errorf("side container after the guest: %v", err)
		}
		again := p.CtrConfig("guest", h.GuestRef("http."+b), nil, args())
		again.Metadata.Attempt = 1
		id, err := n.RT.CreateContainer(h.Ctx, p.ID, again, p.Config)
		if err == nil {
			err = n.RT.StartContainer(h.Ctx, id)
		}
		if err == nil {
			_, err = n.Get("http://"+ip+":8080/again", 10*time.Second)
		}
		if err != nil {
			t.Errorf("the guest's second attempt: %v", err)
		}
		end(t, p)
	})
	t.Run("a second guest in a pod", func(t *testing.T) {
		p := n.RunPod(t, "two-"+b)
		p.Run(t, "guest", h.GuestRef("http."+b), nil, args())
		c, err := p.TryCreate("second", h.GuestRef("http."+b), nil, args())
		if err == nil {
			err = n.RT.StartContainer(h.Ctx, c.ID)
		}
		if err == nil {
			t.Error("a second guest took the pod's address")
		} else if !strings.Contains(err.Error(), "address") && !strings.Contains(err.Error(), "guest") {
			t.Errorf("%v", err)
		}
		if _, err := n.Get("http://"+p.IP(t)+":8080/", 5*time.Second); err != nil {
			t.Errorf("the first guest lost its network: %v", err)
		}
		end(t, p)
	})
	t.Run("memory limit", func(t *testing.T) {
		p, c := run(t, "mem", "idle", args(), memory(64<<20))
		c.WaitLog(t, "idle", 10e9)
		j := findGuest(t, n, c)
		if j.memoryMax < 64<<20 || j.memoryMax > 128<<20 {
			t.Errorf("memory limit of the cgroup: %d", j.memoryMax)
		}
		end(t, p)
		p = n.RunPod(t, "tiny-"+b)
		tiny, err := p.TryCreate("guest", h.GuestRef("hello."+b), nil, args(), memory(64<<10))
		if err == nil {
			err = n.RT.StartContainer(h.Ctx, tiny.ID)
		}
		if err == nil {
			if s := tiny.Wait(t, 10e9); s.ExitCode == 0 {
				t.Error("a guest with 64 KiB ran")
			}
		}
		end(t, p)
	})
	t.Run("jail", func(t *testing.T) {
		p, c := run(t, "jail", "http", args(), memory(64<<20))
		if _, err := n.Get("http://"+p.IP(t)+":8080/", 10*time.Second); err != nil {
			t.Fatal(err)
		}
		checkJail(t, findGuest(t, n, c))
		q, d := run(t, "jail2", "http", args())
		if a, b := findGuest(t, n, c), findGuest(t, n, d); a.uid == b.uid {
			t.Errorf("two guests share the uid %s", a.uid)
		}
		end(t, q)
		end(t, p)
	})
	t.Run("handler that pins the monitor", func(t *testing.T) {
		p, err := n.TryRunPod("pin-"+b, "tender-"+b)
		if err != nil {
			t.Fatal(err)
		}
		c := p.Run(t, "guest", h.GuestRef("hello."+b), nil, args())
		if s := c.Wait(t, 10e9); s.ExitCode != 0 {
			t.Errorf("%v", s)
		}
		end(t, p)
	})
}

// TestBadKernels: images whose kernels or labels lie.
func TestBadKernels(t *testing.T) {
	h.NeedUnicrid(t)
	good, err := os.ReadFile(h.Guest("hello.spt"))
	if err != nil {
		t.Fatal(err)
	}
	label := "com.urunc.unikernel."
	cases := []struct {
		name string
		img  *h.Image
		want []string // one of them in the error
		code []codes.Code
	}{
		{"outside", h.Unikernel(good, "spt", nil, map[string]string{label + "binary": "../../../bin/busybox"}), []string{"binary", "../"}, nil},
		{"symlink", h.NewImage(h.ImageConfig{Labels: map[string]string{label + "unikernelType": "mirage", label + "hypervisor": "spt", label + "binary": "/unikernel/kernel"}},
			h.GzipLayer(h.Dir("unikernel", 0o755), h.Link("unikernel/kernel", "../../../../../../../../bin/busybox"))), []string{"/unikernel/kernel"}, nil},
		{"missing", h.Unikernel(good, "spt", nil, map[string]string{label + "binary": "/no/kernel"}), []string{"/no/kernel"}, nil},
		{"directory", h.Unikernel(good, "spt", nil, map[string]string{label + "binary": "/unikernel"}), []string{"/unikernel"}, nil},
		{"empty", h.Unikernel(nil, "spt", nil, nil), []string{"ELF", "kernel"}, nil},
		{"text", h.Unikernel([]byte("#!/bin/sh\necho hi\n"), "spt", nil, nil), []string{"ELF"}, nil},
		{"busybox", h.Unikernel(mustRead("/bin/busybox"), "spt", nil, nil), []string{"Solo5", "solo5"}, nil},
		{"truncated", h.Unikernel(good[:200], "spt", nil, nil), []string{"ELF", "kernel", "note"}, nil},
		{"phnum", h.Unikernel(patch(good, 56, 0xff, 0xff), "spt", nil, nil), []string{"ELF", "program header", "kernel"}, nil},
		{"phoff", h.Unikernel(patch(good, 32, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f), "spt", nil, nil), []string{"ELF", "program header", "kernel"}, nil},
		{"entry", h.Unikernel(patch(good, 24, 0, 0, 0, 0, 0, 0, 0, 0x70), "spt", nil, nil), []string{"entry"}, nil},
		{"machine", h.Unikernel(patch(good, 18, 0xb7, 0), "spt", nil, nil), []string{"machine", "architecture", "x86"}, nil},
		{"manifest", h.Unikernel(lieInManifest(good), "spt", nil, nil), []string{"manifest"}, nil},
		{"hypervisor", h.Unikernel(good, "no-such-vmm", nil, nil), []string{"no-such-vmm"}, nil},
		{"wrong target", h.Unikernel(good, "hvt", nil, nil), []string{"spt", "hvt"}, nil},
	}
	n := h.NewNode(t, h.NodeOptions{Images: func(r *h.Registry) error {
		for _, c := range cases {
			if err := r.Push("bad/"+strings.ReplaceAll(c.name, " ", "-"), "1", c.img); err != nil {
				return err
			}
		}
		return nil
	}})
	n.Pull(t, h.GuestRef("hello.spt"))
	w := n.RunPod(t, "warm")
	w.Run(t, "c", h.GuestRef("hello.spt"), nil, args()).Wait(t, 10e9)
	w.Stop(t)
	w.Remove(t)
	for _, c := range cases {
		n.Pull(t, h.RegistryAddr+"/bad/"+strings.ReplaceAll(c.name, " ", "-")+":1")
	}
	before := n.Census()
	for i, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			p := n.RunPod(t, fmt.Sprintf("bad-%d", i))
			defer func() {
				p.Stop(t)
				p.Remove(t)
			}()
			g, err := p.TryCreate("guest", h.RegistryAddr+"/bad/"+strings.ReplaceAll(c.name, " ", "-")+":1", nil, args())
			if err == nil {
				err = n.RT.StartContainer(h.Ctx, g.ID)
			}
			if err == nil {
				// What only shows at boot ends the container with an error, never with success.
				s := g.Wait(t, 10e9)
				if s.ExitCode == 0 || s.Reason == "Completed" {
					t.Fatalf("it ran: %v\n%s", s, g.RawLog())
				}
				err = fmt.Errorf("%s %s %s", s.Reason, s.Message, g.RawLog())
			} else if code := status.Code(err); code == codes.Internal || code == codes.Unknown {
				t.Errorf("code %v: %v", code, err)
			}
			for _, w := range c.want {
				if strings.Contains(err.Error(), w) {
					return
				}
			}
			t.Errorf("none of %q in: %v", c.want, err)
		})
	}
	t.Run("unknown handler", func(t *testing.T) {
		_, err := n.TryRunPod("handler", "no-such-handler")
		if code := status.Code(err); (code != codes.InvalidArgument && code != codes.NotFound) || !strings.Contains(err.Error(), "no-such-handler") {
			t.Errorf("%v", err)
		}
	})
	n.ExpectCensus(t, before, true)
}

func mustRead(path string) []byte {
	b, err := os.ReadFile(path)
	if err != nil {
		panic(err)
	}
	return b
}

// patch returns a copy of b with bytes replaced at off.
func patch(b []byte, off int, with ...byte) []byte {
	c := bytes.Clone(b)
	copy(c[off:], with)
	return c
}

// lieInManifest makes the Solo5 manifest claim 2^31 entries: it follows the note's name "Solo5" and type MFT1.
func lieInManifest(b []byte) []byte {
	c := bytes.Clone(b)
	for i := 0; ; {
		at := bytes.Index(c[i:], []byte("Solo5\x00"))
		if at < 0 {
			panic("no Solo5 note")
		}
		i += at
		if bytes.Equal(c[i-4:i], []byte("MFT1")) {
			copy(c[i+12:], []byte{0xff, 0xff, 0xff, 0x7f}) // count or version, whichever lies there: both must be refused
			copy(c[i+16:], []byte{0xff, 0xff, 0xff, 0x7f})
			return c
		}
		i++
	}
}
