/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* A connection's bytes, through TLS if it has that. */

#include "connector_int.h"

static apr_status_t status_of(tls_result_t result)
{
    switch (result) {
    case TLS_DONE: return APR_SUCCESS;
    case TLS_WANTS_READ:
    case TLS_WANTS_WRITE: return APR_EAGAIN;
    case TLS_CLOSED:
    case TLS_CUT: return APR_EOF;
    default: return APR_EGENERAL;
    }
}

apr_status_t link_send(link_t *l, const char *p, apr_size_t *n)
{
    size_t len = *n;

    return l->tls ? status_of(tls_write(l->tls, p, len, n)) : apr_socket_send(l->sock, p, n);
}

apr_status_t link_recv(link_t *l, char *p, apr_size_t *n)
{
    size_t size = *n;
    tls_result_t result;

    if (!l->tls) {
        return apr_socket_recv(l->sock, p, n);
    }
    result = tls_read(l->tls, p, size, n);
    l->owes = result == TLS_WANTS_WRITE;
    return status_of(result);
}

const char *link_why(const link_t *l, apr_status_t rv, char *text, apr_size_t size)
{
    if (APR_STATUS_IS_EOF(rv)) {
        return "the server closed it";
    }
    return l->tls ? tls_reason(l->tls) : apr_strerror(rv, text, size);
}

bool link_has_more(const link_t *l)
{
    return l->tls && tls_pending(l->tls);
}

void link_finish(link_t *l)
{
    if (l->tls) {
        tls_shutdown(l->tls);
    }
    apr_socket_shutdown(l->sock, APR_SHUTDOWN_WRITE);
}

void link_close(connector_t *k, link_t *l)
{
    if (l->tls) {
        tls_free(l->tls);
        l->tls = NULL;
    }
    if (l->sock) {
        shell_close(k, l->sock);
        l->sock = NULL;
    }
}
