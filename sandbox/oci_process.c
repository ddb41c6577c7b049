/* SPDX-License-Identifier: Apache-2.0 */
/* oci_process - `process` of config.json: who runs what, with which capabilities. */
#include <string.h>

#include "base/strbuf.h"
#include "sandbox/oci_spec.h"

/* JSON holds text; a byte string that is none must not arrive changed. */
static int strings(const char *what, char *const *v, json_t **ret, struct err *err)
{
    json_t *a = json_array();

    for (; v && *v; v++) {
        if (!str_is_utf8(*v, strlen(*v))) {
            json_decref(a);
            return err_set(err, ERR_INVALID,
                           "%s '%s': not UTF-8, which an OCI runtime cannot be given", what, *v);
        }
        (void)json_array_append_new(a, json_string(*v));
    }
    *ret = a;
    return 0;
}

int oci_process_args(json_t *process, char *const *argv, struct err *err)
{
    json_t *args;

    if (strings("argument", argv, &args, err) < 0)
        return -1;
    json_put(process, "args", args);
    return 0;
}

static json_t *user_json(const struct user *user)
{
    json_t *o = json_object(), *groups = json_array();

    json_put(o, "uid", json_integer(user->uid));
    json_put(o, "gid", json_integer(user->gid));
    for (size_t i = 0; i < user->n_groups; i++)
        (void)json_array_append_new(groups, json_integer(user->groups[i]));
    json_put(o, "additionalGids", groups);
    return o;
}

/* Nothing is inheritable but what is ambient, which has to be: a file's own inheritable set would
 * hand it on to programs that never asked. */
static json_t *caps_json(char *const *caps, char *const *ambient)
{
    static const char *const sets[] = {"bounding", "effective", "permitted"};
    json_t *o = json_object();

    json_put_strv(o, "inheritable", ambient);
    json_put_strv(o, "ambient", ambient);

    for (size_t i = 0; i < ARRAY_SIZE(sets); i++) {
        json_t *a = json_array();

        for (char *const *c = caps; c && *c; c++)
            (void)json_array_append_new(a, json_string(*c));
        json_put(o, sets[i], a);
    }
    return o;
}

int oci_process(const struct oci_input *in, json_t **ret, struct err *err)
{
    autojson *o = json_object();
    json_t *env = NULL;

    if (!str_is_utf8(in->cwd, strlen(in->cwd)) || in->cwd[0] != '/')
        return err_set(err, ERR_INVALID, "working directory '%s': not an absolute path", in->cwd);
    if (oci_process_args(o, in->argv, err) < 0 ||
        strings("environment variable", in->env, &env, err) < 0)
        return -1;
    json_put(o, "env", env);
    json_put_bool(o, "terminal", in->spec->tty);
    json_put(o, "user", user_json(in->user));
    json_put_string(o, "cwd", in->cwd);
    json_put(o, "capabilities", caps_json(in->caps, in->ambient));
    json_put_bool(o, "noNewPrivileges", in->spec->no_new_privs);
    json_put(o, "oomScoreAdj", json_integer(in->oom_score_adj));
    json_put_string(o, "apparmorProfile", in->apparmor);
    json_put_string(o, "selinuxLabel", in->selinux);
    *ret = TAKE_PTR(o);
    return 0;
}
