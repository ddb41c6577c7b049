/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vmm - unikernels: what an image says of itself, which monitor runs it, how it is told its
 * arguments and address, and the jail around it. Facade of the folder. It starts nothing: a driver
 * writes a plan (argv, fds, jail) and the container's monitor process carries it out.
 *
 * Image data is hostile: it chooses among what the node's configuration allows and nothing else; it
 * never becomes a path, an argument or a flag by itself. Drivers and families are const tables,
 * looked up once.
 * Thread: any; memory only unless said otherwise.
 */
#ifndef UNICRI_VMM_VMM_H
#define UNICRI_VMM_VMM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "base/options.h"
#include "vmm/tender/trap.h"

/* --------------------------------------------------------- the guest */

#define GUEST_DEVICES_MAX 64

enum guest_device_type { GUEST_NET, GUEST_BLOCK };
struct guest_device {
    char name[68]; /* as in the Solo5 manifest */
    enum guest_device_type type;
};

/* What the kernel's own bytes say it is: which boot protocols it can be started by. */
enum guest_kernel {
    KERNEL_UNKNOWN, /* not looked at yet */
    KERNEL_SOLO5,
    KERNEL_MULTIBOOT, /* multiboot 1 header, ELF or flat */
    KERNEL_PVH,       /* ELF with the Xen note 0x12 */
    KERNEL_BZIMAGE,
    KERNEL_ELF64, /* no marks: entered as Linux' 64-bit entry (Firecracker) */
};

/* What an image declares (labels and annotations `com.urunc.unikernel.*`, urunc.json, KraftKit's
 * layout, ELF notes); checked. */
struct guest {
    char *family; /* "mirage", "unikraft", "generic" ...; "" = by ELF notes */
    char *version;
    char *hypervisor; /* "spt", "hvt", "qemu", ... as declared; "" = any that can run it */
    char *binary;     /* path of the kernel in the image */
    char *cmdline;    /* used only when the container has neither command nor args */
    char *initrd, *block, *block_mount; /* paths in the image; "" none */
    char *net_device, *block_device;    /* names in the Solo5 manifest; "" by type */
    char *boot_kernel, *boot_initrd;    /* files of the node that stand in for binary and initrd,
                                           which then begin with VMM_HOST_FILE; "" none */
    bool mount_rootfs;
    bool bare; /* declares nothing: the kernel is what the container would run, its first word */
    enum guest_kernel kernel;
    uint64_t kernel_end; /* first address behind what the kernel loads to; 0 unknown */
    /* From the kernel's own notes, once guest_probe_kernel() has seen it: */
    bool solo5;
    char solo5_target[8]; /* "hvt", "spt" */
    struct guest_device devices[GUEST_DEVICES_MAX];
    size_t n_devices;
};
void guest_free(struct guest *guest);
DEFINE_CLEANUP(struct guest *, guest_free);
#define autoguest CLEANUP(guest_free_cleanup) struct guest

#define GUEST_JSON_MAX_BYTES 65536

/* In front of a path: vmm_host_file_open(); no path of an image has it. */
#define VMM_HOST_FILE "host:"

/* All that an image and its pod say of a guest. Borrowed. */
struct guest_image {
    const struct kvs *labels, *annotations; /* of the image's config and manifest */
    const struct kvs *pod_annotations;      /* of the container, only those the handler allows */
    const char *os, *os_version;            /* of the image's config */
    char *const *argv;                      /* what the container would run, or NULL */
    bool wanted;                            /* the container can be nothing but a guest: so may a
                                               bare ELF file without marks be */
    /** Opens a file of the image: fd or -1, with NOT_FOUND when it is not there. NULL: no files. */
    int (*open_file)(void *arg, const char *path, struct err *err);
    void *arg;
};
/**
 * guest_declared() - does the image declare a unikernel?
 * By keys `com.urunc.unikernel.*`, key by key: pod annotation > manifest annotation > label >
 * /urunc.json > what KraftKit's layout says. Values are plain or base64 (one encoding for a whole
 * source). An image that says nothing is one if argv[0] is a kernel by its bytes.
 * Returns: 0 and *ret = NULL when it is none; a guest owned by the caller.
 * Errors: INVALID naming source, key and value; UNSUPPORTED; INVALID when it is none but `wanted`.
 */
