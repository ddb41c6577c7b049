/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lab - what the tests of this folder share: network and mount namespaces of their own, a temporary
 * directory, commands, and a pod namespace joined to the test's by a veth pair. Included by one .c
 * file per program.
 *
 * The mount namespace is private, so a test that dies leaves nothing but an empty directory in
 * /tmp.
 */
#ifndef UNICRI_CNI_TESTS_LAB_H
#define UNICRI_CNI_TESTS_LAB_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sched.h>
#include <string.h>
#include <sys/mount.h>

#include "base/child.h"
#include "base/fs.h"
#include "base/strbuf.h"
#include "cni/cni.h"

static char lab_dir[] = "/tmp/unicri-cni-test.XXXXXX";

#define assert_ok(call)                                                                            \
    do {                                                                                           \
        struct err err_ = ERR_INIT;                                                                \
        struct err *err = &err_;                                                                   \
        if ((call) < 0)                                                                            \
            fail_msg("%s: %s", #call, err_.msg);                                                   \
    } while (0)

/* `call` fails with this code and a message that contains `text`. */
#define assert_err(call, want, text)                                                               \
    do {                                                                                           \
        struct err err_ = ERR_INIT;                                                                \
        struct err *err = &err_;                                                                   \
        if ((call) >= 0)                                                                           \
            fail_msg("%s: succeeded", #call);                                                      \
        if (err_.code != (want) || !strstr(err_.msg, text))                                        \
            fail_msg("%s: %s: %s", #call, err_code_name(err_.code), err_.msg);                     \
    } while (0)

__attribute__((unused)) static char *lab_path(const char *name)
{
    return path_join(lab_dir, name);
}

__attribute__((unused)) static void lab_write(const char *name, const char *text, mode_t mode)
{
    autofree char *path = lab_path(name);

    assert_ok(fs_write_file(AT_FDCWD, path, text, strlen(text), mode, err));
    assert_int_equal(chmod(path, mode), 0);
}

/* Run a shell command line in lab_dir. Returns: its exit status; *ret_out (owned) its output,
 * unless NULL. */
__attribute__((unused)) static int lab_shell(const char *command, char **ret_out)
{
    char *argv[] = {(char *)"sh", (char *)"-c", (char *)(uintptr_t)command, NULL};
    char *env[] = {(char *)"PATH=/usr/sbin:/usr/bin:/sbin:/bin", NULL};
    struct child_spec spec = {.path = "/bin/sh", .argv = argv, .env = env, .cwd = lab_dir};
    autochild_output out = {0};
    struct child_status status = {0};

    assert_ok(
        child_run(&spec, NULL, 0, 1 << 20, deadline_in(20 * NSEC_PER_SEC), &out, &status, err));
    if (status.code != 0 && !ret_out)
        print_message("%s\n%s%s\n", command, out.out, out.errout);
    if (ret_out)
        *ret_out = TAKE_PTR(out.out);
    return status.exited ? status.code : 128 + status.code;
}

__attribute__((unused)) static void lab_run(const char *command)
{
    if (lab_shell(command, NULL) != 0)
        fail_msg("failed: %s", command);
}

__attribute__((unused)) static int lab_setup(void **state)
{
    (void)state;
    if (geteuid() != 0) {
        print_message("these tests need root\n");
        return -1;
    }
    if (unshare(CLONE_NEWNET | CLONE_NEWNS) < 0 ||
        mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) {
        print_message("no namespaces of our own\n");
        return -1;
    }
    if (!mkdtemp(lab_dir))
        return -1;
    return lab_shell("ip link set lo up", NULL);
}

__attribute__((unused)) static int lab_teardown(void **state)
{
    struct err err = ERR_INIT;

    (void)state;
    return fs_remove_tree(AT_FDCWD, lab_dir, &err);
}

#endif
