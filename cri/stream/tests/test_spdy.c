/* SPDX-License-Identifier: Apache-2.0 */
/* SPDY frames of a client, made here with zlib and the dictionary: what comes of them, whole and
 * byte by byte, and what a hostile one is told. */
#include "base/tests/testing.h"

#include <zlib.h>

#include "base/strbuf.h"
#include "cri/stream/spdy.h"
#include "cri/stream/spdy_dictionary.h"

struct client {
    struct spdy *spdy;
    z_stream deflate;
    struct strbuf seen, wire;
    bool dead;
    enum spdy_reset refuse;
};

static enum spdy_reset on_opened(void *arg, uint32_t id, const struct kvs *headers)
{
    struct client *c = arg;
    const char *type = kvs_get(headers, "streamtype");

    strbuf_addf(&c->seen, "open %u %s;", id, type ? type : "-");
    return c->refuse;
}
static void on_data(void *arg, uint32_t id, const char *data, size_t len)
{
    struct client *c = arg;

    for (size_t i = 0; i < len; i++)
        strbuf_addf(&c->seen, "%u:%c;", id, data[i]);
}
static void on_end(void *arg, uint32_t id)
{
    strbuf_addf(&((struct client *)arg)->seen, "end %u;", id);
}
static void on_reset(void *arg, uint32_t id)
{
    strbuf_addf(&((struct client *)arg)->seen, "reset %u;", id);
}
static void on_goaway(void *arg)
{
    strbuf_adds(&((struct client *)arg)->seen, "goaway;");
}
static bool is_dead(void *arg)
{
    return ((struct client *)arg)->dead;
}
static void on_write(void *arg, const void *data, size_t len)
{
    strbuf_add(&((struct client *)arg)->wire, data, len);
}

static const struct spdy_events events = {on_opened, on_data, on_end,  on_reset,
                                          on_goaway, is_dead, on_write};

static void client_open(struct client *c)
{
    *c = (struct client){.seen = STRBUF_INIT, .wire = STRBUF_INIT};
    c->spdy = spdy_new(&events, c);
    assert_int_equal(deflateInit(&c->deflate, 9), Z_OK);
    assert_int_equal(deflateSetDictionary(&c->deflate, spdy_dictionary, SPDY_DICTIONARY_BYTES),
                     Z_OK);
}

static void client_close(struct client *c)
{
    spdy_free(c->spdy);
    (void)deflateEnd(&c->deflate);
    strbuf_done(&c->seen);
    strbuf_done(&c->wire);
}

static void put32(struct strbuf *b, uint32_t v)
{
    const unsigned char bytes[4] = {v >> 24, v >> 16 & 0xff, v >> 8 & 0xff, v & 0xff};

    strbuf_add(b, bytes, 4);
}

static void put_frame(struct strbuf *b, unsigned type, unsigned flags, const struct strbuf *body)
{
    put32(b, 0x80030000U | type);
    put32(b, flags << 24 | (uint32_t)body->len);
    strbuf_add(b, body->s, body->len);
}

static void put_block(struct client *c, struct strbuf *b, const struct strbuf *plain)
{
    size_t room = plain->len + 1024;
    autofree unsigned char *out = xmalloc(room);

    c->deflate.next_in = (unsigned char *)plain->s;
    c->deflate.avail_in = (uInt)plain->len;
    c->deflate.next_out = out;
    c->deflate.avail_out = (uInt)room;
    assert_int_equal(deflate(&c->deflate, Z_SYNC_FLUSH), Z_OK);
    strbuf_add(b, out, room - c->deflate.avail_out);
}

static void put_syn_block(struct client *c, struct strbuf *b, uint32_t id, unsigned flags,
                          const struct strbuf *plain)
{
    autostrbuf body = STRBUF_INIT;

    put32(&body, id);
    put32(&body, 0);
    strbuf_add(&body, "\0\0", 2);
    put_block(c, &body, plain);
    put_frame(b, 1, flags, &body);
}

static void put_syn(struct client *c, struct strbuf *b, uint32_t id, unsigned flags,
                    const char *type)
{
    autostrbuf plain = STRBUF_INIT;

    put32(&plain, 1);
    put32(&plain, 10);
    strbuf_adds(&plain, "streamtype");
    put32(&plain, (uint32_t)strlen(type));
    strbuf_adds(&plain, type);
    put_syn_block(c, b, id, flags, &plain);
}

static void put_data(struct strbuf *b, uint32_t id, unsigned flags, const char *data)
{
    put32(b, id);
    put32(b, flags << 24 | (uint32_t)strlen(data));
    strbuf_adds(b, data);
}

static void put_session(struct client *c, struct strbuf *b)
{
    autostrbuf ping = STRBUF_INIT, reset = STRBUF_INIT, goaway = STRBUF_INIT, big = STRBUF_INIT;

    put_syn(c, b, 1, 0, "error");
    put_syn(c, b, 3, 0, "stdin");
    put32(&big, 7);
    for (int i = 0; i < 100000; i++) /* SETTINGS of any size mean nothing */
        strbuf_addc(&big, 'x');
    put_frame(b, 4, 0, &big);
    put_data(b, 3, 0, "ab");
    put_data(b, 3, 1, "c");
    put32(&ping, 77);
    put_frame(b, 6, 0, &ping);
    put_syn(c, b, 5, 1, "stdout");
    put32(&reset, 1);
    put32(&reset, 5);
    put_frame(b, 3, 0, &reset);
    put_data(b, 1, 0, "late");
    put_frame(b, 7, 0, &goaway);
}

