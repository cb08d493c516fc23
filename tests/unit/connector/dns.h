/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * A name server of the tests' own, in a thread: it knows a table, over UDP and TCP. A name that
 * is not in it does not exist (NXDOMAIN); one that is, but with another type, has no such data.
 */
#ifndef DNS_H
#define DNS_H

#include <pthread.h>
#include <stdint.h>

#define DNS_A     1
#define DNS_CNAME 5
#define DNS_AAAA  28
#define DNS_SRV   33

#define DNS_MAX_CONNECTIONS 8

typedef enum dns_mode_t {
    DNS_SAYS, /* the data; over UDP only that it is too much, if it is */
    DNS_SERVFAIL,
    DNS_REFUSED,
    DNS_SILENT,
    DNS_TRUNCATED, /* over UDP that it is too much, whatever it is */
    DNS_WRONG_ID,  /* something else with another id first */
    DNS_NONSENSE   /* an answer that cannot be parsed */
} dns_mode_t;

typedef struct dns_rule_t {
    const char *name;
    uint16_t type;
    dns_mode_t mode;
    unsigned times;      /* the data so many times; 0: once */
    const char *data[9]; /* "192.0.2.1", "2001:db8::1", "other.example", "10 5 5222 host.example" */
} dns_rule_t;

typedef struct dns_t {
    pthread_t thread;
    int udp, tcp, quit[2];
    int connection[DNS_MAX_CONNECTIONS]; /* -1: none */
    uint16_t port;
    const dns_rule_t *rules; /* ended by one without a name */
    unsigned asked, asked_tcp;
    char log[4096]; /* "NAME TYPE\n" */
} dns_t;

/* port 0: any. */
void dns_start(dns_t *d, const char *address, uint16_t port, const dns_rule_t *rules);
void dns_stop(dns_t *d);
/* How often that was asked; not while somebody asks. */
unsigned dns_count(const dns_t *d, const char *name, uint16_t type);

#endif
