/* SPDX-License-Identifier: Apache-2.0 */
/*
 * packet - the framing of GDB's remote protocol where a VMM speaks it: $DATA#SS. What comes is
 * taken byte by byte, bounded; data stays as it is, escapes included. No I/O.
 */
#ifndef UNICRI_SANDBOX_DEBUG_PACKET_H
#define UNICRI_SANDBOX_DEBUG_PACKET_H

#include <stddef.h>
#include <stdint.h>

#define PACKET_MAX       16384 /* bytes between $ and # */
#define PACKET_FRAME_MAX (PACKET_MAX + 4)

struct packet {
    int reading; /* what comes next: see packet.c */
    uint8_t sum, told;
    size_t len;
    char data[PACKET_MAX + 1]; /* of the last whole one; ends with NUL */
};
enum packet_event {
    PACKET_NOTHING,
    PACKET_WHOLE,
    PACKET_BROKEN, /* a wrong checksum, or more than PACKET_MAX */
    PACKET_INTERRUPT,
};
/** packet_take() - the next byte. */
enum packet_event packet_take(struct packet *p, char c);
/** packet_frame() - at most PACKET_MAX bytes as a packet. `out` has room for len + 4. Returns: its
 * length. */
size_t packet_frame(const char *data, size_t len, char *out);

#endif
