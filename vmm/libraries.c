/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libraries - what a dynamically linked program of the node needs in its jail: the program's own
 * loader is asked, once a state of the program's file. See host.h.
 *
 * The program is one that the administrator installed; what it says is still bounded, and becomes
 * nothing but directories that are bound read-only.
 */
#include <assert.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/child.h"
#include "base/strbuf.h"
#include "base/thread.h"
#include "vmm/host.h"
#include "vmm/private.h"

#define ASK_TIMEOUT     (10 * NSEC_PER_SEC)
#define ANSWER_MAX      65536
#define ASKED_MAX       16
#define PROGRAM_HEADERS 64
#define DIRECTORIES_MAX 16

/* ---------------------------------------------------------------- questions */

struct asked {
    dev_t device;
    ino_t inode;
    struct timespec changed;
    char *question, *answer; /* owned */
};
static struct asked asked[ASKED_MAX];
static size_t next_asked;
static struct mutex asked_lock = {PTHREAD_MUTEX_INITIALIZER};

static char *recall(const struct stat *st, const char *question)
{
    char *ret = NULL;

    mutex_lock(&asked_lock);
    for (size_t i = 0; i < ASKED_MAX && !ret; i++) {
        const struct asked *a = &asked[i];

        if (a->question && a->device == st->st_dev && a->inode == st->st_ino &&
            a->changed.tv_sec == st->st_ctim.tv_sec && a->changed.tv_nsec == st->st_ctim.tv_nsec &&
            str_eq(a->question, question))
            ret = xstrdup(a->answer);
    }
    mutex_unlock(&asked_lock);
    return ret;
}

static void remember(const struct stat *st, const char *question, const char *answer)
{
    struct asked *a;

    mutex_lock(&asked_lock);
    a = &asked[next_asked++ % ASKED_MAX];
    free(a->question);
    free(a->answer);
    *a = (struct asked){.device = st->st_dev,
                        .inode = st->st_ino,
                        .changed = st->st_ctim,
                        .question = xstrdup(question),
                        .answer = xstrdup(answer)};
    mutex_unlock(&asked_lock);
}

int host_ask(const char *program, char *const *argv, char **ret, struct err *err)
{
    struct child_spec spec = {.path = argv[0], .argv = argv, .end_group = true};
    autostrbuf line = STRBUF_INIT;
    autofree char *question = NULL;
    struct child_status status;
    autochild_output out = {0};
    struct stat st;

    for (char *const *a = argv; *a; a++)
        strbuf_addf(&line, "%s%s", a == argv ? "" : " ", *a);
    assert(program);
    question = strbuf_detach(&line);
    if (stat(program, &st) < 0)
        return err_sys(err, "look at program '%s'", program);
    *ret = recall(&st, question);
    if (*ret)
        return 0;
    if (child_run(&spec, NULL, 0, ANSWER_MAX, deadline_in(ASK_TIMEOUT), &out, &status, err) < 0)
        return -1;
    if (!status.exited || status.code != 0)
        return child_explain(question, &status, &out, err);
    *ret = xstrdup(out.out ? out.out : "");
    remember(&st, question, *ret);
    return 0;
}

/* ---------------------------------------------------------------- the loader */

/* The loader that an ELF program names; "" for a static one or another kind of file. Owned. */
static char *loader_of(const char *program)
{
    autofd int fd = open(program, O_RDONLY | O_CLOEXEC);
    char path[PATH_MAX];
    Elf64_Ehdr head;
    Elf64_Phdr ph;

    if (fd < 0 || pread(fd, &head, sizeof(head), 0) != (ssize_t)sizeof(head) ||
        memcmp(head.e_ident, ELFMAG, SELFMAG) != 0 || head.e_ident[EI_CLASS] != ELFCLASS64)
        return xstrdup("");
    for (unsigned i = 0; i < head.e_phnum && i < PROGRAM_HEADERS; i++) {
        uint64_t at = head.e_phoff + (uint64_t)i * sizeof(ph);

        if (pread(fd, &ph, sizeof(ph), (off_t)at) != (ssize_t)sizeof(ph))
            break;
        if (ph.p_type != PT_INTERP)
            continue;
        if (ph.p_filesz < 2 || ph.p_filesz > sizeof(path) ||
            pread(fd, path, ph.p_filesz, (off_t)ph.p_offset) != (ssize_t)ph.p_filesz ||
            path[ph.p_filesz - 1] != '\0' || path[0] != '/')
            break;
        return xstrdup(path);
    }
    return xstrdup("");
}

/* "\tlibz.so.1 => /lib/libz.so.1 (0x...)": the directory; -1 for a library that is missing. */
static int take_line(const char *program, char *line, char ***dirs, struct err *err)
{
    char *path = strstr(line, "=> "), *end;

    if (!path)
        return 0;
    path += 3;
    if (*path != '/')
        return err_set(err, ERR_UNAVAILABLE, "program '%s': its library%.100s", program, line);
    end = strstr(path, " (");
    if (end)
        *end = '\0';
    end = strrchr(path, '/');
    *(end == path ? end + 1 : end) = '\0';
    for (char **d = *dirs; d && *d; d++)
        if (str_eq(*d, path))
            return 0;
    if (strv_len(*dirs) == DIRECTORIES_MAX)
        return err_set(err, ERR_EXHAUSTED, "program '%s': libraries in more than %d directories",
                       program, DIRECTORIES_MAX);
    strv_push(dirs, path);
    return 0;
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

int host_put_libraries(struct vmm_plan *plan, const char *program, struct err *err)
{
    autofree char *loader = loader_of(program), *answer = NULL;
    char *argv[] = {loader, (char[]){"--list"}, (char *)(uintptr_t)program, NULL}, *save = NULL;
    autostrv char **dirs = NULL;

    if (!*loader)
        return 0;
    if (host_ask(program, argv, &answer, err) < 0)
        return err_wrap(err, "ask the loader of '%s' for its libraries", program);
    for (char *l = strtok_r(answer, "\n", &save); l; l = strtok_r(NULL, "\n", &save))
        if (take_line(program, l, &dirs, err) < 0)
            return -1;
    /* Parents first: what lies below them is put into place after. */
    if (dirs)
        qsort(dirs, strv_len(dirs), sizeof(char *), compare);
    for (char **d = dirs; d && *d; d++)
        if (host_put(plan, VMM_BIND_RO, *d, *d, err) < 0)
            return -1;
    return host_put(plan, VMM_BIND_RO, loader, loader, err);
}
