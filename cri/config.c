/* SPDX-License-Identifier: Apache-2.0 */
/* config - see the header. The tables are concatenated here, so a key that no folder knows is an
 * error. */
#include "cri/config.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/strbuf.h"

const struct option server_options[] = {
    {"server.socket", OPTION_PATH, offsetof(struct server_config, socket),
     "/run/unicri/unicri.sock", 0, 0, "the unix socket of the CRI (mode 0600, root only)"},
    {"server.root_dir", OPTION_PATH, offsetof(struct server_config, root_dir), "/var/lib/unicri", 0,
     0, "durable state: the database, images, layers"},
    {"server.run_dir", OPTION_PATH, offsetof(struct server_config, run_dir), "/run/unicri", 0, 0,
     "state of this boot: namespaces, monitors, root filesystems"},
    {"server.log_level", OPTION_STRING, offsetof(struct server_config, log_level), "info", 0, 0,
     "error, warn, info or debug; SIGHUP reads it again"},
    {"server.max_connections", OPTION_INT, offsetof(struct server_config, max_connections), "4096",
     16, 65536, "connections at once; clients rarely close theirs"},
    {"server.max_workers", OPTION_INT, offsetof(struct server_config, max_workers), "256", 4, 4096,
     "RPCs at once; further ones wait"},
    {"server.oom_score_adj", OPTION_INT, offsetof(struct server_config, oom_score_adj), "-999",
     -1000, 1000, "of the daemon itself; a host that refuses it is not an error"},
    {"server.stop_patience", OPTION_SECONDS, offsetof(struct server_config, stop_patience), "5", 0,
     3600, "how long SIGTERM waits for RPCs that still run"},
    {"server.reply_patience", OPTION_SECONDS, offsetof(struct server_config, reply_patience), "30",
     1, 3600, "how long a client may leave what it is sent unread; then its call ends"},
    {"metrics.address", OPTION_STRING, offsetof(struct server_config, metrics_address), "", 0, 0,
     "HTTP with /metrics (Prometheus) and /healthz on a loopback address, as in "
     "\"127.0.0.1:9730\"; empty: none"},
};
const size_t server_options_n = ARRAY_SIZE(server_options);

#define TABLES_N 6

static void tables_of(struct config *config, struct option_table tables[TABLES_N])
{
    tables[0] = (struct option_table){server_options, server_options_n, &config->server};
    tables[1] = (struct option_table){imagestore_options, imagestore_options_n, &config->images};
    tables[2] = (struct option_table){cni_options, cni_options_n, &config->cni};
    tables[3] = (struct option_table){vmm_options, vmm_options_n, &config->vmm};
    tables[4] = (struct option_table){sandbox_options, sandbox_options_n, &config->sandbox};
    tables[5] = (struct option_table){stream_options, stream_options_n, &config->stream};
}

static int apply_text(struct config *config, const char *text, size_t len, const char *name,
                      struct err *err)
{
    struct option_table tables[TABLES_N];
    struct toml_doc *doc = toml_parse(text, len, name, err);

    if (!doc)
        return -1;
    tables_of(config, tables);
    int result = options_load(tables, TABLES_N, doc, err);
    toml_free(doc);
    return result;
}

static int apply_file(struct config *config, const char *file, struct err *err)
{
    autofree char *text = NULL;
    size_t len;

    /* NOLINTNEXTLINE(bugprone-implicit-widening-of-multiplication-result): a small constant */
    if (fs_read_file(AT_FDCWD, file, TOML_FILE_MAX_BYTES, &text, &len, err) < 0)
        return -1;
    return apply_text(config, text, len, file, err);
}

static int is_toml(const struct dirent *entry)
{
    return entry->d_name[0] != '.' && str_has_suffix(entry->d_name, ".toml");
}

static void free_names(struct dirent **names, int n)
{
    for (int i = 0; i < n; i++)
        free(names[i]);
    free(names);
}

/* config.d/ of the directory of `file`, in the order of names; missing is fine. */
static int apply_dir(struct config *config, const char *file, struct err *err)
{
    const char *slash = strrchr(file, '/');
    autofree char *dir =
        slash ? xasprintf("%.*s/config.d", (int)(slash - file), file) : xstrdup("config.d");
    struct dirent **names = NULL;
    int result = 0;

    int n = scandir(dir, &names, is_toml, alphasort);
    if (n < 0)
        return 0;
    if (n > CONFIG_FILES_MAX)
        result = err_set(err, ERR_INVALID, "'%s': more than %d files", dir, CONFIG_FILES_MAX);
    for (int i = 0; i < n && result == 0; i++) {
        autofree char *path = path_join(dir, names[i]->d_name);
        result = apply_file(config, path, err);
    }
    free_names(names, n);
    return result;
}

