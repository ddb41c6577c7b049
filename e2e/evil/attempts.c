/* SPDX-License-Identifier: Apache-2.0 */
/* The ways out that evil-vmm knows. All of them must fail in every jail, whatever its root holds.
 */
#include "evil_vmm.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/fs.h>
#include <linux/fscrypt.h>
#include <linux/if_tun.h>
#include <linux/kvm.h>
#include <linux/loop.h>
#include <linux/nsfs.h>
#include <linux/openat2.h>
#include <linux/securebits.h>
#include <linux/vhost.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <scsi/sg.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>

#ifndef SIOCGSKNS
#define SIOCGSKNS 0x894C
#endif
#define P(s)         ((long)(s))
#define FDS          64
#define LIBRARY      "/usr/lib/x86_64-linux-gnu/libc.so.6"
#define FILL_MAX     (64L << 20)
#define THREAD_STACK 16384

/* ---------------------------------------------------------------- descriptors that it was given */

static long each_fd(long (*f)(int fd))
{
    long result = -1;

    errno = EBADF;
    for (int fd = 0; fd < FDS && result < 0; fd++)
        result = f(fd);
    return result;
}
static long fd_dir(int fd)
{
    return fchdir(fd);
}
static long fd_parent(int fd)
{
    return openat(fd, "..", O_RDONLY | O_DIRECTORY);
}
static long fd_netns(int fd)
{
    return ioctl(fd, SIOCGSKNS);
}
long evil_ask(unsigned long request, long argument)
{
    long result = -1;

    errno = EBADF;
    for (int fd = 0; fd < FDS && result < 0; fd++)
        result = ioctl(fd, request, argument);
    return result;
}
static long fd_other_tap(int fd)
{
    struct ifreq req = {.ifr_flags = IFF_TAP | IFF_NO_PI, .ifr_name = "evil0"};

    return ioctl(fd, TUNSETIFF, &req);
}
static long new_tap(void)
{
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

    return fd < 0 ? -1 : fd_other_tap(fd);
}
static long fd_type(int fd)
{
    return ioctl(fd, TIOCSTI, "x");
}
static long given_directories(void)
{
    return each_fd(fd_dir);
}
static long given_parents(void)
{
    return each_fd(fd_parent);
}
static long given_netns(void)
{
    return each_fd(fd_netns);
}
static long given_tap(void)
{
    return each_fd(fd_other_tap);
}
static long given_terminal(void)
{
    return each_fd(fd_type);
}

/* ---------------------------------------------------------------- files and sockets */

static long resolve(void)
{
    struct open_how how = {.flags = O_RDONLY};

    return syscall(SYS_openat2, AT_FDCWD, "/../../proc/1/root/etc/passwd", &how, sizeof(how));
}
static long connect_to(const char *path, size_t len)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    memcpy(to.sun_path, path, len);
    return fd < 0 ? -1
                  : connect(fd, (void *)&to,
                            (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len));
}
static long connect_daemon(void)
{
    return connect_to("/run/unicri/unicri.sock", 23);
}
static long connect_abstract(void) /* the test listens there, outside the pod */
{
    return connect_to("\0unicri-evil-test", 17);
}
static long abstract_datagram(void)
{
    static const char name[] = "\0unicri-evil-datagram";
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    memcpy(to.sun_path, name, sizeof(name) - 1);
    return fd < 0 ? -1
                  : sendto(fd, "x", 1, MSG_DONTWAIT, (void *)&to,
                           (socklen_t)(offsetof(struct sockaddr_un, sun_path) + sizeof(name) - 1));
}
static long datagram_pair(void)
{
    int fds[2];

    return socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, fds);
}
static struct sockaddr_in neighbour(void)
{
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons(9),
                                .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
}
static long send_neighbour(void)
{
    struct sockaddr_in to = neighbour();
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    return fd < 0 ? -1 : sendto(fd, "x", 1, MSG_DONTWAIT, (void *)&to, sizeof(to));
}
static long message_neighbour(void)
{
    struct sockaddr_in to = neighbour();
    struct iovec byte = {.iov_base = &to, .iov_len = 1};
    struct msghdr m = {
        .msg_name = &to, .msg_namelen = sizeof(to), .msg_iov = &byte, .msg_iovlen = 1};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    return fd < 0 ? -1 : sendmsg(fd, &m, MSG_DONTWAIT);
}
static long listen_neighbour(void)
{
    struct sockaddr_in at = neighbour();
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    at.sin_port = 0;
    return fd < 0 ? -1 : bind(fd, (void *)&at, sizeof(at));
}
static long connect_neighbour(void)
{
    struct sockaddr_in to = neighbour();
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    return fd < 0 ? -1 : connect(fd, (void *)&to, sizeof(to));
}
static long thread_in_user_namespace(void)
{
    return syscall(SYS_clone,
                   CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_NEWUSER,
                   0, 0, 0, 0);
}
static long execute_memory(void)
{
    char *const argv[] = {(char[]){"sh"}, NULL};
    int fd = (int)syscall(SYS_memfd_create, "x", 0);

    return fd < 0 ? -1 : syscall(SYS_execveat, fd, "", argv, NULL, AT_EMPTY_PATH);
}

