/* SPDX-License-Identifier: Apache-2.0 */
/* vmm_client - a client of a VMM that serves GDB's protocol. The VMM is hostile: answers are
 * bounded, and each wait has an end. */
#ifndef UNICRI_SANDBOX_DEBUG_VMM_CLIENT_H
#define UNICRI_SANDBOX_DEBUG_VMM_CLIENT_H

#include "sandbox/debug/debug.h"
#include "sandbox/debug/packet.h"

#define VMM_PATIENCE_MS 5000 /* for one answer */

/** vmm_send() - all of it. Errors: STATE (the VMM has ended), DEADLINE. */
int vmm_send(int fd, const void *data, size_t len, struct err *err) MUST_CHECK;
/** vmm_ask() - one packet and its answer in p->data. Errors: STATE, DEADLINE, CORRUPT, CANCELLED.
 */
int vmm_ask(int fd, const char *text, struct packet *p, struct err *err) MUST_CHECK;
/** vmm_leave() - let the guest go on, whatever state the session is in. */
void vmm_leave(int fd, int ms);

#endif
