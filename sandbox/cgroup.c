/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cgroup - see cgroup.h: what is mounted, names, creation. Limits are written by cgroup_v1.c and
 * cgroup_v2.c, ends are in cgroup_kill.c.
 */
#include "sandbox/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/strbuf.h"

#define MOUNTINFO_MAX_BYTES (16 * 1024 * 1024)
#define SYSTEMD_RUNS        "/run/systemd/system" /* see sd_booted(3) */

/* Where our own cgroups are made on a version 1 host. The rest (devices, blkio ...) is the OCI
 * runtime's. */
static const char *const counting[] = {"memory", "cpu", "cpuacct", "pids"};

void cgroups_done(struct cgroups *c)
{
    for (size_t i = 0; i < c->n; i++) {
        free(c->h[i].mount);
        free(c->h[i].controllers);
    }
    c->n = 0;
}

static bool has_controller(const struct cgroup_hierarchy *h, const char *controller)
{
    char token[64];

    (void)snprintf(token, sizeof(token), ",%s,", controller);
    return strstr(h->controllers, token) != NULL;
}

static void add_hierarchy(struct cgroups *c, const char *mount, const char *options, bool unified)
{
    struct cgroup_hierarchy *h = &c->h[c->n];

    if (c->n == CGROUP_HIERARCHIES_MAX)
        return;
    autofree char *controllers = unified ? xstrdup("") : xasprintf(",%s,", options);

    /* A hierarchy may be mounted twice, in a chroot for instance: the first is the node's own. */
    for (size_t i = 0; i < c->n; i++)
        if (str_eq(c->h[i].mount, mount) ||
            (unified == c->h[i].unified && str_eq(c->h[i].controllers, controllers)))
            return;
    h->mount = xstrdup(mount);
    h->controllers = TAKE_PTR(controllers);
    h->unified = unified;
    h->counts = unified;
    for (size_t i = 0; i < ARRAY_SIZE(counting); i++)
        if (has_controller(h, counting[i]))
            h->counts = true;
    c->n++;
}

/* One line: "ID PARENT MAJ:MIN ROOT MOUNTPOINT OPTIONS [OPTIONAL...] - TYPE SOURCE SUPEROPTIONS".
 */
static void scan_line(struct cgroups *c, char *line)
{
    char *dash = strstr(line, " - "), *save = NULL;
    char *field = strtok_r(line, " ", &save);
    char mount[CGROUP_PATH_MAX_BYTES] = "";

    for (int i = 0; field && i < 5; i++, field = strtok_r(NULL, " ", &save))
        if (i == 4)
            (void)snprintf(mount, sizeof(mount), "%s", field);
    if (!dash || !mount[0])
        return;

    char *type = strtok_r(dash + 3, " ", &save), *source = strtok_r(NULL, " ", &save);
    char *super = strtok_r(NULL, " ", &save);

    if (!type || !source || !super)
        return;
    if (str_eq(type, "cgroup2"))
        add_hierarchy(c, mount, "", true);
    else if (str_eq(type, "cgroup"))
        add_hierarchy(c, mount, super, false);
}

int cgroups_scan(const char *mountinfo, struct cgroups *ret, struct err *err)
{
    autofree char *text = xstrdup(mountinfo);
    char *save = NULL;

    *ret = (struct cgroups){0};
    for (char *l = strtok_r(text, "\n", &save); l; l = strtok_r(NULL, "\n", &save))
        scan_line(ret, l);
    if (ret->n == 0)
        return err_set(err, ERR_UNSUPPORTED,
                       "this host has no control groups mounted below /sys/fs/cgroup");
    ret->v2 = true;
    for (size_t i = 0; i < ret->n; i++)
        if (has_controller(&ret->h[i],
                           "memory")) /* of version 1: the unified one lists none here */
            ret->v2 = false;
    return 0;
}

int cgroups_open(const char *driver, struct cgroups *ret, struct err *err)
{
    autofree char *text = NULL;

    if (!str_eq(driver, "cgroupfs") && !str_eq(driver, "systemd"))
        return err_set(err, ERR_INVALID, "cgroup driver '%s': neither 'cgroupfs' nor 'systemd'",
                       driver);
    if (str_eq(driver, "systemd") && access(SYSTEMD_RUNS, F_OK) < 0)
        return err_set(err, ERR_UNSUPPORTED,
                       "cgroup driver 'systemd': this host does not run systemd: set "
                       "runtime.cgroup_driver to \"cgroupfs\", for the kubelet too");
    if (fs_read_file(AT_FDCWD, "/proc/self/mountinfo", MOUNTINFO_MAX_BYTES, &text, NULL, err) < 0 ||
        cgroups_scan(text, ret, err) < 0)
        return -1;
    ret->systemd = str_eq(driver, "systemd");
    return 0;
}

