/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hypercalls of an hvt guest. A call's argument is copied out of guest memory, served, and its
 * results are written back; every address, length and handle in it is checked first. Nothing here
 * knows KVM: a fuzzer calls it with a memory and descriptors of its own.
 */
#include "vmm/tender/tender.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define NSEC_PER_SEC 1000000000u

/* The console may be a pipe somebody made non-blocking: wait, a guest's line is never dropped. */
static void console_write(const char *data, uint64_t len)
{
    while (len > 0) {
        ssize_t n = write(STDOUT_FILENO, data, len);
        if (n < 0 && errno == EAGAIN) {
            struct pollfd pfd = {.fd = STDOUT_FILENO, .events = POLLOUT};
            (void)ppoll(&pfd, 1, NULL, NULL);
        } else if (n < 0 && errno != EINTR) {
            return; /* nobody reads any more; the guest goes on */
        } else if (n > 0) {
            data += n;
            len -= (uint64_t)n;
        }
    }
}

static void serve_poll(struct tender *t, struct solo5_hvt_poll *c)
{
    struct pollfd pfd[SOLO5_MFT_ENTRIES_MAX];
    uint8_t handle[SOLO5_MFT_ENTRIES_MAX];
    nfds_t n = 0;
    int ready;
    struct timespec wait = {.tv_sec = (time_t)(c->timeout_nsecs / NSEC_PER_SEC),
                            .tv_nsec = (long)(c->timeout_nsecs % NSEC_PER_SEC)};

    for (unsigned i = 1; i < SOLO5_MFT_ENTRIES_MAX; i++) {
        if (t->dev[i].type != SOLO5_MFT_NET)
            continue;
        pfd[n] = (struct pollfd){.fd = t->dev[i].fd, .events = POLLIN};
        handle[n++] = (uint8_t)i;
    }
    ready = ppoll(pfd, n, &wait, NULL);
    c->ready_set = 0;
    c->ret = 0;
    for (nfds_t i = 0; ready > 0 && i < n; i++) {
        if (pfd[i].revents & POLLIN) {
            c->ready_set |= UINT64_C(1) << handle[i];
            c->ret++;
        } else if (pfd[i].revents != 0) {
            t->dev[handle[i]].type = 0; /* gone for ever (tap deleted): do not spin on it */
        }
    }
}

static struct device *device_of(struct tender *t, uint64_t handle, uint32_t type)
{
    if (handle >= SOLO5_MFT_ENTRIES_MAX || t->dev[handle].type != type)
        return NULL;
    return &t->dev[handle];
}

static int bad_pointer(struct fault *f, uint32_t nr, uint64_t addr, uint64_t len)
{
    return fault_set(f, STATUS_GUEST_CALL,
                     "guest: hypercall %u: %llu bytes at 0x%llx are outside of its memory", nr,
                     (unsigned long long)len, (unsigned long long)addr);
}

static int serve_walltime(struct solo5_hvt_walltime *c)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_REALTIME, &now);
    c->nsecs = (uint64_t)now.tv_sec * NSEC_PER_SEC + (uint64_t)now.tv_nsec;
    return 0;
}

static int serve_puts(struct tender *t, const struct solo5_hvt_puts *c, struct fault *f)
{
    const char *data = mem_at(&t->mem, c->data, c->len);

    if (data == NULL)
        return bad_pointer(f, SOLO5_HVT_PUTS, c->data, c->len);
    console_write(data, c->len);
    return 0;
}

static int serve_block(struct tender *t, uint32_t nr, struct solo5_hvt_block *c, struct fault *f)
{
    struct device *d = device_of(t, c->handle, SOLO5_MFT_BLOCK);
    void *data = mem_at(&t->mem, c->data, c->len);

    if (data == NULL)
        return bad_pointer(f, nr, c->data, c->len);
    if (d == NULL)
        c->ret = SOLO5_EINVAL;
    else if (nr == SOLO5_HVT_BLOCK_READ)
        c->ret = block_read(d, data, c->len, c->offset);
    else
        c->ret = block_write(d, data, c->len, c->offset);
    return 0;
}

