// SPDX-License-Identifier: Apache-2.0

package pods

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
	h "unicri.dev/e2e/harness"
)

// TestNewcomers covers what a conformance suite finds in young servers and what no other test here looks at.
func TestNewcomers(t *testing.T) {
	image := func(c h.ImageConfig) *h.Image { return h.NewImage(c, h.GzipLayer(h.BusyboxFiles()...)) }
	entry := image(h.ImageConfig{Entrypoint: []string{"/bin/echo", "entry"}, Cmd: []string{"cmd"}, Env: []string{"PATH=/bin"}})
	byID := image(h.ImageConfig{Cmd: []string{"id"}, User: "1003:1004", Env: []string{"PATH=/bin"}})
	byName := image(h.ImageConfig{Cmd: []string{"id"}, User: "www-data:1004", Env: []string{"PATH=/bin"}})
	n := h.NewNode(t, h.NodeOptions{Images: func(r *h.Registry) error {
		for _, i := range []struct {
			repo, tag string
			image     *h.Image
		}{{"entry", "latest", entry}, {"entry", "two", entry}, {"by/id", "1", byID}, {"by/name", "1", byName}} {
			if err := r.Push(i.repo, i.tag, i.image); err != nil {
				return err
			}
		}
		return nil
	}})
	n.Pull(t, h.BusyboxRef)
	ref := h.RegistryAddr + "/entry"
	id := n.Pull(t, ref)
	p := n.RunPod(t, "newcomers")
	find := func(t *testing.T, name string) *cri.Image {
		t.Helper()
		r, err := n.IM.ImageStatus(h.Ctx, &cri.ImageSpec{Image: name}, false)
		if err != nil {
			t.Fatal(err)
		}
		return r.Image
	}

	t.Run("one image by all its names", func(t *testing.T) {
		want := find(t, id)
		if want == nil || want.Id != id || want.Size == 0 || !slices.Equal(want.RepoTags, []string{ref + ":latest"}) || len(want.RepoDigests) != 1 {
			t.Fatalf("%v", want)
		}
		for _, name := range append([]string{ref, ref + ":latest"}, append(want.RepoTags, want.RepoDigests...)...) {
			if got := find(t, name); !proto.Equal(got, want) {
				t.Errorf("%s: %v", name, got)
			}
		}
	})
	t.Run("users of images", func(t *testing.T) {
		n.Pull(t, h.RegistryAddr+"/by/id:1")
		n.Pull(t, h.RegistryAddr+"/by/name:1")
		if i := find(t, h.RegistryAddr+"/by/id:1"); i.Uid.GetValue() != 1003 || i.Username != "" {
			t.Errorf("1003:1004: %v %q", i.Uid, i.Username)
		}
		if i := find(t, h.RegistryAddr+"/by/name:1"); i.Uid != nil || i.Username != "www-data" {
			t.Errorf("www-data:1004: %v %q", i.Uid, i.Username)
		}
	})
	t.Run("command and arguments", func(t *testing.T) {
		for _, row := range []struct {
			command, args []string
			want          string
		}{{nil, nil, "entry cmd\n"}, {nil, []string{"a"}, "entry a\n"}, {[]string{"echo"}, nil, "\n"}, {[]string{"echo", "x"}, []string{"b"}, "x b\n"}} {
			c := p.Create(t, fmt.Sprintf("cmd-%d-%d", len(row.command), len(row.args)), ref, row.command, func(c *cri.ContainerConfig) { c.Args = row.args })
			c.Start(t)
			c.Wait(t, 20*time.Second)
			if got := c.Out(t, "stdout"); got != row.want {
				t.Errorf("%q %q: %q, want %q", row.command, row.args, got, row.want)
			}
		}
	})
	t.Run("groups of the first process and of others", func(t *testing.T) {
		c := p.Sh(t, "groups", "id -G; sleep 1000", func(c *cri.ContainerConfig) {
			s := c.Linux.SecurityContext
			s.RunAsUser, s.RunAsGroup, s.SupplementalGroups = &cri.Int64Value{Value: 33}, &cri.Int64Value{Value: 7}, []int64{77}
		})
		c.WaitLog(t, "7", 20*time.Second)
		first, later := c.Out(t, "stdout"), c.Exec(t, "id", "-G")
		if first != later || first != "7 77 4242\n" {
			t.Errorf("the first process has %q, an exec %q", first, later)
		}
		u := c.Status(t).GetUser().GetLinux()
		if u.GetUid() != 33 || u.GetGid() != 7 || !slices.Contains(u.SupplementalGroups, 7) || !slices.Contains(u.SupplementalGroups, 77) || !slices.Contains(u.SupplementalGroups, 4242) {
			t.Errorf("status: %v", u)
		}
	})
	t.Run("short commands lose nothing", func(t *testing.T) {
		c := p.Sh(t, "short", "sleep 1000")
		for i := 0; i < 25; i++ {
			out, errout, err := n.RT.ExecSync(h.Ctx, c.ID, []string{"sh", "-c", "echo out; echo err >&2"}, h.Slow(20*time.Second))
			if err != nil || string(out) != "out\n" || string(errout) != "err\n" {
				t.Fatalf("%d: %q %q %v", i, out, errout, err)
			}
		}
	})
	t.Run("a pod's own calls end its containers", func(t *testing.T) {
		q := n.RunPod(t, "whole")
		running, created := q.Sh(t, "running", "sleep 1000"), q.Create(t, "created", h.BusyboxRef, []string{"true"})
		if err := n.RT.StopPodSandbox(h.Ctx, q.ID); err != nil {
			t.Fatal(err)
		}
		if s := running.Status(t); s.State != cri.ContainerState_CONTAINER_EXITED {
			t.Errorf("%v after the pod's stop", s.State)
		}
		if err := n.RT.RemovePodSandbox(h.Ctx, q.ID); err != nil {
			t.Fatal(err)
		}
		for _, c := range []*h.Ctr{running, created} {
			if l, err := n.RT.ListContainers(h.Ctx, &cri.ContainerFilter{Id: c.ID}); err != nil || len(l) != 0 {
				t.Errorf("%v, %v after the pod's removal", l, err)
			}
		}
	})
	t.Run("five removals at once take all names", func(t *testing.T) {
		n.Pull(t, ref+":two")
		if got := find(t, id); len(got.GetRepoTags()) != 2 {
			t.Errorf("%v", got)
		}
		var all sync.WaitGroup
		for i := 0; i < 5; i++ {
			all.Add(1)
			go func() {
				defer all.Done()
				if err := n.IM.RemoveImage(h.Ctx, &cri.ImageSpec{Image: ref + ":two"}); err != nil {
					t.Error(err)
				}
			}()
		}
		all.Wait()
		for _, name := range []string{id, ref, ref + ":two"} {
			if got := find(t, name); got != nil {
				t.Errorf("%s: %v", name, got)
			}
		}
		l, err := n.IM.ListImages(h.Ctx, nil)
		if err != nil || slices.ContainsFunc(l, func(i *cri.Image) bool { return i.Id == id }) {
			t.Errorf("%v, %v", l, err)
		}
	})
	t.Run("a status of the log as it lies on disk", func(t *testing.T) {
		c := p.Sh(t, "log", "echo a; printf b >&2")
		c.Wait(t, 20*time.Second)
		s := c.Status(t)
		if s.LogPath != p.Config.LogDirectory+"/"+c.Config.LogPath {
			t.Errorf("log path %q", s.LogPath)
		}
		for _, line := range strings.Split(strings.TrimSuffix(c.RawLog(), "\n"), "\n") {
			f := strings.SplitN(line, " ", 4)
			if _, err := time.Parse(time.RFC3339Nano, f[0]); err != nil || len(f) != 4 || !slices.Contains([]string{"stdout F a", "stderr P b"}, strings.Join(f[1:], " ")) {
				t.Errorf("line %q", line)
			}
		}
	})
}
