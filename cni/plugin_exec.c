/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plugin_exec - a plugin that is an executable: found in the plugin directories, run in a process
 * group of its own with exactly the environment of the CNI specification (section 2) and the
 * daemon's PATH.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/child.h"
#include "base/fs.h"
#include "base/strbuf.h"
#include "cni/plugin.h"

#define DEFAULT_PATH        "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define COMPLAINT_MAX_BYTES 256

static char *join(char *const *dirs, const char *separator)
{
    autostrbuf b = STRBUF_INIT;

    for (size_t i = 0; dirs && dirs[i]; i++)
        strbuf_addf(&b, "%s%s", i ? separator : "", dirs[i]);
    return strbuf_detach(&b);
}

char *plugin_find(char *const *bin_dirs, const char *type, struct err *err)
{
    autofree char *dirs = NULL;

    for (size_t i = 0; bin_dirs && bin_dirs[i]; i++) {
        autofree char *path = path_join(bin_dirs[i], type);
        struct stat st;

        if (stat(path, &st) < 0 || !S_ISREG(st.st_mode))
            continue;
        if (st.st_mode & 0111)
            return TAKE_PTR(path);
        (void)err_set(err, ERR_DENIED, "'%s' is not executable", path);
        return NULL;
    }
    dirs = join(bin_dirs, ", ");
    (void)err_set(err, ERR_NOT_FOUND, "not installed in %s", *dirs ? dirs : "any directory");
    return NULL;
}

static void push(char ***env, const char *name, const char *value)
{
    if (value)
        strv_take(env, xasprintf("%s=%s", name, value));
}

static char **environment(const struct plugin_call *call)
{
    autofree char *dirs = join(call->bin_dirs, ":");
    const char *path = getenv("PATH");
    char **env = NULL;

    push(&env, "CNI_COMMAND", call->command);
    push(&env, "CNI_CONTAINERID", call->id);
    push(&env, "CNI_NETNS", call->netns);
    push(&env, "CNI_IFNAME", call->ifname);
    push(&env, "CNI_ARGS", call->args);
    push(&env, "CNI_PATH", dirs);
    push(&env, "CNI_CACHE_DIR", call->cache_dir);
    push(&env, "PATH", path && *path ? path : DEFAULT_PATH);
    return env;
}

static char *last_line(const char *text)
{
    size_t end = strlen(text), start;

    while (end > 0 && strchr(" \t\r\n", text[end - 1]))
        end--;
    start = end;
    while (start > 0 && text[start - 1] != '\n')
        start--;
    if (end - start > COMPLAINT_MAX_BYTES)
        end = start + COMPLAINT_MAX_BYTES;
    return end > start ? xstrndup(text + start, end - start) : NULL;
}

static bool takes(const struct plugin_call *call, const char *type)
{
    (void)call;
    (void)type;
    return true;
}

static int exec(const struct plugin_call *call, const char *type, const char *input, size_t len,
                deadline_t deadline, struct plugin_answer *ret, struct err *err)
{
    autofree char *path = plugin_find(call->bin_dirs, type, err);
    autostrv char **env = NULL;
    autochild_output out = {0};
    struct child_status status;
    char *argv[] = {path, NULL};
    struct child_spec spec = {.path = path, .argv = argv, .end_group = true};

    if (!path)
        return -1;
    env = environment(call);
    spec.env = env;
    if (child_run(&spec, input, len, PLUGIN_OUTPUT_MAX_BYTES, deadline, &out, &status, err) < 0)
        return -1;
    ret->out_len = out.out_len;
    ret->out = TAKE_PTR(out.out);
    ret->truncated = out.truncated;
    ret->complaint = out.errout ? last_line(out.errout) : NULL;
    ret->exited = status.exited;
    ret->code = status.code;
    return 0;
}

const struct plugin_ops plugin_exec = {.name = "exec", .takes = takes, .exec = exec};
