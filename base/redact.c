/* SPDX-License-Identifier: Apache-2.0 */
/* redact - see redact.h. One pass over the text; in doubt a value is hidden. */
#include "base/redact.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

#include "base/strbuf.h"

#define HIDDEN    "***"
#define URL_ENDS  " \t\r\n\"'<>"
#define LINE_ENDS "\r\n\"'"

static const char *const harmless[] = {"service", "scope", "ns", "n", "last"};

static bool is_harmless(const char *key, size_t len)
{
    for (size_t i = 0; i < ARRAY_SIZE(harmless); i++) {
        if (strlen(harmless[i]) == len && strncmp(harmless[i], key, len) == 0)
            return true;
    }
    return false;
}

/* "?a=b&c" up to a fragment or the end of the URL. Returns: what was consumed. */
static size_t add_query(struct strbuf *out, const char *s, size_t len)
{
    size_t i = 0;

    while (i < len && s[i] != '#') {
        size_t key = i + 1, end = key, eq;

        strbuf_addc(out, s[i]); /* '?' or '&' */
        while (end < len && s[end] != '&' && s[end] != '#')
            end++;
        eq = key;
        while (eq < end && s[eq] != '=')
            eq++;
        if (is_harmless(s + key, eq - key)) {
            strbuf_add(out, s + key, end - key);
        } else if (eq < end) {
            strbuf_add(out, s + key, eq - key);
            strbuf_adds(out, "=" HIDDEN);
        } else if (end > key) {
            strbuf_adds(out, HIDDEN); /* a bare word may be a token itself */
        }
        i = end;
    }
    return i;
}

/* What stands behind "://". Returns: what was consumed. */
static size_t add_url_rest(struct strbuf *out, const char *s)
{
    size_t len = strcspn(s, URL_ENDS), authority, path, at;

    authority = strcspn(s, "/?#" URL_ENDS);
    for (at = authority; at > 0 && s[at - 1] != '@'; at--)
        ;
    if (at > 0)
        strbuf_adds(out, HIDDEN "@");
    strbuf_add(out, s + at, authority - at);
    path = strcspn(s + authority, "?" URL_ENDS);
    strbuf_add(out, s + authority, path);
    if (authority + path < len) {
        size_t used = add_query(out, s + authority + path, len - authority - path);

        strbuf_add(out, s + authority + path + used, len - authority - path - used);
    }
    return len;
}

/* "Authorization: ..." hides the line, "Bearer x" the word. Returns: what was consumed, 0 for
 * neither. */
static size_t add_credential(struct strbuf *out, const char *s)
{
    static const char *const words[] = {"bearer ", "basic "};
    static const char header[] = "authorization:";

    if (strncasecmp(s, header, strlen(header)) == 0) {
        strbuf_add(out, s, strlen(header));
        strbuf_adds(out, " " HIDDEN);
        return strlen(header) + strcspn(s + strlen(header), LINE_ENDS);
    }
    for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
        size_t len = strlen(words[i]);

        /* "Bearer realm=..." is a challenge, not a credential. */
        if (strncasecmp(s, words[i], len) == 0 && strncasecmp(s + len, "realm=", 6) != 0) {
            strbuf_add(out, s, len);
            strbuf_adds(out, HIDDEN);
            return len + strcspn(s + len, URL_ENDS ",;");
        }
    }
    return 0;
}

char *redact_url(const char *url)
{
    autostrbuf out = STRBUF_INIT;
    bool word_start = true;

    for (const char *s = url; *s;) {
        size_t n = word_start ? add_credential(&out, s) : 0;

        if (n == 0 && str_has_prefix(s, "://")) {
            strbuf_adds(&out, "://");
            n = 3 + add_url_rest(&out, s + 3);
        }
        if (n == 0) {
            strbuf_addc(&out, *s);
            n = 1;
        }
        word_start = !isalnum((unsigned char)s[n - 1]);
        s += n;
    }
    return strbuf_detach(&out);
}
