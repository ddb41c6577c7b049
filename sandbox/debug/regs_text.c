/* SPDX-License-Identifier: Apache-2.0 */
/* regs_text - see regs_text.h. */
#include "sandbox/debug/regs_text.h"

void regs_text_registers(struct strbuf *text, const struct user_regs_struct *r)
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

void regs_text_trace(struct strbuf *text, const struct backtrace *b, int kernel_fd,
                     const struct err *no_code)
{
    autofree struct symbol *v = xcalloc(BACKTRACE_FRAMES_MAX, sizeof(*v));
    struct err why = *no_code;

    /* A return address may be the first byte behind its function: look before it. */
    for (size_t i = 0; i < b->n; i++)
        v[i].addr = b->addr[i] - (i > 0);
    if (kernel_fd >= 0 && why.code == ERR_NONE && symbols_find(kernel_fd, v, b->n, &why) < 0)
        err_wrap(&why, "symbols");
    strbuf_addf(text, "\nbacktrace%s\n",
                b->guessed ? " (the guest keeps no frame pointers: all but #0 are guesses from "
                             "its stack, some may be stale)"
                           : " (by frame pointers)");
    if (why.code != ERR_NONE)
        strbuf_addf(text, "no names: %s\n", why.msg);
    for (size_t i = 0; i < b->n; i++) {
        strbuf_addf(text, "#%-2zu 0x%016llx", i, (unsigned long long)b->addr[i]);
        if (v[i].found)
            strbuf_addf(text, " %s+0x%llx", v[i].name,
                        (unsigned long long)(b->addr[i] - v[i].start));
        strbuf_addc(text, '\n');
    }
}
