/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The server over a real socket, with gRPC's own client: connections, workers, deadlines, clients
 * that go away. Below it stands the fake engine.
 */
#include "base/tests/testing.h"

#include <grpc/byte_buffer_reader.h>
#include <grpc/grpc.h>
#include <grpc/grpc_posix.h>
#include <grpc/grpc_security.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/strbuf.h"
#include "cri/call.h"
#include "cri/handlers.h"
#include "cri/server.h"
#include "cri/tests/fake.h"

static struct config config;
static struct daemon daemon_under_test;
static char *dir;

static int setup(void **state)
{
    int r = testing_dir_setup(state);

    dir = *state;
    fake_reset();
    config = (struct config){
        .server = {.max_connections = 64, .max_workers = 40, .reply_patience = 30 * NSEC_PER_SEC}};
    config.sandbox.cgroup_driver = (char *)"cgroupfs";
    config.server.socket = path_join(dir, "sub/s.sock");
    config.cni.timeout = 1;
    daemon_under_test = (struct daemon){.config = &config};
    return r;
}

static int teardown(void **state)
{
    free(config.server.socket);
    fake_reset();
    return testing_dir_teardown(state);
}

static struct server *open_server(void)
{
    struct err err;
    struct server *server = server_open(&daemon_under_test, &err);

    if (!server)
        fail_msg("%s", err.msg);
    return server;
}

static int connect_socket(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", config.server.socket);
    assert_true(fd >= 0);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
        fail_msg("connect: %m");
    return fd;
}

/* ------------------------------------------------------------ the client */

struct client {
    grpc_channel *channel;
    grpc_completion_queue *queue;
};

struct pending {
    grpc_call *call;
    grpc_metadata_array initial, trailing;
    grpc_byte_buffer *request, *reply;
    grpc_status_code status;
    grpc_slice details;
};

static void client_open(struct client *c)
{
    grpc_channel_credentials *credentials = grpc_insecure_credentials_create();
    grpc_arg arg = {.type = GRPC_ARG_INTEGER,
                    .key = (char *)GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH,
                    .value.integer = (int)WIRE_MESSAGE_MAX_BYTES};
    grpc_channel_args args = {1, &arg};
    int fd = connect_socket();

    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    c->channel = grpc_channel_create_from_fd("localhost", fd, credentials, &args);
    grpc_channel_credentials_release(credentials);
    c->queue = grpc_completion_queue_create_for_next(NULL);
}

static void client_close(struct client *c)
{
    grpc_channel_destroy(c->channel);
    grpc_completion_queue_shutdown(c->queue);
    while (grpc_completion_queue_next(c->queue, gpr_inf_future(GPR_CLOCK_REALTIME), NULL).type !=
           GRPC_QUEUE_SHUTDOWN)
        ;
    grpc_completion_queue_destroy(c->queue);
}

static void call_start(struct client *c, struct pending *p, const char *method, const void *message,
                       nsec_t timeout)
{
    autofree char *path = xasprintf("/runtime.v1.%s", method);
    size_t len = message ? protobuf_c_message_get_packed_size(message) : 0;
    grpc_slice bytes = grpc_slice_malloc(len), slice = grpc_slice_from_copied_string(path);

    memset(p, 0, sizeof *p);
    if (message)
        (void)protobuf_c_message_pack(message, GRPC_SLICE_START_PTR(bytes));
    p->request = grpc_raw_byte_buffer_create(&bytes, 1);
    p->details = grpc_empty_slice();
    grpc_metadata_array_init(&p->initial);
    grpc_metadata_array_init(&p->trailing);
    p->call = grpc_channel_create_call(c->channel, NULL, GRPC_PROPAGATE_DEFAULTS, c->queue, slice,
                                       NULL, deadline_to_gpr(deadline_in(timeout)), NULL);
    grpc_op ops[] = {{.op = GRPC_OP_SEND_INITIAL_METADATA},
                     {.op = GRPC_OP_SEND_MESSAGE, .data.send_message.send_message = p->request},
                     {.op = GRPC_OP_SEND_CLOSE_FROM_CLIENT},
                     {.op = GRPC_OP_RECV_INITIAL_METADATA,
                      .data.recv_initial_metadata.recv_initial_metadata = &p->initial},
                     {.op = GRPC_OP_RECV_MESSAGE, .data.recv_message.recv_message = &p->reply},
                     {.op = GRPC_OP_RECV_STATUS_ON_CLIENT,
                      .data.recv_status_on_client = {.trailing_metadata = &p->trailing,
                                                     .status = &p->status,
                                                     .status_details = &p->details}}};
    assert_int_equal(grpc_call_start_batch(p->call, ops, ARRAY_SIZE(ops), p, NULL), GRPC_CALL_OK);
    grpc_slice_unref(bytes);
    grpc_slice_unref(slice);
}

