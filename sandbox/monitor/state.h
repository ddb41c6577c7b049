/* SPDX-License-Identifier: Apache-2.0 */
/*
 * state - all a monitor knows while it runs, and what its files do for each other.
 *
 * One thread, one loop (main.c), one struct. The phases:
 *
 *     STARTING --start_done()--> RUNNING --reap() sees the workload's end--> DRAINING --> exit
 * file, end
 *         \--start_failed(): error report, leftovers killed, end
 *
 * While STARTING only the starter is reaped: a workload that dies at once stays a zombie until its
 * pid and start time have been reported, so no status is ever lost.
 */
#ifndef UNICRI_SANDBOX_MONITOR_STATE_H
#define UNICRI_SANDBOX_MONITOR_STATE_H

#include <poll.h>
#include <signal.h>
#include <sys/types.h>

#include "sandbox/monitor/logfile.h"
#include "sandbox/monitor/message.h"
#include "sandbox/monitor/monitor.h"
#include "sandbox/monitor/spec.h"

#define CHUNK_MAX_BYTES   (MONITOR_MESSAGE_MAX_BYTES - 1) /* of output read at once */
#define STALL_MS          5000 /* a client that takes nothing for so long is cut off */
#define STALL_DRAINING_MS 500
#define DRAIN_MS                                                                                   \
    200 /* for the streams to end once the workload has and all that lay in them is read */
#define QUIET_MS               1000 /* after so long without an event all memory that can be is given back */
#define KILL_MS                3000 /* for what a failed start left behind to die */
#define LAST_WORDS_MAX_BYTES   512
#define CONSOLE_TAIL_MAX_BYTES 768

enum phase { PHASE_STARTING, PHASE_RUNNING, PHASE_DRAINING };
enum { STREAM_OUT, STREAM_ERR, STREAMS };

struct client {
    int fd; /* -1: free */
    bool attached;
    bool input;  /* may write to stdin */
    bool behind; /* has not taken the chunk that is being handed out */
};

/* What a child tells before exec, on a pipe that exec closes. */
struct start_error {
    int code;
    char step[188];
};

struct monitor {
    enum phase phase;
    struct spec spec;
    sigset_t old_mask; /* what the workload gets: nothing blocked */
    int signal_fd;

    /* starting */
    struct spec helper; /* argv NULL: none */
    pid_t starter;      /* the runtime, or the VMM itself; 0 when reaped */
    int error_fd;       /* read end of the pipe of struct start_error; -1 once seen */
    int child_error_fd; /* its write end, for the child */
    bool exec_done;
    int64_t start_deadline_ms; /* monotonic; 0 none */

    /* the workload */
    pid_t pid;
    uint64_t start_time; /* field 22 of /proc/PID/stat */
    int wait_status;
    struct timespec finished;
    bool oom;
    int64_t oom_before;

    /* the helper */
    pid_t helper_pid;              /* 0: none, or reaped */
    int helper_words, child_words; /* a pipe of its last words: our end, its own */
    int helper_status;
    int64_t helper_deadline_ms; /* for the workload to follow its helper; 0 none */
    bool helper_failed;         /* the workload is killed for it */

    /* stdio: our ends, and until exec those of the child */
    int fd[STREAMS]; /* -1: ended */
    int in;          /* stdin pipe or terminal; -1: none or closed */
    int child_in, child_out, child_err;
    int console_listener;      /* until the runtime has sent the terminal */
    bool terminal;             /* fd[STREAM_OUT] and `in` are the same terminal */
    size_t in_used, in_done;   /* of the input chunk that waits to be written to stdin */
    bool in_close;             /* close stdin once that is written */
    int64_t began_ns, exec_ns; /* monotonic: this process; that of a VMM */
    int64_t first_ns;          /* the first byte of output, 0 none yet */
    bool first_told;
    char last_words[LAST_WORDS_MAX_BYTES]; /* the end of what came on stderr, for messages */
    size_t last_words_len;
    char tail[CONSOLE_TAIL_MAX_BYTES]; /* of a VMM: the end of its console, whole lines or not */
    size_t tail_len;

    /* control */
    int listener;
    struct client clients[MONITOR_CLIENTS_MAX];
    size_t chunk_len; /* of the output chunk that somebody is behind with; 0: none */
    int64_t stall_deadline_ms;

