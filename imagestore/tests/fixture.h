/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fixture - a store in a directory of its own, a registry server, and images made on the fly.
 * Header only: two tests share it.
 */
#ifndef UNICRI_IMAGESTORE_TESTS_FIXTURE_H
#define UNICRI_IMAGESTORE_TESTS_FIXTURE_H

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/fs.h"
#include "base/strbuf.h"
#include "db/db.h"
#include "imagestore/digest.h"
#include "imagestore/imagestore.h"
#include "imagestore/tests/registry_server.h"
#include "imagestore/tests/tar_writer.h"

#define KEEP_MAX 1024

struct fixture {
    char dir[64];
    char *root, *certs;
    struct db *db;
    struct imagestore_config config;
    struct imagestore *store;
    struct rs *rs;
    void *keep[KEEP_MAX]; /* freed at the end: what routes point to */
    size_t n_keep;
};

static inline void *keep(struct fixture *f, void *p)
{
    assert_true(f->n_keep < KEEP_MAX);
    f->keep[f->n_keep++] = p;
    return p;
}

static inline void fixture_open(struct fixture *f)
{
    struct err err = ERR_INIT;
    bool rebuilt = false;
    f->db = db_open(f->root, &rebuilt, &err);
    if (!f->db)
        fail_msg("%s", err.msg);
    f->store = imagestore_open(&f->config, f->root, f->db, &err);
    if (!f->store)
        fail_msg("%s", err.msg);
}

static inline void fixture_close(struct fixture *f)
{
    imagestore_close(f->store);
    db_close(f->db);
}

static inline int fixture_setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    struct err err = ERR_INIT;
    const char *bin = getenv("UNICRI_BIN");
    (void)snprintf(f->dir, sizeof(f->dir), "/tmp/unicri-image-XXXXXX");
    assert_non_null(bin);
    assert_non_null(mkdtemp(f->dir));
    f->root = path_join(f->dir, "root");
    f->certs = path_join(f->dir, "certs.d");
    if (fs_mkdirs(f->root, 0700, &err) < 0 || fs_mkdirs(f->certs, 0700, &err) < 0)
        fail_msg("%s", err.msg);
    strv_push(&f->config.guest_platforms, "qemu");
    strv_push(&f->config.guest_platforms, "fc");
    f->config = (struct imagestore_config){
        .guest_platforms = f->config.guest_platforms,
        .certs_dir = f->certs,
        .parallel_layers = 3,
        .connect_timeout = 20 * NSEC_PER_SEC, /* tests of these clocks set them shorter */
        .header_timeout = 20 * NSEC_PER_SEC,
        .stall_timeout = 20 * NSEC_PER_SEC,
        .retry_wait = 2 * NSEC_PER_MSEC,
        .min_rate_bytes = 1000,
        .max_image_bytes = 256 << 20,
        .max_layers = 127,
        .max_entries = 10000,
        .unpack_program = path_join(bin, "unicri-unpack"),
        .mkdisk_program = path_join(bin, "unicri-mkdisk"),
        .disk_free_bytes = 16 << 20,
        .disk_timeout = 60 * NSEC_PER_SEC,
    };
    f->rs = rs_start();
    fixture_open(f);
    *state = f;
    return 0;
}

static inline int fixture_teardown(void **state)
{
    struct fixture *f = *state;
    struct err err = ERR_INIT;
    rs_stop(f->rs);
    fixture_close(f);
    if (fs_remove_tree(AT_FDCWD, f->dir, &err) < 0)
        fail_msg("%s", err.msg);
    for (size_t i = 0; i < f->n_keep; i++)
        free(f->keep[i]);
    strv_free(f->config.guest_platforms);
    free(f->config.unpack_program);
    free(f->config.mkdisk_program);
    free(f->root);
    free(f->certs);
    free(f);
    return 0;
}

/* "127.0.0.1:PORT/NAME"; kept. */
static inline char *image_name(struct fixture *f, const char *name)
{
    return keep(f, xasprintf("127.0.0.1:%d/%s", rs_port(f->rs), name));
}

/* A blob that the server has. */
struct blob_info {
    char digest[DIGEST_LEN + 1];
    size_t len;
    struct rs_route *route;
};

static inline struct blob_info put_blob(struct fixture *f, const char *repo, const void *data,
                                        size_t len)
{
    struct blob_info b = {.len = len};
    void *copy = keep(f, malloc(len + 1));
    memcpy(copy, data, len);
    digest_of(data, len, b.digest);
    autofree char *path = xasprintf("/v2/%s/blobs/%s", repo, b.digest);
    b.route = rs_route(f->rs, path, 200, "application/octet-stream", copy, len);
    return b;
}

/* A layer as the manifest and the config name it. */
struct layer_info {
    struct blob_info blob;
    char diff_id[DIGEST_LEN + 1];
};

/* Ends the tar, compresses it, and frees it. */
static inline struct layer_info put_layer(struct fixture *f, const char *repo, struct tar *t)
{
    struct layer_info l;
    size_t n = 0;
    tar_end(t);
    digest_of(t->data, t->len, l.diff_id);
    autofree void *gz = tar_gzip(t->data, t->len, &n);
    l.blob = put_blob(f, repo, gz, n);
    tar_done(t);
    return l;
}

