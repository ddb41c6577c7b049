/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upgrade - from an HTTP head to a session: whose token, which protocol. The client's order of
 * protocols decides; the first that is known here is taken.
 */
#include "cri/stream/conn.h"

#include <string.h>
#include <strings.h>

struct protocol {
    const char *name;
    int version; /* of remotecommand */
    bool base64, tunnel;
};

static const struct protocol spdy_remote[] = {
    {.name = "v4.channel.k8s.io", .version = 4},
    {.name = "v3.channel.k8s.io", .version = 3},
    {.name = "v2.channel.k8s.io", .version = 2},
    {.name = "channel.k8s.io", .version = 1},
    {.name = NULL},
};
static const struct protocol spdy_forward[] = {{.name = "portforward.k8s.io"}, {.name = NULL}};
static const struct protocol ws_remote[] = {
    {.name = "v5.channel.k8s.io", .version = 5},
    {.name = "v4.channel.k8s.io", .version = 4},
    {.name = "v4.base64.channel.k8s.io", .version = 4, .base64 = true},
    {.name = "channel.k8s.io", .version = 1},
    {.name = "base64.channel.k8s.io", .version = 1, .base64 = true},
    {.name = NULL},
};
static const struct protocol ws_forward[] = {
    {.name = "SPDY/3.1+portforward.k8s.io", .tunnel = true},
    {.name = "v4.channel.k8s.io"},
    {.name = "v4.base64.channel.k8s.io", .base64 = true},
    {.name = NULL},
};

static const struct protocol *choose(const struct protocol *known, char *const *offered)
{
    for (; offered && *offered; offered++)
        for (const struct protocol *p = known; p->name; p++)
            if (strcmp(p->name, *offered) == 0)
                return p;
    return NULL;
}

static void refuse_protocol(struct conn *c, const struct protocol *known, const char *header)
{
    autostrbuf headers = STRBUF_INIT;

    for (; known->name; known++)
        strbuf_addf(&headers, "%s: %s\r\n", header, known->name);
    conn_refuse(c, "403 Forbidden", headers.s, "none of the protocols offered is known here");
}

static void begin_session(struct conn *c, int version)
{
    c->ops = c->free_ops =
        c->request->kind == STREAM_PORT_FORWARD ? &forward_session : &remote_session;
    c->session = c->ops->start(c, version);
}

static void upgrade_spdy(struct conn *c, const struct http_head *head)
{
    const struct protocol *known =
        c->request->kind == STREAM_PORT_FORWARD ? spdy_forward : spdy_remote;
    autostrv char **offered = http_header_list(head, "X-Stream-Protocol-Version");
    const struct protocol *p = choose(known, offered);

    if (!offered) {
        conn_refuse(c, "400 Bad Request", "", "X-Stream-Protocol-Version is missing");
        return;
    }
    if (!p) {
        refuse_protocol(c, known, "X-Accepted-Stream-Protocol-Versions");
        return;
    }

    autofree char *answer = xasprintf("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"
                                      "Upgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: %s\r\n\r\n",
                                      p->name);

    fdio_write(c->io, answer, strlen(answer));
    c->state = CONN_OPEN;
    c->spdy = spdy_new(&conn_spdy_events, c);
    begin_session(c, p->version);
}

static void upgrade_websocket(struct conn *c, const struct http_head *head)
{
    static const struct protocol oldest = {.name = "", .version = 1};
    bool forward = c->request->kind == STREAM_PORT_FORWARD;
    const struct protocol *known = forward ? ws_forward : ws_remote;
    const char *key = http_header(head, "Sec-WebSocket-Key"),
               *version = http_header(head, "Sec-WebSocket-Version");
    autostrv char **offered = http_header_list(head, "Sec-WebSocket-Protocol");
    const struct protocol *p = offered ? choose(known, offered) : &oldest;

    if (strcmp(head->method, "GET") != 0 || !key || !version || strcmp(version, "13") != 0) {
        conn_refuse(c, "400 Bad Request", "Sec-WebSocket-Version: 13\r\n",
                    "not a WebSocket handshake of version 13");
        return;
    }
    if (!p) {
        refuse_protocol(c, known, "Sec-WebSocket-Protocol");
        return;
    }
    if (forward && !p->tunnel && c->request->n_ports == 0) {
        conn_refuse(c, "400 Bad Request", "", "the request names no port");
        return;
    }

    autofree char *accept = websocket_accept(key);
    autofree char *answer = xasprintf(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"
        "Upgrade: websocket\r\nSec-WebSocket-Accept: %s\r\n%s%s%s\r\n",
        accept, *p->name ? "Sec-WebSocket-Protocol: " : "", p->name, *p->name ? "\r\n" : "");

    fdio_write(c->io, answer, strlen(answer));
    c->state = CONN_OPEN;
    c->ws = websocket_new(p->tunnel ? &conn_tunnel_events : &conn_channel_events, c);
    c->ws_base64 = p->base64;
    c->ws_half_close = p->version == 5;
    if (p->tunnel)
        c->spdy = spdy_new(&conn_spdy_events, c);
    begin_session(c, p->version);
}

/* "/exec/TOKEN" */
static struct stream_request *take_request(struct conn *c, const char *path)
{
    static const char *const prefixes[] = {[STREAM_EXEC] = "/exec/",
                                           [STREAM_ATTACH] = "/attach/",
                                           [STREAM_PORT_FORWARD] = "/portforward/"};

    for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++)
        if (str_has_prefix(path, prefixes[i]))
            return tokens_take(c->server->tokens, (enum stream_kind)i, path + strlen(prefixes[i]),
                               clock_mono());
    return NULL;
}

void conn_upgrade(struct conn *c, const struct http_head *head)
{
    const char *upgrade = http_header(head, "Upgrade");

    if (strcmp(head->method, "GET") != 0 && strcmp(head->method, "POST") != 0) {
        conn_refuse(c, "405 Method Not Allowed", "Allow: GET, POST\r\n", "only GET and POST");
        return;
    }
    c->request = take_request(c, head->path);
    if (!c->request)
        conn_refuse(c, "404 Not Found", "",
                    "unknown streaming token: it may have been used, or be older than a minute");
    else if (!upgrade || !http_header_has(head, "Connection", "Upgrade"))
        conn_refuse(c, "400 Bad Request", "", "an upgrade to SPDY/3.1 or WebSocket is expected");
    else if (strcasecmp(upgrade, "SPDY/3.1") == 0)
        upgrade_spdy(c, head);
    else if (strcasecmp(upgrade, "websocket") == 0)
        upgrade_websocket(c, head);
    else
        conn_refuse(c, "400 Bad Request", "", "an upgrade to SPDY/3.1 or WebSocket is expected");
}
