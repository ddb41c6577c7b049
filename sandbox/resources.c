/* SPDX-License-Identifier: Apache-2.0 */
/* resources - see resources.h: the schema, merging, and what can be checked before it is written.
 */
#include "sandbox/resources.h"

#include <string.h>

#include "base/strbuf.h"
#include "sandbox/sandbox.h"
#include "sandbox/stats.h"

#define UNIFIED_MAX       64
#define DEFAULT_PERIOD_US 100000
#define UNIFIED_SWAP      "memory.swap.max"
#define HUGEPAGES_DIR     "/sys/kernel/mm/hugepages"

static const struct field hugepage_fields[] = {
    FIELD(STRING, hugepage_limit, page_size),
    FIELD(UINT64, hugepage_limit, limit),
};
static const struct schema hugepage_schema = SCHEMA(hugepage_limit, hugepage_fields);

static const struct field resources_fields[] = {
    FIELD(INT64, linux_resources, cpu_period),
    FIELD(INT64, linux_resources, cpu_quota),
    FIELD(INT64, linux_resources, cpu_shares),
    FIELD(INT64, linux_resources, memory_limit),
    FIELD(INT64, linux_resources, memory_swap_limit),
    FIELD(INT64, linux_resources, oom_score_adj),
    FIELD(STRING, linux_resources, cpuset_cpus),
    FIELD(STRING, linux_resources, cpuset_mems),
    FIELD_N(ARRAY, linux_resources, hugepages, &hugepage_schema),
    FIELD(KVS, linux_resources, unified),
};
const struct schema resources_schema = SCHEMA(linux_resources, resources_fields);

void linux_resources_init(struct linux_resources *r)
{
    *r = (struct linux_resources){0};
    codec_init(&resources_schema, r);
}

void linux_resources_done(struct linux_resources *r)
{
    codec_done(&resources_schema, r);
}

/* ----------------------------------------------------------------- references */

static struct resources *empty(void)
{
    struct resources *new = XNEW(struct resources);

    new->refs = 1;
    codec_init(&resources_schema, &new->r);
    return new;
}

json_t *resources_write(const struct linux_resources *r)
{
    return codec_write(&resources_schema, r);
}

struct resources *resources_parse(const json_t *json, struct err *err)
{
    autoresources *new = empty();

    if (codec_parse(&resources_schema, &new->r, json, err) < 0)
        return NULL;
    return TAKE_PTR(new);
}

static void set_hugepages(struct linux_resources *r, const char *size, uint64_t limit)
{
    for (size_t i = 0; i < r->n_hugepages; i++)
        if (str_eq(r->hugepages[i].page_size, size)) {
            r->hugepages[i].limit = limit;
            return;
        }
    r->hugepages = xrealloc_array(r->hugepages, r->n_hugepages + 1, sizeof(*r->hugepages));
    r->hugepages[r->n_hugepages++] =
        (struct hugepage_limit){.page_size = xstrdup(size), .limit = limit};
}

static void set_text(char **dst, const char *src)
{
    char *copy = xstrdup(src);

    free(*dst);
    *dst = copy;
}

struct resources *resources_new(const struct linux_resources *from)
{
    struct resources *new = empty();
    struct linux_resources *r = &new->r;

    r->cpu_period = from->cpu_period;
    r->cpu_quota = from->cpu_quota;
    r->cpu_shares = from->cpu_shares;
    r->memory_limit = from->memory_limit;
    r->memory_swap_limit = from->memory_swap_limit;
    r->oom_score_adj = from->oom_score_adj;
    set_text(&r->cpuset_cpus, from->cpuset_cpus);
    set_text(&r->cpuset_mems, from->cpuset_mems);
    for (size_t i = 0; i < from->n_hugepages; i++)
        set_hugepages(r, from->hugepages[i].page_size, from->hugepages[i].limit);
    kvs_dup(&r->unified, &from->unified);
    return new;
}

