/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cdi_dirs - the directories of CDI files, and which file a device is taken from. All files are
 * read each time: vendors write and remove them while the daemon runs, few containers ask, and a
 * file is parsed in a millisecond. A directory that is not there is an empty one.
 */
#include <errno.h>
#include <string.h>

#include "base/fs.h"
#include "base/strbuf.h"
#include "sandbox/cdi.h"
#include "sandbox/cdi_text.h"

/* What is known of one wanted device so far. */
struct candidate {
    const struct cdi_spec *spec;
    const struct cdi_device *device;
    size_t dir;         /* where it is: the index of its directory */
    char *path, *rival; /* owned; `rival`: another file of that directory has it too */
};

struct search {
    char *const *names;
    size_t n_names;
    struct candidate *found; /* one a name */
    struct cdi *out;         /* holds the files that matter */
    size_t bytes;
    size_t n_bad;         /* files that were of no use */
    struct err first_bad; /* why */
};

static void bad(struct search *s, const char *path, const struct err *why)
{
    if (s->n_bad++ == 0)
        (void)err_set(&s->first_bad, why->code, "'%s': %s", path, why->msg);
}

/* A FIFO or a device among the files must not hold up anybody. */
static int read_file(const char *path, char **ret, size_t *ret_len, struct err *err)
{
    autofd int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    struct stat st;

    if (fd < 0)
        return err_sys(err, "open");
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return err_set(err, ERR_INVALID, "not a file");
    return fs_read_fd(fd, CDI_TEXT_MAX_BYTES, ret, ret_len, err);
}

static const struct cdi_device *device_of(const struct cdi_spec *spec, const char *name)
{
    size_t len = strlen(spec->kind);

    if (strncmp(name, spec->kind, len) != 0 || name[len] != '=')
        return NULL;
    for (size_t i = 0; i < spec->devices.n; i++)
        if (str_eq(spec->devices.v[i].name, name + len + 1))
            return &spec->devices.v[i];
    return NULL;
}

static void keep(char **at, const char *value)
{
    free(*at);
    *at = xstrdup_null(value);
}

/* Returns: whether the file has something that is wanted. */
static bool consider(struct search *s, const struct cdi_spec *spec, const char *path, size_t dir)
{
    bool wanted = false;

    for (size_t i = 0; i < s->n_names; i++) {
        const struct cdi_device *device = device_of(spec, s->names[i]);
        struct candidate *c = &s->found[i];

        if (!device)
            continue;
        wanted = true;
        if (c->device && c->dir == dir) {
            keep(&c->rival, path);
            continue;
        }
        c->spec = spec;
        c->device = device;
        c->dir = dir;
        keep(&c->path, path);
        keep(&c->rival, NULL);
    }
    return wanted;
}

