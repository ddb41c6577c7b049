/* SPDX-License-Identifier: Apache-2.0 */
/* The parser of the monitor's orders, and of the messages it takes. */
#include "base/tests/testing.h"

#include "sandbox/monitor/message.h"
#include "sandbox/monitor/spec.h"

#define GOOD "id=a\0mode=runtime\0program=/bin/true\0arg=true\0"

static char *pointers[512];
static char copy[4096];
static struct spec_room room;
static struct spec spec;
static struct fault why;

static int parse(const char *text, size_t len)
{
    memcpy(copy, text, len);
    assert_true(spec_count(copy, len) + 2 <= ARRAY_SIZE(pointers));
    return spec_parse(copy, len, pointers, &room, &spec, &why);
}
#define PARSE(literal) parse(literal, sizeof(literal) - 1)

static void good(void **state)
{
    (void)state;
    assert_int_equal(
        PARSE(
            "mode=vmm\0id=x-1\0arg=a\0env=A=1\0arg=b=c\0env=B=2\0env=C\0arg=\0program_fd=7\0uid=5\0"
            "gid=6\0fd=8:3\0fd=9:4\0cgroup=/x\0cgroup=/y\0log_dir=/"
            "l\0log=l\0log_line_max=100\0tty=1\0"
            "oom_score_adj=-998\0netns=10\0fsize=0\0"),
        0);
    assert_int_equal(spec.mode, MODE_VMM);
    assert_string_equal(spec.argv[0], "a");
    assert_string_equal(spec.argv[1], "b=c");
    assert_string_equal(spec.argv[2], "");
    assert_null(spec.argv[3]);
    assert_string_equal(spec.env[0], "A=1");
    assert_string_equal(spec.env[1], "B=2");
    assert_string_equal(spec.env[2], "C");
    assert_null(spec.env[3]);
    assert_int_equal(spec.n_fds, 2);
    assert_int_equal(spec.fds[1].from, 9);
    assert_int_equal(spec.fds[1].to, 4);
    assert_string_equal(spec.cgroups[1], "/y");
    assert_int_equal(spec.log_line_max, 100);
    assert_true(spec.tty && !spec.stdin_open && spec.has_oom_score_adj);
    assert_int_equal(spec.oom_score_adj, -998);
    assert_int_equal(spec.fsize, 0);
    assert_int_equal(spec.nofile, -1);
}

#define VMM "id=a\0mode=vmm\0arg=a\0program_fd=7\0uid=5\0gid=6\0"

static void root(void **state)
{
    static const char *const bad[] = {
        "root_ro=8",       "root_ro=6:/x",    "root_ro=8:x",    "root_dir=/",     "root_dir=//x",
        "root_dir=/x/",    "root_dir=/./x",   "root_dir=/x/..", "root_dir=/../x", "root_text=x",
        "root_symlink=/x", "root_proc=/proc", "group=0",        "root_bytes=-1",  "root_dir=/x//y",
    };
    char text[sizeof(VMM) + 64];

    (void)state;
    assert_int_equal(PARSE(VMM "root_ro=8:/a:b\0root_file=/x/y\0root_text=a=b\0root_symlink=/l\0"
                               "root_text=t\0root_device=9:/dev/..x\0group=7\0group=8\0"
                               "root_bytes=10\0"),
                     0);
    assert_int_equal(spec.n_entries, 4);
    assert_int_equal(spec.entries[0].kind, ROOT_RO);
    assert_int_equal(spec.entries[0].fd, 8);
    assert_string_equal(spec.entries[0].path, "/a:b");
    assert_string_equal(spec.entries[1].text, "a=b");
    assert_int_equal(spec.entries[1].fd, -1);
    assert_string_equal(spec.entries[2].text, "t");
    assert_string_equal(spec.entries[3].path, "/dev/..x");
    assert_int_equal(spec.groups[1], 8);
    assert_int_equal(spec.root_bytes, 10);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        memcpy(text, VMM, sizeof(VMM) - 1);
        (void)snprintf(text + sizeof(VMM) - 1, 64, "%s", bad[i]);
        print_message("%s\n", bad[i]);
        assert_int_equal(parse(text, sizeof(VMM) + strlen(bad[i])), -1);
    }
}

static void jail_keys(void **state)
{
    static const char *const bad[] = {"ioctl=0", "ioctl=4294967296", "ioctl=TCGETS",
                                      "ioctl=", "new_user_ns=2"};
    char text[sizeof(VMM) + 64];
    autofree char *many = xcalloc(1, sizeof(VMM) + 16 * (SPEC_IOCTLS_MAX + 1));

    (void)state;
    assert_int_equal(PARSE(VMM "ioctl=44672\0ioctl=4294967295\0new_user_ns=1\0"), 0);
    assert_int_equal(spec.n_ioctls, 2);
    assert_int_equal(spec.ioctls[0], 0xae80);
    assert_int_equal(spec.ioctls[1], UINT32_MAX);
    assert_true(spec.new_user_ns);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        memcpy(text, VMM, sizeof(VMM) - 1);
        (void)snprintf(text + sizeof(VMM) - 1, 64, "%s", bad[i]);
        print_message("%s\n", bad[i]);
        assert_int_equal(parse(text, sizeof(VMM) + strlen(bad[i])), -1);
    }
    memcpy(many, VMM, sizeof(VMM) - 1);
    for (size_t n = SPEC_IOCTLS_MAX; n <= SPEC_IOCTLS_MAX + 1; n++) {
        size_t len = sizeof(VMM) - 1;

        for (size_t i = 0; i < n; i++, len += 8)
            memcpy(many + len, "ioctl=1", 8);
        assert_int_equal(parse(many, len), n == SPEC_IOCTLS_MAX ? 0 : -1);
    }
}

