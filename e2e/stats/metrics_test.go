// SPDX-License-Identifier: Apache-2.0

package stats

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"sort"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
	h "unicri.dev/e2e/harness"
)

// page is what Prometheus makes of the metrics page.
type page map[string]*dto.MetricFamily

// metrics reads the page with Prometheus' own parser, which checks names, labels, types and numbers, and then what it
// takes on trust: no series comes twice, every family has a help, histograms grow to their count.
func metrics(t *testing.T, n *h.Node) page {
	t.Helper()
	text, err := n.Get("http://127.0.0.1:9730/metrics", 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	for name, f := range families {
		if f.GetHelp() == "" || f.GetType() == dto.MetricType_UNTYPED {
			t.Errorf("%s: help %q, type %v", name, f.GetHelp(), f.GetType())
		}
		if f.GetType() == dto.MetricType_COUNTER && !strings.HasSuffix(name, "_total") {
			t.Errorf("%s counts, but its name does not end in _total", name)
		}
		seen := map[string]bool{}
		for _, m := range f.Metric {
			key := ""
			for _, l := range m.Label {
				key += l.GetName() + "=" + l.GetValue() + ","
			}
			if seen[key] {
				t.Errorf("%s{%s} comes twice", name, key)
			}
			seen[key] = true
			if b := m.GetHistogram(); b != nil {
				last := uint64(0)
				for _, k := range b.Bucket {
					if k.GetCumulativeCount() < last {
						t.Errorf("%s{%s}: buckets shrink: %v", name, key, b)
					}
					last = k.GetCumulativeCount()
				}
				if last != b.GetSampleCount() {
					t.Errorf("%s{%s}: the last bucket has %d of %d", name, key, last, b.GetSampleCount())
				}
			}
		}
	}
	return families
}

// value is that of a gauge or counter, or the count of a histogram, of the only series with that label, or without any.
func (p page) value(t *testing.T, name, label string) float64 {
	t.Helper()
	for _, m := range p[name].GetMetric() {
		if (label == "") != (len(m.Label) == 0) || (label != "" && m.Label[0].GetValue() != label) {
			continue
		}
		switch p[name].GetType() {
		case dto.MetricType_GAUGE:
			return m.Gauge.GetValue()
		case dto.MetricType_COUNTER:
			return m.Counter.GetValue()
		case dto.MetricType_HISTOGRAM:
			return float64(m.Histogram.GetSampleCount())
		}
	}
	t.Errorf("no %s{%s}", name, label)
	return -1
}

// starts tells how often each phase of a guest's start was counted, of the one driver that there is.
func starts(p page) string {
	counts, driver := []string{}, ""
	for _, m := range p["unicri_guest_start_seconds"].GetMetric() {
		name := map[string]string{}
		for _, l := range m.Label {
			name[l.GetName()] = l.GetValue()
		}
		if driver != "" && driver != name["driver"] {
			return "several drivers"
		}
		driver = name["driver"]
		counts = append(counts, fmt.Sprintf("%s=%d", name["phase"], m.Histogram.GetSampleCount()))
	}
	sort.Strings(counts)
	return strings.Join(counts, " ") + " of " + driver
}

// TestMetrics reads the metrics page as Prometheus does.
func TestMetrics(t *testing.T) {
	h.NeedUnicrid(t)
	n := h.NewNode(t, h.NodeOptions{Set: map[string]string{"metrics.address": `"127.0.0.1:9730"`}})
	n.Pull(t, h.BusyboxRef)
	n.Pull(t, h.GuestRef("hello.spt"))
	p := n.RunPod(t, "metrics")
	p.Sh(t, "sleeper", "echo on; sleep 10000").WaitLog(t, "on", 20*time.Second)
	p.Sh(t, "silent", "sleep 10000")
	list(t, n, nil)
	if _, err := n.Raw.ContainerStatus(h.Ctx, &cri.ContainerStatusRequest{ContainerId: strings.Repeat("0", 64)}); err == nil {
		t.Error("an unknown container has a status")
	}
	// What is told when a start is over may be told a moment later.
	eventually(t, "a first byte", func() bool { return metrics(t, n).value(t, "unicri_start_stage_seconds", "first-byte") == 1 })
	rows := []struct {
		name, label string
		want        float64
	}{
		{"unicri_pods", "ready", 1},
		{"unicri_containers", "running", 2},
		{"unicri_census", "monitors", 2},
		{"unicri_owed_network_dels", "", 0},
		{"unicri_lost_monitors_total", "", 0},
		{"unicri_rpc_seconds", "RunPodSandbox", 1},
		{"unicri_rpc_errors_total", "RunPodSandbox", 0},
		{"unicri_rpc_errors_total", "ContainerStatus", 1},
		{"unicri_pod_start_seconds", "", 1},
		{"unicri_container_start_seconds", "", 2},
		{"unicri_image_pulls_total", "", 2},
		{"unicri_image_pull_seconds", "", 2},
		{"unicri_image_pull_errors_total", "", 0},
		{"unicri_start_stage_seconds", "pod-netns", 1},
		{"unicri_start_stage_seconds", "pod-network", 1},
		{"unicri_start_stage_seconds", "rootfs", 2},
		{"unicri_start_stage_seconds", "monitor", 2},
		{"unicri_cni_seconds", "ADD", 1},
		{"unicri_db_write_errors_total", "", 0},
		{"unicri_db_quarantined_total", "", 0},
	}
	// Some are counted a moment after what they count has been seen.
	wrong := func() (wrong []string) {
		now := metrics(t, n)
		for _, row := range rows {
			if got := now.value(t, row.name, row.label); got != row.want {
				wrong = append(wrong, fmt.Sprintf("%s{%s} is %v, want %v", row.name, row.label, got, row.want))
			}
		}
		if a, b := now.value(t, "unicri_db_write_seconds", ""), now.value(t, "unicri_db_write_wait_seconds", ""); a != b {
			wrong = append(wrong, fmt.Sprintf("%v changes, %v waited", a, b))
		}
		return wrong
	}
	for end := time.Now().Add(h.Slow(10 * time.Second)); len(wrong()) > 0 && time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
	}
	if w := wrong(); len(w) > 0 {
		t.Error(strings.Join(w, "\n"))
	}
	now := metrics(t, n)
	for _, name := range []string{"process_resident_memory_bytes", "process_open_fds", "process_cpu_seconds_total", "unicri_db_write_seconds", "unicri_db_log_pages"} {
		if now.value(t, name, "") <= 0 {
			t.Errorf("%s is not positive", name)
		}
	}

	// A guest's first byte counts too, and that of one which starts while nobody is there to see it.
	g := n.RunPod(t, "guest")
	g.Run(t, "hello", h.GuestRef("hello.spt"), nil, func(c *cri.ContainerConfig) { c.Linux.SecurityContext.RunAsUser = nil })
	// By driver and phase, and nothing of drivers that have started nothing.
	eventually(t, "the guest's boot", func() bool { return starts(metrics(t, n)) == "boot=1 exec=1 plan=1 storage=1 of tender-spt" })
	eventually(t, "the guest's first byte", func() bool { return metrics(t, n).value(t, "unicri_start_stage_seconds", "first-byte") == 2 })
	late := p.Sh(t, "late", h.Await("late")+"echo late; sleep 10000", n.Gated)
	n.Kill()
	n.Open("late")
	late.WaitLog(t, "late", 20*time.Second)
	n.Start()
	eventually(t, "the late one's", func() bool { return metrics(t, n).value(t, "unicri_start_stage_seconds", "first-byte") == 1 })
	eventually(t, "an empty exit directory", func() bool {
		files, err := os.ReadDir(n.Dir + "/run/exits")
		for _, f := range files {
			if strings.HasSuffix(f.Name(), ".first") {
				return false
			}
		}
		return err == nil
	})

	c := n.NS.HTTP(5 * time.Second)
	for _, row := range []struct {
		method, path string
		code         int
	}{
		{"GET", "/healthz", 200}, {"HEAD", "/metrics", 200}, {"GET", "/", 404}, {"POST", "/metrics", 405}, {"PUT", "/healthz", 405},
	} {
		req, _ := http.NewRequest(row.method, "http://127.0.0.1:9730"+row.path, nil)
		r, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(r.Body)
		r.Body.Close()
		if r.StatusCode != row.code {
			t.Errorf("%s %s: %s %q", row.method, row.path, r.Status, b)
		}
	}
}
