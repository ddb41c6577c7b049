/* SPDX-License-Identifier: Apache-2.0 */
/* The server's side of GDB's protocol: packets in pieces, lies, memory, breakpoints, stops. */
#include <stdio.h>
#include <stdlib.h>

#include "sandbox/debug/tests/fake_guest.h"

/* cmocka.h wants these before it. */
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

struct session {
    struct rsp rsp;
    struct fake_guest guest;
};

static int begin(void **state)
{
    struct session *s = XNEW(struct session);

    s->guest.sent = (struct strbuf)STRBUF_INIT;
    rsp_init(&s->rsp, &fake_target, &s->guest);
    *state = s;
    return 0;
}

static int end(void **state)
{
    struct session *s = *state;

    strbuf_done(&s->guest.sent);
    free(s);
    return 0;
}

static void send_packet(struct session *s, const char *data, size_t len)
{
    autostrbuf text = STRBUF_INIT;
    uint8_t sum = 0;

    for (size_t i = 0; i < len; i++)
        sum = (uint8_t)(sum + (uint8_t)data[i]);
    strbuf_addc(&text, '$');
    strbuf_add(&text, data, len);
    strbuf_addf(&text, "#%02x", sum);
    strbuf_clear(&s->guest.sent);
    for (size_t i = 0; i < text.len; i++) /* byte by byte */
        rsp_feed(&s->rsp, text.s + i, 1);
}

/* What comes back, without acknowledgement and framing. */
static const char *ask(struct session *s, const char *packet)
{
    send_packet(s, packet, strlen(packet));
    if (s->guest.sent.len < 5)
        return NULL;
    assert_true(s->guest.sent.s[0] == '+' && s->guest.sent.s[1] == '$');
    s->guest.sent.s[s->guest.sent.len - 3] = '\0';
    return s->guest.sent.s + 2;
}

static void packets_have_checksums(void **state)
{
    struct session *s = *state;

    rsp_feed(&s->rsp, "noise+-$qC#00", 13);
    assert_string_equal(s->guest.sent.s, "-");
    assert_string_equal(ask(s, "qC"), "QC1");
    assert_string_equal(ask(s, "qNothing"), "");
    assert_string_equal(ask(s, "QStartNoAckMode"), "OK");
    strbuf_clear(&s->guest.sent);
    rsp_feed(&s->rsp, "$qC#b4", 6);
    assert_string_equal(s->guest.sent.s, "$QC1#c5");
    rsp_feed(&s->rsp, "$qC#00", 6); /* cannot be asked for again */
    assert_int_equal(s->rsp.state, RSP_OVER);
}

static void too_long_is_the_end(void **state)
{
    struct session *s = *state;

    rsp_feed(&s->rsp, "$", 1);
    for (int i = 0; i <= RSP_PACKET_MAX; i++)
        rsp_feed(&s->rsp, "m", 1);
    assert_int_equal(s->rsp.state, RSP_OVER);
}

static void registers_go_both_ways(void **state)
{
    struct session *s = *state;
    char text[2 * RSP_REGS_BYTES + 2] = "G", bytes[RSP_REGS_BYTES];

    s->guest.regs[0] = 0x1122334455667788;
    s->guest.regs[RSP_RIP] = FAKE_BASE;
    s->guest.regs[17] = 0x246;
    assert_memory_equal(ask(s, "g"), "8877665544332211", 16);
    assert_string_equal(ask(s, "p10"), "0000010000000000");
    assert_string_equal(ask(s, "p11"), "46020000");
    assert_string_equal(ask(s, "p18"), "E01");
    assert_string_equal(ask(s, "P0=0100000000000000"), "OK");
    assert_true(s->guest.regs[0] == 1);
    assert_string_equal(ask(s, "P0=01"), "E01");
    assert_string_equal(ask(s, "Pff=0100000000000000"), "E01");
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (char)i;
    rsp_hex(bytes, sizeof(bytes), text + 1);
    assert_string_equal(ask(s, text), "OK");
    assert_true(s->guest.regs[0] == 0x0706050403020100 && s->guest.regs[17] == 0x8b8a8988);
    assert_string_equal(ask(s, "G00"), "E01");
}

