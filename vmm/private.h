/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of vmm/ share with each other: the handler, the families and the pieces of a plan.
 */
#ifndef UNICRI_VMM_PRIVATE_H
#define UNICRI_VMM_PRIVATE_H

#include "vmm/vmm.h"

#define GUEST_VALUE_MAX_BYTES   1024 /* of a path or a word that an image declares */
#define GUEST_CMDLINE_MAX_BYTES 4096
#define GUEST_KEY_PREFIX        "com.urunc.unikernel."

/* ---- guest.c: the keys `com.urunc.unikernel.*`; guest_image.c: the rest of guest_declared() */

/** guest_take_keys() - what they say, over what *guest says already. *found becomes true when there
 * are any. Errors: those of guest_declared(). */
int guest_take_keys(const struct guest_image *image, struct guest *guest, bool *found,
                    struct err *err) MUST_CHECK;
/** guest_fill_empty() - "" in place of NULL. */
void guest_fill_empty(struct guest *guest);
/** guest_path_fault() - why it is no path that an image may name, or NULL. */
const char *guest_path_fault(const char *path);
/** guest_word_fault() - the same for a word, such as a version. */
const char *guest_word_fault(const char *word);

struct vmm_handler {
    const struct vmm_driver *driver;
    struct vmm *vmm;
};
struct vmm {
    const struct vmm_config *config; /* borrowed */
    int tender_fd;                   /* O_PATH */
    struct vmm_handler *handlers;    /* one for each driver, in the table's order */
};

/* The drivers; each file of a driver exports these and nothing else. */
extern const struct vmm_driver vmm_tender_spt;
extern const struct vmm_driver vmm_tender_hvt;
extern const struct vmm_driver vmm_qemu;
extern const struct vmm_driver vmm_solo5_spt;
extern const struct vmm_driver vmm_solo5_hvt;
extern const struct vmm_driver vmm_firecracker;
extern const struct vmm_driver vmm_cloud_hypervisor;

/* ---- qemu.c */

/** qemu_check_choice() - "" is "auto". Errors: INVALID. */
int qemu_check_choice(const char *machine, const char *accel, struct err *err) MUST_CHECK;

/* ---- family.c */

/* QEMU's isa-debug-exit: how a guest tells its VMM its exit status. */
struct family_port {
    uint16_t base, bytes;
};
struct family_told {
    int value, exit_code;
    const char *reason, *message;
};

/* What of a pod a guest is told beside its arguments. */
enum {
    TELLS_ENV = 1 << 0,
    TELLS_IPV4 = 1 << 1,
    TELLS_IPV6 = 1 << 2,
    TELLS_DNS = 1 << 3,
    TELLS_HOSTNAME = 1 << 4,
    TELLS_WORKDIR = 1 << 5,
};

/* How a family of guests is told its arguments and address. */
struct family {
    const char *name;
    unsigned kernels;      /* bit (1 << enum guest_kernel): what it may come as; 0: anything */
    unsigned roots;        /* bit (1 << enum vmm_root): how it can get its root */
    unsigned volumes;      /* bit (1 << enum vmm_volumes) */
    unsigned shares;       /* VMM_CAN_9P, VMM_CAN_VIRTIOFS: what it can mount */
    const char *disk_kind; /* the file system it mounts best; NULL: no disks of ours */
    bool one_segment;      /* reads its initrd to the first trailer, and no compressed one */
    struct family_port debug_port;  /* all 0: the usual one */
    const struct family_told *told; /* what the values mean that it writes there; ends with reason
                                       NULL. NULL: its exit status */
    bool ends_by_reset;             /* it knows no other end */
    bool deaf;                      /* it knows no power button: a wait for it is in vain */
    bool modern;                    /* looks for PCI devices of virtio 1 only */
    unsigned tells;                 /* TELLS_* */
    /** The same where it hangs on more than the family. NULL: `tells`. */
    unsigned (*tells_of)(const struct vmm_spec *spec);
    const char *silent; /* why an end without a status says nothing; NULL: success */
    /** Append to *ret (a strv) what the guest is given. Errors: INVALID naming the argument. NULL:
     * no driver can run it. */
    int (*arguments)(const struct vmm_spec *spec, char ***ret, struct err *err);
};
/** family_find() - by the name an image declares; "" is "generic". Errors: UNSUPPORTED. */
const struct family *family_find(const char *name, struct err *err);
/** family_row() - the same; "" is "generic"; NULL: there is none. */
const struct family *family_row(const char *name);
/** family_is_known() - whether it is a name that images may declare at all. */
bool family_is_known(const char *name);
/** family_arguments() - the guest's arguments, owned by the caller: the family's own, then the
 * user's. */
int family_arguments(const struct vmm_spec *spec, char ***ret, struct err *err) MUST_CHECK;

