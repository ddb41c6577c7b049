/* SPDX-License-Identifier: Apache-2.0 */
/*
 * family_end - what it means that a guest has ended its machine: by what it wrote to its debug port
 * and by how the machine stopped. A machine has no exit status; most guests have one and few tell
 * it.
 */
#include <string.h>

#include "vmm/private.h"

#define DEBUG_PORT  0x501 /* where Solo5, Unikraft, Nanos and Mewz expect it */
#define DEBUG_BYTES 2

struct family_port family_debug_port(const char *name)
{
    const struct family *family = family_row(name);

    return family && family->debug_port.base ? family->debug_port
                                             : (struct family_port){DEBUG_PORT, DEBUG_BYTES};
}

bool vmm_family_is_deaf(const char *name)
{
    const struct family *family = family_row(name);

    return family && family->deaf;
}

static void verdict(struct vmm_verdict *ret, int exit_code, const char *reason, const char *message)
{
    *ret = (struct vmm_verdict){exit_code, reason, message};
}

static void told(const struct family *family, int value, struct vmm_verdict *ret)
{
    for (const struct family_told *t = family ? family->told : NULL; t && t->reason; t++) {
        if (t->value == value) {
            verdict(ret, t->exit_code, t->reason, t->message);
            return;
        }
    }
    verdict(ret, value, value == 0 ? "Completed" : "Error",
            family && family->told ? "the guest wrote a value without a meaning to its debug port"
                                   : "");
}

void family_end(const char *name, enum vmm_end end, int value, struct vmm_verdict *ret)
{
    const struct family *family = family_row(name);

    if (end == VMM_END_PANIC)
        verdict(ret, 1, "GuestPanicked", "the guest's kernel panicked");
    else if (value >= 0)
        told(family, value, ret);
    else if (end == VMM_END_RESET && !(family && family->ends_by_reset))
        verdict(ret, 1, "GuestReset",
                "the guest reset its machine: a triple fault, a panic or a reboot");
    else
        verdict(ret, 0, "Completed", family && family->silent ? family->silent : "");
}
