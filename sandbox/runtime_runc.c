/* SPDX-License-Identifier: Apache-2.0 */
/*
 * runtime_runc - ordinary containers by an OCI runtime. One call starts them: `run --detach` by the
 * monitor, which then is the parent of the workload. Signals and kills go to the process and the
 * cgroup directly, without the runtime. What the runtime keeps of an ended container is removed
 * here, which spares a process; what does not look like runc's own is left to `delete --force`.
 */
#include <dirent.h>
#include <string.h>

#include "base/child.h"
#include "base/fs.h"
#include "base/strbuf.h"
#include "sandbox/apparmor.h"
#include "sandbox/cdi.h"
#include "sandbox/handlers.h"
#include "sandbox/oci_spec.h"
#include "sandbox/runtime.h"
#include "sandbox/runtime_scope.h"
#include "sandbox/security.h"
#include "sandbox/volumes.h"

#define DEFAULT_PATH      "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define DELETE_OUTPUT_MAX (64 * 1024)

/* What only some OCI runtimes can do. */
static int check_features(struct container *c, struct err *err)
{
    for (size_t i = 0; i < c->spec->n_mounts; i++) {
        const struct mount_spec *m = &c->spec->mounts[i];
        struct runtime_features f;

        if (!m->recursive_readonly && (!m->n_uids || *m->image))
            continue; /* an image volume is mounted here, with its ids: volumes_mount() */
        handler_features(c->engine->handlers, c->handler, &f);
        if (m->n_uids && !*m->image && !f.idmapped_mounts)
            return err_set(err, ERR_UNSUPPORTED,
                           "mount '%s': id mappings: runtime '%s' %s lacks idmapped mounts; runc "
                           "1.2 or later has them",
                           m->container_path, c->handler->program, f.version);
        if (m->recursive_readonly && !f.recursive_readonly)
            return err_set(err, ERR_UNSUPPORTED,
                           "mount '%s': runtime '%s' %s lacks recursive read-only mounts",
                           m->container_path, c->handler->program, f.version);
    }
    return 0;
}

/* Kept for the bundle: the files are read once. */
static int find_cdi(struct container *c, struct err *err)
{
    autostrv char **names = NULL;

    cdi_free(TAKE_PTR(c->cdi));
    if (cdi_names(c->spec, &names, err) < 0)
        return -1;
    if (!names)
        return 0;
    if (cdi_resolve(c->engine->config->cdi_dirs, names, &c->cdi, err) < 0)
        return -1;
    return cdi_check(c->cdi, err);
}

static int check(struct container *c, struct err *err)
{
    autostrv char **argv = container_args(c->spec, &c->image->config);
    autostrv char **env = NULL, **caps = NULL;
    autofree char *apparmor = NULL;
    autojson *seccomp = NULL;

    if (!argv)
        return err_set(err, ERR_INVALID, "no command: neither the request nor image '%s' names one",
                       c->image_ref);
    if (!*argv[0])
        return err_set(err, ERR_INVALID, "the command is empty");
    if (oci_check(c->pod->spec, c->spec, err) < 0 || check_features(c, err) < 0 ||
        user_check(c->spec, c->image->config.user, err) < 0 ||
        container_env(c->spec, &c->image->config, &env, err) < 0 ||
        capability_names(c->spec, &caps, err) < 0 || selinux_check(&c->spec->selinux, err) < 0 ||
        apparmor_profile(&apparmor_node, c->spec, &apparmor, err) < 0 || find_cdi(c, err) < 0)
        return -1;
    return seccomp_profile(c->spec, caps, &seccomp, err);
}

static int rootfs(struct container *c, struct err *err)
{
    autofd int user = -1;

    if (pod_userns_open(c->pod, &user, err) < 0)
        return -1;
    return rootfs_mount(c->engine->images, c->image, c->rootfs_dir, user, err);
}

/* ---------------------------------------------------------------------- bundle */

static bool has_env(char *const *env, const char *prefix)
{
    for (; env && *env; env++)
        if (str_has_prefix(*env, prefix))
            return true;
    return false;
}

static int make_env(struct container *c, char ***ret, struct err *err)
{
    if (container_env(c->spec, &c->image->config, ret, err) < 0)
        return -1;
    if (!has_env(*ret, "PATH="))
        strv_push(ret, DEFAULT_PATH);
    if (c->spec->tty && !has_env(*ret, "TERM="))
        strv_push(ret, "TERM=xterm");
    if (*c->pod->spec->hostname && !has_env(*ret, "HOSTNAME="))
        strv_take(ret, xasprintf("HOSTNAME=%s", c->pod->spec->hostname));
    return 0;
}

/* The pod's PID namespace is one of its own even where its containers would not share it: then it
 * is made for the first that asks; in a pod with the node's it is the node's. */
static bool joins_pod_pids(const struct container *c)
{
    return c->spec->ns.pid == NS_POD && c->pod->spec->ns.pid != NS_NODE;
}

