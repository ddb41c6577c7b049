/* SPDX-License-Identifier: Apache-2.0 */
/* cdi_rules - what the CDI specification demands of a file beyond its shape: the grammar of names,
 * the version and that nothing newer is used, each edit by itself. */
#include <string.h>

#include "base/strbuf.h"
#include "sandbox/cdi.h"

#define ANNOTATIONS_MAX_BYTES (256 * 1024)

/* ------------------------------------------------------------------------ names */

static bool letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool alnum(char c)
{
    return letter(c) || (c >= '0' && c <= '9');
}

/* Letters and digits at both ends, `inside` too between them. */
static bool word(const char *s, size_t len, size_t max, const char *inside)
{
    if (!len || len > max || !alnum(s[0]) || !alnum(s[len - 1]))
        return false;
    for (size_t i = 0; i < len; i++)
        if (!alnum(s[i]) && !strchr(inside, s[i]))
            return false;
    return true;
}

static bool kind_valid(const char *s, size_t len)
{
    const char *slash = memchr(s, '/', len);
    size_t vendor = slash ? (size_t)(slash - s) : 0;

    return slash && letter(s[0]) && word(s, vendor, CDI_VENDOR_MAX, "_-.") && letter(slash[1]) &&
           word(slash + 1, len - vendor - 1, CDI_CLASS_MAX, "_-.");
}

static bool device_name_valid(const char *s)
{
    return word(s, strlen(s), CDI_DEVICE_NAME_MAX, "_-.:");
}

int cdi_name_check(const char *name, struct err *err)
{
    const char *equals = strchr(name, '=');

    if (!equals || !kind_valid(name, (size_t)(equals - name)) || !device_name_valid(equals + 1))
        return err_set(err, ERR_INVALID, "CDI device '%s': not like vendor.com/class=name", name);
    return 0;
}

static int add_name(char ***names, const char *name, struct err *err)
{
    if (cdi_name_check(name, err) < 0)
        return -1;
    if (!strv_contains(*names, name))
        strv_push(names, name);
    if (strv_len(*names) > CDI_DEVICES_MAX)
        return err_set(err, ERR_EXHAUSTED, "more than %d CDI devices", CDI_DEVICES_MAX);
    return 0;
}

int cdi_names(const struct container_spec *spec, char ***ret, struct err *err)
{
    autostrv char **names = NULL;

    for (char *const *d = spec->cdi_devices; d && *d; d++)
        if (add_name(&names, *d, err) < 0)
            return -1;
    for (size_t i = 0; i < spec->annotations.n; i++) {
        const struct kv *kv = &spec->annotations.v[i];
        autofree char *copy = xstrdup(kv->value);
        char *rest = copy, *name;

        if (!str_has_prefix(kv->key, CDI_ANNOTATION))
            continue;
        while ((name = strsep(&rest, ",")))
            if (add_name(&names, name, err) < 0)
                return err_wrap(err, "annotation '%s'", kv->key);
    }
    *ret = TAKE_PTR(names);
    return 0;
}

/* --------------------------------------------------------------------- versions */

static const char *const versions[] = {"0.3.0", "0.4.0", "0.5.0", "0.6.0",
                                       "0.7.0", "0.8.0", "1.0.0", "1.1.0"};
enum version { V030, V040, V050, V060, V070, V080, V100, V110 };

struct use {
    enum version since;
    const char *what;
};

static void used(struct use *use, bool is, enum version since, const char *what)
{
    if (is && since > use->since)
        *use = (struct use){since, what};
}

