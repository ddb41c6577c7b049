/* SPDX-License-Identifier: Apache-2.0 */
/* Hostile bytes: what unfolds is bounded, what is no text is refused, and nothing crashes on any
 * request type. */
#include "base/tests/testing.h"

#include "base/strbuf.h"
#include "cri/handlers.h"

static ProtobufCMessage *unpack(const ProtobufCMessageDescriptor *type, const void *bytes,
                                size_t len, struct arena *arena, struct err *err)
{
    *err = ERR_INIT;
    return wire_unpack(type, bytes, len, arena, err);
}

#define REFUSED(type, bytes, want, part)                                                           \
    do {                                                                                           \
        struct arena arena_;                                                                       \
        struct err err_;                                                                           \
        arena_init(&arena_, ARENA_REQUEST_MAX_BYTES);                                              \
        assert_null(unpack(&(type), bytes, sizeof(bytes) - 1, &arena_, &err_));                    \
        if (err_.code != (want) || !strstr(err_.msg, part))                                        \
            fail_msg("got %s '%s'", err_code_name(err_.code), err_.msg);                           \
        arena_done(&arena_);                                                                       \
    } while (0)

static void test_strings(void **state)
{
    (void)state;
    REFUSED(runtime__v1__stop_container_request__descriptor,
            "\x0a\x03"
            "a\0b",
            ERR_INVALID, "container_id: contains a NUL");
    REFUSED(runtime__v1__stop_container_request__descriptor, "\x0a\x02\xc3\x28", ERR_INVALID,
            "container_id: not UTF-8");
    REFUSED(runtime__v1__stop_container_request__descriptor,
            "\x0a\x7f"
            "a",
            ERR_INVALID, "not a StopContainerRequest");
    /* config.metadata.name with a NUL: the path of the field is told */
    REFUSED(runtime__v1__run_pod_sandbox_request__descriptor,
            "\x0a\x06\x0a\x04\x0a\x02"
            "a\0",
            ERR_INVALID, "config: metadata: name");
    /* a repeated string: ExecSync's cmd */
    REFUSED(runtime__v1__exec_sync_request__descriptor,
            "\x12\x01"
            "a\x12\x01\xff",
            ERR_INVALID, "cmd: not UTF-8");
}

static void test_enums(void **state)
{
    (void)state;
    REFUSED(runtime__v1__list_pod_sandbox_request__descriptor, "\x0a\x04\x12\x02\x08\x05",
            ERR_INVALID, "filter: state: state: unknown value 5");
    REFUSED(runtime__v1__list_pod_sandbox_request__descriptor,
            "\x0a\x0d\x12\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", ERR_INVALID,
            "unknown value -1");
}

static void test_state_filter_survives(void **state)
{
    static const uint8_t ready[] = {0x0a, 0x02, 0x12, 0x00}; /* filter { state {} } */
    struct arena arena;
    struct err err;

    (void)state;
    arena_init(&arena, ARENA_REQUEST_MAX_BYTES);
    const Runtime__V1__ListPodSandboxRequest *request = (const void *)unpack(
        &runtime__v1__list_pod_sandbox_request__descriptor, ready, sizeof ready, &arena, &err);
    assert_non_null(request);
    assert_non_null(request->filter);
    assert_non_null(request->filter->state);
    arena_done(&arena);
}

/* Millions of elements of two bytes each must not become gigabytes. */
static void test_unfolding_is_bounded(void **state)
{
    size_t len = 15 * 1024 * 1024, inner = len - 5;
    uint8_t *bytes = xmalloc(len);
    struct arena arena;
    struct err err;

    (void)state;
    bytes[0] = 0x12; /* CreateContainerRequest.config */
    for (int i = 0; i < 4; i++)
        bytes[1 + i] = (uint8_t)((inner >> (7 * i)) & 0x7f) | (i < 3 ? 0x80 : 0);
    for (size_t i = 5; i + 1 < len; i += 2) {
        bytes[i] = 0x3a; /* mounts {} */
        bytes[i + 1] = 0;
    }
    arena_init(&arena, ARENA_REQUEST_MAX_BYTES);
    assert_null(
        unpack(&runtime__v1__create_container_request__descriptor, bytes, len, &arena, &err));
    assert_int_equal(err.code, ERR_EXHAUSTED);
    assert_true(arena.used <= ARENA_REQUEST_MAX_BYTES);
    arena_done(&arena);
    assert_null(unpack(&runtime__v1__create_container_request__descriptor, bytes,
                       WIRE_MESSAGE_MAX_BYTES + 1, &arena, &err));
    assert_int_equal(err.code, ERR_EXHAUSTED);
    free(bytes);
}

