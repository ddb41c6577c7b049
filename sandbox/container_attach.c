/* SPDX-License-Identifier: Apache-2.0 */
/* container_attach - a running container's stdio and the size of its terminal: its monitor holds
 * both, so it is asked. A unikernel's console is its stdout. */
#include <string.h>

#include "sandbox/container.h"
#include "sandbox/monitor_client.h"

/* NOLINTNEXTLINE(misc-redundant-expression): two names that must stay equal */
_Static_assert(ATTACH_PACKET_MAX_BYTES == MONITOR_MESSAGE_MAX_BYTES, "one packet is one message");

static struct container *find_running(struct engine *engine, const char *id, struct err *err)
{
    autocontainer *c = container_find(engine, id);
    enum container_state state = c ? container_state(c) : CONTAINER_CREATING;

    if (state == CONTAINER_CREATING) {
        (void)err_set(err, ERR_NOT_FOUND, "container '%s': no such container", id);
        return NULL;
    }
    if (state != CONTAINER_RUNNING && state != CONTAINER_STOPPING) {
        (void)err_set(err, ERR_STATE, "container '%s' is %s, not RUNNING", id,
                      state_name(&container_states, state));
        return NULL;
    }
    return TAKE_PTR(c);
}

int container_attach(struct engine *engine, const char *id, bool *in, deadline_t deadline,
                     int *ret_fd, struct err *err)
{
    autocontainer *c = find_running(engine, id, err);
    int fd;

    if (!c)
        return -1;
    *in = *in && c->spec->stdin_open;
    fd = monitor_attach(c->run_dir, *in, deadline, err);
    if (fd < 0 && *in && err && err->code == ERR_INTERNAL) {
        *in = false; /* stdin_once: an earlier client has closed it */
        fd = monitor_attach(c->run_dir, false, deadline, err);
    }
    if (fd < 0)
        return err_wrap(err, "attach to container '%s'", id);
    *ret_fd = fd;
    return 0;
}

int container_resize(struct engine *engine, const char *id, unsigned width, unsigned height,
                     deadline_t deadline, struct err *err)
{
    autocontainer *c = find_running(engine, id, err);
    char message[64];

    if (!c)
        return -1;
    (void)snprintf(message, sizeof(message), "resize %u %u", width, height);
    if (monitor_ask(c->run_dir, message, deadline, NULL, 0, err) < 0)
        return err_wrap(err, "resize the terminal of container '%s'", id);
    return 0;
}
