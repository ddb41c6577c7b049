/* SPDX-License-Identifier: Apache-2.0 */
/*
 * apparmor - see apparmor.h. The kernel's list of loaded profiles decides what there is, so that a
 * profile which somebody has unloaded or replaced is noticed at the next container.
 */
#include "sandbox/apparmor.h"

#include <string.h>
#include <unistd.h>

#include "base/child.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/strbuf.h"

#define NAME_MAX_BYTES   255
#define LIST_MAX_BYTES   ((size_t)4 << 20)
#define PARSER_TIMEOUT   (30 * NSEC_PER_SEC)
#define PARSER_MAX_BYTES 8192

const struct apparmor_host apparmor_node = {
    .dir = "/sys/kernel/security/apparmor",
    .parser = "/usr/sbin/apparmor_parser",
};

/*
 * What a container may not do whatever its user and capabilities: change the kernel by /proc and
 * /sys, mount, and look into or signal what is not in a container of ours. (Masked paths and
 * capabilities already keep most containers from it; this also holds those that were given more.)
 */
static const char default_profile[] =
    "profile " APPARMOR_DEFAULT " flags=(attach_disconnected,mediate_deleted) {\n"
    "  network,\n"
    "  capability,\n"
    "  file,\n"
    "  umount,\n"
    "  deny mount,\n"
    "  signal (receive) peer=unconfined,\n"
    "  signal (receive) peer=runc,\n"
    "  signal (send, receive) peer=" APPARMOR_DEFAULT ",\n"
    "  ptrace (trace, read, tracedby, readby) peer=" APPARMOR_DEFAULT ",\n"
    /* Of /proc/sys only what namespaces hold: net, kernel.{sem,shm*,msg*}, fs.mqueue. */
    "  deny /proc/sys/{abi,debug,dev,sunrpc,user,vm}/** w,\n"
    "  deny /proc/sys/fs/[^m]** w,\n"
    "  deny /proc/sys/kernel/[^ms]** w,\n"
    "  deny /proc/sys/kernel/m[^s]** w,\n"
    "  deny /proc/sys/kernel/s[^eh]** w,\n"
    "  deny /proc/{acpi,asound,bus,driver,fs,irq,pressure,scsi,tty}/** w,\n"
    "  deny /proc/{kcore,kmem,kmsg,mem,mtrr,sysrq-trigger,timer_list} rwklx,\n"
    /* Of /sys only the control groups. */
    "  deny /sys/{block,bus,class,dev,devices,hypervisor,module,power}/** wklx,\n"
    "  deny /sys/fs/{bpf,btrfs,ext4,f2fs,fuse,pstore,resctrl,selinux,smackfs,xfs}/** wklx,\n"
    "  deny /sys/kernel/[^s]** wklx,\n"
    "  deny /sys/{firmware,kernel/security,devices/virtual/powercap}/** rwklx,\n"
    "}\n";

/* The list has lines "NAME (MODE)". A name may hold blanks: the last " (" ends it. */
static int is_loaded(const struct apparmor_host *host, const char *name, bool *ret, struct err *err)
{
    autofree char *path = path_join(host->dir, "profiles");
    autofree char *text = NULL;
    size_t len = strlen(name);

    *ret = false;
    if (fs_read_file(AT_FDCWD, path, LIST_MAX_BYTES, &text, NULL, err) < 0)
        return err_wrap(err, "loaded AppArmor profiles");
    for (char *line = text, *next; *line; line = next) {
        next = line + strcspn(line, "\n");
        if (strncmp(line, name, len) == 0 && strncmp(line + len, " (", 2) == 0 &&
            !memmem(line + len + 2, (size_t)(next - line) - len - 2, " (", 2))
            *ret = true;
        next += *next == '\n';
    }
    return 0;
}

static int load_default(const struct apparmor_host *host, struct err *err)
{
    char *argv[] = {(char *)(uintptr_t)host->parser, (char[]){"-Kr"}, NULL};
    char *env[] = {(char[]){"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}, NULL};
    struct child_spec spec = {.path = host->parser, .argv = argv, .env = env};
    struct child_status status;
    autochild_output out = {0};

    if (child_run(&spec, default_profile, sizeof(default_profile) - 1, PARSER_MAX_BYTES,
                  deadline_in(PARSER_TIMEOUT), &out, &status, err) < 0)
        return err_wrap(err, "load AppArmor profile '" APPARMOR_DEFAULT "'");
    if (!status.exited || status.code != 0) {
        (void)child_explain("apparmor_parser", &status, &out, err);
        if (err)
            err->code = ERR_UNAVAILABLE;
        return err_wrap(err, "load AppArmor profile '" APPARMOR_DEFAULT "'");
    }
    log_info("AppArmor profile '" APPARMOR_DEFAULT "' is loaded");
    return 0;
}

static int runtime_default(const struct apparmor_host *host, char **ret, struct err *err)
{
    bool loaded;

    if (is_loaded(host, APPARMOR_DEFAULT, &loaded, err) < 0)
        return -1;
    if (!loaded && access(host->parser, X_OK) < 0) {
        log_warn("this node has AppArmor but no '%s': a container that asks for the runtime's "
                 "default profile runs without one",
                 host->parser);
        *ret = xstrdup("");
        return 0;
    }
    if (!loaded && load_default(host, err) < 0)
        return -1;
    *ret = xstrdup(APPARMOR_DEFAULT);
    return 0;
}

static int localhost(const struct apparmor_host *host, const char *ref, char **ret, struct err *err)
{
    const char *name = str_has_prefix(ref, "localhost/") ? ref + strlen("localhost/") : ref;
    bool loaded;

    if (!*name || strlen(name) > NAME_MAX_BYTES || strpbrk(name, " \t\n\r"))
        return err_set(err, ERR_INVALID, "AppArmor profile '%s': not a name", ref);
    if (is_loaded(host, name, &loaded, err) < 0)
        return -1;
    if (!loaded)
        return err_set(err, ERR_NOT_FOUND, "AppArmor profile '%s' is not loaded on this node",
                       name);
    *ret = xstrdup(name);
    return 0;
}

int apparmor_profile(const struct apparmor_host *host, const struct container_spec *spec,
                     char **ret, struct err *err)
{
    const struct security_profile *p = &spec->apparmor;
    bool there = access(host->dir, F_OK) == 0;

    *ret = NULL;
    if (!p->set || spec->privileged || (!there && p->type != PROFILE_LOCALHOST)) {
        *ret = xstrdup("");
        return 0;
    }
    if (!there)
        return err_set(err, ERR_UNSUPPORTED,
                       "AppArmor profile '%s' is asked for, but this node has no AppArmor",
                       p->localhost_ref);
    if (p->type == PROFILE_LOCALHOST)
        return localhost(host, p->localhost_ref, ret, err);
    if (p->type == PROFILE_UNCONFINED) {
        *ret = xstrdup("unconfined");
        return 0;
    }
    return runtime_default(host, ret, err);
}
