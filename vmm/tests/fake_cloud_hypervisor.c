/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake-cloud-hypervisor - Cloud Hypervisor 51 as its driver sees it: arguments, their parameters
 * separated by commas, and of the API what is used. Like the real one it makes the machine after
 * the API is there: the first question is answered with an error.
 */
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/tests/fake_vmm.h"

static int events = -1;
static bool panics;
static struct fake fake = {.line = "", .listener = -1, .crash_status = 1};

/* The value of NAME in "a=b,NAME=value"; NULL when it is not there. The last few stay valid. */
static const char *parameter(const char *list, const char *name)
{
    static char values[8][256];
    static size_t next;
    size_t len = strlen(name);

    for (const char *p = list; p; p = strchr(p, ',') ? strchr(p, ',') + 1 : NULL) {
        if (strncmp(p, name, len) == 0 && p[len] == '=') {
            char *value = values[next++ % 8];

            (void)snprintf(value, sizeof(values[0]), "%.*s", (int)strcspn(p + len + 1, ","),
                           p + len + 1);
            return value;
        }
    }
    return NULL;
}

static const char *need(const char *list, const char *name)
{
    const char *value = parameter(list, name);

    if (!value || !*value)
        fake_refuse(list, "a parameter is missing");
    return value;
}

static void check_words(const char *list, const char *const *known)
{
    for (const char *p = list; p; p = strchr(p, ',') ? strchr(p, ',') + 1 : NULL) {
        bool ok = false;

        for (const char *const *k = known; *k; k++)
            ok = ok || (strncmp(p, *k, strlen(*k)) == 0 && p[strlen(*k)] == '=');
        if (!ok)
            fake_refuse(p, "unknown parameter");
    }
}

static void disk(const char *list)
{
    static const char *const known[] = {"path", "readonly", "image_type", "serial", NULL};
    bool ro = strcmp(need(list, "readonly"), "on") == 0;

    check_words(list, known);
    if (strcmp(need(list, "image_type"), "raw") != 0)
        fake_refuse(list, "the guest could choose the format of its disk");
    fake_open("disk", need(list, "path"), !ro);
}

static void net(const char *list)
{
    static const char *const known[] = {"fd", "mac", "num_queues", NULL};
    const char *fd = need(list, "fd");
    static char mac[20];
    struct ifreq req;

    check_words(list, known);
    (void)snprintf(mac, sizeof(mac), "%s", need(list, "mac"));
    fake_mac(mac);
    fake.mac = mac;
    if (*fd != '[' || ioctl((int)strtol(fd + 1, NULL, 10), TUNGETIFF, &req) < 0 ||
        !(req.ifr_flags & IFF_VNET_HDR))
        fake_refuse(list, "is no tap with virtio headers");
    fake.tap = (int)strtol(fd + 1, NULL, 10);
}

static void api_socket(const char *list)
{
    int on = 0;
    socklen_t len = sizeof(on);

    fake.listener = (int)strtol(need(list, "fd"), NULL, 10);
    if (getsockopt(fake.listener, SOL_SOCKET, SO_ACCEPTCONN, &on, &len) < 0 || !on)
        fake_refuse(list, "is no listening socket");
}

/* Objects as the real one writes them, with empty lines between. */
static void event(const char *source, const char *name)
{
    if (events >= 0)
        (void)dprintf(events,
                      "{\n  \"timestamp\": {\n    \"secs\": 0,\n    \"nanos\": 1\n  },\n"
                      "  \"source\": \"%s\",\n  \"event\": \"%s\",\n  \"properties\": null\n}\n\n",
                      source, name);
}

static void log_file(const char *path)
{
    if (open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600) < 0)
        fake_refuse(path, "the log cannot be made");
}

static void event_monitor(const char *list)
{
    struct stat st;

    events = (int)strtol(need(list, "fd"), NULL, 10);
    if (fstat(events, &st) < 0 || !S_ISREG(st.st_mode))
        fake_refuse(list, "is no file");
    event("vmm", "starting");
}

static void number(const char *text, const char *unit)
{
    char *end;

    if (strtol(text, &end, 10) < 1 || strcmp(end, unit) != 0)
        fake_refuse(text, "is no number of its unit");
}

static struct fake_answer answer(const struct fake *f, const struct fake_request *r)
{
    static bool made;

    if (strcmp(r->method, "GET") == 0 && strcmp(r->path, "/api/v1/vm.info") == 0 && !r->body) {
        if (made)
            return (struct fake_answer){200, "{\"config\":{},\"state\":\"Running\"}"};
        made = true;
        return (struct fake_answer){404, "[\"The VM is not created\"]"};
    }
    if (strcmp(r->method, "PUT") != 0 || strcmp(r->path, "/api/v1/vm.power-button") != 0 || r->body)
        fake_refuse(r->path, "no such request");
    if (!fake_role(f, "spin")) {
        printf("going down\n");
        exit(0);
    }
    return (struct fake_answer){204, ""};
}

static bool take(const char *option, const char *value)
{
    if (strcmp(option, "--api-socket") == 0)
        api_socket(value);
    else if (strcmp(option, "--serial") == 0 || strcmp(option, "--console") == 0)
        return strcmp(value, "tty") == 0 || strcmp(value, "off") == 0;
    else if (strcmp(option, "--rng") == 0)
        fake_open("rng", need(value, "src"), false);
    else if (strcmp(option, "--cpus") == 0)
        number(need(value, "boot"), "");
    else if (strcmp(option, "--memory") == 0)
        number(need(value, "size"), "M");
    else if (strcmp(option, "--kernel") == 0 || strcmp(option, "--initramfs") == 0)
        fake_open(option, value, false);
    else if (strcmp(option, "--disk") == 0)
        disk(value);
    else if (strcmp(option, "--net") == 0)
        net(value);
    else if (strcmp(option, "--log-file") == 0)
        log_file(value);
    else if (strcmp(option, "--event-monitor") == 0)
        event_monitor(value);
    else
        return false;
    return true;
}

int main(int argc, char **argv)
{
    const char *option = "";

    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        printf("cloud-hypervisor v51.0.0\n");
        return 0;
    }
    fake.answer = answer;
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], "--cmdline=", 10) == 0) {
            fake.line = argv[i] + 10;
        } else if (strcmp(argv[i], "--pvpanic") == 0) {
            panics = true;
        } else if (argv[i][0] == '-') {
            option = argv[i];
        } else if (!take(option, argv[i])) {
            (void)fprintf(stderr, "error: unexpected argument '%s' found\n", option);
            return 2;
        }
    }
    if (fake.listener < 0)
        fake_refuse("arguments", "no API");
    fake_kvm();
    event("vm", "booting");
    event("vm", "booted");
    if (panics && fake_role(&fake, "panic")) {
        event("guest", "panic");
        event("vm", "shutdown");
        return 0;
    }
    if (fake_role(&fake, "reset")) {
        event("vm", "rebooting");
        event("vm", "rebooted");
    }
    fake_run(&fake);
}
