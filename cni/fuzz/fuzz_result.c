/* SPDX-License-Identifier: Apache-2.0 */
/* Any text as a plugin's result: refused, or within every bound of struct cni_result. */
#include <assert.h>
#include <string.h>

#include "cni/cni.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    autofree char *text = xstrndup((const char *)data, size);
    struct err err = ERR_INIT;
    struct cni_result r;

    if (cni_result_parse(text, "eth0", &r, &err) < 0) {
        assert(err.code != ERR_NONE && *err.msg);
        return 0;
    }
    assert(r.n_addresses > 0 && r.n_addresses <= CNI_ADDRESSES_MAX && r.n_routes <= CNI_ROUTES_MAX);
    for (size_t i = 0; i < r.n_addresses; i++)
        assert(*r.addresses[i].ip && r.addresses[i].prefix >= 0 &&
               r.addresses[i].prefix <= (r.addresses[i].family == AF_INET ? 32 : 128));
    assert(strlen(r.mac) == 0 || strlen(r.mac) == 17);
    return 0;
}
