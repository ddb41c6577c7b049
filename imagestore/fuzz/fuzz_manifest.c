/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes manifest_parse() and image_config_parse(). */
#include <stdint.h>

#include "imagestore/manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct err err = ERR_INIT;
    automanifest m = {0};
    struct image_config c = {0};
    char **ids = NULL;
    char *guests[] = {(char[]){"qemu"}, (char[]){"fc"}, NULL};
    (void)!manifest_parse((const char *)data, len, "", guests, &m, &err);
    if (image_config_parse((const char *)data, len, &c, &ids, &err) == 0) {
        image_config_done(&c);
        strv_free(ids);
    }
    return 0;
}
