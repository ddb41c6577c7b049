/* SPDX-License-Identifier: Apache-2.0 */
/* See run_tender.h. */
#include "vmm/tender/tests/run_tender.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/kvm.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PARK_FD 100 /* descriptors wait here, out of the way of the numbers they shall get */

static const char *folder(const char *name)
{
    const char *value = getenv(name);

    if (value == NULL)
        fail_msg("%s is not set: run this by ctest", name);
    return value;
}

void run_init(struct run *r, const char *backend, const char *guest)
{
    char path[4096];

    memset(r, 0, sizeof(*r));
    r->backend = backend;
    (void)snprintf(path, sizeof(path), "%s/%s.%s", folder("UNICRI_UNIKERNELS"), guest, backend);
    r->kernel = open(path, O_RDONLY | O_CLOEXEC);
    if (r->kernel < 0)
        fail_msg("guest '%s': %s; the target e2e/unikernels builds it", path, strerror(errno));
}

void run_init_file(struct run *r, const char *backend, const void *bytes, size_t len)
{
    memset(r, 0, sizeof(*r));
    r->backend = backend;
    r->kernel = memfd_create("guest", MFD_CLOEXEC);
    assert_true(r->kernel >= 0);
    assert_int_equal(write(r->kernel, bytes, len), len);
}

/* execv() takes what it does not change as if it might. */
static char *unconst(const char *s)
{
    union {
        const char *from;
        char *to;
    } u = {.from = s};

    return u.to;
}

static void place(int fd, int number)
{
    if (dup2(fd, number) != number)
        _exit(120);
}

