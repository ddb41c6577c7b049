/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cgroup_stats - the counters of one control group: cpuacct and memory of version 1, or cpu and
 * memory of version 2. Pressure is read from the unified hierarchy, which hybrid hosts have too.
 *
 * A container may end while it is looked at: whatever is missing makes its number unknown, and
 * nothing here is an error.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/mem.h"
#include "sandbox/stats.h"

#define UNLIMITED_V1 (UINT64_C(1) << 60) /* version 1 says "no limit" by a huge number */

/* ------------------------------------------------------------------- parsers */

bool cgroup_stat_digits(const char *s, const char *end_chars, uint64_t *ret)
{
    uint64_t v = 0;

    if (*s < '0' || *s > '9')
        return false;
    for (; *s >= '0' && *s <= '9'; s++)
        if (__builtin_mul_overflow(v, UINT64_C(10), &v) ||
            __builtin_add_overflow(v, (uint64_t)(*s - '0'), &v))
            return false;
    if (*s && !strchr(end_chars, *s))
        return false;
    *ret = v;
    return true;
}

bool cgroup_stat_key(const char *text, const char *key, uint64_t *ret)
{
    size_t len = strlen(key);

    for (const char *line = text; line && *line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, key, len) == 0 && line[len] == ' ')
            return cgroup_stat_digits(line + len + 1, "\n", ret);
    }
    return false;
}

bool cgroup_stat_number(const char *text, uint64_t *ret)
{
    if (strcmp(text, "max") == 0 || strcmp(text, "max\n") == 0) {
        *ret = UINT64_MAX;
        return true;
    }
    return cgroup_stat_digits(text, "\n", ret);
}

/* A share of time in percent: "12.34". */
static bool percent(const char *s, double *ret)
{
    char *end;

    if (*s < '0' || *s > '9')
        return false;
    errno = 0;

    double v = strtod(s, &end);

    if (errno || (*end != ' ' && *end != '\n' && *end) || !(v <= 100.0))
        return false;
    *ret = v;
    return true;
}

/* "avg10=0.00 avg60=0.00 avg300=0.00 total=0" */
static bool pressure_line(const char *s, struct pressure_line *ret)
{
    const char *const names[] = {"avg10=", "avg60=", "avg300="};
    double *const values[] = {&ret->avg10, &ret->avg60, &ret->avg300};

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        if (strncmp(s, names[i], strlen(names[i])) != 0 ||
            !percent(s + strlen(names[i]), values[i]))
            return false;
        s += strcspn(s, " \n");
        s += *s == ' ';
    }
    return strncmp(s, "total=", 6) == 0 && cgroup_stat_digits(s + 6, "\n", &ret->total_usec);
}

bool cgroup_stat_pressure(const char *text, struct pressure *ret)
{
    struct pressure p = {0};

    for (const char *line = text; line && *line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, "some ", 5) == 0) {
            if (!pressure_line(line + 5, &p.some))
                return false;
            p.known = true;
        } else if (strncmp(line, "full ", 5) == 0 && !pressure_line(line + 5, &p.full)) {
            return false;
        }
    }
    if (p.known)
        *ret = p;
    return p.known;
}

/* --------------------------------------------------------------------- files */

int cgroup_stat_open(const struct cgroups *c, const char *controller, const char *path)
{
    autofree char *dir = cgroup_dir(c, controller, path);

    return dir ? open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
}

