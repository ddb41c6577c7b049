/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A GDB and a VMM that both send anything. The first byte of a piece says who and how much: the low
 * bit: the VMM; the next: in a packet with a right checksum. Whatever comes, the VMM is sent only
 * what link_allowed() allows, in whole packets, acknowledgements and interrupts. The rest of the
 * input is looked at as the beginning of a core file, too.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "sandbox/debug/core_head.h"
#include "sandbox/debug/link.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void to_client(void *arg, const char *data, size_t len)
{
    (void)arg;
    if (len == 0 || !strchr("$+-", *data))
        abort();
}

static void to_vmm(void *arg, const char *data, size_t len)
{
    static struct packet p;
    enum packet_event e = PACKET_NOTHING;

    (void)arg;
    if (len == 1 && (*data == '+' || *data == 3))
        return;
    memset(&p, 0, sizeof(p));
    for (size_t i = 0; i < len; i++) {
        if (e != PACKET_NOTHING)
            abort();
        e = packet_take(&p, data[i]);
    }
    if (e != PACKET_WHOLE || !link_allowed(p.data) || *p.data == 'k' || *p.data == 'R' ||
        strncmp(p.data, "qRcmd", 5) == 0 || strncmp(p.data, "vKill", 5) == 0)
        abort();
}

static const struct link_ends ends = {.to_client = to_client, .to_vmm = to_vmm};

static void send_one(struct link *l, unsigned how, const char *data, size_t len)
{
    char frame[256 + 4];
    size_t n = len;

    if (how & 2) {
        n = packet_frame(data, len, frame);
        data = frame;
    }
    if (how & 1)
        link_vmm(l, data, n);
    else
        link_client(l, data, n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct link l;
    struct err err = ERR_INIT;
    uint64_t bytes;

    if (core_head_bytes(data, size, &bytes, &err) == 0 && (bytes == 0 || bytes > INT64_MAX))
        abort();
    link_init(&l, &ends, NULL);
    while (size > 0 && l.state != LINK_OVER) {
        unsigned how = *data++;
        size_t n = how >> 2;

        size--;
        if (n > size)
            n = size;
        send_one(&l, how, (const char *)data, n);
        data += n;
        size -= n;
    }
    return 0;
}
