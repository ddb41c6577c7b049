/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The monitor with a VMM, played by jail-probe: what the jailed process is and has, seen from
 * inside and from /proc, and a list of things that it tries and must not be able to do.
 */
#include "rig.h"

#include <dirent.h>
#include <linux/magic.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

#define UID "1999999001"
#define GID "1999999002"

static void open_probe(struct rig *rig, void **state, const char *what, const char *more)
{
    autofree char *program =
        path_join(getenv("UNICRI_BIN") ? getenv("UNICRI_BIN") : "bin", "jail-probe");
    char number[16];

    rig_open(rig, state, "v", "vmm");
    (void)snprintf(number, sizeof(number), "%d",
                   rig_add_fd(rig, open(program, O_PATH | O_CLOEXEC)));
    rig_field(rig, "program_fd", number);
    rig_field(rig, "arg", "probe");
    rig_field(rig, "arg", what);
    if (more)
        rig_field(rig, "arg", more);
    rig_field(rig, "uid", UID);
    rig_field(rig, "gid", GID);
    rig_field(rig, "nofile", "40");
    rig_field(rig, "new_pid_ns", "1");
}

static size_t occurrences(const char *text, const char *part)
{
    size_t n = 0;

    while ((text = strstr(text, part)) != NULL) {
        text++;
        n++;
    }
    return n;
}

static void inside(void **state)
{
    autofree char *data = NULL;
    struct rig rig;
    struct err err = ERR_INIT;
    int fd;

    open_probe(&rig, state, "report", "an argument");
    data = xstrdup(rig_path(&rig, "data"));
    assert_ok(fs_write_file(AT_FDCWD, data, "content", 7, 0600, &err), err);
    fd = rig_add_fd(&rig, open(data, O_RDONLY | O_CLOEXEC));
    {
        /* crossed on purpose: a target that hides the source of another */
        autofree char *field = xasprintf("%d:5", fd);
        autofree char *field2 = xasprintf("%d:%d", fd, RIG_FD);

        rig_field(&rig, "fd", field);
        rig_field(&rig, "fd", field2);
    }
    rig_field(&rig, "env", "ONLY=this");
    rig_field(&rig, "fsize", "4096");
    rig_start_ok(&rig);
    rig_end(&rig, "v", "code 0\nsignal 0\n");
    assert_in_file(&rig, "log", "stdout F uid " UID " " UID " " UID "\n");
    assert_in_file(&rig, "log", "stdout F gid " GID " " GID " " GID "\n");
    assert_in_file(&rig, "log", "stdout F groups 0\n");
    assert_in_file(&rig, "log", "stdout F caps 000000 bounding 0\n");
    assert_in_file(&rig, "log", "stdout F nnp 1 seccomp 2 securebits eb\n");
    assert_in_file(&rig, "log", "stdout F pid 1 host guest fds 5\n");
    assert_in_file(&rig, "log", "stdout F core 0 0\n");
    assert_in_file(&rig, "log", "stdout F nofile 40 40\n");
    assert_in_file(&rig, "log", "stdout F fsize 4096 4096\n");
    assert_in_file(&rig, "log", "stdout F env ONLY=this\n");
    assert_in_file(&rig, "log", "stdout F arg an argument\n");
    assert_in_file(&rig, "log", "stdout F fd 5 content\n");
    autofree char *text = rig_read(&rig, "log");
    assert_int_equal(occurrences(text, " env "), 1);
}

static void assert_link(pid_t pid, const char *ns, bool same)
{
    char path[64], theirs[64] = "", ours[64] = "";

    (void)snprintf(path, sizeof(path), "/proc/%d/ns/%s", pid, ns);
    assert_true(readlink(path, theirs, sizeof(theirs) - 1) > 0);
    (void)snprintf(path, sizeof(path), "/proc/self/ns/%s", ns);
    assert_true(readlink(path, ours, sizeof(ours) - 1) > 0);
    assert_int_equal(strcmp(theirs, ours) == 0, same);
}

static int count_entries(pid_t pid, const char *what)
{
    char path[64];
    autodir DIR *dir = NULL;
    int n = 0;

    (void)snprintf(path, sizeof(path), "/proc/%d/%s", pid, what);
    dir = opendir(path);
    assert_non_null(dir);
    for (struct dirent *e = readdir(dir); e; e = readdir(dir))
        n += e->d_name[0] != '.';
    return n;
}

