/* SPDX-License-Identifier: Apache-2.0 */
/*
 * layer - see layer.h. Data goes down one pipe, the report comes back on another only after the
 * data's end, so neither side can wait for the other.
 */
#include "imagestore/layer.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>

#include "base/child.h"
#include "base/fault.h"
#include "base/fs.h"
#include "base/id.h"
#include "base/log.h"
#include "base/strbuf.h"
#include "imagestore/unpack/report.h"

#define PIPE_BYTES      (1024 * 1024)
#define WAIT_STEP_MS    200
#define UNPACK_IDLE_MAX (300 * NSEC_PER_SEC) /* without taking a byte, and for finishing */
#define CPU_BASE        UINT64_C(60)
#define CPU_RATE        (UINT64_C(8) << 20) /* bytes unpacked in a second of CPU, at least */

struct unpack {
    struct imagestore *s;
    const atomic_bool *stop;
    struct pidref child;
    int data, report, dir; /* our ends; the target directory */
    char *tmp;             /* owned; its name in layers/ */
    uint64_t sent;
};

void layer_result_done(struct layer_result *r)
{
    free(r->tmp);
    strv_free(r->implied);
    *r = (struct layer_result){0};
}

/* ------------------------------------------------------------ the child */

static int spawn(struct unpack *u, const char *name, int data, int report, const char *cwd,
                 struct err *err)
{
    const struct imagestore_config *c = u->s->config;
    autofree char *bytes = xasprintf("%llu", (unsigned long long)c->max_image_bytes);
    autofree char *entries = xasprintf("%lld", (long long)c->max_entries);
    autofree char *cpu =
        xasprintf("%llu", (unsigned long long)(CPU_BASE + c->max_image_bytes / CPU_RATE));
    autofree char *uid = xasprintf("%lld", (long long)c->unpack_uid);
    autofree char *min_free = xasprintf("%llu", (unsigned long long)store_min_free(u->s));
    char *argv[] = {(char *)(uintptr_t) "unicri-unpack",
                    bytes,
                    entries,
                    cpu,
                    uid,
                    min_free,
                    (char *)(uintptr_t)name,
                    NULL};
    struct child_spec spec = {.path = u->s->unpack_program,
                              .argv = argv,
                              .cwd = cwd,
                              .fds = {{data, STDIN_FILENO}, {report, UNPACK_REPORT_FD}},
                              .n_fds = 2};
#if defined(__SANITIZE_ADDRESS__)
    spec.fds[spec.n_fds++] = (struct child_fd){STDERR_FILENO, STDERR_FILENO};
#endif
    return child_spawn(&spec, &u->child, err);
}

static int start(struct unpack *u, const char *name, struct err *err)
{
    char id[ID_LEN + 1];
    id_new(id);
    u->tmp = xasprintf(STORE_TMP_PREFIX "%.16s", id);
    autofree char *path = path_join(u->s->layers_dir, u->tmp);
    if (fs_mkdir(AT_FDCWD, path, 0755, err) <
        0) /* the root directory of an image that names none */
        return -1;
    u->dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (u->dir < 0)
        return err_sys(err, "open '%s'", path);
    int data[2], report[2];
    if (pipe2(data, O_CLOEXEC) < 0)
        return err_sys(err, "pipe");
    autofd int data_read = data[0];
    u->data = data[1];
    if (pipe2(report, O_CLOEXEC) < 0)
        return err_sys(err, "pipe");
    autofd int report_write = report[1];
    u->report = report[0];
    (void)fcntl(u->data, F_SETPIPE_SZ, PIPE_BYTES); /* smaller is slower, no more */
    if (fcntl(u->data, F_SETFL, O_NONBLOCK) < 0)
        return err_sys(err, "pipe");
    return spawn(u, name, data_read, report_write, path, err);
}

static bool stopped(const struct unpack *u)
{
    return u->stop && atomic_load(u->stop);
}

static int wait_fd(struct unpack *u, int fd, short events, deadline_t deadline, struct err *err)
{
    for (;;) {
        struct pollfd p = {.fd = fd, .events = events};
        int n = poll(&p, 1, WAIT_STEP_MS);
        if (n > 0)
            return 0;
        if (n < 0 && errno != EINTR)
            return err_sys(err, "poll");
        if (stopped(u))
            return err_set(err, ERR_CANCELLED, "pull given up");
        if (deadline_passed(deadline))
            return err_set(err, ERR_INTERNAL, "unicri-unpack: no progress for %d s",
                           (int)(UNPACK_IDLE_MAX / NSEC_PER_SEC));
    }
}

/* blob_sink: bytes for the child. */
static int feed(void *arg, const void *data, size_t len, struct err *err)
{
    struct unpack *u = arg;
    const char *p = data;
    while (len) {
        ssize_t n = write(u->data, p, len);
        if (n > 0) {
            p += n;
            len -= (size_t)n;
            u->sent += (uint64_t)n;
        } else if (errno == EPIPE) {
            return err_set(err, ERR_INTERNAL,
                           "unicri-unpack ended early"); /* its report says why */
        } else if (errno != EAGAIN && errno != EINTR) {
            return err_sys(err, "write to unicri-unpack");
        } else if (wait_fd(u, u->data, POLLOUT, deadline_in(UNPACK_IDLE_MAX), err) < 0) {
            return -1;
        }
    }
    return 0;
}

