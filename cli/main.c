/* SPDX-License-Identifier: Apache-2.0 */
/* unicri - the command for people: a table of commands over the daemon's socket. */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/strbuf.h"
#include "cli/cli.h"

const struct command cli_commands[] = {
    {"run", "[OPTIONS] IMAGE [COMMAND ARG...]",
     "Run a container or a unikernel in a pod of its own.", cmd_run},
    {"ps", "[OPTIONS]", "List containers.", cmd_ps},
    {"pods", "[OPTIONS]", "List pods.", cmd_pods},
    {"logs", "[OPTIONS] CONTAINER", "Print what a container or a guest's console has written.",
     cmd_logs},
    {"exec", "[OPTIONS] CONTAINER COMMAND [ARG...]",
     "Run a command in a container and print what it writes.", cmd_exec},
    {"debug", "POD|CONTAINER console|regs|gdb|pcap|core [ARG...]",
     "Look into a unikernel: console, registers, GDB, frames, core file.", cmd_debug},
    {"inspect", "POD|CONTAINER|IMAGE", "Show everything the daemon knows of one object, as JSON.",
     cmd_inspect},
    {"stop", "[OPTIONS] POD|CONTAINER...", "Stop pods or containers.", cmd_stop},
    {"rm", "[OPTIONS] POD|CONTAINER...", "Remove pods or containers.", cmd_rm},
    {"images", "[OPTIONS]", "List images.", cmd_images},
    {"pull", "[OPTIONS] IMAGE...", "Pull images.", cmd_pull},
    {"rmi", "IMAGE...", "Remove images with all their names.", cmd_rmi},
    {"info", "[OPTIONS]", "Show the state of the daemon.", cmd_info},
    {"check", "[OPTIONS]", "Tell what this node lacks to run containers and unikernels.",
     cmd_check},
    {"version", "", "Show the versions of the daemon and of the API.", cmd_version},
    {NULL, NULL, NULL, NULL},
};

const struct command *command_find(const char *name)
{
    for (const struct command *c = cli_commands; c->name; c++)
        if (str_eq(c->name, name))
            return c;
    return NULL;
}

int cli_call(struct cli *cli, const char *method, const ProtobufCMessage *request,
             const ProtobufCMessageDescriptor *type, nsec_t timeout, void *ret, struct err *err)
{
    if (!cli->client)
        cli->client = client_open(cli->socket, err);
    if (!cli->client)
        return -1;
    return client_call(cli->client, method, request, type,
                       deadline_in(timeout ? timeout : cli->timeout), NULL, NULL, ret, err);
}

static void print_usage(FILE *out)
{
    fprintf(out, "unicri [--socket PATH] [--timeout SECONDS] COMMAND [OPTIONS]\n\nCommands:\n");
    for (const struct command *c = cli_commands; c->name; c++)
        fprintf(out, "  %-9s %s\n", c->name, c->summary);
    fprintf(
        out,
        "\n`unicri COMMAND --help` tells more. The socket is --socket, else $UNICRI_SOCKET, else\n"
        "%s.\n",
        CLI_DEFAULT_SOCKET);
}

/* Returns: the index of the command in argv; ends the process for --help and mistakes. */
static int global_options(struct cli *cli, int argc, char **argv)
{
    static const struct option longs[] = {{"socket", required_argument, NULL, 's'},
                                          {"timeout", required_argument, NULL, 't'},
                                          {"help", no_argument, NULL, 'h'},
                                          {"version", no_argument, NULL, 'v'},
                                          {NULL, 0, NULL, 0}};
    struct err err = ERR_INIT;
    unsigned long long seconds;
    int c;
    while ((c = getopt_long(argc, argv, "+s:t:h", longs, NULL)) != -1) {
        switch (c) {
        case 's':
            cli->socket = optarg;
            break;
        case 't':
            if (parse_u64(optarg, 86400, "--timeout", &seconds, &err) < 0)
                exit(complain(&err) + 1);
            cli->timeout = (nsec_t)seconds * NSEC_PER_SEC;
            break;
        case 'h':
            print_usage(stdout);
            exit(0);
        case 'v':
            printf("unicri %s\n", UNICRI_VERSION);
            exit(0);
        default:
            fprintf(stderr, "See `unicri --help`.\n");
            exit(2);
        }
    }
    return optind;
}

int main(int argc, char **argv)
{
    const char *socket = getenv("UNICRI_SOCKET");
    struct cli cli = {.socket = socket && *socket ? socket : CLI_DEFAULT_SOCKET,
                      .timeout = CLI_DEFAULT_TIMEOUT};
    (void)signal(SIGPIPE, SIG_IGN);
    int at = global_options(&cli, argc, argv);
    if (at >= argc) {
        print_usage(stderr);
        return 2;
    }
    if (str_has_prefix(cli.socket, "unix://"))
        cli.socket += strlen("unix://");
    const struct command *command = command_find(argv[at]);
    if (!command) {
        fprintf(stderr, "unicri: there is no command '%s'. See `unicri --help`.\n", argv[at]);
        return 2;
    }
    int rc = command->run(&cli, argc - at, argv + at);
    client_close(cli.client);
    return rc;
}