int guest_declared(const struct guest_image *image, struct guest **ret, struct err *err) MUST_CHECK;
/**
 * guest_probe_kernel() - what the kernel behind fd is: fills `kernel`, `kernel_end` and what its
 * ELF notes say (Solo5 target, manifest). Reads a bounded part of the file; nothing in it is
 * trusted.
 * Errors: INVALID saying what lies, or what kind of file it is instead of a kernel; UNSUPPORTED for
 * another machine's kernel.
 */
int guest_probe_kernel(struct guest *guest, int kernel_fd, struct err *err) MUST_CHECK;

/** vmm_guest_family() - the family by whose rules the guest is run: what the image declares, else
 * by its kernel. Static; for vmm_ending, and to be kept for it over a restart. */
const char *vmm_guest_family(const struct guest *guest);
/** vmm_family_is_deaf() - whether guests of the family, on a machine, do not know the power button:
 * to ask them to shut down is in vain. */
bool vmm_family_is_deaf(const char *family);

/* ---------------------------------------------------------- a plan */

#define VMM_FDS_MAX    40
#define VMM_QUEUES_MAX 8

struct vmm_net {
    const char *device; /* name in the manifest; NULL: the driver's only one */
    int tap_fd;
    const int *more_fds; /* further queues of the tap, as many as vmm_net_queues() said, less one */
    size_t n_more;
    const char *tap;
    const char *mac;
    int mtu;
    const char *ip, *gateway; /* IPv4, "" none */
    bool any_gateway;         /* the link finds the way for whatever network the guest is told */
    int prefix;
    const char *ip6, *gateway6;
    int prefix6;
    char *const *dns;
    const char *hostname;
};
struct vmm_block {
    const char *device; /* name in a Solo5 manifest; NULL: next free */
    int fd;             /* raw, whatever its first bytes say */
    bool readonly;
    const char *serial;      /* what the guest can find it by, or NULL */
    const char *mount_point; /* where the guest is to mount it; NULL or "": its own business */
    const char *fstype;      /* "ext4", "erofs", "squashfs"; NULL unknown */
};
/* A volume that is put into the tree of a share, in front of what lies there. */
struct vmm_mount {
    const char *path; /* below the share; links of the share are followed within it */
    int fd;           /* O_PATH: a directory or file */
    bool readonly;
};
/* A directory of the node that the guest sees as a file system. */
struct vmm_share {
    const char *tag; /* mount tag */
    int fd;          /* O_PATH: the directory */
    bool virtiofs;   /* else 9p; at most one, and the only share */
    bool readonly;
    const char *mount_point; /* "/" is the root */
    const struct vmm_mount *mounts;
    size_t n_mounts;
};

/* How the guest gets its root file system and the volumes of its container: chosen once, at
 * CreateContainer, by vmm_storage_choose(). */
enum vmm_root {
    VMM_ROOT_NONE,   /* all it needs is in the kernel */
    VMM_ROOT_INITRD, /* guest->initrd */
    VMM_ROOT_BLOCK,  /* guest->block, a disk in the image; a private copy */
    VMM_ROOT_DISK,   /* a disk made of the image's whole root file system */
    VMM_ROOT_SHARE,  /* the mounted root file system, by 9p or virtiofs */
};
enum vmm_volumes {
    VMM_VOLUMES_NONE,
    VMM_VOLUMES_CPIO,    /* further cpio segments behind the initrd: read once, at boot */
    VMM_VOLUMES_SHARE,   /* a share each */
    VMM_VOLUMES_IN_ROOT, /* in their places within VMM_ROOT_SHARE: a guest need not mount them */
};
struct vmm_storage {
    enum vmm_root root;
    const char *disk_kind; /* VMM_ROOT_DISK: "ext4", "erofs", "squashfs"; static */
    bool root_readonly;
    bool virtiofs; /* shares: virtiofs, else 9p */
    enum vmm_volumes volumes;
};
/* A volume of the container, as the choice needs to know it. */
struct vmm_volume {
    const char *path; /* in the guest */
    bool directory, readonly;
    bool optional; /* a kubelet's own: where a guest can take no volumes, it is left out */
    bool scratch;  /* writable, and a copy will do: nobody else has to see what is written */
};

