/* SPDX-License-Identifier: Apache-2.0 */
/* CDI: files, names, versions, directories, and edits in a config.json. */
#include "sandbox/cdi.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/strbuf.h"
#include "base/tests/testing.h"
#include "sandbox/cdi_text.h"

static struct cdi_spec *parse(const char *text, struct err *err)
{
    *err = ERR_INIT;
    return cdi_spec_parse(text, strlen(text), err);
}

static void refuses(const char *text, enum err_code code, const char *why)
{
    struct err err = ERR_INIT;

    assert_null(parse(text, &err));
    if (err.code != code || !strstr(err.msg, why))
        fail_msg("%s: %s: %s", text, err_code_name(err.code), err.msg);
}

#define HEAD   "cdiVersion: 1.1.0\nkind: vendor.com/gpu\ndevices:\n- name: x\n  containerEdits:\n"
#define OLD(v) "cdiVersion: " v "\nkind: vendor.com/gpu\ndevices:\n- name: x\n  containerEdits:\n"

static void whole_file(void **state)
{
    static const char text[] =
        "---\n# a comment\ncdiVersion: v1.1.0\nkind: vendor.com/gpu.x\nannotations: {a: '1', b: "
        "2}\n"
        "devices:\n- name: 0\n  annotations: ~\n  containerEdits: &e\n"
        "    env: [A=1, 'B=']\n"
        "    deviceNodes:\n    - path: /dev/x\n      hostPath: /dev/null\n      type: c\n"
        "      major: 0x1\n      minor: 3\n      fileMode: 0640\n      permissions: rw\n      uid: "
        "0\n"
        "    netDevices: [{hostInterfaceName: e0, name: e1}]\n"
        "    mounts: [{hostPath: tmpfs, containerPath: /t, type: tmpfs, options: [ro, size=1]}]\n"
        "    hooks: [{hookName: poststop, path: /bin/true, args: [true, 5], timeout: 3}]\n"
        "    intelRdt: {closID: c, schemata: ['L3:0=f'], enableMonitoring: true}\n"
        "    additionalGids: [0, 7]\n"
        "- name: second\n  containerEdits: *e\n";
    struct err err;
    autocdi_spec *s = parse(text, &err);

    (void)state;
    if (!s)
        fail_msg("%s", err.msg);
    assert_string_equal(s->kind, "vendor.com/gpu.x");
    assert_string_equal(kvs_get(&s->annotations, "b"), "2");
    assert_int_equal(s->devices.n, 2);
    assert_string_equal(s->devices.v[0].name, "0");
    for (int i = 0; i < 2; i++) {
        const struct cdi_edits *e = &s->devices.v[i].edits;

        assert_string_equal(e->env[1], "B=");
        assert_int_equal(e->nodes.v[0].major, 1);
        assert_int_equal(e->nodes.v[0].file_mode.value, 0640);
        assert_true(e->nodes.v[0].uid.set);
        assert_false(e->nodes.v[0].gid.set);
        assert_string_equal(e->net.v[0].name, "e1");
        assert_string_equal(e->mounts.v[0].options[1], "size=1");
        assert_string_equal(e->hooks.v[0].args[1], "5");
        assert_int_equal(e->hooks.v[0].timeout.value, 3);
        assert_true(e->has_rdt && e->rdt.monitoring);
        assert_int_equal(e->gids.v[1], 7);
    }
}

static void json_is_yaml(void **state)
{
    static const char text[] =
        "{\n\t\"cdiVersion\": \"0.5.0\",\n\t\"kind\": \"v/c\",\n\t\"devices\": [\n"
        "\t\t{\"name\": \"d\", \"containerEdits\": {\"env\": [\"A=\\u00e9\\\"\\/\"]}}]\n}\n";
    struct err err;
    autocdi_spec *s = parse(text, &err);

    (void)state;
    if (!s)
        fail_msg("%s", err.msg);
    assert_string_equal(s->devices.v[0].edits.env[0], "A=\xc3\xa9\"/");
}

