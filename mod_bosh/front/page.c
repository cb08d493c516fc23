/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* What a GET shows: what this is, and whether it works. */

#include "front_int.h"

static const char *state_text(const bosh_store_status_t *s)
{
    if (!room_store()) {
        return "It is not working: see the error log.";
    }
    return s->connectors ? "The connector to XMPP servers is running."
                         : "The connector to XMPP servers is not running: see the error log.";
}

int page_handler(request_rec *r)
{
    bosh_store_status_t status = { 0 };

    if (room_store()) {
        bosh_store_status(room_store(), bosh_now(), &status);
    }
    ap_set_content_type(r, "text/html; charset=utf-8");
    apr_table_setn(r->headers_out, "Cache-Control", "no-store");
    apr_table_setn(r->headers_out, "X-Content-Type-Options", "nosniff");
    if (!r->header_only) {
        ap_rvputs(r,
                  "<!DOCTYPE html>\n<html lang=\"en\"><head><title>XMPP over BOSH</title></head>"
                  "<body><h1>XMPP over BOSH</h1>\n<p>This address is for web chat clients that "
                  "speak <a href=\"https://xmpp.org/extensions/xep-0124.html\">BOSH</a>. "
                  "Give it to your client as its BOSH URL.</p>\n<p>",
                  state_text(&status), "</p></body></html>\n", NULL);
    }
    return OK;
}
