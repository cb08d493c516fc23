/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* Domain names with other letters than ASCII's, as DNS and certificates have them. */
#ifndef BOSH_CONNECTOR_IDN_H
#define BOSH_CONNECTOR_IDN_H

#include <stdbool.h>
#include <stddef.h>

#define IDN_SIZE 254 /* of a name in ASCII, with its NUL: RFC 1035 */

/*
 * UTF-8 to A-labels (RFC 3492), ASCII letters to lower case, without the dot of a fully
 * qualified name. No other letters are mapped: XMPP domains are in their normal form (RFC 7622
 * section 3.2). Two names give the same only if they are the same.
 * False: not valid UTF-8, an empty or overlong label, a space or a control.
 */
bool idn_to_ascii(char *out, size_t size, const char *name, size_t len);

#endif
