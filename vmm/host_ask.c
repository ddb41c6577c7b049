/* SPDX-License-Identifier: Apache-2.0 */
/*
 * host_ask - questions to programs of the node, once a state of the program's file: host_ask() of
 * host.h. What went wrong is not remembered: a node may have been busy.
 *
 * The program is one that the administrator installed; what it says is still bounded.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/child.h"
#include "base/strbuf.h"
#include "base/thread.h"
#include "vmm/host.h"

#define ASK_TIMEOUT (10 * NSEC_PER_SEC)
#define ANSWER_MAX  65536
#define ASKED_MAX   32

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

int host_ask(const char *program, char *const *argv, enum host_answer where, char **ret,
             struct err *err)
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
    if (where == HOST_STDOUT && (!status.exited || status.code != 0))
        return child_explain(question, &status, &out, err);
    *ret = xasprintf("%s%s%s", out.out ? out.out : "", where == HOST_BOTH ? "\n" : "",
                     where == HOST_BOTH && out.errout ? out.errout : "");
    remember(&st, question, *ret);
    return 0;
}
