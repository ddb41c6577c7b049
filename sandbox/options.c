/* SPDX-License-Identifier: Apache-2.0 */
/* options - the folder's configuration keys and its metrics. */
#include "sandbox/engine.h"
#include "sandbox/start_phases.h"
#include "sandbox/stats.h"

#define OPT(key_, type_, member_, fallback_, min_, max_, help_)                                    \
    {                                                                                              \
        .key = (key_), .type = OPTION_##type_, .offset = offsetof(struct sandbox_config, member_), \
        .fallback = (fallback_), .min = (min_), .max = (max_), .help = (help_)                     \
    }

const struct option sandbox_options[] = {
    OPT("runtime.monitor_program", STRING, monitor_program, NULL, 0, 0,
        "unicri-monitor, the process that holds a running container; empty: beside the daemon"),
    OPT("runtime.default_handler", STRING, default_handler, "auto", 0, 0,
        "what a pod without RuntimeClass gets: \"auto\" (a unikernel if the image declares one, "
        "else runc), \"runc\", "
        "a driver's name or a handler's"),
    OPT("handlers", TABLES, handlers, NULL, 0, 0,
        "[handlers.NAME]: kind = \"runc\" | \"auto\" | a driver's name; program = the OCI runtime; "
        "pod_annotations = annotations of a pod that may speak for its image; "
        "side_containers = false: nothing but unikernels in the pods of a driver's handler (true: "
        "images that declare none run by the OCI runtime); "
        "machine, accel = QEMU's, instead of vmm.qemu_machine and vmm.qemu_accel; "
        "debug = true or a list of \"console\", \"regs\", \"pcap\", \"gdb\", \"core\": what "
        "an exec of "
        "unicri:COMMAND may do to a unikernel (none without); crash_cores = how many core files of "
        "crashed unikernels are kept (0)"),
    OPT("runtime.crash_core_bytes", BYTES, crash_core_bytes, "256MiB", 4096, INT64_C(1) << 40,
        "a larger core file of a crashed unikernel is not written"),
    OPT("runtime.cgroup_root", STRING, cgroup_root, "/unicri", 0, 0,
        "parent of the control groups of pods whose client names none; with the systemd driver a "
        "slice "
        "(unicri.slice)"),
    OPT("runtime.cgroup_driver", STRING, cgroup_driver, "cgroupfs", 0, 0,
        "\"cgroupfs\" or \"systemd\": containers are scopes in the slice that the client names"),
    OPT("runtime.log_line_max", BYTES, log_line_max, "16KiB", 256, 64 * 1024,
        "longer log lines are cut into parts"),
    OPT("runtime.timeout", SECONDS, runtime_timeout, "120", 1, 3600,
        "for one call of an OCI runtime"),
    OPT("runtime.reserve_bytes", INT, reserve_bytes, "16777216", 0, INT64_C(1) << 40,
        "kept free on disk so that stop and remove work when it is full"),
    OPT("cdi.spec_dirs", STRV, cdi_dirs, "/etc/cdi, /var/run/cdi", 0, 0,
        "where the files of the Container Device Interface are; of a device that is in two of "
        "these the later one's counts; empty: no such devices"),
    OPT("stats.period", SECONDS, stats_period, "10", 1, 3600,
        "between samples of what containers use; none is taken while nobody asks for them"),
};
const size_t sandbox_options_n = ARRAY_SIZE(sandbox_options);

#define STAGE(name_)                                                                               \
    {                                                                                              \
        .name = "unicri_start_stage_seconds",                                                      \
        .help = "stages of the start of pods and containers", .label = "stage=\"" name_ "\"",      \
        .type = METRIC_HISTOGRAM                                                                   \
    }

static struct metric stages[STAGES] = {
    [STAGE_POD_CGROUP] = STAGE("pod-cgroup"),   [STAGE_POD_NETNS] = STAGE("pod-netns"),
    [STAGE_POD_NETWORK] = STAGE("pod-network"), [STAGE_ROOM] = STAGE("pod-room"),
    [STAGE_ROOTFS] = STAGE("rootfs"),           [STAGE_BUNDLE] = STAGE("bundle"),
    [STAGE_LINK] = STAGE("guest-link"),         [STAGE_MONITOR] = STAGE("monitor"),
    [STAGE_FIRST_BYTE] = STAGE("first-byte"),
};
static struct metric pod_started = {.name = "unicri_pod_start_seconds",
                                    .help = "RunPodSandbox, without waiting for duplicates",
                                    .type = METRIC_HISTOGRAM};
static struct metric container_started = {.name = "unicri_container_start_seconds",
                                          .help = "StartContainer until the workload runs",
                                          .type = METRIC_HISTOGRAM};
static struct metric joined = {
    .name = "unicri_joined_requests_total",
    .help = "duplicates of RunPodSandbox and CreateContainer that got an earlier request's answer",
    .type = METRIC_COUNTER};
static struct metric owed_dels = {
    .name = "unicri_owed_network_dels", .help = "CNI DELs still to be done", .type = METRIC_GAUGE};
static struct metric lost_monitors = {.name = "unicri_lost_monitors_total",
                                      .help = "monitors that ended without leaving an exit status",
                                      .type = METRIC_COUNTER};

_Static_assert(START_DRIVERS == 7 && START_PHASES == 6, "all rows stand below");
#define PHASES_OF(d)                                                                               \
    &start_phase_metrics[d][0], &start_phase_metrics[d][1], &start_phase_metrics[d][2],            \
        &start_phase_metrics[d][3], &start_phase_metrics[d][4], &start_phase_metrics[d][5]

struct metric *const sandbox_metrics[] = {
    &stages[STAGE_POD_CGROUP],
    &stages[STAGE_POD_NETNS],
    &stages[STAGE_POD_NETWORK],
    &stages[STAGE_ROOM],
    &stages[STAGE_ROOTFS],
    &stages[STAGE_BUNDLE],
    &stages[STAGE_LINK],
    &stages[STAGE_MONITOR],
    &stages[STAGE_FIRST_BYTE],
    PHASES_OF(0),
    PHASES_OF(1),
    PHASES_OF(2),
    PHASES_OF(3),
    PHASES_OF(4),
    PHASES_OF(5),
    PHASES_OF(6),
    &pod_started,
    &container_started,
    &joined,
    &owed_dels,
    &lost_monitors,
    &stats_round_seconds,
    &stats_layer_seconds,
    NULL,
};

void stage_observe(enum stage stage, nsec_t since)
{
    metric_observe(&stages[stage], clock_mono() - since);
}

void metric_pod_started(nsec_t since)
{
    metric_observe(&pod_started, clock_mono() - since);
}

void metric_container_started(nsec_t since)
{
    metric_observe(&container_started, clock_mono() - since);
}

void metric_joined(void)
{
    metric_add(&joined, 1);
}

void metric_owed_dels(size_t n)
{
    metric_set(&owed_dels, (int64_t)n);
}

void metric_lost_monitors(void)
{
    metric_add(&lost_monitors, 1);
}

void metric_first_byte(nsec_t took)
{
    metric_observe(&stages[STAGE_FIRST_BYTE], took);
}
