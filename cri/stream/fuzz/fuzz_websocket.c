/* SPDX-License-Identifier: Apache-2.0 */
/* WebSocket frames from a hostile client; the first byte says how small the pieces are. */
#include <stdint.h>

#include "cri/stream/websocket.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct websocket *websocket;

static void on_message(void *arg, const char *bytes, size_t len)
{
    (void)arg;
    websocket_send(websocket, false, bytes, len);
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
    static const struct websocket_events events = {on_message, is_dead, on_write};
    size_t piece = size ? (size_t)data[0] + 1 : 1;
    struct err err;
    int r = 0;

    websocket = websocket_new(&events, NULL);
    for (size_t at = 1; at < size && r == 0; at += piece)
        r = websocket_feed(websocket, (const char *)data + at,
                           size - at < piece ? size - at : piece, &err);
    websocket_free(websocket);
    return 0;
}