/** family_user_arguments() - the container's own: its words, else the image's line split at blanks;
 * owned by the caller. */
int family_user_arguments(const struct vmm_spec *spec, char ***ret, struct err *err) MUST_CHECK;
/** family_address() - whether they are an address with its prefix and, unless empty, a gateway. */
int family_address(int af, const char *ip, int prefix, const char *gateway,
                   struct err *err) MUST_CHECK;
/* The families with a file of their own: struct family's `arguments`. */
int family_unikraft_arguments(const struct vmm_spec *spec, char ***ret, struct err *err) MUST_CHECK;
int family_linux_arguments(const struct vmm_spec *spec, char ***ret, struct err *err) MUST_CHECK;
int family_rumprun_arguments(const struct vmm_spec *spec, char ***ret, struct err *err) MUST_CHECK;
int family_hermit_arguments(const struct vmm_spec *spec, char ***ret, struct err *err) MUST_CHECK;
int family_osv_arguments(const struct vmm_spec *spec, char ***ret, struct err *err) MUST_CHECK;
int family_nanos_arguments(const struct vmm_spec *spec, char ***ret, struct err *err) MUST_CHECK;
int family_includeos_arguments(const struct vmm_spec *spec, char ***ret,
                               struct err *err) MUST_CHECK;
int family_mewz_arguments(const struct vmm_spec *spec, char ***ret, struct err *err) MUST_CHECK;
int family_toro_arguments(const struct vmm_spec *spec, char ***ret, struct err *err) MUST_CHECK;
/* struct family's `tells_of`. */
unsigned family_unikraft_tells(const struct vmm_spec *spec);
unsigned family_nanos_tells(const struct vmm_spec *spec);
unsigned family_rumprun_tells(const struct vmm_spec *spec);
/** family_fits() - whether guests of the family come as such a kernel. Errors: INVALID. */
int family_fits(const struct guest *guest, struct err *err) MUST_CHECK;

/* ---- family_linux.c, linux_start.c */

/** family_linux_words() - environment, init and its arguments as a kernel's command line has them.
 * Errors: INVALID, UNSUPPORTED naming the word. */
int family_linux_words(const struct vmm_spec *spec, char ***ret, struct err *err) MUST_CHECK;
/** linux_start_needed() - whether they do not fit there and go into the initrd. */
bool linux_start_needed(const struct vmm_spec *spec);
struct strbuf;
/** linux_start_text() - the file with them. Errors: INVALID, UNSUPPORTED (bounds). */
int linux_start_text(const struct vmm_spec *spec, struct strbuf *ret, struct err *err) MUST_CHECK;

/* ---- family_words.c: what the syntaxes of several families share */

#define FAMILY_ARGUMENT "argument"
#define FAMILY_ENV      "environment variable"

/** family_word_check() - refuses control characters and those in `bad`, which `guest` ("OSv")
 * cannot be told. Errors: UNSUPPORTED naming the word. */
int family_word_check(const char *guest, const char *what, const char *word, const char *bad,
                      struct err *err) MUST_CHECK;
/** family_take_words() - quotes each word of a NULL terminated list and appends it to *words. */
int family_take_words(const char *what, char *const *list,
                      int (*quote)(const char *what, const char *word, char **ret, struct err *err),
                      char ***words, struct err *err) MUST_CHECK;

struct family_ipv4 {
    const char *ip, *gateway; /* "" none */
    int prefix;
    char mask[16];
    bool far_gateway;   /* not within the address's network, as some CNI plugins have it */
    bool any_gateway;   /* as in vmm_net */
    char near[16];      /* room for family_gateway_near() */
    const char *dns[2]; /* NULL: none */
};
/** family_ipv4_of() - for a guest that is told IPv4 addresses only; an empty `ip` when it has no
 * network. Errors: UNSUPPORTED for a pod with IPv6 addresses only. */
int family_ipv4_of(const char *guest, const struct vmm_spec *spec, struct family_ipv4 *ret,
                   struct err *err) MUST_CHECK;

/** family_gateway_near() - for a guest that finds no way to a gateway outside of its network: where
 * the link takes any, `net` becomes a network that has one. Errors: UNSUPPORTED where it does not.
 */
int family_gateway_near(const char *guest, struct family_ipv4 *net, struct err *err) MUST_CHECK;

/* ---- family_end.c */

/* What has become of a guest's machine, as far as its VMM told. */
enum vmm_end { VMM_END_UNKNOWN, VMM_END_SHUTDOWN, VMM_END_RESET, VMM_END_PANIC };
/** family_debug_port() - where the family's guests write their exit status. */
struct family_port family_debug_port(const char *family);
/** family_end() - what it means that the guest itself ended its machine in this way, having written
 * `value` to its debug port; -1: nothing. For drivers' `explain`. */
void family_end(const char *family, enum vmm_end end, int value, struct vmm_verdict *ret);