static void scan_file(struct search *s, const char *path, size_t dir)
{
    struct err err = ERR_INIT;
    autofree char *text = NULL;
    autocdi_spec *spec = NULL;
    size_t len = 0;

    if (read_file(path, &text, &len, &err) < 0 || !(spec = cdi_spec_parse(text, len, &err)))
        bad(s, path, &err);
    s->bytes += len;
    if (spec && consider(s, spec, path, dir)) {
        struct cdi *out = s->out;

        out->specs = xrealloc_array(out->specs, out->n_specs + 1, sizeof(struct cdi_spec *));
        out->specs[out->n_specs++] = TAKE_PTR(spec);
    }
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool is_spec_name(const char *name)
{
    return str_has_suffix(name, ".json") || str_has_suffix(name, ".yaml");
}

/* Sorted, so that the same files always give the same answer. */
static char **list_dir(const char *path, struct err *err)
{
    autodir DIR *d = opendir(path);
    char **names = NULL;
    const struct dirent *e;

    if (!d) {
        if (errno != ENOENT)
            (void)err_sys(err, "open");
        return NULL;
    }
    while ((e = readdir(d)) && strv_len(names) <= CDI_FILES_MAX)
        if (e->d_type != DT_DIR && is_spec_name(e->d_name))
            strv_push(&names, e->d_name);
    if (names)
        qsort((void *)names, strv_len(names), sizeof(char *), by_name);
    return names;
}

static void scan_dir(struct search *s, const char *dir, size_t index)
{
    struct err err = ERR_INIT;
    autostrv char **names = list_dir(dir, &err);

    if (strv_len(names) > CDI_FILES_MAX)
        (void)err_set(&err, ERR_EXHAUSTED, "more than %d files", CDI_FILES_MAX);
    for (char *const *n = names; n && *n && !err.code; n++) {
        autofree char *path = path_join(dir, *n);

        if (s->bytes > CDI_BYTES_MAX)
            (void)err_set(&err, ERR_EXHAUSTED, "the files take more than %d bytes", CDI_BYTES_MAX);
        else
            scan_file(s, path, index);
    }
    if (err.code)
        bad(s, dir, &err);
}

static int not_found(const struct search *s, char *const *dirs, const char *name, struct err *err)
{
    autostrbuf where = STRBUF_INIT;

    for (char *const *d = dirs; *d; d++)
        strbuf_addf(&where, "%s'%s'", d == dirs ? "" : " or ", *d);
    if (s->n_bad)
        return err_set(err, ERR_NOT_FOUND,
                       "CDI device '%s': not in %s, where %zu could not be used: %s", name, where.s,
                       s->n_bad, s->first_bad.msg);
    return err_set(err, ERR_NOT_FOUND, "CDI device '%s': not in %s", name, where.s);
}

static void add_edits(struct cdi *out, const struct cdi_edits *edits, const char *device)
{
    out->edits[out->n_edits].edits = edits;
    out->edits[out->n_edits++].device = device;
}

/* A file's own edits once, before those of the first of its devices. */
static int conclude(const struct search *s, char *const *dirs, struct err *err)
{
    struct cdi *out = s->out;

    out->edits = xcalloc(2 * s->n_names + 1, sizeof(*out->edits));
    for (size_t i = 0; i < s->n_names; i++) {
        const struct candidate *c = &s->found[i];
        bool seen = false;

        if (!c->device)
            return not_found(s, dirs, s->names[i], err);
        if (c->rival)
            return err_set(err, ERR_STATE, "CDI device '%s': both '%s' and '%s' have it",
                           s->names[i], c->path, c->rival);
        for (size_t j = 0; j < i; j++)
            seen = seen || s->found[j].spec == c->spec;
        if (!seen)
            add_edits(out, &c->spec->edits, out->names[i]);
        add_edits(out, &c->device->edits, out->names[i]);
    }
    return 0;
}

int cdi_resolve(char *const *dirs, char *const *names, struct cdi **ret, struct err *err)
{
    autocdi *out = XNEW(struct cdi);
    struct search s = {.names = names, .n_names = strv_len(names), .out = out};
    int rc;

    if (!dirs || !dirs[0])
        return err_set(err, ERR_UNSUPPORTED, "CDI device '%s': no directories are configured",
                       names && names[0] ? names[0] : "");
    out->names = strv_dup(names);
    s.found = xcalloc(s.n_names + 1, sizeof(*s.found));
    for (size_t i = 0; dirs[i]; i++)
        scan_dir(&s, dirs[i], i);
    rc = conclude(&s, dirs, err);
    for (size_t i = 0; i < s.n_names; i++) {
        free(s.found[i].path);
        free(s.found[i].rival);
    }
    free(s.found);
    if (rc == 0)
        *ret = TAKE_PTR(out);
    return rc;
}

void cdi_free(struct cdi *cdi)
{
    if (!cdi)
        return;
    for (size_t i = 0; i < cdi->n_specs; i++)
        cdi_spec_free(cdi->specs[i]);
    free((void *)cdi->specs);
    free(cdi->edits);
    strv_free(cdi->names);
    free(cdi);
}
