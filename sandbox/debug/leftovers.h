/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leftovers - what a debugger has changed in the code of an spt guest, written down before it is
 * done, in a file of the container that the debugger has mapped: SIGKILL loses nothing of it. Who
 * comes next - the daemon when its child has ended, a daemon that has been started again, another
 * debugger - takes the int3s out. Until then a guest that meets one waits (vmm/tender/trap.h).
 *
 * The file is a debugger's, who reads hostile data: everything in it is checked, and the worst that
 * it can do is to change its own guest's memory.
 */
#ifndef UNICRI_SANDBOX_DEBUG_LEFTOVERS_H
#define UNICRI_SANDBOX_DEBUG_LEFTOVERS_H

#include <stdbool.h>
#include <stdint.h>

#define LEFTOVERS_MAX 64

struct leftover {
    uint64_t addr;
    uint8_t was;
    uint8_t there; /* else this place is free */
    uint8_t pad[6];
};
struct leftovers {
    uint64_t word; /* of the tender, which is not zero while something is there; 0: it has none */
    struct leftover v[LEFTOVERS_MAX];
};

/** leftovers_any() - is something there? */
bool leftovers_any(const struct leftovers *l);
/** leftovers_note() - before an int3 is put to `addr`, or after it has been taken out. Returns:
 * false when there is no place. */
bool leftovers_note(struct leftovers *l, uint64_t addr, uint8_t was, bool there);
/** leftovers_arm() - tell the tender. `mem` is /proc/PID/mem of it. Returns: false if that failed.
 */
bool leftovers_arm(const struct leftovers *l, int mem, bool on);
/** leftovers_undo() - all of them. `memory`: the size of the guest's. Places where no int3 is any
 * more are left alone. Returns: false when something could not be written; it stays noted. */
bool leftovers_undo(struct leftovers *l, int mem, uint64_t memory);

#endif
