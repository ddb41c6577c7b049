/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rsp - GDB's remote serial protocol, the server's side: bytes in, bytes out, a guest behind an ops
 * table. No I/O of its own, so that it can be fuzzed. rsp.c has packets, rsp_commands.c what they
 * ask for, breakpoints.c what is changed in the guest's code, where the target has no other way.
 *
 * One guest, one thread ("1"), stop mode "all". The guest is STOPPED when the session begins; a
 * packet that resumes it makes it RUNNING until rsp_stopped() or rsp_ended(). While it runs only an
 * interrupt (0x03) is taken; all else ends the session, as GDB sends nothing then.
 *
 * `k` and the end of the session leave the guest alive: it is a pod's.
 */
#ifndef UNICRI_SANDBOX_DEBUG_RSP_H
#define UNICRI_SANDBOX_DEBUG_RSP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define RSP_PACKET_MAX      16384 /* bytes between $ and #, as told to GDB */
#define RSP_DATA_MAX        (RSP_PACKET_MAX / 2 - 16)
#define RSP_BREAKPOINTS_MAX 64

/* x86_64 in GDB's order: 17 of 64 bits (rax rbx rcx rdx rsi rdi rbp rsp r8-r15 rip), then 7 of 32
 * (eflags cs ss ds es fs gs). */
#define RSP_REGS_64    17
#define RSP_REGS       24
#define RSP_RIP        16
#define RSP_REGS_BYTES (RSP_REGS_64 * 8 + (RSP_REGS - RSP_REGS_64) * 4)

/* All but stop and send: while the guest is stopped. Each returns 0 or -1. */
struct rsp_target {
    int (*registers)(void *arg, uint64_t ret[RSP_REGS]);
    int (*set_registers)(void *arg, const uint64_t regs[RSP_REGS]);
    int (*read)(void *arg, uint64_t addr, void *buf, size_t len);
    int (*write)(void *arg, uint64_t addr, const void *buf, size_t len);
    int (*resume)(void *arg, bool step, int signal);
    /* How breakpoints are made when not by int3 in memory; else NULL. */
    int (*breakpoint)(void *arg, uint64_t addr, bool add);
    /* Before an int3 comes into memory, and after it has gone; NULL: nobody wants to know. */
    int (*note)(void *arg, uint64_t addr, uint8_t was, bool there);
    int (*stop)(void *arg); /* asked to; rsp_stopped() follows */
    void (*send)(void *arg, const void *data, size_t len);
};

enum rsp_state { RSP_STOPPED, RSP_RUNNING, RSP_OVER };

struct rsp_breakpoint {
    uint64_t addr;
    uint8_t was;
};
struct rsp {
    const struct rsp_target *target;
    void *arg;
    enum rsp_state state;
    bool no_ack, swbreak;
    bool stepping;
    int signal;  /* of the last stop */
    int reading; /* what comes next: see rsp.c */
    uint8_t sum, told_sum;
    char in[RSP_PACKET_MAX + 1];
    size_t in_len;
    struct rsp_breakpoint breakpoints[RSP_BREAKPOINTS_MAX];
    size_t n_breakpoints;
};

void rsp_init(struct rsp *r, const struct rsp_target *target, void *arg);
/** rsp_feed() - what the client has sent. */
void rsp_feed(struct rsp *r, const char *data, size_t len);
/** rsp_stopped() - the running guest has been stopped by `signal` (0: asked to). Returns: is this
 * stop the debugger's doing, so that the signal must not be delivered? */
bool rsp_stopped(struct rsp *r, int signal);
/** rsp_ended() - the guest has; by a signal, or with a status. */
void rsp_ended(struct rsp *r, bool signaled, int code);
/** rsp_leave() - before the stopped guest is left for good: its code as it was, and it stands where
 * it would without a debugger. `signal`: what stopped it. Returns: as rsp_stopped(). */
bool rsp_leave(struct rsp *r, int signal);

/* ---- rsp.c, for the other files */

void rsp_send(struct rsp *r, const char *data, size_t len);
void rsp_send_text(struct rsp *r, const char *text);
/** rsp_hex() - of `len` bytes to 2 * len characters. */
void rsp_hex(const void *data, size_t len, char *out);
/** rsp_unhex() - Returns: false when it is not 2 * len digits. */
bool rsp_unhex(const char *text, size_t len, void *out);
/** rsp_number() - hexadecimal at *p, up to `end`. Returns: false without digits or with too many.
 */
bool rsp_number(const char **p, const char *end, uint64_t *ret);

/* ---- rsp_commands.c */

void rsp_command(struct rsp *r, const char *p, size_t len);
void rsp_tell_stop(struct rsp *r);

/* ---- breakpoints.c */

int breakpoint_add(struct rsp *r, uint64_t addr);
int breakpoint_remove(struct rsp *r, uint64_t addr);
bool breakpoint_at(const struct rsp *r, uint64_t addr);
void breakpoints_clear(struct rsp *r);
/** guest_read(), guest_write() - the guest's memory as if no breakpoint were in it. */
int guest_read(struct rsp *r, uint64_t addr, void *buf, size_t len);
int guest_write(struct rsp *r, uint64_t addr, const void *buf, size_t len);

#endif
