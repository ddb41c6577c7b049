/* SPDX-License-Identifier: Apache-2.0 */
/*
 * to_spec - what pods and containers have in common: strings by their grammar, maps, ids,
 * namespaces, profiles. Each function checks one thing and copies it, and names it by `what` when
 * it is wrong.
 */
#include "cri/to_spec.h"

#include <string.h>

#include "base/id.h"
#include "base/strbuf.h"

void spec_set(char **dst, const char *src)
{
    char *copy = xstrdup(src ? src : "");

    free(*dst);
    *dst = copy;
}

int spec_count(size_t n, size_t max, const char *what, struct err *err)
{
    if (n > max)
        return err_set(err, ERR_INVALID, "%s: %zu elements, more than %zu", what, n, max);
    return 0;
}

static bool has_control(const char *s)
{
    for (; *s; s++)
        if ((unsigned char)*s < 0x20 || *s == 0x7f)
            return true;
    return false;
}

int spec_text(const char *s, size_t max, const char *what, char **dst, struct err *err)
{
    if (strlen(s) > max)
        return err_set(err, ERR_INVALID, "%s: longer than %zu bytes", what, max);
    if (has_control(s))
        return err_set(err, ERR_INVALID, "%s '%s': contains a control character", what, s);
    spec_set(dst, s);
    return 0;
}

static bool is_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

int spec_name(const char *s, const char *what, char **dst, struct err *err)
{
    if (!*s)
        return err_set(err, ERR_INVALID, "%s: missing", what);
    if (strlen(s) > SPEC_NAME_MAX_BYTES)
        return err_set(err, ERR_INVALID, "%s: longer than %d bytes", what, SPEC_NAME_MAX_BYTES);
    for (const char *p = s; *p; p++)
        if (!is_alnum(*p) && (p == s || !strchr("._-", *p)))
            return err_set(
                err, ERR_INVALID,
                "%s '%s': only letters, digits, '.', '_' and '-', the first a letter or digit",
                what, s);
    spec_set(dst, s);
    return 0;
}

static bool has_dotdot(const char *path)
{
    for (const char *p = path; (p = strstr(p, "..")); p += 2)
        if ((p == path || p[-1] == '/') && (p[2] == '\0' || p[2] == '/'))
            return true;
    return false;
}

int spec_path(const char *s, const char *what, char **dst, struct err *err)
{
    if (*s != '/')
        return err_set(err, ERR_INVALID, "%s '%s': not an absolute path", what, s);
    if (has_dotdot(s))
        return err_set(err, ERR_INVALID, "%s '%s': contains '..'", what, s);
    return spec_text(s, SPEC_PATH_MAX_BYTES, what, dst, err);
}

/* "/a/../b/./c" as "/b/c": lexically, there is no container yet. */
static char *without_dots(const char *s)
{
    char *out = xcalloc(strlen(s) + 2, 1);
    size_t n = 0;

    for (const char *p = s; *(p += strspn(p, "/"));) {
        size_t len = strcspn(p, "/");

        if (len == 2 && p[0] == '.' && p[1] == '.') {
            while (n && out[--n] != '/')
                ;
        } else if (len != 1 || p[0] != '.') {
            out[n] = '/';
            memcpy(out + n + 1, p, len);
            n += len + 1;
        }
        p += len;
    }
    out[n ? n : 1] = '\0';
    out[0] = '/';
    return out;
}

int spec_target(const char *s, const char *what, char **dst, struct err *err)
{
    if (*s != '/')
        return err_set(err, ERR_INVALID, "%s '%s': not an absolute path", what, s);
    if (spec_text(s, SPEC_PATH_MAX_BYTES, what, dst, err) < 0)
        return -1;
    autofree char *plain = without_dots(s);

    if (str_eq(plain, "/"))
        return err_set(err, ERR_INVALID, "%s '%s': nothing can be mounted over the root", what, s);
    if (strstr(s, "/."))
        spec_set(dst, plain);
    return 0;
}

int spec_path_relative(const char *s, const char *what, char **dst, struct err *err)
{
    if (*s == '/')
        return err_set(err, ERR_INVALID, "%s '%s': not a relative path", what, s);
    if (has_dotdot(s))
        return err_set(err, ERR_INVALID, "%s '%s': contains '..'", what, s);
    return spec_text(s, SPEC_PATH_MAX_BYTES, what, dst, err);
}

int spec_strv(size_t n, char **words, size_t max, size_t max_bytes, bool raw, const char *what,
              char ***dst, struct err *err)
{
    if (spec_count(n, max, what, err) < 0)
        return -1;
    if (n == 0)
        return 0;
    autostrv char **v = xcalloc(n + 1, sizeof *v); /* strv_push() would count for every word */
    for (size_t i = 0; i < n; i++) {
        if (strlen(words[i]) > max_bytes)
            return err_set(err, ERR_INVALID, "%s[%zu]: longer than %zu bytes", what, i, max_bytes);
        if (!raw && has_control(words[i]))
            return err_set(err, ERR_INVALID, "%s[%zu] '%s': contains a control character", what, i,
                           words[i]);
        v[i] = xstrdup(words[i]);
    }
    strv_free(*dst);
    *dst = TAKE_PTR(v);
    return 0;
}

