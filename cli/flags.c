/* SPDX-License-Identifier: Apache-2.0 */
/* flags - option parsing and help of the commands; see cli.h. Built on getopt_long. */
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/strbuf.h"
#include "cli/cli.h"

#define FLAGS_MAX 24
#define HELP_CODE 1000

int complain(const struct err *err)
{
    fprintf(stderr, "unicri: %s\n", err->msg);
    return 1;
}

int usage_error(const char *command, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fprintf(stderr, "unicri %s: ", command);
    vfprintf(stderr, fmt, ap);
    fprintf(stderr, "\nSee `unicri %s --help`.\n", command);
    va_end(ap);
    return 2;
}

static void print_help(const struct command *command, const struct flag *flags, size_t n)
{
    printf("unicri %s %s\n\n%s\n", command->name, command->usage, command->summary);
    if (n > 0)
        printf("\nOptions:\n");
    for (size_t i = 0; i < n; i++) {
        char left[64];
        char letter[8] = "    ";
        if (flags[i].letter)
            (void)snprintf(letter, sizeof(letter), "-%c, ", flags[i].letter);
        (void)snprintf(left, sizeof(left), "%s--%s%s%s", letter, flags[i].name,
                       flags[i].arg ? " " : "", flags[i].arg ? flags[i].arg : "");
        printf("  %-30s %s\n", left, flags[i].help);
    }
    printf("  %-30s %s\n", "    --help", "this text");
}

/* "64MiB", "1GiB", "512k", "1000": bytes. */
static int parse_bytes(const char *text, uint64_t *ret)
{
    static const struct {
        const char *suffix;
        uint64_t factor;
    } units[] = {{"KiB", 1024},   {"MiB", 1 << 20},   {"GiB", 1 << 30}, {"kB", 1000},
                 {"MB", 1000000}, {"GB", 1000000000}, {"k", 1024},      {"K", 1024},
                 {"Ki", 1024},    {"Mi", 1 << 20},    {"Gi", 1 << 30},  {"m", 1 << 20},
                 {"M", 1 << 20},  {"g", 1 << 30},     {"G", 1 << 30},   {"", 1}};
    char *end;
    errno = 0;
    unsigned long long v = strtoull(text, &end, 10);
    if (errno || end == text || text[0] == '-')
        return -1;
    for (size_t i = 0; i < ARRAY_SIZE(units); i++)
        if (str_eq(end, units[i].suffix))
            return __builtin_mul_overflow(v, units[i].factor, ret) ? -1 : 0;
    return -1;
}

static int parse_seconds(const char *text, nsec_t *ret)
{
    char *end;
    errno = 0;
    double v = strtod(text, &end);
    if (errno || end == text || !(v >= 0 && v < 1e8))
        return -1;
    if (str_eq(end, "ms"))
        v /= 1000;
    else if (str_eq(end, "m"))
        v *= 60;
    else if (*end && !str_eq(end, "s"))
        return -1;
    *ret = (nsec_t)(v * (double)NSEC_PER_SEC);
    return 0;
}

static int flag_apply(const struct flag *flag, const char *arg)
{
    switch (flag->type) {
    case FLAG_BOOL:
        *(bool *)flag->value = true;
        return 0;
    case FLAG_STRING:
        *(const char **)flag->value = arg;
        return 0;
    case FLAG_STRV:
        strv_push((char ***)flag->value, arg);
        return 0;
    case FLAG_BYTES:
        return parse_bytes(arg, flag->value);
    case FLAG_SECONDS:
        return parse_seconds(arg, flag->value);
    }
    return -1;
}

int flags_parse(const struct command *command, const struct flag *flags, size_t n,
                bool operands_end, int argc, char **argv)
{
    struct option longs[FLAGS_MAX + 2] = {{0}};
    char shorts[2 * FLAGS_MAX + 4];
    size_t s = 0;
    shorts[s++] = operands_end ? '+' : ':';
    if (operands_end)
        shorts[s++] = ':';
    for (size_t i = 0; i < n && i < FLAGS_MAX; i++) {
        int arg = flags[i].type == FLAG_BOOL ? no_argument : required_argument;
        longs[i] = (struct option){flags[i].name, arg, NULL, (int)i + 1};
        if (flags[i].letter) {
            shorts[s++] = flags[i].letter;
            if (arg == required_argument)
                shorts[s++] = ':';
        }
    }
    shorts[s] = '\0';
    longs[n] = (struct option){"help", no_argument, NULL, HELP_CODE};

    opterr = 0;
    optind = 0; /* glibc: start anew, argv[0] is the command's name */
    int c;
    while ((c = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
        if (c == HELP_CODE) {
            print_help(command, flags, n);
            exit(0);
        }
        if (c == '?')
            exit(usage_error(command->name, "unknown option '%s'", argv[optind - 1]));
        if (c == ':')
            exit(usage_error(command->name, "option '%s' needs a value", argv[optind - 1]));
        const struct flag *flag = NULL;
        for (size_t i = 0; i < n; i++)
            if (c == (int)i + 1 || (flags[i].letter && c == flags[i].letter))
                flag = &flags[i];
        if (!flag || flag_apply(flag, optarg) < 0)
            exit(usage_error(command->name, "--%s: '%s' is not a valid value",
                             flag ? flag->name : "?", optarg ? optarg : ""));
    }
    return optind;
}
