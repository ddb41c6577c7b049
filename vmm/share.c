/* SPDX-License-Identifier: Apache-2.0 */
/*
 * share - directories of the node in a jail: for a VMM that serves them by itself (9p), and for the
 * server of a virtiofs share (virtiofsd.c). A jail holds nothing else that a guest could reach by
 * them.
 */
#include <string.h>

#include "base/strbuf.h"
#include "vmm/private.h"

#define TAG_MAX   31
#define TAG_CHARS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"

bool share_tag_ok(const char *tag)
{
    return *tag && strlen(tag) <= TAG_MAX && strspn(tag, TAG_CHARS) == strlen(tag);
}

int share_put(struct vmm_plan *plan, const struct vmm_share *share, const char *path, bool *writes,
              struct err *err)
{
    *writes = *writes || !share->readonly;
    if (plan_entry(plan, share->readonly ? VMM_BIND_RO : VMM_BIND_RW, path, share->fd, false, NULL,
                   err) < 0)
        return -1;
    for (size_t i = 0; i < share->n_mounts; i++) {
        const struct vmm_mount *m = &share->mounts[i];

        *writes = *writes || !m->readonly;
        if (plan_entry_in(plan, m->readonly ? VMM_BIND_RO : VMM_BIND_RW, path, m->path, m->fd,
                          err) < 0)
            return err_wrap(err, "volume '%s'", m->path);
    }
    return 0;
}

int share_groups(struct vmm_plan *plan, const struct vmm_spec *spec, struct err *err)
{
    for (size_t i = 0; i < spec->n_groups; i++) {
        if (plan->jail.n_groups == ARRAY_SIZE(plan->jail.groups))
            return err_set(err, ERR_UNSUPPORTED,
                           "group %u: more groups than a VMM that has shares can be in",
                           spec->groups[i]);
        plan->jail.groups[plan->jail.n_groups++] = spec->groups[i];
    }
    return 0;
}
