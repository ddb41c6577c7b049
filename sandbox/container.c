/* SPDX-License-Identifier: Apache-2.0 */
/* container - see container.h: state table, references, tables, views. */
#include "sandbox/container.h"

#include <string.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/strbuf.h"
#include "sandbox/cdi.h"
#include "sandbox/runtime.h"

#define TO(s) STATE_BIT(CONTAINER_##s)
static const struct state_row container_rows[] = {
    [CONTAINER_CREATING] = {"CREATING", TO(CREATED) | TO(REMOVING)},
    [CONTAINER_CREATED] = {"CREATED", TO(STARTING) | TO(EXITED) | TO(REMOVING)},
    [CONTAINER_STARTING] = {"STARTING", TO(RUNNING) | TO(EXITED)},
    [CONTAINER_RUNNING] = {"RUNNING", TO(STOPPING) | TO(EXITED)},
    [CONTAINER_STOPPING] = {"STOPPING", TO(EXITED)},
    [CONTAINER_EXITED] = {"EXITED", TO(REMOVING)},
    [CONTAINER_REMOVING] = {"REMOVING", 0},
};
const struct state_table container_states = {
    .what = "container", .rows = container_rows, .n = ARRAY_SIZE(container_rows)};

/* ----------------------------------------------------------------- references */

struct container *container_new(struct pod *pod, const char *id, struct container_spec *spec)
{
    struct engine *engine = pod->engine;
    struct container *c = XNEW(struct container);

    c->engine = engine;
    c->pod = pod_ref(pod);
    c->spec = spec;
    c->resources = resources_new(&spec->resources);
    c->handler = pod->handler;
    c->refs = 1;
    c->state = CONTAINER_CREATING;
    c->user = c->group = -1;
    c->guest_link.tap_fd = -1;
    (void)snprintf(c->id, sizeof(c->id), "%s", id);
    c->image_id = xstrdup("");
    c->image_ref = xstrdup("");
    c->runtime_name = xstrdup("");
    c->guest_family = xstrdup("");
    c->run_dir = path_join(engine->containers_dir, id);
    c->rootfs_dir = path_join(engine->rootfs_dir, id);
    c->cgroup = path_join(pod->cgroup, id);
    c->log_path = *spec->log_path && *pod->spec->log_directory
                      ? path_join(pod->spec->log_directory, spec->log_path)
                      : xstrdup("");
    return c;
}

struct container *container_ref(struct container *c)
{
    c->refs++;
    return c;
}

void container_unref(struct container *c)
{
    if (--c->refs)
        return;
    pod_unref(c->pod);
    container_spec_free(c->spec);
    resources_unref(c->resources);
    if (c->image)
        image_unref(c->image);
    guest_free(c->guest);
    cdi_free(c->cdi);
    guest_link_close(&c->guest_link);
    free(c->image_id);
    free(c->image_ref);
    free(c->log_path);
    free(c->runtime_name);
    free(c->guest_family);
    strv_free(c->guest_ignored);
    free(c->run_dir);
    free(c->rootfs_dir);
    free(c->cgroup);
    free(c->groups);
    free(c);
}

struct container *container_find(struct engine *engine, const char *id)
{
    mutex_lock(&engine->lock);

    struct container *c = idmap_get(&engine->containers_by_id, id);

    if (c)
        (void)container_ref(c);
    mutex_unlock(&engine->lock);
    return c;
}

size_t containers_of(struct engine *engine, const struct pod *pod, struct container ***ret)
{
    struct container *c;
    size_t n = 0;

    mutex_lock(&engine->lock);
    *ret = xcalloc(engine->containers_by_id.live + 1, sizeof(struct container *));
    TAILQ_FOREACH (c, &engine->containers, link)
        if (!pod || c->pod == pod)
            (*ret)[n++] = container_ref(c);
    mutex_unlock(&engine->lock);
    return n;
}

void containers_free(struct container **list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        container_unref(list[i]);
    free(list);
}

