/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jail-probe: run in the jail of a VMM by test_jail. `report` prints what it is and has; `try NAME`
 * attempts one thing that a VMM must not be able to do and exits with 0 if it worked, 10 if it was
 * refused with EPERM, 11 with another error; `look PATH...` tells of files, `fill DIR` writes;
 * `wait` waits.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/netlink.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static void print_limit(const char *name, __rlimit_resource_t resource)
{
    struct rlimit r = {0, 0};

    (void)getrlimit(resource, &r);
    printf("%s %lld %lld\n", name, (long long)r.rlim_cur, (long long)r.rlim_max);
}

static int report(int argc, char **argv)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct caps[2];
    struct utsname names;
    uid_t u[3];
    gid_t g[3];
    int bounding = 0, open_fds = 0;

    (void)syscall(SYS_capget, &head, caps);
    for (int i = 0; i < 64; i++)
        bounding += prctl(PR_CAPBSET_READ, i, 0, 0, 0) == 1;
    for (int i = 0; i < 1024; i++)
        open_fds += fcntl(i, F_GETFD) >= 0;
    (void)getresuid(&u[0], &u[1], &u[2]);
    (void)getresgid(&g[0], &g[1], &g[2]);
    (void)uname(&names);
    printf("uid %u %u %u\ngid %u %u %u\ngroups %d\n", u[0], u[1], u[2], g[0], g[1], g[2],
           getgroups(0, NULL));
    printf("caps %x%x%x%x%x%x bounding %d\n", caps[0].effective, caps[1].effective,
           caps[0].permitted, caps[1].permitted, caps[0].inheritable, caps[1].inheritable,
           bounding);
    printf("nnp %d seccomp %d securebits %x\n", prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0),
           prctl(PR_GET_SECCOMP, 0, 0, 0, 0), (unsigned)prctl(PR_GET_SECUREBITS, 0, 0, 0, 0));
    printf("pid %d host %s fds %d\n", getpid(), names.nodename, open_fds);
    print_limit("core", RLIMIT_CORE);
    print_limit("nofile", RLIMIT_NOFILE);
    print_limit("fsize", RLIMIT_FSIZE);
    for (char **e = environ; *e; e++)
        printf("env %s\n", *e);
    for (int i = 2; i < argc; i++)
        printf("arg %s\n", argv[i]);
    for (int i = 3; i < 10; i++) {
        char text[64];
        ssize_t n = pread(i, text, sizeof(text) - 1, 0);

        if (n > 0)
            printf("fd %d %.*s\n", i, (int)n, text);
    }
    return 0;
}

/* `files`: what the root holds: for each path given whether it can be read, written, executed. */
static int look(int argc, char **argv)
{
    gid_t groups[8];
    int n = getgroups(8, groups);

    for (int i = 0; i < n; i++)
        printf("group %u\n", groups[i]);
    for (int i = 2; i < argc; i++) {
        char text[64] = "";
        int in = open(argv[i], O_RDONLY | O_CLOEXEC | O_NONBLOCK), why = errno;
        int out = open(argv[i], O_WRONLY | O_CLOEXEC | O_NONBLOCK);
        ssize_t len = in >= 0 ? read(in, text, sizeof(text) - 1) : -1;

        printf("%s: %s %s%s%.*s\n", argv[i], in >= 0 ? "read" : strerror(why),
               out >= 0 ? "write" : "no-write", len > 0 ? " " : "", len > 0 ? (int)len : 0, text);
    }
    return 0;
}

/* `fill DIR`: how many KiB can be written there. */
static int fill(const char *dir)
{
    static char block[4096];
    char path[256];
    int fd, n = 0;

    (void)snprintf(path, sizeof(path), "%s/file", dir);
    fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    if (fd < 0) {
        printf("create: %s\n", strerror(errno));
        return 1;
    }
    while (write(fd, block, sizeof(block)) == (ssize_t)sizeof(block))
        n++;
    printf("filled %d KiB: %s\n", n * 4, strerror(errno));
    return 0;
}

static long try_fork(void)
{
    long pid = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);

    if (pid == 0)
        _exit(0);
    return pid;
}

/* A datagram to an internet address: an empty network has no way there, but the call goes through.
 */
static long send_udp(void)
{
    const unsigned char to[16] = {AF_INET, 0, 0, 9, 127, 0, 0, 1};
    int fd = socket(AF_INET, SOCK_DGRAM, 0);

    return fd < 0 ? -1 : sendto(fd, "x", 1, 0, (const void *)to, sizeof(to));
}

static long bind_udp(void)
{
    const unsigned char at[16] = {AF_INET};
    int fd = socket(AF_INET, SOCK_DGRAM, 0);

    return fd < 0 ? -1 : bind(fd, (const void *)at, sizeof(at));
}

static long message_udp(void)
{
    unsigned char to[16] = {AF_INET, 0, 0, 9, 127, 0, 0, 1};
    struct msghdr m = {.msg_name = to, .msg_namelen = sizeof(to)};
    int fd = socket(AF_INET, SOCK_DGRAM, 0);

    return fd < 0 ? -1 : sendmsg(fd, &m, 0);
}

static long pair(int type)
{
    int fds[2];

    return socketpair(AF_UNIX, type, 0, fds);
}

/* Whether the answer is not the filter's: ENOTTY is no error of a pipe here. */
static long ask_stdout(unsigned long request)
{
    int n = 0;

    return ioctl(1, request, &n);
}