static void malformed(void **state)
{
    (void)state;
    refuses("", ERR_INVALID, "empty");
    refuses("a: [", ERR_INVALID, "line");
    refuses("[]", ERR_INVALID, "not a map");
    refuses("a: 1\na: 2", ERR_INVALID, "'a' is there twice");
    refuses("--- {}\n--- {}", ERR_INVALID, "second document");
    refuses("[a]: b", ERR_INVALID, "key that is no text");
    refuses("a: *b", ERR_INVALID, "alias 'b' of nothing");
    refuses("a: &b [*b]", ERR_INVALID, "inside of what it names");
    refuses("kind: !evil x", ERR_INVALID, "tag");
    refuses("kind: \"a\\0b\"", ERR_INVALID, "NUL");
    refuses(HEAD "    envs: [A=1]\n", ERR_INVALID, "no member 'envs'");
    refuses(HEAD "    env: A=1\n", ERR_INVALID, "'env' is not a list");
    refuses(HEAD "    env: [A]\n", ERR_INVALID, "NAME=value");
    refuses(HEAD "    additionalGids: [-1]\n", ERR_INVALID, "number");
    refuses(HEAD "    additionalGids: ['1']\n", ERR_INVALID, "number");
    refuses(HEAD "    additionalGids: [0x]\n", ERR_INVALID, "number");
    refuses(HEAD "    additionalGids: [4294967295]\n", ERR_INVALID, "number");
    refuses(HEAD "    additionalGids: [99999999999999999999999]\n", ERR_INVALID, "number");
    refuses(HEAD "    deviceNodes: [{path: x}]\n", ERR_INVALID, "absolute");
    refuses(HEAD "    deviceNodes: [{path: /x, type: d}]\n", ERR_INVALID, "type 'd'");
    refuses(HEAD "    deviceNodes: [{path: /x, permissions: rx}]\n", ERR_INVALID, "'rx'");
    refuses(HEAD "    deviceNodes: [{path: /x, fileMode: 0888}]\n", ERR_INVALID, "fileMode");
    refuses(HEAD "    mounts: [{hostPath: /x}]\n", ERR_INVALID, "missing");
    refuses(HEAD "    hooks: [{hookName: prerun, path: /x}]\n", ERR_INVALID, "'prerun'");
    refuses(HEAD "    hooks: [{hookName: prestart, path: x}]\n", ERR_INVALID, "absolute");
    refuses(HEAD "    hooks: [{hookName: prestart, path: /x, timeout: 0}]\n", ERR_INVALID,
            "timeout");
    refuses(HEAD "    intelRdt: {closID: ../x}\n", ERR_INVALID, "closID");
    refuses(HEAD "    intelRdt: {enableMonitoring: yes}\n", ERR_INVALID, "true or false");
    refuses(HEAD
            "    netDevices: [{hostInterfaceName: a, name: b}, {hostInterfaceName: c, name: b}]\n",
            ERR_INVALID, "named twice");
    refuses(HEAD "    env: []\n", ERR_INVALID, "no edits");
    refuses(HEAD "    env: [A=1]\n- {name: x, containerEdits: {env: [A=1]}}\n", ERR_INVALID,
            "'x': is there twice");
    refuses("cdiVersion: 1.0.0\nkind: v/c\ndevices: []\n", ERR_INVALID, "no devices");
    refuses("cdiVersion: 1.0.0\nkind: vc\ndevices: []\n", ERR_INVALID, "kind 'vc'");
    refuses("cdiVersion: 1.0.0\nkind: v/c/d\ndevices: []\n", ERR_INVALID, "kind");
    refuses("cdiVersion: 1.0.0\nkind: 1v/c\ndevices: []\n", ERR_INVALID, "kind");
}

