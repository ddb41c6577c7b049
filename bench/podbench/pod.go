// SPDX-License-Identifier: Apache-2.0

// pod.go: one pod's life, each call timed, and the moment when the first byte of its log can be seen.
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// figures of one pod in milliseconds, by the name of the call.
type figures map[string]float64

const (
	firstByte = "sandbox -> first log byte"
	teardown  = "teardown"
)

var calls = []string{"RunPodSandbox", "CreateContainer", "StartContainer", firstByte, "StopContainer", "RemoveContainer", "StopPodSandbox", "RemovePodSandbox", teardown}

type pod struct {
	s      *server
	config *cri.PodSandboxConfig
	id, c  string
	fig    figures
}

func timed(f figures, name string, call func() error) error {
	t := time.Now()
	err := call()
	f[name] = float64(time.Since(t).Nanoseconds()) / 1e6
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// up starts a pod and waits for its first log byte.
func (s *server) up(w workload, number int) (*pod, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	name := fmt.Sprintf("pod-%d", number)
	dir := s.path("logs/" + name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	p := &pod{s: s, fig: figures{}, config: &cri.PodSandboxConfig{
		Metadata: &cri.PodSandboxMetadata{Name: name, Uid: name, Namespace: "bench"}, Hostname: name, LogDirectory: dir, DnsConfig: &cri.DNSConfig{},
		Linux: &cri.LinuxPodSandboxConfig{CgroupParent: s.parent, SecurityContext: &cri.LinuxSandboxSecurityContext{
			NamespaceOptions: &cri.NamespaceOption{Pid: cri.NamespaceMode_CONTAINER}}}}}
	begin := time.Now()
	if err := timed(p.fig, "RunPodSandbox", func() error {
		r, err := s.rt.RunPodSandbox(ctx, &cri.RunPodSandboxRequest{Config: p.config, RuntimeHandler: w.handler})
		if err == nil {
			p.id = r.PodSandboxId
		}
		return err
	}); err != nil {
		return p, err
	}
	cc := &cri.ContainerConfig{Metadata: &cri.ContainerMetadata{Name: "c"}, Image: &cri.ImageSpec{Image: w.image, UserSpecifiedImage: w.image},
		Command: w.command, LogPath: "c.log", Linux: &cri.LinuxContainerConfig{Resources: &cri.LinuxContainerResources{},
			SecurityContext: &cri.LinuxContainerSecurityContext{NamespaceOptions: &cri.NamespaceOption{Pid: cri.NamespaceMode_CONTAINER}}}}
	if err := timed(p.fig, "CreateContainer", func() error {
		r, err := s.rt.CreateContainer(ctx, &cri.CreateContainerRequest{PodSandboxId: p.id, Config: cc, SandboxConfig: p.config})
		if err == nil {
			p.c = r.ContainerId
		}
		return err
	}); err != nil {
		return p, err
	}
	seen := make(chan time.Time, 1)
	failed := make(chan error, 1)
	go func() {
		at, err := firstLogByte(dir, "c.log", time.Now().Add(20*time.Second))
		if err != nil {
			failed <- err
		} else {
			seen <- at
		}
	}()
	if err := timed(p.fig, "StartContainer", func() error {
		_, err := s.rt.StartContainer(ctx, &cri.StartContainerRequest{ContainerId: p.c})
		return err
	}); err != nil {
		return p, err
	}
	select {
	case at := <-seen:
		p.fig[firstByte] = float64(at.Sub(begin).Nanoseconds()) / 1e6
	case err := <-failed:
		return p, err
	}
	return p, nil
}

// firstLogByte waits with inotify until a file in dir holds a byte.
func firstLogByte(dir, name string, deadline time.Time) (time.Time, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC)
	if err != nil {
		return time.Time{}, err
	}
	defer unix.Close(fd)
	if _, err := unix.InotifyAddWatch(fd, dir, unix.IN_MODIFY|unix.IN_CREATE|unix.IN_CLOSE_WRITE|unix.IN_MOVED_TO); err != nil {
		return time.Time{}, err
	}
	buf := make([]byte, 4096)
	for {
		if st, err := os.Stat(filepath.Join(dir, name)); err == nil && st.Size() > 0 {
			return time.Now(), nil
		}
		left := time.Until(deadline)
		if left <= 0 {
			return time.Time{}, fmt.Errorf("no output in %s", filepath.Join(dir, name))
		}
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		if n, err := unix.Poll(fds, int(left.Milliseconds())+1); err == nil && n > 0 {
			unix.Read(fd, buf)
		}
	}
}

// down stops and removes everything of the pod as a kubelet does.
func (p *pod) down() error {
	if p.id == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	rt := p.s.rt
	return timed(p.fig, teardown, func() error {
		if p.c != "" {
			if err := timed(p.fig, "StopContainer", func() error {
				_, err := rt.StopContainer(ctx, &cri.StopContainerRequest{ContainerId: p.c})
				return err
			}); err != nil {
				return err
			}
			if err := timed(p.fig, "RemoveContainer", func() error {
				_, err := rt.RemoveContainer(ctx, &cri.RemoveContainerRequest{ContainerId: p.c})
				return err
			}); err != nil {
				return err
			}
		}
		if err := timed(p.fig, "StopPodSandbox", func() error {
			_, err := rt.StopPodSandbox(ctx, &cri.StopPodSandboxRequest{PodSandboxId: p.id})
			return err
		}); err != nil {
			return err
		}
		err := timed(p.fig, "RemovePodSandbox", func() error {
			_, err := rt.RemovePodSandbox(ctx, &cri.RemovePodSandboxRequest{PodSandboxId: p.id})
			return err
		})
		os.RemoveAll(p.config.LogDirectory)
		return err
	})
}
