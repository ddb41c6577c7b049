/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libraries - what a dynamically linked program of the node needs in its jail: the program's own
 * loader is asked, once a state of the program's file. See host.h.
 *
 * The program is one that the administrator installed; what it says is still bounded, and becomes
 * nothing but directories that are bound read-only.
 */
#include <elf.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "base/strbuf.h"
#include "vmm/host.h"
#include "vmm/private.h"

#define PROGRAM_HEADERS 64
#define DIRECTORIES_MAX 16

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
    if (host_ask(program, argv, HOST_STDOUT, &answer, err) < 0)
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
