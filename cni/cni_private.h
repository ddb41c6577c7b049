/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cni_private - what cni.c (the handle: directory, status) and chain.c, request.c (calls) share.
 */
#ifndef UNICRI_CNI_CNI_PRIVATE_H
#define UNICRI_CNI_CNI_PRIVATE_H

#include "base/thread.h"
#include "cni/cni.h"
#include "cni/conflist.h"

struct cni {
    const struct cni_config *config; /* borrowed */
    char *cache_dir;                 /* owned */
    struct loop *loop;               /* borrowed; may be NULL */
    struct mutex lock;               /* guards all below; never held over a file or a plugin */
    struct conflist *list;    /* owned; NULL: no network. Only its JSON's text leaves the lock */
    char *file;               /* owned; where it came from */
    char *complaint;          /* owned; of the last look at the directory, or NULL */
    char *missing;            /* owned; a plugin that is not installed, or NULL */
    char *status_why;         /* owned; the last failed STATUS, or NULL */
    int status_failures;      /* in a row */
    nsec_t checked;           /* when plugins and STATUS were last looked at */
    bool checking, reloading; /* a job is under way */
    bool reload_again;        /* and must be done once more */
};

extern struct metric cni_metric_add, cni_metric_del, cni_metric_add_failed, cni_metric_del_failed;

/** cni_current_list() - a copy of the list in use as text, owned by the caller; NULL when there is
 * none. */
char *cni_current_list(struct cni *cni);
/** cni_refresh() - look at the plugins now and ask for their STATUS; blocks. Done in the background
 * where there is a loop. */
void cni_refresh(struct cni *cni);
/** cni_list_installed() - are all plugins there? Errors: NOT_FOUND, DENIED naming the first that is
 * not. */
int cni_list_installed(const struct cni *cni, const struct conflist *list,
                       struct err *err) MUST_CHECK;
/** cni_list_status() - what STATUS (CNI 1.1) says; success before 1.1. */
int cni_list_status(const struct cni *cni, const struct conflist *list, deadline_t deadline,
                    struct err *err) MUST_CHECK;
/** request_args() - the arguments of a request as one JSON text; capabilities only as far as `list`
 * declares them. */
char *request_args(const struct conflist *list, const struct cni_request *request, struct err *err);
/** request_parse_rate() - a Kubernetes quantity ("10M", "1Gi", "1.5k") in whole units, at least 1.
 */
int request_parse_rate(const char *s, uint64_t *ret, struct err *err) MUST_CHECK;

#endif
