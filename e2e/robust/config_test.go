// SPDX-License-Identifier: Apache-2.0

// Configurations that are wrong.

package robust

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	h "unicri.dev/e2e/harness"
)

// TestConfig: configurations that are wrong say where.
func TestConfig(t *testing.T) {
	h.NeedUnicrid(t)
	dir := t.TempDir()
	for _, c := range []struct{ name, text, want string }{
		{"unknown key", "[server]\nsokket = \"/x\"\n", ":2"},
		{"wrong type", "[server]\nsocket = 5\n", ":2"},
		{"not TOML", "[server\nx\n", ":1"},
		{"out of bounds", "[server]\nmax_workers = 999999\n", "max_workers"},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := filepath.Join(dir, "config.toml")
			os.WriteFile(file, []byte(c.text), 0o644)
			out, err := exec.Command("timeout", "10", h.Bin("unicrid"), "--config", file).CombinedOutput()
			if err == nil || !bytes.Contains(out, []byte(file)) || !bytes.Contains(out, []byte(c.want)) {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
	t.Run("print-config reads back", func(t *testing.T) {
		out, err := exec.Command(h.Bin("unicrid"), "--print-config").Output()
		if err != nil || len(out) < 500 {
			t.Fatalf("%v %s", err, out)
		}
		file := filepath.Join(dir, "printed.toml")
		os.WriteFile(file, out, 0o644)
		again, err := exec.Command(h.Bin("unicrid"), "--config", file, "--print-config").CombinedOutput()
		if err != nil || !bytes.Equal(out, again) {
			t.Errorf("%v: %d bytes, then %d", err, len(out), len(again))
		}
	})
}
