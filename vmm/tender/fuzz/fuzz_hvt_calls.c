/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An hvt guest's hypercalls: any numbers, arguments and pointers, one after the other, on a guest
 * memory between forbidden pages, with disks and networks of its own. Beside what the sanitizers
 * see, each call is held to what it may change: its argument, its buffer, its disk and nothing
 * else, and a disk access goes through exactly when a second opinion says so.
 *
 * An input is a list of calls; see struct op. Numbers are given as a distance from an interesting
 * place, so that edges are easily found.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define POISONS
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define POISONS
#endif
#ifdef POISONS
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(at, len) ((void)0)
#endif

#include "vmm/tender/tender.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
ssize_t __wrap_write(int fd, const void *buf, size_t len);
ssize_t __real_write(int fd, const void *buf, size_t len);
int __wrap_ppoll(struct pollfd *pfd, nfds_t n, const struct timespec *wait, const sigset_t *mask);
int __real_ppoll(struct pollfd *pfd, nfds_t n, const struct timespec *wait, const sigset_t *mask);

#define PAGE       UINT64_C(4096)
#define GUARD      (32 * PAGE)
#define LOW        UINT64_C(0x10000)
#define SIZE       UINT64_C(0x20000)
#define CODE_AT    UINT64_C(0x14000) /* read-only */
#define NONE_AT    UINT64_C(0x16000) /* neither */
#define DATA_AT    UINT64_C(0x18000)
#define DISK_BYTES 8192u
#define CALLS_MAX  32
#define FRAME_MAX  1600u

enum { NET = 1, DISK, DISK_RO, NET_GONE, NET_LAST = 63 };

struct number {
    uint8_t from; /* see number_of() */
    uint8_t low, high;
};
struct op {
    uint8_t nr; /* above the hypercalls: a frame arrives, or the console's manners change */
    struct number addr, field[4];
};

static struct tender t;
static int peer[2];          /* of NET and NET_LAST */
static uint8_t before[SIZE]; /* guest memory when the call was made */
static uint8_t disk_before[2][DISK_BYTES];
static unsigned console; /* how the next write to it goes */

/* ------------------------------------------------------------ what the calls reach */

ssize_t __wrap_write(int fd, const void *buf, size_t len)
{
    unsigned sum = 0;

    if (fd != STDOUT_FILENO)
        return __real_write(fd, buf, len);
    if ((console = console / 4) % 4 == 1) {
        errno = EAGAIN;
        return -1;
    }
    if (console % 4 == 2) {
        errno = EINTR;
        return -1;
    }
    if (console % 4 == 3) {
        errno = EPIPE;
        return -1;
    }
    /* As the kernel: as far as the memory can be read. */
    if ((uintptr_t)buf < t.mem.host + NONE_AT + PAGE &&
        (uintptr_t)buf + len > t.mem.host + NONE_AT) {
        errno = EFAULT;
        return -1;
    }
    for (size_t i = 0; i < len; i++)
        sum += ((const uint8_t *)buf)[i];
    return sum % 7 == 0 && len > 1 ? (ssize_t)(len / 2) : (ssize_t)len;
}

int __wrap_ppoll(struct pollfd *pfd, nfds_t n, const struct timespec *wait, const sigset_t *mask)
{
    static const struct timespec now;

    assert(mask == NULL);
    assert(wait == NULL || (wait->tv_sec >= 0 && wait->tv_nsec >= 0 && wait->tv_nsec < 1000000000));
    return __real_ppoll(pfd, n, &now, NULL);
}

static void net(int handle, int *ret_peer)
{
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) != 0)
        abort();
    t.dev[handle] = (struct device){.type = SOLO5_MFT_NET, .fd = pair[0], .mtu = 1500};
    if (ret_peer == NULL)
        (void)close(pair[1]);
    else
        *ret_peer = pair[1];
}

static void disk(int handle, uint32_t sector, bool read_only)
{
    int fd = memfd_create("disk", MFD_CLOEXEC);

    if (fd < 0 || ftruncate(fd, DISK_BYTES) != 0)
        abort();
    t.dev[handle] = (struct device){.type = SOLO5_MFT_BLOCK,
                                    .fd = fd,
                                    .sector_size = sector,
                                    .read_only = read_only,
                                    .capacity = DISK_BYTES};
}

