/* SPDX-License-Identifier: Apache-2.0 */
/* cgroup_v1 - limits in the files of version 1, and the cpuset's need to be filled before it can
 * hold a process. */
#include <errno.h>

#include "base/fs.h"
#include "base/strbuf.h"
#include "sandbox/cgroup.h"

static int copy_up(const char *dir, const char *file, struct err *err)
{
    autofree char *from = xasprintf("%s/../%s", dir, file);
    autofree char *text = NULL;

    if (fs_read_file(AT_FDCWD, from, 64 * 1024, &text, NULL, err) < 0)
        return -1;
    return cgroup_put(dir, file, text, err);
}

int cgroup_v1_inherit(const char *dir, struct err *err)
{
    if (copy_up(dir, "cpuset.cpus", err) < 0)
        return -1;
    return copy_up(dir, "cpuset.mems", err);
}

/* Write a number to a controller's file; 0 and a controller that the host lacks are left alone. */
static int put_number(const struct cgroups *c, const char *path, const char *controller,
                      const char *file, int64_t v, struct err *err)
{
    autofree char *dir = v ? cgroup_dir(c, controller, path) : NULL;
    char text[32];

    if (!dir)
        return 0;
    (void)snprintf(text, sizeof(text), "%lld", (long long)v);
    return cgroup_put(dir, file, text, err);
}

/* The swap limit may not be below the memory limit, whichever of the two moves: a refused order is
 * tried the other way round. */
static int put_memory(const struct cgroups *c, const char *path, const struct linux_resources *r,
                      struct err *err)
{
    struct err ignored = ERR_INIT;

    if (put_number(c, path, "memory", "memory.limit_in_bytes", r->memory_limit, err) < 0) {
        if (put_number(c, path, "memory", "memory.memsw.limit_in_bytes", r->memory_swap_limit,
                       err) < 0 ||
            put_number(c, path, "memory", "memory.limit_in_bytes", r->memory_limit, err) < 0)
            return -1;
    }
    /* Hosts without swap accounting have no such file: the limit itself holds there. */
    if (put_number(c, path, "memory", "memory.memsw.limit_in_bytes", r->memory_swap_limit,
                   &ignored) < 0 &&
        ignored.sys != ENOENT) {
        if (err)
            *err = ignored;
        return -1;
    }
    return 0;
}

int cgroup_v1_limit(const struct cgroups *c, const char *path, const struct linux_resources *r,
                    int64_t pids_max, struct err *err)
{
    autofree char *cpuset =
        *r->cpuset_cpus || *r->cpuset_mems ? cgroup_dir(c, "cpuset", path) : NULL;

    if (put_memory(c, path, r, err) < 0 ||
        put_number(c, path, "cpu", "cpu.shares", r->cpu_shares, err) < 0 ||
        put_number(c, path, "cpu", "cpu.cfs_period_us", r->cpu_period, err) < 0 ||
        put_number(c, path, "cpu", "cpu.cfs_quota_us", r->cpu_quota, err) < 0 ||
        put_number(c, path, "pids", "pids.max", pids_max, err) < 0)
        return err_wrap(err, "set limits");
    if (cpuset && access(cpuset, F_OK) == 0) {
        if ((*r->cpuset_cpus && cgroup_put(cpuset, "cpuset.cpus", r->cpuset_cpus, err) < 0) ||
            (*r->cpuset_mems && cgroup_put(cpuset, "cpuset.mems", r->cpuset_mems, err) < 0))
            return err_wrap(err, "set limits");
    }
    return 0;
}
