/* SPDX-License-Identifier: Apache-2.0 */
/*
 * resources - limits that may change while a container or a pod lives (in-place resize). What a
 * request asked for at first stays in the spec; what is in force is a `struct resources`, which is
 * replaced as a whole and never changed: whoever holds a reference reads it without a lock.
 *
 * In an update zero, "" and an absent key mean "leave": see resources_merge().
 */
#ifndef UNICRI_SANDBOX_RESOURCES_H
#define UNICRI_SANDBOX_RESOURCES_H

#include <stdatomic.h>

#include "sandbox/cgroup.h"
#include "sandbox/codec.h"

extern const struct schema resources_schema; /* of struct linux_resources */

struct resources {
    _Atomic unsigned refs;
    struct linux_resources r;
};

/** resources_new() - a copy, with one reference. */
struct resources *resources_new(const struct linux_resources *from);
struct resources *resources_ref(struct resources *r);
void resources_unref(struct resources *r); /* NULL is fine */
DEFINE_CLEANUP(struct resources *, resources_unref);
#define autoresources CLEANUP(resources_unref_cleanup) struct resources

/** resources_write() - as JSON, a new reference. */
json_t *resources_write(const struct linux_resources *r);
/** resources_parse() - what resources_write() wrote. Errors: CORRUPT. NULL then. */
struct resources *resources_parse(const json_t *json, struct err *err);

/**
 * resources_merge() - `old` with what `update` sets. A new memory limit without a new swap limit
 * keeps what may be swapped; the OOM score is the process's from its start on and is left as it is
 * when `running`.
 */
struct resources *resources_merge(const struct linux_resources *old,
                                  const struct linux_resources *update, bool running);
/**
 * resources_touched() - of `from`, what an update speaks of, to be written to a cgroup; what the
 * kernel takes together (quota with period, swap with memory) comes together. `from` is the merged
 * whole, or what was before it: then "no limit" where there was none.
 */
struct resources *resources_touched(const struct linux_resources *update,
                                    const struct linux_resources *from);
/** resources_sum() - of a pod's own cgroup: overhead + resources; what `resources` does not limit
 * stays without limit. */
struct resources *resources_sum(const struct linux_resources *overhead,
                                const struct linux_resources *resources);
/** resources_same() - do both say the same? */
bool resources_same(const struct linux_resources *a, const struct linux_resources *b);
/** resources_swap() - memory and swap together that are in force: who sets a memory limit alone
 * gets no swap, as with other CRI runtimes. -1: no limit, 0: leave. */
int64_t resources_swap(const struct linux_resources *r);
/** resources_page_size() - "2MB": does this host have such huge pages? */
bool resources_page_size(const char *size);
/**
 * resources_check() - can this host do it? Errors: INVALID (swap below memory, a page size that the
 * host does not have, too many unified entries), UNSUPPORTED (unified on a version 1 host).
 */
int resources_check(const struct cgroups *c, const struct linux_resources *r,
                    struct err *err) MUST_CHECK;
/** resources_floor() - is a new memory limit above what the processes of a cgroup use? Errors:
 * STATE naming both. */
int resources_floor(const struct cgroups *c, const char *cgroup, int64_t memory_limit,
                    struct err *err) MUST_CHECK;

#endif
