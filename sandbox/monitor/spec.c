/* SPDX-License-Identifier: Apache-2.0 */
/* spec - the parser of the monitor's orders; see spec.h and monitor.h. */
#include "sandbox/monitor/spec.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "sandbox/monitor/monitor.h"

enum kind {
    KIND_ARG,
    KIND_ENV,
    KIND_FD_PAIR,
    KIND_MODE,
    KIND_ID,
    KIND_PATH,
    KIND_BELOW,
    KIND_PATHS,
    KIND_BOOL,
    KIND_NUMBER,
    KIND_FD,
    KIND_GROUP,
    KIND_IOCTL,
    KIND_ROOT_BIND,
    KIND_ROOT_MADE,
    KIND_ROOT_TEXT,
    KIND_ROOT_BASE
};

struct key {
    const char *name;
    enum kind kind;
    size_t offset;       /* of the value in struct spec */
    size_t count_offset; /* of the count: paths */
    int64_t min, max;    /* of a number; `min` is the kind of an entry of the root */
};

#define AT(member) offsetof(struct spec, member)

static const struct key keys[] = {
    {"id", KIND_ID, AT(id), 0, 0, 0},
    {"mode", KIND_MODE, AT(mode), 0, 0, 0},
    {"arg", KIND_ARG, 0, 0, 0, 0},
    {"env", KIND_ENV, 0, 0, 0, 0},
    {"program", KIND_PATH, AT(program), 0, 0, 0},
    {"program_fd", KIND_FD, AT(program_fd), 0, 0, 0},
    {"fd", KIND_FD_PAIR, 0, 0, 0, 0},
    {"log_dir", KIND_PATH, AT(log_dir), 0, 0, 0},
    {"log", KIND_BELOW, AT(log), 0, 0, 0},
    {"log_line_max", KIND_NUMBER, AT(log_line_max), 0, SPEC_LINE_MIN, SPEC_LINE_MAX},
    {"tty", KIND_BOOL, AT(tty), 0, 0, 0},
    {"stdin", KIND_BOOL, AT(stdin_open), 0, 0, 0},
    {"stdin_once", KIND_BOOL, AT(stdin_once), 0, 0, 0},
    {"cgroup", KIND_PATHS, AT(cgroups), AT(n_cgroups), 0, 0},
    {"cgroup_kill", KIND_PATHS, AT(cgroup_kill), AT(n_cgroup_kill), 0, 0},
    {"cgroup_memory", KIND_PATH, AT(cgroup_memory), 0, 0, 0},
    {"timeout_ms", KIND_NUMBER, AT(timeout_ms), 0, 0, INT64_C(86400000)},
    {"uid", KIND_NUMBER, AT(uid), 0, 0, UINT32_MAX - 1},
    {"gid", KIND_NUMBER, AT(gid), 0, 0, UINT32_MAX - 1},
    {"nofile", KIND_NUMBER, AT(nofile), 0, 3, 1 << 20},
    {"fsize", KIND_NUMBER, AT(fsize), 0, 0, INT64_MAX},
    {"new_pid_ns", KIND_BOOL, AT(new_pid_ns), 0, 0, 0},
    {"new_user_ns", KIND_BOOL, AT(new_user_ns), 0, 0, 0},
    {"ioctl", KIND_IOCTL, 0, 0, 0, 0},
    {"interface_sockets", KIND_BOOL, AT(interface_sockets), 0, 0, 0},
    {"local_connect", KIND_BOOL, AT(connects), 0, 0, 0},
    {"file_server", KIND_BOOL, AT(file_server), 0, 0, 0},
    {"netns", KIND_FD, AT(netns), 0, 0, 0},
    {"group", KIND_GROUP, 0, 0, 0, 0},
    {"root_ro", KIND_ROOT_BIND, 0, 0, ROOT_RO, 0},
    {"root_rw", KIND_ROOT_BIND, 0, 0, ROOT_RW, 0},
    {"root_device", KIND_ROOT_BIND, 0, 0, ROOT_DEVICE, 0},
    {"root_dir", KIND_ROOT_MADE, 0, 0, ROOT_DIR, 0},
    {"root_file", KIND_ROOT_MADE, 0, 0, ROOT_FILE, 0},
    {"root_symlink", KIND_ROOT_MADE, 0, 0, ROOT_SYMLINK, 0},
    {"root_proc", KIND_ROOT_MADE, 0, 0, ROOT_PROC, 0},
    {"root_text", KIND_ROOT_TEXT, 0, 0, 0, 0},
    {"root_base", KIND_ROOT_BASE, 0, 0, 0, 0},
    {"root_bytes", KIND_NUMBER, AT(root_bytes), 0, 0, SPEC_ROOT_MAX},
    {"kill_on_start_failure", KIND_BOOL, AT(kill_on_start_failure), 0, 0, 0},
    {"oom_score_adj", KIND_NUMBER, AT(oom_score_adj), 0, -1000, 1000},
};
_Static_assert(sizeof(size_t) == sizeof(int64_t), "log_line_max is stored as a number");