static void version_range(void **state)
{
    struct err err;
    autocdi_spec *s = NULL;

    (void)state;
    refuses(OLD("0.2.0") "    env: [A=1]\n", ERR_INVALID, "0.3.0 to 1.1.0");
    refuses(OLD("1.2.0") "    env: [A=1]\n", ERR_INVALID, "cdiVersion '1.2.0'");
    refuses(OLD("0.3.0") "    mounts: [{hostPath: /a, containerPath: /a, type: x}]\n", ERR_INVALID,
            "mounts.type, which came with 0.4.0");
    refuses(OLD("0.4.0") "    deviceNodes: [{path: /x, hostPath: /y}]\n", ERR_INVALID, "0.5.0");
    refuses(OLD("0.6.0") "    additionalGids: [1]\n", ERR_INVALID, "0.7.0");
    refuses(OLD("1.0.0") "    netDevices: [{hostInterfaceName: a, name: b}]\n", ERR_INVALID,
            "netDevices, which came with 1.1.0");
    refuses("cdiVersion: 0.5.0\nkind: v/c.d\ndevices: [{name: x, containerEdits: {env: [A=1]}}]\n",
            ERR_INVALID, "a dot in the class");
    refuses("cdiVersion: 0.4.0\nkind: v/c\ndevices: [{name: 0, containerEdits: {env: [A=1]}}]\n",
            ERR_INVALID, "digit");
    s = parse(OLD("0.3.0") "    env: [A=1]\n", &err);
    assert_non_null(s);
}

/* What a hostile file may cost. */
static void bounds(void **state)
{
    autostrbuf b = STRBUF_INIT;
    struct err err;

    (void)state;
    for (int i = 0; i < 100; i++)
        strbuf_addc(&b, '[');
    refuses(b.s, ERR_EXHAUSTED, "deeply");
    strbuf_clear(&b);
    strbuf_addc(&b, '[');
    for (int i = 0; i < CDI_NODES_MAX + 1; i++)
        strbuf_adds(&b, "1,");
    refuses(b.s, ERR_EXHAUSTED, "too many values");
    strbuf_clear(&b);
    for (int i = 0; i <= CDI_KEYS_MAX; i++)
        strbuf_addf(&b, "k%d: 1\n", i);
    refuses(b.s, ERR_EXHAUSTED, "too many keys");
    strbuf_clear(&b);
    for (int i = 0; i <= CDI_ANCHORS_MAX; i++)
        strbuf_addf(&b, "- &a%d 1\n", i);
    refuses(b.s, ERR_EXHAUSTED, "too many anchors");
    strbuf_clear(&b);
    strbuf_adds(&b, HEAD "    env: &e\n");
    for (int i = 0; i < 2000; i++)
        strbuf_adds(&b, "    - A=0123456789012345678901234567890123456789\n");
    for (int i = 0; i < 2000; i++)
        strbuf_addf(&b, "- {name: n%d, containerEdits: {env: *e}}\n", i);
    refuses(b.s, ERR_EXHAUSTED, "aliases make more");
    strbuf_clear(&b);
    strbuf_adds(&b, HEAD "    env:\n");
    for (int i = 0; i < 5000; i++)
        strbuf_adds(&b, "    - A=1\n");
    refuses(b.s, ERR_EXHAUSTED, "more than 4096 members");

    autofree char *large = xcalloc(1, CDI_TEXT_MAX_BYTES + 1);

    err = ERR_INIT;
    assert_null(cdi_spec_parse(large, CDI_TEXT_MAX_BYTES + 1, &err));
    assert_int_equal(err.code, ERR_EXHAUSTED);
}

static void device_names(void **state)
{
    static const char *const good[] = {"v/c=d", "vendor.com/net_x=0", "V-1.x/c=a:b.c_d-e"};
    static const char *const wrong[] = {"",       "v/c",     "v=d",     "/c=d",       "v/=d",
                                        "v/c=",   "v/c=d/e", "v/c=-d",  "v/c=d-",     "1v/c=d",
                                        "v/1c=d", "v/c=d=e", "v c/c=d", "v/c=d,v/c=e"};
    struct container_spec *spec = container_spec_new();
    autostrv char **names = NULL;
    struct err err = ERR_INIT;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(good); i++)
        assert_ok(cdi_name_check(good[i], &err), err);
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
        assert_err(cdi_name_check(wrong[i], &err), err, ERR_INVALID, "vendor.com/class=name");
    assert_ok(cdi_names(spec, &names, &err), err);
    assert_null(names);
    strv_push(&spec->cdi_devices, "v/c=a");
    strv_push(&spec->cdi_devices, "v/c=a");
    kvs_set(&spec->annotations, "cdi.k8s.io/x", "v/c=b,v/c=a");
    kvs_set(&spec->annotations, "other/x", "v/c=z");
    assert_ok(cdi_names(spec, &names, &err), err);
    assert_int_equal(strv_len(names), 2);
    assert_string_equal(names[0], "v/c=a");
    assert_string_equal(names[1], "v/c=b");
    strv_free(TAKE_PTR(names));
    kvs_set(&spec->annotations, "cdi.k8s.io/x", "gpu0");
    assert_err(cdi_names(spec, &names, &err), err, ERR_INVALID, "annotation 'cdi.k8s.io/x'");
    container_spec_free(spec);
}

