/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes reference_parse(): what is accepted must be its own normal form's normal form. */
#include <stdint.h>
#include <string.h>

#include "imagestore/reference.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct err err = ERR_INIT;
    autofree char *text = xstrndup((const char *)data, len);
    autoreference r = {0}, again = {0};
    if (reference_parse(text, &r, &err) < 0)
        return 0;
    autofree char *normal = reference_text(&r);
    if (reference_parse(normal, &again, &err) < 0)
        abort();
    autofree char *same = reference_text(&again);
    if (strcmp(normal, same) != 0)
        abort();
    return 0;
}
