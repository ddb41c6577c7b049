/* SPDX-License-Identifier: Apache-2.0 */
/*
 * landlock - a second belt around a jailed VMM, where the kernel has Landlock: whatever path it
 * should come to, only the entries of its root can be opened, in the way that they were meant; no
 * TCP (ABI 4), no ioctl of a device opened by name but of those it was given (5), no abstract
 * socket and no signal that leaves the jail (6).
 *
 * What is put into the tree of another entry is under the rule of that one; mounts see to the rest.
 *
 * The rules are made in the finished root, by the paths in it; put in force when no_new_privs is
 * set. A kernel without Landlock is told by `unicri check`; one with it that refuses a rule ends
 * the start. Debian 12's headers know ABI 2: the rest is spelt out here.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sandbox/monitor/state.h"

#define FS_TRUNCATE  (UINT64_C(1) << 14) /* ABI 3 */
#define FS_IOCTL_DEV (UINT64_C(1) << 15) /* ABI 5 */
#define NET_TCP      UINT64_C(3)         /* ABI 4: to bind and to connect */
#define SCOPES       UINT64_C(3)         /* ABI 6: abstract unix sockets, signals */

#define ABI_REFER     2
#define ABI_TRUNCATE  3
#define ABI_NET       4
#define ABI_IOCTL_DEV 5
#define ABI_SCOPES    6

/* struct landlock_ruleset_attr of ABI 6; older kernels take it as long as what they do not know is
 * 0. */
struct ruleset {
    uint64_t fs, net, scopes;
};

#define FS_ALL_1 (LANDLOCK_ACCESS_FS_MAKE_SYM * 2 - 1) /* all that ABI 1 has */
#define FS_FILE                                                                                    \
    (LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE |   \
     FS_TRUNCATE | FS_IOCTL_DEV)
#define FS_LIST (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define FS_WRITE                                                                                   \
    (FS_LIST | LANDLOCK_ACCESS_FS_WRITE_FILE | FS_TRUNCATE | LANDLOCK_ACCESS_FS_REMOVE_DIR |       \
     LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |  \
     LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_SYM |   \
     LANDLOCK_ACCESS_FS_REFER)

static struct ruleset all_of(long abi)
{
    struct ruleset r = {.fs = FS_ALL_1, .net = 0, .scopes = 0};

    if (abi >= ABI_REFER)
        r.fs |= LANDLOCK_ACCESS_FS_REFER;
    if (abi >= ABI_TRUNCATE)
        r.fs |= FS_TRUNCATE;
    if (abi >= ABI_NET)
        r.net = NET_TCP;
    if (abi >= ABI_IOCTL_DEV)
        r.fs |= FS_IOCTL_DEV;
    if (abi >= ABI_SCOPES)
        r.scopes = SCOPES;
    return r;
}

static uint64_t rights_of(enum root_kind kind)
{
    switch (kind) {
    case ROOT_RO:
        return FS_LIST | LANDLOCK_ACCESS_FS_EXECUTE; /* its libraries are among these */
    case ROOT_RW:
    case ROOT_DIR:
        return FS_WRITE;
    case ROOT_DEVICE:
        return LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | FS_IOCTL_DEV;
    case ROOT_FILE:
    case ROOT_PROC:
        return FS_LIST;
    case ROOT_SYMLINK:
        break;
    }
    return 0;
}

/* Returns: 0, or -1 with errno. What lies on no file system that has paths (a program in memory)
 * needs no rule. */
static int allow(int ruleset, const struct ruleset *all, uint64_t rights, int fd)
{
    struct landlock_path_beneath_attr rule = {.allowed_access = rights & all->fs, .parent_fd = fd};
    struct stat st;

    if (fstat(fd, &st) < 0)
        return -1;
    if (!S_ISDIR(st.st_mode))
        rule.allowed_access &= FS_FILE;
    if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0)
        return errno == EBADFD ? 0 : -1;
    return 0;
}

static void allow_path(const struct monitor *m, int ruleset, const struct ruleset *all,
                       uint64_t rights, const char *path)
{
    int fd;

    if (rights == 0)
        return;
    fd = open(path, O_PATH | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || allow(ruleset, all, rights, fd) < 0)
        start_child_failed_at(m, "Landlock rule for entry of the jail", path);
    close(fd);
}

int landlock_open(const struct monitor *m)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    struct ruleset all = all_of(abi);
    int low, high;

    if (abi < 1)
        return -1;
    low = (int)syscall(SYS_landlock_create_ruleset, &all, sizeof(all), 0);
    if (low < 0)
        start_child_failed(m, "make Landlock rules");
    if (allow(low, &all, LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE,
              m->spec.program_fd) < 0)
        start_child_failed(m, "Landlock rule for the VMM's program");
    if (m->spec.n_entries > 0)
        allow_path(m, low, &all, LANDLOCK_ACCESS_FS_READ_DIR, "/");
    for (size_t i = 0; i < m->spec.n_entries; i++) {
        const struct root_entry *e = &m->spec.entries[i];

        if (!e->base)
            allow_path(m, low, &all, root_is_base(&m->spec, e) ? FS_WRITE : rights_of(e->kind),
                       e->path);
    }
    high = fcntl(low, F_DUPFD_CLOEXEC, JAIL_HIGH_FD); /* out of the way of the VMM's */
    if (high < 0)
        start_child_failed(m, "copy the descriptor of Landlock rules");
    close(low);
    return high;
}

void landlock_enforce(const struct monitor *m, int rules)
{
    if (rules < 0)
        return;
    if (syscall(SYS_landlock_restrict_self, rules, 0) < 0)
        start_child_failed(m, "put Landlock rules in force");
    close(rules);
}
