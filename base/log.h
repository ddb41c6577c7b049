/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log - one line per event on stderr: time, level, message, and the rpc, pod and container of the
 * thread.
 *
 * Only outermost code logs (RPC handlers, loop callbacks, main, background jobs), once per error;
 * what lies below returns a `struct err`. Control bytes and invalid UTF-8 in messages are escaped,
 * lines are bounded, and credentials never get here (redact() at the place that builds the
 * message).
 */
#ifndef UNICRI_BASE_LOG_H
#define UNICRI_BASE_LOG_H

#include "base/err.h"

#define LOG_LINE_MAX_BYTES 2048

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

void log_set_level(enum log_level level);
enum log_level log_get_level(void);
/** log_level_parse() - "error", "warn", "info", "debug". */
int log_level_parse(const char *name, enum log_level *ret, struct err *err) MUST_CHECK;

void log_write(enum log_level level, const char *fmt, ...) PRINTF(2, 3);
#define log_error(...) log_write(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...)  log_write(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...)  log_write(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)                                                                             \
    do {                                                                                           \
        if (log_get_level() >= LOG_LEVEL_DEBUG)                                                    \
            log_write(LOG_LEVEL_DEBUG, __VA_ARGS__);                                               \
    } while (0)

/* What the current thread is working on; each NULL or a string that outlives the context. */
struct log_context {
    const char *rpc;
    const char *pod;
    const char *container;
};
/** log_context_set() - for this thread. Returns: the former one, to be set back. */
struct log_context log_context_set(struct log_context context);

#endif
