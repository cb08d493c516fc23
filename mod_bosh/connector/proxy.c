/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * Who the client is, for the XMPP server's log and limits: the PROXY protocol's header,
 * version 1 (a line) or 2 (binary), before anything else on the connection.
 */

#include <stdio.h>
#include <string.h>

#include <arpa/inet.h>

#include "connector_int.h"

#define V1_MAX 107 /* with its CR LF */
#define V2_MAX 52  /* 16, and two IPv6 addresses and ports */

static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

/* As IPv6, IPv4 mapped into that. False: not an address. */
static bool parse(const char *text, uint8_t bytes[16])
{
    memcpy(bytes, mapped, sizeof(mapped));
    return inet_pton(AF_INET, text, bytes + 12) == 1 || inet_pton(AF_INET6, text, bytes) == 1;
}

static bool is_ipv4(const uint8_t bytes[16])
{
    return memcmp(bytes, mapped, sizeof(mapped)) == 0;
}

/* Both of one family: behind another proxy (mod_remoteip) an IPv6 client may have come to an
 * IPv4 address, and servers refuse to know nothing of the client. AF_UNSPEC: nothing is known. */
static int ends(const bosh_upstream_t *u, uint8_t client[16], uint8_t local[16])
{
    if (!parse(u->client, client) || !parse(u->local, local)) {
        return AF_UNSPEC;
    }
    if (!is_ipv4(client) || !is_ipv4(local)) {
        return AF_INET6;
    }
    memmove(client, client + 12, 4);
    memmove(local, local + 12, 4);
    return AF_INET;
}

static size_t write_v1(const bosh_upstream_t *u, char *out)
{
    uint8_t client[16], local[16];
    char a[INET6_ADDRSTRLEN], b[INET6_ADDRSTRLEN];
    int family = ends(u, client, local);

    if (family == AF_UNSPEC) {
        return (size_t)snprintf(out, V1_MAX, "PROXY UNKNOWN\r\n");
    }
    inet_ntop(family, client, a, sizeof(a));
    inet_ntop(family, local, b, sizeof(b));
    return (size_t)snprintf(out, V1_MAX, "PROXY %s %s %s %u %u\r\n",
                            family == AF_INET ? "TCP4" : "TCP6", a, b, u->client_port,
                            u->local_port);
}

static char *put_port(char *at, uint16_t port)
{
    at[0] = (char)(port >> 8);
    at[1] = (char)(port & 0xff);
    return at + 2;
}

static size_t write_v2(const bosh_upstream_t *u, char *out)
{
    static const char signature[12] = { '\r', '\n', '\r', '\n', 0,   '\r',
                                        '\n', 'Q',  'U',  'I',  'T', '\n' };
    uint8_t client[16], local[16];
    int family = ends(u, client, local);
    size_t n = family == AF_INET ? 4 : family == AF_INET6 ? 16 : 0;
    char *at = out + 16;

    memcpy(out, signature, sizeof(signature));
    out[12] = 0x21; /* version 2, on behalf of another */
    out[13] = n == 4 ? 0x11 : n == 16 ? 0x21 : 0;
    put_port(out + 14, n ? (uint16_t)(2 * n + 4) : 0);
    if (!n) {
        return 16;
    }
    memcpy(at, client, n);
    memcpy(at + n, local, n);
    at = put_port(at + 2 * n, u->client_port);
    at = put_port(at, u->local_port);
    return (size_t)(at - out);
}

/* A fresh socket takes so little at once. */
bool proxy_send(c2s_t *c)
{
    char header[V1_MAX + 1];
    apr_size_t len, sent;

    if (!c->upstream->proxy) {
        return true;
    }
    len = c->upstream->proxy == 1 ? write_v1(c->upstream, header) : write_v2(c->upstream, header);
    sent = len;
    return apr_socket_send(c->link.sock, header, &sent) == APR_SUCCESS && sent == len;
}