static const char expected[] = "open 1 error;open 3 stdin;3:a;3:b;3:c;end 3;open 5 stdout;end 5;"
                               "reset 1;goaway;";

static void test_session(void **state)
{
    struct client whole, pieces;
    autostrbuf bytes = STRBUF_INIT, again = STRBUF_INIT;
    struct err err = ERR_INIT;

    (void)state;
    client_open(&whole);
    put_session(&whole, &bytes);
    assert_ok(spdy_feed(whole.spdy, bytes.s, bytes.len, &err), err);
    assert_string_equal(whole.seen.s, expected);
    client_open(&pieces);
    put_session(&pieces, &again);
    for (size_t i = 0; i < again.len; i++)
        assert_ok(spdy_feed(pieces.spdy, again.s + i, 1, &err), err);
    assert_string_equal(pieces.seen.s, expected);
    /* The answers: three replies, the ping as it came. */
    assert_int_equal(whole.wire.len, pieces.wire.len);
    assert_non_null(memmem(whole.wire.s, whole.wire.len, "\x80\x03\0\x06\0\0\0\x04\0\0\0\x4d", 12));
    strbuf_clear(&whole.wire);
    spdy_data(whole.spdy, 5, "hi", 2);
    spdy_data(whole.spdy, 1, "gone", 4);
    spdy_end(whole.spdy, 5);
    spdy_data(whole.spdy, 5, "after", 5);
    assert_int_equal(whole.wire.len, 8 + 2 + 8);
    assert_memory_equal(whole.wire.s, "\0\0\0\x05\0\0\0\x02hi\0\0\0\x05\x01\0\0\0", 18);
    client_close(&whole);
    client_close(&pieces);
}

/* Feeds what `make` makes to a fresh connection. */
static void expect_refused(void (*make)(struct client *c, struct strbuf *b), enum err_code code,
                           const char *part)
{
    struct client c;
    autostrbuf bytes = STRBUF_INIT;
    struct err err;

    client_open(&c);
    make(&c, &bytes);
    assert_err(spdy_feed(c.spdy, bytes.s, bytes.len, &err), err, code, part);
    client_close(&c);
}

static void bomb(struct client *c, struct strbuf *b)
{
    autostrbuf plain = STRBUF_INIT;

    put32(&plain, 1);
    put32(&plain, 1);
    strbuf_addc(&plain, 'a');
    put32(&plain, 16 << 20);
    for (int i = 0; i < 16 << 20; i += 1024)
        strbuf_add(&plain, (char[1024]){0}, 1024);
    put_syn_block(c, b, 1, 0, &plain);
}
static void many_headers(struct client *c, struct strbuf *b)
{
    autostrbuf plain = STRBUF_INIT;

    put32(&plain, UINT32_MAX);
    put32(&plain, 0);
    put_syn_block(c, b, 1, 0, &plain);
}
static void long_header(struct client *c, struct strbuf *b)
{
    autostrbuf plain = STRBUF_INIT;

    put32(&plain, 1);
    put32(&plain, 0x7fffffff);
    put32(&plain, 0);
    put_syn_block(c, b, 1, 0, &plain);
}
static void garbage(struct client *c, struct strbuf *b)
{
    autostrbuf body = STRBUF_INIT;

    (void)c;
    put32(&body, 1);
    put32(&body, 0);
    strbuf_adds(&body, "..this is not zlib");
    put_frame(b, 1, 0, &body);
}
static void id_twice(struct client *c, struct strbuf *b)
{
    put_syn(c, b, 3, 0, "a");
    put_syn(c, b, 3, 0, "b");
}
static void even_id(struct client *c, struct strbuf *b)
{
    put_syn(c, b, 2, 0, "a");
}
static void unknown_stream(struct client *c, struct strbuf *b)
{
    (void)c;
    put_data(b, 9, 0, "x");
}
static void long_control(struct client *c, struct strbuf *b)
{
    (void)c;
    put32(b, 0x80030001U);
    put32(b, 0xffffff);
}
static void version_2(struct client *c, struct strbuf *b)
{
    (void)c;
    put32(b, 0x80020001U);
    put32(b, 0);
}

static void test_hostile(void **state)
{
    (void)state;
    expect_refused(bomb, ERR_EXHAUSTED, "headers of more than");
    expect_refused(many_headers, ERR_INVALID, "count of headers");
    expect_refused(long_header, ERR_INVALID, "length of a header");
    expect_refused(garbage, ERR_INVALID, "decompressed");
    expect_refused(id_twice, ERR_INVALID, "stream id");
    expect_refused(even_id, ERR_INVALID, "stream id");
    expect_refused(unknown_stream, ERR_INVALID, "never opened");
    expect_refused(long_control, ERR_EXHAUSTED, "control frame");
    expect_refused(version_2, ERR_INVALID, "version");
}

static void test_many_streams(void **state)
{
    struct client c;
    struct err err = ERR_INIT;

    (void)state;
    client_open(&c);
    for (uint32_t i = 0; i < 100000; i++) {
        autostrbuf bytes = STRBUF_INIT;

        put_syn(&c, &bytes, 2 * i + 1, 0, "data");
        assert_ok(spdy_feed(c.spdy, bytes.s, bytes.len, &err), err);
        strbuf_clear(&c.wire);
        strbuf_clear(&c.seen);
    }
    spdy_goodbye(c.spdy);
    assert_int_equal(c.wire.len, (size_t)SPDY_STREAMS_MAX * 16 + 16);
    client_close(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_session),
                                       cmocka_unit_test(test_hostile),
                                       cmocka_unit_test(test_many_streams)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
