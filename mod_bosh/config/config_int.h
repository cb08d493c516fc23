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
    BOSH_FLAG    /* an int: on, off */
} bosh_option_kind_t;

/* All there is to know about a directive with one number, or on and off, as its argument. */
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

/* Both give NULL, or what is wrong, as the end of a sentence that begins with the
 * directive's name. *domain is filled in from pool p. */
const char *bosh_config_parse_domain(apr_pool_t *p, const char *text, bosh_domain_t *domain);
const char *bosh_config_parse_server(apr_pool_t *p, const char *text, bosh_domain_t *domain);

/* Likewise. *origin, *uri: from pool p. */
const char *bosh_config_parse_origin(apr_pool_t *p, const char *text, const char **origin);
const char *bosh_config_parse_uri(apr_pool_t *p, const char *text, const char **uri);

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

/* Logs that httpd has not enough connections. After the MPM read its own directives. */
void bosh_config_warn_capacity(const server_rec *main_server);

/* httpd -t -D DUMP_BOSH */
void bosh_config_dump(apr_pool_t *p, server_rec *main_server);

#endif
