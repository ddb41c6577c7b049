/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a hostile guest can do: nothing but the published interface. Guests of a few instructions
 * try system calls (spt), ports and pointers (hvt); others are stopped by signals, also as the
 * first process of a PID namespace.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vmm/tender/fault.h"
#include "vmm/tender/tests/guest_maker.h"
#include "vmm/tender/tests/run_tender.h"

#define PSS_MAX_KIB 100 /* of the tender outside of guest memory */

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

struct code {
    uint8_t byte[128];
    size_t len;
};

static void bytes(struct code *c, const void *data, size_t len)
{
    memcpy(c->byte + c->len, data, len);
    c->len += len;
}

/* movabs $value, %reg, for the registers a system call takes. */
static void set_reg(struct code *c, const char *reg, uint64_t value)
{
    bytes(c, reg, 2);
    bytes(c, &value, 8);
}

#define RAX "\x48\xb8"
#define RDI "\x48\xbf"
#define RSI "\x48\xbe"
#define RDX "\x48\xba"
#define R10 "\x49\xba"
#define R8  "\x49\xb8"

/* The guest makes one system call and then ends with status 77. */
static void run_call(long nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e)
{
    struct code code = {.len = 0};

    set_reg(&code, RAX, (uint64_t)nr);
    set_reg(&code, RDI, a);
    set_reg(&code, RSI, b);
    set_reg(&code, RDX, c);
    set_reg(&code, R10, d);
    set_reg(&code, R8, e);
    bytes(&code, "\x0f\x05", 2);
    set_reg(&code, RAX, SYS_exit_group);
    set_reg(&code, RDI, 77);
    bytes(&code, "\x0f\x05", 2);
    make_guest(&made, SOLO5_TARGET_SPT, 1, code.byte, code.len);
    run_init_file(&r, "spt", &made, sizeof(made));
    run_all(&r);
}

static void test_spt_allowed(void **state)
{
    uint64_t const stack = (4 << 20) - 4096;

    (void)state;
    run_call(SYS_write, 1, MADE_BASE, 4, 0, 0);
    run_exited(&r, 77);
    assert_int_equal(r.out_len, 4);
    run_call(SYS_clock_gettime, 1, stack, 0, 0, 0);
    run_exited(&r, 77);
    run_call(SYS_clock_gettime, 0, stack, 0, 0, 0);
    run_exited(&r, 77);
    run_call(SYS_arch_prctl, 0x1002, 0x123000, 0, 0, 0);
    run_exited(&r, 77);
}

static void test_spt_forbidden(void **state)
{
    static const struct {
        long nr;
        uint64_t a, b, c, d, e;
    } calls[] = {
        {SYS_read, 0, MADE_BASE, 1, 0, 0},
        {SYS_write, 2, MADE_BASE, 1, 0, 0},
        {SYS_open, MADE_BASE, 0, 0, 0, 0},
        {SYS_openat, 0, MADE_BASE, 0, 0, 0},
        {SYS_close, 1, 0, 0, 0, 0},
        {SYS_mmap, 0, 4096, 7, 0x22, ~UINT64_C(0)},
        {SYS_mprotect, MADE_BASE, 4096, 7, 0, 0},
        {SYS_socket, 2, 1, 0, 0, 0},
        {SYS_execve, MADE_BASE, 0, 0, 0, 0},
        {SYS_fork, 0, 0, 0, 0, 0},
        {SYS_clone, 0, 0, 0, 0, 0},
        {SYS_kill, 1, 9, 0, 0, 0},
        {SYS_dup, 1, 0, 0, 0, 0},
        {SYS_ioctl, 1, 0x5401, 0, 0, 0},
        {SYS_ptrace, 0, 0, 0, 0, 0},
        {SYS_prctl, 22, 0, 0, 0, 0},
        {SYS_arch_prctl, 0x1001, 0, 0, 0, 0},
        {SYS_clock_gettime, 2, MADE_BASE, 0, 0, 0},
        {SYS_clock_settime, 0, MADE_BASE, 0, 0, 0},
        {SYS_pread64, 1, MADE_BASE, 512, 0, 0},
        {SYS_pwrite64, 1, MADE_BASE, 512, 0, 0},
        {SYS_writev, 1, MADE_BASE, 1, 0, 0},
        {SYS_epoll_pwait, 1, MADE_BASE, 1, 0, 0},
        {SYS_epoll_ctl, 3, 1, 1, 0, 0},
        {SYS_rt_sigaction, 15, 0, 0, 8, 0},
        {SYS_seccomp, 0, 0, 0, 0, 0},
        {SYS_write | 0x40000000, 1, MADE_BASE, 1, 0, 0}, /* x32 */
    };

    (void)state;
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        print_message("system call %ld\n", calls[i].nr);
        run_call(calls[i].nr, calls[i].a, calls[i].b, calls[i].c, calls[i].d, calls[i].e);
        run_killed(&r, SIGSYS);
    }
}

