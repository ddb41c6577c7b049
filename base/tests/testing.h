/* SPDX-License-Identifier: Apache-2.0 */
/*
 * testing - what unit tests of all folders share: cmocka with its required headers, a temporary
 * directory per test, assertions on struct err.
 */
#ifndef UNICRI_BASE_TESTS_TESTING_H
#define UNICRI_BASE_TESTS_TESTING_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/fs.h"

/* The call must succeed / fail with a code and a part of the message; shows the message when not.
 */
#define assert_ok(call, err)                                                                       \
    do {                                                                                           \
        if (call)                                                                                  \
            fail_msg("%s: %s", #call, (err).msg);                                                  \
    } while (0)
#define assert_err(call, err, expected_code, part)                                                 \
    do {                                                                                           \
        (err) = ERR_INIT;                                                                          \
        assert_int_equal(call, -1);                                                                \
        if ((err).code != (expected_code) || !strstr((err).msg, part))                             \
            fail_msg("%s: got %s '%s'", #call, err_code_name((err).code), (err).msg);              \
    } while (0)

/* Setup and teardown: *state is the path of a fresh directory, removed with all that is in it. */
static inline int testing_dir_setup(void **state)
{
    char *dir = xstrdup("/tmp/unicri-test-XXXXXX");

    *state = mkdtemp(dir);
    return *state ? 0 : -1;
}
static inline int testing_dir_teardown(void **state)
{
    struct err err = ERR_INIT;
    int r = fs_remove_tree(AT_FDCWD, *state, &err);

    if (r)
        print_error("%s\n", err.msg);
    free(*state);
    return r;
}
#define in_dir(test) cmocka_unit_test_setup_teardown(test, testing_dir_setup, testing_dir_teardown)

#endif