static void segment(uint64_t at, uint64_t len, int prot)
{
    t.image.segment[t.image.segments++] =
        (struct elf_segment){.vaddr = at, .memsz = len, .start = at, .end = at + len, .prot = prot};
    if (mprotect((void *)(t.mem.host + at), len, prot & PROT_EXEC ? PROT_READ : prot) != 0)
        abort();
}

static void once(void)
{
    uint8_t *at;

    if (t.mem.size != 0)
        return;
    at = mmap(NULL, GUARD + SIZE + GUARD, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED || mprotect(at + GUARD, SIZE, PROT_READ | PROT_WRITE) != 0)
        abort();
    memset(at + GUARD, 0x5a, LOW); /* the tender's own tables */
    ASAN_POISON_MEMORY_REGION(at, GUARD);
    ASAN_POISON_MEMORY_REGION(at + GUARD + SIZE, GUARD);
    t.mem = (struct guest_mem){.host = (uintptr_t)at + GUARD, .size = SIZE, .low = LOW};
    segment(CODE_AT, 2 * PAGE, PROT_READ | PROT_EXEC);
    segment(NONE_AT, PAGE, 0);
    segment(DATA_AT, PAGE, PROT_READ | PROT_WRITE);
    net(NET, &peer[0]);
    net(NET_LAST, &peer[1]);
    net(NET_GONE, NULL);
    disk(DISK, 512, false);
    disk(DISK_RO, 4096, true);
}

static uint8_t *guest(uint64_t addr)
{
    return (uint8_t *)(t.mem.host + addr);
}

static bool within(uint64_t addr, uint64_t len, uint64_t from, uint64_t to)
{
    return (unsigned __int128)addr + len > from && addr < to;
}

static bool is_guests(uint64_t addr, uint64_t len)
{
    return addr >= LOW && (unsigned __int128)addr + len <= SIZE;
}

static bool readable(uint64_t addr, uint64_t len)
{
    return is_guests(addr, len) && !within(addr, len, NONE_AT, NONE_AT + PAGE);
}

static bool writable(uint64_t addr, uint64_t len)
{
    return readable(addr, len) && !within(addr, len, CODE_AT, CODE_AT + 2 * PAGE);
}

/* Everything as at the beginning, but for what a former input has sent. */
static void reset(void)
{
    uint8_t drop[FRAME_MAX];
    uint8_t pattern[DISK_BYTES];

    for (unsigned i = 0; i < sizeof(pattern); i++)
        pattern[i] = (uint8_t)(i / 512 + i);
    for (int i = DISK; i <= DISK_RO; i++)
        if (pwrite(t.dev[i].fd, pattern, sizeof(pattern), 0) != (ssize_t)sizeof(pattern))
            abort();
    for (uint64_t at = LOW; at < SIZE; at += PAGE)
        if (writable(at, PAGE))
            memset(guest(at), 0, PAGE);
    for (int i = 0; i < 2; i++)
        while (recv(peer[i], drop, sizeof(drop), 0) >= 0)
            ;
    while (recv(t.dev[NET].fd, drop, sizeof(drop), 0) >= 0 ||
           recv(t.dev[NET_LAST].fd, drop, sizeof(drop), 0) >= 0)
        ;
    t.dev[NET].type = t.dev[NET_LAST].type = t.dev[NET_GONE].type = SOLO5_MFT_NET;
    console = 0;
}

/* ------------------------------------------------------------ one call */

static uint64_t number_of(struct number n)
{
    static const uint64_t from[] = {
        0,          LOW,  SIZE,         CODE_AT,    NONE_AT, DATA_AT,     DISK_BYTES, UINT32_MAX,
        UINT64_MAX, PAGE, 0x1000000000, 1ULL << 63, 512,     SIZE - PAGE, 999999999};
    uint64_t base = from[n.from % (sizeof(from) / sizeof(from[0]))];
    int16_t away = (int16_t)(n.high << 8 | n.low);

    return n.from & 0x80 ? base + (uint64_t)((int64_t)away * 512) : base + (uint64_t)(int64_t)away;
}