bool cgroups_have(const struct cgroups *c, const char *controller)
{
    for (size_t i = 0; i < c->n; i++) {
        autofree char *list = NULL;
        autofree char *file = xasprintf("%s/cgroup.controllers", c->h[i].mount);

        if (!c->h[i].unified && has_controller(&c->h[i], controller))
            return true;
        /* What a hybrid host has in its unified hierarchy only, no OCI runtime finds there. */
        if (!c->v2 || !c->h[i].unified || fs_read_file(AT_FDCWD, file, 4096, &list, NULL, NULL) < 0)
            continue;

        char *save = NULL;

        for (char *t = strtok_r(list, " \n", &save); t; t = strtok_r(NULL, " \n", &save))
            if (str_eq(t, controller))
                return true;
    }
    return false;
}

/* ---------------------------------------------------------------------- names */

int cgroup_path_check(const char *path, struct err *err)
{
    autofree char *copy = xstrdup(path);
    char *save = NULL;

    if (path[0] != '/' || strlen(path) >= CGROUP_PATH_MAX_BYTES)
        return err_set(err, ERR_INVALID, "cgroup '%s': not an absolute path of less than %d bytes",
                       path, CGROUP_PATH_MAX_BYTES);
    for (char *t = strtok_r(copy, "/", &save); t; t = strtok_r(NULL, "/", &save))
        if (!name_is_safe(t))
            return err_set(err, ERR_INVALID, "cgroup '%s': bad component '%s'", path, t);
    return 0;
}

/* "kubepods-burstable-podX.slice" ->
 * "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podX.slice" */
static char *slice_path(const char *slice, struct err *err)
{
    autostrbuf out = STRBUF_INIT;
    size_t len = strlen(slice) - strlen(".slice");

    if (len == 0 || slice[0] == '-' || slice[len - 1] == '-' || strstr(slice, "--")) {
        (void)err_set(err, ERR_INVALID, "cgroup '%s': not the name of a slice", slice);
        return NULL;
    }
    for (size_t i = 1; i <= len; i++)
        if (i == len || slice[i] == '-')
            strbuf_addf(&out, "/%.*s.slice", (int)i, slice);
    return strbuf_detach(&out);
}

char *cgroup_parent_path(const struct cgroups *c, const char *parent, struct err *err)
{
    autofree char *path = NULL;

    if (c->systemd && str_has_suffix(parent, ".slice")) {
        const char *slash = strrchr(parent, '/');

        path = slice_path(slash ? slash + 1 : parent, err);
    } else if (c->systemd) {
        (void)err_set(err, ERR_INVALID, "cgroup '%s': the systemd driver needs the name of a slice",
                      parent);
    } else {
        path = parent[0] == '/' ? xstrdup(parent) : xasprintf("/%s", parent);
    }
    if (!path || cgroup_path_check(path, err) < 0)
        return NULL;
    while (strlen(path) > 1 && path[strlen(path) - 1] == '/')
        path[strlen(path) - 1] = '\0';
    return TAKE_PTR(path);
}

char *cgroup_dir(const struct cgroups *c, const char *controller, const char *path)
{
    for (size_t i = 0; i < c->n; i++) {
        const struct cgroup_hierarchy *h = &c->h[i];

        if (*controller && !c->v2 ? has_controller(h, controller) : h->unified)
            return xasprintf("%s%s", h->mount, path);
    }
    return NULL;
}

char **cgroup_dirs(const struct cgroups *c, const char *path)
{
    char **dirs = NULL;

    for (size_t i = 0; i < c->n; i++) {
        autofree char *dir = xasprintf("%s%s", c->h[i].mount, path);

        if (c->h[i].counts || access(dir, F_OK) == 0)
            strv_take(&dirs, TAKE_PTR(dir));
    }
    return dirs;
}

/* ------------------------------------------------------------------- creation */

int cgroup_put(const char *dir, const char *file, const char *value, struct err *err)
{
    autofree char *path = path_join(dir, file);
    autofd int fd = open(path, O_WRONLY | O_CLOEXEC);

    if (fd < 0)
        return err_sys(err, "open '%s'", path);
    if (write(fd, value, strlen(value)) < 0)
        return err_sys(err, "write '%s' to '%s'", value, path);
    return 0;
}

