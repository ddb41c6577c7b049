/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pod_room - what ordinary containers share in a pod: resolv.conf, hostname, hosts, /dev/shm, the
 * IPC and UTS namespaces, and the init of a shared PID namespace. Unikernels need none of it, so it
 * is made for the first container that does. The pod's step "room" was recorded when the pod
 * started, so a crash at any point in here is undone by pod_room_undo().
 *
 * Namespaces are made by a thread of a moment's life: it leaves the daemon's with unshare(2), and
 * what it leaves behind is held by bind mounts. Those of a pod with users of its own are made by a
 * process (init_client.h), and the thread enters them.
 */
#include <errno.h>
#include <linux/magic.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/strbuf.h"
#include "sandbox/init_client.h"
#include "sandbox/pod.h"

#define HOST_FILE_MAX_BYTES (1024 * 1024)

#ifndef NSFS_MAGIC
#define NSFS_MAGIC 0x6e736673
#endif

char *pod_file(const struct pod *pod, const char *name)
{
    return path_join(pod->dir, name);
}

static bool is_fs(const char *path, long magic)
{
    struct statfs fs;

    return statfs(path, &fs) == 0 && (long)fs.f_type == magic;
}

/* Is something mounted at `path`, as seen by the device changing there? */
static bool is_mounted(const struct pod *pod, const char *path)
{
    struct stat st, dir;

    return stat(path, &st) == 0 && stat(pod->dir, &dir) == 0 && st.st_dev != dir.st_dev;
}

/* ---------------------------------------------------------------------- files */

static int write_pod_file(const struct pod *pod, const char *name, const char *text, size_t len,
                          struct err *err)
{
    autofree char *path = pod_file(pod, name);

    if (access(path, F_OK) == 0)
        return 0;
    return fs_replace_file(AT_FDCWD, path, text, len, 0644, false, err);
}

/* Root of the pod's containers owns them, whoever that is on the node. */
static int own_pod_file(const struct pod *pod, const char *name, struct err *err)
{
    autofree char *path = pod_file(pod, name);
    uid_t uid;
    gid_t gid;

    pod_root_ids(pod->spec, &uid, &gid);
    return lchown(path, uid, gid) < 0 ? err_sys(err, "change the owner of '%s'", path) : 0;
}

/* The node's own file; one that is absent is an empty one. */
static int copy_host_file(const struct pod *pod, const char *from, const char *name,
                          struct err *err)
{
    autofree char *text = NULL;
    size_t len = 0;
    struct err why = ERR_INIT;

    if (fs_read_file(AT_FDCWD, from, HOST_FILE_MAX_BYTES, &text, &len, &why) < 0 &&
        why.code != ERR_NOT_FOUND) {
        if (err)
            *err = why;
        return -1;
    }
    return write_pod_file(pod, name, text ? text : "", len, err);
}

static int write_resolv_conf(const struct pod *pod, struct err *err)
{
    const struct pod_spec *spec = pod->spec;
    autostrbuf b = STRBUF_INIT;

    if (!spec->has_dns)
        return copy_host_file(pod, "/etc/resolv.conf", "resolv.conf", err);
    if (spec->dns_searches)
        strbuf_adds(&b, "search");
    for (char *const *s = spec->dns_searches; s && *s; s++)
        strbuf_addf(&b, " %s", *s);
    if (spec->dns_searches)
        strbuf_addc(&b, '\n');
    for (char *const *s = spec->dns_servers; s && *s; s++)
        strbuf_addf(&b, "nameserver %s\n", *s);
    if (spec->dns_options)
        strbuf_adds(&b, "options");
    for (char *const *s = spec->dns_options; s && *s; s++)
        strbuf_addf(&b, " %s", *s);
    if (spec->dns_options)
        strbuf_addc(&b, '\n');
    return write_pod_file(pod, "resolv.conf", b.s, b.len, err);
}

static void hostname_of(const struct pod *pod, char ret[65])
{
    (void)snprintf(ret, 65, "%s", pod->spec->hostname);
    if (!*ret && gethostname(ret, 64) < 0)
        (void)snprintf(ret, 65, "localhost");
}

static int write_files(const struct pod *pod, struct err *err)
{
    char hostname[66];

    hostname_of(pod, hostname);
    (void)strncat(hostname, "\n", sizeof(hostname) - strlen(hostname) - 1);
    if (fs_mkdir(AT_FDCWD, pod->dir, 0755, err) < 0 || write_resolv_conf(pod, err) < 0 ||
        write_pod_file(pod, "hostname", hostname, strlen(hostname), err) < 0 ||
        copy_host_file(pod, "/etc/hosts", "hosts", err) < 0)
        return -1;
    if (own_pod_file(pod, "resolv.conf", err) < 0 || own_pod_file(pod, "hostname", err) < 0)
        return -1;
    return own_pod_file(pod, "hosts", err);
}

int pod_files(const struct pod *pod, struct err *err)
{
    return write_files(pod, err) < 0 ? err_wrap(err, "pod '%s'", pod->id) : 0;
}

