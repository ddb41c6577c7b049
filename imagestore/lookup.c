/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lookup - files of an image straight from its layers, with the rules that overlayfs has for
 * merging directories: the uppermost layer that has a name decides; a whiteout or anything that is
 * no directory ends the search, an opaque directory ends it after itself.
 *
 * The walk knows where it is as a list of names from the root without any link in it, so ".." and
 * links never leave the image: they change the list, and the list is walked again.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "base/fs.h"
#include "base/strbuf.h"
#include "imagestore/digest.h"
#include "imagestore/layers.h"

#define LINKS_MAX 40
#define STEPS_MAX 4096 /* components looked at, those of links included */

bool layer_dir_is_opaque(int fd)
{
    char v = 0;
    return fgetxattr(fd, "trusted.overlay.opaque", &v, 1) == 1 && v == 'y';
}

void layer_stack_done(struct layer_stack *stack)
{
    for (size_t i = 0; i < stack->n; i++)
        (void)close_fd(stack->fds[i]);
    free(stack->fds);
    strv_free(stack->paths);
    *stack = (struct layer_stack){0};
}

int layer_stack_add(struct layer_stack *stack, char *path, struct err *err)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        (void)err_sys(err, "layer '%s'", path);
        free(path);
        return -1;
    }
    stack->fds = xrealloc_array(stack->fds, stack->n + 1, sizeof(int));
    stack->fds[stack->n++] = fd;
    strv_take(&stack->paths, path);
    return 0;
}

int layer_stack_open(struct imagestore *s, const struct image *image, struct layer_stack *ret,
                     struct err *err)
{
    struct layer_stack stack = {0};
    int r = 0;
    for (size_t i = strv_len(image->layers); i > 0 && r == 0; i--) {
        char *path = store_layer_path(s, image->layers[i - 1]);
        if (strv_contains(stack.paths, path)) {
            free(path);
            continue;
        }
        r = layer_stack_add(&stack, path, err);
        if (r == 0 && layer_dir_is_opaque(stack.fds[stack.n - 1]))
            break;
    }
    if (r == 0 && stack.n == 0)
        r = layer_stack_add(&stack, path_join(s->layers_dir, "empty"), err);
    if (r < 0) {
        layer_stack_done(&stack);
        return -1;
    }
    *ret = stack;
    return 0;
}

/* The directories, uppermost first, that together are one directory of the image. */
struct merged {
    int *fds; /* owned */
    size_t n;
};

static void merged_done(struct merged *m)
{
    for (size_t i = 0; i < m->n; i++)
        (void)close_fd(m->fds[i]);
    free(m->fds);
    *m = (struct merged){0};
}

static int merged_add(struct merged *m, int fd, struct err *err)
{
    if (fd < 0)
        return err_sys(err, "open a directory of a layer");
    m->fds = xrealloc_array(m->fds, m->n + 1, sizeof(int));
    m->fds[m->n++] = fd;
    return 0;
}

static int merged_root(const struct layer_stack *stack, struct merged *ret, struct err *err)
{
    for (size_t i = 0; i < stack->n; i++)
        if (merged_add(ret, fcntl(stack->fds[i], F_DUPFD_CLOEXEC, 3), err) < 0)
            return -1;
    return 0;
}

enum found { FOUND_NOTHING, FOUND_DIR, FOUND_OTHER };

/*
 * Look one name up. FOUND_DIR: *dirs is the merged directory. FOUND_OTHER: *ret_at is the layer
 * directory (borrowed from m) that has it, *st what it is.
 */