/* A tree of the node that is to be copied into a guest: a directory with all below it, or a file.
 */
struct vmm_tree {
    const char *path; /* in the guest */
    int fd;           /* O_PATH will do */
};
#define VMM_VOLUMES_MAX_BYTES (UINT64_C(64) << 20) /* of all trees of a guest */
#define VMM_VOLUMES_MAX_FILES 65536

/* What is to be run. All borrowed; descriptors stay the caller's. */
struct vmm_spec {
    const char *id; /* container id */
    const struct guest *guest;
    int kernel_fd, initrd_fd; /* -1 none */
    char *const *args;        /* the container's command and args */
    char *const *env;
    uint64_t memory_limit; /* of the container, bytes; 0 = the handler's default */
    uint32_t cpus;         /* 0 = 1 */
    const struct vmm_net *nets;
    size_t n_nets;
    const struct vmm_block *blocks; /* the root first, when it is one */
    size_t n_blocks;
    const struct vmm_share *shares; /* likewise */
    size_t n_shares;
    const uint32_t *groups; /* whose files in shares the guest may use beside everybody's */
    size_t n_groups;
    const struct vmm_storage *storage; /* NULL: as if all were 0 */
    int fs_listener, fs_socket; /* with a virtiofs share: what its server accepts on, and the VMM's
                                   end: connected, or where the driver has `fs_by_path` O_PATH of
                                   the socket's file */
    int control_fd; /* listening unix socket for the VMM's API when the driver's control is
                       VMM_CONTROL_LISTENER; -1 none */
    int record_fd;  /* an empty file in which the VMM may tell how its guest ended, when the
                       driver has `record`; -1 none */
    bool hold_end;  /* where the driver can tell that it `stands`: a guest that is over is held,
                       for its memory to be looked at, until its VMM is killed */
    const char *workdir;         /* for guests that can change into it; "" none */
    const char *machine, *accel; /* the handler's own; NULL or "": the configuration's */
    bool debuggable;             /* who traces the VMM may change the guest (built-in tender) */
    bool watched; /* somebody is about to trace the VMM: the guest waits a moment for it
                     (built-in tender) */
};

#define VMM_IOCTLS_MAX 192

/* How a VMM is shut in: carried out by the monitor between clone and exec. */
struct vmm_jail {
    uint32_t uid, gid;   /* unique to this guest */
    uint64_t memory_max; /* of its cgroup: guest + overhead */
    int64_t pids_max;
    uint64_t nofile, fsize; /* rlimits */
    bool new_pid_ns;
    bool pod_netns;   /* in the pod's network namespace, for a VMM that opens its tap by name */
    bool file_server; /* root of a user namespace of its own: see monitor.h */
    bool connects;    /* to sockets in its root; then its network namespace is its own */
    bool interface_sockets; /* it may make sockets to look at interfaces: UDP and rtnetlink */
    uint32_t groups[4];     /* further groups: that of /dev/kvm */
    size_t n_groups;
    uint32_t ioctls[VMM_IOCTLS_MAX]; /* the requests it may make; all others fail */
    size_t n_ioctls;
    bool new_user_ns;     /* a user namespace with its uid and gid alone, where the host has one */
    uint64_t tmpfs_bytes; /* how much may be written below all VMM_DIR entries together */
};

#define VMM_ENTRIES_MAX 64

/* What the jail's root holds; without entries it is empty. Made in the given order; missing parent
 * directories are made, too. All that is not VMM_DIR or VMM_BIND_RW is read-only in there. */
enum vmm_entry_kind {
    VMM_BIND_RO,     /* `fd` (O_PATH): a file or directory of the node; no devices, no set-uid */
    VMM_BIND_RW,     /* the same, writable: a disk */
    VMM_BIND_DEVICE, /* a device node: /dev/kvm, /dev/net/tun, /dev/urandom */
    VMM_FILE,        /* a small file with `text` */
    VMM_SYMLINK,     /* to `text` */
    VMM_PROC,        /* its own processes, for a VMM that finds its descriptors there */
    VMM_DIR,         /* an empty directory that the VMM may write to */
};
struct vmm_entry {
    enum vmm_entry_kind kind;
    char *path; /* absolute and clean; owned */
    char *base; /* of a bind: path of an earlier one in whose tree `path` lies; owned, or NULL */
    int fd;     /* of the binds; else -1 */
    bool own;   /* closed with the plan */
    char *text; /* owned, or NULL */
};

