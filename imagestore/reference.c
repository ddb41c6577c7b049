/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reference - see reference.h. Everything is checked here, once: below, the parts of a reference
 * may be put into a URL as they are.
 */
#include "imagestore/reference.h"

#include <ctype.h>
#include <string.h>

#include "base/strbuf.h"
#include "imagestore/digest.h"

#define DEFAULT_REGISTRY "docker.io"
#define DEFAULT_TAG      "latest"

static bool is_lower_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_alnum(char c)
{
    return is_lower_alnum(c) || (c >= 'A' && c <= 'Z');
}

static bool port_is_valid(const char *s)
{
    size_t n = strspn(s, "0123456789");
    if (n == 0 || n > 5 || s[n] != '\0')
        return false;
    long port = strtol(s, NULL, 10);
    return port > 0 && port <= 65535;
}

/* host name, IPv4 or [IPv6], with an optional port */
static bool registry_is_valid(const char *s)
{
    const char *p = s;
    if (*p == '[') {
        size_t n = strspn(p + 1, "0123456789abcdefABCDEF:.");
        if (n < 2 || n > 45 || p[1 + n] != ']')
            return false;
        p += n + 2;
    } else {
        bool start = true;
        for (; *p && *p != ':'; p++) {
            if (is_alnum(*p) || (*p == '-' && !start && p[1] && p[1] != '.' && p[1] != ':'))
                start = false;
            else if (*p == '.' && !start && p[1] && p[1] != ':')
                start = true;
            else
                return false;
        }
        if (p == s)
            return false;
    }
    return *p == '\0' || (*p == ':' && port_is_valid(p + 1));
}

/* components of lower-case letters and digits, joined by '.', '_', '__' or dashes */
static bool path_is_valid(const char *s)
{
    const char *p = s;
    for (;;) {
        if (!is_lower_alnum(*p))
            return false;
        while (is_lower_alnum(*p))
            p++;
        if (*p == '\0')
            return true;
        if (*p == '/' || *p == '.')
            p++;
        else if (*p == '_')
            p += p[1] == '_' ? 2 : 1;
        else if (*p == '-')
            p += strspn(p, "-");
        else
            return false;
    }
}

static bool tag_is_valid(const char *s)
{
    size_t n = strlen(s);
    if (n == 0 || n > REFERENCE_TAG_MAX || !(is_alnum(s[0]) || s[0] == '_'))
        return false;
    for (size_t i = 0; i < n; i++)
        if (!is_alnum(s[i]) && !strchr("_.-", s[i]))
            return false;
    return true;
}

static bool looks_like_registry(const char *s)
{
    if (str_eq(s, "localhost") || strpbrk(s, ".:["))
        return true;
    for (const char *p = s; *p; p++)
        if (isupper((unsigned char)*p))
            return true;
    return false;
}

static int split_digest(char *s, struct reference *r, const char *text, struct err *err)
{
    char *at = strchr(s, '@');
    if (!at)
        return 0;
    *at = '\0';
    if (!digest_is_valid(at + 1))
        return err_set(err, ERR_INVALID,
                       "image '%.*s': digest is not sha256 with 64 lower-case hex digits",
                       REFERENCE_MAX_BYTES, text);
    r->digest = xstrdup(at + 1);
    return 0;
}

static int split_tag(char *path, struct reference *r, const char *text, struct err *err)
{
    char *slash = strrchr(path, '/');
    char *colon = strchr(slash ? slash : path, ':');
    if (colon) {
        *colon = '\0';
        if (!tag_is_valid(colon + 1))
            return err_set(err, ERR_INVALID, "image '%s': bad tag", text);
    }
    if (!r->digest)
        r->tag = xstrdup(colon ? colon + 1 : DEFAULT_TAG);
    return 0;
}

static void split_registry(char *s, struct reference *r, char **path)
{
    char *slash = strchr(s, '/');
    *path = s;
    if (slash) {
        *slash = '\0';
        if (looks_like_registry(s)) {
            r->registry = xstrdup(str_eq(s, "index.docker.io") ? DEFAULT_REGISTRY : s);
            *path = slash + 1;
        } else {
            *slash = '/';
        }
    }
    if (!r->registry)
        r->registry = xstrdup(DEFAULT_REGISTRY);
}

static int parse(const char *text, struct reference *r, struct err *err)
{
    size_t len = strnlen(text, REFERENCE_MAX_BYTES + 1);
    if (len == 0)
        return err_set(err, ERR_INVALID, "image reference is empty");
    if (len > REFERENCE_MAX_BYTES)
        return err_set(err, ERR_INVALID, "image '%.64s...': longer than %d bytes", text,
                       REFERENCE_MAX_BYTES);
    autofree char *s = xstrdup(text);
    if (split_digest(s, r, text, err) < 0)
        return -1;
    char *path = NULL;
    split_registry(s, r, &path);
    if (split_tag(path, r, text, err) < 0)
        return -1;
    if (!registry_is_valid(r->registry))
        return err_set(err, ERR_INVALID, "image '%s': bad registry host", text);
    if (!path_is_valid(path))
        return err_set(err, ERR_INVALID,
                       "image '%s': bad repository name (lower-case letters, digits and single "
                       "separators only)",
                       text);
    if (!r->digest && strlen(text) == 64 && strspn(text, "0123456789abcdef") == 64)
        return err_set(err, ERR_INVALID, "image '%s': is an id, not a name", text);
    bool library = str_eq(r->registry, DEFAULT_REGISTRY) && !strchr(path, '/');
    r->path = library ? xasprintf("library/%s", path) : xstrdup(path);
    if (strlen(r->path) > REFERENCE_PATH_MAX)
        return err_set(err, ERR_INVALID, "image '%s': repository name is longer than %d bytes",
                       text, REFERENCE_PATH_MAX);
    return 0;
}

int reference_parse(const char *text, struct reference *ret, struct err *err)
{
    struct reference r = {0};
    if (parse(text, &r, err) < 0) {
        reference_done(&r);
        return -1;
    }
    *ret = r;
    return 0;
}

void reference_done(struct reference *r)
{
    free(r->registry);
    free(r->path);
    free(r->tag);
    free(r->digest);
    *r = (struct reference){0};
}

char *reference_name(const struct reference *r)
{
    return xasprintf("%s/%s", r->registry, r->path);
}

char *reference_text(const struct reference *r)
{
    return xasprintf("%s/%s%s%s", r->registry, r->path, r->digest ? "@" : ":",
                     r->digest ? r->digest : r->tag);
}
