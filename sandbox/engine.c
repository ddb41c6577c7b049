/* SPDX-License-Identifier: Apache-2.0 */
/* engine - see engine.h: opening and closing, background work, small helpers. What it hands out
 * (jail uids, the reserve on disk) is in engine_supply.c. */
#include "sandbox/engine.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#include "base/fs.h"
#include "base/json.h"
#include "base/log.h"
#include "base/strbuf.h"
#include "sandbox/container.h"
#include "sandbox/exits.h"
#include "sandbox/handlers.h"
#include "sandbox/monitor_client.h"
#include "sandbox/network.h"
#include "sandbox/recover.h"
#include "sandbox/stats.h"

/* ------------------------------------------------------------------ background */

/*
 * The queue is ours and the loop is only asked to drain it, so that what has not begun when the
 * daemon stops is neither lost nor leaked: engine_close() runs it itself.
 */
struct background {
    void (*f)(struct engine *engine, void *arg);
    void *arg;
    STAILQ_ENTRY(background) link;
};

static bool background_run_one(struct engine *engine)
{
    struct background *b;

    mutex_lock(&engine->lock);
    b = STAILQ_FIRST(&engine->queue);
    if (b) {
        STAILQ_REMOVE_HEAD(&engine->queue, link);
        engine->background++;
    }
    mutex_unlock(&engine->lock);
    if (!b)
        return false;
    b->f(engine, b->arg);
    free(b);
    mutex_lock(&engine->lock);
    engine->background--;
    cond_broadcast(&engine->changed);
    mutex_unlock(&engine->lock);
    return true;
}

static void background_drain(void *arg)
{
    (void)background_run_one(arg);
}

bool engine_background(struct engine *engine, void (*f)(struct engine *engine, void *arg),
                       void *arg)
{
    struct background *b = XNEW(struct background);
    bool closing;

    *b = (struct background){.f = f, .arg = arg};
    mutex_lock(&engine->lock);
    closing = engine->closing;
    if (!closing)
        STAILQ_INSERT_TAIL(&engine->queue, b, link);
    mutex_unlock(&engine->lock);
    if (closing) {
        free(b);
        return false;
    }
    loop_work(engine->loop, background_drain, engine);
    return true;
}

/* --------------------------------------------------------- monitors that end */

struct ending {
    struct process monitor;
    deadline_t patience;
    STAILQ_ENTRY(ending) link;
};

static void reap_later(struct engine *engine, const struct process *child, deadline_t patience)
{
    struct ending *e = XNEW(struct ending);

    *e = (struct ending){.monitor = *child, .patience = patience};
    mutex_lock(&engine->lock);
    STAILQ_INSERT_TAIL(&engine->ending, e, link);
    mutex_unlock(&engine->lock);
}

void engine_reap_later(struct engine *engine, const struct process *monitor)
{
    reap_later(engine, monitor, deadline_in(KILL_TIMEOUT));
}

void engine_reap_at_its_end(struct engine *engine, const struct process *child)
{
    reap_later(engine, child, DEADLINE_NEVER);
}

/* One look at each. With `all`, what has not ended is let go: the daemon ends and pid 1 will reap
 * it. */
static void reap_ended(struct engine *engine, bool all)
{
    struct ending_head list = STAILQ_HEAD_INITIALIZER(list);
    struct ending *e;

    mutex_lock(&engine->lock);
    STAILQ_CONCAT(&list, &engine->ending);
    mutex_unlock(&engine->lock);
    while ((e = STAILQ_FIRST(&list))) {
        STAILQ_REMOVE_HEAD(&list, link);
        if (monitor_reap(&e->monitor, 0) || all) {
            free(e);
            continue;
        }
        if (deadline_passed(e->patience))
            monitor_kill(&e->monitor, true, deadline_in(NSEC_PER_SEC));
        mutex_lock(&engine->lock);
        STAILQ_INSERT_TAIL(&engine->ending, e, link);
        mutex_unlock(&engine->lock);
    }
}

