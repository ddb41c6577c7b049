/* SPDX-License-Identifier: Apache-2.0 */
/* Manifests that lie. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "vmm/tender/mft.h"
#include "vmm/tender/tests/guest_maker.h"

static struct made_guest g;
static struct manifest m;
static struct fault fault;

static int setup(void **state)
{
    (void)state;
    make_guest(&g, SOLO5_TARGET_SPT, 3, "", 0);
    return 0;
}

static int parse(size_t entries)
{
    return mft_parse(&g.mft.mft, sizeof(g.mft.mft) + entries * sizeof(g.mft.entry[0]), &m, &fault);
}

static void refused(const char *why)
{
    assert_int_equal(parse(3), -1);
    assert_int_equal(fault.status, STATUS_KERNEL);
    if (strstr(fault.msg, why) == NULL)
        fail_msg("'%s' is not in the message '%s'", why, fault.msg);
    setup(NULL);
}

static void test_sound(void **state)
{
    (void)state;
    g.mft.entry[1].u.raw[3] = 0xaa; /* private fields do not survive */
    g.mft.entry[1].b.fd = 1;
    g.mft.entry[1].name[50] = 'x';
    assert_int_equal(parse(3), 0);
    assert_int_equal(m.head.entries, 3);
    assert_int_equal(m.entry[1].u.raw[3], 0);
    assert_int_equal(m.entry[1].b.fd, 0);
    assert_int_equal(m.entry[1].name[50], 0);
    assert_int_equal(mft_find(&m, "dev1", SOLO5_MFT_NET), 1);
    assert_int_equal(mft_find(&m, "dev2", SOLO5_MFT_BLOCK), 2);
    assert_int_equal(mft_find(&m, "dev1", SOLO5_MFT_BLOCK), -1);
    assert_int_equal(mft_find(&m, "", SOLO5_MFT_RESERVED), 0);
    assert_int_equal(mft_size(&m), 8 + 3 * 104);
}

static void test_sizes(void **state)
{
    (void)state;
    assert_int_equal(mft_parse(&g.mft.mft, 7, &m, &fault), -1);
    assert_int_equal(parse(2), -1);
    assert_int_equal(parse(4), -1);
    assert_int_equal(mft_parse(&g.mft.mft, 8, &m, &fault), -1);
    g.mft.mft.entries = 0;
    refused("0 entries");
    g.mft.mft.entries = 1u << 31;
    refused("2147483648 entries");
    g.mft.mft.entries = UINT32_MAX;
    refused("entries");
    g.mft.mft.entries = 65;
    refused("65 entries");
    g.mft.mft.version = 2;
    refused("version 2");
}

static void test_entries(void **state)
{
    (void)state;
    g.mft.entry[0].type = SOLO5_MFT_NET;
    refused("not the reserved one");
    g.mft.entry[0].name[0] = 'x';
    refused("not the reserved one");
    g.mft.entry[1].type = SOLO5_MFT_RESERVED;
    refused("unknown device type");
    g.mft.entry[1].type = 77;
    refused("unknown device type 0x4d");
    g.mft.entry[2].attached = 1;
    refused("attached already");
    g.mft.entry[2].attached = 255;
    refused("attached already");
}

static void test_names(void **state)
{
    (void)state;
    memset(g.mft.entry[1].name, 'a', sizeof(g.mft.entry[1].name));
    refused("not terminated");
    memset(g.mft.entry[1].name, 0, sizeof(g.mft.entry[1].name));
    refused("letters and digits");
    memcpy(g.mft.entry[1].name, "a\nb", 4);
    refused("letters and digits");
    memcpy(g.mft.entry[1].name, "../x", 5);
    refused("letters and digits");
    memcpy(g.mft.entry[2].name, "dev1", 5);
    g.mft.entry[2].type = SOLO5_MFT_NET;
    refused("net device 'dev1' is declared twice");
    memcpy(g.mft.entry[2].name, "dev1", 5); /* another type: two different devices */
    assert_int_equal(parse(3), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_sound, setup),
        cmocka_unit_test_setup(test_sizes, setup),
        cmocka_unit_test_setup(test_entries, setup),
        cmocka_unit_test_setup(test_names, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
