/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest_volumes - mounts of a request for a guest, see guest_storage.h.
 *
 * A kubelet adds mounts of its own to every container: those must not keep a guest from running
 * that can take no volumes. They are told by where they lead *and* where they come from, so that a
 * user's volume at the same place is not taken for one.
 */
#include <errno.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/strbuf.h"
#include "sandbox/guest_run.h"
#include "sandbox/guest_storage.h"
#include "sandbox/volumes.h"

#define TERMINATION_LOG  "/dev/termination-log"
#define TERMINATION_KEY  "io.kubernetes.container.terminationMessagePath"
#define SERVICE_ACCOUNT  "/var/run/secrets/kubernetes.io/serviceaccount"
#define EMPTY_DIR        "/volumes/kubernetes.io~empty-dir/"
#define GUEST_DIR        "guest"
#define INITRD_FILE      "initrd"
#define VOLUMES_OF_GUEST 256

void guest_volumes_done(struct guest_volumes *v)
{
    for (size_t i = 0; i < v->n; i++)
        free(v->from[i].path);
    free(v->from);
    free(v->v);
    *v = (struct guest_volumes){.n = 0};
}

/* ------------------------------------------------------------------------ telling */

static bool is_termination_log(const struct container *c, const struct mount_spec *m)
{
    const char *path = kvs_get(&c->spec->annotations, TERMINATION_KEY);

    return str_eq(m->container_path, path && *path ? path : TERMINATION_LOG) &&
           strstr(m->host_path, "/containers/");
}

static bool is_kubelets(const struct mount_spec *m)
{
    if (str_eq(m->container_path, "/etc/hosts"))
        return str_has_suffix(m->host_path, "/etc-hosts");
    return str_eq(m->container_path, SERVICE_ACCOUNT) &&
           (strstr(m->host_path, "/kube-api-access-") || strstr(m->host_path, "-token-"));
}

static void add(struct guest_volumes *list, const struct vmm_volume *volume,
                struct guest_volume_source from)
{
    list->v = xrealloc_array(list->v, list->n + 1, sizeof(*list->v));
    list->from = xrealloc_array(list->from, list->n + 1, sizeof(*list->from));
    list->v[list->n] = *volume;
    list->from[list->n++] = from;
}

static int add_mount(const struct container *c, size_t i, struct guest_volumes *list,
                     struct err *err)
{
    const struct mount_spec *m = &c->spec->mounts[i];
    bool image = *m->image != '\0';
    struct stat st;

    if (is_termination_log(c, m))
        return 0; /* a guest that writes there would write into a copy */
    if (m->propagation != MOUNT_PRIVATE)
        return err_set(err, ERR_UNSUPPORTED,
                       "mount '%s': a unikernel cannot take part in mount propagation; remove "
                       "mountPropagation",
                       m->container_path);
    if (list->n == VOLUMES_OF_GUEST)
        return err_set(err, ERR_UNSUPPORTED, "mount '%s': a unikernel is given at most %d",
                       m->container_path, VOLUMES_OF_GUEST);
    if (!image && stat(m->host_path, &st) < 0) {
        if (errno != ENOENT)
            return err_sys(err, "mount '%s': host path '%s'", m->container_path, m->host_path);
        st.st_mode = S_IFDIR; /* is going to be made, as for any container */
    }

    struct vmm_volume v = {.path = m->container_path,
                           .directory = image || S_ISDIR(st.st_mode),
                           .readonly = m->readonly,
                           .optional = is_kubelets(m),
                           .scratch = strstr(m->host_path, EMPTY_DIR) != NULL};

    add(list, &v, (struct guest_volume_source){image ? NULL : xstrdup(m->host_path), i, false});
    return 0;
}

static bool requested(const struct container_spec *spec, const char *path)
{
    for (size_t i = 0; i < spec->n_mounts; i++)
        if (str_eq(spec->mounts[i].container_path, path))
            return true;
    return false;
}

static void add_pod_files(const struct container *c, struct guest_volumes *list)
{
    static const struct {
        const char *name, *path;
    } files[] = {{"hostname", "/etc/hostname"},
                 {"hosts", "/etc/hosts"},
                 {"resolv.conf", "/etc/resolv.conf"}};

    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        struct vmm_volume v = {.path = files[i].path, .readonly = true, .optional = true};

        if (!requested(c->spec, v.path))
            add(list, &v,
                (struct guest_volume_source){path_join(c->pod->dir, files[i].name), 0, true});
    }
}

int guest_volumes_list(const struct container *c, struct guest_volumes *ret, struct err *err)
{
    *ret = (struct guest_volumes){.n = 0};
    add_pod_files(c, ret); /* first: what was asked for lies above */
    for (size_t i = 0; i < c->spec->n_mounts; i++)
        if (add_mount(c, i, ret, err) < 0) {
            guest_volumes_done(ret);
            return -1;
        }
    return 0;
}

