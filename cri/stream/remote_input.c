/* SPDX-License-Identifier: Apache-2.0 */
/* remote_input - see remote.h: what comes from the client: bytes, their end, terminal sizes. */
#include <string.h>
#include <sys/ioctl.h>

#include "base/log.h"
#include "cri/stream/remote.h"

#define RESIZE_TIMEOUT (5 * NSEC_PER_SEC)
#define END_OF_INPUT   "\004" /* what a terminal takes for it */

void remote_on_in_drained(void *arg)
{
    struct remote *r = arg;

    conn_update(r->c);
}

/* Nobody reads it any more: what still comes is dropped. */
void remote_on_in_broken(void *arg)
{
    struct remote *r = arg;

    if (r->in != r->out)
        fdio_close(TAKE_PTR(r->in));
    r->in = NULL;
    conn_update(r->c);
}

void remote_on_in_flushed(void *arg)
{
    struct remote *r = arg;

    if (r->in_ended)
        remote_on_in_broken(r);
}

static void write_packets(struct remote *r, const char *data, size_t len)
{
    char packet[ATTACH_PACKET_MAX_BYTES];

    packet[0] = ATTACH_IN;
    for (size_t n; len > 0; data += n, len -= n) {
        n = len < sizeof(packet) - 1 ? len : sizeof(packet) - 1;
        memcpy(packet + 1, data, n);
        fdio_write(r->in, packet, n + 1);
    }
}

void remote_input(struct remote *r, const char *data, size_t len)
{
    if (r->phase < RUNNING) {
        strbuf_add(&r->early, data, len);
    } else if (r->in && !r->in_ended) {
        if (r->request->kind == STREAM_ATTACH)
            write_packets(r, data, len);
        else
            fdio_write(r->in, data, len);
    }
}

void remote_input_end(struct remote *r)
{
    static const char nothing = ATTACH_IN;

    if (r->phase < RUNNING) {
        r->in_ended = true;
        return;
    }
    if (!r->in || r->in_ended)
        return;
    r->in_ended = true;
    if (r->request->kind == STREAM_ATTACH) {
        if (r->stdin_once)
            fdio_write(r->in, &nothing, 1);
    } else if (r->request->tty) {
        fdio_write(r->in, END_OF_INPUT, 1);
    } else {
        fdio_write_end(r->in);
    }
}

static void resize_work(struct task *task)
{
    struct remote *r = REMOTE_OF(task, resize);
    struct err err = ERR_INIT;

    if (container_resize(r->c->server->engine, r->request->id, r->asked.width, r->asked.height,
                         deadline_in(RESIZE_TIMEOUT), &err) < 0)
        log_debug("ignoring: %s", err.msg);
}

void remote_apply_size(struct remote *r);

static void resize_done(struct task *task)
{
    struct remote *r = REMOTE_OF(task, resize);

    r->resizing = false;
    if (!remote_is_gone(r))
        remote_apply_size(r);
    conn_task_done(r->c);
}

/* A storm becomes its last size. */
void remote_apply_size(struct remote *r)
{
    struct winsize size = {.ws_col = (unsigned short)r->size.width,
                           .ws_row = (unsigned short)r->size.height};

    if (!r->size.width || r->phase != RUNNING || !r->out || r->resizing)
        return;
    r->asked = r->size;
    r->size.width = 0;
    if (r->request->kind == STREAM_EXEC) {
        (void)ioctl(fdio_fd(r->out), TIOCSWINSZ, &size);
        return;
    }
    r->resizing = true;
    r->resize = (struct task){.work = resize_work, .done = resize_done};
    conn_task(r->c, &r->resize);
}
