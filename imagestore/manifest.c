/* SPDX-License-Identifier: Apache-2.0 */
/* manifest - see manifest.h. */
#include "imagestore/manifest.h"

#include <limits.h>
#include <string.h>

#include "base/json.h"
#include "base/strbuf.h"
#include "imagestore/artifact.h"
#include "imagestore/registry.h"

#define SEEN_MAX_BYTES 120 /* of platforms in a message */

/* ------------------------------------------------------------ platforms */

/*
 * What of an index this machine can run, best score first. Images of unikernels made by KraftKit
 * name their hypervisor as the os ("qemu", "fc") and the architecture as uname does; they come
 * after all of Linux, in the order of image.guest_platforms.
 */
#define LINUX_BONUS 1000
#if defined(__x86_64__)
static const char *const guest_architectures[] = {"x86_64", "amd64"};
#elif defined(__aarch64__)
static const char *const guest_architectures[] = {"arm64", "aarch64"};
#endif

struct platform_rule {
    const char *os, *architecture, *variant; /* variant NULL: any */
    int score;
};
static const struct platform_rule platform_rules[] = {
#if defined(__x86_64__)
    {"linux", "amd64", "", 4},
    {"linux", "amd64", "v1", 4},
    {"linux", "amd64", "v2", 3},
    {"linux", "amd64", NULL, 1},
#elif defined(__aarch64__)
    {"linux", "arm64", "v8", 4},
    {"linux", "arm64", "", 4},
    {"linux", "arm64", NULL, 1},
#endif
};

static int platform_score(const char *os, const char *architecture, const char *variant)
{
    for (size_t i = 0; i < ARRAY_SIZE(platform_rules); i++) {
        const struct platform_rule *r = &platform_rules[i];
        if (str_eq(os, r->os) && str_eq(architecture, r->architecture) &&
            (!r->variant || str_eq(variant, r->variant)))
            return LINUX_BONUS + r->score;
    }
    return 0;
}

static bool one_of(const char *s, const char *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (str_eq(s, list[i]))
            return true;
    return false;
}
#define ONE_OF(s, list) one_of(s, list, ARRAY_SIZE(list))

static int guest_score(const char *os, const char *architecture, char *const *guests)
{
    if (!ONE_OF(architecture, guest_architectures))
        return 0;
    for (int i = 0; guests && guests[i] && i < LINUX_BONUS - 1; i++)
        if (str_eq(os, guests[i]))
            return LINUX_BONUS - 1 - i;
    return 0;
}

static const char *const index_types[] = {
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
};
static const char *const manifest_types[] = {
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
};
static const char *const config_types[] = {
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.docker.container.image.v1+json",
    "application/vnd.unikraft.config.v1", /* KraftKit before it used OCI's types */
    "application/vnd.unikraft.config.v1+json",
};
/* How a layer is compressed is read from its first bytes; a type only says whether it is one. */
static const char *const layer_types[] = {
    "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.oci.image.layer.v1.tar+gzip",
    "application/vnd.oci.image.layer.v1.tar+zstd",
    "application/vnd.oci.image.layer.nondistributable.v1.tar",
    "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
    "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
    "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
    "application/vnd.docker.image.rootfs.diff.tar.zstd",
    "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
    "application/vnd.unikraft.rootfs.diff",
    "application/vnd.unikraft.rootfs.diff+gzip",
    "application/vnd.unikraft.image.v1",
    "application/vnd.unikraft.image.v1+gzip",
    "application/vnd.unikraft.initrd.v1",
    "application/vnd.unikraft.initrd.v1+gzip",
};

/* --------------------------------------------------------- descriptors */

void descriptor_done(struct descriptor *d)
{
    free(d->media_type);
    free(d->raw_name);
    kvs_done(&d->annotations);
    *d = (struct descriptor){0};
}

void manifest_done(struct manifest *m)
{
    descriptor_done(&m->chosen);
    descriptor_done(&m->config);
    for (size_t i = 0; i < m->n_layers; i++)
        descriptor_done(&m->layers[i]);
    free(m->layers);
    kvs_done(&m->annotations);
    free(m->artifact_type);
    *m = (struct manifest){0};
}

