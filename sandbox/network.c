/* SPDX-License-Identifier: Apache-2.0 */
/* network - see network.h. */
#include "sandbox/network.h"

#include <string.h>

#include "base/log.h"

static const char *protocol_name(int protocol)
{
    static const char *const names[] = {"tcp", "udp", "sctp"};

    return protocol >= 0 && protocol < 3 ? names[protocol] : "tcp";
}

/* Only ports that ask for a port of the node are mapped (CRI: host_port 0 is none). Owned by the
 * caller. */
static struct cni_port_mapping *map_ports(const struct pod_spec *spec, size_t *ret_n)
{
    struct cni_port_mapping *ports = xcalloc(spec->n_ports + 1, sizeof(*ports));

    *ret_n = 0;
    for (size_t i = 0; i < spec->n_ports; i++) {
        const struct port_mapping *p = &spec->ports[i];

        if (p->host_port)
            ports[(*ret_n)++] = (struct cni_port_mapping){
                .protocol = protocol_name(p->protocol),
                .container_port = (uint16_t)p->container_port,
                .host_port = (uint16_t)p->host_port,
                .host_ip = p->host_ip,
            };
    }
    return ports;
}

static int plan(struct pod *pod, char **ret_conflist, char **ret_args, struct err *err)
{
    const struct pod_spec *spec = pod->spec;
    size_t n_ports;
    autofree struct cni_port_mapping *ports = map_ports(spec, &n_ports);
    struct cni_request request = {
        .id = pod->id,
        .netns = pod->netns,
        .ifname = POD_IFNAME,
        .pod_namespace = spec->namespace_,
        .pod_name = spec->name,
        .pod_uid = spec->uid,
        .ports = ports,
        .n_ports = n_ports,
        .cgroup_parent = pod->cgroup,
        .dns_servers = spec->dns_servers,
        .dns_searches = spec->dns_searches,
        .dns_options = spec->dns_options,
        .annotations = &spec->annotations,
    };

    return cni_plan(pod->engine->cni, &request, ret_conflist, ret_args, err);
}

/* Row, ADD, result: from the first on a DEL is owed. */
int network_add(struct pod *pod, struct err *err)
{
    struct engine *engine = pod->engine;
    autofree char *conflist = NULL, *args = NULL, *result = NULL;
    autofree struct cni_result *parsed = XNEW(struct cni_result);

    if (plan(pod, &conflist, &args, err) < 0)
        return -1;

    struct network_row row = {.pod_id = pod->id,
                              .netns = pod->netns,
                              .conflist = conflist,
                              .args = args,
                              .result = (char[]){""},
                              .error = (char[]){""}};

    if (db_network_insert(engine->db, &row, err) < 0 ||
        cni_add(engine->cni, conflist, args, deadline_in(NETWORK_ADD_TIMEOUT), &result, err) < 0 ||
        db_network_set_result(engine->db, pod->id, result, err) < 0 ||
        cni_result_parse(result, POD_IFNAME, parsed, err) < 0)
        return -1;
    if (parsed->n_addresses == 0)
        return err_set(err, ERR_UNAVAILABLE, "the network's result has no address for '%s'",
                       POD_IFNAME);
    pod_set_network(pod, TAKE_PTR(parsed));
    return 0;
}

/* One DEL of a stored row. Returns: 0 done and the row gone, 1 still owed (the row says why), -1
 * the row cannot be written. */
static int del(struct engine *engine, const struct network_row *row, struct err *err)
{
    struct err why = ERR_INIT;

    if (cni_del(engine->cni, row->conflist, row->args, row->result,
                deadline_in(NETWORK_DEL_TIMEOUT), &why) == 0)
        return db_network_delete(engine->db, row->pod_id, err);
    log_warn("network of pod %s: DEL failed, it stays owed: %s", row->pod_id, why.msg);
    return db_network_failed(engine->db, row->pod_id, why.msg, true, err) < 0 ? -1 : 1;
}

