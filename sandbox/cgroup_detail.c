/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cgroup_detail - the many counters of a control group that only the metrics show: what is behind
 * cpu and memory in detail, block devices, huge pages, threads. Tables say which file and key of
 * which version is which counter; a file that is missing leaves its counters unknown.
 */
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "sandbox/stats.h"

struct key {
    enum usage_counter counter;
    const char *v1, *v2; /* NULL: that version does not say */
    uint64_t scale;      /* of version 2, to our unit */
};

static const struct key cpu_keys[] = {
    {USAGE_CPU_USER, NULL, "user_usec", 1000},
    {USAGE_CPU_SYSTEM, NULL, "system_usec", 1000},
    {USAGE_CFS_PERIODS, "nr_periods", "nr_periods", 1},
    {USAGE_CFS_THROTTLED_PERIODS, "nr_throttled", "nr_throttled", 1},
    {USAGE_CFS_THROTTLED, "throttled_time", "throttled_usec", 1000},
    {USAGE_CFS_BURSTS, "nr_bursts", "nr_bursts", 1},
    {USAGE_CFS_BURST, "burst_time", "burst_usec", 1000},
};

static const struct key memory_keys[] = {
    {USAGE_MEMORY_CACHE, "total_cache", "file", 1},
    {USAGE_MEMORY_MAPPED, "total_mapped_file", "file_mapped", 1},
    {USAGE_MEMORY_KERNEL, NULL, "kernel", 1},
    {USAGE_MEMORY_ACTIVE_FILE, "total_active_file", "active_file", 1},
    {USAGE_MEMORY_INACTIVE_FILE, "total_inactive_file", "inactive_file", 1},
    {USAGE_MEMORY_ACTIVE_ANON, "total_active_anon", "active_anon", 1},
    {USAGE_MEMORY_INACTIVE_ANON, "total_inactive_anon", "inactive_anon", 1},
    {USAGE_MEMORY_ANON_THP, "total_rss_huge", "anon_thp", 1},
    {USAGE_MEMORY_SHMEM_THP, NULL, "shmem_thp", 1},
    {USAGE_MEMORY_FILE_THP, NULL, "file_thp", 1},
    {USAGE_MEMORY_DIRTY, "total_dirty", "file_dirty", 1},
    {USAGE_MEMORY_WRITEBACK, "total_writeback", "file_writeback", 1},
    {USAGE_MEMORY_PGSCAN, NULL, "pgscan", 1},
    {USAGE_MEMORY_PGSTEAL, NULL, "pgsteal", 1},
    {USAGE_MEMORY_REFAULT_FILE, "total_workingset_refault_file", "workingset_refault_file", 1},
    {USAGE_MEMORY_REFAULT_ANON, "total_workingset_refault_anon", "workingset_refault_anon", 1},
    {USAGE_MEMORY_OWN_FAULTS, "pgfault", NULL, 1},
    {USAGE_MEMORY_OWN_MAJOR_FAULTS, "pgmajfault", NULL, 1},
};

static const struct key event_keys[] = {
    {USAGE_MEMORY_EVENTS_HIGH, NULL, "high", 1},
    {USAGE_MEMORY_EVENTS_MAX, NULL, "max", 1},
    {USAGE_MEMORY_FAILCNT, NULL, "max", 1},
    {USAGE_MEMORY_OOM_KILLS, "oom_kill", "oom_kill", 1},
};

static void put(struct usage_detail *d, enum usage_counter counter, uint64_t value)
{
    d->v[counter] = value;
    d->known |= UINT64_C(1) << counter;
}

static void take_keys(const struct key *keys, size_t n, bool v2, const char *text,
                      struct usage_detail *ret)
{
    for (size_t i = 0; i < n; i++) {
        const char *key = v2 ? keys[i].v2 : keys[i].v1;
        uint64_t v;

        if (!key || !cgroup_stat_key(text, key, &v))
            continue;
        if (v2 && __builtin_mul_overflow(v, keys[i].scale, &v))
            v = UINT64_MAX;
        put(ret, keys[i].counter, v);
    }
}

static void take_number(int dir, const char *file, enum usage_counter counter,
                        struct usage_detail *ret)
{
    uint64_t v;

