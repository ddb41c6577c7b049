/* SPDX-License-Identifier: Apache-2.0 */
/*
 * logfile - the container's log in the CRI's format, one record a line:
 *     2026-01-31T12:00:00.123456789Z stdout F text
 * F ends a line; P is a piece of one that is longer than the limit, or that was not ended when the
 * stream ended. A CR before the LF is dropped.
 *
 * The workload is never made to wait for a log that cannot be written: on an error the records are
 * dropped and counted, and what was written of a record is taken back, so that the file always ends
 * with a whole line.
 */
#ifndef UNICRI_SANDBOX_MONITOR_LOGFILE_H
#define UNICRI_SANDBOX_MONITOR_LOGFILE_H

#include <limits.h>

#include "sandbox/monitor/spec.h"

struct log_stream {
    const char *name; /* "stdout" or "stderr" */
    char *line;       /* SPEC_LINE_MAX bytes: the line so far */
    size_t used;
};

struct logfile {
    char dir[PATH_MAX];
    char path[PATH_MAX]; /* below dir; "" when nothing is logged */
    int fd;              /* -1 when nothing is logged */
    size_t line_max;
    uint64_t written_bytes, dropped_bytes; /* of records */
    int dropped_code;                      /* errno of the last loss */
};

/** log_open() - create or append. With path NULL everything is swallowed. `dir` may be reached by
 * symbolic links, but below it none is followed: others may write there. */
int log_open(struct logfile *log, const char *dir, const char *path, size_t line_max,
             struct fault *f);
/** log_reopen() - open the path anew; when that fails the old file stays in use. */
int log_reopen(struct logfile *log, struct fault *f);
/** log_chunk() - bytes as they were read. */
void log_chunk(struct logfile *log, struct log_stream *stream, const char *data, size_t len);
/** log_end() - the stream has ended: what has no newline is written as P. */
void log_end(struct logfile *log, struct log_stream *stream);
/** log_release() - give the pages of the output buffer back to the system. */
void log_release(void);

#endif
