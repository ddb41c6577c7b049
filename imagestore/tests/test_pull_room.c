/* SPDX-License-Identifier: Apache-2.0 */
/* pull: a disk that is full, or would be. */
#include "imagestore/tests/fixture.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mount.h>

#include "base/thread.h"

static void test_disk_full(void **state)
{
    struct fixture *f = *state;
    struct err err = ERR_INIT;
    autofree char *layers = path_join(f->root, "layers");
    char zeros[1024] = {0};
    struct tar t = {0};
    fixture_close(f);
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("t", layers, "tmpfs", 0, "size=8m") < 0)
        fail_msg("tmpfs: %s", strerror(errno));
    fixture_open(f);
    for (int i = 0; i < 9000; i++) { /* compresses to little, needs 36 MB in pages */
        char name[32];
        (void)snprintf(name, sizeof(name), "d/%d", i);
        tar_add(&t, &(struct tar_entry){
                        .name = name, .type = '0', .data = zeros, .len = sizeof(zeros)});
    }
    struct layer_info l = put_layer(f, "full", &t);
    (void)put_image(f, "full", "latest", &l, 1, "");
    expect_error(f, image_name(f, "full"), ERR_EXHAUSTED, "No space left");
    struct layer_info large = random_layer(f, "full2", "f", 10 << 20);
    (void)put_image(f, "full2", "latest", &large, 1, "");
    expect_error(f, image_name(f, "full2"), ERR_EXHAUSTED, "bytes are needed");
    fixture_close(f);
    if (umount2(layers, MNT_DETACH) < 0)
        fail_msg("%s", strerror(errno));
    fixture_open(f);
    autoimage *image = pull(f, image_name(f, "full2"), &err);
    assert_non_null(image);
}

struct watch {
    const char *path;
    atomic_bool stop;
    uint64_t least; /* free bytes seen */
};

static void *watch_free(void *arg)
{
    struct watch *w = arg;
    while (!atomic_load(&w->stop)) {
        struct err err = ERR_INIT;
        uint64_t now = 0;
        if (fs_free_bytes(w->path, &now, &err) == 0 && now < w->least)
            w->least = now;
        (void)sched_yield();
    }
    return NULL;
}

/* What a layer unpacks to is not declared anywhere: it is stopped while it does. */
static void test_disk_stays_free(void **state)
{
    enum { FILES = 2200, MIN_FREE = 8 << 20, LAYERS = 2 };
    struct fixture *f = *state;
    struct err err = ERR_INIT;
    autofree char *layers = path_join(f->root, "layers");
    struct layer_info l[LAYERS];
    static const char zeros[16384];
    fixture_close(f);
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("t", layers, "tmpfs", 0, "size=64m") < 0)
        fail_msg("tmpfs: %s", strerror(errno));
    f->config.min_free_bytes = MIN_FREE;
    fixture_open(f);
    for (size_t n = 0; n < LAYERS; n++) {
        struct tar t = {0};
        for (int i = 0; i < FILES; i++) {
            char name[32];
            (void)snprintf(name, sizeof(name), "d%zu/%d", n, i);
            tar_add(&t, &(struct tar_entry){
                            .name = name, .type = '0', .data = zeros, .len = sizeof(zeros)});
        }
        l[n] = put_layer(f, "grow", &t);
    }
    (void)put_image(f, "grow", "latest", l, LAYERS, "");
    (void)put_image(f, "grow", "one", l, 1, "");
    struct watch w = {.path = layers, .least = UINT64_MAX};
    pthread_t watcher;
    assert_int_equal(thread_start("watch", watch_free, &w, &watcher, &err), 0);
    expect_error(f, image_name(f, "grow"), ERR_EXHAUSTED, "are to stay free");
    atomic_store(&w.stop, true);
    (void)pthread_join(watcher, NULL);
    /* The error says how far it came; a watcher on a busy machine may miss the last moment of it.
     */
    assert_true(w.least < (56 << 20));
    assert_true(w.least >= MIN_FREE - LAYERS * (2 << 20));
    /* declared sizes: refused before a byte is fetched, with both numbers */
    autofree char *filler = path_join(layers, ".filler");
    autofd int fd = open(filler, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(posix_fallocate(fd, 0, 40 << 20), 0);
    struct layer_info large = random_layer(f, "declared", "f", 17 << 20);
    (void)put_image(f, "declared", "latest", &large, 1, "");
    autofree char *needed = xasprintf("at least %zu bytes are needed, 2", large.blob.len);
    expect_error(f, image_name(f, "declared"), ERR_EXHAUSTED, needed);
    assert_int_equal(large.blob.route->hits, 0);
    assert_int_equal(unlink(filler), 0);
    fd = close_fd(fd);
    /* and what fits is pulled */
    autofree char *one = xasprintf("%s:one", image_name(f, "grow"));
    f->config.min_free_bytes = UINT64_C(1) << 40; /* an eighth is the most */
    autoimage *image = pull(f, one, &err);
    if (!image)
        fail_msg("%s", err.msg);
    fixture_close(f);
    if (umount2(layers, MNT_DETACH) < 0)
        fail_msg("%s", strerror(errno));
    fixture_open(f);
}

#define CASE(t) cmocka_unit_test_setup_teardown(t, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_disk_full),
        CASE(test_disk_stays_free),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
