/* SPDX-License-Identifier: Apache-2.0 */
/*
 * monitor_client - the daemon's end of a container's monitor process (sandbox/monitor/monitor.h is
 * the contract): start it with what it shall run, hear whether that runs, talk to its control
 * socket, find it again. Thread: any; each function blocks up to its deadline.
 */
#ifndef UNICRI_SANDBOX_MONITOR_CLIENT_H
#define UNICRI_SANDBOX_MONITOR_CLIENT_H

#include "base/child.h"
#include "base/strbuf.h"
#include "sandbox/engine.h"
#include "sandbox/monitor/monitor.h"

#define MONITOR_FDS_MAX (CHILD_FDS_MAX - 5) /* 2 to 6 are taken */

/* What the monitor shall do: text and descriptors. */
struct monitor_plan {
    struct strbuf text;
    struct {
        int fd;
        bool own;
    } fds[MONITOR_FDS_MAX]; /* the i-th is MONITOR_FIRST_FD + i there */
    size_t n_fds;
};
#define MONITOR_PLAN_INIT                                                                          \
    {                                                                                              \
        .text = STRBUF_INIT                                                                        \
    }
void monitor_plan_done(struct monitor_plan *plan);
static inline void monitor_plan_cleanup(struct monitor_plan *plan)
{
    monitor_plan_done(plan);
}
#define automonitor_plan CLEANUP(monitor_plan_cleanup) struct monitor_plan

/** monitor_field() - append `key=value`. */
void monitor_field(struct monitor_plan *plan, const char *key, const char *value);
void monitor_field_int(struct monitor_plan *plan, const char *key, int64_t value);
/** monitor_fd() - hand over a descriptor. Returns: its number there, or -1. With `own` it is closed
 * by monitor_plan_done(), also on error. Errors: EXHAUSTED. */
int monitor_fd(struct monitor_plan *plan, int fd, bool own, struct err *err) MUST_CHECK;

/**
 * monitor_spawn() - start the monitor and wait for its report.
 * On failure (also at the deadline) it is killed and reaped; what the workload left is the caller's
 * to clean by its cgroup.
 */
int monitor_spawn(struct engine *engine, const char *id, const char *run_dir,
                  const struct monitor_plan *plan, deadline_t deadline,
                  struct process *ret_workload, struct process *ret_monitor,
                  struct err *err) MUST_CHECK;
/** monitor_reap() - take the end of a monitor that is our child; waits a little for it. Returns:
 * true when it has been reaped. */
bool monitor_reap(const struct process *monitor, deadline_t deadline);
/** monitor_ended() - a monitor that is our child has ended, reaped or not. One system call. */
bool monitor_ended(const struct process *monitor);
/** monitor_find() - the monitor of a container by its command line, when no row knows its pid.
 * Returns: false when there is none. */
bool monitor_find(const char *id, struct process *ret);
/** monitor_kill() - SIGKILL, and wait for its end. */
void monitor_kill(const struct process *monitor, bool is_child, deadline_t deadline);
/** monitor_ask() - one message, one answer: what follows "ok" into `answer`. Errors: NOT_FOUND (no
 * socket), UNAVAILABLE, DEADLINE, and what the monitor says. */
int monitor_ask(const char *run_dir, const char *message, deadline_t deadline, char *answer,
                size_t size, struct err *err) MUST_CHECK;
/** monitor_attach() - a connection that carries stdio from now on, non-blocking. Returns: fd or -1.
 * Errors: as monitor_ask(). */
int monitor_attach(const char *run_dir, bool in, deadline_t deadline, struct err *err);
/** monitor_parse_ok() - "PID START_TIME". */
int monitor_parse_ok(const char *text, struct process *ret, struct err *err) MUST_CHECK;

/* The exit file. */
struct exit_status {
    bool exited; /* else by signal */
    int code;    /* or the signal's number */
    nsec_t finished_at;
    bool oom;
    bool helper; /* killed because its helper had ended */
    char message[1024];
    char console[1024]; /* of a VMM: the last lines of its console; "" none */
};
/** exit_status_parse() - Errors: CORRUPT. */
int exit_status_parse(const char *text, struct exit_status *ret, struct err *err) MUST_CHECK;

#endif