static int read_report(struct unpack *u, struct strbuf *b, struct err *err)
{
    deadline_t deadline = deadline_in(UNPACK_IDLE_MAX);
    char part[16384];
    for (;;) {
        if (wait_fd(u, u->report, POLLIN, deadline, err) < 0)
            return -1;
        ssize_t n = read(u->report, part, sizeof(part));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_sys(err, "read from unicri-unpack");
        if (n == 0)
            return 0;
        strbuf_add(b, part, (size_t)n);
        if (b->len > UNPACK_REPORT_MAX_BYTES)
            return err_set(err, ERR_INTERNAL, "unicri-unpack: report is too large");
    }
}

/* ----------------------------------------------------------- the report */

struct totals {
    char compressed[DIGEST_LEN + 1], diff[DIGEST_LEN + 1];
    unsigned long long in, out, entries, bytes, inodes, skipped;
};

static int take_error(const char *text, struct err *err)
{
    const char *colon = strchr(text, ':');
    for (size_t i = 0; colon && i < ARRAY_SIZE(unpack_errors); i++)
        if (strlen(unpack_errors[i].name) == (size_t)(colon - text) &&
            str_has_prefix(text, unpack_errors[i].name))
            return err_set(err, unpack_errors[i].code, "%.400s", colon + 1);
    return err_set(err, ERR_INTERNAL, "unicri-unpack: unreadable report");
}

static bool take_digest(const char **p, char ret[DIGEST_LEN + 1])
{
    if (strnlen(*p, DIGEST_LEN) < DIGEST_LEN)
        return false;
    memcpy(ret, *p, DIGEST_LEN);
    ret[DIGEST_LEN] = '\0';
    *p += DIGEST_LEN;
    return digest_is_valid(ret);
}

static int take_totals(const char *text, struct totals *t, struct err *err)
{
    const struct {
        const char *name;
        unsigned long long *to;
    } numbers[] = {{" in=", &t->in},       {" out=", &t->out},       {" entries=", &t->entries},
                   {" bytes=", &t->bytes}, {" inodes=", &t->inodes}, {" skipped=", &t->skipped}};
    const char *p = text;
    bool ok = scan_text(&p, "compressed=") && take_digest(&p, t->compressed) &&
              scan_text(&p, " diff=") && take_digest(&p, t->diff);
    for (size_t i = 0; ok && i < ARRAY_SIZE(numbers); i++)
        ok = scan_text(&p, numbers[i].name) && scan_u64(&p, UINT64_MAX, numbers[i].to);
    return ok ? 0 : err_set(err, ERR_INTERNAL, "unicri-unpack: unreadable report");
}

static int open_dir_in(int root, const char *path, uint64_t resolve)
{
    struct open_how how = {.flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
                           .resolve =
                               RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV | resolve};
    return (int)syscall(SYS_openat2, root, path[0] ? path : ".", &how, sizeof(how));
}

/* trusted.* needs more capabilities than the child has, so it names the directories and we mark
 * them. */
static int mark_opaque(int root, const char *path, struct err *err)
{
    autofd int fd = open_dir_in(root, path, 0);
    if (fd < 0) /* replaced by a later entry */
        return errno == EMFILE || errno == ENFILE ? err_sys(err, "open '%.200s'", path) : 0;
    if (fsetxattr(fd, "trusted.overlay.opaque", "y", 1, 0) < 0)
        return err_sys(err, "mark '%.200s' opaque", path);
    return 0;
}

static int take_report(struct unpack *u, const struct strbuf *b, struct totals *t, char ***implied,
                       struct err *err)
{
    bool done = false;
    for (size_t at = 0; at < b->len;) {
        const char *record = b->s + at;
        size_t len = strnlen(record, b->len - at);
        if (at + len == b->len || done)
            return err_set(err, ERR_INTERNAL, "unicri-unpack: unreadable report");
        at += len + 1;
        if (record[0] == 'E')
            return take_error(record + 1, err);
        if (record[0] == 'O' && mark_opaque(u->dir, record + 1, err) < 0)
            return -1;
        if (record[0] == 'I')
            strv_push(implied, record + 1);
        if (record[0] == 'R') {
            if (take_totals(record + 1, t, err) < 0)
                return -1;
            done = true;
        }
    }
    return done ? 0 : err_set(err, ERR_INTERNAL, "unicri-unpack: no report");
}

/* ------------------------------------------------------------ one attempt */

static void stop_child(struct unpack *u)
{
    struct child_status status;
    struct err why = ERR_INIT;
    if (!u->child.pid)
        return;
    child_kill_group(&u->child);
    if (child_wait(&u->child, deadline_in(10 * NSEC_PER_SEC), &status, &why) < 0)
        log_warn("unicri-unpack: %s", why.msg);
    pidref_done(&u->child);
}

