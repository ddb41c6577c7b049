/* SPDX-License-Identifier: Apache-2.0 */
/*
 * apparmor - which AppArmor profile an ordinary container gets, and the profile that RuntimeDefault
 * means: "unicri-default", loaded when the first container asks for it and the kernel has it not.
 */
#ifndef UNICRI_SANDBOX_APPARMOR_H
#define UNICRI_SANDBOX_APPARMOR_H

#include "base/err.h"
#include "sandbox/spec.h"

#define APPARMOR_DEFAULT "unicri-default"

/* Where a host keeps its AppArmor; apparmor_node is this one's. */
struct apparmor_host {
    const char *dir;    /* of the kernel: its `profiles` lists what is loaded */
    const char *parser; /* apparmor_parser */
};
extern const struct apparmor_host apparmor_node;

/**
 * apparmor_profile() - *ret (owned) is the name for the OCI specification, "" for none: nothing is
 * asked for, the container is privileged, or RuntimeDefault on a host without AppArmor (or without
 * the parser, which is logged). Runs the parser when RuntimeDefault has to be loaded.
 * Errors: UNSUPPORTED (a profile by name on a host without AppArmor), INVALID (no name), NOT_FOUND
 * (not loaded), UNAVAILABLE with the parser's words. Thread: any; blocks for the parser.
 */
int apparmor_profile(const struct apparmor_host *host, const struct container_spec *spec,
                     char **ret, struct err *err) MUST_CHECK;

#endif
