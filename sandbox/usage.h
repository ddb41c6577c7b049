/* SPDX-License-Identifier: Apache-2.0 */
/*
 * usage - what pods and containers use. Part of the facade (sandbox.h includes it).
 *
 * Samples are taken in the background while somebody asks, as deep as it was asked for: containers
 * only, pods with their networks, or every counter there is (for the metrics). Answers come from
 * memory. A counter that this host does not keep is marked as unknown, never 0.
 */
#ifndef UNICRI_SANDBOX_USAGE_H
#define UNICRI_SANDBOX_USAGE_H

#include "cni/cni.h"
#include "sandbox/sandbox.h"

/* Pressure stall information: shares of time in percent, and stalled time in all. */
struct pressure_line {
    double avg10, avg60, avg300;
    uint64_t total_usec;
};
struct pressure {
    bool known; /* this kernel accounts for it */
    struct pressure_line some, full;
};

/* Of a control group and all below it. */
struct container_stats {
    nsec_t cpu_at; /* wall clock; 0: it does not run, then all up to the writable layer is void */
    uint64_t cpu_nsec;
    bool rate_known; /* false until a second sample is there */
    uint64_t cpu_nano_cores;
    nsec_t memory_at;
    uint64_t memory_usage, working_set, rss, page_faults, major_page_faults;
    uint64_t memory_limit; /* UINT64_MAX: none */
    bool swap_known;
    uint64_t swap_usage, swap_limit; /* UINT64_MAX: none */
    struct pressure cpu_pressure, memory_pressure, io_pressure;

    nsec_t layer_at; /* of the writable layer; 0: not looked at yet */
    uint64_t layer_bytes, layer_inodes;
    const char *layer_dir; /* on the filesystem that holds it; borrowed from the engine */
};

/* Counters for the metrics. Times are nanoseconds, sizes bytes. */
enum usage_counter {
    USAGE_CPU_USER,
    USAGE_CPU_SYSTEM,
    USAGE_CFS_PERIODS,
    USAGE_CFS_THROTTLED_PERIODS,
    USAGE_CFS_THROTTLED,
    USAGE_CFS_BURSTS,
    USAGE_CFS_BURST,
    USAGE_MEMORY_CACHE,
    USAGE_MEMORY_MAPPED,
    USAGE_MEMORY_KERNEL,
    USAGE_MEMORY_MAX,
    USAGE_MEMORY_FAILCNT,
    USAGE_MEMORY_ACTIVE_FILE,
    USAGE_MEMORY_INACTIVE_FILE,
    USAGE_MEMORY_ACTIVE_ANON,
    USAGE_MEMORY_INACTIVE_ANON,
    USAGE_MEMORY_ANON_THP,
    USAGE_MEMORY_SHMEM_THP,
    USAGE_MEMORY_FILE_THP,
    USAGE_MEMORY_DIRTY,
    USAGE_MEMORY_WRITEBACK,
    USAGE_MEMORY_PGSCAN,
    USAGE_MEMORY_PGSTEAL,
    USAGE_MEMORY_REFAULT_FILE,
    USAGE_MEMORY_REFAULT_ANON,
    USAGE_MEMORY_EVENTS_HIGH,
    USAGE_MEMORY_EVENTS_MAX,
    USAGE_MEMORY_OOM_KILLS,
    USAGE_MEMORY_OWN_FAULTS, /* of the group itself, without those below */
    USAGE_MEMORY_OWN_MAJOR_FAULTS,
    USAGE_PROCESSES,
    USAGE_THREADS,
    USAGE_THREADS_MAX, /* 0: no limit */
    USAGE_FILES,       /* open descriptors, and sockets among them; containers only */
    USAGE_SOCKETS,
    USAGE_NOFILE, /* soft limit of open descriptors of the first process; unknown: none */
    USAGE_COUNTERS
};

#define USAGE_DEVICES_MAX 8
#define USAGE_PAGES_MAX   4

struct usage_device {
    unsigned major, minor;
    char name[48]; /* "/dev/vda"; "" when the kernel has no name for it */
    uint64_t reads, writes, read_bytes, written_bytes;
};
struct usage_pages {
    char size[8]; /* "2MB" */
    bool max_known;
    uint64_t used, max;
};
struct usage_detail {
    uint64_t known; /* a bit each counter */
    uint64_t v[USAGE_COUNTERS];
    struct usage_device devices[USAGE_DEVICES_MAX];
    size_t n_devices;
    struct usage_pages pages[USAGE_PAGES_MAX];
    size_t n_pages;
};
_Static_assert(USAGE_COUNTERS <= 64, "bits of known");

/** usage_known() - is that counter there? */
static inline bool usage_known(const struct usage_detail *detail, enum usage_counter counter)
{
    return detail->known >> counter & 1;
}

/* How deep to look. */
enum usage_depth { USAGE_BRIEF, USAGE_PODS, USAGE_DETAIL };

struct container_stats_view {
    struct container_view container;
    struct container_stats stats;
    struct usage_detail *detail; /* owned; NULL: it does not run, or was not asked for */
};
/**
 * container_stats_list() - the containers that match, newest first, with their latest samples. One
 * that has none, or an old one, is sampled by the caller; a short list always is. Others are as
 * old as stats.period at most, and a request makes newer ones for the next. Caller:
 * container_stats_views_free().
 */
size_t container_stats_list(struct engine *engine, const struct list_filter *filter,
                            struct container_stats_view **ret);
/** container_stats_get() - of one, by id. Caller: container_stats_views_free(ret, 1). Errors:
 * NOT_FOUND. */
int container_stats_get(struct engine *engine, const char *id, struct container_stats_view **ret,
                        struct err *err) MUST_CHECK;
void container_stats_views_free(struct container_stats_view *views, size_t n);

struct pod_stats_view {
    struct pod_view pod;
    struct container_stats stats; /* of the pod's control group; no layer */
    uint64_t processes;           /* of all containers; void when stats.cpu_at is 0 */
    struct usage_detail *detail;  /* as above */
    nsec_t links_at;              /* wall clock; 0: no network of its own */
    struct link_stats *links;     /* owned; as the kernel lists them */
    size_t n_links;
    struct container_stats_view *containers; /* owned; newest first */
    size_t n_containers;
};
/** pod_stats_list() - the READY pods that match (id, labels), newest first, with all of their
 * containers; freshness as for container_stats_list(). Caller: pod_stats_views_free(). */
size_t pod_stats_list(struct engine *engine, const struct list_filter *filter,
                      enum usage_depth depth, struct pod_stats_view **ret);
/** pod_stats_get() - of one pod, in whatever state. Caller: pod_stats_views_free(ret, 1). Errors:
 * NOT_FOUND. */
int pod_stats_get(struct engine *engine, const char *id, struct pod_stats_view **ret,
                  struct err *err) MUST_CHECK;
void pod_stats_views_free(struct pod_stats_view *views, size_t n);

/* The writable layers of all containers, and the filesystem that holds them. */
struct layers_usage {
    nsec_t at;       /* wall clock */
    const char *dir; /* borrowed from the engine */
    uint64_t bytes, inodes;
    char device[48]; /* "/dev/vda1"; "" when the kernel has no name for it */
    uint64_t limit_bytes, inodes_total, inodes_free;
};
/** engine_layers_usage() - from what is known of each; containers that were not looked at lately
 * count for nothing yet. */
void engine_layers_usage(struct engine *engine, struct layers_usage *ret);

#endif
