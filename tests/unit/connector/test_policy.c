/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* Which addresses a name may lead to: each range at its bounds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>

#include "policy.h"

static address_t address(const char *text)
{
    address_t a = { .family = strchr(text, ':') ? AF_INET6 : AF_INET };

    if (inet_pton(a.family, text, a.bytes) != 1) {
        fail_msg("%s is not an address", text);
    }
    return a;
}

static bosh_network_t network(const char *text)
{
    char host[64];
    const char *slash = strchr(text, '/');
    bosh_network_t n = { 0 };
    address_t a;

    snprintf(host, sizeof(host), "%.*s", (int)(slash - text), text);
    a = address(host);
    memcpy(n.bytes, a.bytes, 16);
    n.family = a.family == AF_INET ? 4 : 6;
    n.bits = (uint8_t)atoi(slash + 1);
    return n;
}

static void check(const char *text, bool is_public)
{
    address_t a = address(text);

    if (policy_is_public(&a) != is_public) {
        fail_msg("%s is%s taken for public", text, is_public ? " not" : "");
    }
}

typedef struct range_t {
    const char *before, *first, *last, *after; /* NULL: there is none, or it is not public either */
} range_t;

static void check_ranges(const range_t *r, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        check(r[i].first, false);
        check(r[i].last, false);
        if (r[i].before) {
            check(r[i].before, true);
        }
        if (r[i].after) {
            check(r[i].after, true);
        }
    }
}

static const range_t ranges4[] = {
    { NULL, "0.0.0.0", "0.255.255.255", "1.0.0.0" },
    { "9.255.255.255", "10.0.0.0", "10.255.255.255", "11.0.0.0" },
    { "100.63.255.255", "100.64.0.0", "100.127.255.255", "100.128.0.0" },
    { "126.255.255.255", "127.0.0.0", "127.255.255.255", "128.0.0.0" },
    { "169.253.255.255", "169.254.0.0", "169.254.255.255", "169.255.0.0" },
    { "172.15.255.255", "172.16.0.0", "172.31.255.255", "172.32.0.0" },
    { "191.255.255.255", "192.0.0.0", "192.0.0.255", "192.0.1.0" },
    { "192.0.1.255", "192.0.2.0", "192.0.2.255", "192.0.3.0" },
    { "192.88.98.255", "192.88.99.0", "192.88.99.255", "192.88.100.0" },
    { "192.167.255.255", "192.168.0.0", "192.168.255.255", "192.169.0.0" },
    { "198.17.255.255", "198.18.0.0", "198.19.255.255", "198.20.0.0" },
    { "198.51.99.255", "198.51.100.0", "198.51.100.255", "198.51.101.0" },
    { "203.0.112.255", "203.0.113.0", "203.0.113.255", "203.0.114.0" },
    { "223.255.255.255", "224.0.0.0", "239.255.255.255", NULL },
    { NULL, "240.0.0.0", "255.255.255.255", NULL },
};

