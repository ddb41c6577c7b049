/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unicri-debug - one command of `kubectl exec POD -- unicri:COMMAND` on a guest. The daemon starts
 * one process for each (sandbox/guest_debug.c writes the command line) and gives it the client's
 * stdio; it lives as long as the client, and dies by SIGTERM without leaving a trace in the guest.
 *
 *   unicri-debug COMMAND [--pid=N --start=T --backend=spt|hvt --memory=BYTES] [--kernel-fd=N]
 *                [--log-fd=N] [--attach-fd=N [--input]] [--netns-fd=N --tap=NAME] [--uid=N]
 *                [--once] [--core-max=N] [--rsp-fd=N] [--core-fd=N] -- [ARGUMENT...]
 *
 *   --pid, --start  the VMM and when it started; --backend, --memory as the tender was told.
 *   --kernel-fd     the guest's ELF file, for the names of its functions.
 *   --log-fd        the container's log; --attach-fd a packet socket of its monitor.
 *   --netns-fd      the pod's network namespace, where TAP is.
 *   --uid           whose rights are left once all of this is open.
 *   --once          output has an end: no following.
 *   --leftovers-fd  gdb of spt guests: a file of struct leftovers.
 *   --core-max      watch, core of a crashed guest: how large a file on stdout may become.
 *   --rsp-fd        a socket on which the VMM itself serves GDB's protocol: nothing is traced then;
 *   --core-fd       a pipe to which the VMM itself writes a core file.
 *
 * Everything that needs rights is opened first; then the process shuts itself in (shut.c: no files,
 * no capabilities, a user of its own, a few system calls); only then it looks at data. The guest's
 * memory, its kernel file, its console and its frames are hostile.
 */
#ifndef UNICRI_SANDBOX_DEBUG_DEBUG_H
#define UNICRI_SANDBOX_DEBUG_DEBUG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/mem.h"

/* Exit statuses. */
#define DEBUG_FAILED 1
#define DEBUG_USAGE  2

struct debug_options {
    const char *command;
    pid_t pid;
    uint64_t start_time;
    bool hvt;
    uint64_t memory;
    int kernel_fd, log_fd, attach_fd, netns_fd, rsp_fd, core_fd; /* -1: not given */
    int leftovers_fd;                                            /* gdb, spt: see leftovers.h */
    bool input, once;
    uint64_t core_max; /* bytes of a core file that watch writes */
    const char *tap;
    uint32_t uid;      /* 0: stay, for tests that are not root */
    char *const *args; /* NULL terminated */
};

/* A command: `open` with all rights, `run` shut in. Both return 0 or -1 with err. */
struct debug_command {
    const char *name;
    bool traces; /* it needs the VMM's process */
    int (*open)(const struct debug_options *o, struct err *err);
    int (*run)(const struct debug_options *o, struct err *err);
};
extern const struct debug_command debug_console, debug_regs, debug_pcap, debug_gdb, debug_core,
    debug_watch, debug_vmm_regs, debug_vmm_gdb, debug_vmm_core;

/* ---- shut.c */

/** shut_in() - give up everything but open descriptors. `pid` is the only process that may be
 * traced; 0: none. `file_bytes`: how large a file may be written. */
int shut_in(uint32_t uid, pid_t pid, uint64_t file_bytes, struct err *err) MUST_CHECK;

/* ---- output.c */

#define OUTPUT_PATIENCE_MS 30000 /* for a client that does not read */

/** output_write() - all of it to stdout; the client has OUTPUT_PATIENCE_MS for each piece.
 * Errors: CANCELLED when it has gone, DEADLINE when it does not read. */
int output_write(const void *data, size_t len, struct err *err) MUST_CHECK;
/** output_text() - the same with control bytes other than newline replaced: for a person. */
int output_text(const char *text, size_t len, struct err *err) MUST_CHECK;
/** output_note() - a line on stderr; what cannot be written is dropped. */
void output_note(const char *fmt, ...) PRINTF(1, 2);

/* ---- end.c */

/** end_prepare() - SIGTERM, SIGINT, SIGHUP and SIGCHLD wait to be asked for. */
int end_prepare(struct err *err) MUST_CHECK;
/** end_fd() - readable when one of them has come. */
int end_fd(void);
/** end_asked() - take what has come. Returns: true when the process is to end. */
bool end_asked(void);
/** end_defer() - from here on nothing but SIGKILL ends the process. */
void end_defer(void);

#endif