static void outside(void **state)
{
    static const char *const namespaces[] = {"mnt", "ipc", "uts", "net", "pid", "cgroup"};
    struct rig rig;
    char path[64], text[8192] = "";
    int fd;

    open_probe(&rig, state, "wait", NULL);
    rig_start_ok(&rig);
    for (size_t i = 0; i < 5; i++)
        assert_link(rig.workload, namespaces[i], false);
    assert_int_equal(count_entries(rig.workload, "root"), 0);
    assert_int_equal(count_entries(rig.workload, "fd"), 3);
    (void)snprintf(path, sizeof(path), "/proc/%d/mountinfo", rig.workload);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(read(fd, text, sizeof(text) - 1) > 0);
    close(fd);
    assert_non_null(strstr(text, " / / ro,nosuid,nodev,noexec"));
    assert_ptr_equal(strchr(text, '\n'), strrchr(text, '\n')); /* one mount */
    (void)snprintf(path, sizeof(path), "/proc/%d/net/dev", rig.workload);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    memset(text, 0, sizeof(text));
    assert_true(read(fd, text, sizeof(text) - 1) > 0);
    close(fd);
    assert_null(strstr(text, "eth"));
    assert_int_equal(kill(rig.workload, SIGKILL), 0);
    rig_end(&rig, "v", "code 137\nsignal 9\n");
}

static void escapes(void **state)
{
    static const char *const refused[] = {
        "open",  "create",      "socket", "unix",      "packet", "mkdir", "setuid", "kill",
        "memfd", "personality", "fork",   "setgroups", "limit",  "chmod", "nice",   "xattr"};
    static const char *const deadly[] = {"mount",    "ptrace", "bpf",         "io_uring", "keyctl",
                                         "unshare",  "setns",  "userfaultfd", "perf",     "execve",
                                         "execveat", "chroot", "handle",      "module"};
    static const char *const other[] = {"clone3", "dup-program"};
    struct rig rig;

    for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
        open_probe(&rig, state, "try", refused[i]);
        rig_start_ok(&rig);
        print_message("%s\n", refused[i]);
        rig_end(&rig, "v", "code 10\nsignal 0\n");
    }
    for (size_t i = 0; i < ARRAY_SIZE(other); i++) {
        open_probe(&rig, state, "try", other[i]);
        rig_start_ok(&rig);
        print_message("%s\n", other[i]);
        rig_end(&rig, "v", "code 11\nsignal 0\n");
    }
    for (size_t i = 0; i < ARRAY_SIZE(deadly); i++) {
        open_probe(&rig, state, "try", deadly[i]);
        rig_start_ok(&rig);
        print_message("%s\n", deadly[i]);
        rig_end(&rig, "v", "code 159\nsignal 31\n");
    }
}

static void last_words_of_a_vmm(void **state)
{
    struct rig rig;

    open_probe(&rig, state, "complain", NULL);
    rig_start_ok(&rig);
    rig_end(&rig, "v", "code 125\nsignal 0\n");
    assert_in_file(&rig, "exits/v", "\nmessage probe: this went wrong\n");
    assert_in_file(&rig, "exits/v", "\nconsole line 1"); /* whole lines, the last ones */
    assert_in_file(&rig, "exits/v", "\x1fline 198\x1fline 199\x1f done\x1f\n");
    assert_in_file(&rig, "log", "stderr F first line\n");
}

static void input(void **state)
{
    static const char frame[] = "\0typed\n";
    char got[64] = "";
    struct rig rig;
    int fd;

    open_probe(&rig, state, "echo", NULL);
    rig_field(&rig, "stdin", "1");
    rig_field(&rig, "stdin_once", "1");
    rig_start_ok(&rig);
    fd = rig_connect(&rig);
    assert_ask(fd, "attach 1", "ok");
    assert_int_equal(send(fd, frame, sizeof(frame) - 1, 0), sizeof(frame) - 1);
    assert_true(recv(fd, got, sizeof(got) - 1, 0) > 1);
    assert_int_equal(got[0], 1);
    close(fd);
    rig_end(&rig, "v", "code 0\n");
    assert_in_file(&rig, "log", "typed\n");
}

static void program_that_is_none(void **state)
{
    struct rig rig;
    struct err err = ERR_INIT;
    char number[16];
    autofree char *path = NULL;

    rig_open(&rig, state, "v", "vmm");
    path = xstrdup(rig_path(&rig, "text"));
    assert_ok(fs_write_file(AT_FDCWD, path, "no program\n", 11, 0755, &err), err);
    (void)snprintf(number, sizeof(number), "%d", rig_add_fd(&rig, open(path, O_PATH | O_CLOEXEC)));
    rig_field(&rig, "program_fd", number);
    rig_field(&rig, "arg", "x");
    rig_field(&rig, "uid", UID);
    rig_field(&rig, "gid", GID);
    rig_start_fails(&rig, "v", "error 8 execute the VMM's program: Exec format error");
}

