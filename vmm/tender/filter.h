/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Builds a seccomp program from a list of rules. Written by hand instead of with libseccomp because
 * that library's heap (about 300 KiB touched while a filter is built) would stay in every running
 * unikernel, and because the order of the rules, which is the order of the guest's hot calls, is
 * kept as given.
 *
 * A rule fits if the system call number and all its conditions do; the first rule that fits
 * decides; a call that fits none, and any call of another architecture, kills the process.
 */
#ifndef UNICRI_VMM_TENDER_FILTER_H
#define UNICRI_VMM_TENDER_FILTER_H

#include <linux/filter.h>
#include <stdint.h>

#include "vmm/tender/fault.h"

#define FILTER_INSNS_MAX 4096u /* the kernel's own limit */
#define FILTER_CONDS_MAX 3u

enum filter_op {
    FILTER_NONE = 0,
    FILTER_INT,   /* the low 32 bits equal value: for arguments the kernel takes as int */
    FILTER_EQUAL, /* all 64 bits equal value */
    FILTER_MAX,   /* at most value, unsigned */
};

struct filter_cond {
    enum filter_op op;
    unsigned arg; /* 0 to 5 */
    uint64_t value;
};

struct filter_rule {
    uint32_t nr;  /* system call */
    uint32_t ret; /* SECCOMP_RET_... */
    struct filter_cond cond[FILTER_CONDS_MAX];
};

struct filter {
    unsigned len;
    int full; /* a rule did not fit any more */
    struct sock_filter insn[FILTER_INSNS_MAX];
};

/**
 * filter_begin() - empty program that has checked the architecture.
 */
void filter_begin(struct filter *p);

/**
 * filter_add() - append one rule.
 */
void filter_add(struct filter *p, const struct filter_rule *rule);

/**
 * filter_finish() - append the default, which kills.
 */
int filter_finish(struct filter *p, struct fault *f) TENDER_MUST_CHECK;

/**
 * filter_install() - set no_new_privs and put the program in force for this process.
 */
int filter_install(struct filter *p, struct fault *f) TENDER_MUST_CHECK;

#endif
