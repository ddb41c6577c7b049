/* SPDX-License-Identifier: Apache-2.0 */
/* runtime - which runtime a container gets, and what both runtimes compute the same way: arguments,
 * environment. */
#include "sandbox/runtime.h"

#include <linux/capability.h>
#include <string.h>
#include <sys/syscall.h>

#include "base/fs.h"
#include "base/strbuf.h"
#include "sandbox/handlers.h"
#include "sandbox/runtime_scope.h"

struct guest_files {
    struct imagestore *images;
    const struct image *image;
};

static int read_image_file(void *arg, const char *path, struct err *err)
{
    const struct guest_files *f = arg;

    return image_open_file(f->images, f->image, path, err);
}

/* A pod's annotations speak for its image only where the node's configuration lists them, key by
 * key. */
static void allowed_annotations(const struct container *c, struct kvs *ret)
{
    for (char *const *key = c->handler->pod_annotations; key && *key; key++) {
        const char *value = kvs_get(&c->spec->annotations, *key);

        if (!value)
            value = kvs_get(&c->pod->spec->annotations, *key);
        if (value)
            kvs_set(ret, *key, value);
    }
}

int runtime_guest(struct container *c, struct guest **ret, struct err *err)
{
    const struct image_config *config = &c->image->config;
    struct guest_files files = {.images = c->engine->images, .image = c->image};
    autostrv char **argv = container_args(c->spec, config);
    struct kvs allowed = {0};
    const struct guest_image says = {
        .labels = &config->labels,
        .annotations = &c->image->annotations,
        .pod_annotations = &allowed,
        .os = config->os,
        .os_version = config->os_version,
        .argv = argv,
        .wanted = !handler_runs_oci(c->handler),
        .open_file = read_image_file,
        .arg = &files,
    };

    allowed_annotations(c, &allowed);

    int rc = guest_declared(&says, ret, err);

    kvs_done(&allowed);
    return rc < 0 && c->handler->type == HANDLER_VMM
               ? err_wrap(err, "handler '%s'", c->handler->name)
               : rc;
}

int runtime_open_file(struct container *c, const char *path, struct err *err)
{
    const struct image *image = container_image(c, err);

    if (!image)
        return -1;
    return str_has_prefix(path, VMM_HOST_FILE)
               ? vmm_host_file_open(c->engine->vmm, path, err)
               : image_open_file(c->engine->images, image, path, err);
}

static int choose_oci(struct container *c, struct err *err)
{
    if (!*c->handler->program)
        return err_set(err, ERR_UNAVAILABLE,
                       "image '%s': no unikernel, and no OCI runtime is installed on this node",
                       c->image_ref);
    c->runtime = &runtime_runc;
    free(c->runtime_name);
    c->runtime_name = xstrdup("runc");

    char *scope = scope_cgroup(c);

    if (scope) {
        free(c->cgroup);
        c->cgroup = scope;
    }
    return 0;
}

int runtime_choose(struct container *c, struct err *err)
{
    struct guest *guest = NULL;

    if (c->handler->type == HANDLER_OCI)
        return choose_oci(c, err);
    if (runtime_guest(c, &guest, err) < 0)
        return err_wrap(err, "image '%s'", c->image_ref);
    if (!guest)
        return choose_oci(c, err);

    const char *driver = c->handler->type == HANDLER_VMM ? c->handler->kind : "auto";
    int kernel = runtime_open_file(c, guest->binary, err);

    c->guest = guest;
    c->runtime = &runtime_unikernel;
    if (kernel < 0)
        return err_wrap(err, "kernel '%s' of image '%s'", guest->binary, c->image_ref);

    int rc = guest_probe_kernel(guest, kernel, err);

    (void)close_fd(kernel);
    if (rc < 0)
        return err_wrap(err, "kernel '%s' of image '%s'", guest->binary, c->image_ref);

    const struct vmm_handler *h = vmm_handler_find(c->engine->vmm, driver, guest, err);

    if (!h)
        return err_wrap(err, "image '%s'", c->image_ref);
    free(c->runtime_name);
    c->runtime_name = xstrdup(vmm_handler_driver(h)->name);
    return 0;
}

void runtime_restore(struct container *c)
{
    c->runtime = &runtime_runc;
    for (const char *const *d = vmm_driver_names(); *d; d++)
        if (str_eq(*d, c->runtime_name))
            c->runtime = &runtime_unikernel;
}

const struct image *container_image(struct container *c, struct err *err)
{
    if (!c->image)
        c->image = imagestore_find(c->engine->images, c->image_id, err);
    return c->image;
}

/* ------------------------------------------------------------------ arguments */

static void append(char ***v, char *const *more)
{
    for (; more && *more; more++)
        strv_push(v, *more);
}

char **container_args(const struct container_spec *spec, const struct image_config *config)
{
    char **argv = NULL;

    append(&argv, spec->command ? spec->command : config->entrypoint);
    if (spec->args)
        append(&argv, spec->args);
    else if (!spec->command)
        append(&argv, config->cmd);
    return argv;
}

static void set_env(char ***env, const char *assignment)
{
    size_t name = strcspn(assignment, "=") + 1;

    for (char **e = *env; e && *e; e++)
        if (strncmp(*e, assignment, name) == 0) {
            free(*e);
            *e = xstrdup(assignment);
            return;
        }
    strv_push(env, assignment);
}

int container_env(const struct container_spec *spec, const struct image_config *config, char ***ret,
                  struct err *err)
{
    autostrv char **env = NULL;

    for (char *const *e = config->env; e && *e; e++)
        if (strchr(*e, '=') > *e)
            set_env(&env, *e);
    for (size_t i = 0; i < spec->n_envs; i++) {
        const char *key = spec->envs[i].key;
        autofree char *assignment = xasprintf("%s=%s", key, spec->envs[i].value);

        if (!*key || strchr(key, '='))
            return err_set(err, ERR_INVALID, "environment variable '%s': not a name", key);
        set_env(&env, assignment);
    }
    *ret = TAKE_PTR(env);
    return 0;
}

/* ------------------------------------------------------------------ oom score */

static bool have_sys_resource(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
    struct __user_cap_data_struct data[2] = {0};

    if (syscall(SYS_capget, &header, data) < 0)
        return false;
    return data[CAP_SYS_RESOURCE / 32].effective & (UINT32_C(1) << (CAP_SYS_RESOURCE % 32));
}

int64_t oom_score_clamp(int64_t wanted)
{
    autofree char *text = NULL;
    int64_t own;

    if (wanted < -1000)
        wanted = -1000;
    if (wanted > 1000)
        wanted = 1000;
    if (have_sys_resource() ||
        fs_read_file(AT_FDCWD, "/proc/self/oom_score_adj", 64, &text, NULL, NULL) < 0)
        return wanted;
    own = strtol(text, NULL, 10);
    return wanted < own ? own : wanted;
}
