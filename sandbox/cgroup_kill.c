/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cgroup_kill - how cgroups end. The unified hierarchy kills a whole subtree at one stroke
 * (cgroup.kill); what is only in a version 1 hierarchy is killed process by process until nothing
 * is left.
 */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/strbuf.h"
#include "sandbox/cgroup.h"

#define TREE_DEPTH_MAX 32

/* Call f for each pid in dir and below; stops when f returns true. Returns: whether it was stopped.
 */
static bool each_pid(const char *dir, int depth, bool (*f)(pid_t pid))
{
    autofree char *file = path_join(dir, "cgroup.procs");
    autofree char *text = NULL;
    char *save = NULL;

    if (fs_read_file(AT_FDCWD, file, CGROUP_PROCS_MAX_BYTES, &text, NULL, NULL) == 0)
        for (char *t = strtok_r(text, "\n", &save); t; t = strtok_r(NULL, "\n", &save)) {
            pid_t pid = (pid_t)strtol(t, NULL, 10);

            if (pid > 0 && f(pid))
                return true;
        }

    autodir DIR *d = depth < TREE_DEPTH_MAX ? opendir(dir) : NULL;
    const struct dirent *e;

    while (d && (e = readdir(d))) {
        if (e->d_type != DT_DIR || e->d_name[0] == '.')
            continue;

        autofree char *sub = path_join(dir, e->d_name);

        if (each_pid(sub, depth + 1, f))
            return true;
    }
    return false;
}

static bool found(pid_t pid)
{
    (void)pid;
    return true;
}

static bool kill_one(pid_t pid)
{
    (void)kill(pid, SIGKILL);
    return false;
}

static bool populated_in(const struct cgroup_hierarchy *h, const char *path)
{
    autofree char *dir = xasprintf("%s%s", h->mount, path);

    if (h->unified) {
        autofree char *file = path_join(dir, "cgroup.events");
        autofree char *text = NULL;

        if (fs_read_file(AT_FDCWD, file, 4096, &text, NULL, NULL) == 0)
            return strstr(text, "populated 1") != NULL;
    }
    return each_pid(dir, 0, found);
}

bool cgroup_populated(const struct cgroups *c, const char *path)
{
    for (size_t i = 0; i < c->n; i++)
        if (c->h[i].counts && populated_in(&c->h[i], path))
            return true;
    return false;
}

void cgroup_kill_now(const struct cgroups *c, const char *path)
{
    if (!c->v2) /* what version 1 has frozen does not die */
        cgroup_thaw(c, path);
    for (size_t i = 0; i < c->n; i++) {
        autofree char *dir = xasprintf("%s%s", c->h[i].mount, path);

        if (c->h[i].unified && cgroup_put(dir, "cgroup.kill", "1", NULL) == 0)
            continue;
        if (c->h[i].counts)
            (void)each_pid(dir, 0, kill_one);
    }
}

int cgroup_kill(const struct cgroups *c, const char *path, deadline_t deadline, struct err *err)
{
    nsec_t pause = NSEC_PER_MSEC / 2;

    while (cgroup_populated(c, path)) {
        cgroup_kill_now(c, path);
        if (!cgroup_populated(c, path))
            return 0;
        if (deadline_passed(deadline))
            return err_set(err, ERR_DEADLINE, "cgroup '%s': a process in it cannot be killed",
                           path);
        clock_sleep_until(deadline_min(deadline, deadline_in(pause)));
        if (pause < 50 * NSEC_PER_MSEC)
            pause *= 2;
    }
    return 0;
}

/* Remove dir and what is below it. Returns: 0, or an errno. */
static int remove_tree(const char *dir, int depth)
{
    if (rmdir(dir) == 0 || errno == ENOENT)
        return 0;
    if (errno != EBUSY && errno != ENOTEMPTY)
        return errno;

    autodir DIR *d = depth < TREE_DEPTH_MAX ? opendir(dir) : NULL;
    const struct dirent *e;

    while (d && (e = readdir(d))) {
        if (e->d_type != DT_DIR || e->d_name[0] == '.')
            continue;

        autofree char *sub = path_join(dir, e->d_name);

        (void)remove_tree(sub, depth + 1);
    }
    return rmdir(dir) == 0 || errno == ENOENT ? 0 : errno;
}

int cgroup_remove(const struct cgroups *c, const char *path, deadline_t deadline, struct err *err)
{
    for (size_t i = 0; i < c->n; i++) {
        autofree char *dir = xasprintf("%s%s", c->h[i].mount, path);
        nsec_t pause = NSEC_PER_MSEC / 2;
        int rc;

        /* A process that has just been killed leaves its cgroup a moment later: EBUSY until then.
         */
        while ((rc = remove_tree(dir, 0)) == EBUSY && !deadline_passed(deadline)) {
            clock_sleep_until(deadline_min(deadline, deadline_in(pause)));
            if (pause < 50 * NSEC_PER_MSEC)
                pause *= 2;
        }
        if (rc == EBUSY)
            return err_set(err, ERR_STATE, "cgroup '%s': a process is still in it", dir);
        if (rc)
            return err_errno(err, rc, "remove cgroup '%s'", dir);
    }
    return 0;
}
