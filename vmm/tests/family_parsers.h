/* SPDX-License-Identifier: Apache-2.0 */
/*
 * family_parsers - what guests make of the lines they are given: one reader for each syntax,
 * written from the guests' own parsers and not from the writers in vmm/family_*.c. For the test and
 * the fuzz target: what goes in as arguments and environment comes out as just these, and no option
 * appears that is not there without them.
 */
#ifndef UNICRI_VMM_TESTS_FAMILY_PARSERS_H
#define UNICRI_VMM_TESTS_FAMILY_PARSERS_H

#include <string.h>

#include "base/strbuf.h"
#include "vmm/private.h"

struct heard {
    char **options, **env, **args;
};

static void heard_done(struct heard *h)
{
    strv_free(h->options);
    strv_free(h->env);
    strv_free(h->args);
    *h = (struct heard){0};
}

static void heard_add(char ***list, struct strbuf *word)
{
    strv_take(list, strbuf_detach(word));
    *word = (struct strbuf)STRBUF_INIT;
}

static bool ascii_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Words at white space. */
static void split_plain(const char *s, const char *more, char ***ret)
{
    struct strbuf word = STRBUF_INIT;

    for (;; s++) {
        if (*s && !ascii_space(*s) && !strchr(more, *s)) {
            strbuf_addc(&word, *s);
            continue;
        }
        if (word.len)
            heard_add(ret, &word);
        if (!*s)
            return;
    }
}

static void hear_words(const char *line, struct heard *ret)
{
    split_plain(line, "", &ret->args);
}

static void hear_toro(const char *line, struct heard *ret)
{
    autostrv char **words = NULL;

    split_plain(line, ",", &words);
    for (char **w = words; w && *w; w++)
        strv_push(strstr(*w, "virtio_mmio") ? &ret->options : &ret->args, *w);
}

static void hear_mewz(const char *line, struct heard *ret)
{
    split_plain(line, "", &ret->options);
}

static void hear_nanos(const char *line, struct heard *ret)
{
    autostrv char **words = NULL;

    split_plain(line, "", &words);
    for (char **w = words; w && *w; w++) {
        if (str_has_prefix(*w, "arguments.") && strchr(*w, '='))
            strv_push(&ret->args, strchr(*w, '=') + 1);
        else if (str_has_prefix(*w, "environment."))
            strv_push(&ret->env, *w + strlen("environment."));
        else
            strv_push(&ret->options, *w);
    }
}

/* Which bytes mean something to a splitter with quotes. */
struct quoting {
    bool single;    /* single quotes */
    bool double_;   /* double quotes */
    const char *in; /* what a backslash takes the meaning from within double quotes; NULL: any */
    bool in_double, bare; /* backslashes within double quotes; outside of any */
};

static void split_quoted(const char *s, const struct quoting *q, char ***ret)
{
    struct strbuf word = STRBUF_INIT;
    bool any = false;
    char open = 0;

    for (;; s++) {
        bool escapes = open == '"' ? q->in_double : !open && q->bare;

        if (!*s || (!open && ascii_space(*s))) {
            if (any)
                heard_add(ret, &word);
            any = false;
            if (!*s)
                break;
            continue;
        }
        any = true;
        if (*s == '\\' && escapes && s[1] && (!open || !q->in || strchr(q->in, s[1])))
            strbuf_addc(&word, *++s);
        else if (!open && ((*s == '\'' && q->single) || (*s == '"' && q->double_)))
            open = *s;
        else if (open && *s == open)
            open = 0;
        else
            strbuf_addc(&word, *s);
    }
    strbuf_done(&word);
}

static void hear_mirage(const char *line, struct heard *ret)
{
    static const struct quoting q = {.double_ = true, .in_double = true, .bare = true};

    split_quoted(line, &q, &ret->args);
}

static void hear_hermit(const char *line, struct heard *ret)
{
    static const struct quoting q = {
        .single = true, .double_ = true, .in_double = true, .in = "\"\\$`", .bare = true};
    autostrv char **words = NULL;
    char **w;

    split_quoted(line, &q, &words);
    for (w = words; w && *w && !str_eq(*w, "--"); w++)
        if (str_has_prefix(*w, "env="))
            strv_push(&ret->env, *w + 4);
        else
            strv_push(&ret->options, *w);
    for (w = w && *w ? w + 1 : w; w && *w; w++)
        strv_push(&ret->args, *w);
}

/* Up to `--`; lists are NAME=[ word ... ] and end with a word that ends with ']'. */
static void unikraft_words(char **words, struct heard *ret)
{
    bool list = false, env = false;
    char **w = words;

    for (; w && *w && !str_eq(*w, "--"); w++) {
        size_t len = strlen(*w);

        if (list && len && (*w)[len - 1] == ']') {
            list = false;
            if (len > 1)
                strv_push(&ret->options, *w);
        } else if (list && env) {
            strv_push(&ret->env, *w);
        } else if (len > 2 && str_eq(*w + len - 2, "=[")) {
            list = true;
            env = str_eq(*w, "env.vars=[");
            if (!env)
                strv_push(&ret->options, *w);
        } else {
            strv_push(&ret->options, *w);
        }
    }
    if (list || !w || !*w)
        strv_push(&ret->options, "LIST OR OPTIONS WITHOUT AN END");
    for (w = w && *w ? w + 1 : w; w && *w; w++)
        strv_push(&ret->args, *w);
}

