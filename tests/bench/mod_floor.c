/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * mod_floor - the least that httpd can do for a POST, for the benchmark: a handler
 * that reads the document and answers with one of the size of an echoed message.
 * What a request costs here no module in httpd can save.
 */
#include "httpd.h"
#include "http_config.h"
#include "http_protocol.h"

#include "apr_strings.h"

static const char answer[] =
    "<body xmlns='http://jabber.org/protocol/httpbind'>"
    "<message xmlns='jabber:client' from='0123456789abcdef0123456789abcdef@localhost/01234567' "
    "to='0123456789abcdef0123456789abcdef@localhost/01234567' type='chat' id='m1234'><body>"
    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
    "</body></message></body>";

static int floor_handler(request_rec *r)
{
    char buf[8192];
    int rv;

    if (r->handler == NULL || strcmp(r->handler, "floor") != 0) {
        return DECLINED;
    }
    rv = ap_setup_client_block(r, REQUEST_CHUNKED_DECHUNK);
    if (rv != OK) {
        return rv;
    }
    if (ap_should_client_block(r)) {
        while (ap_get_client_block(r, buf, sizeof(buf)) > 0) {
            /* Reading is all that is wanted. */
        }
    }
    ap_set_content_type(r, "text/xml; charset=utf-8");
    ap_set_content_length(r, sizeof(answer) - 1);
    ap_rwrite(answer, sizeof(answer) - 1, r);
    return OK;
}

static void register_hooks(apr_pool_t *p)
{
    (void)p;
    ap_hook_handler(floor_handler, NULL, NULL, APR_HOOK_MIDDLE);
}

AP_DECLARE_MODULE(floor)
= { STANDARD20_MODULE_STUFF, NULL, NULL, NULL, NULL, NULL, register_hooks, AP_MODULE_FLAG_NONE };
