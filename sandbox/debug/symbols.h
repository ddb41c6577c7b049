/* SPDX-License-Identifier: Apache-2.0 */
/*
 * symbols - which function an address is in, by the symbol table of the guest's ELF file. The file
 * comes from an image: every offset and count is checked against a bound and the file is only read,
 * never mapped; names are cut, and what cannot be printed is replaced.
 */
#ifndef UNICRI_SANDBOX_DEBUG_SYMBOLS_H
#define UNICRI_SANDBOX_DEBUG_SYMBOLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define SYMBOL_NAME_MAX  127
#define SYMBOLS_MAX      (1u << 20) /* of one table; further ones are not looked at */
#define SYMBOL_TABLES    8          /* sections that are looked at for a table */
#define ELF_SECTIONS_MAX 4096
#define ELF_PHDRS_MAX    64
#define CODE_RANGES_MAX  16

struct symbol {
    uint64_t addr; /* asked for */
    bool found;
    uint64_t start; /* of the function */
    char name[SYMBOL_NAME_MAX + 1];
};
/** symbols_find() - for `n` addresses at once; those without a name stay `found` false. Errors:
 * INVALID (not an ELF file of 64 bits, or a lying one), NOT_FOUND (it has no symbols). */
int symbols_find(int fd, struct symbol *v, size_t n, struct err *err) MUST_CHECK;

/* Where the file's code is. */
struct code_ranges {
    size_t n;
    struct {
        uint64_t begin, end;
    } v[CODE_RANGES_MAX];
};
/** symbols_code() - executable segments. Errors: INVALID. */
int symbols_code(int fd, struct code_ranges *ret, struct err *err) MUST_CHECK;
/** symbols_segments() - all that are loaded. Errors: INVALID. */
int symbols_segments(int fd, struct code_ranges *ret, struct err *err) MUST_CHECK;
bool code_has(const struct code_ranges *code, uint64_t addr);

#endif
