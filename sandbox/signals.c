/* SPDX-License-Identifier: Apache-2.0 */
/* signals - the CRI's Signal enum and the names images use, as numbers of this kernel. */
#include <ctype.h>
#include <signal.h>
#include <string.h>
#include <strings.h>

#include "base/strbuf.h"
#include "sandbox/container.h"

/* The kernel's real-time range; libc's SIGRTMIN is moved by its threads. */
#define RT_MIN 34
#define RT_MAX 64

/* In the order of the CRI's enum, which starts at 1. */
static const struct {
    const char *name;
    int number;
} table[] = {
    {"ABRT", SIGABRT}, {"ALRM", SIGALRM}, {"BUS", SIGBUS},       {"CHLD", SIGCHLD},
    {"CLD", SIGCHLD},  {"CONT", SIGCONT}, {"FPE", SIGFPE},       {"HUP", SIGHUP},
    {"ILL", SIGILL},   {"INT", SIGINT},   {"IO", SIGIO},         {"IOT", SIGABRT},
    {"KILL", SIGKILL}, {"PIPE", SIGPIPE}, {"POLL", SIGPOLL},     {"PROF", SIGPROF},
    {"PWR", SIGPWR},   {"QUIT", SIGQUIT}, {"SEGV", SIGSEGV},     {"STKFLT", SIGSTKFLT},
    {"STOP", SIGSTOP}, {"SYS", SIGSYS},   {"TERM", SIGTERM},     {"TRAP", SIGTRAP},
    {"TSTP", SIGTSTP}, {"TTIN", SIGTTIN}, {"TTOU", SIGTTOU},     {"URG", SIGURG},
    {"USR1", SIGUSR1}, {"USR2", SIGUSR2}, {"VTALRM", SIGVTALRM}, {"WINCH", SIGWINCH},
    {"XCPU", SIGXCPU}, {"XFSZ", SIGXFSZ},
};
#define CRI_RTMIN       35 /* and RTMIN+1 .. RTMIN+15 after it */
#define CRI_RTMAX_MINUS 51 /* RTMAX-14 .. RTMAX-1, RTMAX */
#define CRI_SIGNAL_LAST 65

static int number_of_cri(int signal)
{
    if (signal <= (int)ARRAY_SIZE(table))
        return table[signal - 1].number;
    if (signal < CRI_RTMAX_MINUS)
        return RT_MIN + signal - CRI_RTMIN;
    return RT_MAX - (CRI_SIGNAL_LAST - signal);
}

int container_signal_to_cri(int number)
{
    for (size_t i = 0; i < ARRAY_SIZE(table); i++)
        if (table[i].number == number)
            return (int)i + 1;
    for (int signal = CRI_RTMIN; signal <= CRI_SIGNAL_LAST; signal++)
        if (number_of_cri(signal) == number)
            return signal;
    return 0;
}

/* "RTMIN", "RTMIN+3", "RTMAX-2". Returns: 0 when it is none. */
static int number_of_rt(const char *name)
{
    unsigned long long n = 0;
    bool min = strncasecmp(name, "RTMIN", 5) == 0, max = strncasecmp(name, "RTMAX", 5) == 0;
    const char *rest = name + 5;

    if (!min && !max)
        return 0;
    if (*rest && (*rest != (min ? '+' : '-') ||
                  parse_u64(rest + 1, RT_MAX - RT_MIN, "signal", &n, NULL) < 0))
        return 0;
    return min ? RT_MIN + (int)n : RT_MAX - (int)n;
}

int container_signal_number(int cri_signal, const char *image_signal, int *ret, struct err *err)
{
    const char *name = image_signal;
    unsigned long long n;

    if (cri_signal < 0 || cri_signal > CRI_SIGNAL_LAST)
        return err_set(err, ERR_INVALID, "stop signal %d: not one of the API", cri_signal);
    *ret = cri_signal ? number_of_cri(cri_signal) : SIGTERM;
    if (cri_signal || !*image_signal)
        return 0;
    if (isdigit((unsigned char)*name)) {
        if (parse_u64(name, RT_MAX, "stop signal", &n, err) < 0)
            return -1;
        if (n == 0)
            return err_set(err, ERR_INVALID, "stop signal '%s' of the image: not a signal",
                           image_signal);
        *ret = (int)n;
        return 0;
    }
    if (strncasecmp(name, "SIG", 3) == 0)
        name += 3;
    for (size_t i = 0; i < ARRAY_SIZE(table); i++)
        if (strcasecmp(name, table[i].name) == 0) {
            *ret = table[i].number;
            return 0;
        }
    *ret = number_of_rt(name);
    return *ret ? 0
                : err_set(err, ERR_INVALID, "stop signal '%s' of the image: not a signal",
                          image_signal);
}
