/* SPDX-License-Identifier: Apache-2.0 */
/* utf8 - the one decoder of UTF-8 (RFC 3629); messages, logs and JSON texts are scrubbed with it.
 */
#ifndef UNICRI_BASE_UTF8_H
#define UNICRI_BASE_UTF8_H

#include <stddef.h>

/** utf8_ascii() - how many bytes s begins with that are ASCII and not NUL; quick. */
size_t utf8_ascii(const char *s, size_t len);
/** utf8_sequence() - Returns: the length (1 to 4) of the valid sequence that s begins with, else 0.
 */
size_t utf8_sequence(const char *s, size_t len);
/** utf8_scrub() - replace control bytes (TAB too) and what is not UTF-8 by '?', in place. */
void utf8_scrub(char *s);

#endif