static long attempt(const char *name)
{
    static const struct {
        const char *name;
        long nr, a, b, c;
    } calls[] = {
        {"open", SYS_openat, AT_FDCWD, (long)"/", O_RDONLY},
        {"create", SYS_openat, AT_FDCWD, (long)"/x", O_CREAT | O_RDWR},
        {"socket", SYS_socket, AF_INET, SOCK_STREAM, 0},
        {"unix", SYS_socket, AF_UNIX, SOCK_STREAM, 0},
        {"unix-dgram", SYS_socket, AF_UNIX, SOCK_DGRAM, 0},
        {"udp", SYS_socket, AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0},
        {"udp6", SYS_socket, AF_INET6, SOCK_DGRAM, 0},
        {"raw", SYS_socket, AF_INET, SOCK_RAW, 1},
        {"rtnetlink", SYS_socket, AF_NETLINK, SOCK_RAW, NETLINK_ROUTE},
        {"netfilter", SYS_socket, AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER},
        {"packet", SYS_socket, AF_PACKET, SOCK_RAW, 0},
        {"mkdir", SYS_mkdirat, AT_FDCWD, (long)"/d", 0700},
        {"mount", SYS_mount, (long)"x", (long)"/", (long)"tmpfs"},
        {"ptrace", SYS_ptrace, PTRACE_TRACEME, 0, 0},
        {"bpf", SYS_bpf, 0, 0, 0},
        {"io_uring", SYS_io_uring_setup, 1, 0, 0},
        {"keyctl", SYS_keyctl, 0, 0, 0},
        {"unshare", SYS_unshare, CLONE_NEWUSER, 0, 0},
        {"setns", SYS_setns, 0, 0, 0},
        {"userfaultfd", SYS_userfaultfd, 0, 0, 0},
        {"perf", SYS_perf_event_open, 0, 0, 0},
        {"execve", SYS_execve, (long)"/x", 0, 0},
        {"execveat", SYS_execveat, 3, (long)"", 0},
        {"chroot", SYS_chroot, (long)"/", 0, 0},
        {"handle", SYS_open_by_handle_at, 0, 0, 0},
        {"module", SYS_init_module, 0, 0, 0},
        {"setuid", SYS_setuid, 0, 0, 0},
        {"setgroups", SYS_setgroups, 0, 0, 0},
        {"kill", SYS_kill, -1, 0, 0},
        {"memfd", SYS_memfd_create, (long)"x", 0, 0},
        {"personality", SYS_personality, READ_IMPLIES_EXEC, 0, 0},
        {"clone3", SYS_clone3, 0, 0, 0},
        {"chmod", SYS_fchmod, 1, 0777, 0},
        {"nice", SYS_setpriority, 0, 0, -10},
        {"xattr", SYS_fsetxattr, 1, 0, 0},
    };
    struct rlimit more = {.rlim_cur = 1024, .rlim_max = 1024};

    if (strcmp(name, "fork") == 0)
        return try_fork();
    if (strcmp(name, "send-udp") == 0)
        return send_udp();
    if (strcmp(name, "bind-udp") == 0)
        return bind_udp();
    if (strcmp(name, "message-udp") == 0)
        return message_udp();
    if (strcmp(name, "pair") == 0)
        return pair(SOCK_STREAM | SOCK_CLOEXEC);
    if (strcmp(name, "pair-dgram") == 0)
        return pair(SOCK_DGRAM);
    if (strcmp(name, "fionread") == 0)
        return ask_stdout(FIONREAD);
    if (strcmp(name, "tiocsti") == 0)
        return ask_stdout(TIOCSTI);
    if (strcmp(name, "limit") == 0)
        return setrlimit(RLIMIT_NOFILE, &more);
    if (strcmp(name, "dup-program") == 0) /* the number of the one program that may be executed */
        return dup2(0, 255);
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
        if (strcmp(calls[i].name, name) == 0)
            return syscall(calls[i].nr, calls[i].a, calls[i].b, calls[i].c, 0, 0);
    return 0;
}

int main(int argc, char **argv)
{
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc >= 2 && strcmp(argv[1], "report") == 0)
        return report(argc, argv);
    if (argc >= 2 && strcmp(argv[1], "look") == 0)
        return look(argc, argv);
    if (argc == 3 && strcmp(argv[1], "fill") == 0)
        return fill(argv[2]);
    if (argc == 3 && strcmp(argv[1], "try") == 0) {
        if (attempt(argv[2]) >= 0)
            return 0;
        return errno == EPERM ? 10 : 11;
    }
    if (argc == 2 && strcmp(argv[1], "echo") == 0) {
        char c;

        while (read(0, &c, 1) == 1)
            (void)!write(1, &c, 1);
        return 0;
    }
    if (argc == 2 && strcmp(argv[1], "complain") == 0) {
        for (int i = 0; i < 200; i++)
            printf("line %d\n", i);
        (void)fputs("\tdone\n", stdout);
        (void)fputs("first line\nprobe: this went wrong\n", stderr);
        return 125;
    }
    if (argc == 2 && strcmp(argv[1], "hog") == 0) {
        for (;;) {
            /* Until it is killed. NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
            char *p = malloc(1 << 20);

            if (!p)
                return 1;
            memset(p, 1, 1 << 20);
        }
    }
    printf("waiting\n");
    for (;;) {
        struct timespec day = {.tv_sec = 86400};

        nanosleep(&day, NULL);
    }
}
