/* SPDX-License-Identifier: Apache-2.0 */
/*
 * container_create - CreateContainer. Keyed by (pod, name, attempt) as pods are by theirs.
 * Everything that can be seen to be wrong is refused before the row is written: image, command,
 * runtime, kernel, manifest, namespaces, profiles.
 */
#include <string.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/strbuf.h"
#include "sandbox/runtime.h"
#include "sandbox/volumes.h"

#define LOG_PATH_MAX_BYTES 4096

/* Relative, and nothing in it leads out of the pod's log directory. */
static int check_log_path(const struct container_spec *spec, struct err *err)
{
    autofree char *copy = xstrdup(spec->log_path);
    char *save = NULL;

    if (spec->log_path[0] == '/' || strlen(spec->log_path) > LOG_PATH_MAX_BYTES)
        return err_set(err, ERR_INVALID, "log path '%s': not relative to the pod's log directory",
                       spec->log_path);
    for (char *t = strtok_r(copy, "/", &save); t; t = strtok_r(NULL, "/", &save))
        if (!name_is_safe(t))
            return err_set(err, ERR_INVALID, "log path '%s': bad component '%s'", spec->log_path,
                           t);
    return 0;
}

/* Others may write to the log directory: below it no symbolic link is followed. */
static int make_log_dir(const struct container *c, struct err *err)
{
    const char *base = c->pod->spec->log_directory;
    autofree char *path = xstrdup(c->spec->log_path);
    char *save = NULL, *name = strtok_r(path, "/", &save), *next;

    if (!*c->log_path)
        return 0;
    if (fs_mkdirs(base, 0755, err) < 0)
        return -1;

    autofd int dir = open(base, O_PATH | O_DIRECTORY | O_CLOEXEC);

    if (dir < 0)
        return err_sys(err, "log directory '%s'", base);
    for (; name && (next = strtok_r(NULL, "/", &save)); name = next) {
        if (fs_mkdir(dir, name, 0755, err) < 0)
            return -1;

        int sub = openat(dir, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

        if (sub < 0)
            return err_set(err, ERR_INVALID, "log path '%s': '%s' is not a directory",
                           c->spec->log_path, name);
        (void)close_fd(dir);
        dir = sub;
    }
    return 0;
}

static const char *shown_reference(const struct container_spec *spec, const struct image *image)
{
    if (*spec->user_specified_image)
        return spec->user_specified_image;
    return image->tags && image->tags[0] ? image->tags[0] : image->id;
}

static bool same_key(const struct container_spec *a, const struct container_spec *b)
{
    return a->attempt == b->attempt && str_eq(a->name, b->name);
}

static struct container *find_key(struct pod *pod, const struct container_spec *spec)
{
    struct engine *engine = pod->engine;
    struct container *c;

    mutex_lock(&engine->lock);
    TAILQ_FOREACH (c, &engine->containers, link)
        if (c->pod == pod && same_key(c->spec, spec))
            break;
    if (c)
        (void)container_ref(c);
    mutex_unlock(&engine->lock);
    return c;
}

/* Returns: 1 nothing is in the way, 0 it is there already (ret_id), -1. */
static int look_up(struct pod *pod, const struct container_spec *spec, const char *text,
                   const char *hash, char *ret_id, struct err *err)
{
    autocontainer *old = find_key(pod, spec);
    enum container_state state;

    if (!old)
        return 1;
    state = container_state(old);
    if (state == CONTAINER_CREATING || state == CONTAINER_REMOVING)
        return container_remove(pod->engine, old->id, NULL, err) < 0
                   ? err_wrap(err, "remove what an earlier attempt left")
                   : 1;
    if (str_eq(old->spec_hash, hash)) {
        memcpy(ret_id, old->id, sizeof(old->id));
        metric_joined();
        return 0;
    }

    autofree char *was = container_spec_write(old->spec);
    autofree char *what = spec_difference(was, text);

    return err_set(err, ERR_EXISTS,
                   "container '%s' attempt %u is there already as '%s' with another '%s'",
                   spec->name, spec->attempt, old->id, what);
}

static int insert_row(struct container *c, char *text, struct err *err)
{
    struct container_row row = {
        .id = c->id,
        .pod_id = c->pod->id,
        .name = c->spec->name,
        .attempt = c->spec->attempt,
        .image_id = c->image_id,
        .spec = text,
        .spec_hash = c->spec_hash,
        .state = CONTAINER_CREATING,
        .created_at = c->created_at,
        .reason = (char[]){""},
        .message = (char[]){""},
        .runtime = (char[]){"{}"},
    };

    return db_container_insert(c->engine->db, &row, err);
}

/* Image, runtime and all checks; nothing is made. */
static int prepare(struct container *c, struct err *err)
{
    c->image = imagestore_find(c->engine->images, c->spec->image, err);
    if (!c->image)
        return err_wrap(err, "create container '%s'", c->spec->name);
    if (*c->image->artifact_type)
        return err_set(
            err, ERR_INVALID,
            "create container '%s': image '%s' is an artifact of type '%.100s', of which "
            "a volume can be made, but no container",
            c->spec->name, c->spec->image, c->image->artifact_type);
    free(c->image_id);
    c->image_id = xstrdup(c->image->id);
    free(c->image_ref);
    c->image_ref = xstrdup(shown_reference(c->spec, c->image));
    if (container_signal_number(c->spec->stop_signal, c->image->config.stop_signal, &c->stop_signal,
                                err) < 0 ||
        resources_check(&c->engine->cgroups, &c->spec->resources, err) < 0 ||
        runtime_choose(c, err) < 0 || c->runtime->check(c, err) < 0)
        return err_wrap(err, "create container '%s'", c->spec->name);
    return volumes_check(c, err) < 0 ? err_wrap(err, VOLUME_FAILED) : 0;
}

static void roll_back(struct container *c)
{
    struct err err = ERR_INIT;

    if (container_remove_work(c, &err) < 0)
        log_error("container %s: undo of its failed creation: %s; its pod's removal will try again",
                  c->id, err.msg);
}

static int build(struct pod *pod, const char *hash, char *text, char *ret_id, struct err *err)
{
    struct container_spec *spec = container_spec_parse(text, err);
    char id[ID_LEN + 1];

    if (!spec)
        return -1;
    id_new(id);

    autocontainer *c = container_new(pod, id, spec);

    c->created_at = clock_wall();
    (void)snprintf(c->spec_hash, sizeof(c->spec_hash), "%s", hash);
    if (prepare(c, err) < 0 || make_log_dir(c, err) < 0 || insert_row(c, text, err) < 0)
        return -1;
    container_list_add(c);
    if (steps_up(&container_steps, c, &c->step, container_step_created(), err) < 0 ||
        container_move(c, CONTAINER_CREATED, err) < 0) {
        engine_out_of_space(pod->engine, err);
        if (c->volume_failed)
            (void)err_wrap(err, VOLUME_FAILED);
        roll_back(c);
        return -1;
    }
    memcpy(ret_id, c->id, sizeof(c->id));
    return 0;
}

/* The pod takes no new container once it is stopping, and its stop waits for those counted here. */
static int pod_enter(struct pod *pod, struct err *err)
{
    mutex_lock(&pod->engine->lock);

    bool ready = pod->state == POD_READY;

    if (ready)
        pod->creating++;
    mutex_unlock(&pod->engine->lock);
    return ready ? 0 : err_set(err, ERR_STATE, "pod sandbox '%s' is not ready", pod->id);
}

static void pod_leave(struct pod *pod)
{
    mutex_lock(&pod->engine->lock);
    pod->creating--;
    cond_broadcast(&pod->engine->changed);
    mutex_unlock(&pod->engine->lock);
}

static int create(struct pod *pod, const struct container_spec *spec, const struct caller *caller,
                  char *ret_id, struct err *err)
{
    autofree char *text = container_spec_write(spec);
    autofree char *key = xasprintf("container/%s/%s/%u", pod->id, spec->name, spec->attempt);
    char hash[33], id[ID_LEN + 1] = "";
    struct job *job;

    spec_hash(text, hash);

    int rc = jobs_enter(pod->engine->jobs, key, hash, caller, &job, ret_id, err);

    if (rc == 0)
        metric_joined();
    if (rc <= 0)
        return rc;
    rc = look_up(pod, spec, text, hash, id, err);
    if (rc > 0)
        rc = build(pod, hash, text, id, err);
    if (rc == 0)
        memcpy(ret_id, id, sizeof(id));
    return jobs_leave(job, rc, id, err);
}

int container_create(struct engine *engine, const struct container_spec *spec,
                     const struct caller *caller, char *ret_id, struct err *err)
{
    autopod *pod = pod_find(engine, spec->pod_id);

    if (!pod || !pod->listed)
        return err_set(err, ERR_NOT_FOUND, "pod sandbox '%s': no such sandbox", spec->pod_id);
    if (!*spec->name)
        return err_set(err, ERR_INVALID, "container without a name");
    if (check_log_path(spec, err) < 0 || caller_check(caller, "create container", err) < 0 ||
        pod_enter(pod, err) < 0)
        return -1;

    int rc = create(pod, spec, caller, ret_id, err);

    pod_leave(pod);
    return rc;
}
