/* SPDX-License-Identifier: Apache-2.0 */
/*
 * remote - a session of Exec or Attach: bytes between a client's channels and a command's pipes or
 * terminal, or a container's monitor.
 *
 *   WAITING --all channels there--> STARTING --task--> RUNNING --command ended--> ENDING
 *     --its status known and its output read--> the client is told, conn_finish
 *
 * A client that goes takes its command with it; a container that ends ends both. An attached
 * client's end is no one else's, but of stdin when the container has stdin_once.
 *
 * remote.c is the session as its connection sees it, remote_start.c how it begins, remote_input.c
 * and remote_output.c the two ways, the latter with the end.
 */
#ifndef UNICRI_CRI_STREAM_REMOTE_H
#define UNICRI_CRI_STREAM_REMOTE_H

#include "cri/stream/conn.h"
#include "cri/stream/remote_client.h"
#include "sandbox/sandbox.h"

enum remote_phase { WAITING, STARTING, RUNNING, ENDING, OVER };

struct remote {
    struct conn *c;
    struct stream_request *request; /* borrowed from c */
    int version;
    enum remote_phase phase;
    uint32_t channel[ROLES];
    bool has[ROLES];
    size_t missing; /* channels that are still to be opened */

    struct fdio *in, *out, *err, *ended; /* a terminal and a monitor are `out` for both ways */
    bool in_ended, stdin_once, wants_in;
    struct strbuf early; /* stdin that came before there was a command */

    struct strbuf resize_text;
    struct terminal_size size;  /* the latest; width 0 once it is applied */
    struct terminal_size asked; /* of the monitor, while `resizing` */

    struct task start, end, resize;
    bool resizing;
    struct exec_run run;
    int attached;
    bool kill;
    int exit_code;
    bool failed;
    struct err why;
};

#define REMOTE_OF(task_, member)                                                                   \
    ((struct remote *)((char *)(task_)-offsetof(struct remote, member)))

static inline bool remote_is_gone(const struct remote *r)
{
    return r->phase == OVER;
}

/* remote_start.c */
/** remote_begin() - all channels are there: start the command, or ask the monitor. */
void remote_begin(struct remote *r);

/* remote_input.c */
/** remote_input() - bytes for the command; kept while there is none yet. */
void remote_input(struct remote *r, const char *data, size_t len);
void remote_input_end(struct remote *r);
/** remote_apply_size() - the latest size of the client's terminal, once something has a terminal.
 */
void remote_apply_size(struct remote *r);
/* fdio_events of what takes the input. */
void remote_on_in_drained(void *arg);
void remote_on_in_flushed(void *arg);
void remote_on_in_broken(void *arg);

/* remote_output.c */
/** remote_sources() - let the outputs flow, or pause them, as the client takes bytes. */
void remote_sources(struct remote *r);
/** remote_end_command() - by a task: wait for a command that has ended, or end it first. */
void remote_end_command(struct remote *r, bool kill);
/** remote_tell_and_finish() - the status for the client, then the end of the session. */
void remote_tell_and_finish(struct remote *r);
/** remote_idle() - the same with the idle timeout as the reason; a session_op. */
void remote_idle(void *session);
/* fdio_events of where output comes from. */
void remote_on_out(void *arg, const char *data, size_t len);
void remote_on_err(void *arg, const char *data, size_t len);
void remote_on_packet(void *arg, const char *data, size_t len);
void remote_on_out_end(void *arg);
void remote_on_err_end(void *arg);
void remote_on_command_ended(void *arg);
void remote_on_attached_end(void *arg);

#endif
