/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cni - pod networks: network namespaces, CNI plugin chains, taps for guests. Facade of the folder.
 *
 * The network configuration is the first *.conflist (or *.conf, wrapped) by name in a watched
 * directory. What was used at ADD is handed to the caller to be stored, and DEL runs with exactly
 * that, even when the directory has changed or the namespace is gone. Nothing here is remembered
 * across a restart: rows belong to sandbox/.
 *
 * Thread: any; attach, detach and the link functions block on plugins and the kernel up to their
 * deadline. Specs: CNI 0.3.1 - 1.1.0.
 */
#ifndef UNICRI_CNI_CNI_H
#define UNICRI_CNI_CNI_H

#include <net/if.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "base/options.h"

struct loop;
struct cni;

struct cni_config {
    char *conf_dir;  /* /etc/cni/net.d */
    char **bin_dirs; /* /opt/cni/bin, /usr/lib/cni */
    char *cache_dir; /* handed to plugins that want one; "" = below the run directory */
    char *
        conf_template; /* written to conf_dir with the pod CIDR by UpdateRuntimeConfig; "" = none */
    nsec_t timeout;    /* for one plugin call */
    bool source_check; /* of guests */
    bool metadata;     /* guests may ask the cloud's metadata service */
};
extern const struct option cni_options[];
extern const size_t cni_options_n;
extern struct metric *const cni_metrics[];

/** cni_open() - loads the directory and watches it (`loop` may be NULL: no watch, cni_reload()
 * only). Bad files are logged and skipped; no network at all is a state, not an error. `config` is
 * borrowed. */
struct cni *cni_open(const struct cni_config *config, const char *run_dir, struct loop *loop,
                     struct err *err);
void cni_close(struct cni *cni);
void cni_reload(struct cni *cni);
/** cni_status() - Returns: true when pods can get a network; else *ret_why (owned by the caller)
 * says in plain words what is missing. A single failed STATUS does not flip it (hysteresis). Memory
 * only. */
bool cni_status(struct cni *cni, char **ret_why);
/** cni_set_pod_cidr() - UpdateRuntimeConfig: fill the template, if one is configured. */
int cni_set_pod_cidr(struct cni *cni, const char *pod_cidr, struct err *err) MUST_CHECK;

/* ------------------------------------------------------ namespaces */

/** netns_create() - a new network namespace, lo up (127.0.0.1, ::1), pinned as a bind mount at
 * `path`. Idempotent. */
int netns_create(const char *path, struct err *err) MUST_CHECK;
/** netns_adopt() - bring lo up in a network namespace that another process has made, `from` (a file
 * of /proc/PID/ns), and pin it at `path`, where nothing is mounted. */
int netns_adopt(const char *path, const char *from, struct err *err) MUST_CHECK;
/** netns_open() - Returns: fd or -1. Errors: NOT_FOUND when the path is no (longer a) namespace. */
int netns_open(const char *path, struct err *err);
/** netns_remove() - unmount and unlink; absent: success. The kernel's slow teardown goes on behind
 * it. */
int netns_remove(const char *path, struct err *err) MUST_CHECK;
/** netns_sysctl() - write /proc/sys/<name with slashes> inside the namespace. Errors: INVALID for a
 * name that is not a net.* one. */
int netns_sysctl(const char *path, const char *name, const char *value, struct err *err) MUST_CHECK;

#define LINK_STATS_MAX 32 /* interfaces of one namespace that are counted */
struct link_stats {
    char name[IFNAMSIZ];
    uint64_t rx_bytes, rx_packets, rx_errors, rx_dropped;
    uint64_t tx_bytes, tx_packets, tx_errors, tx_dropped;
};
/**
 * netns_link_stats() - the counters of the interfaces (loopback left out) of each of `n`
 * namespaces: found(arg, i, links, n_links) is called for the i-th; one that is gone is passed
 * over. Thread: any; one thread made for it goes through all namespaces and ends, found() runs on
 * that one while the caller waits.
 */