/* The child's end: its report, then its status. What it says of itself counts more than what the
 * transfer ran into. */
static int finish(struct unpack *u, int transfer, struct totals *t, char ***implied,
                  struct err *err)
{
    autostrbuf report = STRBUF_INIT;
    struct child_status status = {0};
    struct err why = ERR_INIT;
    u->data = close_fd(u->data);
    int r = read_report(u, &report, &why);
    if (r == 0)
        r = child_wait(&u->child, deadline_in(30 * NSEC_PER_SEC), &status, &why);
    if (r == 0)
        pidref_done(&u->child);
    if (r == 0 && !status.exited)
        r = err_set(&why, status.code == SIGXCPU ? ERR_EXHAUSTED : ERR_INTERNAL,
                    "unicri-unpack was ended by signal %d", status.code);
    if (r == 0)
        r = take_report(u, &report, t, implied, &why);
    /* a transfer that was cut off makes the child complain about its end: the cut is the cause */
    bool ours = transfer == 0 || (err->code == ERR_INTERNAL && why.code != ERR_NONE);
    if (r < 0 && ours)
        *err = why;
    return transfer < 0 ? -1 : r;
}

static int check(const struct totals *t, const struct unpack *u, const struct descriptor *blob,
                 const char *diff_id, struct err *err)
{
    if (!str_eq(t->compressed, blob->digest))
        return err_set(err, ERR_CORRUPT, "layer %s: received data has digest %s", blob->digest,
                       t->compressed);
    if (t->in != blob->size || u->sent != blob->size)
        return err_set(err, ERR_CORRUPT, "layer %s: %llu bytes instead of %llu", blob->digest,
                       (unsigned long long)u->sent, (unsigned long long)blob->size);
    if (!blob->raw_name && !str_eq(t->diff, diff_id))
        return err_set(err, ERR_CORRUPT, "layer %s: unpacks to %s, but the config says %s",
                       blob->digest, t->diff, diff_id);
    return 0;
}

static int attempt(struct unpack *u, struct registry *registry, struct http *http,
                   const struct descriptor *blob, const char *diff_id, size_t *host,
                   struct layer_result *ret, struct err *err)
{
    struct totals t = {0};
    autostrv char **implied = NULL;
    if (start(u, blob->raw_name, err) < 0)
        return -1;
    FAULT_POINT("image.layer");
    int transfer = registry_blob(registry, http, blob->digest, blob->size, host, feed, u, err);
    if (finish(u, transfer, &t, &implied, err) < 0)
        return -1;
    metric_add(&image_bytes_metric, (int64_t)u->sent);
    if (check(&t, u, blob, diff_id, err) < 0)
        return -1;
    metric_add(&image_layers_metric, 1);
    *ret = (struct layer_result){
        .tmp = TAKE_PTR(u->tmp), .implied = TAKE_PTR(implied), .size = t.bytes, .inodes = t.inodes};
    return 0;
}

static void clean_up(struct unpack *u)
{
    stop_child(u);
    (void)close_fd(u->data);
    (void)close_fd(u->report);
    (void)close_fd(u->dir);
    if (!u->tmp)
        return;
    autofree char *path = path_join(u->s->layers_dir, u->tmp);
    store_remove_dir(path);
    free(u->tmp);
}

int layer_fetch(struct imagestore *s, struct registry *registry, struct http *http,
                const struct descriptor *blob, const char *diff_id, const atomic_bool *stop,
                struct layer_result *ret, struct err *err)
{
    for (size_t host = 0;; host++) {
        struct unpack u = {
            .s = s, .stop = stop, .child = PIDREF_NONE, .data = -1, .report = -1, .dir = -1};
        int r = attempt(&u, registry, http, blob, diff_id, &host, ret, err);
        clean_up(&u);
        if (r == 0)
            return 0;
        /* another host may have the right bytes */
        if (err->code != ERR_CORRUPT || host + 1 >= registry_hosts(registry))
            return err_wrap(err, "layer %.19s", blob->digest);
        metric_add(&image_resumed_metric, 1);
    }
}

void layer_adopt_dirs(int layer, char *const *implied, const int *below, size_t n_below)
{
    for (size_t i = 0; implied && implied[i]; i++) {
        autofd int to = open_dir_in(layer, implied[i], 0);
        for (size_t j = n_below; to >= 0 && j > 0; j--) {
            autofd int from = open_dir_in(below[j - 1], implied[i], RESOLVE_NO_SYMLINKS);
            struct stat st;
            if (from < 0 || fstat(from, &st) < 0)
                continue;
            const struct timespec t[2] = {{.tv_nsec = UTIME_OMIT}, st.st_mtim};
            if (fchown(to, st.st_uid, st.st_gid) < 0 || fchmod(to, st.st_mode & 07777) < 0)
                continue;
            (void)futimens(to, t);
            break;
        }
    }
}