static void used_by_edits(struct use *use, const struct cdi_edits *e)
{
    for (size_t i = 0; i < e->mounts.n; i++)
        used(use, e->mounts.v[i].type && *e->mounts.v[i].type, V040, "mounts.type");
    for (size_t i = 0; i < e->nodes.n; i++)
        used(use, e->nodes.v[i].host_path && *e->nodes.v[i].host_path, V050,
             "deviceNodes.hostPath");
    used(use, e->has_rdt, V070, "intelRdt");
    used(use, e->gids.n > 0, V070, "additionalGids");
    used(use, e->rdt.schemata != NULL, V110, "intelRdt.schemata");
    used(use, e->rdt.monitoring, V110, "intelRdt.enableMonitoring");
    used(use, e->net.n > 0, V110, "netDevices");
}

static int check_version(const struct cdi_spec *spec, struct err *err)
{
    const char *given = spec->version ? spec->version : "";
    struct use use = {V030, ""};
    size_t v = 0;

    given += *given == 'v';
    while (v < ARRAY_SIZE(versions) && !str_eq(versions[v], given))
        v++;
    if (v == ARRAY_SIZE(versions))
        return err_set(err, ERR_INVALID, "cdiVersion '%s': not one of %s to %s", given, versions[0],
                       versions[ARRAY_SIZE(versions) - 1]);
    used_by_edits(&use, &spec->edits);
    used(&use, spec->annotations.n > 0, V060, "annotations");
    used(&use, strchr(strchr(spec->kind, '/'), '.') != NULL, V060, "a dot in the class");
    for (size_t i = 0; i < spec->devices.n; i++) {
        const struct cdi_device *d = &spec->devices.v[i];

        used_by_edits(&use, &d->edits);
        used(&use, d->annotations.n > 0, V060, "annotations");
        used(&use, *d->name >= '0' && *d->name <= '9', V050,
             "a device name that begins with a digit");
    }
    if (use.since > v)
        return err_set(err, ERR_INVALID, "cdiVersion '%s' does not have %s, which came with %s",
                       given, use.what, versions[use.since]);
    return 0;
}

/* ------------------------------------------------------------------------ edits */

static bool absolute(const char *path)
{
    return path && path[0] == '/';
}

static int check_env(char *const *env, struct err *err)
{
    for (; env && *env; env++)
        if (!strchr(*env, '=') || **env == '=')
            return err_set(err, ERR_INVALID, "environment variable '%s': not like NAME=value",
                           *env);
    return 0;
}

static int check_node(const struct cdi_device_node *d, struct err *err)
{
    const char *type = d->type ? d->type : "", *access = d->permissions ? d->permissions : "";

    if (!absolute(d->path) || (d->host_path && *d->host_path && !absolute(d->host_path)))
        return err_set(err, ERR_INVALID, "device node '%s': a path is not absolute",
                       d->path ? d->path : "");
    if (strlen(type) > 1 || (*type && !strchr("bcup", *type)))
        return err_set(err, ERR_INVALID, "device node '%s': type '%s' is not b, c, u or p", d->path,
                       type);
    if (!str_eq(access, "none") && strspn(access, "rwm") != strlen(access))
        return err_set(err, ERR_INVALID, "device node '%s': permissions '%s' are not of r, w, m",
                       d->path, access);
    return 0;
}

static int check_hook(const struct cdi_hook *h, struct err *err)
{
    static const char *const names[] = {"prestart",       "createRuntime", "createContainer",
                                        "startContainer", "poststart",     "poststop"};
    bool known = false;

    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        known = known || (h->name && str_eq(names[i], h->name));
    if (!known)
        return err_set(err, ERR_INVALID, "hook '%s': no such name", h->name ? h->name : "");
    if (!absolute(h->path))
        return err_set(err, ERR_INVALID, "hook '%s': path '%s' is not absolute", h->name,
                       h->path ? h->path : "");
    return check_env(h->env, err) < 0 ? err_wrap(err, "hook '%s'", h->path) : 0;
}

static int check_rdt(const struct cdi_rdt *r, struct err *err)
{
    const char *id = r->clos_id ? r->clos_id : "";

    if (!str_eq(id, "/") &&
        (strlen(id) >= 4096 || str_eq(id, ".") || str_eq(id, "..") || strpbrk(id, "/\n")))
        return err_set(err, ERR_INVALID, "intelRdt: closID '%s': not a file name", id);
    return 0;
}

