/* SPDX-License-Identifier: Apache-2.0 */
/* find - from what a person types (id, prefix of an id, name) to the one object meant; see cli.h.
 */
#include <string.h>

#include "base/strbuf.h"
#include "cli/cli.h"

/* What the search has seen so far; an id beats a name, the newest of equal names wins (lists are
 * newest first). */
struct found {
    const char *word;
    const char *exact, *named, *prefixed; /* borrowed from the reply */
    size_t n_prefixed;
};

static void look_at(struct found *f, const char *id, const char *name)
{
    if (str_eq(id, f->word))
        f->exact = id;
    if (name && str_eq(name, f->word) && !f->named)
        f->named = id;
    if (str_has_prefix(id, f->word)) {
        f->prefixed = id;
        f->n_prefixed++;
    }
}

static int choose(const struct found *f, const char *what, char **ret_id, struct err *err)
{
    const char *id = f->exact ? f->exact : f->named;
    if (!id && f->n_prefixed > 1)
        return err_set(err, ERR_INVALID, "'%s' is the beginning of %zu %s ids; give more of it",
                       f->word, f->n_prefixed, what);
    if (!id)
        id = f->prefixed;
    if (!id)
        return err_set(err, ERR_NOT_FOUND, "no %s has the id or name '%s'", what, f->word);
    *ret_id = xstrdup(id);
    return 0;
}

int find_container(struct cli *cli, const char *word, char **ret_id, struct err *err)
{
    V1(ListContainersRequest) request = RUNTIME__V1__LIST_CONTAINERS_REQUEST__INIT;
    automessage V1(ListContainersResponse) *reply = NULL;
    if (cli_call(cli, "RuntimeService/ListContainers", &request.base,
                 &runtime__v1__list_containers_response__descriptor, 0, &reply, err) < 0)
        return -1;
    struct found f = {.word = word};
    for (size_t i = 0; i < reply->n_containers; i++)
        look_at(&f, reply->containers[i]->id,
                reply->containers[i]->metadata ? reply->containers[i]->metadata->name : NULL);
    return choose(&f, "container", ret_id, err);
}

int find_pod(struct cli *cli, const char *word, char **ret_id, struct err *err)
{
    V1(ListPodSandboxRequest) request = RUNTIME__V1__LIST_POD_SANDBOX_REQUEST__INIT;
    automessage V1(ListPodSandboxResponse) *reply = NULL;
    if (cli_call(cli, "RuntimeService/ListPodSandbox", &request.base,
                 &runtime__v1__list_pod_sandbox_response__descriptor, 0, &reply, err) < 0)
        return -1;
    struct found f = {.word = word};
    for (size_t i = 0; i < reply->n_items; i++)
        look_at(&f, reply->items[i]->id,
                reply->items[i]->metadata ? reply->items[i]->metadata->name : NULL);
    return choose(&f, "pod", ret_id, err);
}
