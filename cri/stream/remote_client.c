/* SPDX-License-Identifier: Apache-2.0 */
/* remote_client - see remote_client.h. */
#include "cri/stream/remote_client.h"

#include <string.h>

#include "base/json.h"

int remote_role_parse(const char *name)
{
    static const char *const names[ROLES] = {
        [ROLE_IN] = "stdin",     [ROLE_OUT] = "stdout",    [ROLE_ERR] = "stderr",
        [ROLE_STATUS] = "error", [ROLE_RESIZE] = "resize",
    };

    for (int i = 0; name && i < ROLES; i++)
        if (str_eq(names[i], name))
            return i;
    return -1;
}

static bool parse_size(const char *text, size_t len, struct terminal_size *ret)
{
    autojson *o = json_parse(text, len, RESIZE_TEXT_MAX_BYTES, "resize", NULL);
    int64_t width = 0, height = 0;

    if (!o || json_opt_int(o, "Width", &width, NULL) < 0 ||
        json_opt_int(o, "Height", &height, NULL) < 0)
        return false;
    if (width <= 0 || width > UINT16_MAX || height <= 0 || height > UINT16_MAX)
        return false;
    *ret = (struct terminal_size){.width = (unsigned)width, .height = (unsigned)height};
    return true;
}

bool remote_resize_feed(struct strbuf *text, const char *data, size_t len,
                        struct terminal_size *ret)
{
    bool found = false;

    for (size_t i = 0; i < len; i++) {
        if (text->len == 0 && (data[i] == '\n' || data[i] == ' ' || data[i] == '\r'))
            continue;
        strbuf_addc(text, data[i]);
        if (data[i] == '}')
            found = parse_size(text->s, text->len, ret) || found;
        if (data[i] == '}' || text->len == RESIZE_TEXT_MAX_BYTES)
            strbuf_clear(text);
    }
    return found;
}

static json_t *text_json(const char *s)
{
    return json_string(str_is_utf8(s, strlen(s)) ? s : "error text is not UTF-8");
}

static json_t *exit_code_details(int code)
{
    autofree char *number = xasprintf("%d", code);
    json_t *cause = json_object(), *causes = json_array(), *details = json_object();

    json_put(cause, "reason", json_string("ExitCode"));
    json_put(cause, "message", json_string(number));
    (void)json_array_append_new(causes, cause);
    json_put(details, "causes", causes);
    return details;
}

static char *status_json(const char *error, int code)
{
    autojson *o = json_object();
    autofree char *message = NULL;

    json_put(o, "metadata", json_object());
    json_put(o, "status", json_string(error || code ? "Failure" : "Success"));
    if (error) {
        message = xasprintf("Internal error occurred: %s", error);
        json_put(o, "message", text_json(message));
        json_put(o, "reason", json_string("InternalError"));
        json_put(o, "code", json_integer(500));
    } else if (code) {
        message = xasprintf("command terminated with non-zero exit code: exit status %d", code);
        json_put(o, "message", text_json(message));
        json_put(o, "reason", json_string("NonZeroExitCode"));
        json_put(o, "details", exit_code_details(code));
    }
    return json_text(o);
}

char *remote_status(int version, const char *error, int code)
{
    if (version >= 4)
        return status_json(error, code);
    if (error)
        return xasprintf("error executing command in container: %s", error);
    return code ? xasprintf("command terminated with non-zero exit code: exit status %d", code)
                : xstrdup("");
}
