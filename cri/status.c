/* SPDX-License-Identifier: Apache-2.0 */
/*
 * status - Version, Status, RuntimeConfig, UpdateRuntimeConfig: what the daemon says of itself.
 * Conditions tell the truth of this moment; features only what the engine really does for a
 * handler.
 */
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/strbuf.h"
#include "cri/handlers.h"

#define CRI_VERSION "0.1.0" /* of the kubelet's runtime API; clients compare it exactly */

int on_version(struct call *call, struct err *err)
{
    Runtime__V1__VersionResponse *reply =
        REPLY(call, Runtime__V1__VersionResponse, runtime__v1__version_response);

    (void)err;
    reply->version = (char *)CRI_VERSION;
    reply->runtime_name = (char *)"unicri";
    reply->runtime_version = (char *)UNICRI_VERSION;
    reply->runtime_api_version = (char *)"v1";
    return 0;
}

static Runtime__V1__RuntimeCondition *condition(struct arena *arena, const char *type, bool ok,
                                                const char *reason, const char *why)
{
    Runtime__V1__RuntimeCondition *new =
        PROTO_NEW(arena, Runtime__V1__RuntimeCondition, runtime__v1__runtime_condition);

    new->type = arena_text(arena, type);
    new->status = ok;
    if (!ok) {
        new->reason = arena_text(arena, reason);
        new->message = arena_text(arena, why);
    }
    return new;
}

static Runtime__V1__RuntimeStatus *conditions(struct call *call)
{
    Runtime__V1__RuntimeStatus *new =
        PROTO_NEW(call->arena, Runtime__V1__RuntimeStatus, runtime__v1__runtime_status);
    autofree char *runtime_why = NULL, *network_why = NULL;
    bool runtime = engine_ready(call->daemon->engine, &runtime_why);
    bool network = cni_status(call->daemon->cni, &network_why);

    new->n_conditions = 2;
    new->conditions = ARENA_ARRAY(call->arena, Runtime__V1__RuntimeCondition *, 2);
    new->conditions[0] =
        condition(call->arena, "RuntimeReady", runtime, "RuntimeNotReady", runtime_why);
    new->conditions[1] =
        condition(call->arena, "NetworkReady", network, "NetworkPluginNotReady", network_why);
    return new;
}

/* The node's network goes with users of its own wherever the latter go at all. */
static void features(struct call *call, Runtime__V1__StatusResponse *reply)
{
    reply->features =
        PROTO_NEW(call->arena, Runtime__V1__RuntimeFeatures, runtime__v1__runtime_features);
    reply->features->supplemental_groups_policy = true;
    reply->features->mount_options = true;
    for (size_t i = 0; i < reply->n_runtime_handlers; i++)
        if (reply->runtime_handlers[i]->features->user_namespaces)
            reply->features->user_namespaces_host_network = true;
}

static void handlers(struct call *call, Runtime__V1__StatusResponse *reply)
{
    struct handler_view *views = NULL;
    size_t n = engine_handlers(call->daemon->engine, &views);

    if (n)
        reply->runtime_handlers = ARENA_ARRAY(call->arena, Runtime__V1__RuntimeHandler *, n);
    for (size_t i = 0; i < n; i++) {
        Runtime__V1__RuntimeHandler *handler =
            PROTO_NEW(call->arena, Runtime__V1__RuntimeHandler, runtime__v1__runtime_handler);
        handler->name = arena_text(call->arena, views[i].name);
        handler->features = PROTO_NEW(call->arena, Runtime__V1__RuntimeHandlerFeatures,
                                      runtime__v1__runtime_handler_features);
        handler->features->recursive_read_only_mounts = views[i].recursive_readonly;
        handler->features->user_namespaces = views[i].user_namespaces;
        reply->runtime_handlers[reply->n_runtime_handlers++] = handler;
    }
    handler_views_free(views, n);
}

