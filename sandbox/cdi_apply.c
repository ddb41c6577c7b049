/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cdi_apply - edits of CDI into config.json: of the same variable, device path or place of a mount
 * the last one stands. What has to be there when the container is created is looked for here, so
 * that a driver that is half installed is an error of CreateContainer that names the missing file.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/strbuf.h"
#include "sandbox/cdi.h"
#include "sandbox/oci_spec.h"

#define RESCTRL "/sys/fs/resctrl/schemata"

/* The member, made when it is not there. Borrowed. */
static json_t *object_in(json_t *o, const char *key)
{
    if (!json_is_object(json_object_get(o, key)))
        json_put(o, key, json_object());
    return json_object_get(o, key);
}

static json_t *array_in(json_t *o, const char *key)
{
    if (!json_is_array(json_object_get(o, key)))
        json_put(o, key, json_array());
    return json_object_get(o, key);
}

static void put_optional(json_t *o, const char *key, const struct optional_int *v)
{
    if (v->set)
        json_put(o, key, json_integer(v->value));
}

/* -------------------------------------------------------------------------- env */

static void apply_env(char *const *env, json_t *config)
{
    json_t *list = env ? array_in(object_in(config, "process"), "env") : NULL, *v;
    size_t i;

    for (; env && *env; env++) {
        size_t name = strcspn(*env, "=") + 1;
        bool replaced = false;

        json_array_foreach (list, i, v)
            if (strncmp(json_string_value(v), *env, name) == 0) {
                (void)json_array_set_new(list, i, json_string(*env));
                replaced = true;
            }
        if (!replaced)
            (void)json_array_append_new(list, json_string(*env));
    }
}

/* ----------------------------------------------------------------- device nodes */

struct node {
    char type[2];
    int64_t major, minor;
    struct optional_int mode;
};

/* What the file does not say is taken from the host's node. */
static int look_up(const struct cdi_device_node *d, struct node *ret, struct err *err)
{
    const char *host = d->host_path && *d->host_path ? d->host_path : d->path;
    bool complete = d->type && *d->type && (d->major || *d->type == 'p');
    struct stat st;

    ret->type[0] = d->type ? d->type[0] : '\0';
    if (ret->type[0] == 'u') /* an unbuffered character device is none of its own here */
        ret->type[0] = 'c';
    ret->major = d->major;
    ret->minor = d->minor;
    ret->mode = d->file_mode;
    if (lstat(host, &st) < 0)
        return complete ? 0 : err_sys(err, "device node '%s'", host);

    char is = S_ISCHR(st.st_mode)    ? 'c'
              : S_ISBLK(st.st_mode)  ? 'b'
              : S_ISFIFO(st.st_mode) ? 'p'
                                     : '\0';

    if (!complete && !is)
        return err_set(err, ERR_INVALID, "device node '%s': not a device", host);
    if (!ret->mode.set && is)
        ret->mode = (struct optional_int){true, st.st_mode & 07777};
    if (complete)
        return 0;
    if (ret->type[0] && ret->type[0] != is)
        return err_set(err, ERR_INVALID, "device node '%s': of type '%c', and not '%c'", host, is,
                       ret->type[0]);
    ret->type[0] = is;
    if (!ret->major) {
        ret->major = major(st.st_rdev);
        ret->minor = minor(st.st_rdev);
    }
    return 0;
}

/* Whose it is where the file does not say: the container's user, unless that is root. */
static void put_owner(json_t *node, const char *key, const struct optional_int *given,
                      const json_t *user)
{
    const json_t *own = json_object_get(user, key);

    if (given->set)
        put_optional(node, key, given);
    else if (json_integer_value(own) > 0)
        json_put(node, key, json_integer(json_integer_value(own)));
}

static void remove_at(json_t *list, const char *key, const char *path)
{
    for (size_t i = json_array_size(list); i-- > 0;) {
        const char *at = json_string_value(json_object_get(json_array_get(list, i), key));

        if (at && oci_same_path(at, path))
            (void)json_array_remove(list, i);
    }
}

static int apply_node(const struct cdi_device_node *d, json_t *config, struct err *err)
{
    json_t *linux_part = object_in(config, "linux"), *o, *rule;
    const json_t *user = json_object_get(json_object_get(config, "process"), "user");
    const char *access = d->permissions && *d->permissions ? d->permissions : "rwm";
    struct node node = {0};

    if (look_up(d, &node, err) < 0)
        return -1;
    remove_at(array_in(linux_part, "devices"), "path", d->path);
    o = json_object();
    json_put_string(o, "path", d->path);
    json_put_string(o, "type", node.type);
    if (node.type[0] != 'p') {
        json_put(o, "major", json_integer(node.major));
        json_put(o, "minor", json_integer(node.minor));
    }
    put_optional(o, "fileMode", &node.mode);
    put_owner(o, "uid", &d->uid, user);
    put_owner(o, "gid", &d->gid, user);
    (void)json_array_append_new(array_in(linux_part, "devices"), o);
    if (node.type[0] == 'p' || str_eq(access, "none"))
        return 0;
    rule = json_object();
    json_put(rule, "allow", json_true());
    json_put_string(rule, "type", node.type);
    json_put(rule, "major", json_integer(node.major));
    json_put(rule, "minor", json_integer(node.minor));
    json_put_string(rule, "access", access);
    (void)json_array_append_new(array_in(object_in(linux_part, "resources"), "devices"), rule);
    return 0;
}

/* ----------------------------------------------------------------------- mounts */

