/* SPDX-License-Identifier: Apache-2.0 */
/* Solo5 notes in kernels: what a good one says, and a list of lies. */
#include <stddef.h>

#include "base/tests/testing.h"
#include "vmm/vmm.h"

#include "kernel.h"

static struct err err;
static struct guest guest;

static int probe(const void *data, size_t len)
{
    autofd int fd = kernel_open(data, len);

    return guest_probe_kernel(&guest, fd, &err);
}

static void good(void **state)
{
    struct kernel k;

    (void)state;
    kernel_make(&k, SOLO5_TARGET_SPT);
    assert_ok(probe(&k, sizeof(k)), err);
    assert_true(guest.solo5);
    assert_string_equal(guest.solo5_target, "spt");
    assert_int_equal(guest.n_devices, 2);
    assert_string_equal(guest.devices[0].name, "service");
    assert_int_equal(guest.devices[0].type, GUEST_NET);
    assert_string_equal(guest.devices[1].name, "storage");
    assert_int_equal(guest.devices[1].type, GUEST_BLOCK);
    kernel_make(&k, SOLO5_TARGET_VIRTIO);
    k.mft.mft.entries = 1;
    k.eh.e_phnum = 3;
    k.ph[2] = (Elf64_Phdr){.p_type = PT_LOAD, .p_filesz = sizeof(k), .p_memsz = sizeof(k)};
    assert_ok(probe(&k, sizeof(k)), err);
    assert_string_equal(guest.solo5_target, "virtio");
    assert_int_equal(guest.n_devices, 0);
}

static void no_notes(void **state)
{
    struct kernel k;

    (void)state;
    kernel_make(&k, SOLO5_TARGET_SPT);
    memcpy(k.abi.owner, "Xen\0\0", 6);
    memcpy(k.mft.owner, "Xen\0\0", 6);
    assert_err(probe(&k, sizeof(k)), err, ERR_INVALID, "has nothing to load");
    assert_false(guest.solo5);
    kernel_make(&k, SOLO5_TARGET_SPT);
    k.eh.e_phnum = 0;
    assert_err(probe(&k, sizeof(k)), err, ERR_INVALID, "has nothing to load");
    assert_false(guest.solo5);
}

struct lie {
    const char *words;
    void (*tell)(struct kernel *k);
};
#define LIE(name, change)                                                                          \
    static void name(struct kernel *k)                                                             \
    {                                                                                              \
        change;                                                                                    \
    }
LIE(many_headers, k->eh.e_phnum = 65)
LIE(odd_headers, k->eh.e_phentsize = 55)
LIE(headers_beyond, k->eh.e_phoff = UINT64_MAX - 3)
LIE(headers_at_end, k->eh.e_phoff = sizeof(*k) - 8)
LIE(huge_segment, k->ph[0].p_filesz = 1 << 20)
LIE(segment_beyond, k->ph[1].p_offset = INT64_MAX - 2)
LIE(segment_at_end, k->ph[1].p_offset = sizeof(*k) - 8)
LIE(huge_name, k->abi.head.n_namesz = 0xffffffff)
LIE(huge_desc, k->abi.head.n_descsz = 0xfffffffe)
LIE(long_desc, k->abi.head.n_descsz = sizeof(k->abi.abi) + 4)
LIE(short_abi, k->abi.head.n_descsz = 8)
LIE(unknown_target, k->abi.abi.target = 77)
LIE(two_abis, k->ph[1] = k->ph[0])
LIE(no_abi, k->ph[0].p_type = PT_NULL)
LIE(no_manifest, k->ph[1].p_type = PT_NULL)
LIE(two_manifests, k->ph[0] = k->ph[1])
LIE(manifest_version, k->mft.mft.version = 2)
LIE(no_entries, k->mft.mft.entries = 0)
LIE(many_entries, k->mft.mft.entries = 5)
LIE(huge_entries, k->mft.mft.entries = 0xffffffff)
LIE(no_first, k->mft.entry[0].type = SOLO5_MFT_NET)
LIE(unknown_type, k->mft.entry[1].type = 9)
LIE(bad_name, memcpy(k->mft.entry[1].name, "a:b", 4))
LIE(empty_name, memset(k->mft.entry[1].name, 0, SOLO5_MFT_NAME_SIZE))
LIE(endless_name, memset(k->mft.entry[1].name, 'a', SOLO5_MFT_NAME_SIZE))
LIE(same_name, memcpy(k->mft.entry[2].name, "service", 8))
LIE(short_manifest, k->mft.head.n_descsz = 8)

static void lies(void **state)
{
    static const struct lie all[] = {
        {"65 program headers", many_headers},
        {"program headers of 55 bytes", odd_headers},
        {"the program headers lies beyond any file", headers_beyond},
        {"file ends within the program headers", headers_at_end},
        {"note segment of 1048576 bytes", huge_segment},
        {"a note segment lies beyond any file", segment_beyond},
        {"file ends within a note segment", segment_at_end},
        {"a note is longer than its segment", huge_name},
        {"a note is longer than its segment", huge_desc},
        {"a note is longer than its segment", long_desc},
        {"Solo5 ABI note has 8 bytes", short_abi},
        {"unknown Solo5 target 77", unknown_target},
        {"more than one Solo5 ABI note", two_abis},
        {"has a Solo5 manifest but no ABI note", no_abi},
        {"has a Solo5 ABI note but no manifest", no_manifest},
        {"more than one Solo5 manifest", two_manifests},
        {"Solo5 manifest has version 2", manifest_version},
        {"claims 0 entries", no_entries},
        {"claims 5 entries", many_entries},
        {"claims 4294967295 entries", huge_entries},
        {"lacks its first entry", no_first},
        {"device 'service' has unknown type 9", unknown_type},
        {"not 1 to 67 letters and digits", bad_name},
        {"not 1 to 67 letters and digits", empty_name},
        {"not 1 to 67 letters and digits", endless_name},
        {"device 'service' is there twice", same_name},
        {"Solo5 manifest is too short", short_manifest},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
        struct kernel k;

        kernel_make(&k, SOLO5_TARGET_SPT);
        all[i].tell(&k);
        assert_err(probe(&k, sizeof(k)), err, ERR_INVALID, all[i].words);
    }
}

/* Every file that is cut off is either refused or was not needed to the end. */
static void cut_off(void **state)
{
    struct kernel k;

    (void)state;
    kernel_make(&k, SOLO5_TARGET_SPT);
    for (size_t len = 0; len < offsetof(struct kernel, mft.entry[3]); len++)
        assert_err(probe(&k, len), err, ERR_INVALID,
                   len == 0        ? "is an empty file"
                   : len < SELFMAG ? "is no ELF file"
                                   : "file ends within");
    assert_err(guest_probe_kernel(&guest, -1, &err), err, ERR_INTERNAL, "read its head");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good),
        cmocka_unit_test(no_notes),
        cmocka_unit_test(lies),
        cmocka_unit_test(cut_off),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
