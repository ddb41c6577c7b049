/* SPDX-License-Identifier: Apache-2.0 */
/*
 * options_print - options_print() of options.h. Keys are written dotted and in full, since two
 * folders may have keys in the same section and TOML forbids to open a section twice.
 */
#include <ctype.h>
#include <inttypes.h>
#include <string.h>

#include "base/options_private.h"

static void print_string(const char *s, FILE *out)
{
    (void)fputc('"', out);
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;

        if (c == '"' || c == '\\')
            (void)fprintf(out, "\\%c", c);
        else if (c < 0x20 || c == 0x7f)
            (void)fprintf(out, "\\u%04x", c);
        else
            (void)fputc(c, out);
    }
    (void)fputc('"', out);
}

static void print_key(const char *s, FILE *out)
{
    size_t len = strlen(s);

    if (len > 0 &&
        strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-") == len)
        (void)fputs(s, out);
    else
        print_string(s, out);
}

static void print_real(double v, FILE *out)
{
    char text[40];

    (void)snprintf(text, sizeof(text), "%.17g", v);
    /* TOML wants a point or an exponent in a real number. */
    (void)fprintf(out, "%s%s", text, strpbrk(text, ".e") ? "" : ".0");
}

/* Depth is that of a document that toml_parse() accepted. */
static void print_json(json_t *v, FILE *out)
{
    const char *name, *sep = "";
    json_t *e;
    size_t i;

    if (json_is_object(v)) {
        (void)fputs("{ ", out);
        json_object_foreach (v, name, e) {
            (void)fputs(sep, out);
            print_key(name, out);
            (void)fputs(" = ", out);
            print_json(e, out);
            sep = ", ";
        }
        (void)fputs(" }", out);
    } else if (json_is_array(v)) {
        (void)fputc('[', out);
        json_array_foreach (v, i, e) {
            (void)fputs(sep, out);
            print_json(e, out);
            sep = ", ";
        }
        (void)fputc(']', out);
    } else if (json_is_string(v)) {
        print_string(json_string_value(v), out);
    } else if (json_is_integer(v)) {
        (void)fprintf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
    } else if (json_is_real(v)) {
        print_real(json_real_value(v), out);
    } else {
        (void)fputs(json_is_true(v) ? "true" : "false", out);
    }
}

static void print_strv(char *const *v, FILE *out)
{
    (void)fputc('[', out);
    for (size_t i = 0; v && v[i]; i++) {
        (void)fputs(i ? ", " : "", out);
        print_string(v[i], out);
    }
    (void)fputc(']', out);
}

static void print_seconds(nsec_t t, FILE *out)
{
    char text[48];
    size_t len;
    uint64_t a = t < 0 ? 0 - (uint64_t)t : (uint64_t)t;

    (void)snprintf(text, sizeof(text), "%s%" PRIu64 ".%09" PRIu64, t < 0 ? "-" : "",
                   a / (uint64_t)NSEC_PER_SEC, a % (uint64_t)NSEC_PER_SEC);
    for (len = strlen(text); text[len - 1] == '0'; len--)
        ;
    len -= text[len - 1] == '.';
    (void)fprintf(out, "%.*s", (int)len, text);
}

static void print_bytes(uint64_t n, FILE *out)
{
    static const char *const units[] = {"", "KiB", "MiB", "GiB", "TiB"};
    size_t u = 0;

    while (n > 0 && n % 1024 == 0 && u + 1 < ARRAY_SIZE(units)) {
        n /= 1024;
        u++;
    }
    if (u == 0 && n <= INT64_MAX)
        (void)fprintf(out, "%" PRIu64, n);
    else
        (void)fprintf(out, "\"%" PRIu64 "%s\"", n, units[u]);
}

static void print_value(const struct option *o, void *field, FILE *out)
{
    switch (o->type) {
    case OPTION_STRING:
    case OPTION_PATH:
        print_string(*(char **)field ? *(char **)field : "", out);
        break;
    case OPTION_STRV:
        print_strv(*(char ***)field, out);
        break;
    case OPTION_BOOL:
        (void)fputs(*(bool *)field ? "true" : "false", out);
        break;
    case OPTION_INT:
        (void)fprintf(out, "%" PRId64, *(int64_t *)field);
        break;
    case OPTION_SECONDS:
        print_seconds(*(nsec_t *)field, out);
        break;
    case OPTION_BYTES:
        print_bytes(*(uint64_t *)field, out);
        break;
    case OPTION_TABLES:
        break; /* print_tables() */
    }
}

static void print_tables(const struct option *o, json_t *tables, FILE *out)
{
    const char *name;
    json_t *v;

    json_object_foreach (tables, name, v) {
        (void)fprintf(out, "%s.", o->key);
        print_key(name, out);
        (void)fputs(" = ", out);
        print_json(v, out);
        (void)fputc('\n', out);
    }
}

static const char *unit(enum option_type type)
{
    if (type == OPTION_SECONDS)
        return " seconds";
    return type == OPTION_BYTES ? " bytes" : "";
}

static void print_help(const struct option *o, FILE *out)
{
    for (const char *line = o->help ? o->help : ""; *line;) {
        size_t len = strcspn(line, "\n");

        (void)fprintf(out, "# %.*s\n", (int)len, line);
        line += len + (line[len] == '\n');
    }
    if (o->min != 0 || o->max != 0)
        (void)fprintf(out, "# %" PRId64 " to %" PRId64 "%s\n", o->min, o->max, unit(o->type));
}

void options_print(const struct option_table *tables, size_t n, FILE *out)
{
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < tables[i].n; k++) {
            const struct option *o = &tables[i].options[k];
            void *field = option_field(&tables[i], o);

            print_help(o, out);
            if (o->type == OPTION_TABLES) {
                print_tables(o, *(json_t **)field, out);
            } else {
                (void)fprintf(out, "%s = ", o->key);
                print_value(o, field, out);
                (void)fputc('\n', out);
            }
            (void)fputc('\n', out);
        }
    }
}
