/* SPDX-License-Identifier: Apache-2.0 */
/* Users: image user, passwd and group in one input, separated by 0xff. */
#include <assert.h>
#include <string.h>

#include "sandbox/users.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = xstrndup((const char *)data, size), *rest = text;
    const char *name = strsep(&rest, "\xff"), *passwd = rest ? strsep(&rest, "\xff") : "",
               *group = rest ? rest : "";
    struct container_spec *spec = container_spec_new();
    struct user user = {0};
    struct err err = ERR_INIT;

    if (user_resolve_text(passwd, group, spec, name, &user, &err) == 0) {
        assert(user.uid <= USERS_ID_MAX && user.gid <= USERS_ID_MAX && user.n_groups >= 1);
        user_done(&user);
    }
    container_spec_free(spec);
    free(text);
    return 0;
}