int network_release(struct pod *pod, struct err *err)
{
    struct engine *engine = pod->engine;
    struct network_row row = {0};
    struct err found = ERR_INIT;

    if (db_network_get(engine->db, pod->id, &row, &found) < 0) {
        if (found.code == ERR_NOT_FOUND)
            return 0;
        if (err)
            *err = found;
        return -1;
    }

    int rc = row.orphan ? 1 : del(engine, &row, err);

    network_row_done(&row);
    if (rc > 0)
        debt_add(engine, pod->id, DEBT_PAUSE_FIRST);
    return rc < 0 ? -1 : 0;
}

void network_load(struct pod *pod)
{
    struct network_row row = {0};
    autofree struct cni_result *parsed = XNEW(struct cni_result);
    struct err err = ERR_INIT;

    if (!*pod->netns || db_network_get(pod->engine->db, pod->id, &row, &err) < 0)
        return;
    if (*row.result && cni_result_parse(row.result, POD_IFNAME, parsed, &err) == 0)
        pod_set_network(pod, TAKE_PTR(parsed));
    else
        log_warn("pod %s: its stored network result cannot be read: %s", pod->id,
                 *row.result ? err.msg : "empty");
    network_row_done(&row);
}

/* -------------------------------------------------------------- owed DELs */

struct debt {
    char pod_id[ID_LEN + 1];
    nsec_t pause;
    deadline_t due;
    SLIST_ENTRY(debt) link;
};
SLIST_HEAD(debt_head, debt);
struct debts {
    struct debt_head list; /* guarded by the engine's lock */
    size_t n;
    bool working;
};

struct debts *debts_new(void)
{
    return XNEW(struct debts);
}

void debts_free(struct debts *debts)
{
    struct debt *d;

    while (debts && (d = SLIST_FIRST(&debts->list))) {
        SLIST_REMOVE_HEAD(&debts->list, link);
        free(d);
    }
    free(debts);
}

void debt_add(struct engine *engine, const char *pod_id, nsec_t pause)
{
    struct debts *debts = engine->debts;
    struct debt *d;

    mutex_lock(&engine->lock);
    SLIST_FOREACH (d, &debts->list, link)
        if (strcmp(d->pod_id, pod_id) == 0)
            break;
    if (!d) {
        d = XNEW(struct debt);
        (void)snprintf(d->pod_id, sizeof(d->pod_id), "%s", pod_id);
        SLIST_INSERT_HEAD(&debts->list, d, link);
        metric_owed_dels(++debts->n);
    }
    d->pause = pause > DEBT_PAUSE_FIRST ? pause : DEBT_PAUSE_FIRST;
    d->due = deadline_in(pause);
    mutex_unlock(&engine->lock);
}

size_t debts_count(struct engine *engine)
{
    mutex_lock(&engine->lock);

    size_t n = engine->debts->n;

    mutex_unlock(&engine->lock);
    return n;
}

/* Take one that is due off the list; the caller puts it back or frees it. */
static struct debt *take_due(struct engine *engine)
{
    struct debts *debts = engine->debts;
    struct debt *d;

    mutex_lock(&engine->lock);
    SLIST_FOREACH (d, &debts->list, link)
        if (deadline_passed(d->due))
            break;
    if (d) {
        SLIST_REMOVE(&debts->list, d, debt, link);
        metric_owed_dels(--debts->n);
    }
    mutex_unlock(&engine->lock);
    return d;
}

static void pay(struct engine *engine, struct debt *d)
{
    struct network_row row = {0};
    struct err err = ERR_INIT;
    int rc = db_network_get(engine->db, d->pod_id, &row, &err);

    if (rc < 0 && err.code == ERR_NOT_FOUND)
        return;
    if (rc == 0)
        rc = del(engine, &row, &err);
    network_row_done(&row);
    if (rc == 0)
        log_info("network of pod %s: the owed DEL is done", d->pod_id);
    else
        debt_add(engine, d->pod_id, d->pause * 2 < DEBT_PAUSE_MAX ? d->pause * 2 : DEBT_PAUSE_MAX);
}

void debts_work(struct engine *engine)
{
    struct debt *d;
    bool mine;

    mutex_lock(&engine->lock);
    mine = !engine->debts->working;
    engine->debts->working = true;
    mutex_unlock(&engine->lock);
    if (!mine)
        return;
    while ((d = take_due(engine))) {
        pay(engine, d);
        free(d);
    }
    mutex_lock(&engine->lock);
    engine->debts->working = false;
    mutex_unlock(&engine->lock);
}
