/* SPDX-License-Identifier: Apache-2.0 */
/* The lines that Unikraft and Linux guests are given, and what cannot be told them. */
#include <unistd.h>

#include "base/strbuf.h"
#include "base/tests/testing.h"
#include "vmm/private.h"

#define S(...) ((char *[]){__VA_ARGS__, NULL})

static struct err err;

static const struct vmm_net net = {.ip = "10.1.2.3",
                                   .prefix = 16,
                                   .gateway = "10.1.0.1",
                                   .dns = S("fd00::1", "10.9.9.9"),
                                   .hostname = "pod"};

static int line(struct guest *guest, char **args, char **env, struct vmm_storage *storage,
                char **ret)
{
    struct vmm_spec spec = {.guest = guest,
                            .args = args,
                            .env = env,
                            .nets = &net,
                            .n_nets = 1,
                            .storage = storage,
                            .initrd_fd = storage && storage->root == VMM_ROOT_INITRD ? 9 : -1};
    autostrbuf out = STRBUF_INIT;
    autostrv char **words = NULL;

    if (family_arguments(&spec, &words, &err) < 0)
        return -1;
    for (char **w = words; *w; w++)
        strbuf_addf(&out, "%s%s", w == words ? "" : " ", *w);
    *ret = strbuf_detach(&out);
    return 0;
}

static void expect(struct guest *guest, char **args, char **env, struct vmm_storage *storage,
                   const char *wanted)
{
    autofree char *got = NULL;

    assert_ok(line(guest, args, env, storage, &got), err);
    assert_string_equal(got, wanted);
}

static void unikraft(void **state)
{
    struct guest g = {
        .family = (char[]){"unikraft"}, .version = (char[]){""}, .kernel = KERNEL_MULTIBOOT};
    struct vmm_storage initrd = {.root = VMM_ROOT_INITRD};
    autofree char *got = NULL;

    (void)state;
    expect(&g, S("a b", "c\"\\", "it's", "'\"\\"), S("K=v w"), &initrd,
           "netdev.ip=10.1.2.3/16:10.1.0.1:10.9.9.9::pod env.vars=[ 'K=v w' ] "
           "vfs.fstab=[ \"initrd0:/:extract::ramfs=1:\" ] -- 'a b' 'c\"\\' \"it's\" "
           "\"'\\\"\\\\\"");
    g.kernel = KERNEL_ELF64;
    g.version = (char[]){"0.16.0"};
    expect(&g, S("x"), S("K=v"), &initrd,
           "unikraft netdev.ipv4_addr=10.1.2.3 netdev.ipv4_gw_addr=10.1.0.1 "
           "netdev.ipv4_subnet_mask=255.255.0.0 vfs.rootfs=initrd -- x");
    g.version = (char[]){"0.16.1"};
    expect(&g, S("--"), NULL, NULL, "unikraft netdev.ip=10.1.2.3/16:10.1.0.1:10.9.9.9::pod -- --");
    assert_err(line(&g, S(""), NULL, NULL, &got), err, ERR_UNSUPPORTED, "argument ''");
    assert_err(line(&g, S("a\nb"), NULL, NULL, &got), err, ERR_UNSUPPORTED, "control characters");
    assert_err(line(&g, NULL, S("K=]"), NULL, &got), err, ERR_UNSUPPORTED, "end with ']'");
}

static void linux_guest(void **state)
{
    struct guest g = {.family = (char[]){"linux"}, .kernel = KERNEL_BZIMAGE};
    struct vmm_storage initrd = {.root = VMM_ROOT_INITRD};
    struct vmm_storage disk = {.root = VMM_ROOT_DISK, .disk_kind = "ext4", .root_readonly = true};
    autofree char *got = NULL;
    char *many[40] = {0};

    (void)state;
    expect(&g, S("/bin/app", "a b", "", "init=/x"), S("PATH=/bin", "K=v w"), &initrd,
           "console=ttyS0 panic=-1 ip=10.1.2.3::10.1.0.1:255.255.0.0:pod:eth0:off:10.9.9.9 "
           "PATH=/bin \"K=v w\" rdinit=/bin/app -- \"a b\" \"\" init=/x");
    expect(&g, S("/sbin/init"), NULL, &disk,
           "console=ttyS0 panic=-1 root=/dev/vda rootfstype=ext4 ro "
           "ip=10.1.2.3::10.1.0.1:255.255.0.0:pod:eth0:off:10.9.9.9 init=/sbin/init --");
    assert_err(line(&g, S("/a", "\""), NULL, NULL, &got), err, ERR_UNSUPPORTED, "argument '\"'");
    assert_err(line(&g, S("sh"), NULL, NULL, &got), err, ERR_INVALID, "is no absolute path");
    assert_err(line(&g, S("/a b"), NULL, NULL, &got), err, ERR_INVALID, "is no absolute path");
    assert_err(line(&g, NULL, S("init=/x"), NULL, &got), err, ERR_UNSUPPORTED, "'init=/x'");
    assert_err(line(&g, NULL, S("A.B=1"), NULL, &got), err, ERR_UNSUPPORTED, "'A.B=1'");
    for (size_t i = 0; i < 31; i++)
        many[i] = (char *)(uintptr_t) "K=v";
    assert_err(line(&g, NULL, many, NULL, &got), err, ERR_UNSUPPORTED, "30 variables");
}

