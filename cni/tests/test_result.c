/* SPDX-License-Identifier: Apache-2.0 */
/* Results of all versions, and results that lie. */
#include "cni/tests/lab.h"

static void test_versions(void **state)
{
    struct cni_result r;

    (void)state;
    assert_ok(cni_result_parse("{\"cniVersion\":\"0.3.1\",\"interfaces\":[{\"name\":\"cni0\","
                               "\"mac\":\"00:11:22:33:44:55\"},{\"name\":\"eth0\","
                               "\"mac\":\"AA:bb:22:33:44:56\",\"sandbox\":\"/var/run/"
                               "x\"}],\"ips\":[{\"version\":\"4\",\"interface\":1,"
                               "\"address\":\"10.1.2.3/"
                               "24\",\"gateway\":\"10.1.2.1\"},{\"version\":\"6\",\"interface\":1,"
                               "\"address\":\"FD00::0:3/64\"},"
                               "{\"version\":\"4\",\"interface\":0,\"address\":\"10.9.9.9/"
                               "8\"}],\"routes\":[{\"dst\":\"0.0.0.0/0\"},"
                               "{\"dst\":\"10.0.0.0/8\",\"gw\":\"10.1.2.9\"}],\"dns\":{}}",
                               "eth0", &r, err));
    assert_int_equal(r.n_addresses, 2);
    assert_string_equal(r.addresses[0].ip, "10.1.2.3");
    assert_int_equal(r.addresses[0].prefix, 24);
    assert_int_equal(r.addresses[0].family, AF_INET);
    assert_string_equal(r.addresses[0].gateway, "10.1.2.1");
    assert_string_equal(r.addresses[1].ip, "fd00::3");
    assert_int_equal(r.addresses[1].family, AF_INET6);
    assert_string_equal(r.addresses[1].gateway, "");
    assert_int_equal(r.n_routes, 2);
    assert_string_equal(r.routes[0].dst, "0.0.0.0/0");
    assert_string_equal(r.routes[1].gateway, "10.1.2.9");
    assert_string_equal(r.mac, "aa:bb:22:33:44:56");
    assert_string_equal(r.ifname, "eth0");
    assert_int_equal(r.mtu, 0);

    assert_ok(cni_result_parse(
        "{\"cniVersion\":\"1.1.0\",\"interfaces\":[{\"name\":\"eth0\",\"mtu\":1400,\"sandbox\":\"/"
        "x\","
        "\"socketPath\":\"\"}],\"ips\":[{\"address\":\"fd00::3/128\",\"interface\":0}],"
        "\"routes\":[{\"dst\":\"::/0\",\"gw\":\"fe80::1\",\"mtu\":9000,\"table\":7}]}",
        "eth0", &r, err));
    assert_int_equal(r.mtu, 1400);
    assert_int_equal(r.n_addresses, 1);
    assert_int_equal(r.addresses[0].family, AF_INET6);

    /* A host interface of the same name is not the pod's. No interfaces at all: what else could it
     * be. */
    assert_err(cni_result_parse(
                   "{\"interfaces\":[{\"name\":\"eth0\"},{\"name\":\"eth0\",\"sandbox\":\"/x\"}],"
                   "\"ips\":[{\"address\":\"10.0.0.1/8\",\"interface\":0}]}",
                   "eth0", &r, err),
               ERR_INVALID, "no address for interface 'eth0'");
    assert_ok(cni_result_parse("{\"ips\":[{\"address\":\"10.0.0.1/8\"}]}", "eth0", &r, err));
    assert_int_equal(r.n_addresses, 1);
}

static void refused(const char *json, const char *why)
{
    struct cni_result r = {.mtu = 77};

    assert_err(cni_result_parse(json, "eth0", &r, err), ERR_INVALID, why);
    assert_int_equal(r.mtu, 77);
}

#define IP(x) "{\"ips\":[{" x "}]}"

static void test_lies(void **state)
{
    autostrbuf many = STRBUF_INIT;

    (void)state;
    refused("", "CNI result");
    refused("[]", "not an object");
    refused("{}", "no address");
    refused("{\"ips\":[]}", "no address");
    refused("{\"ips\":{}}", "ips");
    refused("{\"ips\":[1]}", "ips[0]");
    refused(IP("\"address\":7"), "ips[0]");
    refused(IP("\"address\":\"10.0.0.1\""), "no prefix");
    refused(IP("\"address\":\"10.0.0.1/33\""), "ips[0]");
    refused(IP("\"address\":\"10.0.0.1/-1\""), "ips[0]");
    refused(IP("\"address\":\"10.0.0.256/8\""), "not an IP address");
    refused(IP("\"address\":\"fd00::1/129\""), "ips[0]");
    refused(IP("\"address\":\"10.0.0.1/8\",\"interface\":3"), "'interface' is 3 and there are 0");
    refused(IP("\"address\":\"10.0.0.1/8\",\"interface\":-7"), "'interface' is -7");
    refused(IP("\"address\":\"10.0.0.1/8\",\"gateway\":\"fd00::1\""), "another family");
    refused(IP("\"address\":\"10.0.0.1/8\",\"gateway\":\"x\""), "not an IP address");
    refused(IP("\"address\":\"10.0.0.1/8\",\"version\":\"6\""), "'version'");
    refused("{\"cniVersion\":\"7\",\"ips\":[{\"address\":\"10.0.0.1/8\"}]}", "cniVersion '7'");
    refused("{\"ips\":[{\"address\":\"10.0.0.1/8\"}],\"routes\":[{\"dst\":\"x\"}]}", "routes[0]");
    refused("{\"ips\":[{\"address\":\"10.0.0.1/8\"}],\"routes\":[{}]}", "routes[0]");
    refused("{\"interfaces\":[{\"name\":\"eth0\",\"sandbox\":\"x\",\"mac\":\"zz\"}]}", "MAC");
    refused("{\"interfaces\":[{\"name\":\"eth0\",\"sandbox\":\"x\",\"mtu\":65536}]}", "MTU");
    refused("{\"interfaces\":[{\"sandbox\":\"x\"}]}", "interfaces[0]");

    strbuf_adds(&many, "{\"ips\":[{\"address\":\"10.0.0.1/8\"}");
    for (int i = 0; i < 30000; i++)
        strbuf_adds(&many, ",{\"address\":\"10.0.0.1/8\"}");
    strbuf_adds(&many, "]}");
    refused(many.s, "more than 16 addresses");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_versions),
                                       cmocka_unit_test(test_lies)};

    return cmocka_run_group_tests_name("result", tests, NULL, NULL);
}
