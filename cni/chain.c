/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chain - all plugins of a list for one pod: ADD forward with each result handed on, DEL backward,
 * CHECK; and the calls that are about no pod, GC and STATUS.
 *
 * Everything a call needs is in its arguments (the stored list and arguments), so a DEL is the same
 * after a restart, after the directory has changed, and after the namespace has gone.
 * DEL asks every plugin even when one of them fails: what can be released is released, and the
 * first failure is told, so that the caller tries again.
 */
#include <string.h>

#include "base/fault.h"
#include "cni/cni_private.h"
#include "cni/plugin.h"

#define ARGS_MAX_BYTES  ((size_t)1024 * 1024)
#define GC_IFNAME       "eth0"
#define ATTACHMENTS_MAX 100000

/* One chain call and what it keeps alive. */
struct chain {
    struct conflist *list; /* owned */
    json_t *args;          /* owned */
    json_t *prev;          /* owned; NULL: none */
    struct plugin_call call;
};

static void chain_done(struct chain *c)
{
    conflist_free(c->list);
    json_decref(c->args);
    json_decref(c->prev);
}
#define autochain CLEANUP(chain_done) struct chain

static struct plugin_call call_for(const struct cni *cni, const struct conflist *list,
                                   const char *command, deadline_t deadline)
{
    return (struct plugin_call){
        .command = command,
        .bin_dirs = cni->config->bin_dirs,
        .cache_dir = cni->cache_dir,
        .network = list->name,
        .version = list->version_name,
        .timeout = cni->config->timeout,
        .deadline = deadline,
    };
}

/* The stored forms of both. A missing namespace is said to plugins as "", a plain file is no
 * namespace either. */
static int chain_open(struct chain *c, const struct cni *cni, const char *command,
                      const char *conflist, const char *args, deadline_t deadline, struct err *err)
{
    struct err gone = ERR_INIT;
    autofd int fd = -1;

    c->list = conflist_parse(conflist, strlen(conflist), "stored network configuration", err);
    if (!c->list)
        return -1;
    c->args = json_parse(args, strlen(args), ARGS_MAX_BYTES, "stored network arguments", err);
    if (!c->args)
        return -1;
    c->call = call_for(cni, c->list, command, deadline);
    c->call.capabilities = json_object_get(c->args, "capabilities");
    if (json_need_string(c->args, "id", &c->call.id, err) < 0 ||
        json_need_string(c->args, "netns", &c->call.netns, err) < 0 ||
        json_need_string(c->args, "ifname", &c->call.ifname, err) < 0 ||
        json_need_string(c->args, "args", &c->call.args, err) < 0)
        return err_wrap(err, "stored network arguments");
    fd = netns_open(c->call.netns, &gone);
    if (fd < 0)
        c->call.netns = "";
    return 0;
}

/* What ADD left, for versions that hand it to later calls. */
static int chain_set_result(struct chain *c, const char *result, struct err *err)
{
    if (!result || !*result || c->list->version < CNI_0_4_0)
        return 0;
    c->prev =
        json_parse(result, strlen(result), PLUGIN_OUTPUT_MAX_BYTES, "stored network result", err);
    if (!c->prev)
        return -1;
    c->call.prev_result = c->prev;
    return 0;
}

int cni_plan(struct cni *cni, const struct cni_request *request, char **ret_conflist,
             char **ret_args, struct err *err)
{
    autofree char *text = cni_current_list(cni);
    autoconflist *list = NULL;
    char *args;

    if (!text) {
        autofree char *why = NULL;

        (void)cni_status(cni, &why);
        return err_set(err, ERR_UNAVAILABLE, "%s", why ? why : "no network configuration");
    }
    list = conflist_parse(text, strlen(text), "network configuration", err);
    if (!list)
        return -1;
    args = request_args(list, request, err);
    if (!args)
        return err_wrap(err, "network '%s'", list->name);
    *ret_conflist = TAKE_PTR(text);
    *ret_args = args;
    return 0;
}

static int add(struct cni *cni, const char *conflist, const char *args, deadline_t deadline,
               char **ret_result, struct err *err)
{
    autochain c = {0};
    json_t *plugin;
    size_t i;

    if (chain_open(&c, cni, "ADD", conflist, args, deadline, err) < 0)
        return -1;
    if (!*c.call.netns)
        return err_set(err, ERR_STATE, "the pod has no network namespace");
    json_array_foreach (c.list->plugins, i, plugin) {
        json_t *result = NULL;

        if (plugin_call(&c.call, plugin, &result, err) < 0)
            return err_wrap(err, "network '%s'", c.list->name);
        json_decref(c.prev);
        c.prev = result;
        c.call.prev_result = result;
    }
    *ret_result = json_text(c.prev);
    return 0;
}

int cni_add(struct cni *cni, const char *conflist, const char *args, deadline_t deadline,
            char **ret_result, struct err *err)
{
    nsec_t start = clock_mono();
    int r;

    FAULT_POINT("cni.add");
    r = add(cni, conflist, args, deadline, ret_result, err);
    metric_observe(&cni_metric_add, clock_mono() - start);
    if (r < 0)
        metric_add(&cni_metric_add_failed, 1);
    return r;
}

