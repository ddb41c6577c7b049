/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spec - what the daemon wants of this monitor, parsed from the text described in monitor.h.
 *
 * The parser is strict: an unknown key, a bad number or a missing field is an error, because the
 * writer is a program. All strings point into the text given to spec_parse(), which must outlive
 * the spec.
 */
#ifndef UNICRI_SANDBOX_MONITOR_SPEC_H
#define UNICRI_SANDBOX_MONITOR_SPEC_H

#include "sandbox/monitor/text.h"

#define SPEC_FDS_MAX      64  /* descriptors handed to a VMM */
#define SPEC_FD_TO_MAX    199 /* their numbers in the VMM */
#define SPEC_CGROUPS_MAX  16
#define SPEC_GROUPS_MAX   4
#define SPEC_IOCTLS_MAX   256
#define SPEC_ENTRIES_MAX  80         /* of a VMM's root */
#define SPEC_HELPER       "helper=1" /* the field at which a second process begins */
#define SPEC_ROOT_MAX     (INT64_C(1) << 30)
#define SPEC_ID_MAX_BYTES 200
#define SPEC_LINE_DEFAULT 16384
#define SPEC_LINE_MIN     16
#define SPEC_LINE_MAX     65536

enum spec_mode { MODE_NONE, MODE_RUNTIME, MODE_VMM };

enum root_kind { ROOT_RO, ROOT_RW, ROOT_DEVICE, ROOT_DIR, ROOT_FILE, ROOT_SYMLINK, ROOT_PROC };

/* One entry of the root of a VMM. */
struct root_entry {
    enum root_kind kind;
    int fd; /* of the first three; else -1 */
    const char *path;
    const char *text; /* of a file or link; "" none */
    const char *base; /* an entry in whose tree `path` is looked up as if it were the root; NULL */
};

struct spec {
    const char *id;
    enum spec_mode mode;
    char **argv, **env; /* NULL terminated, in the pointer array given by the caller */
    const char *program;
    int program_fd;
    struct {
        int from, to;
    } fds[SPEC_FDS_MAX];
    size_t n_fds;
    const char *log_dir;
    const char *log; /* below log_dir; NULL: none */
    size_t log_line_max;
    bool tty, stdin_open, stdin_once;
    const char *cgroups[SPEC_CGROUPS_MAX];
    size_t n_cgroups;
    const char *cgroup_kill[SPEC_CGROUPS_MAX];
    size_t n_cgroup_kill;
    const char *cgroup_memory; /* NULL: none */
    int64_t timeout_ms;        /* 0: none */
    int64_t uid, gid;          /* -1: not given */
    int64_t nofile, fsize;     /* -1: not given */
    bool new_pid_ns, new_user_ns, interface_sockets, kill_on_start_failure;
    bool connects, file_server; /* see monitor.h: local_connect */
    int netns;                  /* -1: a fresh one */
    int64_t groups[SPEC_GROUPS_MAX];
    size_t n_groups;
    uint32_t *ioctls;
    size_t n_ioctls;
    struct root_entry *entries; /* in the room given by the caller, as are the requests */
    size_t n_entries;
    const char *next_base; /* while parsing */
    int64_t root_bytes;
    bool has_oom_score_adj;
    int64_t oom_score_adj;
};

/* What long lists of a spec take: needed until the workload runs. */
struct spec_room {
    struct root_entry entries[SPEC_ENTRIES_MAX];
    uint32_t ioctls[SPEC_IOCTLS_MAX];
};

/** spec_count() - how many fields the text has; spec_parse() needs that many pointers and two more.
 */
size_t spec_count(const char *text, size_t len);
/** spec_helper() - where SPEC_HELPER stands in the text: what is in front of it is one spec, what
 * is behind it another; `len` when there is none. */
size_t spec_helper(const char *text, size_t len);
/**
 * spec_parse() - parse `len` bytes.
 * @text: is changed (the '=' of a field stays, argument pointers point behind it).
 * @pointers: room for spec_count() + 2.
 * @room: must outlive the spec, too.
 * Returns: 0, or -1 with the fault.
 */
int spec_parse(char *text, size_t len, char **pointers, struct spec_room *room, struct spec *ret,
               struct fault *f);

#endif
