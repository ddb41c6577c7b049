/* SPDX-License-Identifier: Apache-2.0 */
/* pod_metrics_rows - see the header. */
#include "cri/pod_metrics_rows.h"

#include <string.h>

#include "base/strbuf.h"

#define CFS_PERIOD     100000 /* the kernel's own, when none was asked for */
#define SHARES_DEFAULT 1024

const char *const metric_base_labels[METRIC_BASE_LABELS] = {"id",        "name", "image",
                                                            "namespace", "pod",  "container"};

size_t metric_extra(const struct metric_row *row)
{
    size_t n = 0;

    while (n < METRIC_EXTRA_MAX && row->extra[n])
        n++;
    return n;
}

/* `extra` are values of the row's further labels, in the arena or constant. */
static void add(struct metrics_out *o, nsec_t at, uint64_t value, char *const *extra)
{
    size_t n_base = ARRAY_SIZE(o->base), n_extra = metric_extra(o->row);
    Runtime__V1__Metric *new = PROTO_NEW(o->arena, Runtime__V1__Metric, runtime__v1__metric);

    new->name = (char *)(uintptr_t)o->row->name;
    new->timestamp = at;
    new->metric_type =
        o->row->counter ? RUNTIME__V1__METRIC_TYPE__COUNTER : RUNTIME__V1__METRIC_TYPE__GAUGE;
    new->value = proto_u64(o->arena, o->row->divisor ? value / o->row->divisor : value);
    new->n_label_values = n_base + n_extra;
    new->label_values = o->base; /* shared by all rows without labels of their own */
    if (n_extra) {
        new->label_values = ARENA_ARRAY(o->arena, char *, n_base + n_extra);
        memcpy(new->label_values, o->base, sizeof(o->base));
        for (size_t i = 0; extra && i < n_extra; i++)
            new->label_values[n_base + i] = extra[i];
    }
    if (o->n == o->room) {
        Runtime__V1__Metric **more = ARENA_ARRAY(o->arena, Runtime__V1__Metric *, 2 * o->room);

        for (size_t i = 0; i < o->n; i++)
            more[i] = o->v[i];
        o->v = more;
        o->room *= 2;
    }
    o->v[o->n++] = new;
}

static char *word(const char *text)
{
    return (char *)(uintptr_t)text;
}

/* ------------------------------------------------- where values come from */

static void add_counter(struct metrics_out *o, unsigned counter)
{
    if (usage_known(o->detail, (enum usage_counter)counter))
        add(o, o->stats->cpu_at, o->detail->v[counter], NULL);
}

static void add_files(struct metrics_out *o, unsigned counter)
{
    char *ulimit[] = {word("max_open_files")};

    if (usage_known(o->detail, (enum usage_counter)counter))
        add(o, o->stats->cpu_at, o->detail->v[counter], ulimit);
}

enum stat { STAT_CPU, STAT_USAGE, STAT_WORKING_SET, STAT_RSS, STAT_SWAP };

static void add_stat(struct metrics_out *o, unsigned which)
{
    const struct container_stats *s = o->stats;
    char *total[] = {word("total")};

    switch ((enum stat)which) {
    case STAT_CPU:
        add(o, s->cpu_at, s->cpu_nsec, total);
        break;
    case STAT_USAGE:
        add(o, s->memory_at, s->memory_usage, NULL);
        break;
    case STAT_WORKING_SET:
        add(o, s->memory_at, s->working_set, NULL);
        break;
    case STAT_RSS:
        add(o, s->memory_at, s->rss, NULL);
        break;
    case STAT_SWAP:
        if (s->swap_known)
            add(o, s->memory_at, s->swap_usage, NULL);
        break;
    }
}

/* Version 2 of control groups counts for a whole tree only: then both scopes say the same. */
static void add_failures(struct metrics_out *o, unsigned which)
{
    const struct container_stats *s = o->stats;
    const struct usage_detail *d = o->detail;
    bool own = usage_known(d, USAGE_MEMORY_OWN_FAULTS);

    (void)which;
    add(o, s->memory_at, own ? d->v[USAGE_MEMORY_OWN_FAULTS] : s->page_faults,
        (char *[]){word("pgfault"), word("container")});
    add(o, s->memory_at, own ? d->v[USAGE_MEMORY_OWN_MAJOR_FAULTS] : s->major_page_faults,
        (char *[]){word("pgmajfault"), word("container")});
    add(o, s->memory_at, s->page_faults, (char *[]){word("pgfault"), word("hierarchy")});
    add(o, s->memory_at, s->major_page_faults, (char *[]){word("pgmajfault"), word("hierarchy")});
}

