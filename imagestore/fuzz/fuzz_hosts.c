/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes hosts_parse(). */
#include <stdint.h>
#include <string.h>

#include "imagestore/hosts.h"
#include "imagestore/imagestore.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static const struct imagestore_config config = {0};
    struct err err = ERR_INIT;
    struct host_list l = {0};
    autofree char *text = xstrndup((const char *)data, len);
    if (hosts_parse(&config, "r.example", text, strlen(text), "/nonexistent", &l, &err) == 0)
        host_list_done(&l);
    return 0;
}
