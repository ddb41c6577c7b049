/* SPDX-License-Identifier: Apache-2.0 */
/*
 * disk_tool - see disk_tool.h.
 *
 * Disks of the ext family are files with holes: their size is a bound on what is in them and the
 * room that was asked for, of which only what is written takes space. They have no journal: a
 * private copy is thrown away with its container, a shared one is never written.
 */
#include "imagestore/disk_tool.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>

#include "base/child.h"
#include "base/fs.h"
#include "base/strbuf.h"
#include "imagestore/mkdisk/room.h"

#define OUTPUT_MAX_BYTES 16384
#define BLOCK_BYTES      UINT64_C(4096)
#define SIZE_STEP        (UINT64_C(1) << 20)
#define SIZE_OVERHEAD    (UINT64_C(32) << 20) /* group descriptors, bitmaps, lost+found */
#define INODE_BYTES      UINT64_C(256)
#define BYTES_PER_INODE  UINT64_C(16384) /* of the free room */
#define CPU_BASE         UINT64_C(60)
#define CPU_RATE         (UINT64_C(1) << 20) /* bytes a second of CPU, at least */

struct tool {
    const char *program, *package, *name;
    bool room; /* has a size of its own */
};
static const struct tool tools[] = {
    [IMAGE_DISK_EROFS] = {"mkfs.erofs", "erofs-utils", "erofs", false},
    [IMAGE_DISK_SQUASHFS] = {"mksquashfs", "squashfs-tools", "squashfs", false},
    [IMAGE_DISK_EXT4] = {"mke2fs", "e2fsprogs", "ext4", true},
    [IMAGE_DISK_EXT2] = {"mke2fs", "e2fsprogs", "ext2", true},
};
#define ROOT_TOOL "debugfs" /* of the package of mke2fs, which does not copy the root's mode */

const char *image_disk_kind_name(enum image_disk_kind kind)
{
    return tools[kind].name;
}

bool disk_kind_has_room(enum image_disk_kind kind)
{
    return tools[kind].room;
}

/* Only places that unicri-mkdisk shows it. Returns: owned by the caller. */
static char *find_program(const char *name, const char *package, struct err *err)
{
    static const char *const dirs[] = {"/usr/sbin", "/usr/bin",        "/sbin",
                                       "/bin",      "/usr/local/sbin", "/usr/local/bin"};

    for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
        char *path = path_join(dirs[i], name);

        if (access(path, X_OK) == 0)
            return path;
        free(path);
    }
    (void)err_set(err, ERR_UNSUPPORTED, "'%s' is not installed: install the package '%s'", name,
                  package);
    return NULL;
}

/* ------------------------------------------------------------------ sizes */

static uint64_t free_bytes(const struct imagestore *s, const struct disk_plan *plan)
{
    return plan->image < 0 ? plan->size : s->config->disk_free_bytes;
}

static uint64_t inodes_of(const struct imagestore *s, const struct disk_plan *plan)
{
    return plan->data_inodes + plan->data_inodes / 8 + 1024 + free_bytes(s, plan) / BYTES_PER_INODE;
}

/* Each file may end in a block that is not full, and each may be a directory. */
static uint64_t size_of(const struct imagestore *s, const struct disk_plan *plan)
{
    if (plan->size)
        return plan->size;
    uint64_t size = plan->data_bytes + plan->data_inodes * BLOCK_BYTES +
                    inodes_of(s, plan) * INODE_BYTES + s->config->disk_free_bytes + SIZE_OVERHEAD;

    size += size / 50;
    return (size + SIZE_STEP - 1) / SIZE_STEP * SIZE_STEP;
}

/* --------------------------------------------------------------- arguments */

static void add(char ***argv, const char *const *words)
{
    for (; *words; words++)
        strv_push(argv, *words);
}

static void add_ext(char ***argv, const struct imagestore *s, const struct disk_plan *plan)
{
    static const char *const common[] = {"-q", "-F", "-F", "-b", "4096", "-m", "0", "-t", NULL};
    /* nothing that an older kernel would refuse to write to */
    static const char *const ext4[] = {
        "ext4", "-I", "256", "-O", "^has_journal,^orphan_file,^metadata_csum_seed", NULL};
    static const char *const ext2[] = {"ext2", "-I", "128", "-O", "^resize_inode,^dir_index", NULL};
    static const char *const source[] = {"-d", MKDISK_SOURCE, NULL};

    add(argv, common);
    add(argv, plan->kind == IMAGE_DISK_EXT2 ? ext2 : ext4);
    strv_push(argv, "-N");
    strv_take(argv, xasprintf("%llu", (unsigned long long)inodes_of(s, plan)));
    strv_push(argv, "-E");
    strv_take(argv, xasprintf("lazy_itable_init=1,nodiscard,root_owner=%u:%u", plan->root.st_uid,
                              plan->root.st_gid));
    if (plan->image >= 0)
        add(argv, source);
    strv_push(argv, MKDISK_OUTPUT);
    strv_take(argv, xasprintf("%llu", (unsigned long long)(size_of(s, plan) / BLOCK_BYTES)));
}

