/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake-detach PIDFILE COMMAND...: leaves a detached workload as an OCI runtime does: starts it in a
 * session of its own, writes its pid, and ends without waiting for it. A shell cannot play this
 * part: dash collects its dead children after every builtin, and the status of a short workload is
 * gone before anybody inherits it.
 */
#include <stdio.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    pid_t pid;
    FILE *file;

    if (argc < 3)
        return 2;
    pid = fork();
    if (pid < 0)
        return 3;
    if (pid == 0) {
        (void)setsid();
        execvp(argv[2], argv + 2);
        _exit(127);
    }
    file = fopen(argv[1], "we");
    if (!file || fprintf(file, "%d\n", pid) < 0 || fclose(file) != 0)
        return 4;
    return 0;
}