static int mount_shm(const struct pod *pod, struct err *err)
{
    autofree char *shm = pod_file(pod, "shm"), *options = NULL;
    uid_t uid;
    gid_t gid;

    if (pod->spec->ns.ipc != NS_POD || is_mounted(pod, shm))
        return 0;
    if (fs_mkdir(AT_FDCWD, shm, 0755, err) < 0)
        return -1;
    pod_root_ids(pod->spec, &uid, &gid);
    options = xasprintf("mode=1777,size=65536k,uid=%u,gid=%u", uid, gid);
    if (mount("shm", shm, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, options) < 0)
        return err_sys(err, "mount '%s'", shm);
    return 0;
}

/* ----------------------------------------------------------------- namespaces */

struct maker {
    const struct pod *pod;
    const struct ns_holder *holder; /* NULL: the thread makes the namespaces itself */
    int rc;
    struct err err;
};

static int pin(const struct pod *pod, const char *name, struct err *err)
{
    autofree char *path = pod_file(pod, name);
    autofree char *ns = xasprintf("/proc/thread-self/ns/%s", name);
    autofd int fd = open(path, O_RDONLY | O_CREAT | O_CLOEXEC, 0600);

    if (fd < 0)
        return err_sys(err, "create '%s'", path);
    if (mount(ns, path, NULL, MS_BIND, NULL) < 0)
        return err_sys(err, "pin the %s namespace at '%s'", name, path);
    return 0;
}

static bool is_ipc_sysctl(const char *name)
{
    return str_has_prefix(name, "fs.mqueue.") ||
           (str_has_prefix(name, "kernel.") && !str_has_prefix(name, "kernel.hostname") &&
            !str_has_prefix(name, "kernel.domainname"));
}

/* A kernel may let only the owner of the namespace write, not even the node's root. Users are a
 * thread's own matter for the kernel, if not for the C library. */
static int open_sysctl(const struct pod *pod, const char *path)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    uid_t uid;
    gid_t gid;

    if (fd >= 0 || errno != EACCES || !pod->spec->ns.userns)
        return fd;
    pod_root_ids(pod->spec, &uid, &gid);
    if (syscall(SYS_setresuid, -1, uid, -1) < 0)
        return -1;
    fd = open(path, O_WRONLY | O_CLOEXEC);
    return fd;
}

static int write_sysctl(const struct pod *pod, const char *name, const char *value, struct err *err)
{
    autofree char *path = xasprintf("/proc/sys/%s", name);

    for (char *p = path + strlen("/proc/sys/"); *p; p++)
        if (*p == '.')
            *p = '/';

    autofd int fd = open_sysctl(pod, path);
    bool ok = fd >= 0 && write(fd, value, strlen(value)) >= 0;
    int sys = errno;

    if (syscall(SYS_setresuid, -1, 0, -1) < 0)
        return err_sys(err, "become root again");
    return ok ? 0 : err_errno(err, sys, "sysctl '%s'", name);
}

static int enter(const struct ns_holder *holder, const char *name, int type, struct err *err)
{
    autofree char *path = ns_holder_file(holder, name);
    autofd int fd = open(path, O_RDONLY | O_CLOEXEC);

    return fd < 0 || setns(fd, type) < 0 ? err_sys(err, "enter namespace '%s'", path) : 0;
}

static int enter_or_make(const struct maker *m, bool ipc, bool uts, struct err *err)
{
    if (!m->holder)
        return unshare((ipc ? CLONE_NEWIPC : 0) | (uts ? CLONE_NEWUTS : 0)) < 0
                   ? err_sys(err, "make namespaces")
                   : 0;
    if (ipc && enter(m->holder, "ns/ipc", CLONE_NEWIPC, err) < 0)
        return -1;
    return uts ? enter(m->holder, "ns/uts", CLONE_NEWUTS, err) : 0;
}

static int make_namespaces(const struct maker *m, struct err *err)
{
    const struct pod *pod = m->pod;
    bool ipc = pod->spec->ns.ipc == NS_POD, uts = pod->spec->ns.network != NS_NODE;
    char hostname[65];

    if (enter_or_make(m, ipc, uts, err) < 0)
        return -1;
    hostname_of(pod, hostname);
    if (uts && (sethostname(hostname, strlen(hostname)) < 0))
        return err_sys(err, "set the hostname '%s'", hostname);
    for (size_t i = 0; ipc && i < pod->spec->sysctls.n; i++) {
        const struct kv *s = &pod->spec->sysctls.v[i];

        if (is_ipc_sysctl(s->key) && write_sysctl(pod, s->key, s->value, err) < 0)
            return -1;
    }
    if (ipc && pin(pod, "ipc", err) < 0)
        return -1;
    return uts ? pin(pod, "uts", err) : 0;
}

static void *maker_main(void *arg)
{
    struct maker *m = arg;

    m->rc = make_namespaces(m, &m->err);
    return NULL;
}

