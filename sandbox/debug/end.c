/* SPDX-License-Identifier: Apache-2.0 */
/* end - signals come by a descriptor, so that no command is interrupted between changing the guest
 * and remembering it; see debug.h. */
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "sandbox/debug/debug.h"

static int fd = -1;
static bool asked;

int end_prepare(struct err *err)
{
    sigset_t set;

    (void)signal(SIGPIPE, SIG_IGN);
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGHUP);
    (void)sigaddset(&set, SIGCHLD);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
        return err_sys(err, "block signals");
    fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return fd < 0 ? err_sys(err, "make a signal descriptor") : 0;
}

int end_fd(void)
{
    return fd;
}

void end_defer(void)
{
    fd = close_fd(fd); /* the signals stay blocked */
    asked = false;
}

bool end_asked(void)
{
    struct signalfd_siginfo info;

    while (fd >= 0 && read(fd, &info, sizeof(info)) == sizeof(info))
        asked = asked || info.ssi_signo != SIGCHLD;
    return asked;
}
