/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spec - the schemas of pod_spec and container_spec, and the facade's functions over them (see
 * codec.h). A member that is missing from a schema is lost over a restart: test_spec.c fills every
 * one and compares.
 */
#include "sandbox/spec.h"

#include <string.h>

#include "sandbox/resources.h"

static const struct field id_map_fields[] = {
    FIELD(UINT32, id_map, host_id),
    FIELD(UINT32, id_map, container_id),
    FIELD(UINT32, id_map, length),
};
static const struct schema id_map_schema = SCHEMA(id_map, id_map_fields);

static const struct field ns_fields[] = {
    FIELD(INT, ns_options, network),
    FIELD(INT, ns_options, pid),
    FIELD(INT, ns_options, ipc),
    FIELD(STRING, ns_options, target_id),
    FIELD(BOOL, ns_options, userns),
    FIELD_N(ARRAY, ns_options, uids, &id_map_schema),
    FIELD_N(ARRAY, ns_options, gids, &id_map_schema),
};
static const struct schema ns_schema = SCHEMA(ns_options, ns_fields);

static const struct field profile_fields[] = {
    FIELD(BOOL, security_profile, set),
    FIELD(INT, security_profile, type),
    FIELD(STRING, security_profile, localhost_ref),
};
static const struct schema profile_schema = SCHEMA(security_profile, profile_fields);

static const struct field selinux_fields[] = {
    FIELD(STRING, selinux_option, user),
    FIELD(STRING, selinux_option, role),
    FIELD(STRING, selinux_option, type),
    FIELD(STRING, selinux_option, level),
};
static const struct schema selinux_schema = SCHEMA(selinux_option, selinux_fields);

static const struct field optional_int_fields[] = {
    FIELD(BOOL, optional_int, set),
    FIELD(INT64, optional_int, value),
};
static const struct schema optional_int_schema = SCHEMA(optional_int, optional_int_fields);

static const struct field port_fields[] = {
    FIELD(INT, port_mapping, protocol),
    FIELD(INT, port_mapping, container_port),
    FIELD(INT, port_mapping, host_port),
    FIELD(STRING, port_mapping, host_ip),
};
static const struct schema port_schema = SCHEMA(port_mapping, port_fields);

static const struct field pod_fields[] = {
    FIELD(STRING, pod_spec, name),
    FIELD(STRING, pod_spec, uid),
    FIELD(STRING, pod_spec, namespace_),
    FIELD(UINT32, pod_spec, attempt),
    FIELD(STRING, pod_spec, handler),
    FIELD(STRING, pod_spec, hostname),
    FIELD(STRING, pod_spec, log_directory),
    FIELD(STRV, pod_spec, dns_servers),
    FIELD(STRV, pod_spec, dns_searches),
    FIELD(STRV, pod_spec, dns_options),
    FIELD(BOOL, pod_spec, has_dns),
    FIELD_N(ARRAY, pod_spec, ports, &port_schema),
    FIELD(KVS, pod_spec, labels),
    FIELD(KVS, pod_spec, annotations),
    FIELD(STRING, pod_spec, cgroup_parent),
    FIELD(KVS, pod_spec, sysctls),
    FIELD_SUB(pod_spec, ns, ns_schema),
    FIELD(BOOL, pod_spec, privileged),
    FIELD_SUB(pod_spec, run_as_user, optional_int_schema),
    FIELD_SUB(pod_spec, run_as_group, optional_int_schema),
    FIELD_N(INT64S, pod_spec, supplemental_groups, NULL),
    FIELD_SUB(pod_spec, selinux, selinux_schema),
    FIELD_SUB(pod_spec, seccomp, profile_schema),
    FIELD_SUB(pod_spec, apparmor, profile_schema),
    FIELD_SUB(pod_spec, overhead, resources_schema),
    FIELD_SUB(pod_spec, resources, resources_schema),
};
static const struct schema pod_schema = SCHEMA(pod_spec, pod_fields);

static const struct field mount_fields[] = {
    FIELD(STRING, mount_spec, container_path),
    FIELD(STRING, mount_spec, host_path),
    FIELD(BOOL, mount_spec, readonly),
    FIELD(BOOL, mount_spec, recursive_readonly),
    FIELD(BOOL, mount_spec, selinux_relabel),
    FIELD(INT, mount_spec, propagation),
    FIELD_N(ARRAY, mount_spec, uids, &id_map_schema),
    FIELD_N(ARRAY, mount_spec, gids, &id_map_schema),
    FIELD(STRING, mount_spec, image),
    FIELD(STRING, mount_spec, image_sub_path),
    FIELD(STRV, mount_spec, options),
};
static const struct schema mount_schema = SCHEMA(mount_spec, mount_fields);

static const struct field env_fields[] = {
    FIELD(STRING, env_var, key),
    FIELD(BYTES, env_var, value),
};
static const struct schema env_schema = SCHEMA(env_var, env_fields);

