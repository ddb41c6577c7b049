/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tender with the guests of e2e/unikernels, every case under spt and hvt. Where KVM is missing
 * the hvt half is skipped with the reason.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/tender/fault.h"
#include "vmm/tender/tests/run_tender.h"

static struct run r;

/* *state of a test is its backend's name. */
static const char *backend_of(void **state)
{
    const char *backend = *state;
    const char *why = strcmp(backend, "hvt") == 0 ? kvm_missing() : NULL;

    if (why != NULL) {
        print_message("skipped under hvt: %s\n", why);
        skip();
    }
    return backend;
}

static void test_hello(void **state)
{
    run_init(&r, backend_of(state), "hello");
    r.args[0] = "one";
    r.args[1] = "two  three";
    r.args[2] = "--net=x";
    run_all(&r);
    run_exited(&r, 0);
    run_said(&r, "Hello from a unikernel\n");
    run_said(&r, "command line: one two  three --net=x\n");
    assert_string_equal(r.err, "");
}

static void test_exit_codes(void **state)
{
    static const struct {
        const char *text;
        int code;
    } codes[] = {{"0", 0}, {"1", 1}, {"42", 42}, {"125", 125}, {"255", 255}};

    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        run_init(&r, backend_of(state), "exitcode");
        r.args[0] = codes[i].text;
        run_all(&r);
        run_exited(&r, codes[i].code);
        assert_string_equal(r.err, "");
    }
}

static void test_abort(void **state)
{
    run_init(&r, backend_of(state), "abort");
    run_all(&r);
    run_exited(&r, 255);
    run_said(&r, "ABORT");
}

static void test_crash(void **state)
{
    const char *backend = backend_of(state);

    run_init(&r, backend, "crash");
    run_all(&r);
    run_said(&r, "reading from nowhere");
    if (strcmp(backend, "spt") == 0) {
        run_killed(&r, SIGSEGV);
    } else {
        run_exited(&r, STATUS_GUEST_FAULT);
        run_complained(&r, "triple fault");
    }
}

static void test_longline(void **state)
{
    run_init(&r, backend_of(state), "longline");
    run_all(&r);
    run_exited(&r, 0);
    assert_int_equal(r.out_len, 40000 + 1 + strlen("a line without an end"));
    assert_int_equal(strchr(r.out, '\n') - r.out, 40000);
}

static void test_flood(void **state)
{
    char want[32];
    const char *at;

    run_init(&r, backend_of(state), "flood");
    r.args[0] = "500";
    run_all(&r);
    run_exited(&r, 0);
    at = r.out;
    for (int i = 1; i <= 500; i++) {
        (void)snprintf(want, sizeof(want), "line %d of", i);
        at = strstr(at, want);
        assert_non_null(at);
    }
}

static void test_block(void **state)
{
    static const char sector1[] = {3, 10, 17, 24};
    char back[4];
    int disk = temp_disk(4096, "disk text", O_RDWR);

    run_init(&r, backend_of(state), "blk");
    r.options[0] = "--block=storage:12:1024";
    r.devices[0] = disk;
    run_all(&r);
    run_exited(&r, 0);
    run_said(&r, "4 sectors of 1024 bytes");
    run_said(&r, "sector 0: disk text\n");
    run_said(&r, "written and verified");
    assert_int_equal(pread(disk, back, 4, 1024), 4);
    assert_memory_equal(back, sector1, 4);
    (void)close(disk);
}

/* Read-only by the descriptor and by the flag alone: the guest gets an error and lives on. */
static void test_block_read_only(void **state)
{
    char back;

    for (int i = 0; i < 2; i++) {
        int disk = temp_disk(4096, "x", i == 0 ? O_RDONLY : O_RDWR);
        run_init(&r, backend_of(state), "blk");
        r.options[0] = "--block=storage:12:ro";
        r.devices[0] = disk;
        r.args[0] = "ro";
        run_all(&r);
        run_exited(&r, 0);
        run_said(&r, "the disk is read-only");
        assert_int_equal(pread(disk, &back, 1, 512), 1);
        assert_int_equal(back, 0);
        (void)close(disk);
    }
}

static void try_block(const char *backend, const char *option, int disk, int code, const char *why)
{
    run_init(&r, backend, "blk");
    r.options[0] = option;
    r.devices[0] = disk;
    run_all(&r);
    run_exited(&r, code);
    run_complained(&r, why);
    (void)close(disk);
}

