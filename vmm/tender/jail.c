/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tender's own jail, from inside: what remains possible once the guest runs. The launcher has
 * already taken away paths, capabilities and other descriptors (vmm/jail); this is the second wall
 * and does not rely on it. rules.c says which system calls are left.
 */
#include "vmm/tender/tender.h"

#include <errno.h>
#include <linux/close_range.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vmm/tender/rules.h"

/* Close every descriptor between the ones that are used. */
static int close_others(const struct tender *t, const struct options *o, struct fault *f)
{
    unsigned next = STDERR_FILENO + 1;

    for (;;) {
        unsigned lowest = ~0u;
        unsigned const fixed[] = {(unsigned)o->kernel_fd, (unsigned)o->kvm_fd};
        for (unsigned i = 0; i < 2; i++)
            if (fixed[i] >= next && fixed[i] < lowest)
                lowest = fixed[i];
        for (unsigned i = 1; i < SOLO5_MFT_ENTRIES_MAX; i++)
            if (t->dev[i].type != 0 && (unsigned)t->dev[i].fd >= next &&
                (unsigned)t->dev[i].fd < lowest)
                lowest = (unsigned)t->dev[i].fd;
        if (lowest > next &&
            syscall(SYS_close_range, next, lowest == ~0u ? lowest : lowest - 1, 0) != 0 &&
            errno != ENOSYS)
            return fault_sys(f, "jail: close descriptors from %u", next);
        if (lowest == ~0u)
            return 0;
        next = lowest + 1;
    }
}

int jail_prepare(const struct tender *t, const struct options *o, struct fault *f)
{
    int persona = personality(0xffffffff);

    if (persona == -1 || (persona & READ_IMPLIES_EXEC))
        return fault_set(f, STATUS_SETUP, "jail: this personality makes all memory executable");
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
        return fault_sys(f, "jail: forbid core dumps");
    return close_others(t, o, f);
}

int jail_spt(const struct tender *t, const struct last_ranges *gone, struct fault *f)
{
    static struct filter prog; /* 32 KiB of zeroes that cost only the pages written */

    rules_spt(t, gone, &prog);
    return filter_finish(&prog, f) != 0 ? -1 : filter_install(&prog, f);
}

int jail_hvt(const struct tender *t, struct fault *f)
{
    static struct filter prog;

    rules_hvt(t, &prog);
    return filter_finish(&prog, f) != 0 ? -1 : filter_install(&prog, f);
}
