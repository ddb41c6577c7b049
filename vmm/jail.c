/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jail - how a VMM is shut in, in numbers: its own uid, limits of its cgroup, rlimits. The monitor
 * carries it out (sandbox/monitor/jail.c: empty root, namespaces, no capabilities, no_new_privs,
 * seccomp; none of that is optional).
 */
#include "vmm/private.h"

#define PIDS_MAX                                                                                   \
    4 /* the VMM and, for the time of exec, nothing else; a few to spare for threads of libraries  \
       */
#define NOFILE_MAX 64

void jail_fill(const struct vmm_config *config, uint32_t uid, uint64_t guest_memory,
               uint64_t file_bytes, struct vmm_jail *ret)
{
    *ret = (struct vmm_jail){
        .uid = uid,
        .gid = uid,
        .memory_max = guest_memory + config->memory_overhead,
        .pids_max = PIDS_MAX,
        .nofile = NOFILE_MAX,
        .fsize = file_bytes,
        .new_pid_ns = true,
    };
}

void vmm_jail_uids(const struct vmm *vmm, uint32_t *ret_first, uint32_t *ret_count)
{
    *ret_first = (uint32_t)vmm->config->uid_first;
    *ret_count = (uint32_t)vmm->config->uid_count;
}
