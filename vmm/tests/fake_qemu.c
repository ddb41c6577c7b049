/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake_qemu - stands in for QEMU and goes wrong in the way that the guest's command line names. It
 * insists on the options without which a guest would be less shut in than it must be, and ends with
 * status 97 when one is missing. No guest runs.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define REFUSED 97

static const char greeting[] = "{\"QMP\":{\"version\":{},\"capabilities\":[]}}\n";

static const char *option(char **argv, const char *name, const char *value)
{
    for (; argv[0] && argv[1]; argv++)
        if (strcmp(argv[0], name) == 0 && (!value || strncmp(argv[1], value, strlen(value)) == 0))
            return argv[1];
    return NULL;
}

static bool flag(char **argv, const char *name)
{
    for (; *argv; argv++)
        if (strcmp(*argv, name) == 0)
            return true;
    return false;
}

static void insist(bool ok, const char *what)
{
    if (ok)
        return;
    (void)fprintf(stderr, "fake QEMU: without %s\n", what);
    exit(REFUSED);
}

static void say(int fd, const char *text)
{
    if (send(fd, text, strlen(text), MSG_NOSIGNAL) < 0)
        exit(1);
}

/* What came, up to the end of a line; nothing when the client is gone. */
static void hear(int fd, char *buf, size_t size)
{
    ssize_t n = recv(fd, buf, size - 1, 0);

    buf[n > 0 ? n : 0] = '\0';
}

static _Noreturn void wait_for_end(void)
{
    for (;;)
        pause();
}

/* The guest "runs": its record says so, as QEMU's trace does. */
static void record(char **argv, bool stuck)
{
    const char *path = option(argv, "-D", NULL);
    FILE *f = path ? fopen(path, "w") : NULL;

    insist(f != NULL, "a record");
    (void)fprintf(f, "vm_state_notify running 1 reason 9 (running)\n");
    if (stuck)
        (void)fprintf(f, "vm_state_notify running 0 reason 4 (io-error)\n");
    (void)fclose(f);
}

static void talk(int client, const char *role, char **argv)
{
    char buf[256];

    if (strcmp(role, "mute") == 0)
        wait_for_end();
    if (strcmp(role, "garbage") == 0)
        say(client, "HTTP/1.1 400 Bad Request\r\n\r\n");
    say(client, greeting);
    if (strcmp(role, "hangup") == 0)
        return;
    hear(client, buf, sizeof(buf));
    insist(!*buf || strstr(buf, "qmp_capabilities"), "capabilities");
    say(client, "{\"return\":{}}\n");
    hear(client, buf, sizeof(buf));
    if (strcmp(role, "error") == 0)
        say(client,
            "{\"error\":{\"class\":\"GenericError\",\"desc\":\"the fake is in a mood\"}}\n");
    insist(!*buf || strstr(buf, "cont"), "a command that it knows");
    record(argv, strcmp(role, "stuck") == 0);
    say(client, "{\"event\":\"RESUME\"}\n{\"return\":{}}\n");
    if (strcmp(role, "signal") == 0)
        __builtin_trap(); /* process 1 of its namespace: it cannot send itself a signal that kills
                           */
}

int main(int argc, char **argv)
{
    const char *qmp, *role;
    int fd, client;

    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        (void)puts("QEMU emulator version 9.2.0 (fake)");
        return 0;
    }
    if (argc == 3 && strcmp(argv[1], "-L") == 0) {
        (void)puts("/usr/share");
        return 0;
    }
    insist(flag(argv, "-nodefaults") && flag(argv, "-no-user-config") && flag(argv, "-S"),
           "-nodefaults, -no-user-config or -S");
    insist(option(argv, "-sandbox",
                  "on,obsolete=deny,elevateprivileges=deny,spawn=deny,"
                  "resourcecontrol=deny"),
           "-sandbox");
    insist(access("/kernel", R_OK) == 0 && access("/proc", F_OK) < 0 && access("/etc", F_OK) < 0,
           "a kernel, or with more than that");
    qmp = option(argv, "-chardev", "socket,id=qmp,fd=");
    role = option(argv, "-append", NULL);
    insist(qmp && role, "QMP or a command line");
    if (strcmp(role, "early") == 0) {
        (void)fprintf(stderr, "fake QEMU: cannot find the left shoe\n");
        return 1;
    }
    if (strcmp(role, "deaf") == 0)
        wait_for_end();
    fd = (int)strtol(strstr(qmp, "fd=") + 3, NULL, 10);
    client = accept(fd, NULL, NULL);
    insist(client >= 0, "a client");
    talk(client, role, argv);
    (void)close(client);
    wait_for_end();
}
