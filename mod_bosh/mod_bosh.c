/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* mod_bosh - XMPP over BOSH (XEP-0124, XEP-0206) for Apache httpd: the module record. */

#include "httpd.h"
#include "http_config.h"

#include "bosh/config.h"
#include "bosh/front.h"
#include "bosh/parent.h"

static void register_hooks(apr_pool_t *p)
{
    bosh_config_register_hooks(p);
    bosh_parent_register_hooks(p);
    bosh_front_register_hooks(p);
}

module AP_MODULE_DECLARE_DATA bosh_module = {
    STANDARD20_MODULE_STUFF, bosh_config_create_dir, NULL,           bosh_config_create,
    bosh_config_merge,       bosh_config_directives, register_hooks, AP_MODULE_FLAG_NONE,
};