int netns_link_stats(const char *const *paths, size_t n,
                     void (*found)(void *arg, size_t i, const struct link_stats *links,
                                   size_t n_links),
                     void *arg, struct err *err) MUST_CHECK;

/* ----------------------------------------------------------- plugins */

struct cni_port_mapping {
    const char *protocol; /* "tcp", "udp", "sctp" */
    uint16_t container_port, host_port;
    const char *host_ip; /* "" = all */
};

/* One pod's request. All strings borrowed. */
struct cni_request {
    const char *id;                                 /* CNI_CONTAINERID: the sandbox id */
    const char *netns;                              /* path */
    const char *ifname;                             /* "eth0" */
    const char *pod_namespace, *pod_name, *pod_uid; /* K8S_POD_* of CNI_ARGS */
    const struct cni_port_mapping *ports;
    size_t n_ports;
    const char *cgroup_parent;
    char *const *dns_servers, *const *dns_searches, *const *dns_options;
    const struct kvs *annotations; /* bandwidth: kubernetes.io/{ingress,egress}-bandwidth */
};

struct cni_address {
    int family; /* AF_INET, AF_INET6 */
    char ip[INET6_ADDRSTRLEN];
    int prefix;
    char gateway[INET6_ADDRSTRLEN]; /* "" when there is none */
};
#define CNI_ADDRESSES_MAX 16

struct cni_route {
    char dst[INET6_ADDRSTRLEN + 4];
    char gateway[INET6_ADDRSTRLEN];
};
#define CNI_ROUTES_MAX 64

/* What ADD made of the pod's interface `ifname`. Plain value, nothing owned. */
struct cni_result {
    struct cni_address addresses[CNI_ADDRESSES_MAX];
    size_t n_addresses;
    struct cni_route routes[CNI_ROUTES_MAX];
    size_t n_routes;
    char ifname[IFNAMSIZ];
    char mac[18];
    int mtu; /* 0 unknown */
};

/**
 * cni_plan() - freeze what ADD will use: conflist text and arguments (JSON), both owned by the
 * caller, to be stored *before* cni_add(). Errors: UNAVAILABLE when there is no network
 * configuration.
 */
int cni_plan(struct cni *cni, const struct cni_request *request, char **ret_conflist,
             char **ret_args, struct err *err) MUST_CHECK;
/** cni_add() - run the chain. On failure the plugins that ran are not undone: the caller owes a
 * DEL. ret_result: the last plugin's JSON, owned by the caller. Errors: UNAVAILABLE with plugin and
 * its own message, DEADLINE naming the plugin. */
int cni_add(struct cni *cni, const char *conflist, const char *args, deadline_t deadline,
            char **ret_result, struct err *err) MUST_CHECK;
/** cni_del() - run the chain backwards; `result` may be "". A missing namespace is passed on as the
 * spec says. */
int cni_del(struct cni *cni, const char *conflist, const char *args, const char *result,
            deadline_t deadline, struct err *err) MUST_CHECK;
/** cni_check() - CNI CHECK with the stored result of ADD; success when the list has disableCheck.
 * Errors: UNAVAILABLE with plugin and message, UNSUPPORTED before CNI 0.4.0. */
int cni_check(struct cni *cni, const char *conflist, const char *args, const char *result,
              deadline_t deadline, struct err *err) MUST_CHECK;
/** cni_gc() - CNI 1.1 GC with the attachments that are still valid (ids; interface eth0), where the
 * plugins know it. */
int cni_gc(struct cni *cni, char *const *valid_ids, deadline_t deadline,
           struct err *err) MUST_CHECK;
/** cni_result_parse() - a result of any supported version. Errors: INVALID naming the member, also
 * when `ifname` has got no address at all.
 * Memory only. */
int cni_result_parse(const char *json, const char *ifname, struct cni_result *ret,
                     struct err *err) MUST_CHECK;

/* --------------------------------------------------- guests' links */

