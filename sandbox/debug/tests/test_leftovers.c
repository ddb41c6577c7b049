/* SPDX-License-Identifier: Apache-2.0 */
/* What a debugger has left is taken out of this process' own memory; a file that lies does no harm.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/mem.h"
#include "sandbox/debug/leftovers.h"
#include "vmm/vmm.h"

#define INT3 0xcc
#define SIZE UINT64_C(8192)

/* Addresses of this process are a guest's, as under spt. */
struct lab {
    struct leftovers l;
    uint8_t *code; /* read-only, as a guest's */
    uint64_t at;
    uint64_t memory;
    int mem;
};

static int begin(void **state)
{
    struct lab *lab = XNEW(struct lab);

    lab->code = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(lab->code != MAP_FAILED);
    memset(lab->code, 0x90, SIZE);
    memcpy(lab->code + 4096, &(uint64_t){TENDER_LAST_MAGIC}, sizeof(uint64_t));
    memset(lab->code + 4096 + sizeof(uint64_t), 0, sizeof(uint64_t));
    assert_int_equal(mprotect(lab->code, SIZE, PROT_READ), 0);
    lab->at = (uintptr_t)lab->code;
    lab->memory = lab->at + SIZE;
    lab->mem = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
    assert_true(lab->mem >= 0);
    *state = lab;
    return 0;
}

static int end(void **state)
{
    struct lab *lab = *state;

    (void)munmap(lab->code, SIZE);
    (void)close(lab->mem);
    free(lab);
    return 0;
}

static void put(struct lab *lab, uint64_t offset, uint8_t byte)
{
    assert_int_equal(pwrite(lab->mem, &byte, 1, (off_t)(lab->at + offset)), 1);
}

static uint64_t word(const struct lab *lab)
{
    uint64_t w;

    memcpy(&w, lab->code + 4096 + sizeof(w), sizeof(w));
    return w;
}

static void takes_out(void **state)
{
    struct lab *lab = *state;
    struct leftovers *l = &lab->l;

    l->word = lab->at + 4096 + sizeof(uint64_t);
    assert_false(leftovers_any(l));
    assert_true(leftovers_note(l, lab->at + 1, 0x41, true));
    assert_true(leftovers_arm(l, lab->mem, true));
    assert_int_equal(word(lab), 1);
    put(lab, 1, INT3);
    assert_true(leftovers_note(l, lab->at + 2, 0x42, true)); /* killed before it was put there */
    assert_true(leftovers_note(l, lab->at + 3, 0x43, true));
    put(lab, 3, INT3);
    assert_true(leftovers_note(l, lab->at + 3, 0x43, false)); /* taken out: nobody's any more */
    assert_true(leftovers_any(l));
    assert_true(leftovers_undo(l, lab->mem, lab->memory));
    assert_int_equal(lab->code[1], 0x41);
    assert_int_equal(lab->code[2], 0x90);
    assert_int_equal(lab->code[3], INT3);
    assert_false(leftovers_any(l));
    assert_int_equal(word(lab), 0);
    assert_true(leftovers_undo(l, lab->mem, lab->memory)); /* again */
}

static void is_bounded(void **state)
{
    struct lab *lab = *state;
    struct leftovers *l = &lab->l;

    for (uint64_t i = 0; i < LEFTOVERS_MAX; i++)
        assert_true(leftovers_note(l, lab->at + i, 1, true));
    assert_false(leftovers_note(l, lab->at + LEFTOVERS_MAX, 1, true));
    assert_true(leftovers_note(l, lab->at + 5, 2, true));
    assert_true(leftovers_note(l, lab->at + LEFTOVERS_MAX, 1, false));
    assert_true(leftovers_note(l, lab->at + 5, 2, false));
    assert_true(leftovers_note(l, lab->at + LEFTOVERS_MAX, 1, true));
}

/* Addresses outside of the guest's memory, and a word where no tender's is. */
static void does_no_harm(void **state)
{
    struct lab *lab = *state;
    struct leftovers *l = &lab->l;

    put(lab, 7, INT3);
    l->v[0] = (struct leftover){.addr = lab->at + 7, .was = 1, .there = 1};
    l->v[1] = (struct leftover){.addr = 0x1000, .was = 1, .there = 7};
    l->v[2] = (struct leftover){.addr = UINT64_MAX, .was = 1, .there = 255};
    assert_true(leftovers_undo(l, lab->mem, lab->at + 7)); /* ends before it */
    assert_int_equal(lab->code[7], INT3);
    assert_false(leftovers_any(l));
    l->word = lab->at + 64;
    assert_false(leftovers_arm(l, lab->mem, true));
    assert_int_equal(lab->code[64], 0x90);
    l->word = 3;
    assert_false(leftovers_arm(l, lab->mem, true));
    l->word = UINT64_MAX;
    assert_false(leftovers_arm(l, lab->mem, true));
    /* What cannot be written stays noted. */
    l->word = 0;
    assert_int_equal(munmap(lab->code, SIZE), 0);
    l->v[0] = (struct leftover){.addr = lab->at, .was = 1, .there = 1};
    assert_false(leftovers_undo(l, lab->mem, lab->memory));
    assert_true(leftovers_any(l));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(takes_out, begin, end),
        cmocka_unit_test_setup_teardown(is_bounded, begin, end),
        cmocka_unit_test_setup_teardown(does_no_harm, begin, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
