/* SPDX-License-Identifier: Apache-2.0 */
/* backtrace - see backtrace.h. x86_64's frames: the caller's frame pointer, then the return
 * address; frames lie one above the other. */
#include "sandbox/debug/backtrace.h"

#include <string.h>

#define CALL_LONGEST 7 /* bytes of the longest call instruction that is looked for */

static void push(struct backtrace *b, uint64_t addr)
{
    if (b->n < BACKTRACE_FRAMES_MAX)
        b->addr[b->n++] = addr;
}

static void by_frames(const struct backtrace_source *s, uint64_t sp, uint64_t fp,
                      struct backtrace *b)
{
    uint64_t below = sp;

    while (b->n < BACKTRACE_FRAMES_MAX && fp >= below && fp % 8 == 0) {
        uint64_t frame[2];

        if (s->read(s->arg, fp, frame, sizeof(frame)) < 0 || !code_has(s->code, frame[1]))
            return;
        push(b, frame[1]);
        below = fp + sizeof(frame); /* upwards only: it ends */
        fp = frame[0];
    }
}

/* Does a call instruction end at `addr`: e8 rel32, or ff /2 with any operand? */
static bool behind_call(const struct backtrace_source *s, uint64_t addr)
{
    static const unsigned char lengths[] = {2, 3, 4, 6, 7};
    unsigned char code[CALL_LONGEST];

    if (addr < CALL_LONGEST || s->read(s->arg, addr - CALL_LONGEST, code, CALL_LONGEST) < 0)
        return false;
    if (code[CALL_LONGEST - 5] == 0xe8)
        return true;
    for (size_t i = 0; i < sizeof(lengths); i++) {
        const unsigned char *p = code + CALL_LONGEST - lengths[i];

        if (p[0] == 0xff && (p[1] >> 3 & 7) == 2)
            return true;
    }
    return false;
}

static void by_guessing(const struct backtrace_source *s, uint64_t sp, struct backtrace *b)
{
    uint64_t words[64];

    sp &= ~UINT64_C(7);
    for (uint64_t done = 0; done < BACKTRACE_SCAN_BYTES; done += sizeof(words)) {
        size_t len = sizeof(words);

        /* Near the stack's end: what is left of it. */
        while (len > 0 && (sp > UINT64_MAX - done || s->read(s->arg, sp + done, words, len) < 0))
            len -= sizeof(words[0]);
        for (size_t i = 0; i < len / sizeof(words[0]); i++)
            if (code_has(s->code, words[i]) && behind_call(s, words[i]))
                push(b, words[i]);
        if (len < sizeof(words))
            return;
    }
}

void backtrace_make(const struct backtrace_source *source, uint64_t pc, uint64_t sp, uint64_t fp,
                    struct backtrace *ret)
{
    *ret = (struct backtrace){.n = 0};
    push(ret, pc);
    by_frames(source, sp, fp, ret);
    if (ret->n == 1) {
        ret->guessed = true;
        by_guessing(source, sp, ret);
    }
}
