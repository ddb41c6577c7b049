/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest_debug - what an exec of "unicri:COMMAND" in a unikernel is: a process unicri-debug that the
 * client's stdio goes to (sandbox/debug/debug.h). Each command is allowed by the handler
 * (key `debug`), none without.
 */
#ifndef UNICRI_SANDBOX_GUEST_DEBUG_H
#define UNICRI_SANDBOX_GUEST_DEBUG_H

#include "base/child.h"
#include "base/strbuf.h"
#include "sandbox/runtime.h"

enum {
    DEBUG_CONSOLE = 1 << 0,
    DEBUG_REGS = 1 << 1,
    DEBUG_PCAP = 1 << 2,
    DEBUG_GDB = 1 << 3,
    DEBUG_CORE = 1 << 4,
};

/** debug_allowed_parse() - a handler's `debug`: absent, true, false, or a list of names. Errors:
 * INVALID naming what there is. */
int debug_allowed_parse(const json_t *value, unsigned *ret, struct err *err) MUST_CHECK;
/** guest_exec_check() - can argv be run in this guest? Errors: UNSUPPORTED (an ordinary command:
 * what to do instead), DENIED (a command that its handler does not allow), INVALID. Memory only. */
int guest_exec_check(const struct container *c, char *const *argv, struct err *err) MUST_CHECK;

/* A debugger while it runs. */
struct guest_debug {
    struct pidref child;
    uint32_t uid; /* its own for as long as it runs; 0: none */
    bool traces;  /* the guest's watcher has stepped aside */
    bool session; /* see guest_session.h: to be ended */
};
struct guest_debug_ends {
    int fds[3];   /* the child's stdio; -1: none */
    bool tty, in; /* a terminal; does the client type? */
    bool once;    /* the client waits for the end */
};
/** guest_debug_start() - checked argv. The descriptors stay the caller's. Errors: DENIED,
 * UNSUPPORTED, STATE, EXHAUSTED. Blocks for the monitor's answer at most. */
int guest_debug_start(struct container *c, char *const *argv, const struct guest_debug_ends *ends,
                      deadline_t deadline, struct guest_debug *ret, struct err *err) MUST_CHECK;
/** guest_debug_end() - wait for its end, with `kill` ask for it: it takes back what it has changed
 * in the guest, and is killed when it does not. *ret_code as of a shell. Blocks a few seconds at
 * most. */
int guest_debug_end(struct container *c, struct guest_debug *d, bool kill, int *ret_code,
                    struct err *err) MUST_CHECK;
/** guest_debug_watch() - see guest_watch.h: a process that writes a core file to `core` when the
 * guest crashes, and why not to `why`. It is ours to reap. */
int guest_debug_watch(struct container *c, int core, int why, struct process *ret,
                      struct err *err) MUST_CHECK;
/** guest_debug_dump() - see guest_watch.h: a core file of a guest that its VMM holds, to `core`;
 * why there is none, to `why`. Blocks until it is written. */
int guest_debug_dump(struct container *c, int core, int why, struct err *err) MUST_CHECK;
/** guest_exec_sync() - runtime_ops.exec of guests. */
int guest_exec_sync(struct container *c, char *const *argv, nsec_t timeout,
                    const struct caller *caller, struct exec_result *ret, struct err *err);

#endif
