/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fdio - one non-blocking descriptor on the loop: socket, pipe, terminal or packet socket, read in
 * bounded pieces, written through a buffer whose owner stops its source when it grows.
 *
 * What comes out of one fdio goes into another; nobody in between keeps bytes. Who writes looks at
 * fdio_pending() and stops reading its source above FDIO_HIGH_BYTES; `drained` says when to go on.
 * Callbacks come from the loop only, never from within a call here, with the exception of
 * fdio_drain_rest(). All may close the fdio: memory stays until libuv has let go of it.
 * Thread: the loop's.
 */
#ifndef UNICRI_CRI_STREAM_FDIO_H
#define UNICRI_CRI_STREAM_FDIO_H

#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

#define FDIO_READ_BYTES 32769              /* at once; a whole packet of stdio */
#define FDIO_HIGH_BYTES ((size_t)262144)   /* above it a source pauses */
#define FDIO_LOW_BYTES  ((size_t)65536)    /* below it it goes on */
#define FDIO_MAX_BYTES  ((size_t)16777216) /* beyond it the descriptor counts as broken */

struct fdio;

/* Any may be NULL. */
struct fdio_events {
    void (*data)(void *arg, const char *data, size_t len);
    void (*connected)(void *arg, int error); /* an errno, or 0; reading is still paused */
    void (*end)(void *arg);     /* nothing more will be read: end of file, or an error */
    void (*drained)(void *arg); /* the buffer has fallen below FDIO_LOW_BYTES */
    void (*flushed)(void *arg); /* all is written and, if asked for, the end as well */
    void (*broken)(void *arg);  /* the other side takes nothing more, or has gone while reading was
                                   paused */
};

/** fdio_new() - takes the descriptor over, also on failure. `open` counts handles for the owner.
 * Not reading yet. Returns: NULL when the descriptor cannot be polled. */
struct fdio *fdio_new(uv_loop_t *loop, int fd, const struct fdio_events *events, void *arg,
                      size_t *open);
/** fdio_close() - NULL is fine. What is still buffered is lost; no callback comes any more. */
void fdio_close(struct fdio *f);
int fdio_fd(const struct fdio *f);

/** fdio_connecting() - the socket is on its way to its peer: `connected` comes first. */
void fdio_connecting(struct fdio *f);
/** fdio_watch_gone() - with reading paused, a half-close of the other side counts as its going away
 * (`broken`). Not for a socket whose other side may have said all before it is read. */
void fdio_watch_gone(struct fdio *f);
/** fdio_packets() - each write is one packet. Before the first write. */
void fdio_packets(struct fdio *f);
/** fdio_read() - go on or pause. */
void fdio_read(struct fdio *f, bool on);
/** fdio_drain_rest() - the writers have ended: what is there now is read as ever, then `end` comes,
 * even if someone else still holds the other side. May call back at once. */
void fdio_drain_rest(struct fdio *f);

/** fdio_write() - all of it is taken. */
void fdio_write(struct fdio *f, const void *data, size_t len);
/** fdio_write_end() - after what is buffered: half-close of a socket, close of a pipe. */
void fdio_write_end(struct fdio *f);
size_t fdio_pending(const struct fdio *f);

#endif
