/* SPDX-License-Identifier: Apache-2.0 */
/* fixture - see fixture.h. */
#include "sandbox/tests/fixture.h"

#include <dirent.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "base/json.h"
#include "base/log.h"
#include "base/strbuf.h"
#include "sandbox/handlers.h"

#define BUSYBOX_HEX  "1111111111111111111111111111111111111111111111111111111111111111"
#define BUSYBOX_DIFF "sha256:" BUSYBOX_HEX
#define BUSYBOX_ID   "sha256:2222222222222222222222222222222222222222222222222222222222222222"

bool fixture_isolate(void)
{
    if (geteuid() != 0 || unshare(CLONE_NEWNS | CLONE_NEWNET) < 0 ||
        mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) {
        print_message("this test needs root and namespaces of its own\n");
        return false;
    }
    return true;
}

bool fixture_have(const char *program)
{
    autofree char *path = program_find(program);

    if (!*path)
        print_message("'%s' is not installed\n", program);
    return *path != '\0';
}

static char *sub(struct fixture *f, const char *name)
{
    return path_join(f->dir, name);
}

static void write_text(struct fixture *f, const char *name, const char *text)
{
    autofree char *path = sub(f, name);
    struct err err = ERR_INIT;

    assert_ok(fs_write_file(AT_FDCWD, path, text, strlen(text), 0644, &err), err);
}

static void make_dir(struct fixture *f, const char *name)
{
    autofree char *path = sub(f, name);
    struct err err = ERR_INIT;

    assert_ok(fs_mkdirs(path, 0755, &err), err);
}

static void replace(char **p, char *value)
{
    free(*p);
    *p = value;
}

static char *program(const char *name)
{
    const char *bin = getenv("UNICRI_BIN");
    char self[4096] = "";

    if (bin)
        return path_join(bin, name);
    if (readlink("/proc/self/exe", self, sizeof(self) - 1) < 0)
        abort();
    *strrchr(self, '/') = '\0';
    return xasprintf("%s/../bin/%s", self, name);
}

static void configure(struct fixture *f)
{
    const struct option_table tables[] = {
        {sandbox_options, sandbox_options_n, &f->sandbox},
        {cni_options, cni_options_n, &f->cni_config},
        {vmm_options, vmm_options_n, &f->vmm_config},
        {imagestore_options, imagestore_options_n, &f->image_config},
    };
    struct err err = ERR_INIT;

    assert_ok(options_defaults(tables, ARRAY_SIZE(tables), &err), err);
    f->sandbox.root_dir = sub(f, "root");
    f->sandbox.run_dir = sub(f, "run");
    f->sandbox.reserve_bytes = 65536;
    replace(&f->sandbox.monitor_program, program("unicri-monitor"));
    replace(&f->sandbox.cgroup_root, xasprintf("/unicri-test-%d", getpid()));
    replace(&f->cni_config.conf_dir, sub(f, "net.d"));
    replace(&f->vmm_config.tender_program, program("unicri-tender"));
    replace(&f->image_config.unpack_program, program("unicri-unpack"));
}

/* Debian's busybox with a name for each applet. */
static void make_busybox(struct fixture *f)
{
    static const char *const applets[] = {"sh",    "echo",   "cat",  "sleep", "true",     "false",
                                          "id",    "ps",     "kill", "ls",    "hostname", "wget",
                                          "httpd", "touch",  "env",  "head",  "yes",      "mount",
                                          "grep",  "setsid", "dd"};
    autofree char *layer = sub(f, "root/layers/" BUSYBOX_HEX);
    autofree char *busybox = program_find("busybox");

    make_dir(f, "root/layers/" BUSYBOX_HEX "/bin");
    make_dir(f, "root/layers/" BUSYBOX_HEX "/etc");
    make_dir(f, "root/layers/" BUSYBOX_HEX "/tmp");
    write_text(f, "root/layers/" BUSYBOX_HEX "/etc/passwd",
               "root:x:0:0::/root:/bin/sh\nann:x:1001:1002::/:/bin/sh\n");
    write_text(f, "root/layers/" BUSYBOX_HEX "/etc/group",
               "root:x:0:\nann:x:1002:\nmore:x:1003:ann\n");

    autofree char *to = path_join(layer, "bin/busybox"), *data = NULL;
    size_t len;
    struct err err = ERR_INIT;

    assert_ok(fs_read_file(AT_FDCWD, busybox, 16 << 20, &data, &len, &err), err);
    assert_ok(fs_write_file(AT_FDCWD, to, data, len, 0755, &err), err);
    for (size_t i = 0; i < ARRAY_SIZE(applets); i++) {
        autofree char *link = xasprintf("%s/bin/%s", layer, applets[i]);

        assert_int_equal(symlink("busybox", link), 0);
    }
}