static int del(struct cni *cni, const char *conflist, const char *args, const char *result,
               deadline_t deadline, struct err *err)
{
    struct err first = ERR_INIT, why = ERR_INIT;
    autochain c = {0};

    if (chain_open(&c, cni, "DEL", conflist, args, deadline, err) < 0)
        return -1;
    if (chain_set_result(&c, result, &why) < 0)
        c.call.prev_result = NULL; /* a bad row must not keep addresses from being released */
    for (size_t i = json_array_size(c.list->plugins); i-- > 0;) {
        if (plugin_call(&c.call, json_array_get(c.list->plugins, i), NULL, &why) == 0)
            continue;
        if (first.code == ERR_NONE)
            first = why;
    }
    if (first.code == ERR_NONE)
        return 0;
    if (err)
        *err = first;
    return err_wrap(err, "network '%s'", c.list->name);
}

int cni_del(struct cni *cni, const char *conflist, const char *args, const char *result,
            deadline_t deadline, struct err *err)
{
    nsec_t start = clock_mono();
    int r;

    FAULT_POINT("cni.del");
    r = del(cni, conflist, args, result, deadline, err);
    metric_observe(&cni_metric_del, clock_mono() - start);
    if (r < 0)
        metric_add(&cni_metric_del_failed, 1);
    return r;
}

int cni_check(struct cni *cni, const char *conflist, const char *args, const char *result,
              deadline_t deadline, struct err *err)
{
    autochain c = {0};
    json_t *plugin;
    size_t i;

    if (chain_open(&c, cni, "CHECK", conflist, args, deadline, err) < 0)
        return -1;
    if (c.list->version < CNI_0_4_0)
        return err_set(err, ERR_UNSUPPORTED, "network '%s': CHECK needs CNI 0.4.0, the list has %s",
                       c.list->name, c.list->version_name);
    if (c.list->disable_check)
        return 0;
    if (!result || !*result)
        return err_set(err, ERR_STATE, "network '%s': CHECK needs the result of ADD", c.list->name);
    if (chain_set_result(&c, result, err) < 0)
        return -1;
    json_array_foreach (c.list->plugins, i, plugin)
        if (plugin_call(&c.call, plugin, NULL, err) < 0)
            return err_wrap(err, "network '%s'", c.list->name);
    return 0;
}

/* --------------------------------------------------- about no pod: 1.1 */

static json_t *attachments(char *const *ids)
{
    json_t *list = json_array();

    for (size_t i = 0; ids && ids[i] && i < ATTACHMENTS_MAX; i++) {
        json_t *item = json_object();

        json_put(item, "containerID", json_string(ids[i]));
        json_put(item, "ifname", json_string(GC_IFNAME));
        if (json_array_append_new(list, item) < 0)
            abort();
    }
    return list;
}

int cni_gc(struct cni *cni, char *const *valid_ids, deadline_t deadline, struct err *err)
{
    autofree char *text = cni_current_list(cni);
    autojson *valid = attachments(valid_ids);
    struct err first = ERR_INIT, why = ERR_INIT;
    autochain c = {0};
    json_t *plugin;
    size_t i;

    /* An incomplete list of what is valid would release what is in use. */
    if (strv_len(valid_ids) > ATTACHMENTS_MAX)
        return err_set(err, ERR_EXHAUSTED, "GC: more than %d attachments", ATTACHMENTS_MAX);
    if (!text)
        return 0;
    c.list = conflist_parse(text, strlen(text), "network configuration", err);
    if (!c.list)
        return -1;
    if (c.list->version < CNI_1_1_0 || c.list->disable_gc)
        return 0;
    c.call = call_for(cni, c.list, "GC", deadline);
    c.call.attachments = valid;
    json_array_foreach (c.list->plugins, i, plugin)
        if (plugin_call(&c.call, plugin, NULL, &why) < 0 && first.code == ERR_NONE)
            first = why;
    if (first.code == ERR_NONE)
        return 0;
    if (err)
        *err = first;
    return err_wrap(err, "network '%s'", c.list->name);
}

int cni_list_installed(const struct cni *cni, const struct conflist *list, struct err *err)
{
    json_t *plugin;
    size_t i;

    json_array_foreach (list->plugins, i, plugin) {
        const char *type = json_string_value(json_object_get(plugin, "type"));
        autofree char *path = plugin_find(cni->config->bin_dirs, type, err);

        if (!path)
            return err_wrap(err, "plugin '%s'", type);
    }
    return 0;
}

int cni_list_status(const struct cni *cni, const struct conflist *list, deadline_t deadline,
                    struct err *err)
{
    struct plugin_call call = call_for(cni, list, "STATUS", deadline);
    json_t *plugin;
    size_t i;

    if (list->version < CNI_1_1_0)
        return 0;
    json_array_foreach (list->plugins, i, plugin) {
        if (plugin_call(&call, plugin, NULL, err) < 0)
            return -1;
    }
    return 0;
}
