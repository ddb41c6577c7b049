/* SPDX-License-Identifier: Apache-2.0 */
/* fake - see the header. The facades of sandbox, imagestore and cni as far as handlers use them. */
#include "cri/tests/fake.h"

#include <string.h>

#include "base/id.h"
#include "base/strbuf.h"
#include "base/thread.h"
#include "cni/cni.h"
#include "imagestore/imagestore.h"
#include "vmm/vmm.h"

struct fake fake;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

void fake_reset(void)
{
    for (size_t i = 0; i < fake.n_pods; i++) {
        free(fake.pod_ids[i]);
        pod_spec_free(fake.pods[i]);
    }
    memset(&fake, 0, sizeof fake);
    fake.network_ready = true;
}

static int fail(struct err *err)
{
    *err = fake.fail;
    return -1;
}

int pod_run(struct engine *engine, const struct pod_spec *spec, const struct caller *caller,
            char *ret_id, struct err *err)
{
    (void)engine;
    if (fake.block) {
        fake.blocked++;
        while (!caller->cancelled(caller->arg) && !deadline_passed(caller->deadline))
            clock_sleep_until(deadline_in(5 * NSEC_PER_MSEC));
        fake.blocked--;
        fake.cancelled += caller->cancelled(caller->arg);
        return err_set(err, ERR_CANCELLED, "gone");
    }
    if (fake.fail.code != ERR_NONE)
        return fail(err);
    id_new(ret_id);
    autofree char *text = pod_spec_write(spec);
    pthread_mutex_lock(&lock);
    if (fake.n_pods < FAKE_PODS_MAX) {
        fake.pod_ids[fake.n_pods] = xstrdup(ret_id);
        fake.pods[fake.n_pods++] = pod_spec_parse(text, err);
    }
    pthread_mutex_unlock(&lock);
    return 0;
}

int pod_stop(struct engine *engine, const char *id, const struct caller *caller, struct err *err)
{
    (void)engine, (void)id, (void)caller, (void)err;
    return 0;
}

int pod_remove(struct engine *engine, const char *id, const struct caller *caller, struct err *err)
{
    (void)engine, (void)id, (void)caller, (void)err;
    return 0;
}

static void view_of(size_t i, struct pod_view *ret)
{
    *ret = (struct pod_view){
        .state = POD_READY, .created_at = 1, .spec = fake.pods[i], .handler = "auto"};
    (void)snprintf(ret->id, sizeof ret->id, "%s", fake.pod_ids[i]);
    (void)snprintf(ret->ips[0], sizeof ret->ips[0], "10.1.2.3");
    (void)snprintf(ret->ips[1], sizeof ret->ips[1], "fd00::3");
    ret->n_ips = 2;
}

int pod_get(struct engine *engine, const char *id, struct pod_view *ret, struct err *err)
{
    (void)engine;
    for (size_t i = 0; i < fake.n_pods; i++)
        if (str_eq(fake.pod_ids[i], id)) {
            view_of(i, ret);
            return 0;
        }
    return err_set(err, ERR_NOT_FOUND, "pod sandbox '%s': not found", id);
}

size_t pod_list(struct engine *engine, const struct list_filter *filter, struct pod_view **ret)
{
    (void)engine;
    fake.last_filter = *filter;
    fake.last_label_n = filter->labels ? (int)filter->labels->n : 0;
    *ret = xcalloc(fake.n_pods + 1, sizeof **ret);
    for (size_t i = 0; i < fake.n_pods; i++)
        view_of(i, &(*ret)[i]);
    return fake.n_pods;
}

size_t pod_list_packed(struct engine *engine, const struct list_filter *filter, pod_pack_fn *pack,
                       struct piece ***ret)
{
    struct pod_view *views;
    size_t n = pod_list(engine, filter, &views);

    *ret = xcalloc(n + 1, sizeof(struct piece *));
    for (size_t i = 0; i < n; i++)
        (*ret)[i] = pack(&views[i]);
    pod_views_free(views, n);
    return n;
}

