/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Network devices: a descriptor that carries one Ethernet frame a read or write. Under spt the
 * guest uses the descriptor itself; under hvt hvt.c calls net_read() and net_write().
 */
#include "vmm/tender/tender.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static int check_tap(const struct device *d, short flags, struct fault *f)
{
    if (!(flags & IFF_TAP))
        return fault_set(f, STATUS_SETUP, "net device '%s': descriptor %d is a tun, not a tap",
                         d->name, d->fd);
    if (!(flags & IFF_NO_PI))
        return fault_set(f, STATUS_SETUP, "net device '%s': the tap was opened without IFF_NO_PI",
                         d->name);
    if (flags & IFF_VNET_HDR)
        return fault_set(f, STATUS_SETUP, "net device '%s': the tap was opened with IFF_VNET_HDR",
                         d->name);
    return 0;
}

int net_attach(struct device *d, struct fault *f)
{
    struct ifreq ifr = {0};
    int type = 0, flags;
    socklen_t len = sizeof(type);

    flags = fcntl(d->fd, F_GETFL);
    if (flags < 0)
        return fault_sys(f, "net device '%s': descriptor %d", d->name, d->fd);
    if ((flags & O_ACCMODE) != O_RDWR)
        return fault_set(f, STATUS_SETUP,
                         "net device '%s': descriptor %d is not open for both ways", d->name,
                         d->fd);
    if (getsockopt(d->fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0) {
        if (type != SOCK_DGRAM && type != SOCK_SEQPACKET)
            return fault_set(f, STATUS_SETUP, "net device '%s': a stream socket carries no frames",
                             d->name);
    } else if (ioctl(d->fd, TUNGETIFF, &ifr) != 0) {
        return fault_sys(f, "net device '%s': descriptor %d is neither tap nor socket", d->name,
                         d->fd);
    } else if (check_tap(d, ifr.ifr_flags, f) != 0) {
        return -1;
    }
    if (fcntl(d->fd, F_SETFL, flags | O_NONBLOCK) != 0)
        return fault_sys(f, "net device '%s': make descriptor %d non-blocking", d->name, d->fd);
    return 0;
}

int net_read(const struct device *d, void *buf, uint64_t *len)
{
    ssize_t n;

    do
        n = read(d->fd, buf, *len);
    while (n < 0 && errno == EINTR);
    if (n > 0) {
        *len = (uint64_t)n;
        return SOLO5_OK;
    }
    if (n == 0 || errno == EAGAIN)
        return SOLO5_AGAIN;
    return SOLO5_EUNSPEC;
}

int net_write(const struct device *d, const void *buf, uint64_t len)
{
    ssize_t n;

    do
        n = write(d->fd, buf, len);
    while (n < 0 && errno == EINTR);
    return n >= 0 && (uint64_t)n == len ? SOLO5_OK : SOLO5_EUNSPEC;
}