static int compare_keys(const void *a, const void *b)
{
    return strcmp(((const struct kv *)a)->key, ((const struct kv *)b)->key);
}

/* Sorted: clients send a map in any order, and the same request must give the same spec. */
int spec_map(size_t n, struct map_entry *const *entries, const char *what, struct kvs *dst,
             struct err *err)
{
    size_t bytes = 0;

    if (spec_count(n, SPEC_MAP_MAX, what, err) < 0)
        return -1;
    for (size_t i = 0; i < n; i++) {
        bytes += strlen(entries[i]->key) + strlen(entries[i]->value);
        if (bytes > SPEC_MAP_MAX_BYTES)
            return err_set(err, ERR_INVALID, "%s: longer than %zu bytes in all", what,
                           SPEC_MAP_MAX_BYTES);
        kvs_set(dst, entries[i]->key, entries[i]->value);
    }
    if (dst->n > 1)
        qsort(dst->v, dst->n, sizeof *dst->v, compare_keys);
    return 0;
}

static int check_id(int64_t id, const char *what, struct err *err)
{
    if (id < 0 || id > SPEC_UID_MAX)
        return err_set(err, ERR_INVALID, "%s: %lld is not within 0 and %lld", what, (long long)id,
                       (long long)SPEC_UID_MAX);
    return 0;
}

int spec_id(const Runtime__V1__Int64Value *value, const char *what, struct optional_int *dst,
            struct err *err)
{
    if (!value)
        return 0;
    if (check_id(value->value, what, err) < 0)
        return -1;
    *dst = (struct optional_int){.set = true, .value = value->value};
    return 0;
}

int spec_groups(size_t n, const int64_t *groups, const char *what, int64_t **dst, size_t *dst_n,
                struct err *err)
{
    if (spec_count(n, SPEC_GROUPS_MAX, what, err) < 0)
        return -1;
    for (size_t i = 0; i < n; i++)
        if (check_id(groups[i], what, err) < 0)
            return -1;
    if (n) {
        *dst = xcalloc(n, sizeof **dst);
        memcpy(*dst, groups, n * sizeof **dst);
        *dst_n = n;
    }
    return 0;
}

int spec_idmaps(size_t n, Runtime__V1__IDMapping **maps, const char *what, struct id_map **dst,
                size_t *dst_n, struct err *err)
{
    if (spec_count(n, SPEC_IDMAPS_MAX, what, err) < 0)
        return -1;
    for (size_t i = 0; i < n; i++) {
        uint64_t length = maps[i]->length, end = (uint64_t)SPEC_UID_MAX + 1;
        if (length == 0 || maps[i]->host_id + length > end || maps[i]->container_id + length > end)
            return err_set(err, ERR_INVALID, "%s[%zu]: empty or beyond the last id", what, i);
    }
    if (n) {
        *dst = xcalloc(n, sizeof **dst);
        *dst_n = n;
    }
    for (size_t i = 0; i < n; i++)
        (*dst)[i] = (struct id_map){.host_id = maps[i]->host_id,
                                    .container_id = maps[i]->container_id,
                                    .length = maps[i]->length};
    return 0;
}

static int user_namespace(const Runtime__V1__UserNamespace *proto, const char *what,
                          struct ns_options *dst, struct err *err)
{
    if (!proto || proto->mode == RUNTIME__V1__NAMESPACE_MODE__NODE)
        return 0;
    if (proto->mode != RUNTIME__V1__NAMESPACE_MODE__POD)
        return err_set(err, ERR_INVALID, "%s.userns_options.mode: only POD and NODE", what);
    if (spec_idmaps(proto->n_uids, proto->uids, "userns_options.uids", &dst->uids, &dst->n_uids,
                    err) < 0 ||
        spec_idmaps(proto->n_gids, proto->gids, "userns_options.gids", &dst->gids, &dst->n_gids,
                    err) < 0)
        return err_wrap(err, "%s", what);
    if (dst->n_uids != 1 || dst->n_gids != 1)
        return err_set(err, ERR_INVALID,
                       "%s.userns_options: exactly one mapping of uids and of gids", what);
    if (dst->uids[0].container_id != 0 || dst->gids[0].container_id != 0)
        return err_set(err, ERR_INVALID, "%s.userns_options: id 0 of the container is not mapped",
                       what);
    dst->userns = true;
    return 0;
}

