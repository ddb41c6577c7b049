/* SPDX-License-Identifier: Apache-2.0 */
/* clock - see clock.h. */
#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BOOT_ID_LEN 36

static nsec_t now(clockid_t clock)
{
    struct timespec ts;

    (void)clock_gettime(clock, &ts);
    return (nsec_t)ts.tv_sec * NSEC_PER_SEC + ts.tv_nsec;
}

nsec_t clock_mono(void)
{
    return now(CLOCK_MONOTONIC);
}

nsec_t clock_wall(void)
{
    return now(CLOCK_REALTIME);
}

deadline_t deadline_in(nsec_t from_now)
{
    deadline_t d;

    if (__builtin_add_overflow(clock_mono(), from_now, &d))
        return from_now < 0 ? 0 : DEADLINE_NEVER;
    return d;
}

deadline_t deadline_min(deadline_t a, deadline_t b)
{
    return a < b ? a : b;
}

nsec_t deadline_left(deadline_t d)
{
    nsec_t t;

    if (d == DEADLINE_NEVER)
        return INT64_MAX;
    t = clock_mono();
    return d > t ? d - t : 0;
}

bool deadline_passed(deadline_t d)
{
    return deadline_left(d) == 0;
}

int deadline_poll_ms(deadline_t d)
{
    nsec_t left = deadline_left(d), ms;

    if (d == DEADLINE_NEVER)
        return -1;
    ms = left / NSEC_PER_MSEC + (left % NSEC_PER_MSEC != 0);
    return ms > INT_MAX ? INT_MAX : (int)ms;
}

void clock_sleep_until(deadline_t d)
{
    struct timespec ts = {.tv_sec = d / NSEC_PER_SEC, .tv_nsec = d % NSEC_PER_SEC};

    if (deadline_passed(d))
        return;
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL) == EINTR)
        ;
}

static char boot_id_text[BOOT_ID_LEN + 1];

static void boot_id_read(void)
{
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    char buf[BOOT_ID_LEN];

    if (fd < 0)
        return;
    if (read(fd, buf, sizeof(buf)) == (ssize_t)sizeof(buf))
        memcpy(boot_id_text, buf, sizeof(buf));
    (void)close(fd);
}

const char *boot_id(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    (void)pthread_once(&once, boot_id_read);
    return boot_id_text;
}