enum psi { PSI_CPU, PSI_MEMORY, PSI_IO, PSI_FULL = 8 };

static void add_pressure(struct metrics_out *o, unsigned which)
{
    const struct container_stats *s = o->stats;
    const struct pressure *p = (which & 7) == PSI_CPU      ? &s->cpu_pressure
                               : (which & 7) == PSI_MEMORY ? &s->memory_pressure
                                                           : &s->io_pressure;

    if (p->known)
        add(o, s->cpu_at, which & PSI_FULL ? p->full.total_usec : p->some.total_usec, NULL);
}

enum disk { DISK_READS, DISK_WRITES, DISK_READ_BYTES, DISK_WRITTEN_BYTES };

static void add_disks(struct metrics_out *o, unsigned which)
{
    for (size_t i = 0; i < o->detail->n_devices; i++) {
        const struct usage_device *d = &o->detail->devices[i];
        const uint64_t values[] = {d->reads, d->writes, d->read_bytes, d->written_bytes};

        add(o, o->stats->cpu_at, values[which], (char *[]){arena_text(o->arena, d->name)});
    }
}

static void add_blkio(struct metrics_out *o, unsigned which)
{
    (void)which;
    for (size_t i = 0; i < o->detail->n_devices; i++) {
        const struct usage_device *d = &o->detail->devices[i];
        char *name = arena_text(o->arena, d->name);
        char *major = arena_printf(o->arena, "%u", d->major);
        char *minor = arena_printf(o->arena, "%u", d->minor);

        add(o, o->stats->cpu_at, d->read_bytes, (char *[]){name, major, minor, word("Read")});
        add(o, o->stats->cpu_at, d->written_bytes, (char *[]){name, major, minor, word("Write")});
    }
}

static void add_pages(struct metrics_out *o, unsigned max)
{
    for (size_t i = 0; i < o->detail->n_pages; i++) {
        const struct usage_pages *p = &o->detail->pages[i];

        if (!max || p->max_known)
            add(o, o->stats->memory_at, max ? p->max : p->used,
                (char *[]){arena_text(o->arena, p->size)});
    }
}

enum layer { LAYER_USED, LAYER_LIMIT, LAYER_INODES, LAYER_INODES_FREE };

static void add_layer(struct metrics_out *o, unsigned which)
{
    const struct layers_usage *l = o->layers;
    const uint64_t values[] = {o->stats->layer_bytes, l->limit_bytes, l->inodes_total,
                               l->inodes_free};

    if (which != LAYER_USED || o->stats->layer_at)
        add(o, which == LAYER_USED ? o->stats->layer_at : l->at, values[which],
            (char *[]){arena_text(o->arena, l->device)});
}

enum link {
    RX_BYTES,
    RX_PACKETS,
    RX_ERRORS,
    RX_DROPPED,
    TX_BYTES,
    TX_PACKETS,
    TX_ERRORS,
    TX_DROPPED
};

static void add_links(struct metrics_out *o, unsigned which)
{
    for (size_t i = 0; o->pod->links_at && i < o->pod->n_links; i++) {
        const struct link_stats *l = &o->pod->links[i];
        const uint64_t values[] = {l->rx_bytes, l->rx_packets, l->rx_errors, l->rx_dropped,
                                   l->tx_bytes, l->tx_packets, l->tx_errors, l->tx_dropped};

        add(o, o->pod->links_at, values[which], (char *[]){arena_text(o->arena, l->name)});
    }
}

enum spec {
    SPEC_PERIOD,
    SPEC_QUOTA,
    SPEC_SHARES,
    SPEC_MEMORY,
    SPEC_RESERVATION,
    SPEC_SWAP,
    SPEC_CREATED,
    SPEC_STARTED,
    SPEC_SEEN
};

static uint64_t limit(uint64_t v)
{
    return v == UINT64_MAX ? 0 : v;
}