static void defaults(void **state)
{
    (void)state;
    assert_int_equal(PARSE(GOOD), 0);
    assert_int_equal(spec.log_line_max, SPEC_LINE_DEFAULT);
    assert_null(spec.env[0]);
    assert_null(spec.log);
    assert_int_equal(spec.netns, -1);
    assert_false(spec.has_oom_score_adj);
}

static void bad(void **state)
{
    static const struct {
        const char *text, *words;
    } cases[] = {
        {"color=red", "unknown key 'color=red'"},
        {"tty", "unknown key 'tty'"},
        {"tty=yes", "bad value 'tty=yes'"},
        {"fd=3:4", "bad value"},
        {"fd=9:2", "bad value"},
        {"fd=9", "bad value"},
        {"fd=9:", "bad value"},
        {"fd=9:500", "bad value"},
        {"log=/absolute", "bad value"},
        {"log=alone", "log_dir"},
        {"log_line_max=15", "bad value"},
        {"log_line_max=99999999", "bad value"},
        {"uid=4294967295", "bad value"},
        {"uid=-1", "bad value"},
        {"uid=1x", "bad value"},
        {"uid=", "bad value"},
        {"uid=99999999999999999999", "bad value"},
        {"oom_score_adj=1001", "bad value"},
        {"program_fd=3", "bad value"},
        {"mode=both", "bad value"},
        {"id=../x", "bad value"},
        {"id=.x", "bad value"},
        {"id=", "bad value"},
        {"cgroup=x", "bad value"},
        {"timeout_ms=-1", "bad value"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char text[256];
        size_t len = sizeof(GOOD) - 1;

        memcpy(text, GOOD, len);
        memcpy(text + len, cases[i].text, strlen(cases[i].text) + 1);
        assert_int_equal(parse(text, len + strlen(cases[i].text) + 1), -1);
        if (!strstr(why.text, cases[i].words))
            fail_msg("%s: %s", cases[i].text, why.text);
    }
}

static void incomplete(void **state)
{
    (void)state;
    assert_int_equal(parse("", 0), -1);
    assert_int_equal(PARSE("id=a"), -1); /* not NUL terminated */
    assert_int_equal(PARSE("\0"), -1);
    assert_int_equal(PARSE("mode=runtime\0program=/x\0arg=a\0"), -1);
    assert_string_equal(why.text, "spec: key is missing 'id': Invalid argument");
    assert_int_equal(PARSE("id=a\0mode=runtime\0program=/x\0"), -1);
    assert_int_equal(PARSE("id=a\0mode=runtime\0arg=a\0"), -1);
    assert_int_equal(PARSE("id=a\0mode=vmm\0arg=a\0uid=1\0gid=1\0"), -1);
    assert_int_equal(PARSE("id=a\0mode=vmm\0arg=a\0program_fd=9\0uid=0\0gid=1\0"),
                     -1); /* never as root */
    assert_int_equal(PARSE("id=a\0mode=vmm\0arg=a\0program_fd=9\0"), -1);
    assert_int_equal(PARSE(GOOD "fd=9:3\0fd=10:3\0"), -1);
}

static void many_descriptors(void **state)
{
    char text[4000];
    size_t len = sizeof(GOOD) - 1;

    (void)state;
    memcpy(text, GOOD, len);
    for (int i = 0; i < 40; i++)
        len += (size_t)snprintf(text + len, sizeof(text) - len, "cgroup=/c%d", i) + 1;
    assert_int_equal(parse(text, len), -1);
    assert_true(strstr(why.text, "bad value 'cgroup=/c16'") != NULL);
}

static void messages(void **state)
{
    struct message m;

    (void)state;
    assert_int_equal(message_parse("reopen", 6).type, MESSAGE_REOPEN);
    assert_int_equal(message_parse("ping", 4).type, MESSAGE_PING);
    assert_int_equal(message_parse("stat", 4).type, MESSAGE_STAT);
    m = message_parse("attach 1", 8);
    assert_true(m.type == MESSAGE_ATTACH && m.input);
    m = message_parse("attach 0", 8);
    assert_true(m.type == MESSAGE_ATTACH && !m.input);
    m = message_parse("resize 65535 1", 14);
    assert_true(m.type == MESSAGE_RESIZE && m.width == 65535 && m.height == 1);
    assert_int_equal(message_parse("", 0).type, MESSAGE_BAD);
    assert_int_equal(message_parse("ping\0", 5).type, MESSAGE_BAD);
    assert_int_equal(message_parse("resize 65536 1", 14).type, MESSAGE_BAD);
    assert_int_equal(message_parse("resize -1 1", 11).type, MESSAGE_BAD);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good),
        cmocka_unit_test(defaults),
        cmocka_unit_test(root),
        cmocka_unit_test(jail_keys),
        cmocka_unit_test(bad),
        cmocka_unit_test(incomplete),
        cmocka_unit_test(many_descriptors),
        cmocka_unit_test(messages),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