static int look_up(const struct merged *m, const char *name, struct merged *dirs, int *ret_at,
                   struct stat *st, enum found *ret, struct err *err)
{
    *ret = FOUND_NOTHING;
    for (size_t i = 0; i < m->n; i++) {
        struct stat s;
        if (fstatat(m->fds[i], name, &s, AT_SYMLINK_NOFOLLOW) < 0) {
            if (errno == ENOENT)
                continue;
            return err_sys(err, "look up '%.200s'", name);
        }
        bool whiteout = S_ISCHR(s.st_mode) && s.st_rdev == makedev(0, 0);
        if (!S_ISDIR(s.st_mode)) {
            if (*ret == FOUND_NOTHING && !whiteout) {
                *ret = FOUND_OTHER;
                *ret_at = m->fds[i];
                *st = s;
            }
            return 0;
        }
        *ret = FOUND_DIR;
        int fd = openat(m->fds[i], name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (merged_add(dirs, fd, err) < 0)
            return -1;
        if (layer_dir_is_opaque(fd))
            return 0;
    }
    return 0;
}

struct walk {
    const struct layer_stack *stack;
    const char *wanted; /* for messages */
    char **names;       /* owned: where we are, links resolved */
    struct merged here;
    char *todo; /* owned: what is still to be walked */
    int links, links_seen, steps;
};

static int walk_root(struct walk *w, struct err *err)
{
    merged_done(&w->here);
    return merged_root(w->stack, &w->here, err);
}

/* Enter a directory that is known to be one. */
static int walk_enter(struct walk *w, const char *name, struct err *err)
{
    struct merged dirs = {0};
    enum found found;
    int at = -1;
    struct stat st;
    int r = look_up(&w->here, name, &dirs, &at, &st, &found, err);
    if (r == 0 && found != FOUND_DIR)
        r = err_set(err, ERR_NOT_FOUND, "file '%.300s': not found in the image", w->wanted);
    if (r < 0) {
        merged_done(&dirs);
        return -1;
    }
    merged_done(&w->here);
    w->here = dirs;
    return 0;
}

static int walk_up(struct walk *w, struct err *err)
{
    size_t n = strv_len(w->names);
    if (w->names && n > 0) {
        free(w->names[n - 1]);
        w->names[n - 1] = NULL;
    }
    if (walk_root(w, err) < 0)
        return -1;
    for (size_t i = 0; w->names && w->names[i]; i++)
        if (walk_enter(w, w->names[i], err) < 0)
            return -1;
    return 0;
}

static int follow_link(struct walk *w, int at, const char *name, const char *rest, struct err *err)
{
    char target[PATH_MAX];
    if (++w->links > LINKS_MAX)
        return err_set(err, ERR_INVALID, "file '%.300s': more than %d links", w->wanted, LINKS_MAX);
    ssize_t n = readlinkat(at, name, target, sizeof(target) - 1);
    if (n < 0)
        return err_sys(err, "read link '%.200s'", name);
    target[n] = '\0';
    char *todo = xasprintf("%s/%s", target, rest);
    free(w->todo);
    w->todo = todo;
    if (strlen(todo) > (size_t)2 * PATH_MAX)
        return err_set(err, ERR_INVALID, "file '%.300s': links grow too long", w->wanted);
    if (target[0] != '/')
        return 0;
    strv_free(w->names);
    w->names = NULL;
    return walk_root(w, err);
}

static int open_file(const struct walk *w, int at, const char *name, struct err *err)
{
    /* layers do not change, but a device must not be opened even if they did */
    autofd int fd = openat(at, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0)
        return err_sys(err, "open '%.300s'", w->wanted);
    if (!S_ISREG(st.st_mode))
        return err_set(err, ERR_INVALID, "file '%.300s': not a regular file", w->wanted);
    return TAKE_FD(fd);
}

/* One component. Returns: an fd when it was the last and a file, -2 to go on, -1 on error. */
static int walk_step(struct walk *w, const char *name, const char *rest, struct err *err)
{
    struct merged dirs = {0};
    enum found found;
    struct stat st = {0};
    int at = -1;
    if (look_up(&w->here, name, &dirs, &at, &st, &found, err) < 0) {
        merged_done(&dirs);
        return -1;
    }
    bool last = rest[strspn(rest, "/")] == '\0';
    if (found == FOUND_DIR) {
        merged_done(&w->here);
        w->here = dirs;
        strv_push(&w->names, name);
        return -2;
    }
    if (found == FOUND_NOTHING)
        return err_set(err, ERR_NOT_FOUND, "file '%.300s': not found in the image", w->wanted);
    if (S_ISLNK(st.st_mode))
        return follow_link(w, at, name, rest, err) < 0 ? -1 : -2;
    if (!last || !S_ISREG(st.st_mode))
        return err_set(err, last ? ERR_INVALID : ERR_NOT_FOUND, "file '%.300s': %s", w->wanted,
                       last ? "not a regular file" : "a part of its path is not a directory");
    return open_file(w, at, name, err);
}

static int walk(struct walk *w, struct err *err)
{
    if (walk_root(w, err) < 0)
        return -1;
    for (;;) {
        const char *p = w->todo + strspn(w->todo, "/");
        size_t n = strcspn(p, "/");
        if (n == 0)
            return err_set(err, ERR_INVALID, "file '%.300s': is a directory", w->wanted);
        if (n > NAME_MAX || ++w->steps > STEPS_MAX)
            return err_set(err, ERR_INVALID, "file '%.300s': name or path is too long", w->wanted);
        char name[NAME_MAX + 1];
        memcpy(name, p, n);
        name[n] = '\0';
        char *rest = xstrdup(p + n);
        int r = -2;
        if (str_eq(name, ".."))
            r = walk_up(w, err) < 0 ? -1 : -2;
        else if (!str_eq(name, "."))
            r = walk_step(w, name, rest, err);
        bool replaced = w->links_seen != w->links;
        w->links_seen = w->links;
        if (r == -2 && !replaced) {
            free(w->todo);
            w->todo = TAKE_PTR(rest);
        }
        free(rest);
        if (r != -2)
            return r;
    }
}

int image_open_file(struct imagestore *s, const struct image *image, const char *path,
                    struct err *err)
{
    struct layer_stack stack = {0};
    if (!path[0] || strlen(path) >= PATH_MAX)
        return err_set(err, ERR_INVALID, "file name is empty or too long");
    if (layer_stack_open(s, image, &stack, err) < 0)
        return err_wrap(err, "image '%s'", image->id);
    struct walk w = {.stack = &stack, .wanted = path, .todo = xstrdup(path)};
    int fd = walk(&w, err);
    merged_done(&w.here);
    strv_free(w.names);
    free(w.todo);
    layer_stack_done(&stack);
    return fd;
}
