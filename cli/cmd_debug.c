/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unicri debug - look into a unikernel: an exec of unicri:COMMAND, streamed, as kubectl does it.
 * The words of the help are the manual.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/strbuf.h"
#include "cli/cli.h"
#include "cli/websocket.h"

#define STATUS_MAX_BYTES 65536
#define INFO_MAX_BYTES   (1024 * 1024)
#define INPUT_BYTES      16384
#define PREFIX           "unicri:"

static const char manual[] =
    "unicri debug POD|CONTAINER COMMAND [ARG...]\n"
    "\n"
    "Look into a unikernel, which has no shell that one could be in. A pod stands for its one\n"
    "unikernel that runs.\n"
    "\n"
    "Commands:\n"
    "  console   What the guest has printed, as far as its log reaches back (256 KiB), then what "
    "it\n"
    "            prints; Ctrl-C ends it. What is typed goes to the guest where its container has\n"
    "            stdin.\n"
    "  regs      Registers and a backtrace, with names from the kernel in the image. The guest\n"
    "            stands still for about a millisecond. A guest without frame pointers gets a\n"
    "            backtrace of guesses, which says so.\n"
    "  gdb       GDB's remote protocol on stdin and stdout:\n"
    "                gdb KERNEL -ex 'target remote | unicri debug POD gdb'\n"
    "            The guest stands still until GDB lets it go on. However the session ends - "
    "detach,\n"
    "            kill, quit, a crash of GDB - breakpoints are taken out and the guest goes on.\n"
    "            Probes of a guest that stands still fail, and a kubelet restarts it for that. Of\n"
    "            hvt guests all can be seen, but neither breakpoints nor registers can be set.\n"
    "  pcap      The frames of the guest's network device, as a capture file on stdout:\n"
    "                unicri debug POD pcap | tcpdump -r -\n"
    "            --count=N, --seconds=N: end after so many; --snaplen=N: bytes kept of each.\n"
    "  core      The guest as a core file on stdout; it stands still until all is read:\n"
    "                unicri debug POD core > core; gdb KERNEL core\n"
    "\n"
    "regs, gdb and core are for guests of the built-in tender; console and pcap for all.\n"
    "\n"
    "The same without this program:\n"
    "  kubectl exec [-i] POD [-c CONTAINER] -- unicri:COMMAND [ARG...]\n"
    "  crictl exec [-i] CONTAINER unicri:COMMAND [ARG...]\n"
    "\n"
    "None of it is allowed by default. In the daemon's configuration a handler allows all or "
    "some:\n"
    "  [handlers.auto]\n"
    "  kind = \"auto\"\n"
    "  debug = true        # or a list: debug = [\"console\", \"regs\"]\n"
    "  crash_cores = 2     # keep core files of the last two guests that crashed\n"
    "Who may exec into a pod may then read, and with gdb change, all of its guest's memory.\n"
    "\n"
    "Exit status: that of the command; 1 when it failed, 2 for a wrong word.\n";

/* ---------------------------------------------------------------- which guest? */

/* Is it a unikernel? Its verbose status names the runtime. */
static int is_guest(struct cli *cli, const char *id, bool *ret, struct err *err)
{
    V1(ContainerStatusRequest) request = RUNTIME__V1__CONTAINER_STATUS_REQUEST__INIT;
    automessage V1(ContainerStatusResponse) *reply = NULL;
    const char *runtime = "runc";

    request.container_id = (char *)id;
    request.verbose = 1;
    if (cli_call(cli, "RuntimeService/ContainerStatus", &request.base,
                 &runtime__v1__container_status_response__descriptor, 0, &reply, err) < 0)
        return -1;
    *ret = false;
    for (size_t i = 0; i < reply->n_info; i++) {
        const char *text = reply->info[i]->value;
        autojson *info = str_eq(reply->info[i]->key, "info")
                             ? json_parse(text, strlen(text), INFO_MAX_BYTES, "info", NULL)
                             : NULL;

        if (info && json_opt_string(info, "runtimeType", &runtime, NULL) == 0)
            *ret = runtime && !str_eq(runtime, "runc");
    }
    return 0;
}