static void tick_work(struct engine *engine, void *arg)
{
    (void)arg;
    reap_ended(engine, false);
    exits_scan(engine);
    exits_reconcile(engine);
    debts_work(engine);
}

static void on_tick(void *arg)
{
    (void)engine_background(arg, tick_work, NULL);
}

static void on_child_signal(void *arg, int signo)
{
    (void)signo;
    exits_child_ended(arg);
}

/* ------------------------------------------------------------ open and close */

/* A program named in the configuration, or the one beside the daemon. */
static char *find_program(const char *configured, const char *name, struct err *err)
{
    char self[4096];
    autofree char *path = NULL;
    ssize_t n;

    if (configured && *configured) {
        path = program_find(configured);
    } else {
        n = readlink("/proc/self/exe", self, sizeof(self) - 1);
        if (n < 0) {
            (void)err_sys(err, "readlink '/proc/self/exe'");
            return NULL;
        }
        self[n] = '\0';

        char *slash = strrchr(self, '/');

        path = xasprintf("%.*s/%s", slash ? (int)(slash - self) : 0, self, name);
    }
    if (!*path || access(path, X_OK) < 0) {
        (void)err_set(err, ERR_NOT_FOUND, "program '%s' is not installed",
                      configured && *configured ? configured : name);
        return NULL;
    }
    return TAKE_PTR(path);
}

static char *beside(const char *path, const char *name)
{
    const char *slash = strrchr(path, '/');

    return xasprintf("%.*s/%s", (int)(slash - path), path, name);
}

static int make_dirs(struct engine *engine, struct err *err)
{
    const struct sandbox_config *config = engine->config;
    const struct {
        char **path;
        const char *base, *name;
        mode_t mode;
    } dirs[] = {
        {&engine->pods_dir, config->run_dir, "pods", 0711},
        {&engine->netns_dir, config->run_dir, "netns", 0711},
        {&engine->userns_dir, config->run_dir, "userns", 0711},
        {&engine->containers_dir, config->run_dir, "containers", 0711},
        {&engine->exits_dir, config->run_dir, "exits", 0700},
        {&engine->runc_dir, config->run_dir, "runc", 0700},
        {&engine->rootfs_dir, config->root_dir, "containers", 0711},
    };

    for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
        *dirs[i].path = path_join(dirs[i].base, dirs[i].name);
        if (fs_mkdirs(*dirs[i].path, dirs[i].mode, err) < 0)
            return -1;
    }
    engine->reserve_file = path_join(config->root_dir, "reserve");
    engine->exits_fd = open(engine->exits_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return engine->exits_fd < 0 ? err_sys(err, "open '%s'", engine->exits_dir) : 0;
}

/* A namespace per VMM would cost each start and stop milliseconds; this one has nothing in it but
 * `lo`. */
static int make_vmm_netns(struct engine *engine, struct err *err)
{
    autofree char *path = path_join(engine->netns_dir, "vmm");

    if (netns_create(path, err) < 0)
        return -1;
    engine->vmm_netns_fd = netns_open(path, err);
    return engine->vmm_netns_fd < 0 ? -1 : 0;
}

/* Daemons with directories of their own may still have been given one cgroup, and each would kill
 * what the other runs. */
static int lock_cgroup_root(struct engine *engine, struct err *err)
{
    struct err why = ERR_INIT;

    if (cgroup_create(&engine->cgroups, engine->cgroup_root, NULL, err) < 0)
        return -1;
    if (cgroup_show(&engine->cgroups, engine->cgroup_root, &why) < 0)
        log_warn("runtime.cgroup_root: %s", why.msg);
    why = ERR_INIT;
    engine->cgroup_lock_fd = cgroup_lock(&engine->cgroups, engine->cgroup_root, &why);
    if (engine->cgroup_lock_fd >= 0)
        return 0;
    if (why.code == ERR_STATE)
        return err_set(err, ERR_STATE, "runtime.cgroup_root '%s': another daemon uses this cgroup",
                       engine->config->cgroup_root);
    return err_set(err, why.code, "runtime.cgroup_root: %s", why.msg);
}

