/* SPDX-License-Identifier: Apache-2.0 */
/* print - tables and small texts for people; see cli.h. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/strbuf.h"
#include "base/utf8.h"
#include "cli/cli.h"

#define TABLE_COLUMNS_MAX 12

struct table {
    size_t columns;
    size_t rows;
    char **cells; /* columns * rows, owned; the titles are row 0 */
};

static void add_row(struct table *t, const char *const *cells)
{
    t->cells = xrealloc_array(t->cells, (t->rows + 1) * t->columns, sizeof(char *));
    for (size_t i = 0; i < t->columns; i++)
        t->cells[t->rows * t->columns + i] = printable(cells[i]);
    t->rows++;
}

struct table *table_new(const char *const *titles)
{
    struct table *t = XNEW(struct table);
    while (titles[t->columns])
        t->columns++;
    add_row(t, titles);
    return t;
}

void table_row(struct table *t, ...)
{
    const char *cells[TABLE_COLUMNS_MAX];
    va_list ap;
    va_start(ap, t);
    for (size_t i = 0; i < t->columns && i < TABLE_COLUMNS_MAX; i++)
        cells[i] = va_arg(ap, const char *);
    va_end(ap);
    add_row(t, cells);
}

void table_print_free(struct table *t)
{
    size_t width[TABLE_COLUMNS_MAX] = {0};
    for (size_t i = 0; i < t->rows * t->columns; i++) {
        size_t len = strlen(t->cells[i]);
        if (len > width[i % t->columns])
            width[i % t->columns] = len;
    }
    for (size_t i = 0; i < t->rows * t->columns; i++) {
        bool last = i % t->columns == t->columns - 1;
        if (last)
            printf("%s\n", t->cells[i]);
        else
            printf("%-*s  ", (int)width[i % t->columns], t->cells[i]);
        free(t->cells[i]);
    }
    free(t->cells);
    free(t);
}

char *printable(const char *text)
{
    char *copy = xstrdup(text ? text : "");
    bool utf8 = str_is_utf8(copy, strlen(copy));
    for (char *p = copy; *p; p++) {
        unsigned char c = (unsigned char)*p;
        if (c < 0x20 || c == 0x7f || (c >= 0x80 && !utf8))
            *p = '?';
    }
    return copy;
}

const char *age(nsec_t since)
{
    static _Thread_local char text[32];
    int64_t s = (clock_wall() - since) / NSEC_PER_SEC;
    if (since <= 0)
        return "-";
    if (s < 120)
        (void)snprintf(text, sizeof(text), "%lld s", (long long)(s < 0 ? 0 : s));
    else if (s < 7200)
        (void)snprintf(text, sizeof(text), "%lld min", (long long)(s / 60));
    else if (s < 48 * 3600)
        (void)snprintf(text, sizeof(text), "%lld h", (long long)(s / 3600));
    else
        (void)snprintf(text, sizeof(text), "%lld d", (long long)(s / 86400));
    return text;
}

const char *bytes_text(uint64_t bytes)
{
    static _Thread_local char text[32];
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB"};
    double v = (double)bytes;
    size_t u = 0;
    while (v >= 1000 && u + 1 < ARRAY_SIZE(units)) {
        v /= 1000;
        u++;
    }
    (void)snprintf(text, sizeof(text), u == 0 ? "%.0f %s" : "%.1f %s", v, units[u]);
    return text;
}
