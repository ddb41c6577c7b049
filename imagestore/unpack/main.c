/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unicri-unpack - one layer, or with NAME one file of an artifact: from standard input into the
 * current directory, which becomes this process's whole world first (confine.c). Its only other
 * output is the report on UNPACK_REPORT_FD (report.h).
 *
 *     unicri-unpack MAX_BYTES MAX_ENTRIES CPU_SECONDS UID MIN_FREE_BYTES [NAME]
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/strbuf.h"
#include "imagestore/unpack/confine.h"
#include "imagestore/unpack/decompress.h"
#include "imagestore/unpack/raw.h"
#include "imagestore/unpack/report.h"
#include "imagestore/unpack/untar.h"

/* Plain bytes besides file contents: headers and padding, at most this much for one entry. */
#define ENTRY_OVERHEAD UINT64_C(4096)

static ssize_t from_decompress(void *arg, const void **ret, struct err *err)
{
    return decompress_next(arg, ret, err);
}

static int parse_args(int argc, char **argv, struct untar_limits *limits,
                      struct confine_limits *confined, const char **name, struct err *err)
{
    static const char *const names[] = {"MAX_BYTES", "MAX_ENTRIES", "CPU_SECONDS", "UID",
                                        "MIN_FREE_BYTES"};
    unsigned long long v[ARRAY_SIZE(names)];
    if (argc != (int)ARRAY_SIZE(names) + 1 && argc != (int)ARRAY_SIZE(names) + 2)
        return err_set(err, ERR_INVALID,
                       "usage: unicri-unpack MAX_BYTES MAX_ENTRIES CPU_SECONDS UID MIN_FREE_BYTES "
                       "[NAME]");
    *name = argv[ARRAY_SIZE(names) + 1]; /* NULL: none */
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (parse_u64(argv[i + 1], INT64_MAX / 2, names[i], &v[i], err) < 0)
            return -1;
    *limits = (struct untar_limits){.max_bytes = v[0], .max_entries = v[1], .min_free = v[4]};
    *confined = (struct confine_limits){v[0], v[2], (uint32_t)v[3]};
    return 0;
}

static int work(const struct untar_limits *limits, const char *name, struct strbuf *report,
                struct err *err)
{
    uint64_t overhead = limits->max_entries > UINT64_MAX / 4 / ENTRY_OVERHEAD
                            ? UINT64_MAX / 4
                            : limits->max_entries * ENTRY_OVERHEAD;
    struct decompress *d = decompress_new(STDIN_FILENO, limits->max_bytes + overhead);
    struct untar_totals t = {0};
    struct decompress_totals io = {0};
    if (name)
        decompress_raw(d);
    int r = name ? raw(from_decompress, d, name, limits, &t, err)
                 : untar(from_decompress, d, limits, report, &t, err);
    if (r == 0) {
        decompress_end(d, &io);
        strbuf_addf(report,
                    "Rcompressed=%s diff=%s in=%" PRIu64 " out=%" PRIu64 " entries=%" PRIu64
                    " bytes=%" PRIu64 " inodes=%" PRIu64 " skipped=%" PRIu64,
                    io.compressed, io.plain, io.in, io.out, t.entries, t.bytes, t.inodes,
                    t.skipped);
        strbuf_addc(report, '\0');
    }
    decompress_free(d);
    return r;
}

static const char *code_name(enum err_code code)
{
    for (size_t i = 0; i < ARRAY_SIZE(unpack_errors); i++)
        if (unpack_errors[i].code == code)
            return unpack_errors[i].name;
    return "internal";
}

int main(int argc, char **argv)
{
    struct err err = ERR_INIT, ignored = ERR_INIT;
    struct untar_limits limits;
    struct confine_limits confined;
    const char *name = NULL;
    autostrbuf report = STRBUF_INIT;
    int r = parse_args(argc, argv, &limits, &confined, &name, &err);
    if (r == 0)
        r = confine(&confined, &err);
    if (r == 0)
        r = work(&limits, name, &report, &err);
    if (r < 0) {
        strbuf_clear(&report);
        strbuf_addf(&report, "E%s:%s", code_name(err.code), err.msg);
        strbuf_addc(&report, '\0');
    }
    int w = fs_write_all(UNPACK_REPORT_FD, report.s, report.len, &ignored);
    _exit(r < 0 || w < 0 ? EXIT_FAILURE : EXIT_SUCCESS);
}
