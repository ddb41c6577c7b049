/* SPDX-License-Identifier: Apache-2.0 */
/* Arguments of any bytes, quoted for mirage: splitting by mirage's rules gives them back. The input
 * holds them, NUL between. */
#include <string.h>

#include "base/strbuf.h"
#include "vmm/private.h"

/* Split as the guest does: blanks outside of double quotes; in them a backslash takes the next byte
 * as it is. */
static char **split(const char *s)
{
    char **ret = NULL;

    while (*s) {
        struct strbuf word = STRBUF_INIT;
        bool quoted = false;

        for (; *s && (quoted || (*s != ' ')); s++) {
            if (*s == '"')
                quoted = !quoted;
            else if (quoted && *s == '\\' && s[1])
                strbuf_addc(&word, *++s);
            else
                strbuf_addc(&word, *s);
        }
        strv_take(&ret, strbuf_detach(&word));
        s += *s == ' ';
    }
    return ret;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct guest guest = {.family = (char *)(uintptr_t) "mirage"};
    autofree char *text = xstrndup((const char *)data, 0);
    autostrv char **args = NULL, **out = NULL, **back = NULL;
    autostrbuf line = STRBUF_INIT;
    struct vmm_spec spec = {.guest = &guest};
    struct err err;

    text = xrealloc_array(text, size + 1, 1);
    memcpy(text, data, size);
    text[size] = '\0';
    for (size_t at = 0; at < size; at += strlen(text + at) + 1)
        strv_push(&args, text + at);
    spec.args = args;
    if (strv_len(args) == 0 || family_arguments(&spec, &out, &err) != 0)
        return 0;
    for (size_t i = 0; i < strv_len(out); i++)
        strbuf_addf(&line, "%s%s", i ? " " : "", out[i]);
    back = split(line.s);
    if (strv_len(back) != strv_len(args))
        abort();
    for (size_t i = 0; i < strv_len(args); i++)
        if (strcmp(back[i], args[i]) != 0)
            abort();
    return 0;
}
