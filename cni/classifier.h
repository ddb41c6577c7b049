/* SPDX-License-Identifier: Apache-2.0 */
/*
 * classifier - the tc programs of bpf/guest_link.c as descriptors: loaded into the kernel once,
 * shared by all pods.
 */
#ifndef UNICRI_CNI_CLASSIFIER_H
#define UNICRI_CNI_CLASSIFIER_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct bpf_insn;
struct classifier {
    int from_pod;   /* ingress of the pod's interface */
    int from_guest; /* ingress of the tap */
    int from_lo;    /* egress of lo */
};

/** classifier_get() - the programs; the descriptors belong to the process and stay open. A failure
 * is tried again at the next call. Errors: UNSUPPORTED with what the kernel lacks or its verifier's
 * last line. Thread: any. */
int classifier_get(struct classifier *ret, struct err *err) MUST_CHECK;
/** classifier_far() - from_guest for a guest whose gateway, in network order, is asked for by
 * nobody but the pod's stack. Returns: its descriptor, owned by the caller, or -1. Errors: as
 * above. Thread: any. */
int classifier_far(uint32_t gateway, struct err *err);
/** classifier_load() - a program of `n` instructions.
 * Returns: its descriptor, owned by the caller, or -1. Errors: as above. Thread: any. */
int classifier_load(const struct bpf_insn *insns, size_t n, const char *name, struct err *err);

#endif