/* The configuration as it is in force. NULL: it could not be made. */
static json_t *config_info(const struct daemon *daemon)
{
    char *text = NULL;
    size_t len = 0;
    struct err err;
    FILE *out = open_memstream(&text, &len);

    if (!out)
        abort();
    config_print(daemon->config, out);
    if (fclose(out) != 0)
        abort();
    struct toml_doc *doc = toml_parse(text, len, "configuration", &err);
    json_t *info = doc ? json_incref(toml_root(doc)) : NULL;
    if (doc)
        toml_free(doc);
    free(text);
    return info;
}

/* Each handler, with what keeps it from working. */
static json_t *handlers_info(const struct daemon *daemon)
{
    json_t *info = json_array();
    struct handler_view *views = NULL;
    size_t n = engine_handlers(daemon->engine, &views);

    for (size_t i = 0; i < n; i++) {
        json_t *handler = json_object();
        json_put(handler, "name", json_string(views[i].name));
        json_put_string(handler, "kind", views[i].kind);
        json_put_string(handler, "unavailable", views[i].unavailable);
        if (json_array_append_new(info, handler) < 0)
            abort();
    }
    handler_views_free(views, n);
    return info;
}

static json_t *census_info(const struct daemon *daemon)
{
    autofree char *census = engine_census(daemon->engine);

    return census ? json_loads(census, 0, NULL) : NULL;
}

/* For verbose: a JSON text under each key, as crictl prints them. */
static void verbose_info(struct call *call, Runtime__V1__StatusResponse *reply)
{
    static const struct {
        const char *key;
        json_t *(*make)(const struct daemon *daemon);
    } parts[] = {{"config", config_info}, {"handlers", handlers_info}, {"census", census_info}};
    struct kvs info = {0};

    for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
        autojson *json = parts[i].make(call->daemon);
        autofree char *text = json ? json_text(json) : xstrdup("null");
        kvs_set(&info, parts[i].key, text);
    }
    reply->info = proto_map(call->arena, &info,
                            &runtime__v1__status_response__info_entry__descriptor, &reply->n_info);
    kvs_done(&info);
}

int on_status(struct call *call, struct err *err)
{
    Runtime__V1__StatusResponse *reply =
        REPLY(call, Runtime__V1__StatusResponse, runtime__v1__status_response);

    (void)err;
    reply->status = conditions(call);
    handlers(call, reply);
    features(call, reply);
    if (REQUEST(call, Runtime__V1__StatusRequest)->verbose)
        verbose_info(call, reply);
    return 0;
}

int on_runtime_config(struct call *call, struct err *err)
{
    Runtime__V1__RuntimeConfigResponse *reply =
        REPLY(call, Runtime__V1__RuntimeConfigResponse, runtime__v1__runtime_config_response);

    (void)err;
    reply->linux = PROTO_NEW(call->arena, Runtime__V1__LinuxRuntimeConfiguration,
                             runtime__v1__linux_runtime_configuration);
    reply->linux->cgroup_driver = str_eq(call->daemon->config->sandbox.cgroup_driver, "systemd")
                                      ? RUNTIME__V1__CGROUP_DRIVER__SYSTEMD
                                      : RUNTIME__V1__CGROUP_DRIVER__CGROUPFS;
    return 0;
}

int on_update_runtime_config(struct call *call, struct err *err)
{
    const Runtime__V1__RuntimeConfig *config =
        REQUEST(call, Runtime__V1__UpdateRuntimeConfigRequest)->runtime_config;
    const char *cidr = config && config->network_config ? config->network_config->pod_cidr : "";

    if (*cidr) {
        if (strlen(cidr) > SPEC_NAME_MAX_BYTES || cidr[strspn(cidr, "0123456789abcdefABCDEF.:/,")])
            return err_set(err, ERR_INVALID,
                           "runtime_config.network_config.pod_cidr '%s': not a CIDR", cidr);
        if (cni_set_pod_cidr(call->daemon->cni, cidr, err) < 0)
            return -1;
    }
    (void)REPLY(call, Runtime__V1__UpdateRuntimeConfigResponse,
                runtime__v1__update_runtime_config_response);
    return 0;
}
