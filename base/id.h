/* SPDX-License-Identifier: Apache-2.0 */
/* id - random object ids: 64 lower-case hex digits (256 bits from getrandom), as containerd and
 * CRI-O have them. */
#ifndef UNICRI_BASE_ID_H
#define UNICRI_BASE_ID_H

#include <stdbool.h>
#include <stddef.h>

#define ID_LEN 64

/** id_new() - writes ID_LEN digits and a NUL. */
void id_new(char ret[ID_LEN + 1]);
bool id_is_valid(const char *s);
/** hex_encode() - 2 * n digits and a NUL into out. */
void hex_encode(const void *data, size_t n, char *out);

#endif