static void missing_cgroup(void **state)
{
    struct rig rig;

    open_probe(&rig, state, "wait", NULL);
    rig_field(&rig, "cgroup", "/sys/fs/cgroup/unicri-none");
    rig_start_fails(&rig, "v", "open cgroup '/sys/fs/cgroup/unicri-none");
}

/* Nobody but its uid and gid is there, and the other namespaces are not its own. */
static void user_namespace(void **state)
{
    struct rig rig;
    char path[64], text[256] = "";
    const char *wanted[] = {UID, GID};
    const char *maps[] = {"uid_map", "gid_map"};
    int fd;

    open_probe(&rig, state, "report", NULL);
    rig_field(&rig, "new_user_ns", "1");
    rig_start_ok(&rig);
    rig_end(&rig, "v", "code 0\nsignal 0\n");
    assert_in_file(&rig, "log", "stdout F uid " UID " " UID " " UID "\n");
    assert_in_file(&rig, "log", "stdout F gid " GID " " GID " " GID "\n");
    assert_in_file(&rig, "log", "stdout F caps 000000 bounding 0\n");
    assert_in_file(&rig, "log", "stdout F nnp 1 seccomp 2 securebits eb\n");
    assert_in_file(&rig, "log", " fds 3\n");
    if (access("/proc/self/ns/user", F_OK) < 0) {
        print_message("skipped: this kernel has no user namespaces\n");
        skip();
    }
    open_probe(&rig, state, "wait", NULL);
    rig_field(&rig, "new_user_ns", "1");
    rig_start_ok(&rig);
    assert_link(rig.workload, "user", false);
    assert_int_equal(count_entries(rig.workload, "fd"), 3);
    for (size_t i = 0; i < ARRAY_SIZE(maps); i++) {
        autofree char *map = xasprintf("%10s %10s %10d\n", wanted[i], wanted[i], 1);

        (void)snprintf(path, sizeof(path), "/proc/%d/%s", rig.workload, maps[i]);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        memset(text, 0, sizeof(text));
        assert_true(read(fd, text, sizeof(text) - 1) > 0);
        close(fd);
        assert_string_equal(text, map);
    }
    assert_int_equal(kill(rig.workload, SIGKILL), 0);
    rig_end(&rig, "v", "code 137\nsignal 9\n");
}

/* ---------------------------------------------------------------- entries of the root */

static void root_fd(struct rig *rig, const char *key, const char *file, const char *path)
{
    int fd = open(file, O_PATH | O_CLOEXEC);
    autofree char *value = NULL;

    assert_true(fd >= 0);
    value = xasprintf("%d:%s", rig_add_fd(rig, fd), path);
    rig_field(rig, key, value);
}

static void write_text(const char *path, const char *text)
{
    struct err err = ERR_INIT;

    assert_ok(fs_write_file(AT_FDCWD, path, text, strlen(text), 0666, &err), err);
    assert_int_equal(chmod(path, 0666), 0);
}

