/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cdi - the Container Device Interface: what a vendor's specification files say a container needs
 * to use a device (CDI 0.3.0 to 1.1.0), and how that gets into config.json.
 *
 * The files are read for each container that asks for such a device, and never again for it: what
 * they said is in its config.json. Only the request asks (the field CDI_devices, or the container's
 * annotations under cdi.k8s.io/), never an image or the pod.
 *
 * cdi_text.c reads YAML, cdi_spec.c and cdi_rules.c one file, cdi_dirs.c the directories;
 * cdi_apply.c edits.
 */
#ifndef UNICRI_SANDBOX_CDI_H
#define UNICRI_SANDBOX_CDI_H

#include "base/json.h"
#include "sandbox/spec.h"

#define CDI_FILES_MAX       1024               /* of one directory */
#define CDI_BYTES_MAX       (64 * 1024 * 1024) /* of all files read for one container */
#define CDI_DEVICES_MAX     1024 /* that one container may ask for, or one file name */
#define CDI_ANNOTATION      "cdi.k8s.io/"
#define CDI_VENDOR_MAX      253
#define CDI_CLASS_MAX       63
#define CDI_DEVICE_NAME_MAX 253

struct cdi_device_node {
    char *path, *host_path, *type, *permissions; /* all but path may be NULL, as below */
    int64_t major, minor;                        /* 0: not given */
    struct optional_int file_mode, uid, gid;
};
struct cdi_net_device {
    char *host_name, *name;
};
struct cdi_mount {
    char *host_path, *container_path, *type;
    char **options;
};
struct cdi_hook {
    char *name, *path;
    char **args, **env;
    struct optional_int timeout; /* s */
};
struct cdi_rdt {
    char *clos_id, *l3_schema, *mem_bw_schema;
    char **schemata;
    bool monitoring;
};

struct cdi_edits {
    char **env;
    struct {
        struct cdi_device_node *v;
        size_t n;
    } nodes;
    struct {
        struct cdi_net_device *v;
        size_t n;
    } net;
    struct {
        struct cdi_mount *v;
        size_t n;
    } mounts;
    struct {
        struct cdi_hook *v;
        size_t n;
    } hooks;
    bool has_rdt;
    struct cdi_rdt rdt;
    struct {
        int64_t *v;
        size_t n;
    } gids;
};

struct cdi_device {
    char *name;
    struct kvs annotations;
    struct cdi_edits edits;
};

/* One file. Everything is owned by it. */
struct cdi_spec {
    char *version, *kind;
    struct kvs annotations;
    struct {
        struct cdi_device *v;
        size_t n;
    } devices;
    struct cdi_edits edits; /* of every container that gets one of the devices */
};

/** cdi_spec_parse() - a file's text, checked: shape, unknown members, names, version and whether
 * what is used was in it. Errors: INVALID, EXHAUSTED. Returns: owned by the caller. */
struct cdi_spec *cdi_spec_parse(const char *text, size_t len, struct err *err);
void cdi_spec_free(struct cdi_spec *spec);
DEFINE_CLEANUP(struct cdi_spec *, cdi_spec_free);
#define autocdi_spec CLEANUP(cdi_spec_free_cleanup) struct cdi_spec

/** cdi_spec_check() - cdi_spec_parse()'s checks of what the file says. cdi_rules.c. */
int cdi_spec_check(const struct cdi_spec *spec, struct err *err) MUST_CHECK;

/** cdi_name_check() - is it vendor/class=name by the specification's grammar? Errors: INVALID. */
int cdi_name_check(const char *name, struct err *err) MUST_CHECK;
/** cdi_names() - the devices that a request asks for, each once, in its order: the field's, then
 * those of annotations. *ret: caller frees with strv_free(), NULL for none. Errors: INVALID. */
int cdi_names(const struct container_spec *spec, char ***ret, struct err *err) MUST_CHECK;

/* What a request's devices come to. */
struct cdi {
    struct cdi_spec **specs; /* owned */
    size_t n_specs;
    struct {
        const struct cdi_edits *edits; /* borrowed from specs */
        const char *device;            /* which device brought it; borrowed from names */
    } * edits;                         /* in the order in which they apply */
    size_t n_edits;
    char **names; /* owned */
};

/**
 * cdi_resolve() - find devices in `dirs`, of which a later one takes precedence. A file that is of
 * no use (unreadable, malformed) only takes away what it would have brought; the error for a device
 * that is not found tells of it. Does file I/O. Errors: NOT_FOUND naming a device; STATE when two
 * files of one directory have the device; UNSUPPORTED when `dirs` is empty.
 */
int cdi_resolve(char *const *dirs, char *const *names, struct cdi **ret,
                struct err *err) MUST_CHECK;
void cdi_free(struct cdi *cdi);
DEFINE_CLEANUP(struct cdi *, cdi_free);
#define autocdi CLEANUP(cdi_free_cleanup) struct cdi

/** cdi_check() - can this node do all of it: device nodes, mounts' sources and hooks exist, nothing
 * asks for what is not supported. Errors: naming device and object. */
int cdi_check(const struct cdi *cdi, struct err *err) MUST_CHECK;
/** cdi_apply() - all edits but those of groups into config.json. Errors: as cdi_check(). */
int cdi_apply(const struct cdi *cdi, json_t *config, struct err *err) MUST_CHECK;
/** cdi_groups() - the groups that the first process gets beside its own; *ret is the caller's. */
size_t cdi_groups(const struct cdi *cdi, uint32_t **ret);

#endif
