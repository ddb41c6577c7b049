// SPDX-License-Identifier: Apache-2.0

package debug

import (
	"testing"

	h "unicri.dev/e2e/harness"
)

func TestMain(m *testing.M) { h.Main(m) }
