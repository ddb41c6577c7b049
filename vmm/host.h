/* SPDX-License-Identifier: Apache-2.0 */
/*
 * host - what drivers of foreign VMMs need of the node: the program and its version, the libraries
 * it is linked with, device nodes and files in its jail. Used by the drivers' files only.
 */
#ifndef UNICRI_VMM_HOST_H
#define UNICRI_VMM_HOST_H

#include "vmm/vmm.h"

/** host_program() - the configured path, else `name` in the usual directories; owned; "" when it is
 * not there or cannot be executed. */
char *host_program(const char *configured, const char *name);

/* What `PROGRAM --version` has to say, on either stream. */
struct host_version {
    const char *name;   /* "Firecracker" */
    const char *before; /* what stands before the number */
    int major, minor;   /* the oldest that will do */
};
/** host_unfit() - NULL, or why the program found by host_program() will not do (owned). It is asked
 * for its version once a state of its file. Thread: any; runs a child the first time. */
char *host_unfit(const char *program, const char *name, const struct host_version *wanted);
/** host_no_kvm() - NULL, or why there is no KVM (owned). */
char *host_no_kvm(void);

enum host_answer {
    HOST_STDOUT, /* by a program that ends with 0 */
    HOST_BOTH,   /* on stdout and stderr, however it ends */
};
/** host_ask() - what argv[0] says, once a state of `program`'s file: a version, a list of
 * directories. *ret is owned by the caller. Errors: DEADLINE, UNAVAILABLE; they are not remembered.
 * Thread: any; runs a child the first time. */
int host_ask(const char *program, char *const *argv, enum host_answer where, char **ret,
             struct err *err) MUST_CHECK;

/** host_set_program() - the plan's program. Errors: NOT_FOUND. */
int host_set_program(struct vmm_plan *plan, const char *program, struct err *err) MUST_CHECK;
/** host_put() - a file, directory or device of the node into the jail. */
int host_put(struct vmm_plan *plan, enum vmm_entry_kind kind, const char *from, const char *path,
             struct err *err) MUST_CHECK;
/** host_put_libraries() - for a program that is linked dynamically: its loader and the directories
 * in which that finds the libraries, read-only. Nothing for a static one. Errors: those of
 * host_ask(); UNAVAILABLE naming a library that is missing. */
int host_put_libraries(struct vmm_plan *plan, const char *program, struct err *err) MUST_CHECK;
/** host_put_kvm() - /dev/kvm and its group. */
int host_put_kvm(struct vmm_plan *plan, struct err *err) MUST_CHECK;
/** host_put_image_file() - a file of the image that the VMM opens by `path`: everybody must be able
 * to read it. `fd` is borrowed. Errors: UNSUPPORTED naming `name`. */
int host_put_image_file(struct vmm_plan *plan, int fd, const char *name, const char *path,
                        struct err *err) MUST_CHECK;
/** host_put_disk() - a disk that the VMM opens by `path`; the jail's limit of file sizes grows to
 * it. */
int host_put_disk(struct vmm_plan *plan, const struct vmm_block *block, const char *path,
                  struct err *err) MUST_CHECK;

#endif
