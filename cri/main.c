/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unicrid - the daemon. main() is the story: options, the process's own limits, directories, the
 * folders from the ground up, the server, the loop. Each is closed in the other order; a kill at
 * any moment is as good, for the database has the truth and containers live with their monitors.
 */
#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/loop.h"
#include "cri/daemon.h"
#include "cri/metrics_http.h"
#include "cri/server.h"
#include "db/db.h"

#define NOFILE_WANTED 1048576

struct arguments {
    const char *file;
    char **sets;
    bool print_config;
};

static const char usage[] =
    "usage: unicrid [--config FILE] [--set KEY=VALUE]... [--print-config]\n"
    "\n"
    "The Kubernetes container runtime unicri: serves the CRI at a unix socket.\n"
    "\n"
    "  --config FILE      configuration (default " CONFIG_FILE_DEFAULT
    "), then config.d/*.toml beside it\n"
    "  --set KEY=VALUE    one option over the files, as in server.socket=/run/x.sock\n"
    "  --print-config     show every option with its meaning and present value, and end\n"
    "  --version          show the version and end\n"
    "  --help             show this and end\n"
    "\n"
    "SIGHUP reads log level and network configuration again; SIGTERM ends the daemon, containers "
    "go on.\n";

/* Returns: -1 to go on, else the exit status. Only long options: `struct option` means another
 * thing in this house, so they are read by hand. */
static int parse_arguments(int argc, char **argv, struct arguments *ret)
{
    for (int i = 1; i < argc; i++) {
        const char *name = argv[i];
        if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
            (void)fputs(usage, stdout);
            return 0;
        }
        if (strcmp(name, "--version") == 0) {
            (void)printf("unicrid %s\n", UNICRI_VERSION);
            return 0;
        }
        if (strcmp(name, "--print-config") == 0) {
            ret->print_config = true;
        } else if (strcmp(name, "--config") == 0 && i + 1 < argc) {
            ret->file = argv[++i];
        } else if (strncmp(name, "--config=", strlen("--config=")) == 0) {
            ret->file = name + strlen("--config=");
        } else if (strcmp(name, "--set") == 0 && i + 1 < argc) {
            strv_push(&ret->sets, argv[++i]);
        } else if (strncmp(name, "--set=", strlen("--set=")) == 0) {
            strv_push(&ret->sets, name + strlen("--set="));
        } else {
            (void)fprintf(stderr, "unicrid: '%s': unknown option, or without its value\n\n%s", name,
                          usage);
            return 2;
        }
    }
    return -1;
}

/* What the process may use; a host that refuses is lived with. */
static void set_limits(const struct config *config)
{
    struct rlimit limit;
    struct err err;
    char text[16];

    (void)umask(077);
    (void)mallopt(M_ARENA_MAX, 2); /* many short-lived threads, small heaps */
    (void)mallopt(M_TRIM_THRESHOLD, 256 * 1024);
    (void)signal(SIGPIPE, SIG_IGN);
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max < NOFILE_WANTED ? limit.rlim_max : NOFILE_WANTED;
        if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
            log_warn("ignoring: raise the number of open files to %llu: %s",
                     (unsigned long long)limit.rlim_cur, strerror(errno));
    }
    int len = snprintf(text, sizeof text, "%d", (int)config->server.oom_score_adj);
    if (fs_write_file(AT_FDCWD, "/proc/self/oom_score_adj", text, (size_t)len, 0644, &err) < 0)
        log_debug("ignoring: %s", err.msg);
}

static int make_dirs(const struct config *config, struct err *err)
{
    if (fs_mkdirs(config->server.root_dir, 0700, err) < 0)
        return err_wrap(err, "server.root_dir");
    if (fs_mkdirs(config->server.run_dir, 0711, err) < 0)
        return err_wrap(err, "server.run_dir");
    /* Roots of containers with a user namespace lie below: others must be able to pass, whatever
     * the umask. */
    if (chmod(config->server.run_dir, 0711) < 0)
        return err_sys(err, "server.run_dir: chmod '%s'", config->server.run_dir);
    return 0;
}

/* Not every two daemons meet at root_dir's lock; each would clear away what the other runs. */
static int lock_run_dir(struct daemon *d, struct err *err)
{
    const char *dir = d->config->server.run_dir;
    autofree char *path = path_join(dir, "unicri.lock");
    struct err why = ERR_INIT;

    d->run_lock = fs_lock(path, &why);
    if (d->run_lock >= 0)
        return 0;
    if (why.code == ERR_STATE)
        return err_set(err, ERR_STATE, "server.run_dir '%s': another daemon uses this directory",
                       dir);
    return err_set(err, why.code, "server.run_dir: %s", why.msg);
}

