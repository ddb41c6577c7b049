/* SPDX-License-Identifier: Apache-2.0 */
/* users - see users.h. */
#include "sandbox/users.h"

#include <errno.h>
#include <string.h>

#include "base/fs.h"
#include "base/strbuf.h"

void user_done(struct user *user)
{
    free(user->groups);
    *user = (struct user){0};
}

/* Decimal digits only, at most USERS_ID_MAX. */
static bool parse_id(const char *s, uint32_t *ret)
{
    unsigned long long n;

    if (!*s || parse_u64(s, USERS_ID_MAX, "id", &n, NULL) < 0)
        return false;
    *ret = (uint32_t)n;
    return true;
}

static bool is_number(const char *s)
{
    return *s && strspn(s, "0123456789") == strlen(s);
}

static int check_id(const struct optional_int *id, const char *what, struct err *err)
{
    if (id->set && (id->value < 0 || id->value > USERS_ID_MAX))
        return err_set(err, ERR_INVALID, "%s %lld: out of range", what, (long long)id->value);
    return 0;
}

int user_check(const struct container_spec *spec, const char *image_user, struct err *err)
{
    if (check_id(&spec->run_as_user, "run_as_user", err) < 0 ||
        check_id(&spec->run_as_group, "run_as_group", err) < 0)
        return -1;
    if (spec->run_as_group.set && !spec->run_as_user.set && !*spec->run_as_username)
        return err_set(err, ERR_INVALID, "run_as_group is given without a user");
    for (size_t i = 0; i < spec->n_supplemental_groups; i++)
        if (spec->supplemental_groups[i] < 0 || spec->supplemental_groups[i] > USERS_ID_MAX)
            return err_set(err, ERR_INVALID, "supplemental group %lld: out of range",
                           (long long)spec->supplemental_groups[i]);
    if (strlen(image_user) > 255)
        return err_set(err, ERR_INVALID, "the image's user: longer than 255 bytes");
    for (const char *p = image_user; *p; p++)
        if ((unsigned char)*p <= ' ' || *p == 0x7f)
            return err_set(err, ERR_INVALID,
                           "the image's user '%s': holds a blank or a control byte", image_user);
    return 0;
}

/* ----------------------------------------------------------------------- files */

/* Call f with each line cut into at most `max` fields at ':'; lines that are too long are not
 * entries. f returns true to stop. */
static void each_entry(const char *text, size_t max, bool (*f)(char **field, size_t n, void *arg),
                       void *arg)
{
    char line[USERS_LINE_MAX_BYTES];
    char *field[8];

    while (*text) {
        size_t len = strcspn(text, "\n"), n = 0;

        if (len < sizeof(line) && text[0] != '#') {
            memcpy(line, text, len);
            line[len] = '\0';

            char *rest = line;

            while (n < max && rest)
                field[n++] = strsep(&rest, ":");
            if (f(field, n, arg))
                return;
        }
        text += len + (text[len] == '\n');
    }
}

struct passwd_query {
    const char *name; /* or by id */
    uint32_t id;
    bool found;
    char found_name[256];
    uint32_t uid, gid;
};

static bool match_passwd(char **field, size_t n, void *arg)
{
    struct passwd_query *q = arg;
    uint32_t uid, gid;

    if (n < 4 || !*field[0] || !parse_id(field[2], &uid) || !parse_id(field[3], &gid) ||
        strlen(field[0]) >= sizeof(q->found_name))
        return false;
    if (q->name ? !str_eq(field[0], q->name) : uid != q->id)
        return false;
    q->found = true;
    q->uid = uid;
    q->gid = gid;
    (void)snprintf(q->found_name, sizeof(q->found_name), "%s", field[0]);
    return true;
}

struct group_query {
    const char *name; /* a group by name */
    bool found;
    uint32_t gid;
    const char *member; /* or all groups of a user */
    struct user *user;
};

void user_add_group(struct user *user, uint32_t gid)
{
    for (size_t i = 0; i < user->n_groups; i++)
        if (user->groups[i] == gid)
            return;
    if (user->n_groups == USERS_GROUPS_MAX)
        return;
    user->groups = xrealloc_array(user->groups, user->n_groups + 1, sizeof(*user->groups));
    user->groups[user->n_groups++] = gid;
}

static bool match_group(char **field, size_t n, void *arg)
{
    struct group_query *q = arg;
    char *save = NULL;
    uint32_t gid;

    if (n < 3 || !parse_id(field[2], &gid))
        return false;
    if (q->name) {
        q->found = str_eq(field[0], q->name);
        q->gid = gid;
        return q->found;
    }
    for (char *m = n > 3 ? strtok_r(field[3], ",", &save) : NULL; m; m = strtok_r(NULL, ",", &save))
        if (str_eq(m, q->member)) {
            user_add_group(q->user, gid);
            break;
        }
    return false;
}

