/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * Chunks that are none, or too many (LimitRequestBody): httpd's own filter answers these
 * while the body is read, with a page that no client of ours can parse. A filter puts a
 * <body/> in its place; the status stays.
 */

#include "front_int.h"

#include "util_filter.h"

#define FILTER "BOSH_ERROR"

static const char document[] =
    "<body xmlns='" BOSH_NS_HTTPBIND "' type='terminate' condition='bad-request'/>";

/* The page comes in one piece or several: all go, and the document leaves with the first. */
static apr_status_t replace_page(ap_filter_t *f, apr_bucket_brigade *page)
{
    apr_size_t len = sizeof(document) - 1;

    apr_brigade_cleanup(page);
    if (f->ctx) {
        return APR_SUCCESS;
    }
    f->ctx = f;
    answer_set_headers(f->r, NULL, (apr_off_t)len);
    APR_BRIGADE_INSERT_TAIL(page, apr_bucket_immortal_create(document, len, page->bucket_alloc));
    APR_BRIGADE_INSERT_TAIL(page, apr_bucket_eos_create(page->bucket_alloc));
    return ap_pass_brigade(f->next, page);
}

/* Other errors have other reasons, which clients are told by their status. */
void errors_insert_filter(request_rec *r)
{
    bool is_about_bytes =
        r->status == HTTP_BAD_REQUEST || r->status == HTTP_REQUEST_ENTITY_TOO_LARGE;

    if (is_about_bytes && r->handler && !strcmp(r->handler, BOSH_HANDLER) && front_is_ours(r)) {
        ap_add_output_filter(FILTER, NULL, r, r->connection);
    }
}

void errors_register(void)
{
    ap_register_output_filter(FILTER, replace_page, NULL, AP_FTYPE_RESOURCE);
}
