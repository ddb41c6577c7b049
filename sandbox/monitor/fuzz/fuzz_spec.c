/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a spec: no crash, and what is accepted is complete. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "sandbox/monitor/spec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    char **pointers;
    static struct spec_room room;
    struct spec spec;
    struct fault f;

    if (!text)
        abort();
    memcpy(text, data, size); /* exactly: what is read beyond is found */
    pointers = calloc(spec_count(text, size) + 2, sizeof(*pointers));
    if (!pointers)
        abort();
    if (size > 0 && spec_parse(text, size, pointers, &room, &spec, &f) == 0) {
        if (!spec.id || !spec.argv[0] || spec.mode == MODE_NONE ||
            (spec.mode == MODE_VMM && (spec.uid <= 0 || spec.gid <= 0)))
            abort();
        for (size_t i = 0; i < spec.n_entries; i++)
            if (spec.entries[i].path[0] != '/' || strstr(spec.entries[i].path, "/../") ||
                (spec.entries[i].kind <= ROOT_DEVICE) != (spec.entries[i].fd >= 0))
                abort();
        for (char **e = spec.env; *e; e++)
            if (*e < text || *e >= text + size)
                abort();
    }
    free(pointers);
    free(text);
    return 0;
}