/* ---------------------------------------------------------------- in a share */

/* A file server has files that it may write to, and is root among them. */
#define SHARED "/share/out/thing"

static int shared_file(void)
{
    int fd = open(SHARED, O_CREAT | O_RDWR | O_CLOEXEC, 0600);

    if (fd >= 0)
        (void)close(fd);
    return fd < 0 ? -1 : 0;
}
static long shared_device(void)
{
    return mknodat(AT_FDCWD, "/share/out/disk", S_IFBLK | 0600, makedev(8, 0));
}
static long shared_chown(void)
{
    return shared_file() < 0 ? -1 : fchownat(AT_FDCWD, SHARED, 1, 1, 0);
}
static long shared_execute(void)
{
    char *const argv[] = {(char[]){"x"}, NULL};
    int fd = open("/share/out/log", O_RDONLY | O_CLOEXEC);

    return fd < 0 ? -1 : syscall(SYS_execveat, fd, "", argv, NULL, AT_EMPTY_PATH);
}
/* The way out of a chroot() that every process with the capability knows. */
static long leave_root(void)
{
    if (mkdirat(AT_FDCWD, "/share/out/room", 0700) < 0 && errno != EEXIST)
        return -1;
    if (syscall(SYS_chroot, "/share/out/room") < 0)
        return -1;
    for (int i = 0; i < 64; i++)
        if (syscall(SYS_chdir, "..") < 0)
            return -1;
    if (syscall(SYS_chroot, ".") < 0)
        return -1;
    return open("/etc/passwd", O_RDONLY | O_CLOEXEC);
}
static long other_user(void)
{
    return syscall(SYS_setresuid, 1000, 1000, 1000);
}
static long mount_of_own(void)
{
    return syscall(SYS_unshare, CLONE_NEWNS | CLONE_FS);
}

/* ---------------------------------------------------------------- privileges */

static long caps(void)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct all[2] = {{~0U, ~0U, ~0U}, {~0U, ~0U, ~0U}};

    return syscall(SYS_capset, &head, all);
}
static long more_files(void)
{
    struct rlimit r = {.rlim_cur = 1 << 20, .rlim_max = 1 << 20};

    return setrlimit(RLIMIT_NOFILE, &r);
}
static long real_time(void)
{
    struct sched_param p = {.sched_priority = 50};

    return syscall(SYS_sched_setscheduler, 0, SCHED_FIFO, &p);
}
static long x32(void)
{
    return syscall(0x40000000 | SYS_getpid);
}
static long i386(void)
{
    long result = 20; /* getpid */

    __asm__ volatile("int $0x80" : "+a"(result) : : "memory", "r8", "r9", "r10", "r11");
    return result;
}

/* ---------------------------------------------------------------- exhaustion */

