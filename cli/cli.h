/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli - what the commands of `unicri` share: the context, option parsing, printing. One file a
 * command; each is `int cmd_X(struct cli *cli, int argc, char **argv)`, returns the process's exit
 * status, and reports its own errors.
 */
#ifndef UNICRI_CLI_CLI_H
#define UNICRI_CLI_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "cli/client.h"

#define CLI_DEFAULT_SOCKET  "/run/unicri/unicri.sock"
#define CLI_DEFAULT_TIMEOUT (120 * NSEC_PER_SEC)

struct cli {
    const char *socket;    /* borrowed */
    nsec_t timeout;        /* of one call */
    struct client *client; /* opened on first use */
};

struct command {
    const char *name;
    const char *usage;   /* "[OPTIONS] IMAGE [-- COMMAND ARG...]" */
    const char *summary; /* one line */
    int (*run)(struct cli *cli, int argc, char **argv);
};
extern const struct command cli_commands[]; /* ends with a NULL name */

/* ----------------------------------------------------------- options */

enum flag_type { FLAG_BOOL, FLAG_STRING, FLAG_STRV, FLAG_BYTES, FLAG_SECONDS };

struct flag {
    const char *name; /* "follow" */
    char letter;      /* 'f', or 0 */
    enum flag_type type;
    void *value;     /* bool *, const char **, char *** (owned), uint64_t *, nsec_t * */
    const char *arg; /* name of the argument in the help, NULL for FLAG_BOOL */
    const char *help;
};

/**
 * flags_parse() - take the options out of argv; `--` ends them, and so does the first operand when
 * `operands_end` is set.
 * --help prints the command's help and ends the process with 0; a mistake prints one line and ends
 * it with 2. Returns: the index in argv of the first operand; operands stand together at the end.
 */
int flags_parse(const struct command *command, const struct flag *flags, size_t n,
                bool operands_end, int argc, char **argv);
/** command_find() - NULL when there is none. */
const struct command *command_find(const char *name);
/** usage_error() - one line and where the help is. Returns: 2. */
int usage_error(const char *command, const char *fmt, ...) PRINTF(2, 3);
/** complain() - print `unicri: <error>`. Returns: 1. */
int complain(const struct err *err);

/* ------------------------------------------------------------- calls */

/** cli_call() - one RPC on the socket, opened on first use; timeout 0 = the command line's. */
int cli_call(struct cli *cli, const char *method, const ProtobufCMessage *request,
             const ProtobufCMessageDescriptor *type, nsec_t timeout, void *ret,
             struct err *err) MUST_CHECK;

/** find_container() - full id of the container that `word` names: an id, a unique prefix of one, or
 * a name. Caller frees. */
int find_container(struct cli *cli, const char *word, char **ret_id, struct err *err) MUST_CHECK;
/** find_pod() - as find_container() for pods. */
int find_pod(struct cli *cli, const char *word, char **ret_id, struct err *err) MUST_CHECK;

/* ---------------------------------------------------------- printing */

/* A table whose columns are as wide as their widest cell. */
struct table;
struct table *table_new(const char *const *titles);             /* NULL terminated */
void table_row(struct table *t, ...) __attribute__((sentinel)); /* strings, copied; ended by NULL */
void table_print_free(struct table *t);

/** print_json() - any message, by its descriptor, as indented JSON with the API's own field names.
 */
void print_json(const ProtobufCMessage *message);
/** age() - "5 s", "3 min", "2 h", "4 d" since an instant; in a static buffer per call site's
 * thread. */
const char *age(nsec_t since);
const char *bytes_text(uint64_t bytes); /* "1.2 MB", likewise */
/** printable() - a copy of text from the daemon, with control bytes replaced: nothing from an image
 * reaches the terminal raw. */
char *printable(const char *text);

/** logs_copy() - print a CRI log from *offset on; *offset moves behind the last whole line. Absent
 * file: success. Stops at `tail_lines` from the end when it is not 0 and *offset is 0. */
int logs_copy(const char *path, int64_t *offset, uint64_t tail_lines, bool timestamps,
              struct err *err) MUST_CHECK;

int cmd_run(struct cli *cli, int argc, char **argv);
int cmd_ps(struct cli *cli, int argc, char **argv);
int cmd_pods(struct cli *cli, int argc, char **argv);
int cmd_images(struct cli *cli, int argc, char **argv);
int cmd_pull(struct cli *cli, int argc, char **argv);
int cmd_logs(struct cli *cli, int argc, char **argv);
int cmd_exec(struct cli *cli, int argc, char **argv);
int cmd_debug(struct cli *cli, int argc, char **argv);
int cmd_inspect(struct cli *cli, int argc, char **argv);
int cmd_stop(struct cli *cli, int argc, char **argv);
int cmd_rm(struct cli *cli, int argc, char **argv);
int cmd_rmi(struct cli *cli, int argc, char **argv);
int cmd_info(struct cli *cli, int argc, char **argv);
int cmd_version(struct cli *cli, int argc, char **argv);
int cmd_check(struct cli *cli, int argc, char **argv);

#endif