static int unpin(const struct pod *pod, const char *name, struct err *err)
{
    autofree char *path = pod_file(pod, name);

    while (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) == 0)
        ;
    if (errno != EINVAL && errno != ENOENT)
        return err_sys(err, "unmount '%s'", path);
    return 0;
}

static int namespaces_up(const struct pod *pod, struct err *err)
{
    autofree char *ipc = pod_file(pod, "ipc"), *uts = pod_file(pod, "uts");
    bool want_ipc = pod->spec->ns.ipc == NS_POD, want_uts = pod->spec->ns.network != NS_NODE;
    struct maker m = {.pod = pod, .err = ERR_INIT};
    autons_holder holder = NS_HOLDER_NONE;
    autofd int user = -1;
    pthread_t thread;

    if ((!want_ipc || is_fs(ipc, NSFS_MAGIC)) && (!want_uts || is_fs(uts, NSFS_MAGIC)))
        return 0;
    if (pod_userns_open(pod, &user, err) < 0)
        return -1;
    if (user >= 0) {
        int flags = (want_ipc ? CLONE_NEWIPC : 0) | (want_uts ? CLONE_NEWUTS : 0);

        if (ns_holder_start(pod->engine, flags, user, &holder, err) < 0)
            return -1;
        m.holder = &holder;
    }
    /* Both are made together: half of an earlier attempt goes first. */
    if (unpin(pod, "ipc", err) < 0 || unpin(pod, "uts", err) < 0 ||
        thread_start("namespaces", maker_main, &m, &thread, err) < 0)
        return -1;
    (void)pthread_join(thread, NULL);
    if (m.rc < 0 && err)
        *err = m.err;
    return m.rc;
}

/* ----------------------------------------------------------------------- both */

static int furnish(struct pod *pod, bool shares_pids, struct err *err)
{
    nsec_t start = clock_mono();

    if (write_files(pod, err) < 0 || mount_shm(pod, err) < 0 || namespaces_up(pod, err) < 0 ||
        (shares_pids && pod_init_start(pod, err) < 0))
        return err_wrap(err, "pod '%s'", pod->id);
    stage_observe(STAGE_ROOM, start);
    return 0;
}

int pod_room(struct pod *pod, bool shares_pids, struct err *err)
{
    autofree char *key = xasprintf("room/%s", pod->id);
    struct job *job;
    int rc = jobs_enter(pod->engine->jobs, key, shares_pids ? "make, share" : "make", NULL, &job,
                        NULL, err);

    if (rc <= 0)
        return rc;
    if (pod_state(pod) != POD_READY)
        rc = err_set(err, ERR_STATE, "pod '%s' is not ready", pod->id);
    else
        rc = furnish(pod, shares_pids || pod->spec->ns.pid == NS_POD, err);
    return jobs_leave(job, rc, NULL, err);
}

int pod_room_undo(struct pod *pod, struct err *err)
{
    if (pod_init_stop(pod, err) < 0)
        return -1;
    if (access(pod->dir, F_OK) < 0 && errno == ENOENT)
        return 0;
    if (unpin(pod, "ipc", err) < 0 || unpin(pod, "uts", err) < 0 || unpin(pod, "shm", err) < 0)
        return -1;
    return fs_remove_tree(AT_FDCWD, pod->dir, err);
}

/* -------------------------------------------------------------------- sysctls */

int pod_sysctl_check(const struct pod_spec *spec, const char *name, const char *value,
                     struct err *err)
{
    static const char *const ipc_names[] = {
        "kernel.shmall",      "kernel.shmmax",      "kernel.shmmni",     "kernel.shm_rmid_forced",
        "kernel.msgmax",      "kernel.msgmnb",      "kernel.msgmni",     "kernel.sem",
        "kernel.msg_next_id", "kernel.sem_next_id", "kernel.shm_next_id"};
    bool ipc = str_has_prefix(name, "fs.mqueue."), net = str_has_prefix(name, "net.");

    for (size_t i = 0; i < ARRAY_SIZE(ipc_names); i++)
        ipc = ipc || str_eq(name, ipc_names[i]);
    /* a '/' stands for the dot in an interface's name: netns_sysctl() */
    if (strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/") !=
            strlen(name) ||
        (!net && strchr(name, '/')) || strstr(name, "..") || strlen(name) > 255)
        return err_set(err, ERR_INVALID, "sysctl '%s': not a name", name);
    for (const char *p = value; *p; p++)
        if ((unsigned char)*p < ' ' && *p != '\t')
            return err_set(err, ERR_INVALID, "sysctl '%s': its value holds a control byte", name);
    if (!ipc && !net)
        return err_set(err, ERR_INVALID, "sysctl '%s' is not of a pod's own namespaces", name);
    if (net && spec->ns.network == NS_NODE)
        return err_set(err, ERR_INVALID, "sysctl '%s': the pod uses the node's network", name);
    if (ipc && spec->ns.ipc == NS_NODE)
        return err_set(err, ERR_INVALID, "sysctl '%s': the pod uses the node's IPC namespace",
                       name);
    return 0;
}
