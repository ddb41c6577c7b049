/* SPDX-License-Identifier: Apache-2.0 */
/* start_phases - see start_phases.h. */
#include "sandbox/start_phases.h"

#include <stdlib.h>
#include <string.h>

#define ROW(driver, phase)                                                                         \
    {                                                                                              \
        .name = "unicri_guest_start_seconds",                                                      \
        .help = "phases of the start of unikernels, by the monitor that runs them",                \
        .label = "driver=\"" driver "\",phase=\"" phase "\"", .type = METRIC_HISTOGRAM,            \
        .when_seen = true                                                                          \
    }
#define ROWS(driver)                                                                               \
    {                                                                                              \
        [PHASE_STORAGE] = ROW(driver, "storage"), [PHASE_NETWORK] = ROW(driver, "network"),        \
        [PHASE_PLAN] = ROW(driver, "plan"), [PHASE_EXEC] = ROW(driver, "exec"),                    \
        [PHASE_API] = ROW(driver, "api"), [PHASE_BOOT] = ROW(driver, "boot"),                      \
    }

struct metric start_phase_metrics[START_DRIVERS][START_PHASES] = {
    ROWS("tender-spt"), ROWS("tender-hvt"),  ROWS("solo5-spt"),        ROWS("solo5-hvt"),
    ROWS("qemu"),       ROWS("firecracker"), ROWS("cloud-hypervisor"),
};
static const char *const drivers[START_DRIVERS] = {
    "tender-spt", "tender-hvt", "solo5-spt", "solo5-hvt", "qemu", "firecracker", "cloud-hypervisor",
};

const char *start_phase_name(enum start_phase phase)
{
    static const char *const names[START_PHASES] = {
        [PHASE_STORAGE] = "storage", [PHASE_NETWORK] = "network", [PHASE_PLAN] = "plan",
        [PHASE_EXEC] = "exec",       [PHASE_API] = "api",         [PHASE_BOOT] = "boot",
    };

    return names[phase];
}

/* An ordinary container's phases are shown, but not counted here: unicri_start_stage_seconds. */
static void count(const struct container *c, enum start_phase phase, nsec_t took)
{
    for (size_t i = 0; took > 0 && i < START_DRIVERS; i++)
        if (str_eq(c->runtime_name, drivers[i]))
            metric_observe(&start_phase_metrics[i][phase], took);
}

void phase_over(struct container *c, enum start_phase phase, nsec_t since)
{
    nsec_t took = clock_mono() - since;

    mutex_lock(&c->engine->lock);
    c->phases[phase] += took > 0 ? took : 1;
    mutex_unlock(&c->engine->lock);
}

void phases_count(struct container *c)
{
    nsec_t phases[START_PHASES];

    mutex_lock(&c->engine->lock);
    memcpy(phases, c->phases, sizeof(phases));
    mutex_unlock(&c->engine->lock);
    for (size_t i = 0; i < PHASE_BOOT; i++)
        count(c, i, phases[i]);
}

void phase_boot(struct container *c, nsec_t took)
{
    if (took <= 0)
        took = 1;
    mutex_lock(&c->engine->lock);
    c->phases[PHASE_BOOT] = took;
    mutex_unlock(&c->engine->lock);
    count(c, PHASE_BOOT, took);
}

void phases_put(const struct container *c, json_t *o)
{
    json_t *list = json_array();

    for (size_t i = 0; i < START_PHASES; i++)
        if (json_array_append_new(list, json_integer(c->phases[i])) < 0)
            abort();
    json_put(o, "phases", list);
}

void phases_get(struct container *c, const json_t *o)
{
    const json_t *list = json_object_get(o, "phases");

    for (size_t i = 0; i < START_PHASES && i < json_array_size(list); i++) {
        json_int_t took = json_integer_value(json_array_get(list, i));

        c->phases[i] = took > 0 ? took : 0;
    }
}