static void memory_goes_both_ways(void **state)
{
    struct session *s = *state;
    static const char binary[] = "X10010,3:\x7d\x03#\x7d\x5d";

    assert_string_equal(ask(s, "M10000,3:616263"), "OK");
    assert_string_equal(ask(s, "m10000,4"), "61626300");
    assert_string_equal(ask(s, "m1fffc,100"), "00000000"); /* what there is */
    assert_string_equal(ask(s, "m20000,1"), "E01");
    assert_string_equal(ask(s, "mffffffffffffffff,2"), "E01");
    assert_string_equal(ask(s, "m10000000000000000,1"), "E01");
    assert_string_equal(ask(s, "m10000"), "E01");
    assert_string_equal(ask(s, "M10000,2:61"), "E01");
    assert_string_equal(ask(s, "M10000,ffffffffffffffff:61"), "E01");
    assert_string_equal(ask(s, "X10000,5:ab"), "E01");
    assert_string_equal(ask(s, "X10000,0:"), "OK");
    assert_true(strlen(ask(s, "m10000,ffff")) == 2 * RSP_DATA_MAX);
    send_packet(s, binary,
                sizeof(binary) - 1); /* '#' within is the end of a packet: escaped it is not */
    send_packet(s, "X10010,2:}\x03}]", 13);
    assert_memory_equal(s->guest.memory + 0x10, "#}", 2);
}

static void breakpoints_hide(void **state)
{
    struct session *s = *state;

    s->guest.memory[0x100] = 0x90;
    assert_string_equal(ask(s, "Z0,10100,1"), "OK");
    assert_string_equal(ask(s, "Z0,10100,1"), "OK"); /* again */
    assert_int_equal(s->guest.memory[0x100], 0xcc);
    assert_string_equal(ask(s, "m100ff,3"), "009000");
    assert_string_equal(ask(s, "M10100,1:55"), "OK");
    assert_int_equal(s->guest.memory[0x100], 0xcc);
    assert_string_equal(ask(s, "z0,10100,1"), "OK");
    assert_int_equal(s->guest.memory[0x100], 0x55);
    assert_string_equal(ask(s, "z0,10100,1"), "OK");
    assert_string_equal(ask(s, "Z0,ff,1"), "E01");
    assert_string_equal(ask(s, "Z1,10100,1"), "");
    for (unsigned i = 0; i < RSP_BREAKPOINTS_MAX; i++) {
        char packet[32];

        (void)snprintf(packet, sizeof(packet), "Z0,%x,1", 0x11000 + i);
        assert_string_equal(ask(s, packet), "OK");
    }
    assert_string_equal(ask(s, "Z0,12000,1"), "E01");
    (void)rsp_leave(&s->rsp, 0);
    for (size_t i = 0; i < sizeof(s->guest.memory); i++)
        assert_int_not_equal(s->guest.memory[i], 0xcc);
}

static void stops_are_told(void **state)
{
    struct session *s = *state;

    assert_string_equal(ask(s, "?"), "T05thread:1;");
    assert_non_null(strstr(ask(s, "qSupported:swbreak+"), "PacketSize=4000"));
    assert_null(ask(s, "vCont;c:p1.-1"));
    assert_int_equal(s->rsp.state, RSP_RUNNING);
    rsp_feed(&s->rsp, "\x03", 1);
    assert_int_equal(s->guest.stops, 1);
    strbuf_clear(&s->guest.sent);
    assert_true(rsp_stopped(&s->rsp, 0));
    assert_memory_equal(s->guest.sent.s, "$T02thread:1;#", 14);
    /* Behind a breakpoint it is put back onto it. */
    assert_string_equal(ask(s, "Z0,10200,1"), "OK");
    assert_null(ask(s, "c"));
    s->guest.regs[RSP_RIP] = 0x10201;
    strbuf_clear(&s->guest.sent);
    assert_true(rsp_stopped(&s->rsp, 5));
    assert_memory_equal(s->guest.sent.s, "$T05thread:1;swbreak:;#", 23);
    assert_true(s->guest.regs[RSP_RIP] == 0x10200);
    /* A trap of the guest's own is the guest's. */
    assert_null(ask(s, "c10300"));
    assert_true(s->guest.regs[RSP_RIP] == 0x10300);
    assert_false(rsp_stopped(&s->rsp, 5));
    /* A step is ours; a fault is delivered. */
    assert_null(ask(s, "s"));
    assert_true(s->guest.stepped && rsp_stopped(&s->rsp, 5));
    assert_null(ask(s, "C0b"));
    assert_int_equal(s->guest.delivered, 11);
    strbuf_clear(&s->guest.sent);
    rsp_ended(&s->rsp, true, 11);
    assert_memory_equal(s->guest.sent.s, "$X0b#", 5);
    assert_int_equal(s->rsp.state, RSP_OVER);
}