size_t spec_count(const char *text, size_t len)
{
    size_t n = 0;

    for (size_t i = 0; i < len; i++)
        n += text[i] == '\0';
    return n;
}

size_t spec_helper(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i += strnlen(text + i, len - i) + 1)
        if (len - i >= sizeof(SPEC_HELPER) &&
            memcmp(text + i, SPEC_HELPER, sizeof(SPEC_HELPER)) == 0)
            return i;
    return len;
}

static bool is_id(const char *s)
{
    size_t len = strlen(s);

    if (len == 0 || len > SPEC_ID_MAX_BYTES || s[0] == '.')
        return false;
    for (; *s; s++)
        if (*s == '/' || (unsigned char)*s <= ' ' || (unsigned char)*s >= 0x7f)
            return false;
    return true;
}

/* FROM:TO */
static bool fd_pair(struct spec *spec, char *value)
{
    char *colon = strchr(value, ':');
    int64_t from, to;
    bool ok;

    if (!colon || spec->n_fds == SPEC_FDS_MAX)
        return false;
    *colon = '\0';
    ok = text_number(value, MONITOR_FIRST_FD, INT_MAX, &from) &&
         text_number(colon + 1, 3, SPEC_FD_TO_MAX, &to);
    *colon = ':';
    if (!ok)
        return false;
    for (size_t i = 0; i < spec->n_fds; i++)
        if (spec->fds[i].to == to)
            return false;
    spec->fds[spec->n_fds].from = (int)from;
    spec->fds[spec->n_fds++].to = (int)to;
    return true;
}

/* Absolute, not the root itself, and no component is empty, "." or "..". */
static bool is_clean(const char *path)
{
    if (path[0] != '/' || strlen(path) >= PATH_MAX)
        return false;
    while (*path == '/') {
        size_t len = strcspn(++path, "/");

        if (len == 0 || len > NAME_MAX || (len <= 2 && memcmp(path, "..", len) == 0))
            return false;
        path += len;
    }
    return true;
}

static bool root_made(struct spec *spec, enum root_kind kind, int fd, const char *path)
{
    if (spec->n_entries == SPEC_ENTRIES_MAX || !is_clean(path))
        return false;
    spec->entries[spec->n_entries++] = (struct root_entry){
        .kind = kind, .fd = fd, .path = path, .text = "", .base = spec->next_base};
    spec->next_base = NULL;
    return fd >= 0 || !spec->entries[spec->n_entries - 1].base;
}

/* FD:PATH */
static bool root_bind(struct spec *spec, enum root_kind kind, char *value)
{
    char *colon = strchr(value, ':');
    int64_t fd;
    bool ok;

    if (!colon)
        return false;
    *colon = '\0';
    ok = text_number(value, MONITOR_FIRST_FD, INT_MAX, &fd);
    *colon = ':';
    return ok && root_made(spec, kind, (int)fd, colon + 1);
}

static bool root_text(struct spec *spec, const char *value)
{
    struct root_entry *last = spec->n_entries ? &spec->entries[spec->n_entries - 1] : NULL;

    if (!last || (last->kind != ROOT_FILE && last->kind != ROOT_SYMLINK))
        return false;
    last->text = value;
    return true;
}

/* Of the bind that follows: an entry before it. */
static bool root_base(struct spec *spec, const char *value)
{
    for (size_t i = 0; i < spec->n_entries; i++)
        if (spec->entries[i].fd >= 0 && strcmp(spec->entries[i].path, value) == 0)
            spec->next_base = spec->entries[i].path;
    return spec->next_base != NULL;
}

static bool group(struct spec *spec, const char *value)
{
    return spec->n_groups < SPEC_GROUPS_MAX &&
           text_number(value, 1, UINT32_MAX - 1, &spec->groups[spec->n_groups++]);
}

static bool request(struct spec *spec, const char *value)
{
    int64_t n;

    if (spec->n_ioctls == SPEC_IOCTLS_MAX || !text_number(value, 1, UINT32_MAX, &n))
        return false;
    spec->ioctls[spec->n_ioctls++] = (uint32_t)n;
    return true;
}