static void save(void)
{
    for (uint64_t at = 0; at < SIZE; at += PAGE)
        if (at != NONE_AT)
            memcpy(before + at, guest(at), PAGE);
    for (int i = 0; i < 2; i++)
        if (pread(t.dev[DISK + i].fd, disk_before[i], DISK_BYTES, 0) != DISK_BYTES)
            abort();
}

/* Nothing has changed but the two ranges. */
static void unchanged(uint64_t a, uint64_t a_len, uint64_t b, uint64_t b_len)
{
    for (uint64_t at = 0; at < SIZE; at += PAGE) {
        if (at == NONE_AT || memcmp(before + at, guest(at), PAGE) == 0)
            continue;
        for (uint64_t i = at; i < at + PAGE; i++)
            assert(before[i] == *guest(i) || within(i, 1, a, a + a_len) ||
                   within(i, 1, b, b + b_len));
    }
}

/* The disks are as they were, but for @len bytes at @offset of number @which, which are @now. */
static void disks(int which, uint64_t offset, uint64_t len, const uint8_t *now)
{
    uint8_t is[DISK_BYTES + 1];

    for (int i = 0; i < 2; i++) {
        if (which == DISK + i)
            memcpy(disk_before[i] + offset, now, len);
        assert(pread(t.dev[DISK + i].fd, is, sizeof(is), 0) == DISK_BYTES); /* and no longer */
        assert(memcmp(is, disk_before[i], DISK_BYTES) == 0);
    }
}

static void check_block(uint32_t nr, uint64_t addr, const struct solo5_hvt_block *c, int ret)
{
    bool reads = nr == SOLO5_HVT_BLOCK_READ;
    bool is_disk = c->handle == DISK || c->handle == DISK_RO;
    uint32_t sector = c->handle == DISK ? 512 : 4096;
    bool fits = is_disk && c->len > 0 && c->len % sector == 0 && c->offset % sector == 0 &&
                (unsigned __int128)c->offset + c->len <= DISK_BYTES;
    bool allowed = fits && (reads ? writable(c->data, c->len)
                                  : readable(c->data, c->len) && c->handle == DISK);

    assert(ret == (allowed ? SOLO5_OK : fits ? SOLO5_EUNSPEC : SOLO5_EINVAL));
    if (reads && allowed) {
        const uint8_t *want = disk_before[c->handle - DISK] + c->offset;
        for (uint64_t i = 0; i < c->len; i++)
            assert(*guest(c->data + i) == want[i] ||
                   within(c->data + i, 1, addr, addr + sizeof(*c)));
    }
    /* Where protected pages follow, a refused read may have begun. */
    unchanged(addr, sizeof(*c), c->data, reads && fits ? c->len : 0);
    /* Likewise a write. */
    if (reads || !fits || allowed)
        disks(!reads && allowed ? (int)c->handle : 0, c->offset, c->len, before + c->data);
}

static void check_net(uint32_t nr, uint64_t addr, const struct solo5_hvt_net *c)
{
    struct solo5_hvt_net now;
    bool is_net = c->handle == NET || c->handle == NET_LAST || c->handle == NET_GONE;

    memcpy(&now, guest(addr), sizeof(now));
    assert(now.ret >= SOLO5_OK && now.ret <= SOLO5_EUNSPEC && (is_net || now.ret == SOLO5_EINVAL));
    assert(now.handle == c->handle && now.data == c->data);
    assert(nr == SOLO5_HVT_NET_READ ? now.len <= c->len : now.len == c->len);
    unchanged(addr, sizeof(*c), c->data, nr == SOLO5_HVT_NET_READ && is_net ? c->len : 0);
    disks(0, 0, 0, NULL);
}

static void check_poll(uint64_t addr)
{
    struct solo5_hvt_poll now;
    uint64_t all = UINT64_C(1) << NET | UINT64_C(1) << NET_LAST | UINT64_C(1) << NET_GONE;

    memcpy(&now, guest(addr), sizeof(now));
    assert((now.ready_set & ~all) == 0 && now.ret == __builtin_popcountll(now.ready_set));
    unchanged(addr, sizeof(now), 0, 0);
    disks(0, 0, 0, NULL);
}

