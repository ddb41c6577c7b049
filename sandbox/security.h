/* SPDX-License-Identifier: Apache-2.0 */
/*
 * security - capabilities, seccomp and SELinux of an ordinary container, as members of
 * its OCI configuration. Checks are apart from writing, so that CreateContainer can refuse before
 * anything is made.
 */
#ifndef UNICRI_SANDBOX_SECURITY_H
#define UNICRI_SANDBOX_SECURITY_H

#include "base/json.h"
#include "sandbox/spec.h"

#define SECCOMP_FILE_MAX_BYTES (4 * 1024 * 1024)

/** capability_names() - strv of "CAP_..." of this kernel after default set, drop and add;
 * privileged: all. Errors: INVALID (no such one). */
int capability_names(const struct container_spec *spec, char ***ret, struct err *err) MUST_CHECK;
/** capability_ambient() - of those, what a program gets without being root and without having it in
 * its file. NULL: nothing. Errors: INVALID (unknown). */
int capability_ambient(const struct container_spec *spec, char ***ret, struct err *err) MUST_CHECK;

/** selinux_check() - labels asked for on a host without SELinux. Errors: UNSUPPORTED. */
int selinux_check(const struct selinux_option *selinux, struct err *err) MUST_CHECK;
/** selinux_label() - "user:role:type:level", owned; "" when none is asked. */
char *selinux_label(const struct selinux_option *selinux);
/** selinux_file_label() - of the files of a container that runs with that label; owned, "" as
 * above. */
char *selinux_file_label(const struct selinux_option *selinux);
/** selinux_relabel() - `path` and all below it, links aside; filesystems without labels keep none.
 * Errors: INVALID (a directory of the node itself), as the kernel's. */
int selinux_relabel(const char *path, const char *label, struct err *err) MUST_CHECK;
/** seccomp_profile() - the OCI `linux.seccomp` object or NULL for unconfined; `caps` as resolved.
 * Errors: INVALID (Localhost file). */
int seccomp_profile(const struct container_spec *spec, char *const *caps, json_t **ret,
                    struct err *err) MUST_CHECK;
/** seccomp_default() - the built-in profile. New reference. */
json_t *seccomp_default(char *const *caps);

#endif