/* What the line cannot hold goes into the initrd: the line says so, the files are there. */
static void linux_start(void **state)
{
    struct guest g = {.family = (char[]){"linux"}, .kernel = KERNEL_BZIMAGE};
    struct vmm_storage initrd = {.root = VMM_ROOT_INITRD}, disk = {.root = VMM_ROOT_BLOCK};
    struct vmm_spec spec = {.guest = &g, .initrd_fd = 9, .storage = &initrd};
    static const char by_file[] =
        "console=ttyS0 panic=-1 ip=10.1.2.3::10.1.0.1:255.255.0.0:pod:eth0:off:10.9.9.9 "
        "rdinit=/.unicri/init";
    static const char wanted[] = "/bin/app\0a/bin/app\0a\"x\"\0a\0ea.b=1\0eK=v\tw";
    struct vmm_tree files[VMM_START_FILES];
    autofree char *got = NULL;
    char *many[40] = {0}, text[256];
    size_t n = 1;

    (void)state;
    assert_ok(vmm_start_files(&spec, files, &n, &err), err);
    assert_int_equal(n, 0);
    expect(&g, S("/bin/app", "\"x\"", ""), S("a.b=1", "K=v\tw"), &initrd, by_file);
    for (size_t i = 0; i < 31; i++)
        many[i] = (char *)(uintptr_t) "K=v";
    expect(&g, NULL, many, &initrd, by_file);
    assert_err(line(&g, NULL, many, &disk, &got), err, ERR_UNSUPPORTED, "30 variables");
    assert_err(line(&g, S("sh"), NULL, &initrd, &got), err, ERR_INVALID, "is no absolute path");
    spec.args = S("/bin/app", "\"x\"", "");
    spec.env = S("a.b=1", "K=v\tw");
    assert_ok(vmm_start_files(&spec, files, &n, &err), err);
    assert_int_equal(n, VMM_START_FILES);
    assert_string_equal(files[0].path, "/.unicri/init");
    assert_int_equal(pread(files[0].fd, text, 4, 0), 4);
    assert_memory_equal(text, "\177ELF", 4);
    assert_string_equal(files[1].path, "/.unicri/start");
    assert_int_equal(pread(files[1].fd, text, sizeof(text), 0), sizeof(wanted));
    assert_memory_equal(text, wanted, sizeof(wanted));
    for (size_t i = 0; i < n; i++)
        (void)close_fd(files[i].fd);
}

/* A byte 0xa0 is a blank to the kernel: unquoted, what follows it would be an option. */
static void linux_blank(void **state)
{
    struct guest g = {.family = (char[]){"linux"}, .kernel = KERNEL_BZIMAGE};
    autofree char *got = NULL;

    (void)state;
    expect(&g, S("/a", "\xc3\xa0"), S("K=\xc3\xa0init=/x"), NULL,
           "console=ttyS0 panic=-1 ip=10.1.2.3::10.1.0.1:255.255.0.0:pod:eth0:off:10.9.9.9 "
           "\"K=\xc3\xa0init=/x\" init=/a -- \"\xc3\xa0\"");
    assert_err(line(&g, S("/\xc3\xa0"), NULL, NULL, &got), err, ERR_INVALID, "is no absolute path");
    assert_err(line(&g, S("/a\tquiet"), NULL, NULL, &got), err, ERR_UNSUPPORTED,
               "cannot be given control characters");
}

