/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest_init - the first process of a Linux guest whose arguments and environment do not fit on its
 * kernel's command line. It lies in the guest's initrd beside a file with them, becomes the init
 * that was asked for, and leaves nothing of the two behind. No libc: it is copied into each such
 * guest. The file is written by linux_start.c.
 *
 * /.unicri/start, strings with a NUL behind each: the program; then words, whose first byte is 'a'
 * for an argument (the first is argv[0]) or 'e' for a variable. What the kernel itself put into the
 * environment stays, but for names that are in the file.
 */
#ifdef __x86_64__
#include "vmm/guestinit/guest_init_x86_64.h"
#else
#error "this machine's calls are missing"
#endif

#include "vmm/guestinit/start_file.h"

_Noreturn void start(const long *stack);

static char text[START_FILE_MAX_BYTES];
static char *args[START_WORDS_MAX + 1], *env[2 * START_WORDS_MAX + 1];

static unsigned long length(const char *s)
{
    unsigned long n = 0;

    while (s[n])
        n++;
    return n;
}

static void say(const char *words)
{
    (void)call(SYS_WRITE, 2, (long)words, (long)length(words));
}

static _Noreturn void fail(const char *what, const char *why)
{
    say("unicri: ");
    say(what);
    say(why);
    say("\n");
    for (;;)
        (void)call(SYS_EXIT, 127, 0, 0);
}

/* Returns: how many bytes there are. */
static unsigned long read_file(void)
{
    unsigned long len = 0;
    long fd = call(SYS_OPEN, (long)START_FILE, 0, 0), n;

    if (fd < 0)
        fail(START_FILE, ": cannot be opened");
    while ((n = call(SYS_READ, fd, (long)(text + len), (long)(sizeof(text) - len))) > 0)
        len += (unsigned long)n;
    if (n < 0 || !len || text[len - 1])
        fail(START_FILE, ": is not whole");
    (void)call(SYS_CLOSE, fd, 0, 0);
    return len;
}

/* Whether both are NAME=value of the same name. */
static int same_name(const char *a, const char *b)
{
    while (*a && *a == *b && *a != '=') {
        a++;
        b++;
    }
    return *a == '=' && *b == '=';
}

static void keep_kernels(char *const *envp, unsigned long n_env)
{
    unsigned long mine = n_env;

    for (; *envp && n_env < 2UL * START_WORDS_MAX; envp++) {
        unsigned long i = 0;

        while (i < mine && !same_name(env[i], *envp))
            i++;
        if (i == mine)
            env[n_env++] = *envp;
    }
}

_Noreturn void start(const long *stack)
{
    char *const *envp = (char *const *)(stack + stack[0] + 2);
    unsigned long len = read_file(), n_args = 0, n_env = 0;

    for (unsigned long at = length(text) + 1; at < len; at += length(text + at) + 1) {
        if (n_args == START_WORDS_MAX || n_env == START_WORDS_MAX)
            fail(START_FILE, ": too many words");
        if (text[at] == 'a')
            args[n_args++] = text + at + 1;
        else
            env[n_env++] = text + at + 1;
    }
    keep_kernels(envp, n_env);
    (void)call(SYS_UNLINK, (long)START_FILE, 0, 0);
    (void)call(SYS_UNLINK, (long)START_PROGRAM, 0, 0);
    (void)call(SYS_RMDIR, (long)START_DIR, 0, 0);
    (void)call(SYS_EXECVE, (long)text, (long)args, (long)env);
    fail(text, ": cannot be run as the guest's init");
}