uint8_t container_cri_state(const struct container *c)
{
    switch (c->state) {
    case CONTAINER_CREATED:
    case CONTAINER_STARTING:
        return 0;
    case CONTAINER_RUNNING:
    case CONTAINER_STOPPING:
        return 1;
    default:
        return 2;
    }
}

/* A container that is being created is not listed. */
static void show(struct container *c)
{
    if (c->in_table && c->state != CONTAINER_CREATING)
        listing_show(&c->engine->listed_containers, &c->listed, container_cri_state(c));
}

void container_list_add(struct container *c)
{
    struct engine *engine = c->engine;

    mutex_lock(&engine->lock);
    c->in_table = true;
    idmap_put(&engine->containers_by_id, c->id, container_ref(c));
    TAILQ_INSERT_HEAD(&engine->containers, c, link);
    show(c);
    mutex_unlock(&engine->lock);
}

void container_list_remove(struct container *c)
{
    struct engine *engine = c->engine;
    bool was;

    mutex_lock(&engine->lock);
    was = c->in_table;
    if (was) {
        c->in_table = false;
        idmap_remove(&engine->containers_by_id, c->id);
        TAILQ_REMOVE(&engine->containers, c, link);
        listing_hide(&engine->listed_containers, &c->listed);
    }
    cond_broadcast(&engine->changed);
    mutex_unlock(&engine->lock);
    if (was)
        container_unref(c);
}

/* -------------------------------------------------------------- state and row */

void container_state_move(struct container *c, enum container_state to)
{
    state_move(&container_states, &c->state, to, c->id);
    show(c);
}

static void move_memory(struct container *c, enum container_state to)
{
    mutex_lock(&c->engine->lock);
    container_state_move(c, to);
    cond_broadcast(&c->engine->changed);
    mutex_unlock(&c->engine->lock);
}

int container_move(struct container *c, enum container_state to, struct err *err)
{
    if (container_state(c) == to)
        return 0;
    if (db_container_set_state(c->engine->db, c->id, to, err) < 0)
        return -1;
    move_memory(c, to);
    return 0;
}

enum container_state container_state(struct container *c)
{
    mutex_lock(&c->engine->lock);

    enum container_state state = (enum container_state)c->state;

    mutex_unlock(&c->engine->lock);
    return state;
}

int container_set_running(struct container *c, nsec_t started_at, struct err *err)
{
    if (db_container_started(c->engine->db, c->id, CONTAINER_RUNNING, started_at, err) < 0)
        return -1;
    mutex_lock(&c->engine->lock);
    c->started_at = started_at;
    if (c->state == CONTAINER_STARTING)
        container_state_move(c, CONTAINER_RUNNING);
    cond_broadcast(&c->engine->changed);
    mutex_unlock(&c->engine->lock);
    return 0;
}

bool container_claim_end(struct container *c)
{
    mutex_lock(&c->engine->lock);

    bool mine = !c->end_claimed && state_may(&container_states, c->state, CONTAINER_EXITED);

    c->end_claimed = c->end_claimed || mine;
    mutex_unlock(&c->engine->lock);
    return mine;
}

void container_set_exited(struct container *c, nsec_t finished_at, int exit_code,
                          const char *reason, const char *message)
{
    struct engine *engine = c->engine;
    struct err err = ERR_INIT;

    if (db_container_exited(engine->db, c->id, CONTAINER_EXITED, finished_at, exit_code, reason,
                            message, &err) < 0) {
        log_error("container %s: record its exit: %s", c->id, err.msg);
        engine_out_of_space(engine, &err);
    }
    mutex_lock(&engine->lock);
    c->finished_at = finished_at;
    c->exit_code = exit_code;
    (void)snprintf(c->reason, sizeof(c->reason), "%s", reason);
    (void)snprintf(c->message, sizeof(c->message), "%s", message);
    c->workload = (struct process){0};
    container_state_move(c, CONTAINER_EXITED);
    cond_broadcast(&engine->changed);
    mutex_unlock(&engine->lock);
}

