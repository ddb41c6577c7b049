/* SPDX-License-Identifier: Apache-2.0 */
/* cgroup_freeze - where all processes of a cgroup are made to stand still: the freezer hierarchy of
 * version 1, or a file of the unified one. unicri-freeze writes there. */
#include "base/fs.h"
#include "base/strbuf.h"
#include "sandbox/cgroup.h"

int cgroup_freezer(const struct cgroups *c, const char *path, struct cgroup_freezer *ret,
                   struct err *err)
{
    autofree char *dir = cgroup_dir(c, c->v2 ? "" : "freezer", path);

    if (!dir || access(dir, F_OK) < 0)
        return err_set(err, ERR_UNSUPPORTED, "cgroup '%s': this node has no freezer", path);
    *ret = (struct cgroup_freezer){
        .file = path_join(dir, c->v2 ? "cgroup.freeze" : "freezer.state"),
        .freeze = c->v2 ? "1" : "FROZEN",
        .thaw = c->v2 ? "0" : "THAWED",
        .state_file = path_join(dir, c->v2 ? "cgroup.events" : "freezer.state"),
        .frozen = c->v2 ? "frozen 1" : "FROZEN",
    };
    return 0;
}

void cgroup_freezer_done(struct cgroup_freezer *f)
{
    free(f->file);
    free(f->state_file);
}

void cgroup_thaw(const struct cgroups *c, const char *path)
{
    autofree char *dir = cgroup_dir(c, c->v2 ? "" : "freezer", path);

    if (dir) /* without the cgroup nothing is frozen */
        (void)(cgroup_put(dir, c->v2 ? "cgroup.freeze" : "freezer.state", c->v2 ? "0" : "THAWED",
                          NULL) < 0);
}
