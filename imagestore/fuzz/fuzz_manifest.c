/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes manifest_parse(), artifact_plan() of what is an artifact, and image_config_parse(). */
#include <assert.h>
#include <stdint.h>

#include "imagestore/artifact.h"
#include "imagestore/manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct err err = ERR_INIT;
    automanifest m = {0};
    struct image_config c = {0};
    char **ids = NULL;
    char *guests[] = {(char[]){"qemu"}, (char[]){"fc"}, NULL};
    if (manifest_parse((const char *)data, len, "", guests, &m, &err) == 0 && m.artifact_type) {
        autostrv char **files = NULL;
        autofree char *config = artifact_config(m.artifact_type);
        assert(config);
        if (artifact_plan(&m, &files, &err) == 0)
            assert(m.n_layers && strv_len(files) == m.n_layers && m.layers[0].raw_name);
    }
    if (image_config_parse((const char *)data, len, &c, &ids, &err) == 0) {
        image_config_done(&c);
        strv_free(ids);
    }
    return 0;
}
