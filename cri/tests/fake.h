/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake - stands below cri/ in its tests: an engine and an image store that keep what they are given
 * in memory. What a test wants to see or steer is in the one global.
 */
#ifndef UNICRI_CRI_TESTS_FAKE_H
#define UNICRI_CRI_TESTS_FAKE_H

#include <stdatomic.h>

#include "sandbox/sandbox.h"

#define FAKE_PODS_MAX 64

struct fake {
    struct err fail;       /* code != ERR_NONE: pod_run() and imagestore_pull() fail with it */
    _Atomic bool block;    /* pod_run() waits until its caller goes away or the deadline passes */
    _Atomic int blocked;   /* callers that wait now */
    _Atomic int cancelled; /* callers that went away */
    struct list_filter last_filter;
    int last_label_n;
    _Atomic nsec_t last_grace, last_exec_timeout;
    _Atomic bool network_ready, not_ready;
    char *pod_ids[FAKE_PODS_MAX];
    struct pod_spec *pods[FAKE_PODS_MAX];
    size_t n_pods;
};
extern struct fake fake;

void fake_reset(void);

#endif