/* "" for a namespace of its own or the node's. */
static int pid_namespace(struct container *c, char **ret, struct err *err)
{
    struct process p = {0};
    struct engine *engine = c->engine;

    *ret = NULL;
    if (joins_pod_pids(c)) {
        mutex_lock(&engine->lock);
        p = c->pod->init;
        mutex_unlock(&engine->lock);
    } else if (c->spec->ns.pid == NS_TARGET) {
        autocontainer *target = container_find(engine, c->spec->ns.target_id);

        if (!target || target->pod != c->pod)
            return err_set(err, ERR_INVALID, "target container '%s' is not in this pod",
                           c->spec->ns.target_id);
        mutex_lock(&engine->lock);
        p = target->workload;
        mutex_unlock(&engine->lock);
    } else {
        *ret = xstrdup("");
        return 0;
    }
    if (!process_alive(&p))
        return err_set(err, ERR_STATE,
                       "the process whose PID namespace is to be shared does not run");
    *ret = xasprintf("/proc/%d/ns/pid", p.pid);
    return 0;
}

static void keep_user(struct container *c, const struct user *user)
{
    free(c->groups);
    c->user = user->uid;
    c->group = user->gid;
    c->groups = xcalloc(user->n_groups + 1, sizeof(*c->groups));
    for (size_t i = 0; i < user->n_groups; i++)
        c->groups[i] = user->groups[i];
    c->n_groups = user->n_groups;
}

static void add_cdi_groups(const struct cdi *cdi, struct user *user)
{
    autofree uint32_t *groups = NULL;
    size_t n = cdi_groups(cdi, &groups);

    for (size_t i = 0; i < n; i++)
        user_add_group(user, groups[i]);
}

static int resolve_user(struct container *c, const char *root, struct user *user, struct err *err)
{
    autofd int fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return err_sys(err, "open '%s'", root);
    if (user_resolve(fd, c->spec, c->image->config.user, user, err) < 0)
        return -1;
    if (c->cdi)
        add_cdi_groups(c->cdi, user);
    keep_user(c, user);
    return 0;
}

static int write_config(struct container *c, const struct oci_input *in, struct err *err)
{
    autofree char *path = path_join(c->run_dir, "config.json"), *text = NULL;
    autojson *config = NULL;

    if (oci_spec_build(in, &config, err) < 0 || (c->cdi && cdi_apply(c->cdi, config, err) < 0))
        return -1;
    text = json_text(config);
    return fs_write_file(AT_FDCWD, path, text, strlen(text), 0600, err);
}

static int build_config(struct container *c, const struct user *user, const char *root,
                        struct err *err)
{
    autostrv char **argv = container_args(c->spec, &c->image->config);
    autostrv char **env = NULL, **caps = NULL, **ambient = NULL, **volumes = NULL;
    autofree char *apparmor = NULL, *pidns = NULL, *selinux_mount = NULL;
    autofree char *selinux = c->spec->privileged ? xstrdup("") : selinux_label(&c->spec->selinux);
    autojson *seccomp = NULL;
    const char *cwd = *c->spec->working_dir ? c->spec->working_dir : c->image->config.working_dir;

    if (make_env(c, &env, err) < 0 || capability_names(c->spec, &caps, err) < 0 ||
        capability_ambient(c->spec, &ambient, err) < 0 ||
        apparmor_profile(&apparmor_node, c->spec, &apparmor, err) < 0 ||
        seccomp_profile(c->spec, caps, &seccomp, err) < 0 || pid_namespace(c, &pidns, err) < 0 ||
        volume_sources(c, &volumes, err) < 0)
        return -1;

    selinux_mount = selinux_file_label(&c->spec->selinux);

    struct oci_input in = {
        .spec = c->spec,
        .pod = c->pod->spec,
        .rootfs = root,
        .argv = argv,
        .env = env,
        .caps = caps,
        .ambient = ambient,
        .cwd = *cwd ? cwd : "/",
        .user = user,
        .cgroups = &c->engine->cgroups,
        .cgroup = c->cgroup,
        .volumes = volumes,
        .pod_dir = c->pod->dir,
        .netns = c->pod->netns,
        .userns = c->pod->userns,
        .pidns = pidns,
        .apparmor = apparmor,
        .selinux = selinux,
        .selinux_mount = selinux_mount,
        .seccomp = seccomp,
        .oom_score_adj = oom_score_clamp(c->resources->r.oom_score_adj),
    };

    return write_config(c, &in, err);
}

/* Volumes that a client wants to have the container's label. */
static int relabel(const struct container *c, struct err *err)
{
    autofree char *label = selinux_file_label(&c->spec->selinux);

    for (size_t i = 0; *label && i < c->spec->n_mounts; i++) {
        const struct mount_spec *m = &c->spec->mounts[i];

        if (!m->selinux_relabel || *m->image)
            continue;
        autofree char *source = mount_source(m, err);

        if (!source || selinux_relabel(source, label, err) < 0)
            return err_wrap(err, "mount '%s'", m->container_path);
    }
    return 0;
}

