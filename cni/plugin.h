/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plugin - one call of one CNI plugin: the border between a chain (chain.c) and whatever does a
 * plugin's work.
 *
 * plugin_call() makes the document a plugin reads and judges what it answers; the work between is a
 * row of ops. The one row there is runs an executable. A row that does stock plugins' work without
 * a process gets the same document and must give the same answers and leave the same leases, so
 * nothing above notices.
 */
#ifndef UNICRI_CNI_PLUGIN_H
#define UNICRI_CNI_PLUGIN_H

#include "base/clock.h"
#include "base/json.h"

#define PLUGIN_OUTPUT_MAX_BYTES ((size_t)1024 * 1024)

/* Everything that is the same for all plugins of a chain. All borrowed. */
struct plugin_call {
    const char *command;   /* "ADD", "DEL", "CHECK", "GC", "STATUS" */
    const char *id;        /* CNI_CONTAINERID; NULL for GC and STATUS */
    const char *netns;     /* CNI_NETNS; "" when it is gone */
    const char *ifname;    /* CNI_IFNAME */
    const char *args;      /* CNI_ARGS */
    char *const *bin_dirs; /* CNI_PATH */
    const char *cache_dir;
    const char *network;        /* "name" of the list */
    const char *version;        /* "cniVersion" of the list */
    const json_t *prev_result;  /* NULL: none */
    const json_t *capabilities; /* values for what plugins declare; NULL: none */
    const json_t *attachments;  /* GC: "cni.dev/valid-attachments" */
    nsec_t timeout;             /* for one plugin */
    deadline_t deadline;        /* for the chain */
};

/* What came back. */
struct plugin_answer {
    char *out; /* owned; NUL terminated */
    size_t out_len;
    bool truncated;  /* beyond PLUGIN_OUTPUT_MAX_BYTES */
    bool exited;     /* else ended by a signal */
    int code;        /* exit status or signal */
    char *complaint; /* owned; the last line on stderr, or NULL */
};

struct plugin_ops {
    const char *name;
    /* May this row do the work of this plugin? */
    bool (*takes)(const struct plugin_call *call, const char *type);
    /* Errors: NOT_FOUND, DENIED when it cannot be started, DEADLINE. An unhappy plugin is an
     * answer, not an error. */
    int (*exec)(const struct plugin_call *call, const char *type, const char *input, size_t len,
                deadline_t deadline, struct plugin_answer *ret, struct err *err);
};
extern const struct plugin_ops plugin_exec;

/**
 * plugin_call() - let the plugin described by `plugin` (a member of "plugins") do its part.
 * @ret_result: ADD only, else NULL: a new reference to the result.
 * Errors: UNAVAILABLE or DEADLINE, "plugin 'bridge' ADD: ...".
 */
int plugin_call(const struct plugin_call *call, const json_t *plugin, json_t **ret_result,
                struct err *err) MUST_CHECK;

/** plugin_find() - the executable of a plugin; owned by the caller. Errors: NOT_FOUND naming the
 * directories. */
char *plugin_find(char *const *bin_dirs, const char *type, struct err *err);

#endif
