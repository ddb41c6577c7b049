/* SPDX-License-Identifier: Apache-2.0 */
/* host - see host.h. */
#include "vmm/host.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/strbuf.h"
#include "vmm/private.h"

#define DIRECTORIES "/usr/local/bin:/usr/bin:/usr/libexec:/bin"
#define KVM_API     12

char *host_program(const char *configured, const char *name)
{
    if (configured && *configured)
        return xstrdup(access(configured, X_OK) == 0 ? configured : "");
    for (const char *d = DIRECTORIES; *d;) {
        size_t len = strcspn(d, ":");
        autofree char *path = xasprintf("%.*s/%s", (int)len, d, name);

        if (access(path, X_OK) == 0)
            return TAKE_PTR(path);
        d += len + (d[len] == ':');
    }
    return xstrdup("");
}

/* ---------------------------------------------------------------- versions */

/* "... Firecracker v1.12.0 ...": true when the text names one that is new enough. */
static char *judge(const char *program, const char *text, const struct host_version *wanted)
{
    const char *p = strstr(text, wanted->before);
    int major = 0, minor = 0;

    if (p)
        p += strlen(wanted->before);
    if (!p || !scan_int(&p, &major) || !scan_text(&p, ".") || !scan_int(&p, &minor))
        return xasprintf("'%s' does not say that it is %s", program, wanted->name);
    if (major < wanted->major || (major == wanted->major && minor < wanted->minor))
        return xasprintf("'%s' is %s %d.%d: version %d.%d or newer is needed", program,
                         wanted->name, major, minor, wanted->major, wanted->minor);
    return NULL;
}

char *host_unfit(const char *program, const char *name, const struct host_version *wanted)
{
    char *argv[] = {(char *)(uintptr_t)program, (char[]){"--version"}, NULL};
    autofree char *answer = NULL;
    struct err err = ERR_INIT;

    if (!*program)
        return xasprintf("'%s' is not installed", name);
    if (host_ask(program, argv, HOST_BOTH, &answer, &err) < 0)
        return xasprintf("'%s' cannot be run: %s", program, err.msg);
    return judge(program, answer, wanted);
}

char *host_no_kvm(void)
{
    autofd int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    int version;

    if (fd < 0 && (errno == ENOENT || errno == ENXIO || errno == ENODEV))
        return xstrdup("there is no /dev/kvm: the machine has no hardware virtualization, it is "
                       "switched off, or the kernel module is not loaded");
    if (fd < 0)
        return xasprintf("/dev/kvm cannot be opened: %s", strerror(errno));
    version = ioctl(fd, KVM_GET_API_VERSION, 0);
    if (version != KVM_API)
        return xasprintf("/dev/kvm has API version %d, not %d", version, KVM_API);
    return NULL;
}

/* ---------------------------------------------------------------- into the jail */

int host_set_program(struct vmm_plan *plan, const char *program, struct err *err)
{
    (void)close_fd(plan->program_fd);
    plan->program_fd = open(program, O_PATH | O_CLOEXEC);
    return plan->program_fd < 0 ? err_sys(err, "open program '%s'", program) : 0;
}

int host_put(struct vmm_plan *plan, enum vmm_entry_kind kind, const char *from, const char *path,
             struct err *err)
{
    autofd int fd = open(from, O_PATH | O_CLOEXEC);

    if (fd < 0)
        return err_sys(err, "open '%s'", from);
    if (plan_entry(plan, kind, path, fd, true, NULL, err) < 0)
        return -1;
    (void)TAKE_FD(fd); /* the plan's */
    return 0;
}

int host_put_kvm(struct vmm_plan *plan, struct err *err)
{
    struct stat st;

    if (stat("/dev/kvm", &st) < 0)
        return err_sys(err, "look at '/dev/kvm'");
    if (st.st_gid && plan->jail.n_groups < ARRAY_SIZE(plan->jail.groups))
        plan->jail.groups[plan->jail.n_groups++] = st.st_gid;
    return host_put(plan, VMM_BIND_DEVICE, "/dev/kvm", "/dev/kvm", err);
}

int host_put_image_file(struct vmm_plan *plan, int fd, const char *name, const char *path,
                        struct err *err)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return err_sys(err, "look at '%s'", name);
    if (!(st.st_mode & S_IROTH))
        return err_set(err, ERR_UNSUPPORTED,
                       "'%s': its mode %04o lets not everybody read it; make it readable for all "
                       "in the image",
                       name, st.st_mode & 07777);
    return plan_entry(plan, VMM_BIND_RO, path, fd, false, NULL, err);
}

/* A device node of the host keeps its owner: the VMM gets at it by its group, and sees no other. */
static int put_device(struct vmm_plan *plan, const struct vmm_block *block, const struct stat *st,
                      const char *path, struct err *err)
{
    mode_t needed = block->readonly ? S_IRGRP : S_IRGRP | S_IWGRP;
    struct vmm_jail *jail = &plan->jail;

    if (!st->st_gid || (st->st_mode & needed) != needed ||
        jail->n_groups == ARRAY_SIZE(jail->groups))
        return err_set(err, ERR_UNSUPPORTED,
                       "block device '%s': this driver opens it as a user of its own, and no group "
                       "but root's may do so (mode %04o); give the node a group such as 'disk'",
                       block->serial ? block->serial : path, st->st_mode & 07777);
    jail->groups[jail->n_groups++] = st->st_gid;
    return plan_entry(plan, VMM_BIND_DEVICE, path, block->fd, false, NULL, err);
}

int host_put_disk(struct vmm_plan *plan, const struct vmm_block *block, const char *path,
                  struct err *err)
{
    struct stat st;

    if (fstat(block->fd, &st) < 0)
        return err_sys(err, "look at disk '%s'", path);
    if (S_ISBLK(st.st_mode))
        return put_device(plan, block, &st, path, err);
    if (block->readonly)
        return host_put_image_file(plan, block->fd, "disk of the image", path, err);
    if ((uint64_t)st.st_size > plan->jail.fsize)
        plan->jail.fsize = (uint64_t)st.st_size;
    return plan_entry(plan, VMM_BIND_RW, path, block->fd, false, NULL, err);
}
