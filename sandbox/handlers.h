/* SPDX-License-Identifier: Apache-2.0 */
/*
 * handlers - what a pod's runtime_handler means on this node. Read once from [handlers.NAME] of the
 * configuration; "" is the default one, and "auto", "runc" and the VMM drivers' names are there
 * without being configured. Fixed after handlers_open(); any thread.
 */
#ifndef UNICRI_SANDBOX_HANDLERS_H
#define UNICRI_SANDBOX_HANDLERS_H

#include "base/thread.h"
#include "sandbox/sandbox.h"
#include "vmm/vmm.h"

enum handler_kind { HANDLER_AUTO, HANDLER_OCI, HANDLER_VMM };

struct handler {
    char *name; /* "" the default */
    char *kind; /* "auto", "runc", a driver's name */
    enum handler_kind type;
    char *program;          /* of the OCI runtime, absolute; "" when this host has none */
    char **pod_annotations; /* keys that may speak for the image */
    unsigned crash_cores;   /* core files kept of guests that crash: see guest_watch.h */
    unsigned debug;         /* commands that may look into its guests: see guest_debug.h */
    char *share;            /* how its guests share directories with the node: vmm_check_share() */
    char *machine, *accel;  /* for QEMU; "" as vmm.qemu_machine and vmm.qemu_accel say */
    bool side_containers;   /* of a VMM's: images that declare no unikernel run by `program` */
};

struct handlers {
    struct handler *v; /* owned; the default first */
    size_t n;
    struct mutex lock;
    struct feature_entry *features; /* owned; GUARDED, as the next is */
    size_t n_features;
};

/* What an OCI runtime says of itself; all false when it does not. */
struct runtime_features {
    bool recursive_readonly, idmapped_mounts;
    char version[64]; /* "" when it does not tell */
};
/** handler_features() - of the handler's OCI runtime; nothing for a VMM without side containers.
 * The first call of a program runs it. */
void handler_features(struct handlers *hs, const struct handler *h, struct runtime_features *ret);
void handler_features_free(struct handlers *hs);
/** runtime_features_parse() - the output of `features`; what cannot be read is no feature. */
void runtime_features_parse(const char *text, size_t len, struct runtime_features *ret);

/** handlers_open() - Errors: INVALID naming the handler and its key. */
struct handlers *handlers_open(const struct sandbox_config *config, struct err *err);
void handlers_free(struct handlers *h);
/** handler_find() - Errors: INVALID naming it and what there is. */
const struct handler *handler_find(const struct handlers *h, const char *name, struct err *err);
/** handler_runs_oci() - whether containers of its pods may be the OCI runtime's. */
bool handler_runs_oci(const struct handler *h);
/** program_find() - an absolute path as it is, else looked up in PATH; "" when absent. Owned. */
char *program_find(const char *name);

#endif