static void add_arguments(char ***argv, const struct imagestore *s, const struct disk_plan *plan)
{
    static const char *const erofs[] = {MKDISK_OUTPUT, MKDISK_SOURCE, NULL};
    static const char *const squashfs[] = {
        MKDISK_SOURCE, MKDISK_OUTPUT, "-noappend", "-no-progress", "-quiet", "-processors",
        "2",           "-mem",        "256M",      "-comp",        "gzip",   NULL};

    switch (plan->kind) {
    case IMAGE_DISK_EROFS:
        add(argv, erofs);
        break;
    case IMAGE_DISK_SQUASHFS:
        add(argv, squashfs);
        break;
    case IMAGE_DISK_EXT4:
    case IMAGE_DISK_EXT2:
        add_ext(argv, s, plan);
        break;
    }
}

/* ----------------------------------------------------------------- running */

/* What an unsuccessful end means. */
static int explain(const char *program, const struct child_status *status,
                   const struct child_output *output, struct err *err)
{
    bool full = strstr(output->errout, "No space left") || strstr(output->out, "No space left") ||
                (!status->exited && (status->code == SIGXFSZ || status->code == SIGXCPU));

    (void)child_explain(program, status, output, err);
    if (full)
        err->code = ERR_EXHAUSTED;
    return -1;
}

static int run(struct imagestore *s, const struct disk_plan *plan, char *const *tool,
               const char *program, uint64_t max_bytes, deadline_t deadline, struct err *err)
{
    autofree char *bytes = xasprintf("%llu", (unsigned long long)max_bytes);
    autofree char *cpu =
        xasprintf("%llu", (unsigned long long)(CPU_BASE + plan->data_bytes / CPU_RATE));
    autostrv char **argv = NULL;
    struct child_spec spec = {.path = s->mkdisk_program, .cwd = s->disks_dir, .end_group = true};
    autochild_output output = {0};
    struct child_status status;

    /* as a mount that hangs nowhere: one of this process's own cannot be shown elsewhere */
    autofd int output_mount =
        open_tree(plan->output, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);

    if (output_mount < 0)
        return err_sys(err, "open_tree");
    strv_push(&argv, "unicri-mkdisk");
    strv_push(&argv, bytes);
    strv_push(&argv, cpu);
    for (; *tool; tool++)
        strv_push(&argv, *tool);
    spec.argv = argv;
    spec.fds[spec.n_fds++] = (struct child_fd){output_mount, MKDISK_OUTPUT_FD};
    if (plan->image >= 0) {
        spec.fds[spec.n_fds++] = (struct child_fd){plan->image, MKDISK_IMAGE_FD};
        spec.fds[spec.n_fds++] = (struct child_fd){plan->source, MKDISK_SOURCE_FD};
    }
    if (child_run(&spec, NULL, 0, OUTPUT_MAX_BYTES, deadline, &output, &status, err) < 0)
        return -1;
    return status.exited && status.code == 0 ? 0 : explain(program, &status, &output, err);
}

static int set_root_mode(struct imagestore *s, const struct disk_plan *plan, uint64_t size,
                         deadline_t deadline, struct err *err)
{
    autofree char *program = find_program(ROOT_TOOL, tools[plan->kind].package, err);
    autofree char *request =
        xasprintf("set_inode_field / mode 0%o", (unsigned)(plan->root.st_mode & 07777) | S_IFDIR);
    char *tool[] = {program, (char[]){"-w"},          (char[]){"-R"},
                    request, (char[]){MKDISK_OUTPUT}, NULL};
    struct disk_plan alone = *plan;

    alone.image = alone.source = -1; /* the mount is used up, and not needed */
    return program ? run(s, &alone, tool, ROOT_TOOL, size, deadline, err) : -1;
}

int disk_make(struct imagestore *s, const struct disk_plan *plan, deadline_t deadline,
              struct err *err)
{
    const struct tool *tool = &tools[plan->kind];
    uint64_t size = tool->room ? size_of(s, plan) : s->config->max_image_bytes;
    autofree char *program = find_program(tool->program, tool->package, err);
    autostrv char **argv = NULL;

    if (!program)
        return -1;
    if (tool->room && ftruncate(plan->output, (off_t)size) < 0)
        return err_sys(err, "a disk of %llu bytes", (unsigned long long)size);
    strv_push(&argv, program);
    add_arguments(&argv, s, plan);
    if (run(s, plan, argv, tool->program, size, deadline, err) < 0)
        return -1;
    if (tool->room && plan->image >= 0 && (plan->root.st_mode & 07777) != 0755)
        return set_root_mode(s, plan, size, deadline, err);
    return 0;
}