static size_t size_of(uint32_t nr)
{
    switch (nr) {
    case SOLO5_HVT_WALLTIME:
        return sizeof(struct solo5_hvt_walltime);
    case SOLO5_HVT_PUTS:
        return sizeof(struct solo5_hvt_puts);
    case SOLO5_HVT_POLL:
        return sizeof(struct solo5_hvt_poll);
    case SOLO5_HVT_BLOCK_READ:
    case SOLO5_HVT_BLOCK_WRITE:
        return sizeof(struct solo5_hvt_block);
    case SOLO5_HVT_NET_READ:
    case SOLO5_HVT_NET_WRITE:
        return sizeof(struct solo5_hvt_net);
    case SOLO5_HVT_HALT:
        return sizeof(struct solo5_hvt_halt);
    default:
        return 0;
    }
}

/* @c is the argument as the guest wrote it. */
static void check(uint32_t nr, uint64_t addr, const uint64_t c[4], int rc, const struct fault *f)
{
    bool has_data = nr != SOLO5_HVT_WALLTIME && nr != SOLO5_HVT_POLL && nr != SOLO5_HVT_HALT;
    bool only_read = nr == SOLO5_HVT_PUTS || nr == SOLO5_HVT_HALT;
    struct solo5_hvt_block block = {c[0], c[1], c[2], c[3], 0};
    struct solo5_hvt_net netc = {c[0], c[1], c[2], 0};
    uint64_t data = nr == SOLO5_HVT_PUTS ? c[0] : size_of(nr) == sizeof(block) ? c[2] : c[1];
    uint64_t len = nr == SOLO5_HVT_PUTS ? c[1] : size_of(nr) == sizeof(block) ? c[3] : c[2];
    bool sound = size_of(nr) > 0 &&
                 (only_read ? readable(addr, size_of(nr)) : writable(addr, size_of(nr))) &&
                 (!has_data || is_guests(data, len));

    assert(rc == (!sound ? -1 : nr == SOLO5_HVT_HALT ? HVT_HALTED : 0));
    if (rc != 0 || nr == SOLO5_HVT_PUTS) {
        assert(rc >= 0 || (f->status == STATUS_GUEST_CALL && f->msg[0] != '\0'));
        assert(rc != HVT_HALTED || (t.exit_status >= 0 && t.exit_status <= 255));
        unchanged(0, 0, 0, 0);
        disks(0, 0, 0, NULL);
    } else if (nr == SOLO5_HVT_POLL) {
        check_poll(addr);
    } else if (nr == SOLO5_HVT_NET_READ || nr == SOLO5_HVT_NET_WRITE) {
        check_net(nr, addr, &netc);
    } else if (size_of(nr) == sizeof(block)) {
        int32_t ret;
        memcpy(&ret, guest(addr + offsetof(struct solo5_hvt_block, ret)), sizeof(ret));
        check_block(nr, addr, &block, ret);
    } else {
        unchanged(addr, size_of(nr), 0, 0);
    }
}

/* Returns: false when the guest has ended. */
static bool call(const struct op *op)
{
    uint64_t addr = number_of(op->addr), c[4];
    struct fault f = {0};
    size_t size = size_of(op->nr) < sizeof(c) ? size_of(op->nr) : sizeof(c);
    int rc;

    for (int i = 0; i < 4; i++)
        c[i] = number_of(op->field[i]);
    if (writable(addr, size_of(op->nr)))
        memcpy(guest(addr), c, size);
    else if (readable(addr, size))
        memcpy(c, guest(addr), size);
    save();
    rc = hvt_call(&t, op->nr, addr, &f);
    check(op->nr, addr, c, rc, &f);
    return rc == 0;
}

static void arrive(const struct op *op)
{
    static const uint8_t frame[FRAME_MAX];

    (void)send(peer[op->addr.from % 2], frame, (op->addr.high << 8 | op->addr.low) % FRAME_MAX, 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct op op;

    once();
    reset();
    for (int i = 0; i < CALLS_MAX && size >= sizeof(op); i++) {
        memcpy(&op, data, sizeof(op));
        data += sizeof(op);
        size -= sizeof(op);
        op.nr &= 15;
        if (op.nr == 14)
            arrive(&op);
        else if (op.nr == 15)
            console = (unsigned)(op.addr.high << 8 | op.addr.low);
        else if (!call(&op))
            break;
    }
    return 0;
}
