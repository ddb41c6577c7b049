/* SPDX-License-Identifier: Apache-2.0 */
/* The tender's argument contract: what is understood, and what is refused with which words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "vmm/tender/options.h"

static struct options o;
static struct fault fault;

#define ARGS(...) ((char *[]){(char *)"unicri-tender", __VA_ARGS__, NULL})
#define SPT       (char *)"--backend=spt", (char *)"--kernel-fd=3", (char *)"--mem=4194304"
#define A(s)      (char *)(s)

static void refused(char **argv, const char *why)
{
    assert_int_equal(options_parse(argv, &o, &fault), -1);
    assert_int_equal(fault.status, STATUS_SETUP);
    if (strstr(fault.msg, why) == NULL)
        fail_msg("'%s' is not in the message '%s'", why, fault.msg);
}

static void test_all(void **state)
{
    char **argv = ARGS(A("--backend=hvt"), A("--kernel-fd=3"), A("--kvm-fd=4"), A("--mem=67108864"),
                       A("--net=service:5:02:00:00:AA:bb:0c:9000"),
                       A("--net=other:6:02:00:00:00:00:01"), A("--block=storage:7:4096:ro"),
                       A("--block=plain:8"), A("--block=r:9:ro"), A("--name=abc"), A("--debug"),
                       A("--wait-tracer=250"), A("--"), A("a"), A("--net=x"), A(""), A("b c"));

    (void)state;
    if (options_parse(argv, &o, &fault) != 0)
        fail_msg("%s", fault.msg);
    assert_int_equal(o.backend, BACKEND_HVT);
    assert_int_equal(o.kernel_fd, 3);
    assert_int_equal(o.kvm_fd, 4);
    assert_int_equal(o.mem_size, 67108864);
    assert_int_equal(o.devices, 5);
    assert_true(o.debuggable);
    assert_int_equal(o.wait_tracer, 250);
    assert_string_equal(o.device[0].name, "service");
    assert_int_equal(o.device[0].mtu, 9000);
    assert_memory_equal(o.device[0].mac, "\x02\0\0\xaa\xbb\x0c", 6);
    assert_int_equal(o.device[1].mtu, 1500);
    assert_int_equal(o.device[2].sector_size, 4096);
    assert_true(o.device[2].read_only);
    assert_int_equal(o.device[3].sector_size, 512);
    assert_false(o.device[3].read_only);
    assert_true(o.device[4].read_only);
    assert_string_equal(o.cmdline, "a --net=x  b c");
}

static void test_required(void **state)
{
    (void)state;
    refused(ARGS(A("--kernel-fd=3"), A("--mem=1")), "--backend is missing");
    refused(ARGS(A("--backend=spt"), A("--mem=1")), "--kernel-fd is missing");
    refused(ARGS(A("--backend=spt"), A("--kernel-fd=3")), "--mem is missing");
    refused(ARGS(A("--backend=hvt"), A("--kernel-fd=3"), A("--mem=1")), "--kvm-fd is missing");
    refused(ARGS(SPT, A("--kvm-fd=4")), "does not use KVM");
    refused(ARGS(SPT, A("--backend=spt")), "given twice");
    refused(ARGS(SPT, A("--mem=5")), "given twice");
    refused(ARGS(SPT, A("--kernel-fd=5")), "given twice");
    refused(ARGS(SPT, A("--debug"), A("--debug")), "given twice");
    refused(ARGS(SPT, A("--wait-tracer=1"), A("--wait-tracer=1")), "given twice");
    refused(ARGS(SPT, A("--wait-tracer=0")), "milliseconds");
    refused(ARGS(SPT, A("--wait-tracer=60001")), "milliseconds");
    refused(ARGS(A("--backend=xen")), "spt and hvt");
    refused(ARGS(SPT, A("--wat")), "unknown option");
    refused(ARGS(SPT, A("kernel.elf")), "unknown option");
    refused((char *[]){NULL}, "--backend is missing");
}

static void test_numbers(void **state)
{
    static const char *const fds[] = {"--kernel-fd=", "--kernel-fd=-1", "--kernel-fd=2",
                                      "--kernel-fd=3x", "--kernel-fd=99999999999999999999999"};
    static const char *const mems[] = {"--mem=", "--mem=0", "--mem=-5", "--mem=4k",
                                       "--mem=18446744073709551617"};

    (void)state;
    for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
        refused(ARGS(A(fds[i])), "not a descriptor number");
    for (size_t i = 0; i < sizeof(mems) / sizeof(mems[0]); i++)
        refused(ARGS(A(mems[i])), "not a number of bytes");
}

static void test_net(void **state)
{
    (void)state;
    refused(ARGS(SPT, A("--net=service")), "not NAME:FD");
    refused(ARGS(SPT, A("--net=:5:02:00:00:00:00:01")), "not NAME:FD");
    refused(ARGS(SPT, A("--net=a/b:5:02:00:00:00:00:01")), "not NAME:FD");
    refused(ARGS(SPT, A("--net=a:x:02:00:00:00:00:01")), "descriptor number");
    refused(ARGS(SPT, A("--net=a:5")), "no MAC");
    refused(ARGS(SPT, A("--net=a:5:02:00:00:00:00")), "no MAC");
    refused(ARGS(SPT, A("--net=a:5:0g:00:00:00:00:01")), "no MAC");
    refused(ARGS(SPT, A("--net=a:5:01:00:00:00:00:01")), "unicast");
    refused(ARGS(SPT, A("--net=a:5:00:00:00:00:00:00")), "unicast");
    refused(ARGS(SPT, A("--net=a:5:02:00:00:00:00:01x")), "behind the MAC");
    refused(ARGS(SPT, A("--net=a:5:02:00:00:00:00:01:")), "MTU");
    refused(ARGS(SPT, A("--net=a:5:02:00:00:00:00:01:67")), "MTU");
    refused(ARGS(SPT, A("--net=a:5:02:00:00:00:00:01:65536")), "MTU");
    refused(ARGS(SPT, A("--net=a:3:02:00:00:00:00:01")), "is the kernel's");
    refused(ARGS(SPT, A("--net=a:5:02:00:00:00:00:01"), A("--net=a:6:02:00:00:00:00:01")),
            "already given");
    refused(ARGS(SPT, A("--net=a:5:02:00:00:00:00:01"), A("--net=b:5:02:00:00:00:00:01")),
            "already given");
}

static void test_block(void **state)
{
    static const char *const bad[] = {"--block=a:5:0",     "--block=a:5:511",  "--block=a:5:1000",
                                      "--block=a:5:65536", "--block=a:5:512k", "--block=a:5:512:rw",
                                      "--block=a:5:",      "--block=a:5:ro:ro"};

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        refused(ARGS(SPT, A(bad[i])), bad[i]);
}

static void test_too_many(void **state)
{
    static char text[OPTIONS_DEVICES_MAX + 1][32];
    char *argv[OPTIONS_DEVICES_MAX + 6] = {A("t"), SPT};

    (void)state;
    for (unsigned i = 0; i <= OPTIONS_DEVICES_MAX; i++) {
        (void)snprintf(text[i], sizeof(text[i]), "--block=d%u:%u", i, i + 10);
        argv[4 + i] = text[i];
    }
    refused(argv, "too many devices");
    argv[4 + OPTIONS_DEVICES_MAX] = NULL;
    assert_int_equal(options_parse(argv, &o, &fault), 0);
    assert_int_equal(o.devices, OPTIONS_DEVICES_MAX);
}

static void test_cmdline(void **state)
{
    static char longest[SOLO5_CMDLINE_SIZE];
    static char half[SOLO5_CMDLINE_SIZE / 2 + 1];

    (void)state;
    memset(longest, 'x', sizeof(longest) - 1);
    assert_int_equal(options_parse(ARGS(SPT, A("--"), longest), &o, &fault), 0);
    assert_int_equal(strlen(o.cmdline), SOLO5_CMDLINE_SIZE - 1);
    refused(ARGS(SPT, A("--"), longest, A("")), "longer than 8191");
    memset(half, 'y', sizeof(half) - 1);
    refused(ARGS(SPT, A("--"), half, half), "longer than 8191");
    half[sizeof(half) - 3] = '\0';
    assert_int_equal(options_parse(ARGS(SPT, A("--"), half, half), &o, &fault), 0);
    assert_int_equal(options_parse(ARGS(SPT), &o, &fault), 0);
    assert_string_equal(o.cmdline, "");
    refused(ARGS(SPT, A("--name=")), "1 to 127");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all),     cmocka_unit_test(test_required),
        cmocka_unit_test(test_numbers), cmocka_unit_test(test_net),
        cmocka_unit_test(test_block),   cmocka_unit_test(test_too_many),
        cmocka_unit_test(test_cmdline),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
