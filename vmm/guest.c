/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest - what an image declares about itself by the convention `com.urunc.unikernel.*`: in pod
 * annotations, manifest annotations, labels, or the file urunc.json. Whether a source holds plain
 * or base64 values is decided once for the source, by its type (or hypervisor): single paths are
 * ambiguous, "/unikernel/k" is valid base64.
 *
 * Everything here is chosen by whoever built the image. A value is accepted if it is a word of a
 * known set or matches a narrow grammar; the paths are paths in the image and nowhere else.
 */
#include <string.h>

#include "base/fs.h"
#include "base/json.h"
#include "base/strbuf.h"
#include "vmm/private.h"

#define SOURCE_KEYS_MAX 64

enum grammar {
    GRAMMAR_FAMILY,
    GRAMMAR_HYPERVISOR,
    GRAMMAR_WORD,
    GRAMMAR_PATH,
    GRAMMAR_TEXT,
    GRAMMAR_DEVICE,
    GRAMMAR_BOOL
};

static const struct field {
    const char *key; /* behind the prefix */
    enum grammar grammar;
    size_t offset;
} fields[] = {
    {"unikernelType", GRAMMAR_FAMILY, offsetof(struct guest, family)},
    {"unikernelVersion", GRAMMAR_WORD, offsetof(struct guest, version)},
    {"hypervisor", GRAMMAR_HYPERVISOR, offsetof(struct guest, hypervisor)},
    {"binary", GRAMMAR_PATH, offsetof(struct guest, binary)},
    {"cmdline", GRAMMAR_TEXT, offsetof(struct guest, cmdline)},
    {"initrd", GRAMMAR_PATH, offsetof(struct guest, initrd)},
    {"block", GRAMMAR_PATH, offsetof(struct guest, block)},
    {"blkMntPoint", GRAMMAR_PATH, offsetof(struct guest, block_mount)},
    {"solo5NetDev", GRAMMAR_DEVICE, offsetof(struct guest, net_device)},
    {"solo5BlkDev", GRAMMAR_DEVICE, offsetof(struct guest, block_device)},
    {"bootKernel", GRAMMAR_PATH, offsetof(struct guest, boot_kernel)},
    {"bootInitrd", GRAMMAR_PATH, offsetof(struct guest, boot_initrd)},
    {"mountRootfs", GRAMMAR_BOOL, offsetof(struct guest, mount_rootfs)},
};

static const char *const hypervisors[] = {
    "spt", "hvt", "qemu", "firecracker", "cloud-hypervisor", "hedge", "hyperlight-unikraft"};

void guest_free(struct guest *guest)
{
    if (!guest)
        return;
    free(guest->family);
    free(guest->version);
    free(guest->hypervisor);
    free(guest->binary);
    free(guest->cmdline);
    free(guest->initrd);
    free(guest->block);
    free(guest->block_mount);
    free(guest->net_device);
    free(guest->block_device);
    free(guest->boot_kernel);
    free(guest->boot_initrd);
    free(guest);
}

static bool hypervisor_is_known(const char *s)
{
    for (size_t i = 0; i < ARRAY_SIZE(hypervisors); i++)
        if (str_eq(s, hypervisors[i]))
            return true;
    return false;
}

static bool is_word_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
}

const char *guest_path_fault(const char *s)
{
    const char *part = s;

    if (strlen(s) > GUEST_VALUE_MAX_BYTES)
        return "is too long";
    if (s[0] == '-')
        return "begins with '-'";
    for (const char *p = s;; p++) {
        if (*p == '/' || *p == '\0') {
            if (p - part == 2 && part[0] == '.' && part[1] == '.')
                return "has a '..' in it";
            part = p + 1;
        } else if (!is_word_char(*p)) {
            return "has characters other than letters, digits, '.', '_', '-' and '/'";
        }
        if (*p == '\0')
            return NULL;
    }
}

const char *guest_word_fault(const char *s)
{
    if (strlen(s) > GUEST_VALUE_MAX_BYTES)
        return "is too long";
    for (; *s; s++)
        if (!is_word_char(*s) && !strchr("+:~", *s))
            return "has characters other than letters, digits and '._-+:~'";
    return NULL;
}

static const char *text_fault(const char *s)
{
    if (strlen(s) > GUEST_CMDLINE_MAX_BYTES)
        return "is too long";
    if (!str_is_utf8(s, strlen(s)))
        return "is not UTF-8";
    for (; *s; s++)
        if ((unsigned char)*s < ' ' || *s == 0x7f)
            return "has control characters";
    return NULL;
}

static const char *device_fault(const char *s)
{
    size_t len = strlen(s);

    for (; *s && is_word_char(*s) && !strchr("._-", *s); s++)
        ;
    return *s || len >= sizeof(((struct guest_device *)NULL)->name)
               ? "is not 1 to 67 letters and digits"
               : NULL;
}

