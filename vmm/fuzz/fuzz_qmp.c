/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a line of QEMU: no crash, and words that can be shown. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/qmp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct qmp_message m;
    struct err err = ERR_INIT;

    if (qmp_parse((const char *)data, size, &m, &err) < 0)
        return 0;
    if (strlen(m.words) >= sizeof(m.words))
        abort();
    for (const char *p = m.words; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            abort();
    return 0;
}