static void try_all(const uint8_t *bytes, size_t len)
{
    for (size_t m = 0; m < METHODS_N; m++) {
        struct arena arena;
        struct err err;
        arena_init(&arena, 1024 * 1024);
        const ProtobufCMessage *request = unpack(methods[m].request, bytes, len, &arena, &err);
        if (!request)
            assert_int_not_equal(err.code, ERR_NONE);
        if (request && request->descriptor == &runtime__v1__run_pod_sandbox_request__descriptor)
            pod_spec_free(pod_spec_from_proto((const void *)request, &err));
        if (request && request->descriptor == &runtime__v1__create_container_request__descriptor)
            container_spec_free(container_spec_from_proto((const void *)request, &err));
        arena_done(&arena);
    }
}

static uint32_t next_random(uint32_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 17;
    return *seed ^= *seed << 5;
}

static void test_noise(void **state)
{
    uint32_t seed = 20260101;
    uint8_t bytes[96];

    (void)state;
    for (int round = 0; round < 3000; round++) {
        size_t len = next_random(&seed) % sizeof bytes;
        for (size_t i = 0; i < len; i++) {
            uint32_t r =
                next_random(&seed); /* mostly small numbers: tags and lengths that nearly fit */
            bytes[i] = (uint8_t)(r % 4 ? r >> 8 & 0x3f : r >> 8);
        }
        try_all(bytes, len);
    }
}

/* A good request cut at every byte, and with every byte changed. */
static void test_mutations(void **state)
{
    Runtime__V1__RunPodSandboxRequest request = RUNTIME__V1__RUN_POD_SANDBOX_REQUEST__INIT;
    Runtime__V1__PodSandboxConfig config = RUNTIME__V1__POD_SANDBOX_CONFIG__INIT;
    Runtime__V1__PodSandboxMetadata metadata = RUNTIME__V1__POD_SANDBOX_METADATA__INIT;
    Runtime__V1__PodSandboxConfig__LabelsEntry
        label = RUNTIME__V1__POD_SANDBOX_CONFIG__LABELS_ENTRY__INIT,
        *labels[] = {&label};
    uint8_t bytes[256];

    (void)state;
    request.config = &config;
    config.metadata = &metadata;
    metadata.name = (char *)"name", metadata.uid = (char *)"uid",
    metadata.namespace_ = (char *)"ns";
    label.key = (char *)"k", label.value = (char *)"v";
    config.labels = labels, config.n_labels = 1;
    size_t len = protobuf_c_message_pack(&request.base, bytes);
    assert_true(len < sizeof bytes);
    for (size_t cut = 0; cut <= len; cut++)
        try_all(bytes, cut);
    for (size_t i = 0; i < len; i++)
        for (int bit = 0; bit < 8; bit++) {
            bytes[i] ^= (uint8_t)(1 << bit);
            try_all(bytes, len);
            bytes[i] ^= (uint8_t)(1 << bit);
        }
}

static void test_replies_are_text(void **state)
{
    struct arena arena;

    (void)state;
    arena_init(&arena, 0);
    assert_string_equal(arena_text(&arena, "gr\xc3\xbc\xc3\x9f\n"), "gr\xc3\xbc\xc3\x9f\n");
    assert_string_equal(arena_text(&arena, "a\xff"
                                           "b"),
                        "a?b");
    assert_string_equal(arena_text(&arena, NULL), "");
    char *big = arena_alloc(&arena, 1 << 20);
    assert_int_equal(arena_block_size(big), 1 << 20);
    assert_int_equal((uintptr_t)arena_alloc(&arena, 1) % 16, 0);
    arena_done(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_strings),
        cmocka_unit_test(test_enums),
        cmocka_unit_test(test_state_filter_survives),
        cmocka_unit_test(test_unfolding_is_bounded),
        cmocka_unit_test(test_noise),
        cmocka_unit_test(test_mutations),
        cmocka_unit_test(test_replies_are_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
