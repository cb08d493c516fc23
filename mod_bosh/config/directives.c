/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * The table of directives and the functions that httpd calls for each of them. Limits
 * and defaults of those that take a number are in value.c.
 *
 * RSRC_CONF: in the server configuration and in virtual hosts, never in .htaccess - a
 * tenant must not widen what the administrator allowed.
 */
#include "config_int.h"

#include "apr_strings.h"

static const char *set_option(cmd_parms *cmd, void *dir_conf, const char *text)
{
    const bosh_option_t *option = bosh_config_option(cmd->cmd->name);
    const char *error = option->main_only ? ap_check_cmd_context(cmd, GLOBAL_ONLY) : NULL;
    apr_int64_t value;

    (void)dir_conf;
    if (!error) {
        error = bosh_config_parse(cmd->pool, option, text, &value);
    }
    if (!error) {
        bosh_config_set(bosh_config_raw(cmd->server), option, value);
    }
    return error;
}

static const char *set_domain(cmd_parms *cmd, void *dir_conf, int argc, char *const argv[])
{
    bosh_conf_t *conf = bosh_config_raw(cmd->server);
    bosh_domain_t domain;
    const char *error = bosh_config_parse_domain(cmd->pool, argc > 0 ? argv[0] : "", &domain);

    (void)dir_conf;
    if (!error) {
        error = bosh_config_parse_details(cmd->pool, argc - 1, argv + 1, &domain);
    }
    if (error) {
        return apr_pstrcat(cmd->pool, "BoshDomain ", error, NULL);
    }
    if (!conf->domains) {
        conf->domains = apr_array_make(cmd->pool, 4, sizeof(bosh_domain_t));
    }
    if (bosh_config_listed(conf, domain.name)) {
        return apr_psprintf(cmd->pool, "BoshDomain %s is given twice", domain.name);
    }
    APR_ARRAY_PUSH(conf->domains, bosh_domain_t) = domain;
    return NULL;
}

static bool is_none(const char *value)
{
    return strcasecmp(value, "none") == 0;
}

/* A list that is set is not inherited; `none` sets an empty one. */
static const char *begin_list(cmd_parms *cmd, apr_array_header_t **list, int size,
                              const char *value)
{
    if (*list && (is_none(value) || (*list)->nelts == 0)) {
        return apr_pstrcat(cmd->pool, cmd->cmd->name, " none stands alone", NULL);
    }
    if (!*list) {
        *list = apr_array_make(cmd->pool, 4, size);
    }
    return NULL;
}

static const char *add_to_list(cmd_parms *cmd, apr_array_header_t **list, const char *value)
{
    const char *error = begin_list(cmd, list, sizeof(value), value);

    if (!error && !is_none(value)) {
        APR_ARRAY_PUSH(*list, const char *) = value;
    }
    return error;
}

static const char *set_gone(cmd_parms *cmd, void *dir_conf, const char *text)
{
    const char *name = text;
    const char *error = is_none(text) ? NULL : bosh_config_parse_gone(cmd->pool, text, &name);

    (void)dir_conf;
    return error ? apr_pstrcat(cmd->pool, "BoshDomainGone ", error, NULL)
                 : add_to_list(cmd, &bosh_config_raw(cmd->server)->gone, name);
}

static const char *set_network(cmd_parms *cmd, void *dir_conf, const char *text)
{
    apr_array_header_t **list = &bosh_config_raw(cmd->server)->networks;
    const char *error = begin_list(cmd, list, sizeof(bosh_network_t), text);
    bosh_network_t network;

    (void)dir_conf;
    if (error || is_none(text)) {
        return error;
    }
    error = bosh_config_parse_network(cmd->pool, text, &network);
    if (error) {
        return apr_pstrcat(cmd->pool, "BoshAddressAllow ", error, NULL);
    }
    if ((*list)->nelts == BOSH_MAX_NETWORKS) {
        return apr_psprintf(cmd->pool, "BoshAddressAllow takes %d networks at most",
                            BOSH_MAX_NETWORKS);
    }
    APR_ARRAY_PUSH(*list, bosh_network_t) = network;
    return NULL;
}

static const char *set_route(cmd_parms *cmd, void *dir_conf, const char *text)
{
    apr_array_header_t **list = &bosh_config_raw(cmd->server)->routes;
    const char *error = begin_list(cmd, list, sizeof(bosh_route_t), text);
    bosh_route_t route;

    (void)dir_conf;
    if (error || is_none(text)) {
        return error;
    }
    error = bosh_config_parse_route(cmd->pool, text, &route);
    if (error) {
        return apr_pstrcat(cmd->pool, "BoshRoute ", error, NULL);
    }
    APR_ARRAY_PUSH(*list, bosh_route_t) = route;
    return NULL;
}

static const char *read_path(cmd_parms *cmd, const char *text, const char **path)
{
    const char *error = NULL;

    *path = "";
    if (!is_none(text)) {
        error = bosh_config_parse_path(cmd->pool, text, path);
    }
    return error ? apr_pstrcat(cmd->pool, cmd->cmd->name, " ", error, NULL) : NULL;
}

static const char *set_ca_file(cmd_parms *cmd, void *dir_conf, const char *text)
{
    (void)dir_conf;
    return read_path(cmd, text, &bosh_config_raw(cmd->server)->ca_file);
}

static const char *set_ca_path(cmd_parms *cmd, void *dir_conf, const char *text)
{
    (void)dir_conf;
    return read_path(cmd, text, &bosh_config_raw(cmd->server)->ca_path);
}