static void name_one(struct strbuf *list, const char *path)
{
    strbuf_addf(list, "%s'%s'", list->len ? ", " : "", path);
}

void guest_volumes_log(const struct container *c, const struct guest_volumes *v,
                       enum vmm_volumes way)
{
    autostrbuf missing = STRBUF_INIT, copied = STRBUF_INIT;

    for (size_t i = 0; i < c->spec->n_mounts; i++)
        if (is_termination_log(c, &c->spec->mounts[i]))
            name_one(&missing, c->spec->mounts[i].container_path);
    for (size_t i = 0; i < v->n; i++) {
        bool left = way == VMM_VOLUMES_NONE || (way == VMM_VOLUMES_SHARE && !v->v[i].directory);

        if (left && !v->from[i].pods)
            name_one(&missing, v->v[i].path);
        else if (way == VMM_VOLUMES_CPIO && !v->v[i].readonly)
            name_one(&copied, v->v[i].path);
    }
    if (missing.len)
        log_info("container %s: the guest is not given %s: its monitor or type has no way for it",
                 c->id, missing.s);
    if (copied.len)
        log_info("container %s: the guest has %s as a copy: what it writes stays inside", c->id,
                 copied.s);
}

/* ------------------------------------------------------------------------ copies */

int guest_volume_open(const struct container *c, const struct guest_volume_source *from,
                      struct err *err)
{
    autofree char *path = from->path ? xstrdup(from->path) : volume_source(c, from->mount, err);
    int fd = path ? open(path, O_PATH | O_CLOEXEC) : -1;

    if (path && fd < 0 && errno == ENOENT && fs_mkdirs(path, 0755, err) == 0)
        fd = open(path, O_PATH | O_CLOEXEC);
    if (path && fd < 0)
        return err_sys(err, "open '%s'", path);
    return fd;
}

static bool in_memory(int fd)
{
    struct statfs fs;

    return fstatfs(fd, &fs) == 0 && (fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC);
}

/* The two places where it may lie. Owned. */
static char *initrd_path(const struct container *c, bool memory)
{
    autofree char *dir = path_join(memory ? c->run_dir : c->rootfs_dir, GUEST_DIR);

    return path_join(dir, INITRD_FILE);
}

/* Readable for the VMM's user, and in a directory that lets nobody else in. */
static int write_initrd(struct container *c, const struct vmm_tree *trees, size_t n, bool memory,
                        struct err *err)
{
    autofree char *dir = path_join(memory ? c->run_dir : c->rootfs_dir, GUEST_DIR);
    autofree char *path = initrd_path(c, memory);
    autofd int image = -1, out = -1;

    if (*c->guest->initrd && (image = guest_open_image(c, "initrd", c->guest->initrd, err)) < 0)
        return -1;
    if (fs_mkdir(AT_FDCWD, dir, 0700, err) < 0 || fs_remove(AT_FDCWD, path, err) < 0)
        return -1;
    out = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (out < 0)
        return err_sys(err, "create '%s'", path);
    if (vmm_initrd_write(c->guest, image, trees, n, out, err) < 0)
        return -1;
    return fchmod(out, 0444) < 0 ? err_sys(err, "change the mode of '%s'", path) : 0;
}

int guest_volumes_write(struct container *c, const struct guest_volumes *v, struct err *err)
{
    autofree struct vmm_tree *trees = xcalloc(v->n + VMM_START_FILES, sizeof(*trees));
    bool memory = false;
    size_t n = 0, n_start = 0;
    int rc = pod_files(c->pod, err);

    for (; n < v->n && rc == 0; n++) {
        int fd = guest_volume_open(c, &v->from[n], err);

        trees[n] = (struct vmm_tree){v->v[n].path, fd};
        if (fd < 0)
            rc = err_wrap(err, "mount '%s'", v->v[n].path);
        else
            memory = memory || (!v->from[n].pods && in_memory(fd));
    }
    if (rc == 0)
        rc = guest_start_files(c, trees + n, &n_start, err);
    n += n_start;
    if (rc == 0) /* secrets may be in an environment, too */
        rc = write_initrd(c, trees, n, memory || n_start > 0, err);
    for (size_t i = 0; i < n; i++)
        (void)close_fd(trees[i].fd);
    return rc;
}

int guest_volumes_open(const struct container *c, struct err *err)
{
    autofree char *memory = initrd_path(c, true), *disk = initrd_path(c, false);
    int fd = open(memory, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        fd = open(disk, O_RDONLY | O_CLOEXEC);
    return fd < 0 ? err_sys(err, "open '%s'", disk) : fd;
}