    struct logfile log;
    struct log_stream streams[STREAMS];
};

/** now_ms(), now_ns() - monotonic. */
int64_t now_ms(void);
int64_t now_ns(void);

/* ---- setup.c */
/** setup() - everything up to the running child. On failure what was opened is as it was left, -1
 * where nothing is. */
int setup(struct monitor *m, struct fault *f);
/** setup_release() - the workload runs: give the spec's memory back; the strings that are needed on
 * were kept. */
void setup_release(void);

/* ---- stdio.c: pipes, terminal, and the way of the bytes */
/** stdio_open() - make the pipes, or the console socket in the run directory. */
int stdio_open(struct monitor *m, struct fault *f);
/** stdio_child() - in the child: descriptors 0, 1, 2. Returns: 0, or -1 with errno. */
int stdio_child(const struct monitor *m);
/** stdio_started() - close the child's ends. */
void stdio_started(struct monitor *m);
/** stdio_console() - the console socket is readable: take the terminal. */
void stdio_console(struct monitor *m);
/** stdio_read() - a stream is readable: log one chunk and hand it to the attached. Returns: whether
 * there was something. */
bool stdio_read(struct monitor *m, int stream);
/** stdio_deliver() - hand the chunk on to those who are behind with it. */
void stdio_deliver(struct monitor *m);
/** stdio_input() - queue a chunk for stdin; the previous one has been written. */
void stdio_input(struct monitor *m, const char *data, size_t len);
/** stdio_input_flush() - write on. */
void stdio_input_flush(struct monitor *m);
/** stdio_input_close() - the workload sees the end of its input (a terminal: an EOT character). */
void stdio_input_close(struct monitor *m);
/** stdio_resize() - Returns: 0, or -1 when there is no terminal. */
int stdio_resize(struct monitor *m, const struct message *message);
/** stdio_release() - no line is half read: give the buffers' pages back. */
void stdio_release(struct monitor *m);
bool stdio_ended(const struct monitor *m);

/* ---- start_*.c */
int start_runtime(struct monitor *m, struct fault *f);
/** start_runtime_result() - the runtime exited with 0: read its pid file into m->pid. */
int start_runtime_result(struct monitor *m, struct fault *f);
/** start_runtime_words() - the runtime failed with this status: its last error message. Returns:
 * -1. */
int start_runtime_words(struct monitor *m, int status, struct fault *f);
int start_vmm(struct monitor *m, struct fault *f);
/** start_child_failed() - in the child: tell errno and the step, and end. */
_Noreturn void start_child_failed(const struct monitor *m, const char *step);
/** start_child_failed_at() - the same, of an object. */
_Noreturn void start_child_failed_at(const struct monitor *m, const char *step, const char *object);
/** start_child_signals() - in the child: every signal as a new program expects it. */
void start_child_signals(const struct monitor *m);
/** process_stat() - parent and start time of a process. Returns: 0, or -1 when there is none. */
int process_stat(pid_t pid, pid_t *ret_parent, uint64_t *ret_start_time);

/* What the monitor opens for the child before it is there. */
struct jail_fds {
    int birth; /* cgroup to be born in; -1 none */
    int cgroups[SPEC_CGROUPS_MAX];
    size_t n_cgroups;
    int trees[SPEC_ENTRIES_MAX]; /* of the entries; -1 where there is none */
    size_t n_trees;
};

/* ---- jail.c, root.c, landlock.c, seccomp.c: run in the child, one way */
/** jail_enter() - everything between clone and exec; ends in execveat(). Does not return. */
_Noreturn void jail_enter(const struct monitor *m, const struct jail_fds *fds);
/** root_open() - in the parent: a private copy of each mount that the root shall hold, already as
 * it is to be. A child in a mount namespace of its own could not copy them any more. */
int root_open(const struct spec *spec, struct jail_fds *fds, struct fault *f);
/** root_enter() - in the child: the new root, with its entries, and the old one gone. */
void root_enter(const struct monitor *m, const struct jail_fds *fds);
/** root_is_base() - are other entries put into its tree? */
bool root_is_base(const struct spec *spec, const struct root_entry *e);
/* ---- graft.c */
/** root_graft() - an entry with a base: its tree at its path below that, through whatever links lie
 * there, none of which leads out. */