/* Wait for the next call that ends. Returns: that one; its `call` and buffers are let go by
 * call_finish(). */
static struct pending *call_wait(struct client *c)
{
    grpc_event event =
        grpc_completion_queue_next(c->queue, deadline_to_gpr(deadline_in(60 * NSEC_PER_SEC)), NULL);

    assert_int_equal(event.type, GRPC_OP_COMPLETE);
    return event.tag;
}

static void call_finish(struct pending *p)
{
    grpc_call_unref(p->call);
    grpc_byte_buffer_destroy(p->request);
    if (p->reply)
        grpc_byte_buffer_destroy(p->reply);
    grpc_metadata_array_destroy(&p->initial);
    grpc_metadata_array_destroy(&p->trailing);
    grpc_slice_unref(p->details);
}

/* One call to its end. ret: the reply of type `type` (to be freed), may be NULL. */
static grpc_status_code call(struct client *c, const char *method, const void *message,
                             const ProtobufCMessageDescriptor *type, void *ret, char *details,
                             size_t size)
{
    struct pending pending;

    call_start(c, &pending, method, message, 60 * NSEC_PER_SEC);
    assert_ptr_equal(call_wait(c), &pending);
    if (details)
        (void)snprintf(details, size, "%.*s", (int)GRPC_SLICE_LENGTH(pending.details),
                       (const char *)GRPC_SLICE_START_PTR(pending.details));
    if (ret && pending.reply) {
        grpc_byte_buffer_reader reader;
        assert_true(grpc_byte_buffer_reader_init(&reader, pending.reply));
        grpc_slice bytes = grpc_byte_buffer_reader_readall(&reader);
        *(ProtobufCMessage **)ret = protobuf_c_message_unpack(type, NULL, GRPC_SLICE_LENGTH(bytes),
                                                              GRPC_SLICE_START_PTR(bytes));
        grpc_slice_unref(bytes);
        grpc_byte_buffer_reader_destroy(&reader);
    }
    grpc_status_code status = pending.status;
    call_finish(&pending);
    return status;
}

static grpc_status_code call_version(struct client *c)
{
    Runtime__V1__VersionRequest request = RUNTIME__V1__VERSION_REQUEST__INIT;

    return call(c, "RuntimeService/Version", &request, NULL, NULL, NULL, 0);
}

/* A request that pod_spec_from_proto() accepts; static, nothing to free. */
static const Runtime__V1__RunPodSandboxRequest *run_request(void)
{
    static Runtime__V1__RunPodSandboxRequest request = RUNTIME__V1__RUN_POD_SANDBOX_REQUEST__INIT;
    static Runtime__V1__PodSandboxConfig pod = RUNTIME__V1__POD_SANDBOX_CONFIG__INIT;
    static Runtime__V1__PodSandboxMetadata metadata = RUNTIME__V1__POD_SANDBOX_METADATA__INIT;

    metadata.name = (char *)"a", metadata.uid = (char *)"u", metadata.namespace_ = (char *)"n";
    pod.metadata = &metadata;
    request.config = &pod;
    return &request;
}

/* -------------------------------------------------------------- the tests */