static void entries(void **state)
{
    static const char *const looks[] = {"/ro/file",  "/rw/file", "/etc/a/conf", "/link",
                                        "/dev/null", "/",        "/room/sub"};
    autofree char *ro = NULL, *rw = NULL;
    struct rig rig;

    open_probe(&rig, state, "look", looks[0]);
    for (size_t i = 1; i < ARRAY_SIZE(looks); i++)
        rig_field(&rig, "arg", looks[i]);
    ro = xstrdup(rig_path(&rig, "ro"));
    rw = xstrdup(rig_path(&rig, "rw"));
    assert_int_equal(mkdir(ro, 0755), 0);
    write_text(rig_path(&rig, "ro/file"), "bound");
    write_text(rw, "disk");
    /* A link that would lead out is one within the jail. */
    assert_int_equal(symlink("/", rig_path(&rig, "ro/out")), 0);
    root_fd(&rig, "root_ro", ro, "/ro");
    root_fd(&rig, "root_rw", rw, "/rw/file");
    root_fd(&rig, "root_device", "/dev/null", "/dev/null");
    rig_field(&rig, "root_dir", "/room/sub");
    rig_field(&rig, "root_file", "/etc/a/conf");
    rig_field(&rig, "root_text", "words");
    rig_field(&rig, "root_symlink", "/link");
    rig_field(&rig, "root_text", "ro/file");
    rig_field(&rig, "root_file", "/ro/out/through-the-link");
    rig_field(&rig, "root_bytes", "65536");
    rig_field(&rig, "group", "4711");
    rig_start_ok(&rig);
    rig_end(&rig, "v", "code 0\nsignal 0\n");
    assert_in_file(&rig, "log", "stdout F group 4711\n");
    assert_in_file(&rig, "log", "stdout F /ro/file: read no-write bound\n");
    assert_in_file(&rig, "log", "stdout F /rw/file: read write disk\n");
    assert_in_file(&rig, "log", "stdout F /etc/a/conf: read no-write words\n");
    assert_in_file(&rig, "log", "stdout F /link: read no-write bound\n");
    assert_in_file(&rig, "log", "stdout F /dev/null: read write\n");
    assert_in_file(&rig, "log", "stdout F /: read no-write\n");
    assert_in_file(&rig, "log", "stdout F /room/sub: read no-write\n");
    assert_int_equal(access("/through-the-link", F_OK), -1);
}

static int access_in_root(int pid, const char *path)
{
    char full[128];

    (void)snprintf(full, sizeof(full), "/proc/%d/root%s", pid, path);
    return access(full, F_OK);
}

static void entries_outside(void **state)
{
    struct rig rig;
    char path[64], text[8192] = "";
    int fd;

    open_probe(&rig, state, "wait", NULL);
    assert_int_equal(mkdir(rig_path(&rig, "ro"), 0755), 0);
    root_fd(&rig, "root_ro", rig_path(&rig, "ro"), "/usr/ro");
    root_fd(&rig, "root_device", "/dev/urandom", "/dev/urandom");
    rig_field(&rig, "root_dir", "/tmp");
    rig_field(&rig, "root_proc", "/proc");
    rig_start_ok(&rig);
    assert_int_equal(count_entries(rig.workload, "root"), 4);
    assert_int_equal(count_entries(rig.workload, "fd"), 3);
    (void)snprintf(path, sizeof(path), "/proc/%d/mountinfo", rig.workload);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(read(fd, text, sizeof(text) - 1) > 0);
    close(fd);
    assert_int_equal(occurrences(text, "\n"), 5);
    assert_non_null(strstr(text, " / / ro,nosuid,nodev,noexec"));
    assert_non_null(strstr(text, " / /proc ro,nosuid,nodev,noexec"));
    assert_non_null(strstr(text, "subset=pid"));
    assert_int_equal(access_in_root(rig.workload, "/proc/1/status"), 0);
    assert_int_equal(access_in_root(rig.workload, "/proc/2"), -1);
    assert_int_equal(access_in_root(rig.workload, "/proc/sys"), -1);
    assert_non_null(strstr(text, " /usr/ro ro,nosuid,nodev"));
    assert_non_null(strstr(text, " /dev/urandom rw,nosuid,noexec"));
    assert_non_null(strstr(text, " /tmp /tmp rw,nosuid,nodev,noexec"));
    assert_null(strstr(text, "shared:"));
    assert_null(strstr(text, "master:"));
    assert_int_equal(kill(rig.workload, SIGKILL), 0);
    rig_end(&rig, "v", "code 137\nsignal 9\n");
}

/* One bound for all directories that may be written to, and nothing beside them. */
static void entries_bounded(void **state)
{
    struct rig rig;

    open_probe(&rig, state, "fill", "/tmp");
    rig_field(&rig, "root_dir", "/tmp");
    rig_field(&rig, "root_bytes", "65536");
    rig_start_ok(&rig);
    rig_end(&rig, "v", "code 0\nsignal 0\n");
    assert_in_file(&rig, "log", "KiB: No space left on device\n");
    assert_in_file(&rig, "log", "filled 7"); /* 64, and what paths and texts were given */
    open_probe(&rig, state, "fill", "/etc");
    rig_field(&rig, "root_file", "/etc/x");
    rig_start_ok(&rig);
    rig_end(&rig, "v", "code 1\nsignal 0\n");
    assert_in_file(&rig, "log", "create: Read-only file system\n");
}