/* The 32-bit way into the kernel has other numbers: 4 is write there. */
static void test_spt_int80(void **state)
{
    static const uint8_t code[] = {0xb8, 4, 0, 0, 0, 0xcd, 0x80, 0xf4};

    (void)state;
    make_guest(&made, SOLO5_TARGET_SPT, 1, code, sizeof(code));
    run_init_file(&r, "spt", &made, sizeof(made));
    run_all(&r);
    run_killed(&r, SIGSYS);
}

static void test_spt_protection(void **state)
{
    /* mov %eax, MADE_BASE: code is not writable; jmp to the stack: data is not executable. */
    static const uint8_t write_code[] = {0x89, 0x04, 0x25, 0, 0, 0x10, 0, 0xf4};
    static const uint8_t run_stack[] = {0x48, 0xc7, 0x04, 0x24, 0x90, 0x90, 0x90, 0x90, 0xff, 0xe4};

    (void)state;
    make_guest(&made, SOLO5_TARGET_SPT, 1, write_code, sizeof(write_code));
    run_init_file(&r, "spt", &made, sizeof(made));
    run_all(&r);
    run_killed(&r, SIGSEGV);
    make_guest(&made, SOLO5_TARGET_SPT, 1, run_stack, sizeof(run_stack));
    run_init_file(&r, "spt", &made, sizeof(made));
    run_all(&r);
    run_killed(&r, SIGSEGV);
}

/* mov $arg, %eax; mov $port, %edx; out %eax, %dx */
static void run_out(uint16_t port, uint32_t arg)
{
    struct code c = {.len = 0};
    uint32_t wide = port;

    bytes(&c, "\xb8", 1);
    bytes(&c, &arg, 4);
    bytes(&c, "\xba", 1);
    bytes(&c, &wide, 4);
    bytes(&c, "\xef\xf4", 2);
    make_guest(&made, SOLO5_TARGET_HVT, 1, c.byte, c.len);
    run_init_file(&r, "hvt", &made, sizeof(made));
    run_all(&r);
}

static void test_hvt_calls(void **state)
{
    (void)state;
    need_kvm();
    run_out(0x500, MADE_BASE);
    run_exited(&r, STATUS_GUEST_CALL);
    run_complained(&r, "hypercall 0 does not exist");
    run_out(0x4ff, MADE_BASE);
    run_exited(&r, STATUS_GUEST_CALL);
    run_complained(&r, "forbidden port 0x4ff");
    run_out(0x509, MADE_BASE);
    run_exited(&r, STATUS_GUEST_CALL);
    run_complained(&r, "forbidden port 0x509");
    run_out(0x502, 0xffffffff);
    run_exited(&r, STATUS_GUEST_CALL);
    run_complained(&r, "16 bytes at 0xffffffff are outside");
    run_out(0x502, (4 << 20) - 8); /* straddles the end of memory */
    run_exited(&r, STATUS_GUEST_CALL);
    run_complained(&r, "are outside");
    run_out(0x502, 0x2000); /* the page tables */
    run_exited(&r, STATUS_GUEST_CALL);
    run_complained(&r, "are outside");
    run_out(0x501, MADE_BASE); /* the time into its code, which the tender cannot write either */
    run_exited(&r, STATUS_GUEST_CALL);
    run_complained(&r, "0x100000 is protected");
}

/* PUTS whose length and address wrap around. The argument lies in the code page behind the
 * instructions. */
static void test_hvt_puts_lies(void **state)
{
    static const struct solo5_hvt_puts lies[] = {
        {UINT64_MAX - 3, 8}, {MADE_BASE, UINT64_MAX}, {MADE_BASE, 4 << 20}, {0, 1}, {1ull << 40, 1},
    };
    static const uint8_t code[] = {0xb8, 0x40, 0, 0x10, 0, 0xba, 2, 5, 0, 0, 0xef, 0xf4};

    (void)state;
    need_kvm();
    for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        make_guest(&made, SOLO5_TARGET_HVT, 1, code, sizeof(code));
        memcpy(made.text + 0x40, &lies[i], sizeof(lies[i]));
        run_init_file(&r, "hvt", &made, sizeof(made));
        run_all(&r);
        run_exited(&r, STATUS_GUEST_CALL);
        run_complained(&r, "hypercall 2:");
        assert_int_equal(r.out_len, 0);
    }
}

static void stop_guest(const char *backend, const char *guest, const char *line, int sig, int code)
{
    run_init(&r, backend, guest);
    run_start(&r);
    run_until(&r, line);
    assert_int_equal(kill(r.pid, sig), 0);
    run_wait(&r);
    run_exited(&r, code);
}

static void test_signals_spt(void **state)
{
    (void)state;
    stop_guest("spt", "spin", "busy", SIGTERM, STATUS_TERMINATED);
    stop_guest("spt", "idle", "waiting", SIGTERM, STATUS_TERMINATED);
    stop_guest("spt", "idle", "waiting", SIGINT, 130);
}

