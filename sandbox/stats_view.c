/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stats_view - see stats_private.h: answers. They come from memory; what has no sample, or an old
 * one, is looked at on the caller's own thread first, and so is everything where few are asked for.
 */
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>

#include "base/strbuf.h"
#include "sandbox/stats_private.h"

#define FIRST_LAYER_TIMEOUT (10 * NSEC_PER_MSEC)
#define STALE_PERIODS       2 /* a sample older than that is made anew before it is shown */
#define FEW                 16
#define FEW_AGE             (500 * NSEC_PER_MSEC)
#define NAMED_DEVICES       16 /* remembered while one answer is made */

/* The names of devices, looked up once an answer. */
struct names {
    struct usage_device v[NAMED_DEVICES];
    size_t n;
};

static void name_devices(struct names *names, struct usage_detail *detail)
{
    for (size_t i = 0; detail && i < detail->n_devices; i++) {
        struct usage_device *d = &detail->devices[i];
        size_t k = 0;

        while (k < names->n && (names->v[k].major != d->major || names->v[k].minor != d->minor))
            k++;
        if (k == NAMED_DEVICES) {
            usage_name_device(d);
            continue;
        }
        if (k == names->n) {
            names->v[k] = *d;
            usage_name_device(&names->v[names->n++]);
        }
        memcpy(d->name, names->v[k].name, sizeof(d->name));
    }
}

static nsec_t max_age(const struct stats *s, size_t n)
{
    return n <= FEW ? FEW_AGE : STALE_PERIODS * s->engine->config->stats_period;
}

static void *copy(const void *from, size_t n, size_t size)
{
    void *to = xcalloc(n + 1, size);

    if (from && n)
        memcpy(to, from, n * size);
    return to;
}

/* ---------------------------------------------------------------- containers */

/* What a view shows of its container's sample. Returns: false when a better one should be made
 * first. */
static bool container_from_memory(struct stats *s, enum usage_depth depth, nsec_t age,
                                  struct container_stats_view *view)
{
    bool running = container_runs(view->container.state), detailed = depth == USAGE_DETAIL, fresh;
    nsec_t now = clock_mono();

    free(view->detail);
    view->detail = NULL;
    mutex_lock(&s->lock);

    const struct sample *sample = sample_find(s, view->container.id);

    fresh = !running || (sample && sample->at && now - sample->at < age &&
                         (!detailed || (sample->detail && now - sample->detail_at < age)));
    view->stats = sample ? sample->stats : (struct container_stats){0};
    if (running && detailed && sample && sample->detail)
        view->detail = copy(sample->detail, 1, sizeof(*view->detail));
    mutex_unlock(&s->lock);
    if (!running)
        view->stats.cpu_at = view->stats.memory_at = 0;
    view->stats.layer_dir = s->engine->rootfs_dir;
    return fresh;
}

/* The size of a young container's layer is known at once, too; one that takes longer to walk waits
 * for its round. */
static void first_layer(struct stats *s, enum usage_depth depth, nsec_t age,
                        struct container_stats_view *view)
{
    if (depth != USAGE_DETAIL || view->stats.layer_at ||
        !sample_layer_is_due(s, view->container.hold))
        return;
    sample_layer(s, view->container.hold, FIRST_LAYER_TIMEOUT);
    (void)container_from_memory(s, depth, age, view);
}

/* The views of containers are taken over. */
static void fill(struct stats *s, enum usage_depth depth, struct container_view *containers,
                 size_t n, struct container_stats_view *views)
{
    struct names names = {.n = 0};
    nsec_t age = max_age(s, n);

    for (size_t i = 0; i < n; i++) {
        const struct container *c = containers[i].hold;

        views[i].container = containers[i];
        if (!container_from_memory(s, depth, age, &views[i])) {
            sample_take(
                s, &(struct target){.id = c->id, .cgroup = c->cgroup, .root = containers[i].pid},
                depth);
            (void)container_from_memory(s, depth, age, &views[i]);
        }
        first_layer(s, depth, age, &views[i]);
        name_devices(&names, views[i].detail);
    }
    if (n)
        stats_asked(s, depth);
}