/* Version 1 has no such thing here; 0 is "none", as it is for the other limits. */
static uint64_t reservation(const struct linux_resources *r)
{
    const char *low = kvs_get(&r->unified, "memory.low");

    return low && *low >= '0' && *low <= '9' ? strtoull(low, NULL, 10) : 0;
}

static void add_spec(struct metrics_out *o, unsigned which)
{
    const struct linux_resources *r =
        o->container ? o->container->resources : o->pod->pod.resources;
    nsec_t created = o->container ? o->container->created_at : o->pod->pod.created_at;
    nsec_t started = o->container ? o->container->started_at : created;
    const uint64_t values[] = {
        [SPEC_PERIOD] = r->cpu_period > 0 ? (uint64_t)r->cpu_period : CFS_PERIOD,
        [SPEC_QUOTA] = r->cpu_quota > 0 ? (uint64_t)r->cpu_quota : 0,
        [SPEC_SHARES] = r->cpu_shares > 0 ? (uint64_t)r->cpu_shares : SHARES_DEFAULT,
        [SPEC_MEMORY] = limit(o->stats->memory_limit),
        [SPEC_RESERVATION] = reservation(r),
        [SPEC_SWAP] = limit(o->stats->swap_limit),
        [SPEC_CREATED] = (uint64_t)created,
        [SPEC_STARTED] = (uint64_t)started,
        [SPEC_SEEN] = (uint64_t)o->stats->cpu_at,
    };

    if (which != SPEC_QUOTA || r->cpu_quota > 0)
        add(o, o->stats->cpu_at, values[which], NULL);
}

/* --------------------------------------------------------------------- rows */

#define COUNTER true
#define GAUGE   false
#define SPARE   true
#define VITAL   false
#define SECOND  ((uint64_t)NSEC_PER_SEC)
#define USEC    UINT64_C(1000000)

