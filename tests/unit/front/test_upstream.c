/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* The plan of a stream: what the connector is told, from the configuration and a request. */

#include <string.h>

#include <apr_general.h>
#include <apr_tables.h>

#include "../core/unit.h"

#include "front_int.h"

#define UNSAID (-1)

static apr_pool_t *pool;
static bosh_conf_t conf;
static apr_sockaddr_t client_addr = { .port = 40000 }, local_addr = { .port = 443 };
static conn_rec connection = { .client_addr = &client_addr, .local_addr = &local_addr };
static request_rec request = { .connection = &connection };
static char here[] = "192.0.2.1", link_local[] = "fe80::2%eth0", elsewhere[] = "2001:db8::1";
static bosh_str_t attr[BOSH_A_COUNT];
static bosh_upstream_t up;
static const char *why;

/* The configuration of these tests, in the place of merge.c. */
const bosh_conf_t *bosh_config(const server_rec *s)
{
    (void)s;
    return &conf;
}

static bosh_domain_t *add_domain(bosh_domain_t domain)
{
    bosh_domain_t *d = apr_array_push(conf.domains);

    *d = domain;
    return d;
}

static int set_up(void **state)
{
    (void)state;
    apr_initialize();
    apr_pool_create(&pool, NULL);
    conf = (bosh_conf_t){ .domains = apr_array_make(pool, 4, sizeof(bosh_domain_t)),
                          .gone = apr_array_make(pool, 1, sizeof(const char *)),
                          .networks = apr_array_make(pool, 1, sizeof(bosh_network_t)),
                          .routes = apr_array_make(pool, 1, sizeof(bosh_route_t)),
                          .ca_file = "",
                          .ca_path = "",
                          .tls = BOSH_TLS_REQUIRED,
                          .tls_verify = 1 };
    memset(attr, 0, sizeof(attr));
    memset(&up, 0, sizeof(up));
    connection.client_ip = connection.local_ip = here;
    request.useragent_ip = here;
    request.pool = pool;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    apr_pool_destroy(pool);
    apr_terminate();
    return 0;
}

static bosh_condition_t fill(const char *to, const char *route)
{
    attr[BOSH_A_TO] = bosh_str(to);
    attr[BOSH_A_ROUTE] = route ? bosh_str(route) : BOSH_ABSENT;
    return upstream_fill(&request, attr, &up, &why);
}

static bosh_domain_t by_dns(const char *name)
{
    return (bosh_domain_t){ .name = name,
                            .host = "",
                            .port = 5222,
                            .reach = BOSH_REACH_SRV,
                            .tls = UNSAID,
                            .verify = UNSAID };
}

static bosh_domain_t local(const char *name)
{
    return (bosh_domain_t){ .name = name,
                            .host = "127.0.0.1",
                            .port = 5269,
                            .reach = BOSH_REACH_HOST,
                            .is_local = true,
                            .tls = UNSAID,
                            .verify = UNSAID };
}

static void domain_without_address_is_found_by_dns(void **state)
{
    (void)state;
    add_domain(by_dns("a.example"));
    attr[BOSH_A_FROM] = BOSH_STR("me@a.example");
    attr[BOSH_A_LANG] = BOSH_STR("de");
    assert_int_equal(fill("A.Example.", NULL), BOSH_COND_NONE);
    assert_string_equal(up.to, "a.example");
    assert_string_equal(up.host, "a.example");
    assert_string_equal(up.from, "me@a.example");
    assert_string_equal(up.lang, "de");
    assert_int_equal(up.port, 5222);
    assert_int_equal(up.reach, BOSH_REACH_SRV);
    assert_int_equal(up.tls, BOSH_TLS_REQUIRED);
    assert_int_equal(up.verify, 1);
    assert_int_equal(up.proxy, 0);
    assert_int_equal(up.max_streams, 0);
    assert_string_equal(up.ca_file, "");
    assert_string_equal(up.ca_path, "");
    assert_int_equal(up.networks[0].family, 0);
}

static void all_that_is_configured_goes_along(void **state)
{
    bosh_domain_t *d = add_domain(by_dns("*.example"));
    bosh_network_t *n = apr_array_push(conf.networks);

    (void)state;
    *n = (bosh_network_t){ .bytes = { 10 }, .family = 4, .bits = 8 };
    d->tls = BOSH_TLS_OPTIONAL;
    d->verify = 0;
    d->proxy = 2;
    d->max = 7;
    d->max_new = 8;
    conf.ca_file = "/ca.pem";
    conf.ca_path = "/certs";
    assert_int_equal(fill("b.a.example", NULL), BOSH_COND_NONE);
    assert_string_equal(up.to, "b.a.example");
    assert_string_equal(up.host, "b.a.example");
    assert_int_equal(up.tls, BOSH_TLS_OPTIONAL);
    assert_int_equal(up.verify, 0);
    assert_int_equal(up.proxy, 2);
    assert_int_equal(up.max_streams, 7);
    assert_int_equal(up.max_new, 8);
    assert_string_equal(up.ca_file, "/ca.pem");
    assert_string_equal(up.ca_path, "/certs");
    assert_memory_equal(&up.networks[0], n, sizeof(*n));
    assert_int_equal(up.networks[1].family, 0);
}

static void networks_beyond_the_last_are_left_out(void **state)
{
    (void)state;
    add_domain(by_dns("a.example"));
    for (int i = 0; i < BOSH_MAX_NETWORKS + 1; i++) {
        bosh_network_t *n = apr_array_push(conf.networks);

        *n = (bosh_network_t){ .bytes = { (uint8_t)i }, .family = 4, .bits = 32 };
    }
    assert_int_equal(fill("a.example", NULL), BOSH_COND_NONE);
    assert_int_equal(up.networks[BOSH_MAX_NETWORKS - 1].bytes[0], BOSH_MAX_NETWORKS - 1);
}

