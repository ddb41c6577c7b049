/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cni - the handle: the watched directory, the list in use, and whether pods can get a network.
 *
 * Readers see memory only. Files are read, and plugins asked for STATUS, by jobs on the loop's
 * pool: one look at the directory for any number of events, and a check when somebody asks for the
 * status and the last one is old, so an idle node has no timer for it.
 *
 * Invariant: a list once taken stays until its file is gone or another valid one comes before it.
 */
#include "cni/cni.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/strbuf.h"
#include "cni/cni_private.h"

#define CHECK_EVERY     (5 * NSEC_PER_SEC)
#define CHECK_TIMEOUT   (10 * NSEC_PER_SEC)
#define STATUS_FAILURES 3 /* so many in a row make a node not ready */

#define AT(field) offsetof(struct cni_config, field)
const struct option cni_options[] = {
    {"network.conf_dir", OPTION_PATH, AT(conf_dir), "/etc/cni/net.d", 0, 0,
     "directory of network configurations; the first valid one by name is used"},
    {"network.bin_dirs", OPTION_STRV, AT(bin_dirs), "/opt/cni/bin, /usr/lib/cni", 0, 0,
     "directories of network plugins, in the order of search"},
    {"network.cache_dir", OPTION_PATH, AT(cache_dir), "", 0, 0,
     "for plugins that keep something (CNI_CACHE_DIR); empty: below the run directory"},
    {"network.conf_template", OPTION_PATH, AT(conf_template), "", 0, 0,
     "written to conf_dir with {{.PodCIDR}}, {{.PodRanges}} and {{.PodRoutes}} filled in; empty: "
     "none"},
    {"network.timeout", OPTION_SECONDS, AT(timeout), "60", 1, 3600, "for one call of one plugin"},
    {"network.guest_source_check", OPTION_BOOL, AT(source_check), "true", 0, 0,
     "guests send from the MAC and the addresses of their pod only"},
    {"network.guest_metadata", OPTION_BOOL, AT(metadata), "false", 0, 0,
     "guests may ask the cloud's metadata service (169.254.169.254)"},
};
const size_t cni_options_n = ARRAY_SIZE(cni_options);

struct metric cni_metric_add = {.name = "unicri_cni_seconds",
                                .help = "Time of a chain of network plugins",
                                .label = "command=\"ADD\"",
                                .type = METRIC_HISTOGRAM};
struct metric cni_metric_del = {.name = "unicri_cni_seconds",
                                .help = "Time of a chain of network plugins",
                                .label = "command=\"DEL\"",
                                .type = METRIC_HISTOGRAM};
struct metric cni_metric_add_failed = {.name = "unicri_cni_failures_total",
                                       .help = "Chains of network plugins that failed",
                                       .label = "command=\"ADD\"",
                                       .type = METRIC_COUNTER};
struct metric cni_metric_del_failed = {.name = "unicri_cni_failures_total",
                                       .help = "Chains of network plugins that failed",
                                       .label = "command=\"DEL\"",
                                       .type = METRIC_COUNTER};
struct metric *const cni_metrics[] = {&cni_metric_add, &cni_metric_del, &cni_metric_add_failed,
                                      &cni_metric_del_failed, NULL};

char *cni_current_list(struct cni *cni)
{
    char *text;

    mutex_lock(&cni->lock);
    text = cni->list ? json_text(cni->list->json) : NULL;
    mutex_unlock(&cni->lock);
    return text;
}

static void replace(char **field, char *value)
{
    free(*field);
    *field = value;
}

/* -------------------------------------------------------------- check */

/* Look at the plugins of the list in use; with `ask` their STATUS too, which blocks on them. */
static void check(struct cni *cni, bool ask)
{
    autofree char *text = cni_current_list(cni);
    struct err missing = ERR_INIT, status = ERR_INIT;
    autoconflist *list = NULL;

    if (text)
        list = conflist_parse(text, strlen(text), "network configuration", &missing);
    if (list && cni_list_installed(cni, list, &missing) == 0 && ask &&
        cni_list_status(cni, list, deadline_in(CHECK_TIMEOUT), &status) < 0)
        log_debug("network '%s': %s", list->name, status.msg);
    mutex_lock(&cni->lock);
    replace(&cni->missing, missing.code ? xstrdup(missing.msg) : NULL);
    if (ask) {
        replace(&cni->status_why, status.code ? xstrdup(status.msg) : NULL);
        cni->status_failures = status.code ? cni->status_failures + 1 : 0;
        cni->checked = clock_mono();
        cni->checking = false;
    }
    mutex_unlock(&cni->lock);
}

void cni_refresh(struct cni *cni)
{
    check(cni, true);
}

static void check_job(void *arg)
{
    cni_refresh(arg);
}

/* NEEDS the lock. */
static bool check_is_due(struct cni *cni)
{
    if (!cni->loop || !cni->list || cni->checking ||
        (cni->checked && clock_mono() - cni->checked < CHECK_EVERY))
        return false;
    cni->checking = true;
    return true;
}

