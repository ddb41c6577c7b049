/* SPDX-License-Identifier: Apache-2.0 */
/* The counters behind the metrics: files of both versions, whole, cut off and wrong. */
#include "sandbox/stats.h"

#include "base/fs.h"
#include "base/strbuf.h"
#include "base/tests/testing.h"

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

static uint64_t get(const struct usage_detail *d, enum usage_counter counter)
{
    if (!usage_known(d, counter))
        fail_msg("counter %d is unknown", (int)counter);
    return d->v[counter];
}

static void check_device(const struct usage_device *d, unsigned major, unsigned minor,
                         uint64_t read_bytes, uint64_t written_bytes, uint64_t reads,
                         uint64_t writes)
{
    assert_int_equal(d->major, major);
    assert_int_equal(d->minor, minor);
    assert_int_equal(d->read_bytes, read_bytes);
    assert_int_equal(d->written_bytes, written_bytes);
    assert_int_equal(d->reads, reads);
    assert_int_equal(d->writes, writes);
}

static void io(void **state)
{
    struct usage_detail d = {.known = 0};

    (void)state;
    cgroup_stat_io("253:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6\n"
                   "8:16 wios=9 rbytes=18446744073709551615\n" /* any order, any subset */
                   "7:1 \n7:2\n"                               /* nothing was done there yet */
                   "253:0 wbytes=7\n",
                   &d);
    assert_int_equal(d.n_devices, 3);
    check_device(&d.devices[0], 253, 0, 1, 7, 3, 4);
    check_device(&d.devices[1], 8, 16, UINT64_MAX, 0, 0, 9);
    check_device(&d.devices[2], 7, 1, 0, 0, 0, 0);
}

static void io_wrong(void **state)
{
    static const char *const wrong[] = {
        "",
        "\n\n\n",
        "garbage\n",
        ":0 rbytes=1\n",
        "8: rbytes=1\n",
        "8:x rbytes=1\n",
        "-8:0 rbytes=1\n",
        "8:-1 rbytes=1\n",
        "65536:0 rbytes=1\n",
        "8:4294967296 rbytes=1\n",
        "99999999999999999999:0 rbytes=1\n",
        "8:0x rbytes=1\n",
        "8 rbytes=1\n",
        "rbytes=1:2 wbytes=1\n",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        struct usage_detail d = {.known = 0};

        cgroup_stat_io(wrong[i], &d);
        cgroup_stat_blkio(wrong[i], true, &d);
        if (d.n_devices)
            fail_msg("'%s': %u:%u", wrong[i], d.devices[0].major, d.devices[0].minor);
    }

    struct usage_detail d = {.known = 0};

    /* values that are none leave what was known */
    cgroup_stat_io("8:0 rbytes=5 rios=6\n8:0 rbytes=-1 wbytes= rios=7x wios=1.5\n", &d);
    check_device(&d.devices[0], 8, 0, 5, 0, 6, 0);
    /* keys end where they end, blanks may repeat, the last line need not end */
    cgroup_stat_io("8:0  xrbytes=1   rbytes=8 rbytesx=9", &d);
    check_device(&d.devices[0], 8, 0, 8, 0, 6, 0);
}

static void more_devices_than_fit(void **state)
{
    struct usage_detail d = {.known = 0};
    autostrbuf text = STRBUF_INIT;

    (void)state;
    for (unsigned i = 0; i < 4 * USAGE_DEVICES_MAX; i++)
        strbuf_addf(&text, "8:%u rbytes=%u\n", i, i + 1);
    strbuf_adds(&text, "8:0 wbytes=3\n"); /* one that is known already still counts */
    cgroup_stat_io(text.s, &d);
    assert_int_equal(d.n_devices, USAGE_DEVICES_MAX);
    for (unsigned i = 0; i < USAGE_DEVICES_MAX; i++)
        check_device(&d.devices[i], 8, i, i + 1, i ? 0 : 3, 0, 0);
}

static void blkio(void **state)
{
    struct usage_detail d = {.known = 0};

    (void)state;
    cgroup_stat_blkio("254:0 Read 4096\n254:0 Write 8192\n254:0 Sync 1\n254:0 Async 2\n"
                      "254:0 Discard 0\n254:0 Total 12288\nTotal 12288\n",
                      true, &d);
    cgroup_stat_blkio("254:0 Read 1\n254:0 Write 2\n254:0 Total 3\n254:16 Write 5\nTotal 8", false,
                      &d);
    cgroup_stat_blkio("254:0 Read \n254:0 Write x\n254:0 Read -3\n", true, &d);
    assert_int_equal(d.n_devices, 2);
    check_device(&d.devices[0], 254, 0, 4096, 8192, 1, 2);
    check_device(&d.devices[1], 254, 16, 0, 0, 0, 5);
}

