/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs the real unicri-tender on real guests for test_run.c and test_jail.c: starts it with a table
 * of descriptors, collects console, diagnostics and status under a deadline. Programs are found by
 * UNICRI_BIN and UNICRI_UNIKERNELS, which ctest sets.
 */
#ifndef UNICRI_VMM_TENDER_TESTS_RUN_TENDER_H
#define UNICRI_VMM_TENDER_TESTS_RUN_TENDER_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define RUN_CONSOLE_MAX (256 << 10) /* bytes of console kept */
#define RUN_DEADLINE_MS 30000
#define RUN_ARGS_MAX    16
#define RUN_FIRST_FD    10 /* kernel; then KVM; device n has RUN_DEVICE_FD + n */
#define RUN_KVM_FD      11
#define RUN_DEVICE_FD   12
#define RUN_DEVICES_MAX 4

struct run {
    /* in */
    const char *backend; /* "spt" or "hvt" */
    int kernel;          /* descriptor */
    const char *mem;     /* NULL: 4 MiB */
    const char *options[RUN_DEVICES_MAX + 1];
    int devices[RUN_DEVICES_MAX]; /* 0: none */
    const char *args[RUN_ARGS_MAX];
    int pid_namespace; /* make the tender its first process */
    int confined;      /* an empty root directory, nobody's uid, no capability */
    /* while it runs */
    pid_t pid;
    int out_fd, err_fd;
    /* out */
    int status; /* as of waitpid */
    size_t out_len;
    char out[RUN_CONSOLE_MAX + 1];
    char err[4096];
};

/**
 * run_init() - clear @r for a guest NAME of the build.
 */
void run_init(struct run *r, const char *backend, const char *guest);

/**
 * run_init_file() - clear @r for a guest given as bytes.
 */
void run_init_file(struct run *r, const char *backend, const void *bytes, size_t len);

/**
 * run_start() - start the tender. run_wait() must follow.
 */
void run_start(struct run *r);

/**
 * run_until() - read the console until @text was seen; fails the test at the deadline.
 */
void run_until(struct run *r, const char *text);

/**
 * run_wait() - collect all output and the status; fails the test (and kills) at the deadline.
 */
void run_wait(struct run *r);

/**
 * run_all() - start and wait.
 */
void run_all(struct run *r);

/**
 * run_exited(), run_killed() - assert how it ended; the message shows the diagnostics if not so.
 */
void run_exited(const struct run *r, int code);
void run_killed(const struct run *r, int sig);

/**
 * run_said(), run_complained() - assert that the console or the diagnostics contain a text.
 */
void run_said(const struct run *r, const char *text);
void run_complained(const struct run *r, const char *text);

/**
 * kvm_missing() - NULL if hvt guests can run here, else why not.
 */
const char *kvm_missing(void);

/**
 * temp_disk() - descriptor of an unlinked file of @size bytes that begins with @text.
 * @flags: O_RDWR or O_RDONLY.
 */
int temp_disk(size_t size, const char *text, int flags);

#endif