struct vmm_plan {
    char **argv; /* owned; argv[0] is a name for ps */
    char **env;  /* owned */
    /* Owned: the VMM's program, O_PATH or readable; executed by fd in an empty root. */
    int program_fd;
    struct {
        int from; /* borrowed from the spec, or owned by the plan when `own` */
        int to;   /* number in the VMM */
        bool own;
    } fds[VMM_FDS_MAX];
    size_t n_fds;
    struct vmm_entry entries[VMM_ENTRIES_MAX];
    size_t n_entries;
    struct vmm_jail jail;
    uint64_t guest_memory; /* bytes of RAM the guest gets */
    uint64_t overhead;     /* memory of the VMM itself; 0: vmm.memory_overhead */
    /* A second process, without which the guest cannot go on: argv to jail are those of its own,
     * but the uid, and the cgroup is shared. Owned; NULL: none. */
    struct vmm_plan *helper;
};
void vmm_plan_done(struct vmm_plan *plan);

/* ---------------------------------------------------------- drivers */

struct vmm_handler; /* a handler of the configuration, resolved */

enum vmm_stop {
    VMM_STOP_SIGTERM,
    VMM_STOP_CONTROL, /* vmm_driver.shutdown asks the guest */
    VMM_STOP_KILL,    /* it hears no signal and its guest nothing: SIGKILL at once */
};

/* How the daemon reaches the VMM's API, if it has one. */
enum vmm_control {
    VMM_CONTROL_NONE,
    VMM_CONTROL_LISTENER, /* vmm_spec.control_fd: the VMM accepts on it */
    VMM_CONTROL_PATH,     /* the VMM makes a socket of its own, at `control_path` in its root */
};

/* What a driver can give a guest. */
enum {
    VMM_CAN_NET = 1 << 0,
    VMM_CAN_INITRD = 1 << 1,
    VMM_CAN_BLOCK = 1 << 2,
    VMM_CAN_9P = 1 << 3,
    VMM_CAN_VIRTIOFS = 1 << 4,
    VMM_CAN_SMP = 1 << 5,
    VMM_CAN_MANY_NETS = 1 << 6,
    VMM_CAN_QUEUES = 1 << 7, /* taps with several queues */
};

/* How a VMM's process has ended, and what is known beside that. All borrowed. */
struct vmm_ending {
    const char *family; /* of the guest: vmm_guest_family() */
    bool exited;        /* with status `code`; else killed by signal `code` */
    int code;
    const char *record; /* what stands in vmm_spec.record_fd: bounded, nobody vouches for it; "" */
};
/* What that means for the container. The texts are static. */
struct vmm_verdict {
    int exit_code;                /* the guest's own where it tells one */
    const char *reason, *message; /* "Completed", "Error", "GuestCrashed", ...; "" no message */
};

#define VMM_RECORD_LINE 80

