/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake_vmm - what the stand-ins for Firecracker and Cloud Hypervisor share. They take exactly the
 * arguments, the configuration and the requests that the real ones take, and end with status 97 and
 * a complaint at the first thing that the real ones would refuse. No guest runs: what it would do
 * is said by the word role=NAME of its command line.
 */
#ifndef UNICRI_VMM_TESTS_FAKE_VMM_H
#define UNICRI_VMM_TESTS_FAKE_VMM_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#define FAKE_STATUS 97
_Noreturn void fake_refuse(const char *what, const char *why);

enum fake_type { FAKE_STRING, FAKE_INTEGER, FAKE_BOOL, FAKE_OBJECT, FAKE_ARRAY };
struct fake_member {
    const char *name;
    enum fake_type type;
    bool required;
};
/* An object with these members, of these types, and no others. */
void fake_check_object(const char *what, const json_t *object, const struct fake_member *members,
                       size_t n);
/* Opens it as the real ones do, so that whoever must not is told by the kernel. */
void fake_open(const char *what, const char *path, bool writable);
/* A tap with virtio headers, by name. Returns its descriptor. */
int fake_tap(const char *name);
void fake_kvm(void);
void fake_mac(const char *mac);

struct fake_request {
    const char *method, *path;
    json_t *body; /* NULL: none */
};
struct fake_answer {
    int status;
    const char *body; /* "" none */
};
struct fake {
    const char *line; /* the guest's */
    int listener;
    int tap; /* with virtio headers; of the role "net", which answers pings for `mac` */
    const char *mac;
    /** Answers to a request that is in order. May end the program. */
    struct fake_answer (*answer)(const struct fake *fake, const struct fake_request *request);
    int crash_status; /* with which the real one ends when KVM gives up */
};
/* Whether the guest's line has the word role=NAME. */
bool fake_role(const struct fake *fake, const char *name);
/* A listening socket. */
int fake_listen(const char *path);
/* The guest runs: the console, and the API until somebody ends it. */
_Noreturn void fake_run(const struct fake *fake);

#endif
