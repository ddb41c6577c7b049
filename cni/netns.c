/* SPDX-License-Identifier: Apache-2.0 */
/*
 * netns - network namespaces: made, pinned as a bind mount, opened, unpinned, tuned.
 *
 * A namespace is made without any process: a thread unshares, which concerns that thread only, and
 * ends. What keeps the namespace is the mount. Invariant: no thread that outlives a call here ever
 * changes its namespace. A path can hold a plain file for two reasons: the daemon died between
 * making the file and mounting, or the machine has rebooted. Both read as "no namespace".
 */
#include "cni/netns.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/nsfs.h>
#include <net/if.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "base/fault.h"
#include "base/fs.h"
#include "base/strbuf.h"
#include "base/thread.h"
#include "cni/cni.h"

#define SYSCTL_NAME_MAX_BYTES  256
#define SYSCTL_VALUE_MAX_BYTES 4096
#define UNMOUNTS_MAX           16

struct run {
    int netns_fd;
    int (*f)(void *arg, struct err *err);
    void *arg;
    int ret;
    struct err err;
};

static void *run_thread(void *arg)
{
    struct run *run = arg;

    if (run->netns_fd < 0 && unshare(CLONE_NEWNET) < 0)
        run->ret = err_sys(&run->err, "make a network namespace");
    else if (run->netns_fd >= 0 && setns(run->netns_fd, CLONE_NEWNET) < 0)
        run->ret = err_sys(&run->err, "enter the network namespace");
    else
        run->ret = run->f(run->arg, &run->err);
    return NULL;
}

int netns_run(int netns_fd, int (*f)(void *arg, struct err *err), void *arg, struct err *err)
{
    struct run run = {.netns_fd = netns_fd, .f = f, .arg = arg, .ret = -1, .err = ERR_INIT};
    pthread_t thread;

    if (thread_start("netns", run_thread, &run, &thread, err) < 0)
        return -1;
    (void)pthread_join(thread, NULL);
    if (run.ret < 0 && err)
        *err = run.err;
    return run.ret;
}

static int lo_up(struct err *err)
{
    struct ifreq req = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
    autofd int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return err_sys(err, "open a socket in the new namespace");
    if (ioctl(fd, SIOCSIFFLAGS, &req) < 0)
        return err_sys(err, "bring 'lo' up");
    return 0;
}

struct pin {
    const char *path;
};

/* Runs in the new namespace. */
static int pin(void *arg, struct err *err)
{
    const struct pin *p = arg;

    if (lo_up(err) < 0)
        return -1;
    if (mount("/proc/thread-self/ns/net", p->path, "none", MS_BIND, NULL) < 0)
        return err_sys(err, "mount the namespace on '%s'", p->path);
    return 0;
}

static int make_mount_point(const char *path, struct err *err)
{
    const char *slash = strrchr(path, '/');
    autofd int fd = -1;

    fd = open(path, O_RDONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0444);
    if (fd < 0 && errno == ENOENT && slash && slash != path) {
        autofree char *dir = xstrndup(path, (size_t)(slash - path));

        if (fs_mkdirs(dir, 0711, err) < 0)
            return -1;
        fd = open(path, O_RDONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0444);
    }
    return fd < 0 ? err_sys(err, "create '%s'", path) : 0;
}

int netns_create(const char *path, struct err *err)
{
    struct err probe = ERR_INIT;
    struct pin p = {.path = path};
    autofd int fd = netns_open(path, &probe);

    FAULT_POINT("netns.create");
    if (fd >= 0)
        return 0;
    if (make_mount_point(path, err) < 0 || netns_run(-1, pin, &p, err) < 0)
        return err_wrap(err, "create network namespace");
    return 0;
}

int netns_adopt(const char *path, const char *from, struct err *err)
{
    struct pin p = {.path = path};
    autofd int fd = netns_open(from, err);

    FAULT_POINT("netns.adopt");
    if (fd < 0 || make_mount_point(path, err) < 0 || netns_run(fd, pin, &p, err) < 0)
        return err_wrap(err, "pin network namespace");
    return 0;
}

