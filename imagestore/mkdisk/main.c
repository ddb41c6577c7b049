/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unicri-mkdisk - one disk: shuts itself in (room.c), then becomes the program that makes the
 * filesystem. Which program with which arguments is the daemon's choice (disk_tool.c).
 *
 *     unicri-mkdisk MAX_BYTES CPU_SECONDS PROGRAM [ARGUMENT...]
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/strbuf.h"
#include "imagestore/mkdisk/room.h"

static int parse_args(int argc, char **argv, struct room_limits *limits, struct err *err)
{
    unsigned long long bytes, seconds;

    if (argc < 4)
        return err_set(err, ERR_INVALID,
                       "usage: unicri-mkdisk MAX_BYTES CPU_SECONDS PROGRAM [ARGUMENT...]");
    if (parse_u64(argv[1], INT64_MAX, "MAX_BYTES", &bytes, err) < 0 ||
        parse_u64(argv[2], INT64_MAX, "CPU_SECONDS", &seconds, err) < 0)
        return -1;
    *limits = (struct room_limits){bytes, seconds};
    return 0;
}

int main(int argc, char **argv)
{
    static char path[] = "PATH=/usr/sbin:/usr/bin:/sbin:/bin", locale[] = "LC_ALL=C.UTF-8";
    char *env[] = {path, locale, NULL};
    struct room_limits limits;
    struct err err = ERR_INIT;

    /* The daemon's thread that waits for us is gone: so is who wants the disk. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == 0 &&
        parse_args(argc, argv, &limits, &err) == 0 && room_enter(&limits, &err) == 0) {
        (void)execve(argv[3], argv + 3, env);
        (void)err_sys(&err, "start '%s'", argv[3]);
    }
    (void)fprintf(stderr, "unicri-mkdisk: %s\n", err.msg);
    _exit(MKDISK_OWN_FAILURE);
}
