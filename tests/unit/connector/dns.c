/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* A name server of the tests' own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "dns.h"

#define HEADER   12
#define UDP_SIZE 512

typedef struct packet_t {
    uint8_t bytes[65535];
    size_t len;
} packet_t;

static void put(packet_t *p, const void *bytes, size_t len)
{
    if (p->len + len <= sizeof(p->bytes)) {
        memcpy(p->bytes + p->len, bytes, len);
        p->len += len;
    }
}

static void put16(packet_t *p, unsigned n)
{
    put(p, (uint8_t[]){ (uint8_t)(n >> 8), (uint8_t)n }, 2);
}

static void put_name(packet_t *p, const char *name)
{
    while (*name && strcmp(name, ".") != 0) {
        size_t len = strcspn(name, ".");

        put(p, (uint8_t[]){ (uint8_t)len }, 1);
        put(p, name, len);
        name += len + (name[len] == '.');
    }
    put(p, "", 1);
}

static void put_data(packet_t *p, uint16_t type, const char *data)
{
    uint8_t address[16];
    unsigned priority, weight, port;
    char target[256];

    if (type == DNS_A || type == DNS_AAAA) {
        inet_pton(type == DNS_A ? AF_INET : AF_INET6, data, address);
        put(p, address, type == DNS_A ? 4 : 16);
    }
    else if (type == DNS_SRV
             && sscanf(data, "%u %u %u %255s", &priority, &weight, &port, target) == 4) {
        put16(p, priority);
        put16(p, weight);
        put16(p, port);
        put_name(p, target);
    }
    else {
        put_name(p, data);
    }
}

static void put_record(packet_t *p, const char *owner, uint16_t type, const char *data)
{
    size_t at;

    put_name(p, owner);
    put16(p, type);
    put16(p, 1);
    put(p, "\0\0\0\074", 4);
    at = p->len;
    put16(p, 0);
    put_data(p, type, data);
    p->bytes[at] = (uint8_t)((p->len - at - 2) >> 8);
    p->bytes[at + 1] = (uint8_t)(p->len - at - 2);
}

static const dns_rule_t *find(const dns_t *d, const char *name, uint16_t type)
{
    for (const dns_rule_t *r = d->rules; r->name; r++) {
        if (strcasecmp(r->name, name) == 0 && (!type || r->type == type)) {
            return r;
        }
    }
    return NULL;
}

static unsigned put_records(packet_t *p, const dns_rule_t *r)
{
    unsigned n = 0;

    for (unsigned t = 0; t < (r->times ? r->times : 1); t++) {
        for (unsigned i = 0; r->data[i]; i++, n++) {
            put_record(p, r->name, r->type, r->data[i]);
        }
    }
    return n;
}

/* All of a chain of aliases, as a server that resolves for others does. Returns the code. */
static unsigned put_answer(const dns_t *d, packet_t *p, const char *name, uint16_t type,
                           unsigned *count)
{
    const dns_rule_t *alias;

    *count = 0;
    while ((alias = find(d, name, DNS_CNAME)) != NULL) {
        *count += put_records(p, alias);
        name = alias->data[0];
    }
    if (find(d, name, type)) {
        *count += put_records(p, find(d, name, type));
    }
    return find(d, name, 0) ? 0 : 3;
}

/* Reads the question, which begins behind the header; its length, 0: it is none. */
static size_t read_question(const packet_t *q, char name[256], uint16_t *type)
{
    size_t at = HEADER, len = 0;

    while (at < q->len && q->bytes[at] && len + q->bytes[at] + 2 < 256) {
        memcpy(name + len, q->bytes + at + 1, q->bytes[at]);
        len += q->bytes[at];
        name[len++] = '.';
        at += q->bytes[at] + 1u;
    }
    name[len ? len - 1 : 0] = '\0';
    if (at + 5 > q->len) {
        return 0;
    }
    *type = (uint16_t)(q->bytes[at + 1] << 8 | q->bytes[at + 2]);
    return at + 5 - HEADER;
}

static void begin(packet_t *a, const packet_t *q, size_t question)
{
    a->len = 0;
    put(a, q->bytes, HEADER + question);
    memset(a->bytes + 2, 0, HEADER - 2);
    a->bytes[2] = 0x81; /* an answer; recursion was wanted, */
    a->bytes[3] = 0x80; /* and is done */
    a->bytes[5] = 1;
}

/* False: nothing is to be said. */
static bool answer(dns_t *d, const packet_t *q, packet_t *a, bool tcp, dns_mode_t *mode)
{
    char name[256];
    uint16_t type;
    size_t question = read_question(q, name, &type);
    const dns_rule_t *rule = question ? find(d, name, type) : NULL;
    unsigned code, count;

    if (!question) {
        return false;
    }
    snprintf(d->log + strlen(d->log), sizeof(d->log) - strlen(d->log), "%s %u\n", name, type);
    d->asked++;
    d->asked_tcp += tcp;
    *mode = rule ? rule->mode : DNS_SAYS;
    begin(a, q, question);
    code = put_answer(d, a, name, type, &count);
    a->bytes[6] = (uint8_t)(count >> 8);
    a->bytes[7] = (uint8_t)count;
    if (*mode == DNS_SERVFAIL || *mode == DNS_REFUSED) {
        begin(a, q, question);
        code = *mode == DNS_SERVFAIL ? 2 : 5;
    }
    if (*mode == DNS_NONSENSE) {
        a->len -= 3;
    }
    if (!tcp && (*mode == DNS_TRUNCATED || a->len > UDP_SIZE)) {
        begin(a, q, question);
        a->bytes[2] |= 2;
    }
    a->bytes[3] |= (uint8_t)code;
    return *mode != DNS_SILENT;
}

