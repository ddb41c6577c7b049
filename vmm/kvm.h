/* SPDX-License-Identifier: Apache-2.0 */
/* kvm - does this host's /dev/kvm run guests? One that is there may still be an emulation that
 * fails at the first SSE instruction. */
#ifndef UNICRI_VMM_KVM_H
#define UNICRI_VMM_KVM_H

/** kvm_unusable() - NULL, or why a general guest cannot run (static). Runs a guest of three
 * instructions the first time and remembers. Thread: any. */
const char *kvm_unusable(void);

#endif
