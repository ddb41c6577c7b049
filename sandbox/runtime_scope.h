/* SPDX-License-Identifier: Apache-2.0 */
/*
 * runtime_scope - control groups of ordinary containers where systemd owns the tree. With the
 * driver "systemd" a container of a pod that lies in a slice gets a scope in it,
 * unicri-ID.scope, made by systemd at the OCI runtime's request. systemd takes liberties with
 * control groups that it has not made: what a unit does not ask for it may switch off.
 *
 * Guests, the init of a shared PID namespace and pods whose client names no slice have plain
 * control groups with this driver too.
 */
#ifndef UNICRI_SANDBOX_RUNTIME_SCOPE_H
#define UNICRI_SANDBOX_RUNTIME_SCOPE_H

#include "sandbox/container.h"

/** scope_cgroup() - the path of the container's scope, owned; NULL: it has a plain one. */
char *scope_cgroup(const struct container *c);
/** scope_is() - is this such a path? */
bool scope_is(const char *cgroup);
/** scope_oci_name() - the same as an OCI runtime's cgroupsPath, "SLICE:PREFIX:NAME"; owned. */
char *scope_oci_name(const char *cgroup);
/** scope_update() - tell systemd all limits that are in force, by the OCI runtime: it would write
 * those that it knows when it is reloaded. Errors: as the runtime's, with its words. */
int scope_update(struct container *c, struct err *err) MUST_CHECK;

#endif
