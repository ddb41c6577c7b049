/* SPDX-License-Identifier: Apache-2.0 */
/*
 * link - guests' links: a tap in the pod's namespace, joined with the pod's interface by tc
 * filters.
 *
 * The tap is not persistent: it lives as long as somebody holds its descriptor (the daemon, then
 * the guest's VMM), so a crash leaves none behind. Its alias "unicri IFNAME TAP" marks it as ours
 * whatever it is renamed to, and is the only record there is of who holds the pod's address.
 *
 * Filters, all of priorities of ours (rtnl.h):
 *
 * - mode BPF: ingress of IFNAME runs from_pod, ingress of the tap a guard (guard.h) and then
 *   from_guest, egress of lo from_lo;
 * - modes MATCHALL and U32: what arrives at either one leaves by the other, the guest's as far as
 *   the filters of guard_u32.c let it.
 *
 * The empty clsact qdiscs stay behind: they cost nothing, and others may have put filters there.
 *
 * Invariant: the filter of IFNAME comes last and goes first, so frames are never taken from the
 * stack before somebody can receive them.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/fault.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/strbuf.h"
#include "base/thread.h"
#include "cni/bpf/guest_link.h"
#include "cni/classifier.h"
#include "cni/cni.h"
#include "cni/guard.h"
#include "cni/netns.h"
#include "cni/rtnl.h"

#define ALIAS_PREFIX "unicri"
#define CLASSID_MAX  0xffff
#define TAP_MTU_MAX  65521 /* 65535 without the Ethernet header */

struct job {
    const char *ifname, *tap;
    const struct guest_link_options *options; /* not of a removal */
    struct guest_link *ret;
    struct rtnl *nl;
    struct rtnl_iface *ifaces; /* RTNL_LINKS_MAX of them */
    size_t n_ifaces;
};

static const struct rtnl_iface *iface_by_name(const struct job *job, const char *name)
{
    for (size_t i = 0; i < job->n_ifaces; i++)
        if (str_eq(job->ifaces[i].name, name))
            return &job->ifaces[i];
    return NULL;
}

/* The tap that serves this job's interface: ours by name, or the one of another guest. */
static const struct rtnl_iface *tap_of(const struct job *job, bool ours)
{
    autofree char *all = xasprintf(ALIAS_PREFIX " %s ", job->ifname);
    autofree char *mine = xasprintf("%s%s", all, job->tap);

    for (size_t i = 0; i < job->n_ifaces; i++) {
        const char *alias = job->ifaces[i].alias;

        if (str_has_prefix(alias, all) && ours == str_eq(alias, mine))
            return &job->ifaces[i];
    }
    return NULL;
}

static int queue_open(const struct job *job, struct err *err)
{
    struct ifreq req = {.ifr_flags = IFF_TAP | IFF_NO_PI};
    autofd int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0 && (errno == ENOENT || errno == ENODEV || errno == ENXIO))
        return err_set(err, ERR_UNSUPPORTED, "the kernel has no taps: open '/dev/net/tun': %s",
                       strerror(errno));
    if (fd < 0)
        return err_sys(err, "open '/dev/net/tun'");
    if (job->options->vnet_hdr)
        req.ifr_flags |= IFF_VNET_HDR;
    if (job->options->queues > 1)
        req.ifr_flags |= IFF_MULTI_QUEUE;
    (void)snprintf(req.ifr_name, sizeof(req.ifr_name), "%s", job->tap);
    if (ioctl(fd, TUNSETIFF, &req) < 0) {
        if (errno == EBUSY)
            return err_set(err, ERR_EXISTS, "tap '%s' is held by another guest", job->tap);
        return err_sys(err, "make tap '%s'", job->tap);
    }
    return TAKE_FD(fd);
}

/* One of an earlier guest may be of the other kind, with one queue or with several; it is ours. */
static int first_queue(struct job *job, struct err *err)
{
    struct err why = ERR_INIT;
    int fd = queue_open(job, &why);

    if (fd < 0 && why.sys == EINVAL && tap_of(job, true)) {
        if (rtnl_iface_del(job->nl, tap_of(job, true)->index, err) < 0)
            return -1;
        return queue_open(job, err);
    }
    if (fd < 0 && err)
        *err = why;
    return fd;
}

