/* SPDX-License-Identifier: Apache-2.0 */
/* cgroup_v2 - limits in the files of version 2, and handing controllers down. */
#include <errno.h>
#include <string.h>

#include "base/fs.h"
#include "base/strbuf.h"
#include "sandbox/cgroup.h"

static const char *const delegated[] = {"cpu", "cpuset", "memory", "pids", "hugetlb", "io"};

int cgroup_v2_delegate(const char *dir, struct err *err)
{
    autofree char *file = path_join(dir, "cgroup.controllers");
    autofree char *have = NULL;

    if (fs_read_file(AT_FDCWD, file, 4096, &have, NULL, err) < 0)
        return -1;
    for (size_t i = 0; i < ARRAY_SIZE(delegated); i++) {
        char word[32];
        const char *at = strstr(have, delegated[i]);
        size_t len = strlen(delegated[i]);

        if (!at || (at[len] != ' ' && at[len] != '\n' && at[len] != '\0'))
            continue;
        (void)snprintf(word, sizeof(word), "+%s", delegated[i]);
        if (cgroup_put(dir, "cgroup.subtree_control", word, err) < 0)
            return -1;
    }
    return 0;
}

static int put_number(const char *dir, const char *file, int64_t v, struct err *err)
{
    char text[32];

    if (v == 0)
        return 0;
    if (v < 0)
        return cgroup_put(dir, file, "max", err);
    (void)snprintf(text, sizeof(text), "%lld", (long long)v);
    return cgroup_put(dir, file, text, err);
}

/* cpu.shares 2..262144 -> cpu.weight 1..10000, the mapping all OCI runtimes use. */
static int64_t weight_of_shares(int64_t shares)
{
    if (shares == 0)
        return 0;
    if (shares < 2)
        shares = 2;
    if (shares > 262144)
        shares = 262144;
    return 1 + (shares - 2) * 9999 / 262142;
}

static int put_cpu(const char *dir, const struct linux_resources *r, struct err *err)
{
    char text[64];

    if (put_number(dir, "cpu.weight", weight_of_shares(r->cpu_shares), err) < 0)
        return -1;
    if (r->cpu_quota == 0 && r->cpu_period == 0)
        return 0;
    if (r->cpu_quota > 0)
        (void)snprintf(text, sizeof(text), "%lld %lld", (long long)r->cpu_quota,
                       (long long)(r->cpu_period ? r->cpu_period : 100000));
    else
        (void)snprintf(text, sizeof(text), "max %lld",
                       (long long)(r->cpu_period ? r->cpu_period : 100000));
    return cgroup_put(dir, "cpu.max", text, err);
}

int cgroup_v2_limit(const struct cgroups *c, const char *path, const struct linux_resources *r,
                    int64_t pids_max, struct err *err)
{
    autofree char *dir = cgroup_dir(c, "", path);
    int64_t swap = r->memory_swap_limit > 0 && r->memory_limit > 0
                       ? r->memory_swap_limit - r->memory_limit
                       : -1;

    if (put_number(dir, "memory.max", r->memory_limit, err) < 0 || put_cpu(dir, r, err) < 0 ||
        put_number(dir, "pids.max", pids_max, err) < 0)
        return err_wrap(err, "set limits");
    if (r->memory_swap_limit && swap >= 0) {
        char text[32];

        (void)snprintf(text, sizeof(text), "%lld", (long long)swap);
        if (cgroup_put(dir, "memory.swap.max", text, err) < 0)
            return err_wrap(err, "set limits");
    }
    if ((*r->cpuset_cpus && cgroup_put(dir, "cpuset.cpus", r->cpuset_cpus, err) < 0) ||
        (*r->cpuset_mems && cgroup_put(dir, "cpuset.mems", r->cpuset_mems, err) < 0))
        return err_wrap(err, "set limits");
    for (size_t i = 0; i < r->unified.n; i++) {
        if (!name_is_safe(r->unified.v[i].key))
            return err_set(err, ERR_INVALID, "unified resource '%s': not a file of a cgroup",
                           r->unified.v[i].key);
        if (cgroup_put(dir, r->unified.v[i].key, r->unified.v[i].value, err) < 0)
            return err_wrap(err, "set limits");
    }
    return 0;
}
