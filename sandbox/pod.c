/* SPDX-License-Identifier: Apache-2.0 */
/* pod - see pod.h: state table, references, tables, row, views. */
#include "sandbox/pod.h"

#include <string.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/strbuf.h"
#include "sandbox/handlers.h"

#define TO(s) STATE_BIT(POD_##s)
static const struct state_row pod_rows[] = {
    [POD_CREATING] = {"CREATING", TO(READY) | TO(REMOVING)},
    [POD_READY] = {"READY", TO(STOPPING) | TO(NOTREADY) | TO(REMOVING)},
    [POD_STOPPING] = {"STOPPING", TO(NOTREADY) | TO(REMOVING)},
    [POD_NOTREADY] = {"NOTREADY", TO(STOPPING) | TO(REMOVING)},
    [POD_REMOVING] = {"REMOVING", 0},
};
const struct state_table pod_states = {.what = "pod", .rows = pod_rows, .n = ARRAY_SIZE(pod_rows)};

/* ----------------------------------------------------------------- references */

struct pod *pod_new(struct engine *engine, const char *id, struct pod_spec *spec,
                    const struct handler *handler, struct err *err)
{
    struct pod *pod = XNEW(struct pod);

    pod->engine = engine;
    pod->spec = spec;
    pod->refs = 1;
    pod->handler = handler;
    pod->overhead = resources_new(&spec->overhead);
    pod->resources = resources_new(&spec->resources);
    pod->state = POD_CREATING;
    pod->cgroup_ours = !*spec->cgroup_parent;
    (void)snprintf(pod->id, sizeof(pod->id), "%s", id);
    pod->dir = path_join(engine->pods_dir, id);
    pod->netns = spec->ns.network == NS_NODE ? xstrdup("") : path_join(engine->netns_dir, id);
    pod->userns = spec->ns.userns ? path_join(engine->userns_dir, id) : xstrdup("");
    pod->cgroup = pod->cgroup_ours ? path_join(engine->cgroup_root, id)
                                   : cgroup_parent_path(&engine->cgroups, spec->cgroup_parent, err);
    if (!pod->cgroup) {
        pod_unref(pod);
        return NULL;
    }
    return pod;
}

struct pod *pod_ref(struct pod *pod)
{
    pod->refs++;
    return pod;
}

void pod_unref(struct pod *pod)
{
    if (--pod->refs)
        return;
    pod_spec_free(pod->spec);
    resources_unref(pod->overhead);
    resources_unref(pod->resources);
    free(pod->dir);
    free(pod->cgroup);
    free(pod->netns);
    free(pod->userns);
    free(pod->network);
    free(pod);
}

struct pod *pod_find(struct engine *engine, const char *id)
{
    mutex_lock(&engine->lock);

    struct pod *pod = idmap_get(&engine->pods_by_id, id);

    if (pod)
        (void)pod_ref(pod);
    mutex_unlock(&engine->lock);
    return pod;
}

size_t pods_all(struct engine *engine, struct pod ***ret)
{
    size_t n = 0;
    struct pod *pod;

    mutex_lock(&engine->lock);
    *ret = xcalloc(engine->pods_by_id.live + 1, sizeof(struct pod *));
    TAILQ_FOREACH (pod, &engine->pods, link)
        (*ret)[n++] = pod_ref(pod);
    mutex_unlock(&engine->lock);
    return n;
}

void pods_free(struct pod **pods, size_t n)
{
    for (size_t i = 0; i < n; i++)
        pod_unref(pods[i]);
    free(pods);
}

uint8_t pod_cri_state(const struct pod *pod)
{
    return pod->state == POD_READY ? 0 : 1;
}

static void show(struct pod *pod)
{
    if (pod->in_table && pod->listed)
        listing_show(&pod->engine->listed_pods, &pod->entry, pod_cri_state(pod));
}

