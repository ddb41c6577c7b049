/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stats_private - what the three files of the sampler share: stats.c decides when to look,
 * stats_sample.c looks and keeps, stats_view.c answers.
 *
 * A sample belongs to a container or to a pod; ids of both are in one map. `struct stats` has a
 * lock of its own, held for memory work only and never together with the engine's.
 */
#ifndef UNICRI_SANDBOX_STATS_PRIVATE_H
#define UNICRI_SANDBOX_STATS_PRIVATE_H

#include "sandbox/container.h"
#include "sandbox/stats.h"

#define USAGE_DEPTHS 3

struct sample {
    char id[ID_LEN + 1];
    struct container_stats stats;
    nsec_t at;      /* monotonic, of cpu and memory; 0: none */
    nsec_t base_at; /* the older sample of the rate; 0: none */
    uint64_t base_cpu;
    deadline_t layer_due;
    uint64_t processes;
    struct usage_detail *detail; /* owned; NULL: nobody asked */
    nsec_t detail_at;            /* monotonic */
    struct link_stats *links;    /* owned */
    size_t n_links;
    nsec_t links_at, links_wall; /* monotonic and wall clock; 0: none */
    uint64_t round;              /* the last that met it */
    TAILQ_ENTRY(sample) link;
};
TAILQ_HEAD(sample_head, sample);

struct stats {
    struct engine *engine;
    struct mutex lock; /* of all below */
    struct idmap by_id;
    struct sample_head samples;
    uint64_t round;                /* number of the last that began */
    nsec_t round_at;               /* monotonic, when it began; 0: never */
    nsec_t asked_at[USAGE_DEPTHS]; /* monotonic; 0: never */
    bool round_waits;              /* begun and not ended, or about to begin */
    bool layers_waits;
    bool refresh_waits; /* a timer runs */
};

/* What is looked at: the control group of a container or a pod. */
struct target {
    const char *id, *cgroup;
    bool pod;
    pid_t root; /* of a container, for its limits; 0: unknown */
};

static inline bool container_runs(enum container_state state)
{
    return state == CONTAINER_RUNNING || state == CONTAINER_STOPPING;
}

/* stats.c */
/** stats_asked() - somebody wants samples that deep: go on with the rounds, and make newer ones
 * soon. */
void stats_asked(struct stats *s, enum usage_depth depth);

/* stats_sample.c */
/** sample_find() - NULL when there is none. Under s->lock, as is the next. */
struct sample *sample_find(struct stats *s, const char *id);
/** sample_touch() - the sample of `id`, made when it is not there, as met in this round. */
struct sample *sample_touch(struct stats *s, const char *id);
/** sample_take() - look now. Reads without the lock. */
void sample_take(struct stats *s, const struct target *target, enum usage_depth depth);
/** sample_links() - the interfaces of these pods, as many as have a namespace. */
void sample_links(struct stats *s, const struct pod *const *pods, size_t n);
/** sample_layer() - the writable layer of a container that has a sample; `timeout` for the walk. */
void sample_layer(struct stats *s, struct container *c, nsec_t timeout);
/** sample_layer_is_due() - has it not been looked at for long enough? False without a sample. */
bool sample_layer_is_due(struct stats *s, const struct container *c);
/** samples_forget() - those that no round has met since `round`; 0: none is left. */
void samples_forget(struct stats *s, uint64_t round);

#endif