static long fork_bomb(void)
{
    long n = 0, pid;

    while ((pid = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0)) >= 0 && n < 1000) {
        if (pid == 0)
            for (;;)
                (void)pause();
        n++;
    }
    return n ? n : -1;
}
static int thread(void *arg)
{
    while (!arg)
        (void)syscall(SYS_nanosleep, &(struct timespec){.tv_sec = 3600}, NULL);
    return 0;
}
static long thread_bomb(void)
{
    static char stacks[256][THREAD_STACK];
    long n = 0;

    while (n < 256 &&
           clone(thread, stacks[n] + THREAD_STACK,
                 CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD, NULL) > 0)
        n++;
    return n;
}
static long descriptor_bomb(void)
{
    long n = 0;

    while (n < 4096 && dup(1) >= 0)
        n++;
    for (int fd = FDS; fd < 4096; fd++)
        (void)close(fd);
    return n;
}
static long fill_disk(void)
{
    static const char *const dirs[] = {"/", "/tmp", "/run", "/var/tmp", "/dev", "/dev/shm", "/etc"};
    static char block[65536];
    long total = 0;

    for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
        char path[64] = "";
        int fd;
        ssize_t n = 0;

        (void)strncat(path, dirs[i], 40);
        (void)strncat(path, "/fill", 10);
        fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
        while (fd >= 0 && total <= FILL_MAX && (n = write(fd, block, sizeof(block))) > 0)
            total += n;
        (void)close(fd);
    }
    return total;
}

#define CALL(name, nr, ...)                                                                        \
    {                                                                                              \
        name, NULL, nr, __VA_ARGS__                                                                \
    }
#define ASK(name, request, argument)                                                               \
    {                                                                                              \
        name, NULL, EVERY_FD, (long)(request), P(argument), 0, 0, 0                                \
    }
#define DO(name, f)                                                                                \
    {                                                                                              \
        name, f, 0, 0, 0, 0, 0, 0                                                                  \
    }
#define UP_TO(name, f, bound)                                                                      \
    {                                                                                              \
        name, f, 0, 0, 0, 0, 0, bound                                                              \
    }

