/* SPDX-License-Identifier: Apache-2.0 */
/*
 * runtime_features - what an OCI runtime can do, from its own `features` command (runtime-spec,
 * features.md). Asked once a program: the answer is kept as long as the file is the same. No lock
 * is held meanwhile; two that ask at once both run it.
 */
#include <errno.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "base/child.h"
#include "base/json.h"
#include "base/log.h"
#include "base/strbuf.h"
#include "sandbox/handlers.h"

#define FEATURES_TIMEOUT   (10 * NSEC_PER_SEC)
#define FEATURES_MAX_BYTES (256 * 1024)
#define WORDS_MAX          1024

struct feature_entry {
    char *program; /* owned */
    struct file_id {
        dev_t dev;
        ino_t ino;
        off_t size;
        struct timespec mtime;
    } file;
    struct runtime_features features;
};

static bool has_word(const json_t *o, const char *key, const char *word)
{
    autostrv char **words = NULL;

    return json_opt_strv(o, key, WORDS_MAX, &words, NULL) == 0 && strv_contains(words, word);
}

static const json_t *member(const json_t *o, const char *key)
{
    json_t *m = NULL;

    return o && json_opt_object(o, key, &m, NULL) == 0 ? m : NULL;
}

/* A version is shown to people: a word, or nothing. */
static void read_version(const json_t *o, char *ret, size_t size)
{
    const json_t *notes = member(o, "annotations");
    const char *v = NULL;

    if (!notes || json_opt_string(notes, "org.opencontainers.runc.version", &v, NULL) < 0 || !v ||
        (!v[0] || v[strspn(v, "0123456789abcdefghijklmnopqrstuvwxyz.+-~")]))
        return;
    (void)snprintf(ret, size, "%.*s", (int)size - 1, v);
}

/* mount_setattr(2), which makes a tree of mounts read-only, is of Linux 5.12. */
static bool kernel_sets_mounts(void)
{
    return mount_setattr(-1, "", 0, NULL, 0) == 0 || errno != ENOSYS;
}

void runtime_features_parse(const char *text, size_t len, struct runtime_features *ret)
{
    struct err err = ERR_INIT;
    autojson *o = json_parse(text, len, FEATURES_MAX_BYTES, "features", &err);
    const json_t *linux_part = member(o, "linux");
    const json_t *idmap = member(member(linux_part, "mountExtensions"), "idmap");
    bool enabled = false;

    *ret = (struct runtime_features){0};
    if (!o || !json_is_object(o))
        return;
    ret->recursive_readonly = has_word(o, "mountOptions", "rro") && kernel_sets_mounts();
    ret->idmapped_mounts = linux_part && has_word(linux_part, "namespaces", "user") && idmap &&
                           json_opt_bool(idmap, "enabled", &enabled, NULL) == 0 && enabled;
    read_version(o, ret->version, sizeof(ret->version));
}

static void ask(const char *program, struct runtime_features *ret)
{
    char *argv[] = {(char[]){"oci-runtime"}, (char[]){"features"}, NULL};
    struct child_spec spec = {.path = program, .argv = argv, .end_group = true};
    autochild_output output = {0};
    struct child_status status;
    struct err err = ERR_INIT;

    *ret = (struct runtime_features){0};
    if (child_run(&spec, NULL, 0, FEATURES_MAX_BYTES, deadline_in(FEATURES_TIMEOUT), &output,
                  &status, &err) < 0)
        log_warn("'%s features': %s", program, err.msg);
    else if (!status.exited || status.code || output.truncated)
        log_info("'%s' does not tell its features: recursive read-only mounts and user namespaces "
                 "are not offered with it",
                 program);
    else
        runtime_features_parse(output.out, output.out_len, ret);
}

static struct feature_entry *find(struct handlers *hs, const char *program) NEEDS(hs->lock)
{
    for (size_t i = 0; i < hs->n_features; i++)
        if (str_eq(hs->features[i].program, program))
            return &hs->features[i];
    return NULL;
}

static bool same_file(const struct file_id *a, const struct file_id *b)
{
    return a->dev == b->dev && a->ino == b->ino && a->size == b->size &&
           a->mtime.tv_sec == b->mtime.tv_sec && a->mtime.tv_nsec == b->mtime.tv_nsec;
}

static void put(struct handlers *hs, const char *program, const struct file_id *file,
                const struct runtime_features *features)
{
    mutex_lock(&hs->lock);

    struct feature_entry *e = find(hs, program);

    if (!e) {
        hs->features = xrealloc_array(hs->features, hs->n_features + 1, sizeof(*e));
        e = &hs->features[hs->n_features++];
        *e = (struct feature_entry){.program = xstrdup(program)};
    }
    e->file = *file;
    e->features = *features;
    mutex_unlock(&hs->lock);
}

void handler_features(struct handlers *hs, const struct handler *h, struct runtime_features *ret)
{
    struct stat st;

    *ret = (struct runtime_features){0};
    if (!handler_runs_oci(h) || !*h->program || stat(h->program, &st) < 0)
        return;

    struct file_id file = {st.st_dev, st.st_ino, st.st_size, st.st_mtim};

    mutex_lock(&hs->lock);

    const struct feature_entry *e = find(hs, h->program);
    bool known = e && same_file(&e->file, &file);

    if (known)
        *ret = e->features;
    mutex_unlock(&hs->lock);
    if (known)
        return;
    ask(h->program, ret);
    put(hs, h->program, &file, ret);
}

void handler_features_free(struct handlers *hs)
{
    for (size_t i = 0; i < hs->n_features; i++)
        free(hs->features[i].program);
    free(hs->features);
}