static size_t list_containers(struct engine *engine, const struct list_filter *filter,
                              enum usage_depth depth, struct container_stats_view **ret)
{
    struct container_view *containers;
    size_t n = container_list(engine, filter, &containers);

    *ret = xcalloc(n + 1, sizeof(**ret));
    fill(engine->stats, depth, containers, n, *ret);
    free(containers);
    return n;
}

size_t container_stats_list(struct engine *engine, const struct list_filter *filter,
                            struct container_stats_view **ret)
{
    return list_containers(engine, filter, USAGE_BRIEF, ret);
}

int container_stats_get(struct engine *engine, const char *id, struct container_stats_view **ret,
                        struct err *err)
{
    struct container_view container;

    if (container_get(engine, id, &container, err) < 0)
        return -1;
    *ret = xcalloc(1, sizeof(**ret));
    fill(engine->stats, USAGE_BRIEF, &container, 1, *ret);
    return 0;
}

static void container_done(struct container_stats_view *view)
{
    container_view_done(&view->container);
    free(view->detail);
}

void container_stats_views_free(struct container_stats_view *views, size_t n)
{
    for (size_t i = 0; i < n; i++)
        container_done(&views[i]);
    free(views);
}

/* ---------------------------------------------------------------------- pods */

enum look { LOOK_NOT, LOOK_GROUP = 1, LOOK_LINKS = 2 };

/* As above. Returns: what should be looked at first. */
static unsigned pod_from_memory(struct stats *s, enum usage_depth depth, nsec_t age,
                                struct pod_stats_view *view)
{
    bool detailed = depth == USAGE_DETAIL, linked = *view->pod.netns;
    nsec_t now = clock_mono();
    unsigned look = LOOK_NOT;

    if (view->pod.state != POD_READY)
        return LOOK_NOT;
    free(view->detail);
    free(view->links);
    view->detail = NULL;
    view->links = NULL;
    mutex_lock(&s->lock);

    const struct sample *sample = sample_find(s, view->pod.id);

    if (!sample || !sample->at || now - sample->at >= age ||
        (detailed && (!sample->detail || now - sample->detail_at >= age)))
        look |= LOOK_GROUP;
    if (linked && (!sample || !sample->links || now - sample->links_at >= age))
        look |= LOOK_LINKS;
    if (sample) {
        view->stats = sample->stats;
        view->processes = sample->processes;
        view->links_at = sample->links_wall;
        view->n_links = sample->n_links;
        view->links = copy(sample->links, sample->n_links, sizeof(*view->links));
        if (detailed && sample->detail)
            view->detail = copy(sample->detail, 1, sizeof(*view->detail));
    }
    mutex_unlock(&s->lock);
    return look;
}

/* Groups one after the other, then all networks at once. */
static void fill_pods(struct stats *s, enum usage_depth depth, struct pod_stats_view *views,
                      size_t n)
{
    autofree const struct pod **unseen = xcalloc(n + 1, sizeof(struct pod *));
    autofree bool *looked = xcalloc(n + 1, sizeof(*looked));
    struct names names = {.n = 0};
    nsec_t age = max_age(s, n);
    size_t n_unseen = 0;

    for (size_t i = 0; i < n; i++) {
        const struct pod *pod = views[i].pod.hold;
        unsigned look = pod_from_memory(s, depth, age, &views[i]);

        looked[i] = look != LOOK_NOT;
        if (look & LOOK_GROUP)
            sample_take(s, &(struct target){.id = pod->id, .cgroup = pod->cgroup, .pod = true},
                        depth);
        if (look & LOOK_LINKS)
            unseen[n_unseen++] = pod;
    }
    if (n_unseen)
        sample_links(s, unseen, n_unseen);
    for (size_t i = 0; i < n; i++) {
        if (looked[i])
            (void)pod_from_memory(s, depth, age, &views[i]);
        name_devices(&names, views[i].detail);
    }
    if (n)
        stats_asked(s, depth);
}

