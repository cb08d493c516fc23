/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* Which addresses a name may lead to: tables of ranges, and the look into them. */

#include <string.h>
#include <sys/socket.h>

#include "policy.h"

/* https://www.iana.org/assignments/iana-ipv4-special-registry; all others are public. Blocks
 * with a few addresses in them that are for everybody (192.0.0.9) are taken as a whole: no XMPP
 * server is there. */
static const struct {
    uint8_t bytes[4];
    uint8_t bits;
} special4[] = {
    { { 0 }, 8 },             /* this network; Linux takes 0.0.0.0 for itself */
    { { 10 }, 8 },            /* private */
    { { 100, 64 }, 10 },      /* shared by a provider's customers (CGNAT) */
    { { 127 }, 8 },           /* loopback */
    { { 169, 254 }, 16 },     /* link-local; clouds tell secrets there */
    { { 172, 16 }, 12 },      /* private */
    { { 192, 0, 0 }, 24 },    /* protocol assignments */
    { { 192, 0, 2 }, 24 },    /* documentation */
    { { 192, 88, 99 }, 24 },  /* 6to4 relays, withdrawn */
    { { 192, 168 }, 16 },     /* private */
    { { 198, 18 }, 15 },      /* benchmarks */
    { { 198, 51, 100 }, 24 }, /* documentation */
    { { 203, 0, 113 }, 24 },  /* documentation */
    { { 224 }, 4 },           /* multicast */
    { { 240 }, 4 },           /* reserved; broadcast */
};

typedef enum verdict_t { REFUSED, PUBLIC, EMBEDS } verdict_t;

/*
 * The first that fits decides; where none does, it is REFUSED: outside of 2000::/3 there are
 * loopback, unique local, link-local, site-local, multicast, discarded, IPv4-compatible addresses
 * and those of nobody. EMBEDS: a translator, or this machine, sends it to the IPv4 address that
 * is at that byte.
 *
 * https://www.iana.org/assignments/iana-ipv6-special-registry
 */
static const struct {
    uint8_t bytes[16];
    uint8_t bits;
    verdict_t verdict;
    uint8_t at;
} ranges6[] = {
    { { [10] = 0xff, 0xff }, 96, EMBEDS, 12 },      /* ::ffff:0:0/96, IPv4-mapped */
    { { 0x00, 0x64, 0xff, 0x9b }, 96, EMBEDS, 12 }, /* 64:ff9b::/96, NAT64. Not 64:ff9b:1::/48,
                                                              where the IPv4 address may be anywhere */
    { { 0x20, 0x01 }, 23, REFUSED, 0 },             /* Teredo, ORCHID, benchmarks, and so on */
    { { 0x20, 0x01, 0x0d, 0xb8 }, 32, REFUSED, 0 }, /* documentation */
    { { 0x20, 0x02 }, 16, EMBEDS, 2 },              /* 6to4 */
    { { 0x3f, 0xff }, 20, REFUSED, 0 },             /* documentation */
    { { 0x20 }, 3, PUBLIC, 0 },                     /* global unicast */
};

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

static bool has_prefix(const uint8_t *bytes, const uint8_t *prefix, unsigned bits)
{
    unsigned whole = bits / 8, rest = bits % 8;

    return memcmp(bytes, prefix, whole) == 0
           && (rest == 0 || ((bytes[whole] ^ prefix[whole]) >> (8 - rest)) == 0);
}

static bool is_public4(const uint8_t *bytes)
{
    for (unsigned i = 0; i < COUNT(special4); i++) {
        if (has_prefix(bytes, special4[i].bytes, special4[i].bits)) {
            return false;
        }
    }
    return true;
}

bool policy_is_public(const address_t *a)
{
    if (a->family == AF_INET) {
        return is_public4(a->bytes);
    }
    for (unsigned i = 0; i < COUNT(ranges6) && a->family == AF_INET6; i++) {
        if (has_prefix(a->bytes, ranges6[i].bytes, ranges6[i].bits)) {
            return ranges6[i].verdict == PUBLIC
                   || (ranges6[i].verdict == EMBEDS && is_public4(a->bytes + ranges6[i].at));
        }
    }
    return false;
}

bool policy_is_loopback(const address_t *a)
{
    static const uint8_t v6[16] = { [15] = 1 };

    return (a->family == AF_INET && a->bytes[0] == 127)
           || (a->family == AF_INET6 && memcmp(a->bytes, v6, 16) == 0);
}

static const uint8_t mapped[16] = { [10] = 0xff, 0xff };

#define MAPPED_BITS 96

bool policy_is_in(const bosh_network_t *network, const address_t *a)
{
    bool is_mapped = a->family == AF_INET6 && has_prefix(a->bytes, mapped, MAPPED_BITS);
    const uint8_t *bytes = is_mapped ? a->bytes + 12 : a->bytes;

    if (a->family != AF_INET && a->family != AF_INET6) {
        return false;
    }
    if (a->family == AF_INET6 && !is_mapped) {
        return network->family == 6 && network->bits <= 128
               && has_prefix(bytes, network->bytes, network->bits);
    }
    if (network->family == 6) { /* only one that is written in the same way: not ::/0 */
        return network->bits >= MAPPED_BITS && network->bits <= 128
               && has_prefix(network->bytes, mapped, MAPPED_BITS)
               && has_prefix(bytes, network->bytes + 12, network->bits - MAPPED_BITS);
    }
    return network->family == 4 && network->bits <= 32
           && has_prefix(bytes, network->bytes, network->bits);
}

bool policy_is_allowed(const bosh_network_t networks[BOSH_MAX_NETWORKS], const address_t *a)
{
    for (unsigned i = 0; i < BOSH_MAX_NETWORKS; i++) {
        if (policy_is_in(&networks[i], a)) {
            return true;
        }
    }
    return policy_is_public(a);
}
