/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * Which site's page sent this request, and whether it may: browsers say it in Origin and
 * Sec-Fetch-…, which pages cannot forge. Programs that are no browsers send neither, and
 * are never refused here.
 */

#include "front_int.h"

#include "apr_lib.h"

#define MAX_AGE "86400"

/* Headers a page may send beside those that need no leave: they mean nothing to us. */
static const char *const harmless[] = { "Accept",        "Accept-Language", "Content-Type",
                                        "Cache-Control", "Pragma",          "X-Requested-With" };

/* ---- the site itself ---------------------------------------------------- */

typedef struct authority_t {
    bosh_str_t host, port; /* port: "" if it is a default one, of either scheme */
} authority_t;

/* A proxy in front may speak TLS where we do not: that 80 and 443 are not the same
 * there, nobody here can tell. */
static authority_t split(bosh_str_t text)
{
    authority_t a = { text, BOSH_STR("") };

    for (size_t i = text.len; i > 0 && text.p[i - 1] != ']'; i--) {
        if (text.p[i - 1] == ':') {
            a.host.len = i - 1;
            a.port = (bosh_str_t){ text.p + i, text.len - i };
            break;
        }
    }
    if (bosh_str_eq(a.port, "80") || bosh_str_eq(a.port, "443")) {
        a.port.len = 0;
    }
    return a;
}

static bool is_same(bosh_str_t one, bosh_str_t other)
{
    authority_t a = split(one), b = split(other);

    return a.host.len > 0 && a.host.len == b.host.len
           && strncasecmp(a.host.p, b.host.p, a.host.len) == 0 && bosh_str_same(a.port, b.port);
}

/* In a list with commas. */
static bool is_in(bosh_str_t authority, const char *list)
{
    while (list && *list) {
        size_t len = strcspn(list, ",");
        bosh_str_t item = { list, len };

        while (item.len > 0 && apr_isspace(*item.p)) {
            item.p++;
            item.len--;
        }
        while (item.len > 0 && apr_isspace(item.p[item.len - 1])) {
            item.len--;
        }
        if (is_same(authority, item)) {
            return true;
        }
        list += len + (list[len] == ',');
    }
    return false;
}

/* X-Forwarded-Host: of a proxy that calls us by another name. No page of another site
 * can add it: that needs a leave (a preflight) which it does not get. */
static bool is_own(const request_rec *r, const char *origin)
{
    const char *site = apr_table_get(r->headers_in, "Sec-Fetch-Site");
    const char *sep = strstr(origin, "://");

    if (site && strcmp(site, "same-origin") == 0) {
        return true;
    }
    if (strncasecmp(origin, "http://", 7) != 0 && strncasecmp(origin, "https://", 8) != 0) {
        return false;
    }
    return is_in(bosh_str(sep + 3), apr_table_get(r->headers_in, "Host"))
           || is_in(bosh_str(sep + 3), apr_table_get(r->headers_in, "X-Forwarded-Host"));
}

/* ---- CORS --------------------------------------------------------------- */

static void vary_by_origin(request_rec *r)
{
    const char *vary = apr_table_get(r->headers_out, "Vary");

    if (!vary || !ap_find_token(r->pool, vary, "Origin")) {
        apr_table_mergen(r->headers_out, "Vary", "Origin");
    }
}

void origin_set_headers(request_rec *r)
{
    const bosh_conf_t *conf = bosh_config(r->server);
    const char *origin = apr_table_get(r->headers_in, "Origin");

    if (conf->origins->nelts == 0) {
        return;
    }
    if (bosh_config_allows_any_origin(conf)) {
        apr_table_setn(r->headers_out, "Access-Control-Allow-Origin", "*");
        return;
    }
    vary_by_origin(r);
    if (origin && bosh_config_allows_origin(conf, origin)) {
        apr_table_setn(r->headers_out, "Access-Control-Allow-Origin", origin);
    }
}

static const char *allowed_headers(request_rec *r)
{
    const char *asked = apr_table_get(r->headers_in, "Access-Control-Request-Headers");
    const char *allowed = "Content-Type";

    for (size_t i = 0; asked && i < sizeof(harmless) / sizeof(harmless[0]); i++) {
        if (strcmp(harmless[i], allowed) != 0 && ap_find_token(r->pool, asked, harmless[i])) {
            allowed = apr_pstrcat(r->pool, allowed, ", ", harmless[i], NULL);
        }
    }
    return allowed;
}

bool origin_answer_preflight(request_rec *r)
{
    if (!apr_table_get(r->headers_in, "Access-Control-Request-Method")
        || !apr_table_get(r->headers_out, "Access-Control-Allow-Origin")) {
        return false;
    }
    apr_table_setn(r->headers_out, "Access-Control-Allow-Methods", "POST, OPTIONS, GET");
    apr_table_setn(r->headers_out, "Access-Control-Allow-Headers", allowed_headers(r));
    apr_table_setn(r->headers_out, "Access-Control-Max-Age", MAX_AGE);
    ap_set_content_length(r, 0);
    return true;
}

/* ---- who may post ------------------------------------------------------- */

const char *origin_objection(const request_rec *r)
{
    const char *origin = apr_table_get(r->headers_in, "Origin");
    const char *mode = apr_table_get(r->headers_in, "Sec-Fetch-Mode");

    /* A form: its answer would be shown as a page of this site. */
    if (mode && strcmp(mode, "navigate") == 0) {
        return "a browser sent it to show the answer as a page";
    }
    if (origin && !is_own(r, origin)
        && !bosh_config_allows_origin(bosh_config(r->server), origin)) {
        return apr_pstrcat(r->pool, "BoshAllowOrigin does not list ", origin,
                           ", and it is not this site", NULL);
    }
    return NULL;
}
