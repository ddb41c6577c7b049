/* SPDX-License-Identifier: Apache-2.0 */
/*
 * netns - running a function inside a network namespace. The public part (netns_create and friends)
 * is in cni.h.
 */
#ifndef UNICRI_CNI_NETNS_H
#define UNICRI_CNI_NETNS_H

#include "base/err.h"

/**
 * netns_run() - call f(arg, err) on a short-lived thread that has joined the namespace `netns_fd`,
 * or a fresh one when netns_fd is -1. The caller's own namespace never changes, so nothing has to
 * be changed back and no failure can leave a worker in a pod. Returns: what f returned, -1 when it
 * was not called. Thread: any; blocks until f returns.
 */
int netns_run(int netns_fd, int (*f)(void *arg, struct err *err), void *arg,
              struct err *err) MUST_CHECK;

#endif
