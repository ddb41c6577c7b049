/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unicri check - what this node lacks, in plain words: what is missing, what does not work because
 * of it, what to do. It looks at the node itself, so it helps before the daemon runs; when the
 * daemon answers, its own opinion is added.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/kvm.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

#include "base/child.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/strbuf.h"
#include "cli/cli.h"

#define CHECK_FILE_MAX_BYTES (64 * 1024)
#define CHECK_INFO_MAX_BYTES (1024 * 1024)
#define CHECK_RUN_TIMEOUT    (5 * NSEC_PER_SEC)

enum verdict { GOOD, LIMITED, MISSING, ABSENT };

struct report {
    int missing, limited;
    const char *cni_conf, *cni_bin;
};

static void tell(struct report *r, enum verdict v, const char *what, const char *fmt, ...)
    PRINTF(4, 5);
static void tell(struct report *r, enum verdict v, const char *what, const char *fmt, ...)
{
    static const char *const words[] = {"ok", "limited", "MISSING", "no"};
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    r->missing += v == MISSING;
    r->limited += v == LIMITED;
    printf("%-8s %-14s %s\n", words[v], what, text);
}

static void check_root(struct report *r)
{
    if (geteuid() == 0)
        tell(r, GOOD, "root", "running as root");
    else
        tell(r, MISSING, "root", "unicrid must run as root; some answers below are only guesses");
}

static void check_kernel(struct report *r)
{
    autofd int fd = (int)syscall(SYS_pidfd_open, getpid(), 0);
    if (fd >= 0)
        tell(r, GOOD, "pidfd", "processes can be held without races");
    else
        tell(r, MISSING, "pidfd", "the kernel is older than 5.3");
    unsigned long how[3] = {O_PATH, 0, 0};
    autofd int root = (int)syscall(SYS_openat2, AT_FDCWD, "/", how, sizeof(how));
    if (root >= 0)
        tell(r, GOOD, "openat2", "paths of images can be confined");
    else
        tell(r, MISSING, "openat2", "the kernel is older than 5.6");
}

static void check_overlay(struct report *r)
{
    struct err err = ERR_INIT;
    autofree char *text = NULL;
    if (fs_read_file(AT_FDCWD, "/proc/filesystems", CHECK_FILE_MAX_BYTES, &text, NULL, &err) == 0 &&
        strstr(text, "\toverlay\n"))
        tell(r, GOOD, "overlayfs", "root filesystems can be layered");
    else
        tell(r, MISSING, "overlayfs", "ordinary containers cannot run; try `modprobe overlay`");
}

static void check_cgroups(struct report *r)
{
    struct statfs fs;
    const long cgroup2 = 0x63677270;
    if (statfs("/sys/fs/cgroup", &fs) < 0)
        tell(r, MISSING, "cgroups", "nothing is mounted on /sys/fs/cgroup");
    else if (fs.f_type == cgroup2)
        tell(r, GOOD, "cgroups", "version 2");
    else if (access("/sys/fs/cgroup/memory/memory.limit_in_bytes", F_OK) == 0)
        tell(r, GOOD, "cgroups", "version 1%s",
             access("/sys/fs/cgroup/unified", F_OK) == 0 ? ", hybrid" : "");
    else
        tell(r, LIMITED, "cgroups", "version 1 without a memory controller: limits do not hold");
}

static void check_tun(struct report *r)
{
    autofd int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
    if (fd >= 0)
        tell(r, GOOD, "tun", "guests can have a network");
    else
        tell(r, MISSING, "tun", "/dev/net/tun: %s: unikernels have no network; try `modprobe tun`",
             strerror(errno));
}

static void check_landlock(struct report *r)
{
    const int best = 6; /* what the jail makes use of */
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, 1UL /* ask for the version */);
    if (abi >= best)
        tell(r, GOOD, "landlock", "ABI %ld: a second wall around the files of VMMs", abi);
    else if (abi > 0)
        tell(r, LIMITED, "landlock",
             "ABI %ld: a second wall around the files of VMMs, not around %s; kernel 6.12 has all",
             abi, abi >= 4 ? "signals and abstract sockets" : "TCP, signals and abstract sockets");
    else
        tell(r, LIMITED, "landlock", "VMMs are jailed without it: %s",
             errno == EOPNOTSUPP ? "boot with `lsm=landlock,...` among the others"
                                 : "the kernel is older than 5.13 or built without");
}

static void check_user_namespaces(struct report *r)
{
    struct err err = ERR_INIT;
    autofree char *text = NULL;
    if (access("/proc/self/ns/user", F_OK) < 0)
        tell(r, LIMITED, "userns", "the kernel has no user namespaces: VMMs are jailed without");
    else if (fs_read_file(AT_FDCWD, "/proc/sys/user/max_user_namespaces", CHECK_FILE_MAX_BYTES,
                          &text, NULL, &err) == 0 &&
             strtol(text, NULL, 10) == 0)
        tell(r, LIMITED, "userns",
             "user.max_user_namespaces is 0: VMMs are jailed without, pods cannot ask for one");
    else
        tell(r, GOOD, "userns", "each VMM can have a user namespace of its own");
}

static void check_bpf(struct report *r)
{
    const struct bpf_insn program[] = {{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0},
                                       {.code = BPF_JMP | BPF_EXIT}};
    union bpf_attr attr;
    memset(&attr, 0, sizeof(attr));
    attr.prog_type = BPF_PROG_TYPE_SCHED_CLS;
    attr.insns = (uintptr_t)program;
    attr.insn_cnt = ARRAY_SIZE(program);
    attr.license = (uintptr_t) "GPL";
    autofd int fd = (int)syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof(attr));
    if (fd >= 0)
        tell(r, GOOD, "bpf", "a unikernel and side containers can share a pod's address");
    else
        tell(r, LIMITED, "bpf",
             "%s: beside a unikernel, other containers of the pod have no network",
             strerror(errno));
}

