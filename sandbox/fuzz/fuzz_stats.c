/* SPDX-License-Identifier: Apache-2.0 */
/* The files of control groups, each parser on the same text. */
#include <assert.h>

#include "sandbox/stats.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    autofree char *text = xstrndup((const char *)data, size);
    struct pressure p = {0};
    uint64_t v;

    (void)cgroup_stat_number(text, &v);
    (void)cgroup_stat_key(text, "anon", &v);
    (void)cgroup_stat_key(text, "usage_usec", &v);
    if (cgroup_stat_pressure(text, &p)) {
        assert(p.known && p.some.avg10 >= 0 && p.some.avg10 <= 100);
        assert(p.full.avg300 >= 0 && p.full.avg300 <= 100);
    }
    return 0;
}