static void test_block_refused(void **state)
{
    const char *b = backend_of(state);
    int ends[2];

    run_init(&r, b, "blk");
    run_all(&r);
    run_exited(&r, STATUS_KERNEL);
    run_complained(&r, "block device 'storage': declared in the guest's manifest but not attached");
    try_block(b, "--block=other:12", temp_disk(4096, "", O_RDWR), STATUS_KERNEL,
              "block device 'other': not declared");
    try_block(b, "--block=storage:12:1024", temp_disk(1536, "", O_RDWR), STATUS_SETUP,
              "1536 bytes are not");
    try_block(b, "--block=storage:12", temp_disk(0, "", O_RDWR), STATUS_SETUP, "0 bytes are not");
    try_block(b, "--block=storage:12", temp_disk(512, "", O_RDONLY), STATUS_SETUP, "is read-only");
    try_block(b, "--block=storage:13", temp_disk(512, "", O_RDWR), STATUS_SETUP, "descriptor 13");
    assert_int_equal(pipe(ends), 0);
    (void)close(ends[0]);
    try_block(b, "--block=storage:12", ends[1], STATUS_SETUP, "neither a file nor a block device");
}

/* A socket instead of a tap: the guest answers an ARP request that comes out of it. */
static void test_net(void **state)
{
    static const uint8_t ask[42] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0,  9, 8, 6,
                                    0,    1,    8,    0,    6,    4,    0, 1, 2, 0, 0,  0, 0, 9,
                                    10,   1,    2,    1,    0,    0,    0, 0, 0, 0, 10, 1, 2, 3};
    static const uint8_t mac[6] = {2, 0, 0, 0, 0xbe, 0xef};
    uint8_t reply[128];
    int ends[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
    run_init(&r, backend_of(state), "http");
    r.options[0] = "--net=service:12:02:00:00:00:be:ef:1400";
    r.devices[0] = ends[0];
    r.args[0] = "--ipv4=10.1.2.3/24";
    run_start(&r);
    run_until(&r, "listening on 10.1.2.3 port 8080");
    assert_int_equal(send(ends[1], ask, sizeof(ask), 0), sizeof(ask));
    assert_int_equal(recv(ends[1], reply, sizeof(reply), 0), sizeof(ask));
    assert_memory_equal(reply + 22, mac, 6);
    assert_memory_equal(reply + 28, "\x0a\x01\x02\x03", 4);
    assert_int_equal(kill(r.pid, SIGTERM), 0);
    run_wait(&r);
    run_exited(&r, STATUS_TERMINATED);
    (void)close(ends[0]);
    (void)close(ends[1]);
}

static void test_net_refused(void **state)
{
    const char *b = backend_of(state);
    int disk = temp_disk(512, "", O_RDWR), ends[2];

    run_init(&r, b, "http");
    r.options[0] = "--net=service:12:02:00:00:00:be:ef";
    r.devices[0] = disk;
    run_all(&r);
    run_exited(&r, STATUS_SETUP);
    run_complained(&r, "net device 'service': descriptor 12 is neither tap nor socket");
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    run_init(&r, b, "http");
    r.options[0] = "--net=service:12:02:00:00:00:be:ef";
    r.devices[0] = ends[0];
    run_all(&r);
    run_exited(&r, STATUS_SETUP);
    run_complained(&r, "stream socket");
    (void)close(disk);
    (void)close(ends[0]);
    (void)close(ends[1]);
}

static void test_memory(void **state)
{
    const char *b = backend_of(state);

    run_init(&r, b, "hello");
    r.mem = "1048576";
    run_all(&r);
    run_exited(&r, STATUS_SETUP);
    run_complained(&r, "too few");
    run_init(&r, b, "hello");
    r.mem = "9223372036854775807";
    run_all(&r);
    run_exited(&r, STATUS_SETUP);
    run_complained(&r, "at most");
    run_init(&r, b, "hello");
    r.mem = "4294967296"; /* costs only what is touched */
    run_all(&r);
    run_exited(&r, 0);
    run_init(&r, b, "hello");
    r.mem = "6295551"; /* rounded down */
    run_all(&r);
    run_exited(&r, 0);
}

static void test_wrong_kernel(void **state)
{
    const char *b = backend_of(state);
    static const char text[] =
        "#!/bin/sh\necho this is no kernel and never will be, however long\n";

    run_init_file(&r, b, text, sizeof(text));
    run_all(&r);
    run_exited(&r, STATUS_KERNEL);
    run_complained(&r, "not an ELF file");
    run_init_file(&r, b, "", 0);
    run_all(&r);
    run_exited(&r, STATUS_KERNEL);
    run_complained(&r, "ends early");
    run_init(&r, strcmp(b, "spt") == 0 ? "hvt" : "spt", "hello");
    r.backend = b;
    run_all(&r);
    run_exited(&r, STATUS_KERNEL);
    run_complained(&r, "built for Solo5 target");
}

#define BOTH(f)                                                                                    \
    {#f " spt", f, NULL, NULL, (void *)"spt"},                                                     \
    {                                                                                              \
#f " hvt", f, NULL, NULL, (void *)"hvt"                                                    \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(test_hello),        BOTH(test_exit_codes),      BOTH(test_abort),
        BOTH(test_crash),        BOTH(test_longline),        BOTH(test_flood),
        BOTH(test_block),        BOTH(test_block_read_only), BOTH(test_block_refused),
        BOTH(test_net),          BOTH(test_net_refused),     BOTH(test_memory),
        BOTH(test_wrong_kernel),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
