// SPDX-License-Identifier: Apache-2.0

// env.go: where things are: the repository, the build that is tested, the directory of this run.
//
// Environment (set by e2e/run, all optional):
//
//	UNICRI_BUILD       build directory, default build/asan-ubsan or, if that was not built, build/dev
//	UNICRI_E2E_DIR     directory of this run; image storage is shared below it
//	UNICRI_E2E_SERVER  "unicrid" (default) or "containerd": proves the harness against another CRI server
//	UNICRI_E2E_HELPERS directory with a unicri-unpack and a unicri-mkdisk to use instead of the build's
//	UNICRI_E2E_TSAN    "1": the build is a ThreadSanitizer build
//	UNICRI_E2E_FULL    "1": as many streaming sessions and bytes as are promised, not as many as there is time for
package harness

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// Repo is the root of the source tree.
var Repo = sync.OnceValue(func() string {
	dir, err := os.Getwd()
	if err != nil {
		panic(err)
	}
	for ; dir != "/"; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "CMakePresets.json")); err == nil {
			return dir
		}
	}
	panic("harness: not inside the source tree")
})

// Build is the build directory that is tested.
var Build = sync.OnceValue(func() string {
	if b := os.Getenv("UNICRI_BUILD"); b != "" {
		return b
	}
	for _, preset := range []string{"asan-ubsan", "dev"} {
		b := filepath.Join(Repo(), "build", preset)
		if _, err := os.Stat(filepath.Join(b, "bin", "unicrid")); err == nil {
			return b
		}
	}
	return filepath.Join(Repo(), "build", "dev")
})

// Bin is the path of one of the project's programs.
func Bin(name string) string { return filepath.Join(Build(), "bin", name) }

// Server is the CRI server under test.
func Server() string {
	if s := os.Getenv("UNICRI_E2E_SERVER"); s != "" {
		return s
	}
	return "unicrid"
}

// Peer tells whether the server is not unicrid: only the harness is being proved then.
func Peer() bool { return Server() != "unicrid" }

// Slow is a factor for time limits: sanitizers on a busy two-core machine are slow.
func Slow(d time.Duration) time.Duration {
	if os.Getenv("UNICRI_E2E_TSAN") == "1" {
		return 4 * d
	}
	return 2 * d
}

var runDir = sync.OnceValue(func() string {
	if d := os.Getenv("UNICRI_E2E_DIR"); d != "" {
		if err := os.MkdirAll(d, 0o755); err != nil {
			panic(err)
		}
		return d
	}
	d, err := os.MkdirTemp("", "unicri-e2e-")
	if err != nil {
		panic(err)
	}
	return d
})

var nodeCount struct {
	sync.Mutex
	n int
}

// tag is unique among all nodes of this machine: the process id and a counter.
func tag() string {
	nodeCount.Lock()
	defer nodeCount.Unlock()
	nodeCount.n++
	return fmt.Sprintf("%d-%d", os.Getpid(), nodeCount.n)
}

// NeedUnicrid fails the test unless unicrid is the server under test and built.
func NeedUnicrid(t testing.TB) {
	t.Helper()
	if Peer() {
		t.Skip("unicri only: the harness is being proved against " + Server())
	}
	if _, err := os.Stat(Bin("unicrid")); err != nil {
		t.Fatalf("unicrid is not built: %v", err)
	}
}

// Guest is the path of a test unikernel, e.g. Guest("hello.spt").
func Guest(name string) string { return filepath.Join(Build(), "unikernels", name) }

// Main runs a package's tests and removes the directory of the run if this process made it.
func Main(m *testing.M) {
	code := m.Run()
	if os.Getenv("UNICRI_E2E_DIR") == "" {
		os.RemoveAll(runDir())
	}
	os.Exit(code)
}
