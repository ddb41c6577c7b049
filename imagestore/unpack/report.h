/* SPDX-License-Identifier: Apache-2.0 */
/*
 * report - what unicri-unpack says to the daemon on descriptor UNPACK_REPORT_FD, once, at its end:
 * records, each ended by a NUL byte, the first byte its kind. The daemon trusts none of it beyond
 * this grammar.
 *
 *   'O' PATH   this directory is opaque (the child may not set trusted.overlay.opaque itself)
 *   'I' PATH   this directory was made because something lies in it, without an entry of its own
 *   'E' CODE ':' MESSAGE   it failed; CODE is a name of unpack_errors[]
 *   'R' "compressed=SHA diff=SHA in=N out=N entries=N bytes=N inodes=N skipped=N"   it is done
 */
#ifndef UNICRI_IMAGESTORE_UNPACK_REPORT_H
#define UNICRI_IMAGESTORE_UNPACK_REPORT_H

#include "base/err.h"

#define UNPACK_REPORT_FD        3
#define UNPACK_REPORT_MAX_BYTES (4 * 1024 * 1024)
#define UNPACK_MARKS_MAX        65536 /* 'O' and 'I' records */

struct unpack_error {
    const char *name;
    enum err_code code;
};
static const struct unpack_error unpack_errors[] = {
    {"invalid", ERR_INVALID},         {"corrupt", ERR_CORRUPT}, {"exhausted", ERR_EXHAUSTED},
    {"unsupported", ERR_UNSUPPORTED}, {"denied", ERR_DENIED},   {"internal", ERR_INTERNAL},
};

#endif
