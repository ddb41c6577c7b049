/* SPDX-License-Identifier: Apache-2.0 */
/*
 * watch - no command of a client: where a handler wants core files of crashes, the daemon starts it
 * with each guest. It waits for a fault, writes the guest to stdout, a file, and lets the fault
 * have its way. SIGTERM, when somebody else wants to trace the guest: it goes without a trace,
 * unless it is writing.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include "sandbox/debug/core_file.h"

static int dump(const struct debug_options *o, struct err *err)
{
    struct core_request q = {.kernel_fd = o->kernel_fd,
                             /* a tender traps for its guest, which has stopped its processor */
                             .signal = o->hvt ? SIGSEGV : tracee.signal,
                             .max_bytes = o->core_max};
    struct err why = ERR_INIT;
    uint64_t bytes;

    end_defer();
    if (core_file_write(&q, &bytes, &why) < 0) {
        if (ftruncate(STDOUT_FILENO, 0) < 0) /* half a core file is none */
            output_note("the core file is not whole");
        output_note("%s", why.msg);
    }
    return tracee_let_die(err);
}

static int run(const struct debug_options *o, struct err *err)
{
    struct pollfd p = {.fd = end_fd(), .events = POLLIN};

    for (;;) {
        while (tracee_wait(0)) {
            if (tracee.state == TRACEE_ENDED)
                return 0;
            if (tracee_fault(tracee.signal))
                return dump(o, err);
            if (tracee_resume(false, tracee.signal, err) < 0)
                return -1;
        }
        if (poll(&p, 1, -1) < 0 && errno != EINTR)
            return err_sys(err, "wait");
        if (end_asked())
            return 0;
    }
}

const struct debug_command debug_watch = {.name = "watch", .traces = true, .run = run};