    if (dir >= 0 && cgroup_stat_read_number(dir, file, &v))
        put(ret, counter, v);
}

static void take_file(int dir, const char *file, const struct key *keys, size_t n, bool v2,
                      struct usage_detail *ret)
{
    char text[CGROUP_STAT_MAX_BYTES];

    if (dir >= 0 && cgroup_stat_read(dir, file, text, sizeof(text)))
        take_keys(keys, n, v2, text, ret);
}

/* ------------------------------------------------------------------- devices */

/* "M:m", then a blank. Returns: where the rest begins, NULL when it is something else. */
static const char *device_of(const char *line, struct usage_detail *d, struct usage_device **ret)
{
    const char *colon = line + strcspn(line, ": \n");
    uint64_t major, minor;

    if (*colon != ':' || !cgroup_stat_digits(line, ":", &major) ||
        !cgroup_stat_digits(colon + 1, " ", &minor) || major > UINT16_MAX || minor > UINT32_MAX)
        return NULL;
    *ret = NULL;
    for (size_t i = 0; i < d->n_devices; i++)
        if (d->devices[i].major == major && d->devices[i].minor == minor)
            *ret = &d->devices[i];
    if (!*ret && d->n_devices < USAGE_DEVICES_MAX) {
        *ret = &d->devices[d->n_devices++];
        **ret = (struct usage_device){.major = (unsigned)major, .minor = (unsigned)minor};
    }
    if (!*ret)
        return NULL;

    const char *rest = strchr(colon, ' ');

    return rest ? rest + 1 : NULL;
}

static const char *next_line(const char *line)
{
    const char *end = strchr(line, '\n');

    return end ? end + 1 : line + strlen(line);
}

/* "253:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0" */
void cgroup_stat_io(const char *text, struct usage_detail *ret)
{
    for (const char *line = text; *line; line = next_line(line)) {
        struct usage_device *device;
        const char *p = device_of(line, ret, &device);

        while (p && *p && *p != '\n') {
            const char *const names[] = {"rbytes=", "wbytes=", "rios=", "wios="};
            uint64_t *const values[] = {&device->read_bytes, &device->written_bytes, &device->reads,
                                        &device->writes};

            for (size_t i = 0; i < ARRAY_SIZE(names); i++)
                if (strncmp(p, names[i], strlen(names[i])) == 0)
                    (void)cgroup_stat_digits(p + strlen(names[i]), " \n", values[i]);
            p += strcspn(p, " \n");
            p += *p == ' ';
        }
    }
}

void cgroup_stat_blkio(const char *text, bool bytes, struct usage_detail *ret)
{
    for (const char *line = text; *line; line = next_line(line)) {
        struct usage_device *device;
        const char *p = device_of(line, ret, &device);
        uint64_t v;

        if (!p)
            continue; /* "Total N" */
        if (strncmp(p, "Read ", 5) == 0 && cgroup_stat_digits(p + 5, "\n", &v))
            *(bytes ? &device->read_bytes : &device->reads) = v;
        else if (strncmp(p, "Write ", 6) == 0 && cgroup_stat_digits(p + 6, "\n", &v))
            *(bytes ? &device->written_bytes : &device->writes) = v;
    }
}

void usage_name_device(struct usage_device *device)
{
    char path[64], text[512];

    device->name[0] = '\0';
    (void)snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/uevent", device->major, device->minor);
    if (!cgroup_stat_read(AT_FDCWD, path, text, sizeof(text)))
        return;
    for (const char *line = text; *line; line = next_line(line))
        if (strncmp(line, "DEVNAME=", 8) == 0)
            (void)snprintf(device->name, sizeof(device->name), "/dev/%.*s",
                           (int)strcspn(line + 8, "\n"), line + 8);
}

/* ---------------------------------------------------------------- huge pages */

/* Of all architectures; the files are there for those that the host has. */
static const char *const page_sizes[] = {"64KB", "2MB", "32MB", "1GB"};
_Static_assert(ARRAY_SIZE(page_sizes) <= USAGE_PAGES_MAX, "all fit");