static inline struct layer_info put_file_layer(struct fixture *f, const char *repo,
                                               const char *name, const void *data, size_t len)
{
    struct tar t = {0};
    tar_add(&t, &(struct tar_entry){.name = name, .type = '0', .data = data, .len = len});
    return put_layer(f, repo, &t);
}

struct image_info {
    char id[DIGEST_LEN + 1], manifest[DIGEST_LEN + 1];
    struct rs_route *by_tag, *by_digest;
    struct blob_info config;
};

#define OCI_MANIFEST "application/vnd.oci.image.manifest.v1+json"
#define OCI_INDEX    "application/vnd.oci.image.index.v1+json"

static inline void put_manifest(struct fixture *f, const char *repo, const char *tag,
                                const char *type, const char *text, struct image_info *ret)
{
    char *copy = keep(f, xstrdup(text));
    digest_of(copy, strlen(copy), ret->manifest);
    autofree char *by_tag = xasprintf("/v2/%s/manifests/%s", repo, tag);
    autofree char *by_digest = xasprintf("/v2/%s/manifests/%s", repo, ret->manifest);
    char *header = keep(f, xasprintf("Docker-Content-Digest: %s\r\n", ret->manifest));
    ret->by_tag = rs_route(f->rs, by_tag, 200, type, copy, strlen(copy));
    ret->by_tag->headers = header;
    ret->by_digest = rs_route(f->rs, by_digest, 200, type, copy, strlen(copy));
    ret->by_digest->headers = header;
}

/* An image of layers (lowest first) under repo:tag. `extra` is put into the config's "config"
 * object. */
static inline struct image_info put_image(struct fixture *f, const char *repo, const char *tag,
                                          const struct layer_info *layers, size_t n,
                                          const char *extra)
{
    struct image_info image = {0};
    autostrbuf config = STRBUF_INIT, manifest = STRBUF_INIT;
    strbuf_addf(&config,
                "{\"os\":\"linux\",\"architecture\":\"amd64\",\"config\":{%s},\"rootfs\":{\"type\":"
                "\"layers\",\"diff_ids\":[",
                extra);
    for (size_t i = 0; i < n; i++)
        strbuf_addf(&config, "%s\"%s\"", i ? "," : "", layers[i].diff_id);
    strbuf_adds(&config, "]}}");
    image.config = put_blob(f, repo, config.s, config.len);
    memcpy(image.id, image.config.digest, sizeof(image.id));
    strbuf_addf(&manifest,
                "{\"schemaVersion\":2,\"mediaType\":\"" OCI_MANIFEST
                "\",\"config\":{\"mediaType\":\"application/"
                "vnd.oci.image.config.v1+json\",\"digest\":\"%s\",\"size\":%zu},\"layers\":[",
                image.id, image.config.len);
    for (size_t i = 0; i < n; i++)
        strbuf_addf(&manifest,
                    "%s{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar+gzip\",\"digest\":"
                    "\"%s\",\"size\":%zu}",
                    i ? "," : "", layers[i].blob.digest, layers[i].blob.len);
    strbuf_adds(&manifest, "]}");
    put_manifest(f, repo, tag, OCI_MANIFEST, manifest.s, &image);
    return image;
}

static inline struct image *pull(struct fixture *f, const char *name, struct err *err)
{
    *err = ERR_INIT;
    return imagestore_pull(f->store, name, NULL, deadline_in(300 * NSEC_PER_SEC), NULL, NULL, err);
}

/* Entries of ROOT/layers but "empty": layers and rubbish. */
static inline size_t count_layers(struct fixture *f)
{
    autofree char *path = path_join(f->root, "layers");
    autodir DIR *d = opendir(path);
    size_t n = 0;
    assert_non_null(d);
    const struct dirent *e;
    while ((e = readdir(d)))
        n += e->d_name[0] != '.' && !str_eq(e->d_name, "empty");
    return n;
}

static inline void assert_contains(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("'%s' does not contain '%s'", text, part);
}

/* The content of a file of an image, or NULL with err. */
static inline char *read_image_file(struct fixture *f, const struct image *image, const char *path,
                                    struct err *err)
{
    autofd int fd = image_open_file(f->store, image, path, err);
    char *text = NULL;
    if (fd < 0 || fs_read_fd(fd, 1 << 20, &text, NULL, err) < 0)
        return NULL;
    return text;
}

/* A pull fails with this code and leaves no layer; `part` is in the message. */
static inline void expect_error(struct fixture *f, const char *name, enum err_code code,
                                const char *part)
{
    struct err err;
    struct image *image = pull(f, name, &err);
    if (image)
        fail_msg("pull of '%s' succeeded", name);
    assert_contains(err.msg, part);
    assert_string_equal(err_code_name(err.code), err_code_name(code));
    assert_int_equal(count_layers(f), 0);
}

static inline struct layer_info random_layer(struct fixture *f, const char *repo, const char *name,
                                             size_t len)
{
    unsigned char *data = malloc(len);
    unsigned x = 12345;
    for (size_t i = 0; i < len; i++)
        data[i] = (unsigned char)((x = x * 1103515245 + 12345) >> 16);
    struct layer_info l = put_file_layer(f, repo, name, data, len);
    free(data);
    return l;
}

#endif