static void rumprun(void **state)
{
    struct guest g = {.family = (char[]){"rumprun"}, .kernel = KERNEL_SOLO5};
    autofree char *got = NULL;

    (void)state;
    expect(&g, S("a b", "c", ""), S("K=v w"), NULL,
           "{\"cmdline\":\"'a b' 'c' ''\",\"env\":\"K=v w\",\"net\":{\"if\":\"ukvmif0\","
           "\"cloner\":\"True\",\"type\":\"inet\",\"method\":\"static\",\"addr\":\"10.1.2.3\","
           "\"mask\":\"16\",\"gw\":\"10.1.0.1\"}}");
    assert_err(line(&g, S("it's"), NULL, NULL, &got), err, ERR_UNSUPPORTED, "a single quote in it");
    assert_err(line(&g, S("\\"), NULL, NULL, &got), err, ERR_UNSUPPORTED, "a backslash in it");
    assert_err(line(&g, S("a\nb"), NULL, NULL, &got), err, ERR_UNSUPPORTED, "argument 'a?b'");
    assert_err(line(&g, NULL, S("K=\",\"net\":1"), NULL, &got), err, ERR_UNSUPPORTED,
               "a double quote in it");
}

static void hermit(void **state)
{
    struct guest g = {.family = (char[]){"hermit"}, .kernel = KERNEL_MULTIBOOT};
    autofree char *got = NULL;

    (void)state;
    expect(&g, S("a b", "it's", "", "-ip"), S("K=v w"), NULL,
           "-ip 10.1.2.3 -mask 255.255.0.0 -gateway 10.1.0.1 env=HERMIT_DNS1=10.9.9.9 "
           "'env=K=v w' -- 'a b' 'it'\\''s' '' '-ip'");
    assert_err(line(&g, S("a\nb"), NULL, NULL, &got), err, ERR_UNSUPPORTED, "argument 'a?b'");
}

static void osv(void **state)
{
    struct guest g = {.family = (char[]){"osv"}, .kernel = KERNEL_PVH};
    struct vmm_storage block = {.root = VMM_ROOT_BLOCK}, share = {.root = VMM_ROOT_SHARE};
    autofree char *got = NULL;

    (void)state;
    expect(&g, S("/prog", "a b", "", "\"\\"), S("K=v w\\"), &block,
           "--power-off-on-abort --ip=eth0,10.1.2.3,255.255.0.0 --defaultgw=10.1.0.1 "
           "--nameserver=10.9.9.9 --env=K=v\\ w\\\\ /prog \"a b\" \"\" \"\\\"\\\\\"");
    expect(&g, S("--verbose", "a;b", "&!"), NULL, &share,
           "--power-off-on-abort --rootfs=virtiofs --ip=eth0,10.1.2.3,255.255.0.0 "
           "--defaultgw=10.1.0.1 --nameserver=10.9.9.9 \"--verbose\" \"a;b\" \"&!\"");
    assert_err(line(&g, NULL, NULL, NULL, &got), err, ERR_INVALID, "the program to run");
    assert_err(line(&g, S("/p", "$HOME"), NULL, NULL, &got), err, ERR_UNSUPPORTED,
               "argument '$HOME': OSv cannot be given a dollar sign");
    assert_err(line(&g, S("/p"), S("K=a\nb"), NULL, &got), err, ERR_UNSUPPORTED,
               "control characters");
}

/* Calico's: a network of one address, and a gateway outside of it. Where the link takes any, guests
 * that want their gateway near are told of a network with one; else only those run that can do. */