struct resources *resources_ref(struct resources *r)
{
    r->refs++;
    return r;
}

void resources_unref(struct resources *r)
{
    if (!r || --r->refs)
        return;
    codec_done(&resources_schema, &r->r);
    free(r);
}

/* --------------------------------------------------------------------- merging */

static void set_number(int64_t *dst, int64_t src)
{
    if (src)
        *dst = src;
}

struct resources *resources_merge(const struct linux_resources *old,
                                  const struct linux_resources *update, bool running)
{
    struct resources *new = resources_new(old);
    struct linux_resources *r = &new->r;

    set_number(&r->cpu_period, update->cpu_period);
    set_number(&r->cpu_quota, update->cpu_quota);
    set_number(&r->cpu_shares, update->cpu_shares);
    set_number(&r->memory_limit, update->memory_limit);
    set_number(&r->memory_swap_limit, update->memory_swap_limit);
    if (!running)
        set_number(&r->oom_score_adj, update->oom_score_adj);
    if (*update->cpuset_cpus)
        set_text(&r->cpuset_cpus, update->cpuset_cpus);
    if (*update->cpuset_mems)
        set_text(&r->cpuset_mems, update->cpuset_mems);
    for (size_t i = 0; i < update->n_hugepages; i++)
        set_hugepages(r, update->hugepages[i].page_size, update->hugepages[i].limit);
    for (size_t i = 0; i < update->unified.n; i++)
        kvs_set(&r->unified, update->unified.v[i].key, update->unified.v[i].value);
    if (update->memory_limit && !update->memory_swap_limit && old->memory_swap_limit > 0) {
        int64_t swap = old->memory_limit > 0 ? old->memory_swap_limit - old->memory_limit : 0;

        r->memory_swap_limit = update->memory_limit < 0 ? -1 : update->memory_limit + swap;
    }
    return new;
}

struct resources *resources_touched(const struct linux_resources *update,
                                    const struct linux_resources *from)
{
    struct resources *new = empty();
    struct linux_resources *r = &new->r;

    if (update->cpu_period || update->cpu_quota) {
        r->cpu_period = from->cpu_period;
        r->cpu_quota = from->cpu_quota ? from->cpu_quota : -1;
    }
    if (update->cpu_shares)
        r->cpu_shares = from->cpu_shares;
    if (update->memory_limit || update->memory_swap_limit) {
        const char *swap = kvs_get(&from->unified, UNIFIED_SWAP);

        r->memory_limit = from->memory_limit ? from->memory_limit : -1;
        r->memory_swap_limit = from->memory_limit ? from->memory_swap_limit : -1;
        if (swap) /* else the default that comes with a memory limit would replace it */
            kvs_set(&r->unified, UNIFIED_SWAP, swap);
    }
    if (*update->cpuset_cpus)
        set_text(&r->cpuset_cpus, from->cpuset_cpus);
    if (*update->cpuset_mems)
        set_text(&r->cpuset_mems, from->cpuset_mems);
    for (size_t i = 0; i < update->n_hugepages; i++)
        for (size_t k = 0; k < from->n_hugepages; k++)
            if (str_eq(from->hugepages[k].page_size, update->hugepages[i].page_size))
                set_hugepages(r, from->hugepages[k].page_size, from->hugepages[k].limit);
    for (size_t i = 0; i < update->unified.n; i++) {
        const char *value = kvs_get(&from->unified, update->unified.v[i].key);

        if (value)
            kvs_set(&r->unified, update->unified.v[i].key, value);
    }
    return new;
}

static int64_t add(int64_t a, int64_t b)
{
    int64_t sum;

    return __builtin_add_overflow(a, b, &sum) ? INT64_MAX : sum;
}

/* Another quota in the period of the first. */
static int64_t scaled(int64_t quota, int64_t period, int64_t to)
{
    return period > 0 && period != to ? (int64_t)((double)quota / (double)period * (double)to)
                                      : quota;
}

