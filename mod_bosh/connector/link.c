/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* A connection's bytes, through TLS if it has that. */

#include "connector_int.h"

apr_status_t link_send(link_t *l, const char *p, apr_size_t *n)
{
    return l->tls ? tls_write(l->tls, p, n) : apr_socket_send(l->sock, p, n);
}

apr_status_t link_recv(link_t *l, char *p, apr_size_t *n)
{
    return l->tls ? tls_read(l->tls, p, n) : apr_socket_recv(l->sock, p, n);
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
