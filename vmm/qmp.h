/* SPDX-License-Identifier: Apache-2.0 */
/*
 * qmp - QEMU's machine protocol, as much of it as a daemon needs: greet, run, press the power
 * button, serve a debugger. The other end is hostile: an answer is one line of bounded length,
 * parsed strictly; events between answers are passed over, a bounded number of them.
 */
#ifndef UNICRI_VMM_QMP_H
#define UNICRI_VMM_QMP_H

#include <stdbool.h>
#include <stddef.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"

#define QMP_LINE_MAX_BYTES 65536
#define QMP_EVENTS_MAX     256 /* passed over while one answer is waited for */

enum qmp_kind { QMP_GREETING, QMP_RETURN, QMP_ERROR, QMP_EVENT };
struct qmp_message {
    enum qmp_kind kind;
    char words[256]; /* of an error: its description; of an event: its name; of an answer: its text,
                        or its member "status"; printable */
};
/** qmp_parse() - one line. Errors: CORRUPT. */
int qmp_parse(const char *line, size_t len, struct qmp_message *ret, struct err *err) MUST_CHECK;

struct qmp; /* a connection on which commands can be given */
/** qmp_open() - on a fresh connection, which stays the caller's: greeting, capabilities. All that
 * follows has the same deadline. Returns: owned; NULL. Errors: as qmp_run(). */
struct qmp *qmp_open(int fd, deadline_t deadline, struct err *err);
void qmp_close(struct qmp *q);
DEFINE_CLEANUP(struct qmp *, qmp_close);
#define autoqmp CLEANUP(qmp_close_cleanup) struct qmp
/** qmp_ask() - one command and its answer. `arguments`: a JSON object of ours, or NULL; `pass`: a
 * descriptor that goes along, or -1. *ret may be NULL. Errors: as qmp_run(). */
int qmp_ask(struct qmp *q, const char *command, const char *arguments, int pass,
            struct qmp_message *ret, struct err *err) MUST_CHECK;

/** qmp_run() - on a fresh connection: greeting, capabilities, `command` (without arguments), its
 * answer. @may_end: QEMU may end before it answers the command; that is success. Errors: DEADLINE,
 * UNAVAILABLE (QEMU's words, or it hung up), CORRUPT. */
int qmp_run(int fd, const char *command, bool may_end, deadline_t deadline,
            struct err *err) MUST_CHECK;

#endif