/* ------------------------------------------------------------------ directories */

struct ground {
    char top[64];
    char *dirs[3];
};

static int setup(void **state)
{
    struct ground *g = XNEW(struct ground);

    (void)snprintf(g->top, sizeof(g->top), "/tmp/unicri-cdi-XXXXXX");
    if (!mkdtemp(g->top))
        return -1;
    g->dirs[0] = path_join(g->top, "static");
    g->dirs[1] = path_join(g->top, "dynamic");
    *state = g;
    return 0;
}

static int teardown(void **state)
{
    struct ground *g = *state;
    int rc = fs_remove_tree(AT_FDCWD, g->top, NULL);

    free(g->dirs[0]);
    free(g->dirs[1]);
    free(g);
    return rc;
}

static void put(const struct ground *g, int dir, const char *name, const char *text)
{
    autofree char *path = path_join(g->dirs[dir], name);
    struct err err = ERR_INIT;

    assert_ok(fs_mkdirs(g->dirs[dir], 0755, &err), err);
    assert_ok(fs_write_file(AT_FDCWD, path, text, strlen(text), 0644, &err), err);
}

static char *file(const char *kind, const char *devices, const char *value)
{
    autostrbuf b = STRBUF_INIT;
    autofree char *copy = xstrdup(devices);
    char *rest = copy, *d;

    strbuf_addf(&b, "cdiVersion: 0.6.0\nkind: %s\ncontainerEdits: {env: [GLOBAL=%s]}\ndevices:\n",
                kind, value);
    while ((d = strsep(&rest, " ")))
        strbuf_addf(&b, "- {name: %s, containerEdits: {env: [%s=%s]}}\n", d, d, value);
    return strbuf_detach(&b);
}

static void put_file(const struct ground *g, int dir, const char *name, const char *kind,
                     const char *devices, const char *value)
{
    autofree char *text = file(kind, devices, value);

    put(g, dir, name, text);
}

static int resolve(const struct ground *g, const char *a, const char *b, struct cdi **ret,
                   struct err *err)
{
    char *names[] = {(char *)(uintptr_t)a, (char *)(uintptr_t)b, NULL};

    *err = ERR_INIT;
    return cdi_resolve(g->dirs, names, ret, err);
}

static char *joined_env(const struct cdi *cdi)
{
    autojson *config = json_object();
    autostrbuf b = STRBUF_INIT;
    struct err err = ERR_INIT;
    json_t *v;
    size_t i;

    assert_ok(cdi_apply(cdi, config, &err), err);
    json_array_foreach (json_object_get(json_object_get(config, "process"), "env"), i, v)
        strbuf_addf(&b, "%s ", json_string_value(v));
    return strbuf_detach(&b);
}

static void precedence(void **state)
{
    const struct ground *g = *state;
    autocdi *one = NULL, *two = NULL, *both = NULL;
    autofree char *env = NULL, *env2 = NULL, *env3 = NULL;
    struct err err;

    put_file(g, 0, "a.yaml", "v/c", "x y", "static");
    put_file(g, 1, "b.json", "v/c", "x", "dynamic");
    put_file(g, 0, "c.yaml", "v/other", "x", "other");
    put_file(g, 0, "ignored.txt", "v/c", "x", "text");
    assert_ok(resolve(g, "v/c=x", NULL, &one, &err), err);
    env = joined_env(one);
    assert_string_equal(env, "GLOBAL=dynamic x=dynamic ");
    assert_ok(resolve(g, "v/c=y", "v/other=x", &two, &err), err);
    env2 = joined_env(two);
    assert_string_equal(env2, "GLOBAL=other y=static x=other ");
    put_file(g, 1, "b.json", "v/c", "x y", "new");
    assert_ok(resolve(g, "v/c=y", "v/c=x", &both, &err), err);
    env3 = joined_env(both);
    assert_int_equal(both->n_edits, 3); /* the file's own once */
    assert_string_equal(env3, "GLOBAL=new y=new x=new ");
}