static int tap_open(struct job *job, struct err *err)
{
    struct guest_link *link = job->ret;
    unsigned queues = job->options->queues;

    if (queues > GUEST_LINK_QUEUES_MAX)
        return err_set(err, ERR_INVALID, "tap '%s': %u queues, at most %d", job->tap, queues,
                       GUEST_LINK_QUEUES_MAX);
    link->tap_fd = first_queue(job, err);
    if (link->tap_fd < 0)
        return -1;
    if (ioctl(link->tap_fd, TUNSETOWNER, (unsigned long)job->options->owner_uid) < 0)
        return err_sys(err, "give tap '%s' to user %u", job->tap,
                       (unsigned)job->options->owner_uid);
    while (link->n_more + 1 < queues) {
        int fd = queue_open(job, err);

        if (fd < 0)
            return err_wrap(err, "queue %zu", link->n_more + 1);
        link->more_fds[link->n_more++] = fd;
    }
    return 0;
}

void guest_link_close(struct guest_link *link)
{
    link->tap_fd = close_fd(link->tap_fd);
    while (link->n_more > 0)
        (void)close_fd(link->more_fds[--link->n_more]);
}

static int mtu_for(const struct rtnl_iface *pod)
{
    return pod->mtu < TAP_MTU_MAX ? pod->mtu : TAP_MTU_MAX;
}

/* Written through the thread's view of /proc/sys. */
static int set_sysctl(const char *family, const char *iface, const char *name, const char *value,
                      struct err *err)
{
    autofree char *path = xasprintf("/proc/sys/net/%s/conf/%s/%s", family, iface, name);
    autofd int fd = open(path, O_WRONLY | O_CLOEXEC);

    if (fd < 0 || write(fd, value, strlen(value)) < 0)
        return err_sys(err, "write '%s'", path);
    return 0;
}

/*
 * MAC, MTU, up; no address of any family, so no duplicate detection, no router solicitation, no
 * listener reports. IPv6 itself stays on, or the tap could have no IPv6 neighbour (join_lo).
 */
static int tap_setup(struct job *job, const struct rtnl_iface *pod, int index, struct err *err)
{
    struct rtnl_iface tap = {.index = index, .mtu = mtu_for(pod)};
    struct err ignored = ERR_INIT;

    memcpy(tap.mac, pod->mac, sizeof(tap.mac));
    tap.mac[0] = (uint8_t)((tap.mac[0] ^ 0x04) | 0x02); /* local, not a group, not the guest's */
    (void)snprintf(tap.alias, sizeof(tap.alias), ALIAS_PREFIX " %s %s", job->ifname, job->tap);
    if (rtnl_iface_setup(job->nl, &tap, err) < 0)
        return -1;
    /* A read-only /proc/sys leaves these at their defaults: without an address nothing is sent
     * either. */
    (void)set_sysctl("ipv6", job->tap, "accept_ra", "0", &ignored);
    (void)set_sysctl("ipv4", job->tap, "arp_ignore", "8", &ignored);
    return rtnl_iface_up(job->nl, index, err);
}

/* ------------------------------------------------------------ joining */

/*
 * The way from an ordinary container to the guest over the pod's own address. Two things are
 * needed beside the filter: a neighbour whose MAC is the guest's, and leave for lo to receive from
 * the pod's own address. Where IPv6 is off its half is left out.
 */
static int join_lo(struct job *job, const struct rtnl_iface *pod, int tap, int prog_fd,
                   struct err *err)
{
    uint32_t hop4 = htonl(GUEST_LINK_HOP4);
    uint32_t hop6[] = {GUEST_LINK_HOP6};
    struct err ignored = ERR_INIT;

    for (size_t i = 0; i < ARRAY_SIZE(hop6); i++)
        hop6[i] = htonl(hop6[i]);
    if (rtnl_neigh_add(job->nl, tap, AF_INET, &hop4, pod->mac, err) < 0)
        return -1;
    if (rtnl_neigh_add(job->nl, tap, AF_INET6, hop6, pod->mac, &ignored) < 0)
        log_debug("ignoring: %s", ignored.msg);
    (void)set_sysctl("ipv4", "lo", "accept_local", "1", &ignored);
    if (rtnl_clsact_add(job->nl, RTNL_LO_IFINDEX, err) < 0)
        return -1;
    return rtnl_filter_bpf(job->nl, RTNL_LO_IFINDEX, RTNL_EGRESS, RTNL_LINK, prog_fd, (uint16_t)tap,
                           err);
}

/* The pod's addresses are the guest's. Returns: whether there is anything to watch; -1. */
static int guard_rules(struct job *job, const struct rtnl_iface *pod, struct guard_rules *ret,
                       struct err *err)
{
    struct rtnl_address own[RTNL_ADDRESSES_MAX];
    size_t n;

