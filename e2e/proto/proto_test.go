// SPDX-License-Identifier: Apache-2.0

// Package proto compares our own runtime.proto with the Go module that kubelets are built from: same services,
// methods, messages, fields (name, number, type, label) and enum values.
package proto

import (
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	gproto "google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
	h "unicri.dev/e2e/harness"
)

// lines describes a file as a set of plain lines.
func lines(f protoreflect.FileDescriptor) map[string]bool {
	out := map[string]bool{"package " + string(f.Package()): true}
	for i := 0; i < f.Services().Len(); i++ {
		s := f.Services().Get(i)
		for j := 0; j < s.Methods().Len(); j++ {
			m := s.Methods().Get(j)
			out[fmt.Sprintf("method %s %s -> %s client stream %v server stream %v", m.FullName(), m.Input().FullName(), m.Output().FullName(), m.IsStreamingClient(), m.IsStreamingServer())] = true
		}
	}
	for i := 0; i < f.Enums().Len(); i++ {
		enum(out, f.Enums().Get(i))
	}
	for i := 0; i < f.Messages().Len(); i++ {
		message(out, f.Messages().Get(i))
	}
	return out
}

func enum(out map[string]bool, e protoreflect.EnumDescriptor) {
	for i := 0; i < e.Values().Len(); i++ {
		v := e.Values().Get(i)
		out[fmt.Sprintf("enum %s %s = %d", e.FullName(), v.Name(), v.Number())] = true
	}
}

func message(out map[string]bool, m protoreflect.MessageDescriptor) {
	out["message "+string(m.FullName())] = true
	for i := 0; i < m.Fields().Len(); i++ {
		f := m.Fields().Get(i)
		kind := f.Kind().String()
		switch f.Kind() {
		case protoreflect.MessageKind:
			kind += " " + string(f.Message().FullName())
		case protoreflect.EnumKind:
			kind += " " + string(f.Enum().FullName())
		}
		out[fmt.Sprintf("field %s = %d %s %v map %v packed %v presence %v", f.FullName(), f.Number(), kind, f.Cardinality(), f.IsMap(), f.IsPacked(), f.HasPresence())] = true
	}
	for i := 0; i < m.Enums().Len(); i++ {
		enum(out, m.Enums().Get(i))
	}
	for i := 0; i < m.Messages().Len(); i++ {
		message(out, m.Messages().Get(i))
	}
}

// TestDescriptors compares the two files line by line.
func TestDescriptors(t *testing.T) {
	if h.Peer() {
		t.Skip("unicri only: reads the build")
	}
	found, _ := filepath.Glob(filepath.Join(h.Build(), "cri", "*runtime.desc"))
	more, _ := filepath.Glob(filepath.Join(h.Build(), "cri", "*", "runtime.desc"))
	found = append(found, more...)
	if len(found) != 1 {
		t.Fatalf("runtime.desc in %s: %v", h.Build(), found)
	}
	b, err := os.ReadFile(found[0])
	if err != nil {
		t.Fatal(err)
	}
	var set descriptorpb.FileDescriptorSet
	if err := gproto.Unmarshal(b, &set); err != nil {
		t.Fatal(err)
	}
	if len(set.File) != 1 {
		t.Fatalf("%d files", len(set.File))
	}
	ours, err := protodesc.NewFile(set.File[0], nil)
	if err != nil {
		t.Fatal(err)
	}
	a, want := lines(ours), lines(cri.File_staging_src_k8s_io_cri_api_pkg_apis_runtime_v1_api_proto)
	var diff []string
	for l := range want {
		if !a[l] {
			diff = append(diff, "missing: "+l)
		}
	}
	for l := range a {
		if !want[l] {
			diff = append(diff, "too much: "+l)
		}
	}
	sort.Strings(diff)
	if len(diff) > 0 {
		t.Errorf("%d differences:\n%s", len(diff), strings.Join(diff, "\n"))
	}
	t.Logf("%d lines compared", len(want))
}