void pod_view_done(struct pod_view *view)
{
    (void)view;
}

void pod_views_free(struct pod_view *views, size_t n)
{
    (void)n;
    free(views);
}

int container_create(struct engine *engine, const struct container_spec *spec,
                     const struct caller *caller, char *ret_id, struct err *err)
{
    (void)engine, (void)spec, (void)caller, (void)err;
    id_new(ret_id);
    return 0;
}

int container_start(struct engine *engine, const char *id, const struct caller *caller,
                    struct err *err)
{
    (void)engine, (void)caller;
    return err_set(err, ERR_NOT_FOUND, "container '%s': not found", id);
}

int container_stop(struct engine *engine, const char *id, nsec_t grace, const struct caller *caller,
                   struct err *err)
{
    (void)engine, (void)id, (void)caller, (void)err;
    fake.last_grace = grace;
    return 0;
}

int container_remove(struct engine *engine, const char *id, const struct caller *caller,
                     struct err *err)
{
    (void)engine, (void)id, (void)caller, (void)err;
    return 0;
}

char *container_runtime_spec(struct engine *engine, const char *id, size_t max_bytes)
{
    (void)engine, (void)id, (void)max_bytes;
    return NULL;
}

bool container_full_id(struct engine *engine, const char *prefix, char ret[65])
{
    (void)engine, (void)prefix, (void)ret;
    return false;
}

bool pod_full_id(struct engine *engine, const char *prefix, char ret[65])
{
    (void)engine, (void)prefix, (void)ret;
    return false;
}

int container_update(struct engine *engine, const char *id, const struct linux_resources *update,
                     const struct caller *caller, struct err *err)
{
    (void)engine, (void)update, (void)caller;
    return err_set(err, ERR_NOT_FOUND, "container '%s': not found", id);
}

int pod_update(struct engine *engine, const char *id, const struct linux_resources *overhead,
               const struct linux_resources *resources, const struct caller *caller,
               struct err *err)
{
    (void)engine, (void)overhead, (void)resources, (void)caller;
    return err_set(err, ERR_NOT_FOUND, "pod sandbox '%s': not found", id);
}

int container_get(struct engine *engine, const char *id, struct container_view *ret,
                  struct err *err)
{
    (void)engine, (void)ret;
    return err_set(err, ERR_NOT_FOUND, "container '%s': not found", id);
}

size_t container_list(struct engine *engine, const struct list_filter *filter,
                      struct container_view **ret)
{
    (void)engine;
    fake.last_filter = *filter;
    *ret = NULL;
    return 0;
}

size_t container_list_packed(struct engine *engine, const struct list_filter *filter,
                             container_pack_fn *pack, struct piece ***ret)
{
    (void)engine, (void)pack;
    fake.last_filter = *filter;
    *ret = xcalloc(1, sizeof(struct piece *));
    return 0;
}

void container_view_done(struct container_view *view)
{
    (void)view;
}

void container_views_free(struct container_view *views, size_t n)
{
    (void)n;
    free(views);
}

/* "fill" makes as much output as the engine may hand on. */
int container_checkpoint(struct engine *engine, const char *id, const char *location,
                         nsec_t timeout, const struct caller *caller, struct err *err)
{
    (void)engine, (void)timeout, (void)caller;
    return err_set(err, ERR_NOT_FOUND, "container '%s' for '%s'", id, location);
}

int container_exec_sync(struct engine *engine, const char *id, char *const *argv, nsec_t timeout,
                        const struct caller *caller, struct exec_result *ret, struct err *err)
{
    (void)engine, (void)id, (void)caller;
    fake.last_exec_timeout = timeout;
    if (str_eq(argv[0], "slow"))
        return err_set(err, ERR_DEADLINE, "command '%s' timed out", argv[0]);
    ret->out_len = str_eq(argv[0], "fill") ? EXEC_OUTPUT_MAX_BYTES : 2;
    ret->out = xmalloc(ret->out_len);
    memset(ret->out, 0xff, ret->out_len); /* not UTF-8 */
    ret->exit_code = 3;
    return 0;
}

