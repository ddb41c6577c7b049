/* SPDX-License-Identifier: Apache-2.0 */
/*
 * selinux - labels of processes and files. What a request leaves out has the names that the
 * policies of distributions give to containers. The OCI runtime sets labels where it mounts; what
 * is there before, a volume, is labelled here.
 */
#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "base/fs.h"
#include "base/strbuf.h"
#include "sandbox/security.h"

#define RELABEL_DEPTH_MAX 256

static bool asked(const struct selinux_option *s)
{
    return *s->user || *s->role || *s->type || *s->level;
}

int selinux_check(const struct selinux_option *s, struct err *err)
{
    if (asked(s) && access("/sys/fs/selinux/enforce", F_OK) < 0)
        return err_set(err, ERR_UNSUPPORTED,
                       "SELinux options are set, but this node has no SELinux");
    return 0;
}

char *selinux_label(const struct selinux_option *s)
{
    if (!asked(s))
        return xstrdup("");
    return xasprintf("%s:%s:%s:%s", *s->user ? s->user : "system_u",
                     *s->role ? s->role : "system_r", *s->type ? s->type : "container_t",
                     *s->level ? s->level : "s0");
}

char *selinux_file_label(const struct selinux_option *s)
{
    if (!asked(s))
        return xstrdup("");
    return xasprintf("%s:object_r:container_file_t:%s", *s->user ? s->user : "system_u",
                     *s->level ? s->level : "s0");
}

/* By descriptor, not by name: a pod that runs may change names meanwhile. */
static int label_one(int fd, const char *label)
{
    char self[64];

    (void)snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
    return setxattr(self, "security.selinux", label, strlen(label) + 1, 0) == 0 ||
                   errno == ENOTSUP || errno == EROFS
               ? 0
               : -1;
}

static int label_tree(int at, const char *name, const char *label, int level)
{
    autofd int fd = openat(at, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    const struct dirent *e;
    struct stat st;

    if (fd < 0)
        return errno == ENOENT ? 0 : -1;
    if (fstat(fd, &st) < 0)
        return -1;
    if (S_ISLNK(st.st_mode))
        return 0; /* its name in /proc would lead on to what it names */
    if (label_one(fd, label) < 0)
        return -1;
    if (!S_ISDIR(st.st_mode))
        return 0;
    if (level == RELABEL_DEPTH_MAX) {
        errno = ELOOP;
        return -1;
    }

    int list = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    autodir DIR *d = list < 0 ? NULL : fdopendir(list);

    if (!d) {
        (void)close_fd(list);
        return -1;
    }
    while ((e = readdir(d)))
        if (!str_eq(e->d_name, ".") && !str_eq(e->d_name, "..") &&
            label_tree(fd, e->d_name, label, level + 1) < 0)
            return -1;
    return 0;
}

int selinux_relabel(const char *path, const char *label, struct err *err)
{
    static const char *const never[] = {"/",     "/bin", "/boot", "/dev",  "/etc",
                                        "/home", "/lib", "/proc", "/root", "/run",
                                        "/sbin", "/sys", "/tmp",  "/usr",  "/var"};

    for (size_t i = 0; i < ARRAY_SIZE(never); i++)
        if (str_eq(path, never[i]))
            return err_set(err, ERR_INVALID, "'%s' belongs to the node: its labels stay", path);
    return label_tree(AT_FDCWD, path, label, 0) < 0 ? err_sys(err, "label '%s'", path) : 0;
}
