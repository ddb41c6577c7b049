/* SPDX-License-Identifier: Apache-2.0 */
/* A seccomp profile of the node, as security_profile Localhost names it: the bytes are the file. */
#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/json.h"
#include "sandbox/security.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct container_spec *spec = container_spec_new();
    struct err err = ERR_INIT;
    autojson *profile = NULL;
    int fd = memfd_create("profile", MFD_CLOEXEC);

    assert(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    free(spec->seccomp.localhost_ref);
    spec->seccomp.localhost_ref = xasprintf("/proc/self/fd/%d", fd);
    spec->seccomp.set = true;
    spec->seccomp.type = PROFILE_LOCALHOST;
    if (seccomp_profile(spec, NULL, &profile, &err) == 0)
        assert(json_is_string(json_object_get(profile, "defaultAction")));
    else
        assert(err.code != ERR_NONE && *err.msg);
    container_spec_free(spec);
    (void)close(fd);
    return 0;
}