/* Returns: why the value is not accepted, or NULL. */
static const char *value_fault(enum grammar grammar, const char *s)
{
    switch (grammar) {
    case GRAMMAR_FAMILY:
        return family_is_known(s) ? NULL : "is not a known type of unikernel";
    case GRAMMAR_HYPERVISOR:
        return hypervisor_is_known(s) ? NULL : "is not a known hypervisor";
    case GRAMMAR_PATH:
        return guest_path_fault(s);
    case GRAMMAR_WORD:
        return guest_word_fault(s);
    case GRAMMAR_TEXT:
        return text_fault(s);
    case GRAMMAR_DEVICE:
        return device_fault(s);
    case GRAMMAR_BOOL:
        return str_eq(s, "true") || str_eq(s, "false") || str_eq(s, "1") || str_eq(s, "0")
                   ? NULL
                   : "is neither true nor false";
    }
    return "has no grammar";
}

/* One place where an image may declare itself. */
struct source {
    const char *name; /* for errors */
    const struct kvs *values;
    bool encoded;
};

static const char *source_get(const struct source *source, const char *key)
{
    char full[64];
    const char *value;

    (void)snprintf(full, sizeof(full), "%s%s", GUEST_KEY_PREFIX, key);
    value = source->values ? kvs_get(source->values, full) : NULL;
    return value && *value ? value : NULL;
}

/* Returns: the plain text, owned by the caller, or NULL when it is no base64 of text. */
static char *decode(const char *value)
{
    size_t len = strlen(value);
    char *plain;
    long n;

    if (len > (size_t)2 * GUEST_CMDLINE_MAX_BYTES)
        return NULL;
    plain = xmalloc(len + 1);
    n = base64_decode(value, len, plain, len, NULL);
    if (n < 0 || memchr(plain, '\0', (size_t)n)) {
        free(plain);
        return NULL;
    }
    plain[n] = '\0';
    return plain;
}

static int detect_encoding(struct source *source, const char *key, bool (*known)(const char *),
                           bool *ret_found, struct err *err)
{
    const char *value = source_get(source, key);
    autofree char *plain = NULL;

    *ret_found = value != NULL;
    if (!value || known(value))
        return 0;
    plain = decode(value);
    source->encoded = plain && known(plain);
    if (source->encoded)
        return 0;
    return err_set(err, ERR_INVALID, "%s: %s%s '%.200s': is not known, neither plain nor as base64",
                   source->name, GUEST_KEY_PREFIX, key, value);
}

static int take_value(const struct source *source, const struct field *field, struct guest *guest,
                      struct err *err)
{
    const char *raw = source_get(source, field->key), *why;
    autofree char *plain = NULL;
    char *at = (char *)guest + field->offset;

    if (!raw)
        return 0;
    plain = source->encoded ? decode(raw) : xstrdup(raw);
    if (!plain)
        return err_set(err, ERR_INVALID, "%s: %s%s '%.200s': is not base64 like the other values",
                       source->name, GUEST_KEY_PREFIX, field->key, raw);
    why = value_fault(field->grammar, plain);
    if (why)
        return err_set(err, ERR_INVALID, "%s: %s%s '%.200s': %s", source->name, GUEST_KEY_PREFIX,
                       field->key, plain, why);
    if (field->grammar == GRAMMAR_BOOL) {
        *(bool *)at = *plain == 't' || *plain == '1';
        return 0;
    }
    free(*(char **)(void *)at);
    *(char **)(void *)at = TAKE_PTR(plain);
    return 0;
}

/* A source that names a kernel without a type and hypervisor: encoded, if all that it has reads as
 * base64 of values that may stand there. No plain path reads as base64 of another. */
static bool looks_encoded(const struct source *source)
{
    const char *binary = source_get(source, "binary");
    autofree char *path = binary ? decode(binary) : NULL;

    if (!path || path[0] != '/')
        return false;
    for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
        const char *raw = source_get(source, fields[i].key);
        autofree char *plain = raw ? decode(raw) : NULL;

        if (!raw)
            continue;
        if (!plain || value_fault(fields[i].grammar, plain))
            return false;
    }
    return true;
}

/* What would be lost silently if it were passed over. */
static int check_refused(const struct source *source, struct err *err)
{
    static const struct {
        const char *key, *why;
    } refused[] = {
        {"vAccel", "there is no vAccel here"},
        {"RPCAddress", "there is no vAccel here"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(refused); i++)
        if (source_get(source, refused[i].key))
            return err_set(err, ERR_UNSUPPORTED, "%s: %s%s: %s", source->name, GUEST_KEY_PREFIX,
                           refused[i].key, refused[i].why);
    return 0;
}

/* Take over what the source says, over what weaker ones said. */
static int take_source(struct source *source, struct guest *guest, bool *found, struct err *err)
{
    bool typed = false, any = false;

    if (detect_encoding(source, "unikernelType", family_is_known, &typed, err) < 0)
        return -1;
    if (!typed && detect_encoding(source, "hypervisor", hypervisor_is_known, &any, err) < 0)
        return -1;
    if (!typed && !any)
        source->encoded = looks_encoded(source);
    for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
        if (!source_get(source, fields[i].key))
            continue;
        *found = true;
        if (take_value(source, &fields[i], guest, err) < 0)
            return -1;
    }
    /* the older name; whatever does not read as "no" is a yes */
    if (!source_get(source, "mountRootfs") && source_get(source, "useDMBlock")) {
        autofree char *plain = source->encoded ? decode(source_get(source, "useDMBlock"))
                                               : xstrdup(source_get(source, "useDMBlock"));

        guest->mount_rootfs = !plain || (!str_eq(plain, "false") && !str_eq(plain, "0"));
    }
    return check_refused(source, err);
}