/* ---- elf_note.c, elf_kernel.c, kernel.c */

/* What the notes of a file said. */
struct elf_seen {
    bool manifest, pvh;
    uint64_t pvh_entry; /* physical */
};
/** elf_notes() - walk one note segment that lies whole in buf. Errors: INVALID. */
int elf_notes(struct guest *guest, const uint8_t *buf, size_t len, struct elf_seen *seen,
              struct err *err) MUST_CHECK;

struct elf_kernel {
    bool is64;
    bool interpreter; /* has a PT_INTERP: an ordinary program, or a Solo5 guest that pretends */
    uint16_t machine;
    struct elf_seen seen;
};
/** elf_kernel_read() - headers, notes and segments of the ELF file of `size` bytes behind fd, into
 * *ret and the guest. Errors: INVALID. */
int elf_kernel_read(struct guest *guest, int fd, uint64_t size, struct elf_kernel *ret,
                    struct err *err) MUST_CHECK;
/** kernel_fits() - whether `vmm` ("QEMU") can boot it: `kinds` are bits (1 << enum guest_kernel).
 * Errors: UNSUPPORTED saying what it is. */
int kernel_fits(const struct guest *guest, unsigned kinds, const char *vmm,
                struct err *err) MUST_CHECK;
/** kernel_kind_name() - "a PVH kernel" and so on; static. */
const char *kernel_kind_name(const struct guest *guest);

/* ---- storage.c: vmm_storage_choose(); initrd.c: vmm_initrd_write() */

/* ---- share.c, virtiofsd.c */

/** share_put() - the share's directory at `path` of the jail, with its mounts; in *writes whether
 * any of it can be written to. */
int share_put(struct vmm_plan *plan, const struct vmm_share *share, const char *path, bool *writes,
              struct err *err) MUST_CHECK;
/** share_groups() - the jail gets the groups of the spec. Errors: UNSUPPORTED. */
int share_groups(struct vmm_plan *plan, const struct vmm_spec *spec, struct err *err) MUST_CHECK;
/** share_tag_ok() - one that every guest can be told. */
bool share_tag_ok(const char *tag);
/** virtiofsd_missing() - NULL, or why this host cannot share by virtiofs (owned). */
char *virtiofsd_missing(const struct vmm_config *config);
/** virtiofsd_plan() - the helper of `plan` that serves the spec's virtiofs share. Errors:
 * NOT_FOUND, those of share_put(). */
int virtiofsd_plan(const struct vmm_config *config, const struct vmm_spec *spec,
                   struct vmm_plan *plan, struct err *err) MUST_CHECK;

/* ---- jail.c */

/** jail_fill() - the jail of a planned VMM; what its driver has set in it already stays. */
void jail_fill(const struct vmm_handler *handler, const struct vmm_spec *spec, uint32_t uid,
               struct vmm_plan *plan);

/* ---- ioctls.c */

/* Sets of requests for struct vmm_driver.ioctls. */
enum {
    IOCTLS_COMMON = 1 << 0, /* every driver has them */
    IOCTLS_KVM_TENDER = 1 << 1,
    IOCTLS_KVM = 1 << 2,
    IOCTLS_TAP = 1 << 3,
    IOCTLS_TAP_NAME = 1 << 4,
    IOCTLS_DISK = 1 << 5,
};
/** jail_ioctls() - append the requests of the sets. */
void jail_ioctls(unsigned wanted, struct vmm_jail *jail);

/* ---- driver.c */

#define MIB (UINT64_C(1) << 20)
/** plan_memory() - the memory of the guest in whole MiB: the limit, or the configured default.
 * @who: takes `min` to `max` bytes, for the error's words. Errors: INVALID. */
int plan_memory(struct vmm_plan *plan, const struct vmm_config *config, const struct vmm_spec *spec,
                const char *who, uint64_t min, uint64_t max, struct err *err) MUST_CHECK;
/** plan_fd() - the plan hands `from` over as descriptor `to`. Errors: EXHAUSTED. */
int plan_fd(struct vmm_plan *plan, int from, int to, bool own, struct err *err) MUST_CHECK;
/** plan_entry() - one more entry of the jail's root. `fd` is -1 or a descriptor that the plan
 * closes when `own`; `text` is copied. Errors: EXHAUSTED. */
int plan_entry(struct vmm_plan *plan, enum vmm_entry_kind kind, const char *path, int fd, bool own,
               const char *text, struct err *err) MUST_CHECK;
/** plan_entry_in() - a bind whose path lies in the tree of the entry `base`. */
int plan_entry_in(struct vmm_plan *plan, enum vmm_entry_kind kind, const char *base,
                  const char *path, int fd, struct err *err) MUST_CHECK;

extern struct metric vmm_metric_plans, vmm_metric_failures;

#endif
