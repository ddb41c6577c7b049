/* SPDX-License-Identifier: Apache-2.0 */
/*
 * evil-vmm: stands in a VMM's place, in its jail, and tries to get out. It is what a guest that has
 * taken over its VMM would run.
 *
 * Whatever the VMM would be told, one argument contains "evil=NUMBER": the attempts from that
 * number on are made one after another and told on the console, "NAME: refused: WHY", "NAME:
 * bounded: N" or "NAME: ESCAPED". The jail kills the process for some of them: the test starts the
 * next one behind the last name that it has read. "evil=memory" takes memory until it is stopped.
 * Attempts are harmless if they should work.
 */
#include "evil_vmm.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define QMP_LINE 512

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
    result = a->run ? a->run() : syscall(a->nr, a->a, a->b, a->c, a->d, 0, 0);
    if (a->bound && result >= 0 && result <= a->bound)
        printf("%s: bounded: %ld\n", a->name, result);
    else if (result >= 0)
        printf("%s: ESCAPED: %ld\n", a->name, result);
    else
        printf("%s: refused: %s\n", a->name, strerror(errno));
}

int main(int argc, char **argv)
{
    const char *from = find(argc, argv, "evil="), *qmp = find(argc, argv, "id=qmp,fd=");

    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        printf("QEMU emulator version 9.9.9\n");
        return 0;
    }
    if (argc == 3 && strcmp(argv[1], "-L") == 0) {
        printf("/usr/share/qemu\n");
        return 0;
    }
    if (qmp)
        pretend_qmp((int)strtol(qmp, NULL, 10));
    if (!from)
        return 3;
    if (strncmp(from, "memory", 6) == 0) {
        take_memory();
        return 4;
    }
    for (size_t i = strtoul(from, NULL, 10); i < evil_attempts_n; i++)
        attempt(&evil_attempts[i]);
    printf("done: %zu\n", evil_attempts_n);
    return 0;
}
