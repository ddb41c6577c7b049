/* SPDX-License-Identifier: Apache-2.0 */
/*
 * link - a GDB and a VMM that serves GDB's protocol, and what must not pass between them: a VMM's
 * own monitor commands, its end, a restart of its machine, calls of files. What is not known to be
 * harmless is answered as unknown, and the VMM never hears of it. Bytes in, bytes out, no I/O, so
 * that it can be fuzzed: both ends are hostile.
 *
 * The guest is STOPPED when the session begins; a packet that resumes it makes it RUNNING until the
 * VMM says something. While it runs only an interrupt is taken; all else ends the session, as GDB
 * sends nothing then. `k` and the end of the session leave the guest alive: it is a pod's.
 */
#ifndef UNICRI_SANDBOX_DEBUG_LINK_H
#define UNICRI_SANDBOX_DEBUG_LINK_H

#include <stdbool.h>

#include "sandbox/debug/packet.h"

/* What a client that goes leaves to be said, whatever the guest does just then; the answer to it.
 */
#define LINK_LEAVE "\x03$D;1#b0"
#define LINK_LEFT  "$OK#9a"

enum link_state { LINK_STOPPED, LINK_RUNNING, LINK_OVER };

struct link_ends {
    void (*to_client)(void *arg, const char *data, size_t len);
    void (*to_vmm)(void *arg, const char *data, size_t len);
};
struct link {
    const struct link_ends *ends;
    void *arg;
    enum link_state state;
    bool features_asked, detaching;
    struct packet client, vmm;
};

void link_init(struct link *l, const struct link_ends *ends, void *arg);
/** link_client() - what the client has sent. */
void link_client(struct link *l, const char *data, size_t len);
/** link_vmm() - what the VMM has sent. */
void link_vmm(struct link *l, const char *data, size_t len);

/** link_allowed() - may a VMM be sent such a packet? */
bool link_allowed(const char *packet);

#endif
