/* SPDX-License-Identifier: Apache-2.0 */
/* Arguments and environment of any bytes, told to a guest of any family: what the guest hears is
 * the same, and no option that would not be there without them. The input: which syntax, how many
 * of the words are arguments; then the words, NUL between. */
#include "vmm/tests/family_parsers.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    autofree char *text = xmalloc(size + 1);
    autostrv char **args = NULL, **env = NULL;
    size_t n = 0;

    if (size < 2)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    for (size_t at = 2; at < size; at += strlen(text + at) + 1, n++)
        if (n < data[1] % 8u)
            strv_push(&args, text + at);
        else if (strchr(text + at, '=') > text + at) /* others are no variables */
            strv_push(&env, text + at);
    if (syntax_fault(&syntaxes[data[0] % ARRAY_SIZE(syntaxes)], args, env))
        abort();
    return 0;
}
