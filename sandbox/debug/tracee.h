/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tracee - the one guest that this process looks into, by ptrace of its VMM. Addresses are the
 * guest's and checked against its memory: nothing of the VMM itself is read or written for a
 * client.
 *
 * spt: the VMM's registers and memory are the guest's. hvt: memory is one mapping of the tender;
 * its processor is asked by an ioctl that the stopped tender is made to execute, under its own
 * filter of system calls (tracee_hvt.c). Breakpoints are the processor's debug registers: nothing
 * of them is in the guest's memory, and a tender that finds itself without us turns them off.
 *
 *   running --tracee_stop()--> stopped --tracee_resume()--> running;  any --the VMM ends--> ended
 *
 * A guest that waits in a system call when it is stopped stands on that call again: it does not
 * notice. When this process dies the kernel lets the guest go on.
 */
#ifndef UNICRI_SANDBOX_DEBUG_TRACEE_H
#define UNICRI_SANDBOX_DEBUG_TRACEE_H

#include <sys/user.h>

#include "sandbox/debug/debug.h"
#include "sandbox/debug/leftovers.h"
#include "vmm/vmm.h"

#define GUEST_LOW       UINT64_C(0x10000) /* guests own nothing below */
#define STOP_TIMEOUT    5000              /* ms */
#define HVT_BREAKPOINTS 4                 /* a processor has so many */

enum tracee_state { TRACEE_NONE, TRACEE_RUNNING, TRACEE_STOPPED, TRACEE_ENDED };

struct tracee {
    enum tracee_state state;
    pid_t pid;
    int mem_fd, pagemap_fd, pidfd;
    bool hvt;
    uint64_t size;   /* guest addresses are GUEST_LOW up to here */
    uint64_t host;   /* where guest address 0 is in the VMM; 0 under spt */
    int vcpu_fd;     /* hvt: the tender's number; -1 */
    uint64_t gate;   /* hvt: a system call instruction in the tender */
    bool changeable; /* hvt: the tender's filter lets its processor be changed */
    bool changed;    /* and it may be so now: to be undone */
    uint64_t breakpoint[HVT_BREAKPOINTS]; /* hvt; 0: none */
    uint64_t trap;                        /* STOPPED by SIGTRAP, hvt: TENDER_TRAP_* */
    int signal;                  /* STOPPED: what the guest has been stopped by; 0: by us */
    struct leftovers *leftovers; /* spt, mapped; NULL: nobody undoes what we leave */
    int status;                  /* ENDED: as of wait(2) */
};
extern struct tracee tracee;

/** tracee_open() - with rights: begin to trace and open what is needed later. The guest runs on.
 * Errors: STATE (another debugger is there), NOT_FOUND (it has ended), DENIED. */
int tracee_open(const struct debug_options *o, struct err *err) MUST_CHECK;
/** tracee_close() - let it run on, as if nobody had been there. */
void tracee_close(void);

/** tracee_stop() - Errors: DEADLINE; STATE (it has ended). */
int tracee_stop(struct err *err) MUST_CHECK;
/** tracee_wait() - has it stopped or ended by itself? Waits up to `ms`. Returns: true when the
 * state has changed. */
bool tracee_wait(int ms);
/** tracee_forget_signal() - what it has been stopped by is our doing: from now on it is stopped by
 * us, also for the kernel, which would deliver the signal if we were killed. */
int tracee_forget_signal(struct err *err) MUST_CHECK;
/** tracee_resume() - with signal `deliver` (0: none); `step`: one instruction. */
int tracee_resume(bool step, int deliver, struct err *err) MUST_CHECK;

/** tracee_fault() - is it a signal by which a guest dies of its own doing? A tender traps for its
 * hvt guest when that has crashed. */
bool tracee_fault(int signal);
/** tracee_let_die() - stopped by a fault of the guest's: let go of it for good, and wait for what
 * the fault does. (As the first process of its PID namespace it survives every fault while it is
 * traced: only without us it dies.) ENDED, or NONE when it lives on. */
int tracee_let_die(struct err *err) MUST_CHECK;

/* All of these: stopped only. */
int tracee_registers(struct user_regs_struct *ret, struct err *err) MUST_CHECK;
int tracee_set_registers(const struct user_regs_struct *r, struct err *err) MUST_CHECK;

/** tracee_read() - Errors: INVALID (not the guest's memory, all or nothing). */
int tracee_read(uint64_t addr, void *buf, size_t len, struct err *err) MUST_CHECK;
int tracee_write(uint64_t addr, const void *buf, size_t len, struct err *err) MUST_CHECK;

/* ---- tracee_spt.c */

/** spt_leftovers() - with rights: map what a debugger leaves behind, if `fd` is there. */
int spt_leftovers(struct tracee *t, int fd, struct err *err) MUST_CHECK;

/* ---- tracee_hvt.c */

/** hvt_find() - with rights: the guest's memory and processor in the tender. */
int hvt_find(struct tracee *t, struct err *err) MUST_CHECK;
int hvt_registers(const struct tracee *t, struct user_regs_struct *ret, struct err *err) MUST_CHECK;
int hvt_set_registers(const struct tracee *t, const struct user_regs_struct *r,
                      struct err *err) MUST_CHECK;
/** hvt_breakpoint() - with the next tracee_resume(). Errors: EXHAUSTED; UNSUPPORTED. */
int hvt_breakpoint(struct tracee *t, uint64_t addr, bool add, struct err *err) MUST_CHECK;
/** hvt_control() - tell the processor: its breakpoints; `step`: one instruction. */
int hvt_control(struct tracee *t, bool step, struct err *err) MUST_CHECK;

#endif
