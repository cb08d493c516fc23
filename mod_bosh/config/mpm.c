/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* MPMs that this module cannot live with. */
#include "config_int.h"

#include "http_log.h"

APLOG_USE_MODULE(bosh);

/* mpm-itk serves each connection in a process that it forks for it, out of a child that is one
 * of ours already: the thread that would wake a request stays behind in that child, and it
 * hears all knocks. */
bool bosh_config_can_wait(void)
{
    return !ap_find_linked_module("mpm_itk.c");
}

void bosh_config_warn_mpm(const server_rec *main_server)
{
    if (!bosh_config_can_wait()) {
        ap_log_error(APLOG_MARK, APLOG_ERR, 0, main_server,
                     BOSHNO(0013) "mpm_itk_module is loaded, and with it no request can be held: "
                                  "BOSH requests get 503");
    }
}
