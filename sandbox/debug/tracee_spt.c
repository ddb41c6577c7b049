/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tracee_spt - what an spt guest's debugger needs so that it may be killed: the file of its changes
 * (leftovers.h), and the word in the one page of the tender that is left beside the guest. x86_64.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "base/strbuf.h"
#include "sandbox/debug/tracee.h"

#define LINE_MAX_BYTES 512
#define PAGE           4096
#define PAGES_MAX      1024 /* of a program that is looked through */

/* In "FROM-TO r-xp OFFSET DEV INODE NAME" of a file: the guest's own memory is none. */
static uint64_t look_through(const struct tracee *t, const char *line)
{
    char *p;
    uint64_t from = strtoull(line, &p, 16), to = *p == '-' ? strtoull(p + 1, &p, 16) : 0, magic;

    if (strncmp(p, " r-xp ", 6) != 0)
        return 0;
    for (int skipped = 0; skipped < 3 && *p == ' '; skipped++)
        p = p + 1 + strcspn(p + 1, " \n");
    if (strtoull(p, NULL, 10) == 0 || to - from > (uint64_t)PAGE * PAGES_MAX)
        return 0;
    for (uint64_t at = from + PAGE - 2 * sizeof(magic); at < to; at += PAGE)
        if (pread(t->mem_fd, &magic, sizeof(magic), (off_t)at) == (ssize_t)sizeof(magic) &&
            magic == TENDER_LAST_MAGIC)
            return at + sizeof(magic);
    return 0;
}

static int find_word(const struct tracee *t, uint64_t *ret, struct err *err)
{
    char path[64], line[LINE_MAX_BYTES];

    (void)snprintf(path, sizeof(path), "/proc/%d/maps", t->pid);

    autofile FILE *f = fopen(path, "re");

    if (!f)
        return err_sys(err, "open '%s'", path);
    *ret = 0; /* a tender of an older version: its guest does not wait, but is put right as well */
    while (!*ret && fgets(line, sizeof(line), f))
        *ret = look_through(t, line);
    return 0;
}

int spt_leftovers(struct tracee *t, int fd, struct err *err)
{
    struct leftovers *l;
    uint64_t word;

    if (fd < 0)
        return 0;
    if (find_word(t, &word, err) < 0)
        return -1;
    l = mmap(NULL, sizeof(*l), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (l == MAP_FAILED)
        return err_sys(err, "map the file of changes");
    (void)close_fd(fd);
    l->word = word;
    t->leftovers = l;
    return 0;
}
