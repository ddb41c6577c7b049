/* SPDX-License-Identifier: Apache-2.0 */
/* Symbols of honest and lying ELF files, backtraces of honest and hostile stacks, logs in pieces.
 */
#include <elf.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

#include "base/mem.h"
#include "base/strbuf.h"
#include "sandbox/debug/backtrace.h"
#include "sandbox/debug/logtext.h"
#include "sandbox/debug/runs.h"

/* cmocka.h wants these before it. */
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

struct file {
    Elf64_Ehdr eh;
    Elf64_Phdr ph;
    Elf64_Shdr sh[3];
    Elf64_Sym sym[5];
    char names[64];
};

static Elf64_Sym function(uint32_t name, uint64_t value, uint64_t size)
{
    return (Elf64_Sym){.st_name = name,
                       .st_value = value,
                       .st_size = size,
                       .st_info = ELF64_ST_INFO(STB_GLOBAL, STT_FUNC),
                       .st_shndx = 1};
}

static struct file make_file(void)
{
    struct file f = {
        .eh = {.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB},
               .e_phoff = offsetof(struct file, ph),
               .e_phentsize = sizeof(Elf64_Phdr),
               .e_phnum = 1,
               .e_shoff = offsetof(struct file, sh),
               .e_shentsize = sizeof(Elf64_Shdr),
               .e_shnum = 3},
        .ph = {.p_type = PT_LOAD, .p_flags = PF_R | PF_X, .p_vaddr = 0x1000, .p_memsz = 0x1000},
        .names = "\0first\0second\0no size\0in\tner\0",
    };

    f.sh[1] = (Elf64_Shdr){.sh_type = SHT_SYMTAB,
                           .sh_link = 2,
                           .sh_offset = offsetof(struct file, sym),
                           .sh_size = sizeof(f.sym),
                           .sh_entsize = sizeof(Elf64_Sym)};
    f.sh[2] = (Elf64_Shdr){.sh_type = SHT_STRTAB,
                           .sh_offset = offsetof(struct file, names),
                           .sh_size = sizeof(f.names)};
    f.sym[1] = function(1, 0x1000, 0x10);
    f.sym[2] = function(7, 0x1100, 0x100);
    f.sym[3] = function(14, 0x1300, 0);
    f.sym[4] = function(22, 0x1180, 0x10);
    return f;
}

static int store(const void *data, size_t len)
{
    int fd = memfd_create("kernel", MFD_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, data, len, 0), (ssize_t)len);
    return fd;
}

static void names_are_found(void **state)
{
    struct file f = make_file();
    autofd int fd = store(&f, sizeof(f));
    struct symbol v[] = {{.addr = 0x1000}, {.addr = 0x100f},    {.addr = 0x1010},
                         {.addr = 0x1150}, {.addr = 0x1185},    {.addr = 0x1350},
                         {.addr = 0xfff},  {.addr = UINT64_MAX}};
    struct code_ranges code;

    (void)state;
    assert_int_equal(symbols_find(fd, v, ARRAY_SIZE(v), NULL), 0);
    assert_true(v[0].found && v[1].found && str_eq(v[1].name, "first") && v[1].start == 0x1000);
    assert_false(v[2].found); /* behind a function that has a size */
    assert_string_equal(v[3].name, "second");
    assert_string_equal(v[4].name, "in?ner"); /* the nearest that covers it; made printable */
    assert_string_equal(v[5].name, "no?size");
    assert_false(v[6].found);
    assert_string_equal(v[7].name, "no?size");
    assert_int_equal(symbols_code(fd, &code, NULL), 0);
    assert_true(code_has(&code, 0x1000) && code_has(&code, 0x1fff) && !code_has(&code, 0x2000));
}

static void expect(struct file *f, int rc, const char *why)
{
    autofd int fd = store(f, sizeof(*f));
    struct symbol v[] = {{.addr = 0x1000}};
    struct err err = ERR_INIT;

    assert_int_equal(symbols_find(fd, v, 1, &err), rc);
    if (rc < 0)
        assert_non_null(strstr(err.msg, why));
    else
        assert_false(v[0].found);
    *f = make_file();
}

