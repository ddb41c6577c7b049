/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unicri run - one container or unikernel in a pod: the image is pulled when it is not here, a pod
 * is made (or an existing one joined), the container started, its log followed. In the foreground
 * an interrupt stops it, and the exit status is its own.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/id.h"
#include "base/strbuf.h"
#include "cli/cli.h"
#include "cli/follow.h"
#include "cli/pull.h"
#include "cli/stop.h"

#define RUN_LISTS_MAX  64 /* -p and -e options */
#define RUN_STOP_GRACE (10 * NSEC_PER_SEC)
#define RUN_LOG_DIR    "/var/log/unicri"

struct run {
    struct cli *cli;
    const char *name, *pod, *handler, *pull, *log_root, *creds, *user_ns, *workdir;
    bool detach, keep, host_network, privileged;
    uint64_t memory;
    char **env, **ports, **annotations;
    const char *image;
    char **argv; /* borrowed */
    size_t n_argv;
    /* made on the way, owned: */
    char *uid, *log_dir, *pod_id, *container_id;
    bool own_pod;
};

static volatile int interrupted;

static void on_interrupt(int signo)
{
    (void)signo;
    interrupted = 1;
}

/* "8080:80", "8080:80/udp", "127.0.0.1:8080:80" */
static int parse_port(const char *text, V1(PortMapping) * ret, char **ret_host_ip, struct err *err)
{
    autofree char *copy = xstrdup(text);
    char *slash = strchr(copy, '/');
    const char *protocol = slash ? slash + 1 : "tcp";
    if (slash)
        *slash = '\0';
    if (str_eq(protocol, "udp"))
        ret->protocol = RUNTIME__V1__PROTOCOL__UDP;
    else if (str_eq(protocol, "sctp"))
        ret->protocol = RUNTIME__V1__PROTOCOL__SCTP;
    else if (!str_eq(protocol, "tcp"))
        return err_set(err, ERR_INVALID, "port '%s': unknown protocol", text);
    char *container = strrchr(copy, ':');
    if (!container)
        return err_set(err, ERR_INVALID, "port '%s': HOST:CONTAINER is wanted", text);
    *container++ = '\0';
    char *host = strrchr(copy, ':');
    unsigned long long h, c;
    if (host)
        *host++ = '\0';
    if (parse_u64(host ? host : copy, 65535, "host port", &h, err) < 0 ||
        parse_u64(container, 65535, "container port", &c, err) < 0)
        return err_wrap(err, "port '%s'", text);
    ret->host_port = (int32_t)h;
    ret->container_port = (int32_t)c;
    *ret_host_ip = xstrdup(host ? copy : "");
    ret->host_ip = *ret_host_ip;
    return 0;
}

/* KEY=VALUE in place: *ret_value points behind the '='. */
static int split_pair(char *text, const char *what, char **ret_value, struct err *err)
{
    char *eq = strchr(text, '=');
    if (!eq || eq == text)
        return err_set(err, ERR_INVALID, "%s '%s': KEY=VALUE is wanted", what, text);
    *eq = '\0';
    *ret_value = eq + 1;
    return 0;
}

static int pull_image(struct run *r, struct err *err)
{
    bool have = false;
    if (image_have(r->cli, r->image, &have, err) < 0)
        return -1;
    if (str_eq(r->pull, "never"))
        return have ? 0
                    : err_set(err, ERR_NOT_FOUND, "image '%s' is not here, and --pull is never",
                              r->image);
    if (have && !str_eq(r->pull, "always"))
        return 0;
    autofree char *id = NULL;
    return image_pull(r->cli, r->image, r->creds, &id, err);
}

/* The request of a pod, with what its pointers point to. */
struct pod_request {
    V1(PodSandboxMetadata) metadata;
    V1(PodSandboxConfig) config;
    V1(LinuxPodSandboxConfig) linux;
    V1(LinuxSandboxSecurityContext) security;
    V1(NamespaceOption) ns;
    V1(SecurityProfile) seccomp;
    V1(PortMapping) ports[RUN_LISTS_MAX];
    V1(PortMapping) * port_list[RUN_LISTS_MAX];
    char *host_ips[RUN_LISTS_MAX]; /* owned */
};