static bool has_user_namespace(const json_t *config)
{
    json_t *ns;
    size_t i;

    json_array_foreach (json_object_get(json_object_get(config, "linux"), "namespaces"), i, ns) {
        const char *type = json_string_value(json_object_get(ns, "type"));

        if (type && str_eq(type, "user"))
            return true;
    }
    return false;
}

static int apply_mount(const struct cdi_mount *m, json_t *config, struct err *err)
{
    bool bind = (m->type && str_eq(m->type, "bind")) || strv_contains(m->options, "bind");
    bool rbind = strv_contains(m->options, "rbind");
    bool mapped = strv_contains(m->options, "idmap") || strv_contains(m->options, "ridmap");
    json_t *o, *options;

    if (bind || rbind) {
        if (m->host_path[0] != '/')
            return err_set(err, ERR_INVALID, "mount at '%s': host path '%s' is not absolute",
                           m->container_path, m->host_path);
        if (access(m->host_path, F_OK) < 0)
            return err_sys(err, "mount at '%s': host path '%s'", m->container_path, m->host_path);
    }
    remove_at(array_in(config, "mounts"), "destination", m->container_path);
    o = json_object();
    json_put_string(o, "destination", m->container_path);
    json_put_string(o, "source", m->host_path);
    json_put_string(o, "type", m->type);
    json_put_strv(o, "options", m->options);
    if ((bind || rbind) && !mapped && has_user_namespace(config)) {
        options = array_in(o, "options");
        (void)json_array_append_new(options, json_string(rbind ? "ridmap" : "idmap"));
    }
    (void)json_array_append_new(array_in(config, "mounts"), o);
    return 0;
}

static void sort_mounts(json_t *config)
{
    json_t *sorted = json_array();

    oci_mounts_sort(array_in(config, "mounts"), sorted);
    json_put(config, "mounts", sorted);
}

/* ------------------------------------------------------------------------ others */

/* One that runs in the container is found there, or not, when it runs. */
static int apply_hook(const struct cdi_hook *h, json_t *config, struct err *err)
{
    json_t *o = json_object();

    json_put_string(o, "path", h->path);
    json_put_strv(o, "args", h->args);
    json_put_strv(o, "env", h->env);
    put_optional(o, "timeout", &h->timeout);
    (void)json_array_append_new(array_in(object_in(config, "hooks"), h->name), o);
    if (!str_eq(h->name, "startContainer") && access(h->path, X_OK) < 0)
        return err_sys(err, "hook '%s': '%s'", h->name, h->path);
    return 0;
}

static int apply_rdt(const struct cdi_edits *e, json_t *config, struct err *err)
{
    const struct cdi_rdt *r = &e->rdt;
    json_t *o;

    if (!e->has_rdt)
        return 0;
    if (r->schemata || r->monitoring)
        return err_set(err, ERR_UNSUPPORTED,
                       "intelRdt.%s: an OCI runtime of version 1.0 does not know it; use "
                       "l3CacheSchema and memBwSchema",
                       r->schemata ? "schemata" : "enableMonitoring");
    if (access(RESCTRL, F_OK) < 0)
        return err_set(err, ERR_UNSUPPORTED, "intelRdt: this node has no resctrl file system");
    o = json_object();
    json_put_string(o, "closID", r->clos_id);
    json_put_string(o, "l3CacheSchema", r->l3_schema);
    json_put_string(o, "memBwSchema", r->mem_bw_schema);
    json_put(object_in(config, "linux"), "intelRdt", o);
    return 0;
}

static int apply_edits(const struct cdi_edits *e, json_t *config, struct err *err)
{
    if (e->net.n)
        return err_set(err, ERR_UNSUPPORTED,
                       "netDevices: moving interface '%s' of the node into a pod is not supported; "
                       "use a CNI plugin for it",
                       e->net.v[0].host_name);
    apply_env(e->env, config);
    for (size_t i = 0; i < e->nodes.n; i++)
        if (apply_node(&e->nodes.v[i], config, err) < 0)
            return -1;
    for (size_t i = 0; i < e->mounts.n; i++)
        if (apply_mount(&e->mounts.v[i], config, err) < 0)
            return -1;
    if (e->mounts.n)
        sort_mounts(config);
    for (size_t i = 0; i < e->hooks.n; i++)
        if (apply_hook(&e->hooks.v[i], config, err) < 0)
            return -1;
    return apply_rdt(e, config, err);
}

int cdi_apply(const struct cdi *cdi, json_t *config, struct err *err)
{
    for (size_t i = 0; i < cdi->n_edits; i++)
        if (apply_edits(cdi->edits[i].edits, config, err) < 0)
            return err_wrap(err, "CDI device '%s'", cdi->edits[i].device);
    return 0;
}

int cdi_check(const struct cdi *cdi, struct err *err)
{
    autojson *nobody = json_object();

    return cdi_apply(cdi, nobody, err);
}

size_t cdi_groups(const struct cdi *cdi, uint32_t **ret)
{
    size_t n = 0;

    *ret = NULL;
    for (size_t i = 0; i < cdi->n_edits; i++) {
        const struct cdi_edits *e = cdi->edits[i].edits;

        *ret = xrealloc_array(*ret, n + e->gids.n + 1, sizeof(**ret));
        for (size_t j = 0; j < e->gids.n; j++)
            if (e->gids.v[j])
                (*ret)[n++] = (uint32_t)e->gids.v[j];
    }
    return n;
}