/* How the pod's veth and a guest's tap are joined. */
enum guest_link_mode {
    GUEST_LINK_BPF, /* classifier with local-socket look-up: the kernel's stack and the guest share
                       the address */
    GUEST_LINK_MATCHALL, /* everything to the guest: ordinary containers of the pod have no network
                          */
    GUEST_LINK_U32,      /* the same by u32 */
};

#define GUEST_LINK_QUEUES_MAX 8

struct guest_link {
    int tap_fd; /* owned by the caller; non-blocking, no vnet header unless asked */
    int more_fds[GUEST_LINK_QUEUES_MAX - 1]; /* further queues of the tap; likewise */
    size_t n_more;
    char tap[IFNAMSIZ];
    char mac[18]; /* the guest's: that of the pod's interface */
    int mtu;
    enum guest_link_mode mode;
};

/* Zero is the strict choice. With both of the latter true nothing is looked at in the modes without
 * BPF; else these need u32. */
struct guest_link_options {
    uid_t owner_uid; /* may open the tap's queue; the fd is passed anyway */
    bool vnet_hdr;   /* IFF_VNET_HDR (QEMU, Firecracker), else plain frames (Solo5) */
    unsigned queues; /* of the tap, at most GUEST_LINK_QUEUES_MAX; 0: one */
    bool any_source; /* frames leave from other addresses than the pod's, too */
    bool metadata;   /* and to the metadata services of clouds (169.254.169.254 and alike) */
    /* One that the guest cannot ask for, or is not to: mode BPF answers the guest's questions for
     * any hardware address itself and hands what is sent there to this neighbour of the pod's
     * interface. 0.0.0.0: none. */
    struct in_addr gateway;
};
/** cni_link_options() - `any_source` and `metadata` as configured. Memory only. */
struct guest_link_options cni_link_options(const struct cni *cni);

/* How a pod's namespace reaches others by one interface. */
struct guest_path {
    char gateway[INET_ADDRSTRLEN], gateway6[INET6_ADDRSTRLEN]; /* of default routes; "" none */
    bool on_link; /* the rest of the IPv4 network is reached without a gateway */
};
/** guest_path_read() - from the namespace's routing table; `ip`, the pod's IPv4 address or "", says
 * which network is asked about. Errors: NOT_FOUND without namespace or interface. Thread: any;
 * blocks on the kernel only. */
int guest_path_read(const char *netns, const char *ifname, const char *ip, struct guest_path *ret,
                    struct err *err) MUST_CHECK;

/**
 * guest_link_create() - a tap in the pod's namespace, joined with `ifname`, quiet (no IPv6
 * autoconfiguration, no flooding).
 * The tap is there for as long as its descriptor is open in some process. In mode BPF ordinary
 * containers reach the guest at the pod's address, too; it sees them as 169.254.77.1 or
 * fd75:6e69:6372:6900::1, so it needs a gateway to answer. (Loopback addresses lead to no guest: a
 * port forward dials the pod's own address inside the namespace.) Idempotent: an existing tap of
 * that name is opened again when nobody holds it, and filters of a guest that is gone are replaced.
 * The guest's addresses are those that the interface has now: what it sends from one added later is
 * dropped until it is linked again. At a port where an ordinary container and the guest both listen
 * the container is heard.
 * Errors: UNSUPPORTED with the kernel feature that is missing; EXISTS when another guest holds the
 * pod's address.
 */
int guest_link_create(const char *netns, const char *ifname, const char *tap,
                      const struct guest_link_options *options, struct guest_link *ret,
                      struct err *err) MUST_CHECK;
/** guest_link_close() - the descriptors; the tap stays if it is held elsewhere or persistent. */
void guest_link_close(struct guest_link *link);
/** guest_link_remove() - undo it; only this tap and this redirect. Absent or namespace gone:
 * success. */
int guest_link_remove(const char *netns, const char *ifname, const char *tap,
                      struct err *err) MUST_CHECK;
/** guest_link_probe() - which mode this kernel allows; *ret_why (owned) says why a better one is
 * not. UNICRI_GUEST_LINK=bpf|matchall|u32 in the environment forces one (tests). */
enum guest_link_mode guest_link_probe(char **ret_why);

#endif