static void entries_that_fail(void **state)
{
    struct rig rig;

    open_probe(&rig, state, "wait", NULL);
    root_fd(&rig, "root_ro", "/dev/null", "/dev/null");
    rig_start_fails(&rig, "v", "type of what is bound into the jail '/dev/null'");
    open_probe(&rig, state, "wait", NULL);
    write_text(rig_path(&rig, "plain"), "");
    root_fd(&rig, "root_device", rig_path(&rig, "plain"), "/x");
    rig_start_fails(&rig, "v", "type of what is bound into the jail '/x'");
    open_probe(&rig, state, "wait", NULL);
    rig_field(&rig, "root_file", "/a");
    rig_field(&rig, "root_file", "/a/b");
    rig_start_fails(&rig, "v", "make file of the jail '/a/b': Not a directory");
    open_probe(&rig, state, "wait", NULL);
    rig_field(&rig, "root_file", "/a/../b");
    rig_start_fails(&rig, "v", "spec: bad value 'root_file=/a/../b'");
}

/* With files in the root more calls are allowed, but none that leads out. */
static void escapes_with_files(void **state)
{
    static const char *const refused[] = {"socket",      "packet", "setuid",     "kill",
                                          "personality", "fork",   "setgroups",  "limit",
                                          "io_uring",    "keyctl", "userfaultfd"};
    static const char *const deadly[] = {"mount",  "ptrace",   "bpf",    "unshare", "setns", "perf",
                                         "execve", "execveat", "chroot", "handle",  "module"};
    struct rig rig;

    for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
        open_probe(&rig, state, "try", refused[i]);
        rig_field(&rig, "root_file", "/x");
        rig_start_ok(&rig);
        print_message("%s\n", refused[i]);
        rig_end(&rig, "v", "code 10\nsignal 0\n");
    }
    for (size_t i = 0; i < ARRAY_SIZE(deadly); i++) {
        open_probe(&rig, state, "try", deadly[i]);
        rig_field(&rig, "root_file", "/x");
        rig_start_ok(&rig);
        print_message("%s\n", deadly[i]);
        rig_end(&rig, "v", "code 159\nsignal 31\n");
    }
}

/* Sockets to look at interfaces are for who asks for them, and no others come along. */
static void interface_sockets(void **state)
{
    static const struct {
        const char *what;
        bool with, without;
    } cases[] = {
        {"udp", true, false},         {"rtnetlink", true, false}, {"unix", true, true},
        {"unix-dgram", false, false}, {"pair", true, true},       {"pair-dgram", false, false},
        {"send-udp", false, false},   {"bind-udp", false, false}, {"message-udp", false, false},
        {"udp6", false, false},       {"raw", false, false},      {"socket", false, false},
        {"packet", false, false},     {"netfilter", false, false}};
    struct rig rig;

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        for (int with = 0; with < 2; with++) {
            bool may = with ? cases[i].with : cases[i].without;

            open_probe(&rig, state, "try", cases[i].what);
            rig_field(&rig, "root_file", "/x");
            if (with)
                rig_field(&rig, "interface_sockets", "1");
            rig_start_ok(&rig);
            print_message("%s %d\n", cases[i].what, with);
            rig_end(&rig, "v", may ? "code 0\nsignal 0\n" : "code 10\nsignal 0\n");
        }
    }
}

/* Requests that the list has pass, others do not, and one that no list has is the last one. */
static void requests(void **state)
{
    static const struct {
        const char *what, *listed, *end;
    } cases[] = {{"fionread", "21531", "code 0\nsignal 0\n"},  /* FIONREAD */
                 {"fionread", "21523", "code 11\nsignal 0\n"}, /* TIOCGWINSZ */
                 {"fionread", NULL, "code 11\nsignal 0\n"},
                 {"tiocsti", "21522", "code 159\nsignal 31\n"}, /* TIOCSTI */
                 {"tiocsti", NULL, "code 159\nsignal 31\n"}};
    struct rig rig;

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        open_probe(&rig, state, "try", cases[i].what);
        if (cases[i].listed)
            rig_field(&rig, "ioctl", cases[i].listed);
        rig_start_ok(&rig);
        print_message("%s %s\n", cases[i].what, cases[i].listed ? cases[i].listed : "");
        rig_end(&rig, "v", cases[i].end);
    }
}

/* What is reached by another path than the root's entries: a descriptor that it was given, opened
 * anew by the list of its own. File modes would let it. */