int netns_open(const char *path, struct err *err)
{
    autofd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct statfs fs;

    if (fd < 0)
        return err_sys(err, "open network namespace '%s'", path);
    if (fstatfs(fd, &fs) < 0)
        return err_sys(err, "look at network namespace '%s'", path);
    if (fs.f_type != NSFS_MAGIC || ioctl(fd, NS_GET_NSTYPE) != CLONE_NEWNET)
        return err_set(err, ERR_NOT_FOUND, "'%s' is not a network namespace", path);
    return TAKE_FD(fd);
}

int netns_remove(const char *path, struct err *err)
{
    FAULT_POINT("netns.remove");
    /* Mounted twice when two makers raced before a crash. */
    for (int i = 0; i < UNMOUNTS_MAX; i++) {
        if (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) == 0)
            continue;
        if (errno == EINVAL || errno == ENOENT)
            break;
        return err_sys(err, "unmount network namespace '%s'", path);
    }
    if (unlink(path) < 0 && errno != ENOENT)
        return err_sys(err, "remove '%s'", path);
    return 0;
}

/* ------------------------------------------------------------- sysctl */

struct sysctl_write {
    char path[SYSCTL_NAME_MAX_BYTES + sizeof("/proc/sys/")];
    const char *value;
};

/*
 * As sysctl(8) has it: the first separator decides. "net.ipv4.conf.eth0/1.forwarding" and
 * "net/ipv4/conf/eth0.1/forwarding" are the same file.
 */
static int sysctl_path(const char *name, char *ret, size_t size, struct err *err)
{
    size_t len = strlen(name), sep = strcspn(name, "./");
    bool slashes = name[sep] == '/';
    int n;

    if (len > SYSCTL_NAME_MAX_BYTES)
        return err_set(err, ERR_INVALID, "sysctl name is longer than %d bytes",
                       SYSCTL_NAME_MAX_BYTES);
    if (sep != 3 || !name[sep] || strncmp(name, "net", 3) != 0)
        return err_set(err, ERR_INVALID, "sysctl '%s': does not start with net.", name);
    n = snprintf(ret, size, "/proc/sys/%s", name);
    if (n < 0 || (size_t)n >= size)
        return err_set(err, ERR_INVALID, "sysctl '%s': name too long", name);
    for (char *p = ret + strlen("/proc/sys/"); *p; p++) {
        if (!slashes && (*p == '.' || *p == '/'))
            *p = *p == '.' ? '/' : '.';
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:@", *p))
            return err_set(err, ERR_INVALID, "sysctl '%s': bad character in the name", name);
    }
    if (strstr(ret, "//") || strstr(ret, "/./") || strstr(ret, "/../") ||
        str_has_suffix(ret, "/") || str_has_suffix(ret, "/.") || str_has_suffix(ret, "/.."))
        return err_set(err, ERR_INVALID, "sysctl '%s': bad name", name);
    return 0;
}

/* /proc/sys/net is looked up for the thread that opens it. */
static int sysctl_run(void *arg, struct err *err)
{
    struct sysctl_write *w = arg;
    size_t len = strlen(w->value);
    autofd int fd = open(w->path, O_WRONLY | O_CLOEXEC);

    if (fd < 0)
        return err_sys(err, "open '%s'", w->path);
    if (write(fd, w->value, len) != (ssize_t)len)
        return err_sys(err, "write '%s' to '%s'", w->value, w->path);
    return 0;
}

int netns_sysctl(const char *path, const char *name, const char *value, struct err *err)
{
    struct sysctl_write w = {.value = value};
    autofd int fd = -1;

    if (strlen(value) > SYSCTL_VALUE_MAX_BYTES)
        return err_set(err, ERR_INVALID, "sysctl '%s': value longer than %d bytes", name,
                       SYSCTL_VALUE_MAX_BYTES);
    if (sysctl_path(name, w.path, sizeof(w.path), err) < 0)
        return -1;
    fd = netns_open(path, err);
    if (fd < 0)
        return -1;
    if (netns_run(fd, sysctl_run, &w, err) < 0)
        return err_wrap(err, "sysctl '%s'", name);
    return 0;
}
