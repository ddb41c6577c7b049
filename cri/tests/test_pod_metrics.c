/* SPDX-License-Identifier: Apache-2.0 */
/* Metrics of pods: what fits into one reply, and that every metric has its descriptor. */
#include "base/tests/testing.h"

#include "cri/pod_metrics.h"

#define CONTAINERS 12

static const struct linux_resources no_resources;
static const struct container_spec container_spec = {.name = (char *)"container",
                                                     .image = (char *)"image"};
static const struct pod_spec pod_spec = {.name = (char *)"pod", .namespace_ = (char *)"namespace"};
static const struct layers_usage layers = {.at = 1, .dir = "/layers", .device = "/dev/vda"};

/* As in a kubelet's tree. */
static const char cgroup[] = "/kubepods/burstable/pod00000000-1111-2222-3333-444444444444";

static struct usage_detail *make_detail(void)
{
    struct usage_detail *d = XNEW(struct usage_detail);

    for (int i = 0; i < USAGE_COUNTERS; i++) {
        d->v[i] = UINT64_MAX - (uint64_t)i;
        d->known |= UINT64_C(1) << i;
    }
    d->n_devices = 1;
    d->devices[0] = (struct usage_device){.major = 254, .name = "/dev/vda"};
    return d;
}

static const struct container_stats used = {.cpu_at = 5,
                                            .cpu_nsec = 6,
                                            .memory_at = 7,
                                            .memory_limit = UINT64_MAX,
                                            .swap_limit = UINT64_MAX};

static struct pod_stats_view *make_pods(size_t n)
{
    struct pod_stats_view *pods = xcalloc(n, sizeof(*pods));

    for (size_t i = 0; i < n; i++) {
        struct pod_stats_view *p = &pods[i];

        (void)snprintf(p->pod.id, sizeof(p->pod.id), "%064zx", i);
        p->pod.spec = &pod_spec;
        p->pod.resources = &no_resources;
        (void)snprintf(p->pod.cgroup, sizeof(p->pod.cgroup), "%s", cgroup);
        p->stats = used;
        p->detail = make_detail();
        p->containers = xcalloc(CONTAINERS, sizeof(*p->containers));
        p->n_containers = CONTAINERS;
        for (size_t j = 0; j < CONTAINERS; j++) {
            struct container_stats_view *c = &p->containers[j];

            (void)snprintf(c->container.id, sizeof(c->container.id), "%064zx", i << 8 | j);
            c->container.spec = &container_spec;
            c->container.resources = &no_resources;
            c->stats = used;
            c->detail = make_detail();
        }
    }
    return pods;
}

static void free_pods(struct pod_stats_view *pods, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < pods[i].n_containers; j++)
            free(pods[i].containers[j].detail);
        free(pods[i].containers);
        free(pods[i].detail);
    }
    free(pods);
}

static bool has(const Runtime__V1__PodSandboxMetrics *pod, const char *name)
{
    for (size_t i = 0; i < pod->n_metrics; i++)
        if (strcmp(pod->metrics[i]->name, name) == 0)
            return true;
    return false;
}

/* Returns: bytes on the wire. */
static size_t list(const struct pod_stats_view *pods, size_t n, size_t max, bool *ret_brief)
{
    Runtime__V1__ListPodSandboxMetricsResponse reply;
    struct arena arena;
    struct err err = ERR_INIT;

    arena_init(&arena, 0);
    runtime__v1__list_pod_sandbox_metrics_response__init(&reply);
    assert_ok(pod_metrics_list(&arena, pods, n, &layers, max, &reply, &err), err);
    assert_int_equal(reply.n_pod_metrics, n);
    *ret_brief = !has(reply.pod_metrics[0], "container_memory_failures_total");
    for (size_t i = 0; i < n; i++) {
        const Runtime__V1__PodSandboxMetrics *p = reply.pod_metrics[i];

        assert_int_equal(p->n_container_metrics, CONTAINERS);
        assert_true(has(p, "container_cpu_usage_seconds_total"));
        assert_true(has(p, "container_memory_working_set_bytes"));
        /* of all pods alike */
        assert_int_equal(has(p, "container_memory_failures_total"), !*ret_brief);
    }

    size_t size = protobuf_c_message_get_packed_size(&reply.base);

    arena_done(&arena);
    return size;
}

static void all_or_what_counts(void **state)
{
    enum { N = 5 };
    struct pod_stats_view *pods = make_pods(N);
    Runtime__V1__ListPodSandboxMetricsResponse reply;
    size_t whole, less;
    struct arena arena;
    struct err err;
    bool brief;

    (void)state;
    whole = list(pods, N, POD_METRICS_MAX_BYTES, &brief);
    assert_false(brief);
    less = list(pods, N, whole - 1, &brief);
    assert_true(brief);
    assert_in_range(less, 1, whole * 6 / 10); /* it is worth it */
    assert_int_equal(list(pods, N, less + N * 8, &brief), less);
    assert_true(brief);

    arena_init(&arena, 0);
    runtime__v1__list_pod_sandbox_metrics_response__init(&reply);
    assert_err(pod_metrics_list(&arena, pods, N, &layers, less - 1, &reply, &err), err,
               ERR_EXHAUSTED, "StreamPodSandboxMetrics");
    arena_done(&arena);
    free_pods(pods, N);
}

/* More than a kubelet takes, if it were all: 1,000 containers. */
static void a_full_node(void **state)
{
    enum { N = 1000 / CONTAINERS + 1 };
    struct pod_stats_view *pods = make_pods(N);
    bool brief;

    (void)state;
    assert_in_range(list(pods, N, POD_METRICS_MAX_BYTES, &brief), 1, POD_METRICS_MAX_BYTES);
    assert_true(brief);
    free_pods(pods, N);
}

static void nothing(void **state)
{
    Runtime__V1__ListPodSandboxMetricsResponse reply;
    struct arena arena;
    struct err err = ERR_INIT;

    (void)state;
    arena_init(&arena, 0);
    runtime__v1__list_pod_sandbox_metrics_response__init(&reply);
    assert_ok(pod_metrics_list(&arena, NULL, 0, &layers, 1, &reply, &err), err);
    assert_int_equal(reply.n_pod_metrics, 0);
    arena_done(&arena);
}

static const Runtime__V1__MetricDescriptor *find(Runtime__V1__MetricDescriptor **all, size_t n,
                                                 const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(all[i]->name, name) == 0)
            return all[i];
    return NULL;
}

static void descriptors_fit(void **state)
{
    struct pod_stats_view *pods = make_pods(1);
    struct arena arena;
    size_t n;

    (void)state;
    arena_init(&arena, 0);
    Runtime__V1__MetricDescriptor **all = metric_descriptors(&arena, true, &n);
    Runtime__V1__PodSandboxMetrics *pod = pod_metrics_to_proto(&arena, &pods[0], &layers, false);

    for (size_t i = 0; i < n; i++)
        assert_ptr_equal(find(all, n, all[i]->name), all[i]); /* no name twice */
    for (size_t i = 0; i < pod->n_metrics; i++) {
        const Runtime__V1__Metric *m = pod->metrics[i];
        const Runtime__V1__MetricDescriptor *d = find(all, n, m->name);

        if (!d || d->n_label_keys != m->n_label_values || !m->value || !m->timestamp)
            fail_msg("%s does not fit its descriptor", m->name);
    }
    arena_done(&arena);
    free_pods(pods, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_or_what_counts),
        cmocka_unit_test(a_full_node),
        cmocka_unit_test(nothing),
        cmocka_unit_test(descriptors_fit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
