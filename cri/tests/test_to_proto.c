/* SPDX-License-Identifier: Apache-2.0 */
/* What clients get to see, and that it packs to what they can read. */
#include "base/tests/testing.h"

#include "cri/to_proto.h"

static void test_image_user(void **state)
{
    static const struct {
        const char *user;
        int64_t uid;
        const char *name;
    } rows[] = {
        {"", -1, ""},
        {"0", 0, ""},
        {"1003", 1003, ""},
        {"1003:1004", 1003, ""},
        {"www-data:1004", -1, "www-data"},
        {"www-data", -1, "www-data"},
        {"4294967294", 4294967294, ""},
        /* no uids: never to become root by wrapping around */
        {"4294967295", -1, "4294967295"},
        {"4294967296", -1, "4294967296"},
        {"18446744073709551616:0", -1, "18446744073709551616"},
        {"-1", -1, "-1"},
        {"0x0", -1, "0x0"},
        {":5", -1, ""},
    };
    char name[64], small[4];
    int64_t uid;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        image_user(rows[i].user, &uid, name, sizeof name);
        assert_int_equal(uid, rows[i].uid);
        assert_string_equal(name, rows[i].name);
    }
    image_user("100000", &uid, small, sizeof small); /* cut: not the uid 100 */
    assert_int_equal(uid, -1);
}

static void test_states(void **state)
{
    (void)state;
    assert_int_equal(pod_state_to_proto(POD_READY), RUNTIME__V1__POD_SANDBOX_STATE__SANDBOX_READY);
    assert_int_equal(pod_state_to_proto(POD_CREATING),
                     RUNTIME__V1__POD_SANDBOX_STATE__SANDBOX_NOTREADY);
    assert_int_equal(pod_state_to_proto(POD_STOPPING),
                     RUNTIME__V1__POD_SANDBOX_STATE__SANDBOX_NOTREADY);
    assert_int_equal(container_state_to_proto(CONTAINER_STARTING),
                     RUNTIME__V1__CONTAINER_STATE__CONTAINER_CREATED);
    assert_int_equal(container_state_to_proto(CONTAINER_STOPPING),
                     RUNTIME__V1__CONTAINER_STATE__CONTAINER_RUNNING);
    assert_int_equal(container_state_to_proto(CONTAINER_EXITED),
                     RUNTIME__V1__CONTAINER_STATE__CONTAINER_EXITED);
}

/* Pack and unpack, as a client would. */
static void *over_the_wire(const ProtobufCMessage *message)
{
    size_t len = protobuf_c_message_get_packed_size(message);
    uint8_t *bytes = xmalloc(len + 1);

    assert_int_equal(protobuf_c_message_pack(message, bytes), len);
    ProtobufCMessage *copy = protobuf_c_message_unpack(message->descriptor, NULL, len, bytes);
    free(bytes);
    assert_non_null(copy);
    return copy;
}

/* Two elements of a list with their last bytes set, as a client reads them. */
static ProtobufCMessage *as_list(const ProtobufCMessageDescriptor *type,
                                 struct piece *(*pack)(const void *view), const void *view,
                                 uint8_t first_state, uint8_t second_state)
{
    struct piece *piece = pack(view);
    uint8_t *bytes = xmalloc(2 * piece->len);

    assert_int_equal(piece->bytes[piece->len - 1], 0);
    memcpy(bytes, piece->bytes, piece->len);
    memcpy(bytes + piece->len, piece->bytes, piece->len);
    bytes[piece->len - 1] = first_state;
    bytes[2 * piece->len - 1] = second_state;

    ProtobufCMessage *list = protobuf_c_message_unpack(type, NULL, 2 * piece->len, bytes);

    free(bytes);
    piece_unref(piece);
    assert_non_null(list);
    assert_int_equal(list->n_unknown_fields, 0);
    return list;
}

static struct piece *pack_container(const void *view)
{
    return container_to_list(view);
}

static struct piece *pack_pod(const void *view)
{
    return pod_to_list(view);
}

static void check_pod_row(const struct pod_view *view)
{
    Runtime__V1__ListPodSandboxResponse *list =
        (void *)as_list(&runtime__v1__list_pod_sandbox_response__descriptor, pack_pod, view, 0, 1);

    assert_int_equal(list->n_items, 2);
    assert_string_equal(list->items[1]->id, "p1");
    assert_string_equal(list->items[1]->metadata->name, "web");
    assert_int_equal(list->items[1]->created_at, 12);
    assert_string_equal(list->items[1]->annotations[0]->value, "line\nline");
    assert_int_equal(list->items[0]->state, RUNTIME__V1__POD_SANDBOX_STATE__SANDBOX_READY);
    assert_int_equal(list->items[1]->state, RUNTIME__V1__POD_SANDBOX_STATE__SANDBOX_NOTREADY);
    protobuf_c_message_free_unpacked(&list->base, NULL);
}