static void pod_request_done(struct pod_request *q)
{
    for (size_t i = 0; i < q->config.n_port_mappings; i++)
        free(q->host_ips[i]);
}

static int pod_request_init(struct run *r, struct pod_request *q, struct err *err)
{
    *q = (struct pod_request){.metadata = RUNTIME__V1__POD_SANDBOX_METADATA__INIT,
                              .config = RUNTIME__V1__POD_SANDBOX_CONFIG__INIT,
                              .linux = RUNTIME__V1__LINUX_POD_SANDBOX_CONFIG__INIT,
                              .security = RUNTIME__V1__LINUX_SANDBOX_SECURITY_CONTEXT__INIT,
                              .ns = RUNTIME__V1__NAMESPACE_OPTION__INIT,
                              .seccomp = RUNTIME__V1__SECURITY_PROFILE__INIT};
    q->metadata.name = (char *)r->name;
    q->metadata.uid = r->uid;
    q->metadata.namespace_ = "default";
    q->config.metadata = &q->metadata;
    q->config.hostname = r->host_network ? "" : (char *)r->name;
    q->config.log_directory = r->log_dir;
    q->config.linux = &q->linux;
    q->linux.security_context = &q->security;
    q->security.namespace_options = &q->ns;
    q->security.seccomp = &q->seccomp;
    q->security.privileged = r->privileged;
    q->ns.pid = RUNTIME__V1__NAMESPACE_MODE__CONTAINER;
    q->ns.network =
        r->host_network ? RUNTIME__V1__NAMESPACE_MODE__NODE : RUNTIME__V1__NAMESPACE_MODE__POD;
    size_t n = strv_len(r->ports);
    if (n > RUN_LISTS_MAX)
        return err_set(err, ERR_INVALID, "more than %d ports", RUN_LISTS_MAX);
    for (size_t i = 0; i < n; i++) {
        q->ports[i] = (V1(PortMapping))RUNTIME__V1__PORT_MAPPING__INIT;
        q->port_list[i] = &q->ports[i];
        if (parse_port(r->ports[i], &q->ports[i], &q->host_ips[i], err) < 0)
            return -1;
        q->config.n_port_mappings = i + 1;
    }
    q->config.port_mappings = q->port_list;
    return 0;
}

static int make_pod(struct run *r, struct pod_request *q, struct err *err)
{
    if (r->pod)
        return find_pod(r->cli, r->pod, &r->pod_id, err);
    V1(RunPodSandboxRequest) request = RUNTIME__V1__RUN_POD_SANDBOX_REQUEST__INIT;
    request.config = &q->config;
    request.runtime_handler = (char *)r->handler;
    automessage V1(RunPodSandboxResponse) *reply = NULL;
    if (cli_call(r->cli, "RuntimeService/RunPodSandbox", &request.base,
                 &runtime__v1__run_pod_sandbox_response__descriptor, 0, &reply, err) < 0)
        return err_wrap(err, "pod '%s'", r->name);
    r->pod_id = xstrdup(reply->pod_sandbox_id);
    r->own_pod = true;
    return 0;
}