/* With systemd the option's default stands for a slice of that name. */
static char *cgroup_root_path(const struct cgroups *cgroups, const char *option, struct err *err)
{
    char *path = cgroup_parent_path(
        cgroups, cgroups->systemd && str_eq(option, "/unicri") ? "unicri.slice" : option, err);

    if (!path)
        (void)err_wrap(err, "runtime.cgroup_root");
    return path;
}

static int set_up(struct engine *engine, struct err *err)
{
    const struct sandbox_config *config = engine->config;

    engine->monitor_program = find_program(config->monitor_program, "unicri-monitor", err);
    if (!engine->monitor_program || cgroups_open(config->cgroup_driver, &engine->cgroups, err) < 0)
        return -1;
    engine->init_program = beside(engine->monitor_program, "unicri-init");
    engine->exec_program = beside(engine->monitor_program, "unicri-exec");
    engine->freeze_program = beside(engine->monitor_program, "unicri-freeze");
    engine->debug_program = beside(engine->monitor_program, "unicri-debug");
    engine->handlers = handlers_open(config, err);
    engine->cgroup_root = cgroup_root_path(&engine->cgroups, config->cgroup_root, err);
    if (!engine->handlers || !engine->cgroup_root || lock_cgroup_root(engine, err) < 0 ||
        make_dirs(engine, err) < 0)
        return -1;
    if (make_vmm_netns(engine, err) < 0)
        return -1;
    vmm_jail_uids(engine->vmm, &engine->uid_first, &engine->uid_count);
    engine->uids = xcalloc(engine->uid_count + 1, 1);
    engine->reserve_released = true; /* not made yet */
    engine_reserve(engine);
    return 0;
}

struct engine *engine_open(const struct sandbox_config *config, struct db *db, struct cni *cni,
                           struct vmm *vmm, struct imagestore *images, struct loop *loop,
                           struct err *err)
{
    struct engine *engine = XNEW(struct engine);

    *engine = (struct engine){.config = config,
                              .db = db,
                              .cni = cni,
                              .vmm = vmm,
                              .images = images,
                              .loop = loop,
                              .exits_fd = -1,
                              .cgroup_lock_fd = -1,
                              .vmm_netns_fd = -1};
    mutex_init(&engine->lock);
    cond_init(&engine->changed);
    TAILQ_INIT(&engine->pods);
    TAILQ_INIT(&engine->containers);
    listing_init(&engine->listed_pods);
    listing_init(&engine->listed_containers);
    STAILQ_INIT(&engine->queue);
    STAILQ_INIT(&engine->ending);
    engine->jobs = jobs_new();
    engine->debts = debts_new();
    if (set_up(engine, err) < 0 || recover(engine, err) < 0 || exits_watch(engine, err) < 0 ||
        loop_signal(loop, SIGCHLD, on_child_signal, engine, err) < 0) {
        (void)err_wrap(err, "pods and containers");
        engine_close(engine);
        return NULL;
    }
    engine->stats = stats_open(engine);
    loop_every(loop, ENGINE_TICK, ENGINE_TICK, on_tick, engine);
    (void)engine_background(engine, tick_work, NULL);
    return engine;
}

/* Objects hold references to each other; the tables' own are the last. */
static void drop_tables(struct engine *engine)
{
    struct container **containers;
    struct pod **pods;
    size_t n = containers_of(engine, NULL, &containers);

    for (size_t i = 0; i < n; i++)
        container_list_remove(containers[i]);
    containers_free(containers, n);
    n = pods_all(engine, &pods);
    for (size_t i = 0; i < n; i++)
        pod_list_remove(pods[i]);
    pods_free(pods, n);
    idmap_done(&engine->containers_by_id);
    idmap_done(&engine->pods_by_id);
    listing_done(&engine->listed_containers);
    listing_done(&engine->listed_pods);
}