static void conflicts_and_bad_files(void **state)
{
    const struct ground *g = *state;
    autocdi *fine = NULL, *over = NULL, *none = NULL;
    autofree char *fifo = path_join(g->dirs[0], "fifo.yaml");
    char *no_dirs[] = {NULL}, *names[] = {(char[]){"v/c=x"}, NULL};
    struct err err;

    assert_err(resolve(g, "v/c=x", NULL, &none, &err), err, ERR_NOT_FOUND, "CDI device 'v/c=x'");
    put_file(g, 0, "a.yaml", "v/c", "x", "a");
    put_file(g, 0, "b.yaml", "v/c", "x y", "b");
    assert_err(resolve(g, "v/c=x", NULL, &none, &err), err, ERR_STATE, "b.yaml' have it");
    assert_ok(resolve(g, "v/c=y", NULL, &fine, &err), err);
    put_file(g, 1, "c.yaml", "v/c", "x", "c");
    assert_ok(resolve(g, "v/c=x", NULL, &over, &err), err);
    put(g, 0, "bad.yaml", "kind: [");
    assert_int_equal(mkfifo(fifo, 0600), 0);
    assert_err(resolve(g, "v/c=y", "v/c=z", &none, &err), err, ERR_NOT_FOUND, "'v/c=z': not in");
    assert_non_null(strstr(err.msg, "2 could not be used: "));
    assert_non_null(strstr(err.msg, "bad.yaml': line"));
    assert_int_equal(cdi_resolve(no_dirs, names, &none, &err), -1);
    assert_int_equal(err.code, ERR_UNSUPPORTED);
}

/* ------------------------------------------------------------------------ edits */

static json_t *apply_text(struct ground *g, const char *edits, const char *config, struct err *err)
{
    autocdi *cdi = NULL;
    autofree char *text = xasprintf(HEAD "%s", edits);
    autojson *o = json_parse(config, strlen(config), 65536, "config", err);

    assert_non_null(o);
    put(g, 0, "e.yaml", text);
    if (resolve(g, "vendor.com/gpu=x", NULL, &cdi, err) < 0)
        fail_msg("%s", err->msg);
    if (cdi_check(cdi, err) < 0 || cdi_apply(cdi, o, err) < 0)
        return NULL;
    return json_incref(o);
}

static void expect(struct ground *g, const char *edits, const char *config, const char *want)
{
    struct err err = ERR_INIT;
    autojson *got = apply_text(g, edits, config, &err);
    autojson *wanted = json_parse(want, strlen(want), 65536, "wanted", NULL);
    autofree char *text = got ? json_text(got) : NULL;

    assert_non_null(wanted);
    if (!got || !json_equal(got, wanted))
        fail_msg("%s\n%s", got ? text : err.msg, want);
}

