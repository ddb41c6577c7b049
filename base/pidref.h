/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pidref - a process as pid + start time (+ pidfd while held), safe against reuse of the number.
 * The pair (pid, start_time) may be stored in a row together with boot_id() and opened again later.
 */
#ifndef UNICRI_BASE_PIDREF_H
#define UNICRI_BASE_PIDREF_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"

struct pidref {
    pid_t pid;           /* 0: none */
    uint64_t start_time; /* field 22 of /proc/PID/stat, in clock ticks since boot */
    int fd;              /* pidfd, or -1 */
};
#define PIDREF_NONE ((struct pidref){.pid = 0, .start_time = 0, .fd = -1})

/** pidref_open() - take hold of a living process. With start_time != 0 it must match. Errors:
 * NOT_FOUND. */
int pidref_open(pid_t pid, uint64_t start_time, struct pidref *ret, struct err *err) MUST_CHECK;
/** pidref_open_child() - take hold of a child of ours that is not reaped yet, ended or not. Errors:
 * NOT_FOUND. */
int pidref_open_child(pid_t pid, struct pidref *ret, struct err *err) MUST_CHECK;
void pidref_done(struct pidref *p); /* closes; sets to none */
static inline void pidref_cleanup(struct pidref *p)
{
    pidref_done(p);
}
#define autopidref CLEANUP(pidref_cleanup) struct pidref
/** pidref_alive() - false for none, gone, zombie or another process with that number. */
bool pidref_alive(const struct pidref *p);
/** pidref_kill() - a process that is already gone is success. */
int pidref_kill(const struct pidref *p, int sig, struct err *err) MUST_CHECK;
/** pidref_wait_gone() - until it has ended (zombie counts as ended). Errors: DEADLINE. */
int pidref_wait_gone(const struct pidref *p, deadline_t deadline, struct err *err) MUST_CHECK;
/** pid_start_time() - 0 when there is no such process or it is a zombie. */
uint64_t pid_start_time(pid_t pid);

#endif