/* clang-format off */
const struct attempt evil_attempts[] = {
    /* files */
    CALL("read /etc/passwd", SYS_open, P("/etc/passwd"), O_RDONLY, 0, 0, 0),
    CALL("read by ..", SYS_open, P("../../../../../../etc/passwd"), O_RDONLY, 0, 0, 0),
    DO("read by /proc/1/root", resolve),
    CALL("read /proc/self/maps", SYS_open, P("/proc/self/maps"), O_RDONLY, 0, 0, 0),
    CALL("write /sys", SYS_open, P("/sys/kernel/uevent_helper"), O_WRONLY, 0, 0, 0),
    CALL("open /dev/mem", SYS_open, P("/dev/mem"), O_RDWR, 0, 0, 0),
    CALL("open /dev/net/tun", SYS_open, P("/dev/net/tun"), O_RDWR, 0, 0, 0),
    CALL("create /x", SYS_open, P("/x"), O_CREAT | O_RDWR, 0600, 0, 0),
    CALL("nameless file", SYS_open, P("/"), O_TMPFILE | O_RDWR, 0600, 0, 0),
    CALL("make directory", SYS_mkdirat, AT_FDCWD, P("/d"), 0700, 0, 0),
    CALL("make disk", SYS_mknodat, AT_FDCWD, P("/disk"), S_IFBLK | 0600, 0x800, 0),
    CALL("make mem", SYS_mknodat, AT_FDCWD, P("/mem"), S_IFCHR | 0600, 0x101, 0),
    CALL("symlink", SYS_symlinkat, P("/etc"), AT_FDCWD, P("/l"), 0, 0),
    CALL("link kernel", SYS_linkat, AT_FDCWD, P("/kernel"), AT_FDCWD, P("/k"), 0),
    CALL("unlink kernel", SYS_unlinkat, AT_FDCWD, P("/kernel"), 0, 0, 0),
    CALL("rename kernel", SYS_renameat, AT_FDCWD, P("/kernel"), AT_FDCWD, P("/k"), 0),
    CALL("write kernel", SYS_open, P("/kernel"), O_RDWR, 0, 0, 0),
    CALL("truncate kernel", SYS_truncate, P("/kernel"), 0, 0, 0, 0),
    CALL("chmod kernel", SYS_fchmodat, AT_FDCWD, P("/kernel"), 04777, 0, 0),
    CALL("chown kernel", SYS_fchownat, AT_FDCWD, P("/kernel"), 0, 0, 0),
    CALL("xattr kernel", SYS_setxattr, P("/kernel"), P("user.x"), P("y"), 1, 0),
    CALL("write library", SYS_open, P(LIBRARY), O_WRONLY, 0, 0, 0),
    CALL("chmod library", SYS_fchmodat, AT_FDCWD, P(LIBRARY), 0777, 0, 0),
    CALL("open by handle", SYS_open_by_handle_at, 0, 0, 0, 0, 0),
    CALL("name to handle", SYS_name_to_handle_at, AT_FDCWD, P("/"), 0, 0, 0),
    /* what it was given */
    DO("given directories", given_directories),
    DO("parents of given directories", given_parents),
    DO("network namespace of a tap", given_netns),
    DO("another tap", given_tap),
    DO("a tap of its own", new_tap),
    DO("type into a terminal", given_terminal),
    ASK("paste into a terminal", TIOCLINUX, "\x03"),
    ASK("take the console", TIOCCONS, 0),
    ASK("take a terminal", TIOCSCTTY, 1),
    ASK("line discipline", TIOCSETD, "\0\0\0"),
    ASK("a tap for all", TUNSETOWNER, -1),
    ASK("a tap's filter", TUNSETFILTEREBPF, "\xff\xff\xff\xff"),
    ASK("a tap that goes", TUNSETPERSIST, 0),
    ASK("a tap's carrier", TUNSETCARRIER, "\0\0\0"),
    ASK("interface down", SIOCSIFFLAGS, "tap0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"),
    ASK("interface address", SIOCSIFADDR, "tap0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"),
    ASK("parent of a namespace", NS_GET_PARENT, 0),
    ASK("owner of a namespace", NS_GET_USERNS, 0),
    ASK("immutable file", FS_IOC_SETFLAGS, "\x10\0\0\0\0\0\0\0"),
    ASK("encrypt a file", FS_IOC_SET_ENCRYPTION_POLICY, 0),
    ASK("freeze a file system", FIFREEZE, 0),
    ASK("share blocks", FICLONE, 0),
    ASK("flush a disk", BLKFLSBUF, 0),
    ASK("partitions", BLKRRPART, 0),
    ASK("loop device", LOOP_SET_FD, 0),
    ASK("command to a disk", SG_IO, 0),
    ASK("owner of vhost", VHOST_SET_OWNER, 0),
    ASK("secret guest", KVM_MEMORY_ENCRYPT_OP, 0),
    ASK("Xen guest", KVM_XEN_HVM_CONFIG, 0),
    /* sockets */
    CALL("socket inet", SYS_socket, AF_INET, SOCK_STREAM, 0, 0, 0),
    CALL("socket inet6", SYS_socket, AF_INET6, SOCK_DGRAM, 0, 0, 0),
    CALL("socket packet", SYS_socket, AF_PACKET, SOCK_RAW, 0, 0, 0),
    CALL("socket netlink", SYS_socket, AF_NETLINK, SOCK_RAW, 0, 0, 0),
    CALL("socket vsock", SYS_socket, AF_VSOCK, SOCK_STREAM, 0, 0, 0),
    CALL("socket alg", SYS_socket, AF_ALG, SOCK_SEQPACKET, 0, 0, 0),
    DO("connect to the daemon", connect_daemon),
    DO("connect to an abstract socket", connect_abstract),
    DO("datagram to an abstract socket", abstract_datagram),
    DO("pair of datagram sockets", datagram_pair),
    DO("datagram to a neighbour", send_neighbour),
    DO("message to a neighbour", message_neighbour),
    DO("listen beside a neighbour", listen_neighbour),
    DO("connect to a neighbour", connect_neighbour),
    CALL("socket ping", SYS_socket, AF_INET, SOCK_RAW, 1, 0, 0),
    CALL("socket xdp", SYS_socket, AF_XDP, SOCK_RAW, 0, 0, 0),
    CALL("socket bluetooth", SYS_socket, AF_BLUETOOTH, SOCK_RAW, 1, 0, 0),
    /* other processes */
    CALL("trace", SYS_ptrace, PTRACE_SEIZE, 1, 0, 0, 0),
    CALL("read another's memory", SYS_process_vm_readv, 1, 0, 0, 0, 0),
    CALL("write another's memory", SYS_process_vm_writev, 1, 0, 0, 0, 0),
    CALL("pidfd", SYS_pidfd_open, 1, 0, 0, 0, 0),
    CALL("another's descriptor", SYS_pidfd_getfd, 0, 0, 0, 0, 0),
    CALL("signal all", SYS_kill, -1, 0, 0, 0, 0),
    CALL("signal parent", SYS_kill, 0, 0, 0, 0, 0),
    CALL("queue a signal", SYS_rt_sigqueueinfo, 2, SIGTERM, 0, 0, 0),
    CALL("compare", SYS_kcmp, 1, 1, 0, 0, 0),
    CALL("signal by pidfd", SYS_pidfd_send_signal, 0, 0, 0, 0, 0),
    CALL("signal a thread", SYS_rt_tgsigqueueinfo, 2, 2, 0, 0, 0),
    CALL("another's advice", SYS_process_madvise, 0, 0, 0, 0, 0),
    CALL("free another's memory", SYS_process_mrelease, 0, 0, 0, 0, 0),
    CALL("another's robust list", SYS_get_robust_list, 2, 0, 0, 0, 0),
    CALL("another's pages", SYS_move_pages, 2, 0, 0, 0, 0),
    CALL("another's processors", SYS_sched_setaffinity, 2, 0, 0, 0, 0),
    CALL("another's disk priority", SYS_ioprio_set, 1, 2, 0, 0, 0),
    CALL("fork", SYS_vfork, 0, 0, 0, 0, 0), /* refused: else there were two of it */
    CALL("migrate", SYS_migrate_pages, 0, 0, 0, 0, 0),
    /* programs */
    CALL("execute", SYS_execve, P("/bin/sh"), 0, 0, 0, 0),
    DO("execute memory", execute_memory),
    CALL("execute again", SYS_execveat, 255, P("x"), 0, 0, 0),
    /* mounts and namespaces */
    CALL("mount", SYS_mount, P("x"), P("/"), P("tmpfs"), 0, 0),
    CALL("remount", SYS_mount, 0, P("/"), 0, MS_REMOUNT | MS_BIND, 0),
    CALL("unmount", SYS_umount2, P("/"), MNT_DETACH, 0, 0, 0),
    CALL("pivot", SYS_pivot_root, P("/"), P("/"), 0, 0, 0),
    CALL("change root", SYS_chroot, P("/"), 0, 0, 0, 0),
    CALL("fsopen", SYS_fsopen, P("tmpfs"), 0, 0, 0, 0),
    CALL("open tree", SYS_open_tree, AT_FDCWD, P("/"), 1, 0, 0),
    CALL("configure a file system", SYS_fsconfig, 0, 0, 0, 0, 0),
    CALL("mount a file system", SYS_fsmount, 0, 0, 0, 0, 0),
    CALL("pick a mount", SYS_fspick, AT_FDCWD, P("/"), 0, 0, 0),
    DO("thread in a user namespace", thread_in_user_namespace),
    CALL("move mount", SYS_move_mount, 0, P(""), 0, P(""), 0),
    CALL("mount attributes", SYS_mount_setattr, AT_FDCWD, P("/"), 0, 0, 0),
    CALL("new user namespace", SYS_unshare, CLONE_NEWUSER, 0, 0, 0, 0),
    CALL("new mount namespace", SYS_unshare, CLONE_NEWNS, 0, 0, 0, 0),
    CALL("join a namespace", SYS_setns, 0, 0, 0, 0, 0),
    CALL("clone a user namespace", SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0),
    CALL("clone3", SYS_clone3, 0, 0, 0, 0, 0),
    /* the kernel */
    CALL("bpf", SYS_bpf, 0, 0, 0, 0, 0),
    CALL("perf", SYS_perf_event_open, 0, 0, 0, 0, 0),
    CALL("io_uring", SYS_io_uring_setup, 1, 0, 0, 0, 0),
    CALL("io_uring enter", SYS_io_uring_enter, 0, 0, 0, 0, 0),
    CALL("io_uring register", SYS_io_uring_register, 0, 0, 0, 0, 0),
    CALL("secret memory", SYS_memfd_secret, 0, 0, 0, 0, 0),
    CALL("remap a file", SYS_remap_file_pages, 0, 0, 0, 0, 0),
    CALL("request key", SYS_request_key, P("user"), P("x"), 0, 0, 0),
    CALL("remove a module", SYS_delete_module, P("x"), 0, 0, 0, 0),
    CALL("kexec by file", SYS_kexec_file_load, -1, -1, 0, 0, 0),
    CALL("port permissions", SYS_ioperm, 0x80, 1, 1, 0, 0),
    CALL("quota", SYS_quotactl, 0, 0, 0, 0, 0),
    CALL("adjust the clock", SYS_clock_adjtime, 0, 0, 0, 0, 0),
    CALL("set the time", SYS_settimeofday, 0, 0, 0, 0, 0),
    CALL("domain name", SYS_setdomainname, P("evil"), 4, 0, 0, 0),
    CALL("hang up", SYS_vhangup, 0, 0, 0, 0, 0),
    CALL("wake the machine", SYS_timerfd_create, 8, 0, 0, 0, 0),
    CALL("own Landlock", SYS_landlock_restrict_self, -1, 0, 0, 0, 0),
    CALL("semaphores", SYS_semget, 1, 1, 01600, 0, 0),
    CALL("message queue", SYS_mq_open, P("x"), O_CREAT | O_RDWR, 0600, 0, 0),
    CALL("aio", SYS_io_setup, 1, 0, 0, 0, 0),
    CALL("userfaultfd", SYS_userfaultfd, 0, 0, 0, 0, 0),
    CALL("keyring", SYS_keyctl, 0, -3, 1, 0, 0),
    CALL("add key", SYS_add_key, P("user"), P("x"), P("y"), 1, -2),
    CALL("module", SYS_init_module, 0, 0, P(""), 0, 0),
    CALL("module by descriptor", SYS_finit_module, 0, P(""), 0, 0, 0),
    CALL("kexec", SYS_kexec_load, 0, 0, 0, 0, 0),
    CALL("ports", SYS_iopl, 3, 0, 0, 0, 0),
    CALL("segments", SYS_modify_ldt, 0, 0, 0, 0, 0),
    CALL("kernel log", SYS_syslog, 3, 0, 0, 0, 0),
    CALL("reboot", SYS_reboot, 0, 0, 0, 0, 0),
    CALL("swap", SYS_swapon, P("/kernel"), 0, 0, 0, 0),
    CALL("accounting", SYS_acct, 0, 0, 0, 0, 0),
    CALL("clock", SYS_clock_settime, 0, 0, 0, 0, 0),
    CALL("host name", SYS_sethostname, P("evil"), 4, 0, 0, 0),
    CALL("fanotify", SYS_fanotify_init, 0, 0, 0, 0, 0),
    CALL("shared memory", SYS_shmget, 1, 4096, 01600, 0, 0),
    CALL("messages", SYS_msgget, 1, 01600, 0, 0, 0),
    DO("x32 system call", x32),
    DO("i386 system call", i386),
    /* privileges */
    CALL("uid 0", SYS_setresuid, 0, 0, 0, 0, 0),
    CALL("gid 0", SYS_setresgid, 0, 0, 0, 0, 0),
    CALL("file system uid", SYS_setfsuid, 0, 0, 0, 0, 0),
    CALL("groups", SYS_setgroups, 0, 0, 0, 0, 0),
    DO("capabilities", caps),
    CALL("new privileges", SYS_prctl, PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0),
    CALL("securebits", SYS_prctl, PR_SET_SECUREBITS, 0, 0, 0, 0),
    CALL("ambient capability", SYS_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_SYS_ADMIN, 0, 0),
    CALL("priority", SYS_setpriority, 0, 0, -20, 0, 0),
    DO("real time", real_time),
    CALL("personality", SYS_personality, READ_IMPLIES_EXEC, 0, 0, 0, 0),
    CALL("lock memory", SYS_mlockall, 1, 0, 0, 0, 0),
    DO("more descriptors", more_files),
    /* exhaustion */
    DO("fork bomb", fork_bomb),
    UP_TO("descriptor bomb", descriptor_bomb, 1024),
    UP_TO("full disk", fill_disk, FILL_MAX),
    UP_TO("thread bomb", thread_bomb, 200),
    /* in a share */
    DO("shared device", shared_device),
    DO("shared file to another owner", shared_chown),
    DO("execute a shared file", shared_execute),
    DO("another user", other_user),
    DO("mount namespace of its own", mount_of_own),
    DO("leave a changed root", leave_root),
};
/* clang-format on */
const size_t evil_attempts_n = sizeof(evil_attempts) / sizeof(evil_attempts[0]);
