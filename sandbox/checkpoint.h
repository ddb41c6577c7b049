/* SPDX-License-Identifier: Apache-2.0 */
/*
 * checkpoint - CheckpointContainer: the memory and files of a running container as one archive, by
 * its OCI runtime and CRIU; the container goes on. The archive is laid out as containerd's and
 * CRI-O's are (checkpoint/, config.dump, spec.dump, rootfs-diff.tar, ...), so that tools that look
 * into those look into ours.
 *
 * The container stands still from before the dump until its changed files have been read, so that
 * both are of one moment. unicri-freeze sees to it that it goes on, whatever becomes of us. The row
 * says that one is being made, for what else a killed daemon leaves: ROOT/containers/ID/checkpoint.
 * The file itself has no name before it is whole.
 */
#ifndef UNICRI_SANDBOX_CHECKPOINT_H
#define UNICRI_SANDBOX_CHECKPOINT_H

#include "sandbox/container.h"
#include "sandbox/tar_out.h"

#define CHECKPOINT_DIR  "checkpoint" /* in rootfs_dir, and in itself: CRIU's images */
#define CHECKPOINT_DIFF "rootfs-diff.tar"
#define CHECKPOINT_LOG  "dump.log"

/* One that is being made. */
struct checkpoint {
    struct container *c; /* borrowed */
    char *work;          /* owned; the directory */
    int work_fd;
    deadline_t deadline;
};

/** checkpoint_criu_check() - is there a CRIU that works on this node? Errors: UNSUPPORTED saying
 * what lacks. */
int checkpoint_criu_check(deadline_t deadline, struct err *err) MUST_CHECK;
/** checkpoint_dump() - CRIU's images, logs, and the changed files into the work directory; the
 * container goes on when it returns. Errors: the runtime's or CRIU's own words; DEADLINE. */
int checkpoint_dump(const struct checkpoint *k, struct err *err) MUST_CHECK;
/** checkpoint_room() - what may be written to the filesystem of a descriptor: some stays free. */
int checkpoint_room(const struct checkpoint *k, int fd, uint64_t *ret, struct err *err) MUST_CHECK;
/** checkpoint_archive() - all of it onto a descriptor. */
int checkpoint_archive(const struct checkpoint *k, struct tar_out *out, struct err *err) MUST_CHECK;
/** checkpoint_forget() - at start: what a daemon that was killed meanwhile has left. */
void checkpoint_forget(struct container *c);

#endif
