/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * A space between two stanzas, when nothing was written for long (RFC 6120 section 4.6.1), for
 * servers that close idle streams, and for machines on the way that forget idle connections.
 *
 * Spaces must not come before the client has logged in (sections 5.3.3 and 6.3.5), and the
 * client's login is known by what the server says: SASL's <success/>, and then features, be it
 * after the stream was begun anew or without that (XEP-0388). A login without SASL (XEP-0078)
 * is not seen, and so gets no spaces.
 */

#include "connector_int.h"

void keepalive_note(c2s_t *c, bosh_stanza_kind_t kind, bosh_str_t xml)
{
    if (c->upstream->keepalive == 0 || c->is_logged_in) {
        return;
    }
    if (kind == BOSH_STANZA_FEATURES) {
        c->is_logged_in = c->has_success;
    }
    else {
        c->has_success = c->has_success
                         || down_begins(xml, "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'")
                         || down_begins(xml, "<success xmlns='urn:xmpp:sasl:2'");
    }
}

/* What is not written yet, or not taken by the other end, comes first: it shows as well whether
 * somebody is there. After a restart the server's header has to come. */
static bool is_at_rest(const c2s_t *c)
{
    return c->state == STREAMING && c->is_up && c->is_logged_in && c->out.len == 0 && !c->is_cut
           && !c->link.owes && up_unacknowledged(c) == 0;
}

void keepalive_tick(c2s_t *c)
{
    bosh_msec_t pause = BOSH_SEC(c->upstream->keepalive);

    if (pause > 0 && c->k->now - c->wrote >= pause && is_at_rest(c)) {
        c->is_space_last = true;
        bosh_buf_add_z(&c->out, " ");
        up_flush(c);
    }
}
