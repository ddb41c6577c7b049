/* SPDX-License-Identifier: Apache-2.0 */
/* fake_vmm - see fake_vmm.h. */
#include "vmm/tests/fake_vmm.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define REQUEST_MAX 8192

_Noreturn void fake_refuse(const char *what, const char *why)
{
    (void)fprintf(stderr, "fake: '%s': %s\n", what, why);
    _exit(FAKE_STATUS);
}

static bool has_type(const json_t *value, enum fake_type type)
{
    switch (type) {
    case FAKE_STRING:
        return json_is_string(value);
    case FAKE_INTEGER:
        return json_is_integer(value);
    case FAKE_BOOL:
        return json_is_boolean(value);
    case FAKE_OBJECT:
        return json_is_object(value);
    case FAKE_ARRAY:
        return json_is_array(value);
    }
    return false;
}

void fake_check_object(const char *what, const json_t *object, const struct fake_member *members,
                       size_t n)
{
    const char *key;
    json_t *value;

    if (!json_is_object(object))
        fake_refuse(what, "is no object");
    json_object_foreach ((json_t *)(uintptr_t)object, key, value) {
        bool known = false;

        for (size_t i = 0; i < n; i++) {
            if (strcmp(members[i].name, key) != 0)
                continue;
            known = true;
            if (!has_type(value, members[i].type))
                fake_refuse(key, "wrong type");
        }
        if (!known)
            fake_refuse(key, "unknown field");
    }
    for (size_t i = 0; i < n; i++)
        if (members[i].required && !json_object_get(object, members[i].name))
            fake_refuse(members[i].name, "missing field");
}

void fake_open(const char *what, const char *path, bool writable)
{
    int fd = open(path, (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC);
    char byte;

    if (fd < 0 || read(fd, &byte, 1) != 1)
        fake_refuse(what, strerror(errno));
}

int fake_tap(const char *name)
{
    struct ifreq req = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);

    if (strlen(name) >= sizeof(req.ifr_name))
        fake_refuse(name, "is too long for an interface");
    memcpy(req.ifr_name, name, strlen(name));
    if (fd < 0 || ioctl(fd, TUNSETIFF, &req) < 0)
        fake_refuse(name, strerror(errno));
    return fd;
}

void fake_kvm(void)
{
    if (open("/dev/kvm", O_RDWR | O_CLOEXEC) < 0)
        fake_refuse("/dev/kvm", strerror(errno));
}

void fake_mac(const char *mac)
{
    size_t len = strlen(mac);

    for (size_t i = 0; i < len; i++)
        if (i % 3 == 2 ? mac[i] != ':' : !strchr("0123456789abcdefABCDEF", mac[i]))
            fake_refuse(mac, "is no MAC address");
    if (len != 17)
        fake_refuse(mac, "is no MAC address");
}

int fake_listen(const char *path)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (strlen(path) >= sizeof(addr.sun_path))
        fake_refuse(path, "is too long for a socket");
    memcpy(addr.sun_path, path, strlen(path));
    if (fd < 0 || bind(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0 || listen(fd, 4) < 0)
        fake_refuse(path, strerror(errno));
    return fd;
}

bool fake_role(const struct fake *fake, const char *name)
{
    const char *word = strstr(fake->line, "role=");

    return word && strncmp(word + 5, name, strlen(name)) == 0 &&
           strchr(" ", word[5 + strlen(name)]) != NULL;
}

/* ---------------------------------------------------------------- requests */

static void answer_raw(int fd, const char *text)
{
    (void)!write(fd, text, strlen(text));
}

/* The text of one request, as micro_http takes it: CRLF, one blank, known headers. */
static void parse(char *text, struct fake_request *r, size_t body_len)
{
    char *line_end = strstr(text, "\r\n"), *blank = strchr(text, ' '), *second;
    char *head_end = strstr(text, "\r\n\r\n");
    json_error_t error;

    if (!line_end || !blank || blank > line_end || !(second = strchr(blank + 1, ' ')) ||
        second > line_end || strncmp(second, " HTTP/1.1\r\n", 11) != 0)
        fake_refuse(text, "is no request line of HTTP/1.1");
    *blank = *second = '\0';
    r->method = text;
    r->path = blank + 1;
    if (body_len == 0)
        return;
    if (!strcasestr(line_end, "\r\nContent-Type: application/json\r\n"))
        fake_refuse(r->path, "a body without its type");
    r->body = json_loadb(head_end + 4, body_len, JSON_REJECT_DUPLICATES, &error);
    if (!r->body)
        fake_refuse(r->path, error.text);
}

/* Returns: false when the client has left. */
static bool serve_one(const struct fake *fake, int fd)
{
    char text[REQUEST_MAX + 1];
    size_t len = 0, body_len = 0, want = 0;
    struct fake_request r = {NULL, NULL, NULL};
    struct fake_answer a;

    for (;;) {
        ssize_t n = read(fd, text + len, REQUEST_MAX - len);
        const char *head_end, *length;

        if (n <= 0)
            return false;
        len += (size_t)n;
        text[len] = '\0';
        if (!want && (head_end = strstr(text, "\r\n\r\n")) != NULL) {
            length = strcasestr(text, "\r\nContent-Length: ");
            body_len = length && length < head_end ? strtoul(length + 18, NULL, 10) : 0;
            want = (size_t)(head_end - text) + 4 + body_len;
        }
        if (want && len > want)
            fake_refuse(text, "more bytes than it tells");
        if (want && len == want)
            break;
        if (len == REQUEST_MAX)
            fake_refuse(text, "is too long");
    }
    parse(text, &r, body_len);
    a = fake->answer(fake, &r);
    if (*a.body)
        (void)dprintf(fd,
                      "HTTP/1.1 %d \r\nServer: fake\r\nConnection: keep-alive\r\nContent-Type: "
                      "application/json\r\nContent-Length: %zu\r\n\r\n%s",
                      a.status, strlen(a.body), a.body);
    else
        (void)dprintf(fd, "HTTP/1.1 %d \r\nServer: fake\r\nConnection: keep-alive\r\n\r\n",
                      a.status);
    json_decref(r.body);
    return true;
}