static void far_gateway(void **state)
{
    static const struct {
        const char *family, *far, *near; /* a word, or what the refusal says */
        bool refused;
    } cases[] = {
        {"linux", "ip=10.1.2.3::169.254.1.1:255.255.255.255::eth0:off",
         "ip=10.1.2.3::10.1.2.2:255.0.0.0::eth0:off", false},
        {"osv", "OSv finds no way", "--defaultgw=10.1.2.2", true},
        {"hermit", "Hermit finds no way", "-ip 10.1.2.3 -mask 255.0.0.0", true},
        {"mewz", "Mewz finds no way", "ip=10.1.2.3/8", true},
        {"rumprun", "Rumprun finds no way",
         "{\"cmdline\":\"\",\"net\":{\"if\":\"ukvmif0\",\"cloner\":\"True\",\"type\":\"inet\","
         "\"method\":\"static\",\"addr\":\"10.1.2.3\",\"mask\":\"8\",\"gw\":\"10.1.2.2\"}}",
         true},
        {"unikraft", "netdev.ip=10.1.2.3/32:169.254.1.1", "netdev.ip=10.1.2.3/32:169.254.1.1",
         false},
        {"mirage", "--ipv4-gateway=169.254.1.1", "--ipv4-gateway=169.254.1.1", false},
        {"nanos", "en1.gateway=169.254.1.1", "en1.gateway=169.254.1.1", false},
    };
    struct vmm_net far = {.ip = "10.1.2.3", .prefix = 32, .gateway = "169.254.1.1"};
    char *const program[] = {(char[]){"/p"}, NULL};
    char none[] = "";

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct guest g = {.family = xstrdup(cases[i].family), .n_devices = 1};
        struct vmm_spec spec = {.guest = &g, .nets = &far, .n_nets = 1, .initrd_fd = -1};
        autostrv char **words = NULL, **near = NULL;

        g.devices[0].type = GUEST_NET;
        g.version = none;
        g.cmdline = none;
        g.kernel = KERNEL_ELF64;
        if (str_eq(g.family, "osv"))
            spec.args = program;
        far.any_gateway = false;
        if (cases[i].refused) {
            assert_err(family_arguments(&spec, &words, &err), err, ERR_UNSUPPORTED, cases[i].far);
        } else {
            assert_ok(family_arguments(&spec, &words, &err), err);
            assert_true(strv_contains(words, cases[i].far));
            assert_int_equal(strv_contains(words, "URUNC_DEFROUTE=1"), i == 0);
        }
        far.any_gateway = true;
        assert_ok(family_arguments(&spec, &near, &err), err);
        assert_true(strv_contains(near, cases[i].near));
        assert_false(strv_contains(near, "URUNC_DEFROUTE=1"));
        free(g.family);
    }
}

/* The guest's own address is neither the first nor the last of the network that is made up, and the
 * gateway is neither of these nor its own. */
static void made_up_network(void **state)
{
    static const struct {
        const char *ip, *gateway;
        int prefix;
    } cases[] = {
        {"10.1.2.3", "10.1.2.2", 8},
        {"10.0.0.1", "10.0.0.3", 8},
        {"10.255.255.254", "10.255.255.252", 8},
        {"10.0.0.0", "10.0.0.1", 6},
        {"11.255.255.255", "11.255.255.254", 5},
        {"192.168.0.0", "192.168.0.1", 8},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct vmm_net far = {
            .ip = cases[i].ip, .prefix = 32, .gateway = "169.254.1.1", .any_gateway = true};
        struct vmm_spec spec = {.nets = &far, .n_nets = 1};
        struct family_ipv4 told;

        assert_ok(family_ipv4_of("it", &spec, &told, &err), err);
        assert_ok(family_gateway_near("it", &told, &err), err);
        assert_string_equal(told.gateway, cases[i].gateway);
        assert_int_equal(told.prefix, cases[i].prefix);
    }
}

static void far_gateway_of_rumprun(void **state)
{
    static const struct vmm_net far = {.ip = "10.1.2.3", .prefix = 32, .gateway = "169.254.1.1"};
    static const struct vmm_net far6 = {.ip6 = "fd00::3", .prefix6 = 128, .gateway6 = "fe80::1"};
    struct guest g = {.family = (char[]){"rumprun"}, .kernel = KERNEL_SOLO5};
    struct vmm_spec spec = {.guest = &g, .nets = &far, .n_nets = 1, .initrd_fd = -1};
    autostrv char **words = NULL, **none = NULL;

    (void)state;
    assert_err(family_arguments(&spec, &none, &err), err, ERR_UNSUPPORTED,
               "gateway '169.254.1.1': is not within 10.1.2.3/32, and Rumprun");
    spec.nets = &far6; /* a link-local gateway is within every link */
    assert_ok(family_arguments(&spec, &words, &err), err);
    assert_non_null(strstr(words[0], "\"gw\":\"fe80::1\""));
}