static void edit_parts(void **state)
{
    struct ground *g = *state;

    expect(g, "    env: [A=2, C=3]\n", "{\"process\":{\"env\":[\"A=1\",\"AB=1\"]}}",
           "{\"process\":{\"env\":[\"A=2\",\"AB=1\",\"C=3\"]}}");
    /* the host's node is looked at; the one that was there goes */
    expect(
        g,
        "    deviceNodes: [{path: /dev/x, hostPath: /dev/null, permissions: r, fileMode: 0600}]\n",
        "{\"process\":{\"user\":{\"uid\":5,\"gid\":0}},\"linux\":{\"devices\":[{\"path\":\"/dev//"
        "x\"}]}}",
        "{\"process\":{\"user\":{\"uid\":5,\"gid\":0}},\"linux\":{\"devices\":[{\"path\":\"/dev/"
        "x\",\"type\":\"c\","
        "\"major\":1,\"minor\":3,\"fileMode\":384,\"uid\":5}],\"resources\":{\"devices\":[{"
        "\"allow\":true,"
        "\"type\":\"c\",\"major\":1,\"minor\":3,\"access\":\"r\"}]}}}");
    /* all said: the host need not have it */
    expect(g,
           "    deviceNodes: [{path: /dev/none, type: b, major: 9, minor: 0, gid: 0, permissions: "
           "none}]\n",
           "{}",
           "{\"linux\":{\"devices\":[{\"path\":\"/dev/"
           "none\",\"type\":\"b\",\"major\":9,"
           "\"minor\":0,\"gid\":0}]}}");
    expect(g, "    mounts: [{hostPath: /usr, containerPath: /b/c/, options: [rbind, ro]}]\n",
           "{\"mounts\":[{\"destination\":\"/b/c\"},{\"destination\":\"/b/c/"
           "d\"},{\"destination\":\"/b\"}]}",
           "{\"mounts\":[{\"destination\":\"/b\"},{\"destination\":\"/b/c/\",\"source\":\"/"
           "usr\",\"options\":[\"rbind\","
           "\"ro\"]},{\"destination\":\"/b/c/d\"}]}");
    expect(g, "    mounts: [{hostPath: /usr, containerPath: /b, options: [rbind]}]\n",
           "{\"linux\":{\"namespaces\":[{\"type\":\"user\"}]}}",
           "{\"linux\":{\"namespaces\":[{\"type\":\"user\"}]},\"mounts\":[{\"destination\":\"/b\","
           "\"source\":\"/usr\",\"options\":[\"rbind\",\"ridmap\"]}]}");
    expect(
        g,
        "    hooks: [{hookName: createRuntime, path: /bin/sh, args: [sh], env: [A=1], timeout: "
        "2}]\n",
        "{}",
        "{\"hooks\":{\"createRuntime\":[{\"path\":\"/bin/sh\",\"args\":[\"sh\"],\"env\":[\"A=1\"],"
        "\"timeout\":2}]}}");
}

static void cannot(struct ground *g, const char *edits, enum err_code code, const char *why)
{
    struct err err = ERR_INIT;

    assert_null(apply_text(g, edits, "{}", &err));
    if (err.code != code || !strstr(err.msg, why) || !strstr(err.msg, "'vendor.com/gpu=x': "))
        fail_msg("%s: %s", err_code_name(err.code), err.msg);
}

static void edits_that_fail(void **state)
{
    struct ground *g = *state;

    cannot(g, "    deviceNodes: [{path: /dev/none}]\n", ERR_NOT_FOUND, "device node '/dev/none'");
    cannot(g, "    deviceNodes: [{path: /etc/passwd}]\n", ERR_INVALID, "not a device");
    cannot(g, "    deviceNodes: [{path: /dev/null, type: b}]\n", ERR_INVALID, "of type 'c'");
    cannot(g, "    mounts: [{hostPath: /none, containerPath: /x, options: [bind]}]\n",
           ERR_NOT_FOUND, "host path '/none'");
    cannot(g, "    hooks: [{hookName: prestart, path: /none}]\n", ERR_NOT_FOUND, "'/none'");
    cannot(g, "    netDevices: [{hostInterfaceName: eth7, name: e}]\n", ERR_UNSUPPORTED, "'eth7'");
    cannot(g, "    intelRdt: {schemata: [x]}\n", ERR_UNSUPPORTED, "intelRdt.schemata");
    if (access("/sys/fs/resctrl/schemata", F_OK) < 0)
        cannot(g, "    intelRdt: {closID: x}\n", ERR_UNSUPPORTED, "resctrl");
}

static void group_edits(void **state)
{
    struct ground *g = *state;
    autocdi *cdi = NULL;
    uint32_t *groups = NULL;
    struct err err;

    put(g, 0, "e.yaml", HEAD "    additionalGids: [0, 7, 9]\n");
    assert_ok(resolve(g, "vendor.com/gpu=x", NULL, &cdi, &err), err);
    assert_int_equal(cdi_groups(cdi, &groups), 2);
    assert_int_equal(groups[1], 9);
    free(groups);
}

#define ON_GROUND(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_file), cmocka_unit_test(json_is_yaml),
        cmocka_unit_test(malformed),  cmocka_unit_test(version_range),
        cmocka_unit_test(bounds),     cmocka_unit_test(device_names),
        ON_GROUND(precedence),        ON_GROUND(conflicts_and_bad_files),
        ON_GROUND(edit_parts),        ON_GROUND(edits_that_fail),
        ON_GROUND(group_edits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
