/* SPDX-License-Identifier: Apache-2.0 */
/*
 * linux_start - how a Linux guest with an initrd is told arguments and environment that its
 * kernel's command line cannot hold: by a file in the initrd, and a first process that reads it
 * (guestinit/). The kernel takes 30 of each, no double quotes, and 2 KiB in all; of variables only
 * names that are no options of its own. A kubelet adds seven variables for every service.
 */
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/strbuf.h"
#include "vmm/guestinit/start_file.h"
#include "vmm/private.h"

#define DEFAULT_INIT "/init"
#define LINE_SHARE   1536 /* bytes that words may take of the line */

extern const char guest_init_first[], guest_init_last[];
__asm__(".pushsection .rodata\n"
        ".globl guest_init_first\n"
        ".globl guest_init_last\n"
        "guest_init_first:\n"
        ".incbin \"" GUEST_INIT_PROGRAM "\"\n"
        "guest_init_last:\n"
        ".popsection\n");

static bool has_initrd(const struct vmm_spec *spec)
{
    return spec->initrd_fd >= 0 && (!spec->storage || spec->storage->root == VMM_ROOT_INITRD);
}

/* The same answer whatever the pod's network is, so that it can be given before there is one. */
static bool fits_line(const struct vmm_spec *spec)
{
    autostrv char **words = NULL;
    struct err err = ERR_INIT;
    size_t len = 0;

    if (family_linux_words(spec, &words, &err) < 0)
        return false;
    for (char **w = words; w && *w; w++)
        len += strlen(*w) + 1;
    return len <= LINE_SHARE;
}

bool linux_start_needed(const struct vmm_spec *spec)
{
    return has_initrd(spec) && !fits_line(spec);
}

static void add(struct strbuf *out, const char *kind, const char *word)
{
    strbuf_adds(out, kind);
    strbuf_add(out, word, strlen(word) + 1);
}

int linux_start_text(const struct vmm_spec *spec, struct strbuf *ret, struct err *err)
{
    autostrv char **user = NULL;
    size_t n_env = strv_len(spec->env);

    if (family_user_arguments(spec, &user, err) < 0)
        return -1;
    if (!user || !*user)
        strv_push(&user, DEFAULT_INIT);
    if (**user != '/')
        return err_set(err, ERR_INVALID, "argument '%.100s': is no absolute path, as init needs",
                       *user);
    if (n_env > START_WORDS_MAX || strv_len(user) > START_WORDS_MAX)
        return err_set(err, ERR_UNSUPPORTED,
                       "arguments and environment: a Linux guest can be given %d each",
                       START_WORDS_MAX);
    add(ret, "", *user);
    for (char **w = user; *w; w++)
        add(ret, "a", *w);
    for (char *const *w = spec->env; w && *w; w++)
        add(ret, "e", *w);
    if (ret->len > START_FILE_MAX_BYTES)
        return err_set(err, ERR_UNSUPPORTED,
                       "arguments and environment have %zu bytes; a Linux guest can be given %d",
                       ret->len, START_FILE_MAX_BYTES);
    return 0;
}

static int put(const char *path, const char *data, size_t len, mode_t mode, struct vmm_tree *ret,
               struct err *err)
{
    autofd int fd = memfd_create("start", MFD_CLOEXEC);

    if (fd < 0 || fchmod(fd, mode) < 0)
        return err_sys(err, "make '%s' for the guest", path);
    if (fs_write_all(fd, data, len, err) < 0)
        return -1;
    *ret = (struct vmm_tree){path, TAKE_FD(fd)};
    return 0;
}

int vmm_start_files(const struct vmm_spec *spec, struct vmm_tree ret[VMM_START_FILES],
                    size_t *ret_n, struct err *err)
{
    size_t size = (size_t)(guest_init_last - guest_init_first);
    autostrbuf text = STRBUF_INIT;

    *ret_n = 0;
    if (!str_eq(vmm_guest_family(spec->guest), "linux") || !linux_start_needed(spec))
        return 0;
    if (linux_start_text(spec, &text, err) < 0 ||
        put(START_PROGRAM, guest_init_first, size, 0755, &ret[0], err) < 0)
        return -1;
    if (put(START_FILE, text.s, text.len, 0600, &ret[1], err) < 0) {
        ret[0].fd = close_fd(ret[0].fd);
        return -1;
    }
    *ret_n = VMM_START_FILES;
    return 0;
}
