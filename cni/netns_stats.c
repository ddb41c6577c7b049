/* SPDX-License-Identifier: Apache-2.0 */
/*
 * netns_stats - counters of the interfaces of many network namespaces.
 *
 * An rtnetlink socket belongs to the namespace of the thread that made it. One thread enters the
 * namespaces one after the other and ends, so no thread that does other work ever moves; a
 * namespace is held open no longer than its look takes.
 */
#include <sched.h>

#include "base/thread.h"
#include "cni/cni.h"
#include "cni/rtnl.h"

struct visit {
    const char *const *paths;
    size_t n;
    void (*found)(void *arg, size_t i, const struct link_stats *links, size_t n_links);
    void *arg;
};

static void look(const struct visit *v, size_t i)
{
    struct link_stats links[LINK_STATS_MAX];
    struct err err = ERR_INIT;
    autofd int fd = netns_open(v->paths[i], &err);
    size_t n_links = 0;

    if (fd < 0 || setns(fd, CLONE_NEWNET) < 0)
        return;

    autortnl *nl = rtnl_open(&err);

    if (nl && rtnl_link_stats(nl, links, LINK_STATS_MAX, &n_links, &err) == 0)
        v->found(v->arg, i, links, n_links);
}

static void *visit_all(void *arg)
{
    const struct visit *v = arg;

    for (size_t i = 0; i < v->n; i++)
        look(v, i);
    return NULL;
}

int netns_link_stats(const char *const *paths, size_t n,
                     void (*found)(void *arg, size_t i, const struct link_stats *links,
                                   size_t n_links),
                     void *arg, struct err *err)
{
    struct visit v = {.paths = paths, .n = n, .found = found, .arg = arg};
    pthread_t thread;

    if (n == 0)
        return 0;
    if (thread_start("links", visit_all, &v, &thread, err) < 0)
        return -1;
    (void)pthread_join(thread, NULL);
    return 0;
}
