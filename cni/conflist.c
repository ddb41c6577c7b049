/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conflist - see conflist.h. Files here are written by network providers: often while we look,
 * sometimes badly.
 */
#include "cni/conflist.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/strbuf.h"

#define SKIPPED_MAX 16 /* complaints kept; the rest would only repeat */

static const char *const version_names[CNI_VERSIONS] = {
    [CNI_0_3_0] = "0.3.0", [CNI_0_3_1] = "0.3.1", [CNI_0_4_0] = "0.4.0",
    [CNI_1_0_0] = "1.0.0", [CNI_1_1_0] = "1.1.0",
};

int cni_version_parse(const char *s)
{
    for (int i = 0; i < CNI_VERSIONS; i++)
        if (str_eq(s, version_names[i]))
            return i;
    return -1;
}

/* Spec, section 1: a letter or digit, then letters, digits, '_', '.', '-'. Also what a plugin's
 * file may be called. */
static bool is_name(const char *s)
{
    static const char rest[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
    size_t len = strlen(s);

    return len > 0 && len <= CONFLIST_NAME_MAX && strspn(s, rest) == len && !strchr("_.-", *s);
}

/* "cniVersion", and of "cniVersions" (1.1) the highest one that is known. */
static int pick_version(struct conflist *list, const char *what, struct err *err)
{
    const char *one = NULL;
    autostrv char **many = NULL;
    int best = -1;

    if (json_opt_string(list->json, "cniVersion", &one, err) < 0 ||
        json_opt_strv(list->json, "cniVersions", CONFLIST_PLUGINS_MAX, &many, err) < 0)
        return err_wrap(err, "%s", what);
    if (!one && !many)
        return err_set(err, ERR_INVALID, "%s: 'cniVersion' is missing", what);
    if (one)
        best = cni_version_parse(one);
    for (char **v = many; v && *v; v++)
        if (cni_version_parse(*v) > best)
            best = cni_version_parse(*v);
    if (best < 0)
        return err_set(err, ERR_INVALID, "%s: cniVersion '%s' is not one of 0.3.0 to 1.1.0", what,
                       one ? one : many[0]);
    list->version = (enum cni_version)best;
    list->version_name = version_names[best];
    json_put(list->json, "cniVersion", json_string(list->version_name));
    (void)json_object_del(list->json, "cniVersions");
    return 0;
}

static int check_plugin(const json_t *plugin, size_t i, const char *what, struct err *err)
{
    json_t *capabilities = NULL, *value;
    const char *type, *key;

    if (!json_is_object(plugin))
        return err_set(err, ERR_INVALID, "%s: plugins[%zu] is not an object", what, i);
    if (json_need_string(plugin, "type", &type, err) < 0 ||
        json_opt_object(plugin, "capabilities", &capabilities, err) < 0)
        return err_wrap(err, "%s: plugins[%zu]", what, i);
    if (!is_name(type))
        return err_set(err, ERR_INVALID, "%s: plugins[%zu]: '%s' is not the name of a plugin", what,
                       i, type);
    json_object_foreach (capabilities, key, value)
        if (!json_is_boolean(value))
            return err_set(err, ERR_INVALID, "%s: plugins[%zu]: capability '%s' is not a boolean",
                           what, i, key);
    return 0;
}

/* A file that describes one plugin and not a list. */
static void wrap_single(struct conflist *list)
{
    json_t *outer = json_object(), *plugins = json_array();

    json_put(outer, "cniVersion", json_incref(json_object_get(list->json, "cniVersion")));
    json_put(outer, "name", json_incref(json_object_get(list->json, "name")));
    if (!plugins || json_array_append_new(plugins, list->json) < 0)
        abort();
    json_put(outer, "plugins", plugins);
    list->json = outer;
}

static int check(struct conflist *list, const char *what, struct err *err)
{
    size_t i;
    json_t *plugin;

    if (!json_is_object(list->json))
        return err_set(err, ERR_INVALID, "%s: not an object", what);
    if (json_need_string(list->json, "name", &list->name, err) < 0)
        return err_wrap(err, "%s", what);
    if (!is_name(list->name))
        return err_set(err, ERR_INVALID, "%s: '%s' is not the name of a network", what, list->name);
    if (!json_object_get(list->json, "plugins")) {
        if (!json_object_get(list->json, "type"))
            return err_set(err, ERR_INVALID, "%s: neither 'plugins' nor 'type'", what);
        if (!json_object_get(list->json, "cniVersion"))
            return err_set(err, ERR_INVALID, "%s: 'cniVersion' is missing", what);
        wrap_single(list);
    }
    if (pick_version(list, what, err) < 0)
        return -1;
    if (json_opt_array(list->json, "plugins", &list->plugins, err) < 0 ||
        json_opt_bool(list->json, "disableCheck", &list->disable_check, err) < 0 ||
        json_opt_bool(list->json, "disableGC", &list->disable_gc, err) < 0)
        return err_wrap(err, "%s", what);
    if (json_array_size(list->plugins) == 0)
        return err_set(err, ERR_INVALID, "%s: 'plugins' is empty", what);
    if (json_array_size(list->plugins) > CONFLIST_PLUGINS_MAX)
        return err_set(err, ERR_INVALID, "%s: %zu plugins are more than %d", what,
                       json_array_size(list->plugins), CONFLIST_PLUGINS_MAX);
    json_array_foreach (list->plugins, i, plugin)
        if (check_plugin(plugin, i, what, err) < 0)
            return -1;
    return 0;
}

struct conflist *conflist_parse(const char *text, size_t len, const char *what, struct err *err)
{
    autoconflist *list = XNEW(struct conflist);

    list->json = json_parse(text, len, CONFLIST_MAX_BYTES, what, err);
    if (!list->json || check(list, what, err) < 0)
        return NULL;
    return TAKE_PTR(list);
}

void conflist_free(struct conflist *list)
{
    if (!list)
        return;
    json_decref(list->json);
    free(list);
}

bool conflist_wants(const struct conflist *list, const char *capability)
{
    size_t i;
    json_t *plugin;

    json_array_foreach (list->plugins, i, plugin)
        if (json_is_true(json_object_get(json_object_get(plugin, "capabilities"), capability)))
            return true;
    return false;
}

/* ---------------------------------------------------------- directory */

static int is_candidate(const struct dirent *e)
{
    return str_has_suffix(e->d_name, ".conflist") || str_has_suffix(e->d_name, ".conf") ||
           str_has_suffix(e->d_name, ".json");
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static struct conflist *load_file(int dirfd, const char *name, struct err *err)
{
    autofd int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    autofree char *text = NULL;
    struct stat st;
    size_t len = 0;

    if (fd < 0 || fstat(fd, &st) < 0) {
        (void)err_sys(err, "open '%s'", name);
        return NULL;
    }
    if (!S_ISREG(st.st_mode)) {
        (void)err_set(err, ERR_INVALID, "'%s' is not a regular file", name);
        return NULL;
    }
    if (fs_read_fd(fd, CONFLIST_MAX_BYTES, &text, &len, err) < 0) {
        (void)err_wrap(err, "read '%s'", name);
        return NULL;
    }
    return conflist_parse(text, len, name, err);
}

/* Returns: true when the search ends with this file. */
static bool try_file(int dirfd, const char *name, const char *current, struct conflist_scan *scan)
{
    struct err err = ERR_INIT;

    scan->list = load_file(dirfd, name, &err);
    if (!scan->list && strv_len(scan->skipped) < SKIPPED_MAX)
        strv_push(&scan->skipped, err.msg);
    if (!scan->list && (err.code == ERR_NOT_FOUND || !current || !str_eq(name, current)))
        return false;
    scan->kept = !scan->list;
    scan->file = xstrdup(name);
    return true;
}

int conflist_scan(const char *dir, const char *current, struct conflist_scan *ret, struct err *err)
{
    autofd int dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct conflist_scan scan = {0};
    struct dirent **names = NULL;
    bool found = false;
    int n;

    if (dirfd < 0)
        return err_sys(err, "open directory '%s'", dir);
    n = scandirat(dirfd, ".", &names, is_candidate, by_name);
    if (n < 0)
        return err_sys(err, "list directory '%s'", dir);
    for (int i = 0; i < n; i++) {
        if (!found && i < CONFLIST_FILES_MAX)
            found = try_file(dirfd, names[i]->d_name, current, &scan);
        free(names[i]);
    }
    free(names);
    *ret = scan;
    return 0;
}

void conflist_scan_done(struct conflist_scan *scan)
{
    conflist_free(scan->list);
    free(scan->file);
    strv_free(scan->skipped);
    *scan = (struct conflist_scan){0};
}