/* A layer and an image row, as a pull leaves them. `digit` names both. */
static void put_image(struct fixture *f, const char *tag, const char *diff_id, const char *id,
                      const char *config)
{
    struct layer_row layer = {.diff_id = xstrdup(diff_id),
                              .path = xasprintf("layers/%s", diff_id),
                              .size = 1,
                              .inodes = 1};
    struct image_row image = {.id = xstrdup(id),
                              .config = xstrdup(config),
                              .manifest = xstrdup("{}"),
                              .size = 1,
                              .pulled_at = 1};
    struct err err = ERR_INIT;

    strv_push(&image.tags, tag);
    strv_push(&image.layers, diff_id);
    assert_ok(db_layer_put(f->db, &layer, &err), err);
    assert_ok(db_image_put(f->db, &image, &err), err);
    layer_row_done(&layer);
    image_row_done(&image);
}

/* A test unikernel as an image: "unikernel-NAME", where it has been built. */
static void put_unikernel(struct fixture *f, const char *name, char digit)
{
    const char *built = getenv("UNICRI_UNIKERNELS");
    autofree char *from = xasprintf("%s/%s.spt", built ? built : "/nonexistent", name),
                  *data = NULL, *config = NULL;
    autofree char *tag = xasprintf("localhost/unikernel-%s:latest", name);
    char diff[72] = "sha256:", id[72] = "sha256:";
    size_t len;

    if (fs_read_file(AT_FDCWD, from, 16 << 20, &data, &len, NULL) < 0)
        return;
    memset(diff + 7, digit, 64);
    memset(id + 7, digit + 1, 64);

    autofree char *dir = xasprintf("root/layers/%s", diff + strlen("sha256:")),
                  *file = xasprintf("%s/%s/kernel.spt", f->dir, dir);
    struct err err = ERR_INIT;

    make_dir(f, dir);
    assert_ok(fs_write_file(AT_FDCWD, file, data, len, 0644, &err), err);
    config = xasprintf("{\"architecture\":\"amd64\",\"os\":\"linux\",\"config\":{\"Labels\":{"
                       "\"com.urunc.unikernel.unikernelType\":\"mirage\",\"com.urunc.unikernel."
                       "hypervisor\":\"spt\","
                       "\"com.urunc.unikernel.binary\":\"/"
                       "kernel.spt\"}},\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"%s\"]}}",
                       diff);
    put_image(f, tag, diff, id, config);
}

static void put_images(struct fixture *f)
{
    put_image(f, "localhost/busybox:latest", BUSYBOX_DIFF, BUSYBOX_ID,
              "{\"architecture\":\"amd64\",\"os\":\"linux\",\"config\":{\"Env\":[\"PATH=/"
              "bin\",\"FROM=image\"],\"Cmd\":[\"sh\"]},"
              "\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"" BUSYBOX_DIFF "\"]}}");
    put_unikernel(f, "hello", '3');
    put_unikernel(f, "spin", '5');
    put_unikernel(f, "http", '7');
}

struct fixture *fixture_new(void)
{
    struct fixture *f = XNEW(struct fixture);
    autofree char *conflist = NULL;
    bool rebuilt;
    struct err err = ERR_INIT;

