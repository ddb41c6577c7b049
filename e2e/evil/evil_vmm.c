/* SPDX-License-Identifier: Apache-2.0 */
/*
 * evil-vmm: stands in a VMM's place, in its jail, and tries to get out. It is what a guest that has
 * taken over its VMM would run.
 *
 * Whatever the VMM would be told, one argument, or its configuration, contains "evil=NUMBER" or
 * "evil=NUMBER:SKIP,SKIP,...,": the attempts from that number on, without those to be skipped, are
 * made one after another and told on the console, "NAME: refused: WHY", "NAME:
 * bounded: N" or "NAME: ESCAPED". The jail kills the process for some of them: the test starts the
 * next one behind the last name that it has read. "evil=memory" takes memory until it is stopped.
 * Attempts are harmless if they should work.
 *
 * As virtiofsd, by that name, it takes its orders from a file of the share, and tells what it did
 * in another: "die", "hang", or the number of the first attempt.
 */
#include "evil_vmm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define CONFIG_MAX   65536
#define QMP_LINE     512
#define SERVER_ORDER "/share/evil"
#define SERVER_LOG   "/share/out/log"
#define SERVER_GO    "/share/out/go" /* the VMM runs */

/* As QEMU answers, so that the daemon takes this for a running guest. */
static void pretend_qmp(int listener)
{
    static const char greeting[] = "{\"QMP\":{\"version\":{},\"capabilities\":[]}}\n";
    static const char done[] = "{\"return\":{}}\n";
    char line[QMP_LINE];
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

    if (fd < 0 || write(fd, greeting, sizeof(greeting) - 1) < 0)
        return;
    for (int commands = 0; commands < 2; commands++)
        if (read(fd, line, sizeof(line)) <= 0 || write(fd, done, sizeof(done) - 1) < 0)
            return;
    (void)close(fd);
}

/* As Firecracker and Cloud Hypervisor do. */
static void pretend_http(int listener)
{
    static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                                 "Content-Length: 19\r\n\r\n{\"state\":\"Running\"}";
    char request[QMP_LINE];
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

    if (fd >= 0 && read(fd, request, sizeof(request)) > 0)
        (void)!write(fd, answer, sizeof(answer) - 1);
    (void)close(fd);
    (void)close(listener);
}

static int listen_at(const char *path)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)strncpy(at.sun_path, path, sizeof(at.sun_path) - 1);
    if (fd < 0 || bind(fd, (void *)&at, sizeof(at)) < 0 || listen(fd, 1) < 0)
        printf("cannot listen at %s: %s\n", path, strerror(errno));
    return fd;
}

static void pretend(int argc, char **argv)
{
    for (int i = 1; i + 1 < argc; i++) {
        if (strcmp(argv[i], "--api-sock") == 0)
            pretend_http(listen_at(argv[i + 1]));
        if (strcmp(argv[i], "--api-socket") == 0)
            pretend_http((int)strtol(argv[i + 1] + strlen("fd="), NULL, 10));
    }
}

/* Firecracker is told in a file. */
static const char *find_in_config(const char *key)
{
    static char text[CONFIG_MAX];
    int fd = open("/config.json", O_RDONLY | O_CLOEXEC);
    const char *at = fd >= 0 && read(fd, text, sizeof(text) - 1) > 0 ? strstr(text, key) : NULL;

    (void)close(fd);
    return at ? at + strlen(key) : NULL;
}

static bool is_skipped(const char *list, size_t i)
{
    for (char *end; *list >= '0' && *list <= '9'; list = *end == ',' ? end + 1 : end)
        if (strtoul(list, &end, 10) == i)
            return true;
    return false;
}

static const char *find(int argc, char **argv, const char *key)
{
    for (int i = 1; i < argc; i++) {
        const char *at = strstr(argv[i], key);

        if (at)
            return at + strlen(key);
    }
    return NULL;
}

static void take_memory(void)
{
    for (size_t taken = 0;; taken++) {
        char *p = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        if (p == MAP_FAILED)
            break;
        memset(p, 1, 1 << 20);
        if (taken % 64 == 0)
            printf("memory: %zu MiB\n", taken);
    }
    printf("memory: bounded: by mmap\n");
}

static void attempt(const struct attempt *a)
{
    long result;

    printf("%s: trying\n", a->name);
    errno = 0;
    result = a->run              ? a->run()
             : a->nr == EVERY_FD ? evil_ask((unsigned long)a->a, a->b)
                                 : syscall(a->nr, a->a, a->b, a->c, a->d, 0, 0);
    if (a->bound && result >= 0 && result <= a->bound)
        printf("%s: bounded: %ld\n", a->name, result);
    else if (result >= 0)
        printf("%s: ESCAPED: %ld\n", a->name, result);
    else
        printf("%s: refused: %s\n", a->name, strerror(errno));
}

/* NUMBER[:SKIPPED] */
static int make_attempts(const char *from)
{
    char *skip;
    size_t first = strtoul(from, &skip, 10);

    for (size_t i = first; i < evil_attempts_n; i++)
        if (*skip != ':' || !is_skipped(skip + 1, i))
            attempt(&evil_attempts[i]);
    printf("done: %zu\n", evil_attempts_n);
    return 0;
}

static void sleep_for_ever(void)
{
    for (;;)
        (void)pause();
}

static int be_server(void)
{
    FILE *f = fopen(SERVER_ORDER, "re");
    char order[32] = "";

    if (!f || !fgets(order, sizeof(order), f))
        return 5;
    (void)fclose(f);
    if (strncmp(order, "die", 3) == 0) {
        (void)fputs("evil: dying as told\n", stderr);
        return 3;
    }
    if (strncmp(order, "hang", 4) == 0)
        sleep_for_ever();
    while (access(SERVER_GO, F_OK) < 0)
        (void)nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    if (!freopen(SERVER_LOG, "we", stdout))
        return 6;
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    return make_attempts(order);
}

int main(int argc, char **argv)
{
    const char *from = find(argc, argv, "evil="), *qmp = find(argc, argv, "id=qmp,fd=");

    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        printf("QEMU emulator version 9.9.9\nFirecracker v9.9.9\ncloud-hypervisor v99.0.0\n"
               "solo5-spt tender, version v0.10.0\n");
        return 0;
    }
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        printf("--fd=FDNUM -o sandbox=namespace|chroot\n");
        return 0;
    }
    if (strcmp(argv[0], "virtiofsd") == 0)
        return be_server();
    if (argc == 3 && strcmp(argv[1], "-L") == 0) {
        printf("/usr/share/qemu\n");
        return 0;
    }
    pretend(argc, argv);
    if (qmp)
        pretend_qmp((int)strtol(qmp, NULL, 10));
    if (!from)
        from = find_in_config("evil=");
    if (!from)
        return 3;
    if (strncmp(from, "memory", 6) == 0) {
        take_memory();
        return 4;
    }
    if (strncmp(from, "wait", 4) == 0)
        sleep_for_ever();
    return make_attempts(from);
}
