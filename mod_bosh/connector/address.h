/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* Where a server may be reached. Needs nothing but libc. */
#ifndef BOSH_CONNECTOR_ADDRESS_H
#define BOSH_CONNECTOR_ADDRESS_H

#include <stdbool.h>
#include <stdint.h>

/* IPv4 in the first four bytes; the port in the machine's own order. */
typedef struct address_t {
    int family; /* AF_INET, AF_INET6 */
    uint8_t bytes[16];
    uint16_t port;
} address_t;

typedef struct target_t {
    address_t address;
    bool direct; /* TLS from the first byte */
} target_t;

#endif
