/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mount_source - the node's side of a requested mount: where it really is, and whether it can have
 * the propagation that is asked for. oci_mounts.c says what becomes of it.
 */
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/strbuf.h"
#include "sandbox/oci_spec.h"

#define MOUNTINFO_MAX_BYTES (16 * 1024 * 1024)

/* ---------------------------------------------------------------- propagation */

static bool lies_below(const char *path, const char *mount)
{
    size_t len = strlen(mount);

    return str_eq(mount, "/") ||
           (strncmp(path, mount, len) == 0 && (path[len] == '/' || path[len] == '\0'));
}

void mount_propagation_of(const char *mountinfo, const char *path, bool *ret_shared,
                          bool *ret_slave)
{
    autofree char *text = xstrdup(mountinfo);
    size_t best = 0;
    char *save = NULL;

    *ret_shared = *ret_slave = false;
    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        char *field = line, *end = strstr(line, " - ");

        for (int i = 0; field && i < 4; i++)
            field = strchr(field, ' ') ? strchr(field, ' ') + 1 : NULL;
        if (!field || !end || end < field)
            continue;
        *end = '\0';

        char *rest = strchr(field, ' ');

        if (!rest)
            continue;
        *rest++ = '\0';
        if (strlen(field) < best || !lies_below(path, field))
            continue;
        best = strlen(field);
        *ret_shared = strstr(rest, " shared:") != NULL;
        *ret_slave = strstr(rest, " master:") != NULL;
    }
}

static int check_propagation(const struct mount_spec *m, const char *source, struct err *err)
{
    autofree char *text = NULL;
    bool shared, slave;

    if (m->propagation == MOUNT_PRIVATE)
        return 0;
    if (fs_read_file(AT_FDCWD, "/proc/self/mountinfo", MOUNTINFO_MAX_BYTES, &text, NULL, err) < 0)
        return -1;
    mount_propagation_of(text, source, &shared, &slave);
    if (m->propagation == MOUNT_BIDIRECTIONAL && !shared)
        return err_set(err, ERR_INVALID,
                       "mount '%s': bidirectional propagation, but '%s' is not on a shared mount",
                       m->container_path, source);
    if (m->propagation == MOUNT_HOST_TO_CONTAINER && !shared && !slave)
        return err_set(err, ERR_INVALID,
                       "mount '%s': propagation from the host, but '%s' is on a private mount",
                       m->container_path, source);
    return 0;
}

/* --------------------------------------------------------------------- source */

/* What the client named wrongly is not this server's failure. */
static int bad_source(const struct mount_spec *m, struct err *err)
{
    int sys = errno;

    (void)err_errno(err, sys, "mount '%s': host path '%s'", m->container_path, m->host_path);
    if (err && (sys == ENOTDIR || sys == ELOOP || sys == EEXIST || sys == ENAMETOOLONG))
        err->code = ERR_INVALID;
    return -1;
}

/* Made when missing, links followed. Owned by the caller. */
static char *resolve_source(const struct mount_spec *m, struct err *err)
{
    char real[PATH_MAX];

    if (!realpath(m->host_path, real)) {
        if (errno != ENOENT) {
            (void)bad_source(m, err);
            return NULL;
        }
        struct stat st;

        if (lstat(m->host_path, &st) == 0) {
            (void)err_set(err, ERR_INVALID, "mount '%s': host path '%s' is a link to nowhere",
                          m->container_path, m->host_path);
            return NULL;
        }
        if (fs_mkdirs(m->host_path, 0755, err) < 0) {
            (void)err_wrap(err, "mount '%s'", m->container_path);
            return NULL;
        }
        if (!realpath(m->host_path, real)) {
            (void)bad_source(m, err);
            return NULL;
        }
    }
    if (!str_is_utf8(real, strlen(real))) {
        (void)err_set(err, ERR_INVALID, "mount '%s': host path '%s' is not UTF-8",
                      m->container_path, real);
        return NULL;
    }
    return xstrdup(real);
}

char *mount_source(const struct mount_spec *m, struct err *err)
{
    autofree char *source = resolve_source(m, err);

    return source && check_propagation(m, source, err) == 0 ? TAKE_PTR(source) : NULL;
}