static const char *set_origin(cmd_parms *cmd, void *dir_conf, const char *text)
{
    bosh_conf_t *conf = bosh_config_raw(cmd->server);
    const char *origin, *error = bosh_config_parse_origin(cmd->pool, text, &origin);

    (void)dir_conf;
    if (error) {
        return apr_pstrcat(cmd->pool, "BoshAllowOrigin ", error, NULL);
    }
    if (conf->origins && conf->origins->nelts > 0
        && (strcmp(origin, "*") == 0 || bosh_config_allows_any_origin(conf))) {
        return "BoshAllowOrigin * stands alone";
    }
    return add_to_list(cmd, &conf->origins, origin);
}

static const char *set_see_other(cmd_parms *cmd, void *dir_conf, const char *text)
{
    const char *uri = "", *error = NULL;

    (void)dir_conf;
    if (!is_none(text)) {
        error = bosh_config_parse_uri(cmd->pool, text, &uri);
    }
    if (error) {
        return apr_pstrcat(cmd->pool, "BoshSeeOtherURI ", error, NULL);
    }
    bosh_config_raw(cmd->server)->see_other = uri;
    return NULL;
}

const command_rec bosh_config_directives[] = {
    AP_INIT_TAKE_ARGV("BoshDomain", set_domain, NULL, RSRC_CONF,
                      "XMPP domains that may be reached, and where their server is if DNS shall "
                      "not be asked: DOMAIN|*.DOMAIN|* [xmpp://HOST:PORT|xmpps://HOST:PORT|"
                      "unix:PATH] [tls=required|optional|off] [verify=on|off] [proxy=v1|v2|off] "
                      "[max=STREAMS] [connecting=STREAMS] [keepalive=SECONDS]"),
    AP_INIT_TAKE1("BoshTLS", set_option, NULL, RSRC_CONF,
                  "TLS to XMPP servers that are not on this machine: required, optional, off"),
    AP_INIT_TAKE1("BoshTLSVerify", set_option, NULL, RSRC_CONF,
                  "off: certificates of XMPP servers are not verified"),
    AP_INIT_TAKE1(
        "BoshTLSCACertificateFile", set_ca_file, NULL, RSRC_CONF,
        "file of certificates in PEM form that are trusted instead of the system's, none"),
    AP_INIT_TAKE1("BoshTLSCACertificatePath", set_ca_path, NULL, RSRC_CONF,
                  "directory of certificates, by hash, that are trusted instead of the system's, "
                  "none"),
    AP_INIT_ITERATE("BoshAddressAllow", set_network, NULL, RSRC_CONF,
                    "networks that are not public and that DNS may lead to: ADDRESS[/BITS]..., "
                    "none"),
    AP_INIT_ITERATE("BoshRoute", set_route, NULL, RSRC_CONF,
                    "servers that clients may choose by route: HOST:PORT..., none"),
    AP_INIT_TAKE1("BoshWait", set_option, NULL, RSRC_CONF,
                  "longest time in seconds that a request is held"),
    AP_INIT_TAKE1("BoshHold", set_option, NULL, RSRC_CONF,
                  "most requests of a session that are held at a time"),
    AP_INIT_TAKE1("BoshInactivity", set_option, NULL, RSRC_CONF,
                  "seconds without a request after which a session ends"),
    AP_INIT_TAKE1("BoshPolling", set_option, NULL, RSRC_CONF,
                  "shortest time in seconds between two polls"),
    AP_INIT_TAKE1("BoshMaxPause", set_option, NULL, RSRC_CONF,
                  "longest pause in seconds that a client may ask for, 0: none"),
    AP_INIT_TAKE1("BoshConnectTimeout", set_option, NULL, RSRC_CONF,
                  "seconds until the stream to the XMPP server must be open"),
    AP_INIT_TAKE1("BoshMaxSessionsPerClient", set_option, NULL, RSRC_CONF,
                  "most sessions of one client address at a time; 0: any number"),
    AP_INIT_TAKE1("BoshMaxNewPerClient", set_option, NULL, RSRC_CONF,
                  "most sessions that one client address begins in a minute; 0: any number"),
    AP_INIT_TAKE1("BoshMaxStreams", set_option, NULL, RSRC_CONF,
                  "most XMPP streams in one session"),
    AP_INIT_TAKE1("BoshMaxBody", set_option, NULL, RSRC_CONF, "largest request body in bytes"),
    AP_INIT_TAKE1("BoshCompress", set_option, NULL, RSRC_CONF,
                  "on: httpd's filters may compress answers"),
    AP_INIT_ITERATE("BoshAllowOrigin", set_origin, NULL, RSRC_CONF,
                    "other sites whose pages may send requests: SCHEME://HOST[:PORT]..., *, none"),
    AP_INIT_ITERATE("BoshDomainGone", set_gone, NULL, RSRC_CONF,
                    "XMPP domains that are served no longer: DOMAIN..., none"),
    AP_INIT_TAKE1("BoshSeeOtherURI", set_see_other, NULL, RSRC_CONF,
                  "where clients find sessions instead of here: an http or https URI, none"),

    AP_INIT_TAKE1("BoshMaxSessions", set_option, NULL, RSRC_CONF,
                  "most sessions, of all virtual hosts together"),
    AP_INIT_TAKE1("BoshSharedMemory", set_option, NULL, RSRC_CONF,
                  "bytes of the shared memory that holds all sessions"),
    AP_INIT_TAKE1("BoshConnectors", set_option, NULL, RSRC_CONF,
                  "processes that keep the connections to XMPP servers"),
    AP_INIT_TAKE1("BoshBlockingHolds", set_option, NULL, RSRC_CONF,
                  "held requests that may occupy a thread each where httpd cannot suspend them"),
    { .name = NULL },
};
