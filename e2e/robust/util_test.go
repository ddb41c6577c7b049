// SPDX-License-Identifier: Apache-2.0

// Package robust tests what a host does to a daemon: full disks, no descriptors, broken databases, plugins and runtimes
// that fail or hang, two daemons on one directory.
package robust

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	h "unicri.dev/e2e/harness"
)

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(h.Slow(60 * time.Second)); !ok(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not after a minute: %s", what)
		}
	}
}

// understood tells whether a kubelet would retry and show the error well.
func understood(err error) bool {
	switch status.Code(err) {
	case codes.OK, codes.Internal, codes.Unknown:
		return false
	}
	return true
}

// script writes an executable and returns its directory.
func script(t *testing.T, n *h.Node, name, text string) string {
	t.Helper()
	dir := filepath.Join(n.Dir, "scripts")
	os.MkdirAll(dir, 0o755)
	if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+text), 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}
