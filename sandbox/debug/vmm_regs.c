/* SPDX-License-Identifier: Apache-2.0 */
/* vmm_regs - unicri:regs of a guest whose VMM speaks GDB's protocol: registers and a backtrace of
 * each of its processors. The guest stands still only while they are read. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "sandbox/debug/regs_text.h"
#include "sandbox/debug/rsp.h"
#include "sandbox/debug/vmm_client.h"

#define PROCESSORS_MAX 64
#define NAME_MAX_CHARS 16
#define PIECE          1024 /* bytes of memory that are asked for at once */
#define LEAVE_MS       2000

struct processor {
    char name[NAME_MAX_CHARS + 1]; /* the VMM's own, of digits */
    struct user_regs_struct r;
    struct backtrace trace;
};
struct snapshot {
    int fd;
    struct packet answer;
    size_t n;
    struct processor v[PROCESSORS_MAX];
    struct err why;
};

static int read_guest(void *arg, uint64_t addr, void *buf, size_t len)
{
    struct snapshot *s = arg;
    char text[64];

    for (size_t done = 0; done < len;) {
        size_t piece = len - done < PIECE ? len - done : PIECE;

        (void)snprintf(text, sizeof(text), "m%llx,%zx", (unsigned long long)addr + done, piece);
        if (vmm_ask(s->fd, text, &s->answer, &s->why) < 0 || s->answer.len != 2 * piece ||
            !rsp_unhex(s->answer.data, piece, (char *)buf + done))
            return -1;
        done += piece;
    }
    return 0;
}

/* "m01,02", then more when asked; "l" when there is no more. */
static int take_processors(struct snapshot *s, struct err *err)
{
    const char *ask = "qfThreadInfo";

    for (;;) {
        const char *p = s->answer.data;

        if (vmm_ask(s->fd, ask, &s->answer, err) < 0)
            return -1;
        if (*p != 'm')
            return s->n > 0 ? 0 : err_set(err, ERR_CORRUPT, "the guest's VMM names no processor");
        do {
            size_t len = strspn(++p, "0123456789abcdef");

            if (len == 0 || len > NAME_MAX_CHARS || s->n == PROCESSORS_MAX)
                return err_set(err, ERR_CORRUPT, "processors of the guest: '%.32s'", p);
            memcpy(s->v[s->n++].name, p, len);
            p += len;
        } while (*p == ',');
        ask = "qsThreadInfo";
    }
}

static int take_registers(struct snapshot *s, struct processor *c, struct err *err)
{
    unsigned char raw[RSP_REGS_BYTES];
    uint64_t v[RSP_REGS_64];
    uint32_t flags;
    char text[32];

    (void)snprintf(text, sizeof(text), "Hg%s", c->name);
    if (vmm_ask(s->fd, text, &s->answer, err) < 0)
        return -1;
    if (!str_eq(s->answer.data, "OK"))
        return err_set(err, ERR_CORRUPT, "processor '%s' of the guest: not known", c->name);
    if (vmm_ask(s->fd, "g", &s->answer, err) < 0)
        return -1;
    if (s->answer.len < sizeof(raw) * 2 || !rsp_unhex(s->answer.data, sizeof(raw), raw))
        return err_set(err, ERR_CORRUPT, "the guest's VMM tells no registers");
    memcpy(v, raw, sizeof(v));
    memcpy(&flags, raw + sizeof(v), sizeof(flags));
    c->r = (struct user_regs_struct){.rax = v[0],
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
                                     .eflags = flags};
    return 0;
}

static int take(struct snapshot *s, const struct code_ranges *code, struct err *err)
{
    struct backtrace_source source = {.read = read_guest, .arg = s, .code = code};

    if (take_processors(s, err) < 0)
        return -1;
    for (size_t i = 0; i < s->n; i++) {
        struct processor *c = &s->v[i];

        if (take_registers(s, c, err) < 0)
            return -1;
        backtrace_make(&source, c->r.rip, c->r.rsp, c->r.rbp, &c->trace);
    }
    return 0;
}

static int show(const struct debug_options *o, const struct snapshot *s, double ms,
                const struct err *no_code, struct err *err)
{
    autostrbuf text = STRBUF_INIT;

    strbuf_addf(&text, "%zu processor%s, %llu bytes of memory, stopped for %.2f ms\n\n", s->n,
                s->n == 1 ? "" : "s", (unsigned long long)o->memory, ms);
    for (size_t i = 0; i < s->n; i++) {
        if (s->n > 1)
            strbuf_addf(&text, "%sprocessor %s\n", i ? "\n" : "", s->v[i].name);
        regs_text_registers(&text, &s->v[i].r);
        regs_text_trace(&text, &s->v[i].trace, o->kernel_fd, no_code);
    }
    return output_text(text.s, text.len, err);
}

static int run(const struct debug_options *o, struct err *err)
{
    autofree struct snapshot *s = XNEW(struct snapshot);
    struct code_ranges code = {0};
    struct err why = ERR_INIT;
    struct timespec from, to;
    int rc;

    (void)clock_gettime(CLOCK_MONOTONIC, &from);
    s->fd = o->rsp_fd;
    if (*o->args)
        rc = err_set(err, ERR_INVALID, "takes no arguments");
    else if (o->kernel_fd >= 0 && symbols_code(o->kernel_fd, &code, &why) < 0)
        rc = take(s, &(struct code_ranges){.n = 0}, err);
    else
        rc = take(s, &code, err);
    vmm_leave(s->fd, LEAVE_MS);
    (void)clock_gettime(CLOCK_MONOTONIC, &to);
    if (rc < 0)
        return -1;
    return show(o, s,
                (double)(to.tv_sec - from.tv_sec) * 1e3 + (double)(to.tv_nsec - from.tv_nsec) / 1e6,
                &why, err);
}

const struct debug_command debug_vmm_regs = {.name = "regs", .run = run};
