/* SPDX-License-Identifier: Apache-2.0 */
/* regs - unicri:regs: registers and a backtrace. The guest stands still only while they are read,
 * and goes on before a byte is printed. */
#include <time.h>

#include "base/strbuf.h"
#include "sandbox/debug/backtrace.h"
#include "sandbox/debug/tracee.h"

struct snapshot {
    struct user_regs_struct r;
    struct backtrace trace;
    double stopped_ms;
};

static int read_guest(void *arg, uint64_t addr, void *buf, size_t len)
{
    struct err *ignored = arg;

    return tracee_read(addr, buf, len, ignored);
}

static int take(const struct code_ranges *code, struct snapshot *s, struct err *err)
{
    struct err ignored = ERR_INIT;
    struct backtrace_source source = {.read = read_guest, .arg = &ignored, .code = code};
    struct timespec from, to;
    int rc;

    (void)clock_gettime(CLOCK_MONOTONIC, &from);
    if (tracee_stop(err) < 0)
        return -1;
    rc = tracee_registers(&s->r, err);
    if (rc == 0)
        backtrace_make(&source, s->r.rip, s->r.rsp, s->r.rbp, &s->trace);
    tracee_close();
    (void)clock_gettime(CLOCK_MONOTONIC, &to);
    s->stopped_ms =
        (double)(to.tv_sec - from.tv_sec) * 1e3 + (double)(to.tv_nsec - from.tv_nsec) / 1e6;
    return rc;
}

static void add_registers(struct strbuf *text, const struct user_regs_struct *r)
{
    const struct {
        const char *name;
        unsigned long long value;
    } v[] = {{"rax", r->rax}, {"rbx", r->rbx},      {"rcx", r->rcx}, {"rdx", r->rdx},
             {"rsi", r->rsi}, {"rdi", r->rdi},      {"rbp", r->rbp}, {"rsp", r->rsp},
             {"r8", r->r8},   {"r9", r->r9},        {"r10", r->r10}, {"r11", r->r11},
             {"r12", r->r12}, {"r13", r->r13},      {"r14", r->r14}, {"r15", r->r15},
             {"rip", r->rip}, {"eflags", r->eflags}};

    for (size_t i = 0; i < ARRAY_SIZE(v); i++)
        strbuf_addf(text, "%-6s 0x%016llx%s", v[i].name, v[i].value,
                    i % 3 == 2 || i + 1 == ARRAY_SIZE(v) ? "\n" : "   ");
}

static void add_trace(struct strbuf *text, const struct backtrace *b, const struct symbol *v,
                      const struct err *why)
{
    strbuf_addf(text, "\nbacktrace%s\n",
                b->guessed ? " (the guest keeps no frame pointers: all but #0 are guesses from "
                             "its stack, some may be stale)"
                           : " (by frame pointers)");
    if (why->code != ERR_NONE)
        strbuf_addf(text, "no names: %s\n", why->msg);
    for (size_t i = 0; i < b->n; i++) {
        strbuf_addf(text, "#%-2zu 0x%016llx", i, (unsigned long long)b->addr[i]);
        if (v[i].found)
            strbuf_addf(text, " %s+0x%llx", v[i].name,
                        (unsigned long long)(b->addr[i] - v[i].start));
        strbuf_addc(text, '\n');
    }
}

static int run(const struct debug_options *o, struct err *err)
{
    autofree struct symbol *symbols = xcalloc(BACKTRACE_FRAMES_MAX, sizeof(*symbols));
    autofree struct snapshot *s = XNEW(struct snapshot);
    struct code_ranges code = {0};
    autostrbuf text = STRBUF_INIT;
    struct err why = ERR_INIT;

    if (*o->args)
        return err_set(err, ERR_INVALID, "takes no arguments");
    if (o->kernel_fd >= 0 && symbols_code(o->kernel_fd, &code, &why) < 0)
        code.n = 0;
    if (take(&code, s, err) < 0)
        return -1;
    /* A return address may be the first byte behind its function: look before it. */
    for (size_t i = 0; i < s->trace.n; i++)
        symbols[i].addr = s->trace.addr[i] - (i > 0);
    if (o->kernel_fd >= 0 && why.code == ERR_NONE &&
        symbols_find(o->kernel_fd, symbols, s->trace.n, &why) < 0)
        err_wrap(&why, "symbols");
    strbuf_addf(&text, "%s guest, %llu bytes of memory, stopped for %.2f ms\n\n",
                o->hvt ? "hvt" : "spt", (unsigned long long)o->memory, s->stopped_ms);
    add_registers(&text, &s->r);
    add_trace(&text, &s->trace, symbols, &why);
    return output_text(text.s, text.len, err);
}

const struct debug_command debug_regs = {.name = "regs", .traces = true, .run = run};
