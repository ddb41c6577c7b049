/* SPDX-License-Identifier: Apache-2.0 */
/*
 * solo5_guest - what all drivers of Solo5 unikernels share, the built-in tender's and those of
 * Solo5's own: which guests they take, the devices of the manifest, the command line, and what an
 * end by a signal means.
 *
 * Every device that the guest's manifest declares must be attached, and nothing else may be: both
 * are checked here, so that the user reads a clear error before anything runs.
 */
#ifndef UNICRI_VMM_SOLO5_GUEST_H
#define UNICRI_VMM_SOLO5_GUEST_H

#include "vmm/vmm.h"

#define SOLO5_MEMORY_MIN (UINT64_C(2) << 20)

/** solo5_accepts() - guests built for `target` ("spt", "hvt"). Errors: INVALID, UNSUPPORTED. */
int solo5_accepts(const char *target, const struct guest *guest, struct err *err) MUST_CHECK;

/* Which devices of the manifest have been attached. */
struct solo5_attached {
    bool by_index[GUEST_DEVICES_MAX];
};
/** solo5_attach() - the manifest's device of that name (NULL: the only one of its type), from now
 * on attached. Returns: NULL on error: INVALID naming the device. */
const struct guest_device *solo5_attach(struct solo5_attached *attached, const struct guest *guest,
                                        enum guest_device_type type, const char *name,
                                        struct err *err);
/** solo5_attach_net() - the same for a network device; its MAC address is checked, too. */
const struct guest_device *solo5_attach_net(struct solo5_attached *attached,
                                            const struct guest *guest, const char *name,
                                            const char *mac, struct err *err);
/** solo5_check_attached() - whether all are. Errors: INVALID naming the device. */
int solo5_check_attached(const struct guest *guest, const struct solo5_attached *attached,
                         struct err *err) MUST_CHECK;
/** solo5_arguments() - append the guest's arguments to the plan's. Errors: INVALID. */
int solo5_arguments(const struct vmm_spec *spec, struct vmm_plan *plan, struct err *err) MUST_CHECK;

/* What an exit status or a signal says. */
struct solo5_meaning {
    int code;
    const char *reason, *message;
};
/** solo5_look_up() - false: not in the table, nothing changed. */
bool solo5_look_up(const struct solo5_meaning *table, size_t n, int code, const char **ret_reason,
                   const char **ret_message);
/** solo5_explain_signal() - what a fault of the guest comes as under spt. */
bool solo5_explain_signal(int signal, const char **ret_reason, const char **ret_message);

#endif