static void test_calls(void **state)
{
    struct server *server = open_server();
    struct client c;
    char details[256];
    Runtime__V1__ListPodSandboxRequest list = RUNTIME__V1__LIST_POD_SANDBOX_REQUEST__INIT;
    Runtime__V1__ListPodSandboxResponse *pods = NULL;
    Runtime__V1__StatusRequest ask = RUNTIME__V1__STATUS_REQUEST__INIT;
    Runtime__V1__StatusResponse *status = NULL;
    Runtime__V1__RuntimeConfigRequest what = RUNTIME__V1__RUNTIME_CONFIG_REQUEST__INIT;
    Runtime__V1__RuntimeConfigResponse *driver = NULL;

    (void)state;
    client_open(&c);
    assert_int_equal(call_version(&c), GRPC_STATUS_OK);
    assert_int_equal(call(&c, "RuntimeService/RunPodSandbox", run_request(), NULL, NULL, NULL, 0),
                     GRPC_STATUS_OK);
    assert_int_equal(call(&c, "RuntimeService/ListPodSandbox", &list,
                          &runtime__v1__list_pod_sandbox_response__descriptor, &pods, NULL, 0),
                     GRPC_STATUS_OK);
    assert_int_equal(pods->n_items, 1);
    assert_string_equal(pods->items[0]->metadata->name, "a");
    runtime__v1__list_pod_sandbox_response__free_unpacked(pods, NULL);
    fake.network_ready = false;
    ask.verbose = true;
    assert_int_equal(call(&c, "RuntimeService/Status", &ask,
                          &runtime__v1__status_response__descriptor, &status, NULL, 0),
                     GRPC_STATUS_OK);
    assert_true(status->status->conditions[0]->status);
    assert_false(status->status->conditions[1]->status);
    assert_string_equal(status->status->conditions[1]->message, "no network configuration");
    assert_string_equal(status->runtime_handlers[0]->name, "");
    assert_true(status->runtime_handlers[0]->features->recursive_read_only_mounts);
    assert_int_equal(status->n_info, 3);
    assert_string_equal(status->info[0]->key, "config");
    assert_non_null(strstr(status->info[0]->value, "\"max_connections\":64"));
    assert_string_equal(status->info[2]->key, "census");
    assert_string_equal(status->info[2]->value, "{\"taps\":0}");
    runtime__v1__status_response__free_unpacked(status, NULL);
    assert_int_equal(call(&c, "RuntimeService/RuntimeConfig", &what,
                          &runtime__v1__runtime_config_response__descriptor, &driver, NULL, 0),
                     GRPC_STATUS_OK);
    assert_int_equal(driver->linux->cgroup_driver, RUNTIME__V1__CGROUP_DRIVER__CGROUPFS);
    runtime__v1__runtime_config_response__free_unpacked(driver, NULL);
    assert_int_equal(
        call(&c, "RuntimeService/CheckpointPod", NULL, NULL, NULL, details, sizeof details),
        GRPC_STATUS_UNIMPLEMENTED);
    assert_string_equal(details, "unicri: CheckpointPod is not implemented yet");
    assert_int_equal(
        call(&c, "RuntimeService/GetContainerEvents", NULL, NULL, NULL, details, sizeof details),
        GRPC_STATUS_RESOURCE_EXHAUSTED);
    assert_int_equal(call(&c, "RuntimeService/Nonsense", NULL, NULL, NULL, details, sizeof details),
                     GRPC_STATUS_UNIMPLEMENTED);
    assert_non_null(strstr(details, "Nonsense"));
    assert_int_equal(
        call(&c, "RuntimeService/RunPodSandbox", NULL, NULL, NULL, details, sizeof details),
        GRPC_STATUS_INVALID_ARGUMENT);
    assert_string_equal(details, "config: missing");
    client_close(&c);
    assert_true(server_close(server, deadline_in(30 * NSEC_PER_SEC)));
}

