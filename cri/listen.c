/* SPDX-License-Identifier: Apache-2.0 */
/*
 * listen - see the header. Connections are gRPC's once they are handed on, and it does not say when
 * one ends; so the bound on their number is kept by remembering descriptor and inode of each and
 * looking, when the bound is met, which of them still are what they were.
 */
#include "cri/listen.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/thread.h"

#define LISTEN_BACKLOG  512
#define ACCEPT_PAUSE    (100 * NSEC_PER_MSEC) /* when the process is out of descriptors */
#define COMPLAINT_PAUSE (10 * NSEC_PER_SEC)
#define UNREAD_BYTES    (1024 * 1024) /* of replies in the kernel, a connection */

struct connection {
    int fd;
    ino_t inode;
};

struct listener {
    struct listen_config config;
    char *path;
    int fd, stop_fd;
    pthread_t thread;
    void (*connection)(void *arg, int fd);
    void *arg;
    struct connection *connections; /* of the listener's thread */
    size_t n;
    deadline_t silent_until; /* complaints are rare, peers may be many */
};

static void complain(struct listener *l, const struct err *err)
{
    if (!deadline_passed(l->silent_until))
        return;
    l->silent_until = deadline_in(COMPLAINT_PAUSE);
    log_warn("connection refused: %s", err->msg);
}

static void forget_closed(struct listener *l)
{
    struct stat st;
    size_t kept = 0;

    for (size_t i = 0; i < l->n; i++)
        if (fstat(l->connections[i].fd, &st) == 0 && S_ISSOCK(st.st_mode) &&
            st.st_ino == l->connections[i].inode)
            l->connections[kept++] = l->connections[i];
    l->n = kept;
}

static int admit(struct listener *l, int fd, struct err *err)
{
    struct ucred peer;
    socklen_t len = sizeof peer;
    struct stat st;

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0 || fstat(fd, &st) < 0)
        return err_sys(err, "ask for the peer of a connection");
    if (peer.uid != 0 && peer.uid != geteuid())
        return err_set(err, ERR_DENIED, "process %d of uid %u may not use '%s'", (int)peer.pid,
                       (unsigned)peer.uid, l->path);
    if (l->n == l->config.max_connections)
        forget_closed(l);
    if (l->n == l->config.max_connections)
        return err_set(err, ERR_EXHAUSTED, "%zu connections are open already", l->n);
    l->connections[l->n++] = (struct connection){.fd = fd, .inode = st.st_ino};
    return 0;
}

/*
 * Room for the list of a full node, so that it goes out at once and the client is the only one who
 * must be given a processor to read it: else the two take turns, and on a busy node each turn is a
 * wait. Beyond the kernel's net.core.wmem_max only with CAP_NET_ADMIN; with less it just takes
 * longer.
 */
static void deepen(int fd)
{
    const int bytes = UNREAD_BYTES / 2; /* the kernel doubles it */

    if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes) < 0)
        (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
}

static void accept_one(struct listener *l)
{
    struct err err;
    int fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (fd < 0) {
        if (errno == EINTR || errno == EAGAIN || errno == ECONNABORTED)
            return;
        (void)err_sys(&err, "accept a connection");
        complain(l, &err);
        clock_sleep_until(deadline_in(ACCEPT_PAUSE));
        return;
    }
    if (admit(l, fd, &err) < 0) {
        complain(l, &err);
        (void)close_fd(fd);
        return;
    }
    deepen(fd);
    l->connection(l->arg, fd);
}

static void *accept_all(void *arg)
{
    struct listener *l = arg;
    struct pollfd fds[] = {{.fd = l->fd, .events = POLLIN}, {.fd = l->stop_fd, .events = POLLIN}};

    for (;;) {
        if (poll(fds, ARRAY_SIZE(fds), -1) < 0 && errno != EINTR)
            abort();
        if (fds[1].revents)
            return NULL;
        if (fds[0].revents)
            accept_one(l);
    }
}

/* A socket that nobody answers is left over from a daemon that was killed. */
static int remove_stale(const char *path, const struct sockaddr_un *address, struct err *err)
{
    struct stat st;

    if (lstat(path, &st) < 0)
        return errno == ENOENT ? 0 : err_sys(err, "look at '%s'", path);
    if (!S_ISSOCK(st.st_mode))
        return err_set(err, ERR_EXISTS, "'%s': something else than a socket is there", path);
    autofd int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (probe < 0)
        return err_sys(err, "make a socket");
    if (connect(probe, (const struct sockaddr *)address, sizeof *address) == 0 || errno == EAGAIN)
        return err_set(err, ERR_STATE, "'%s': another daemon answers there", path);
    if (errno != ECONNREFUSED)
        return err_sys(err, "connect to '%s'", path);
    return fs_remove(AT_FDCWD, path, err);
}

static int make_parent(const char *path, struct err *err)
{
    const char *slash = strrchr(path, '/');

    if (!slash || slash == path)
        return 0;
    autofree char *dir = xstrndup(path, (size_t)(slash - path));
    return fs_mkdirs(dir, 0700, err);
}

static int open_socket(const char *path, struct err *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    if (*path != '/' || strlen(path) >= sizeof address.sun_path)
        return err_set(err, ERR_INVALID, "socket '%s': not absolute, or longer than %zu bytes",
                       path, sizeof address.sun_path - 1);
    memcpy(address.sun_path, path, strlen(path) + 1);
    if (make_parent(path, err) < 0 || remove_stale(path, &address, err) < 0)
        return -1;
    autofd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return err_sys(err, "make a socket");
    if (bind(fd, (const struct sockaddr *)&address, sizeof address) < 0)
        return err_sys(err, "bind to '%s'", path);
    if (chmod(path, 0600) < 0 || listen(fd, LISTEN_BACKLOG) < 0)
        return err_sys(err, "listen on '%s'", path);
    return TAKE_FD(fd);
}

static void listener_free(struct listener *l)
{
    (void)close_fd(l->fd);
    (void)close_fd(l->stop_fd);
    free(l->connections);
    free(l->path);
    free(l);
}

struct listener *listener_open(const struct listen_config *config,
                               void (*connection)(void *arg, int fd), void *arg, struct err *err)
{
    struct listener *l = XNEW(struct listener);

    l->config = *config;
    l->path = xstrdup(config->path);
    l->config.path = l->path;
    l->connection = connection;
    l->arg = arg;
    l->connections = xcalloc(config->max_connections, sizeof *l->connections);
    l->stop_fd = eventfd(0, EFD_CLOEXEC);
    l->fd = open_socket(l->path, err);
    if (l->fd < 0) {
        listener_free(l);
        return NULL;
    }
    if (l->stop_fd < 0 || thread_start("accept", accept_all, l, &l->thread, err) < 0) {
        if (l->stop_fd < 0)
            (void)err_sys(err, "make an eventfd");
        (void)unlink(l->path);
        listener_free(l);
        return NULL;
    }
    return l;
}

void listener_close(struct listener *l)
{
    uint64_t one = 1;

    if (!l)
        return;
    if (write(l->stop_fd, &one, sizeof one) != sizeof one)
        abort();
    (void)pthread_join(l->thread, NULL);
    (void)unlink(l->path);
    listener_free(l);
}