/* As the launcher does it: the program is found by descriptor, and nothing else is to be found. */
static void exec_confined(const char *program, char **argv)
{
    char *const env[] = {NULL};
    char root[] = "/tmp/unicri-tender-root-XXXXXX";
    int fd = open(program, O_PATH | O_CLOEXEC);

    if (fd < 0 || mkdtemp(root) == NULL || chdir(root) != 0 || rmdir(root) != 0 || chroot(".") != 0)
        _exit(
            117); /* a directory that is deleted already: empty for good, and nothing to clean up */
    if (setgroups(0, NULL) != 0 || setresgid(65534, 65534, 65534) != 0 ||
        setresuid(65534, 65534, 65534) != 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        _exit(118);
    (void)syscall(SYS_execveat, fd, "", argv, env, AT_EMPTY_PATH);
    _exit(119);
}

static void exec_tender(const struct run *r, const char *program, int out, int err, int kvm)
{
    char backend[32], mem[64];
    char *argv[48] = {(char *)"unicri-tender", backend, (char *)"--kernel-fd=10", mem};
    int n = 4;
    struct rlimit const no_core = {0, 0};

    (void)setrlimit(RLIMIT_CORE, &no_core);
    (void)snprintf(backend, sizeof(backend), "--backend=%s", r->backend);
    (void)snprintf(mem, sizeof(mem), "--mem=%s", r->mem != NULL ? r->mem : "4194304");
    if (kvm >= 0)
        argv[n++] = (char *)"--kvm-fd=11";
    for (int i = 0; r->options[i] != NULL; i++)
        argv[n++] = unconst(r->options[i]);
    argv[n++] = (char *)"--";
    for (int i = 0; i < RUN_ARGS_MAX && r->args[i] != NULL; i++)
        argv[n++] = unconst(r->args[i]);
    place(r->kernel, PARK_FD);
    if (kvm >= 0)
        place(kvm, PARK_FD + 1);
    for (int i = 0; i < RUN_DEVICES_MAX; i++)
        if (r->devices[i] > 0)
            place(r->devices[i], PARK_FD + 2 + i);
    place(out, STDOUT_FILENO);
    place(err, STDERR_FILENO);
    (void)close_range(3, PARK_FD - 1, 0);
    for (int i = 0; i < RUN_DEVICES_MAX + 2; i++)
        if (fcntl(PARK_FD + i, F_GETFD) >= 0)
            place(PARK_FD + i, RUN_FIRST_FD + i);
    (void)close_range(PARK_FD, ~0u, 0);
    if (r->confined)
        exec_confined(program, argv);
    execv(program, argv);
    _exit(121);
}

/* The tender as pid 1: a second child is born into the new namespace; its status is passed on. */
static void exec_in_namespace(const struct run *r, const char *program, int out, int err, int kvm)
{
    int status;
    pid_t pid;

    if (unshare(CLONE_NEWPID) != 0)
        _exit(122);
    pid = fork();
    if (pid == 0)
        exec_tender(r, program, out, err, kvm);
    (void)dprintf(err, "pid %d\n", pid);
    (void)close(out);
    (void)close(err);
    while (waitpid(pid, &status, 0) < 0)
        ;
    if (WIFEXITED(status))
        _exit(WEXITSTATUS(status));
    (void)signal(WTERMSIG(status), SIG_DFL);
    (void)raise(WTERMSIG(status));
    _exit(123);
}

void run_start(struct run *r)
{
    char program[4096];
    int out[2], err[2], kvm = -1;

    (void)snprintf(program, sizeof(program), "%s/unicri-tender", folder("UNICRI_BIN"));
    if (strcmp(r->backend, "hvt") == 0)
        kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    assert_int_equal(pipe2(err, O_CLOEXEC), 0);
    r->pid = fork();
    assert_true(r->pid >= 0);
    if (r->pid == 0) {
        if (r->pid_namespace)
            exec_in_namespace(r, program, out[1], err[1], kvm);
        exec_tender(r, program, out[1], err[1], kvm);
    }
    (void)close(out[1]);
    (void)close(err[1]);
    (void)close(kvm);
    (void)close(r->kernel);
    r->out_fd = out[0];
    r->err_fd = err[0];
}

static int64_t now_ms(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void give_up(struct run *r, const char *why)
{
    (void)kill(r->pid, SIGKILL);
    (void)waitpid(r->pid, &r->status, 0);
    fail_msg("%s within %d ms; console '%.200s', diagnostics '%.200s'", why, RUN_DEADLINE_MS,
             r->out, r->err);
}

/* Returns 0 at the end of the console. What does not fit is dropped. */
static int read_console(struct run *r, int64_t deadline)
{
    struct pollfd pfd = {.fd = r->out_fd, .events = POLLIN};
    char buf[4096];
    int64_t left = deadline - now_ms();
    ssize_t n;

    if (left <= 0 || poll(&pfd, 1, (int)left) == 0)
        give_up(r, "the guest did not speak or end");
    n = read(r->out_fd, buf, sizeof(buf));
    if (n <= 0)
        return 0;
    if (r->out_len + (size_t)n <= RUN_CONSOLE_MAX) {
        memcpy(r->out + r->out_len, buf, (size_t)n);
        r->out_len += (size_t)n;
    }
    return 1;
}

void run_until(struct run *r, const char *text)
{
    int64_t deadline = now_ms() + RUN_DEADLINE_MS;

    while (strstr(r->out, text) == NULL)
        if (!read_console(r, deadline))
            give_up(r, "the guest ended instead of speaking");
}

void run_wait(struct run *r)
{
    int64_t deadline = now_ms() + RUN_DEADLINE_MS;
    ssize_t n;

    while (read_console(r, deadline))
        ;
    n = read(r->err_fd, r->err, sizeof(r->err) - 1); /* one line, or the end */
    r->err[n > 0 ? n : 0] = '\0';
    (void)close(r->out_fd);
    (void)close(r->err_fd);
    assert_int_equal(waitpid(r->pid, &r->status, 0), r->pid);
}

void run_all(struct run *r)
{
    run_start(r);
    run_wait(r);
}

void run_exited(const struct run *r, int code)
{
    if (!WIFEXITED(r->status) || WEXITSTATUS(r->status) != code)
        fail_msg("status 0x%x instead of exit code %d; console '%.300s', diagnostics '%s'",
                 r->status, code, r->out, r->err);
}

void run_killed(const struct run *r, int sig)
{
    if (!WIFSIGNALED(r->status) || WTERMSIG(r->status) != sig)
        fail_msg("status 0x%x instead of signal %d; console '%.300s', diagnostics '%s'", r->status,
                 sig, r->out, r->err);
}

void run_said(const struct run *r, const char *text)
{
    if (strstr(r->out, text) == NULL)
        fail_msg("'%s' is not on the console '%.400s'; diagnostics '%s'", text, r->out, r->err);
}

void run_complained(const struct run *r, const char *text)
{
    if (strncmp(r->err, "unicri-tender: ", 15) != 0 || strstr(r->err, text) == NULL)
        fail_msg("'%s' is not in the diagnostics '%s'", text, r->err);
}

const char *kvm_missing(void)
{
    static char why[200];
    int vm, vcpu, kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);

    if (kvm < 0) {
        (void)snprintf(why, sizeof(why), "/dev/kvm cannot be opened: %s", strerror(errno));
        return why;
    }
    vm = ioctl(kvm, KVM_CREATE_VM, 0);
    vcpu = vm < 0 ? -1 : ioctl(vm, KVM_CREATE_VCPU, 0);
    why[0] = '\0';
    if (vcpu < 0)
        (void)snprintf(why, sizeof(why), "KVM makes no vcpu: %s", strerror(errno));
    else if (ioctl(kvm, KVM_CHECK_EXTENSION, KVM_CAP_GET_TSC_KHZ) <= 0 ||
             ioctl(vcpu, KVM_GET_TSC_KHZ, 0) <= 0)
        (void)snprintf(why, sizeof(why), "KVM does not tell the TSC frequency");
    (void)close(vcpu);
    (void)close(vm);
    (void)close(kvm);
    return why[0] != '\0' ? why : NULL;
}

int temp_disk(size_t size, const char *text, int flags)
{
    char path[] = "/tmp/unicri-tender-disk-XXXXXX";
    int fd = mkstemp(path), again;

    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)size), 0);
    assert_int_equal(pwrite(fd, text, strlen(text), 0), strlen(text));
    again = open(path, flags | O_CLOEXEC);
    (void)unlink(path);
    (void)close(fd);
    assert_true(again >= 0);
    return again;
}