/* --------------------------------------------------------------------- views */

void container_view_fill(struct container *c, struct container_view *ret)
{
    *ret = (struct container_view){
        .stop_signal =
            c->spec->stop_signal ? c->spec->stop_signal : container_signal_to_cri(c->stop_signal),
        .state = (enum container_state)c->state,
        .created_at = c->created_at,
        .started_at = c->started_at,
        .finished_at = c->finished_at,
        .exit_code = c->exit_code,
        .spec = c->spec,
        .reason = c->state >= CONTAINER_EXITED ? c->reason : "", /* written once, before that */
        .message = c->state >= CONTAINER_EXITED ? c->message : "",
        .image_id = c->image_id,
        .log_path = c->log_path,
        .image_ref = c->image_ref,
        .runtime = c->runtime_name,
        .guest_family = c->guest_family,
        .guest_ignored = c->guest_ignored,
        .pid = c->workload.pid,
        .user = c->user,
        .group = c->group,
        .groups = c->groups,
        .n_groups = c->n_groups,
        .resources = &c->resources->r,
        .hold_resources = resources_ref(c->resources),
        .hold = container_ref(c),
    };
    memcpy(ret->id, c->id, sizeof(ret->id));
    memcpy(ret->pod_id, c->pod->id, sizeof(ret->pod_id));
    memcpy(ret->phases, c->phases, sizeof(ret->phases));
}

void container_view_done(struct container_view *view)
{
    if (view->hold)
        container_unref(view->hold);
    resources_unref(view->hold_resources);
    view->hold = NULL;
    view->hold_resources = NULL;
}

void container_views_free(struct container_view *views, size_t n)
{
    for (size_t i = 0; i < n; i++)
        container_view_done(&views[i]);
    free(views);
}

int container_get(struct engine *engine, const char *id, struct container_view *ret,
                  struct err *err)
{
    mutex_lock(&engine->lock);

    struct container *c = idmap_get(&engine->containers_by_id, id);
    bool found = c && c->state != CONTAINER_CREATING;

    if (found)
        container_view_fill(c, ret);
    mutex_unlock(&engine->lock);
    return found ? 0 : err_set(err, ERR_NOT_FOUND, "container '%s': no such container", id);
}

bool container_full_id(struct engine *engine, const char *prefix, char ret[65])
{
    struct container *c;
    size_t n = 0;

    mutex_lock(&engine->lock);
    TAILQ_FOREACH (c, &engine->containers, link)
        if (c->state != CONTAINER_CREATING && str_has_prefix(c->id, prefix) && n++ == 0)
            memcpy(ret, c->id, sizeof(c->id));
    mutex_unlock(&engine->lock);
    return n == 1;
}

bool container_matches(const struct container *c, const struct list_filter *f)
{
    if (c->state == CONTAINER_CREATING || !f)
        return c->state != CONTAINER_CREATING;
    if ((f->id && !str_has_prefix(c->id, f->id)) ||
        (f->pod_id && !str_has_prefix(c->pod->id, f->pod_id)) ||
        (f->state >= 0 && f->state != container_cri_state(c)))
        return false;
    for (size_t i = 0; f->labels && i < f->labels->n; i++) {
        const char *value = kvs_get(&c->spec->labels, f->labels->v[i].key);

        if (!value || !str_eq(value, f->labels->v[i].value))
            return false;
    }
    return true;
}

size_t container_list(struct engine *engine, const struct list_filter *filter,
                      struct container_view **ret)
{
    struct container *c;
    size_t n = 0, i = 0;

    mutex_lock(&engine->lock);
    TAILQ_FOREACH (c, &engine->containers, link)
        n += container_matches(c, filter);
    *ret = xcalloc(n + 1, sizeof(**ret));
    TAILQ_FOREACH (c, &engine->containers, link)
        if (container_matches(c, filter))
            container_view_fill(c, &(*ret)[i++]);
    mutex_unlock(&engine->lock);
    return n;
}
