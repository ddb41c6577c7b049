/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pod_dial - sockets inside a pod's network namespace, for port forwarding. A socket belongs to the
 * namespace of the thread that makes it, and to nothing else of it: so a thread of its own enters
 * the namespace, makes the sockets and ends, and no thread that does other work ever moves.
 */
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>

#include "sandbox/container.h"

struct maker {
    int netns; /* -1: the node's */
    struct pod_dial *dial;
    bool failed;
    struct err err;
};

void pod_dial_done(struct pod_dial *dial)
{
    for (size_t i = 0; i < dial->n; i++)
        (void)close_fd(dial->v[i].fd);
    dial->n = 0;
}

static void *make(void *arg)
{
    struct maker *m = arg;
    size_t kept = 0;

    if (m->netns >= 0 && setns(m->netns, CLONE_NEWNET) < 0) {
        m->failed = true;
        (void)err_sys(&m->err, "enter the pod's network namespace");
        m->dial->n = 0;
        return NULL;
    }
    for (size_t i = 0; i < m->dial->n; i++) {
        int family = strchr(m->dial->v[i].address, ':') ? AF_INET6 : AF_INET;
        int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        if (fd < 0) { /* a host without IPv6 has no such family */
            (void)err_sys(&m->err, "make a socket");
            continue;
        }
        m->dial->v[kept] = m->dial->v[i];
        m->dial->v[kept++].fd = fd;
    }
    m->dial->n = kept;
    m->failed = kept == 0;
    return NULL;
}

static void add(struct pod_dial *dial, const char *address)
{
    (void)snprintf(dial->v[dial->n].address, sizeof(dial->v[0].address), "%s", address);
    dial->v[dial->n++].fd = -1;
}

int pod_dial_open(struct engine *engine, const char *id, struct pod_dial *ret, struct err *err)
{
    autopod *pod = pod_find(engine, id);
    struct pod_dial dial = {.n = 0};
    autofd int netns = -1;
    struct maker m = {.netns = -1, .dial = &dial, .err = ERR_INIT};
    pthread_t thread;

    if (!pod || pod_state(pod) == POD_CREATING)
        return err_set(err, ERR_NOT_FOUND, "pod sandbox '%s': no such pod sandbox", id);
    if (pod_state(pod) != POD_READY)
        return err_set(err, ERR_STATE, "pod sandbox '%s' is not ready", id);
    if (*pod->netns) {
        m.netns = netns = netns_open(pod->netns, err);
        if (netns < 0)
            return -1;
    }
    add(&dial, "127.0.0.1");
    add(&dial, "::1");
    mutex_lock(&engine->lock);
    for (size_t i = 0; pod->guest && i < pod->n_ips; i++)
        add(&dial, pod->ips[i]);
    mutex_unlock(&engine->lock);
    if (thread_start("dial", make, &m, &thread, err) < 0)
        return -1;
    (void)pthread_join(thread, NULL);
    if (m.failed) {
        if (err)
            *err = m.err;
        return -1;
    }
    *ret = dial;
    return 0;
}
