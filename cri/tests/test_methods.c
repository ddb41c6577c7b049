/* SPDX-License-Identifier: Apache-2.0 */
/* The method table against the definition of the API, and error codes against gRPC's. */
#include "base/tests/testing.h"

#include "base/strbuf.h"
#include "cri/grpc_status.h"
#include "cri/handlers.h"
#include "cri/rpc_metrics.h"
#include "cri/tests/fake.h"

static size_t check_service(const ProtobufCServiceDescriptor *service)
{
    for (unsigned i = 0; i < service->n_methods; i++) {
        autofree char *path = xasprintf("/%s/%s", service->name, service->methods[i].name);
        const struct method *method = method_find(path, strlen(path));
        if (!method)
            fail_msg("%s is not in the table", path);
        assert_string_equal(method->path, path);
        assert_string_equal(method->name, service->methods[i].name);
        assert_ptr_equal(method->request, service->methods[i].input);
        assert_ptr_equal(method->reply, service->methods[i].output);
    }
    return service->n_methods;
}

static void test_table_is_complete(void **state)
{
    size_t streams = 0, built = 0;

    (void)state;
    assert_int_equal(check_service(&runtime__v1__runtime_service__descriptor), 37);
    assert_int_equal(check_service(&runtime__v1__image_service__descriptor), 6);
    for (size_t i = 0; i < METHODS_N; i++) {
        assert_non_null(methods[i].name);
        streams += methods[i].stream;
        built += methods[i].handle != NULL;
        assert_int_equal(methods[i].stream, str_has_prefix(methods[i].name, "Stream") ||
                                                str_eq(methods[i].name, "GetContainerEvents"));
    }
    assert_int_equal(streams, 7);
    assert_int_equal(built, 41);
}

static void test_unknown_path(void **state)
{
    (void)state;
    assert_null(method_find("/runtime.v1.RuntimeService/Versio", 33));
    assert_null(method_find("/runtime.v1.RuntimeService/Version2", 35));
    assert_null(method_find("/runtime.v1alpha2.RuntimeService/Version", 40));
    assert_null(method_find("", 0));
}

static int run(const char *name, struct arena *arena, const uint8_t *bytes, size_t len,
               ProtobufCMessage **ret, struct err *err)
{
    autofree char *path = xasprintf("/runtime.v1.RuntimeService/%s", name);
    struct daemon daemon = {0};
    struct call call = {
        .daemon = &daemon, .method = method_find(path, strlen(path)), .arena = arena};

    assert_non_null(call.method);
    int result = method_run(&call, bytes, len, err);
    *ret = call.reply;
    return result;
}

static void test_not_built_says_so_by_name(void **state)
{
    struct arena arena;
    struct err err;
    ProtobufCMessage *reply;

    (void)state;
    arena_init(&arena, ARENA_REQUEST_MAX_BYTES);
    for (size_t i = 0; i < METHODS_N; i++) {
        if (methods[i].handle || !str_has_prefix(methods[i].path, "/runtime.v1.RuntimeService/"))
            continue;
        assert_err(run(methods[i].name, &arena, NULL, 0, &reply, &err), err, ERR_UNSUPPORTED,
                   methods[i].name);
    }
    arena_done(&arena);
}

static void test_version_and_metrics(void **state)
{
    static const uint8_t hello[] = {0x0a, 5, '0', '.', '1', '.', '0'};
    struct arena arena;
    struct err err = ERR_INIT;
    ProtobufCMessage *reply;
    autostrbuf text = STRBUF_INIT;

    (void)state;
    arena_init(&arena, ARENA_REQUEST_MAX_BYTES);
    assert_ok(run("Version", &arena, hello, sizeof hello, &reply, &err), err);
    const Runtime__V1__VersionResponse *version = (const void *)reply;
    assert_string_equal(version->version, "0.1.0");
    assert_string_equal(version->runtime_name, "unicri");
    assert_string_equal(version->runtime_api_version, "v1");
    assert_int_equal(version->runtime_version[strspn(version->runtime_version, "0123456789.")],
                     '\0');
    assert_err(run("Version", &arena, hello, 3, &reply, &err), err, ERR_INVALID, "VersionRequest");
    metrics_print(rpc_metrics(), &text);
    assert_non_null(strstr(text.s, "unicri_rpc_seconds_count{method=\"Version\"} 2"));
    assert_non_null(strstr(text.s, "unicri_rpc_errors_total{method=\"Version\"} 1"));
    arena_done(&arena);
}

static void test_codes(void **state)
{
    static const struct {
        enum err_code code;
        grpc_status_code status;
        const char *name;
    } rows[] = {
        {ERR_NONE, GRPC_STATUS_OK, "OK"},
        {ERR_INVALID, GRPC_STATUS_INVALID_ARGUMENT, "INVALID_ARGUMENT"},
        {ERR_NOT_FOUND, GRPC_STATUS_NOT_FOUND, "NOT_FOUND"},
        {ERR_EXISTS, GRPC_STATUS_ALREADY_EXISTS, "ALREADY_EXISTS"},
        {ERR_STATE, GRPC_STATUS_FAILED_PRECONDITION, "FAILED_PRECONDITION"},
        {ERR_UNSUPPORTED, GRPC_STATUS_UNIMPLEMENTED, "UNIMPLEMENTED"},
        {ERR_DENIED, GRPC_STATUS_PERMISSION_DENIED, "PERMISSION_DENIED"},
        {ERR_EXHAUSTED, GRPC_STATUS_RESOURCE_EXHAUSTED, "RESOURCE_EXHAUSTED"},
        {ERR_DEADLINE, GRPC_STATUS_DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED"},
        {ERR_CANCELLED, GRPC_STATUS_CANCELLED, "CANCELLED"},
        {ERR_UNAVAILABLE, GRPC_STATUS_UNAVAILABLE, "UNAVAILABLE"},
        {ERR_CORRUPT, GRPC_STATUS_DATA_LOSS, "DATA_LOSS"},
        {ERR_UNKNOWN, GRPC_STATUS_UNKNOWN, "UNKNOWN"},
        {ERR_INTERNAL, GRPC_STATUS_INTERNAL, "INTERNAL"},
    };

    (void)state;
    assert_int_equal(ARRAY_SIZE(rows), ERR_INTERNAL + 1);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        assert_int_equal(grpc_status_of(rows[i].code), rows[i].status);
        assert_string_equal(grpc_status_name(rows[i].status), rows[i].name);
    }
    assert_int_equal(grpc_status_of((enum err_code)99), GRPC_STATUS_INTERNAL);
    assert_string_equal(grpc_status_name((grpc_status_code)99), "?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table_is_complete),
        cmocka_unit_test(test_unknown_path),
        cmocka_unit_test(test_not_built_says_so_by_name),
        cmocka_unit_test(test_version_and_metrics),
        cmocka_unit_test(test_codes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