static void serve_udp(dns_t *d)
{
    static _Thread_local packet_t q, a;
    struct sockaddr_in from;
    socklen_t len = sizeof(from);
    ssize_t n = recvfrom(d->udp, q.bytes, sizeof(q.bytes), 0, (struct sockaddr *)&from, &len);
    dns_mode_t mode;

    q.len = n > 0 ? (size_t)n : 0;
    if (q.len < HEADER || !answer(d, &q, &a, false, &mode)) {
        return;
    }
    if (mode == DNS_WRONG_ID) {
        a.bytes[0] ^= 0x55;
        a.bytes[a.len - 1] ^= 0x55;
        sendto(d->udp, a.bytes, a.len, 0, (struct sockaddr *)&from, len);
        a.bytes[0] ^= 0x55;
        a.bytes[a.len - 1] ^= 0x55;
    }
    sendto(d->udp, a.bytes, a.len, 0, (struct sockaddr *)&from, len);
}

static bool serve_tcp(dns_t *d, int fd)
{
    static _Thread_local packet_t q, a;
    uint8_t size[2];
    dns_mode_t mode;

    if (recv(fd, size, 2, MSG_WAITALL) != 2) {
        return false;
    }
    q.len = (size_t)(size[0] << 8 | size[1]);
    if (recv(fd, q.bytes, q.len, MSG_WAITALL) != (ssize_t)q.len || q.len < HEADER) {
        return false;
    }
    if (answer(d, &q, &a, true, &mode)) {
        size[0] = (uint8_t)(a.len >> 8);
        size[1] = (uint8_t)a.len;
        return send(fd, size, 2, MSG_NOSIGNAL | MSG_MORE) == 2
               && send(fd, a.bytes, a.len, MSG_NOSIGNAL) == (ssize_t)a.len;
    }
    return true;
}

static void take_connection(dns_t *d)
{
    int fd = accept(d->tcp, NULL, NULL);

    for (unsigned i = 0; i < DNS_MAX_CONNECTIONS && fd >= 0; i++) {
        if (d->connection[i] < 0) {
            d->connection[i] = fd;
            return;
        }
    }
    close(fd);
}

static void *run(void *arg)
{
    dns_t *d = arg;

    for (;;) {
        struct pollfd p[3 + DNS_MAX_CONNECTIONS] = {
            { .fd = d->quit[0], .events = POLLIN },
            { .fd = d->udp, .events = POLLIN },
            { .fd = d->tcp, .events = POLLIN },
        };

        for (unsigned i = 0; i < DNS_MAX_CONNECTIONS; i++) {
            p[3 + i] = (struct pollfd){ .fd = d->connection[i], .events = POLLIN };
        }
        poll(p, 3 + DNS_MAX_CONNECTIONS, -1);
        if (p[0].revents) {
            return NULL;
        }
        if (p[1].revents) {
            serve_udp(d);
        }
        for (unsigned i = 0; i < DNS_MAX_CONNECTIONS; i++) {
            if (p[3 + i].revents && !serve_tcp(d, d->connection[i])) {
                close(d->connection[i]);
                d->connection[i] = -1;
            }
        }
        if (p[2].revents) {
            take_connection(d);
        }
    }
}

void dns_start(dns_t *d, const char *address, uint16_t port, const dns_rule_t *rules)
{
    struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(port) };
    socklen_t len = sizeof(in);
    int on = 1;

    memset(d, 0, sizeof(*d));
    d->rules = rules;
    for (unsigned i = 0; i < DNS_MAX_CONNECTIONS; i++) {
        d->connection[i] = -1;
    }
    inet_pton(AF_INET, address, &in.sin_addr);
    d->tcp = socket(AF_INET, SOCK_STREAM, 0);
    d->udp = socket(AF_INET, SOCK_DGRAM, 0);
    setsockopt(d->tcp, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    assert_int_equal(bind(d->tcp, (struct sockaddr *)&in, sizeof(in)), 0);
    assert_int_equal(listen(d->tcp, 8), 0);
    getsockname(d->tcp, (struct sockaddr *)&in, &len);
    assert_int_equal(bind(d->udp, (struct sockaddr *)&in, sizeof(in)), 0);
    d->port = ntohs(in.sin_port);
    assert_int_equal(pipe(d->quit), 0);
    assert_int_equal(pthread_create(&d->thread, NULL, run, d), 0);
}

void dns_stop(dns_t *d)
{
    close(d->quit[1]);
    pthread_join(d->thread, NULL);
    close(d->quit[0]);
    close(d->udp);
    close(d->tcp);
    for (unsigned i = 0; i < DNS_MAX_CONNECTIONS; i++) {
        if (d->connection[i] >= 0) {
            close(d->connection[i]);
        }
    }
}

unsigned dns_count(const dns_t *d, const char *name, uint16_t type)
{
    char line[300];
    unsigned n = 0;
    size_t len = (size_t)snprintf(line, sizeof(line), "%s %u\n", name, type);

    for (const char *p = d->log; *p; p = strchr(p, '\n') + 1) {
        n += strncasecmp(p, line, len) == 0;
    }
    return n;
}
