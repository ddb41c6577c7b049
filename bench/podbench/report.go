// SPDX-License-Identifier: Apache-2.0

// report.go: percentiles of every call, and records `name value unit`.
package main

import (
	"fmt"
	"math"
	"sort"
	"strings"
)

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
	if *unikernels {
		theirs = find("containerd urunc")
	}
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
		for _, d := range []*side{ours, oursRunc} {
			if d == nil {
				continue
			}
			key := "spt"
			if d == oursRunc {
				key = "runc"
			}
			ratio("ratio_first_byte_"+key, fb, d)
			ratio("ratio_cpu_"+key, cpu, d)
			ratio("ratio_pss_"+key, pss, d)
			ratio("ratio_pods_per_s_"+key, rate, d)
		}
	}
	if kb, ok := idle["unicri"]; ok {
		record("rss_idle_mb", float64(kb)*1024/1e6, "MB")
	}
	if kb, ok := idle["containerd"]; ok {
		record("rss_idle_mb_containerd", float64(kb)*1024/1e6, "MB")
	}
}