static int find_in_pod(struct cli *cli, const char *pod, const char *word, char **ret_id,
                       struct err *err)
{
    V1(ContainerStateValue) running = RUNTIME__V1__CONTAINER_STATE_VALUE__INIT;
    V1(ContainerFilter) filter = RUNTIME__V1__CONTAINER_FILTER__INIT;
    V1(ListContainersRequest) request = RUNTIME__V1__LIST_CONTAINERS_REQUEST__INIT;
    automessage V1(ListContainersResponse) *reply = NULL;

    running.state = RUNTIME__V1__CONTAINER_STATE__CONTAINER_RUNNING;
    filter.pod_sandbox_id = (char *)pod;
    filter.state = &running;
    request.filter = &filter;
    if (cli_call(cli, "RuntimeService/ListContainers", &request.base,
                 &runtime__v1__list_containers_response__descriptor, 0, &reply, err) < 0)
        return -1;
    for (size_t i = 0; i < reply->n_containers; i++) {
        bool guest;

        if (is_guest(cli, reply->containers[i]->id, &guest, err) < 0)
            return -1;
        if (guest && *ret_id)
            return err_set(err, ERR_INVALID, "pod '%s' has several unikernels: name a container",
                           word);
        if (guest)
            *ret_id = xstrdup(reply->containers[i]->id);
    }
    return *ret_id ? 0 : err_set(err, ERR_NOT_FOUND, "pod '%s' has no unikernel that runs", word);
}

static int find_guest(struct cli *cli, const char *word, char **ret_id, struct err *err)
{
    autofree char *pod = NULL;

    if (find_container(cli, word, ret_id, err) == 0)
        return 0;
    if (err->code != ERR_NOT_FOUND || !cli->client)
        return -1;
    if (find_pod(cli, word, &pod, err) < 0)
        return err->code == ERR_NOT_FOUND
                   ? err_set(err, ERR_NOT_FOUND, "no container or pod has the id or name '%s'",
                             word)
                   : -1;
    return find_in_pod(cli, pod, word, ret_id, err);
}

/* ------------------------------------------------------------------ the stream */

/* The status channel: a Status of the API. */
static int take_status(const char *text, size_t len, int *ret_code, struct err *err)
{
    autojson *status = json_parse(text, len, STATUS_MAX_BYTES, "status", err);
    const char *message = NULL, *state = NULL, *code = NULL;
    json_t *details = NULL, *causes = NULL;

    if (!status || json_opt_string(status, "status", &state, err) < 0 ||
        json_opt_string(status, "message", &message, err) < 0 ||
        json_opt_object(status, "details", &details, err) < 0)
        return -1;
    *ret_code = 0;
    if (state && str_eq(state, "Success"))
        return 0;
    if (details && json_opt_array(details, "causes", &causes, err) == 0 && causes &&
        json_opt_string(json_array_get(causes, 0), "message", &code, NULL) == 0 && code &&
        scan_int(&code, ret_code))
        return 0; /* the command has said why on its stderr */
    *ret_code = 1;
    return err_set(err, ERR_INTERNAL, "%s", message ? message : "it failed");
}

/* Returns: 1: it has ended, 0, -1. */
static int take_message(const struct websocket *w, int *ret_code, struct err *err)
{
    const char *data = w->message.s + 1;
    size_t len = w->message.len - 1;

    if (w->message.len == 0)
        return 0;
    switch ((unsigned char)w->message.s[0]) {
    case CHANNEL_OUT:
        if (fwrite(data, 1, len, stdout) != len || fflush(stdout) != 0)
            return err_sys(err, "write");
        return 0;
    case CHANNEL_ERR:
        (void)fwrite(data, 1, len, stderr);
        return 0;
    case CHANNEL_STATUS:
        return take_status(data, len, ret_code, err) < 0 ? -1 : 1;
    default:
        return 0;
    }
}

