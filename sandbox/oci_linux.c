/* SPDX-License-Identifier: Apache-2.0 */
/* oci_linux - `linux` of config.json: namespaces, masked paths, seccomp; resources are in
 * oci_resources.c, devices in oci_devices.c. */
#include "base/fs.h"
#include "base/strbuf.h"
#include "sandbox/oci_spec.h"
#include "sandbox/runtime_scope.h"

static void add_ns(json_t *list, const char *type, const char *path)
{
    json_t *o = json_object();

    json_put_string(o, "type", type);
    json_put_string(o, "path", path);
    (void)json_array_append_new(list, o);
}

static json_t *namespaces(const struct oci_input *in)
{
    autofree char *ipc = path_join(in->pod_dir, "ipc"), *uts = path_join(in->pod_dir, "uts");
    json_t *list = json_array();

    add_ns(list, "mount", "");
    if (*in->userns)
        add_ns(list, "user", in->userns);
    if (*in->netns)
        add_ns(list, "network", in->netns);
    if (in->pod->ns.ipc == NS_POD)
        add_ns(list, "ipc", ipc);
    if (in->pod->ns.network != NS_NODE)
        add_ns(list, "uts", uts);
    if (*in->pidns)
        add_ns(list, "pid", in->pidns);
    else if (in->spec->ns.pid != NS_NODE &&
             !(in->spec->ns.pid == NS_POD && in->pod->ns.pid == NS_NODE))
        add_ns(list, "pid", "");
    if (in->cgroups->v2 && !in->spec->privileged)
        add_ns(list, "cgroup", "");
    return list;
}

int oci_linux(const struct oci_input *in, bool shared, bool slave, json_t **ret, struct err *err)
{
    autojson *o = json_object(), *devices = json_array(), *rules = json_array();
    autojson *limits = oci_resources(in->cgroups, &in->spec->resources);

    if (oci_devices(in, devices, rules, err) < 0)
        return -1;
    json_put(limits, "devices", json_incref(rules));
    json_put(o, "namespaces", namespaces(in));
    json_put(o, "devices", TAKE_PTR(devices));
    json_put(o, "resources", TAKE_PTR(limits));
    autofree char *scope = scope_is(in->cgroup) ? scope_oci_name(in->cgroup) : NULL;

    json_put_string(o, "cgroupsPath", scope ? scope : in->cgroup);
    json_put_string(o, "mountLabel", in->selinux_mount);
    if (shared || slave)
        json_put_string(o, "rootfsPropagation", shared ? "rshared" : "rslave");
    if (!in->spec->privileged) {
        json_put_strv(o, "maskedPaths", in->spec->masked_paths);
        json_put_strv(o, "readonlyPaths", in->spec->readonly_paths);
    }
    if (in->seccomp)
        json_put(o, "seccomp", json_incref(in->seccomp));
    *ret = TAKE_PTR(o);
    return 0;
}
