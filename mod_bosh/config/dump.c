/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * httpd -t -D DUMP_BOSH: the effective configuration of each virtual host, as directives
 * that could stand in its section.
 */
#include "config_int.h"

#include "apr_file_io.h"
#include "apr_strings.h"

static void dump_domain(apr_file_t *out, const bosh_domain_t *d)
{
    bool is_ipv6 = ap_strchr_c(d->host, ':') != NULL;

    apr_file_printf(out, "    BoshDomain %s", d->name);
    if (d->fixed) {
        apr_file_printf(out, " xmpp://%s%s%s:%d\n", is_ipv6 ? "[" : "", d->host, is_ipv6 ? "]" : "",
                        (int)d->port);
    }
    else {
        apr_file_puts("\n", out);
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

static void dump_option(apr_file_t *out, const bosh_conf_t *conf, const bosh_option_t *o)
{
    apr_int64_t value = bosh_config_get(conf, o);

    if (o->kind == BOSH_FLAG) {
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

    for (int i = 0; i < conf->domains->nelts; i++) {
        dump_domain(out, &APR_ARRAY_IDX(conf->domains, i, bosh_domain_t));
    }
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
