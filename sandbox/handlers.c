/* SPDX-License-Identifier: Apache-2.0 */
/* handlers - see handlers.h. */
#include "sandbox/handlers.h"

#include <string.h>

#include "base/json.h"
#include "base/strbuf.h"
#include "sandbox/engine.h"
#include "sandbox/guest_debug.h"
#include "sandbox/guest_watch.h"
#include "sandbox/userns_probe.h"

#define HANDLERS_MAX            64
#define HANDLER_ANNOTATIONS_MAX 64

static const char *const known_keys[] = {"kind",  "program",         "pod_annotations",
                                         "debug", "crash_cores",     "machine",
                                         "accel", "side_containers", "share"};

char *program_find(const char *name)
{
    const char *path = getenv("PATH");
    autofree char *dirs =
        xstrdup(path ? path : "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    char *save = NULL;

    if (name[0] == '/')
        return xstrdup(access(name, X_OK) == 0 ? name : "");
    for (char *d = strtok_r(dirs, ":", &save); d; d = strtok_r(NULL, ":", &save)) {
        autofree char *file = xasprintf("%s/%s", d, name);

        if (d[0] == '/' && access(file, X_OK) == 0)
            return TAKE_PTR(file);
    }
    return xstrdup("");
}

static bool is_driver(const char *kind)
{
    for (const char *const *d = vmm_driver_names(); *d; d++)
        if (str_eq(*d, kind))
            return true;
    return false;
}

bool handler_runs_oci(const struct handler *h)
{
    return h->type != HANDLER_VMM || h->side_containers;
}

static int set_kind(struct handler *h, const char *kind, struct err *err)
{
    if (str_eq(kind, "auto"))
        h->type = HANDLER_AUTO;
    else if (str_eq(kind, "runc"))
        h->type = HANDLER_OCI;
    else if (is_driver(kind))
        h->type = HANDLER_VMM;
    else
        return err_set(err, ERR_INVALID, "kind '%s': neither 'auto' nor 'runc' nor a driver's name",
                       kind);
    h->kind = xstrdup(kind);
    h->side_containers = h->type == HANDLER_VMM;
    return 0;
}

static struct handler *add(struct handlers *hs, const char *name)
{
    hs->v = xrealloc_array(hs->v, hs->n + 1, sizeof(*hs->v));

    struct handler *h = &hs->v[hs->n++];

    *h = (struct handler){.name = xstrdup(name)};
    return h;
}

static struct handler *find(const struct handlers *hs, const char *name)
{
    for (size_t i = 0; i < hs->n; i++)
        if (str_eq(hs->v[i].name, name))
            return &hs->v[i];
    return NULL;
}

static int read_side_containers(struct handler *h, const json_t *table, struct err *err)
{
    if (!json_object_get(table, "side_containers"))
        return 0;
    if (h->type != HANDLER_VMM)
        return err_set(err, ERR_INVALID, "side_containers: is for handlers whose kind is a driver");
    return json_opt_bool(table, "side_containers", &h->side_containers, err);
}

static int read_one(struct handlers *hs, const char *name, const json_t *table, struct err *err)
{
    const char *kind = NULL, *program = NULL, *machine = NULL, *accel = NULL, *key;
    const char *share = NULL;
    struct handler *h = add(hs, name);
    int64_t cores = 0;
    json_t *value;

    json_object_foreach ((json_t *)(uintptr_t)table, key, value) {
        bool known = false;

        for (size_t i = 0; i < ARRAY_SIZE(known_keys); i++)
            known = known || str_eq(key, known_keys[i]);
        if (!known)
            return err_set(err, ERR_INVALID, "unknown key '%s'", key);
    }
    if (json_opt_int(table, "crash_cores", &cores, err) < 0)
        return -1;
    if (cores < 0 || cores > CRASH_CORES_MAX)
        return err_set(err, ERR_INVALID, "crash_cores: not 0 to %d", CRASH_CORES_MAX);
    h->crash_cores = (unsigned)cores;
    if (json_need_string(table, "kind", &kind, err) < 0 ||
        json_opt_string(table, "program", &program, err) < 0 ||
        json_opt_string(table, "machine", &machine, err) < 0 ||
        json_opt_string(table, "accel", &accel, err) < 0 ||
        json_opt_string(table, "share", &share, err) < 0 ||
        json_opt_strv(table, "pod_annotations", HANDLER_ANNOTATIONS_MAX, &h->pod_annotations, err) <
            0 ||
        debug_allowed_parse(json_object_get(table, "debug"), &h->debug, err) < 0 ||
        set_kind(h, kind, err) < 0 || read_side_containers(h, table, err) < 0)
        return -1;
    h->machine = xstrdup(machine ? machine : "");
    h->accel = xstrdup(accel ? accel : "");
    h->share = xstrdup(share ? share : "");
    if (vmm_check_choice(kind, h->machine, h->accel, err) < 0 ||
        vmm_check_share(kind, h->share, err) < 0)
        return -1;
    h->program = program_find(program && *program ? program : "runc");
    return 0;
}

static void add_builtin(struct handlers *hs, const char *kind)
{
    if (find(hs, kind))
        return;

    struct handler *h = add(hs, kind);

    (void)set_kind(h, kind, NULL);
    h->program = program_find("runc");
}

/* The default is a copy of what the configuration names, under the name "". */
static int set_default(struct handlers *hs, const char *name, struct err *err)
{
    const struct handler *h = find(hs, *name ? name : "auto");

    if (!h)
        return err_set(err, ERR_INVALID, "runtime.default_handler '%s': no such handler", name);

    struct handler copy = {.name = xstrdup(""),
                           .kind = xstrdup(h->kind),
                           .type = h->type,
                           .program = xstrdup(h->program),
                           .machine = h->machine ? xstrdup(h->machine) : NULL,
                           .accel = h->accel ? xstrdup(h->accel) : NULL,
                           .share = h->share ? xstrdup(h->share) : NULL,
                           .pod_annotations = strv_dup(h->pod_annotations),
                           .debug = h->debug,
                           .side_containers = h->side_containers,
                           .crash_cores = h->crash_cores};

    hs->v = xrealloc_array(hs->v, hs->n + 1, sizeof(*hs->v));
    memmove(hs->v + 1, hs->v, hs->n * sizeof(*hs->v));
    hs->v[0] = copy;
    hs->n++;
    return 0;
}

struct handlers *handlers_open(const struct sandbox_config *config, struct err *err)
{
    struct handlers *hs = XNEW(struct handlers);
    const char *name;
    json_t *table;

    mutex_init(&hs->lock);
    if (config->handlers && json_object_size(config->handlers) > HANDLERS_MAX) {
        (void)err_set(err, ERR_INVALID, "more than %d handlers", HANDLERS_MAX);
        handlers_free(hs);
        return NULL;
    }
    json_object_foreach (config->handlers, name, table) {
        if (read_one(hs, name, table, err) < 0) {
            (void)err_wrap(err, "handler '%s'", name);
            handlers_free(hs);
            return NULL;
        }
    }
    add_builtin(hs, "auto");
    add_builtin(hs, "runc");
    for (const char *const *d = vmm_driver_names(); *d; d++)
        add_builtin(hs, *d);
    if (set_default(hs, config->default_handler ? config->default_handler : "", err) < 0) {
        handlers_free(hs);
        return NULL;
    }
    return hs;
}

void handlers_free(struct handlers *h)
{
    if (!h)
        return;
    for (size_t i = 0; i < h->n; i++) {
        free(h->v[i].name);
        free(h->v[i].kind);
        free(h->v[i].program);
        free(h->v[i].machine);
        free(h->v[i].accel);
        free(h->v[i].share);
        strv_free(h->v[i].pod_annotations);
    }
    handler_features_free(h);
    free(h->v);
    free(h);
}

const struct handler *handler_find(const struct handlers *h, const char *name, struct err *err)
{
    const struct handler *found = find(h, name);
    autostrbuf names = STRBUF_INIT;

    if (found)
        return found;
    for (size_t i = 1; i < h->n; i++)
        strbuf_addf(&names, "%s'%s'", names.len ? ", " : "", h->v[i].name);
    (void)err_set(err, ERR_INVALID,
                  "runtime handler '%s' is not configured on this node; there are %s", name,
                  names.s);
    return NULL;
}

/* -------------------------------------------------------------------- facade */

static char *unavailable(struct engine *engine, const struct handler *h)
{
    if (h->type == HANDLER_VMM)
        return vmm_driver_unavailable(engine->vmm, h->kind);
    if (h->type == HANDLER_OCI && !*h->program)
        return xstrdup("the OCI runtime is not installed");
    return NULL;
}

size_t engine_handlers(struct engine *engine, struct handler_view **ret)
{
    const struct handlers *hs = engine->handlers;

    *ret = xcalloc(hs->n, sizeof(**ret));
    for (size_t i = 0; i < hs->n; i++) {
        const struct handler *h = &hs->v[i];
        struct runtime_features f;

        handler_features(engine->handlers, h, &f);
        (*ret)[i] = (struct handler_view){
            .name = h->name,
            .kind = h->kind,
            .recursive_readonly = f.recursive_readonly,
            .user_namespaces = f.idmapped_mounts && userns_probe(engine, NULL) == 0,
            .unavailable = unavailable(engine, h),
        };
    }
    return hs->n;
}

void handler_views_free(struct handler_view *views, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(views[i].unavailable);
    free(views);
}
