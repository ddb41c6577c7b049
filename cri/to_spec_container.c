/* SPDX-License-Identifier: Apache-2.0 */
/*
 * to_spec_container - CreateContainerRequest to struct container_spec. The sandbox_config in the
 * request is not read: the pod's own record counts.
 */
#include <string.h>

#include "base/strbuf.h"
#include "cri/to_spec.h"

static int envs(size_t n, Runtime__V1__KeyValue **protos, struct container_spec *spec,
                struct err *err)
{
    size_t bytes = 0;

    if (spec_count(n, SPEC_ENVS_MAX, "config.envs", err) < 0)
        return -1;
    spec->envs = n ? xcalloc(n, sizeof *spec->envs) : NULL;
    spec->n_envs = n;
    for (size_t i = 0; i < n; i++) {
        const char *key = protos[i]->key;
        const ProtobufCBinaryData *value = &protos[i]->value;
        for (const char *p = key; *p; p++)
            if (*p == '=' || (unsigned char)*p < 0x20 || *p == 0x7f)
                return err_set(err, ERR_INVALID, "config.envs[%zu].key '%s': not a variable's name",
                               i, key);
        if (!*key)
            return err_set(err, ERR_INVALID, "config.envs[%zu].key: missing", i);
        if (value->len && memchr(value->data, '\0', value->len))
            return err_set(err, ERR_INVALID, "config.envs[%zu].value of '%s': contains a NUL byte",
                           i, key);
        bytes += strlen(key) + value->len + 2;
        if (bytes > SPEC_ARGS_MAX_BYTES)
            return err_set(err, ERR_INVALID, "config.envs: longer than %zu bytes in all",
                           SPEC_ARGS_MAX_BYTES);
        spec->envs[i].key = xstrdup(key);
        spec->envs[i].value =
            value->len ? xstrndup((const char *)value->data, value->len) : xstrdup("");
    }
    return 0;
}

static int mount_options(const Runtime__V1__Mount *proto, const char *what, struct err *err)
{
    for (size_t i = 0; i < proto->n_mount_options; i++)
        if (!str_eq(proto->mount_options[i], "noexec") &&
            !str_eq(proto->mount_options[i], "nodev") && !str_eq(proto->mount_options[i], "nosuid"))
            return err_set(err, ERR_INVALID,
                           "%s.mount_options[%zu] '%s': only noexec, nodev, nosuid", what, i,
                           proto->mount_options[i]);
    return 0;
}

static int mount_source(const Runtime__V1__Mount *proto, const char *what, struct mount_spec *mount,
                        struct err *err)
{
    if (!proto->image) {
        if (*proto->image_sub_path)
            return err_set(err, ERR_INVALID, "%s.image_sub_path: without an image", what);
        return spec_path(proto->host_path, "host_path", &mount->host_path, err) < 0
                   ? err_wrap(err, "%s", what)
                   : 0;
    }
    if (*proto->host_path)
        return err_set(err, ERR_INVALID, "%s: both host_path and image", what);
    if (!*proto->image->image)
        return err_set(err, ERR_INVALID, "%s.image.image: missing", what);
    if (spec_text(proto->image->image, SPEC_TEXT_MAX_BYTES, "image.image", &mount->image, err) <
            0 ||
        spec_path_relative(proto->image_sub_path, "image_sub_path", &mount->image_sub_path, err) <
            0)
        return err_wrap(err, "%s", what);
    return 0;
}

static int one_mount(const Runtime__V1__Mount *proto, const char *what, struct mount_spec *mount,
                     struct err *err)
{
    mount->readonly = proto->readonly;
    mount->recursive_readonly = proto->recursive_read_only;
    mount->selinux_relabel = proto->selinux_relabel;
    mount->propagation = (enum mount_propagation)proto->propagation;
    if (spec_target(proto->container_path, "container_path", &mount->container_path, err) < 0 ||
        spec_idmaps(proto->n_uidmappings, proto->uidmappings, "uidMappings", &mount->uids,
                    &mount->n_uids, err) < 0 ||
        spec_idmaps(proto->n_gidmappings, proto->gidmappings, "gidMappings", &mount->gids,
                    &mount->n_gids, err) < 0 ||
        spec_strv(proto->n_mount_options, proto->mount_options, 8, 16, false, "mount_options",
                  &mount->options, err) < 0)
        return err_wrap(err, "%s", what);
    if (mount->recursive_readonly && (!mount->readonly || mount->propagation != MOUNT_PRIVATE))
        return err_set(err, ERR_INVALID,
                       "%s.recursive_read_only: needs readonly and PROPAGATION_PRIVATE", what);
    if (mount_options(proto, what, err) < 0)
        return -1;
    return mount_source(proto, what, mount, err);
}

static int mounts(size_t n, Runtime__V1__Mount **protos, struct container_spec *spec,
                  struct err *err)
{
    char what[64];

