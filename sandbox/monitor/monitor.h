/* SPDX-License-Identifier: Apache-2.0 */
/*
 * monitor - the contract between the daemon and `unicri-monitor`, the process that holds one
 * running container.
 *
 * The daemon spawns the monitor with the descriptors below and lets it go. The monitor is session
 * leader and subreaper; it starts the workload, owns its stdio, writes the CRI log, serves its
 * control socket, reaps, writes the exit file atomically, and ends. It knows no JSON, no protobuf,
 * no sqlite and no thread: libc only, so that a thousand of them cost little. It does not know
 * whether it holds an OCI runtime or a VMM: both are one `struct monitor_spec`.
 *
 * Descriptors at start:
 *   0, 1      /dev/null
 *   2         the daemon's stderr (until the workload has started, then /dev/null)
 *   3         a memfd with the spec
 *   4         the report pipe (write end)
 *   5         the container's run directory (RUN/containers/ID)
 *   6         the exit directory (RUN/exits)
 *   7 and up  descriptors that the spec hands to the workload
 *
 * The spec is text of NUL terminated fields `key=value`, in any order, repeated keys in order; at
 * most MONITOR_SPEC_MAX_BYTES. (r) marks keys that may be repeated.
 *   id=ID                  container id: name of the exit file
 *   mode=runtime           run argv; it detaches a workload and writes its pid to `pid` in the run
 *                          directory
 *   mode=vmm               argv is the workload itself, to be jailed and executed by program_fd
 *   arg=TEXT env=TEXT      of the program (r)
 *   program=PATH           mode runtime
 *   program_fd=N           mode vmm
 *   fd=FROM:TO             vmm: descriptor FROM of the monitor becomes TO (3 to 199) of the
 *                          workload (r)
 *   log_dir=PATH log=PATH  CRI log file: a directory (absolute), and a path below it through which
 *                          no symbolic link is followed; its directory exists. none: output is
 *                          drained and dropped
 *   log_line_max=BYTES     where a longer line of output is cut into partial records
 *   tty=1                  the runtime is given a terminal: see "@console@" below
 *   stdin=1 stdin_once=1   clients may write to stdin; it closes with the first of them
 *   timeout_ms=N           for the start (runtime's exit, VMM's exec)
 *   kill_on_start_failure=1  whatever the runtime left behind is killed (after a timeout, always)
 *   cgroup=PATH            directories (absolute, one per hierarchy that counts) that the vmm is
 *                          put into before exec (r)
 *   cgroup_memory=PATH     where OOM is read from (memory.events or memory.oom_control); the
 *                          monitor looks before and after
 *   cgroup_kill=PATH       cgroup directories whose processes are killed with it (r)
 *   oom_score_adj=N        of the workload (vmm); clamped when the host refuses
 *   uid= gid= nofile= fsize= new_pid_ns=1
 *                          the jail (vmm)
 *   interface_sockets=1    with entries of a root, the seccomp filter also lets it make UDP and
 *                          rtnetlink sockets, with which it looks at the interfaces of netns
 *   local_connect=1        with entries of a root, the filter also lets it connect sockets that are
 *                          there
 *   file_server=1          it is root of its user namespace, with the capabilities that a file
 *                          server needs there; it may change its root and have more descriptors
 *                          than a VMM. A host that has no room for the namespace cannot start it
 *   new_user_ns=1          a user namespace in which its uid and gid are the only ones, where the
 *                          host has room for one (vmm)
 *   ioctl=REQUEST          a number that the seccomp filter lets ioctl() be called with, the most
 *                          frequent first; all others fail with ENOTTY (r)
 *   group=GID              a supplementary group of it (r)
 *   netns=FD               vmm: descriptor of the network namespace to enter before the jail
 *                          closes; none: a fresh, empty one. One empty namespace made by the
 *                          daemon and given to all guests is cheaper and as closed.
 *
 * What the root directory of a VMM holds, in the order in which it is made; none of these: it is
 * empty. Paths are absolute and clean; directories on the way are made. All is owned by root and
 * read-only, but what is said to be writable. With any of them the seccomp filter lets the VMM open
 * files and local sockets; without, not.
 *   root_ro=FD:PATH        descriptor FD (O_PATH), a file or directory with all that is mounted
 *                          below it, read-only, without devices and set-uid (r)
 *   root_rw=FD:PATH        the same, writable; nothing there can be executed (r)
 *   root_device=FD:PATH    a device node, with its own owner and mode (r)
 *   root_dir=PATH          an empty directory that the VMM owns and may write to (r)
 *   root_file=PATH         a file that anyone may read, empty or with the next root_text (r)
 *   root_symlink=PATH      a symbolic link; the next root_text is its target (r)
 *   root_proc=PATH         the processes of the VMM's PID namespace, with new_pid_ns only (r)
 *   root_text=TEXT         of the file or link before it (r)
 *   root_base=PATH         the next root_ro or root_rw is put into the tree of the earlier entry
 * PATH: its path is looked up as if that were the root, what is missing on the way is made by the
 * VMM's uid (r) root_bytes=N           how much may be written below all root_dir together
 *
 *   helper=1               ends the fields above. What follows are the same fields (id, mode=vmm,
 * arg, env, program_fd, fd, cgroup, the jail and its root) of a second process that the workload
 * cannot do without, such as a file server. It is started first, has no standard streams but its
 * own last words, and neither outlives the other.
 *
 * Placeholders in an arg, replaced by the monitor with a path in the run directory:
 *   @console@   the socket on which the runtime hands over the terminal (--console-socket)
 *   @log@       runtime.log: give the runtime `--log=@log@ --log-format=json`; the last message
 *               there is the text of a failed start's report
 *
 * Report (fd 4), one message, then the descriptor is closed:
 *   "ok PID START_TIME\n"   the workload runs (runtime: its detached process; vmm: exec is done)
 *   "error CODE text...\n"  with an errno or 0 and the words of the runtime; the monitor then
 *                           writes no exit file and ends
 *
 * Exit file RUN/exits/ID, written to a temporary name, renamed, and only then announced by the
 * monitor's end:
 *   "code N\nsignal N\nfinished NANOSECONDS_SINCE_1970\noom 0|1\n[helper 1\n]message TEXT\n
 *    [console TEXT\n]"
 * signal is 0 when it exited; `oom 1`: the kernel killed in cgroup_memory while the workload ran;
 * `helper 1`: the workload was killed, or failed, because its helper had ended; how, says TEXT.
 * TEXT: of a VMM that failed the last line of its stderr; whether and why log records were lost.
 * console, of a vmm: the end of its stdout with MONITOR_LINE_END between lines.
 * All output is in the log by then. The temporary name begins with a dot and exists, with its room
 * reserved, from the start on.
 *
 * RUN/exits/ID.first: "NANOSECONDS[ NANOSECONDS]\n", how long after the monitor's own start the
 * workload's first byte of output came, and of a vmm how long after its exec; written once, if that
 * was within MONITOR_FIRST_MAX_S, when the workload runs. Whoever has read it removes it.
 *
 * Signals: TERM, INT, HUP, QUIT, USR1, USR2 to the monitor are ignored; end the workload instead.
 *
 * Control socket: SOCK_SEQPACKET, `ctl` in the run directory, mode 0600, at most
 * MONITOR_CLIENTS_MAX clients; a message is one of
 *   "reopen"      -> "ok" or "error TEXT": the log file was opened anew (the new file exists)
 *   "ping"        -> "ok PID START_TIME"
 *   "resize W H"  -> "ok"
 *   "stat"        -> "ok log_bytes N dropped_bytes N"
 *   "attach IN"   -> "ok", then the connection carries stdio: to the client frames of one channel
 *                    byte (1 stdout, 2 stderr) and data; from the client to stdin (IN = 1) channel
 *                    byte 0 and data; an empty channel-0 frame closes stdin
 */
