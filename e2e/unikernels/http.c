/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An HTTP responder on the net device "service". Arguments as Mirage's: --ipv4=A.B.C.D/LEN and
 * --ipv4-gateway=A.B.C.D (taken, not needed: answers go where questions came from); --port=N, 8080
 * by default. Every path is answered with 200 and a body that names guest, path and count; /exit/N
 * answers, then ends the guest with status N.
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

static void check_exit(const char *path)
{
    static const char prefix[] = "/exit/";
    const char *at = path + sizeof(prefix) - 1;
    long status;

    if (strlen(path) < sizeof(prefix) || memcmp(path, prefix, sizeof(prefix) - 1) != 0)
        return;
    status = parse_unsigned(&at, 255);
    if (status < 0 || *at != '\0')
        return;
    exit_status = (int)status;
    exit_at = guest_clock() + EXIT_GRACE;
}

size_t http_answer(const char *head, uint32_t from, uint16_t port, char *out)
{
    char path[PATH_MAX_BYTES], body[PATH_MAX_BYTES + 128];
    bool const ok = get_path(head, path);
    size_t len;

    requests++;
    if (!ok) {
        say("http: bad request from %I:%u", from, port);
        return format(out, HTTP_ANSWER_MAX,
                      "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    }
    say("http: request %u from %I:%u for %s", requests, from, port, path);
    check_exit(path);
    len = format(body, sizeof(body), "unicri http guest at %I\npath: %s\nrequest: %u\n", stack.ip,
                 path, requests);
    return format(out, HTTP_ANSWER_MAX,
                  "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %u\r\n"
                  "Connection: close\r\n\r\n%s",
                  (unsigned)len, memcmp(head, "HEAD ", 5) == 0 ? "" : body);
}

static const char *word(const char *s, const char *prefix)
{
    size_t len = strlen(prefix);

    return strlen(s) >= len && memcmp(s, prefix, len) == 0 ? s + len : NULL;
}

/* A.B.C.D, then the end of the word or '/' and a prefix length up to 32. */
static bool parse_ipv4(const char *s, uint32_t *ip)
{
    uint32_t v = 0;

    for (int i = 0; i < 4; i++) {
        long part;
        if (i > 0 && *s++ != '.')
            return false;
        part = parse_unsigned(&s, 255);
        if (part < 0)
            return false;
        v = v << 8 | (uint32_t)part;
    }
    if (*s == '/') {
        s++;
        if (parse_unsigned(&s, 32) < 0)
            return false;
    }
    *ip = v;
    return *s == '\0' || *s == ' ';
}

static bool parse_word(const char *arg)
{
    const char *v;
    uint32_t gateway;
    long port;

    if ((v = word(arg, "--ipv4=")) != NULL)
        return parse_ipv4(v, &stack.ip);
    if ((v = word(arg, "--ipv4-gateway=")) != NULL)
        return parse_ipv4(v, &gateway);
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
    return stack.ip != 0;
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
    const struct solo5_mft_entry *e = guest_device("service", SOLO5_MFT_NET, &stack.handle);

    stack.port = 8080;
    if (e == NULL || !parse_cmdline(cmdline)) {
        say("http: usage: --ipv4=A.B.C.D/LEN [--ipv4-gateway=A.B.C.D] [--port=N]");
        return 64;
    }
    memcpy(stack.mac, e->u.net.mac, sizeof(stack.mac));
    stack.mtu = e->u.net.mtu;
    say("http: listening on %I port %u", stack.ip, stack.port);
    for (;;)
        serve();
}