static int open_all(struct daemon *d, struct err *err)
{
    const struct config *config = d->config;
    bool rebuilt = false;

    if (!(d->loop = loop_new(err)))
        return err_wrap(err, "event loop");
    if (make_dirs(config, err) < 0)
        return -1;
    if (!(d->db = db_open(config->server.root_dir, &rebuilt, err)))
        return err_wrap(err, "database");
    if (lock_run_dir(d, err) < 0)
        return -1;
    if (rebuilt)
        log_warn("the database was unreadable: it was moved aside and begun anew");
    if (!(d->images = imagestore_open(&config->images, config->server.root_dir, d->db, err)))
        return err_wrap(err, "image store");
    if (!(d->cni = cni_open(&config->cni, config->server.run_dir, d->loop, err)))
        return err_wrap(err, "pod networks");
    if (!(d->vmm = vmm_open(&config->vmm, err)))
        return err_wrap(err, "unikernels");
    if (!(d->engine =
              engine_open(&config->sandbox, d->db, d->cni, d->vmm, d->images, d->loop, err)))
        return err_wrap(err, "engine");
    if (!(d->stream = stream_open(&config->stream, d->engine, d->loop, err)))
        return -1;
    if (!(d->server = server_open(d, err)))
        return err_wrap(err, "server");
    if (*config->server.metrics_address &&
        !(d->metrics = metrics_http_open(d, config->server.metrics_address, err)))
        return err_wrap(err, "metrics.address");
    return 0;
}

/* Returns: false when RPCs still run: then nothing below the server may be closed. */
static bool close_all(struct daemon *d)
{
    if (d->server && !server_close(d->server, deadline_in(d->config->server.stop_patience)))
        return false;
    metrics_http_close(d->metrics);
    stream_close(d->stream); /* runs the loop, which may hand work to the pool */
    if (d->loop)
        loop_settle(d->loop);
    if (d->engine)
        engine_close(d->engine);
    if (d->vmm)
        vmm_close(d->vmm);
    if (d->cni)
        cni_close(d->cni);
    if (d->images)
        imagestore_close(d->images);
    if (d->db)
        db_close(d->db);
    if (d->loop)
        loop_free(d->loop);
    (void)close_fd(d->run_lock);
    return true;
}

static void on_stop_signal(void *arg, int signo)
{
    struct daemon *d = arg;

    log_info("signal %d: ending; containers go on", signo);
    loop_stop(d->loop);
}

static const struct arguments *reload_arguments; /* for SIGHUP; set before the loop runs */

static void on_reload_signal(void *arg, int signo)
{
    struct daemon *d = arg;
    struct err err;
    enum log_level level;

    CLEANUP(config_free_cleanup)
    struct config *config = config_load(reload_arguments->file, reload_arguments->sets, &err);
    if (!config || log_level_parse(config->server.log_level, &level, &err) < 0) {
        log_error("signal %d: configuration not read again: %s", signo, err.msg);
        return;
    }
    log_set_level(level);
    cni_reload(d->cni);
    log_info("signal %d: log level is %s, network configuration read again", signo,
             config->server.log_level);
}

static int watch_signals(struct daemon *d, struct err *err)
{
    if (loop_signal(d->loop, SIGTERM, on_stop_signal, d, err) < 0 ||
        loop_signal(d->loop, SIGINT, on_stop_signal, d, err) < 0)
        return -1;
    return loop_signal(d->loop, SIGHUP, on_reload_signal, d, err);
}

static int serve(struct config *config)
{
    struct daemon daemon = {.config = config, .run_lock = -1};
    struct err err;
    int status = 0;

    if (open_all(&daemon, &err) < 0 || watch_signals(&daemon, &err) < 0) {
        log_error("%s", err.msg);
        status = 1;
    } else {
        log_info("unicrid %s serves the CRI at %s", UNICRI_VERSION, config->server.socket);
        loop_run(daemon.loop);
    }
    if (!close_all(&daemon)) {
        log_warn("some RPCs did not end in time");
        _exit(status); /* their threads still use everything */
    }
    return status;
}

int main(int argc, char **argv)
{
    struct arguments arguments = {0};
    struct err err;
    enum log_level level;
    int status = parse_arguments(argc, argv, &arguments);

    if (status >= 0)
        return status;
    struct config *config = config_load(arguments.file, arguments.sets, &err);
    if (!config || log_level_parse(config->server.log_level, &level, &err) < 0) {
        (void)fprintf(stderr, "unicrid: %s\n", err.msg);
        strv_free(arguments.sets);
        return 1;
    }
    if (arguments.print_config) {
        config_print(config, stdout);
        status = 0;
    } else {
        log_set_level(level);
        set_limits(config);
        reload_arguments = &arguments;
        status = serve(config);
    }
    config_free(config);
    strv_free(arguments.sets);
    return status;
}
