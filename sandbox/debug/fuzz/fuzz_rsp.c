/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client of GDB's protocol that sends anything. The first byte of a piece says what happens: 0xfc
 * and up: the guest stops by some signal; else that many bytes are sent, in a packet with a right
 * checksum when the number is even. At the end no breakpoint may be left in the guest.
 */
#include "sandbox/debug/tests/fake_guest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void send_packet(struct rsp *r, const char *data, size_t len)
{
    autostrbuf text = STRBUF_INIT;
    uint8_t sum = 0;

    for (size_t i = 0; i < len; i++)
        sum = (uint8_t)(sum + (uint8_t)data[i]);
    strbuf_addc(&text, '$');
    strbuf_add(&text, data, len);
    strbuf_addf(&text, "#%02x", sum);
    rsp_feed(r, text.s, text.len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct rsp r;
    static struct fake_guest g;

    memset(&g, 0, sizeof(g));
    g.sent = (struct strbuf)STRBUF_INIT;
    rsp_init(&r, size % 2 ? &fake_hardware_target : &fake_target, &g);
    while (size > 0 && r.state != RSP_OVER) {
        uint8_t n = *data++;

        size--;
        if (n >= 0xfc) {
            if (r.state == RSP_RUNNING && n == 0xff) {
                rsp_ended(&r, size & 1, (int)size);
                memset(g.hardware, 0, sizeof(g.hardware)); /* gone with it */
            } else if (r.state == RSP_RUNNING)
                (void)rsp_stopped(&r, n == 0xfc ? 0 : n == 0xfd ? 5 : 11);
            continue;
        }
        if (n > size)
            n = (uint8_t)size;
        if (n % 2 == 0)
            send_packet(&r, (const char *)data, n);
        else
            rsp_feed(&r, (const char *)data, n);
        data += n;
        size -= n;
        strbuf_clear(&g.sent);
    }
    (void)rsp_leave(&r, 0);
    if (r.n_breakpoints || g.hardware[0] || g.hardware[1] || r.state != RSP_OVER)
        abort();
    strbuf_done(&g.sent);
    return 0;
}
