/* SPDX-License-Identifier: Apache-2.0 */
/* security - see security.h. */
#include "sandbox/security.h"

#include <string.h>
#include <strings.h>
#include <sys/prctl.h>

#include "base/fs.h"
#include "base/strbuf.h"

/* By number (linux/capability.h). */
static const char *const names[] = {
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
};
static const char *const defaults[] = {
    "CHOWN",  "DAC_OVERRIDE", "FSETID",  "FOWNER",           "MKNOD",      "NET_RAW", "SETGID",
    "SETUID", "SETFCAP",      "SETPCAP", "NET_BIND_SERVICE", "SYS_CHROOT", "KILL",    "AUDIT_WRITE",
};

static int number_of(const char *name, struct err *err)
{
    const char *plain = strncasecmp(name, "CAP_", 4) == 0 ? name + 4 : name;

    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (strcasecmp(plain, names[i]) == 0)
            return (int)i;
    return err_set(err, ERR_INVALID, "capability '%s': unknown", name);
}

static bool is_all(const char *name)
{
    return strcasecmp(name, "ALL") == 0 || strcasecmp(name, "CAP_ALL") == 0;
}

/* A container cannot have what its runtime's parent, this daemon, lacks. */
static bool available(int number)
{
    return prctl(PR_CAPBSET_READ, number, 0, 0, 0) == 1;
}

static int apply(uint64_t *set, char *const *list, bool add, struct err *err)
{
    for (; list && *list; list++) {
        if (is_all(*list)) {
            *set = add ? UINT64_MAX : 0;
            continue;
        }

        int n = number_of(*list, err);

        if (n < 0)
            return -1;
        *set = add ? *set | UINT64_C(1) << n : *set & ~(UINT64_C(1) << n);
    }
    return 0;
}

static char **names_of(uint64_t set)
{
    char **v = NULL;

    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (set & UINT64_C(1) << i && available((int)i))
            strv_take(&v, xasprintf("CAP_%s", names[i]));
    return v;
}

/* ALL is applied before the single names of the other list: drop ALL + add X leaves X; add ALL +
 * drop X all but X. */
int capability_names(const struct container_spec *spec, char ***ret, struct err *err)
{
    bool add_all = false;
    uint64_t set = 0;

    for (char *const *c = spec->add_caps; c && *c; c++)
        add_all = add_all || is_all(*c);
    for (size_t i = 0; i < ARRAY_SIZE(defaults); i++)
        set |= UINT64_C(1) << number_of(defaults[i], NULL);
    if (apply(&set, add_all ? spec->add_caps : spec->drop_caps, add_all, err) < 0 ||
        apply(&set, add_all ? spec->drop_caps : spec->add_caps, !add_all, err) < 0)
        return -1;
    /* What is ambient must be permitted too. */
    if (apply(&set, spec->ambient_caps, true, err) < 0)
        return -1;
    if (spec->privileged)
        set = UINT64_MAX;
    *ret = names_of(set);
    return 0;
}

int capability_ambient(const struct container_spec *spec, char ***ret, struct err *err)
{
    uint64_t set = 0;

    if (apply(&set, spec->ambient_caps, true, err) < 0)
        return -1;
    *ret = names_of(set);
    return 0;
}

/* -------------------------------------------------------------------- seccomp */

static int localhost_profile(const char *ref, json_t **ret, struct err *err)
{
    const char *path = str_has_prefix(ref, "localhost/") ? ref + strlen("localhost/") : ref;
    autofree char *text = NULL;
    const char *action = NULL;
    size_t len;

    if (path[0] != '/' || strstr(path, ".."))
        return err_set(err, ERR_INVALID, "seccomp profile '%s': not an absolute path", ref);

    autofd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st;

    if (fd < 0)
        return err_sys(err, "seccomp profile '%s'", path);
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return err_set(err, ERR_INVALID, "seccomp profile '%s': not a regular file", path);
    if (fs_read_fd(fd, SECCOMP_FILE_MAX_BYTES, &text, &len, err) < 0)
        return err_wrap(err, "seccomp profile '%s'", path);

    autojson *profile = json_parse(text, len, SECCOMP_FILE_MAX_BYTES, path, err);

    if (!profile || json_need_string(profile, "defaultAction", &action, err) < 0)
        return err_wrap(err, "seccomp profile");
    *ret = TAKE_PTR(profile);
    return 0;
}

int seccomp_profile(const struct container_spec *spec, char *const *caps, json_t **ret,
                    struct err *err)
{
    *ret = NULL;
    if (spec->privileged || !spec->seccomp.set || spec->seccomp.type == PROFILE_UNCONFINED)
        return 0;
    if (spec->seccomp.type == PROFILE_LOCALHOST)
        return localhost_profile(spec->seccomp.localhost_ref, ret, err);
    *ret = seccomp_default(caps);
    return 0;
}