void root_graft(const struct monitor *m, const struct root_entry *e, int tree);
#define JAIL_PROGRAM_FD                                                                            \
    255 /* above any descriptor the jailed program can have: its RLIMIT_NOFILE is lower */
#define JAIL_NOFILE_MAX 254
#define JAIL_HIGH_FD                                                                               \
    256 /* copies on the way lie above every descriptor of the VMM and JAIL_PROGRAM_FD */
/** landlock_open() - in the finished root: the rules that let the VMM have what lies in it.
 * Returns: a descriptor above JAIL_HIGH_FD, or -1: the kernel has no Landlock. */
int landlock_open(const struct monitor *m);
/** landlock_enforce() - put them in force, with no_new_privs set; closes them. -1: does nothing. */
void landlock_enforce(const struct monitor *m, int rules);
/** jail_filter() - install the outer seccomp filter: the one execve left is of JAIL_PROGRAM_FD.
 * With entries of a root files may be opened and local sockets made, with interface_sockets also
 * those to look at network interfaces. @program_fd: JAIL_PROGRAM_FD, or where else the program
 * lies. Returns: 0, or -1 with errno. */
int jail_filter(const struct spec *spec, int program_fd);
#define SERVER_NOFILE                                                                              \
    32768 /* of a file server, at most: one for each file that its guest knows                     \
           */
/* ---- userns.c */
/** userns_open() - before the root is left: what userns_enter() needs of it; -1: no namespace. */
int userns_open(const struct monitor *m);
/** userns_enter() - with its uid: a namespace with nobody else in it. */
void userns_enter(const struct monitor *m, int self);
/** userns_serve() - a file server's capabilities in it. */
void userns_serve(const struct monitor *m);

/* ---- helper.c */
/** helper_open() - the pipe of its words. */
int helper_open(struct monitor *m, struct fault *f);
/** helper_become() - in its child: from here on its orders are those of the monitor's copy. */
void helper_become(struct monitor *m);
/** helper_ended() - it has been reaped: the workload cannot go on. */
void helper_ended(struct monitor *m, int status);
/** helper_check() - what has not followed its helper in time is killed. */
void helper_check(struct monitor *m);
/** helper_end() - the workload has ended: so does it; waits for that, but not without end. */
void helper_end(struct monitor *m);
/** helper_tell() - how it ended, and its words. */
void helper_tell(const struct monitor *m, struct text *t);

/* ---- nap.c */
/** nap() - give back all pages of the program and wait in poll() without end. `revents` are filled
 * in. */
void nap(struct pollfd *p, size_t n);

/* ---- control.c */
int control_open(struct monitor *m, struct fault *f);
void control_accept(struct monitor *m);
/** control_read() - one message of a client. */
void control_read(struct monitor *m, struct client *c);
/** control_broadcast() - hand a chunk (a frame with its channel byte in front, `len` data bytes) to
 * everyone attached. */
void control_broadcast(struct monitor *m, const char *frame, size_t len);
/** control_deliver() - to those behind; cuts them off after the stall deadline. */
void control_deliver(struct monitor *m, const char *frame);
void control_drop(struct monitor *m, struct client *c);
void control_close(struct monitor *m);

/* ---- exitfile.c */
/** exitfile_reserve() - create the temporary file with room for its content, while there is room.
 */
int exitfile_reserve(const struct monitor *m, struct fault *f);
/** exitfile_write() - fill and rename it. Returns: 0, or -1. */
int exitfile_write(const struct monitor *m);
void exitfile_discard(const struct monitor *m);
/** exitfile_first() - tell when the first byte of output came. A failure is passed over. */
void exitfile_first(struct monitor *m);

/* ---- oom.c */
/** oom_kills() - the counter of the cgroup; 0 when it cannot be read. */
int64_t oom_kills(const struct monitor *m);

/* ---- reap.c */
/** reap() - take the statuses that are due. Returns: whether the starter has ended; *ret_status is
 * its status. */
bool reap(struct monitor *m, int *ret_status);
/** reap_kill_all() - kill the starter, its group, all other children and the cgroups of the spec,
 * and reap them. */
void reap_kill_all(struct monitor *m);

#endif