    *ret = (struct guard_rules){.any_source = job->options->any_source,
                                .metadata = job->options->metadata};
    if (ret->any_source && ret->metadata)
        return 0;
    if (rtnl_addresses(job->nl, pod->index, own, &n, err) < 0)
        return -1;
    memcpy(ret->mac, pod->mac, sizeof(ret->mac));
    for (size_t i = 0; i < n; i++) {
        if (own[i].family == AF_INET && ret->n4 < GUARD_ADDRESSES_MAX)
            memcpy(&ret->v4[ret->n4++], own[i].addr, sizeof(ret->v4[0]));
        else if (own[i].family == AF_INET6 && ret->n6 < GUARD_ADDRESSES_MAX)
            memcpy(&ret->v6[ret->n6++], own[i].addr, sizeof(ret->v6[0]));
    }
    return 1;
}

static int guard_bpf(struct job *job, const struct rtnl_iface *pod, int tap, struct err *err)
{
    struct guard_rules rules;
    int wanted = guard_rules(job, pod, &rules, err);
    autofd int fd = -1;

    if (wanted <= 0)
        return wanted;
    fd = guard_load(&rules, err);
    return fd < 0 ? -1 : rtnl_filter_bpf(job->nl, tap, RTNL_INGRESS, RTNL_GUARD, fd, 0, err);
}

static int join_bpf(struct job *job, const struct rtnl_iface *pod, int tap, struct err *err)
{
    struct classifier progs;
    autofd int far = -1;

    if (tap > CLASSID_MAX || pod->index > CLASSID_MAX)
        return err_set(err, ERR_EXHAUSTED, "interface index beyond %d", CLASSID_MAX);
    if (classifier_get(&progs, err) < 0)
        return -1;
    if (job->options->gateway.s_addr) {
        far = classifier_far(job->options->gateway.s_addr, err);
        if (far < 0)
            return -1;
        progs.from_guest = far;
    }
    if (guard_bpf(job, pod, tap, err) < 0 ||
        rtnl_filter_bpf(job->nl, tap, RTNL_INGRESS, RTNL_LINK, progs.from_guest,
                        (uint16_t)pod->index, err) < 0 ||
        join_lo(job, pod, tap, progs.from_lo, err) < 0)
        return -1;
    return rtnl_filter_bpf(job->nl, pod->index, RTNL_INGRESS, RTNL_LINK, progs.from_pod,
                           (uint16_t)tap, err);
}

static int join_plain(struct job *job, const struct rtnl_iface *pod, int tap, struct err *err)
{
    const char *kind = job->ret->mode == GUEST_LINK_MATCHALL ? "matchall" : "u32";
    struct guard_rules rules;
    int wanted = guard_rules(job, pod, &rules, err);

    if (wanted < 0)
        return -1;
    /* Of a tap that has been there before. */
    for (int s = RTNL_GUARD_8021Q; s <= RTNL_LINK; s++)
        if (rtnl_filter_del(job->nl, tap, RTNL_INGRESS, (enum rtnl_stage)s, err) < 0)
            return -1;
    if (wanted && guard_u32(job->nl, tap, pod->index, &rules, err) < 0)
        return err_wrap(err, "what the guest sends cannot be checked on this kernel "
                             "(network.guest_source_check = false and network.guest_metadata = "
                             "true do without)");
    if (!wanted && rtnl_filter_redirect(job->nl, tap, kind, pod->index, err) < 0)
        return -1;
    return rtnl_filter_redirect(job->nl, pod->index, kind, tap, err);
}

static int unjoin(struct job *job, int pod, struct err *err)
{
    if (pod > 0 && rtnl_filter_del(job->nl, pod, RTNL_INGRESS, RTNL_LINK, err) < 0)
        return -1;
    return rtnl_filter_del(job->nl, RTNL_LO_IFINDEX, RTNL_EGRESS, RTNL_LINK, err);
}

static int join(struct job *job, const struct rtnl_iface *pod, int tap, struct err *err)
{
    if (unjoin(job, pod->index, err) < 0) /* of a guest that is gone, perhaps of another mode */
        return -1;
    if (rtnl_clsact_add(job->nl, tap, err) < 0 || rtnl_clsact_add(job->nl, pod->index, err) < 0)
        return -1;
    return job->ret->mode == GUEST_LINK_BPF ? join_bpf(job, pod, tap, err)
                                            : join_plain(job, pod, tap, err);
}

