/* SPDX-License-Identifier: Apache-2.0 */
/*
 * users - who a container runs as: the request's ids and names, the image's USER, and the image's
 * /etc/passwd and /etc/group, which are hostile: opened inside the root only, regular files only,
 * bounded in bytes and lines.
 */
#ifndef UNICRI_SANDBOX_USERS_H
#define UNICRI_SANDBOX_USERS_H

#include "base/mem.h"
#include "sandbox/spec.h"

#define USERS_FILE_MAX_BYTES (10 * 1024 * 1024)
#define USERS_LINE_MAX_BYTES 65536
#define USERS_GROUPS_MAX     65536
#define USERS_ID_MAX         UINT32_C(4294967294) /* -1 means "no id" to the kernel */

struct user {
    uint32_t uid, gid;
    uint32_t *groups; /* owned; the primary one first, no duplicates */
    size_t n_groups;
};
void user_done(struct user *user);

/** user_check() - what needs no file: a group without a user, ids out of range. Errors: INVALID. */
int user_check(const struct container_spec *spec, const char *image_user,
               struct err *err) MUST_CHECK;
/**
 * user_resolve() - by the root filesystem behind rootfd.
 * Order: run_as_username, run_as_user, the image's "USER[:GROUP]". The primary group: run_as_group,
 * the image's, the one in /etc/passwd, 0. Policy Merge adds the groups /etc/group lists the user
 * in; Strict does not. Errors: INVALID (unknown name, bad id).
 */
int user_resolve(int rootfd, const struct container_spec *spec, const char *image_user,
                 struct user *ret, struct err *err) MUST_CHECK;
/** user_resolve_text() - the same from the two files' texts. */
int user_resolve_text(const char *passwd, const char *group, const struct container_spec *spec,
                      const char *image_user, struct user *ret, struct err *err) MUST_CHECK;
/** user_add_group() - one more, unless it is there or there are USERS_GROUPS_MAX. */
void user_add_group(struct user *user, uint32_t gid);

#endif
