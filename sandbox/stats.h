/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stats - what containers use, read in the background and answered from memory; see
 * container_stats_list() of the facade.
 *
 * cgroup_stats.c reads one control group; stats.c keeps one sample a container, decides when the
 * next ones are due, and answers. Nothing is read while nobody asks: a node that is not asked for
 * statistics pays nothing for them. `struct stats` has a lock of its own, held for memory work
 * only and never together with the engine's.
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

/* The parsers of the kernel's files; none trusts what it reads. */
/** cgroup_stat_key() - the number behind `key` in a file of lines "key number". */
bool cgroup_stat_key(const char *text, const char *key, uint64_t *ret);
/** cgroup_stat_number() - a file of one number; "max" is UINT64_MAX. */
bool cgroup_stat_number(const char *text, uint64_t *ret);
/** cgroup_stat_pressure() - a pressure file; without "full" (cpu on older kernels) that is 0. */
bool cgroup_stat_pressure(const char *text, struct pressure *ret);

#endif
