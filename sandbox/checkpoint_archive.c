/* SPDX-License-Identifier: Apache-2.0 */
/* checkpoint_archive - the files of a checkpoint that tell what it is of, and all of them as one
 * archive. Names and members are those that containerd, CRI-O and checkpointctl use. */
#include <limits.h>
#include <string.h>
#include <time.h>

#include "base/fs.h"
#include "base/json.h"
#include "base/strbuf.h"
#include "sandbox/checkpoint.h"

#define CONFIG_MAX_BYTES (16 * 1024 * 1024)
#define NEVER            "0001-01-01T00:00:00Z"

static void put_time(json_t *o, const char *key, nsec_t at)
{
    time_t seconds = at / NSEC_PER_SEC;
    char text[64], whole[40];
    struct tm tm = {0};

    (void)gmtime_r(&seconds, &tm);
    (void)strftime(whole, sizeof(whole), "%Y-%m-%dT%H:%M:%S", &tm);
    (void)snprintf(text, sizeof(text), "%s.%09lldZ", whole, (long long)(at % NSEC_PER_SEC));
    json_put_string(o, key, text);
}

static int put_json(struct tar_out *out, const char *name, const json_t *o, struct err *err)
{
    autofree char *text = json_text(o);

    return tar_out_bytes(out, name, text, strlen(text), err);
}

static int put_config(const struct container *c, struct tar_out *out, struct err *err)
{
    autojson *o = json_object();

    json_put_string(o, "id", c->id);
    json_put_string(o, "name", c->spec->name);
    json_put_string(o, "rootfsImage", c->image_ref);
    json_put_string(o, "rootfsImageRef", c->image_id);
    json_put_string(o, "rootfsImageName", c->image_ref);
    json_put_string(o, "runtime", c->runtime_name);
    put_time(o, "createdTime", c->created_at);
    put_time(o, "checkpointedTime", clock_wall());
    json_put_string(o, "restoredTime", NEVER);
    json_put(o, "restored", json_false());
    return put_json(out, "config.dump", o, err);
}

static int put_status(const struct container *c, struct tar_out *out, struct err *err)
{
    autojson *o = json_object();

    mutex_lock(&c->engine->lock);
    json_put(o, "CreatedAt", json_integer(c->created_at));
    json_put(o, "StartedAt", json_integer(c->started_at));
    json_put(o, "FinishedAt", json_integer(0));
    json_put(o, "ExitCode", json_integer(0));
    json_put(o, "Pid", json_integer(c->workload.pid));
    mutex_unlock(&c->engine->lock);
    return put_json(out, "status", o, err);
}

/* config.json, and by annotation whose it is. */
static int put_spec(const struct container *c, json_t *config, struct tar_out *out, struct err *err)
{
    const struct pod_spec *pod = c->pod->spec;
    json_t *a = json_object();

    json_put_string(a, "io.container.manager", "unicri");
    json_put_string(a, "io.kubernetes.cri.container-name", c->spec->name);
    json_put_string(a, "io.kubernetes.cri.container-type", "container");
    json_put_string(a, "io.kubernetes.cri.image-name", c->image_ref);
    json_put_string(a, "io.kubernetes.cri.sandbox-id", c->pod->id);
    json_put_string(a, "io.kubernetes.cri.sandbox-name", pod->name);
    json_put_string(a, "io.kubernetes.cri.sandbox-namespace", pod->namespace_);
    json_put_string(a, "io.kubernetes.cri.sandbox-uid", pod->uid);
    json_put(config, "annotations", a);
    return put_json(out, "spec.dump", config, err);
}

/* A restore elsewhere has to know what of the sources was a file, what a directory. */
static int put_binds(const json_t *config, struct tar_out *out, struct err *err)
{
    autojson *list = json_array();
    const json_t *m;
    size_t i;

    json_array_foreach (json_object_get(config, "mounts"), i, m) {
        const char *type = json_string_value(json_object_get(m, "type"));
        const char *source = json_string_value(json_object_get(m, "source"));
        struct stat st;
        json_t *o;

        if (!type || !str_eq(type, "bind") || !source || stat(source, &st) < 0)
            continue;
        o = json_object();
        json_put_string(o, "source", source);
        json_put_string(o, "destination", json_string_value(json_object_get(m, "destination")));
        json_put_string(o, "file_type", S_ISDIR(st.st_mode) ? "directory" : "file");
        json_put(o, "permissions", json_integer(st.st_mode & 0777));
        (void)json_array_append_new(list, o);
    }
    return put_json(out, "bind.mounts", list, err);
}

static int put_documents(const struct checkpoint *k, struct tar_out *out, struct err *err)
{
    autofree char *path = path_join(k->c->run_dir, "config.json"), *text = NULL;
    size_t len = 0;

    if (fs_read_file(AT_FDCWD, path, CONFIG_MAX_BYTES, &text, &len, err) < 0)
        return -1;

    autojson *config = json_parse(text, len, CONFIG_MAX_BYTES, "config.json", err);

    if (!config || put_config(k->c, out, err) < 0 || put_binds(config, out, err) < 0 ||
        put_spec(k->c, config, out, err) < 0)
        return -1;
    return put_status(k->c, out, err);
}

/* What may be missing. */
static int put_optional(struct tar_out *out, const char *name, int dirfd, const char *path,
                        struct err *err)
{
    struct stat st;

    if (fstatat(dirfd, path, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
        return 0;
    return tar_out_file(out, name, dirfd, path, err);
}

int checkpoint_archive(const struct checkpoint *k, struct tar_out *out, struct err *err)
{
    autofd int images =
        openat(k->work_fd, CHECKPOINT_DIR, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (images < 0)
        return err_sys(err, "open '%s/" CHECKPOINT_DIR "'", k->work);
    if (put_documents(k, out, err) < 0 ||
        tar_out_tree(out, CHECKPOINT_DIR "/", images, false, err) < 0 ||
        tar_out_file(out, CHECKPOINT_DIFF, k->work_fd, CHECKPOINT_DIFF, err) < 0 ||
        put_optional(out, CHECKPOINT_LOG, k->work_fd, CHECKPOINT_LOG, err) < 0 ||
        put_optional(out, "stats-dump", k->work_fd, "stats-dump", err) < 0)
        return -1;
    if (*k->c->log_path && put_optional(out, "container.log", AT_FDCWD, k->c->log_path, err) < 0)
        return -1;
    return tar_out_end(out, err);
}
