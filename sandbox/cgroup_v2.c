/* SPDX-License-Identifier: Apache-2.0 */
/* cgroup_v2 - limits in the files of version 2, and handing controllers down. */
#include <errno.h>
#include <string.h>

#include "base/fs.h"
#include "base/strbuf.h"
#include "sandbox/resources.h"

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

static int put_bytes(const char *dir, const char *file, int64_t v, struct err *err)
{
    char text[32];

    if (v < 0)
        return cgroup_put(dir, file, "max", err);
    (void)snprintf(text, sizeof(text), "%lld", (long long)v);
    return cgroup_put(dir, file, text, err);
}

/* The API counts memory and swap together, the kernel swap alone; a kernel without swap has no such
 * file, and then nothing to limit. */
static int put_memory(const char *dir, const struct linux_resources *r, struct err *err)
{
    int64_t sum = resources_swap(r), swap = sum;
    struct err why = ERR_INIT;

    if (sum > 0 && r->memory_limit > 0)
        swap = sum > r->memory_limit ? sum - r->memory_limit : 0;
    if (put_number(dir, "memory.max", r->memory_limit, err) < 0)
        return -1;
    if (sum == 0 || put_bytes(dir, "memory.swap.max", swap, &why) == 0 || why.sys == ENOENT)
        return 0;
    if (err)
        *err = why;
    return -1;
}

static int put_hugepages(const char *dir, const struct linux_resources *r, struct err *err)
{
    for (size_t i = 0; i < r->n_hugepages; i++) {
        autofree char *file = xasprintf("hugetlb.%s.max", r->hugepages[i].page_size);
        autofree char *text = xasprintf("%llu", (unsigned long long)r->hugepages[i].limit);
        struct err why = ERR_INIT;

        /* Clients list every page size; a host without the controller has nothing to limit. */
        if (cgroup_put(dir, file, text, &why) == 0 || why.sys == ENOENT)
            continue;
        if (err)
            *err = why;
        return -1;
    }
    return 0;
}

static int put_unified(const char *dir, const struct linux_resources *r, struct err *err)
{
    for (size_t i = 0; i < r->unified.n; i++) {
        const struct kv *kv = &r->unified.v[i];

        if (!name_is_safe(kv->key))
            return err_set(err, ERR_INVALID, "unified resource '%s': not a file of a cgroup",
                           kv->key);
        if (cgroup_put(dir, kv->key, kv->value, err) < 0)
            return err_wrap(err, "unified resource '%s'", kv->key);
    }
    return 0;
}

int cgroup_v2_limit(const struct cgroups *c, const char *path, const struct linux_resources *r,
                    int64_t pids_max, struct err *err)
{
    autofree char *dir = cgroup_dir(c, "", path);

    if ((*r->cpuset_cpus && cgroup_put(dir, "cpuset.cpus", r->cpuset_cpus, err) < 0) ||
        (*r->cpuset_mems && cgroup_put(dir, "cpuset.mems", r->cpuset_mems, err) < 0) ||
        put_memory(dir, r, err) < 0 || put_hugepages(dir, r, err) < 0 ||
        put_unified(dir, r, err) < 0 || put_cpu(dir, r, err) < 0 ||
        put_number(dir, "pids.max", pids_max, err) < 0)
        return err_wrap(err, "set limits");
    return 0;
}
