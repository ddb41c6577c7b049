/* SPDX-License-Identifier: Apache-2.0 */
/* container_row - what of a container its row keeps beside the spec, as JSON: where it is, what
 * runs, who it runs as, and the resources in force when they are not the spec's any more. */
#include <string.h>

#include "base/fs.h"
#include "base/strbuf.h"
#include "sandbox/container.h"
#include "sandbox/start_phases.h"

#define IGNORED_MAX 16

static void put_user(const struct container *c, json_t *o)
{
    json_t *groups = json_array();

    if (c->user < 0) {
        json_decref(groups);
        return;
    }
    json_put(o, "user", json_integer(c->user));
    json_put(o, "group", json_integer(c->group));
    for (size_t i = 0; i < c->n_groups; i++)
        (void)json_array_append_new(groups, json_integer(c->groups[i]));
    json_put(o, "groups", groups);
}

static void get_user(struct container *c, const json_t *o)
{
    const json_t *groups = json_object_get(o, "groups");

    if (!json_object_get(o, "user"))
        return;
    c->user = json_integer_value(json_object_get(o, "user"));
    c->group = json_integer_value(json_object_get(o, "group"));
    c->n_groups = json_array_size(groups);
    c->groups = xcalloc(c->n_groups + 1, sizeof(*c->groups));
    for (size_t i = 0; i < c->n_groups; i++)
        c->groups[i] = json_integer_value(json_array_get(groups, i));
}

int container_save_runtime(struct container *c, struct err *err)
{
    autojson *o = json_object();
    autofree char *text = NULL;

    json_put_string(o, "driver", c->runtime_name);
    json_put_string(o, "guest_family", c->guest_family);
    json_put_strv(o, "guest_ignored", c->guest_ignored);
    json_put_string(o, "image_ref", c->image_ref);
    json_put_string(o, "cgroup", c->cgroup);
    json_put_string(o, "boot", boot_id());
    json_put_int(o, "stop_signal", c->stop_signal);
    json_put_int(o, "uid", c->jail_uid);
    json_put_bool(o, "wants_address", c->wants_address);
    json_put_int(o, "guest_memory", (int64_t)c->guest_memory);
    json_put_int(o, "guest_overhead", (int64_t)c->guest_overhead);
    json_put_bool(o, "update_pending", c->update_pending);
    json_put_bool(o, "checkpointing", c->checkpointing);
    put_user(c, o);
    mutex_lock(&c->engine->lock);
    if (!resources_same(&c->resources->r, &c->spec->resources))
        json_put(o, "resources", resources_write(&c->resources->r));
    process_put(o, "workload", &c->workload);
    process_put(o, "monitor", &c->monitor);
    phases_put(c, o);
    mutex_unlock(&c->engine->lock);
    text = json_text(o);
    return db_container_set_runtime(c->engine->db, c->id, text, err);
}

int container_set_resources(struct container *c, struct resources *r, bool pending, struct err *err)
{
    struct resources *old = c->resources;
    bool was = c->update_pending;
    int rc;

    mutex_lock(&c->engine->lock);
    c->resources = resources_ref(r);
    mutex_unlock(&c->engine->lock);
    c->update_pending = pending;
    rc = container_save_runtime(c, err);
    if (rc < 0) {
        mutex_lock(&c->engine->lock);
        c->resources = old;
        mutex_unlock(&c->engine->lock);
        c->update_pending = was;
        old = r;
    }
    resources_unref(old);
    return rc;
}

static void load_resources(struct container *c, const json_t *o)
{
    const json_t *json = json_object_get(o, "resources");
    struct resources *r = json ? resources_parse(json, NULL) : NULL;

    if (!r)
        return;
    resources_unref(c->resources);
    c->resources = r;
}

void container_load_runtime(struct container *c, const char *json)
{
    autojson *o = json_parse(json, strlen(json), ROW_JSON_MAX_BYTES, "runtime", NULL);
    const char *driver = NULL, *image_ref = NULL, *cgroup = NULL, *boot = NULL;
    const char *family = NULL;
    autostrv char **ignored = NULL;
    int64_t signal = 0, uid = 0, memory = 0, overhead = 0;

    if (!o || json_opt_string(o, "driver", &driver, NULL) < 0 ||
        json_opt_string(o, "image_ref", &image_ref, NULL) < 0 ||
        json_opt_string(o, "cgroup", &cgroup, NULL) < 0 ||
        json_opt_string(o, "guest_family", &family, NULL) < 0 ||
        json_opt_strv(o, "guest_ignored", IGNORED_MAX, &ignored, NULL) < 0 ||
        json_opt_string(o, "boot", &boot, NULL) < 0 ||
        json_opt_int(o, "stop_signal", &signal, NULL) < 0 ||
        json_opt_int(o, "uid", &uid, NULL) < 0 ||
        json_opt_int(o, "guest_memory", &memory, NULL) < 0 ||
        json_opt_int(o, "guest_overhead", &overhead, NULL) < 0 ||
        json_opt_bool(o, "update_pending", &c->update_pending, NULL) < 0 ||
        json_opt_bool(o, "checkpointing", &c->checkpointing, NULL) < 0 ||
        json_opt_bool(o, "wants_address", &c->wants_address, NULL) < 0)
        return;
    c->guest_memory = (uint64_t)memory;
    phases_get(c, o);
    c->guest_overhead = (uint64_t)overhead;
    load_resources(c, o);
    c->stop_signal = (int)signal;
    if (driver) {
        free(c->runtime_name);
        c->runtime_name = xstrdup(driver);
    }
    if (family) {
        free(c->guest_family);
        c->guest_family = xstrdup(family);
    }
    strv_free(c->guest_ignored);
    c->guest_ignored = TAKE_PTR(ignored);
    if (image_ref) {
        free(c->image_ref);
        c->image_ref = xstrdup(image_ref);
    }
    if (cgroup && cgroup_path_check(cgroup, NULL) == 0) {
        free(c->cgroup);
        c->cgroup = xstrdup(cgroup);
    }
    get_user(c, o);
    if (!boot || !str_eq(boot, boot_id()))
        return;
    c->jail_uid = (uint32_t)uid;
    process_get(o, "workload", &c->workload);
    process_get(o, "monitor", &c->monitor);
}

char *container_runtime_spec(struct engine *engine, const char *id, size_t max_bytes)
{
    autocontainer *c = container_find(engine, id);
    autofree char *path = c ? path_join(c->run_dir, "config.json") : NULL;
    char *text = NULL;

    return path && fs_read_file(AT_FDCWD, path, max_bytes, &text, NULL, NULL) == 0 ? text : NULL;
}
