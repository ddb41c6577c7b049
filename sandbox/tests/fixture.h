/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fixture - a whole engine in directories of its own, on the real database, image store, plugins,
 * monitor and OCI runtime.
 *
 * The process takes a mount and a network namespace of its own first, so that nothing is left on
 * the host whatever happens. Images are laid into the store by hand: "busybox" from Debian's static
 * one, and the test unikernels where they are built.
 */
#ifndef UNICRI_SANDBOX_TESTS_FIXTURE_H
#define UNICRI_SANDBOX_TESTS_FIXTURE_H

#include "base/tests/testing.h"
#include "sandbox/engine.h"

struct fixture {
    char *dir;
    struct sandbox_config sandbox;
    struct cni_config cni_config;
    struct vmm_config vmm_config;
    struct imagestore_config image_config;
    struct loop *loop;
    pthread_t loop_thread;
    struct db *db;
    struct cni *cni;
    struct vmm *vmm;
    struct imagestore *images;
    struct engine *engine;
};

/** fixture_isolate() - once, first in main(). Returns: false (with a message) when this host does
 * not allow it. */
bool fixture_isolate(void);
/** fixture_have() - is a program there? */
bool fixture_have(const char *program);
struct fixture *fixture_new(void);
/** fixture_open() - start the engine over the fixture's directories; fixture_close() lets go as a
 * daemon does. */
void fixture_open(struct fixture *f);
void fixture_close(struct fixture *f);
/** fixture_free() - closes and removes everything; kills what still runs. */
void fixture_free(struct fixture *f);

/** fixture_pod() - a request; `network`: with CNI, else the node's. Caller: pod_spec_free(). */
struct pod_spec *fixture_pod(struct fixture *f, const char *name, bool network);
/** fixture_container() - a request of `sh -c SCRIPT` in busybox. */
struct container_spec *fixture_container(const char *pod_id, const char *name, const char *script);
/** fixture_log() - the log of a container; owned. */
char *fixture_log(struct fixture *f, const char *name);
/** fixture_wait() - until the container has that state; fails the test after 20 s. */
void fixture_wait(struct fixture *f, const char *id, enum container_state state,
                  struct container_view *ret);
/** fixture_assert_clean() - the census, the leases and the processes: nothing is left. */
void fixture_assert_clean(struct fixture *f);

#endif
