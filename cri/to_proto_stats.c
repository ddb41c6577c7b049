/* SPDX-License-Identifier: Apache-2.0 */
/*
 * to_proto_stats - samples as messages. A number that is not known is absent, never 0: clients
 * tell the two apart. What does not run has attributes, and a container its writable layer.
 */
#include "base/strbuf.h"
#include "cri/to_proto.h"

#define DEFAULT_INTERFACE "eth0" /* what a pod's own network is called in it */

static Runtime__V1__PodSandboxAttributes *pod_attributes(struct arena *arena,
                                                         const struct pod_view *view)
{
    const struct pod_spec *spec = view->spec;
    Runtime__V1__PodSandboxAttributes *new =
        PROTO_NEW(arena, Runtime__V1__PodSandboxAttributes, runtime__v1__pod_sandbox_attributes);

    new->id = arena_text(arena, view->id);
    new->metadata =
        PROTO_NEW(arena, Runtime__V1__PodSandboxMetadata, runtime__v1__pod_sandbox_metadata);
    new->metadata->name = arena_text(arena, spec->name);
    new->metadata->uid = arena_text(arena, spec->uid);
    new->metadata->namespace_ = arena_text(arena, spec->namespace_);
    new->metadata->attempt = spec->attempt;
    new->labels =
        proto_map(arena, &spec->labels,
                  &runtime__v1__pod_sandbox_attributes__labels_entry__descriptor, &new->n_labels);
    new->annotations = proto_map(
        arena, &spec->annotations,
        &runtime__v1__pod_sandbox_attributes__annotations_entry__descriptor, &new->n_annotations);
    return new;
}

static Runtime__V1__ContainerAttributes *attributes(struct arena *arena,
                                                    const struct container_view *view)
{
    const struct container_spec *spec = view->spec;
    Runtime__V1__ContainerAttributes *new =
        PROTO_NEW(arena, Runtime__V1__ContainerAttributes, runtime__v1__container_attributes);

    new->id = arena_text(arena, view->id);
    new->metadata =
        PROTO_NEW(arena, Runtime__V1__ContainerMetadata, runtime__v1__container_metadata);
    new->metadata->name = arena_text(arena, spec->name);
    new->metadata->attempt = spec->attempt;
    new->labels =
        proto_map(arena, &spec->labels,
                  &runtime__v1__container_attributes__labels_entry__descriptor, &new->n_labels);
    new->annotations = proto_map(arena, &spec->annotations,
                                 &runtime__v1__container_attributes__annotations_entry__descriptor,
                                 &new->n_annotations);
    return new;
}

/* The kernel counts microseconds, the API nanoseconds. */
static Runtime__V1__PsiData *psi_line(struct arena *arena, const struct pressure_line *line)
{
    Runtime__V1__PsiData *new = PROTO_NEW(arena, Runtime__V1__PsiData, runtime__v1__psi_data);

    if (__builtin_mul_overflow(line->total_usec, (uint64_t)NSEC_PER_USEC, &new->total))
        new->total = UINT64_MAX;
    new->avg10 = line->avg10;
    new->avg60 = line->avg60;
    new->avg300 = line->avg300;
    return new;
}

static Runtime__V1__PsiStats *psi(struct arena *arena, const struct pressure *pressure)
{
    if (!pressure->known)
        return NULL;
    Runtime__V1__PsiStats *new = PROTO_NEW(arena, Runtime__V1__PsiStats, runtime__v1__psi_stats);
    new->some = psi_line(arena, &pressure->some);
    new->full = psi_line(arena, &pressure->full);
    return new;
}

static Runtime__V1__CpuUsage *cpu(struct arena *arena, const struct container_stats *stats)
{
    Runtime__V1__CpuUsage *new = PROTO_NEW(arena, Runtime__V1__CpuUsage, runtime__v1__cpu_usage);

    new->timestamp = stats->cpu_at;
    new->usage_core_nano_seconds = proto_u64(arena, stats->cpu_nsec);
    if (stats->rate_known)
        new->usage_nano_cores = proto_u64(arena, stats->cpu_nano_cores);
    new->psi = psi(arena, &stats->cpu_pressure);
    return new;
}

static uint64_t left_of(uint64_t limit, uint64_t used)
{
    return limit > used ? limit - used : 0;
}

/* Without a limit nothing is said of what is available. */
static Runtime__V1__MemoryUsage *memory(struct arena *arena, const struct container_stats *stats)
{
    Runtime__V1__MemoryUsage *new =
        PROTO_NEW(arena, Runtime__V1__MemoryUsage, runtime__v1__memory_usage);

    new->timestamp = stats->memory_at;
    new->working_set_bytes = proto_u64(arena, stats->working_set);
    if (stats->memory_limit != UINT64_MAX)
        new->available_bytes = proto_u64(arena, left_of(stats->memory_limit, stats->working_set));
    new->usage_bytes = proto_u64(arena, stats->memory_usage);
    new->rss_bytes = proto_u64(arena, stats->rss);
    new->page_faults = proto_u64(arena, stats->page_faults);
    new->major_page_faults = proto_u64(arena, stats->major_page_faults);
    new->psi = psi(arena, &stats->memory_pressure);
    return new;
}

