/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jail - what lies between clone and exec of a VMM. One way, in the child, in this order: cgroups,
 * namespaces, a root with nothing in it but what the plan names, exactly the descriptors of the
 * plan, limits, a uid of its own, a user namespace with nobody else in it, no capabilities and no
 * way to get any, no_new_privs, Landlock rules, the outer seccomp filter, and the program by
 * descriptor.
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

/* First everything is copied above all targets and marked close-on-exec, then put into place:
 * targets may hide sources. */
static void place_descriptors(const struct monitor *m)
{
    int copies[SPEC_FDS_MAX], program;

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
    if (dup3(program, JAIL_PROGRAM_FD, O_CLOEXEC) < 0)
        start_child_failed(m, "place the program's descriptor");
    for (size_t i = 0; i < m->spec.n_fds; i++)
        if (dup2(copies[i], m->spec.fds[i].to) < 0)
            start_child_failed(m, "place a descriptor");
}

static void limit(const struct monitor *m, __rlimit_resource_t resource, uint64_t value)
{
    struct rlimit r = {.rlim_cur = value, .rlim_max = value};

    if (setrlimit(resource, &r) < 0)
        start_child_failed(m, "set limits");
}

static void set_limits(const struct monitor *m)
{
    uint64_t nofile = m->spec.nofile >= 0 ? (uint64_t)m->spec.nofile : NOFILE_DEFAULT;

    umask(077);
    limit(m, RLIMIT_CORE, 0);
    limit(m, RLIMIT_NOFILE, nofile < JAIL_NOFILE_MAX ? nofile : JAIL_NOFILE_MAX);
    if (m->spec.fsize >= 0)
        limit(m, RLIMIT_FSIZE, (uint64_t)m->spec.fsize);
    limit(m, RLIMIT_MSGQUEUE, 0);
    limit(m, RLIMIT_MEMLOCK, 0);
}

/* Before the root is left: the directory in /proc in which a user namespace gets its ids. */
static int open_self(const struct monitor *m)
{
    int low, high;

    if (!m->spec.new_user_ns)
        return -1;
    low = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);
    high = low < 0 ? -1 : fcntl(low, F_DUPFD_CLOEXEC, JAIL_HIGH_FD);
    if (high < 0)
        start_child_failed(m, "open '/proc/self'");
    close(low);
    return high;
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

static void write_map(const struct monitor *m, int self, const char *name, int64_t id)
{
    char line[64];
    struct text t = TEXT(line);

    text_num(&t, id);
    text_str(&t, " ");
    text_num(&t, id);
    text_str(&t, " 1");
    if (write_small(self, name, line) < 0)
        start_child_failed_at(m, "map of the user namespace", name);
}

/*
 * A user namespace in which nobody is but the VMM's uid and gid, under their own numbers. All other
 * namespaces were made before and belong to the host's: were the VMM to come by capabilities, they
 * would be good for nothing. Made by its own uid, so that it may map that itself, without a round
 * trip to the monitor. A host that has no room for one goes without: `unicri check` says so.
 */
static void enter_user_namespace(const struct monitor *m, int self)
{
    if (self < 0 || unshare(CLONE_NEWUSER) < 0)
        return;
    if (prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) < 0) /* else its files in /proc were root's */
        start_child_failed(m, "own its files in /proc");
    if (write_small(self, "setgroups", "deny") < 0)
        start_child_failed(m, "forbid setgroups");
    write_map(m, self, "gid_map", m->spec.gid);
    write_map(m, self, "uid_map", m->spec.uid);
    close(self);
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
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0) /* until exec; from there the program's own care */
        start_child_failed(m, "forbid dumps");
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        start_child_failed(m, "set no_new_privs");
}

_Noreturn void jail_enter(const struct monitor *m, const struct jail_fds *fds)
{
    int rules, self;

    enter_cgroups(m, fds);
    if (setsid() < 0)
        start_child_failed(m, "new session");
    if (stdio_child(m) < 0)
        start_child_failed(m, "set up standard streams");
    enter_namespaces(m);
    set_oom_score(m);
    self = open_self(m);
    root_enter(m, fds);
    rules = landlock_open(m);
    place_descriptors(m);
    set_limits(m);
    change_user(m);
    enter_user_namespace(m, self);
    drop_privileges(m);
    start_child_signals(m);
    landlock_enforce(m, rules);
    if (jail_filter(&m->spec) < 0)
        start_child_failed(m, "install the seccomp filter");
    syscall(SYS_execveat, JAIL_PROGRAM_FD, "", m->spec.argv, m->spec.env, AT_EMPTY_PATH);
    start_child_failed(m, "execute the VMM's program");
}
