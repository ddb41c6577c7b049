/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jail - how a VMM is shut in, in numbers: its own uid, limits of its cgroup, rlimits. The monitor
 * carries it out (sandbox/monitor/jail.c: empty root, namespaces, no capabilities, no_new_privs,
 * seccomp; none of that is optional; Landlock and a user namespace where the host has them).
 */
#include "vmm/private.h"

#define PIDS_MAX                                                                                   \
    4 /* the VMM and, for the time of exec, nothing else; a few to spare for threads of libraries  \
       */
#define NOFILE_MAX 64

void jail_fill(const struct vmm_handler *handler, const struct vmm_spec *spec, uint32_t uid,
               struct vmm_plan *plan)
{
    const struct vmm_config *config = handler->vmm->config;
    struct vmm_jail *jail = &plan->jail;

    jail->uid = jail->gid = uid;
    jail->memory_max =
        plan->guest_memory + (plan->overhead ? plan->overhead : config->memory_overhead);
    if (jail->pids_max == 0)
        jail->pids_max = PIDS_MAX;
    if (jail->nofile == 0)
        jail->nofile = NOFILE_MAX;
    jail->new_pid_ns = true;
    /* In a user namespace of its own it sees all files as nobody's, and would tell its guest so. */
    jail->new_user_ns = spec->n_shares == 0 || plan->helper;
    jail_ioctls(handler->driver->ioctls, jail);
    if (!plan->helper)
        return;
    jail->memory_max += plan->helper->overhead;
    jail->pids_max += plan->helper->jail.pids_max;
    plan->helper->jail.uid = plan->helper->jail.gid = uid;
    plan->helper->jail.new_pid_ns = true;
}

void vmm_jail_uids(const struct vmm *vmm, uint32_t *ret_first, uint32_t *ret_count)
{
    *ret_first = (uint32_t)vmm->config->uid_first;
    *ret_count = (uint32_t)vmm->config->uid_count;
}
