/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* Values as one would write them in a configuration file. */
#include "config_int.h"

#include <arpa/inet.h>
#include <string.h>

#include "apr_strings.h"

const char *bosh_config_quoted(apr_pool_t *p, const char *text)
{
    return text[strcspn(text, " \"'\\")]
               ? apr_pstrcat(p, "\"", ap_escape_quotes(p, text), "\"", NULL)
               : text;
}

const char *bosh_config_host_text(apr_pool_t *p, const char *host, apr_port_t port)
{
    bool is_ipv6 = strchr(host, ':') != NULL;

    return apr_psprintf(p, "%s%s%s:%d", is_ipv6 ? "[" : "", host, is_ipv6 ? "]" : "", (int)port);
}

const char *bosh_config_address_text(apr_pool_t *p, const bosh_domain_t *d)
{
    return d->reach == BOSH_REACH_UNIX
               ? apr_pstrcat(p, "unix:", d->host, NULL)
               : apr_pstrcat(p, d->is_direct ? "xmpps://" : "xmpp://",
                             bosh_config_host_text(p, d->host, d->port), NULL);
}

const char *bosh_config_domain_text(apr_pool_t *p, const bosh_domain_t *d)
{
    const char *text = d->name;

    if (d->fixed) {
        const char *address = bosh_config_address_text(p, d);

        text = apr_pstrcat(p, text, " ", bosh_config_quoted(p, address), NULL);
    }
    if (d->tls != BOSH_UNSET) {
        text = apr_pstrcat(p, text, " tls=", bosh_config_tls_word((bosh_tls_t)d->tls), NULL);
    }
    if (d->verify != BOSH_UNSET) {
        text = apr_pstrcat(p, text, d->verify ? " verify=on" : " verify=off", NULL);
    }
    if (d->proxy) {
        text = apr_psprintf(p, "%s proxy=v%u", text, d->proxy);
    }
    if (d->max) {
        text = apr_psprintf(p, "%s max=%u", text, d->max);
    }
    if (d->max_new) {
        text = apr_psprintf(p, "%s new=%u", text, d->max_new);
    }
    if (d->connecting) {
        text = apr_psprintf(p, "%s connecting=%u", text, d->connecting);
    }
    return d->keepalive ? apr_psprintf(p, "%s keepalive=%u", text, d->keepalive) : text;
}

const char *bosh_config_network_text(apr_pool_t *p, const bosh_network_t *network)
{
    bool is_ipv4 = network->family == 4;
    char text[INET6_ADDRSTRLEN];

    inet_ntop(is_ipv4 ? AF_INET : AF_INET6, network->bytes, text, sizeof(text));
    return network->bits == (is_ipv4 ? 32 : 128) ? apr_pstrdup(p, text)
                                                 : apr_psprintf(p, "%s/%u", text, network->bits);
}
