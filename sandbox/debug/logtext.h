/* SPDX-License-Identifier: Apache-2.0 */
/* logtext - what a container has written, out of its log as CRI wants it: "TIME STREAM P|F TEXT" a
 * line. A state and bytes in pieces, so that a log that grows can be followed. */
#ifndef UNICRI_SANDBOX_DEBUG_LOGTEXT_H
#define UNICRI_SANDBOX_DEBUG_LOGTEXT_H

#include <stdbool.h>
#include <stddef.h>

struct logtext {
    unsigned field; /* 0 to 2: before the text; 3: in it */
    bool partial;   /* the line goes on in the next record */
    bool skipping;  /* the beginning of this line is not there */
};
/** logtext_feed() - what of `in` is text, to `out`, which has as much room. Returns: its bytes. */
size_t logtext_feed(struct logtext *t, const char *in, size_t len, char *out);

#endif
