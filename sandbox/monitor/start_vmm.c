/* SPDX-License-Identifier: Apache-2.0 */
/*
 * start_vmm - start the workload itself: a VMM, in new namespaces and in the jail of jail.c. It is
 * born in its cgroup where the kernel can do that (clone3 on cgroup v2), else it enters its cgroups
 * before anything else.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/sched.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "sandbox/monitor/state.h"

_Noreturn void start_child_failed(const struct monitor *m, const char *step)
{
    struct start_error e = {.code = errno};
    struct text t = TEXT(e.step);

    if (m->spec.file_server) {
        text_str(&t, m->spec.argv[0]);
        text_str(&t, ": ");
    }
    text_str(&t, step);
    (void)!write(m->child_error_fd, &e, sizeof(e));
    _exit(127);
}

_Noreturn void start_child_failed_at(const struct monitor *m, const char *step, const char *object)
{
    char words[sizeof(((struct start_error *)0)->step)];
    struct text t = TEXT(words);
    int code = errno;

    text_str(&t, step);
    text_str(&t, " '");
    text_str(&t, object);
    text_str(&t, "'");
    errno = code;
    start_child_failed(m, words);
}

/* Also the two signals that libc keeps for itself and does not let signal() touch. */
void start_child_signals(const struct monitor *m)
{
    static const uint64_t by_default[4]; /* the kernel's struct sigaction, all zero */

    for (int i = 1; i < NSIG; i++)
        (void)syscall(SYS_rt_sigaction, i, by_default, NULL, (size_t)8);
    (void)sigprocmask(SIG_SETMASK, &m->old_mask, NULL);
}

static bool is_cgroup2(const char *path)
{
    struct statfs fs;

    return statfs(path, &fs) == 0 && (unsigned long)fs.f_type == (unsigned long)CGROUP2_SUPER_MAGIC;
}

/*
 * Open what the child needs: the v2 directory to be born in, and `tasks` of the others. A write of
 * "0" there moves the writer, which has one thread, without the lock that a write to cgroup.procs
 * takes: that one waits for the kernel's grace period.
 */
static int open_cgroups(const struct spec *spec, struct jail_fds *fds, struct fault *f)
{
    fds->birth = -1;
    for (size_t i = 0; i < spec->n_cgroups; i++) {
        const char *path = spec->cgroups[i];
        char procs[PATH_MAX + 16];
        struct text t = TEXT(procs);
        int fd;

        if (fds->birth < 0 && is_cgroup2(path)) {
            fds->birth = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
            if (fds->birth < 0)
                return fault(f, errno, "open cgroup", path);
            continue;
        }
        text_str(&t, path);
        text_str(&t, "/tasks");
        fd = open(procs, O_WRONLY | O_CLOEXEC);
        if (fd < 0)
            return fault(f, errno, "open cgroup", path);
        fds->cgroups[fds->n_cgroups++] = fd;
    }
    return 0;
}

static pid_t clone_into(uint64_t flags, int cgroup_fd)
{
    struct clone_args args = {.flags = flags, .exit_signal = SIGCHLD};

    if (cgroup_fd >= 0) {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = (uint64_t)cgroup_fd;
    }
    return (pid_t)syscall(SYS_clone3, &args, sizeof(args));
}

static void close_one(int fd)
{
    if (fd >= 0)
        close(fd);
}

/* The child has its own of all of them. */
static void close_childs(const struct spec *spec, const struct jail_fds *fds)
{
    for (size_t i = 0; i < fds->n_cgroups; i++)
        close(fds->cgroups[i]);
    for (size_t i = 0; i < fds->n_trees; i++)
        close_one(fds->trees[i]);
    for (size_t i = 0; i < spec->n_entries; i++)
        close_one(spec->entries[i].fd);
    for (size_t i = 0; i < spec->n_fds; i++)
        close(spec->fds[i].from);
    close_one(fds->birth);
    close(spec->program_fd);
    close_one(spec->netns);
}

/* The workload's child, or the helper's. */
static int start(struct monitor *m, struct spec *spec, pid_t *ret, struct fault *f)
{
    uint64_t flags = CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS;
    struct jail_fds fds;

    fds.n_cgroups = fds.n_trees = 0;
    if (spec->new_pid_ns)
        flags |= CLONE_NEWPID;
    if (spec->netns < 0)
        flags |= CLONE_NEWNET;
    if (open_cgroups(spec, &fds, f) < 0 || root_open(spec, &fds, f) < 0)
        return -1;
    *ret = clone_into(flags, fds.birth);
    if (*ret == 0) {
        if (spec == &m->helper)
            helper_become(m);
        jail_enter(m, &fds);
    }
    if (*ret < 0) {
        *ret = 0;
        return fault(f, errno, "clone for", spec->argv[0]);
    }
    close_childs(spec, &fds);
    spec->n_entries = 0;
    return 0;
}

int start_vmm(struct monitor *m, struct fault *f)
{
    if (m->helper.argv && start(m, &m->helper, &m->helper_pid, f) < 0)
        return -1;
    if (start(m, &m->spec, &m->starter, f) < 0)
        return -1;
    m->pid = m->starter;
    return 0;
}