/* ------------------------------------------------------------------- resolve */

/* A name or number of a user. A number need not be in the file, a name must. */
static int resolve_user(const char *passwd, const char *name, struct passwd_query *q,
                        struct err *err)
{
    *q = (struct passwd_query){.name = name};
    each_entry(passwd, 7, match_passwd, q);
    if (q->found)
        return 0;
    if (!is_number(name))
        return err_set(err, ERR_INVALID, "user '%s' is not in the image's /etc/passwd", name);
    *q = (struct passwd_query){0};
    if (!parse_id(name, &q->id))
        return err_set(err, ERR_INVALID, "user '%s': out of range", name);
    q->uid = q->id;
    each_entry(passwd, 7, match_passwd, q);
    return 0;
}

static int resolve_group(const char *group, const char *name, uint32_t *ret, struct err *err)
{
    struct group_query q = {.name = name};

    each_entry(group, 4, match_group, &q);
    if (q.found) {
        *ret = q.gid;
        return 0;
    }
    if (!is_number(name))
        return err_set(err, ERR_INVALID, "group '%s' is not in the image's /etc/group", name);
    return parse_id(name, ret) ? 0 : err_set(err, ERR_INVALID, "group '%s': out of range", name);
}

/* The image's "USER", "USER:GROUP", or nothing. */
static int resolve_image_user(const char *passwd, const char *group, const char *image_user,
                              struct passwd_query *q, struct err *err)
{
    autofree char *name = xstrndup(image_user, strcspn(image_user, ":"));
    const char *colon = strchr(image_user, ':');

    if (resolve_user(passwd, *name ? name : "0", q, err) < 0)
        return -1;
    return colon && colon[1] ? resolve_group(group, colon + 1, &q->gid, err) : 0;
}

int user_resolve_text(const char *passwd, const char *group, const struct container_spec *spec,
                      const char *image_user, struct user *ret, struct err *err)
{
    struct passwd_query q = {0};
    struct user user = {0};
    int rc;

    if (user_check(spec, image_user, err) < 0)
        return -1;
    if (*spec->run_as_username) {
        rc = resolve_user(passwd, spec->run_as_username, &q, err);
    } else if (spec->run_as_user.set) {
        q.uid = q.id = (uint32_t)spec->run_as_user.value;
        each_entry(passwd, 7, match_passwd, &q);
        q.uid = q.id;
        rc = 0;
    } else {
        rc = resolve_image_user(passwd, group, image_user, &q, err);
    }
    if (rc < 0)
        return -1;
    user.uid = q.uid;
    user.gid = spec->run_as_group.set ? (uint32_t)spec->run_as_group.value : q.gid;
    user_add_group(&user, user.gid);
    for (size_t i = 0; i < spec->n_supplemental_groups; i++)
        user_add_group(&user, (uint32_t)spec->supplemental_groups[i]);
    if (spec->supplemental_groups_policy == 0 && q.found) {
        struct group_query members = {.member = q.found_name, .user = &user};

        each_entry(group, 4, match_group, &members);
    }
    *ret = user;
    return 0;
}

/* A regular file of the image as text; absent is empty. A NUL byte ends it. */
static int read_in_root(int rootfd, const char *path, char **ret, struct err *err)
{
    struct err why = ERR_INIT;
    autofd int fd = fs_open_in_root(rootfd, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0, &why);
    struct stat st;

    *ret = NULL;
    if (fd < 0 && (why.code == ERR_NOT_FOUND || why.sys == ENOTDIR)) {
        *ret = xstrdup("");
        return 0;
    }
    if (fd < 0) {
        if (err)
            *err = why;
        return err_wrap(err, "image file '%s'", path);
    }
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return err_set(err, ERR_INVALID, "image file '%s': not a regular file", path);
    if (fs_read_fd(fd, USERS_FILE_MAX_BYTES, ret, NULL, err) < 0)
        return err_wrap(err, "image file '%s'", path);
    return 0;
}

int user_resolve(int rootfd, const struct container_spec *spec, const char *image_user,
                 struct user *ret, struct err *err)
{
    autofree char *passwd = NULL, *group = NULL;

    if (read_in_root(rootfd, "/etc/passwd", &passwd, err) < 0 ||
        read_in_root(rootfd, "/etc/group", &group, err) < 0)
        return -1;
    return user_resolve_text(passwd, group, spec, image_user, ret, err);
}