static const range_t ranges6[] = {
    { NULL, "::", "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2000::" },
    { "2000:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2001::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff",
      "2001:200::" },
    { "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff",
      "2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db9::" },
    { "3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff",
      "3fff:1000::" },
    { "3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
      "4000::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", NULL },
    { NULL, "64:ff9b:1::", "64:ff9b:1:ffff:ffff:ffff:808:808", NULL },
    { NULL, "100::", "100::ffff:ffff:ffff:ffff", NULL },
    { NULL, "fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", NULL },
    { NULL, "fe80::1", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", NULL },
    { NULL, "fec0::", "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", NULL },
    { NULL, "ff00::", "ff02::1", NULL },
};

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

static void special_ipv4_is_not_public_from_its_first_to_its_last_address(void **state)
{
    (void)state;
    check_ranges(ranges4, COUNT(ranges4));
    check("8.8.8.8", true);
    check("185.199.108.153", true);
}

static void special_ipv6_is_not_public_from_its_first_to_its_last_address(void **state)
{
    (void)state;
    check_ranges(ranges6, COUNT(ranges6));
    check("::1", false);
    check("::8.8.8.8", false);                            /* IPv4-compatible */
    check("2001:0:4136:e378:8000:63bf:3fff:fdd2", false); /* Teredo */
    check("2606:4700::1111", true);
    check("2a00:1450:4001:80f::200e", true);
}

/* In ::ffff:0:0/96, 64:ff9b::/96 and 2002::/16. */
static void embedded_ipv4_is_judged_as_itself(void **state)
{
    (void)state;
    for (unsigned i = 0; i < COUNT(ranges4); i++) {
        const char *texts[] = { ranges4[i].before, ranges4[i].first, ranges4[i].last,
                                ranges4[i].after };

        for (unsigned t = 0; t < 4; t++) {
            address_t a4, a6 = { .family = AF_INET6 };

            if (!texts[t]) {
                continue;
            }
            a4 = address(texts[t]);
            memcpy(a6.bytes, (uint8_t[]){ [10] = 0xff, 0xff }, 12);
            memcpy(a6.bytes + 12, a4.bytes, 4);
            assert_int_equal(policy_is_public(&a6), policy_is_public(&a4));
            memcpy(a6.bytes, (uint8_t[12]){ 0x00, 0x64, 0xff, 0x9b }, 12);
            assert_int_equal(policy_is_public(&a6), policy_is_public(&a4));
            memcpy(a6.bytes, (uint8_t[16]){ 0x20, 0x02 }, 16);
            memcpy(a6.bytes + 2, a4.bytes, 4);
            assert_int_equal(policy_is_public(&a6), policy_is_public(&a4));
        }
    }
    check("::ffff:169.254.169.254", false);
    check("64:ff9b::10.0.0.1", false);
    check("64:ff9b::8.8.8.8", true);
    check("64:ff9b:0:0:0:1:808:808", false); /* outside of the /96 */
    check("2002:a00:1::8.8.8.8", false);
}

static void nothing_of_another_family_is_public(void **state)
{
    address_t a = address("8.8.8.8");

    (void)state;
    a.family = AF_UNIX;
    assert_false(policy_is_public(&a));
}

/* Of the addresses that stand for IPv4 ones none is: passwords must not go there in the clear on
 * the word of whoever translates them. */
static void loopback_is_what_the_kernel_keeps_to_itself(void **state)
{
    static const struct {
        const char *text;
        bool is_loopback;
    } rows[] = {
        { "127.0.0.0", true },
        { "127.255.255.255", true },
        { "126.255.255.255", false },
        { "128.0.0.0", false },
        { "0.0.0.0", false },
        { "::1", true },
        { "::", false },
        { "::2", false },
        { "7f00::1", false },
        { "::ffff:127.0.0.1", false },
        { "::127.0.0.1", false },
        { "64:ff9b::127.0.0.1", false },
        { "2002:7f00:1::", false },
        { "fe80::1", false },
    };

    (void)state;
    for (unsigned i = 0; i < COUNT(rows); i++) {
        address_t a = address(rows[i].text);

        if (policy_is_loopback(&a) != rows[i].is_loopback) {
            fail_msg("%s is%s taken for loopback", rows[i].text, rows[i].is_loopback ? " not" : "");
        }
    }
}

static void check_in(const char *net, const char *text, bool is_in)
{
    bosh_network_t n = network(net);
    address_t a = address(text);

    if (policy_is_in(&n, &a) != is_in) {
        fail_msg("%s is%s taken to be in %s", text, is_in ? " not" : "", net);
    }
}

static void networks_hold_what_is_within_their_bounds(void **state)
{
    (void)state;
    check_in("10.0.0.0/8", "10.0.0.0", true);
    check_in("10.0.0.0/8", "10.255.255.255", true);
    check_in("10.0.0.0/8", "11.0.0.0", false);
    check_in("10.0.0.0/8", "9.255.255.255", false);
    check_in("172.16.0.0/12", "172.31.255.255", true);
    check_in("172.16.0.0/12", "172.32.0.0", false);
    check_in("192.0.2.7/32", "192.0.2.7", true);
    check_in("192.0.2.7/32", "192.0.2.6", false);
    check_in("0.0.0.0/0", "192.0.2.6", true);
    check_in("fd00::/8", "fdff::1", true);
    check_in("fd00::/8", "fc00::1", false);
    check_in("2001:db8::/127", "2001:db8::1", true);
    check_in("2001:db8::/127", "2001:db8::2", false);
    check_in("2001:db8::1/128", "2001:db8::1", true);
    check_in("2001:db8::1/128", "2001:db8::", false);
}

static void networks_hold_addresses_of_their_own_family(void **state)
{
    (void)state;
    check_in("127.0.0.0/8", "7f00::", false);
    check_in("7f00::/8", "127.0.0.1", false);
    check_in("0.0.0.0/0", "::1", false);
    check_in("::/0", "127.0.0.1", false);
    check_in("::/0", "::1", true);
}

static void mapped_addresses_are_ipv4(void **state)
{
    (void)state;
    check_in("10.0.0.0/8", "::ffff:10.1.2.3", true);
    check_in("10.0.0.0/8", "::ffff:11.1.2.3", false);
    check_in("10.0.0.0/8", "::10.1.2.3", false);
    check_in("::/0", "::ffff:127.0.0.1", false);
    check_in("::ffff:10.0.0.0/104", "10.1.2.3", true);
    check_in("::ffff:10.0.0.0/104", "::ffff:10.1.2.3", true);
    check_in("::ffff:10.0.0.0/104", "11.1.2.3", false);
}

static void unused_and_impossible_networks_hold_nothing(void **state)
{
    bosh_network_t none = { 0 }, wide4 = network("10.0.0.0/8"), wide6 = network("fd00::/8");
    address_t a4 = address("10.0.0.1"), a6 = address("fd00::1"), zero = address("0.0.0.0");

    (void)state;
    wide4.bits = 33;
    wide6.bits = 129;
    assert_false(policy_is_in(&none, &zero));
    assert_false(policy_is_in(&none, &a4));
    assert_false(policy_is_in(&wide4, &a4));
    assert_false(policy_is_in(&wide6, &a6));
}

static void allowed_is_what_is_public_or_listed(void **state)
{
    bosh_network_t list[BOSH_MAX_NETWORKS] = { 0 };
    address_t in = address("10.1.2.3"), in6 = address("fd00::1"), out = address("192.168.0.1");
    address_t everybody = address("8.8.8.8");

    (void)state;
    assert_false(policy_is_allowed(list, &in));
    assert_true(policy_is_allowed(list, &everybody));
    list[0] = network("10.0.0.0/8");
    list[BOSH_MAX_NETWORKS - 1] = network("fd00::/8");
    assert_true(policy_is_allowed(list, &in));
    assert_true(policy_is_allowed(list, &in6));
    assert_false(policy_is_allowed(list, &out));
    assert_true(policy_is_allowed(list, &everybody));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(special_ipv4_is_not_public_from_its_first_to_its_last_address),
        cmocka_unit_test(special_ipv6_is_not_public_from_its_first_to_its_last_address),
        cmocka_unit_test(embedded_ipv4_is_judged_as_itself),
        cmocka_unit_test(nothing_of_another_family_is_public),
        cmocka_unit_test(loopback_is_what_the_kernel_keeps_to_itself),
        cmocka_unit_test(networks_hold_what_is_within_their_bounds),
        cmocka_unit_test(networks_hold_addresses_of_their_own_family),
        cmocka_unit_test(mapped_addresses_are_ipv4),
        cmocka_unit_test(unused_and_impossible_networks_hold_nothing),
        cmocka_unit_test(allowed_is_what_is_public_or_listed),
    };

    return cmocka_run_group_tests_name("policy", tests, NULL, NULL);
}