static void no_commands_while_it_runs(void **state)
{
    struct session *s = *state;

    assert_null(ask(s, "c"));
    send_packet(s, "g", 1);
    assert_int_equal(s->rsp.state, RSP_OVER);
}

static void detaching_ends(void **state)
{
    struct session *s = *state;

    assert_string_equal(ask(s, "vKill;1"), "E01");
    assert_string_equal(ask(s, "vCont;x"), "E01");
    assert_string_equal(ask(s, "vCont"), "E01");
    assert_string_equal(ask(s, "D"), "OK");
    assert_int_equal(s->rsp.state, RSP_OVER);
    assert_int_equal(s->guest.resumed, 0);
}

/* Two, nothing in memory, and the guest stands before the instruction. */
static void breakpoints_of_the_target(void **state)
{
    struct session *s = *state;
    struct fake_guest *g = &s->guest;
    uint8_t clean[sizeof(g->memory)];

    rsp_init(&s->rsp, &fake_hardware_target, g);
    memcpy(clean, g->memory, sizeof(clean));
    assert_string_equal(ask(s, "qSupported:swbreak+"),
                        "PacketSize=4000;QStartNoAckMode+;qXfer:features:read+;swbreak+;"
                        "vContSupported+");
    assert_string_equal(ask(s, "Z0,10010,1"), "OK");
    assert_string_equal(ask(s, "Z0,10010,1"), "OK");
    assert_string_equal(ask(s, "Z1,10020,1"), "OK");
    assert_string_equal(ask(s, "Z0,10030,1"), "E01");
    assert_string_equal(ask(s, "Z2,10030,1"), "");
    assert_true(g->hardware[0] == 0x10010 && g->hardware[1] == 0x10020);
    assert_memory_equal(g->memory, clean, sizeof(clean));
    assert_string_equal(ask(s, "M10010,1:90"), "OK");
    assert_int_equal(g->memory[0x10], 0x90);
    (void)ask(s, "c");
    g->regs[RSP_RIP] = 0x10010;
    strbuf_clear(&g->sent);
    assert_true(rsp_stopped(&s->rsp, 5));
    assert_int_equal(g->regs[RSP_RIP], 0x10010);
    assert_non_null(strstr(g->sent.s, "T05thread:1;swbreak:;"));
    assert_string_equal(ask(s, "z0,10010,1"), "OK");
    assert_true(rsp_leave(&s->rsp, 5));
    assert_true(g->hardware[0] == 0 && g->hardware[1] == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(packets_have_checksums, begin, end),
        cmocka_unit_test_setup_teardown(too_long_is_the_end, begin, end),
        cmocka_unit_test_setup_teardown(registers_go_both_ways, begin, end),
        cmocka_unit_test_setup_teardown(memory_goes_both_ways, begin, end),
        cmocka_unit_test_setup_teardown(breakpoints_hide, begin, end),
        cmocka_unit_test_setup_teardown(breakpoints_of_the_target, begin, end),
        cmocka_unit_test_setup_teardown(stops_are_told, begin, end),
        cmocka_unit_test_setup_teardown(no_commands_while_it_runs, begin, end),
        cmocka_unit_test_setup_teardown(detaching_ends, begin, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
