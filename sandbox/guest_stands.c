/* SPDX-License-Identifier: Apache-2.0 */
/* guest_stands - see guest_stands.h. */
#include "sandbox/guest_stands.h"

#include <signal.h>

#include "base/log.h"
#include "base/strbuf.h"
#include "sandbox/guest_run.h"
#include "sandbox/guest_watch.h"

#define PERIOD (500 * NSEC_PER_MSEC)

static void look_later(struct engine *engine);

static bool is_watched(struct container *c)
{
    const struct vmm_driver *driver = c->runtime == &runtime_unikernel ? guest_driver(c) : NULL;
    enum container_state state = container_state(c);

    return driver && driver->stands &&
           (state == CONTAINER_STARTING || state == CONTAINER_RUNNING ||
            state == CONTAINER_STOPPING);
}

/* One that has stopped or crashed of itself is worth a core file. */
static bool is_crash(const struct container *c, const struct vmm_driver *driver, const char *record)
{
    const struct vmm_ending end = {
        .family = c->guest_family, .exited = false, .code = SIGKILL, .record = record};
    struct vmm_verdict verdict;

    driver->explain(&end, &verdict);
    return verdict.exit_code != 0;
}

static void end(struct container *c)
{
    const struct vmm_driver *driver = guest_driver(c);
    autofree char *record = guest_record_read(c);

    if (!record || !driver->stands(record))
        return;
    if (guest_watch_holds(c) && is_crash(c, driver, record) && !guest_watch_dump(c))
        return;
    log_info("container %s: its guest stands still for good or was reset: its VMM is ended", c->id);
    cgroup_kill_now(&c->engine->cgroups, c->cgroup);
}

static bool claim(struct container *c, bool from)
{
    bool claimed;

    mutex_lock(&c->engine->lock);
    claimed = c->stands_claimed == from;
    if (claimed)
        c->stands_claimed = !from;
    mutex_unlock(&c->engine->lock);
    return claimed;
}

/* Each by itself: a core file takes time, and its VMM may take more. */
static void end_work(struct engine *engine, void *arg)
{
    autocontainer *c = arg;

    (void)engine;
    end(c);
    (void)claim(c, true);
}

static void look_at(struct container *c)
{
    autofree char *record = guest_record_read(c);

    if (!record || !guest_driver(c)->stands(record) || !claim(c, false))
        return;
    if (!engine_background(c->engine, end_work, container_ref(c))) {
        (void)claim(c, true);
        container_unref(c);
    }
}

static void look_work(struct engine *engine, void *arg)
{
    struct container **list;
    bool more = false;

    (void)arg;
    atomic_store(&engine->stands_watched, false); /* who comes now is seen below, or begins anew */

    size_t n = containers_of(engine, NULL, &list);

    for (size_t i = 0; i < n; i++) {
        if (!is_watched(list[i]))
            continue;
        more = true;
        look_at(list[i]);
    }
    containers_free(list, n);
    if (more)
        look_later(engine);
}

/* On the loop. */
static void look_timer(void *arg)
{
    struct engine *engine = arg;

    if (!engine_background(engine, look_work, NULL))
        atomic_store(&engine->stands_watched, false);
}

static void look_later(struct engine *engine)
{
    if (!atomic_exchange(&engine->stands_watched, true))
        loop_every(engine->loop, PERIOD, 0, look_timer, engine);
}

void guest_stands_watch(const struct container *c)
{
    const struct vmm_driver *driver = guest_driver(c);

    if (driver && driver->stands)
        look_later(c->engine);
}
