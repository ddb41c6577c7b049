/* SPDX-License-Identifier: Apache-2.0 */
/*
 * classifier - loads the embedded BPF object by bpf(2). The object has neither maps nor relocations
 * (the build checks that), so each of its programs is one section of instructions and no loader
 * library is needed.
 *
 * Invariant: the object is our own build product; it is asserted about, not checked. A kernel that
 * refuses it is a fact about the host and makes the caller fall back to plain redirection.
 */
#include "cni/classifier.h"

#include <assert.h>
#include <elf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/thread.h"
#include "cni/bpf/guest_link.h"

#define VERIFIER_LOG_BYTES ((size_t)64 * 1024)
#define LICENSE            "Apache-2.0"

/* The object of bpf/guest_link.c. */
__asm__(".section .rodata\n"
        ".balign 16\n"
        "unicri_guest_link_object:\n"
        ".incbin \"" GUEST_LINK_OBJECT "\"\n"
        "unicri_guest_link_object_end:\n"
        ".byte 0\n"
        ".previous\n");
extern const char unicri_guest_link_object[], unicri_guest_link_object_end[];

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards `loaded` */
static struct classifier loaded = {-1, -1, -1};

static const Elf64_Shdr *section(const char *name)
{
    const char *base = unicri_guest_link_object;
    const Elf64_Ehdr *ehdr = (const void *)base;
    const Elf64_Shdr *shdr = (const void *)(base + ehdr->e_shoff);
    const char *names = base + shdr[ehdr->e_shstrndx].sh_offset;

    assert(memcmp(ehdr->e_ident, ELFMAG, SELFMAG) == 0 && ehdr->e_machine == EM_BPF);
    for (size_t i = 0; i < ehdr->e_shnum; i++)
        if (strcmp(names + shdr[i].sh_name, name) == 0)
            return &shdr[i];
    return NULL;
}

static int prog_load(const struct bpf_insn *insns, size_t n, const char *name, char *log,
                     size_t log_size)
{
    union bpf_attr attr;

    memset(&attr, 0, sizeof(attr));
    attr.prog_type = BPF_PROG_TYPE_SCHED_CLS;
    attr.insns = (uintptr_t)insns;
    attr.insn_cnt = (uint32_t)n;
    attr.license = (uintptr_t)LICENSE;
    attr.log_buf = (uintptr_t)log;
    attr.log_size = (uint32_t)log_size;
    attr.log_level = log ? 1 : 0;
    (void)snprintf(attr.prog_name, sizeof(attr.prog_name), "%s", name);
    return (int)syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof(attr));
}

/* The last line that is not the verifier's statistics. */
static const char *last_line(char *log)
{
    char *line = log, *last = log;

    for (char *next; line && *line; line = next) {
        next = strchr(line, '\n');
        if (next)
            *next++ = '\0';
        if (*line && strncmp(line, "processed ", 10) != 0)
            last = line;
    }
    return last;
}

int classifier_load(const struct bpf_insn *insns, size_t n, const char *name, struct err *err)
{
    autofree char *log = NULL;
    int fd = prog_load(insns, n, name, NULL, 0);
    int sys = errno;

    if (fd >= 0)
        return fd;
    log = xcalloc(1, VERIFIER_LOG_BYTES);
    fd = prog_load(insns, n, name, log, VERIFIER_LOG_BYTES);
    if (fd >= 0)
        return fd;
    return err_set(err, ERR_UNSUPPORTED, "the kernel refuses the classifier '%s': %s%s%s", name,
                   strerror(sys), *log ? ": " : "", last_line(log));
}

static int load(const char *section_name, const char *name, int *ret, struct err *err)
{
    const Elf64_Shdr *shdr = section(section_name);
    const struct bpf_insn *insns;

    assert(shdr && shdr->sh_size % sizeof(*insns) == 0);
    insns = (const void *)(unicri_guest_link_object + shdr->sh_offset);
    *ret = classifier_load(insns, shdr->sh_size / sizeof(*insns), name, err);
    return *ret < 0 ? -1 : 0;
}

int classifier_get(struct classifier *ret, struct err *err)
{
    int r = 0;

    pthread_mutex_lock(&lock);
    if (loaded.from_pod < 0)
        r = load("tc/from_pod", "unicri_pod", &loaded.from_pod, err);
    if (r == 0 && loaded.from_guest < 0)
        r = load("tc/from_guest", "unicri_guest", &loaded.from_guest, err);
    if (r == 0 && loaded.from_lo < 0)
        r = load("tc/from_lo", "unicri_lo", &loaded.from_lo, err);
    if (r == 0)
        *ret = loaded;
    pthread_mutex_unlock(&lock);
    return r;
}

/* The object cannot hold what differs between pods: the program is copied and the one constant that
 * stands for the gateway replaced. */
int classifier_far(uint32_t gateway, struct err *err)
{
    const Elf64_Shdr *shdr = section("tc/from_guest_far");
    autofree struct bpf_insn *insns = NULL;
    size_t n, found = 0;

    assert(shdr && shdr->sh_size % sizeof(*insns) == 0);
    n = shdr->sh_size / sizeof(*insns);
    insns = xmalloc(shdr->sh_size);
    memcpy(insns, unicri_guest_link_object + shdr->sh_offset, shdr->sh_size);
    for (size_t i = 0; i < n; i++) {
        if (insns[i].code != (BPF_ALU64 | BPF_MOV | BPF_K) || insns[i].imm != GUEST_LINK_FAR_MARK)
            continue;
        insns[i].imm = (int32_t)gateway;
        found++;
    }
    assert(found > 0);
    (void)found;
    return classifier_load(insns, n, "unicri_far", err);
}
