/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * XMPP domains to addresses, with c-ares and a name server that says what a test wants. Names
 * are below .example, and so in nobody's /etc/hosts.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <apr_general.h>
#include <arpa/inet.h>

#include "names_int.h"

#include "../base/torture.h"
#include "dns.h"

#define PATIENCE BOSH_SEC(20)
#define LOCAL    "127.0.0.1"
#define OTHER    "127.0.0.2"

static dns_t dns, other_dns;
static apr_pool_t *pool;
static connector_t k;
static bosh_msec_t skew; /* the connector's clock is so far ahead */
static char conf[] = "/tmp/bosh-resolv-XXXXXX";

/* ---- the connector ---------------------------------------------------------------------- */

static void write_conf(const char *text)
{
    FILE *f = fopen(conf, "w");

    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

/* The name server knows these; the resolver waits for it so many ms at first. */
static void begin(const dns_rule_t *rules, int timeout_ms)
{
    names_source_t source = { .path = conf, .timeout_ms = timeout_ms };

    dns_start(&dns, LOCAL, 0, rules);
    source.port = dns.port;
    write_conf("nameserver " LOCAL "\nsearch wrong.example\n");
    skew = 0;
    memset(&k, 0, sizeof(k));
    apr_pool_create(&pool, NULL);
    k.pool = pool;
    k.now = bosh_now();
    assert_int_equal(apr_pollset_create(&k.pollset, 100, pool, APR_POLLSET_NOCOPY), 0);
    assert_int_equal(names_create(&k.names, &k, pool), 0);
    names_use_source(k.names, &source);
}

static void end(void)
{
    names_destroy(k.names);
    for (unsigned i = 0; i < MAX_SOCKETS; i++) {
        assert_int_equal(k.names->sockets[i].fd, ARES_SOCKET_BAD);
    }
    assert_null(k.names->questions);
    assert_null(k.names->services);
    apr_pool_destroy(pool);
    dns_stop(&dns);
}

static void turn(void)
{
    const apr_pollfd_t *fds;
    apr_int32_t n = 0;

    apr_pollset_poll(k.pollset, 10000, &n, &fds);
    k.now = bosh_now() + skew;
    for (apr_int32_t i = 0; i < n; i++) {
        watch_t *w = fds[i].client_data;

        w->ready(w, fds[i].rtnevents);
    }
    names_tick(k.names);
}

/* ---- answers ---------------------------------------------------------------------------- */

typedef struct result_t {
    unsigned calls, n;
    target_t list[MAX_ADDRESSES];
    const char *error;
    bool again; /* ask the same from within found() */
} result_t;

static void on_found(void *baton, const target_t *list, unsigned n, const char *error)
{
    result_t *r = baton;

    assert_true(n <= MAX_ADDRESSES);
    r->calls++;
    r->n = n;
    if (n > 0) {
        memcpy(r->list, list, n * sizeof(*list));
    }
    r->error = error;
    assert_true((n == 0) == (error != NULL));
    if (r->again) {
        r->again = false;
        names_find_service(k.names, "both.example", true, true, on_found, r);
    }
}

static void wait_calls(const result_t *r, unsigned calls)
{
    bosh_msec_t until = bosh_now() + PATIENCE;

    while (r->calls < calls && bosh_now() < until) {
        turn();
    }
    assert_int_equal(r->calls, calls);
}

static result_t find(const char *domain, bool direct, bool starttls)
{
    result_t r = { 0 };

    names_find_service(k.names, domain, direct, starttls, on_found, &r);
    wait_calls(&r, 1);
    return r;
}

static void check_target(const result_t *r, unsigned i, const char *address, uint16_t port,
                         bool direct)
{
    char text[INET6_ADDRSTRLEN];

    assert_true(i < r->n);
    inet_ntop(r->list[i].address.family, r->list[i].address.bytes, text, sizeof(text));
    assert_string_equal(text, address);
    assert_int_equal(r->list[i].address.port, port);
    assert_int_equal(r->list[i].direct, direct);
}

static void check_error(const result_t *r, const char *words)
{
    assert_int_equal(r->n, 0);
    if (!strstr(r->error, words)) {
        fail_msg("says \"%s\", not \"%s\"", r->error, words);
    }
}

/* ---- tests: SRV --------------------------------------------------------------------------- */

#define PLAIN(domain)  "_xmpp-client._tcp." domain
#define DIRECT(domain) "_xmpps-client._tcp." domain

static const dns_rule_t both[] = {
    { PLAIN("both.example"), DNS_SRV, 0, 0, { "20 0 5222 one.example", "5 0 5224 two.example" } },
    { DIRECT("both.example"), DNS_SRV, 0, 0, { "10 0 5223 one.example" } },
    { "one.example", DNS_A, 0, 0, { "192.0.2.1" } },
    { "two.example", DNS_A, 0, 0, { "192.0.2.2" } },
    { 0 },
};

static void both_services_are_one_set(void **state)
{
    result_t r;

    (void)state;
    begin(both, 0);
    r = find("both.example", true, true);
    assert_int_equal(r.n, 3);
    check_target(&r, 0, "192.0.2.2", 5224, false);
    check_target(&r, 1, "192.0.2.1", 5223, true);
    check_target(&r, 2, "192.0.2.1", 5222, false);
    assert_int_equal(dns_count(&dns, "one.example", DNS_A), 1); /* it is known by then */
    assert_int_equal(dns.asked, 2 + 2 * 2);
    end();
}

static void asks_only_for_what_is_wanted(void **state)
{
    result_t r;

    (void)state;
    begin(both, 0);
    r = find("both.example", false, true);
    assert_int_equal(r.n, 2);
    assert_int_equal(dns_count(&dns, DIRECT("both.example"), DNS_SRV), 0);
    r = find("both.example.", true, false);
    assert_int_equal(r.n, 1);
    check_target(&r, 0, "192.0.2.1", 5223, true);
    assert_int_equal(dns_count(&dns, PLAIN("both.example"), DNS_SRV), 1);
    r = find("one.example", true, false);
    check_error(&r, "_xmpps-client");
    assert_int_equal(dns_count(&dns, "one.example", DNS_A), 2); /* none for that */
    end();
}

static const dns_rule_t only_one[] = {
    { PLAIN("plain.example"), DNS_SRV, 0, 0, { "0 0 5222 one.example" } },
    { DIRECT("direct.example"), DNS_SRV, 0, 0, { "0 0 443 one.example" } },
    { "direct.example", DNS_A, 0, 0, { "192.0.2.9" } },
    { PLAIN("nodirect.example"), DNS_SRV, 0, 0, { "0 0 5222 one.example" } },
    { DIRECT("nodirect.example"), DNS_SRV, 0, 0, { "0 0 0 ." } },
    { "one.example", DNS_A, 0, 0, { "192.0.2.1" } },
    { 0 },
};

static void one_of_both_services_is_enough(void **state)
{
    result_t r;

    (void)state;
    begin(only_one, 0);
    r = find("plain.example", true, true);
    assert_int_equal(r.n, 1);
    check_target(&r, 0, "192.0.2.1", 5222, false);
    r = find("direct.example", true, true);
    assert_int_equal(r.n, 1);
    check_target(&r, 0, "192.0.2.1", 443, true);
    r = find("nodirect.example", true, true);
    assert_int_equal(r.n, 1);
    check_target(&r, 0, "192.0.2.1", 5222, false);
    end();
}

static const dns_rule_t none[] = {
    { "none.example", DNS_A, 0, 0, { "192.0.2.7" } },
    { "none.example", DNS_AAAA, 0, 0, { "2001:db8::7" } },
    { "text.example", DNS_CNAME + 11, 0, 0, { NULL } }, /* TXT */
    { "gone.example.wrong.example", DNS_A, 0, 0, { "192.0.2.66" } },
    { "short.wrong.example", DNS_A, 0, 0, { "192.0.2.66" } },
    { 0 },
};

static void without_srv_it_is_the_domains_own_address(void **state)
{
    result_t r;

    (void)state;
    begin(none, 0);
    r = find("none.example", true, true);
    assert_int_equal(r.n, 2);
    assert_int_not_equal(r.list[0].address.family, r.list[1].address.family);
    assert_int_equal(r.list[0].address.port, 5222);
    assert_int_equal(r.list[1].address.port, 5222);
    assert_false(r.list[0].direct || r.list[1].direct);
    end();
}

static void a_name_that_is_not_there_is_not_found_elsewhere(void **state)
{
    result_t r;

    (void)state;
    begin(none, 0);
    r = find("gone.example", true, true);
    check_error(&r, "not found");
    r = find("short", true, true);
    check_error(&r, "not found");
    r = find("text.example", true, true);
    check_error(&r, "neither SRV records nor an address");
    assert_null(strstr(dns.log, "wrong.example"));
    end();
}

static const dns_rule_t denied[] = {
    { PLAIN("no.example"), DNS_SRV, 0, 0, { "0 0 0 ." } },
    { DIRECT("no.example"), DNS_SRV, 0, 0, { "0 0 0 ." } },
    { "no.example", DNS_A, 0, 0, { "192.0.2.9" } },
    { DIRECT("half.example"), DNS_SRV, 0, 0, { "0 0 0 ." } },
    { "half.example", DNS_A, 0, 0, { "192.0.2.9" } },
    { PLAIN("bad.example"), DNS_SRV, 0, 0, { "0 0 0 one.example", "0 0 22 10.0.0.1" } },
    { "bad.example", DNS_A, 0, 0, { "192.0.2.9" } },
    { PLAIN("lost.example"), DNS_SRV, 0, 0, { "0 0 5222 gone.example" } },
    { "lost.example", DNS_A, 0, 0, { "192.0.2.9" } },
    { 0 },
};

static void whoever_has_srv_records_is_not_looked_for_elsewhere(void **state)
{
    result_t r;

    (void)state;
    begin(denied, 0);
    r = find("no.example", true, true);
    check_error(&r, "offers no XMPP service");
    r = find("no.example", false, true);
    check_error(&r, "offers no XMPP service");
    r = find("half.example", true, true);
    check_error(&r, "offers no XMPP service");
    r = find("bad.example", true, true);
    check_error(&r, "of no use");
    r = find("lost.example", true, true);
    check_error(&r, "hosts that have no address");
    assert_int_equal(dns_count(&dns, "no.example", DNS_A), 0);
    assert_int_equal(dns_count(&dns, "lost.example", DNS_A), 0);
    assert_int_equal(dns_count(&dns, "10.0.0.1", DNS_A), 0);
    end();
}

/* ---- tests: name servers that are not well --------------------------------------------- */

static const dns_rule_t failing[] = {
    { PLAIN("fail.example"), DNS_SRV, DNS_SERVFAIL, 0, { NULL } },
    { DIRECT("fail.example"), DNS_SRV, DNS_SERVFAIL, 0, { NULL } },
    { "fail.example", DNS_A, 0, 0, { "192.0.2.9" } },
    { PLAIN("refuse.example"), DNS_SRV, DNS_REFUSED, 0, { NULL } },
    { PLAIN("half.example"), DNS_SRV, 0, 0, { "0 0 5222 one.example" } },
    { DIRECT("half.example"), DNS_SRV, DNS_SERVFAIL, 0, { NULL } },
    { PLAIN("denied.example"), DNS_SRV, 0, 0, { "0 0 0 ." } },
    { DIRECT("denied.example"), DNS_SRV, DNS_SERVFAIL, 0, { NULL } },
    { PLAIN("nonsense.example"), DNS_SRV, DNS_NONSENSE, 0, { "0 0 5222 one.example" } },
    { PLAIN("broken.example"), DNS_SRV, 0, 0, { "0 0 5222 broken-host.example" } },
    { "broken-host.example", DNS_A, DNS_SERVFAIL, 0, { NULL } },
    { "broken-host.example", DNS_AAAA, DNS_SERVFAIL, 0, { NULL } },
    { "one.example", DNS_A, 0, 0, { "192.0.2.1" } },
    { 0 },
};

static void a_failure_is_not_taken_for_no_records(void **state)
{
    result_t r;

    (void)state;
    begin(failing, 0);
    r = find("fail.example", true, true);
    check_error(&r, "SERVFAIL");
    assert_int_equal(dns_count(&dns, "fail.example", DNS_A), 0);
    r = find("refuse.example", true, true);
    check_error(&r, "refuse");
    r = find("half.example", true, true);
    check_target(&r, 0, "192.0.2.1", 5222, false);
    r = find("denied.example", true, true);
    check_error(&r, "SERVFAIL");
    r = find("nonsense.example", false, true);
    check_error(&r, "cannot be understood");
    r = find("broken.example", false, true);
    check_error(&r, "SERVFAIL");
    end();
}

static const dns_rule_t silent[] = {
    { PLAIN("quiet.example"), DNS_SRV, DNS_SILENT, 0, { NULL } },
    { DIRECT("quiet.example"), DNS_SRV, DNS_SILENT, 0, { NULL } },
    { PLAIN("two.example"),
      DNS_SRV,
      0,
      0,
      { "1 0 5222 one.example", "2 0 5222 quiet-host.example" } },
    { "quiet-host.example", DNS_A, DNS_SILENT, 0, { NULL } },
    { "one.example", DNS_A, 0, 0, { "192.0.2.1" } },
    { "four.example", DNS_A, 0, 0, { "192.0.2.4" } },
    { "four.example", DNS_AAAA, DNS_SILENT, 0, { NULL } },
    { "six.example", DNS_A, DNS_SILENT, 0, { NULL } },
    { "six.example", DNS_AAAA, 0, 0, { "2001:db8::6" } },
    { 0 },
};

static void silence_is_told_from_absence(void **state)
{
    result_t r;

    (void)state;
    begin(silent, 50);
    r = find("quiet.example", true, true);
    check_error(&r, "give no answer");
    assert_int_equal(dns_count(&dns, PLAIN("quiet.example"), DNS_SRV), 2);
    end();
}

/* However long c-ares would go on: three servers, say. */
static void nobody_waits_for_silence_for_longer_than_eight_seconds(void **state)
{
    result_t r = { 0 };

    (void)state;
    begin(silent, 60000);
    names_find_service(k.names, "quiet.example", true, true, on_found, &r);
    skew = QUESTION_MS - BOSH_SEC(1);
    turn();
    assert_int_equal(r.calls, 0);
    skew = QUESTION_MS + 1;
    turn();
    turn();
    assert_int_equal(r.calls, 1);
    check_error(&r, "give no answer");
    assert_null(k.names->services);
    assert_non_null(k.names->questions); /* c-ares has not given up */
    end();
}

static void find_half(const char *domain, const char *address)
{
    result_t r = { 0 };

    begin(silent, 60000);
    names_find_service(k.names, domain, false, true, on_found, &r);
    for (bosh_msec_t until = bosh_now() + PATIENCE;
         dns_count(&dns, domain, DNS_A) + dns_count(&dns, domain, DNS_AAAA) < 2
         && bosh_now() < until;) {
        turn();
    }
    skew = FAMILIES_MS - BOSH_SEC(1);
    turn();
    assert_int_equal(r.calls, 0);
    skew = FAMILIES_MS;
    wait_calls(&r, 1);
    assert_int_equal(r.n, 1);
    check_target(&r, 0, address, 5222, false);
    skew = QUESTION_MS + 1;
    turn();
    assert_int_equal(r.calls, 1);
    end();
}

static void silence_about_one_family_does_not_hide_the_other(void **state)
{
    (void)state;
    find_half("four.example", "192.0.2.4");
    find_half("six.example", "2001:db8::6");
}

static void who_has_an_address_does_not_wait_for_all(void **state)
{
    result_t r = { 0 };
    bosh_msec_t until = bosh_now() + PATIENCE;

    (void)state;
    begin(silent, 60000);
    names_find_service(k.names, "two.example", false, true, on_found, &r);
    while (!strstr(dns.log, "quiet-host.example") && bosh_now() < until) {
        turn();
    }
    assert_int_equal(r.calls, 0);
    skew = BOSH_SEC(2);
    turn();
    turn();
    assert_int_equal(r.calls, 1);
    assert_int_equal(r.n, 1);
    check_target(&r, 0, "192.0.2.1", 5222, false);
    end();
}

static void without_any_name_server_there_are_words(void **state)
{
    result_t r;

    (void)state;
    begin(none, 50);
    write_conf("nameserver 127.9.9.9\n");
    r = find("none.example", true, true);
    check_error(&r, "cannot be reached");
    end();
}

/* ---- tests: answers --------------------------------------------------------------------- */

static const dns_rule_t aliases[] = {
    { PLAIN("alias.example"), DNS_CNAME, 0, 0, { PLAIN("hoster.example") } },
    { PLAIN("hoster.example"), DNS_SRV, 0, 0, { "0 0 5222 a.example" } },
    { "a.example", DNS_CNAME, 0, 0, { "b.example" } },
    { "b.example", DNS_CNAME, 0, 0, { "c.example" } },
    { "c.example", DNS_A, 0, 0, { "192.0.2.3" } },
    { "c.example", DNS_AAAA, 0, 0, { "2001:db8::3" } },
    { 0 },
};

static void aliases_are_followed(void **state)
{
    result_t r;

    (void)state;
    begin(aliases, 0);
    r = find("alias.example", true, true);
    assert_int_equal(r.n, 2);
    check_target(&r, r.list[0].address.family == AF_INET ? 0 : 1, "192.0.2.3", 5222, false);
    check_target(&r, r.list[0].address.family == AF_INET ? 1 : 0, "2001:db8::3", 5222, false);
    end();
}

static const dns_rule_t many[] = {
    { PLAIN("many.example"), DNS_SRV, 0, 500, { "7 0 5222 one.example" } },
    { DIRECT("many.example"), DNS_SRV, 0, 500, { "7 0 5223 two.example" } },
    { "one.example", DNS_A, 0, 0, { "192.0.2.1" } },
    { "two.example", DNS_A, 0, 300, { "192.0.2.2" } },
    { PLAIN("spread.example"), DNS_SRV, 0, 0, { "1 0 5222 wide.example", "2 0 5222 one.example" } },
    { PLAIN("wide.example"), DNS_SRV, 0, 0, { "1 0 5222 wide.example" } },
    { "wide.example",
      DNS_A,
      0,
      0,
      { "192.0.2.11", "192.0.2.12", "192.0.2.13", "192.0.2.14", "192.0.2.15", "192.0.2.16",
        "192.0.2.17", "192.0.2.18" } },
    { "wide.example",
      DNS_AAAA,
      0,
      0,
      { "2001:db8::1", "2001:db8::2", "2001:db8::3", "2001:db8::4", "2001:db8::5",
        "2001:db8::6" } },
    { 0 },
};

static void of_many_records_a_few_are_taken(void **state)
{
    result_t r;

    (void)state;
    begin(many, 0);
    r = find("many.example", true, true);
    assert_in_range(r.n, 5, MAX_ADDRESSES);
    assert_true(dns.asked_tcp >= 2);
    assert_true(dns_count(&dns, "one.example", DNS_A) <= 1);
    end();
}

static void families_alternate_and_no_target_has_all_places(void **state)
{
    result_t r;

    (void)state;
    begin(many, 0);
    r = find("wide.example", true, true);
    assert_int_equal(r.n, 8);
    for (unsigned i = 1; i < 8; i++) {
        assert_int_not_equal(r.list[i].address.family, r.list[i - 1].address.family);
    }
    r = find("spread.example", true, true);
    assert_int_equal(r.n, 5);
    assert_int_not_equal(r.list[2].address.family, r.list[3].address.family);
    check_target(&r, 4, "192.0.2.1", 5222, false);
    end();
}

static const dns_rule_t strange[] = {
    { PLAIN("tcp.example"), DNS_SRV, DNS_TRUNCATED, 0, { "0 0 5222 one.example" } },
    { PLAIN("forged.example"), DNS_SRV, DNS_WRONG_ID, 0, { "0 0 5222 one.example" } },
    { "one.example", DNS_A, DNS_WRONG_ID, 0, { "192.0.2.1" } },
    { 0 },
};

static void truncated_answers_are_asked_for_over_tcp(void **state)
{
    result_t r;

    (void)state;
    begin(strange, 0);
    r = find("tcp.example", true, true);
    check_target(&r, 0, "192.0.2.1", 5222, false);
    assert_int_equal(dns.asked_tcp, 1);
    end();
}

static void answers_with_another_id_are_not_heard(void **state)
{
    result_t r;

    (void)state;
    begin(strange, 0);
    r = find("forged.example", true, true);
    assert_int_equal(r.n, 1);
    check_target(&r, 0, "192.0.2.1", 5222, false);
    end();
}

/* ---- tests: names ----------------------------------------------------------------------- */

static void what_is_no_name_is_not_asked_for(void **state)
{
    static const char *const bad[] = { "",    ".",       "0",          "127.1",
                                       "a b", "a..b",    "2130706433", "user@example.org",
                                       "a/b", "a.b:5222" };
    char name[300];
    result_t r;

    (void)state;
    begin(none, 0);
    for (unsigned i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        r = find(bad[i], true, true);
        check_error(&r, "not a valid host name");
    }
    memset(name, 'a', sizeof(name));
    name[299] = '\0';
    r = find(name, true, true);
    check_error(&r, "not a valid host name");
    for (unsigned i = 49; i < 250; i += 50) {
        name[i] = '.';
    }
    name[252] = '\0'; /* a name, but not with _xmpp-client in front of it */
    r = find(name, true, true);
    check_error(&r, "not a valid host name");
    r = find("m\303\274nchen .example", true, true);
    check_error(&r, "not a valid host name");
    assert_int_equal(dns.asked, 0);
    end();
}

static const dns_rule_t other_letters[] = {
    { PLAIN("xn--mnchen-3ya.example"), DNS_SRV, 0, 0, { "0 0 5222 one.example" } },
    { "one.example", DNS_A, 0, 0, { "192.0.2.1" } },
    { 0 },
};

static void other_letters_are_asked_for_as_dns_writes_them(void **state)
{
    result_t r;

    (void)state;
    begin(other_letters, 0);
    r = find("m\303\274nchen.example", true, true);
    assert_int_equal(r.n, 1);
    check_target(&r, 0, "192.0.2.1", 5222, false);
    end();
}

static void addresses_are_not_asked_for(void **state)
{
    result_t r;

    (void)state;
    begin(none, 0);
    r = find("192.0.2.8", true, true);
    check_target(&r, 0, "192.0.2.8", 5222, false);
    r = find("2001:db8::8", true, true);
    check_target(&r, 0, "2001:db8::8", 5222, false);
    r = find("[2001:db8::8]", false, true);
    check_target(&r, 0, "2001:db8::8", 5222, false);
    r = find("192.0.2.8", true, false);
    check_error(&r, "no SRV records");
    assert_int_equal(dns.asked, 0);
    end();
}

static void on_addresses(void *baton, const address_t *list, unsigned n, const char *error)
{
    result_t *r = baton;

    r->calls++;
    r->n = n;
    for (unsigned i = 0; i < n; i++) {
        r->list[i].address = list[i];
    }
    r->error = error;
}

/* Of /etc/hosts, or because it is what it is. */
static void localhost_is_no_matter_for_name_servers(void **state)
{
    result_t r;

    (void)state;
    begin(none, 0);
    r = find("localhost", true, true);
    assert_true(r.n >= 1);
    assert_int_equal(r.list[0].address.port, 5222);
    assert_int_equal(dns_count(&dns, "localhost", DNS_A), 0);
    assert_int_equal(dns_count(&dns, "localhost", DNS_AAAA), 0);
    end();
}

/* Names that an administrator wrote may be short ones. */
static void names_of_the_configuration_are_searched_for(void **state)
{
    result_t r = { 0 };

    (void)state;
    begin(none, 0);
    names_find(k.names, "short", 5269, on_addresses, &r);
    wait_calls(&r, 1);
    assert_int_equal(r.n, 1);
    check_target(&r, 0, "192.0.2.66", 5269, false);
    names_find(k.names, "127.0.0.1", 5269, on_addresses, &r);
    assert_int_equal(r.calls, 2);
    check_target(&r, 0, "127.0.0.1", 5269, false);
    end();
}

/* ---- tests: askers that go, and a resolv.conf that changes -------------------------------- */

static void whoever_was_forgotten_is_not_told(void **state)
{
    result_t r[4] = { { 0 } };
    bosh_msec_t until = bosh_now() + PATIENCE;

    (void)state;
    begin(silent, 200);
    for (unsigned i = 0; i < 3; i++) {
        names_find_service(k.names, "two.example", true, true, on_found, &r[i]);
    }
    names_find(k.names, "one.example", 1, on_addresses, &r[3]);
    names_forget(k.names, &r[0]); /* while its SRV records are asked for */
    names_forget(k.names, &r[3]);
    while (!strstr(dns.log, "quiet-host.example") && bosh_now() < until) {
        turn();
    }
    names_forget(k.names, &r[1]); /* while its addresses are */
    wait_calls(&r[2], 1);
    while (k.names->questions && bosh_now() < until) {
        turn();
    }
    assert_int_equal(r[0].calls + r[1].calls + r[3].calls, 0);
    assert_int_equal(r[2].n, 1);
    assert_int_equal(dns_count(&dns, "one.example", DNS_A), 3); /* r[0] asks no more */
    end();
}

static void the_end_tells_nobody(void **state)
{
    result_t r[3] = { { 0 } };

    (void)state;
    begin(silent, 60000);
    names_find_service(k.names, "quiet.example", true, true, on_found, &r[0]);
    names_find_service(k.names, "two.example", false, true, on_found, &r[1]);
    names_find(k.names, "quiet-host.example", 1, on_addresses, &r[2]);
    for (unsigned i = 0; i < 20; i++) {
        turn();
    }
    end();
    assert_int_equal(r[0].calls + r[1].calls + r[2].calls, 0);
}

static void one_may_ask_from_within_an_answer(void **state)
{
    result_t r = { .again = true };

    (void)state;
    begin(both, 0);
    names_find_service(k.names, "gone.example", true, true, on_found, &r);
    wait_calls(&r, 2);
    assert_int_equal(r.n, 3);
    end();
}

/* c-ares takes some for a server that cannot be reached, and asks once more. */
static void look_up(void *baton, bool may_fail)
{
    result_t r = { 0 };
    bosh_msec_t until = bosh_now() + PATIENCE;

    (void)baton;
    names_find_service(k.names, "both.example", true, true, on_found, &r);
    while ((r.calls == 0 || k.names->questions) && bosh_now() < until) {
        turn();
    }
    channels_destroy(k.names); /* so that all is given back */
    assert_int_equal(r.calls, 1);
    assert_true(may_fail || r.n == 3);
    assert_null(k.names->services);
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    begin(both, 100);
    print_message("# each of %ld allocations failed\n", torture(look_up, NULL));
    end();
}

static const dns_rule_t moved[] = {
    { PLAIN("both.example"), DNS_SRV, 0, 0, { "0 0 5222 new.example" } },
    { "new.example", DNS_A, 0, 0, { "192.0.2.99" } },
    { 0 },
};

static unsigned channels(void)
{
    unsigned n = 0;

    for (const channel_t *c = k.names->channels; c; c = c->next) {
        n++;
    }
    return n;
}

static void another_resolv_conf_is_for_new_questions(void **state)
{
    result_t quiet = { 0 }, r;
    bosh_msec_t until = bosh_now() + PATIENCE;

    (void)state;
    begin(silent, 400);
    dns_start(&other_dns, OTHER, dns.port, moved);
    names_find_service(k.names, "quiet.example", true, true, on_found, &quiet);
    turn();
    write_conf("nameserver " OTHER "\n");
    r = find("both.example", true, true); /* looked at a moment ago */
    check_error(&r, "not found");
    assert_int_equal(other_dns.asked, 0);
    skew = BOSH_SEC(1);
    turn();
    r = find("both.example", true, true);
    check_target(&r, 0, "192.0.2.99", 5222, false);
    assert_int_equal(channels(), 2); /* the old one has a question still */
    assert_int_equal(quiet.calls, 0);
    wait_calls(&quiet, 1);
    check_error(&quiet, "give no answer");
    assert_null(strstr(other_dns.log, "quiet"));
    while (channels() > 1 && bosh_now() < until) {
        turn();
    }
    assert_int_equal(channels(), 1);
    assert_int_equal(unlink(conf), 0); /* none at all: what was known holds */
    skew += BOSH_SEC(1);
    turn();
    r = find("both.example", true, true);
    assert_int_equal(r.n, 1);
    dns_stop(&other_dns);
    end();
}

static int set_up(void **state)
{
    int fd = mkstemp(conf);

    (void)state;
    apr_initialize();
    return fd < 0 || close(fd) != 0;
}

static int tear_down(void **state)
{
    (void)state;
    unlink(conf);
    apr_terminate();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_services_are_one_set),
        cmocka_unit_test(asks_only_for_what_is_wanted),
        cmocka_unit_test(one_of_both_services_is_enough),
        cmocka_unit_test(without_srv_it_is_the_domains_own_address),
        cmocka_unit_test(a_name_that_is_not_there_is_not_found_elsewhere),
        cmocka_unit_test(whoever_has_srv_records_is_not_looked_for_elsewhere),
        cmocka_unit_test(a_failure_is_not_taken_for_no_records),
        cmocka_unit_test(silence_is_told_from_absence),
        cmocka_unit_test(nobody_waits_for_silence_for_longer_than_eight_seconds),
        cmocka_unit_test(silence_about_one_family_does_not_hide_the_other),
        cmocka_unit_test(who_has_an_address_does_not_wait_for_all),
        cmocka_unit_test(without_any_name_server_there_are_words),
        cmocka_unit_test(aliases_are_followed),
        cmocka_unit_test(of_many_records_a_few_are_taken),
        cmocka_unit_test(families_alternate_and_no_target_has_all_places),
        cmocka_unit_test(truncated_answers_are_asked_for_over_tcp),
        cmocka_unit_test(answers_with_another_id_are_not_heard),
        cmocka_unit_test(what_is_no_name_is_not_asked_for),
        cmocka_unit_test(other_letters_are_asked_for_as_dns_writes_them),
        cmocka_unit_test(addresses_are_not_asked_for),
        cmocka_unit_test(localhost_is_no_matter_for_name_servers),
        cmocka_unit_test(names_of_the_configuration_are_searched_for),
        cmocka_unit_test(whoever_was_forgotten_is_not_told),
        cmocka_unit_test(the_end_tells_nobody),
        cmocka_unit_test(one_may_ask_from_within_an_answer),
        cmocka_unit_test(another_resolv_conf_is_for_new_questions),
        cmocka_unit_test(every_allocation_may_fail),
    };

    return cmocka_run_group_tests_name("service", tests, set_up, tear_down);
}
