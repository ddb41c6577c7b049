/* SPDX-License-Identifier: Apache-2.0 */
/*
 * userns - the user namespace of a jailed process, in which nobody is but its own uid and gid. All
 * other namespaces were made before and belong to the host's: capabilities in it are good for its
 * own files and nothing else. Made by its own uid, so that it may map that itself, without a round
 * trip to the monitor.
 *
 * A VMM is there under its own number and has no capabilities. A file server is root, with those
 * that it needs to serve as any user there is, which is that one, and to change its root.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sandbox/monitor/state.h"

#define CAPS_END 64
#define SERVER_CAPS                                                                                \
    (1U << CAP_CHOWN | 1U << CAP_DAC_OVERRIDE | 1U << CAP_FOWNER | 1U << CAP_FSETID |              \
     1U << CAP_SETGID | 1U << CAP_SETUID | 1U << CAP_SETPCAP | 1U << CAP_SYS_CHROOT |              \
     1U << CAP_MKNOD | 1U << CAP_SETFCAP)

int userns_open(const struct monitor *m)
{
    int low, high;

    if (!m->spec.new_user_ns && !m->spec.file_server)
        return -1;
    low = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);
    high = low < 0 ? -1 : fcntl(low, F_DUPFD_CLOEXEC, JAIL_HIGH_FD);
    if (high < 0)
        start_child_failed(m, "open '/proc/self'");
    close(low);
    return high;
}

static void write_map(const struct monitor *m, int self, const char *name, int64_t id)
{
    char line[64];
    struct text t = TEXT(line);

    text_num(&t, m->spec.file_server ? 0 : id);
    text_str(&t, " ");
    text_num(&t, id);
    text_str(&t, " 1");
    if (write_small(self, name, line) < 0)
        start_child_failed_at(m, "map of the user namespace", name);
}

/* A host that has no room for one goes without, `unicri check` says so; a file server does not. */
void userns_enter(const struct monitor *m, int self)
{
    if (self < 0)
        return;
    if (unshare(CLONE_NEWUSER) < 0) {
        if (m->spec.file_server)
            start_child_failed(m, "new user namespace");
        return;
    }
    if (prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) < 0) /* else its files in /proc were root's */
        start_child_failed(m, "own its files in /proc");
    if (write_small(self, "setgroups", "deny") < 0)
        start_child_failed(m, "forbid setgroups");
    write_map(m, self, "gid_map", m->spec.gid);
    write_map(m, self, "uid_map", m->spec.uid);
    close(self);
}

void userns_serve(const struct monitor *m)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct caps[2] = {{SERVER_CAPS, SERVER_CAPS, 0}, {0, 0, 0}};

    for (unsigned long cap = 0; cap < CAPS_END; cap++)
        if ((cap > 31 || !(SERVER_CAPS & 1U << cap)) && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0 &&
            errno != EINVAL)
            start_child_failed(m, "empty the bounding set of the user namespace");
    if (syscall(SYS_capset, &head, caps) < 0)
        start_child_failed(m, "drop capabilities of the user namespace");
}