static int descriptor_parse(const json_t *j, const char *what, struct descriptor *d,
                            struct err *err)
{
    const char *digest = NULL, *type = NULL;
    int64_t size = -1;
    if (!json_is_object(j))
        return err_set(err, ERR_INVALID, "%s: not an object", what);
    if (json_opt_string(j, "mediaType", &type, err) < 0 ||
        json_need_string(j, "digest", &digest, err) < 0 || json_opt_int(j, "size", &size, err) < 0)
        return err_wrap(err, "%s", what);
    if (!json_object_get(j, "size") || size < 0)
        return err_set(err, ERR_INVALID, "%s: no size, or a negative one", what);
    if (!digest_is_valid(digest))
        return err_set(err, ERR_INVALID,
                       "%s: digest '%.80s' is not sha256 with 64 lower-case hex digits", what,
                       digest);
    memcpy(d->digest, digest, DIGEST_LEN + 1);
    d->media_type = xstrdup(type ? type : "");
    d->size = (uint64_t)size;
    if (json_opt_kvs(j, "annotations", ANNOTATIONS_MAX, &d->annotations, err) < 0)
        return err_wrap(err, "%s", what);
    return 0;
}

/* `seen` gets the platform's name, for the error that none fits. */
static int entry_score(const json_t *entry, char *const *guests, struct strbuf *seen,
                       struct err *err)
{
    const char *os = NULL, *arch = NULL, *variant = NULL, *type = NULL;
    json_t *platform = NULL;
    if (json_opt_string(entry, "mediaType", &type, err) < 0 ||
        json_opt_object(entry, "platform", &platform, err) < 0)
        return -1;
    if (type && type[0] && !ONE_OF(type, manifest_types))
        return 0; /* nested indexes and artifacts are not followed */
    if (!platform)
        return 0;
    if (json_opt_string(platform, "os", &os, err) < 0 ||
        json_opt_string(platform, "architecture", &arch, err) < 0 ||
        json_opt_string(platform, "variant", &variant, err) < 0)
        return -1;
    os = os ? os : "";
    arch = arch ? arch : "";
    if (seen->len < SEEN_MAX_BYTES)
        strbuf_addf(seen, "%s%.20s/%.20s", seen->len ? ", " : "", os, arch);
    int score = platform_score(os, arch, variant ? variant : "");
    return score ? score : guest_score(os, arch, guests);
}

static int choose(const json_t *entries, char *const *guests, struct descriptor *ret,
                  struct err *err)
{
    autostrbuf seen = STRBUF_INIT;
    const json_t *best = NULL;
    int best_score = 0;
    size_t n = json_array_size(entries);
    if (n > INDEX_MAX_ENTRIES)
        return err_set(err, ERR_EXHAUSTED, "index: %zu entries, more than %d", n,
                       INDEX_MAX_ENTRIES);
    for (size_t i = 0; i < n; i++) {
        const json_t *e = json_array_get(entries, i);
        if (!json_is_object(e))
            return err_set(err, ERR_INVALID, "index: entry %zu is not an object", i);
        int score = entry_score(e, guests, &seen, err);
        if (score < 0)
            return err_wrap(err, "index: entry %zu", i);
        if (score > best_score) {
            best = e;
            best_score = score;
        }
    }
    /* an index of one without a platform can only mean that one */
    if (!best && n == 1 && !json_object_get(json_array_get(entries, 0), "platform"))
        best = json_array_get(entries, 0);
    if (!best)
        return err_set(err, ERR_NOT_FOUND,
                       "no image for platform %s/%s, nor for one of image.guest_platforms, in an "
                       "index of %zu: it has %s",
                       platform_rules[0].os, platform_rules[0].architecture, n,
                       seen.len ? seen.s : "none");
    return descriptor_parse(best, "index", ret, err);
}

static int parse_layers(const json_t *list, struct manifest *m, struct err *err)
{
    size_t n = json_array_size(list);
    if (n > MANIFEST_LAYERS_MAX)
        return err_set(err, ERR_EXHAUSTED, "manifest: %zu layers, more than %d", n,
                       MANIFEST_LAYERS_MAX);
    m->layers = xcalloc(n + 1, sizeof(*m->layers));
    for (size_t i = 0; i < n; i++) {
        struct descriptor *d = &m->layers[i];
        m->n_layers = i + 1;
        if (descriptor_parse(json_array_get(list, i), "layer", d, err) < 0)
            return err_wrap(err, "manifest: layer %zu", i);
        if (!m->artifact_type && !ONE_OF(d->media_type, layer_types))
            return err_set(err, ERR_UNSUPPORTED,
                           "manifest: layer %zu has type '%.100s', which is not a container layer",
                           i, d->media_type);
    }
    return 0;
}

