// SPDX-License-Identifier: Apache-2.0

// Package security tests what LinuxContainerSecurityContext, namespaces, mounts and devices of a request become inside
// a container, case by case, and what is refused with which words.
package security

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
	h "unicri.dev/e2e/harness"
)

func TestMain(m *testing.M) { h.Main(m) }

// ctrCase is one container: what it is asked to be, what it does, what it must print or how it is refused.
type ctrCase struct {
	name, script string
	opt          h.CtrOpt
	want         string // of stdout, blanks and line ends as single blanks
	refused      string // a word of the error of CreateContainer or StartContainer
}

type secContext = cri.LinuxContainerSecurityContext

func context(change func(*secContext)) h.CtrOpt {
	return func(c *cri.ContainerConfig) { change(c.Linux.SecurityContext) }
}

func mounts(m ...*cri.Mount) h.CtrOpt {
	return func(c *cri.ContainerConfig) { c.Mounts = append(c.Mounts, m...) }
}

var nth atomic.Int32

func words(s string) string { return strings.Join(strings.Fields(s), " ") }

// isRefusal tells an answer about the request from a failure of the server.
func isRefusal(err error) bool {
	c := status.Code(err)
	return c == codes.InvalidArgument || c == codes.Unimplemented || c == codes.FailedPrecondition || c == codes.NotFound
}

func runCases(t *testing.T, p *h.Pod, cases []ctrCase) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var opts []h.CtrOpt
			if c.opt != nil {
				opts = append(opts, c.opt)
			}
			ctr, err := p.TryCreate(fmt.Sprintf("c%d", nth.Add(1)), h.BusyboxRef, []string{"sh", "-c", c.script}, opts...)
			if c.refused != "" {
				if !isRefusal(err) || !strings.Contains(err.Error(), c.refused) {
					t.Errorf("%v; does not say %q", err, c.refused)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			ctr.Start(t)
			ctr.Wait(t, 20e9)
			if got := words(ctr.Out(t, "stdout")); got != c.want {
				t.Errorf("got  %q\nwant %q\nstderr %q", got, c.want, ctr.Out(t, "stderr"))
			}
		})
	}
}

// hostStatus is a line of the test's own /proc/self/status.
func hostStatus(t *testing.T, key string) string {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range strings.Split(string(b), "\n") {
		if k, v, _ := strings.Cut(l, ":"); k == key {
			return strings.TrimSpace(v)
		}
	}
	t.Fatalf("no %s in /proc/self/status", key)
	return ""
}

// bounded is a set of capabilities as far as this host has them, as a container prints it.
func bounded(t *testing.T, set uint64) string {
	bnd, err := strconv.ParseUint(hostStatus(t, "CapBnd"), 16, 64)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%016x", set&bnd)
}