static void plain(void **state)
{
    struct guest g = {.family = (char[]){"includeos"}, .kernel = KERNEL_MULTIBOOT};
    struct vmm_storage none = {0}, initrd = {.root = VMM_ROOT_INITRD};
    autofree char *got = NULL;

    (void)state;
    expect(&g, S("a", "--b=c"), S("K=v"), &none, "a --b=c");
    assert_err(line(&g, S("a b"), NULL, &none, &got), err, ERR_UNSUPPORTED,
               "argument 'a b': IncludeOS cannot be given a blank");
    assert_err(line(&g, S("a"), NULL, &initrd, &got), err, ERR_UNSUPPORTED, "chainloader");
    g = (struct guest){.family = (char[]){"toro"}, .kernel = KERNEL_PVH};
    expect(&g, S("virtiovsocket", "noconsole"), NULL, NULL, "virtiovsocket noconsole");
    assert_err(line(&g, S("a,b"), NULL, NULL, &got), err, ERR_UNSUPPORTED, "a comma in it");
    assert_err(line(&g, S("virtio_mmio.device=1@2:3"), NULL, NULL, &got), err, ERR_UNSUPPORTED,
               "address of a device");
    g = (struct guest){.family = (char[]){"mewz"}, .kernel = KERNEL_MULTIBOOT};
    expect(&g, NULL, S("K=v"), NULL, "ip=10.1.2.3/16 gateway=10.1.0.1");
    assert_err(line(&g, S("ip=1.1.1.1/1"), NULL, NULL, &got), err, ERR_UNSUPPORTED,
               "argument 'ip=1.1.1.1/1': Mewz gives");
}

static void nanos(void **state)
{
    struct guest g = {.family = (char[]){"nanos"}, .kernel = KERNEL_PVH};
    struct vmm_storage block = {.root = VMM_ROOT_BLOCK};
    autofree char *got = NULL;

    (void)state;
    assert_err(line(&g, S("x"), NULL, &block, &got), err, ERR_UNSUPPORTED,
               "argument 'x': Nanos takes its arguments from the manifest of its disk");
    g.kernel = KERNEL_ELF64;
    expect(&g, S("/prog", "a=b.c"), S("K=v"), &block,
           "en1.ipaddr=10.1.2.3 en1.netmask=255.255.0.0 en1.gateway=10.1.0.1 environment.K=v "
           "arguments.0=/prog arguments.1=a=b.c");
    assert_err(line(&g, S("x"), S("A.B=v"), &block, &got), err, ERR_UNSUPPORTED, "with a dot");
}

static void not_told(void **state)
{
    const struct vmm_net dual = {.ip = "10.1.2.3",
                                 .prefix = 16,
                                 .ip6 = "fd00::3",
                                 .prefix6 = 64,
                                 .dns = S("10.9.9.9", "10.9.9.8"),
                                 .hostname = "pod"};
    static const struct {
        const char *family, *version;
        enum guest_kernel kernel;
        const char *words;
    } cases[] = {
        {"linux", "", KERNEL_BZIMAGE, "address fd00::3/64; working directory /srv; "},
        {"osv", "", KERNEL_PVH, "address fd00::3/64; host name pod; "},
        {"unikraft", "", KERNEL_MULTIBOOT, "address fd00::3/64; working directory /srv; "},
        {"unikraft", "0.15", KERNEL_MULTIBOOT,
         "environment: 4 variables (A, BB, C, ...); address fd00::3/64; name servers 10.9.9.9, "
         "10.9.9.8; host name pod; working directory /srv; "},
        {"rumprun", "", KERNEL_SOLO5,
         "address fd00::3/64; name servers 10.9.9.9, 10.9.9.8; host name pod; working directory "
         "/srv; "},
        {"nanos", "", KERNEL_PVH,
         "environment: 4 variables (A, BB, C, ...); address 10.1.2.3/16; address fd00::3/64; name "
         "servers 10.9.9.9, 10.9.9.8; host name pod; working directory /srv; "},
        /* without a network device of its own */
        {"mirage", "", KERNEL_SOLO5,
         "environment: 4 variables (A, BB, C, ...); address 10.1.2.3/16; address fd00::3/64; name "
         "servers 10.9.9.9, 10.9.9.8; host name pod; working directory /srv; "},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        autofree char *family = xstrdup(cases[i].family), *version = xstrdup(cases[i].version);
        struct guest g = {.family = family, .version = version, .kernel = cases[i].kernel};
        struct vmm_spec spec = {.guest = &g,
                                .env = S("A=1", "BB=2", "C=", "D=4"),
                                .nets = &dual,
                                .n_nets = 1,
                                .workdir = "/srv"};
        autostrv char **list = vmm_words_ignored(&spec);
        autostrbuf all = STRBUF_INIT;

        for (char **s = list; s && *s; s++)
            strbuf_addf(&all, "%s; ", *s);
        assert_string_equal(all.s, cases[i].words);
    }

    struct guest hermit_guest = {.family = (char[]){"hermit"}, .kernel = KERNEL_MULTIBOOT};
    struct vmm_spec all_told = {.guest = &hermit_guest,
                                .env = S("A=1"),
                                .nets = &(struct vmm_net){.ip = "10.1.2.3", .prefix = 16},
                                .n_nets = 1,
                                .workdir = "/"};

    assert_null(vmm_words_ignored(&all_told));
}

