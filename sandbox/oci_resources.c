/* SPDX-License-Identifier: Apache-2.0 */
/* oci_resources - `linux.resources` of config.json, at create and when an update changes it. */
#include <string.h>

#include "base/fs.h"
#include "base/strbuf.h"
#include "sandbox/oci_spec.h"
#include "sandbox/resources.h"

#define CONFIG_MAX_BYTES (64 * 1024 * 1024)

static json_t *memory(const struct cgroups *c, const struct linux_resources *r)
{
    autofree char *dir = cgroup_dir(c, "memory", "");
    autofree char *swap = dir ? path_join(dir, "memory.memsw.limit_in_bytes") : xstrdup("");
    json_t *o = json_object();

    json_put_int(o, "limit", r->memory_limit);
    /* A version 1 host without swap accounting has no such file: there the memory limit says it
     * all. */
    if (c->v2 || access(swap, F_OK) == 0)
        json_put_int(o, "swap", resources_swap(r));
    return o;
}

static json_t *cpu(const struct linux_resources *r)
{
    json_t *o = json_object();

    json_put_int(o, "shares", r->cpu_shares);
    json_put_int(o, "quota", r->cpu_quota);
    json_put_int(o, "period", r->cpu_period);
    json_put_string(o, "cpus", r->cpuset_cpus);
    json_put_string(o, "mems", r->cpuset_mems);
    return o;
}

/* Clients list every page size of the host; a host without the controller, or without that size,
 * has nothing to limit. */
static json_t *hugepages(const struct cgroups *c, const struct linux_resources *r)
{
    json_t *pages = json_array();
    bool have = r->n_hugepages && cgroups_have(c, "hugetlb");

    for (size_t i = 0; have && i < r->n_hugepages; i++) {
        json_t *p = json_object();

        if (!resources_page_size(r->hugepages[i].page_size)) {
            json_decref(p);
            continue;
        }
        json_put_string(p, "pageSize", r->hugepages[i].page_size);
        json_put(p, "limit", json_integer((json_int_t)r->hugepages[i].limit));
        (void)json_array_append_new(pages, p);
    }
    return pages;
}

json_t *oci_resources(const struct cgroups *c, const struct linux_resources *r)
{
    json_t *o = json_object();

    json_put(o, "memory", memory(c, r));
    json_put(o, "cpu", cpu(r));
    json_put(o, "hugepageLimits", hugepages(c, r));
    if (c->v2)
        json_put_kvs(o, "unified", &r->unified);
    return o;
}

int oci_resources_replace(const char *path, const struct cgroups *c,
                          const struct linux_resources *r, int64_t oom_score_adj, struct err *err)
{
    autofree char *text = NULL, *changed = NULL;
    size_t len = 0;

    if (fs_read_file(AT_FDCWD, path, CONFIG_MAX_BYTES, &text, &len, err) < 0)
        return -1;

    autojson *config = json_parse(text, len, CONFIG_MAX_BYTES, path, err);
    json_t *linux_part = json_object_get(config, "linux");
    json_t *old = json_object_get(linux_part, "resources");
    json_t *new = oci_resources(c, r);

    if (!config || !old) {
        json_decref(new);
        return config ? err_set(err, ERR_CORRUPT, "'%s': no resources in it", path) : -1;
    }
    json_put(new, "devices", json_incref(json_object_get(old, "devices")));
    json_put(linux_part, "resources", new);
    json_put(json_object_get(config, "process"), "oomScoreAdj", json_integer(oom_score_adj));
    changed = json_text(config);
    return fs_replace_file(AT_FDCWD, path, changed, strlen(changed), 0600, false, err);
}