static void lies_are_refused(void **state)
{
    struct file f = make_file();

    (void)state;
    f.eh.e_ident[EI_CLASS] = ELFCLASS32;
    expect(&f, -1, "64 bits");
    f.eh.e_shnum = 60000;
    expect(&f, -1, "sections");
    f.eh.e_shoff = UINT64_MAX - 5;
    expect(&f, -1, "sections");
    f.eh.e_shentsize = 8;
    expect(&f, -1, "sections");
    f.sh[1].sh_link = 77;
    expect(&f, -1, "no table");
    f.sh[1].sh_entsize = 1;
    expect(&f, -1, "no table");
    f.sh[1].sh_size = UINT64_MAX;
    expect(&f, -1, "ends before");
    f.sh[1].sh_offset = INT64_MAX;
    expect(&f, -1, "nowhere");
    f.sh[1].sh_type = SHT_PROGBITS;
    expect(&f, -1, "no symbols");
    f.sym[1].st_name = 5000;
    expect(&f, 0, "");
    f.sh[2].sh_offset = UINT64_MAX - 2;
    expect(&f, 0, "");
    f.sh[2].sh_size = UINT64_MAX;
    f.sym[1].st_name = UINT32_MAX;
    expect(&f, 0, "");
}

/* ------------------------------------------------------------------- backtrace */

#define STACK 0x8000u

struct guest {
    unsigned char code[0x1000]; /* at 0x1000 */
    uint64_t stack[512];        /* at STACK */
};

static int read_guest(void *arg, uint64_t addr, void *buf, size_t len)
{
    const struct guest *g = arg;

    if (addr >= 0x1000 && addr <= 0x2000 && len <= 0x2000 - addr) {
        memcpy(buf, g->code + (addr - 0x1000), len);
        return 0;
    }
    if (addr >= STACK && addr <= STACK + sizeof(g->stack) &&
        len <= STACK + sizeof(g->stack) - addr) {
        memcpy(buf, (const char *)g->stack + (addr - STACK), len);
        return 0;
    }
    return -1;
}

static const struct code_ranges the_code = {.n = 1, .v = {{0x1000, 0x2000}}};

static void frames_are_followed(void **state)
{
    struct guest g = {.stack = {0}};
    struct backtrace_source s = {read_guest, &g, &the_code};
    struct backtrace b;

    (void)state;
    g.stack[2] = STACK + 64;
    g.stack[3] = 0x1200;
    g.stack[8] = 0; /* the end */
    g.stack[9] = 0x1300;
    backtrace_make(&s, 0x1100, STACK, STACK + 16, &b);
    assert_int_equal(b.n, 3);
    assert_true(b.addr[0] == 0x1100 && b.addr[1] == 0x1200 && b.addr[2] == 0x1300 && !b.guessed);
}

static void loops_and_nonsense_end(void **state)
{
    struct guest g = {.stack = {0}};
    struct backtrace_source s = {read_guest, &g, &the_code};
    struct backtrace b;

    (void)state;
    g.stack[2] = STACK + 16; /* its own frame */
    g.stack[3] = 0x1200;
    backtrace_make(&s, 0x1100, STACK, STACK + 16, &b);
    assert_int_equal(b.n, 2);
    for (size_t i = 0; i + 1 < ARRAY_SIZE(g.stack); i += 2) { /* as many frames as fit */
        g.stack[i] = STACK + (i + 2) * 8;
        g.stack[i + 1] = 0x1200;
    }
    backtrace_make(&s, 0x1100, STACK, STACK, &b);
    assert_int_equal(b.n, BACKTRACE_FRAMES_MAX);
    backtrace_make(&s, 0x1100, UINT64_MAX - 7, UINT64_MAX - 7, &b);
    assert_int_equal(b.n, 1);
    backtrace_make(&s, 0x1100, UINT64_MAX, 3, &b);
    assert_int_equal(b.n, 1);
}

