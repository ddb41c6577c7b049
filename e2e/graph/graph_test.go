// SPDX-License-Identifier: Apache-2.0

// Package graph holds the source tree to its map: who may include whom, facades only, and every header compiles alone.
package graph

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	h "unicri.dev/e2e/harness"
)

// allowed: folder -> folders it may include. The same edges are the link edges of the build.
var allowed = map[string][]string{
	"base":       {},
	"db":         {"base"},
	"cni":        {"base"},
	"vmm":        {"base"},
	"imagestore": {"base", "db"},
	"sandbox":    {"base", "cni", "db", "imagestore", "vmm"},
	"cri":        {"base", "imagestore", "sandbox"},
	"cli":        {"base"}, // and the generated messages of cri
}

// facades: what other folders may include. Everything of base is open.
var facades = map[string][]string{
	"db":         {"db/db.h"},
	"cni":        {"cni/cni.h"},
	"vmm":        {"vmm/vmm.h"},
	"imagestore": {"imagestore/imagestore.h"},
	"sandbox":    {"sandbox/sandbox.h", "sandbox/spec.h"},
}

// walls: libraries whose headers may be included in these folders only.
var walls = []struct {
	header  *regexp.Regexp
	folders []string
}{
	{regexp.MustCompile(`^grpc/`), []string{"cri", "cli"}},
	{regexp.MustCompile(`^protobuf-c/|\.pb-c\.h$`), []string{"cri", "cli"}},
	{regexp.MustCompile(`^sqlite3\.h$`), []string{"db"}},
	{regexp.MustCompile(`^(netlink/|bpf/)`), []string{"cni"}},
	{regexp.MustCompile(`^curl/`), []string{"imagestore", "vmm"}},
	{regexp.MustCompile(`^archive`), []string{"imagestore"}},
	{regexp.MustCompile(`^uv\.h$`), []string{"base", "sandbox", "cri"}},
	{regexp.MustCompile(`^yaml\.h$`), []string{"sandbox"}},
	{regexp.MustCompile(`^toml\+\+`), []string{"base"}},
}

// exceptions are single edges with their reason.
var exceptions = map[string]string{
	// The daemon's main opens every folder and hands them to each other; the others of cri/ see sandbox and imagestore only.
	"cri/main.c":       "opens db, cni and vmm",
	"cri/config.c":     "gathers every folder's option table",
	"cri/config.h":     "holds every folder's configuration",
	"cri/tests/fake.c": "stands in for what main opens",
	"cri/daemon.h":     "holds what main opened",
	"cri/status.c":     "reports the state of the network",
}

var include = regexp.MustCompile(`^\s*#\s*include\s*([<"])([^>"]+)[>"]`)

type edge struct {
	file, header string
	line         int
	quoted       bool
}

func sources(t *testing.T, ext ...string) []string {
	t.Helper()
	var l []string
	for folder := range allowed {
		err := filepath.WalkDir(filepath.Join(h.Repo(), folder), func(p string, d os.DirEntry, err error) error {
			if err == nil && slices.Contains(ext, filepath.Ext(p)) {
				l = append(l, strings.TrimPrefix(p, h.Repo()+"/"))
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(l)
	return l
}

func edges(t *testing.T, file string) []edge {
	t.Helper()
	f, err := os.Open(filepath.Join(h.Repo(), file))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var l []edge
	for s, n := bufio.NewScanner(f), 1; s.Scan(); n++ {
		if m := include.FindStringSubmatch(s.Text()); m != nil {
			l = append(l, edge{file, m[2], n, m[1] == `"`})
		}
	}
	return l
}

// TestIncludeGraph checks every #include of every folder.
func TestIncludeGraph(t *testing.T) {
	files := sources(t, ".c", ".h", ".cc")
	if len(files) < 50 {
		t.Fatalf("only %d source files", len(files))
	}
	for _, file := range files {
		folder, _, _ := strings.Cut(file, "/")
		test := strings.Contains(file, "/tests/") || strings.Contains(file, "/fuzz/")
		for _, e := range edges(t, file) {
			where := fmt.Sprintf("%s:%d", e.file, e.line)
			for _, w := range walls {
				if w.header.MatchString(e.header) && !slices.Contains(w.folders, folder) {
					t.Errorf("%s: %s may be included only in %v", where, e.header, w.folders)
				}
			}
			to, _, _ := strings.Cut(e.header, "/")
			if _, ours := allowed[to]; !e.quoted || !ours || to == folder {
				continue
			}
			if strings.HasSuffix(e.header, ".pb-c.h") {
				continue
			}
			if test && to == "cni" || to == "base" {
				continue
			}
			if !slices.Contains(allowed[folder], to) && exceptions[file] == "" {
				t.Errorf("%s: %s may not include %s", where, folder, e.header)
			}
			if !slices.Contains(facades[to], e.header) {
				t.Errorf("%s: %s is not a facade of %s", where, e.header, to)
			}
		}
	}
	t.Logf("%d files", len(files))
}

// TestHeadersAlone compiles every header by itself.
func TestHeadersAlone(t *testing.T) {
	generated := ""
	filepath.WalkDir(h.Build(), func(p string, d os.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(p, "runtime.pb-c.h") {
			generated = filepath.Dir(p)
		}
		return nil
	})
	out, _ := exec.Command("pkg-config", "--cflags", "libnl-3.0", "libnl-route-3.0", "grpc", "libprotobuf-c", "jansson", "libcurl", "libarchive").Output()
	flags := append(strings.Fields(string(out)), "-std=c17", "-D_GNU_SOURCE", "-DUNICRI_FAULTS", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-x", "c", "-I", h.Repo(), "-I", h.Build())
	if generated != "" {
		flags = append(flags, "-I", generated, "-I", filepath.Dir(generated))
	}
	work := make(chan string)
	var wg sync.WaitGroup
	for i := 0; i < 2; i++ {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for file := range work {
				cmd := exec.Command("gcc", append(slices.Clone(flags), "-")...)
				cmd.Stdin = strings.NewReader(fmt.Sprintf("#include %q\nextern int not_empty;\n", file))
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Errorf("%s does not compile alone: %s", file, out)
				}
			}
		}()
	}
	for _, file := range sources(t, ".h") {
		if base := filepath.Base(file); base == "banned.h" { // forced in front of every file by the build, not included
			continue
		}
		work <- file
	}
	close(work)
	wg.Wait()
}

// TestOpenings: every source file begins with its licence and says what it is for.
func TestOpenings(t *testing.T) {
	for _, file := range sources(t, ".c", ".h", ".cc") {
		b, err := os.ReadFile(filepath.Join(h.Repo(), file))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(string(b), "/* SPDX-License-Identifier: Apache-2.0 */\n") {
			t.Errorf("%s: no licence line", file)
		}
		if n := strings.Count(string(b), "\n"); strings.HasSuffix(file, ".c") && !strings.Contains(file, "/tests/") && n > 700 {
			t.Errorf("%s: %d lines", file, n)
		}
	}
}
