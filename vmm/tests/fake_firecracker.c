/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake-firecracker - Firecracker 1.12 as its driver sees it: arguments as words of their own, a
 * configuration file whose objects have no unknown fields, and of the API what is used.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm/tests/fake_vmm.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const struct fake_member top[] = {
    {"machine-config", FAKE_OBJECT, false}, {"boot-source", FAKE_OBJECT, true},
    {"drives", FAKE_ARRAY, true},           {"network-interfaces", FAKE_ARRAY, false},
    {"balloon", FAKE_OBJECT, false},        {"vsock", FAKE_OBJECT, false},
    {"entropy", FAKE_OBJECT, false},        {"logger", FAKE_OBJECT, false},
    {"metrics", FAKE_OBJECT, false},        {"mmds-config", FAKE_OBJECT, false},
};
static const struct fake_member machine[] = {
    {"vcpu_count", FAKE_INTEGER, true},
    {"mem_size_mib", FAKE_INTEGER, true},
    {"smt", FAKE_BOOL, false},
    {"cpu_template", FAKE_STRING, false},
    {"track_dirty_pages", FAKE_BOOL, false},
    {"huge_pages", FAKE_STRING, false},
};
static const struct fake_member boot[] = {
    {"kernel_image_path", FAKE_STRING, true},
    {"initrd_path", FAKE_STRING, false},
    {"boot_args", FAKE_STRING, false},
};
static const struct fake_member drive[] = {
    {"drive_id", FAKE_STRING, true},      {"is_root_device", FAKE_BOOL, true},
    {"path_on_host", FAKE_STRING, false}, {"is_read_only", FAKE_BOOL, false},
    {"partuuid", FAKE_STRING, false},     {"cache_type", FAKE_STRING, false},
    {"io_engine", FAKE_STRING, false},    {"rate_limiter", FAKE_OBJECT, false},
    {"socket", FAKE_STRING, false},
};
static const struct fake_member net[] = {
    {"iface_id", FAKE_STRING, true},         {"host_dev_name", FAKE_STRING, true},
    {"guest_mac", FAKE_STRING, false},       {"rx_rate_limiter", FAKE_OBJECT, false},
    {"tx_rate_limiter", FAKE_OBJECT, false},
};
static const struct fake_member action[] = {{"action_type", FAKE_STRING, true}};

static const char *text(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

/* Refuses as the real one does: by status 152 and its words on stderr. */
static void check_machine(const json_t *m)
{
    json_int_t cpus = json_integer_value(json_object_get(m, "vcpu_count"));
    json_int_t mib = json_integer_value(json_object_get(m, "mem_size_mib"));

    fake_check_object("machine-config", m, machine, COUNT(machine));
    if (cpus < 1 || cpus > 32 || mib < 1) {
        (void)fprintf(stderr, "Error: the machine's configuration is invalid\n");
        exit(152);
    }
}

static void check_config(const json_t *config, struct fake *fake)
{
    const json_t *b = json_object_get(config, "boot-source"), *one;
    size_t i;

    fake_check_object("configuration", config, top, COUNT(top));
    check_machine(json_object_get(config, "machine-config"));
    fake_check_object("boot-source", b, boot, COUNT(boot));
    fake_open("kernel", text(b, "kernel_image_path"), false);
    if (text(b, "initrd_path"))
        fake_open("initrd", text(b, "initrd_path"), false);
    json_array_foreach (json_object_get(config, "drives"), i, one) {
        fake_check_object("drive", one, drive, COUNT(drive));
        fake_open("drive", text(one, "path_on_host"),
                  !json_is_true(json_object_get(one, "is_read_only")));
    }
    json_array_foreach (json_object_get(config, "network-interfaces"), i, one) {
        fake_check_object("network interface", one, net, COUNT(net));
        if (text(one, "guest_mac"))
            fake_mac(text(one, "guest_mac"));
        fake->mac = text(one, "guest_mac");
        fake->tap = fake_tap(text(one, "host_dev_name"));
    }
}

static struct fake_answer answer(const struct fake *fake, const struct fake_request *r)
{
    if (strcmp(r->method, "GET") == 0 && strcmp(r->path, "/") == 0 && !r->body)
        return (struct fake_answer){
            200, "{\"id\":\"x\",\"state\":\"Running\",\"vmm_version\":\"1.12.0\","
                 "\"app_name\":\"Firecracker\"}"};
    if (strcmp(r->method, "PUT") != 0 || strcmp(r->path, "/actions") != 0 || !r->body)
        fake_refuse(r->path, "no such request");
    fake_check_object("action", r->body, action, COUNT(action));
    if (strcmp(text(r->body, "action_type"), "SendCtrlAltDel") != 0)
        fake_refuse(text(r->body, "action_type"), "not after the start");
    if (!fake_role(fake, "spin")) {
        printf("going down\n");
        exit(0);
    }
    return (struct fake_answer){204, ""};
}

int main(int argc, char **argv)
{
    static const char *const options[] = {"--id", "--api-sock", "--config-file", "--level"};
    const char *values[COUNT(options)] = {NULL};
    json_error_t error;
    json_t *config;

    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        printf("Firecracker v1.12.0\n\n");
        return 0;
    }
    for (int i = 1; i < argc; i += 2) {
        size_t o = 0;

        while (o < COUNT(options) && strcmp(options[o], argv[i]) != 0)
            o++;
        if (o == COUNT(options) || i + 1 == argc || values[o]) {
            (void)fprintf(stderr, "Error: ParseArguments(UnexpectedArgument(\"%s\"))\n", argv[i]);
            return 153;
        }
        values[o] = argv[i + 1];
    }
    if (!values[1] || !values[2] || (values[0] && strlen(values[0]) > 64))
        fake_refuse("arguments", "incomplete");
    config = json_load_file(values[2], JSON_REJECT_DUPLICATES, &error);
    if (!config)
        fake_refuse(values[2], error.text);
    fake_kvm();

    struct fake fake = {.listener = fake_listen(values[1]), .answer = answer, .crash_status = 1};

    check_config(config, &fake);
    fake.line = text(json_object_get(config, "boot-source"), "boot_args");
    fake.line = fake.line ? fake.line : "";
    fake_run(&fake);
}