static int check_net(const struct cdi_edits *e, struct err *err)
{
    for (size_t i = 0; i < e->net.n; i++) {
        const struct cdi_net_device *d = &e->net.v[i];

        if (!d->host_name || !*d->host_name || !d->name || !*d->name)
            return err_set(err, ERR_INVALID, "netDevices: an empty name");
        for (size_t j = 0; j < i; j++)
            if (str_eq(d->host_name, e->net.v[j].host_name) || str_eq(d->name, e->net.v[j].name))
                return err_set(err, ERR_INVALID, "netDevices: '%s' as '%s': named twice",
                               d->host_name, d->name);
    }
    return 0;
}

static int check_edits(const struct cdi_edits *e, struct err *err)
{
    if (check_env(e->env, err) < 0 || check_rdt(&e->rdt, err) < 0 || check_net(e, err) < 0)
        return -1;
    for (size_t i = 0; i < e->nodes.n; i++)
        if (check_node(&e->nodes.v[i], err) < 0)
            return -1;
    for (size_t i = 0; i < e->mounts.n; i++) {
        const struct cdi_mount *m = &e->mounts.v[i];

        if (!m->host_path || !*m->host_path || !absolute(m->container_path))
            return err_set(
                err, ERR_INVALID, "mount of '%s' at '%s': a path is missing or not absolute",
                m->host_path ? m->host_path : "", m->container_path ? m->container_path : "");
    }
    for (size_t i = 0; i < e->hooks.n; i++)
        if (check_hook(&e->hooks.v[i], err) < 0)
            return -1;
    return 0;
}

static bool empty(const struct cdi_edits *e)
{
    return !(e->env && e->env[0]) && !e->nodes.n && !e->net.n && !e->mounts.n && !e->hooks.n &&
           !e->has_rdt && !e->gids.n;
}

static int check_annotations(const struct kvs *a, struct err *err)
{
    size_t total = 0;

    for (size_t i = 0; i < a->n; i++)
        total += strlen(a->v[i].key) + strlen(a->v[i].value);
    return total > ANNOTATIONS_MAX_BYTES
               ? err_set(err, ERR_EXHAUSTED, "annotations of more than %d bytes",
                         ANNOTATIONS_MAX_BYTES)
               : 0;
}

static int check_device(const struct cdi_spec *spec, size_t i, struct err *err)
{
    const struct cdi_device *d = &spec->devices.v[i];

    if (!d->name || !device_name_valid(d->name))
        return err_set(err, ERR_INVALID, "a bad name");
    for (size_t j = 0; j < i; j++)
        if (str_eq(spec->devices.v[j].name, d->name))
            return err_set(err, ERR_INVALID, "is there twice");
    if (empty(&d->edits))
        return err_set(err, ERR_INVALID, "no edits");
    return check_annotations(&d->annotations, err) < 0 ? -1 : check_edits(&d->edits, err);
}

int cdi_spec_check(const struct cdi_spec *spec, struct err *err)
{
    if (!spec->kind || !kind_valid(spec->kind, strlen(spec->kind)))
        return err_set(err, ERR_INVALID, "kind '%s': not like vendor.com/class",
                       spec->kind ? spec->kind : "");
    if (!spec->devices.n)
        return err_set(err, ERR_INVALID, "no devices");
    if (check_annotations(&spec->annotations, err) < 0 || check_edits(&spec->edits, err) < 0)
        return -1;
    for (size_t i = 0; i < spec->devices.n; i++)
        if (check_device(spec, i, err) < 0)
            return err_wrap(err, "device '%s'",
                            spec->devices.v[i].name ? spec->devices.v[i].name : "");
    return check_version(spec, err);
}