static bool store(struct spec *spec, const struct key *key, char *value)
{
    char *at = (char *)spec + key->offset;
    size_t *count = (size_t *)(void *)((char *)spec + key->count_offset);
    int64_t n;

    switch (key->kind) {
    case KIND_ID:
        *(const char **)(void *)at = value;
        return is_id(value);
    case KIND_MODE:
        spec->mode = strcmp(value, "runtime") == 0 ? MODE_RUNTIME
                     : strcmp(value, "vmm") == 0   ? MODE_VMM
                                                   : MODE_NONE;
        return spec->mode != MODE_NONE;
    case KIND_PATH:
        *(const char **)(void *)at = value;
        return value[0] == '/' && strlen(value) < PATH_MAX;
    case KIND_BELOW:
        *(const char **)(void *)at = value;
        return value[0] != '/' && value[0] != '\0' && strlen(value) < PATH_MAX;
    case KIND_PATHS:
        if (*count == SPEC_CGROUPS_MAX || value[0] != '/' || strlen(value) >= PATH_MAX)
            return false;
        ((const char **)(void *)at)[(*count)++] = value;
        return true;
    case KIND_BOOL:
        *(bool *)at = value[0] == '1';
        return (value[0] == '0' || value[0] == '1') && value[1] == '\0';
    case KIND_FD:
        if (!text_number(value, MONITOR_FIRST_FD, INT_MAX, &n))
            return false;
        *(int *)(void *)at = (int)n;
        return true;
    case KIND_NUMBER:
        return text_number(value, key->min, key->max, (int64_t *)(void *)at);
    case KIND_FD_PAIR:
        return fd_pair(spec, value);
    case KIND_GROUP:
        return group(spec, value);
    case KIND_IOCTL:
        return request(spec, value);
    case KIND_ROOT_BIND:
        return root_bind(spec, (enum root_kind)key->min, value);
    case KIND_ROOT_MADE:
        return root_made(spec, (enum root_kind)key->min, -1, value);
    case KIND_ROOT_TEXT:
        return root_text(spec, value);
    case KIND_ROOT_BASE:
        return root_base(spec, value);
    case KIND_ARG:
    case KIND_ENV:
        break;
    }
    return true;
}

static const struct key *find(const char *field, size_t name_len)
{
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        if (strlen(keys[i].name) == name_len && memcmp(keys[i].name, field, name_len) == 0)
            return &keys[i];
    return NULL;
}

static int check(const struct spec *spec, struct fault *f)
{
    if (!spec->id)
        return fault(f, EINVAL, "spec: key is missing", "id");
    if (spec->mode == MODE_NONE)
        return fault(f, EINVAL, "spec: key is missing", "mode");
    if (!spec->argv[0])
        return fault(f, EINVAL, "spec: key is missing", "arg");
    if (spec->mode == MODE_RUNTIME && !spec->program)
        return fault(f, EINVAL, "spec: key is missing", "program");
    if (spec->log && !spec->log_dir)
        return fault(f, EINVAL, "spec: key is missing", "log_dir");
    if (spec->mode != MODE_VMM)
        return 0;
    if (spec->program_fd < 0)
        return fault(f, EINVAL, "spec: key is missing", "program_fd");
    if (spec->uid <= 0 || spec->gid <= 0)
        return fault(f, EINVAL, "spec: a VMM needs a uid and a gid above 0", NULL);
    for (size_t i = 0; i < spec->n_entries; i++) {
        if (spec->entries[i].kind == ROOT_SYMLINK && !*spec->entries[i].text)
            return fault(f, EINVAL, "spec: link without a target", spec->entries[i].path);
        if (spec->entries[i].kind == ROOT_PROC && !spec->new_pid_ns)
            return fault(f, EINVAL, "spec: processes of others would be seen at",
                         spec->entries[i].path);
    }
    return 0;
}

/* Pointers of arguments grow from the front, those of the environment from the back; turned round
 * at the end. */
int spec_parse(char *text, size_t len, char **pointers, struct spec_room *room, struct spec *ret,
               struct fault *f)
{
    size_t n = spec_count(text, len), n_args = 0, n_env = 0;

    *ret = (struct spec){.program_fd = -1,
                         .netns = -1,
                         .entries = room->entries,
                         .ioctls = room->ioctls,
                         .uid = -1,
                         .gid = -1,
                         .nofile = -1,
                         .fsize = -1,
                         .oom_score_adj = INT64_MIN,
                         .log_line_max = SPEC_LINE_DEFAULT};
    if (len == 0 || len > MONITOR_SPEC_MAX_BYTES || text[len - 1] != '\0')
        return fault(f, EINVAL, "spec: empty, too long, or not NUL terminated", NULL);
    for (char *field = text; field < text + len; field += strlen(field) + 1) {
        char *equals = strchr(field, '=');
        const struct key *key = equals ? find(field, (size_t)(equals - field)) : NULL;

        if (!key)
            return fault(f, EINVAL, "spec: unknown key", field);
        if (key->kind == KIND_ARG)
            pointers[n_args++] = equals + 1;
        else if (key->kind == KIND_ENV)
            pointers[n + 1 - ++n_env] = equals + 1;
        else if (!store(ret, key, equals + 1))
            return fault(f, EINVAL, "spec: bad value", field);
    }
    pointers[n_args] = NULL;
    pointers[n + 1] = NULL;
    ret->argv = pointers;
    ret->env = pointers + n + 1 - n_env;
    for (size_t i = 0; i < n_env / 2; i++) {
        char *swap = ret->env[i];

        ret->env[i] = ret->env[n_env - 1 - i];
        ret->env[n_env - 1 - i] = swap;
    }
    ret->has_oom_score_adj = ret->oom_score_adj != INT64_MIN;
    return check(ret, f);
}