static const struct option *find_option(struct config *config, const char *key)
{
    struct option_table tables[TABLES_N];

    tables_of(config, tables);
    for (size_t t = 0; t < TABLES_N; t++)
        for (size_t i = 0; i < tables[t].n; i++)
            if (str_eq(tables[t].options[i].key, key))
                return &tables[t].options[i];
    return NULL;
}

/* A TOML basic string. */
static void add_quoted(struct strbuf *text, const char *value)
{
    strbuf_addc(text, '"');
    for (; *value; value++) {
        if (*value == '"' || *value == '\\')
            strbuf_addc(text, '\\');
        if ((unsigned char)*value < 0x20 || *value == 0x7f)
            strbuf_addf(text, "\\u%04x", (unsigned char)*value);
        else
            strbuf_addc(text, *value);
    }
    strbuf_addc(text, '"');
}

/* --set KEY=VALUE: a line of TOML, but strings need no quotes. */
static int apply_set(struct config *config, const char *set, struct err *err)
{
    const char *equals = strchr(set, '=');
    autostrbuf text = STRBUF_INIT;

    if (!equals || equals == set)
        return err_set(err, ERR_INVALID, "--set '%s': not KEY=VALUE", set);
    autofree char *key = xstrndup(set, (size_t)(equals - set));
    const char *value = equals + 1;
    const struct option *option = find_option(config, key);
    bool is_string =
        option && (option->type == OPTION_STRING || option->type == OPTION_PATH ||
                   (option->type == OPTION_BYTES && value[strspn(value, "0123456789")]));
    strbuf_addf(&text, "%s = ", key);
    if (is_string && *value != '"')
        add_quoted(&text, value);
    else
        strbuf_adds(&text, value);
    strbuf_addc(&text, '\n');
    autofree char *name = xasprintf("--set %s", key);
    return apply_text(config, text.s, text.len, name, err);
}

static int check(const struct config *config, struct err *err)
{
    enum log_level level;

    if (log_level_parse(config->server.log_level, &level, err) < 0)
        return err_wrap(err, "server.log_level");
    if (str_eq(config->server.root_dir, config->server.run_dir))
        return err_set(err, ERR_INVALID, "server.root_dir and server.run_dir are both '%s'",
                       config->server.root_dir);
    return 0;
}

static int load(struct config *config, const char *file, char *const *sets, struct err *err)
{
    struct option_table tables[TABLES_N];

    tables_of(config, tables);
    if (options_defaults(tables, TABLES_N, err) < 0)
        return err_wrap(err, "built-in configuration");
    if (file || access(CONFIG_FILE_DEFAULT, F_OK) == 0) {
        if (apply_file(config, file ? file : CONFIG_FILE_DEFAULT, err) < 0)
            return -1;
    }
    if (apply_dir(config, file ? file : CONFIG_FILE_DEFAULT, err) < 0)
        return -1;
    for (; sets && *sets; sets++)
        if (apply_set(config, *sets, err) < 0)
            return -1;
    return check(config, err);
}

struct config *config_load(const char *file, char *const *sets, struct err *err)
{
    struct config *config = XNEW(struct config);

    if (load(config, file, sets, err) < 0) {
        config_free(config);
        return NULL;
    }
    config->sandbox.root_dir = xstrdup(config->server.root_dir);
    config->sandbox.run_dir = xstrdup(config->server.run_dir);
    return config;
}

void config_free(struct config *config)
{
    struct option_table tables[TABLES_N];

    if (!config)
        return;
    tables_of(config, tables);
    options_done(tables, TABLES_N);
    free(config->sandbox.root_dir);
    free(config->sandbox.run_dir);
    free(config);
}

void config_print(const struct config *config, FILE *out)
{
    struct option_table tables[TABLES_N];
    union {
        const struct config *in;
        struct config *out;
    } same = {.in = config}; /* tables are for loading, too; printing changes nothing */

    tables_of(same.out, tables);
    options_print(tables, TABLES_N, out);
}