    if (spec_count(n, SPEC_MOUNTS_MAX, "config.mounts", err) < 0)
        return -1;
    spec->mounts = n ? xcalloc(n, sizeof *spec->mounts) : NULL;
    spec->n_mounts = n;
    for (size_t i = 0; i < n; i++) {
        struct mount_spec *mount = &spec->mounts[i];
        mount->container_path = xstrdup("");
        mount->host_path = xstrdup("");
        mount->image = xstrdup("");
        mount->image_sub_path = xstrdup("");
    }
    for (size_t i = 0; i < n; i++) {
        (void)snprintf(what, sizeof what, "config.mounts[%zu]", i);
        if (one_mount(protos[i], what, &spec->mounts[i], err) < 0)
            return -1;
    }
    return 0;
}

static int devices(size_t n, Runtime__V1__Device **protos, struct container_spec *spec,
                   struct err *err)
{
    if (spec_count(n, SPEC_DEVICES_MAX, "config.devices", err) < 0)
        return -1;
    spec->devices = n ? xcalloc(n, sizeof *spec->devices) : NULL;
    spec->n_devices = n;
    for (size_t i = 0; i < n; i++) {
        spec->devices[i].container_path = xstrdup("");
        spec->devices[i].host_path = xstrdup("");
        spec->devices[i].permissions = xstrdup("");
    }
    for (size_t i = 0; i < n; i++) {
        struct device_spec *device = &spec->devices[i];
        const char *permissions = protos[i]->permissions;
        if (strlen(permissions) > 3 || permissions[strspn(permissions, "rwm")])
            return err_set(err, ERR_INVALID,
                           "config.devices[%zu].permissions '%s': only r, w and m", i, permissions);
        if (spec_path(protos[i]->host_path, "host_path", &device->host_path, err) < 0 ||
            spec_path(protos[i]->container_path, "container_path", &device->container_path, err) <
                0)
            return err_wrap(err, "config.devices[%zu]", i);
        spec_set(&device->permissions, permissions);
    }
    return 0;
}

static int cdi_devices(size_t n, Runtime__V1__CDIDevice **protos, struct container_spec *spec,
                       struct err *err)
{
    if (spec_count(n, SPEC_DEVICES_MAX, "config.CDI_devices", err) < 0)
        return -1;
    for (size_t i = 0; i < n; i++) {
        const char *name = protos[i]->name, *slash = strchr(name, '/'), *equals = strchr(name, '=');
        if (!slash || !equals || slash == name || equals < slash + 2 || !equals[1] ||
            strlen(name) > SPEC_NAME_MAX_BYTES || strpbrk(name, " \t\r\n"))
            return err_set(err, ERR_INVALID,
                           "config.CDI_devices[%zu] '%s': not like vendor.com/class=name", i, name);
        strv_push(&spec->cdi_devices, name);
    }
    return 0;
}

static int capabilities(const Runtime__V1__Capability *proto, struct container_spec *spec,
                        struct err *err)
{
#define WHAT "config.linux.security_context.capabilities."
    if (!proto)
        return 0;
    if (spec_strv(proto->n_add_capabilities, proto->add_capabilities, SPEC_CAPS_MAX, 64, false,
                  WHAT "add_capabilities", &spec->add_caps, err) < 0 ||
        spec_strv(proto->n_drop_capabilities, proto->drop_capabilities, SPEC_CAPS_MAX, 64, false,
                  WHAT "drop_capabilities", &spec->drop_caps, err) < 0)
        return -1;
    return spec_strv(proto->n_add_ambient_capabilities, proto->add_ambient_capabilities,
                     SPEC_CAPS_MAX, 64, false, WHAT "add_ambient_capabilities", &spec->ambient_caps,
                     err);
#undef WHAT
}

static int masks(size_t n, char **paths, const char *what, char ***dst, struct err *err)
{
    for (size_t i = 0; i < n; i++)
        if (paths[i][0] != '/')
            return err_set(err, ERR_INVALID, "%s[%zu] '%s': not an absolute path", what, i,
                           paths[i]);
    return spec_strv(n, paths, SPEC_MASKED_MAX, SPEC_PATH_MAX_BYTES, false, what, dst, err);
}

static int identity(const Runtime__V1__LinuxContainerSecurityContext *proto,
                    struct container_spec *spec, struct err *err)
{
#define WHAT "config.linux.security_context."
    const char *user = proto->run_as_username;

    if (strpbrk(user, ":\n") || (*user && (*user == '/' || *user == ' ')))
        return err_set(err, ERR_INVALID, WHAT "run_as_username '%s': not a user's name", user);
    if (spec_id(proto->run_as_user, WHAT "run_as_user", &spec->run_as_user, err) < 0 ||
        spec_id(proto->run_as_group, WHAT "run_as_group", &spec->run_as_group, err) < 0 ||
        spec_text(user, SPEC_NAME_MAX_BYTES, WHAT "run_as_username", &spec->run_as_username, err) <
            0 ||
        spec_groups(proto->n_supplemental_groups, proto->supplemental_groups,
                    WHAT "supplemental_groups", &spec->supplemental_groups,
                    &spec->n_supplemental_groups, err) < 0)
        return -1;
    if (spec->run_as_group.set && !spec->run_as_user.set && !*user)
        return err_set(err, ERR_INVALID,
                       WHAT "run_as_group: without run_as_user or run_as_username");
    spec->supplemental_groups_policy = (int)proto->supplemental_groups_policy;
    return 0;
}