void pod_list_add(struct pod *pod, bool listed)
{
    struct engine *engine = pod->engine;

    mutex_lock(&engine->lock);
    pod->listed = listed;
    if (!pod->in_table) {
        pod->in_table = true;
        idmap_put(&engine->pods_by_id, pod->id, pod_ref(pod));
        TAILQ_INSERT_HEAD(&engine->pods, pod, link);
    }
    show(pod);
    mutex_unlock(&engine->lock);
}

void pod_list_remove(struct pod *pod)
{
    struct engine *engine = pod->engine;
    bool was;

    mutex_lock(&engine->lock);
    was = pod->in_table;
    if (was) {
        pod->in_table = false;
        idmap_remove(&engine->pods_by_id, pod->id);
        TAILQ_REMOVE(&engine->pods, pod, link);
        listing_hide(&engine->listed_pods, &pod->entry);
    }
    cond_broadcast(&engine->changed);
    mutex_unlock(&engine->lock);
    if (was)
        pod_unref(pod);
}

/* ------------------------------------------------------------- state and row */

int pod_move(struct pod *pod, enum pod_state to, struct err *err)
{
    struct engine *engine = pod->engine;

    if (pod_state(pod) == to)
        return 0;
    if (db_pod_set_state(engine->db, pod->id, to, err) < 0)
        return -1;
    mutex_lock(&engine->lock);
    state_move(&pod_states, &pod->state, to, pod->id);
    show(pod);
    cond_broadcast(&engine->changed);
    mutex_unlock(&engine->lock);
    return 0;
}

enum pod_state pod_state(struct pod *pod)
{
    mutex_lock(&pod->engine->lock);

    enum pod_state state = (enum pod_state)pod->state;

    mutex_unlock(&pod->engine->lock);
    return state;
}

int pod_save_runtime(struct pod *pod, struct err *err)
{
    autojson *o = json_object();
    autofree char *text = NULL;

    json_put_string(o, "cgroup", pod->cgroup);
    json_put_bool(o, "cgroup_made", pod->cgroup_made);
    json_put_string(o, "netns", pod->netns);
    json_put_string(o, "boot", boot_id());
    if (!resources_same(&pod->overhead->r, &pod->spec->overhead))
        json_put(o, "overhead", resources_write(&pod->overhead->r));
    if (!resources_same(&pod->resources->r, &pod->spec->resources))
        json_put(o, "resources", resources_write(&pod->resources->r));
    mutex_lock(&pod->engine->lock);
    process_put(o, "init", &pod->init);
    mutex_unlock(&pod->engine->lock);
    text = json_text(o);
    return db_pod_set_runtime(pod->engine->db, pod->id, text, err);
}

static void load_resources(const json_t *o, const char *key, struct resources **dst)
{
    const json_t *json = json_object_get(o, key);
    struct resources *r = json ? resources_parse(json, NULL) : NULL;

    if (!r)
        return;
    resources_unref(*dst);
    *dst = r;
}

void pod_load_runtime(struct pod *pod, const char *json)
{
    autojson *o = json_parse(json, strlen(json), ROW_JSON_MAX_BYTES, "runtime", NULL);
    const char *boot = NULL, *cgroup = NULL;

    if (!o || json_opt_string(o, "boot", &boot, NULL) < 0 ||
        json_opt_string(o, "cgroup", &cgroup, NULL) < 0 ||
        json_opt_bool(o, "cgroup_made", &pod->cgroup_made, NULL) < 0)
        return;
    load_resources(o, "overhead", &pod->overhead);
    load_resources(o, "resources", &pod->resources);
    /* Where it really is, even when the configuration has changed since. */
    if (cgroup && cgroup_path_check(cgroup, NULL) == 0) {
        free(pod->cgroup);
        pod->cgroup = xstrdup(cgroup);
    }
    if (boot && str_eq(boot, boot_id()))
        process_get(o, "init", &pod->init);
}

