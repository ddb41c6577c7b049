/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plugin - see plugin.h. An answer is judged by the specification alone (section 5): one document,
 * a result after exit 0, an error otherwise. What contradicts itself, as an error after exit 0, is
 * a failure with a plain reason.
 */
#include "cni/plugin.h"

#include <string.h>

#include "base/strbuf.h"
#include "cni/conflist.h"

#define ERROR_UNKNOWN_CONTAINER 3 /* "no need to clean up" */

static const struct plugin_ops *const rows[] = {
    &plugin_exec,
};

static const struct plugin_ops *row_for(const struct plugin_call *call, const char *type)
{
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        if (rows[i]->takes(call, type))
            return rows[i];
    abort(); /* the last row takes all */
}

/* The values of what this plugin declares under "capabilities". NULL when there are none. */
static json_t *runtime_config(const struct plugin_call *call, const json_t *plugin)
{
    autojson *config = json_object();
    json_t *value;
    const char *key;

    json_object_foreach (json_object_get(plugin, "capabilities"), key, value) {
        json_t *have = json_object_get(call->capabilities, key);

        if (json_is_true(value) && have)
            json_put(config, key, json_deep_copy(have));
    }
    return json_object_size(config) ? TAKE_PTR(config) : NULL;
}

/* Spec, section 3: deriving the execution configuration. */
static char *execution_config(const struct plugin_call *call, const json_t *plugin)
{
    autojson *doc = json_deep_copy(plugin);
    json_t *runtime;

    if (!doc)
        abort();
    runtime = runtime_config(call, plugin);
    (void)json_object_del(doc, "capabilities");
    json_put(doc, "cniVersion", json_string(call->version));
    json_put(doc, "name", json_string(call->network));
    if (runtime)
        json_put(doc, "runtimeConfig", runtime);
    if (call->prev_result)
        json_put(doc, "prevResult", json_deep_copy(call->prev_result));
    if (call->attachments)
        json_put(doc, "cni.dev/valid-attachments", json_deep_copy(call->attachments));
    return json_text(doc);
}

static bool is_error(const json_t *doc)
{
    return json_is_integer(json_object_get(doc, "code")) &&
           json_is_string(json_object_get(doc, "msg"));
}

/* The plugin's own words. */
static int fail_by_document(const json_t *doc, struct err *err)
{
    const char *msg = json_string_value(json_object_get(doc, "msg"));
    const char *details = json_string_value(json_object_get(doc, "details"));

    return err_set(err, ERR_UNAVAILABLE, "%s%s%s (code %lld)", msg, details && *details ? ": " : "",
                   details ? details : "",
                   (long long)json_integer_value(json_object_get(doc, "code")));
}

static int fail_by_status(const struct plugin_answer *a, struct err *err)
{
    return err_set(err, ERR_UNAVAILABLE, "%s %d without an error document%s%s",
                   a->exited ? "exit status" : "killed by signal", a->code,
                   a->complaint ? ": " : "", a->complaint ? a->complaint : "");
}

/* After exit 0. */
static int judge_result(const struct plugin_answer *a, json_t **ret, struct err *err)
{
    autojson *doc = NULL;
    const char *version = NULL;

    if (a->truncated)
        return err_set(err, ERR_UNAVAILABLE, "printed more than %zu bytes",
                       PLUGIN_OUTPUT_MAX_BYTES);
    if (strspn(a->out, " \t\r\n") == a->out_len)
        return err_set(err, ERR_UNAVAILABLE, "printed no result");
    doc = json_parse(a->out, a->out_len, PLUGIN_OUTPUT_MAX_BYTES, "result", err);
    if (!doc) {
        if (err)
            err->code = ERR_UNAVAILABLE;
        return -1;
    }
    if (!json_is_object(doc))
        return err_set(err, ERR_UNAVAILABLE, "result: not an object");
    if (is_error(doc)) {
        (void)fail_by_document(doc, err);
        return err_wrap(err, "exit status 0 with an error document");
    }
    if (json_opt_string(doc, "cniVersion", &version, NULL) < 0 ||
        (version && cni_version_parse(version) < 0))
        return err_set(err, ERR_UNAVAILABLE, "result: unknown cniVersion");
    *ret = TAKE_PTR(doc);
    return 0;
}

/* After another end. Returns 0 when the failure means that there is nothing left to do. */
static int judge_failure(const struct plugin_call *call, const struct plugin_answer *a,
                         struct err *err)
{
    struct err why = ERR_INIT;
    autojson *doc =
        a->exited ? json_parse(a->out, a->out_len, PLUGIN_OUTPUT_MAX_BYTES, "error", &why) : NULL;

    if (!doc || !is_error(doc))
        return fail_by_status(a, err);
    if (str_eq(call->command, "DEL") &&
        json_integer_value(json_object_get(doc, "code")) == ERROR_UNKNOWN_CONTAINER)
        return 0;
    return fail_by_document(doc, err);
}

static int judge(const struct plugin_call *call, const struct plugin_answer *a, json_t **ret_result,
                 struct err *err)
{
    if (!a->exited || a->code != 0)
        return judge_failure(call, a, err);
    return ret_result ? judge_result(a, ret_result, err) : 0;
}

int plugin_call(const struct plugin_call *call, const json_t *plugin, json_t **ret_result,
                struct err *err)
{
    const char *type = json_string_value(json_object_get(plugin, "type"));
    autofree char *input = execution_config(call, plugin);
    deadline_t deadline = deadline_min(call->deadline, deadline_in(call->timeout));
    struct plugin_answer answer = {0};
    struct err why = ERR_INIT;
    int r;

    r = row_for(call, type)->exec(call, type, input, strlen(input), deadline, &answer, &why);
    if (r == 0)
        r = judge(call, &answer, ret_result, &why);
    else if (why.code != ERR_DEADLINE && why.code != ERR_EXHAUSTED)
        why.code = ERR_UNAVAILABLE;
    free(answer.out);
    free(answer.complaint);
    if (r == 0)
        return 0;
    if (err)
        *err = why;
    return err_wrap(err, "plugin '%s' %s", type, call->command);
}
