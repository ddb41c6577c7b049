/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtiofsd - the server of a virtiofs share, a process beside the VMM that serves a hostile guest:
 * in a jail of its own, which holds its libraries, its own processes and the shared tree. There are
 * two programs of that name, QEMU's (to 7.2) and one in Rust, with a syntax each.
 *
 * Its socket is made by the daemon, which connects the VMM to it before either runs: neither has to
 * wait for the other, and a server that dies or never answers is seen as such.
 */
#include <string.h>
#include <unistd.h>

#include "base/strbuf.h"
#include "vmm/host.h"
#include "vmm/private.h"

#define NAME      "virtiofsd"
#define LISTEN_FD 3
#define PIDS      16
#define NOFILE    32768
#define SHARE_DIR "/share" /* as the options below have it */

#define FILES_TEXT "65536\n"

/*
 * Measured (x86-64, private pages): 0.3 MiB of QEMU's 7.2 with an idle guest, 3.9 MiB when that has
 * looked at 20,000 files; 0.4 and 6.4 MiB of the one in Rust, 1.10. The kernel's share is larger: a
 * descriptor for each of these files keeps its inode in memory. It is a bound, nothing is set
 * aside.
 */
#define OVERHEAD (64 * MIB)

static const char *configured_program(const struct vmm_config *config)
{
    return config->virtiofsd_program ? config->virtiofsd_program : "";
}

static char *find(const struct vmm_config *config)
{
    static const char *const places[] = {"/usr/libexec/virtiofsd", "/usr/lib/qemu/virtiofsd",
                                         "/usr/lib/virtiofsd"};
    const char *configured = configured_program(config);
    char *program = host_program(configured, NAME);

    for (size_t i = 0; i < ARRAY_SIZE(places) && !*program && !*configured; i++)
        if (access(places[i], X_OK) == 0) {
            free(program);
            return xstrdup(places[i]);
        }
    return program;
}

/* Which of the two it is; -1: neither. */
static int is_rust(const char *program, bool *ret, struct err *err)
{
    char *argv[] = {(char *)(uintptr_t)program, (char[]){"--help"}, NULL};
    autofree char *help = NULL;

    if (host_ask(program, argv, HOST_STDOUT, &help, err) < 0)
        return -1;
    *ret = strstr(help, "--shared-dir") != NULL;
    if (*ret ? strstr(help, "--fd") != NULL
             : strstr(help, "--fd=FDNUM") && strstr(help, "sandbox=namespace|chroot"))
        return 0;
    return err_set(err, ERR_UNSUPPORTED, "'%s' is no virtiofsd whose options are known", program);
}

char *virtiofsd_missing(const struct vmm_config *config)
{
    autofree char *program = find(config);
    struct err err = ERR_INIT;
    bool rust;

    if (!*program)
        return xasprintf("'%s' is not installed",
                         *configured_program(config) ? configured_program(config) : NAME);
    return is_rust(program, &rust, &err) < 0 ? xstrdup(err.msg) : NULL;
}

static void plan_argv(struct vmm_plan *plan, bool rust)
{
    static const char *const of_rust[] = {"--shared-dir=/share",
                                          "--fd=3",
                                          "--rlimit-nofile=0",
                                          "--sandbox=chroot",
                                          "--cache=auto",
                                          "--announce-submounts",
                                          "--inode-file-handles=never",
                                          "--log-level=error",
                                          NULL};
    static const char *const of_qemu[] = {"-f",
                                          "--fd=3",
                                          "--rlimit-nofile=0",
                                          "-o",
                                          "source=/share",
                                          "-o",
                                          "sandbox=chroot,cache=auto,announce_submounts",
                                          "-o",
                                          "log_level=err",
                                          NULL};

    strv_push(&plan->argv, NAME);
    for (const char *const *a = rust ? of_rust : of_qemu; *a; a++)
        strv_push(&plan->argv, *a);
    plan->env = xcalloc(1, sizeof(char *));
}

/* Its own processes, and what it asks of the kernel's settings, which is nobody else's business. */
static int put_proc(struct vmm_plan *plan, struct err *err)
{
    return plan_entry(plan, VMM_PROC, "/processes", -1, false, NULL, err) < 0 ||
                   plan_entry(plan, VMM_SYMLINK, "/proc/self", -1, false, "../processes/self",
                              err) < 0 ||
                   plan_entry(plan, VMM_FILE, "/proc/sys/fs/file-max", -1, false, FILES_TEXT, err) <
                       0 ||
                   plan_entry(plan, VMM_FILE, "/proc/sys/fs/nr_open", -1, false, FILES_TEXT, err) <
                       0
               ? -1
               : 0;
}

static int fill(const struct vmm_config *config, const struct vmm_spec *spec, struct vmm_plan *plan,
                struct err *err)
{
    autofree char *program = find(config);
    bool rust, writes = false;

    if (!*program)
        return err_set(err, ERR_NOT_FOUND, "it is not installed");
    if (is_rust(program, &rust, err) < 0 || host_set_program(plan, program, err) < 0 ||
        host_put_libraries(plan, program, err) < 0 || put_proc(plan, err) < 0 ||
        share_put(plan, &spec->shares[0], SHARE_DIR, &writes, err) < 0 ||
        share_groups(plan, spec, err) < 0 ||
        plan_fd(plan, spec->fs_listener, LISTEN_FD, false, err) < 0)
        return -1;
    plan_argv(plan, rust);
    plan->jail.file_server = true;
    plan->jail.nofile = NOFILE;
    plan->jail.pids_max = PIDS;
    plan->jail.fsize = writes ? INT64_MAX : 0;
    return 0;
}

int virtiofsd_plan(const struct vmm_config *config, const struct vmm_spec *spec,
                   struct vmm_plan *plan, struct err *err)
{
    if (spec->n_shares != 1 || !share_tag_ok(spec->shares[0].tag) || spec->fs_listener < 0 ||
        spec->fs_socket < 0)
        return err_set(err, ERR_INVALID, "a virtiofs share is one alone, with a short tag");
    plan->helper = XNEW(struct vmm_plan);
    plan->helper->program_fd = -1;
    plan->helper->overhead = OVERHEAD + plan->guest_memory / 512;
    /* The guest's memory is a file that both have mapped. */
    if (plan->guest_memory > plan->jail.fsize)
        plan->jail.fsize = plan->guest_memory;
    return fill(config, spec, plan->helper, err) < 0 ? err_wrap(err, NAME) : 0;
}