static int serve_net(struct tender *t, uint32_t nr, struct solo5_hvt_net *c, struct fault *f)
{
    struct device *d = device_of(t, c->handle, SOLO5_MFT_NET);
    void *data = mem_at(&t->mem, c->data, c->len);

    if (data == NULL)
        return bad_pointer(f, nr, c->data, c->len);
    if (d == NULL)
        c->ret = SOLO5_EINVAL;
    else if (nr == SOLO5_HVT_NET_READ)
        c->ret = net_read(d, data, &c->len);
    else
        c->ret = net_write(d, data, c->len);
    return 0;
}

/* Every call's argument, so that one copy in and one copy out serve them all. */
union call {
    struct solo5_hvt_walltime walltime;
    struct solo5_hvt_puts puts;
    struct solo5_hvt_poll poll;
    struct solo5_hvt_block block;
    struct solo5_hvt_net net;
    struct solo5_hvt_halt halt;
};

static const uint8_t call_size[SOLO5_HVT_CALLS] = {
    [SOLO5_HVT_WALLTIME] = sizeof(struct solo5_hvt_walltime),
    [SOLO5_HVT_PUTS] = sizeof(struct solo5_hvt_puts),
    [SOLO5_HVT_POLL] = sizeof(struct solo5_hvt_poll),
    [SOLO5_HVT_BLOCK_WRITE] = sizeof(struct solo5_hvt_block),
    [SOLO5_HVT_BLOCK_READ] = sizeof(struct solo5_hvt_block),
    [SOLO5_HVT_NET_WRITE] = sizeof(struct solo5_hvt_net),
    [SOLO5_HVT_NET_READ] = sizeof(struct solo5_hvt_net),
    [SOLO5_HVT_HALT] = sizeof(struct solo5_hvt_halt),
};

static int serve(struct tender *t, uint32_t nr, union call *c, struct fault *f)
{
    switch (nr) {
    case SOLO5_HVT_WALLTIME:
        return serve_walltime(&c->walltime);
    case SOLO5_HVT_PUTS:
        return serve_puts(t, &c->puts, f);
    case SOLO5_HVT_POLL:
        serve_poll(t, &c->poll);
        return 0;
    case SOLO5_HVT_BLOCK_READ:
    case SOLO5_HVT_BLOCK_WRITE:
        return serve_block(t, nr, &c->block, f);
    case SOLO5_HVT_NET_READ:
    case SOLO5_HVT_NET_WRITE:
        return serve_net(t, nr, &c->net, f);
    default: /* SOLO5_HVT_HALT */
        t->exit_status = c->halt.exit_status & 0xff;
        return HVT_HALTED;
    }
}

/*
 * The kernel's segments are protected in this process too: what the guest may not write, it must
 * not make the tender write, which would end by SIGSEGV. (Data behind the argument is moved by
 * system calls, which refuse by themselves.)
 */
static bool is_protected(const struct tender *t, uint32_t nr, uint64_t addr)
{
    uint64_t end = addr + call_size[nr];
    int need = PROT_READ | (nr == SOLO5_HVT_PUTS || nr == SOLO5_HVT_HALT ? 0 : PROT_WRITE);

    for (unsigned i = 0; i < t->image.segments; i++) {
        const struct elf_segment *s = &t->image.segment[i];
        int prot = s->prot & PROT_EXEC ? s->prot | PROT_READ : s->prot;
        if (addr < s->end && end > s->start && (prot & need) != need)
            return true;
    }
    return false;
}

int hvt_call(struct tender *t, uint32_t nr, uint64_t addr, struct fault *f)
{
    union call c = {0};
    void *arg;
    int rc;

    if (nr >= SOLO5_HVT_CALLS || call_size[nr] == 0)
        return fault_set(f, STATUS_GUEST_CALL, "guest: hypercall %u does not exist", nr);
    arg = mem_at(&t->mem, addr, call_size[nr]);
    if (arg == NULL)
        return bad_pointer(f, nr, addr, call_size[nr]);
    if (is_protected(t, nr, addr))
        return fault_set(f, STATUS_GUEST_CALL, "guest: hypercall %u: 0x%llx is protected", nr,
                         (unsigned long long)addr);
    memcpy(&c, arg, call_size[nr]);
    rc = serve(t, nr, &c, f);
    if (rc == 0 && nr != SOLO5_HVT_PUTS)
        memcpy(arg, &c, call_size[nr]);
    return rc;
}
