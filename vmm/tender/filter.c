/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small assembler for seccomp programs. See filter.h. Conditions of a rule that fail jump to the
 * next rule; as its place is known only when the rule is complete, such jumps are written with a
 * mark and patched at the end.
 */
#include "vmm/tender/filter.h"

#include <linux/audit.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#define FILTER_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define FILTER_ARCH AUDIT_ARCH_AARCH64
#else
#error "the tender has no backend for this architecture"
#endif

#define TO_NEXT 0xff /* mark: jump to the next rule; no rule is that long */

static void emit(struct filter *p, uint16_t code, uint8_t jt, uint8_t jf, uint32_t k)
{
    if (p->len == FILTER_INSNS_MAX) {
        p->full = 1;
        return;
    }
    p->insn[p->len++] = (struct sock_filter){code, jt, jf, k};
}

static void load(struct filter *p, size_t offset)
{
    emit(p, BPF_LD | BPF_W | BPF_ABS, 0, 0, (uint32_t)offset);
}

/* Little endian: the low word of an argument comes first. */
static void load_arg(struct filter *p, unsigned arg, unsigned high)
{
    load(p, offsetof(struct seccomp_data, args) + (size_t)arg * 8 + (size_t)high * 4);
}

static void add_cond(struct filter *p, const struct filter_cond *c)
{
    uint32_t lo = (uint32_t)c->value, hi = (uint32_t)(c->value >> 32);

    switch (c->op) {
    case FILTER_NONE:
        break;
    case FILTER_INT:
        load_arg(p, c->arg, 0);
        emit(p, BPF_JMP | BPF_JEQ | BPF_K, 0, TO_NEXT, lo);
        break;
    case FILTER_EQUAL:
        load_arg(p, c->arg, 1);
        emit(p, BPF_JMP | BPF_JEQ | BPF_K, 0, TO_NEXT, hi);
        load_arg(p, c->arg, 0);
        emit(p, BPF_JMP | BPF_JEQ | BPF_K, 0, TO_NEXT, lo);
        break;
    case FILTER_MAX:
        load_arg(p, c->arg, 1);
        emit(p, BPF_JMP | BPF_JGT | BPF_K, TO_NEXT, 0, hi);
        emit(p, BPF_JMP | BPF_JEQ | BPF_K, 0, 2, hi); /* smaller: the low word does not matter */
        load_arg(p, c->arg, 0);
        emit(p, BPF_JMP | BPF_JGT | BPF_K, TO_NEXT, 0, lo);
        break;
    }
}

void filter_begin(struct filter *p)
{
    p->len = 0;
    p->full = 0;
    load(p, offsetof(struct seccomp_data, arch));
    emit(p, BPF_JMP | BPF_JEQ | BPF_K, 1, 0, FILTER_ARCH);
    emit(p, BPF_RET | BPF_K, 0, 0, SECCOMP_RET_KILL_PROCESS);
}

void filter_add(struct filter *p, const struct filter_rule *rule)
{
    unsigned begin = p->len;

    load(p, offsetof(struct seccomp_data, nr));
    emit(p, BPF_JMP | BPF_JEQ | BPF_K, 0, TO_NEXT, rule->nr);
    for (unsigned i = 0; i < FILTER_CONDS_MAX; i++)
        add_cond(p, &rule->cond[i]);
    emit(p, BPF_RET | BPF_K, 0, 0, rule->ret);
    for (unsigned i = begin; i < p->len; i++) {
        struct sock_filter *in = &p->insn[i];
        uint8_t dist = (uint8_t)(p->len - i - 1);
        if (BPF_CLASS(in->code) != BPF_JMP)
            continue;
        if (in->jt == TO_NEXT)
            in->jt = dist;
        if (in->jf == TO_NEXT)
            in->jf = dist;
    }
}

int filter_finish(struct filter *p, struct fault *f)
{
    emit(p, BPF_RET | BPF_K, 0, 0, SECCOMP_RET_KILL_PROCESS);
    if (p->full)
        return fault_set(f, STATUS_SETUP, "jail: too many rules for one filter");
    return 0;
}

int filter_install(struct filter *p, struct fault *f)
{
    struct sock_fprog prog = {.len = (unsigned short)p->len, .filter = p->insn};

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return fault_sys(f, "jail: set no_new_privs");
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog) != 0)
        return fault_sys(f, "jail: install the system call filter");
    return 0;
}
