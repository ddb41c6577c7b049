/* SPDX-License-Identifier: Apache-2.0 */
/* metrics_text - the folders' metric lists one after the other, and gauges that are counted when
 * asked for: pods and containers by state, the leak census, the process itself. */
#include <dirent.h>
#include <inttypes.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/json.h"
#include "cri/metrics_http.h"
#include "cri/rpc_metrics.h"
#include "cri/to_proto.h"

static void head(struct strbuf *out, const char *name, const char *type, const char *help)
{
    strbuf_addf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void add_pods(const struct daemon *daemon, struct strbuf *out)
{
    const struct list_filter all = {.state = -1};
    struct pod_view *views = NULL;
    size_t n = pod_list(daemon->engine, &all, &views), ready = 0;

    for (size_t i = 0; i < n; i++)
        ready +=
            pod_state_to_proto(views[i].state) == RUNTIME__V1__POD_SANDBOX_STATE__SANDBOX_READY;
    pod_views_free(views, n);
    head(out, "unicri_pods", "gauge", "pod sandboxes by state");
    strbuf_addf(out, "unicri_pods{state=\"ready\"} %zu\nunicri_pods{state=\"notready\"} %zu\n",
                ready, n - ready);
}

static void add_containers(const struct daemon *daemon, struct strbuf *out)
{
    static const char *const names[] = {
        [RUNTIME__V1__CONTAINER_STATE__CONTAINER_CREATED] = "created",
        [RUNTIME__V1__CONTAINER_STATE__CONTAINER_RUNNING] = "running",
        [RUNTIME__V1__CONTAINER_STATE__CONTAINER_EXITED] = "exited",
        [RUNTIME__V1__CONTAINER_STATE__CONTAINER_UNKNOWN] = "unknown",
    };
    const struct list_filter all = {.state = -1};
    size_t count[ARRAY_SIZE(names)] = {0};
    struct container_view *views = NULL;
    size_t n = container_list(daemon->engine, &all, &views);

    for (size_t i = 0; i < n; i++)
        count[container_state_to_proto(views[i].state)]++;
    container_views_free(views, n);
    head(out, "unicri_containers", "gauge", "containers by state");
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        strbuf_addf(out, "unicri_containers{state=\"%s\"} %zu\n", names[i], count[i]);
}

/* The census is one object of numbers. */
static void add_census(const struct daemon *daemon, struct strbuf *out)
{
    autofree char *text = engine_census(daemon->engine);
    autojson *census = text ? json_loads(text, 0, NULL) : NULL;
    const char *key;
    json_t *value;

    head(out, "unicri_census", "gauge", "what this daemon has made and not yet undone, by kind");
    json_object_foreach (census, key, value) {
        if (json_is_integer(value))
            strbuf_addf(out, "unicri_census{what=\"%s\"} %lld\n", key,
                        (long long)json_integer_value(value));
    }
}

static size_t count_fds(void)
{
    autodir DIR *dir = opendir("/proc/self/fd");
    size_t n = 0;

    while (dir && readdir(dir))
        n++;
    return n > 3 ? n - 3 : 0; /* ".", ".." and the one we look through */
}

static void add_process(struct strbuf *out)
{
    autofree char *statm = NULL;
    struct rusage usage;

    if (getrusage(RUSAGE_SELF, &usage) == 0) {
        head(out, "process_cpu_seconds_total", "counter", "user and system time of the daemon");
        strbuf_addf(out, "process_cpu_seconds_total %.6f\n",
                    (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                        (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6);
    }
    /* "SIZE RESIDENT ...", in pages */
    if (fs_read_file(AT_FDCWD, "/proc/self/statm", 256, &statm, NULL, NULL) == 0 &&
        strchr(statm, ' ')) {
        unsigned long long resident = strtoull(strchr(statm, ' '), NULL, 10);

        head(out, "process_resident_memory_bytes", "gauge", "resident memory of the daemon");
        strbuf_addf(out, "process_resident_memory_bytes %llu\n",
                    resident * (unsigned long long)sysconf(_SC_PAGESIZE));
    }
    head(out, "process_open_fds", "gauge", "open descriptors of the daemon");
    strbuf_addf(out, "process_open_fds %zu\n", count_fds());
}

void metrics_text(const struct daemon *daemon, struct strbuf *out)
{
    head(out, "unicri_build_info", "gauge", "1, labelled with the version");
    strbuf_addf(out, "unicri_build_info{version=\"%s\"} 1\n", UNICRI_VERSION);
    metrics_print(rpc_metrics(), out);
    metrics_print(sandbox_metrics, out);
    metrics_print(cni_metrics, out);
    metrics_print(imagestore_metrics, out);
    metrics_print(vmm_metrics, out);
    metrics_print(db_metrics, out);
    add_pods(daemon, out);
    add_containers(daemon, out);
    add_census(daemon, out);
    add_process(out);
}