static void local_server_needs_no_tls(void **state)
{
    (void)state;
    add_domain(local("a.example"));
    assert_int_equal(fill("a.example", NULL), BOSH_COND_NONE);
    assert_int_equal(up.reach, BOSH_REACH_HOST);
    assert_string_equal(up.host, "127.0.0.1");
    assert_int_equal(up.port, 5269);
    assert_int_equal(up.tls, BOSH_TLS_LOCAL);
    assert_int_equal(up.verify, 0);
}

static void socket_is_reached_by_its_path(void **state)
{
    bosh_domain_t *d = add_domain(local("a.example"));

    (void)state;
    d->host = "/run/x";
    d->reach = BOSH_REACH_UNIX;
    d->port = 0;
    d->tls = BOSH_TLS_REQUIRED;
    assert_int_equal(fill("a.example", NULL), BOSH_COND_NONE);
    assert_int_equal(up.reach, BOSH_REACH_UNIX);
    assert_string_equal(up.host, "/run/x");
    assert_int_equal(up.port, 0);
    assert_int_equal(up.tls, BOSH_TLS_REQUIRED);
    assert_int_equal(up.verify, 1);
}

static void listed_route_says_where(void **state)
{
    bosh_domain_t *d = add_domain(local("a.example"));
    bosh_route_t *route = apr_array_push(conf.routes);

    (void)state;
    *route = (bosh_route_t){ .host = "::1", .port = 5999 };
    d->is_direct = true;
    assert_int_equal(fill("a.example", "xmpp:[::1]:5999"), BOSH_COND_NONE);
    assert_int_equal(up.reach, BOSH_REACH_HOST);
    assert_string_equal(up.to, "a.example");
    assert_string_equal(up.host, "::1");
    assert_int_equal(up.port, 5999);
    /* Neither local nor direct, as the domain's own address is. */
    assert_int_equal(up.tls, BOSH_TLS_REQUIRED);
    assert_int_equal(up.verify, 1);
    fill("a.example", "xmpp:[::1]:5998");
    assert_int_equal(up.port, 5269);
    assert_int_equal(up.tls, BOSH_TLS_DIRECT);
    d->is_direct = false;
    d->tls = BOSH_TLS_OPTIONAL;
    fill("a.example", "xmpp:::1:5999");
    assert_int_equal(up.port, 5999);
    assert_int_equal(up.tls, BOSH_TLS_OPTIONAL);
}

static void both_ends_of_the_connection_are_told(void **state)
{
    (void)state;
    add_domain(local("a.example"));
    connection.local_ip = link_local;
    fill("a.example", NULL);
    assert_string_equal(up.client, "192.0.2.1");
    assert_int_equal(up.client_port, 40000);
    assert_string_equal(up.local, "fe80::2");
    assert_int_equal(up.local_port, 443);
}

static void port_of_a_client_behind_a_proxy_is_not_known(void **state)
{
    (void)state;
    add_domain(local("a.example"));
    request.useragent_ip = elsewhere;
    fill("a.example", NULL);
    assert_string_equal(up.client, "2001:db8::1");
    assert_int_equal(up.client_port, 0);
    assert_string_equal(up.local, "192.0.2.1");
    assert_int_equal(up.local_port, 443);
}

static void exact_name_wins_then_the_longest_pattern(void **state)
{
    (void)state;
    add_domain(by_dns("*"))->max = 1;
    add_domain(by_dns("*.b.example"))->max = 3;
    add_domain(by_dns("*.example"))->max = 2;
    add_domain(by_dns("a.b.example"))->max = 4;
    fill("x.y", NULL);
    assert_int_equal(up.max_streams, 1);
    fill("b.example", NULL);
    assert_int_equal(up.max_streams, 2);
    fill("c.b.example", NULL);
    assert_int_equal(up.max_streams, 3);
    fill("a.b.example", NULL);
    assert_int_equal(up.max_streams, 4);
    fill("x.a.b.example", NULL);
    assert_int_equal(up.max_streams, 3);
}

static void pattern_for_localhost_is_for_names_below_it(void **state)
{
    (void)state;
    add_domain(by_dns("*"));
    assert_int_equal(fill("a.localhost", NULL), BOSH_COND_HOST_UNKNOWN);
    assert_int_equal(fill("localhost", NULL), BOSH_COND_HOST_UNKNOWN);
    add_domain(local("*.localhost"));
    assert_int_equal(fill("a.localhost", NULL), BOSH_COND_NONE);
    assert_string_equal(up.to, "a.localhost");
    assert_string_equal(up.host, "127.0.0.1");
    assert_int_equal(fill("localhost", NULL), BOSH_COND_HOST_UNKNOWN);
}

static void nul_is_in_no_name(void **state)
{
    (void)state;
    add_domain(by_dns("*"));
    attr[BOSH_A_TO] = BOSH_STR("a.example\0b");
    assert_int_equal(upstream_fill(&request, attr, &up, &why), BOSH_COND_HOST_UNKNOWN);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(domain_without_address_is_found_by_dns),
        TEST(all_that_is_configured_goes_along),
        TEST(networks_beyond_the_last_are_left_out),
        TEST(local_server_needs_no_tls),
        TEST(socket_is_reached_by_its_path),
        TEST(listed_route_says_where),
        TEST(both_ends_of_the_connection_are_told),
        TEST(port_of_a_client_behind_a_proxy_is_not_known),
        TEST(exact_name_wins_then_the_longest_pattern),
        TEST(pattern_for_localhost_is_for_names_below_it),
        TEST(nul_is_in_no_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
