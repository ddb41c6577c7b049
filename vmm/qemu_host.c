/* SPDX-License-Identifier: Apache-2.0 */
/* qemu_host - see qemu_host.h. */
#include "vmm/qemu_host.h"

#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/strbuf.h"
#include "vmm/host.h"
#include "vmm/kvm.h"
#include "vmm/private.h"

#define DATA_DIRECTORIES_MAX 8

/* 7.1: -action panic=exit-failure, and microvm as it is described here. */
static const struct host_version version = {
    .name = "QEMU", .before = "QEMU emulator version ", .major = 7, .minor = 1};

static const char *setting(const char *value)
{
    return value && *value ? value : "auto";
}

int qemu_check_choice(const char *machine, const char *accel, struct err *err)
{
    const char *m = setting(machine), *a = setting(accel);

    if (!str_eq(m, "auto") && !str_eq(m, "q35") && !str_eq(m, "microvm"))
        return err_set(err, ERR_INVALID, "machine '%s': neither 'auto' nor 'q35' nor 'microvm'", m);
    if (!str_eq(a, "auto") && !str_eq(a, "kvm") && !str_eq(a, "tcg"))
        return err_set(err, ERR_INVALID, "accelerator '%s': neither 'auto' nor 'kvm' nor 'tcg'", a);
    return 0;
}

int qemu_host_choose(const struct vmm_config *config, const char *machine, const char *accel,
                     struct qemu_choice *ret, struct err *err)
{
    const char *a = setting(accel), *m = setting(machine);

    if (str_eq(a, "auto"))
        a = setting(config->qemu_accel);
    if (str_eq(m, "auto"))
        m = setting(config->qemu_machine);
    if (qemu_check_choice(m, a, err) < 0)
        return -1;
    if (str_eq(a, "kvm") && kvm_unusable())
        return err_set(err, ERR_UNSUPPORTED, "accelerator 'kvm': %s", kvm_unusable());
    ret->kvm = str_eq(a, "kvm") || (str_eq(a, "auto") && !kvm_unusable());
    ret->microvm = str_eq(m, "microvm");
    return 0;
}

char *qemu_host_unavailable(const struct vmm_config *config)
{
    const char *name =
        config->qemu_program && *config->qemu_program ? config->qemu_program : QEMU_PROGRAM;
    autofree char *program = host_program(config->qemu_program, QEMU_PROGRAM);
    struct qemu_choice choice;
    struct err err = ERR_INIT;
    char *why = host_unfit(program, name, &version);

    if (!why && qemu_host_choose(config, NULL, NULL, &choice, &err) < 0)
        return xasprintf("vmm.qemu_machine, vmm.qemu_accel: %s", err.msg);
    return why;
}

/* Each directory in which it looks for firmware. In the jail it cannot find itself, and so not
 * them: it is told. */
static int put_data(struct vmm_plan *plan, const char *program, struct err *err)
{
    char *argv[] = {(char *)(uintptr_t)program, (char[]){"-L"}, (char[]){"help"}, NULL};
    autofree char *answer = NULL;
    char *save = NULL;
    int n = 0;

    if (host_ask(program, argv, HOST_STDOUT, &answer, err) < 0)
        return err_wrap(err, "ask QEMU for its directories");
    for (char *l = strtok_r(answer, "\n", &save); l; l = strtok_r(NULL, "\n", &save)) {
        char path[PATH_MAX];

        if (*l != '/' || !realpath(l, path) || n == DATA_DIRECTORIES_MAX)
            continue;
        if (host_put(plan, VMM_BIND_RO, path, path, err) < 0)
            return -1;
        strv_push(&plan->argv, "-L");
        strv_push(&plan->argv, path);
        n++;
    }
    return n > 0 ? 0
                 : err_set(err, ERR_UNAVAILABLE,
                           "QEMU's firmware is not installed: none of its directories is there");
}

/* Distributions put its emulation into a module. */
static int put_modules(struct vmm_plan *plan, const char *program, struct err *err)
{
    static const char *const places[] = {"lib/x86_64-linux-gnu/qemu", "lib64/qemu", "lib/qemu",
                                         "lib64/qemu-kvm", "lib/qemu-kvm"};
    char path[PATH_MAX];
    char *slash;

    if (!realpath(program, path))
        return err_sys(err, "look at '%s'", program);
    for (int i = 0; i < 2; i++) /* PREFIX/bin/qemu */
        if ((slash = strrchr(path, '/')))
            *slash = '\0';
    for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
        autofree char *dir = path_join(path, places[i]);

        if (access(dir, F_OK) < 0)
            continue;
        strv_take(&plan->env, xasprintf("QEMU_MODULE_DIR=%s", dir));
        return host_put(plan, VMM_BIND_RO, dir, dir, err);
    }
    return 0;
}

int qemu_host_put(const struct vmm_config *config, struct vmm_plan *plan, struct err *err)
{
    autofree char *program = host_program(config->qemu_program, QEMU_PROGRAM);

    return host_set_program(plan, program, err) < 0 || host_put_libraries(plan, program, err) < 0 ||
                   put_modules(plan, program, err) < 0 || put_data(plan, program, err) < 0
               ? -1
               : 0;
}
