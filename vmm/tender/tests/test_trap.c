/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tender and who traces it: the guest waits for a watcher before its first instruction, so that
 * even that one is seen to crash; what a killed debugger has left in an spt guest is waited for,
 * and kills it only where nobody may have left anything.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "vmm/tender/fault.h"
#include "vmm/tender/tests/guest_maker.h"
#include "vmm/tender/tests/run_tender.h"
#include "vmm/tender/trap.h"

#define PAGE 4096

static struct run r;
static struct made_guest made;

static void need_kvm(void)
{
    const char *why = kvm_missing();

    if (why != NULL) {
        print_message("skipped: %s\n", why);
        skip();
    }
}

static double seconds(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void test_nobody_comes(void **state)
{
    double began = seconds();

    (void)state;
    run_init(&r, "spt", "hello");
    r.options[0] = "--wait-tracer=300";
    run_all(&r);
    run_exited(&r, 0);
    assert_true(seconds() - began >= 0.3);
}

static void seize(void)
{
    assert_int_equal(ptrace(PTRACE_SEIZE, r.pid, NULL, NULL), 0);
}

/* The next stop of the tender: its signal; SIGTRAP with *ret_told. */
static int next_stop(uint64_t *ret_told)
{
    struct user_regs_struct regs;
    int status;

    assert_int_equal(waitpid(r.pid, &status, __WALL), r.pid);
    if (!WIFSTOPPED(status))
        fail_msg("not stopped but ended: %x", (unsigned)status);
    assert_int_equal(ptrace(PTRACE_GETREGS, r.pid, NULL, &regs), 0);
    *ret_told = regs.rax;
    return WSTOPSIG(status);
}

static void go_on(void)
{
    assert_int_equal(ptrace(PTRACE_CONT, r.pid, NULL, 0UL), 0);
}

static void let_go(void)
{
    assert_int_equal(ptrace(PTRACE_DETACH, r.pid, NULL, 0UL), 0);
}

/* The crash is the first that a tracer hears of the guest. */
static void sees_crash(const char *backend)
{
    uint64_t told;

    run_init(&r, backend, "crash");
    r.options[0] = "--wait-tracer=60000";
    run_start(&r);
    seize();
    assert_int_equal(next_stop(&told), SIGTRAP);
    assert_true(told == TENDER_TRAP_READY);
    go_on();
    if (strcmp(backend, "spt") == 0) {
        assert_int_equal(next_stop(&told), SIGSEGV);
        let_go();
        run_wait(&r);
        run_killed(&r, SIGSEGV);
    } else {
        assert_int_equal(next_stop(&told), SIGTRAP);
        assert_true(told == TENDER_TRAP_CRASH);
        let_go();
        run_wait(&r);
        run_exited(&r, STATUS_GUEST_FAULT);
    }
    run_said(&r, "crash: reading from nowhere");
}

static void test_crash_spt(void **state)
{
    (void)state;
    sees_crash("spt");
}

static void test_crash_hvt(void **state)
{
    (void)state;
    need_kvm();
    sees_crash("hvt");
}

/* int3, then exit_group(77) */
static void make_int3(void)
{
    static const uint8_t code[] = {0xcc, 0xb8, SYS_exit_group, 0,   0, 0, 0xbf, 77, 0,
                                   0,    0,    0x0f,           0x05};

    make_guest(&made, SOLO5_TARGET_SPT, 1, code, sizeof(code));
    run_init_file(&r, "spt", &made, sizeof(made));
}

/* Nobody has said that there may be leftovers: the guest dies of its own int3. */
static void test_own_int3(void **state)
{
    (void)state;
    make_int3();
    run_all(&r);
    run_killed(&r, SIGTRAP);
    make_int3();
    r.options[0] = "--debug";
    run_all(&r);
    run_killed(&r, SIGTRAP);
    make_int3();
    r.options[0] = "--debug";
    r.pid_namespace = 1;
    run_all(&r);
    run_killed(&r, SIGTRAP);
}

/* Where the tender's last page has its word, in a program that is still whole. */
static uint64_t find_word(int mem)
{
    char path[64], line[512];
    uint64_t from, to, magic;
    uint64_t found = 0;
    FILE *maps;

    (void)snprintf(path, sizeof(path), "/proc/%d/maps", r.pid);
    maps = fopen(path, "re");
    assert_non_null(maps);
    while (fgets(line, sizeof(line), maps) != NULL) {
        char *p;
        from = strtoull(line, &p, 16);
        to = strtoull(p + 1, &p, 16);
        if (strncmp(p, " r-xp", 5) != 0)
            continue;
        for (uint64_t at = from + PAGE - 16; at < to; at += PAGE)
            if (pread(mem, &magic, sizeof(magic), (off_t)at) == (ssize_t)sizeof(magic) &&
                magic == TENDER_LAST_MAGIC)
                found = at + sizeof(magic);
    }
    (void)fclose(maps);
    return found;
}

static int open_mem(void)
{
    char path[64];
    int fd;

    (void)snprintf(path, sizeof(path), "/proc/%d/mem", r.pid);
    fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

/* As after the death of a debugger: the word is set, an int3 is in, and nobody traces. */
static void test_leftover(void **state)
{
    static const uint8_t nop = 0x90;
    struct timespec const moment = {.tv_nsec = 100000000};
    uint64_t const word = 1;
    uint64_t told, at;
    int mem, status;

    (void)state;
    make_int3();
    r.options[0] = "--wait-tracer=60000";
    r.options[1] = "--debug";
    run_start(&r);
    seize();
    assert_int_equal(next_stop(&told), SIGTRAP);
    mem = open_mem();
    at = find_word(mem);
    assert_true(at != 0);
    assert_int_equal(pwrite(mem, &word, sizeof(word), (off_t)at), sizeof(word));
    let_go();
    (void)nanosleep(&moment, NULL);
    assert_int_equal(waitpid(r.pid, &status, WNOHANG), 0); /* it waits */
    assert_int_equal(pwrite(mem, &nop, 1, MADE_BASE), 1);
    (void)close(mem);
    run_wait(&r);
    run_exited(&r, 77);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nobody_comes), cmocka_unit_test(test_crash_spt),
        cmocka_unit_test(test_crash_hvt),    cmocka_unit_test(test_own_int3),
        cmocka_unit_test(test_leftover),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
