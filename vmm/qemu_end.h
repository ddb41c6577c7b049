/* SPDX-License-Identifier: Apache-2.0 */
/*
 * qemu_end - how a guest of QEMU ended: by QEMU's exit status, the guest's debug port, and two
 * trace events that QEMU writes to the record: that the guest runs or stands, and who asked for the
 * shutdown. A reset (triple fault, panic=-1) is an end with status 0 without a request.
 */
#ifndef UNICRI_VMM_QEMU_END_H
#define UNICRI_VMM_QEMU_END_H

#include "vmm/vmm.h"

/** qemu_stands() - vmm_driver.stands. */
bool qemu_stands(const char *record);
/** qemu_explain() - vmm_driver.explain. */
void qemu_explain(const struct vmm_ending *end, struct vmm_verdict *ret);

#endif
