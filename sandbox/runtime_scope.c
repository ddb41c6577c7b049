/* SPDX-License-Identifier: Apache-2.0 */
/* runtime_scope - see runtime_scope.h. */
#include "sandbox/runtime_scope.h"

#include <string.h>

#include "base/child.h"
#include "base/fs.h"
#include "base/strbuf.h"
#include "sandbox/handlers.h"
#include "sandbox/oci_spec.h"

#define PREFIX            "unicri"
#define SUFFIX            ".scope"
#define UPDATE_OUTPUT_MAX (64 * 1024)

char *scope_cgroup(const struct container *c)
{
    if (!c->engine->cgroups.systemd || !str_has_suffix(c->pod->cgroup, ".slice"))
        return NULL;
    return xasprintf("%s/" PREFIX "-%s" SUFFIX, c->pod->cgroup, c->id);
}

bool scope_is(const char *cgroup)
{
    const char *name = strrchr(cgroup, '/');

    return name && str_has_prefix(name, "/" PREFIX "-") && str_has_suffix(name, SUFFIX);
}

char *scope_oci_name(const char *cgroup)
{
    const char *name = strrchr(cgroup, '/') + 1, *id = name + strlen(PREFIX "-");
    autofree char *parent = xstrndup(cgroup, (size_t)(name - 1 - cgroup));
    const char *slash = strrchr(parent, '/');

    return xasprintf("%s:" PREFIX ":%.*s", slash ? slash + 1 : parent,
                     (int)(strlen(id) - strlen(SUFFIX)), id);
}

int scope_update(struct container *c, struct err *err)
{
    autofree char *path = path_join(c->run_dir, "resources.json"), *text = NULL;
    autojson *resources = oci_resources(&c->engine->cgroups, &c->resources->r);
    char *argv[] = {(char[]){"runc"},
                    (char[]){"--root"},
                    c->engine->runc_dir,
                    (char[]){"--systemd-cgroup"},
                    (char[]){"update"},
                    (char[]){"--resources"},
                    path,
                    c->id,
                    NULL};
    struct child_spec spec = {.path = c->handler->program, .argv = argv};
    autochild_output output = {0};
    struct child_status status;

    text = json_text(resources);
    if (fs_replace_file(AT_FDCWD, path, text, strlen(text), 0600, false, err) < 0 ||
        child_run(&spec, NULL, 0, UPDATE_OUTPUT_MAX,
                  deadline_in(c->engine->config->runtime_timeout), &output, &status, err) < 0)
        return -1;
    if (!status.exited || status.code)
        return child_explain("runc update", &status, &output, err);
    return 0;
}
