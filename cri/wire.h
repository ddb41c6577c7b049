/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire - request bytes to messages. The only door for bytes from clients: what comes out is bounded
 * in memory, all its strings are UTF-8 without NUL, and all enum values are ones the API knows.
 * Meaning is checked in to_spec.
 */
#ifndef UNICRI_CRI_WIRE_H
#define UNICRI_CRI_WIRE_H

#include <stdint.h>

#include "cri/arena.h"

#define WIRE_MESSAGE_MAX_BYTES ((size_t)16 * 1024 * 1024) /* either way; the clients' own limit */

/**
 * wire_unpack() - one message into the arena.
 * Returns: the message, as long as the arena lives. Errors: INVALID (not a message of that type, a
 * string that is not UTF-8 or holds NUL, an unknown enum value; names the field), EXHAUSTED
 * (unfolds beyond the arena's limit).
 */
ProtobufCMessage *wire_unpack(const ProtobufCMessageDescriptor *type, const uint8_t *bytes,
                              size_t len, struct arena *arena, struct err *err) MUST_CHECK;

#endif
