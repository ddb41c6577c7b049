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

    struct usage_detail d = {.known = 0};

    cgroup_stat_io(text, &d);
    cgroup_stat_blkio(text, true, &d);
    cgroup_stat_blkio(text, false, &d);
    assert(d.n_devices <= USAGE_DEVICES_MAX);
    for (size_t i = 0; i < d.n_devices; i++)
        for (size_t j = 0; j < i; j++)
            assert(d.devices[i].major != d.devices[j].major ||
                   d.devices[i].minor != d.devices[j].minor);
    return 0;
}
