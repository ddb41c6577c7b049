/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jail - what lies between clone and exec of a VMM. One way, in the child, in this order: cgroups,
 * namespaces, a root with nothing in it but what the plan names, exactly the descriptors of the
 * plan, limits, a uid of its own, a user namespace with nobody else in it, no capabilities and no
 * way to get any, no_new_privs, Landlock rules, the outer seccomp filter, and the program by
 * descriptor.
 *
 * A file server keeps a few capabilities in its user namespace (userns.c).
 *
 * Every step that fails ends the start: a jail with a missing wall is not used. What depends on the
 * host are oom_score_adj, which an unprivileged one refuses, the user namespace and Landlock.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sched.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sandbox/monitor/state.h"

#define CAPS_END       64
#define NOFILE_DEFAULT 64

static void enter_cgroups(const struct monitor *m, const struct jail_fds *fds)
{
    for (size_t i = 0; i < fds->n_cgroups; i++)
        if (write(fds->cgroups[i], "0", 1) != 1)
            start_child_failed(m, "enter cgroup");
    if (unshare(CLONE_NEWCGROUP) < 0 && errno != EINVAL)
        start_child_failed(m, "new cgroup namespace");
}

static void enter_namespaces(const struct monitor *m)
{
    if (m->spec.netns >= 0 && setns(m->spec.netns, CLONE_NEWNET) < 0)
        start_child_failed(m, "enter network namespace");
    if (sethostname("guest", 5) < 0)
        start_child_failed(m, "set host name");
}

/* Lowering the score needs a capability that the monitor may lack: then the inherited one stays. */
static void set_oom_score(const struct monitor *m)
{
    char number[24];
    struct text t = TEXT(number);

    if (!m->spec.has_oom_score_adj)
        return;
    text_num(&t, m->spec.oom_score_adj);
    (void)write_small(AT_FDCWD, "/proc/self/oom_score_adj", number);
}

/* As high as the host lets it be, and so many descriptors its program can have. */
static int server_place(const struct monitor *m)
{
    struct rlimit r;

    if (getrlimit(RLIMIT_NOFILE, &r) < 0)
        start_child_failed(m, "look at limits");
    r.rlim_cur = r.rlim_max;
    if (r.rlim_cur > SERVER_NOFILE + 1)
        r.rlim_cur = SERVER_NOFILE + 1;
    if (setrlimit(RLIMIT_NOFILE, &(struct rlimit){r.rlim_cur, r.rlim_max}) < 0)
        start_child_failed(m, "raise the limit of descriptors");
    return (int)r.rlim_cur - 1;
}

/* First everything is copied above all targets and marked close-on-exec, then put into place:
 * targets may hide sources. */
static int place_descriptors(const struct monitor *m)
{
    int copies[SPEC_FDS_MAX], program, place = JAIL_PROGRAM_FD;

    program = fcntl(m->spec.program_fd, F_DUPFD_CLOEXEC, JAIL_HIGH_FD);
    if (program < 0)
        start_child_failed(m, "copy the program's descriptor");
    for (size_t i = 0; i < m->spec.n_fds; i++) {
        copies[i] = fcntl(m->spec.fds[i].from, F_DUPFD_CLOEXEC, JAIL_HIGH_FD);
        if (copies[i] < 0)
            start_child_failed(m, "copy a descriptor");
    }
    if (syscall(SYS_close_range, 3U, ~0U, CLOSE_RANGE_CLOEXEC) < 0)
        start_child_failed(m, "mark descriptors close-on-exec");
    if (m->spec.file_server)
        place = server_place(m);
    if (dup3(program, place, O_CLOEXEC) < 0)
        start_child_failed(m, "place the program's descriptor");
    for (size_t i = 0; i < m->spec.n_fds; i++)
        if (dup2(copies[i], m->spec.fds[i].to) < 0)
            start_child_failed(m, "place a descriptor");
    return place;
}

static void limit(const struct monitor *m, __rlimit_resource_t resource, uint64_t value)
{
    struct rlimit r = {.rlim_cur = value, .rlim_max = value};

    if (setrlimit(resource, &r) < 0)
        start_child_failed(m, "set limits");
}

static void set_limits(const struct monitor *m, int program_fd)
{
    uint64_t nofile = m->spec.nofile >= 0 ? (uint64_t)m->spec.nofile : NOFILE_DEFAULT;
    uint64_t most = program_fd == JAIL_PROGRAM_FD ? JAIL_NOFILE_MAX : (uint64_t)program_fd;

    umask(077);
    limit(m, RLIMIT_CORE, 0);
    limit(m, RLIMIT_NOFILE, nofile < most ? nofile : most);
    if (m->spec.fsize >= 0)
        limit(m, RLIMIT_FSIZE, (uint64_t)m->spec.fsize);
    limit(m, RLIMIT_MSGQUEUE, 0);
    limit(m, RLIMIT_MEMLOCK, 0);
}

/* A user of its own already, but with the capabilities that are needed once more. */
static void change_user(const struct monitor *m)
{
    gid_t groups[SPEC_GROUPS_MAX];
    uid_t uid = (uid_t)m->spec.uid;
    gid_t gid = (gid_t)m->spec.gid;

    for (size_t i = 0; i < m->spec.n_groups; i++)
        groups[i] = (gid_t)m->spec.groups[i];
    if (prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0) < 0)
        start_child_failed(m, "keep capabilities");
    if (setgroups(m->spec.n_groups, groups) < 0 || setresgid(gid, gid, gid) < 0 ||
        setresuid(uid, uid, uid) < 0)
        start_child_failed(m, "change user and groups");
}

static void drop_privileges(const struct monitor *m)
{
    const unsigned long bits = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED |
                               SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_KEEP_CAPS_LOCKED |
                               SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[2] = {{0, 0, 0}, {0, 0, 0}};

    for (unsigned long cap = 0; cap < CAPS_END; cap++)
        if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0 && errno != EINVAL)
            start_child_failed(m, "empty the bounding set");
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
        start_child_failed(m, "clear ambient capabilities");
    if (prctl(PR_SET_SECUREBITS, bits, 0, 0, 0) < 0)
        start_child_failed(m, "lock securebits");
    if (syscall(SYS_capset, &head, none) < 0)
        start_child_failed(m, "drop capabilities");
}

static void close_ways(const struct monitor *m)
{
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0) /* until exec; from there the program's own care */
        start_child_failed(m, "forbid dumps");
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        start_child_failed(m, "set no_new_privs");
}

_Noreturn void jail_enter(const struct monitor *m, const struct jail_fds *fds)
{
    int rules, self, program;

    enter_cgroups(m, fds);
    if (setsid() < 0)
        start_child_failed(m, "new session");
    if (stdio_child(m) < 0)
        start_child_failed(m, "set up standard streams");
    enter_namespaces(m);
    set_oom_score(m);
    self = userns_open(m);
    root_enter(m, fds);
    rules = landlock_open(m);
    program = place_descriptors(m);
    set_limits(m, program);
    change_user(m);
    userns_enter(m, self);
    if (m->spec.file_server)
        userns_serve(m);
    else
        drop_privileges(m);
    close_ways(m);
    start_child_signals(m);
    landlock_enforce(m, rules);
    if (jail_filter(&m->spec, program) < 0)
        start_child_failed(m, "install the seccomp filter");
    syscall(SYS_execveat, program, "", m->spec.argv, m->spec.env, AT_EMPTY_PATH);
    start_child_failed(m, "execute the VMM's program");
}
