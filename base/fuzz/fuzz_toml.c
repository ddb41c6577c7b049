/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_toml - toml_parse(): no crash, no deep recursion, an error that is set. */
#include <stdint.h>
#include <stdlib.h>

#include "base/toml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err err = ERR_INIT;
    struct toml_doc *doc = toml_parse((const char *)data, size, "input", &err);

    if (doc) {
        autofree char *text = json_text(toml_root(doc));

        (void)toml_line(doc, "a.b");
        toml_free(doc);
        return text[0] != '{';
    }
    if (err.code == ERR_NONE)
        abort();
    return 0;
}