/* ---------------------------------------------------- create and remove */

static int create_tap(struct job *job, const struct rtnl_iface *pod, struct err *err)
{
    struct err ignored = ERR_INIT;
    int index;

    if (tap_open(job, err) < 0)
        return -1;
    index = (int)if_nametoindex(job->tap);
    if (index == 0)
        return err_sys(err, "find tap '%s'", job->tap);
    if (tap_setup(job, pod, index, err) < 0)
        return -1;
    if (join(job, pod, index, err) < 0) {
        (void)unjoin(job, pod->index, &ignored);
        return -1;
    }
    job->ret->mtu = mtu_for(pod);
    (void)snprintf(job->ret->tap, sizeof(job->ret->tap), "%s", job->tap);
    (void)snprintf(job->ret->mac, sizeof(job->ret->mac), "%02x:%02x:%02x:%02x:%02x:%02x",
                   pod->mac[0], pod->mac[1], pod->mac[2], pod->mac[3], pod->mac[4], pod->mac[5]);
    return 0;
}

static int list(struct job *job, struct err *err)
{
    job->nl = rtnl_open(err);
    if (!job->nl)
        return -1;
    return rtnl_ifaces(job->nl, job->ifaces, &job->n_ifaces, err);
}

static int create_run(void *arg, struct err *err)
{
    struct job *job = arg;
    const struct rtnl_iface *pod, *other;

    if (list(job, err) < 0)
        return -1;
    pod = iface_by_name(job, job->ifname);
    if (!pod)
        return err_set(err, ERR_NOT_FOUND, "the pod has no interface '%s'", job->ifname);
    other = tap_of(job, false);
    if (other)
        return err_set(err, ERR_EXISTS, "another guest holds the pod's address by tap '%s'",
                       other->name);
    return create_tap(job, pod, err);
}

static int remove_run(void *arg, struct err *err)
{
    struct job *job = arg;
    const struct rtnl_iface *pod, *tap;

    if (list(job, err) < 0)
        return -1;
    pod = iface_by_name(job, job->ifname);
    tap = tap_of(job, true);
    if (!tap_of(job, false) && unjoin(job, pod ? pod->index : 0, err) < 0)
        return -1;
    return tap ? rtnl_iface_del(job->nl, tap->index, err) : 0;
}

static int job_start(const char *netns, struct job *job, int (*f)(void *arg, struct err *err),
                     struct err *err)
{
    autofree struct rtnl_iface *ifaces = xcalloc(RTNL_LINKS_MAX, sizeof(*ifaces));
    autofd int fd = netns_open(netns, err);
    int r;

    if (fd < 0)
        return -1;
    job->ifaces = ifaces;
    r = netns_run(fd, f, job, err);
    rtnl_close(job->nl);
    return r;
}

static int check_names(const char *ifname, const char *tap, struct err *err)
{
    if (!name_is_safe(tap) || strlen(tap) >= IFNAMSIZ || strpbrk(tap, "%: "))
        return err_set(err, ERR_INVALID, "'%s' is not a name for a tap", tap);
    if (!name_is_safe(ifname) || strlen(ifname) >= IFNAMSIZ || str_eq(ifname, tap))
        return err_set(err, ERR_INVALID, "'%s' is not a name for the pod's interface", ifname);
    return 0;
}

int guest_link_create(const char *netns, const char *ifname, const char *tap,
                      const struct guest_link_options *options, struct guest_link *ret,
                      struct err *err)
{
    struct guest_link link = {.tap_fd = -1};
    struct job job = {.ifname = ifname, .tap = tap, .options = options, .ret = &link};

    FAULT_POINT("cni.link.create");
    if (check_names(ifname, tap, err) < 0)
        return -1;
    link.mode = guest_link_probe(NULL);
    if (job_start(netns, &job, create_run, err) < 0) {
        guest_link_close(&link);
        return err_wrap(err, "link a guest");
    }
    *ret = link;
    return 0;
}

int guest_link_remove(const char *netns, const char *ifname, const char *tap, struct err *err)
{
    struct job job = {.ifname = ifname, .tap = tap};
    struct err why = ERR_INIT;

    FAULT_POINT("cni.link.remove");
    if (check_names(ifname, tap, err) < 0)
        return -1;
    if (job_start(netns, &job, remove_run, &why) < 0) {
        if (why.code == ERR_NOT_FOUND)
            return 0;
        if (err)
            *err = why;
        return err_wrap(err, "unlink a guest");
    }
    return 0;
}
