/* SPDX-License-Identifier: Apache-2.0 */
/* Resources that change: merging, what is written, the files of both versions in directories that
 * stand for a host's hierarchies, checks. */
#include "sandbox/resources.h"

#include <sys/stat.h>

#include "base/strbuf.h"
#include "base/tests/testing.h"

static struct linux_resources plain(void)
{
    struct linux_resources r;

    linux_resources_init(&r);
    return r;
}

static void set(char **dst, const char *text)
{
    free(*dst);
    *dst = xstrdup(text);
}

/* Zero, "" and what is not named stay. */
static void merging(void **state)
{
    struct linux_resources old = plain(), update = plain();

    (void)state;
    old.cpu_quota = 5;
    old.cpu_period = 10;
    old.memory_limit = 100;
    old.memory_swap_limit = 130;
    old.oom_score_adj = 7;
    set(&old.cpuset_cpus, "0");
    kvs_set(&old.unified, "memory.high", "max");
    update.memory_limit = 200;
    update.oom_score_adj = 9;
    set(&update.cpuset_mems, "1");
    kvs_set(&update.unified, "memory.low", "0");

    autoresources *running = resources_merge(&old, &update, true);
    autoresources *created = resources_merge(&old, &update, false);

    assert_int_equal(running->r.cpu_quota, 5);
    assert_int_equal(running->r.memory_limit, 200);
    assert_int_equal(running->r.memory_swap_limit, 230); /* as much swap as before */
    assert_int_equal(running->r.oom_score_adj, 7);
    assert_int_equal(created->r.oom_score_adj, 9);
    assert_string_equal(running->r.cpuset_cpus, "0");
    assert_string_equal(running->r.cpuset_mems, "1");
    assert_int_equal(running->r.unified.n, 2);

    autoresources *change = resources_touched(&update, &running->r);

    assert_int_equal(change->r.cpu_quota, 0);
    assert_int_equal(change->r.memory_limit, 200);
    assert_int_equal(change->r.memory_swap_limit, 230);
    assert_string_equal(change->r.cpuset_cpus, "");
    assert_string_equal(change->r.cpuset_mems, "1");
    assert_int_equal(change->r.unified.n, 1);

    update.cpu_period = 20;
    autoresources *back = resources_touched(&update, &old);

    assert_int_equal(back->r.cpu_period, 10);
    assert_int_equal(back->r.memory_limit, 100);
    old.memory_limit = old.memory_swap_limit = old.cpu_quota = 0;
    autoresources *none = resources_touched(&update, &old);

    assert_int_equal(none->r.memory_limit, -1);
    assert_int_equal(none->r.memory_swap_limit, -1);
    assert_int_equal(none->r.cpu_quota, -1);

    autojson *json = resources_write(&running->r);
    autoresources *again = resources_parse(json, NULL);

    assert_true(resources_same(&again->r, &running->r));
    assert_false(resources_same(&again->r, &created->r));
    linux_resources_done(&old);
    linux_resources_done(&update);
}

static void sums(void **state)
{
    struct linux_resources overhead = plain(), of_all = plain();

    (void)state;
    overhead.memory_limit = 8;
    overhead.cpu_quota = 1000;
    overhead.cpu_period = 10000;
    overhead.cpu_shares = 3;
    autoresources *unlimited = resources_sum(&overhead, &of_all);

    assert_int_equal(unlimited->r.memory_limit, 0);
    assert_int_equal(unlimited->r.cpu_quota, 0);
    of_all.memory_limit = 100;
    of_all.cpu_quota = 50000;
    of_all.cpu_period = 100000;
    of_all.cpu_shares = 4;
    autoresources *sum = resources_sum(&overhead, &of_all);

    assert_int_equal(sum->r.memory_limit, 108);
    assert_int_equal(sum->r.memory_swap_limit, -1);
    assert_int_equal(sum->r.cpu_quota, 60000);
    assert_int_equal(sum->r.cpu_period, 100000);
    assert_int_equal(sum->r.cpu_shares, 7);
    of_all.memory_limit = INT64_MAX;
    autoresources *full = resources_sum(&overhead, &of_all);

    assert_int_equal(full->r.memory_limit, INT64_MAX);
    linux_resources_done(&overhead);
    linux_resources_done(&of_all);
}

static void touch(const char *dir, const char *name)
{
    autofree char *path = path_join(dir, name);
    struct err err = ERR_INIT;

    assert_ok(fs_write_file(AT_FDCWD, path, "-", 1, 0600, &err), err);
}

