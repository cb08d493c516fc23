/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * Which addresses a name may lead to. Whoever owns a domain chooses what its DNS says, so
 * without this anybody could send the connector to machines that only it can reach.
 *
 * Pure. To be asked about the address that is about to be connected to, never about a name.
 */
#ifndef BOSH_CONNECTOR_POLICY_H
#define BOSH_CONNECTOR_POLICY_H

#include "bosh/store.h"

#include "address.h"

/* An address of the public Internet, as IANA's registries of special-purpose addresses tell
 * it: not of this machine, of a private network, of a single link, of many, or of nobody. */
bool policy_is_public(const address_t *a);

/* This machine, as one calls it. */
bool policy_is_loopback(const address_t *a);

/* An IPv4 address that is written as IPv6 (::ffff:0:0/96) is an IPv4 address. */
bool policy_is_in(const bosh_network_t *network, const address_t *a);

/* Public, or in one of these. */
bool policy_is_allowed(const bosh_network_t networks[BOSH_MAX_NETWORKS], const address_t *a);

#endif