void pod_set_network(struct pod *pod, struct cni_result *network)
{
    mutex_lock(&pod->engine->lock);
    free(pod->network);
    pod->network = network;
    pod->n_ips = 0;
    for (size_t i = 0; i < network->n_addresses && i < POD_IPS_MAX; i++)
        (void)snprintf(pod->ips[pod->n_ips++], sizeof(pod->ips[0]), "%s", network->addresses[i].ip);
    mutex_unlock(&pod->engine->lock);
}

/* -------------------------------------------------------------------- views */

void pod_view_fill(struct pod *pod, struct pod_view *ret)
{
    *ret = (struct pod_view){
        .state = (enum pod_state)pod->state,
        .created_at = pod->created_at,
        .spec = pod->spec,
        .n_ips = pod->n_ips,
        .init_pid = pod->init.pid,
        .handler = pod->handler->name,
        .overhead = &pod->overhead->r,
        .resources = &pod->resources->r,
        .hold_overhead = resources_ref(pod->overhead),
        .hold_resources = resources_ref(pod->resources),
        .hold = pod_ref(pod),
    };
    memcpy(ret->id, pod->id, sizeof(ret->id));
    memcpy(ret->ips, pod->ips, sizeof(ret->ips));
    (void)snprintf(ret->netns, sizeof(ret->netns), "%s", pod->netns);
    (void)snprintf(ret->cgroup, sizeof(ret->cgroup), "%s", pod->cgroup);
}

void pod_view_done(struct pod_view *view)
{
    if (view->hold)
        pod_unref(view->hold);
    resources_unref(view->hold_overhead);
    resources_unref(view->hold_resources);
    view->hold = view->hold_overhead = view->hold_resources = NULL;
}

void pod_views_free(struct pod_view *views, size_t n)
{
    for (size_t i = 0; i < n; i++)
        pod_view_done(&views[i]);
    free(views);
}

int pod_get(struct engine *engine, const char *id, struct pod_view *ret, struct err *err)
{
    mutex_lock(&engine->lock);

    struct pod *pod = idmap_get(&engine->pods_by_id, id);
    bool found = pod && pod->listed;

    if (found)
        pod_view_fill(pod, ret);
    mutex_unlock(&engine->lock);
    return found ? 0 : err_set(err, ERR_NOT_FOUND, "pod sandbox '%s': no such sandbox", id);
}

bool pod_full_id(struct engine *engine, const char *prefix, char ret[65])
{
    struct pod *pod;
    size_t n = 0;

    mutex_lock(&engine->lock);
    TAILQ_FOREACH (pod, &engine->pods, link)
        if (pod->listed && str_has_prefix(pod->id, prefix) && n++ == 0)
            memcpy(ret, pod->id, sizeof(pod->id));
    mutex_unlock(&engine->lock);
    return n == 1;
}

static bool labels_match(const struct kvs *labels, const struct kvs *wanted)
{
    for (size_t i = 0; wanted && i < wanted->n; i++) {
        const char *value = kvs_get(labels, wanted->v[i].key);

        if (!value || !str_eq(value, wanted->v[i].value))
            return false;
    }
    return true;
}

bool pod_matches(const struct pod *pod, const struct list_filter *f)
{
    if (!pod->listed || !f)
        return pod->listed;
    return (!f->id || str_has_prefix(pod->id, f->id)) &&
           (f->state < 0 || f->state == pod_cri_state(pod)) &&
           labels_match(&pod->spec->labels, f->labels);
}

size_t pod_list(struct engine *engine, const struct list_filter *filter, struct pod_view **ret)
{
    size_t n = 0, i = 0;
    struct pod *pod;

    mutex_lock(&engine->lock);
    TAILQ_FOREACH (pod, &engine->pods, link)
        n += pod_matches(pod, filter);
    *ret = xcalloc(n + 1, sizeof(**ret));
    TAILQ_FOREACH (pod, &engine->pods, link)
        if (pod_matches(pod, filter))
            pod_view_fill(pod, &(*ret)[i++]);
    mutex_unlock(&engine->lock);
    return n;
}
