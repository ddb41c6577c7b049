/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the tender reports: a fault is an exit status and one sentence. The tender links nothing of
 * base/, so it has its own small error value with the same manners: last parameter, 0 or -1,
 * written only on failure.
 */
#ifndef UNICRI_VMM_TENDER_FAULT_H
#define UNICRI_VMM_TENDER_FAULT_H

#define FAULT_MSG_MAX 256 /* bytes, with the terminating zero */

/* Exit statuses of unicri-tender beside the guest's own (main.c holds the whole contract). */
enum tender_status {
    STATUS_SETUP = 125, /* arguments, descriptors, memory, KVM or the jail: the guest did not run */
    STATUS_KERNEL = 126, /* the guest's file or its manifest was refused: the guest did not run */
    STATUS_KVM = 134,    /* hvt: KVM could not go on with the guest (128 + SIGABRT) */
    STATUS_GUEST_FAULT = 139, /* hvt: triple fault or forbidden memory access (128 + SIGSEGV) */
    STATUS_GUEST_CALL = 159,  /* hvt: forbidden port, hypercall or pointer (128 + SIGSYS) */
    STATUS_TERMINATED = 143,  /* SIGTERM arrived (128 + SIGTERM) */
};

struct fault {
    int status;
    char msg[FAULT_MSG_MAX];
};

#define TENDER_MUST_CHECK __attribute__((warn_unused_result))

/**
 * fault_set(f, status, fmt, ...) - record a failure.
 * @f: written.
 * @status: one of enum tender_status.
 * @fmt: printf format; `what 'object': why`.
 * Is -1 always, visibly to compiler and analyzer, so that a caller can `return fault_set(...)`.
 */
#define fault_set(...) (fault_record(__VA_ARGS__), -1)
void fault_record(struct fault *f, int status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/**
 * fault_sys(f, fmt, ...) - like fault_set() with STATUS_SETUP, and ": " and the text of errno
 * appended.
 */
#define fault_sys(...) (fault_record_sys(__VA_ARGS__), -1)
void fault_record_sys(struct fault *f, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/**
 * fault_exit() - write `unicri-tender: MSG` as one line to descriptor 2 and end with the fault's
 * status.
 */
_Noreturn void fault_exit(const struct fault *f);

#endif