#ifndef UNICRI_SANDBOX_MONITOR_H
#define UNICRI_SANDBOX_MONITOR_H

#define MONITOR_SPEC_FD     3
#define MONITOR_REPORT_FD   4
#define MONITOR_RUN_DIR_FD  5
#define MONITOR_EXIT_DIR_FD 6
#define MONITOR_FIRST_FD    7

#define MONITOR_SPEC_MAX_BYTES    4194304
#define MONITOR_REPORT_MAX_BYTES  4096
#define MONITOR_MESSAGE_MAX_BYTES (32 * 1024 + 1)
#define MONITOR_CLIENTS_MAX       16

/* In the run directory: the socket of a runtime that starts a terminal's owner exists only then;
 * the runtime's log is removed before each start. */
#define MONITOR_CONTROL_NAME     "ctl"
#define MONITOR_PID_NAME         "pid"
#define MONITOR_CONSOLE_NAME     "console"
#define MONITOR_RUNTIME_LOG_NAME "runtime.log"

/* Names in the exit directory that watchers ignore. */
#define MONITOR_EXIT_TMP_PREFIX "."

#define MONITOR_LINE_END '\x1f'

#define MONITOR_FIRST_SUFFIX ".first"
#define MONITOR_FIRST_MAX_S  60

#endif
