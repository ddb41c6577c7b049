/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An HTTP responder on the net device "service". Arguments as Mirage's: --ipv4=A.B.C.D/LEN,
 * --ipv6=ADDRESS/LEN and their gateways (taken, not needed: answers go where questions came from);
 * --port=N, 8080 by default. Every path is answered with 200 and a body that names guest, path and
 * count.
 *
 * - /exit/N answers, then ends the guest with status N.
 * - /get/ADDRESS/PORT/FROM answers, then asks the HTTP server at ADDRESS and PORT from port FROM;
 *   the answer's last line goes to the console.
 * - /udp/ADDRESS/PORT/FROM likewise sends a datagram; what comes back goes to the console.
 */
#include "e2e/unikernels/stack.h"

#define PATH_MAX_BYTES 256u
#define EXIT_GRACE     (500 * NSEC_PER_MS) /* for the acknowledgement of the last answer */

GUEST_MANIFEST(2, GUEST_RESERVED, GUEST_NET("service"));

static unsigned requests;
static int exit_status = -1;
static uint64_t exit_at;

/* The word behind the method, made harmless for body and log. */
static bool get_path(const char *head, char path[PATH_MAX_BYTES])
{
    size_t n = 0;

    while (*head >= 'A' && *head <= 'Z')
        head++;
    if (*head++ != ' ' || *head != '/')
        return false;
    for (; *head > ' ' && *head < 0x7f && n < PATH_MAX_BYTES - 1; head++)
        path[n++] = *head == '<' || *head == '&' ? '?' : *head;
    path[n] = '\0';
    return true;
}

static const char *word(const char *s, const char *prefix)
{
    size_t len = strlen(prefix);

    return strlen(s) >= len && memcmp(s, prefix, len) == 0 ? s + len : NULL;
}

static void check_exit(const char *at)
{
    long status = parse_unsigned(&at, 255);

    if (status < 0 || *at != '\0')
        return;
    exit_status = (int)status;
    exit_at = guest_clock() + EXIT_GRACE;
}

/* ADDRESS/PORT/FROM. The frame goes where the request came from: the gateway, for all we know. */
static bool parse_target(const char *at, const struct peer *from, struct peer *to, uint16_t *local)
{
    long port, own;

    *to = *from;
    if (!addr_parse(&at, &to->ip) || *at++ != '/' || (port = parse_unsigned(&at, 65535)) < 1 ||
        *at++ != '/' || (own = parse_unsigned(&at, 65535)) < 1 || *at != '\0')
        return false;
    to->port = (uint16_t)port;
    *local = (uint16_t)own;
    return true;
}

static void obey(const char *path, const struct peer *from)
{
    static const char datagram[] = "hello from the guest\n";
    struct peer to;
    uint16_t local;
    const char *at;

    if ((at = word(path, "/exit/")) != NULL)
        check_exit(at);
    if ((at = word(path, "/get/")) != NULL && parse_target(at, from, &to, &local))
        tcp_fetch(&to, local);
    if ((at = word(path, "/udp/")) != NULL && parse_target(at, from, &to, &local))
        udp_send(local, &to, datagram, sizeof(datagram) - 1);
}

size_t http_answer(const char *head, const struct peer *from, char *out)
{
    char path[PATH_MAX_BYTES], body[PATH_MAX_BYTES + 128], name[40];
    bool const ok = get_path(head, path);
    size_t len;

    requests++;
    if (!ok) {
        say("http: bad request from %s port %u", addr_text(&from->ip, name), from->port);
        return format(out, HTTP_ANSWER_MAX,
                      "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    }
    say("http: request %u from %s port %u for %s", requests, addr_text(&from->ip, name), from->port,
        path);
    obey(path, from);
    addr_text(addr_is4(&from->ip) ? &stack.ip4 : &stack.ip6, name);
    len = format(body, sizeof(body), "unicri http guest at %s\npath: %s\nrequest: %u\n", name, path,
                 requests);
    return format(out, HTTP_ANSWER_MAX,
                  "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %u\r\n"
                  "Connection: close\r\n\r\n%s",
                  (unsigned)len, memcmp(head, "HEAD ", 5) == 0 ? "" : body);
}

/* An address of this family, then the end of the word or '/' and a prefix length. */
static bool parse_address(const char *s, bool v4, struct addr *ret)
{
    if (!addr_parse(&s, ret) || addr_is4(ret) != v4)
        return false;
    if (*s == '/') {
        s++;
        if (parse_unsigned(&s, v4 ? 32 : 128) < 0)
            return false;
    }
    return *s == '\0' || *s == ' ';
}

static struct addr gateway4, gateway6;

static bool parse_word(const char *arg)
{
    const char *v;
    long port;

    if ((v = word(arg, "--ipv4=")) != NULL)
        return parse_address(v, true, &stack.ip4);
    if ((v = word(arg, "--ipv4-gateway=")) != NULL)
        return parse_address(v, true, &gateway4);
    if ((v = word(arg, "--ipv6=")) != NULL)
        return parse_address(v, false, &stack.ip6);
    if ((v = word(arg, "--ipv6-gateway=")) != NULL)
        return parse_address(v, false, &gateway6);
    if ((v = word(arg, "--port=")) != NULL) {
        port = parse_unsigned(&v, 65535);
        stack.port = (uint16_t)port;
        return port > 0 && (*v == '\0' || *v == ' ');
    }
    return true; /* not ours */
}

static bool parse_cmdline(const char *at)
{
    while (*at != '\0') {
        if (*at != ' ' && !parse_word(at))
            return false;
        while (*at != '\0' && *at != ' ')
            at++;
        while (*at == ' ')
            at++;
    }
    return addr_is4(&stack.ip4) || stack.ip6.b[0] != 0;
}

static void serve(void)
{
    static uint8_t frame[FRAME_MAX];
    uint64_t now = guest_clock();
    uint64_t deadline = tcp_timer(now);
    size_t len;

    if (exit_status >= 0) {
        if (tcp_idle() || now >= exit_at)
            guest_exit(exit_status);
        if (exit_at < deadline)
            deadline = exit_at;
    }
    (void)guest_wait(deadline);
    while (guest_net_read(stack.handle, frame, sizeof(frame), &len) == SOLO5_OK && len > 0)
        ip_input(frame, len);
}

int guest_main(const char *cmdline)
{
    char name[40];
    const struct solo5_mft_entry *e = guest_device("service", SOLO5_MFT_NET, &stack.handle);

    stack.port = 8080;
    if (e == NULL || !parse_cmdline(cmdline)) {
        say("http: usage: [--ipv4=A/LEN] [--ipv4-gateway=A] [--ipv6=A/LEN] [--ipv6-gateway=A] "
            "[--port=N]");
        return 64;
    }
    memcpy(stack.mac, e->u.net.mac, sizeof(stack.mac));
    stack.mtu = e->u.net.mtu;
    say("http: listening on %s port %u", addr_text(&stack.ip4, name), stack.port);
    say("http: and on %s", addr_text(&stack.ip6, name));
    say("http: gateway %s", addr_text(&gateway4, name));
    for (;;)
        serve();
}