static int read_json(const struct guest_image *image, struct kvs *ret, struct err *err)
{
    struct err why = ERR_INIT;
    autofd int fd = image->open_file(image->arg, "/urunc.json", &why);
    autofree char *text = NULL;
    autojson *json = NULL;
    const char *key;
    json_t *value;
    size_t len;

    if (fd < 0 && why.code == ERR_NOT_FOUND)
        return 0;
    if (fd < 0) {
        if (err)
            *err = why;
        return -1;
    }
    if (fs_read_fd(fd, GUEST_JSON_MAX_BYTES, &text, &len, err) < 0)
        return err_wrap(err, "urunc.json");
    json = json_parse(text, len, GUEST_JSON_MAX_BYTES, "urunc.json", err);
    if (!json)
        return -1;
    if (!json_is_object(json) || json_object_size(json) > SOURCE_KEYS_MAX)
        return err_set(err, ERR_INVALID, "urunc.json: is not an object of at most %d members",
                       SOURCE_KEYS_MAX);
    json_object_foreach (json, key, value) {
        if (!json_is_string(value) || strlen(json_string_value(value)) != json_string_length(value))
            return err_set(err, ERR_INVALID, "urunc.json: '%s': is not a string", key);
        kvs_set(ret, key, json_string_value(value));
    }
    return 0;
}

void guest_fill_empty(struct guest *guest)
{
    for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
        char **at = (char **)(void *)((char *)guest + fields[i].offset);

        if (fields[i].grammar != GRAMMAR_BOOL && !*at)
            *at = xstrdup("");
    }
}

static int host_file(const char *key, const char *instead, char *path, char **in_image,
                     struct err *err)
{
    if (!path)
        return 0;
    if (*path != '/')
        return err_set(err, ERR_INVALID, "image: %s%s '%s': is not an absolute path",
                       GUEST_KEY_PREFIX, key, path);
    if (*in_image && **in_image)
        return err_set(err, ERR_INVALID,
                       "image: declares both %s%s '%s' and %s%s '%s': one of them has to go",
                       GUEST_KEY_PREFIX, key, path, GUEST_KEY_PREFIX, instead, *in_image);
    free(*in_image);
    *in_image = xasprintf(VMM_HOST_FILE "%s", path);
    return 0;
}

/* An image that is no unikernel by itself: a kernel of the node runs it, as a Linux guest with the
 * image's root file system unless told otherwise. */
static int take_host_files(const struct source *sources, size_t n, struct guest *guest,
                           struct err *err)
{
    bool mount_told = false;

    for (size_t i = 0; i < n; i++)
        mount_told = mount_told || source_get(&sources[i], "mountRootfs") ||
                     source_get(&sources[i], "useDMBlock");
    /* The first is the image's file: there nobody would look for it. */
    if (source_get(&sources[0], "bootKernel") || source_get(&sources[0], "bootInitrd"))
        return err_set(err, ERR_INVALID,
                       "%s: %sbootKernel: is taken from labels and annotations only",
                       sources[0].name, GUEST_KEY_PREFIX);
    if (guest->boot_initrd && !guest->boot_kernel)
        return err_set(err, ERR_INVALID, "image: declares %sbootInitrd, but no %sbootKernel",
                       GUEST_KEY_PREFIX, GUEST_KEY_PREFIX);
    if (!guest->boot_kernel)
        return 0;
    if (host_file("bootKernel", "binary", guest->boot_kernel, &guest->binary, err) < 0 ||
        host_file("bootInitrd", "initrd", guest->boot_initrd, &guest->initrd, err) < 0)
        return -1;
    if (!guest->family)
        guest->family = xstrdup("linux");
    if (!mount_told)
        guest->mount_rootfs = !guest->block;
    return 0;
}

int guest_take_keys(const struct guest_image *image, struct guest *guest, bool *found,
                    struct err *err)
{
    struct kvs file = {NULL, 0};
    struct source sources[] = {{"urunc.json", &file, false},
                               {"image label", image->labels, false},
                               {"manifest annotation", image->annotations, false},
                               {"pod annotation", image->pod_annotations, false}};
    int r = image->open_file ? read_json(image, &file, err) : 0;

    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(sources); i++)
        r = take_source(&sources[i], guest, found, err);
    if (r == 0)
        r = take_host_files(sources, ARRAY_SIZE(sources), guest, err);
    kvs_done(&file);
    return r;
}
