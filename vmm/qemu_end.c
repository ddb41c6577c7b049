/* SPDX-License-Identifier: Apache-2.0 */
/* qemu_end - see qemu_end.h. Nobody vouches for the record: it is searched, and never believed more
 * than an exit status. */
#include "vmm/qemu_end.h"

#include <signal.h>
#include <string.h>

#include "base/strbuf.h"
#include "vmm/private.h"

#define CHANGE "vm_state_notify running "
#define ASKED  "qemu_system_shutdown_request reason="

/* States in which QEMU waits for somebody; without anybody it would for ever. */
enum stand { RUNS, STANDS_SHUT_DOWN, STANDS_PANICKED, STANDS_BROKEN, STANDS_DISK, STANDS_WATCHDOG };

/* By the last change that the record tells of. A debugger stops and resumes it, too: that is none
 * of these. */
static enum stand stand_of(const char *record)
{
    static const struct {
        const char *name;
        enum stand stand;
    } names[] = {
        {"(shutdown)", STANDS_SHUT_DOWN},    {"(guest-panicked)", STANDS_PANICKED},
        {"(internal-error)", STANDS_BROKEN}, {"(io-error)", STANDS_DISK},
        {"(watchdog)", STANDS_WATCHDOG},
    };
    const char *last = NULL;
    size_t len;

    for (const char *p = record; (p = strstr(p, CHANGE)); p += strlen(CHANGE))
        last = p + strlen(CHANGE);
    if (!last || *last != '0')
        return RUNS;
    len = strcspn(last, "\n");
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (memmem(last, len, names[i].name, strlen(names[i].name)))
            return names[i].stand;
    return RUNS;
}

bool qemu_stands(const char *record)
{
    return stand_of(record) != RUNS;
}

/* It was killed where it stood. */
static void explain_stand(const struct vmm_ending *end, enum stand stand, struct vmm_verdict *ret)
{
    bool asked = strstr(end->record, ASKED) != NULL;

    switch (stand) {
    case STANDS_SHUT_DOWN:
        family_end(end->family, asked ? VMM_END_SHUTDOWN : VMM_END_RESET, -1, ret);
        return;
    case STANDS_PANICKED:
        family_end(end->family, VMM_END_PANIC, -1, ret);
        return;
    case STANDS_BROKEN:
        *ret = (struct vmm_verdict){1, "VmmFailed",
                                    "QEMU could not go on with the guest: an internal error of its "
                                    "accelerator"};
        return;
    case STANDS_DISK:
        *ret = (struct vmm_verdict){1, "DiskError",
                                    "QEMU stopped the guest: one of its disks failed, or the node "
                                    "had no room for what it wrote"};
        return;
    case STANDS_WATCHDOG:
        *ret = (struct vmm_verdict){1, "GuestHung", "the guest's watchdog stopped it"};
        return;
    case RUNS:
        return;
    }
}

static void explain_signal(const struct vmm_ending *end, struct vmm_verdict *ret)
{
    if (end->code == SIGKILL)
        explain_stand(end, stand_of(end->record), ret);
    else if (end->code != SIGTERM)
        *ret = (struct vmm_verdict){128 + end->code, "VmmCrashed", "QEMU itself crashed"};
}

/* isa-debug-exit ends QEMU with status 2 * value + 1; so 1 is a value of 0 only if nothing else was
 * an error: errors of QEMU itself come before the guest runs. */
void qemu_explain(const struct vmm_ending *end, struct vmm_verdict *ret)
{
    bool ran = strstr(end->record, CHANGE "1") != NULL;
    bool panic = strstr(end->record, ASKED "8") != NULL;
    bool asked = strstr(end->record, ASKED) != NULL;

    *ret = (struct vmm_verdict){
        .exit_code = end->exited ? end->code : 128 + end->code, .reason = "Error", .message = ""};
    if (!end->exited) {
        explain_signal(end, ret);
    } else if (!ran) {
        *ret = (struct vmm_verdict){end->code ? end->code : 1, "StartError",
                                    "QEMU could not set the guest up"};
    } else if (panic) {
        family_end(end->family, VMM_END_PANIC, -1, ret);
    } else if (end->code == 0) {
        family_end(end->family, asked ? VMM_END_SHUTDOWN : VMM_END_RESET, -1, ret);
    } else if (end->code % 2 == 1) {
        family_end(end->family, VMM_END_SHUTDOWN, end->code >> 1, ret);
    }
}