static void test_images_and_exec(void **state)
{
    struct server *server;
    struct client c;
    char details[256];
    Runtime__V1__ImageSpec name = RUNTIME__V1__IMAGE_SPEC__INIT;
    Runtime__V1__ImageStatusRequest status = RUNTIME__V1__IMAGE_STATUS_REQUEST__INIT;
    Runtime__V1__ImageStatusResponse *image = NULL;
    Runtime__V1__PullImageRequest pull = RUNTIME__V1__PULL_IMAGE_REQUEST__INIT;
    Runtime__V1__ExecSyncRequest exec = RUNTIME__V1__EXEC_SYNC_REQUEST__INIT;
    Runtime__V1__ExecSyncResponse *output = NULL;
    char *fill[] = {(char *)"fill"}, *slow[] = {(char *)"slow"};

    (void)state;
    (void)err_set(&fake.fail, ERR_UNAVAILABLE, "RegistryUnavailable: host: connection refused");
    server = open_server(); /* its threads see what was set before */
    client_open(&c);
    status.image = pull.image = &name;
    name.image = (char *)"host/busybox:1";
    assert_int_equal(call(&c, "ImageService/ImageStatus", &status,
                          &runtime__v1__image_status_response__descriptor, &image, NULL, 0),
                     GRPC_STATUS_OK);
    assert_int_equal(image->image->uid->value, 1003);
    runtime__v1__image_status_response__free_unpacked(image, NULL);
    name.image = (char *)"absent";
    assert_int_equal(call(&c, "ImageService/ImageStatus", &status,
                          &runtime__v1__image_status_response__descriptor, &image, NULL, 0),
                     GRPC_STATUS_OK);
    assert_null(image->image);
    runtime__v1__image_status_response__free_unpacked(image, NULL);
    assert_int_equal(call(&c, "ImageService/PullImage", &pull, NULL, NULL, details, sizeof details),
                     GRPC_STATUS_UNKNOWN);
    assert_true(str_has_prefix(details, "RegistryUnavailable"));
    exec.container_id = (char *)"c";
    exec.cmd = fill, exec.n_cmd = 1, exec.timeout = 3;
    assert_int_equal(call(&c, "RuntimeService/ExecSync", &exec,
                          &runtime__v1__exec_sync_response__descriptor, &output, NULL, 0),
                     GRPC_STATUS_OK);
    assert_int_equal(output->stdout.len, EXEC_OUTPUT_MAX_BYTES);
    assert_int_equal(output->exit_code, 3);
    assert_true(fake.last_exec_timeout == 3 * NSEC_PER_SEC);
    runtime__v1__exec_sync_response__free_unpacked(output, NULL);
    exec.cmd = slow;
    assert_int_equal(
        call(&c, "RuntimeService/ExecSync", &exec, NULL, NULL, details, sizeof details),
        GRPC_STATUS_DEADLINE_EXCEEDED);
    exec.timeout = -1;
    assert_int_equal(
        call(&c, "RuntimeService/ExecSync", &exec, NULL, NULL, details, sizeof details),
        GRPC_STATUS_INVALID_ARGUMENT);
    client_close(&c);
    assert_true(server_close(server, deadline_in(30 * NSEC_PER_SEC)));
}

static void wait_until(bool (*what)(int), int n)
{
    deadline_t deadline = deadline_in(30 * NSEC_PER_SEC);

    while (!what(n)) {
        assert_false(deadline_passed(deadline));
        clock_sleep_until(deadline_in(NSEC_PER_MSEC));
    }
}

static bool blocked_is(int n)
{
    return fake.blocked == n;
}

static bool cancelled_is(int n)
{
    return fake.cancelled == n;
}

/* Many handlers block; others go on; a client that leaves and one whose deadline passes are seen by
 * theirs. */
static void test_blocked_handlers(void **state)
{
    enum { N = 30 };
    struct server *server = open_server();
    struct client c, other;
    static struct pending pending[N];

    (void)state;
    fake.block = true;
    client_open(&c);
    client_open(&other);
    for (int i = 1; i < N; i++)
        call_start(&c, &pending[i], "RuntimeService/RunPodSandbox", run_request(),
                   60 * NSEC_PER_SEC);
    wait_until(blocked_is, N - 1);
    call_start(&c, &pending[0], "RuntimeService/RunPodSandbox", run_request(), NSEC_PER_SEC);
    assert_int_equal(call_version(&other), GRPC_STATUS_OK);
    struct pending *first = call_wait(&c); /* the one with a short deadline */
    assert_ptr_equal(first, &pending[0]);
    assert_int_equal(first->status, GRPC_STATUS_DEADLINE_EXCEEDED);
    call_finish(first);
    wait_until(blocked_is, N - 1);
    for (int i = 1; i < N; i++)
        assert_int_equal(grpc_call_cancel(pending[i].call, NULL), GRPC_CALL_OK);
    wait_until(blocked_is, 0);
    for (int i = 1; i < N; i++)
        call_finish(call_wait(&c));
    assert_true(fake.cancelled >= N - 1);
    assert_true(server_workers(server) <= 40);
    client_close(&other);
    client_close(&c);
    assert_true(server_close(server, deadline_in(30 * NSEC_PER_SEC)));
}

/* More calls than workers wait for their turn; none is lost. */
static void test_more_calls_than_workers(void **state)
{
    enum { N = 100 };
    struct client c;
    static struct pending pending[N];

    (void)state;
    config.server.max_workers = 4;
    struct server *server = open_server();
    client_open(&c);
    for (int i = 0; i < N; i++)
        call_start(&c, &pending[i], "RuntimeService/RunPodSandbox", run_request(),
                   20 * NSEC_PER_SEC);
    for (int i = 0; i < N; i++) {
        struct pending *p = call_wait(&c);
        assert_int_equal(p->status, GRPC_STATUS_OK);
        call_finish(p);
    }
    assert_true(server_workers(server) <= 4);
    client_close(&c);
    assert_true(server_close(server, deadline_in(30 * NSEC_PER_SEC)));
}

