/* SPDX-License-Identifier: Apache-2.0 */
/* What passes between a GDB and a VMM, and how long a VMM says that its core file becomes. */
#include "base/tests/testing.h"

#include <elf.h>

#include "base/strbuf.h"
#include "sandbox/debug/core_head.h"
#include "sandbox/debug/link.h"

static struct strbuf to_client_text, to_vmm_text;

static void to_client(void *arg, const char *data, size_t len)
{
    (void)arg;
    strbuf_add(&to_client_text, data, len);
}

static void to_vmm(void *arg, const char *data, size_t len)
{
    (void)arg;
    strbuf_add(&to_vmm_text, data, len);
}

static const struct link_ends ends = {.to_client = to_client, .to_vmm = to_vmm};
static struct link l;

static int setup(void **state)
{
    (void)state;
    to_client_text = to_vmm_text = (struct strbuf)STRBUF_INIT;
    link_init(&l, &ends, NULL);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    strbuf_done(&to_client_text);
    strbuf_done(&to_vmm_text);
    return 0;
}

static void expect(struct strbuf *got, const char *want)
{
    assert_int_equal(got->len, strlen(want));
    assert_memory_equal(got->len ? got->s : "", want, got->len);
    strbuf_clear(got);
}

static void client(const char *packet)
{
    char frame[PACKET_FRAME_MAX];

    link_client(&l, frame, packet_frame(packet, strlen(packet), frame));
}

static void vmm(const char *packet)
{
    char frame[PACKET_FRAME_MAX];

    link_vmm(&l, frame, packet_frame(packet, strlen(packet), frame));
}

static void passes(void **state)
{
    (void)state;
    client("m100,4");
    expect(&to_vmm_text, "$m100,4#5e");
    expect(&to_client_text, "+");
    link_vmm(&l, "+", 1);
    vmm("01020304");
    expect(&to_vmm_text, "+");
    expect(&to_client_text, "$01020304#8a");
    client("qSupported:multiprocess+;xmlRegisters=i386");
    expect(&to_vmm_text, "$qSupported#37");
    strbuf_clear(&to_client_text);
    vmm("PacketSize=1000;multiprocess+");
    assert_non_null(strstr(to_client_text.s, "PacketSize=1000;multiprocess-#"));
    assert_int_equal(l.state, LINK_STOPPED);
}

static void refuses(void **state)
{
    static const char *const bad[] = {"qRcmd,71",  "R00",        "!",           "F0",   "vRun;",
                                      "vAttach;1", "QNonStop:1", "X0,1:a",      "",     "qrcmd",
                                      "bc",        "i",          "vFile:open:", "vCont"};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        client(bad[i]);
        expect(&to_vmm_text, "");
        expect(&to_client_text, "+$#00");
    }
    assert_int_equal(l.state, LINK_STOPPED);
}

static void runs(void **state)
{
    (void)state;
    link_client(&l, "\x03", 1);
    expect(&to_vmm_text, "");
    client("vCont;c");
    assert_int_equal(l.state, LINK_RUNNING);
    strbuf_clear(&to_vmm_text);
    link_client(&l, "+\x03", 2);
    expect(&to_vmm_text, "\x03");
    vmm("O41");
    assert_int_equal(l.state, LINK_RUNNING);
    vmm("T02thread:01;");
    assert_int_equal(l.state, LINK_STOPPED);
    client("c");
    client("g"); /* to a guest that runs */
    assert_int_equal(l.state, LINK_OVER);
}

static void ends_well(void **state)
{
    (void)state;
    client("D;2");
    expect(&to_vmm_text, "$D;1#b0");
    vmm("OK");
    assert_int_equal(l.state, LINK_OVER);
    link_init(&l, &ends, NULL);
    strbuf_clear(&to_vmm_text);
    strbuf_clear(&to_client_text);
    client("vKill;1");
    expect(&to_vmm_text, "");
    expect(&to_client_text, "+$OK#9a");
    assert_int_equal(l.state, LINK_OVER);
    link_init(&l, &ends, NULL);
    client("k");
    expect(&to_vmm_text, "");
    assert_int_equal(l.state, LINK_OVER);
    link_init(&l, &ends, NULL);
    client("c");
    vmm("W00");
    assert_int_equal(l.state, LINK_OVER);
}

static void broken(void **state)
{
    autofree char *flood = xcalloc(1, PACKET_MAX + 2);

    (void)state;
    link_client(&l, "$g#00", 5);
    expect(&to_client_text, "-");
    link_client(&l, "$g#6x", 5);
    expect(&to_client_text, "-");
    link_client(&l, "$g\0#67", 6); /* more than it seems */
    expect(&to_client_text, "+$#00");
    expect(&to_vmm_text, "");
    link_vmm(&l, "$OK#00", 6);
    assert_int_equal(l.state, LINK_OVER);
    memset(flood, 'g', PACKET_MAX + 2);
    flood[0] = '$';
    link_init(&l, &ends, NULL);
    link_client(&l, flood, PACKET_MAX + 2);
    assert_int_equal(l.state, LINK_OVER);
    link_init(&l, &ends, NULL);
    link_vmm(&l, flood, PACKET_MAX + 2);
    assert_int_equal(l.state, LINK_OVER);
}

struct head {
    Elf64_Ehdr eh;
    Elf64_Phdr ph[2];
};
_Static_assert(sizeof(struct head) == sizeof(Elf64_Ehdr) + 2 * sizeof(Elf64_Phdr), "no padding");

static int bytes_of(const struct head *h, uint64_t *ret, struct err *err)
{
    unsigned char raw[sizeof(*h)];

    memcpy(raw, h, sizeof(raw));
    return core_head_bytes(raw, sizeof(raw), ret, err);
}

static void core_files(void **state)
{
    const struct head good = {
        .eh = {.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64},
               .e_type = ET_CORE,
               .e_phoff = sizeof(Elf64_Ehdr),
               .e_phentsize = sizeof(Elf64_Phdr),
               .e_phnum = 2},
        .ph = {{.p_offset = 4096, .p_filesz = 8192}, {.p_offset = 200, .p_filesz = 10}}};
    struct head h = good;
    struct err err = ERR_INIT;
    uint64_t bytes = 0;

    (void)state;
    assert_int_equal(bytes_of(&h, &bytes, &err), 0);
    assert_int_equal(bytes, 4096 + 8192);
    h.ph[1].p_filesz = UINT64_MAX;
    assert_int_equal(bytes_of(&h, &bytes, &err), -1);
    h = good;
    h.eh.e_phnum = 3;
    assert_int_equal(bytes_of(&h, &bytes, &err), -1);
    h = good;
    h.eh.e_phoff = UINT64_MAX - 8;
    assert_int_equal(bytes_of(&h, &bytes, &err), -1);
    h = good;
    h.eh.e_shnum = 1;
    h.eh.e_shentsize = sizeof(Elf64_Shdr);
    h.eh.e_shoff = sizeof(h) - 8;
    assert_int_equal(bytes_of(&h, &bytes, &err), -1);
    h = good;
    h.eh.e_type = ET_EXEC;
    assert_int_equal(bytes_of(&h, &bytes, &err), -1);
    assert_int_equal(core_head_bytes((const unsigned char *)"x", 1, &bytes, &err), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(passes, setup, teardown),
        cmocka_unit_test_setup_teardown(refuses, setup, teardown),
        cmocka_unit_test_setup_teardown(runs, setup, teardown),
        cmocka_unit_test_setup_teardown(ends_well, setup, teardown),
        cmocka_unit_test_setup_teardown(broken, setup, teardown),
        cmocka_unit_test(core_files),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