static void take_pages(int dir, bool v2, struct usage_detail *ret)
{
    for (size_t i = 0; dir >= 0 && i < ARRAY_SIZE(page_sizes); i++) {
        struct usage_pages pages = {.used = 0};
        char file[64];

        (void)snprintf(file, sizeof(file), "hugetlb.%s.%s", page_sizes[i],
                       v2 ? "current" : "usage_in_bytes");
        if (!cgroup_stat_read_number(dir, file, &pages.used))
            continue;
        (void)snprintf(file, sizeof(file), "hugetlb.%s.max_usage_in_bytes", page_sizes[i]);
        pages.max_known = !v2 && cgroup_stat_read_number(dir, file, &pages.max);
        (void)snprintf(pages.size, sizeof(pages.size), "%s", page_sizes[i]);
        ret->pages[ret->n_pages++] = pages;
    }
}

/* ----------------------------------------------------------------- both ways */

static void take_threads(int dir, struct usage_detail *ret)
{
    take_number(dir, "pids.current", USAGE_THREADS, ret);
    take_number(dir, "pids.max", USAGE_THREADS_MAX, ret);
    if (ret->v[USAGE_THREADS_MAX] == UINT64_MAX)
        ret->v[USAGE_THREADS_MAX] = 0;
}

static void read_v1(const struct cgroups *c, const char *path, struct usage_detail *ret)
{
    autofd int cpuacct = cgroup_stat_open(c, "cpuacct", path);
    autofd int cpu = cgroup_stat_open(c, "cpu", path);
    autofd int memory = cgroup_stat_open(c, "memory", path);
    autofd int pids = cgroup_stat_open(c, "pids", path);
    autofd int blkio = cgroup_stat_open(c, "blkio", path);
    autofd int huge = cgroup_stat_open(c, "hugetlb", path);
    char text[CGROUP_STAT_MAX_BYTES];

    take_number(cpuacct, "cpuacct.usage_user", USAGE_CPU_USER, ret);
    take_number(cpuacct, "cpuacct.usage_sys", USAGE_CPU_SYSTEM, ret);
    take_file(cpu, "cpu.stat", cpu_keys, ARRAY_SIZE(cpu_keys), false, ret);
    take_file(memory, "memory.stat", memory_keys, ARRAY_SIZE(memory_keys), false, ret);
    take_file(memory, "memory.oom_control", event_keys, ARRAY_SIZE(event_keys), false, ret);
    take_number(memory, "memory.max_usage_in_bytes", USAGE_MEMORY_MAX, ret);
    take_number(memory, "memory.failcnt", USAGE_MEMORY_FAILCNT, ret);
    take_number(memory, "memory.kmem.usage_in_bytes", USAGE_MEMORY_KERNEL, ret);
    take_threads(pids, ret);
    if (blkio >= 0 &&
        cgroup_stat_read(blkio, "blkio.throttle.io_service_bytes_recursive", text, sizeof(text)))
        cgroup_stat_blkio(text, true, ret);
    if (blkio >= 0 &&
        cgroup_stat_read(blkio, "blkio.throttle.io_serviced_recursive", text, sizeof(text)))
        cgroup_stat_blkio(text, false, ret);
    take_pages(huge, false, ret);
}

static void read_v2(const struct cgroups *c, const char *path, struct usage_detail *ret)
{
    autofd int dir = cgroup_stat_open(c, "", path);
    char text[CGROUP_STAT_MAX_BYTES];

    take_file(dir, "cpu.stat", cpu_keys, ARRAY_SIZE(cpu_keys), true, ret);
    take_file(dir, "memory.stat", memory_keys, ARRAY_SIZE(memory_keys), true, ret);
    take_file(dir, "memory.events", event_keys, ARRAY_SIZE(event_keys), true, ret);
    take_number(dir, "memory.peak", USAGE_MEMORY_MAX, ret);
    take_threads(dir, ret);
    if (dir >= 0 && cgroup_stat_read(dir, "io.stat", text, sizeof(text)))
        cgroup_stat_io(text, ret);
    take_pages(dir, true, ret);
}

void cgroup_detail_read(const struct cgroups *c, const char *path, struct usage_detail *ret)
{
    *ret = (struct usage_detail){.known = 0};
    if (c->v2)
        read_v2(c, path, ret);
    else
        read_v1(c, path, ret);
}
