/* SPDX-License-Identifier: Apache-2.0 */
/* container_log - ReopenContainerLog: the monitor owns the log file, so it is asked. */
#include "sandbox/container.h"
#include "sandbox/monitor_client.h"

#define REOPEN_TIMEOUT (10 * NSEC_PER_SEC)

int container_reopen_log(struct engine *engine, const char *id, struct err *err)
{
    autocontainer *c = container_find(engine, id);
    enum container_state state = c ? container_state(c) : CONTAINER_CREATING;

    if (state == CONTAINER_CREATING)
        return err_set(err, ERR_NOT_FOUND, "container '%s': no such container", id);
    if (state != CONTAINER_RUNNING && state != CONTAINER_STOPPING)
        return err_set(err, ERR_STATE, "container '%s' is %s, not RUNNING", id,
                       state_name(&container_states, state));
    if (monitor_ask(c->run_dir, "reopen", deadline_in(REOPEN_TIMEOUT), NULL, 0, err) < 0)
        return err_wrap(err, "reopen the log of container '%s'", id);
    return 0;
}
