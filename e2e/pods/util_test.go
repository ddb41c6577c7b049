// SPDX-License-Identifier: Apache-2.0

package pods

import (
	"testing"
	"time"

	h "unicri.dev/e2e/harness"
)

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(h.Slow(10 * time.Second)); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not after 10 s: %s", what)
		}
	}
}