/* It is an artifact if it says so, or if its config is not an image's; the config is then all that
 * tells of what type. */
static int find_artifact_type(const json_t *j, struct manifest *m, struct err *err)
{
    const char *type = NULL;
    if (json_opt_string(j, "artifactType", &type, err) < 0)
        return err_wrap(err, "manifest");
    if (!type || !*type)
        type = ONE_OF(m->config.media_type, config_types) ? NULL : m->config.media_type;
    if (!type)
        return 0;
    if (!*type || strlen(type) > ARTIFACT_TYPE_MAX)
        return err_set(err, ERR_UNSUPPORTED,
                       "neither a container image nor an artifact: config has type '%.100s'", type);
    m->artifact_type = xstrdup(type);
    return 0;
}

static int parse_manifest(const json_t *j, struct manifest *m, struct err *err)
{
    json_t *config = NULL, *layers = NULL;
    if (json_opt_object(j, "config", &config, err) < 0 ||
        json_opt_array(j, "layers", &layers, err) < 0 ||
        json_opt_kvs(j, "annotations", ANNOTATIONS_MAX, &m->annotations, err) < 0)
        return err_wrap(err, "manifest");
    if (!config || !layers)
        return err_set(err, ERR_INVALID, "manifest: no config or no layers");
    if (descriptor_parse(config, "manifest: config", &m->config, err) < 0)
        return -1;
    if (find_artifact_type(j, m, err) < 0)
        return -1;
    if (!m->artifact_type && m->config.size > CONFIG_MAX_BYTES)
        return err_set(err, ERR_EXHAUSTED, "manifest: config of more than %d bytes",
                       CONFIG_MAX_BYTES);
    return parse_layers(layers, m, err);
}

static int parse_doc(const json_t *j, const char *media_type, char *const *guests,
                     struct manifest *m, struct err *err)
{
    const char *type = NULL;
    int64_t schema = 0;
    if (!json_is_object(j))
        return err_set(err, ERR_INVALID, "manifest: not an object");
    if (json_opt_string(j, "mediaType", &type, err) < 0 ||
        json_opt_int(j, "schemaVersion", &schema, err) < 0)
        return err_wrap(err, "manifest");
    if (schema == 1)
        return err_set(err, ERR_UNSUPPORTED, "manifest: schema version 1 is not supported");
    if (schema != 2)
        return err_set(err, ERR_INVALID, "manifest: schemaVersion is not 2");
    bool index = json_object_get(j, "manifests"),
         single = json_object_get(j, "layers") || json_object_get(j, "config");
    if (index && single)
        return err_set(err, ERR_INVALID, "manifest: has the members of an index and of a manifest");
    if (!type || !type[0])
        type = media_type;
    else if ((ONE_OF(media_type, index_types) || ONE_OF(media_type, manifest_types)) &&
             !str_eq(media_type, type))
        return err_set(err, ERR_INVALID, "manifest: says type '%.100s', was sent as '%.100s'", type,
                       media_type);
    if ((ONE_OF(type, index_types) && !index) || (ONE_OF(type, manifest_types) && index))
        return err_set(err, ERR_INVALID, "manifest: content does not fit type '%.100s'", type);
    m->is_index = index;
    if (!index)
        return parse_manifest(j, m, err);
    json_t *entries = NULL;
    if (json_opt_array(j, "manifests", &entries, err) < 0)
        return err_wrap(err, "index");
    return choose(entries, guests, &m->chosen, err);
}

int manifest_parse(const char *text, size_t len, const char *media_type, char *const *guests,
                   struct manifest *ret, struct err *err)
{
    struct manifest m = {0};
    autojson *j = json_parse(text, len, MANIFEST_MAX_BYTES, "manifest", err);
    if (!j)
        return -1;
    if (parse_doc(j, media_type, guests, &m, err) < 0) {
        manifest_done(&m);
        return -1;
    }
    *ret = m;
    return 0;
}

/* --------------------------------------------------------------- config */