static void other_paths(void **state)
{
    bool landlock = syscall(SYS_landlock_create_ruleset, NULL, 0, 1) >= 1;
    autofree char *data = NULL, *field = NULL;
    struct rig rig;

    if (!landlock) {
        print_message("skipped: this kernel has no Landlock\n");
        skip();
    }
    open_probe(&rig, state, "look", "/proc/self/fd/7");
    rig_field(&rig, "arg", "/x");
    data = xstrdup(rig_path(&rig, "data"));
    write_text(data, "content");
    assert_int_equal(chmod(rig.dir, 0755), 0);
    field = xasprintf("%d:7", rig_add_fd(&rig, open(data, O_RDONLY | O_CLOEXEC)));
    rig_field(&rig, "fd", field);
    rig_field(&rig, "root_proc", "/proc");
    rig_field(&rig, "root_file", "/x");
    rig_start_ok(&rig);
    rig_end(&rig, "v", "code 0\nsignal 0\n");
    assert_in_file(&rig, "log", "stdout F /proc/self/fd/7: Permission denied no-write\n");
    assert_in_file(&rig, "log", "stdout F /x: read no-write\n");
}

/* The memory cgroup of this host, v2 or v1; "" when there is none to be had. */
static char *memory_cgroup(const char **limit_file)
{
    static const struct {
        const char *mount, *probe, *limit;
    } kinds[] = {{"/sys/fs/cgroup", "cgroup.controllers", "memory.max"},
                 {"/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.limit_in_bytes"}};

    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        autofree char *probe = path_join(kinds[i].mount, kinds[i].probe);
        char *path = xasprintf("%s/unicri-test-%d", kinds[i].mount, getpid());
        autofree char *limit = path_join(path, kinds[i].limit);

        if (access(probe, F_OK) == 0 && mkdir(path, 0755) == 0) {
            if (access(limit, F_OK) == 0) {
                *limit_file = kinds[i].limit;
                return path;
            }
            (void)rmdir(path);
        }
        free(path);
    }
    return xstrdup("");
}

static void out_of_memory(void **state)
{
    const char *limit_file = NULL;
    autofree char *cgroup = memory_cgroup(&limit_file);
    struct err err = ERR_INIT;
    struct rig rig;

    if (!*cgroup) {
        print_message("skipped: this host has no memory controller to use\n");
        skip();
    }
    {
        autofree char *file = path_join(cgroup, limit_file);

        assert_ok(fs_write_file(AT_FDCWD, file, "16777216", 8, 0600, &err), err);
    }
    open_probe(&rig, state, "hog", NULL);
    rig_field(&rig, "cgroup", cgroup);
    rig_field(&rig, "cgroup_memory", cgroup);
    rig_start_ok(&rig);
    rig_end(&rig, "v", "code 137\nsignal 9\n");
    assert_in_file(&rig, "exits/v", "\noom 1\n");
    assert_int_equal(rmdir(cgroup), 0);
}

/* An idle monitor holds next to nothing that is its own. */
static void memory_of_an_idle_monitor(void **state)
{
    const struct timespec quiet = {.tv_nsec = 100000000};
    char path[64], text[4096] = "";
    struct rig rig;
    long pss;
    int fd;

    open_probe(&rig, state, "wait", NULL);
    rig_start_ok(&rig);
    (void)snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", rig.monitor);
    pss = 0;
    for (int i = 0; i < 100 && (pss == 0 || pss > 128); i++) { /* it naps after a second */
        nanosleep(&quiet, NULL);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        assert_true(read(fd, text, sizeof(text) - 1) > 0);
        close(fd);
        pss = strtol(strstr(text, "\nPss:") + 5, NULL, 10);
    }
    print_message("PSS %ld KiB\n", pss);
    assert_in_range(pss, 20, 128); /* the release build's: below 100, see e2e/robust */
    assert_int_equal(count_entries(rig.monitor, "fd"),
                     10); /* 0-2, two directories, log, signals, socket, two pipes */
    assert_int_equal(kill(rig.workload, SIGKILL), 0);
    rig_end(&rig, "v", "code 137\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_dir(inside),
        in_dir(outside),
        in_dir(escapes),
        in_dir(user_namespace),
        in_dir(entries),
        in_dir(entries_outside),
        in_dir(entries_bounded),
        in_dir(entries_that_fail),
        in_dir(escapes_with_files),
        in_dir(interface_sockets),
        in_dir(requests),
        in_dir(other_paths),
        in_dir(last_words_of_a_vmm),
        in_dir(input),
        in_dir(program_that_is_none),
        in_dir(missing_cgroup),
        in_dir(out_of_memory),
        in_dir(memory_of_an_idle_monitor),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