struct vmm_driver {
    const char *name; /* "tender-spt" */
    /** Why this host cannot run it, in plain words (owned by the caller); NULL when it can. */
    char *(*unavailable)(const struct vmm_handler *handler);
    /** Can it run this guest? Errors: INVALID/UNSUPPORTED saying what does not fit. */
    int (*accepts)(const struct vmm_handler *handler, const struct guest *guest, struct err *err);
    /** Write the plan. Errors: INVALID naming the device or argument. */
    int (*plan)(const struct vmm_handler *handler, const struct vmm_spec *spec,
                struct vmm_plan *ret, struct err *err);
    unsigned can;    /* VMM_CAN_* */
    unsigned ioctls; /* sets of requests that its VMM makes: private to vmm/ */
    bool fs_by_path; /* it connects to the server of a virtiofs share by itself */
    bool vnet_hdr;   /* its taps carry virtio-net headers */
    enum vmm_stop stop;
    enum vmm_control control;
    const char *control_path;
    /** Wait until the VMM answers on `fd` (connected) and the guest runs. NULL: nothing to wait
     * for. Errors: DEADLINE, UNAVAILABLE with the VMM's own words, CORRUPT (an answer that is
     * none). Thread: worker. */
    int (*ready)(int fd, deadline_t deadline, struct err *err);
    /** Ask the guest to shut down (ACPI button, Ctrl-Alt-Del); only asks. Errors: as ready. */
    int (*shutdown)(int fd, deadline_t deadline, struct err *err);
    /** The guest stands still and is served to a debugger, by GDB's protocol on `gdb_fd` (a stream
     * socket), until debug_end. One at a time. Errors: as ready. NULL: its VMM serves none. */
    int (*debug_begin)(int fd, int gdb_fd, deadline_t deadline, struct err *err);
    /** However the debugger has ended: what it changed in the guest's code is taken back, and the
     * guest goes on. Also after no or half a debug_begin. A guest that came to its end meanwhile
     * stays there, and what belongs at the end of the record comes in `ret`, else "". */
    int (*debug_end)(int fd, deadline_t deadline, char ret[VMM_RECORD_LINE], struct err *err);
    /** Begins to write the guest, which stands still meanwhile, to `out_fd` (a pipe) as an ELF core
     * file, and goes on with it by itself; a reader that has gone ends it. */
    int (*dump)(int fd, int out_fd, deadline_t deadline, struct err *err);
    bool record; /* its VMM writes to vmm_spec.record_fd */
    /** Does the guest stand still for good, or was it reset and is booted anew, though its VMM has
     * not ended? Then the VMM is to be killed; `explain` knows by the record what that means. NULL:
     * it never does. */
    bool (*stands)(const char *record);
    /** What an end of the VMM means; fills all of *ret. */
    void (*explain)(const struct vmm_ending *end, struct vmm_verdict *ret);
};

struct vmm_config {
    char *tender_program; /* unicri-tender; "" = beside the daemon */
    char **boot_files;    /* files of the node that images may name as bootKernel and bootInitrd */
    uint64_t default_memory;
    int64_t uid_first, uid_count; /* unique uids for jails */
    uint64_t memory_overhead;
    nsec_t ready_timeout; /* from a VMM's start until its API says that the guest runs */
    char *solo5_spt_program, *solo5_hvt_program; /* "" = solo5-spt, solo5-hvt in PATH */
    char *firecracker_program;                   /* "" = firecracker in PATH */
    char *cloud_hypervisor_program;              /* "" = cloud-hypervisor in PATH */
    char *qemu_program;                          /* "" = qemu-system-ARCH in PATH */
    int64_t net_queues;                          /* of a guest's tap, at most */
    char *qemu_machine;                          /* "q35" or "microvm"; "auto": q35 */
    char *virtiofsd_program;                     /* "" = virtiofsd where distributions put it */
    char *qemu_accel;                            /* "auto", "kvm" or "tcg" */
};
extern const struct option vmm_options[];
extern const size_t vmm_options_n;
extern struct metric *const vmm_metrics[];

struct vmm; /* the drivers with their configuration */
/** vmm_open() - `config` is borrowed. Opens the tender's program once. Errors: NOT_FOUND. */
struct vmm *vmm_open(const struct vmm_config *config, struct err *err);
void vmm_close(struct vmm *vmm);

/** vmm_host_file_open() - a kernel or initrd of the node that an image names. `path` is as in
 * struct guest, with VMM_HOST_FILE. Returns: fd, or -1. Errors: DENIED when vmm.boot_files does not
 * list it; INVALID when it is no file. */
int vmm_host_file_open(const struct vmm *vmm, const char *path, struct err *err);

/** vmm_jail_uids() - the range of the configuration from which the caller of vmm_plan() picks a uid
 * of its own for each guest. */
void vmm_jail_uids(const struct vmm *vmm, uint32_t *ret_first, uint32_t *ret_count);

/**
 * vmm_handler_find() - by driver name ("tender-spt", "tender-hvt"), or for `guest` the first driver
 * that this host has and that accepts it when `name` is "auto".
 * Errors: NOT_FOUND (unknown name), UNSUPPORTED (why no driver can run it).
 */
const struct vmm_handler *vmm_handler_find(struct vmm *vmm, const char *name,
                                           const struct guest *guest, struct err *err);
/** vmm_check_choice() - whether a handler of the configuration may ask `driver` (or "auto") for
 * this machine and accelerator; both may be "". Errors: INVALID. */