static void check_kvm(struct report *r)
{
    autofd int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (fd < 0)
        tell(r, LIMITED, "kvm",
             "/dev/kvm: %s: Solo5 guests built for spt run all the same, hvt ones do not",
             strerror(errno));
    else if (ioctl(fd, KVM_GET_API_VERSION, 0) != KVM_API_VERSION)
        tell(r, LIMITED, "kvm", "/dev/kvm speaks another version of the API");
    else
        tell(r, GOOD, "kvm", "hvt guests can run");
}

static void check_runc(struct report *r)
{
    struct err err = ERR_INIT;
    char *const argv[] = {"runc", "--version", NULL};
    const struct child_spec spec = {.argv = argv};
    autochild_output output = {0};
    struct child_status status;
    if (child_run(&spec, NULL, 0, CHECK_FILE_MAX_BYTES, deadline_in(CHECK_RUN_TIMEOUT), &output,
                  &status, &err) < 0)
        tell(r, MISSING, "runc", "%s: ordinary containers cannot run; install the package runc",
             err.msg);
    else if (!status.exited || status.code != 0)
        tell(r, MISSING, "runc", "`runc --version` fails");
    else
        tell(r, GOOD, "runc", "%.*s", (int)strcspn(output.out, "\n"), output.out);
}

static void check_cni(struct report *r)
{
    autofree char *bridge = path_join(r->cni_bin, "bridge");
    if (access(bridge, X_OK) == 0)
        tell(r, GOOD, "cni plugins", "in %s", r->cni_bin);
    else
        tell(r, MISSING, "cni plugins",
             "none in %s; install the package containernetworking-plugins", r->cni_bin);
    autodir DIR *dir = opendir(r->cni_conf);
    int n = 0;
    for (struct dirent *e = NULL; dir && (e = readdir(dir)) != NULL;)
        n += str_has_suffix(e->d_name, ".conflist") || str_has_suffix(e->d_name, ".conf");
    if (n > 0)
        tell(r, GOOD, "cni network", "%d configuration%s in %s", n, n == 1 ? "" : "s", r->cni_conf);
    else
        tell(r, MISSING, "cni network",
             "no *.conflist in %s: pods get no network until a network add-on writes one",
             r->cni_conf);
}

/* The handlers that this node cannot serve, and why; nobody needs them all. */
static void tell_handlers(struct report *r, const char *text)
{
    autojson *list = json_parse(text, strlen(text), CHECK_INFO_MAX_BYTES, "handlers", NULL);
    json_t *handler;
    size_t i;

    json_array_foreach (list, i, handler) {
        const char *name = json_string_value(json_object_get(handler, "name"));
        const char *why = json_string_value(json_object_get(handler, "unavailable"));

        if (name && why) {
            autofree char *n = printable(*name ? name : "(default)"), *w = printable(why);

            tell(r, ABSENT, "handler", "%s: %s", n, w);
        }
    }
}

static void check_daemon(struct report *r, struct cli *cli)
{
    struct err err = ERR_INIT;
    V1(StatusRequest) request = RUNTIME__V1__STATUS_REQUEST__INIT;
    automessage V1(StatusResponse) *reply = NULL;
    request.verbose = true;
    if (cli_call(cli, "RuntimeService/Status", &request.base,
                 &runtime__v1__status_response__descriptor, CHECK_RUN_TIMEOUT, &reply, &err) < 0) {
        tell(r, LIMITED, "unicrid", "%s", err.msg);
        return;
    }
    for (size_t i = 0; reply->status && i < reply->status->n_conditions; i++) {
        const V1(RuntimeCondition) *c = reply->status->conditions[i];
        autofree char *message = printable(*c->message ? c->message : c->reason);
        if (c->status)
            tell(r, GOOD, c->type, "says the daemon");
        else
            tell(r, MISSING, c->type, "says the daemon: %s", message);
    }
    for (size_t i = 0; i < reply->n_info; i++)
        if (str_eq(reply->info[i]->key, "handlers"))
            tell_handlers(r, reply->info[i]->value);
}

int cmd_check(struct cli *cli, int argc, char **argv)
{
    struct report r = {.cni_conf = "/etc/cni/net.d", .cni_bin = "/usr/lib/cni"};
    const struct flag flags[] = {
        {"cni-conf", 0, FLAG_STRING, &r.cni_conf, "DIR",
         "where network configurations are (/etc/cni/net.d)"},
        {"cni-bin", 0, FLAG_STRING, &r.cni_bin, "DIR", "where CNI plugins are (/usr/lib/cni)"},
    };
    int at = flags_parse(command_find("check"), flags, ARRAY_SIZE(flags), false, argc, argv);
    if (at < argc)
        return usage_error("check", "unexpected '%s'", argv[at]);
    check_root(&r);
    check_kernel(&r);
    check_overlay(&r);
    check_cgroups(&r);
    check_runc(&r);
    check_cni(&r);
    check_landlock(&r);
    check_user_namespaces(&r);
    check_tun(&r);
    check_bpf(&r);
    check_kvm(&r);
    check_daemon(&r, cli);
    if (r.missing == 0 && r.limited == 0)
        printf("\nThis node lacks nothing.\n");
    else
        printf("\n%d missing, %d limited.\n", r.missing, r.limited);
    return r.missing ? 1 : 0;
}