bool cgroup_stat_read(int dir, const char *name, char *buf, size_t size)
{
    autofd int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
    size_t len = 0;

    if (fd < 0)
        return false;
    for (;;) {
        ssize_t n = read(fd, buf + len, size - 1 - len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        len += (size_t)n;
        if (n == 0 || len == size - 1)
            break;
    }
    /* Whatever does not fit ends with a whole line. */
    const char *last = len == size - 1 ? memrchr(buf, '\n', len) : NULL;

    if (last)
        len = (size_t)(last + 1 - buf);
    buf[len] = '\0';
    return len > 0;
}

bool cgroup_stat_read_number(int dir, const char *name, uint64_t *ret)
{
    char text[64];

    return cgroup_stat_read(dir, name, text, sizeof(text)) && cgroup_stat_number(text, ret);
}

static void read_pressure(int dir, const char *name, struct pressure *ret)
{
    char text[512];

    *ret = (struct pressure){0};
    if (cgroup_stat_read(dir, name, text, sizeof(text)))
        (void)cgroup_stat_pressure(text, ret);
}

static void read_pressures(const struct cgroups *c, const char *path, struct container_stats *ret)
{
    autofd int dir = cgroup_stat_open(c, "", path);

    ret->cpu_pressure = ret->memory_pressure = ret->io_pressure = (struct pressure){0};
    if (dir < 0)
        return;
    read_pressure(dir, "cpu.pressure", &ret->cpu_pressure);
    read_pressure(dir, "memory.pressure", &ret->memory_pressure);
    read_pressure(dir, "io.pressure", &ret->io_pressure);
}

/* What both versions say in memory.stat, each in its own words; what is missing is 0. */
static bool read_memory(int dir, const char *usage, const char *rss, const char *inactive,
                        const char *faults, const char *major, char *stat_text,
                        struct container_stats *ret)
{
    uint64_t cache = 0;

    if (!cgroup_stat_read_number(dir, usage, &ret->memory_usage) ||
        !cgroup_stat_read(dir, "memory.stat", stat_text, CGROUP_STAT_MAX_BYTES))
        return false;
    ret->memory_at = clock_wall();
    ret->rss = ret->page_faults = ret->major_page_faults = 0;
    (void)cgroup_stat_key(stat_text, rss, &ret->rss);
    (void)cgroup_stat_key(stat_text, faults, &ret->page_faults);
    (void)cgroup_stat_key(stat_text, major, &ret->major_page_faults);
    (void)cgroup_stat_key(stat_text, inactive, &cache);
    ret->working_set = ret->memory_usage > cache ? ret->memory_usage - cache : 0;
    return true;
}

/* ----------------------------------------------------------------- version 1 */

static uint64_t limit_v1(int dir, const char *name)
{
    uint64_t v;

    return cgroup_stat_read_number(dir, name, &v) && v < UNLIMITED_V1 ? v : UINT64_MAX;
}

static int read_v1(const struct cgroups *c, const char *path, struct container_stats *ret)
{
    autofd int cpu = cgroup_stat_open(c, "cpuacct", path),
               memory = cgroup_stat_open(c, "memory", path);
    char text[CGROUP_STAT_MAX_BYTES];

    if (cpu < 0 || memory < 0 || !cgroup_stat_read_number(cpu, "cpuacct.usage", &ret->cpu_nsec))
        return -1;
    ret->cpu_at = clock_wall();
    if (!read_memory(memory, "memory.usage_in_bytes", "total_rss", "total_inactive_file",
                     "total_pgfault", "total_pgmajfault", text, ret))
        return -1;
    ret->memory_limit = limit_v1(memory, "memory.limit_in_bytes");
    ret->swap_known = cgroup_stat_key(text, "total_swap", &ret->swap_usage);
    ret->swap_limit = UINT64_MAX;
    if (ret->swap_known && ret->memory_limit != UINT64_MAX) {
        uint64_t both = limit_v1(memory, "memory.memsw.limit_in_bytes"); /* memory and swap */

        if (both != UINT64_MAX)
            ret->swap_limit = both > ret->memory_limit ? both - ret->memory_limit : 0;
    }
    return 0;
}

/* ----------------------------------------------------------------- version 2 */

static int read_v2(const struct cgroups *c, const char *path, struct container_stats *ret)
{
    autofd int dir = cgroup_stat_open(c, "", path);
    char text[CGROUP_STAT_MAX_BYTES];
    uint64_t usec;

    if (dir < 0 || !cgroup_stat_read(dir, "cpu.stat", text, sizeof(text)) ||
        !cgroup_stat_key(text, "usage_usec", &usec) ||
        __builtin_mul_overflow(usec, (uint64_t)NSEC_PER_USEC, &ret->cpu_nsec))
        return -1;
    ret->cpu_at = clock_wall();
    if (!read_memory(dir, "memory.current", "anon", "inactive_file", "pgfault", "pgmajfault", text,
                     ret))
        return -1;
    if (!cgroup_stat_read_number(dir, "memory.max", &ret->memory_limit))
        ret->memory_limit = UINT64_MAX;
    ret->swap_known = cgroup_stat_read_number(dir, "memory.swap.current", &ret->swap_usage);
    if (!cgroup_stat_read_number(dir, "memory.swap.max", &ret->swap_limit))
        ret->swap_limit = UINT64_MAX;
    return 0;
}

int cgroup_stats_read(const struct cgroups *c, const char *path, struct container_stats *ret)
{
    if ((c->v2 ? read_v2(c, path, ret) : read_v1(c, path, ret)) < 0) {
        ret->cpu_at = ret->memory_at = 0;
        return -1;
    }
    read_pressures(c, path, ret);
    return 0;
}