static void expect(const char *dir, const char *name, const char *text)
{
    autofree char *path = path_join(dir, name), *got = NULL;
    struct err err = ERR_INIT;

    assert_ok(fs_read_file(AT_FDCWD, path, 256, &got, NULL, &err), err);
    assert_string_equal(got, text);
    touch(dir, name);
}

static void version2(void **state)
{
    static const char *const files[] = {"memory.max", "memory.swap.max", "cpu.max",
                                        "cpu.weight", "memory.high",     "hugetlb.2MB.max",
                                        "pids.max",   "cpuset.cpus",     "cgroup.controllers"};
    const char *dir = *state;
    autofree char *mount = xasprintf("30 1 0:26 / %s rw - cgroup2 cgroup2 rw\n", dir);
    struct hugepage_limit *page = xcalloc(1, sizeof(*page));
    struct linux_resources r = plain();
    struct cgroups c;
    struct err err = ERR_INIT;

    for (size_t i = 0; i < ARRAY_SIZE(files); i++)
        touch(dir, files[i]);
    assert_ok(cgroups_scan(mount, &c, &err), err);
    assert_true(c.v2);
    r.memory_limit = 1000;
    r.cpu_quota = 50;
    r.cpu_period = 100;
    page->page_size = xstrdup("2MB");
    page->limit = 4096;
    r.hugepages = page;
    r.n_hugepages = 1;
    kvs_set(&r.unified, "memory.high", "900");
    assert_ok(cgroup_limit(&c, "", &r, 0, &err), err);
    expect(dir, "memory.max", "1000");
    expect(dir, "memory.swap.max", "0"); /* a memory limit alone: no swap */
    expect(dir, "cpu.max", "50 100");
    expect(dir, "cpu.weight", "-");
    expect(dir, "memory.high", "900");
    expect(dir, "hugetlb.2MB.max", "4096");
    expect(dir, "pids.max", "-");
    expect(dir, "cpuset.cpus", "-");
    r.memory_swap_limit = 1500;
    r.cpu_quota = -1;
    r.cpu_shares = 2;
    assert_ok(cgroup_limit(&c, "", &r, 0, &err), err);
    expect(dir, "memory.max", "1000");
    expect(dir, "memory.swap.max", "500");
    expect(dir, "cpu.max", "max 100");
    expect(dir, "cpu.weight", "1");
    r.memory_limit = r.memory_swap_limit = -1;
    assert_ok(cgroup_limit(&c, "", &r, 0, &err), err);
    expect(dir, "memory.max", "max");
    expect(dir, "memory.swap.max", "max");
    /* What a kubelet gave as swap survives a later change of the memory limit. */
    kvs_set(&r.unified, "memory.swap.max", "77");
    struct linux_resources update = plain();

    r.memory_swap_limit = 0;
    update.memory_limit = 2000;
    autoresources *merged = resources_merge(&r, &update, true);
    autoresources *change = resources_touched(&update, &merged->r);

    assert_ok(cgroup_limit(&c, "", &change->r, 0, &err), err);
    expect(dir, "memory.max", "2000");
    expect(dir, "memory.swap.max", "77");
    /* A cgroup without the file: named. */
    kvs_set(&r.unified, "memory.nothing", "1");
    assert_err(cgroup_limit(&c, "", &r, 0, &err), err, ERR_NOT_FOUND, "memory.nothing");
    linux_resources_done(&r);
    linux_resources_done(&update);
    cgroups_done(&c);
}

static void checks(void **state)
{
    struct cgroups one = {0}, two = {.v2 = true};
    struct linux_resources r = plain();
    struct err err = ERR_INIT;

    (void)state;
    assert_ok(resources_check(&one, &r, &err), err);
    r.memory_swap_limit = 5;
    assert_err(resources_check(&one, &r, &err), err, ERR_INVALID, "without memory_limit");
    r.memory_limit = 6;
    assert_err(resources_check(&one, &r, &err), err, ERR_INVALID, "below memory_limit");
    r.memory_swap_limit = -1;
    assert_ok(resources_check(&one, &r, &err), err);
    kvs_set(&r.unified, "memory.high", "1");
    assert_err(resources_check(&one, &r, &err), err, ERR_UNSUPPORTED, "version 1");
    assert_ok(resources_check(&two, &r, &err), err);
    for (int i = 0; i < 64; i++) {
        autofree char *key = xasprintf("memory.x%d", i);

        kvs_set(&r.unified, key, "1");
    }
    assert_err(resources_check(&two, &r, &err), err, ERR_INVALID, "more than");
    assert_false(resources_page_size("3MB"));
    assert_false(resources_page_size("99999999999999999999GB"));
    linux_resources_done(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(merging), cmocka_unit_test(sums),
                                       in_dir(version2), cmocka_unit_test(checks)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