void exec_result_done(struct exec_result *result)
{
    free(result->out);
    free(result->errout);
}

int container_reopen_log(struct engine *engine, const char *id, struct err *err)
{
    (void)engine;
    return err_set(err, ERR_STATE, "container '%s' does not run", id);
}

/* One container, which runs. */
size_t container_stats_list(struct engine *engine, const struct list_filter *filter,
                            struct container_stats_view **ret)
{
    (void)engine;
    fake.last_filter = *filter;
    fake.last_label_n = filter->labels ? (int)filter->labels->n : 0;
    *ret = xcalloc(1, sizeof **ret);
    (*ret)->container.spec = container_spec_new();
    (void)snprintf((*ret)->container.id, sizeof(*ret)->container.id, "%s", "c0");
    (*ret)->stats =
        (struct container_stats){.cpu_at = 3, .memory_at = 4, .memory_limit = UINT64_MAX};
    return 1;
}

int container_stats_get(struct engine *engine, const char *id, struct container_stats_view **ret,
                        struct err *err)
{
    const struct list_filter all = {.state = -1};

    if (!str_eq(id, "c0"))
        return err_set(err, ERR_NOT_FOUND, "container '%s': not found", id);
    (void)container_stats_list(engine, &all, ret);
    return 0;
}

void container_stats_views_free(struct container_stats_view *views, size_t n)
{
    union {
        const struct container_spec *in;
        struct container_spec *out;
    } spec;

    for (size_t i = 0; i < n; i++) {
        spec.in = views[i].container.spec;
        container_spec_free(spec.out);
    }
    free(views);
}

/* No pods. */
size_t pod_stats_list(struct engine *engine, const struct list_filter *filter,
                      enum usage_depth depth, struct pod_stats_view **ret)
{
    (void)engine, (void)depth;
    fake.last_filter = *filter;
    fake.last_label_n = filter->labels ? (int)filter->labels->n : 0;
    *ret = NULL;
    return 0;
}

int pod_stats_get(struct engine *engine, const char *id, struct pod_stats_view **ret,
                  struct err *err)
{
    (void)engine, (void)ret;
    return err_set(err, ERR_NOT_FOUND, "pod sandbox '%s': not found", id);
}

void pod_stats_views_free(struct pod_stats_view *views, size_t n)
{
    (void)views, (void)n;
}

struct follower *follower_open(struct engine *engine, struct err *err)
{
    (void)engine;
    (void)err_set(err, ERR_EXHAUSTED, "events: too many follow");
    return NULL;
}

void follower_close(struct follower *f)
{
    (void)f;
}

int follower_next(struct follower *f, const struct caller *caller, struct event *ret,
                  struct err *err)
{
    (void)f, (void)caller, (void)ret;
    return err_set(err, ERR_CANCELLED, "gone");
}

void follower_done(struct follower *f, const struct event *event)
{
    (void)f, (void)event;
}

void engine_layers_usage(struct engine *engine, struct layers_usage *ret)
{
    (void)engine;
    *ret = (struct layers_usage){.at = 1, .dir = "/layers", .bytes = 2, .inodes = 3};
}

size_t engine_handlers(struct engine *engine, struct handler_view **ret)
{
    (void)engine;
    *ret = xcalloc(2, sizeof **ret);
    (*ret)[0] = (struct handler_view){.name = "", .kind = "auto", .recursive_readonly = true};
    (*ret)[1] = (struct handler_view){
        .name = "spt", .kind = "tender-spt", .unavailable = xstrdup("no \"x\"")};
    return 2;
}

void handler_views_free(struct handler_view *views, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(views[i].unavailable);
    free(views);
}

bool engine_ready(struct engine *engine, char **ret_why)
{
    (void)engine;
    *ret_why = fake.not_ready ? xstrdup("no runtime") : NULL;
    return !fake.not_ready;
}

bool engine_cgroup_v2(const struct engine *engine)
{
    (void)engine;
    return true;
}

char *engine_census(struct engine *engine)
{
    (void)engine;
    return xstrdup("{\"taps\": 0}");
}

