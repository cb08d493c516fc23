/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * What the files of the config room share. Everything here runs while httpd reads
 * its configuration, in one thread.
 *
 * The life of a value:
 *
 *   bosh_config_create  every option is BOSH_UNSET
 *   set_option          a directive sets it (value.c checks the text)
 *   bosh_config_merge   a virtual host without a value takes the main server's
 *   bosh_config_finish  what nobody set becomes the default; after this, and not
 *                       before, bosh_config() may be asked
 */
#ifndef BOSH_CONFIG_INT_H
#define BOSH_CONFIG_INT_H

#include "bosh/config.h"

/* No directive takes a negative number. */
#define BOSH_UNSET (-1)

typedef enum bosh_option_kind_t {
    BOSH_NUMBER, /* an int */
    BOSH_SIZE,   /* an apr_size_t, written with K, M or G if one likes */
    BOSH_FLAG,   /* an int: on, off */
    BOSH_TLS     /* an int: a bosh_tls_t */
} bosh_option_kind_t;

/* All there is to know about a directive with one number or word as its argument. */
typedef struct bosh_option_t {
    const char *name;
    size_t offset; /* in bosh_conf_t */
    bosh_option_kind_t kind;
    apr_int64_t min;
    apr_int64_t max;
    apr_int64_t preset; /* the default */
    bool main_only;     /* refused in <VirtualHost> */
} bosh_option_t;

/* Ends with a row without a name. */
extern const bosh_option_t bosh_config_options[];

const bosh_option_t *bosh_config_option(const char *name);
apr_int64_t bosh_config_get(const bosh_conf_t *conf, const bosh_option_t *option);
void bosh_config_set(bosh_conf_t *conf, const bosh_option_t *option, apr_int64_t value);

/* NULL, or an error that names the directive. */
const char *bosh_config_parse(apr_pool_t *p, const bosh_option_t *option, const char *text,
                              apr_int64_t *value);

/* ---- name.c --------------------------------------------------------------- */

/* In place: lower case (ASCII letters only: IDNA does the rest, if anybody does), and without
 * the dot of a fully qualified name. */
void bosh_config_normalise(char *name);

/* All of normalised text. A name: labels with dots between them; ASCII or UTF-8. */
bool bosh_config_is_name(const char *name);
/* A name, or an IPv4 address in the usual form. */
bool bosh_config_is_host(const char *host);
/* Its last label looks like a number. */
bool bosh_config_is_numeric(const char *host);
/* localhost, or below it. */
bool bosh_config_is_localhost(const char *name);

/* ---- address.c, domain.c, network.c, way.c, trust.c, origin.c ---------------- */

/* These give NULL, or what is wrong, as the end of a sentence that begins with the
 * directive's name. What they fill in is from pool p. */
const char *bosh_config_parse_domain(apr_pool_t *p, const char *text, bosh_domain_t *domain);
const char *bosh_config_parse_address(apr_pool_t *p, const char *text, bosh_domain_t *domain);
/* Whatever follows the name: [ADDRESS] [KEY=VALUE...]. */
const char *bosh_config_parse_details(apr_pool_t *p, int words, char *const word[],
                                      bosh_domain_t *domain);
const char *bosh_config_parse_gone(apr_pool_t *p, const char *text, const char **name);
const char *bosh_config_parse_network(apr_pool_t *p, const char *text, bosh_network_t *network);
const char *bosh_config_parse_route(apr_pool_t *p, const char *text, bosh_route_t *route);
/* Relative to the ServerRoot. Whether it is there is not asked. */
const char *bosh_config_parse_path(apr_pool_t *p, const char *text, const char **path);
const char *bosh_config_parse_origin(apr_pool_t *p, const char *text, const char **origin);
const char *bosh_config_parse_uri(apr_pool_t *p, const char *text, const char **uri);

/* HOST[:PORT]; *port is the default before, 0: there is none. False: malformed. */
bool bosh_config_read_host(apr_pool_t *p, const char *text, const char **host, apr_port_t *port);
/* A loopback address in any notation that we let through, or localhost. */
bool bosh_config_is_loopback(const char *host);

/* required, optional, off; else false, and *tls is BOSH_UNSET. */
bool bosh_config_read_tls(const char *text, int *tls);
const char *bosh_config_tls_word(bosh_tls_t tls);

/* ---- text.c: as one would write them ------------------------------------------- */

const char *bosh_config_domain_text(apr_pool_t *p, const bosh_domain_t *domain);
const char *bosh_config_address_text(apr_pool_t *p, const bosh_domain_t *domain);
const char *bosh_config_host_text(apr_pool_t *p, const char *host, apr_port_t port);
const char *bosh_config_network_text(apr_pool_t *p, const bosh_network_t *network);
/* With quotation marks where it needs them. */
const char *bosh_config_quoted(apr_pool_t *p, const char *text);

/* The entry of that very name or pattern (normalised), or NULL. */
const bosh_domain_t *bosh_config_listed(const bosh_conf_t *conf, const char *name);

/* Logs a file of certificates that is not there, or not one; and says false. */
bool bosh_config_check_trust(const server_rec *s, apr_pool_t *p);
/* Logs one that the connector will not be allowed to read. */
void bosh_config_warn_trust(const server_rec *s, apr_pool_t *p);

/* ---- the others ---------------------------------------------------------------- */

/* The arguments of the last directive of that name in the files; NULL: there is none. */
const char *bosh_config_written(const char *directive);

/* This <Location> says SetHandler bosh. */
void bosh_config_mark(apr_pool_t *p, ap_conf_vector_t *section);

/* The configuration as it is in s, finished or not. */
bosh_conf_t *bosh_config_raw(const server_rec *s);

/* Defaults, and the paths of <Location>s. May run more than once. */
void bosh_config_finish(apr_pool_t *p, server_rec *main_server);

/* The paths of the <Location>s that a server's requests can reach us by. */
apr_array_header_t *bosh_config_locations(apr_pool_t *p, const server_rec *s);

/* Logs settings that contradict each other. */
void bosh_config_warn(server_rec *main_server, apr_pool_t *ptemp);

/* Logs that there can be no sessions here at all. */
void bosh_config_warn_mpm(const server_rec *main_server);

/* Logs that httpd has not enough connections. After the MPM read its own directives. */
void bosh_config_warn_capacity(const server_rec *main_server);

/* httpd -t -D DUMP_BOSH */
void bosh_config_dump(apr_pool_t *p, server_rec *main_server);

#endif
