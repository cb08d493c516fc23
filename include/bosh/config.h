/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * config - the module's directives: their table, defaults, checks and merging.
 *
 * A bosh_conf_t belongs to its server_rec's configuration pool and is constant
 * once the configuration was read: any thread may read it without a lock, until
 * the pool goes (a process forked earlier keeps its own copy).
 *
 * Directives are allowed in the server configuration and in virtual hosts, never
 * in .htaccess. Those marked "main server" size what all virtual hosts share and
 * are refused inside <VirtualHost>.
 */
#ifndef BOSH_CONFIG_H
#define BOSH_CONFIG_H

#include "httpd.h"
#include "http_config.h"

#include "bosh/base.h"

/* The handler's name: SetHandler bosh */
#define BOSH_HANDLER "bosh"

/* BoshDomain DOMAIN [xmpp://HOST:PORT] */
typedef struct bosh_domain_t {
    const char *name; /* lower case, without a trailing dot */
    const char *host; /* where its server is: an address or a name; the domain
                         itself if the directive gave no address */
    apr_port_t port;
    bool fixed; /* the directive gave host and port */
} bosh_domain_t;

typedef struct bosh_conf_t {
    /* per virtual host; merged: what the host sets, else the main server's */
    apr_array_header_t *domains; /* of bosh_domain_t; a host that lists any
                                    replaces the main server's list */
    apr_array_header_t *gone;    /* BoshDomainGone: of const char *, lower case, that were
                                    served once; likewise */
    apr_array_header_t *origins; /* BoshAllowOrigin: of const char *, lower case; "*" alone:
                                    all; likewise */
    const char *see_other;       /* BoshSeeOtherURI     where else to go; "": nowhere */
    int wait;                    /* BoshWait            seconds, longest; 60 */
    int hold;                    /* BoshHold            requests, most; 1, up to 4 */
    int inactivity;              /* BoshInactivity      seconds; 60 */
    int polling;                 /* BoshPolling         seconds, shortest interval; 5 */
    int maxpause;                /* BoshMaxPause        seconds, 0: no pausing; 120 */
    int connect_timeout;         /* BoshConnectTimeout  seconds; 15 */
    int max_streams;             /* BoshMaxStreams      in one session; 4 */
    int compress;                /* BoshCompress        on, off: answers may be; off */
    apr_size_t max_body;         /* BoshMaxBody         bytes; 262144 */

    /* main server only */
    int max_sessions;         /* BoshMaxSessions    10000 */
    apr_size_t shared_memory; /* BoshSharedMemory   bytes; 67108864 */
    int connectors;           /* BoshConnectors     processes; 1, up to 16 */
    int blocking_holds;       /* BoshBlockingHolds  requests that may block a
                                  thread each, in all children together; 16 */
} bosh_conf_t;

#define BOSH_MAX_HOLD       4
#define BOSH_MAX_CONNECTORS 16
#define BOSH_MOST_STREAMS   4

/* The module record, which mod_bosh.c defines: the one name that the module exports. */
extern module AP_MODULE_DECLARE_DATA bosh_module __attribute__((visibility("default")));

/* Rows of the module record. */
extern const command_rec bosh_config_directives[];
void *bosh_config_create(apr_pool_t *p, server_rec *s);
void *bosh_config_merge(apr_pool_t *p, void *base, void *add);
/* Per directory only the path of the <Location> is kept. */
void *bosh_config_create_dir(apr_pool_t *p, char *path);

/* Effective values come into being in the check_config hook, before all other modules'
 * (and before post_config); `httpd -t -D DUMP_BOSH` prints them. */
void bosh_config_register_hooks(apr_pool_t *p);

/* The effective configuration of a (virtual) server. Never NULL. Unset values
 * have been replaced by the defaults (after check_config, not while files are read). */
const bosh_conf_t *bosh_config(const server_rec *s);

/* The path of the <Location> that says SetHandler bosh and applies to r, e.g. "/http-bind"
 * (of several, the last); "" if there is none: the handler was set in .htaccess, <Files> or
 * the like, where it must not work. */
const char *bosh_config_location(const request_rec *r);
/* It is a pattern (<LocationMatch>, or with * and ?) that r's path fits, not a path. */
bool bosh_config_is_pattern(const request_rec *r);

/* The configured domain of that name (case does not matter, one trailing dot is
 * ignored); NULL: not listed, and so not to be reached. */
const bosh_domain_t *bosh_config_domain(const bosh_conf_t *conf, bosh_str_t name);

/* That name was served once, by BoshDomainGone; whatever BoshDomain says. */
bool bosh_config_is_gone(const bosh_conf_t *conf, bosh_str_t name);

/* What an Origin header says ("https://example.org:8443", "null") is listed by
 * BoshAllowOrigin. */
bool bosh_config_allows_origin(const bosh_conf_t *conf, const char *origin);
/* All origins are, as `*` says. */
bool bosh_config_allows_any_origin(const bosh_conf_t *conf);

#endif