static int make_container(struct run *r, const struct pod_request *q, struct err *err)
{
    V1(ContainerMetadata) metadata = RUNTIME__V1__CONTAINER_METADATA__INIT;
    V1(ImageSpec) image = RUNTIME__V1__IMAGE_SPEC__INIT;
    V1(ContainerConfig) config = RUNTIME__V1__CONTAINER_CONFIG__INIT;
    V1(LinuxContainerConfig) linux = RUNTIME__V1__LINUX_CONTAINER_CONFIG__INIT;
    V1(LinuxContainerResources) resources = RUNTIME__V1__LINUX_CONTAINER_RESOURCES__INIT;
    V1(LinuxContainerSecurityContext)
    security = RUNTIME__V1__LINUX_CONTAINER_SECURITY_CONTEXT__INIT;
    V1(KeyValue) envs[RUN_LISTS_MAX];
    V1(KeyValue) * env_list[RUN_LISTS_MAX];
    V1(ContainerConfig__AnnotationsEntry) notes[RUN_LISTS_MAX];
    V1(ContainerConfig__AnnotationsEntry) * note_list[RUN_LISTS_MAX];

    size_t n_env = strv_len(r->env), n_notes = strv_len(r->annotations);
    if (n_env > RUN_LISTS_MAX || n_notes > RUN_LISTS_MAX)
        return err_set(err, ERR_INVALID, "more than %d variables or annotations", RUN_LISTS_MAX);
    for (size_t i = 0; i < n_env; i++) {
        char *value = NULL;
        if (split_pair(r->env[i], "variable", &value, err) < 0)
            return -1;
        envs[i] = (V1(KeyValue))RUNTIME__V1__KEY_VALUE__INIT;
        envs[i].key = r->env[i];
        envs[i].value = (ProtobufCBinaryData){strlen(value), (uint8_t *)value};
        env_list[i] = &envs[i];
    }
    for (size_t i = 0; i < n_notes; i++) {
        notes[i] = (V1(ContainerConfig__AnnotationsEntry))
            RUNTIME__V1__CONTAINER_CONFIG__ANNOTATIONS_ENTRY__INIT;
        notes[i].key = r->annotations[i];
        if (split_pair(r->annotations[i], "annotation", &notes[i].value, err) < 0)
            return -1;
        note_list[i] = &notes[i];
    }
    metadata.name = (char *)r->name;
    image.image = image.user_specified_image = (char *)r->image;
    resources.memory_limit_in_bytes = (int64_t)r->memory;
    security.namespace_options = (V1(NamespaceOption) *)&q->ns;
    security.seccomp = (V1(SecurityProfile) *)&q->seccomp;
    security.privileged = r->privileged;
    linux.resources = &resources;
    linux.security_context = &security;
    autofree char *log_path = xasprintf("%s.log", r->name);
    config.metadata = &metadata;
    config.image = &image;
    config.args = r->argv;
    config.n_args = r->n_argv;
    config.envs = env_list;
    config.n_envs = n_env;
    config.annotations = note_list;
    config.n_annotations = n_notes;
    config.working_dir = (char *)(r->workdir ? r->workdir : "");
    config.log_path = log_path;
    config.linux = &linux;

    V1(CreateContainerRequest) request = RUNTIME__V1__CREATE_CONTAINER_REQUEST__INIT;
    request.pod_sandbox_id = r->pod_id;
    request.config = &config;
    request.sandbox_config = (V1(PodSandboxConfig) *)&q->config;
    automessage V1(CreateContainerResponse) *reply = NULL;
    if (cli_call(r->cli, "RuntimeService/CreateContainer", &request.base,
                 &runtime__v1__create_container_response__descriptor, 0, &reply, err) < 0)
        return err_wrap(err, "container '%s'", r->name);
    r->container_id = xstrdup(reply->container_id);
    return 0;
}

static int start_container(struct run *r, struct err *err)
{
    V1(StartContainerRequest) request = RUNTIME__V1__START_CONTAINER_REQUEST__INIT;
    request.container_id = r->container_id;
    automessage V1(StartContainerResponse) *reply = NULL;
    return cli_call(r->cli, "RuntimeService/StartContainer", &request.base,
                    &runtime__v1__start_container_response__descriptor, 0, &reply, err);
}

/* What this run made goes; a pod that was there before stays. Errors are told, not returned. */
static void clean_up(struct run *r)
{
    struct err err = ERR_INIT;
    int rc = 0;
    if (r->own_pod)
        rc = stop_pod(r->cli, r->pod_id, &err) < 0 || remove_pod(r->cli, r->pod_id, &err) < 0 ? -1
                                                                                              : 0;
    else if (r->container_id)
        rc = remove_container(r->cli, r->container_id, &err);
    if (rc < 0)
        (void)complain(&err);
    if (r->own_pod && r->log_dir && fs_remove_tree(AT_FDCWD, r->log_dir, &err) < 0)
        (void)complain(&err);
}

static int follow(struct run *r, struct err *err)
{
    const struct sigaction action = {.sa_handler = on_interrupt};
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
    struct container_brief brief;
    if (container_follow(r->cli, r->container_id, 0, false, &interrupted, &brief, err) < 0)
        return -1;
    if (!brief.exited) {
        if (stop_container(r->cli, r->container_id, RUN_STOP_GRACE, err) < 0)
            return -1;
        if (container_status(r->cli, r->container_id, &brief, err) < 0)
            return -1;
    }
    if (brief.exit_code != 0 && *brief.message) {
        autofree char *message = printable(brief.message);
        fprintf(stderr, "unicri: %s: %s\n", brief.reason, message);
    }
    return brief.exit_code & 0xff;
}