static _Noreturn void forever(void)
{
    const struct timespec day = {.tv_sec = 86400};

    for (;;)
        (void)nanosleep(&day, NULL);
}

/* ---------------------------------------------------------------- the guest */

#define ETHER_HEAD 14
#define FRAME_MAX  65536

static void swap(uint8_t *a, uint8_t *b, size_t n)
{
    uint8_t t[16];

    memcpy(t, a, n);
    memcpy(a, b, n);
    memcpy(b, t, n);
}

/* An echo request becomes its answer. Returns: false, it is none. */
static bool turn_echo(uint8_t *f, size_t len)
{
    bool v6 = len >= ETHER_HEAD && f[12] == 0x86 && f[13] == 0xdd;
    uint8_t *ip = f + ETHER_HEAD, *icmp = ip + (v6 ? 40 : 20);
    unsigned sum;

    if (len < ETHER_HEAD + 48 || (!v6 && (f[12] != 8 || f[13] != 0 || ip[0] != 0x45)) ||
        (v6 ? ip[6] != 58 || icmp[0] != 128 : ip[9] != 1 || icmp[0] != 8))
        return false;
    swap(f, f + 6, 6);
    if (v6)
        swap(ip + 8, ip + 24, 16);
    else
        swap(ip + 12, ip + 16, 4);
    /* the sum's other half of what the type loses or gains */
    sum = ((unsigned)icmp[2] << 8 | icmp[3]) + (v6 ? 0xfeff : 0x0800);
    sum = (sum & 0xffff) + (sum >> 16);
    icmp[2] = (uint8_t)(sum >> 8);
    icmp[3] = (uint8_t)sum;
    icmp[0] = v6 ? 129 : 0;
    return true;
}

static void *net_thread(void *arg)
{
    const struct fake *fake = arg;
    static uint8_t buf[sizeof(struct virtio_net_hdr) + FRAME_MAX];
    uint8_t *frame = buf + sizeof(struct virtio_net_hdr), mac[6];

    for (size_t i = 0; i < sizeof(mac); i++)
        mac[i] = (uint8_t)strtoul(fake->mac + 3 * i, NULL, 16);
    for (;;) {
        struct pollfd p = {.fd = fake->tap, .events = POLLIN};
        ssize_t n;

        if (poll(&p, 1, -1) < 0 || (n = read(fake->tap, buf, sizeof(buf))) < 0)
            continue;
        if (n <= (ssize_t)sizeof(struct virtio_net_hdr) || memcmp(frame, mac, sizeof(mac)) != 0 ||
            !turn_echo(frame, (size_t)n - sizeof(struct virtio_net_hdr)))
            continue;
        memset(buf, 0, sizeof(struct virtio_net_hdr));
        if (write(fake->tap, buf, (size_t)n) != n)
            fake_refuse("tap", strerror(errno));
        printf("net: answered a ping\n");
    }
    return NULL;
}

static void serve(const struct fake *fake, bool once)
{
    do {
        char request[REQUEST_MAX];
        int fd = accept4(fake->listener, NULL, NULL, SOCK_CLOEXEC);

        if (fd < 0)
            fake_refuse("accept", strerror(errno));
        if (fake_role(fake, "mute"))
            forever();
        if (fake_role(fake, "garbage") || fake_role(fake, "fault"))
            (void)!read(fd, request, sizeof(request)); /* else the client sees a reset */
        if (fake_role(fake, "garbage"))
            answer_raw(fd, "\x01\x02 this is no answer\r\n\r\n");
        else if (fake_role(fake, "fault"))
            answer_raw(fd, "HTTP/1.1 400 \r\nContent-Length: 41\r\n\r\n"
                           "{\"fault_message\":\"the fake is in a mood\"}");
        else
            while (serve_one(fake, fd))
                ;
        (void)close(fd);
    } while (!once);
}

_Noreturn void fake_run(const struct fake *fake)
{
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    if (fake_role(fake, "deaf"))
        forever();
    if (fake_role(fake, "hello")) {
        printf("Hello from a unikernel\n%s\n", fake->line);
        exit(0);
    }
    if (fake_role(fake, "crash")) {
        serve(fake, true);
        printf("reading from nowhere\n");
        exit(fake->crash_status);
    }
    if (fake_role(fake, "signal")) {
        serve(fake, true);
        printf("the VMM itself goes down\n");
        abort();
    }
    if (fake_role(fake, "idle"))
        printf("idle: waiting\n");
    if (fake_role(fake, "spin"))
        printf("busy from now on\n");
    if (fake_role(fake, "net")) {
        pthread_t thread;

        if (!fake->mac || pthread_create(&thread, NULL, net_thread, (void *)(uintptr_t)fake) != 0)
            fake_refuse("net", "has no interface");
        printf("net: listening\n");
    }
    for (;;)
        serve(fake, false);
}
