/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gdb - unicri:gdb: GDB's remote protocol over the client's stdin and stdout, as in
 *
 *     (gdb) target remote | kubectl exec -i POD -- unicri:gdb
 *
 * The guest stands still from the beginning until GDB lets it go on. However the session ends -
 * detach, kill, a client that is gone, SIGTERM - breakpoints are taken out and the guest goes on.
 * Signals that are not the guest's fault (SIGTERM of a pod that stops) pass by.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sandbox/debug/rsp.h"
#include "sandbox/debug/tracee.h"

#define INPUT_BYTES 4096

struct session {
    struct rsp rsp;
    struct err why; /* the first thing that went wrong */
    bool asked;     /* to stop */
};
static struct session session;

static int get_registers(void *arg, uint64_t ret[RSP_REGS])
{
    struct user_regs_struct r;
    struct session *s = arg;

    if (tracee_registers(&r, &s->why) < 0)
        return -1;

    const uint64_t v[RSP_REGS] = {r.rax, r.rbx,    r.rcx, r.rdx, r.rsi, r.rdi, r.rbp, r.rsp,
                                  r.r8,  r.r9,     r.r10, r.r11, r.r12, r.r13, r.r14, r.r15,
                                  r.rip, r.eflags, r.cs,  r.ss,  r.ds,  r.es,  r.fs,  r.gs};

    memcpy(ret, v, sizeof(v));
    return 0;
}

static int put_registers(void *arg, const uint64_t v[RSP_REGS])
{
    struct session *s = arg;
    struct user_regs_struct r = {.rax = v[0],
                                 .rbx = v[1],
                                 .rcx = v[2],
                                 .rdx = v[3],
                                 .rsi = v[4],
                                 .rdi = v[5],
                                 .rbp = v[6],
                                 .rsp = v[7],
                                 .r8 = v[8],
                                 .r9 = v[9],
                                 .r10 = v[10],
                                 .r11 = v[11],
                                 .r12 = v[12],
                                 .r13 = v[13],
                                 .r14 = v[14],
                                 .r15 = v[15],
                                 .rip = v[RSP_RIP],
                                 .eflags = v[17]};

    return tracee_set_registers(&r, &s->why);
}

static int read_memory(void *arg, uint64_t addr, void *buf, size_t len)
{
    struct session *s = arg;

    return tracee_read(addr, buf, len, &s->why);
}

static int write_memory(void *arg, uint64_t addr, const void *buf, size_t len)
{
    struct session *s = arg;

    return tracee_write(addr, buf, len, &s->why);
}

/* A signal that the guest gets is one that it had; GDB's numbers are Linux' for those. */
static int resume(void *arg, bool step, int gdb_signal)
{
    struct session *s = arg;
    int deliver = gdb_signal && tracee.signal ? tracee.signal : 0;

    if (!tracee_fault(deliver))
        return tracee_resume(step, deliver, &s->why);
    breakpoints_clear(&s->rsp);
    return tracee_let_die(&s->why);
}

static int stop(void *arg)
{
    struct session *s = arg;

    s->asked = true;
    return 0;
}

static void send_bytes(void *arg, const void *data, size_t len)
{
    struct session *s = arg;

    if (output_write(data, len, &s->why) < 0)
        s->rsp.state = RSP_OVER;
}

/* Row first: see leftovers.h. The word is told before the first and after the last. */
static int note(void *arg, uint64_t addr, uint8_t was, bool there)
{
    struct leftovers *l = tracee.leftovers;

    (void)arg;
    if (!l)
        return 0;
    if (!leftovers_note(l, addr, was, there))
        return -1;
    return leftovers_arm(l, tracee.mem_fd, leftovers_any(l)) ? 0 : -1;
}

static int hardware(void *arg, uint64_t addr, bool add)
{
    struct session *s = arg;

    return hvt_breakpoint(&tracee, addr, add, &s->why);
}

static const struct rsp_target spt_target = {
    .note = note,
    .registers = get_registers,
    .set_registers = put_registers,
    .read = read_memory,
    .write = write_memory,
    .resume = resume,
    .stop = stop,
    .send = send_bytes,
};
static const struct rsp_target hvt_target = {
    .registers = get_registers,
    .set_registers = put_registers,
    .read = read_memory,
    .write = write_memory,
    .resume = resume,
    .breakpoint = hardware,
    .stop = stop,
    .send = send_bytes,
};

