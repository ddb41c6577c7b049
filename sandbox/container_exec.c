/* SPDX-License-Identifier: Apache-2.0 */
/* container_exec - ExecSync: a command in a running container, its output and its end. */
#include "sandbox/guest_debug.h"

void exec_result_done(struct exec_result *result)
{
    free(result->out);
    free(result->errout);
    *result = (struct exec_result){0};
}

int container_exec_sync(struct engine *engine, const char *id, char *const *argv, nsec_t timeout,
                        const struct caller *caller, struct exec_result *ret, struct err *err)
{
    autocontainer *c = container_find(engine, id);
    enum container_state state = c ? container_state(c) : CONTAINER_CREATING;

    if (state == CONTAINER_CREATING)
        return err_set(err, ERR_NOT_FOUND, "container '%s': no such container", id);
    if (!argv || !argv[0])
        return err_set(err, ERR_INVALID, "exec in container '%s': no command", id);
    if (c->runtime == &runtime_unikernel && guest_exec_check(c, argv, err) < 0)
        return -1;
    if (state != CONTAINER_RUNNING && state != CONTAINER_STOPPING)
        return err_set(err, ERR_STATE, "container '%s' is %s, not RUNNING", id,
                       state_name(&container_states, state));
    if (caller_check(caller, "exec", err) < 0)
        return -1;
    return c->runtime->exec(c, argv, timeout, caller, ret, err);
}
