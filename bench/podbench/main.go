// SPDX-License-Identifier: Apache-2.0

// podbench measures the life of pods on unicrid and, in alternating rounds of the same run, on Debian's containerd with
// runc. bench/podstart builds everything and runs it; its last lines are records `name value unit`.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

var (
	build      = flag.String("build", "", "build directory with bin/ and unikernels/")
	rounds     = flag.Int("rounds", 4, "alternating rounds")
	pods       = flag.Int("pods", 20, "pods one after the other in a round, per server and workload")
	parallel   = flag.Int("parallel", 8, "pods at once in the throughput part")
	batch      = flag.Int("batch", 40, "pods of the throughput part in a round")
	kept       = flag.Int("kept", 20, "pods that are up while memory is read")
	keepDir    = flag.Bool("keep", false, "leave the directory with logs")
	unikernels = flag.Bool("unikernels", false, "measure guests on each VMM that runs here instead of guests beside containers")
	urunc      = flag.String("urunc", "", "directory with urunc and solo5-spt: with -unikernels, measure them, too")
	lists      = flag.Int("lists", 0, "measure lists and statistics of so many containers instead: see lists.go")
	running    = flag.Int("running", 500, "with -lists: how many of the containers run")
	samples    = flag.Int("samples", 300, "with -lists: questions of each kind in a round, per server")
	only       = flag.String("only", "", "\"unicri\" or \"containerd\": measure one side, without ratios")
)

// side is a server with one workload, and what was measured of them.
type side struct {
	s       *server
	w       workload
	all     []figures
	cpu     []float64 // ms a pod, a value a round
	rate    []float64 // pods a second, a value a round
	pss     float64   // KiB a pod
	perProg string
	errors  map[string]int
}

func (d *side) label() string { return d.s.name + " " + d.w.label }

func (d *side) fail(err error) {
	if d.errors == nil {
		d.errors = map[string]int{}
	}
	d.errors[err.Error()]++
}

func main() {
	flag.Parse()
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "podbench:", err)
		os.Exit(1)
	}
}

func run() error {
	top, err := os.MkdirTemp("", "unicri-bench-")
	if err != nil {
		return err
	}
	if !*keepDir {
		defer os.RemoveAll(top)
	} else {
		fmt.Println("directory:", top)
	}
	servers, err := startAll(top)
	defer func() {
		for _, s := range servers {
			s.stop()
		}
	}()
	if err != nil {
		return err
	}
	if *lists > 0 {
		return measureLists(servers, busybox)
	}
	var sides []*side
	for _, s := range servers {
		for _, w := range workloads(s.name) {
			if err := s.pull(w.image); err != nil {
				return err
			}
			sides = append(sides, &side{s: s, w: w})
		}
	}
	if sides, err = thatRun(sides); err != nil {
		return err
	}
	time.Sleep(time.Second)
	idle := map[string]int64{}
	for _, s := range servers {
		if idle[s.name], err = s.rss(); err != nil {
			return err
		}
	}
	for r := 0; r < *rounds; r++ {
		for _, d := range sides {
			if err := d.round(); err != nil {
				return err
			}
		}
		fmt.Printf("round %d of %d is done\n", r+1, *rounds)
	}
	for _, d := range sides {
		if err := d.memory(); err != nil {
			return err
		}
	}
	report(sides, idle)
	for _, d := range sides {
		if len(d.errors) > 0 {
			return fmt.Errorf("some pods failed")
		}
	}
	return nil
}

// startAll starts the servers that are wanted; those that it gives are to be stopped, with an error too.
func startAll(top string) ([]*server, error) {
	storage, err := images(top)
	if err != nil {
		return nil, fmt.Errorf("images: %w", err)
	}
	var servers []*server
	for i, name := range []string{"unicri", "containerd"} {
		if *only != "" && *only != name || name == "containerd" && *unikernels && *urunc == "" {
			continue
		}
		s, err := start(name, filepath.Join(*build, "bin"), storage, top, i)
		if s != nil {
			servers = append(servers, s)
		}
		if err != nil {
			return servers, err
		}
		fmt.Println("server:", s.version)
	}
	return servers, nil
}

func (s *server) pull(image string) error {
	_, err := s.im.PullImage(context.Background(), &cri.PullImageRequest{Image: &cri.ImageSpec{Image: image}})
	if err != nil {
		return fmt.Errorf("%s: pull %s: %w", s.name, image, err)
	}
	return nil
}

// one is the life of one pod.
func (d *side) one(f figures) error {
	d.s.seq++
	return d.life(f, d.s.seq)
}

func (d *side) life(f figures, number int) error {
	p, err := d.s.up(d.w, number)
	if p != nil {
		if derr := p.down(); err == nil {
			err = derr
		}
		for k, v := range p.fig {
			f[k] = v
		}
	}
	return err
}

// round measures pods one after the other, then many at once.
func (d *side) round() error {
	time.Sleep(500 * time.Millisecond)
	before, err := d.s.cpu()
	if err != nil {
		return err
	}
	for i := 0; i < *pods; i++ {
		f := figures{}
		if err := d.one(f); err != nil {
			d.fail(err)
			continue
		}
		d.all = append(d.all, f)
	}
	time.Sleep(500 * time.Millisecond) // what goes on behind the answers counts too
	after, err := d.s.cpu()
	if err != nil {
		return err
	}
	d.cpu = append(d.cpu, (after-before)/float64(*pods))
	work := make(chan int)
	var wg sync.WaitGroup
	var mu sync.Mutex
	begin := time.Now()
	for w := 0; w < *parallel; w++ {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for n := range work {
				if err := d.life(figures{}, n); err != nil {
					mu.Lock()
					d.fail(err)
					mu.Unlock()
				}
			}
		}()
	}
	for i := 0; i < *batch; i++ {
		d.s.seq++
		work <- d.s.seq
	}
	close(work)
	wg.Wait()
	d.rate = append(d.rate, float64(*batch)/time.Since(begin).Seconds())
	return nil
}

// memory reads what pods cost while they are up.
func (d *side) memory() error {
	time.Sleep(time.Second)
	before, err := d.s.pss()
	if err != nil {
		return err
	}
	var up []*pod
	for i := 0; i < *kept; i++ {
		d.s.seq++
		p, err := d.s.up(d.w, d.s.seq)
		if err != nil {
			return fmt.Errorf("%s: %w", d.label(), err)
		}
		up = append(up, p)
	}
	time.Sleep(2 * time.Second)
	after, err := d.s.pss()
	if err != nil {
		return err
	}
	d.pss = float64(sum(after)-sum(before)) / float64(*kept)
	var parts []string
	for name, kb := range after {
		parts = append(parts, fmt.Sprintf("%s %.0f", name, float64(kb-before[name])/float64(*kept)))
	}
	sort.Strings(parts)
	d.perProg = strings.Join(parts, ", ")
	for _, p := range up {
		if err := p.down(); err != nil {
			return fmt.Errorf("%s: %w", d.label(), err)
		}
	}
	return nil
}

func tail(file string) string {
	b, _ := os.ReadFile(file)
	if len(b) > 3000 {
		b = b[len(b)-3000:]
	}
	return string(b)
}