static int take_messages(struct websocket *w, int *ret_code, struct err *err)
{
    int r, done;

    while ((r = websocket_next(w, err)) == 1)
        if ((done = take_message(w, ret_code, err)) != 0)
            return done;
    return r == 2 ? 1 : r;
}

/* Returns: will more come? */
static int send_input(struct websocket *w, struct err *err)
{
    static const char in = CHANNEL_IN;
    char data[INPUT_BYTES];
    ssize_t n = read(STDIN_FILENO, data, sizeof(data));

    if (n < 0 && errno == EINTR)
        return 1;
    if (n <= 0)
        return websocket_send(w, CHANNEL_CLOSE, &in, 1, err) < 0 ? -1 : 0;
    return websocket_send(w, CHANNEL_IN, data, (size_t)n, err) < 0 ? -1 : 1;
}

static int stream(struct websocket *w, bool input, int *ret_code, struct err *err)
{
    struct pollfd p[2] = {{.fd = w->fd, .events = POLLIN},
                          {.fd = input ? STDIN_FILENO : -1, .events = POLLIN}};
    int r;

    for (;;) {
        if ((r = take_messages(w, ret_code, err)) != 0)
            return r < 0 ? -1 : 0;
        if (poll(p, 2, -1) < 0 && errno != EINTR)
            return err_sys(err, "wait");
        if (p[1].revents) {
            if ((r = send_input(w, err)) < 0)
                return -1;
            if (r == 0)
                p[1].fd = -1;
        }
        if (p[0].revents && (r = websocket_receive(w, err)) <= 0)
            return r < 0 ? -1 : err_set(err, ERR_UNAVAILABLE, "the daemon has gone");
    }
}

static int run(struct cli *cli, const char *id, char **argv, size_t argc, bool input, int *ret_code,
               struct err *err)
{
    V1(ExecRequest) request = RUNTIME__V1__EXEC_REQUEST__INIT;
    automessage V1(ExecResponse) *reply = NULL;
    struct websocket w;
    int rc;

    request.container_id = (char *)id;
    request.cmd = argv;
    request.n_cmd = argc;
    request.stdin = input;
    request.stdout = 1;
    request.stderr = 1;
    if (cli_call(cli, "RuntimeService/Exec", &request.base, &runtime__v1__exec_response__descriptor,
                 0, &reply, err) < 0)
        return -1;
    rc = websocket_open(&w, reply->url, err);
    if (rc == 0)
        rc = stream(&w, input, ret_code, err);
    websocket_done(&w);
    return rc;
}

int cmd_debug(struct cli *cli, int argc, char **argv)
{
    autofree char *id = NULL, *name = NULL;
    struct err err = ERR_INIT;
    bool binary, input;
    int code = 1, at;

    if (argc > 1 && str_eq(argv[1], "--help")) {
        (void)fputs(manual, stdout);
        return 0;
    }
    at = flags_parse(command_find("debug"), NULL, 0, true, argc, argv);
    if (argc - at < 2)
        return usage_error("debug", "a pod or container and a command are needed");
    name = str_has_prefix(argv[at + 1], PREFIX) ? xstrdup(argv[at + 1])
                                                : xasprintf(PREFIX "%s", argv[at + 1]);
    binary = str_eq(name, PREFIX "pcap") || str_eq(name, PREFIX "core");
    input = str_eq(name, PREFIX "gdb") || str_eq(name, PREFIX "console");
    if (binary && isatty(STDOUT_FILENO))
        return usage_error("debug", "'%s' writes a file: say where to, as in > FILE or | PROGRAM",
                           argv[at + 1]);
    if (find_guest(cli, argv[at], &id, &err) < 0)
        return complain(&err);
    argv[at + 1] = name;
    if (run(cli, id, argv + at + 1, (size_t)(argc - at - 1), input, &code, &err) < 0)
        return complain(&err);
    return code;
}
