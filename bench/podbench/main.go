// SPDX-License-Identifier: Apache-2.0

// podbench measures the life of pods on unicrid and, in alternating rounds of the same run, on Debian's containerd with
// runc. bench/podstart builds everything and runs it; its last lines are records `name value unit`.
package main

import (
	"context"
	"flag"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
	h "unicri.dev/e2e/harness"
)

var (
	build    = flag.String("build", "", "build directory with bin/ and unikernels/")
	rounds   = flag.Int("rounds", 4, "alternating rounds")
	pods     = flag.Int("pods", 20, "pods one after the other in a round, per server and workload")
	parallel = flag.Int("parallel", 8, "pods at once in the throughput part")
	batch    = flag.Int("batch", 40, "pods of the throughput part in a round")
	kept     = flag.Int("kept", 20, "pods that are up while memory is read")
	keepDir  = flag.Bool("keep", false, "leave the directory with logs")
	lists    = flag.Int("lists", 0, "measure lists and statistics of so many containers instead: see lists.go")
	running  = flag.Int("running", 500, "with -lists: how many of the containers run")
	samples  = flag.Int("samples", 300, "with -lists: questions of each kind in a round, per server")
	only     = flag.String("only", "", "\"unicri\" or \"containerd\": measure one side, without ratios")
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
	busybox := workload{"busybox", registryAddr + "/busybox:1", []string{"sh", "-c", "echo up; exec sleep 100000"}}
	if *lists > 0 {
		return measureLists(servers, busybox)
	}
	spt := workload{"spt", registryAddr + "/guest:1", nil}
	var sides []*side
	for _, s := range servers {
		refs := []workload{busybox}
		if s.name == "unicri" {
			refs = []workload{spt, busybox}
		}
		for _, w := range refs {
			if err := s.pull(w.image); err != nil {
				return err
			}
			sides = append(sides, &side{s: s, w: w})
		}
	}
	for _, d := range sides { // whatever is done once
		for i := 0; i < 3; i++ {
			if err := d.one(figures{}); err != nil {
				return fmt.Errorf("%s: %w\n%s", d.label(), err, tail(d.s.path("log")))
			}
		}
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
		if *only != "" && *only != name {
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
	if *only != "containerd" && *lists == 0 {
		k, err := os.ReadFile(filepath.Join(*build, "unikernels", "idle.spt"))
		if err != nil {
			return "", err
		}
		if err := r.Push("guest", "1", h.Unikernel(k, "spt", nil, nil)); err != nil {
			return "", err
		}
	}
	return storage, nil
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

func percentile(v []float64, p float64) float64 {
	if len(v) == 0 {
		return math.NaN()
	}
	s := append([]float64{}, v...)
	sort.Float64s(s)
	return s[max(0, int(math.Ceil(p/100*float64(len(s))))-1)]
}

func (d *side) values(name string) []float64 {
	var v []float64
	for _, f := range d.all {
		if x, ok := f[name]; ok {
			v = append(v, x)
		}
	}
	return v
}

func tail(file string) string {
	b, _ := os.ReadFile(file)
	if len(b) > 3000 {
		b = b[len(b)-3000:]
	}
	return string(b)
}

func report(sides []*side, idle map[string]int64) {
	for _, d := range sides {
		fmt.Printf("\n%s, %d pods (ms)        %10s %10s %10s\n", d.label(), len(d.all), "p50", "p90", "p99")
		for _, c := range calls {
			v := d.values(c)
			fmt.Printf("  %-36s %10.2f %10.2f %10.2f\n", c, percentile(v, 50), percentile(v, 90), percentile(v, 99))
		}
		fmt.Printf("  processor time a pod %.1f ms, memory a pod outside the guest %.0f KiB PSS (%s), %.1f pods/s at %d in parallel\n",
			percentile(d.cpu, 50), d.pss, d.perProg, percentile(d.rate, 50), *parallel)
		for e, n := range d.errors {
			fmt.Printf("  FAILED %d times: %s\n", n, e)
		}
	}
	fmt.Println()
	find := func(label string) *side {
		for _, d := range sides {
			if d.label() == label {
				return d
			}
		}
		return nil
	}
	ours, oursRunc, theirs := find("unicri spt"), find("unicri busybox"), find("containerd busybox")
	record := func(name string, v float64, unit string) { fmt.Printf("%s %.3f %s\n", name, v, unit) }
	for _, d := range sides {
		key := strings.ReplaceAll(d.label(), " ", "_")
		record("first_byte_p50_"+key, percentile(d.values(firstByte), 50), "ms")
		record("teardown_p50_"+key, percentile(d.values(teardown), 50), "ms")
		record("cpu_"+key, percentile(d.cpu, 50), "ms")
		record("pss_"+key, d.pss, "KiB")
		record("pods_per_s_"+key, percentile(d.rate, 50), "1/s")
	}
	if ours != nil && theirs != nil {
		ratio := func(name string, f func(d *side) float64, d *side) { record(name, f(d)/f(theirs), "ratio") }
		fb := func(d *side) float64 { return percentile(d.values(firstByte), 50) }
		cpu := func(d *side) float64 { return percentile(d.cpu, 50) }
		pss := func(d *side) float64 { return d.pss }
		rate := func(d *side) float64 { return percentile(d.rate, 50) }
		ratio("ratio_first_byte_spt", fb, ours)
		ratio("ratio_first_byte_runc", fb, oursRunc)
		ratio("ratio_cpu_spt", cpu, ours)
		ratio("ratio_cpu_runc", cpu, oursRunc)
		ratio("ratio_pss_spt", pss, ours)
		ratio("ratio_pss_runc", pss, oursRunc)
		ratio("ratio_pods_per_s_spt", rate, ours)
		ratio("ratio_pods_per_s_runc", rate, oursRunc)
	}
	if kb, ok := idle["unicri"]; ok {
		record("rss_idle_mb", float64(kb)*1024/1e6, "MB")
	}
	if kb, ok := idle["containerd"]; ok {
		record("rss_idle_mb_containerd", float64(kb)*1024/1e6, "MB")
	}
}