void engine_close(struct engine *engine)
{
    if (!engine)
        return;
    mutex_lock(&engine->lock);
    engine->closing = true;
    mutex_unlock(&engine->lock);
    while (background_run_one(engine))
        ;
    mutex_lock(&engine->lock);
    while (engine->background)
        (void)cond_wait(&engine->changed, &engine->lock, DEADLINE_NEVER);
    mutex_unlock(&engine->lock);
    reap_ended(engine, true);
    drop_tables(engine);
    jobs_free(engine->jobs);
    debts_free(engine->debts);
    stats_free(engine->stats);
    handlers_free(engine->handlers);
    cgroups_done(&engine->cgroups);
    (void)close_fd(engine->exits_fd);
    (void)close_fd(engine->cgroup_lock_fd);
    (void)close_fd(engine->vmm_netns_fd);
    free(engine->uids);
    free(engine->cgroup_root);
    free(engine->monitor_program);
    free(engine->init_program);
    free(engine->exec_program);
    free(engine->freeze_program);
    free(engine->debug_program);
    free(engine->pods_dir);
    free(engine->netns_dir);
    free(engine->userns_dir);
    free(engine->containers_dir);
    free(engine->exits_dir);
    free(engine->runc_dir);
    free(engine->rootfs_dir);
    free(engine->reserve_file);
    cond_done(&engine->changed);
    mutex_done(&engine->lock);
    free(engine);
}

bool engine_ready(struct engine *engine, char **ret_why)
{
    const struct handler *h = &engine->handlers->v[0];
    char *why = NULL;

    if (access(engine->monitor_program, X_OK) < 0)
        why = xasprintf("'%s' cannot be executed", engine->monitor_program);
    else if (h->type == HANDLER_OCI && !*h->program)
        why = xstrdup("the OCI runtime is not installed");
    else if (h->type == HANDLER_VMM)
        why = vmm_driver_unavailable(engine->vmm, h->kind);
    if (ret_why)
        *ret_why = why;
    else
        free(why);
    return why == NULL;
}

/* --------------------------------------------------------------------- helpers */

bool process_alive(const struct process *p)
{
    return p->pid > 0 && p->start_time != 0 && pid_start_time(p->pid) == p->start_time;
}

void process_put(json_t *o, const char *key, const struct process *p)
{
    json_t *v;

    if (!p->pid)
        return;
    v = json_object();
    json_put(v, "pid", json_integer(p->pid));
    json_put(v, "start", json_integer((json_int_t)p->start_time));
    json_put(o, key, v);
}

void process_get(const json_t *o, const char *key, struct process *ret)
{
    const json_t *v = json_object_get(o, key);

    *ret =
        (struct process){.pid = (pid_t)json_integer_value(json_object_get(v, "pid")),
                         .start_time = (uint64_t)json_integer_value(json_object_get(v, "start"))};
}

/* Two FNV-1a sums with different starts: it tells accidents apart, nobody is kept out by it. */
void spec_hash(const char *text, char ret[33])
{
    uint64_t a = UINT64_C(14695981039346656037), b = UINT64_C(0x9e3779b97f4a7c15);

    for (const char *p = text; *p; p++) {
        a = (a ^ (unsigned char)*p) * UINT64_C(1099511628211);
        b = (b ^ (unsigned char)*p) * UINT64_C(1099511628211);
        b ^= b >> 29;
    }
    (void)snprintf(ret, 33, "%016llx%016llx", (unsigned long long)a, (unsigned long long)b);
}

char *spec_difference(const char *a, const char *b)
{
    autojson *x = json_parse(a, strlen(a), ROW_JSON_MAX_BYTES * 32, "spec", NULL);
    autojson *y = json_parse(b, strlen(b), ROW_JSON_MAX_BYTES * 32, "spec", NULL);
    const char *key;
    json_t *value;

    json_object_foreach (x, key, value)
        if (!json_equal(value, json_object_get(y, key)))
            return xstrdup(key);
    json_object_foreach (y, key, value)
        if (!json_object_get(x, key))
            return xstrdup(key);
    return xstrdup("spec");
}
