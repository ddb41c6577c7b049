/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vmm_core - unicri:core of a guest whose VMM writes core files itself: from its pipe to the
 * client, or to a file where the guest has crashed (--core-max: how large it may become; zeroes are
 * left out). The guest stands still meanwhile; a client that stops reading does not keep it so.
 * What the file's own tables tell is how many bytes there must be: fewer are an error, more are not
 * taken.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "sandbox/debug/core_head.h"
#include "sandbox/debug/debug.h"

#define PAGE        4096
#define PATIENCE_MS 10000 /* for a VMM that writes nothing */

static unsigned char buf[CORE_HEAD_BYTES];

/* Until it is full or the VMM has closed the pipe. */
static int fill(int fd, size_t want, size_t *ret, struct err *err)
{
    for (*ret = 0; *ret < want;) {
        struct pollfd p[2] = {{.fd = fd, .events = POLLIN}, {.fd = end_fd(), .events = POLLIN}};
        int n = poll(p, 2, PATIENCE_MS);
        ssize_t got;

        if (n < 0 && errno != EINTR)
            return err_sys(err, "wait");
        if (n > 0 && p[1].revents && end_asked())
            return err_set(err, ERR_CANCELLED, "asked to end");
        if (n == 0)
            return err_set(err, ERR_DEADLINE, "the guest's VMM writes no core file");
        if (n < 0 || !p[0].revents)
            continue;
        got = read(fd, buf + *ret, want - *ret);
        if (got < 0 && errno != EINTR && errno != EAGAIN)
            return err_sys(err, "read the core file");
        if (got == 0)
            return 0;
        *ret += got > 0 ? (size_t)got : 0;
    }
    return 0;
}

static bool is_zero(const unsigned char *p, size_t len)
{
    return *p == 0 && memcmp(p, p + 1, len - 1) == 0;
}

/* To a file, with holes. */
static int put_file(size_t len, struct err *err)
{
    for (size_t at = 0; at < len; at += PAGE) {
        size_t piece = len - at < PAGE ? len - at : PAGE;

        if (is_zero(buf + at, piece)) {
            if (lseek(STDOUT_FILENO, (off_t)piece, SEEK_CUR) < 0)
                return err_sys(err, "write the core file");
        } else if (output_write(buf + at, piece, err) < 0) {
            return -1;
        }
    }
    return 0;
}

static int copy(const struct debug_options *o, uint64_t *ret_bytes, struct err *err)
{
    uint64_t done = 0;
    size_t n;

    if (fill(o->core_fd, sizeof(buf), &n, err) < 0 || core_head_bytes(buf, n, ret_bytes, err) < 0)
        return -1;
    if (o->core_max && *ret_bytes > o->core_max)
        return err_set(err, ERR_EXHAUSTED, "the core file would have %llu bytes, allowed are %llu",
                       (unsigned long long)*ret_bytes, (unsigned long long)o->core_max);
    for (;;) {
        uint64_t left = *ret_bytes - done;

        if (n > left)
            n = (size_t)left;
        if ((o->core_max ? put_file(n, err) : output_write(buf, n, err)) < 0)
            return -1;
        done += n;
        left -= n;
        if (left == 0)
            return 0;
        if (fill(o->core_fd, left < sizeof(buf) ? (size_t)left : sizeof(buf), &n, err) < 0)
            return -1;
        if (n == 0)
            return err_set(err, ERR_STATE, "the guest's VMM broke off after %llu of %llu bytes",
                           (unsigned long long)done, (unsigned long long)*ret_bytes);
    }
}

static int run(const struct debug_options *o, struct err *err)
{
    uint64_t bytes = 0;

    if (*o->args)
        return err_set(err, ERR_INVALID, "takes no arguments");
    if (o->core_max)
        end_defer(); /* what is begun for a crashed guest is brought to its end */
    if (copy(o, &bytes, err) < 0) {
        if (o->core_max && ftruncate(STDOUT_FILENO, 0) < 0) /* half a core file is none */
            output_note("the core file is not whole");
        return -1;
    }
    if (o->core_max)
        return ftruncate(STDOUT_FILENO, (off_t)bytes) < 0 ? err_sys(err, "end the core file") : 0;
    output_note("unicri:core: %llu bytes; open it with: gdb KERNEL FILE",
                (unsigned long long)bytes);
    return 0;
}

const struct debug_command debug_vmm_core = {.name = "core", .run = run};
