/* SPDX-License-Identifier: Apache-2.0 */
/*
 * clock - time. Waiting is always done against a deadline on CLOCK_MONOTONIC; the wall clock is
 * only shown to people (created_at, log lines), so a jump of it hurts nothing.
 */
#ifndef UNICRI_BASE_CLOCK_H
#define UNICRI_BASE_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

typedef int64_t nsec_t;     /* a duration or a wall-clock instant since 1970, in nanoseconds */
typedef int64_t deadline_t; /* an instant of CLOCK_MONOTONIC in nanoseconds */

#define NSEC_PER_SEC   INT64_C(1000000000)
#define NSEC_PER_MSEC  INT64_C(1000000)
#define NSEC_PER_USEC  INT64_C(1000)
#define DEADLINE_NEVER INT64_MAX

nsec_t clock_mono(void);                 /* now, CLOCK_MONOTONIC */
nsec_t clock_wall(void);                 /* now, since 1970 */
deadline_t deadline_in(nsec_t from_now); /* saturates at DEADLINE_NEVER */
deadline_t deadline_min(deadline_t a, deadline_t b);
bool deadline_passed(deadline_t d);
nsec_t deadline_left(deadline_t d); /* >= 0; INT64_MAX for NEVER */
int deadline_poll_ms(deadline_t d); /* for poll(): rounded up, -1 for NEVER */
/** clock_sleep_until() - sleeps to the deadline, EINTR included. */
void clock_sleep_until(deadline_t d);

/** boot_id() - this boot's id (36 characters), read once from the kernel; "" where it cannot be
 * read. */
const char *boot_id(void);

#endif
