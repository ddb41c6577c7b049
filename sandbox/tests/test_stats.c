/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernel's files say, in trees of both versions, whole, partial and wrong. */
#include "sandbox/stats.h"

#include "base/strbuf.h"
#include "base/tests/testing.h"

static void keys(void **state)
{
    static const char text[] =
        "anon 5\nanon_thp 6\nfile 18446744073709551615\nbad 18446744073709551616"
        "\nneg -1\nblank \nword x\ntail 7";
    uint64_t v = 99;

    (void)state;
    assert_true(cgroup_stat_key(text, "anon", &v));
    assert_int_equal(v, 5);
    assert_true(cgroup_stat_key(text, "file", &v));
    assert_true(v == UINT64_MAX);
    assert_true(cgroup_stat_key(text, "tail", &v));
    assert_int_equal(v, 7);
    assert_false(cgroup_stat_key(text, "bad", &v));
    assert_false(cgroup_stat_key(text, "neg", &v));
    assert_false(cgroup_stat_key(text, "blank", &v));
    assert_false(cgroup_stat_key(text, "word", &v));
    assert_false(cgroup_stat_key(text, "thp", &v));
    assert_false(cgroup_stat_key(text, "anon_", &v));
    assert_false(cgroup_stat_key("", "anon", &v));
    assert_int_equal(v, 7); /* untouched by failures */
}

static void numbers(void **state)
{
    uint64_t v = 99;

    (void)state;
    assert_true(cgroup_stat_number("0\n", &v));
    assert_int_equal(v, 0);
    assert_true(cgroup_stat_number("max\n", &v));
    assert_true(v == UINT64_MAX);
    v = 99;
    assert_false(cgroup_stat_number("", &v));
    assert_false(cgroup_stat_number("maximum\n", &v));
    assert_false(cgroup_stat_number("12 13\n", &v));
    assert_false(cgroup_stat_number(" 12\n", &v));
    assert_false(cgroup_stat_number("99999999999999999999\n", &v));
    assert_int_equal(v, 99);
}

static void pressures(void **state)
{
    static const char *const wrong[] = {
        "",
        "some\n",
        "some avg10=0.00 avg60=0.00 avg300=0.00\n",
        "some avg10=nan avg60=0.00 avg300=0.00 total=1\n",
        "some avg10=-1.00 avg60=0.00 avg300=0.00 total=1\n",
        "some avg10=1e300 avg60=0.00 avg300=0.00 total=1\n",
        "some avg10=0.00 avg60=0.00 avg300=0.00 total=-1\n",
        "some avg60=0.00 avg10=0.00 avg300=0.00 total=1\n",
        "some avg10=0.00 avg60=0.00 avg300=0.00 total=1\nfull avg10=x\n",
        "full avg10=0.00 avg60=0.00 avg300=0.00 total=1\n",
    };
    struct pressure p = {0};

    (void)state;
    assert_true(cgroup_stat_pressure("some avg10=0.09 avg60=6.94 avg300=20.15 total=901739682\n"
                                     "full avg10=1.00 avg60=2.00 avg300=100.00 total=7\n",
                                     &p));
    assert_true(p.known && p.some.avg10 > 0.08 && p.some.avg10 < 0.10);
    assert_true(p.some.avg300 > 20.1 && p.some.avg300 < 20.2);
    assert_int_equal(p.some.total_usec, 901739682);
    assert_int_equal(p.full.total_usec, 7);
    assert_true(p.full.avg300 > 99.9);
    /* "full" of cpu is missing before Linux 5.13 */
    assert_true(cgroup_stat_pressure("some avg10=0.00 avg60=0.00 avg300=0.00 total=3\n", &p));
    assert_int_equal(p.some.total_usec, 3);
    assert_int_equal(p.full.total_usec, 0);
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        if (cgroup_stat_pressure(wrong[i], &p))
            fail_msg("taken for pressure: %s", wrong[i]);
        assert_int_equal(p.some.total_usec, 3);
    }
}

static void put(const char *dir, const char *file, const char *text)
{
    autofree char *path = xasprintf("%s/%s", dir, file);
    struct err err = ERR_INIT;

    assert_ok(fs_write_file(AT_FDCWD, path, text, strlen(text), 0644, &err), err);
}

static char *make_dir(const char *dir, const char *name)
{
    char *path = path_join(dir, name);
    struct err err = ERR_INIT;

    assert_ok(fs_mkdirs(path, 0755, &err), err);
    return path;
}