bool cni_status(struct cni *cni, char **ret_why)
{
    char *why = NULL;
    bool due;

    mutex_lock(&cni->lock);
    due = check_is_due(cni);
    if (!cni->list)
        why = xasprintf("no network configuration in '%s'%s%s", cni->config->conf_dir,
                        cni->complaint ? ": " : "", cni->complaint ? cni->complaint : "");
    else if (cni->missing)
        why = xasprintf("network '%s': %s", cni->list->name, cni->missing);
    else if (cni->status_failures >= STATUS_FAILURES)
        why = xasprintf("network '%s': %s", cni->list->name, cni->status_why);
    mutex_unlock(&cni->lock);
    if (due)
        loop_work(cni->loop, check_job, cni);
    if (ret_why)
        *ret_why = why;
    else
        free(why);
    return !why;
}

/* ------------------------------------------------------------- reload */

/* The complaints of a look, once for as long as they stay the same. */
static void log_complaint(const char *before, const char *now, char *const *skipped)
{
    if (!now || (before && str_eq(before, now)))
        return;
    if (!skipped || !*skipped)
        log_warn("network configuration: %s", now);
    for (; skipped && *skipped; skipped++)
        log_warn("network configuration: ignoring %s", *skipped);
}

/* Take over what a scan found. Returns: the former complaint, owned by the caller. */
static char *take_scan(struct cni *cni, struct conflist_scan *scan, const char *complaint,
                       bool *ret_changed)
{
    char *before;

    mutex_lock(&cni->lock);
    before = TAKE_PTR(cni->complaint);
    cni->complaint = xstrdup_null(complaint);
    *ret_changed = !scan->kept && (cni->list || scan->list) &&
                   (!cni->list || !scan->list || !json_equal(cni->list->json, scan->list->json));
    if (*ret_changed) {
        conflist_free(cni->list);
        cni->list = TAKE_PTR(scan->list);
        cni->status_failures = 0;
        replace(&cni->status_why, NULL);
        replace(&cni->missing, NULL);
        cni->checked = 0;
    }
    if (!scan->kept)
        replace(&cni->file, TAKE_PTR(scan->file));
    mutex_unlock(&cni->lock);
    return before;
}

void cni_reload(struct cni *cni)
{
    struct conflist_scan scan = {0};
    struct err err = ERR_INIT;
    autofree char *current = NULL;
    autofree char *before = NULL;
    autofree char *network = NULL;
    const char *complaint = NULL;
    bool changed;

    mutex_lock(&cni->lock);
    current = xstrdup_null(cni->file);
    mutex_unlock(&cni->lock);
    if (conflist_scan(cni->config->conf_dir, current, &scan, &err) < 0)
        complaint = err.msg;
    else if (scan.skipped)
        complaint = scan.skipped[0];
    before = take_scan(cni, &scan, complaint, &changed);
    log_complaint(before, complaint, scan.skipped);
    conflist_scan_done(&scan);
    if (!changed)
        return;
    mutex_lock(&cni->lock);
    if (cni->list)
        network =
            xasprintf("network '%s' (CNI %s, %zu plugins) from '%s'", cni->list->name,
                      cni->list->version_name, json_array_size(cni->list->plugins), cni->file);
    mutex_unlock(&cni->lock);
    log_info("network configuration: %s", network ? network : "none");
    check(cni, false);
}

static void reload_job(void *arg)
{
    struct cni *cni = arg;
    bool again;

    do {
        cni_reload(cni);
        mutex_lock(&cni->lock);
        again = cni->reload_again;
        cni->reload_again = false;
        cni->reloading = again;
        mutex_unlock(&cni->lock);
    } while (again);
}

static void on_change(void *arg, const char *name)
{
    struct cni *cni = arg;
    bool start;

    (void)name;
    mutex_lock(&cni->lock);
    start = !cni->reloading;
    cni->reloading = true;
    cni->reload_again = !start;
    mutex_unlock(&cni->lock);
    if (start)
        loop_work(cni->loop, reload_job, cni);
}

struct cni *cni_open(const struct cni_config *config, const char *run_dir, struct loop *loop,
                     struct err *err)
{
    struct cni *cni = XNEW(struct cni);
    struct err why = ERR_INIT;

    cni->config = config;
    cni->loop = loop;
    cni->cache_dir = *config->cache_dir ? xstrdup(config->cache_dir) : path_join(run_dir, "cni");
    mutex_init(&cni->lock);
    if (fs_mkdirs(cni->cache_dir, 0700, err) < 0) {
        cni_close(cni);
        return NULL;
    }
    cni_reload(cni);
    if (loop && loop_watch_dir(loop, config->conf_dir, on_change, cni, &why) < 0)
        log_warn("network configuration: changes in '%s' will not be noticed: %s", config->conf_dir,
                 why.msg);
    return cni;
}

void cni_close(struct cni *cni)
{
    if (!cni)
        return;
    conflist_free(cni->list);
    free(cni->cache_dir);
    free(cni->file);
    free(cni->complaint);
    free(cni->missing);
    free(cni->status_why);
    mutex_done(&cni->lock);
    free(cni);
}

struct guest_link_options cni_link_options(const struct cni *cni)
{
    return (struct guest_link_options){.any_source = !cni->config->source_check,
                                       .metadata = cni->config->metadata};
}