int vmm_check_choice(const char *driver, const char *machine, const char *accel,
                     struct err *err) MUST_CHECK;
/** vmm_check_share() - the same for how guests share directories with the node: "auto", "virtiofs",
 * "9p" or "none"; "" is "auto". Errors: INVALID. */
int vmm_check_share(const char *driver, const char *share, struct err *err) MUST_CHECK;
/** vmm_driver_find() - by name; NULL: there is none. Says nothing of what the host has. */
const struct vmm_driver *vmm_driver_find(const char *name);
/** vmm_net_queues() - how many queues a guest's tap is to have, by its processors (0: one) and the
 * configuration. `driver` may be NULL. */
unsigned vmm_net_queues(const struct vmm *vmm, const struct vmm_driver *driver, uint32_t cpus);
nsec_t vmm_ready_timeout(const struct vmm *vmm);
const struct vmm_driver *vmm_handler_driver(const struct vmm_handler *handler);
/** vmm_driver_names() - NULL terminated, static. */
const char *const *vmm_driver_names(void);
/** vmm_driver_unavailable() - for `unicri check` and Status: NULL or why (owned). */
char *vmm_driver_unavailable(struct vmm *vmm, const char *name);
/** vmm_storage_choose() - by what the driver can, what the family knows and what the container
 * asks for: one way for all volumes. Nothing is dropped but what is `optional`, when ret->volumes
 * is NONE: what cannot be given is refused. @share: as vmm_check_share() takes it. Errors:
 * UNSUPPORTED naming the volume or root and what to change. Thread: any; may run virtiofsd to ask
 * what it is, once. */
int vmm_storage_choose(const struct vmm_handler *handler, const struct guest *guest,
                       const struct vmm_volume *volumes, size_t n_volumes, bool rootfs_readonly,
                       const char *share, struct vmm_storage *ret, struct err *err) MUST_CHECK;
/**
 * vmm_initrd_write() - what a guest with VMM_VOLUMES_CPIO boots with: the image's initrd (-1: none)
 * and the trees, in a form that the guest's family reads.
 * @out_fd: an empty file, open for reading and writing.
 * Trees may change meanwhile; no link in them is followed. The whole is a copy: what changes later
 * on either side stays there. Blocks.
 * Errors: UNSUPPORTED (the limits above; sockets, pipes, devices, mounts inside; an initrd that
 * volumes cannot be put into), EXHAUSTED (disk), INVALID (path), all naming the volume.
 */
int vmm_initrd_write(const struct guest *guest, int initrd_fd, const struct vmm_tree *trees,
                     size_t n, int out_fd, struct err *err) MUST_CHECK;
#define VMM_START_FILES 2
/**
 * vmm_start_files() - files that belong into the guest's initrd so that it can be told all of the
 * spec's args and env: those of a Linux guest that its command line cannot hold.
 * @ret: descriptors owned by the caller; paths static.
 * @ret_n: 0 when it needs none; looks at guest, args, env, initrd_fd (-1: none) and storage only.
 * Errors: those of vmm_words_check(); SYSTEM.
 */
int vmm_start_files(const struct vmm_spec *spec, struct vmm_tree ret[VMM_START_FILES],
                    size_t *ret_n, struct err *err) MUST_CHECK;
/** vmm_words_check() - whether the guest can be told what stands in the spec's args, env, nets and
 * workdir; the rest of the spec is not looked at. For CreateContainer. Errors: INVALID, UNSUPPORTED
 * naming the word and what the guest cannot be told. Memory only. */
int vmm_words_check(const struct vmm_spec *spec, struct err *err) MUST_CHECK;
/** vmm_words_ignored() - what of the spec's env, nets and workdir the guest is not told because its
 * family has no way for it, a few words for people each. Owned strv; NULL: it is told all. */
char **vmm_words_ignored(const struct vmm_spec *spec);
/** vmm_plan() - the handler's driver writes the plan, with jail and memory filled in; *ret is to be
 * ended with vmm_plan_done(). */
int vmm_plan(const struct vmm_handler *handler, const struct vmm_spec *spec, uint32_t jail_uid,
             struct vmm_plan *ret, struct err *err) MUST_CHECK;

#endif
