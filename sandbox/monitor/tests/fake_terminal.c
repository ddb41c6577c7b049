/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake-terminal SOCKET PIDFILE: does to the monitor what an OCI runtime does for a container with a
 * terminal. Opens one, leaves a detached shell on it, sends the master over the socket, writes the
 * pid, and ends.
 */
#include <pty.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int send_master(const char *path, int master)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(sizeof(int))];
    } control = {.room = {0}};
    char name[] = "terminal";
    struct iovec data = {.iov_base = name, .iov_len = sizeof(name)};
    struct msghdr message = {.msg_iov = &data,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof(control)};
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
        return -1;
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(head), &master, sizeof(master));
    return sendmsg(fd, &message, 0) > 0 ? 0 : -1;
}

int main(int argc, char **argv)
{
    static const char script[] = "stty -echo; echo ready; while read line; do case $line in "
                                 "size) stty size;; quit) exit 5;; esac; done";
    int master;
    pid_t pid;
    FILE *file;

    if (argc != 3)
        return 2;
    pid = forkpty(&master, NULL, NULL, NULL);
    if (pid < 0)
        return 3;
    if (pid == 0) {
        execlp("sh", "sh", "-c", script, (char *)NULL);
        _exit(127);
    }
    if (send_master(argv[1], master) < 0)
        return 4;
    file = fopen(argv[2], "we");
    if (!file || fprintf(file, "%d", pid) < 0 || fclose(file) != 0)
        return 5;
    return 0;
}