static void version_2(void **state)
{
    const char *dir = *state;
    autofree char *cg = make_dir(dir, "pod/ctr");
    autofree char *mounts = xasprintf("30 1 0:26 / %s rw - cgroup2 cgroup2 rw\n", dir);
    struct usage_detail d = {.known = 1, .n_devices = 3};
    struct cgroups c;
    struct err err = ERR_INIT;

    put(dir, "cgroup.controllers", "cpuset cpu io memory hugetlb pids\n");
    assert_ok(cgroups_scan(mounts, &c, &err), err);
    cgroup_detail_read(&c, "/pod/gone", &d);
    assert_true(d.known == 0 && d.n_devices == 0 && d.n_pages == 0);

    put(cg, "cpu.stat",
        "usage_usec 9\nuser_usec 5\nsystem_usec 18446744073709551615\nnr_periods 3\n"
        "nr_throttled 2\nthrottled_usec 7\nnr_bursts 1\nburst_usec 4\n");
    put(cg, "memory.stat",
        "anon 1\nfile 2\nkernel 3\nfile_mapped 4\nfile_dirty 5\nanon_thp 6\npgscan 7\n");
    put(cg, "memory.events", "low 0\nhigh 11\nmax 12\noom 1\noom_kill 13\n");
    put(cg, "memory.peak", "99\n");
    put(cg, "pids.current", "4\n");
    put(cg, "pids.max", "max\n");
    put(cg, "io.stat", "8:0 rbytes=1 wbytes=2 rios=3 wios=4\n");
    put(cg, "hugetlb.2MB.current", "2097152\n");
    put(cg, "hugetlb.1GB.current", "garbage\n");
    cgroup_detail_read(&c, "/pod/ctr", &d);
    assert_int_equal(get(&d, USAGE_CPU_USER), 5000);
    assert_true(get(&d, USAGE_CPU_SYSTEM) == UINT64_MAX); /* more nanoseconds than there are */
    assert_int_equal(get(&d, USAGE_CFS_PERIODS), 3);
    assert_int_equal(get(&d, USAGE_CFS_THROTTLED_PERIODS), 2);
    assert_int_equal(get(&d, USAGE_CFS_THROTTLED), 7000);
    assert_int_equal(get(&d, USAGE_CFS_BURST), 4000);
    assert_int_equal(get(&d, USAGE_MEMORY_CACHE), 2);
    assert_int_equal(get(&d, USAGE_MEMORY_KERNEL), 3);
    assert_int_equal(get(&d, USAGE_MEMORY_MAPPED), 4);
    assert_int_equal(get(&d, USAGE_MEMORY_DIRTY), 5);
    assert_int_equal(get(&d, USAGE_MEMORY_ANON_THP), 6);
    assert_int_equal(get(&d, USAGE_MEMORY_PGSCAN), 7);
    assert_int_equal(get(&d, USAGE_MEMORY_EVENTS_HIGH), 11);
    assert_int_equal(get(&d, USAGE_MEMORY_EVENTS_MAX), 12);
    assert_int_equal(get(&d, USAGE_MEMORY_FAILCNT), 12);
    assert_int_equal(get(&d, USAGE_MEMORY_OOM_KILLS), 13);
    assert_int_equal(get(&d, USAGE_MEMORY_MAX), 99);
    assert_int_equal(get(&d, USAGE_THREADS), 4);
    assert_int_equal(get(&d, USAGE_THREADS_MAX), 0); /* no limit */
    assert_false(usage_known(&d, USAGE_MEMORY_OWN_FAULTS) ||
                 usage_known(&d, USAGE_MEMORY_WRITEBACK));
    assert_int_equal(d.n_devices, 1);
    check_device(&d.devices[0], 8, 0, 1, 2, 3, 4);
    assert_int_equal(d.n_pages, 1);
    assert_string_equal(d.pages[0].size, "2MB");
    assert_true(d.pages[0].used == 2097152 && !d.pages[0].max_known);
    cgroups_done(&c);
}