bool cni_status(struct cni *cni, char **ret_why)
{
    (void)cni;
    *ret_why = fake.network_ready ? NULL : xstrdup("no network configuration");
    return fake.network_ready;
}

int cni_set_pod_cidr(struct cni *cni, const char *pod_cidr, struct err *err)
{
    (void)cni, (void)pod_cidr, (void)err;
    return 0;
}

/* --------------------------------------------------------------- images */

#define FAKE_IMAGE_ID "sha256:1111111111111111111111111111111111111111111111111111111111111111"

static struct image *make_image(void)
{
    struct image *image = XNEW(struct image);

    image->id = xstrdup(FAKE_IMAGE_ID);
    strv_push(&image->tags, "host/busybox:1");
    image->size = 42;
    image->config.user = xstrdup("1003:1004");
    return image;
}

void image_unref(struct image *image)
{
    strv_free(image->tags);
    free(image->config.user);
    free(image->id);
    free(image);
}

struct image *imagestore_pull(struct imagestore *store, const char *reference,
                              const struct registry_auth *auth, deadline_t deadline,
                              bool (*cancelled)(void *arg), void *arg, struct err *err)
{
    (void)store, (void)reference, (void)auth, (void)deadline, (void)cancelled, (void)arg;
    if (fake.fail.code != ERR_NONE) {
        (void)fail(err);
        return NULL;
    }
    return make_image();
}

struct image *imagestore_find(struct imagestore *store, const char *name, struct err *err)
{
    (void)store;
    if (str_eq(name, "host/busybox:1"))
        return make_image();
    (void)err_set(err, ERR_NOT_FOUND, "image '%s': not found", name);
    return NULL;
}

size_t imagestore_list(struct imagestore *store, struct image ***ret)
{
    (void)store;
    *ret = xcalloc(1, sizeof(struct image *));
    (*ret)[0] = make_image();
    return 1;
}

void image_list_free(struct image **list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        image_unref(list[i]);
    free(list);
}

int imagestore_remove(struct imagestore *store, const char *name, struct err *err)
{
    (void)store, (void)name, (void)err;
    return 0;
}

void image_fs_info_done(struct image_fs_info *info)
{
    free(info->mountpoint);
}

int imagestore_fs_info(struct imagestore *store, struct image_fs_info *ret, struct err *err)
{
    (void)store, (void)err;
    *ret =
        (struct image_fs_info){.timestamp = 5, .mountpoint = xstrdup("/images"), .used_bytes = 7};
    return 0;
}

/* ------------------------------------------------------------- metrics */

static struct metric pulls = {
    .name = "fake_pulls_total", .help = "pulls", .value = 5, .type = METRIC_COUNTER};
struct metric *const imagestore_metrics[] = {&pulls, NULL};
struct metric *const cni_metrics[] = {NULL};
struct metric *const vmm_metrics[] = {NULL};
struct metric *const db_metrics[] = {NULL};
struct metric *const sandbox_metrics[] = {NULL};

/* ------------------------------------------------------ the other options */

const struct option imagestore_options[] = {{"images.certs_dir", OPTION_PATH,
                                             offsetof(struct imagestore_config, certs_dir),
                                             "/etc/certs", 0, 0, "certificates"}};
const size_t imagestore_options_n = 1;
const struct option cni_options[] = {{"cni.timeout", OPTION_SECONDS,
                                      offsetof(struct cni_config, timeout), "60", 1, 600,
                                      "of a plugin"}};
const size_t cni_options_n = 1;
const struct option vmm_options[] = {{"vmm.tender", OPTION_STRING,
                                      offsetof(struct vmm_config, tender_program), "", 0, 0,
                                      "program"}};
const size_t vmm_options_n = 1;
const struct option sandbox_options[] = {{"sandbox.cgroup_driver", OPTION_STRING,
                                          offsetof(struct sandbox_config, cgroup_driver),
                                          "cgroupfs", 0, 0, "driver"}};
const size_t sandbox_options_n = 1;
