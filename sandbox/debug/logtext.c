/* SPDX-License-Identifier: Apache-2.0 */
/* logtext - see logtext.h. */
#include "sandbox/debug/logtext.h"

#define TAG_FIELD  2
#define TEXT_FIELD 3

size_t logtext_feed(struct logtext *t, const char *in, size_t len, char *out)
{
    size_t n = 0;

    for (size_t i = 0; i < len; i++) {
        char c = in[i];

        if (c == '\n') {
            if (!t->skipping && !(t->field == TEXT_FIELD && t->partial))
                out[n++] = c;
            *t = (struct logtext){.field = 0};
        } else if (t->skipping) {
            continue;
        } else if (t->field == TEXT_FIELD) {
            out[n++] = c;
        } else if (c == ' ') {
            t->field++;
        } else if (t->field == TAG_FIELD) {
            t->partial = c == 'P';
        }
    }
    return n;
}