static void version_1(void **state)
{
    const char *dir = *state;
    autofree char *cpu = make_dir(dir, "cpu/pod"), *memory = make_dir(dir, "memory/pod");
    autofree char *pids = make_dir(dir, "pids/pod"), *block = make_dir(dir, "blkio/pod");
    autofree char *huge = make_dir(dir, "hugetlb/pod");
    autofree char *mounts = xasprintf("30 1 0:26 / %s/cpu rw - cgroup cgroup rw,cpu,cpuacct\n"
                                      "31 1 0:27 / %s/memory rw - cgroup cgroup rw,memory\n"
                                      "32 1 0:28 / %s/pids rw - cgroup cgroup rw,pids\n"
                                      "33 1 0:29 / %s/blkio rw - cgroup cgroup rw,blkio\n"
                                      "34 1 0:30 / %s/hugetlb rw - cgroup cgroup rw,hugetlb\n",
                                      dir, dir, dir, dir, dir);
    struct usage_detail d;
    struct cgroups c;
    struct err err = ERR_INIT;

    assert_ok(cgroups_scan(mounts, &c, &err), err);
    assert_false(c.v2);
    put(cpu, "cpuacct.usage_user", "1\n");
    put(cpu, "cpuacct.usage_sys", "x\n");
    put(cpu, "cpu.stat", "nr_periods 3\nnr_throttled 2\nthrottled_time 7\n");
    put(memory, "memory.stat", "cache 9\npgfault 5\ntotal_cache 2\ntotal_dirty 4\n");
    put(memory, "memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n");
    put(memory, "memory.max_usage_in_bytes", "77\n");
    put(memory, "memory.failcnt", "6\n");
    put(memory, "memory.kmem.usage_in_bytes", "8\n");
    put(pids, "pids.current", "4\n");
    put(pids, "pids.max", "10\n");
    put(block, "blkio.throttle.io_service_bytes_recursive", "8:0 Read 1\n8:0 Write 2\nTotal 3\n");
    put(block, "blkio.throttle.io_serviced_recursive", "8:0 Read 3\n8:0 Write 4\nTotal 7\n");
    put(huge, "hugetlb.2MB.usage_in_bytes", "1\n");
    put(huge, "hugetlb.2MB.max_usage_in_bytes", "2\n");
    cgroup_detail_read(&c, "/pod", &d);
    assert_int_equal(get(&d, USAGE_CPU_USER), 1);
    assert_false(usage_known(&d, USAGE_CPU_SYSTEM));
    assert_int_equal(get(&d, USAGE_CFS_THROTTLED), 7);
    assert_int_equal(get(&d, USAGE_MEMORY_CACHE), 2);
    assert_int_equal(get(&d, USAGE_MEMORY_OWN_FAULTS), 5);
    assert_int_equal(get(&d, USAGE_MEMORY_DIRTY), 4);
    assert_int_equal(get(&d, USAGE_MEMORY_OOM_KILLS), 3);
    assert_int_equal(get(&d, USAGE_MEMORY_MAX), 77);
    assert_int_equal(get(&d, USAGE_MEMORY_FAILCNT), 6);
    assert_int_equal(get(&d, USAGE_MEMORY_KERNEL), 8);
    assert_int_equal(get(&d, USAGE_THREADS_MAX), 10);
    assert_int_equal(d.n_devices, 1);
    check_device(&d.devices[0], 8, 0, 1, 2, 3, 4);
    assert_int_equal(d.n_pages, 1);
    assert_true(d.pages[0].used == 1 && d.pages[0].max_known && d.pages[0].max == 2);
    cgroups_done(&c);
}

/* A number that is cut off at the end of the buffer is not taken for a smaller one. */
static void longer_than_the_buffer(void **state)
{
    const char *dir = *state;
    autofree char *cg = make_dir(dir, "c");
    autofree char *mounts = xasprintf("30 1 0:26 / %s rw - cgroup2 cgroup2 rw\n", dir);
    autostrbuf text = STRBUF_INIT;
    struct usage_detail d;
    struct cgroups c;
    struct err err = ERR_INIT;

    put(dir, "cgroup.controllers", "io\n");
    assert_ok(cgroups_scan(mounts, &c, &err), err);
    strbuf_adds(&text, "file 5\n");
    while (text.len < CGROUP_STAT_MAX_BYTES - 8)
        strbuf_adds(&text, "x");
    strbuf_adds(&text, "\nfile_mapped 123456789\n");
    memcpy(text.s + CGROUP_STAT_MAX_BYTES - 19, "\nfile_mapped 123456", 19);
    put(cg, "memory.stat", text.s);
    cgroup_detail_read(&c, "/c", &d);
    assert_int_equal(get(&d, USAGE_MEMORY_CACHE), 5);
    assert_false(usage_known(&d, USAGE_MEMORY_MAPPED));
    cgroups_done(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(io),
        cmocka_unit_test(io_wrong),
        cmocka_unit_test(more_devices_than_fit),
        cmocka_unit_test(blkio),
        in_dir(version_2),
        in_dir(version_1),
        in_dir(longer_than_the_buffer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
