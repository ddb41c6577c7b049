/* SPDX-License-Identifier: Apache-2.0 */
/* Any text as a configuration list: refused, or a list that reads back as itself. */
#include <assert.h>
#include <string.h>

#include "cni/conflist.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err err = ERR_INIT;
    autoconflist *list = conflist_parse((const char *)data, size, "fuzz", &err);
    autoconflist *again = NULL;
    autofree char *text = NULL;

    if (!list) {
        assert(err.code != ERR_NONE && *err.msg);
        return 0;
    }
    assert(json_array_size(list->plugins) >= 1 &&
           json_array_size(list->plugins) <= CONFLIST_PLUGINS_MAX);
    assert(!strchr(list->name, '/') && *list->name != '.');
    text = json_text(list->json);
    again = conflist_parse(text, strlen(text), "again", &err);
    assert(again && json_equal(list->json, again->json) && again->version == list->version);
    return 0;
}