static int linux_context(const Runtime__V1__LinuxContainerSecurityContext *proto,
                         struct container_spec *spec, struct err *err)
{
    if (!proto)
        return 0;
    spec->privileged = proto->privileged;
    spec->readonly_rootfs = proto->readonly_rootfs;
    spec->no_new_privs = proto->no_new_privs;
    if (identity(proto, spec, err) < 0 || capabilities(proto->capabilities, spec, err) < 0 ||
        spec_namespaces(proto->namespace_options, false, WHAT "namespace_options", &spec->ns, err) <
            0 ||
        spec_selinux(proto->selinux_options, WHAT "selinux_options", &spec->selinux, err) < 0 ||
        masks(proto->n_masked_paths, proto->masked_paths, WHAT "masked_paths", &spec->masked_paths,
              err) < 0 ||
        masks(proto->n_readonly_paths, proto->readonly_paths, WHAT "readonly_paths",
              &spec->readonly_paths, err) < 0 ||
        spec_profile(proto->seccomp, proto->seccomp_profile_path, WHAT "seccomp", &spec->seccomp,
                     err) < 0)
        return -1;
    return spec_profile(proto->apparmor, proto->apparmor_profile, WHAT "apparmor", &spec->apparmor,
                        err);
#undef WHAT
}

static int working_dir(const char *dir, struct container_spec *spec, struct err *err)
{
    if (!*dir)
        return 0;
    if (str_eq(dir, "/proc") || str_has_prefix(dir, "/proc/"))
        return err_set(err, ERR_INVALID, "config.working_dir '%s': below /proc", dir);
    return spec_path(dir, "config.working_dir", &spec->working_dir, err);
}

static int process(const Runtime__V1__ContainerConfig *proto, struct container_spec *spec,
                   struct err *err)
{
    spec->stdin_open = proto->stdin;
    spec->stdin_once = proto->stdin_once;
    spec->tty = proto->tty;
    spec->stop_signal = (int)proto->stop_signal;
    if ((proto->n_command && argv_from_proto(proto->n_command, proto->command, "config.command",
                                             &spec->command, err) < 0) ||
        spec_strv(proto->n_args, proto->args, SPEC_ARGS_MAX, SPEC_ARGS_MAX_BYTES, true,
                  "config.args", &spec->args, err) < 0 ||
        working_dir(proto->working_dir, spec, err) < 0)
        return -1;
    return envs(proto->n_envs, proto->envs, spec, err);
}

static int container_config(const Runtime__V1__ContainerConfig *proto, struct container_spec *spec,
                            struct err *err)
{
    if (!proto->metadata)
        return err_set(err, ERR_INVALID, "config.metadata: missing");
    if (!proto->image || !*proto->image->image)
        return err_set(err, ERR_INVALID, "config.image.image: missing");
    spec->attempt = proto->metadata->attempt;
    if (spec_name(proto->metadata->name, "config.metadata.name", &spec->name, err) < 0 ||
        spec_text(proto->image->image, SPEC_TEXT_MAX_BYTES, "config.image.image", &spec->image,
                  err) < 0 ||
        spec_text(proto->image->user_specified_image, SPEC_TEXT_MAX_BYTES,
                  "config.image.user_specified_image", &spec->user_specified_image, err) < 0 ||
        process(proto, spec, err) < 0 || mounts(proto->n_mounts, proto->mounts, spec, err) < 0 ||
        devices(proto->n_devices, proto->devices, spec, err) < 0 ||
        cdi_devices(proto->n_cdi_devices, proto->cdi_devices, spec, err) < 0 ||
        spec_map(proto->n_labels, MAP(proto->labels), "config.labels", &spec->labels, err) < 0 ||
        spec_map(proto->n_annotations, MAP(proto->annotations), "config.annotations",
                 &spec->annotations, err) < 0 ||
        spec_path_relative(proto->log_path, "config.log_path", &spec->log_path, err) < 0)
        return -1;
    if (!proto->linux)
        return 0;
    if (spec_resources(proto->linux->resources, "config.linux.resources", &spec->resources, err) <
        0)
        return -1;
    return linux_context(proto->linux->security_context, spec, err);
}

struct container_spec *container_spec_from_proto(const Runtime__V1__CreateContainerRequest *request,
                                                 struct err *err)
{
    CLEANUP(container_spec_free_cleanup) struct container_spec *spec = container_spec_new();

    if (id_from_proto(request->pod_sandbox_id, "pod_sandbox_id", err) < 0)
        return NULL;
    spec_set(&spec->pod_id, request->pod_sandbox_id);
    if (!request->config) {
        (void)err_set(err, ERR_INVALID, "config: missing");
        return NULL;
    }
    if (container_config(request->config, spec, err) < 0)
        return NULL;
    return TAKE_PTR(spec);
}