/* At the end running calls are cancelled and waited for. */
static void test_close_with_running_calls(void **state)
{
    struct server *server = open_server();
    struct client c;
    struct pending pending;

    (void)state;
    fake.block = true;
    client_open(&c);
    call_start(&c, &pending, "RuntimeService/RunPodSandbox", run_request(), 60 * NSEC_PER_SEC);
    wait_until(blocked_is, 1);
    assert_true(server_close(server, deadline_in(30 * NSEC_PER_SEC)));
    wait_until(cancelled_is, 1);
    call_finish(call_wait(&c));
    client_close(&c);
}

static void test_socket(void **state)
{
    struct err err;
    struct stat st;

    (void)state;
    struct server *server = open_server();
    assert_int_equal(stat(config.server.socket, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    autofree char *sub = path_join(dir, "sub");
    assert_int_equal(stat(sub, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    assert_null(server_open(&daemon_under_test, &err)); /* a second daemon */
    assert_int_equal(err.code, ERR_STATE);
    assert_true(server_close(server, deadline_in(30 * NSEC_PER_SEC)));
    assert_int_equal(access(config.server.socket, F_OK), -1);
}

static void test_stale_socket(void **state)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct err err;
    autofree char *sub = path_join(dir, "sub");

    (void)state;
    assert_ok(fs_mkdir(AT_FDCWD, sub, 0700, &err), err);
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", config.server.socket);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    (void)close(fd); /* the file stays, as after a kill */
    struct server *server = open_server();
    assert_true(server_close(server, deadline_in(30 * NSEC_PER_SEC)));
    assert_ok(fs_write_file(AT_FDCWD, config.server.socket, "x", 1, 0600, &err), err);
    assert_null(server_open(&daemon_under_test, &err));
    assert_int_equal(err.code, ERR_EXISTS);
}

/* The bound on connections holds, and closed ones make room. */
static void test_connection_limit(void **state)
{
    enum { N = 16 };
    deadline_t end = deadline_in(30 * NSEC_PER_SEC);
    int fds[N + 1];
    char byte;

    (void)state;
    config.server.max_connections = N;
    struct server *server = open_server();
    for (int i = 0; i <= N; i++)
        fds[i] = connect_socket();
    /* The last one is closed at once; the others are sent HTTP/2 settings. */
    for (int i = 0; i <= N; i++)
        assert_int_equal(recv(fds[i], &byte, 1, 0), i < N ? 1 : 0);
    for (int i = 0; i <= N; i++)
        (void)close(fds[i]);
    /* Their ends are noticed by and by; then there is room for as many again. */
    for (int i = 0; i < N;) {
        fds[i] = connect_socket();
        if (recv(fds[i], &byte, 1, 0) == 1) {
            i++;
            continue;
        }
        (void)close(fds[i]);
        assert_false(deadline_passed(end));
        clock_sleep_until(deadline_in(5 * NSEC_PER_MSEC));
    }
    for (int i = 0; i < N; i++)
        (void)close(fds[i]);
    assert_true(server_close(server, deadline_in(30 * NSEC_PER_SEC)));
}

/* What is no HTTP/2 at all, and one who hangs up in the middle, harm nobody. */
static void test_garbage_on_the_socket(void **state)
{
    static const char junk[] =
        "GET / HTTP/1.1\r\nHost: x\r\n\r\n\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff";
    static const char preface[] =
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\x01\xff\xff\xff\xff\xff";
    struct server *server = open_server();
    struct client c;

    (void)state;
    for (int i = 0; i < 20; i++) {
        int fd = connect_socket();
        const char *bytes = i % 2 ? junk : preface;
        (void)!send(fd, bytes, i % 2 ? sizeof junk - 1 : sizeof preface - 1, MSG_NOSIGNAL);
        (void)close(fd);
    }
    client_open(&c);
    assert_int_equal(call_version(&c), GRPC_STATUS_OK);
    client_close(&c);
    assert_true(server_close(server, deadline_in(30 * NSEC_PER_SEC)));
}

#define server_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        server_test(test_calls),
        server_test(test_images_and_exec),
        server_test(test_blocked_handlers),
        server_test(test_more_calls_than_workers),
        server_test(test_close_with_running_calls),
        server_test(test_socket),
        server_test(test_stale_socket),
        server_test(test_connection_limit),
        server_test(test_garbage_on_the_socket),
    };
    (void)signal(SIGPIPE, SIG_IGN);
    grpc_init();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    grpc_shutdown();
    return failed;
}
