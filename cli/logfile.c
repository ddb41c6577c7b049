/* SPDX-License-Identifier: Apache-2.0 */
/*
 * logfile - reads the CRI log format, `TIME STREAM TAG TEXT`, and prints the text: stdout to
 * stdout, stderr to stderr, parts (tag P) without a line end. See cli.h.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/strbuf.h"
#include "cli/cli.h"

#define LOG_READ_MAX_BYTES (64 * 1024) /* the daemon cuts lines at 16 KiB by default */

/* Offset of the line that is `lines` from the end. */
static long tail_offset(FILE *f, uint64_t lines)
{
    char buf[4096];
    if (fseek(f, 0, SEEK_END) < 0)
        return 0;
    long pos = ftell(f);
    uint64_t seen = 0;
    while (pos > 0) {
        long n = pos < (long)sizeof(buf) ? pos : (long)sizeof(buf);
        pos -= n;
        if (fseek(f, pos, SEEK_SET) < 0 || fread(buf, 1, (size_t)n, f) != (size_t)n)
            return 0;
        for (long i = n - 1; i >= 0; i--)
            if (buf[i] == '\n' && seen++ == lines)
                return pos + i + 1;
    }
    return 0;
}

static void print_line(char *line, size_t len, bool timestamps)
{
    char *stream = memchr(line, ' ', len);
    bool is_stderr = stream && str_has_prefix(stream, " stderr ");
    char *tag = stream && (is_stderr || str_has_prefix(stream, " stdout "))
                    ? strchr(stream + 1, ' ')
                    : NULL;
    char *text = tag && (tag[1] == 'P' || tag[1] == 'F') ? strchr(tag + 1, ' ') : NULL;
    if (!text)
        return; /* not a log line */
    FILE *out = is_stderr ? stderr : stdout;
    if (timestamps)
        fprintf(out, "%.*s ", (int)(stream - line), line);
    bool partial = tag[1] == 'P';
    size_t n = len - (size_t)(text + 1 - line);
    if (partial && n > 0 && text[n] == '\n')
        n--;
    (void)fwrite(text + 1, 1, n, out);
}

int logs_copy(const char *path, int64_t *offset, uint64_t tail_lines, bool timestamps,
              struct err *err)
{
    autofile FILE *f = fopen(path, "re");
    if (!f)
        return errno == ENOENT ? 0 : err_sys(err, "open '%s'", path);
    long at = (long)*offset;
    if (at == 0 && tail_lines > 0)
        at = tail_offset(f, tail_lines);
    if (fseek(f, 0, SEEK_END) == 0 && ftell(f) < at)
        at = 0; /* a new file after rotation */
    if (fseek(f, at, SEEK_SET) < 0)
        return err_sys(err, "seek '%s'", path);
    autofree char *line = xmalloc(LOG_READ_MAX_BYTES);
    while (fgets(line, LOG_READ_MAX_BYTES, f)) {
        long end = ftell(f);
        size_t len = (size_t)(end - at);
        if (len == 0 || line[len - 1] != '\n')
            break; /* still being written */
        print_line(line, len, timestamps);
        at = end;
    }
    *offset = at;
    (void)fflush(stdout);
    return 0;
}