int spec_namespaces(const Runtime__V1__NamespaceOption *proto, bool pod, const char *what,
                    struct ns_options *dst, struct err *err)
{
    if (!proto)
        return 0;
    if (proto->network != RUNTIME__V1__NAMESPACE_MODE__POD &&
        proto->network != RUNTIME__V1__NAMESPACE_MODE__NODE)
        return err_set(err, ERR_INVALID, "%s.network: only POD and NODE", what);
    if (proto->ipc != RUNTIME__V1__NAMESPACE_MODE__POD &&
        proto->ipc != RUNTIME__V1__NAMESPACE_MODE__NODE)
        return err_set(err, ERR_INVALID, "%s.ipc: only POD and NODE", what);
    if (proto->pid == RUNTIME__V1__NAMESPACE_MODE__TARGET) {
        if (pod)
            return err_set(err, ERR_INVALID, "%s.pid: TARGET is for containers only", what);
        if (!*proto->target_id)
            return err_set(err, ERR_INVALID, "%s.target_id: missing, but pid is TARGET", what);
        if (id_from_proto(proto->target_id, "target_id", err) < 0)
            return err_wrap(err, "%s", what);
        spec_set(&dst->target_id, proto->target_id);
    }
    dst->network = (enum ns_mode)proto->network;
    dst->pid = (enum ns_mode)proto->pid;
    dst->ipc = (enum ns_mode)proto->ipc;
    return user_namespace(proto->userns_options, what, dst, err);
}

/* Strings of clients that know no SecurityProfile yet. */
static int older_profile(const char *older, const char *what, struct security_profile *dst,
                         struct err *err)
{
    if (!older || !*older)
        return 0;
    dst->set = true;
    if (str_eq(older, "runtime/default") || str_eq(older, "docker/default")) {
        dst->type = PROFILE_RUNTIME_DEFAULT;
    } else if (str_eq(older, "unconfined")) {
        dst->type = PROFILE_UNCONFINED;
    } else if (str_has_prefix(older, "localhost/") && older[strlen("localhost/")]) {
        dst->type = PROFILE_LOCALHOST;
        return spec_text(older + strlen("localhost/"), SPEC_PATH_MAX_BYTES, what,
                         &dst->localhost_ref, err);
    } else {
        return err_set(err, ERR_INVALID, "%s '%s': unknown kind of profile", what, older);
    }
    return 0;
}

int spec_profile(const Runtime__V1__SecurityProfile *proto, const char *older, const char *what,
                 struct security_profile *dst, struct err *err)
{
    if (!proto)
        return older_profile(older, what, dst, err);
    dst->set = true;
    dst->type = (enum profile_type)proto->profile_type;
    if (dst->type != PROFILE_LOCALHOST)
        return 0;
    if (!*proto->localhost_ref)
        return err_set(err, ERR_INVALID, "%s.localhost_ref: missing", what);
    const char *ref = str_has_prefix(proto->localhost_ref, "localhost/")
                          ? proto->localhost_ref + strlen("localhost/")
                          : proto->localhost_ref;
    if (has_dotdot(ref))
        return err_set(err, ERR_INVALID, "%s.localhost_ref '%s': contains '..'", what, ref);
    return spec_text(ref, SPEC_PATH_MAX_BYTES, what, &dst->localhost_ref, err);
}

int spec_selinux(const Runtime__V1__SELinuxOption *proto, const char *what,
                 struct selinux_option *dst, struct err *err)
{
    if (!proto)
        return 0;
    if (spec_text(proto->user, SPEC_NAME_MAX_BYTES, what, &dst->user, err) < 0 ||
        spec_text(proto->role, SPEC_NAME_MAX_BYTES, what, &dst->role, err) < 0 ||
        spec_text(proto->type, SPEC_NAME_MAX_BYTES, what, &dst->type, err) < 0 ||
        spec_text(proto->level, SPEC_TEXT_MAX_BYTES, what, &dst->level, err) < 0)
        return -1;
    return 0;
}

int id_from_proto(const char *id, const char *what, struct err *err)
{
    size_t len = strlen(id);

    if (len == 0)
        return err_set(err, ERR_INVALID, "%s: missing", what);
    if (len > SPEC_NAME_MAX_BYTES)
        return err_set(err, ERR_INVALID, "%s: longer than %d bytes", what, SPEC_NAME_MAX_BYTES);
    if (has_control(id))
        return err_set(err, ERR_INVALID, "%s '%s': contains a control character", what, id);
    return 0;
}

int argv_from_proto(size_t n, char **words, const char *what, char ***ret, struct err *err)
{
    size_t bytes = 0;

    *ret = NULL;
    if (n == 0 || !*words[0])
        return err_set(err, ERR_INVALID, "%s: no command", what);
    for (size_t i = 0; i < n; i++)
        bytes += strlen(words[i]) + 1;
    if (bytes > SPEC_ARGS_MAX_BYTES)
        return err_set(err, ERR_INVALID, "%s: longer than %zu bytes in all", what,
                       SPEC_ARGS_MAX_BYTES);
    return spec_strv(n, words, SPEC_ARGS_MAX, SPEC_ARGS_MAX_BYTES, true, what, ret, err);
}
