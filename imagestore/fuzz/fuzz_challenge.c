/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes challenges_parse(): WWW-Authenticate. */
#include <stdint.h>

#include "imagestore/auth.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct challenge v[AUTH_CHALLENGES_MAX];
    size_t n = 0;
    autofree char *text = xstrndup((const char *)data, len);
    challenges_parse(text, v, &n);
    challenges_done(v, n);
    return 0;
}
