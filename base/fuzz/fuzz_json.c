/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_json - json_parse(): no crash, bounded depth, and what it accepts is printed and accepted
 * again. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"

#define FUZZ_MAX_BYTES 65536

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err err = ERR_INIT;
    autojson *j = json_parse((const char *)data, size, FUZZ_MAX_BYTES, "input", &err);

    if (j) {
        autofree char *text = json_text(j);
        autojson *again = json_parse(text, strlen(text), SIZE_MAX, "output", &err);

        if (!again)
            abort();
    } else if (err.code == ERR_NONE) {
        abort();
    }
    return 0;
}