struct resources *resources_sum(const struct linux_resources *overhead,
                                const struct linux_resources *resources)
{
    struct resources *new = empty();
    struct linux_resources *r = &new->r;

    r->cpu_period = resources->cpu_period;
    r->cpu_quota = resources->cpu_quota;
    if (resources->cpu_quota > 0) {
        r->cpu_period = resources->cpu_period ? resources->cpu_period : DEFAULT_PERIOD_US;
        if (overhead->cpu_quota > 0)
            r->cpu_quota =
                add(r->cpu_quota, scaled(overhead->cpu_quota, overhead->cpu_period, r->cpu_period));
    }
    if (resources->cpu_shares)
        r->cpu_shares = add(resources->cpu_shares, overhead->cpu_shares);
    r->memory_limit = resources->memory_limit;
    r->memory_swap_limit = -1; /* each container has its own */
    if (resources->memory_limit > 0 && overhead->memory_limit > 0)
        r->memory_limit = add(r->memory_limit, overhead->memory_limit);
    return new;
}

bool resources_same(const struct linux_resources *a, const struct linux_resources *b)
{
    autojson *x = resources_write(a), *y = resources_write(b);

    return json_equal(x, y);
}

int64_t resources_swap(const struct linux_resources *r)
{
    if (r->memory_limit > 0 && r->memory_swap_limit == 0)
        return r->memory_limit;
    return r->memory_swap_limit;
}

/* ---------------------------------------------------------------------- checks */

/* "2MB" as the kernel's directories have it: "hugepages-2048kB". */
bool resources_page_size(const char *size)
{
    char *unit;
    uint64_t n = strtoull(size, &unit, 10);
    char dir[64];

    if (str_eq(unit, "MB"))
        n *= 1024;
    else if (str_eq(unit, "GB"))
        n *= UINT64_C(1024) * 1024;
    (void)snprintf(dir, sizeof(dir), HUGEPAGES_DIR "/hugepages-%llukB", (unsigned long long)n);
    return access(dir, F_OK) == 0;
}

int resources_check(const struct cgroups *c, const struct linux_resources *r, struct err *err)
{
    if (r->memory_swap_limit > 0 && r->memory_limit <= 0)
        return err_set(err, ERR_INVALID,
                       "memory_swap_limit_in_bytes: without memory_limit_in_bytes, of which it is "
                       "the sum with swap");
    if (r->memory_swap_limit > 0 && r->memory_swap_limit < r->memory_limit)
        return err_set(err, ERR_INVALID,
                       "memory_swap_limit_in_bytes %lld: below memory_limit_in_bytes %lld, of "
                       "which it is the sum with swap",
                       (long long)r->memory_swap_limit, (long long)r->memory_limit);
    if (r->unified.n > UNIFIED_MAX)
        return err_set(err, ERR_INVALID, "more than %d unified resources", UNIFIED_MAX);
    if (r->unified.n && !c->v2)
        return err_set(err, ERR_UNSUPPORTED,
                       "unified resource '%s': the control groups of this node are of version 1",
                       r->unified.v[0].key);
    for (size_t i = 0; cgroups_have(c, "hugetlb") && i < r->n_hugepages; i++)
        if (r->hugepages[i].limit && !resources_page_size(r->hugepages[i].page_size))
            return err_set(err, ERR_INVALID, "hugepage_limits '%s': no page size of this node",
                           r->hugepages[i].page_size);
    return 0;
}

int resources_floor(const struct cgroups *c, const char *cgroup, int64_t memory_limit,
                    struct err *err)
{
    struct container_stats stats = {0};

    if (memory_limit <= 0 || cgroup_stats_read(c, cgroup, &stats) < 0 ||
        stats.working_set <= (uint64_t)memory_limit)
        return 0;
    return err_set(err, ERR_STATE,
                   "memory_limit_in_bytes %lld: below the %llu bytes that are in use",
                   (long long)memory_limit, (unsigned long long)stats.working_set);
}
