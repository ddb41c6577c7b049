/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parses the tender's arguments. Strict: unknown, repeated, empty or half-understood options are
 * errors, because the writer is a program and a silent default would hide its mistake.
 */
#include "vmm/tender/options.h"

#include <stdlib.h>
#include <string.h>

#include "vmm/tender/mft.h"

/* Parse a decimal number that ends at @end (exclusive) or at the string's end if @end is NULL. */
static bool parse_number(const char *s, const char *end, uint64_t max, uint64_t *ret)
{
    uint64_t v = 0;

    if (end == NULL)
        end = s + strlen(s);
    if (s == end)
        return false;
    for (; s < end; s++) {
        if (*s < '0' || *s > '9' || __builtin_mul_overflow(v, 10u, &v) ||
            __builtin_add_overflow(v, (uint64_t)(*s - '0'), &v) || v > max)
            return false;
    }
    *ret = v;
    return true;
}

static int bad(struct fault *f, const char *arg, const char *why)
{
    return fault_set(f, STATUS_SETUP, "argument '%.120s': %s", arg, why);
}

static int fd_option(const char *arg, const char *value, int *fd, struct fault *f)
{
    uint64_t n;

    if (*fd >= 0)
        return bad(f, arg, "given twice");
    if (!parse_number(value, NULL, 1 << 20, &n) || n < 3)
        return bad(f, arg, "not a descriptor number from 3 up");
    *fd = (int)n;
    return 0;
}

/* NAME:FD, both devices' common beginning. @rest is set behind it: at ':' or at the end. */
static int device_head(const char *arg, const char *value, uint32_t type, struct options *o,
                       struct device **dev, const char **rest, struct fault *f)
{
    const char *colon = strchr(value, ':'), *end;
    struct device *d;
    uint64_t fd;