static Runtime__V1__SwapUsage *swap(struct arena *arena, const struct container_stats *stats)
{
    if (!stats->swap_known)
        return NULL;
    Runtime__V1__SwapUsage *new = PROTO_NEW(arena, Runtime__V1__SwapUsage, runtime__v1__swap_usage);
    new->timestamp = stats->memory_at;
    new->swap_usage_bytes = proto_u64(arena, stats->swap_usage);
    if (stats->swap_limit != UINT64_MAX)
        new->swap_available_bytes = proto_u64(arena, left_of(stats->swap_limit, stats->swap_usage));
    return new;
}

static Runtime__V1__IoUsage *io(struct arena *arena, const struct container_stats *stats)
{
    if (!stats->io_pressure.known)
        return NULL;
    Runtime__V1__IoUsage *new = PROTO_NEW(arena, Runtime__V1__IoUsage, runtime__v1__io_usage);
    new->timestamp = stats->cpu_at;
    new->psi = psi(arena, &stats->io_pressure);
    return new;
}

static Runtime__V1__FilesystemUsage *layer(struct arena *arena, const struct container_stats *stats)
{
    if (stats->layer_at == 0)
        return NULL;
    Runtime__V1__FilesystemUsage *new =
        PROTO_NEW(arena, Runtime__V1__FilesystemUsage, runtime__v1__filesystem_usage);
    new->timestamp = stats->layer_at;
    new->fs_id =
        PROTO_NEW(arena, Runtime__V1__FilesystemIdentifier, runtime__v1__filesystem_identifier);
    new->fs_id->mountpoint = arena_text(arena, stats->layer_dir);
    new->used_bytes = proto_u64(arena, stats->layer_bytes);
    new->inodes_used = proto_u64(arena, stats->layer_inodes);
    return new;
}

Runtime__V1__ContainerStats *container_stats_to_proto(struct arena *arena,
                                                      const struct container_stats_view *view)
{
    const struct container_stats *stats = &view->stats;
    Runtime__V1__ContainerStats *new =
        PROTO_NEW(arena, Runtime__V1__ContainerStats, runtime__v1__container_stats);

    new->attributes = attributes(arena, &view->container);
    new->writable_layer = layer(arena, stats);
    if (stats->cpu_at == 0)
        return new;
    new->cpu = cpu(arena, stats);
    new->memory = memory(arena, stats);
    new->swap = swap(arena, stats);
    new->io = io(arena, stats);
    return new;
}

/* ---------------------------------------------------------------------- pods */

static Runtime__V1__NetworkInterfaceUsage *interface(struct arena *arena,
                                                     const struct link_stats *link)
{
    Runtime__V1__NetworkInterfaceUsage *new =
        PROTO_NEW(arena, Runtime__V1__NetworkInterfaceUsage, runtime__v1__network_interface_usage);

    new->name = arena_text(arena, link->name);
    new->rx_bytes = proto_u64(arena, link->rx_bytes);
    new->rx_errors = proto_u64(arena, link->rx_errors);
    new->tx_bytes = proto_u64(arena, link->tx_bytes);
    new->tx_errors = proto_u64(arena, link->tx_errors);
    return new;
}

/* Clients take the default interface for granted: without one there is no network to speak of. */
static Runtime__V1__NetworkUsage *network(struct arena *arena, const struct pod_stats_view *view)
{
    Runtime__V1__NetworkUsage *new;
    const struct link_stats *first = NULL;

    for (size_t i = 0; i < view->n_links && !first; i++)
        if (str_eq(view->links[i].name, DEFAULT_INTERFACE))
            first = &view->links[i];
    if (!view->links_at || !first)
        return NULL;
    new = PROTO_NEW(arena, Runtime__V1__NetworkUsage, runtime__v1__network_usage);
    new->timestamp = view->links_at;
    new->default_interface = interface(arena, first);
    new->interfaces = ARENA_ARRAY(arena, Runtime__V1__NetworkInterfaceUsage *, view->n_links);
    for (size_t i = 0; i < view->n_links; i++)
        new->interfaces[new->n_interfaces++] = interface(arena, &view->links[i]);
    return new;
}

static Runtime__V1__ProcessUsage *processes(struct arena *arena, const struct pod_stats_view *view)
{
    Runtime__V1__ProcessUsage *new =
        PROTO_NEW(arena, Runtime__V1__ProcessUsage, runtime__v1__process_usage);

    new->timestamp = view->stats.cpu_at;
    new->process_count = proto_u64(arena, view->processes);
    return new;
}

Runtime__V1__PodSandboxStats *pod_stats_to_proto(struct arena *arena,
                                                 const struct pod_stats_view *view)
{
    Runtime__V1__PodSandboxStats *new =
        PROTO_NEW(arena, Runtime__V1__PodSandboxStats, runtime__v1__pod_sandbox_stats);
    Runtime__V1__LinuxPodSandboxStats *linux =
        PROTO_NEW(arena, Runtime__V1__LinuxPodSandboxStats, runtime__v1__linux_pod_sandbox_stats);

    new->attributes = pod_attributes(arena, &view->pod);
    new->linux = linux;
    linux->n_containers = view->n_containers;
    if (view->n_containers)
        linux->containers = ARENA_ARRAY(arena, Runtime__V1__ContainerStats *, view->n_containers);
    for (size_t i = 0; i < view->n_containers; i++)
        linux->containers[i] = container_stats_to_proto(arena, &view->containers[i]);
    linux->network = network(arena, view);
    if (view->stats.cpu_at == 0)
        return new;
    linux->cpu = cpu(arena, &view->stats);
    linux->memory = memory(arena, &view->stats);
    linux->process = processes(arena, view);
    linux->io = io(arena, &view->stats);
    return new;
}