/* The containers go to their pods; what belongs to none of them is let go. Both are newest first,
 * so each pod gets its own in order. */
static void hand_out(struct pod_stats_view *pods, size_t n_pods, struct container_stats_view *all,
                     size_t n_all)
{
    struct idmap by_id = {0};

    for (size_t i = 0; i < n_pods; i++)
        idmap_put(&by_id, pods[i].pod.id, &pods[i]);
    for (size_t i = 0; i < n_all; i++) {
        struct pod_stats_view *pod = idmap_get(&by_id, all[i].container.pod_id);

        if (pod)
            pod->n_containers++;
    }
    for (size_t i = 0; i < n_pods; i++) {
        pods[i].containers = xcalloc(pods[i].n_containers + 1, sizeof(*pods[i].containers));
        pods[i].n_containers = 0;
    }
    for (size_t i = 0; i < n_all; i++) {
        struct pod_stats_view *pod = idmap_get(&by_id, all[i].container.pod_id);

        if (pod)
            pod->containers[pod->n_containers++] = all[i];
        else
            container_done(&all[i]);
    }
    idmap_done(&by_id);
}

/* Takes the views of pods over. */
static struct pod_stats_view *make_pods(struct engine *engine, enum usage_depth depth,
                                        struct pod_view *pods, size_t n,
                                        const struct list_filter *of)
{
    struct pod_stats_view *views = xcalloc(n + 1, sizeof(*views));
    struct container_stats_view *all = NULL;
    size_t n_all = n ? list_containers(engine, of, depth, &all) : 0;

    for (size_t i = 0; i < n; i++)
        views[i].pod = pods[i];
    hand_out(views, n, all, n_all);
    free(all);
    fill_pods(engine->stats, depth, views, n);
    return views;
}

size_t pod_stats_list(struct engine *engine, const struct list_filter *filter,
                      enum usage_depth depth, struct pod_stats_view **ret)
{
    const struct list_filter containers = {.state = -1};
    struct list_filter ready = filter ? *filter : (struct list_filter){0};
    struct pod_view *pods;
    size_t n;

    ready.state = 0;
    n = pod_list(engine, &ready, &pods);
    *ret = make_pods(engine, depth, pods, n, &containers);
    free(pods);
    return n;
}

int pod_stats_get(struct engine *engine, const char *id, struct pod_stats_view **ret,
                  struct err *err)
{
    const struct list_filter containers = {.pod_id = id, .state = -1};
    struct pod_view pod;

    if (pod_get(engine, id, &pod, err) < 0)
        return -1;
    *ret = make_pods(engine, USAGE_PODS, &pod, 1, &containers);
    return 0;
}

void pod_stats_views_free(struct pod_stats_view *views, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        container_stats_views_free(views[i].containers, views[i].n_containers);
        pod_view_done(&views[i].pod);
        free(views[i].detail);
        free(views[i].links);
    }
    free(views);
}

static void look_at_filesystem(struct layers_usage *u)
{
    struct usage_device device;
    struct statvfs fs;
    struct stat st;

    if (statvfs(u->dir, &fs) == 0) {
        u->limit_bytes = (uint64_t)fs.f_blocks * fs.f_frsize;
        u->inodes_total = fs.f_files;
        u->inodes_free = fs.f_ffree;
    }
    if (stat(u->dir, &st) == 0) {
        device = (struct usage_device){.major = major(st.st_dev), .minor = minor(st.st_dev)};
        usage_name_device(&device);
        memcpy(u->device, device.name, sizeof(u->device));
    }
}

void engine_layers_usage(struct engine *engine, struct layers_usage *ret)
{
    struct stats *s = engine->stats;
    const struct sample *sample;

    *ret = (struct layers_usage){.at = clock_wall(), .dir = engine->rootfs_dir};
    look_at_filesystem(ret);
    mutex_lock(&s->lock);
    TAILQ_FOREACH (sample, &s->samples, link) {
        ret->bytes += sample->stats.layer_bytes;
        ret->inodes += sample->stats.layer_inodes;
    }
    mutex_unlock(&s->lock);
}
