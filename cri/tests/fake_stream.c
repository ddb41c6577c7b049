/* SPDX-License-Identifier: Apache-2.0 */
/* fake_stream - the engine's part of streaming in tests of cri/: the container "c" can be executed
 * in, the container "e" is a unikernel, nothing can be reached. */
#include <string.h>

#include "sandbox/sandbox.h"

int container_exec_check(struct engine *engine, const char *id, char *const *argv, struct err *err)
{
    (void)engine, (void)argv;
    if (strcmp(id, "e") == 0)
        return err_set(err, ERR_UNSUPPORTED, "container '%s' is a unikernel", id);
    return strcmp(id, "c") == 0 ? 0 : err_set(err, ERR_NOT_FOUND, "container '%s'", id);
}

int container_exec_start(struct engine *engine, const char *id, char *const *argv,
                         const struct exec_streams *streams, deadline_t deadline,
                         struct exec_run *ret, struct err *err)
{
    (void)engine, (void)argv, (void)streams, (void)deadline, (void)ret;
    return err_set(err, ERR_INTERNAL, "container '%s': a fake", id);
}

int container_exec_end(struct exec_stream *exec, bool kill, int *ret_code, struct err *err)
{
    (void)exec, (void)kill, (void)ret_code;
    return err_set(err, ERR_INTERNAL, "a fake");
}

int container_attach(struct engine *engine, const char *id, bool *in, deadline_t deadline,
                     int *ret_fd, struct err *err)
{
    (void)engine, (void)in, (void)deadline, (void)ret_fd;
    return err_set(err, ERR_INTERNAL, "container '%s': a fake", id);
}

int container_resize(struct engine *engine, const char *id, unsigned width, unsigned height,
                     deadline_t deadline, struct err *err)
{
    (void)engine, (void)width, (void)height, (void)deadline;
    return err_set(err, ERR_INTERNAL, "container '%s': a fake", id);
}

int pod_dial_open(struct engine *engine, const char *id, struct pod_dial *ret, struct err *err)
{
    (void)engine, (void)ret;
    return err_set(err, ERR_NOT_FOUND, "pod sandbox '%s'", id);
}

void pod_dial_done(struct pod_dial *dial)
{
    dial->n = 0;
}
