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

/* BoshDomain PATTERN [ADDRESS] [KEY=VALUE...] */
typedef struct bosh_domain_t {
    const char *name;    /* lower case, without a trailing dot; or "*", "*.example.org" */
    const char *host;    /* name, address, or a socket's path; "": the domain asked for */
    apr_port_t port;     /* 0 with BOSH_REACH_UNIX */
    bosh_reach_t reach;  /* HOST also if the name itself is an address or localhost */
    bool fixed;          /* the directive gave an address */
    bool is_direct;      /* ... and it is xmpps:// */
    bool is_local;       /* on this machine: a loopback address, localhost, a socket */
    int tls;             /* tls=      a bosh_tls_t; -1: not said */
    int verify;          /* verify=   0, 1; -1: not said */
    uint8_t proxy;       /* proxy=    1, 2; 0: off */
    uint32_t max;        /* max=      streams; 0: no limit */
    uint32_t max_new;    /* new=      streams begun within a minute; 0: no limit */
    uint32_t connecting; /* connecting=   streams on their way; 0: not said */
    uint32_t keepalive;  /* keepalive=    seconds; 0: off */
} bosh_domain_t;

/* BoshRoute HOST:PORT */
typedef struct bosh_route_t {
    const char *host; /* lower case; an IPv6 address without brackets */
    apr_port_t port;
} bosh_route_t;

typedef struct bosh_conf_t {
    /* per virtual host; merged: what the host sets, else the main server's */
    apr_array_header_t *domains;  /* of bosh_domain_t; a host that lists any
                                    replaces the main server's list */
    apr_array_header_t *gone;     /* BoshDomainGone: of const char *, lower case, that were
                                    served once; likewise */
    apr_array_header_t *origins;  /* BoshAllowOrigin: of const char *, lower case; "*" alone:
                                    all; likewise */
    apr_array_header_t *networks; /* BoshAddressAllow: of bosh_network_t; likewise */
    apr_array_header_t *routes;   /* BoshRoute: of bosh_route_t; likewise */
    const char *ca_file;          /* BoshTLSCACertificateFile  "": none */
    const char *ca_path;          /* BoshTLSCACertificatePath  "": none */
    const char *see_other;        /* BoshSeeOtherURI     where else to go; "": nowhere */
    int wait;                     /* BoshWait            seconds, longest; 60 */
    int hold;                     /* BoshHold            requests, most; 1, up to 4 */
    int inactivity;               /* BoshInactivity      seconds; 60 */
    int polling;                  /* BoshPolling         seconds, shortest interval; 5 */
    int maxpause;                 /* BoshMaxPause        seconds, 0: no pausing; 120 */
    int connect_timeout;          /* BoshConnectTimeout  seconds; 15 */
    int max_streams;              /* BoshMaxStreams      in one session; 4 */
    int compress;                 /* BoshCompress        on, off: answers may be; off */
    int client_sessions;          /* BoshMaxSessionsPerClient  at a time; 0: no limit */
    int client_new;               /* BoshMaxNewPerClient       in a minute; 0: no limit */
    int tls;                      /* BoshTLS             a bosh_tls_t, of domains that are not
                                                        local; required */
    int tls_verify;               /* BoshTLSVerify       on */
    apr_size_t max_body;          /* BoshMaxBody         bytes; 262144 */

    /* main server only */
    int max_sessions;         /* BoshMaxSessions    10000 */
    apr_size_t shared_memory; /* BoshSharedMemory   bytes; 67108864 */
    int connectors;           /* BoshConnectors     processes; 1, up to 16 */
    int blocking_holds;       /* BoshBlockingHolds  requests that may block a
                                  thread each, in all children together; 16 */
} bosh_conf_t;

#define BOSH_MAX_HOLD       4
#define BOSH_CONNECTING     100 /* without connecting= */
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

/* False: this httpd has a module with which no request can be held. The same in every process;
 * after the configuration was read. */
bool bosh_config_can_wait(void);

/* The effective configuration of a (virtual) server. Never NULL. Unset values
 * have been replaced by the defaults (after check_config, not while files are read). */
const bosh_conf_t *bosh_config(const server_rec *s);

/* The path of the <Location> that says SetHandler bosh and applies to r, e.g. "/http-bind"
 * (of several, the last); "" if there is none: the handler was set in .htaccess, <Files> or
 * the like, where it must not work. */
const char *bosh_config_location(const request_rec *r);
/* It is a pattern (<LocationMatch>, or with * and ?) that r's path fits, not a path. */
bool bosh_config_is_pattern(const request_rec *r);

#define BOSH_NAME_SIZE 256

/* The BoshDomain that a client's `to` falls under: that very name, or else the longest
 * pattern; NULL: none, and so it is not to be reached. Case does not matter, one trailing dot
 * is ignored. Patterns lead to no address, no name without a dot, and not to localhost.
 * name: what was asked for, in lower case, without the dot. */
const bosh_domain_t *bosh_config_domain(const bosh_conf_t *conf, bosh_str_t asked,
                                        char name[BOSH_NAME_SIZE]);

/* Where a domain's server is, and how one speaks to it there. */
typedef struct bosh_way_t {
    const char *host; /* as in bosh_domain_t */
    apr_port_t port;
    bosh_reach_t reach;
    bosh_tls_t tls;
    bool verify;
} bosh_way_t;

/* route: what the client asks for, "xmpp:HOST:PORT"; it means nothing unless BoshRoute lists
 * it. May be absent. */
bosh_way_t bosh_config_way(const bosh_conf_t *conf, const bosh_domain_t *domain, bosh_str_t route);

/* That name was served once, by BoshDomainGone; whatever BoshDomain says. */
bool bosh_config_is_gone(const bosh_conf_t *conf, bosh_str_t name);

/* What an Origin header says ("https://example.org:8443", "null") is listed by
 * BoshAllowOrigin. */
bool bosh_config_allows_origin(const bosh_conf_t *conf, const char *origin);
/* All origins are, as `*` says. */
bool bosh_config_allows_any_origin(const bosh_conf_t *conf);

#endif