void image_config_done(struct image_config *c)
{
    strv_free(c->entrypoint);
    strv_free(c->cmd);
    strv_free(c->env);
    free(c->working_dir);
    free(c->user);
    free(c->stop_signal);
    kvs_done(&c->labels);
    free(c->os);
    free(c->architecture);
    free(c->os_version);
    *c = (struct image_config){0};
}

static int take_string(const json_t *j, const char *key, size_t max, char **ret, struct err *err)
{
    const char *s = NULL;
    if (j && json_opt_string(j, key, &s, err) < 0)
        return -1;
    if (s && strlen(s) > max)
        return err_set(err, ERR_INVALID, "'%s': longer than %zu bytes", key, max);
    *ret = xstrdup(s ? s : "");
    return 0;
}

static int take_strv(const json_t *j, const char *key, char ***ret, struct err *err)
{
    if (!j)
        return 0;
    if (json_opt_strv(j, key, CONFIG_STRINGS_MAX, ret, err) < 0)
        return -1;
    for (size_t i = 0; *ret && (*ret)[i]; i++)
        if (strlen((*ret)[i]) > CONFIG_STRING_MAX)
            return err_set(err, ERR_INVALID, "'%s': a string longer than %d bytes", key,
                           CONFIG_STRING_MAX);
    return 0;
}

/* A variable without a name is nothing a process can have; other runtimes pass over it as well. */
static void drop_bad_env(char **env)
{
    size_t to = 0;
    for (size_t i = 0; env && env[i]; i++) {
        char *eq = strchr(env[i], '=');
        if (eq && eq != env[i])
            env[to++] = env[i];
        else
            free(env[i]);
    }
    if (env)
        env[to] = NULL;
}

static int parse_diff_ids(const json_t *root, char ***ret, struct err *err)
{
    json_t *rootfs = NULL;
    const char *type = NULL;
    if (json_opt_object(root, "rootfs", &rootfs, err) < 0)
        return -1;
    if (!rootfs)
        return err_set(err, ERR_INVALID, "no rootfs");
    if (json_opt_string(rootfs, "type", &type, err) < 0 ||
        json_opt_strv(rootfs, "diff_ids", MANIFEST_LAYERS_MAX, ret, err) < 0)
        return -1;
    if (type && !str_eq(type, "layers"))
        return err_set(err, ERR_INVALID, "rootfs has type '%.40s'", type);
    for (size_t i = 0; *ret && (*ret)[i]; i++)
        if (!digest_is_valid((*ret)[i]))
            return err_set(err, ERR_INVALID, "diff_id %zu is not a sha256 digest", i);
    return 0;
}

static int parse_config(const json_t *root, struct image_config *c, char ***diff_ids,
                        struct err *err)
{
    json_t *j = NULL;
    if (!json_is_object(root))
        return err_set(err, ERR_INVALID, "not an object");
    if (json_opt_object(root, "config", &j, err) < 0 ||
        take_strv(j, "Entrypoint", &c->entrypoint, err) < 0 ||
        take_strv(j, "Cmd", &c->cmd, err) < 0 || take_strv(j, "Env", &c->env, err) < 0 ||
        take_string(j, "WorkingDir", PATH_MAX - 1, &c->working_dir, err) < 0 ||
        take_string(j, "User", 256, &c->user, err) < 0 ||
        take_string(j, "StopSignal", 32, &c->stop_signal, err) < 0 ||
        (j && json_opt_kvs(j, "Labels", CONFIG_STRINGS_MAX, &c->labels, err) < 0) ||
        take_string(root, "os", 64, &c->os, err) < 0 ||
        take_string(root, "architecture", 64, &c->architecture, err) < 0 ||
        take_string(root, "os.version", 256, &c->os_version, err) < 0)
        return -1;
    drop_bad_env(c->env);
    return parse_diff_ids(root, diff_ids, err);
}

int image_config_parse(const char *text, size_t len, struct image_config *ret, char ***ret_diff_ids,
                       struct err *err)
{
    struct image_config c = {0};
    char **diff_ids = NULL;
    autojson *j = json_parse(text, len, CONFIG_MAX_BYTES, "image config", err);
    if (!j)
        return -1;
    if (parse_config(j, &c, &diff_ids, err) < 0) {
        image_config_done(&c);
        strv_free(diff_ids);
        return err_wrap(err, "image config");
    }
    *ret = c;
    *ret_diff_ids = diff_ids;
    return 0;
}
