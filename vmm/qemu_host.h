/* SPDX-License-Identifier: Apache-2.0 */
/*
 * qemu_host - what the driver qemu needs of the node: a QEMU that is new enough, the directories of
 * its firmware and modules, its libraries, and which machine and accelerator it is to be.
 */
#ifndef UNICRI_VMM_QEMU_HOST_H
#define UNICRI_VMM_QEMU_HOST_H

#include "vmm/vmm.h"

#define QEMU_PROGRAM "qemu-system-x86_64"

/** qemu_host_unavailable() - vmm_driver.unavailable. */
char *qemu_host_unavailable(const struct vmm_config *config);

struct qemu_choice {
    bool kvm, microvm;
};
/** qemu_host_choose() - what the handler asks for (either may be NULL), else the configuration,
 * else what the host can. Errors: INVALID; UNSUPPORTED for a KVM that is not usable. */
int qemu_host_choose(const struct vmm_config *config, const char *machine, const char *accel,
                     struct qemu_choice *ret, struct err *err) MUST_CHECK;

/** qemu_host_put() - the program, all it opens by itself before the guest runs, and the options
 * that tell it where. Errors: those of host_ask() and host_put(); UNAVAILABLE. */
int qemu_host_put(const struct vmm_config *config, struct vmm_plan *plan,
                  struct err *err) MUST_CHECK;

#endif
