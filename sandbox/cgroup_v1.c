/* SPDX-License-Identifier: Apache-2.0 */
/* cgroup_v1 - limits in the files of version 1, the cpuset's need to be filled before it can hold a
 * process, and the hierarchies that are entered only for a limit. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/strbuf.h"
#include "sandbox/resources.h"

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
 * tried the other way round. Hosts without swap accounting have no file for it: the memory limit
 * itself holds there. */
static int put_memory(const struct cgroups *c, const char *path, const struct linux_resources *r,
                      struct err *err)
{
    struct err why = ERR_INIT;
    int64_t swap = resources_swap(r);
    bool first = put_number(c, path, "memory", "memory.limit_in_bytes", r->memory_limit, &why) == 0;

    if (!first && why.sys == EBUSY)
        return err_set(err, ERR_STATE, "memory limit %lld: below what is in use",
                       (long long)r->memory_limit);
    why = (struct err)ERR_INIT;
    if (put_number(c, path, "memory", "memory.memsw.limit_in_bytes", swap, &why) < 0 &&
        why.sys != ENOENT) {
        if (err)
            *err = why;
        return -1;
    }
    return first ? 0 : put_number(c, path, "memory", "memory.limit_in_bytes", r->memory_limit, err);
}

/* A quota must fit its parent's in every instant between the two writes: what is refused before the
 * new quota is there is tried again after it. */
static int put_cpu(const struct cgroups *c, const char *path, const struct linux_resources *r,
                   struct err *err)
{
    struct err why = ERR_INIT;
    bool first = put_number(c, path, "cpu", "cpu.cfs_period_us", r->cpu_period, &why) == 0;

    if (put_number(c, path, "cpu", "cpu.cfs_quota_us", r->cpu_quota, err) < 0)
        return -1;
    if (!first && put_number(c, path, "cpu", "cpu.cfs_period_us", r->cpu_period, err) < 0)
        return -1;
    return put_number(c, path, "cpu", "cpu.shares", r->cpu_shares, err);
}

static int put_cpuset(const struct cgroups *c, const char *path, const struct linux_resources *r,
                      struct err *err)
{
    autofree char *dir = cgroup_dir(c, "cpuset", path);

    if (!*r->cpuset_cpus && !*r->cpuset_mems)
        return 0;
    if (!dir)
        return err_set(err, ERR_UNSUPPORTED, "cpuset: this node has no such cgroup controller");
    if (*r->cpuset_cpus && cgroup_put(dir, "cpuset.cpus", r->cpuset_cpus, err) < 0)
        return -1;
    return *r->cpuset_mems ? cgroup_put(dir, "cpuset.mems", r->cpuset_mems, err) : 0;
}

/* Clients list every page size of the host; one without the controller has nothing to limit. */
static int put_hugepages(const struct cgroups *c, const char *path, const struct linux_resources *r,
                         struct err *err)
{
    autofree char *dir = cgroup_dir(c, "hugetlb", path);

    for (size_t i = 0; dir && access(dir, F_OK) == 0 && i < r->n_hugepages; i++) {
        autofree char *file = xasprintf("hugetlb.%s.limit_in_bytes", r->hugepages[i].page_size);
        autofree char *text = xasprintf("%llu", (unsigned long long)r->hugepages[i].limit);
        struct err why = ERR_INIT;

        if (cgroup_put(dir, file, text, &why) == 0 || (why.sys == ENOENT && !r->hugepages[i].limit))
            continue;
        if (err)
            *err = why;
        return -1;
    }
    return 0;
}

int cgroup_v1_limit(const struct cgroups *c, const char *path, const struct linux_resources *r,
                    int64_t pids_max, struct err *err)
{
    if (put_cpuset(c, path, r, err) < 0 || put_memory(c, path, r, err) < 0 ||
        put_hugepages(c, path, r, err) < 0 || put_cpu(c, path, r, err) < 0 ||
        put_number(c, path, "pids", "pids.max", pids_max, err) < 0)
        return err_wrap(err, "set limits");
    return 0;
}

/* Hierarchies in which no cgroup is made unless a limit there is asked for. */
static int enter(const struct cgroups *c, const char *controller, const char *path, struct err *err)
{
    autofree char *dir = cgroup_dir(c, controller, path);
    autofree char *from = cgroup_dir(c, "memory", path);
    autofree char *file = from ? path_join(from, "cgroup.procs") : NULL, *text = NULL;
    char *save = NULL;

    if (!dir)
        return 0;
    if (cgroup_create_in(c, controller, path, err) < 0)
        return -1;
    if (!file || fs_read_file(AT_FDCWD, file, CGROUP_PROCS_MAX_BYTES, &text, NULL, err) < 0)
        return file ? -1 : 0;
    for (char *pid = strtok_r(text, "\n", &save); pid; pid = strtok_r(NULL, "\n", &save)) {
        struct err why = ERR_INIT;

        if (cgroup_put(dir, "cgroup.procs", pid, &why) < 0 && why.sys != ESRCH) {
            if (err)
                *err = why;
            return -1;
        }
    }
    return 0;
}

int cgroup_v1_enter_limited(const struct cgroups *c, const char *path,
                            const struct linux_resources *r, struct err *err)
{
    if ((*r->cpuset_cpus || *r->cpuset_mems) && enter(c, "cpuset", path, err) < 0)
        return -1;
    return r->n_hugepages ? enter(c, "hugetlb", path, err) : 0;
}