/* GDB has numbers of its own for these; the others it shares with Linux. */
static int gdb_number(int signal)
{
    if (tracee.hvt && signal == SIGTRAP && tracee.trap != TENDER_TRAP_DEBUG)
        signal = SIGSEGV; /* the tender's, for its guest */
    return signal == SIGBUS ? 10 : signal == SIGSYS ? 12 : signal;
}

/* What has stopped the guest is its own fault, or the client's wish. */
static bool concerns_client(const struct session *s)
{
    if (tracee.signal == 0)
        return s->asked;
    return tracee_fault(tracee.signal) || tracee.trap == TENDER_TRAP_DEBUG;
}

static void guest_changed(struct session *s)
{
    if (tracee.state == TRACEE_ENDED) {
        bool signaled = WIFSIGNALED(tracee.status);

        rsp_ended(&s->rsp, signaled,
                  signaled ? WTERMSIG(tracee.status) : WEXITSTATUS(tracee.status));
        return;
    }
    if (tracee.state == TRACEE_NONE) {
        s->rsp.state = RSP_OVER; /* let go of */
        return;
    }
    if (!concerns_client(s)) {
        if (tracee_resume(s->rsp.stepping, tracee.signal, &s->why) < 0)
            s->rsp.state = RSP_OVER;
        return;
    }
    s->asked = false;
    if (rsp_stopped(&s->rsp, gdb_number(tracee.signal)) && tracee_forget_signal(&s->why) < 0)
        s->rsp.state = RSP_OVER;
}

static bool from_client(struct session *s)
{
    char in[INPUT_BYTES];
    ssize_t n = read(STDIN_FILENO, in, sizeof(in));

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return true;
    if (n <= 0)
        return false;
    rsp_feed(&s->rsp, in, (size_t)n);
    return true;
}

static int serve(struct session *s, struct err *err)
{
    struct pollfd p[3] = {{.fd = STDIN_FILENO, .events = POLLIN},
                          {.fd = STDOUT_FILENO},
                          {.fd = end_fd(), .events = POLLIN}};

    while (s->rsp.state != RSP_OVER) {
        if (poll(p, 3, -1) < 0 && errno != EINTR)
            return err_sys(err, "wait");
        if (end_asked() || (p[1].revents & (POLLERR | POLLHUP)))
            return 0;
        if (p[0].revents && !from_client(s))
            return 0;
        if (s->rsp.state == RSP_RUNNING && s->asked && tracee_stop(err) < 0 &&
            tracee.state != TRACEE_ENDED)
            return -1;
        /* The signal that tells may have been taken with an earlier change. */
        while (s->rsp.state == RSP_RUNNING && tracee_wait(0))
            guest_changed(s);
    }
    return 0;
}

static int run(const struct debug_options *o, struct err *err)
{
    struct session *s = &session;
    int rc;

    if (*o->args)
        return err_set(err, ERR_INVALID, "takes no arguments");
    rsp_init(&s->rsp, o->hvt ? &hvt_target : &spt_target, s);
    if (tracee_stop(err) < 0)
        return -1;
    tracee.changed = tracee.changeable; /* by somebody before us, perhaps */
    if (tracee.leftovers && !leftovers_undo(tracee.leftovers, tracee.mem_fd, tracee.size))
        return err_set(err, ERR_STATE, "what a debugger has left in the guest does not go out");
    rc = serve(s, err);
    if (s->rsp.state == RSP_RUNNING || tracee.state == TRACEE_RUNNING) {
        /* What it is stopped by now nobody has been told. */
        if (tracee_stop(&s->why) == 0 && rsp_leave(&s->rsp, gdb_number(tracee.signal)))
            tracee.signal = 0;
    } else if (tracee.state == TRACEE_STOPPED) {
        (void)rsp_leave(&s->rsp, 0);
    }
    return rc;
}

static int open_leftovers(const struct debug_options *o, struct err *err)
{
    return o->hvt ? 0 : spt_leftovers(&tracee, o->leftovers_fd, err);
}

const struct debug_command debug_gdb = {
    .name = "gdb", .traces = true, .open = open_leftovers, .run = run};
