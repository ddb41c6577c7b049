/* SPDX-License-Identifier: Apache-2.0 */
/* leftovers - see leftovers.h. Part of unicri-debug and of the daemon. */
#include "sandbox/debug/leftovers.h"

#include <sys/types.h>
#include <unistd.h>

#include "vmm/vmm.h"

#define INT3       0xcc
#define GUEST_LOW  UINT64_C(0x10000) /* guests own nothing below */
#define MAGIC_SIZE sizeof(uint64_t)  /* stands before the word */

bool leftovers_any(const struct leftovers *l)
{
    for (int i = 0; i < LEFTOVERS_MAX; i++)
        if (l->v[i].there)
            return true;
    return false;
}

bool leftovers_note(struct leftovers *l, uint64_t addr, uint8_t was, bool there)
{
    struct leftover *free_one = NULL;

    for (int i = 0; i < LEFTOVERS_MAX; i++) {
        struct leftover *v = &l->v[i];

        if (v->there && v->addr == addr) {
            v->was = was;
            v->there = there;
            return true;
        }
        if (!v->there)
            free_one = v;
    }
    if (!there)
        return true;
    if (!free_one)
        return false;
    free_one->addr = addr;
    free_one->was = was;
    __atomic_store_n(&free_one->there, 1, __ATOMIC_RELEASE); /* last */
    return true;
}

bool leftovers_arm(const struct leftovers *l, int mem, bool on)
{
    uint64_t magic, word = on;

    if (!l->word)
        return true;
    return l->word > MAGIC_SIZE &&
           pread(mem, &magic, sizeof(magic), (off_t)(l->word - MAGIC_SIZE)) ==
               (ssize_t)sizeof(magic) &&
           magic == TENDER_LAST_MAGIC &&
           pwrite(mem, &word, sizeof(word), (off_t)l->word) == (ssize_t)sizeof(word);
}

bool leftovers_undo(struct leftovers *l, int mem, uint64_t memory)
{
    bool all = true;

    for (int i = 0; i < LEFTOVERS_MAX; i++) {
        struct leftover *v = &l->v[i];
        uint8_t is = 0;

        if (!v->there)
            continue;
        if (v->addr >= GUEST_LOW && v->addr < memory) {
            if (pread(mem, &is, 1, (off_t)v->addr) != 1 ||
                (is == INT3 && pwrite(mem, &v->was, 1, (off_t)v->addr) != 1)) {
                all = false;
                continue;
            }
        }
        v->there = 0;
    }
    return leftovers_arm(l, mem, !all) && all;
}
