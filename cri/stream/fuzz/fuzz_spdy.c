/* SPDX-License-Identifier: Apache-2.0 */
/* SPDY from a hostile client; the first byte says how small the pieces are. */
#include "cri/stream/spdy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct spdy *spdy;

static enum spdy_reset on_opened(void *arg, uint32_t id, const struct kvs *headers)
{
    (void)arg;
    spdy_data(spdy, id, "x", 1);
    return kvs_get(headers, "refuse") ? SPDY_REFUSED_STREAM : 0;
}
static void on_data(void *arg, uint32_t id, const char *bytes, size_t len)
{
    (void)arg;
    spdy_data(spdy, id, bytes, len);
}
static void on_end(void *arg, uint32_t id)
{
    (void)arg;
    spdy_end(spdy, id);
}
static void on_reset(void *arg, uint32_t id)
{
    (void)arg;
    spdy_reset(spdy, id, SPDY_CANCEL);
}
static void on_goaway(void *arg)
{
    (void)arg;
}
static bool is_dead(void *arg)
{
    (void)arg;
    return false;
}
static void on_write(void *arg, const void *bytes, size_t len)
{
    (void)arg;
    (void)bytes;
    (void)len;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct spdy_events events = {on_opened, on_data, on_end,  on_reset,
                                              on_goaway, is_dead, on_write};
    size_t piece = size ? (size_t)data[0] + 1 : 1;
    struct err err;
    int r = 0;

    spdy = spdy_new(&events, NULL);
    for (size_t at = 1; at < size && r == 0; at += piece)
        r = spdy_feed(spdy, (const char *)data + at, size - at < piece ? size - at : piece, &err);
    spdy_goodbye(spdy);
    spdy_free(spdy);
    return 0;
}
