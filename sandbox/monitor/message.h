/* SPDX-License-Identifier: Apache-2.0 */
/* message - the requests of the control socket (monitor.h), parsed. */
#ifndef UNICRI_SANDBOX_MONITOR_MESSAGE_H
#define UNICRI_SANDBOX_MONITOR_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>

#define MESSAGE_REQUEST_MAX_BYTES 64

enum message_type {
    MESSAGE_BAD,
    MESSAGE_REOPEN,
    MESSAGE_PING,
    MESSAGE_STAT,
    MESSAGE_RESIZE,
    MESSAGE_ATTACH
};
struct message {
    enum message_type type;
    unsigned short width, height; /* MESSAGE_RESIZE */
    bool input;                   /* MESSAGE_ATTACH */
};

/** message_parse() - Returns: the message; its type is MESSAGE_BAD for anything that is not exactly
 * a request. */
struct message message_parse(const char *data, size_t len);

#endif
