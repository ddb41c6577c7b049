/* SPDX-License-Identifier: Apache-2.0 */
/*
 * backtrace - who called the function that a stopped guest is in. By frame pointers; where the
 * guest keeps none, by looking through the stack for addresses behind a call instruction: guesses,
 * and marked so. Bounded in frames, in stack and in steps; the stack is hostile.
 */
#ifndef UNICRI_SANDBOX_DEBUG_BACKTRACE_H
#define UNICRI_SANDBOX_DEBUG_BACKTRACE_H

#include "sandbox/debug/symbols.h"

#define BACKTRACE_FRAMES_MAX 64
#define BACKTRACE_SCAN_BYTES 16384

struct backtrace_source {
    /** Returns: 0, or -1 when it is not the guest's memory. */
    int (*read)(void *arg, uint64_t addr, void *buf, size_t len);
    void *arg;
    const struct code_ranges *code;
};
struct backtrace {
    size_t n;
    uint64_t
        addr[BACKTRACE_FRAMES_MAX]; /* the first is where it stands; others: return addresses */
    bool guessed;                   /* all but the first */
};
void backtrace_make(const struct backtrace_source *source, uint64_t pc, uint64_t sp, uint64_t fp,
                    struct backtrace *ret);

#endif