static void test_signals_hvt(void **state)
{
    (void)state;
    need_kvm();
    stop_guest("hvt", "spin", "busy", SIGTERM, STATUS_TERMINATED);
    stop_guest("hvt", "idle", "waiting", SIGTERM, STATUS_TERMINATED);
}

/* As pid 1 a process without a handler would not notice SIGTERM at all. */
static void test_signal_as_init(void **state)
{
    pid_t pid;

    (void)state;
    run_init(&r, "spt", "spin");
    r.pid_namespace = 1;
    run_start(&r);
    run_until(&r, "busy");
    assert_true(read(r.err_fd, r.err, sizeof(r.err) - 1) > 0);
    assert_memory_equal(r.err, "pid ", 4);
    pid = (pid_t)strtol(r.err + 4, NULL, 10);
    assert_true(pid > 1);
    assert_int_equal(kill(pid, SIGTERM), 0);
    run_wait(&r);
    run_exited(&r, STATUS_TERMINATED);
}

static void run_confined(const char *backend)
{
    int disk = temp_disk(4096, "disk text", O_RDWR);

    run_init(&r, backend, "blk");
    r.confined = 1;
    r.options[0] = "--block=storage:12";
    r.devices[0] = disk;
    run_all(&r);
    run_exited(&r, 0);
    run_said(&r, "written and verified");
    (void)close(disk);
}

/* In an empty root, as nobody, executed by descriptor: no path, no capability is needed. */
static void test_confined_spt(void **state)
{
    (void)state;
    run_confined("spt");
}

static void test_confined_hvt(void **state)
{
    (void)state;
    need_kvm();
    run_confined("hvt");
}

/* A descriptor that nobody named is closed before the guest runs. */
static void test_stray_descriptor(void **state)
{
    int ends[2];
    struct pollfd pfd = {.events = POLLIN};

    (void)state;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    run_init(&r, "spt", "idle");
    r.devices[2] = ends[1];
    run_start(&r);
    (void)close(ends[1]);
    run_until(&r, "waiting");
    pfd.fd = ends[0];
    assert_int_equal(poll(&pfd, 1, 30000), 1);
    assert_true(pfd.revents & POLLHUP);
    (void)close(ends[0]);
    assert_int_equal(kill(r.pid, SIGKILL), 0);
    run_wait(&r);
    run_killed(&r, SIGKILL);
}

static FILE *proc_file(pid_t pid, const char *name)
{
    char path[64];
    FILE *f;

    (void)snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
    f = fopen(path, "re");
    assert_non_null(f);
    return f;
}

/* Sum of Pss over all mappings that are not guest memory: those below 4 GiB are the guest's under
 * spt. */
static long pss_outside_guest(pid_t pid)
{
    FILE *f = proc_file(pid, "smaps");
    unsigned long start = 0;
    long sum = 0;
    char line[512];

    while (fgets(line, sizeof(line), f) != NULL) {
        char *rest;
        unsigned long number = strtoul(line, &rest, 16);
        if (rest != line && *rest == '-')
            start = number;
        else if (strncmp(line, "Pss:", 4) == 0 && start >= UINT64_C(1) << 32)
            sum += strtol(line + 4, NULL, 10);
    }
    (void)fclose(f);
    return sum;
}

static void test_status_and_memory(void **state)
{
    char all[8192] = "";
    FILE *f;
    long pss;

    (void)state;
    run_init(&r, "spt", "idle");
    run_start(&r);
    run_until(&r, "waiting");
    f = proc_file(r.pid, "status");
    assert_true(fread(all, 1, sizeof(all) - 1, f) > 0);
    (void)fclose(f);
    pss = pss_outside_guest(r.pid);
    assert_int_equal(kill(r.pid, SIGKILL), 0);
    run_wait(&r);
    assert_non_null(strstr(all, "NoNewPrivs:\t1\n"));
    assert_non_null(strstr(all, "Seccomp:\t2\n"));
    assert_non_null(strstr(all, "Threads:\t1\n"));
    print_message("PSS outside guest memory: %ld KiB\n", pss);
    assert_in_range(pss, 1, PSS_MAX_KIB);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spt_allowed),       cmocka_unit_test(test_spt_forbidden),
        cmocka_unit_test(test_spt_int80),         cmocka_unit_test(test_spt_protection),
        cmocka_unit_test(test_hvt_calls),         cmocka_unit_test(test_hvt_puts_lies),
        cmocka_unit_test(test_signals_spt),       cmocka_unit_test(test_signals_hvt),
        cmocka_unit_test(test_signal_as_init),    cmocka_unit_test(test_confined_spt),
        cmocka_unit_test(test_confined_hvt),      cmocka_unit_test(test_stray_descriptor),
        cmocka_unit_test(test_status_and_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
