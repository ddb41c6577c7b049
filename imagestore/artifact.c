/* SPDX-License-Identifier: Apache-2.0 */
/* artifact - see artifact.h. */
#include "imagestore/artifact.h"

#include <string.h>

#include "base/fs.h"
#include "base/json.h"
#include "base/strbuf.h"

#define ID_DOMAIN "unicri artifact file"

static const char *given_name(const struct descriptor *d)
{
    static const char *const keys[] = {"org.opencontainers.image.title", "org.cncf.model.filepath"};
    const char *name = NULL;

    for (size_t i = 0; i < ARRAY_SIZE(keys) && !name; i++)
        name = kvs_get(&d->annotations, keys[i]);
    return name && *name ? name : NULL;
}

/* "/a//./b" -> "a/b": what is left is a place below the volume's root. */
static char *clean_name(const char *name, struct err *err)
{
    autofree char *copy = xstrdup(name);
    autostrbuf out = STRBUF_INIT;
    char *save = NULL;

    for (char *t = strtok_r(copy, "/", &save); t; t = strtok_r(NULL, "/", &save)) {
        if (str_eq(t, "."))
            continue;
        if (!name_is_safe(t)) {
            (void)err_set(err, ERR_INVALID, "artifact: file name '%.200s': bad component '%.100s'",
                          name, t);
            return NULL;
        }
        strbuf_addf(&out, "%s%s", out.len ? "/" : "", t);
    }
    if (!out.len || out.len > ARTIFACT_NAME_MAX || name[strlen(name) - 1] == '/') {
        (void)err_set(err, ERR_INVALID,
                      "artifact: file name '%.200s': not the name of a file, or too long", name);
        return NULL;
    }
    return strbuf_detach(&out);
}

/* No diff_id of a layer is one of these: nobody finds a tar with that digest. */
static char *file_id(const struct descriptor *d)
{
    autofree char *text = xasprintf("%s\n%s\n%s", ID_DOMAIN, d->digest, d->raw_name);
    char id[DIGEST_LEN + 1];

    digest_of(text, strlen(text), id);
    return xstrdup(id);
}

int artifact_plan(struct manifest *m, char ***ret_ids, struct err *err)
{
    autostrv char **ids = NULL;
    size_t kept = 0;

    for (size_t i = 0; i < m->n_layers; i++) {
        struct descriptor *d = &m->layers[i];
        const char *name = given_name(d);

        if (!name) {
            descriptor_done(d);
            continue;
        }
        d->raw_name = clean_name(name, err);
        if (!d->raw_name)
            return -1;
        strv_take(&ids, file_id(d));
        if (kept != i) {
            m->layers[kept] = *d;
            *d = (struct descriptor){0};
        }
        kept++;
    }
    m->n_layers = kept;
    if (!kept)
        return err_set(err, ERR_UNSUPPORTED,
                       "artifact of type '%.100s': none of its blobs has a name "
                       "(org.opencontainers.image.title): it is no container image, nor can a "
                       "volume be made of it",
                       m->artifact_type);
    *ret_ids = TAKE_PTR(ids);
    return 0;
}

char *artifact_config(const char *type)
{
    autojson *o = json_object();
    json_t *rootfs = json_object();

    json_put_string(o, "artifactType", type);
    json_put_string(rootfs, "type", "layers");
    json_put(o, "rootfs", rootfs);
    return json_text(o);
}