static void test_pod(void **state)
{
    CLEANUP(pod_spec_free_cleanup) struct pod_spec *spec = pod_spec_new();
    struct pod_view view = {
        .id = "p1", .state = POD_READY, .created_at = 12, .spec = spec, .handler = "auto"};
    struct arena arena;

    (void)state;
    arena_init(&arena, 0);
    free(spec->name);
    spec->name = xstrdup("web");
    kvs_set(&spec->annotations, "a", "line\nline");
    spec->ns.network = NS_NODE;
    Runtime__V1__PodSandboxStatus *host = over_the_wire(&pod_status_to_proto(&arena, &view)->base);
    assert_non_null(host->network); /* present, but without an address */
    assert_string_equal(host->network->ip, "");
    assert_int_equal(host->linux->namespaces->options->network, RUNTIME__V1__NAMESPACE_MODE__NODE);
    assert_int_equal(host->linux->namespaces->options->userns_options->mode,
                     RUNTIME__V1__NAMESPACE_MODE__NODE);
    assert_string_equal(host->annotations[0]->value, "line\nline");
    assert_int_equal(host->created_at, 12);
    protobuf_c_message_free_unpacked(&host->base, NULL);
    check_pod_row(&view);
    (void)snprintf(view.ips[0], sizeof view.ips[0], "10.0.0.2");
    (void)snprintf(view.ips[1], sizeof view.ips[1], "fd00::2");
    view.n_ips = 2;
    Runtime__V1__PodSandboxStatus *both = over_the_wire(&pod_status_to_proto(&arena, &view)->base);
    assert_string_equal(both->network->ip, "10.0.0.2");
    assert_int_equal(both->network->n_additional_ips, 1);
    assert_string_equal(both->network->additional_ips[0]->ip, "fd00::2");
    protobuf_c_message_free_unpacked(&both->base, NULL);
    assert_non_null(strstr(pod_info_to_proto(&arena, &view), "\"state\":\"ready\""));
    arena_done(&arena);
}

static void check_row(const struct container_view *view)
{
    Runtime__V1__ListContainersResponse *list =
        (void *)as_list(&runtime__v1__list_containers_response__descriptor, pack_container, view,
                        RUNTIME__V1__CONTAINER_STATE__CONTAINER_EXITED,
                        RUNTIME__V1__CONTAINER_STATE__CONTAINER_CREATED);
    Runtime__V1__Container *row = list->containers[0];

    assert_int_equal(list->n_containers, 2);
    assert_int_equal(list->containers[1]->state, RUNTIME__V1__CONTAINER_STATE__CONTAINER_CREATED);
    assert_string_equal(row->id, "c1");
    assert_string_equal(row->pod_sandbox_id, "p1");
    assert_string_equal(row->image_id, "sha256:1");
    assert_string_equal(row->metadata->name, "name");
    assert_non_null(row->image);
    assert_int_equal(row->created_at, 1);
    assert_int_equal(row->state, RUNTIME__V1__CONTAINER_STATE__CONTAINER_EXITED);
    assert_int_equal(row->n_labels, 2);
    assert_string_equal(row->labels[1]->key, "k2");
    assert_string_equal(row->labels[1]->value, "");
    assert_int_equal(row->n_annotations, 1);
    assert_int_equal(row->base.n_unknown_fields, 0);
    protobuf_c_message_free_unpacked(&list->base, NULL);
}

