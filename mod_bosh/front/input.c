/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* A request's body, as httpd's filters give it: without chunks, inflated if they do that. */

#include "front_int.h"

#include "util_filter.h"

#define READ_SIZE 8192

bool input_is_inflated(const request_rec *r)
{
    for (const ap_filter_t *f = r->input_filters; f; f = f->next) {
        if (strcasecmp(f->frec->name, "DEFLATE") == 0) {
            return true;
        }
    }
    return false;
}

/* Adds what is in bb. An error: too long, too. */
static apr_status_t take_bytes(apr_bucket_brigade *bb, bosh_buf_t *in, size_t max, bool *ended)
{
    for (apr_bucket *e = APR_BRIGADE_FIRST(bb); e != APR_BRIGADE_SENTINEL(bb) && !*ended;
         e = APR_BUCKET_NEXT(e)) {
        const char *bytes;
        apr_size_t len;
        apr_status_t rv;

        *ended = APR_BUCKET_IS_EOS(e);
        if (APR_BUCKET_IS_METADATA(e)) {
            continue;
        }
        rv = apr_bucket_read(e, &bytes, &len, APR_BLOCK_READ);
        if (rv != APR_SUCCESS) {
            return rv;
        }
        if (len > max - in->len) {
            return APR_ENOSPC;
        }
        if (!bosh_buf_add(in, bytes, len)) {
            return APR_ENOMEM;
        }
    }
    return APR_SUCCESS;
}

/* A filter that inflates may have nothing to give yet, which ap_get_client_block() would
 * make look like the end. */
apr_status_t input_read(request_rec *r, bosh_buf_t *in)
{
    size_t max = bosh_config(r->server)->max_body;
    apr_bucket_brigade *bb;
    apr_status_t rv = APR_SUCCESS;
    bool ended = false;

    if (ap_setup_client_block(r, REQUEST_CHUNKED_DECHUNK) != OK) {
        return APR_EGENERAL;
    }
    if (r->remaining > 0 && (apr_uint64_t)r->remaining > max) {
        return APR_ENOSPC;
    }
    if (!ap_should_client_block(r)) {
        return APR_SUCCESS;
    }
    bb = apr_brigade_create(r->pool, r->connection->bucket_alloc);
    while (rv == APR_SUCCESS && !ended) {
        rv = ap_get_brigade(r->input_filters, bb, AP_MODE_READBYTES, APR_BLOCK_READ, READ_SIZE);
        if (rv == APR_SUCCESS) {
            rv = take_bytes(bb, in, max, &ended);
        }
        apr_brigade_cleanup(bb);
    }
    apr_brigade_destroy(bb);
    return rv;
}

apr_status_t input_look_behind(request_rec *r, bool *is_next)
{
    conn_rec *c = r->connection;
    apr_bucket_brigade *bb = apr_brigade_create(r->pool, c->bucket_alloc);
    apr_off_t len = 0;
    apr_status_t rv =
        ap_get_brigade(c->input_filters, bb, AP_MODE_SPECULATIVE, APR_NONBLOCK_READ, 1);

    *is_next = rv == APR_SUCCESS && apr_brigade_length(bb, 0, &len) == APR_SUCCESS && len > 0;
    apr_brigade_destroy(bb);
    return rv;
}