static void hear_unikraft(const char *line, struct heard *ret)
{
    static const struct quoting q = {
        .single = true, .double_ = true, .in_double = true, .in = "\"\\", .bare = true};
    autostrv char **words = NULL;

    split_quoted(line, &q, &words);
    unikraft_words(words, ret);
}

static void hear_unikraft_old(const char *line, struct heard *ret)
{
    static const struct quoting q = {.single = true, .double_ = true};
    autostrv char **words = NULL;

    split_quoted(line, &q, &words);
    unikraft_words(words, ret);
}

/* The kernel's next_arg(): quotes toggle and only those around word or value go. */
static char *linux_word(const char **at)
{
    const char *s = *at, *start;
    bool quoted = false;
    char *word, *value;
    size_t len;

    while (ascii_space(*s) || *s == '\xa0')
        s++;
    for (start = s; *s && (quoted || !(ascii_space(*s) || *s == '\xa0')); s++)
        if (*s == '"')
            quoted = !quoted;
    *at = s;
    if (s == start)
        return NULL;
    word = xstrndup(start, (size_t)(s - start));
    len = strlen(word);
    value = strchr(word, '=');
    if (word[0] == '"' || (value && value[1] == '"')) {
        char *quote = word[0] == '"' ? word : value + 1;

        if (len > 1 && word[len - 1] == '"' && word + len - 1 > quote)
            word[--len] = '\0';
        memmove(quote, quote + 1, strlen(quote));
    }
    return word;
}