static int run_all(struct run *r, struct err *err)
{
    struct pod_request q;
    int rc = pod_request_init(r, &q, err);
    if (rc == 0 &&
        (pull_image(r, err) < 0 || fs_mkdirs(r->log_dir, 0755, err) < 0 ||
         make_pod(r, &q, err) < 0 || make_container(r, &q, err) < 0 || start_container(r, err) < 0))
        rc = -1;
    if (rc == 0 && r->detach)
        printf("%s\n", r->container_id);
    else if (rc == 0)
        rc = follow(r, err);
    pod_request_done(&q);
    if (rc < 0 || (!r->detach && !r->keep))
        clean_up(r);
    return rc;
}

int cmd_run(struct cli *cli, int argc, char **argv)
{
    struct run r = {.cli = cli, .handler = "", .pull = "missing", .log_root = RUN_LOG_DIR};
    r.creds = getenv("UNICRI_CREDENTIALS");
    const struct flag flags[] = {
        {"name", 'n', FLAG_STRING, &r.name, "NAME", "of the container and of its pod"},
        {"pod", 0, FLAG_STRING, &r.pod, "POD", "join this pod instead of making one"},
        {"handler", 0, FLAG_STRING, &r.handler, "NAME",
         "runtime handler of the daemon's configuration"},
        {"publish", 'p', FLAG_STRV, &r.ports, "HOST:CTR",
         "forward a port of the node, [IP:]HOST:CONTAINER[/udp]"},
        {"env", 'e', FLAG_STRV, &r.env, "KEY=VALUE", "environment variable"},
        {"annotation", 0, FLAG_STRV, &r.annotations, "KEY=VALUE", "annotation of the container"},
        {"memory", 'm', FLAG_BYTES, &r.memory, "BYTES", "limit, e.g. 64MiB; a unikernel's RAM"},
        {"workdir", 'w', FLAG_STRING, &r.workdir, "DIR", "working directory"},
        {"host-network", 0, FLAG_BOOL, &r.host_network, NULL, "in the node's network"},
        {"privileged", 0, FLAG_BOOL, &r.privileged, NULL, "with all rights on the node"},
        {"pull", 0, FLAG_STRING, &r.pull, "WHEN", "always, missing (default) or never"},
        {"log-dir", 0, FLAG_STRING, &r.log_root, "DIR", "where logs are kept (" RUN_LOG_DIR ")"},
        {"detach", 'd', FLAG_BOOL, &r.detach, NULL, "print the id and leave it running"},
        {"keep", 0, FLAG_BOOL, &r.keep, NULL, "do not remove it when it has ended"},
    };
    int at = flags_parse(command_find("run"), flags, ARRAY_SIZE(flags), true, argc, argv);
    if (at >= argc)
        return usage_error("run", "which image?");
    if (!str_eq(r.pull, "always") && !str_eq(r.pull, "missing") && !str_eq(r.pull, "never"))
        return usage_error("run", "--pull: always, missing or never");
    r.image = argv[at];
    r.argv = argv + at + 1;
    r.n_argv = (size_t)(argc - at - 1);

    char uid[ID_LEN + 1], name[32];
    id_new(uid);
    uid[32] = '\0';
    (void)snprintf(name, sizeof(name), "run-%.8s", uid);
    if (!r.name)
        r.name = name;
    r.uid = uid;
    r.log_dir = xasprintf("%s/%s_%s", r.log_root, r.name, uid);
    if (!name_is_safe(r.name))
        return usage_error("run", "--name: '%s' is not a name", r.name);

    struct err err = ERR_INIT;
    int rc = run_all(&r, &err);
    if (rc < 0)
        rc = complain(&err);
    strv_free(r.env);
    strv_free(r.ports);
    strv_free(r.annotations);
    free(r.log_dir);
    free(r.pod_id);
    free(r.container_id);
    return rc;
}
