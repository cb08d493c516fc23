/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* BoshAddressAllow: networks, as 10.0.0.0/8, fd00::/8, 127.0.0.1. */
#include "config_int.h"

#include <arpa/inet.h>
#include <string.h>

#include "apr_strings.h"

static const char *complain(apr_pool_t *p, const char *text)
{
    return apr_psprintf(p,
                        "takes networks such as 10.0.0.0/8 or fd00::/8, addresses such as "
                        "127.0.0.1, or none; not '%s'",
                        text);
}

static void clear_beyond(bosh_network_t *network)
{
    unsigned size = network->family == 4 ? 32 : 128;

    for (unsigned bit = network->bits; bit < size; bit++) {
        network->bytes[bit / 8] &= (uint8_t) ~(0x80u >> bit % 8);
    }
}

/* ::ffff:0:0/96, whose addresses are judged by the IPv4 address within. */
static bool is_mapped(const bosh_network_t *network)
{
    static const uint8_t prefix[12] = { [10] = 0xff, [11] = 0xff };

    return network->family == 6 && network->bits >= 96
           && memcmp(network->bytes, prefix, sizeof(prefix)) == 0;
}

static bool read_bits(const char *slash, bosh_network_t *network)
{
    unsigned most = network->family == 4 ? 32 : 128;
    uint64_t bits = most;
    bool is_good = !slash || bosh_parse_uint(bosh_str(slash + 1), most, &bits);

    network->bits = (uint8_t)bits;
    return is_good;
}

const char *bosh_config_parse_network(apr_pool_t *p, const char *text, bosh_network_t *network)
{
    size_t len = strcspn(text, "/");
    const char *address = apr_pstrmemdup(p, text, len);
    bosh_network_t whole;

    memset(network, 0, sizeof(*network));
    network->family = strchr(address, ':') ? 6 : 4;
    if (inet_pton(network->family == 4 ? AF_INET : AF_INET6, address, network->bytes) != 1
        || !read_bits(text[len] ? text + len : NULL, network)) {
        return complain(p, text);
    }
    whole = *network;
    clear_beyond(network);
    if (memcmp(network->bytes, whole.bytes, sizeof(whole.bytes)) != 0) {
        return apr_psprintf(p, "%s: the address has bits beyond the first %u; write %s", text,
                            network->bits, bosh_config_network_text(p, network));
    }
    if (is_mapped(network)) {
        return apr_psprintf(p, "%s: write the IPv4 address itself", text);
    }
    return NULL;
}
