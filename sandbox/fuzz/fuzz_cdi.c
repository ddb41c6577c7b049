/* SPDX-License-Identifier: Apache-2.0 */
/* A CDI file, and what it makes of a config.json; the devices it names are asked for by name. */
#include <assert.h>
#include <string.h>

#include "base/strbuf.h"
#include "sandbox/cdi.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void apply(struct cdi_spec *spec, struct err *err)
{
    autojson *config = json_object();
    struct cdi cdi = {0};
    uint32_t *groups = NULL;

    cdi.edits = xcalloc(spec->devices.n + 1, sizeof(*cdi.edits));
    cdi.edits[cdi.n_edits].edits = &spec->edits;
    cdi.edits[cdi.n_edits++].device = spec->kind;
    for (size_t i = 0; i < spec->devices.n && i < 8; i++) {
        autofree char *name = xasprintf("%s=%s", spec->kind, spec->devices.v[i].name);

        assert(cdi_name_check(name, NULL) == 0);
        cdi.edits[cdi.n_edits].edits = &spec->devices.v[i].edits;
        cdi.edits[cdi.n_edits++].device = spec->devices.v[i].name;
    }
    if (cdi_apply(&cdi, config, err) == 0) {
        autofree char *text = json_text(config);

        assert(text);
    } else {
        assert(err->code);
    }
    (void)cdi_groups(&cdi, &groups);
    free(groups);
    free(cdi.edits);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err err = ERR_INIT;
    autocdi_spec *spec = cdi_spec_parse((const char *)data, size, &err);

    if (spec)
        apply(spec, &err);
    else
        assert(err.code);
    return 0;
}