    f->dir = xstrdup("/tmp/unicri-engine-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    assert_int_equal(chmod(f->dir, 0755), 0);
    make_dir(f, "net.d");
    make_dir(f, "run");
    make_dir(f, "logs");
    conflist = xasprintf(
        "{\"cniVersion\":\"1.0.0\",\"name\":\"test\",\"plugins\":[{\"type\":\"bridge\",\"bridge\":"
        "\"cni0\","
        "\"isGateway\":true,\"ipam\":{\"type\":\"host-local\",\"dataDir\":\"%s/leases\","
        "\"ranges\":[[{\"subnet\":\"10.93.0.0/24\"}]],\"routes\":[{\"dst\":\"0.0.0.0/0\"}]}}]}",
        f->dir);
    write_text(f, "net.d/10-test.conflist", conflist);
    configure(f);
    make_busybox(f);
    f->db = db_open(f->sandbox.root_dir, &rebuilt, &err);
    if (!f->db)
        fail_msg("%s", err.msg);
    put_images(f);
    db_close(f->db);
    f->db = NULL;
    return f;
}

static void *loop_main(void *arg)
{
    loop_run(arg);
    return NULL;
}

#define OPENED(what)                                                                               \
    do {                                                                                           \
        if (!(what))                                                                               \
            fail_msg(#what ": %s", err.msg);                                                       \
    } while (0)

void fixture_open(struct fixture *f)
{
    struct err err = ERR_INIT;
    bool rebuilt;

    OPENED(f->loop = loop_new(&err));
    OPENED(f->db = db_open(f->sandbox.root_dir, &rebuilt, &err));
    OPENED(f->cni = cni_open(&f->cni_config, f->sandbox.run_dir, f->loop, &err));
    OPENED(f->vmm = vmm_open(&f->vmm_config, &err));
    OPENED(f->images = imagestore_open(&f->image_config, f->sandbox.root_dir, f->db, &err));
    OPENED(f->engine = engine_open(&f->sandbox, f->db, f->cni, f->vmm, f->images, f->loop, &err));
    assert_int_equal(pthread_create(&f->loop_thread, NULL, loop_main, f->loop), 0);
}

void fixture_close(struct fixture *f)
{
    if (!f->engine)
        return;
    loop_stop(f->loop);
    (void)pthread_join(f->loop_thread, NULL);
    engine_close(f->engine);
    imagestore_close(f->images);
    vmm_close(f->vmm);
    cni_close(f->cni);
    loop_free(f->loop);
    db_close(f->db);
    f->engine = NULL;
}

/* What a failed test has left. */
static void remove_pods(struct fixture *f)
{
    struct pod_view *pods;
    size_t n = pod_list(f->engine, NULL, &pods);
    struct err err = ERR_INIT;

    for (size_t i = 0; i < n; i++)
        if (pod_remove(f->engine, pods[i].id, NULL, &err) < 0)
            print_error("%s\n", err.msg);
    pod_views_free(pods, n);
}

void fixture_free(struct fixture *f)
{
    const struct option_table tables[] = {
        {sandbox_options, sandbox_options_n, &f->sandbox},
        {cni_options, cni_options_n, &f->cni_config},
        {vmm_options, vmm_options_n, &f->vmm_config},
        {imagestore_options, imagestore_options_n, &f->image_config},
    };
    autofree char *none = xasprintf("%s/run/netns/vmm", f->dir);
    struct cgroups cgroups;
    struct err err = ERR_INIT;

    if (f->engine)
        remove_pods(f);
    fixture_close(f);
    (void)umount2(none, MNT_DETACH);
    if (cgroups_open("cgroupfs", &cgroups, &err) == 0) {
        if (cgroup_kill(&cgroups, f->sandbox.cgroup_root, deadline_in(10 * NSEC_PER_SEC), &err) <
                0 ||
            cgroup_remove(&cgroups, f->sandbox.cgroup_root, deadline_in(10 * NSEC_PER_SEC), &err) <
                0)
            print_error("%s\n", err.msg);
        cgroups_done(&cgroups);
    }
    if (fs_remove_tree(AT_FDCWD, f->dir, &err) < 0)
        print_error("%s\n", err.msg);
    free(f->sandbox.root_dir);
    free(f->sandbox.run_dir);
    options_done(tables, ARRAY_SIZE(tables));
    free(f->dir);
    free(f);
}

/* -------------------------------------------------------------------- requests */

struct pod_spec *fixture_pod(struct fixture *f, const char *name, bool network)
{
    struct pod_spec *spec = pod_spec_new();

    replace(&spec->name, xstrdup(name));
    replace(&spec->namespace_, xstrdup("default"));
    replace(&spec->uid, xasprintf("uid-%s", name));
    replace(&spec->log_directory, sub(f, "logs"));
    if (network)
        replace(&spec->hostname, xstrdup(name));
    spec->ns.network = network ? NS_POD : NS_NODE;
    spec->ns.pid = NS_CONTAINER;
    return spec;
}

struct container_spec *fixture_container(const char *pod_id, const char *name, const char *script)
{
    struct container_spec *spec = container_spec_new();

    replace(&spec->pod_id, xstrdup(pod_id));
    replace(&spec->name, xstrdup(name));
    replace(&spec->image, xstrdup("localhost/busybox:latest"));
    replace(&spec->log_path, xasprintf("%s.log", name));
    spec->ns.pid = NS_CONTAINER;
    if (script) {
        strv_push(&spec->command, "sh");
        strv_push(&spec->args, "-c");
        strv_push(&spec->args, script);
    }
    return spec;
}

char *fixture_log(struct fixture *f, const char *name)
{
    autofree char *path = xasprintf("%s/logs/%s.log", f->dir, name);
    char *text = NULL;

    return fs_read_file(AT_FDCWD, path, 16 << 20, &text, NULL, NULL) < 0 ? xstrdup("") : text;
}

void fixture_wait(struct fixture *f, const char *id, enum container_state state,
                  struct container_view *ret)
{
    deadline_t deadline = deadline_in(20 * NSEC_PER_SEC);
    struct container_view v;
    struct err err = ERR_INIT;

    for (;;) {
        assert_ok(container_get(f->engine, id, &v, &err), err);
        if (v.state == state || deadline_passed(deadline))
            break;
        container_view_done(&v);
        clock_sleep_until(deadline_in(2 * NSEC_PER_MSEC));
    }
    if (v.state != state)
        fail_msg("container is in state %d (%s: %s), not %d", (int)v.state, v.reason, v.message,
                 (int)state);
    if (ret)
        *ret = v;
    else
        container_view_done(&v);
}

static size_t count_leases(struct fixture *f)
{
    autofree char *dir = sub(f, "leases/test");
    autodir DIR *d = opendir(dir);
    const struct dirent *e;
    size_t n = 0;

    while (d && (e = readdir(d)))
        n += strncmp(e->d_name, "10.93.", 6) == 0;
    return n;
}

void fixture_assert_clean(struct fixture *f)
{
    deadline_t deadline = deadline_in(20 * NSEC_PER_SEC);
    autofree char *text = NULL;

    for (;;) {
        size_t left = 0;
        const char *key;
        json_t *value;

        free(text);
        text = engine_census(f->engine);

        autojson *o = json_loads(text, 0, NULL);

        /* The VMMs' empty namespace stays as long as the daemon's run directory. */
        json_object_foreach (o, key, value)
            left += str_eq(key, "mounts") && json_integer_value(value) == 1
                        ? 0
                        : (size_t)json_integer_value(value);
        if (left + count_leases(f) == 0)
            return;
        if (deadline_passed(deadline))
            fail_msg("left behind: %s, leases %zu", text, count_leases(f));
        clock_sleep_until(deadline_in(20 * NSEC_PER_MSEC));
    }
}