static void guesses_are_marked(void **state)
{
    struct guest g = {.stack = {0}};
    struct backtrace_source s = {read_guest, &g, &the_code};
    struct backtrace b;

    (void)state;
    g.code[0x200 - 5] = 0xe8;                           /* call rel32 */
    g.code[0x300 - 2] = 0xff, g.code[0x300 - 1] = 0xd0; /* call *%rax */
    g.stack[1] = 0x1400;                                /* code, but nothing has called there */
    g.stack[5] = 0x1200;
    g.stack[500] = 0x1300; /* near the end: shorter pieces */
    backtrace_make(&s, 0x1100, STACK + 1, 0, &b);
    assert_true(b.guessed);
    assert_int_equal(b.n, 3);
    assert_true(b.addr[1] == 0x1200 && b.addr[2] == 0x1300);
}

/* ------------------------------------------------------------------------- log */

static void logs_become_text(void **state)
{
    static const char log[] = "2026-01-01T00:00:00Z stdout F one two\n"
                              "2026-01-01T00:00:00Z stdout P cut \n"
                              "2026-01-01T00:00:00Z stderr F here\n"
                              "2026-01-01T00:00:00Z stdout F \n";

    (void)state;
    for (size_t piece = 1; piece < sizeof(log); piece++) {
        struct logtext t = {0};
        char out[sizeof(log)];
        size_t n = 0;

        for (size_t at = 0; at < sizeof(log) - 1; at += piece) {
            size_t len = sizeof(log) - 1 - at < piece ? sizeof(log) - 1 - at : piece;

            n += logtext_feed(&t, log + at, len, out + n);
        }
        assert_int_equal(n, strlen("one two\ncut here\n\n"));
        assert_memory_equal(out, "one two\ncut here\n\n", n);
    }
}

static void a_late_begin_skips_a_line(void **state)
{
    static const char log[] = "d F half a line\n2026-01-01T00:00:00Z stdout F whole\n";
    struct logtext t = {.skipping = true};
    char out[sizeof(log)];
    size_t n = logtext_feed(&t, log, sizeof(log) - 1, out);

    (void)state;
    assert_int_equal(n, 6);
    assert_memory_equal(out, "whole\n", 6);
}

/* ------------------------------------------------------------------------ runs */

static void runs_are_bounded(void **state)
{
    static struct runs r = RUNS_INIT;
    uint64_t last = 0, whole = 0;

    (void)state;
    for (uint64_t i = 0; i < 100000; i++) {
        uint64_t at = i * (RUNS_GAP * 3);

        runs_add(&r, at, at + 4096);
        runs_add(&r, at + 4096, at + 4096); /* nothing */
        last = at;
    }
    assert_true(r.n <= RUNS_MAX && r.v[0].begin == 0 && r.v[r.n - 1].end == last + 4096);
    for (size_t i = 0; i < r.n; i++) {
        assert_true(r.v[i].begin < r.v[i].end && (i == 0 || r.v[i - 1].end < r.v[i].begin));
        whole += r.v[i].end - r.v[i].begin;
    }
    assert_true(runs_bytes(&r) == whole);
}

static void small_gaps_are_taken_in(void **state)
{
    struct runs r = RUNS_INIT;

    (void)state;
    runs_add(&r, 4096, 8192);
    runs_add(&r, 8192 + RUNS_GAP, 8192 + RUNS_GAP + 4096);
    assert_int_equal(r.n, 1);
    runs_add(&r, UINT64_MAX - 4096, UINT64_MAX);
    assert_int_equal(r.n, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_found),           cmocka_unit_test(lies_are_refused),
        cmocka_unit_test(frames_are_followed),       cmocka_unit_test(loops_and_nonsense_end),
        cmocka_unit_test(guesses_are_marked),        cmocka_unit_test(logs_become_text),
        cmocka_unit_test(a_late_begin_skips_a_line), cmocka_unit_test(runs_are_bounded),
        cmocka_unit_test(small_gaps_are_taken_in),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