/* clang-format off */
const struct metric_row metric_rows[] = {
    {"container_last_seen", "Last time it was looked at, since unix epoch in seconds",
     GAUGE, ON_BOTH, {0}, add_spec, SPEC_SEEN, SECOND, VITAL},
    {"container_cpu_usage_seconds_total", "CPU time used, in seconds",
     COUNTER, ON_BOTH, {"cpu"}, add_stat, STAT_CPU, SECOND, VITAL},
    {"container_cpu_user_seconds_total", "CPU time used in user mode, in seconds",
     COUNTER, ON_BOTH, {0}, add_counter, USAGE_CPU_USER, SECOND, VITAL},
    {"container_cpu_system_seconds_total", "CPU time used in the kernel, in seconds",
     COUNTER, ON_BOTH, {0}, add_counter, USAGE_CPU_SYSTEM, SECOND, VITAL},
    {"container_cpu_cfs_periods_total", "Enforcement periods that have passed",
     COUNTER, ON_BOTH, {0}, add_counter, USAGE_CFS_PERIODS, 0, VITAL},
    {"container_cpu_cfs_throttled_periods_total", "Periods in which it was throttled",
     COUNTER, ON_BOTH, {0}, add_counter, USAGE_CFS_THROTTLED_PERIODS, 0, VITAL},
    {"container_cpu_cfs_throttled_seconds_total", "Time for which it was throttled, in seconds",
     COUNTER, ON_BOTH, {0}, add_counter, USAGE_CFS_THROTTLED, SECOND, VITAL},
    {"container_cpu_cfs_burst_periods_total", "Periods in which it used burst",
     COUNTER, ON_BOTH, {0}, add_counter, USAGE_CFS_BURSTS, 0, SPARE},
    {"container_cpu_cfs_burst_seconds_total", "Time that it got by burst, in seconds",
     COUNTER, ON_BOTH, {0}, add_counter, USAGE_CFS_BURST, SECOND, SPARE},
    {"container_memory_usage_bytes", "Memory in use, caches included, in bytes",
     GAUGE, ON_BOTH, {0}, add_stat, STAT_USAGE, 0, VITAL},
    {"container_memory_working_set_bytes", "Memory in use without inactive file pages, in bytes",
     GAUGE, ON_BOTH, {0}, add_stat, STAT_WORKING_SET, 0, VITAL},
    {"container_memory_rss", "Anonymous memory, in bytes",
     GAUGE, ON_BOTH, {0}, add_stat, STAT_RSS, 0, VITAL},
    {"container_memory_swap", "Swap in use, in bytes",
     GAUGE, ON_BOTH, {0}, add_stat, STAT_SWAP, 0, VITAL},
    {"container_memory_cache", "Page cache, in bytes",
     GAUGE, ON_BOTH, {0}, add_counter, USAGE_MEMORY_CACHE, 0, VITAL},
    {"container_memory_mapped_file", "Mapped files, in bytes",
     GAUGE, ON_BOTH, {0}, add_counter, USAGE_MEMORY_MAPPED, 0, SPARE},
    {"container_memory_kernel_usage", "Kernel memory, in bytes",
     GAUGE, ON_BOTH, {0}, add_counter, USAGE_MEMORY_KERNEL, 0, SPARE},
    {"container_memory_max_usage_bytes", "The most memory that was ever in use, in bytes",
     GAUGE, ON_BOTH, {0}, add_counter, USAGE_MEMORY_MAX, 0, SPARE},
    {"container_memory_failcnt", "How often the memory limit was hit",
     COUNTER, ON_BOTH, {0}, add_counter, USAGE_MEMORY_FAILCNT, 0, VITAL},
    {"container_memory_total_active_file_bytes", "Active file pages, in bytes",
     GAUGE, ON_BOTH, {0}, add_counter, USAGE_MEMORY_ACTIVE_FILE, 0, SPARE},
    {"container_memory_total_inactive_file_bytes", "Inactive file pages, in bytes",
     GAUGE, ON_BOTH, {0}, add_counter, USAGE_MEMORY_INACTIVE_FILE, 0, SPARE},
    {"container_memory_active_anon_bytes", "Active anonymous memory, in bytes",
     GAUGE, ON_BOTH, {0}, add_counter, USAGE_MEMORY_ACTIVE_ANON, 0, SPARE},
    {"container_memory_inactive_anon_bytes", "Inactive anonymous memory, in bytes",
     GAUGE, ON_BOTH, {0}, add_counter, USAGE_MEMORY_INACTIVE_ANON, 0, SPARE},
    {"container_memory_anon_thp_bytes", "Anonymous memory in huge pages, in bytes",
     GAUGE, ON_BOTH, {0}, add_counter, USAGE_MEMORY_ANON_THP, 0, SPARE},
    {"container_memory_shmem_thp_bytes", "Shared memory in huge pages, in bytes",
     GAUGE, ON_BOTH, {0}, add_counter, USAGE_MEMORY_SHMEM_THP, 0, SPARE},
    {"container_memory_file_thp_bytes", "File pages in huge pages, in bytes",
     GAUGE, ON_BOTH, {0}, add_counter, USAGE_MEMORY_FILE_THP, 0, SPARE},
    {"container_memory_file_dirty_bytes", "File pages not yet written back, in bytes",
     GAUGE, ON_BOTH, {0}, add_counter, USAGE_MEMORY_DIRTY, 0, SPARE},
    {"container_memory_file_writeback_bytes", "File pages being written back, in bytes",
     GAUGE, ON_BOTH, {0}, add_counter, USAGE_MEMORY_WRITEBACK, 0, SPARE},
    {"container_memory_pgscan_total", "Pages looked at by reclaim",
     COUNTER, ON_BOTH, {0}, add_counter, USAGE_MEMORY_PGSCAN, 0, SPARE},
    {"container_memory_pgsteal_total", "Pages reclaimed",
     COUNTER, ON_BOTH, {0}, add_counter, USAGE_MEMORY_PGSTEAL, 0, SPARE},
    {"container_memory_workingset_refault_file_total",
     "File pages that were evicted and needed again",
     COUNTER, ON_BOTH, {0}, add_counter, USAGE_MEMORY_REFAULT_FILE, 0, SPARE},
    {"container_memory_workingset_refault_anon_total",
     "Anonymous pages that were evicted and needed again",
     COUNTER, ON_BOTH, {0}, add_counter, USAGE_MEMORY_REFAULT_ANON, 0, SPARE},
    {"container_memory_events_high_total", "How often memory.high throttled it",
     COUNTER, ON_BOTH, {0}, add_counter, USAGE_MEMORY_EVENTS_HIGH, 0, SPARE},
    {"container_memory_events_max_total", "How often memory.max was hit",
     COUNTER, ON_BOTH, {0}, add_counter, USAGE_MEMORY_EVENTS_MAX, 0, SPARE},
    {"container_memory_failures_total", "Page faults",
     COUNTER, ON_BOTH, {"failure_type", "scope"}, add_failures, 0, 0, SPARE},
    {"container_oom_events_total", "Processes killed for want of memory",
     COUNTER, ON_BOTH, {0}, add_counter, USAGE_MEMORY_OOM_KILLS, 0, VITAL},
    {"container_hugetlb_usage_bytes", "Huge pages in use, in bytes",
     GAUGE, ON_BOTH, {"pagesize"}, add_pages, false, 0, SPARE},
    {"container_hugetlb_max_usage_bytes", "The most huge pages that were ever in use, in bytes",
     GAUGE, ON_BOTH, {"pagesize"}, add_pages, true, 0, SPARE},
    {"container_fs_usage_bytes", "Size of the writable layer, in bytes",
     GAUGE, ON_CONTAINER, {"device"}, add_layer, LAYER_USED, 0, VITAL},
    {"container_fs_limit_bytes", "Size of the filesystem that holds the writable layer, in bytes",
     GAUGE, ON_CONTAINER, {"device"}, add_layer, LAYER_LIMIT, 0, VITAL},
    {"container_fs_inodes_total", "Inodes of that filesystem",
     GAUGE, ON_CONTAINER, {"device"}, add_layer, LAYER_INODES, 0, SPARE},
    {"container_fs_inodes_free", "Free inodes of that filesystem",
     GAUGE, ON_CONTAINER, {"device"}, add_layer, LAYER_INODES_FREE, 0, SPARE},
    {"container_fs_reads_total", "Reads from block devices",
     COUNTER, ON_BOTH, {"device"}, add_disks, DISK_READS, 0, VITAL},
    {"container_fs_writes_total", "Writes to block devices",
     COUNTER, ON_BOTH, {"device"}, add_disks, DISK_WRITES, 0, VITAL},
    {"container_fs_reads_bytes_total", "Bytes read from block devices",
     COUNTER, ON_BOTH, {"device"}, add_disks, DISK_READ_BYTES, 0, VITAL},
    {"container_fs_writes_bytes_total", "Bytes written to block devices",
     COUNTER, ON_BOTH, {"device"}, add_disks, DISK_WRITTEN_BYTES, 0, VITAL},
    {"container_blkio_device_usage_total", "Bytes moved from and to block devices",
     COUNTER, ON_BOTH, {"device", "major", "minor", "operation"}, add_blkio, 0, 0, SPARE},
    {"container_network_receive_bytes_total", "Bytes received",
     COUNTER, ON_POD, {"interface"}, add_links, RX_BYTES, 0, VITAL},
    {"container_network_receive_packets_total", "Packets received",
     COUNTER, ON_POD, {"interface"}, add_links, RX_PACKETS, 0, VITAL},
    {"container_network_receive_errors_total", "Errors while receiving",
     COUNTER, ON_POD, {"interface"}, add_links, RX_ERRORS, 0, VITAL},
    {"container_network_receive_packets_dropped_total", "Packets dropped while receiving",
     COUNTER, ON_POD, {"interface"}, add_links, RX_DROPPED, 0, VITAL},
    {"container_network_transmit_bytes_total", "Bytes sent",
     COUNTER, ON_POD, {"interface"}, add_links, TX_BYTES, 0, VITAL},
    {"container_network_transmit_packets_total", "Packets sent",
     COUNTER, ON_POD, {"interface"}, add_links, TX_PACKETS, 0, VITAL},
    {"container_network_transmit_errors_total", "Errors while sending",
     COUNTER, ON_POD, {"interface"}, add_links, TX_ERRORS, 0, VITAL},
    {"container_network_transmit_packets_dropped_total", "Packets dropped while sending",
     COUNTER, ON_POD, {"interface"}, add_links, TX_DROPPED, 0, VITAL},
    {"container_processes", "Processes",
     GAUGE, ON_CONTAINER, {0}, add_counter, USAGE_PROCESSES, 0, VITAL},
    {"container_threads", "Threads",
     GAUGE, ON_BOTH, {0}, add_counter, USAGE_THREADS, 0, VITAL},
    {"container_threads_max", "The most threads that are allowed; 0: no limit",
     GAUGE, ON_BOTH, {0}, add_counter, USAGE_THREADS_MAX, 0, SPARE},
    {"container_file_descriptors", "Open file descriptors",
     GAUGE, ON_CONTAINER, {0}, add_counter, USAGE_FILES, 0, SPARE},
    {"container_sockets", "Open sockets",
     GAUGE, ON_CONTAINER, {0}, add_counter, USAGE_SOCKETS, 0, SPARE},
    {"container_ulimits_soft", "Soft limits of the first process",
     GAUGE, ON_CONTAINER, {"ulimit"}, add_files, USAGE_NOFILE, 0, SPARE},
    {"container_pressure_cpu_waiting_seconds_total",
     "Time in which some task waited for a CPU, in seconds",
     COUNTER, ON_BOTH, {0}, add_pressure, PSI_CPU, USEC, VITAL},
    {"container_pressure_cpu_stalled_seconds_total",
     "Time in which all tasks waited for a CPU, in seconds",
     COUNTER, ON_BOTH, {0}, add_pressure, PSI_CPU | PSI_FULL, USEC, SPARE},
    {"container_pressure_memory_waiting_seconds_total",
     "Time in which some task waited for memory, in seconds",
     COUNTER, ON_BOTH, {0}, add_pressure, PSI_MEMORY, USEC, VITAL},
    {"container_pressure_memory_stalled_seconds_total",
     "Time in which all tasks waited for memory, in seconds",
     COUNTER, ON_BOTH, {0}, add_pressure, PSI_MEMORY | PSI_FULL, USEC, SPARE},
    {"container_pressure_io_waiting_seconds_total",
     "Time in which some task waited for I/O, in seconds",
     COUNTER, ON_BOTH, {0}, add_pressure, PSI_IO, USEC, VITAL},
    {"container_pressure_io_stalled_seconds_total",
     "Time in which all tasks waited for I/O, in seconds",
     COUNTER, ON_BOTH, {0}, add_pressure, PSI_IO | PSI_FULL, USEC, SPARE},
    {"container_creation_time_seconds", "When it was made, since unix epoch in seconds",
     GAUGE, ON_BOTH, {0}, add_spec, SPEC_CREATED, SECOND, SPARE},
    {"container_start_time_seconds", "When it was started, since unix epoch in seconds",
     GAUGE, ON_BOTH, {0}, add_spec, SPEC_STARTED, SECOND, VITAL},
    {"container_spec_cpu_period", "CPU period, in microseconds",
     GAUGE, ON_CONTAINER, {0}, add_spec, SPEC_PERIOD, 0, VITAL},
    {"container_spec_cpu_quota", "CPU quota, in microseconds a period",
     GAUGE, ON_CONTAINER, {0}, add_spec, SPEC_QUOTA, 0, VITAL},
    {"container_spec_cpu_shares", "CPU shares",
     GAUGE, ON_CONTAINER, {0}, add_spec, SPEC_SHARES, 0, VITAL},
    {"container_spec_memory_limit_bytes", "Memory limit, in bytes; 0: none",
     GAUGE, ON_BOTH, {0}, add_spec, SPEC_MEMORY, 0, VITAL},
    {"container_spec_memory_reservation_limit_bytes",
     "Memory that is kept for it, in bytes; 0: none",
     GAUGE, ON_CONTAINER, {0}, add_spec, SPEC_RESERVATION, 0, SPARE},
    {"container_spec_memory_swap_limit_bytes", "Swap limit, in bytes; 0: none",
     GAUGE, ON_BOTH, {0}, add_spec, SPEC_SWAP, 0, SPARE},
};
/* clang-format on */
const size_t metric_rows_n = ARRAY_SIZE(metric_rows);

bool metric_is_of_v2(const struct metric_row *row)
{
    static const unsigned only[] = {USAGE_MEMORY_SHMEM_THP,   USAGE_MEMORY_FILE_THP,
                                    USAGE_MEMORY_PGSCAN,      USAGE_MEMORY_PGSTEAL,
                                    USAGE_MEMORY_EVENTS_HIGH, USAGE_MEMORY_EVENTS_MAX};

    for (size_t i = 0; row->add == add_counter && i < ARRAY_SIZE(only); i++)
        if (row->which == only[i])
            return true;
    return false;
}
