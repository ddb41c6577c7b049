/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stats - what pods and containers use, read in the background and answered from memory; see
 * usage.h of the facade.
 *
 * cgroup_stats.c, cgroup_detail.c and cgroup_processes.c read one control group; stats.c decides
 * when to look, stats_sample.c keeps what was seen, stats_view.c answers (stats_private.h is theirs
 * alone). Nothing is read while nobody asks: a node that is not asked for statistics pays nothing
 * for them.
 */
#ifndef UNICRI_SANDBOX_STATS_H
#define UNICRI_SANDBOX_STATS_H

#include "base/metrics.h"
#include "sandbox/cgroup.h"
#include "sandbox/sandbox.h"

struct engine;
struct stats;

/** stats_open() - begins with the loop; engine->config, ->loop and ->cgroups are set. */
struct stats *stats_open(struct engine *engine);
/** stats_free() - after all background work has ended; NULL is fine. */
void stats_free(struct stats *s);

extern struct metric stats_round_seconds, stats_layer_seconds;

/**
 * cgroup_stats_read() - cpu, memory, swap and pressure of a control group and all below it, into
 * the members of `ret` that are not of the writable layer; the rest is left alone. What the host
 * does not account for is marked as unknown. Returns: -1 when cpu or memory cannot be read (it is
 * gone): then cpu_at is 0.
 */
int cgroup_stats_read(const struct cgroups *c, const char *path, struct container_stats *ret);
/** cgroup_detail_read() - every other counter. Devices have no names yet, and what is of processes
 * is left to cgroup_processes_read(). */
void cgroup_detail_read(const struct cgroups *c, const char *path, struct usage_detail *ret);
/** cgroup_processes_count() - in it and below. Returns: false when it is gone. */
bool cgroup_processes_count(const struct cgroups *c, const char *path, uint64_t *ret);
/** cgroup_processes_read() - USAGE_PROCESSES, and what its processes have open. `root` is the first
 * of them, or 0. Bounded: a group with very many processes has no USAGE_FILES. */
void cgroup_processes_read(const struct cgroups *c, const char *path, pid_t root,
                           struct usage_detail *ret);
/** usage_name_device() - fill in its name. */
void usage_name_device(struct usage_device *device);

/* The parsers of the kernel's files; none trusts what it reads. */
/** cgroup_stat_key() - the number behind `key` in a file of lines "key number". */
bool cgroup_stat_key(const char *text, const char *key, uint64_t *ret);
/** cgroup_stat_number() - a file of one number; "max" is UINT64_MAX. */
bool cgroup_stat_number(const char *text, uint64_t *ret);
/** cgroup_stat_pressure() - a pressure file; without "full" (cpu on older kernels) that is 0. */
bool cgroup_stat_pressure(const char *text, struct pressure *ret);
/** cgroup_stat_io() - io.stat of version 2. */
void cgroup_stat_io(const char *text, struct usage_detail *ret);
/** cgroup_stat_blkio() - a file of version 1, lines "M:m Read N": bytes, or else operations. */
void cgroup_stat_blkio(const char *text, bool bytes, struct usage_detail *ret);
/** cgroup_stat_digits() - decimal digits up to one of end_chars or the end; no sign, no overflow.
 */
bool cgroup_stat_digits(const char *s, const char *end_chars, uint64_t *ret);

/* Reading them: */
#define CGROUP_STAT_MAX_BYTES 8192
/** cgroup_stat_open() - a directory of the hierarchy of `controller`; -1 when there is none. */
int cgroup_stat_open(const struct cgroups *c, const char *controller, const char *path);
/** cgroup_stat_read() - a file as text; what does not fit is cut off. */
bool cgroup_stat_read(int dir, const char *name, char *buf, size_t size);
bool cgroup_stat_read_number(int dir, const char *name, uint64_t *ret);

#endif
