/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fs - files and directories: whole-file reads with a bound, atomic replacement, careful removal.
 *
 * Paths given here are the node's own (config, root, run). A path with a byte from an image, a
 * request or a guest goes through fs_open_in_root() only.
 */
#ifndef UNICRI_BASE_FS_H
#define UNICRI_BASE_FS_H

#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "base/clock.h"
#include "base/mem.h"

/** fs_read_file() - the whole of a file of at most max_bytes, NUL terminated. Caller frees *ret.
 * Errors: NOT_FOUND, EXHAUSTED when larger. `ret_len` may be NULL. */
int fs_read_file(int dirfd, const char *path, size_t max_bytes, char **ret, size_t *ret_len,
                 struct err *err) MUST_CHECK;
/** fs_read_fd() - as fs_read_file() from an open descriptor (files, pipes, /proc). */
int fs_read_fd(int fd, size_t max_bytes, char **ret, size_t *ret_len, struct err *err) MUST_CHECK;
/** fs_write_file() - create or truncate, write all, close. Not atomic, not synced (cgroup and /proc
 * files, run files). */
int fs_write_file(int dirfd, const char *path, const void *data, size_t len, mode_t mode,
                  struct err *err) MUST_CHECK;
/** fs_replace_file() - write to a temporary neighbour and rename over `path`; with `durable`, file
 * and directory are synced. A reader sees the old or the new content, never a part. */
int fs_replace_file(int dirfd, const char *path, const void *data, size_t len, mode_t mode,
                    bool durable, struct err *err) MUST_CHECK;
/** fs_write_all() - write(2) until done; for pipes and sockets too (blocking descriptors). */
int fs_write_all(int fd, const void *data, size_t len, struct err *err) MUST_CHECK;

/** fs_mkdir() - one directory with exactly this mode, whatever the umask; existing is fine (its
 * mode stays). */
int fs_mkdir(int dirfd, const char *path, mode_t mode, struct err *err) MUST_CHECK;
/** fs_mkdirs() - with all parents. */
int fs_mkdirs(const char *path, mode_t mode, struct err *err) MUST_CHECK;
/** fs_remove() - unlink or rmdir one thing; absent is fine. */
int fs_remove(int dirfd, const char *path, struct err *err) MUST_CHECK;
/** fs_remove_tree() - everything below and at `path`; does not follow links, does not cross mounts;
 * absent is fine. A directory that others fill meanwhile is tried a few times. */
int fs_remove_tree(int dirfd, const char *path, struct err *err) MUST_CHECK;
/** fs_sync_tree() - make a tree durable: syncfs() of its filesystem. */
int fs_sync_tree(int dirfd, struct err *err) MUST_CHECK;
/** fs_sync_dir() - fsync a directory by path. */
int fs_sync_dir(int dirfd, const char *path, struct err *err) MUST_CHECK;

/**
 * fs_open_in_root() - open `path` as if rootfd were "/": links resolve inside, nothing escapes
 * (openat2 RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS). Returns: an fd with O_CLOEXEC, or -1.
 * Errors: NOT_FOUND, DENIED, UNSUPPORTED on kernels without openat2.
 */
int fs_open_in_root(int rootfd, const char *path, int flags, mode_t mode, struct err *err);

/** fs_disk_usage() - bytes and inodes used below a directory, hard links counted once; stops at
 * `deadline`. */
int fs_disk_usage(int dirfd, const char *path, deadline_t deadline, uint64_t *ret_bytes,
                  uint64_t *ret_inodes, struct err *err) MUST_CHECK;
/** fs_free_bytes() - what an unprivileged writer could still write on the filesystem of `path`. */
int fs_free_bytes(const char *path, uint64_t *ret, struct err *err) MUST_CHECK;
/** fs_lock() - take an exclusive lock on a file (created 0600). Returns: fd to hold. Errors: STATE
 * when held by another, for FS_LOCK_PATIENCE: a child of a holder that was killed, between its
 * birth and its exec, holds the lock a moment longer than the holder. May block so long. */
#define FS_LOCK_PATIENCE (2 * NSEC_PER_SEC)
int fs_lock(const char *path, struct err *err) MUST_CHECK;
/** fs_lock_dir() - the same on a directory that is there, on any filesystem (cgroups too). */
int fs_lock_dir(const char *path, struct err *err) MUST_CHECK;

/** path_join() - "a/b"; owned by the caller. */
char *path_join(const char *a, const char *b);
/** name_is_safe() - non-empty, no '/', not "." or "..", no control byte, at most 255 bytes. */
bool name_is_safe(const char *name);

#endif
