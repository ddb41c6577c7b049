/* SPDX-License-Identifier: Apache-2.0 */
/*
 * link_probe - which way of joining a guest's tap with the pod's interface this kernel allows: each
 * is tried once, on lo of a namespace that ends with the try.
 */
#include <string.h>

#include "base/mem.h"
#include "base/strbuf.h"
#include "base/thread.h"
#include "cni/classifier.h"
#include "cni/cni.h"
#include "cni/netns.h"
#include "cni/rtnl.h"

static pthread_mutex_t probe_lock = PTHREAD_MUTEX_INITIALIZER; /* guards the two below */
static int probed = -1;
static char probe_why[2 * ERR_MSG_MAX_BYTES];

static struct mode {
    const char *name;
    enum guest_link_mode mode;
} modes[] = {
    {"bpf", GUEST_LINK_BPF},
    {"matchall", GUEST_LINK_MATCHALL},
    {"u32", GUEST_LINK_U32},
};

/* In a namespace that ends with this call: can a filter of this kind be put on lo? */
static int probe_kind(void *arg, struct err *err)
{
    const char *kind = ((const struct mode *)arg)->name;
    autortnl *nl = rtnl_open(err);
    struct classifier progs;

    if (!nl || rtnl_clsact_add(nl, RTNL_LO_IFINDEX, err) < 0)
        return -1;
    if (!str_eq(kind, "bpf"))
        return rtnl_filter_redirect(nl, RTNL_LO_IFINDEX, kind, RTNL_LO_IFINDEX, err);
    if (classifier_get(&progs, err) < 0)
        return -1;
    return rtnl_filter_bpf(nl, RTNL_LO_IFINDEX, RTNL_EGRESS, RTNL_LINK, progs.from_lo,
                           RTNL_LO_IFINDEX, err);
}

static void probe(void)
{
    char *end = probe_why + sizeof(probe_why);
    char *p = probe_why;

    for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
        struct err err = ERR_INIT;

        if (netns_run(-1, probe_kind, &modes[i], &err) == 0) {
            probed = (int)modes[i].mode;
            return;
        }
        p += snprintf(p, (size_t)(end - p), "%s%s: %s", p == probe_why ? "" : "; ", modes[i].name,
                      err.msg);
        if (p >= end)
            p = end - 1;
    }
    probed = GUEST_LINK_U32; /* guest_link_create() will say what is missing */
}

enum guest_link_mode guest_link_probe(char **ret_why)
{
    const char *forced = getenv("UNICRI_GUEST_LINK");
    enum guest_link_mode mode;

    if (ret_why)
        *ret_why = NULL;
    for (size_t i = 0; forced && i < ARRAY_SIZE(modes); i++) {
        if (!str_eq(forced, modes[i].name))
            continue;
        if (ret_why)
            *ret_why = xasprintf("UNICRI_GUEST_LINK=%s", forced);
        return modes[i].mode;
    }
    pthread_mutex_lock(&probe_lock);
    if (probed < 0)
        probe();
    mode = (enum guest_link_mode)probed;
    if (ret_why && *probe_why)
        *ret_why = xstrdup(probe_why);
    pthread_mutex_unlock(&probe_lock);
    return mode;
}
