// SPDX-License-Identifier: Apache-2.0

// lists.go: what a kubelet asks again and again - the list of all containers, of all pods, and the statistics of all
// running containers - on a node that is full of containers, while other pods start and stop. Servers take turns; the
// pods that come and go are on the server that is asked.
package main

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

const (
	perPod    = 10 // containers
	fillers   = 4  // pods that are made at once
	roundTime = 60 * time.Second
	between   = 5 * time.Millisecond
)

// As a kubelet's client has it: a reply may be large.
var large = grpc.MaxCallRecvMsgSize(16 << 20)

// asBytes is a codec that leaves messages as they are on the wire.
type asBytes struct{}

func (asBytes) Name() string                       { return "proto" }
func (asBytes) Marshal(v any) ([]byte, error)      { return *v.(*[]byte), nil }
func (asBytes) Unmarshal(data []byte, v any) error { *v.(*[]byte) = data; return nil }

// fields counts those of a message's outermost level: the items of a list.
func fields(message []byte) int {
	n := 0
	for len(message) > 0 {
		_, _, size := protowire.ConsumeField(message)
		if size < 0 {
			return -1
		}
		message = message[size:]
		n++
	}
	return n
}

type question struct {
	name string
	ask  func(s *server, ctx context.Context) (int, error)
	want func() int
}

var questions = []question{
	{"ListContainers", func(s *server, ctx context.Context) (int, error) {
		r, err := s.rt.ListContainers(ctx, &cri.ListContainersRequest{}, large)
		return len(r.GetContainers()), err
	}, func() int { return *lists }},
	// The same without the client's decoding: the server, and the way of the bytes.
	{"bytes", func(s *server, ctx context.Context) (int, error) {
		var none, reply []byte
		err := s.conn.Invoke(ctx, cri.RuntimeService_ListContainers_FullMethodName, &none, &reply, large, grpc.ForceCodec(asBytes{}))
		return fields(reply), err
	}, func() int { return *lists }},
	// What of it is the client's own doing: on a busy machine most of it.
	{"decode", func(s *server, ctx context.Context) (int, error) {
		r := &cri.ListContainersResponse{}
		err := proto.Unmarshal(s.reply, r)
		return len(r.GetContainers()), err
	}, func() int { return *lists }},
	{"ListPodSandbox", func(s *server, ctx context.Context) (int, error) {
		r, err := s.rt.ListPodSandbox(ctx, &cri.ListPodSandboxRequest{}, large)
		return len(r.GetItems()), err
	}, func() int { return *lists / perPod }},
	{"ListContainerStats", func(s *server, ctx context.Context) (int, error) {
		r, err := s.rt.ListContainerStats(ctx, &cri.ListContainerStatsRequest{Filter: &cri.ContainerStatsFilter{LabelSelector: map[string]string{"runs": "yes"}}}, large)
		n := 0
		for _, c := range r.GetStats() {
			if c.GetCpu().GetUsageCoreNanoSeconds() != nil && c.GetMemory().GetWorkingSetBytes() != nil {
				n++
			}
		}
		return n, err
	}, func() int { return *running }},
}