static void kernels_of_families(void **state)
{
    struct guest g = {
        .family = (char[]){"linux"}, .binary = (char[]){"/k"}, .kernel = KERNEL_SOLO5};

    (void)state;
    assert_err(family_fits(&g, &err), err, ERR_INVALID,
               "declares type 'linux', but its kernel '/k' is a Solo5 unikernel");
    g.kernel = KERNEL_BZIMAGE;
    assert_ok(family_fits(&g, &err), err);
}

static void ends(void **state)
{
    static const struct {
        const char *family;
        enum vmm_end end;
        int value, exit_code;
        const char *reason, *words;
    } cases[] = {
        {"generic", VMM_END_SHUTDOWN, -1, 0, "Completed", ""},
        {"generic", VMM_END_UNKNOWN, 7, 7, "Error", ""},
        {"generic", VMM_END_UNKNOWN, 0, 0, "Completed", ""},
        {"generic", VMM_END_RESET, -1, 1, "GuestReset", "reset"},
        {"linux", VMM_END_PANIC, -1, 1, "GuestPanicked", "panicked"},
        {"mirage", VMM_END_UNKNOWN, 41, 0, "Completed", "does not tell"},
        {"solo5", VMM_END_UNKNOWN, 40, 40, "Error", "without a meaning"},
        {"unikraft", VMM_END_SHUTDOWN, -1, 0, "Completed", "does not tell"},
        {"unikraft", VMM_END_UNKNOWN, 42, 1, "GuestCrashed", "crashed"},
        {"osv", VMM_END_SHUTDOWN, -1, 0, "Completed", "does not tell"},
        {"mewz", VMM_END_UNKNOWN, 7, 7, "Error", ""},
        {"nanos", VMM_END_UNKNOWN, 3, 3, "Error", ""},
        {"toro", VMM_END_RESET, -1, 0, "Completed", "does not tell"},
        {"hermit", VMM_END_UNKNOWN, 1, 0, "Completed", ""},
        {"hermit", VMM_END_UNKNOWN, 0, 1, "Error", "failure"},
        {"of another build", VMM_END_UNKNOWN, 3, 3, "Error", ""},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct vmm_verdict v = {-1, NULL, NULL};

        family_end(cases[i].family, cases[i].end, cases[i].value, &v);
        assert_int_equal(v.exit_code, cases[i].exit_code);
        assert_string_equal(v.reason, cases[i].reason);
        assert_non_null(strstr(v.message, cases[i].words));
        assert_int_equal(*cases[i].words == '\0', *v.message == '\0');
    }
    assert_int_equal(family_debug_port("hermit").base, 0xf4);
    assert_int_equal(family_debug_port("generic").base, 0x501);
    assert_int_equal(family_debug_port("of another build").bytes, 2);
}

static void names(void **state)
{
    struct guest g = {.family = (char[]){""}};

    (void)state;
    assert_string_equal(vmm_guest_family(&g), "generic");
    g.solo5 = true;
    assert_string_equal(vmm_guest_family(&g), "solo5");
    g.family = (char[]){"rumprun"};
    assert_string_equal(vmm_guest_family(&g), "rumprun");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unikraft),
        cmocka_unit_test(linux_guest),
        cmocka_unit_test(linux_blank),
        cmocka_unit_test(rumprun),
        cmocka_unit_test(hermit),
        cmocka_unit_test(osv),
        cmocka_unit_test(far_gateway),
        cmocka_unit_test(made_up_network),
        cmocka_unit_test(plain),
        cmocka_unit_test(nanos),
        cmocka_unit_test(kernels_of_families),
        cmocka_unit_test(ends),
        cmocka_unit_test(names),
        cmocka_unit_test(linux_start),
        cmocka_unit_test(not_told),
        cmocka_unit_test(far_gateway_of_rumprun),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
