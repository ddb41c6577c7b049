/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The filter assembler, tried on the kernel: a child installs a small filter and makes one call; it
 * must get through, get an errno or die by SIGSYS as the rules say, at the edges of 32 and 64 bits
 * too.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm/tender/filter.h"

#define DIED (-1000)

/* Always among the rules, so that the child can end; 77 stands for "allowed". */
static const struct filter_rule ending = {SYS_exit_group, SECCOMP_RET_ALLOW, {{FILTER_NONE, 0, 0}}};

/*
 * What happens to SYS_getpriority(a, b, c) under @rule: 77 if it was let through (whatever it
 * returned), the errno the filter chose, or DIED. getpriority has no effects and takes any
 * arguments.
 */
static int outcome(const struct filter_rule *rule, uint64_t a, uint64_t b, uint64_t c)
{
    static struct filter prog;
    struct fault f;
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        struct rlimit const no_core = {0, 0};
        long r;
        (void)setrlimit(RLIMIT_CORE, &no_core);
        filter_begin(&prog);
        filter_add(&prog, &ending);
        filter_add(&prog, rule);
        if (filter_finish(&prog, &f) != 0 || filter_install(&prog, &f) != 0)
            syscall(SYS_exit_group, 99);
        r = syscall(SYS_getpriority, a, b, c);
        syscall(SYS_exit_group, r < 0 && errno == EROFS ? EROFS : 77);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFSIGNALED(status)) {
        assert_int_equal(WTERMSIG(status), SIGSYS);
        return DIED;
    }
    return WEXITSTATUS(status);
}

static void test_number(void **state)
{
    struct filter_rule const yes = {SYS_getpriority, SECCOMP_RET_ALLOW, {{FILTER_NONE, 0, 0}}};
    struct filter_rule const no = {SYS_getpid, SECCOMP_RET_ALLOW, {{FILTER_NONE, 0, 0}}};
    struct filter_rule const err = {
        SYS_getpriority, SECCOMP_RET_ERRNO | EROFS, {{FILTER_NONE, 0, 0}}};

    (void)state;
    assert_int_equal(outcome(&yes, 0, 0, 0), 77);
    assert_int_equal(outcome(&no, 0, 0, 0), DIED);
    assert_int_equal(outcome(&err, 0, 0, 0), EROFS);
}

static void test_int(void **state)
{
    struct filter_rule const r = {SYS_getpriority, SECCOMP_RET_ALLOW, {{FILTER_INT, 0, 5}}};

    (void)state;
    assert_int_equal(outcome(&r, 5, 0, 0), 77);
    assert_int_equal(outcome(&r, UINT64_C(0x700000005), 0, 0), 77); /* the kernel sees an int */
    assert_int_equal(outcome(&r, 4, 0, 0), DIED);
    assert_int_equal(outcome(&r, 0, 5, 0), DIED);
}

static void test_equal(void **state)
{
    uint64_t const v = UINT64_C(0x100000200);
    struct filter_rule const r = {SYS_getpriority, SECCOMP_RET_ALLOW, {{FILTER_EQUAL, 2, v}}};

    (void)state;
    assert_int_equal(outcome(&r, 0, 0, v), 77);
    assert_int_equal(outcome(&r, 0, 0, 0x200), DIED);
    assert_int_equal(outcome(&r, 0, 0, v + 1), DIED);
    assert_int_equal(outcome(&r, 0, 0, UINT64_C(0x200000200)), DIED);
}

static void test_max(void **state)
{
    uint64_t const v = UINT64_C(0x100000200);
    struct filter_rule const r = {SYS_getpriority, SECCOMP_RET_ALLOW, {{FILTER_MAX, 1, v}}};

    (void)state;
    assert_int_equal(outcome(&r, 0, v, 0), 77);
    assert_int_equal(outcome(&r, 0, 0, 0), 77);
    assert_int_equal(outcome(&r, 0, UINT64_C(0xffffffff), 0),
                     77); /* low word larger, high smaller */
    assert_int_equal(outcome(&r, 0, v + 1, 0), DIED);
    assert_int_equal(outcome(&r, 0, UINT64_C(0x200000000), 0), DIED);
    assert_int_equal(outcome(&r, 0, UINT64_MAX, 0), DIED);
}

static void test_all_conditions(void **state)
{
    struct filter_rule const r = {SYS_getpriority,
                                  SECCOMP_RET_ALLOW,
                                  {{FILTER_INT, 0, 7}, {FILTER_EQUAL, 1, 512}, {FILTER_MAX, 2, 9}}};

    (void)state;
    assert_int_equal(outcome(&r, 7, 512, 9), 77);
    assert_int_equal(outcome(&r, 8, 512, 9), DIED);
    assert_int_equal(outcome(&r, 7, 511, 9), DIED);
    assert_int_equal(outcome(&r, 7, 512, 10), DIED);
}

static void test_full(void **state)
{
    static struct filter prog;
    struct filter_rule const r = {SYS_getpriority, SECCOMP_RET_ALLOW, {{FILTER_INT, 0, 7}}};
    struct fault f;

    (void)state;
    filter_begin(&prog);
    for (int i = 0; i < 2000; i++)
        filter_add(&prog, &r);
    assert_int_equal(filter_finish(&prog, &f), -1);
    assert_int_equal(f.status, STATUS_SETUP);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_number),         cmocka_unit_test(test_int),
        cmocka_unit_test(test_equal),          cmocka_unit_test(test_max),
        cmocka_unit_test(test_all_conditions), cmocka_unit_test(test_full),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