static void test_container(void **state)
{
    CLEANUP(container_spec_free_cleanup) struct container_spec *spec = container_spec_new();
    static const int64_t groups[] = {5, 7};
    char *digests[] = {(char *)"host/b@sha256:2", NULL};
    struct image image = {.digests = digests};
    struct container_view view = {.id = "c1",
                                  .pod_id = "p1",
                                  .state = CONTAINER_RUNNING,
                                  .created_at = 1,
                                  .started_at = 2,
                                  .finished_at = 3,
                                  .exit_code = 9,
                                  .spec = spec,
                                  .resources = &spec->resources,
                                  .image_id = "sha256:1",
                                  .image_ref = "host/b:1",
                                  .log_path = "/l/c/0.log",
                                  .reason = "Error",
                                  .user = 5,
                                  .group = 5,
                                  .groups = groups,
                                  .n_groups = 2};
    struct arena arena;

    (void)state;
    arena_init(&arena, 0);
    free(spec->name);
    spec->name = xstrdup("name");
    kvs_set(&spec->labels, "k1", "v1");
    kvs_set(&spec->labels, "k2", "");
    kvs_set(&spec->annotations, "a", "b");
    spec->mounts = xcalloc(1, sizeof *spec->mounts);
    spec->n_mounts = 1;
    spec->mounts[0] = (struct mount_spec){.container_path = xstrdup("/c"),
                                          .host_path = xstrdup("/h"),
                                          .image = xstrdup(""),
                                          .image_sub_path = xstrdup(""),
                                          .readonly = true,
                                          .propagation = MOUNT_BIDIRECTIONAL};
    spec->resources.cpu_shares = 512;
    Runtime__V1__ContainerStatus *run =
        over_the_wire(&container_status_to_proto(&arena, &view, &image)->base);
    assert_int_equal(run->state, RUNTIME__V1__CONTAINER_STATE__CONTAINER_RUNNING);
    assert_int_equal(run->started_at, 2);
    assert_int_equal(run->finished_at, 0);
    assert_int_equal(run->exit_code, 0);
    assert_string_equal(run->image_id, "sha256:1");
    assert_string_equal(run->image_ref, "host/b@sha256:2");
    assert_string_equal(run->image->image, "host/b:1");
    assert_int_equal(run->n_mounts, 1);
    assert_true(run->mounts[0]->readonly);
    assert_int_equal(run->mounts[0]->propagation,
                     RUNTIME__V1__MOUNT_PROPAGATION__PROPAGATION_BIDIRECTIONAL);
    assert_null(run->mounts[0]->image);
    assert_int_equal(run->resources->linux->cpu_shares, 512);
    assert_int_equal(run->user->linux->n_supplemental_groups, 2);
    assert_int_equal(run->user->linux->supplemental_groups[1], 7);
    protobuf_c_message_free_unpacked(&run->base, NULL);
    view.state = CONTAINER_EXITED;
    view.user = -1;
    Runtime__V1__ContainerStatus *end =
        over_the_wire(&container_status_to_proto(&arena, &view, NULL)->base);
    assert_int_equal(end->exit_code, 9);
    assert_int_equal(end->finished_at, 3);
    assert_string_equal(end->reason, "Error");
    assert_string_equal(end->image_ref, "sha256:1"); /* the image is gone */
    assert_null(end->user);
    protobuf_c_message_free_unpacked(&end->base, NULL);
    check_row(&view);
    arena_done(&arena);
}

/* What is not known is absent; what is known keeps its unit. */
static void test_stats(void **state)
{
    CLEANUP(container_spec_free_cleanup) struct container_spec *spec = container_spec_new();
    struct container_stats_view view = {.container = {.id = "c1", .spec = spec}};
    struct container_stats *stats = &view.stats;
    struct arena arena;

    (void)state;
    kvs_set(&spec->labels, "a", "b");
    stats->memory_limit = 50;
    stats->memory_usage = 70;
    stats->working_set = 60; /* over its limit for a moment */
    arena_init(&arena, 0);
    Runtime__V1__ContainerStats *idle =
        over_the_wire(&container_stats_to_proto(&arena, &view)->base);
    assert_string_equal(idle->attributes->id, "c1");
    assert_string_equal(idle->attributes->labels[0]->value, "b");
    assert_null(idle->cpu);
    assert_null(idle->memory);
    assert_null(idle->writable_layer);

    stats->cpu_at = 5;
    stats->memory_at = 6;
    stats->io_pressure = (struct pressure){.known = true, .some = {.avg10 = 1.5, .total_usec = 7}};
    stats->layer_at = 8;
    stats->layer_bytes = 9;
    stats->layer_dir = "/x";
    Runtime__V1__ContainerStats *busy =
        over_the_wire(&container_stats_to_proto(&arena, &view)->base);
    assert_int_equal(busy->cpu->timestamp, 5);
    assert_int_equal(busy->cpu->usage_core_nano_seconds->value, 0);
    assert_null(busy->cpu->usage_nano_cores);
    assert_null(busy->cpu->psi);
    assert_int_equal(busy->memory->available_bytes->value, 0);
    assert_int_equal(busy->memory->usage_bytes->value, 70);
    assert_null(busy->swap);
    assert_true(busy->io->psi->some->avg10 > 1.4);
    assert_int_equal(busy->io->psi->some->total, 7000);
    assert_int_equal(busy->writable_layer->used_bytes->value, 9);
    assert_string_equal(busy->writable_layer->fs_id->mountpoint, "/x");

    stats->memory_limit = UINT64_MAX;
    stats->rate_known = true;
    stats->swap_known = true;
    stats->swap_usage = 1;
    stats->swap_limit = 3;
    Runtime__V1__ContainerStats *more =
        over_the_wire(&container_stats_to_proto(&arena, &view)->base);
    assert_null(more->memory->available_bytes);
    assert_int_equal(more->cpu->usage_nano_cores->value, 0);
    assert_int_equal(more->swap->swap_available_bytes->value, 2);
    arena_done(&arena);
    runtime__v1__container_stats__free_unpacked(idle, NULL);
    runtime__v1__container_stats__free_unpacked(busy, NULL);
    runtime__v1__container_stats__free_unpacked(more, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_image_user), cmocka_unit_test(test_states),
        cmocka_unit_test(test_pod), cmocka_unit_test(test_container), cmocka_unit_test(test_stats)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
