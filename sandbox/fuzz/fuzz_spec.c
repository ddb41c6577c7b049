/* SPDX-License-Identifier: Apache-2.0 */
/* Rows' specs: what parses is written and parsed again to the same text. */
#include <assert.h>
#include <string.h>

#include "base/err.h"
#include "sandbox/spec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = xstrndup((const char *)data, size);
    struct err err = ERR_INIT;
    struct container_spec *c = container_spec_parse(text, &err);
    struct pod_spec *p = pod_spec_parse(text, &err);

    if (c) {
        char *once = container_spec_write(c), *twice;
        struct container_spec *again = container_spec_parse(once, &err);

        assert(again);
        twice = container_spec_write(again);
        assert(strcmp(once, twice) == 0);
        container_spec_free(again);
        free(once);
        free(twice);
    }
    container_spec_free(c);
    pod_spec_free(p);
    free(text);
    return 0;
}