    if (o->devices == OPTIONS_DEVICES_MAX)
        return bad(f, arg, "too many devices");
    if (colon == NULL || !mft_name_ok(value, (size_t)(colon - value)))
        return bad(f, arg, "not NAME:FD with a name of letters and digits");
    end = strchrnul(colon + 1, ':');
    if (!parse_number(colon + 1, end, 1 << 20, &fd) || fd < 3)
        return bad(f, arg, "not a descriptor number from 3 up");
    d = &o->device[o->devices];
    memset(d, 0, sizeof(*d));
    memcpy(d->name, value, (size_t)(colon - value));
    d->fd = (int)fd;
    d->type = type;
    for (unsigned i = 0; i < o->devices; i++) {
        if (o->device[i].type == type && strcmp(o->device[i].name, d->name) == 0)
            return bad(f, arg, "this device is already given");
        if (o->device[i].fd == d->fd)
            return bad(f, arg, "this descriptor is already given");
    }
    *dev = d;
    *rest = end;
    return 0;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* Six pairs of hex digits with colons between; returns the place behind, or NULL. */
static const char *parse_mac(const char *s, uint8_t mac[6])
{
    for (int i = 0; i < 6; i++) {
        int hi, lo;
        if (i > 0 && *s++ != ':')
            return NULL;
        hi = hex_digit(s[0]);
        lo = hi < 0 ? -1 : hex_digit(s[1]);
        if (lo < 0)
            return NULL;
        mac[i] = (uint8_t)(hi << 4 | lo);
        s += 2;
    }
    return s;
}

/* --net=NAME:FD:MAC[:MTU] */
static int net_option(const char *arg, const char *value, struct options *o, struct fault *f)
{
    static const uint8_t zero[6];
    struct device *d;
    const char *rest;
    uint64_t mtu = NET_MTU_DEFAULT;

    if (device_head(arg, value, SOLO5_MFT_NET, o, &d, &rest, f) != 0)
        return -1;
    if (*rest != ':' || (rest = parse_mac(rest + 1, d->mac)) == NULL)
        return bad(f, arg, "no MAC address of the form 02:00:00:00:00:01");
    if ((d->mac[0] & 1) || memcmp(d->mac, zero, sizeof(zero)) == 0)
        return bad(f, arg, "MAC address is not a unicast address");
    if (*rest == ':') {
        if (!parse_number(rest + 1, NULL, UINT16_MAX, &mtu) || mtu < NET_MTU_MIN)
            return bad(f, arg, "MTU is not a number from 68 to 65535");
    } else if (*rest != '\0') {
        return bad(f, arg, "unexpected text behind the MAC address");
    }
    d->mtu = (uint16_t)mtu;
    o->devices++;
    return 0;
}

/* --block=NAME:FD[:SECTOR_SIZE][:ro] */
static int block_option(const char *arg, const char *value, struct options *o, struct fault *f)
{
    struct device *d;
    const char *rest, *end;
    uint64_t sector = BLOCK_SECTOR_MIN;

    if (device_head(arg, value, SOLO5_MFT_BLOCK, o, &d, &rest, f) != 0)
        return -1;
    if (*rest == ':' && rest[1] >= '0' && rest[1] <= '9') {
        end = strchrnul(rest + 1, ':');
        if (!parse_number(rest + 1, end, BLOCK_SECTOR_MAX, &sector) || sector < BLOCK_SECTOR_MIN ||
            (sector & (sector - 1)) != 0)
            return bad(f, arg, "sector size is not a power of two from 512 to 32768");
        rest = end;
    }
    if (strcmp(rest, ":ro") == 0)
        d->read_only = true;
    else if (*rest != '\0')
        return bad(f, arg, "not NAME:FD[:SECTOR_SIZE][:ro]");
    d->sector_size = (uint32_t)sector;
    o->devices++;
    return 0;
}

static int backend_option(const char *arg, const char *value, struct options *o, struct fault *f)
{
    if (o->backend != BACKEND_NONE)
        return bad(f, arg, "given twice");
    if (strcmp(value, "spt") == 0)
        o->backend = BACKEND_SPT;
    else if (strcmp(value, "hvt") == 0)
        o->backend = BACKEND_HVT;
    else
        return bad(f, arg, "the backends are spt and hvt");
    return 0;
}

static int mem_option(const char *arg, const char *value, struct options *o, struct fault *f)
{
    if (o->mem_size != 0)
        return bad(f, arg, "given twice");
    if (!parse_number(value, NULL, INT64_MAX, &o->mem_size) || o->mem_size == 0)
        return bad(f, arg, "not a number of bytes");
    return 0;
}

static int name_option(const char *arg, const char *value, struct options *o, struct fault *f)
{
    if (o->name != NULL)
        return bad(f, arg, "given twice");
    if (value[0] == '\0' || strlen(value) >= OPTIONS_NAME_MAX)
        return bad(f, arg, "a name has 1 to 127 bytes");
    o->name = value; /* seen in ps only */
    return 0;
}

static int debug_option(const char *arg, struct options *o, struct fault *f)
{
    if (o->debuggable)
        return bad(f, arg, "given twice");
    o->debuggable = true;
    return 0;
}

static int wait_option(const char *arg, const char *value, struct options *o, struct fault *f)
{
    uint64_t ms;

    if (o->wait_tracer != 0)
        return bad(f, arg, "given twice");
    if (!parse_number(value, NULL, OPTIONS_WAIT_MAX, &ms) || ms == 0)
        return bad(f, arg, "not a number of milliseconds up to 60000");
    o->wait_tracer = (uint32_t)ms;
    return 0;
}

static const char *match(const char *arg, const char *prefix)
{
    size_t len = strlen(prefix);

    return strncmp(arg, prefix, len) == 0 ? arg + len : NULL;
}

static int one_option(const char *arg, struct options *o, struct fault *f)
{
    const char *v;

    if ((v = match(arg, "--backend=")) != NULL)
        return backend_option(arg, v, o, f);
    if ((v = match(arg, "--kernel-fd=")) != NULL)
        return fd_option(arg, v, &o->kernel_fd, f);
    if ((v = match(arg, "--kvm-fd=")) != NULL)
        return fd_option(arg, v, &o->kvm_fd, f);
    if ((v = match(arg, "--mem=")) != NULL)
        return mem_option(arg, v, o, f);
    if ((v = match(arg, "--net=")) != NULL)
        return net_option(arg, v, o, f);
    if ((v = match(arg, "--block=")) != NULL)
        return block_option(arg, v, o, f);
    if ((v = match(arg, "--name=")) != NULL)
        return name_option(arg, v, o, f);
    if ((v = match(arg, "--wait-tracer=")) != NULL)
        return wait_option(arg, v, o, f);
    if (strcmp(arg, "--debug") == 0)
        return debug_option(arg, o, f);
    return bad(f, arg, "unknown option");
}

static int join_cmdline(char *const *args, struct options *o, struct fault *f)
{
    size_t used = 0;

    for (size_t i = 0; args[i] != NULL; i++) {
        size_t len = strlen(args[i]), sep = i > 0 ? 1 : 0;
        if (len + sep >= sizeof(o->cmdline) - used)
            return fault_set(f, STATUS_SETUP, "guest arguments: longer than %u bytes",
                             SOLO5_CMDLINE_SIZE - 1);
        if (sep)
            o->cmdline[used++] = ' ';
        memcpy(o->cmdline + used, args[i], len);
        used += len;
    }
    o->cmdline[used] = '\0';
    return 0;
}

static int check_complete(const struct options *o, struct fault *f)
{
    if (o->backend == BACKEND_NONE)
        return fault_set(f, STATUS_SETUP, "argument --backend is missing");
    if (o->kernel_fd < 0)
        return fault_set(f, STATUS_SETUP, "argument --kernel-fd is missing");
    if (o->mem_size == 0)
        return fault_set(f, STATUS_SETUP, "argument --mem is missing");
    if (o->backend == BACKEND_HVT && o->kvm_fd < 0)
        return fault_set(f, STATUS_SETUP, "argument --kvm-fd is missing, the backend hvt needs it");
    if (o->backend == BACKEND_SPT && o->kvm_fd >= 0)
        return fault_set(f, STATUS_SETUP, "argument --kvm-fd: the backend spt does not use KVM");
    if (o->kvm_fd == o->kernel_fd)
        return fault_set(f, STATUS_SETUP, "argument --kvm-fd: same descriptor as --kernel-fd");
    for (unsigned i = 0; i < o->devices; i++)
        if (o->device[i].fd == o->kernel_fd || o->device[i].fd == o->kvm_fd)
            return fault_set(f, STATUS_SETUP,
                             "device '%s': its descriptor is the kernel's or KVM's",
                             o->device[i].name);
    return 0;
}

int options_parse(char *const *argv, struct options *o, struct fault *f)
{
    char *const *arg = argv;

    /* Field by field: clearing the whole table would touch pages for devices that are not there. */
    o->backend = BACKEND_NONE;
    o->mem_size = 0;
    o->devices = 0;
    o->debuggable = false;
    o->wait_tracer = 0;
    o->name = NULL;
    o->kernel_fd = -1;
    o->kvm_fd = -1;
    o->cmdline[0] = '\0';
    if (*arg != NULL)
        arg++;
    for (; *arg != NULL; arg++) {
        if (strcmp(*arg, "--") == 0) {
            if (join_cmdline(arg + 1, o, f) != 0)
                return -1;
            break;
        }
        if (one_option(*arg, o, f) != 0)
            return -1;
    }
    return check_complete(o, f);
}