static void hear_linux(const char *line, struct heard *ret)
{
    bool behind = false;

    for (char *w; (w = linux_word(&line)); free(w)) {
        size_t name = strspn(w, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");
        size_t lower = strspn(w, "abcdefghijklmnopqrstuvwxyz");

        if (behind)
            strv_push(&ret->args, w);
        else if (str_eq(w, "--"))
            behind = true;
        else if ((name && w[name] == '=') || str_has_prefix(w + lower, "_proxy="))
            strv_push(&ret->env, w);
        else if (str_has_prefix(w, "init=") || str_has_prefix(w, "rdinit="))
            strv_push(&ret->args, strchr(w, '=') + 1);
        else
            strv_push(&ret->options, w);
    }
}

/* The loader's part, up to the first word that does not begin with '-'. */
static const char *osv_loader(const char *s, struct heard *ret)
{
    for (;;) {
        struct strbuf word = STRBUF_INIT;

        while (*s == ' ' || *s == '\t' || *s == '\n')
            s++;
        if (*s != '-')
            return s;
        for (; *s && *s != ' ' && *s != '\t' && *s != '\n'; s++) {
            if (*s == '\\' && s[1])
                s++;
            strbuf_addc(&word, *s);
        }
        if (word.s && str_has_prefix(word.s, "--env=")) {
            strv_push(&ret->env, word.s + strlen("--env="));
            strbuf_done(&word);
        } else {
            heard_add(&ret->options, &word);
        }
    }
}

static void osv_escape(const char **s, struct strbuf *word)
{
    static const char from[] = "abfnrtv\\'\"", to[] = "\a\b\f\n\r\t\v\\'\"";
    const char *at = **s == '\\' && (*s)[1] ? strchr(from, (*s)[1]) : NULL;

    strbuf_addc(word, at ? to[at - from] : **s);
    *s += at ? 2 : 1;
}

static void hear_osv(const char *line, struct heard *ret)
{
    const char *s = osv_loader(line, ret);

    while (*s) {
        struct strbuf word = STRBUF_INIT;
        char *dollar;

        if (ascii_space(*s)) {
            s++;
            continue;
        }
        if (*s == '"' && strchr(s + 1, '"')) {
            for (s++; *s && *s != '"';)
                osv_escape(&s, &word);
            s += *s == '"';
        } else if (*s == ';' || *s == '&' || *s == '!') {
            strv_push(&ret->options, "END OF THE COMMAND");
            s++;
            continue;
        } else {
            while (*s && !strchr(" ;&!", *s))
                osv_escape(&s, &word);
        }
        dollar = word.s ? strchr(word.s, '$') : NULL;
        if (dollar)
            *dollar = '\0'; /* no such variable */
        heard_add(&ret->args, &word);
    }
}

/* One string of JSON as it stands; `s` is behind its first quote. */
static const char *json_raw(const char *s, struct strbuf *out)
{
    for (; *s && *s != '"'; s++) {
        if (*s == '\\' && s[1])
            strbuf_addc(out, *s++);
        strbuf_addc(out, *s);
    }
    return *s ? s + 1 : s;
}

static void hear_rumprun(const char *line, struct heard *ret)
{
    static const struct quoting q = {.single = true, .bare = true};
    const char *s = strchr(line, '{');

    for (s = s ? s + 1 : ""; *s; s++) {
        autostrbuf key = STRBUF_INIT, value = STRBUF_INIT;

        if (*s != '"')
            continue;
        s = json_raw(s + 1, &key);
        s += *s == ':';
        if (*s == '"')
            s = json_raw(s + 1, &value);
        else
            for (; *s && *s != '}'; s++)
                strbuf_addc(&value, *s);
        if (str_eq(key.s, "cmdline"))
            split_quoted(value.s ? value.s : "", &q, &ret->args);
        else if (str_eq(key.s, "env"))
            strv_push(&ret->env, value.s ? value.s : "");
        else
            strv_take(&ret->options, xasprintf("%s=%s", key.s, value.s ? value.s : ""));
        if (!*s)
            break;
    }
}

/* ---------------------------------------------------------------- the property */

static const struct syntax {
    const char *family, *version;
    enum guest_kernel kernel;
    bool env, program; /* is told an environment; needs a program */
    void (*hear)(const char *line, struct heard *ret);
} syntaxes[] = {
    {"mirage", "", KERNEL_SOLO5, false, false, hear_mirage},
    {"unikraft", "", KERNEL_MULTIBOOT, true, false, hear_unikraft},
    {"unikraft", "0.16.1", KERNEL_ELF64, true, false, hear_unikraft},
    {"unikraft", "0.15.0", KERNEL_MULTIBOOT, false, false, hear_unikraft_old},
    {"linux", "", KERNEL_BZIMAGE, true, true, hear_linux},
    {"rumprun", "", KERNEL_SOLO5, true, false, hear_rumprun},
    {"hermit", "", KERNEL_MULTIBOOT, true, false, hear_hermit},
    {"osv", "", KERNEL_PVH, true, true, hear_osv},
    {"nanos", "", KERNEL_ELF64, true, false, hear_nanos},
    {"includeos", "", KERNEL_MULTIBOOT, false, false, hear_words},
    {"toro", "", KERNEL_PVH, false, false, hear_toro},
    {"mewz", "", KERNEL_MULTIBOOT, false, false, hear_mewz},
};

/* Returns: false when the family refuses them, with err. */
static bool syntax_hear(const struct syntax *s, char *const *args, char *const *env,
                        struct heard *ret, struct err *err)
{
    const struct vmm_net net = {.ip = "10.1.2.3",
                                .prefix = 16,
                                .gateway = "10.1.0.1",
                                .dns = (char *[]){(char[]){"10.9.9.9"}, NULL},
                                .hostname = "pod"};
    struct guest guest = {.family = (char *)(uintptr_t)s->family,
                          .version = (char *)(uintptr_t)s->version,
                          .cmdline = (char[]){""},
                          .kernel = s->kernel};
    struct vmm_spec spec = {
        .guest = &guest, .args = args, .env = env, .nets = &net, .n_nets = 1, .initrd_fd = -1};
    autostrv char **words = NULL;
    autostrbuf line = STRBUF_INIT;

    if (family_arguments(&spec, &words, err) < 0)
        return false;
    for (char **w = words; w && *w; w++)
        strbuf_addf(&line, "%s%s", w == words ? "" : " ", *w);
    s->hear(line.s ? line.s : "", ret);
    return true;
}

static bool strv_same(char *const *a, char *const *b)
{
    size_t n = strv_len(a);

    if (n != strv_len(b))
        return false;
    for (size_t i = 0; i < n; i++)
        if (!str_eq(a[i], b[i]))
            return false;
    return true;
}

/* `front` and then `behind` make `all`. */
static bool strv_joins(char *const *front, char *const *behind, char *const *all)
{
    autostrv char **both = front ? strv_dup(front) : NULL;

    for (; behind && *behind; behind++)
        strv_push(&both, *behind);
    return strv_same(both, all);
}

/* Returns: what is wrong with what the guest hears, or NULL; also when they are refused. */
static const char *syntax_fault(const struct syntax *s, char *const *args, char *const *env)
{
    char *program[] = {(char[]){"/p"}, NULL};
    struct heard base = {0}, with = {0};
    struct err err = ERR_INIT;
    const char *fault = NULL;

    if (!syntax_hear(s, s->program ? program : NULL, NULL, &base, &err))
        return "refuses nothing at all";
    if (s->program && base.args) { /* not the guest's own */
        free(base.args[0]);
        base.args[0] = NULL;
    }
    if (!syntax_hear(s, args, env, &with, &err))
        fault = *err.msg ? NULL : "is refused without a word";
    else if (!strv_same(base.options, with.options))
        fault = "there are other options";
    else if (!strv_joins(base.args, args, with.args))
        fault = "the arguments are not the same";
    else if (!strv_joins(base.env, s->env ? env : NULL, with.env))
        fault = "the environment is not the same";
    heard_done(&base);
    heard_done(&with);
    return fault;
}

#endif