static const struct field device_fields[] = {
    FIELD(STRING, device_spec, container_path),
    FIELD(STRING, device_spec, host_path),
    FIELD(STRING, device_spec, permissions),
};
static const struct schema device_schema = SCHEMA(device_spec, device_fields);

static const struct field container_fields[] = {
    FIELD(STRING, container_spec, pod_id),
    FIELD(STRING, container_spec, name),
    FIELD(UINT32, container_spec, attempt),
    FIELD(STRING, container_spec, image),
    FIELD(STRING, container_spec, user_specified_image),
    FIELD(STRV, container_spec, command),
    FIELD(STRV, container_spec, args),
    FIELD(STRING, container_spec, working_dir),
    FIELD_N(ARRAY, container_spec, envs, &env_schema),
    FIELD_N(ARRAY, container_spec, mounts, &mount_schema),
    FIELD_N(ARRAY, container_spec, devices, &device_schema),
    FIELD(STRV, container_spec, cdi_devices),
    FIELD(KVS, container_spec, labels),
    FIELD(KVS, container_spec, annotations),
    FIELD(STRING, container_spec, log_path),
    FIELD(BOOL, container_spec, stdin_open),
    FIELD(BOOL, container_spec, stdin_once),
    FIELD(BOOL, container_spec, tty),
    FIELD(INT, container_spec, stop_signal),
    FIELD_SUB(container_spec, resources, resources_schema),
    FIELD_SUB(container_spec, ns, ns_schema),
    FIELD(BOOL, container_spec, privileged),
    FIELD(BOOL, container_spec, readonly_rootfs),
    FIELD(BOOL, container_spec, no_new_privs),
    FIELD(STRV, container_spec, add_caps),
    FIELD(STRV, container_spec, drop_caps),
    FIELD(STRV, container_spec, ambient_caps),
    FIELD_SUB(container_spec, run_as_user, optional_int_schema),
    FIELD_SUB(container_spec, run_as_group, optional_int_schema),
    FIELD(STRING, container_spec, run_as_username),
    FIELD_N(INT64S, container_spec, supplemental_groups, NULL),
    FIELD(INT, container_spec, supplemental_groups_policy),
    FIELD(STRV, container_spec, masked_paths),
    FIELD(STRV, container_spec, readonly_paths),
    FIELD_SUB(container_spec, selinux, selinux_schema),
    FIELD_SUB(container_spec, seccomp, profile_schema),
    FIELD_SUB(container_spec, apparmor, profile_schema),
};
static const struct schema container_schema = SCHEMA(container_spec, container_fields);

static void *spec_new(const struct schema *schema)
{
    void *spec = xcalloc(1, schema->size);

    codec_init(schema, spec);
    return spec;
}

static void spec_free(const struct schema *schema, void *spec)
{
    if (spec)
        codec_done(schema, spec);
    free(spec);
}

static char *spec_write(const struct schema *schema, const void *spec)
{
    autojson *json = codec_write(schema, spec);

    return json_text(json);
}

static void *spec_parse(const struct schema *schema, const char *text, struct err *err)
{
    autojson *json = json_parse(text, strlen(text), CODEC_TEXT_MAX_BYTES, "spec", err);

    if (!json) {
        if (err && err->code == ERR_INVALID)
            err->code = ERR_CORRUPT;
        return NULL;
    }

    void *spec = spec_new(schema);

    if (codec_parse(schema, spec, json, err) < 0) {
        if (err && err->code == ERR_INVALID)
            err->code = ERR_CORRUPT;
        (void)err_wrap(err, "spec");
        spec_free(schema, spec);
        return NULL;
    }
    return spec;
}

struct pod_spec *pod_spec_new(void)
{
    return spec_new(&pod_schema);
}

bool id_maps_equal(const struct id_map *a, size_t n_a, const struct id_map *b, size_t n_b)
{
    for (size_t i = 0; n_a == n_b && i < n_a; i++)
        if (a[i].host_id != b[i].host_id || a[i].container_id != b[i].container_id ||
            a[i].length != b[i].length)
            return false;
    return n_a == n_b;
}

void pod_spec_free(struct pod_spec *spec)
{
    spec_free(&pod_schema, spec);
}

char *pod_spec_write(const struct pod_spec *spec)
{
    return spec_write(&pod_schema, spec);
}

struct pod_spec *pod_spec_parse(const char *json, struct err *err)
{
    return spec_parse(&pod_schema, json, err);
}

struct container_spec *container_spec_new(void)
{
    return spec_new(&container_schema);
}

void container_spec_free(struct container_spec *spec)
{
    spec_free(&container_schema, spec);
}

char *container_spec_write(const struct container_spec *spec)
{
    return spec_write(&container_schema, spec);
}

struct container_spec *container_spec_parse(const char *json, struct err *err)
{
    return spec_parse(&container_schema, json, err);
}