static int bundle(struct container *c, struct err *err)
{
    autofree char *root = path_join(c->rootfs_dir, "rootfs");
    struct user user = {0};

    if (pod_room(c->pod, joins_pod_pids(c), err) < 0 || resolve_user(c, root, &user, err) < 0)
        return -1;

    int rc = build_config(c, &user, root, err) < 0 ? -1 : relabel(c, err);

    user_done(&user);
    cdi_free(TAKE_PTR(c->cdi));
    return rc;
}

/* ----------------------------------------------------------------------- start */

static void arg(struct monitor_plan *plan, const char *a)
{
    monitor_field(plan, "arg", a);
}

static int launch(struct container *c, struct monitor_plan *plan, struct err *err)
{
    autofree char *pid_file = path_join(c->run_dir, MONITOR_PID_NAME);

    (void)err;
    monitor_field(plan, "mode", "runtime");
    monitor_field(plan, "program", c->handler->program);
    monitor_field(plan, "env", DEFAULT_PATH);
    monitor_field_int(plan, "tty", c->spec->tty);
    monitor_field_int(plan, "stdin", c->spec->stdin_open);
    monitor_field_int(plan, "stdin_once", c->spec->stdin_once);
    arg(plan, "runc");
    arg(plan, "--root");
    arg(plan, c->engine->runc_dir);
    arg(plan, "--log=@log@");
    arg(plan, "--log-format=json");
    if (scope_is(c->cgroup))
        arg(plan, "--systemd-cgroup");
    arg(plan, "run");
    arg(plan, "--detach");
    arg(plan, "--bundle");
    arg(plan, c->run_dir);
    arg(plan, "--pid-file");
    arg(plan, pid_file);
    if (c->spec->tty) {
        arg(plan, "--console-socket");
        arg(plan, "@console@");
    }
    arg(plan, c->id);
    return 0;
}

/* The files of the cgroup are written here: an OCI runtime would need a process for it, and does
 * not know all of them. Only where systemd has to know it is asked. */
static int update(struct container *c, bool running, const struct linux_resources *change,
                  struct err *err)
{
    const struct cgroups *cgroups = &c->engine->cgroups;
    autofree char *path = path_join(c->run_dir, "config.json");

    if (running && (resources_floor(cgroups, c->cgroup, change->memory_limit, err) < 0 ||
                    (scope_is(c->cgroup) && scope_update(c, err) < 0) ||
                    cgroup_limit(cgroups, c->cgroup, change, 0, err) < 0))
        return -1;
    return oci_resources_replace(path, cgroups, &c->resources->r,
                                 oom_score_clamp(c->resources->r.oom_score_adj), err);
}

/* --------------------------------------------------------------------- cleanup */

/* runc's state is a state.json and at most a fifo: then no process is needed to remove it. */
static bool looks_like_runc(const char *dir)
{
    autodir DIR *d = opendir(dir);
    const struct dirent *e;

    while (d && (e = readdir(d)))
        if (!str_eq(e->d_name, ".") && !str_eq(e->d_name, "..") &&
            !str_eq(e->d_name, "state.json") && !str_eq(e->d_name, "exec.fifo") &&
            !str_eq(e->d_name, "runc.sock"))
            return false;
    return d != NULL;
}

static int cleanup(struct container *c, struct err *err)
{
    autofree char *state = path_join(c->engine->runc_dir, c->id);
    char *argv[] = {(char[]){"runc"},
                    (char[]){"--root"},
                    c->engine->runc_dir,
                    (char[]){"delete"},
                    (char[]){"--force"},
                    c->id,
                    NULL};
    struct child_spec spec = {.path = c->handler->program, .argv = argv};
    autochild_output output = {0};
    struct child_status status;

    if (access(state, F_OK) < 0)
        return 0;
    if (looks_like_runc(state))
        return fs_remove_tree(AT_FDCWD, state, err);
    if (child_run(&spec, NULL, 0, DELETE_OUTPUT_MAX,
                  deadline_in(c->engine->config->runtime_timeout), &output, &status, err) < 0)
        return -1;
    if (!status.exited || status.code)
        return child_explain("runc delete", &status, &output, err);
    return 0;
}

static void explain(struct container *c, bool exited, int code, int *exit_code, const char **reason,
                    const char **message)
{
    (void)c;
    (void)reason;
    (void)message;
    *exit_code = exited ? code : 128 + code;
}

const struct runtime_ops runtime_runc = {
    .check = check,
    .rootfs = rootfs,
    .bundle = bundle,
    .launch = launch,
    .update = update,
    .cleanup = cleanup,
    .exec = runc_exec,
    .explain = explain,
};