static void version_2(void **state)
{
    const char *dir = *state;
    autofree char *cg = make_dir(dir, "pod/ctr");
    autofree char *mounts = xasprintf("30 1 0:26 / %s rw - cgroup2 cgroup2 rw\n", dir);
    struct container_stats s = {.layer_bytes = 42};
    struct cgroups c;
    struct err err = ERR_INIT;

    put(dir, "cgroup.controllers", "cpuset cpu io memory hugetlb pids\n");
    assert_ok(cgroups_scan(mounts, &c, &err), err);
    assert_true(c.v2);
    assert_int_equal(cgroup_stats_read(&c, "/pod/gone", &s), -1);
    assert_int_equal(cgroup_stats_read(&c, "/pod/ctr", &s), -1); /* no files */
    put(cg, "cpu.stat", "usage_usec 1500\nuser_usec 1000\nsystem_usec 500\n");
    assert_int_equal(cgroup_stats_read(&c, "/pod/ctr", &s), -1); /* no memory */
    assert_int_equal(s.cpu_at, 0);
    put(cg, "memory.current", "1000\n");
    put(cg, "memory.stat", "anon 300\nfile 700\ninactive_file 200\npgfault 11\npgmajfault 2\n");
    assert_int_equal(cgroup_stats_read(&c, "/pod/ctr", &s), 0);
    assert_true(s.cpu_at > 0 && s.memory_at >= s.cpu_at);
    assert_int_equal(s.cpu_nsec, 1500000);
    assert_int_equal(s.memory_usage, 1000);
    assert_int_equal(s.working_set, 800);
    assert_int_equal(s.rss, 300);
    assert_int_equal(s.page_faults, 11);
    assert_int_equal(s.major_page_faults, 2);
    assert_true(s.memory_limit == UINT64_MAX);
    assert_false(s.swap_known);
    assert_false(s.cpu_pressure.known || s.memory_pressure.known || s.io_pressure.known);
    assert_int_equal(s.layer_bytes, 42);

    put(cg, "memory.max", "4096\n");
    put(cg, "memory.swap.current", "5\n");
    put(cg, "memory.swap.max", "max\n");
    put(cg, "io.pressure", "some avg10=0.00 avg60=0.00 avg300=0.00 total=9\n");
    put(cg, "memory.stat", "anon 300\ninactive_file 5000\n"); /* more cache than usage */
    assert_int_equal(cgroup_stats_read(&c, "/pod/ctr", &s), 0);
    assert_int_equal(s.memory_limit, 4096);
    assert_int_equal(s.working_set, 0);
    assert_int_equal(s.page_faults, 0);
    assert_true(s.swap_known && s.swap_usage == 5 && s.swap_limit == UINT64_MAX);
    assert_true(s.io_pressure.known && s.io_pressure.some.total_usec == 9);

    put(cg, "cpu.stat", "usage_usec 18446744073709551615\n"); /* no nanoseconds */
    assert_int_equal(cgroup_stats_read(&c, "/pod/ctr", &s), -1);
    cgroups_done(&c);
}

static void version_1(void **state)
{
    const char *dir = *state;
    autofree char *cpu = make_dir(dir, "cpuacct/pod"), *memory = make_dir(dir, "memory/pod");
    autofree char *unified = make_dir(dir, "unified/pod");
    autofree char *mounts = xasprintf("30 1 0:26 / %s/cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
                                      "31 1 0:27 / %s/memory rw - cgroup cgroup rw,memory\n"
                                      "32 1 0:28 / %s/unified rw - cgroup2 cgroup2 rw\n",
                                      dir, dir, dir);
    struct container_stats s = {0};
    struct cgroups c;
    struct err err = ERR_INIT;

    assert_ok(cgroups_scan(mounts, &c, &err), err);
    assert_false(c.v2);
    assert_int_equal(cgroup_stats_read(&c, "/pod", &s), -1);
    put(cpu, "cpuacct.usage", "123456789\n");
    put(memory, "memory.usage_in_bytes", "1000\n");
    put(memory, "memory.stat",
        "rss 1\ninactive_file 1\ntotal_rss 400\ntotal_inactive_file 100\ntotal_pgfault 3\n"
        "total_pgmajfault 1\n");
    put(memory, "memory.limit_in_bytes", "9223372036854771712\n");
    assert_int_equal(cgroup_stats_read(&c, "/pod", &s), 0);
    assert_int_equal(s.cpu_nsec, 123456789);
    assert_int_equal(s.working_set, 900);
    assert_int_equal(s.rss, 400);
    assert_true(s.memory_limit == UINT64_MAX);
    assert_false(s.swap_known);

    put(memory, "memory.stat", "total_rss 400\ntotal_swap 7\n");
    put(memory, "memory.limit_in_bytes", "2000\n");
    put(memory, "memory.memsw.limit_in_bytes", "5000\n");
    put(unified, "cpu.pressure", "some avg10=1.00 avg60=0.00 avg300=0.00 total=4\n");
    put(unified, "memory.pressure", "garbage");
    assert_int_equal(cgroup_stats_read(&c, "/pod", &s), 0);
    assert_int_equal(s.memory_limit, 2000);
    assert_true(s.swap_known && s.swap_usage == 7 && s.swap_limit == 3000);
    assert_true(s.cpu_pressure.known);
    assert_false(s.memory_pressure.known);

    put(cpu, "cpuacct.usage", "-5\n");
    assert_int_equal(cgroup_stats_read(&c, "/pod", &s), -1);
    cgroups_done(&c);
}

/* A file that never ends is read to its bound. */
static void endless(void **state)
{
    const char *dir = *state;
    autofree char *cg = make_dir(dir, "c"), *path = path_join(cg, "cpu.stat");
    autofree char *mounts = xasprintf("30 1 0:26 / %s rw - cgroup2 cgroup2 rw\n", dir);
    struct container_stats s = {0};
    struct cgroups c;
    struct err err = ERR_INIT;

    assert_int_equal(symlink("/dev/zero", path), 0);
    put(dir, "cgroup.controllers", "memory\n");
    assert_ok(cgroups_scan(mounts, &c, &err), err);
    assert_int_equal(cgroup_stats_read(&c, "/c", &s), -1);
    cgroups_done(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys), cmocka_unit_test(numbers), cmocka_unit_test(pressures),
        in_dir(version_2),      in_dir(version_1),         in_dir(endless),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
