/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * httpd -t -D DUMP_BOSH: the effective configuration of each virtual host, as directives
 * that could stand in its section.
 */
#include "config_int.h"

#include "apr_file_io.h"
#include "apr_strings.h"

/* What the line means with all other directives. */
static void dump_way(apr_file_t *out, apr_pool_t *p, const bosh_conf_t *conf,
                     const bosh_domain_t *d)
{
    static const char *const tls[] = {
        [BOSH_TLS_LOCAL] = "TLS if it requires that",       [BOSH_TLS_OFF] = "no TLS",
        [BOSH_TLS_OPTIONAL] = "STARTTLS if it offers that", [BOSH_TLS_REQUIRED] = "STARTTLS",
        [BOSH_TLS_DIRECT] = "TLS from the first byte",
    };
    bosh_way_t way = bosh_config_way(conf, d, BOSH_ABSENT);
    bool is_srv = way.reach == BOSH_REACH_SRV;

    apr_file_printf(out, "    # %s: %s, %s%s\n", d->name,
                    is_srv                         ? "where DNS says (SRV)"
                    : way.reach == BOSH_REACH_UNIX ? "a socket"
                                                   : bosh_config_host_text(p, way.host, way.port),
                    is_srv && way.tls == BOSH_TLS_REQUIRED ? "TLS" : tls[way.tls],
                    way.tls == BOSH_TLS_OFF ? ""
                    : way.verify            ? ", certificate verified"
                                            : ", certificate not verified");
}

static void dump_domains(apr_file_t *out, apr_pool_t *p, const bosh_conf_t *conf)
{
    for (int i = 0; i < conf->domains->nelts; i++) {
        const bosh_domain_t *d = &APR_ARRAY_IDX(conf->domains, i, bosh_domain_t);

        apr_file_printf(out, "    BoshDomain %s\n", bosh_config_domain_text(p, d));
        dump_way(out, p, conf, d);
    }
}

static void dump_list(apr_file_t *out, const char *directive, const apr_array_header_t *list)
{
    if (list->nelts == 0) {
        apr_file_printf(out, "    %s none\n", directive);
    }
    for (int i = 0; i < list->nelts; i++) {
        apr_file_printf(out, "    %s %s\n", directive, APR_ARRAY_IDX(list, i, const char *));
    }
}

static void dump_networks(apr_file_t *out, apr_pool_t *p, const apr_array_header_t *list)
{
    apr_array_header_t *texts = apr_array_make(p, list->nelts, sizeof(const char *));

    for (int i = 0; i < list->nelts; i++) {
        APR_ARRAY_PUSH(texts, const char *) =
            bosh_config_network_text(p, &APR_ARRAY_IDX(list, i, bosh_network_t));
    }
    dump_list(out, "BoshAddressAllow", texts);
}

static void dump_routes(apr_file_t *out, apr_pool_t *p, const apr_array_header_t *list)
{
    apr_array_header_t *texts = apr_array_make(p, list->nelts, sizeof(const char *));

    for (int i = 0; i < list->nelts; i++) {
        const bosh_route_t *route = &APR_ARRAY_IDX(list, i, bosh_route_t);

        APR_ARRAY_PUSH(texts, const char *) = bosh_config_host_text(p, route->host, route->port);
    }
    dump_list(out, "BoshRoute", texts);
}

static void dump_path(apr_file_t *out, apr_pool_t *p, const char *directive, const char *path)
{
    apr_file_printf(out, "    %s %s\n", directive, *path ? bosh_config_quoted(p, path) : "none");
}

static void dump_option(apr_file_t *out, const bosh_conf_t *conf, const bosh_option_t *o)
{
    apr_int64_t value = bosh_config_get(conf, o);

    if (o->kind == BOSH_TLS) {
        apr_file_printf(out, "    %s %s\n", o->name, bosh_config_tls_word((bosh_tls_t)value));
    }
    else if (o->kind == BOSH_FLAG) {
        apr_file_printf(out, "    %s %s\n", o->name, value ? "on" : "off");
    }
    else {
        apr_file_printf(out, "    %s %" APR_INT64_T_FMT "\n", o->name, value);
    }
}

static void dump_server(apr_file_t *out, apr_pool_t *p, const server_rec *s)
{
    const bosh_conf_t *conf = bosh_config(s);
    const apr_array_header_t *paths = bosh_config_locations(p, s);

    dump_domains(out, p, conf);
    dump_path(out, p, "BoshTLSCACertificateFile", conf->ca_file);
    dump_path(out, p, "BoshTLSCACertificatePath", conf->ca_path);
    dump_networks(out, p, conf->networks);
    dump_routes(out, p, conf->routes);
    dump_list(out, "BoshDomainGone", conf->gone);
    dump_list(out, "BoshAllowOrigin", conf->origins);
    apr_file_printf(out, "    BoshSeeOtherURI %s\n", *conf->see_other ? conf->see_other : "none");
    for (const bosh_option_t *o = bosh_config_options; o->name; o++) {
        if (!o->main_only || !s->is_virtual) {
            dump_option(out, conf, o);
        }
    }
    for (int i = 0; i < paths->nelts; i++) {
        apr_file_printf(out, "    # <Location \"%s\">\n", APR_ARRAY_IDX(paths, i, const char *));
    }
}

void bosh_config_dump(apr_pool_t *p, server_rec *main_server)
{
    apr_file_t *out;

    if (apr_file_open_stdout(&out, p) != APR_SUCCESS) {
        return;
    }
    apr_file_puts("BOSH configuration:\n", out);
    for (const server_rec *s = main_server; s; s = s->next) {
        if (s->is_virtual) {
            apr_file_printf(out, "virtual host %s (%s:%u)\n",
                            s->server_hostname ? s->server_hostname : "without a name",
                            s->defn_name ? s->defn_name : "?", s->defn_line_number);
        }
        else {
            apr_file_puts("main server\n", out);
        }
        dump_server(out, p, s);
    }
}
