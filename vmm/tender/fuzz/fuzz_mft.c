/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a manifest; what is accepted has terminated, sound and unique names. */
#include <stdlib.h>
#include <string.h>

#include "vmm/tender/mft.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct manifest m;
    struct fault f;

    if (mft_parse(data, size, &m, &f) != 0)
        return 0;
    if (mft_size(&m) != size)
        abort();
    for (uint32_t i = 1; i < m.head.entries; i++) {
        const struct solo5_mft_entry *e = &m.entry[i];
        size_t len = strnlen(e->name, sizeof(e->name));
        if (!mft_name_ok(e->name, len) || e->attached || e->b.raw != 0 ||
            mft_find(&m, e->name, e->type) != (int)i)
            abort();
    }
    return 0;
}