/* Make one directory of the path; what a new level needs before it can be used is done here. */
static int make_level(const struct cgroups *c, const struct cgroup_hierarchy *h, const char *dir,
                      bool last, bool *made, struct err *err)
{
    if (mkdir(dir, 0755) < 0) {
        if (errno != EEXIST)
            return err_sys(err, "make cgroup '%s'", dir);
    } else {
        *made = true;
        /* Whatever the umask: a container's own users look at their cgroup. */
        if (chmod(dir, 0755) < 0)
            return err_sys(err, "change the mode of cgroup '%s'", dir);
        if (has_controller(h, "cpuset") && cgroup_v1_inherit(dir, err) < 0)
            return -1;
    }
    struct err why = ERR_INIT;

    /* A v2 level hands its controllers on only while no process is in it: the last level is for
     * processes. */
    if (c->v2 && h->unified && !last && cgroup_v2_delegate(dir, &why) < 0 && why.sys != EBUSY) {
        if (err)
            *err = why;
        return -1;
    }
    return 0;
}

static int create_in(const struct cgroups *c, const struct cgroup_hierarchy *h, const char *path,
                     bool *made, struct err *err)
{
    autofree char *dir = xasprintf("%s%s", h->mount, path);
    struct stat st;

    if (stat(dir, &st) == 0)
        return 0;
    for (char *slash = dir + strlen(h->mount) + 1;; slash++) {
        slash += strcspn(slash, "/");

        bool last = *slash == '\0';

        *slash = '\0';
        if (make_level(c, h, dir, last, made, err) < 0)
            return -1;
        if (last)
            return 0;
        *slash = '/';
    }
}

int cgroup_create(const struct cgroups *c, const char *path, bool *ret_made, struct err *err)
{
    bool made = false;

    for (size_t i = 0; i < c->n; i++)
        if (c->h[i].counts && create_in(c, &c->h[i], path, &made, err) < 0)
            return -1;
    if (ret_made)
        *ret_made = made;
    return 0;
}

/* Each level of the path in one hierarchy. */
static int show_in(const struct cgroup_hierarchy *h, const char *path, struct err *err)
{
    autofree char *dir = xasprintf("%s%s", h->mount, path);
    struct stat st;

    for (char *end = dir + strlen(dir); end > dir + strlen(h->mount); end = strrchr(dir, '/')) {
        *end = '\0';
        if (stat(dir, &st) < 0 ||
            ((st.st_mode & 0055) != 0055 && chmod(dir, (st.st_mode & 07777) | 0055) < 0))
            return err_sys(err, "let others look into cgroup '%s'", dir);
    }
    return 0;
}

int cgroup_show(const struct cgroups *c, const char *path, struct err *err)
{
    for (size_t i = 0; i < c->n; i++)
        if (c->h[i].counts && show_in(&c->h[i], path, err) < 0)
            return -1;
    return 0;
}

int cgroup_create_in(const struct cgroups *c, const char *controller, const char *path,
                     struct err *err)
{
    bool made = false;

    for (size_t i = 0; i < c->n; i++)
        if (c->v2 ? c->h[i].unified : has_controller(&c->h[i], controller))
            return create_in(c, &c->h[i], path, &made, err);
    return err_set(err, ERR_UNSUPPORTED, "this host has no cgroup controller '%s'", controller);
}

int cgroup_limit(const struct cgroups *c, const char *path, const struct linux_resources *r,
                 int64_t pids_max, struct err *err)
{
    return c->v2 ? cgroup_v2_limit(c, path, r, pids_max, err)
                 : cgroup_v1_limit(c, path, r, pids_max, err);
}

int cgroup_enter_limited(const struct cgroups *c, const char *path, const struct linux_resources *r,
                         struct err *err)
{
    return c->v2 ? 0 : cgroup_v1_enter_limited(c, path, r, err);
}

/* In one hierarchy, the same for everybody whatever the order of the mounts. */
int cgroup_lock(const struct cgroups *c, const char *path, struct err *err)
{
    autofree char *dir = cgroup_dir(c, "memory", path);
    autostrv char **dirs = cgroup_dirs(c, path);

    if (!dir && !dirs)
        return err_set(err, ERR_UNSUPPORTED, "cgroup '%s': no hierarchy to lock it in", path);
    return fs_lock_dir(dir ? dir : dirs[0], err);
}

bool cgroup_exists(const struct cgroups *c, const char *path)
{
    for (size_t i = 0; i < c->n; i++) {
        autofree char *dir = xasprintf("%s%s", c->h[i].mount, path);

        if (access(dir, F_OK) == 0)
            return true;
    }
    return false;
}

char **cgroup_children(const struct cgroups *c, const char *path)
{
    char **names = NULL;

    for (size_t i = 0; i < c->n; i++) {
        autofree char *dir = xasprintf("%s%s", c->h[i].mount, path);
        autodir DIR *d = opendir(dir);
        const struct dirent *e;

        while (d && (e = readdir(d)))
            if (e->d_type == DT_DIR && e->d_name[0] != '.' && !strv_contains(names, e->d_name))
                strv_push(&names, e->d_name);
    }
    return names;
}
