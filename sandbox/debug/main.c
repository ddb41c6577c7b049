/* SPDX-License-Identifier: Apache-2.0 */
/* main - see debug.h: the arguments, which the daemon writes; rights; the command. */
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/strbuf.h"
#include "sandbox/debug/debug.h"
#if defined(__x86_64__)
#include "sandbox/debug/tracee.h"
#define TRACES true
#else /* registers of this machine are not known here: the commands that need them are not built   \
       */
#define TRACES              false
#define tracee_open(o, err) (0)
#define tracee_close()      ((void)0)
#endif

static const struct debug_command *const commands[] = {
#if defined(__x86_64__)
    &debug_regs,    &debug_gdb,  &debug_core, &debug_watch,
#endif
    &debug_console, &debug_pcap,
};

/* Of guests whose VMM lets them be looked into. */
static const struct debug_command *const of_vmm[] = {
#if defined(__x86_64__)
    &debug_vmm_regs,
#endif
    &debug_vmm_gdb,
    &debug_vmm_core,
};

static int number(const char *text, unsigned long long max, unsigned long long *ret,
                  struct err *err)
{
    return parse_u64(text, max, "argument", ret, err);
}

static int fd_argument(const char *text, int *ret, struct err *err)
{
    unsigned long long n;

    if (number(text, INT_MAX, &n, err) < 0)
        return -1;
    *ret = (int)n;
    return 0;
}

static int number_argument(const char *key, const char *value, struct debug_options *o,
                           struct err *err)
{
    unsigned long long n = 0;

    if (str_eq(key, "pid") && number(value, INT_MAX, &n, err) == 0)
        o->pid = (pid_t)n;
    else if (str_eq(key, "start") && number(value, UINT64_MAX, &n, err) == 0)
        o->start_time = n;
    else if (str_eq(key, "memory") && number(value, INT64_MAX, &n, err) == 0)
        o->memory = n;
    else if (str_eq(key, "uid") && number(value, UINT32_MAX - 1, &n, err) == 0)
        o->uid = (uint32_t)n;
    else if (str_eq(key, "core-max") && number(value, INT64_MAX, &n, err) == 0)
        o->core_max = n;
    else
        return err_set(err, ERR_INVALID, "argument --%s=%s", key, value);
    return 0;
}

static int one_argument(const char *arg, struct debug_options *o, struct err *err)
{
    const char *value = strchr(arg, '=');
    autofree char *key = xstrndup(arg, value ? (size_t)(value - arg) : strlen(arg));

    value = value ? value + 1 : "";
    if (str_eq(key, "--kernel-fd"))
        return fd_argument(value, &o->kernel_fd, err);
    if (str_eq(key, "--log-fd"))
        return fd_argument(value, &o->log_fd, err);
    if (str_eq(key, "--attach-fd"))
        return fd_argument(value, &o->attach_fd, err);
    if (str_eq(key, "--netns-fd"))
        return fd_argument(value, &o->netns_fd, err);
    if (str_eq(key, "--rsp-fd"))
        return fd_argument(value, &o->rsp_fd, err);
    if (str_eq(key, "--core-fd"))
        return fd_argument(value, &o->core_fd, err);
    if (str_eq(key, "--leftovers-fd"))
        return fd_argument(value, &o->leftovers_fd, err);
    if (str_eq(key, "--backend"))
        o->hvt = str_eq(value, "hvt");
    else if (str_eq(key, "--tap"))
        o->tap = value;
    else if (str_eq(key, "--input"))
        o->input = true;
    else if (str_eq(key, "--once"))
        o->once = true;
    else
        return number_argument(str_has_prefix(key, "--") ? key + 2 : key, value, o, err);
    return 0;
}

static const struct debug_command *find(const struct debug_options *o)
{
    bool vmm = o->rsp_fd >= 0 || o->core_fd >= 0;
    const struct debug_command *const *v = vmm ? of_vmm : commands;

    for (size_t n = vmm ? ARRAY_SIZE(of_vmm) : ARRAY_SIZE(commands); n > 0; n--)
        if (str_eq(v[n - 1]->name, o->command))
            return v[n - 1];
    return NULL;
}

static int parse(char *const *argv, struct debug_options *o, const struct debug_command **ret,
                 struct err *err)
{
    *ret = NULL;
    o->command = argv[0] && argv[1] ? argv[1] : "";
    if (!*o->command)
        return err_set(err, ERR_INVALID, "which command?");
    argv += 2;
    for (; *argv && !str_eq(*argv, "--"); argv++)
        if (one_argument(*argv, o, err) < 0)
            return -1;
    o->args = *argv ? argv + 1 : argv;
    *ret = find(o);
    if (!*ret)
        return err_set(err, ERR_INVALID, "no such command here");
    if ((*ret)->traces && (!o->pid || !o->memory))
        return err_set(err, ERR_INVALID, "which guest?");
    return 0;
}

int main(int argc, char **argv)
{
    struct debug_options o = {.kernel_fd = -1,
                              .leftovers_fd = -1,
                              .log_fd = -1,
                              .attach_fd = -1,
                              .netns_fd = -1,
                              .rsp_fd = -1,
                              .core_fd = -1,
                              .tap = ""};
    const struct debug_command *command;
    struct err err = ERR_INIT;
    int rc;

    (void)argc;
    if (isatty(STDIN_FILENO))
        (void)ioctl(STDIN_FILENO, TIOCSCTTY, 0); /* Ctrl-C ends us */
    rc = parse(argv, &o, &command, &err);
    if (rc == 0)
        rc = end_prepare(&err);
    if (rc == 0 && TRACES && command->traces)
        rc = tracee_open(&o, &err);
    if (rc == 0 && command->open)
        rc = command->open(&o, &err);
    if (rc == 0)
        rc = shut_in(o.uid, command->traces ? o.pid : 0, o.core_max, &err);
    if (rc == 0)
        rc = command->run(&o, &err);
    if (TRACES && command && command->traces)
        tracee_close();
    if (rc < 0 && err.code != ERR_CANCELLED)
        output_note("unicri:%s: %s", o.command, err.msg);
    _exit(rc == 0 || err.code == ERR_CANCELLED ? 0
          : err.code == ERR_INVALID            ? DEBUG_USAGE
                                               : DEBUG_FAILED);
}
