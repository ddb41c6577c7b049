/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tender's own filter of system calls allows; see rules.c. jail.c installs it.
 */
#ifndef UNICRI_VMM_TENDER_RULES_H
#define UNICRI_VMM_TENDER_RULES_H

#include "vmm/tender/filter.h"
#include "vmm/tender/tender.h"

/**
 * rules_spt(), rules_hvt() - write the program up to its end, which is filter_finish()'s.
 * @t: devices, and spt's wait set or hvt's processor.
 * @gone: what is unmapped on the way into the guest.
 */
void rules_spt(const struct tender *t, const struct last_ranges *gone, struct filter *prog);
void rules_hvt(const struct tender *t, struct filter *prog);

#endif