// fillPod makes one pod with perPod containers, of which the first `run` are started.
func (s *server) fillPod(w workload, number, run int) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	name := fmt.Sprintf("full-%d", number)
	dir := s.path("logs/" + name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	private := &cri.NamespaceOption{Pid: cri.NamespaceMode_CONTAINER}
	config := &cri.PodSandboxConfig{Metadata: &cri.PodSandboxMetadata{Name: name, Uid: name, Namespace: "bench"}, Hostname: name, LogDirectory: dir, DnsConfig: &cri.DNSConfig{},
		Linux: &cri.LinuxPodSandboxConfig{CgroupParent: s.parent, SecurityContext: &cri.LinuxSandboxSecurityContext{NamespaceOptions: private}}}
	pod, err := s.rt.RunPodSandbox(ctx, &cri.RunPodSandboxRequest{Config: config})
	if err != nil {
		return err
	}
	for i := 0; i < perPod; i++ {
		label := "no"
		if i < run {
			label = "yes"
		}
		c, err := s.rt.CreateContainer(ctx, &cri.CreateContainerRequest{PodSandboxId: pod.PodSandboxId, SandboxConfig: config, Config: &cri.ContainerConfig{
			Metadata: &cri.ContainerMetadata{Name: fmt.Sprint("c", i)}, Image: &cri.ImageSpec{Image: w.image}, Command: w.command, LogPath: fmt.Sprint(i, ".log"),
			Labels:      map[string]string{"runs": label, "io.kubernetes.pod.name": name, "io.kubernetes.pod.namespace": "bench", "io.kubernetes.pod.uid": name},
			Annotations: map[string]string{"io.kubernetes.container.hash": "12345678", "io.kubernetes.container.restartCount": "0"},
			Linux:       &cri.LinuxContainerConfig{Resources: &cri.LinuxContainerResources{}, SecurityContext: &cri.LinuxContainerSecurityContext{NamespaceOptions: private}}}})
		if err != nil {
			return err
		}
		if i < run {
			if _, err := s.rt.StartContainer(ctx, &cri.StartContainerRequest{ContainerId: c.ContainerId}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *server) fill(w workload) error {
	type job struct{ number, run int }
	jobs, errs := make(chan job), make(chan error, fillers)
	for i := 0; i < fillers; i++ {
		go func() {
			var err error
			for j := range jobs {
				if err == nil {
					err = s.fillPod(w, j.number, j.run)
				}
			}
			errs <- err
		}()
	}
	left := *running
	for i := 0; i < *lists/perPod; i++ {
		jobs <- job{i, min(left, perPod)}
		left -= min(left, perPod)
	}
	close(jobs)
	var err error
	for i := 0; i < fillers; i++ {
		if e := <-errs; e != nil {
			err = fmt.Errorf("%s: %w\n%s", s.name, e, tail(s.path("log")))
		}
	}
	return err
}

// churn starts and stops pods, one after the other, until told to stop. Returns: how many.
func (s *server) churn(w workload, stop chan struct{}) (int, error) {
	for n := 0; ; n++ {
		select {
		case <-stop:
			return n, nil
		default:
		}
		s.seq++
		p, err := s.up(w, s.seq)
		if p != nil {
			if e := p.down(); err == nil {
				err = e
			}
		}
		if err != nil {
			return n, err
		}
	}
}

// ask puts the question as often as time allows. Returns: milliseconds.
func (s *server) ask(q question) ([]float64, error) {
	var took []float64
	for end := time.Now().Add(roundTime); len(took) < *samples && time.Now().Before(end); time.Sleep(between) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		begin := time.Now()
		n, err := q.ask(s, ctx)
		took = append(took, float64(time.Since(begin).Nanoseconds())/1e6)
		cancel()
		if err == nil && n < q.want() {
			err = fmt.Errorf("%d items, %d are there", n, q.want())
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %s: %w", s.name, q.name, err)
		}
	}
	return took, nil
}

func measureLists(servers []*server, w workload) error {
	for _, s := range servers {
		begin := time.Now()
		if err := s.pull(w.image); err != nil {
			return err
		}
		if err := s.fill(w); err != nil {
			return err
		}
		r, err := s.rt.ListContainers(context.Background(), &cri.ListContainersRequest{}, large)
		if err != nil {
			return err
		}
		if s.reply, err = proto.Marshal(r); err != nil {
			return err
		}
		fmt.Printf("%s: %d containers, %d of them running, after %.1f s\n", s.name, *lists, *running, time.Since(begin).Seconds())
	}
	all, churned, spent := map[string][]float64{}, map[string]int{}, map[string]float64{}
	for r := 0; r < *rounds; r++ {
		for _, s := range servers {
			stop := make(chan struct{})
			var wait sync.WaitGroup
			var failed error
			begin := time.Now()
			wait.Add(1)
			go func() {
				defer wait.Done()
				n, err := s.churn(w, stop)
				churned[s.name] += n
				failed = err
			}()
			for _, q := range questions {
				took, err := s.ask(q)
				if err != nil {
					close(stop)
					wait.Wait()
					return err
				}
				all[s.name+q.name] = append(all[s.name+q.name], took...)
			}
			close(stop)
			wait.Wait()
			spent[s.name] += time.Since(begin).Seconds()
			if failed != nil {
				return fmt.Errorf("%s: a pod that comes and goes: %w", s.name, failed)
			}
		}
		fmt.Printf("round %d of %d is done\n", r+1, *rounds)
	}
	for _, s := range servers {
		fmt.Printf("\n%s, %.1f pods/s beside (ms) %18s %10s %10s %10s\n", s.name, float64(churned[s.name])/spent[s.name], "asked", "p50", "p90", "p99")
		for _, q := range questions {
			v := all[s.name+q.name]
			fmt.Printf("  %-36s %10d %10.2f %10.2f %10.2f\n", q.name, len(v), percentile(v, 50), percentile(v, 90), percentile(v, 99))
		}
	}
	fmt.Println()
	for _, q := range questions {
		for _, s := range servers {
			for _, p := range []float64{50, 99} {
				fmt.Printf("%s_p%.0f_%s %.3f ms\n", q.name, p, s.name, percentile(all[s.name+q.name], p))
			}
		}
		ours, theirs := all["unicri"+q.name], all["containerd"+q.name]
		if len(ours) > 0 && len(theirs) > 0 {
			for _, p := range []float64{50, 99} {
				fmt.Printf("ratio_%s_p%.0f %.4f ratio\n", q.name, p, percentile(ours, p)/percentile(theirs, p))
			}
		}
	}
	return nil
}
