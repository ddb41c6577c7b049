/* SPDX-License-Identifier: Apache-2.0 */
/* Words that are hard to quote, told to guests of every family and read back by the guests' own
 * rules. */
#include "base/tests/testing.h"
#include "vmm/tests/family_parsers.h"

/* One at a time and in pairs: what one leaves open, the next could close. */
static const char *const words[] = {
    "plain",
    "",
    " ",
    "a b",
    "  two  ",
    "'",
    "\"",
    "\\",
    "\\\\",
    "it's",
    "\"quoted\"",
    "'\"\\",
    "a\\",
    "\\\"",
    "\\'",
    "\\ ",
    "--",
    "--env=X=y",
    "-ip",
    "init=/evil",
    "]",
    "[",
    "env.vars=[",
    "netdev.ip=1.1.1.1/8",
    "ip=1.1.1.1/8",
    "console=x",
    "a;b",
    "&",
    "!",
    "$HOME",
    "a$b",
    "{",
    "\"}",
    "\",\"net\":{",
    "\t",
    "a\nb",
    "\x7f",
    "\xc3\xa0",
    "\xa0init=/x",
    "=",
    "a=b c",
    "a=\"b\"",
    "a,b",
    "#",
    "`id`",
    "$(id)",
    "virtio_mmio",
    "arguments.0=/evil",
    "--ipv4=a b",
    "\\n",
    "%s",
    "\xff\xfe",
    "'' ''",
    "*",
};
static const char *const vars[] = {
    "K=v",         "K=",         "K=a b",
    "K='",         "K=\"",       "K=\\",
    "K=x\\",       "K=]",        "K= ]",
    "K=[",         "K=--",       "K= -- x",
    "K=$X",        "K=a\nb",     "init=/evil",
    "quiet=1",     "a.b=c",      "K=\xc3\xa0init=/x",
    "K=' '",       "K=\" \"",    "K==",
    "K==[",        "_=1",        "http_proxy=http://a:1",
    "K=\",\"",     "K=, -ip 1 ", "K=\\ --verbose",
    "HERMIT_IP=1", "env.vars=[", "K=\"v\"",
};

static void check(const struct syntax *s, const char *a, const char *b, const char *var,
                  const char *var2)
{
    char *args[] = {(char *)(uintptr_t) "/prog", (char *)(uintptr_t)a, (char *)(uintptr_t)b, NULL};
    char *env[] = {(char *)(uintptr_t)var, (char *)(uintptr_t)var2, NULL};
    const char *fault = syntax_fault(s, args, env);

    if (fault)
        fail_msg("%s %s: %s: arguments '%s' '%s', environment '%s' '%s'", s->family, s->version,
                 fault, a, b ? b : "none", var ? var : "none", var2 ? var2 : "none");
}

/* The first word is often more than an argument. */
static void read_back_first(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(syntaxes); i++) {
        for (size_t a = 0; a < ARRAY_SIZE(words); a++) {
            autofree char *path = xasprintf("/%s", words[a]);
            const char *const first[] = {words[a], path};

            for (size_t k = 0; k < ARRAY_SIZE(first); k++) {
                char *args[] = {(char *)(uintptr_t)first[k], (char *)(uintptr_t) "x", NULL};
                const char *fault = syntax_fault(&syntaxes[i], args, NULL);

                if (fault)
                    fail_msg("%s: %s: program '%s'", syntaxes[i].family, fault, first[k]);
            }
        }
    }
}

static void read_back(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(syntaxes); i++) {
        for (size_t a = 0; a < ARRAY_SIZE(words); a++)
            for (size_t b = 0; b <= ARRAY_SIZE(words); b++)
                check(&syntaxes[i], words[a], b < ARRAY_SIZE(words) ? words[b] : NULL, NULL, NULL);
        for (size_t a = 0; a < ARRAY_SIZE(vars); a++)
            for (size_t b = 0; b <= ARRAY_SIZE(vars); b++)
                check(&syntaxes[i], words[(a + b) % ARRAY_SIZE(words)], NULL, vars[a],
                      b < ARRAY_SIZE(vars) ? vars[b] : NULL);
    }
}

/* The readers would see it: each hears an option that is put in. */
static void readers_see(void **state)
{
    static const struct {
        void (*hear)(const char *line, struct heard *ret);
        const char *line;
    } cases[] = {
        {hear_unikraft, "env.vars=[ 'K=v' ] x.y=1 -- a"},
        {hear_unikraft_old, "x.y=1 -- a"},
        {hear_linux, "\"K=a b\"\xa0quiet init=/p -- a"},
        {hear_hermit, "env=K=v '-ip' -- a"},
        {hear_osv, "--env=a\\ b --x \"a\""},
        {hear_rumprun, "{\"cmdline\":\"'a'\",\"x\":\"y\"}"},
        {hear_nanos, "environment.K=v x=y arguments.0=a"},
        {hear_toro, "a,virtio_mmio"},
        {hear_mewz, "x"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct heard h = {0};

        cases[i].hear(cases[i].line, &h);
        assert_int_equal(strv_len(h.options), 1);
        heard_done(&h);
    }
}

/* Refusing everything would pass read_back(): these are told. */
static void what_is_told(void **state)
{
    static const char *const easy[] = {"plain", "a=b", "--", "-x", "]", "*"};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(syntaxes); i++) {
        for (size_t w = 0; w < ARRAY_SIZE(easy); w++) {
            char *args[] = {(char *)(uintptr_t) "/prog", (char *)(uintptr_t)easy[w], NULL};
            char *env[] = {(char *)(uintptr_t) "KUBERNETES_PORT=tcp://10.0.0.1:443", NULL};
            struct heard h = {0};
            struct err err = ERR_INIT;
            bool mewz = str_eq(syntaxes[i].family, "mewz");

            if (syntax_hear(&syntaxes[i], mewz ? NULL : args, env, &h, &err) == false)
                fail_msg("%s: %s", syntaxes[i].family, err.msg);
            heard_done(&h);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(read_back),
        cmocka_unit_test(read_back_first),
        cmocka_unit_test(readers_see),
        cmocka_unit_test(what_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
