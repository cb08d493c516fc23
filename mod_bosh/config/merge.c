/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * Configuration records: made, merged, found.
 */
#include "config_int.h"

#include "apr_strings.h"
#include "http_core.h"

/* Per directory there is one thing to know, and httpd makes such a record only for
 * sections with a directive of ours. There are none; finish.c puts them in place. */
typedef struct bosh_dir_conf_t {
    const char *location;
    bool is_pattern;
} bosh_dir_conf_t;

bosh_conf_t *bosh_config_raw(const server_rec *s)
{
    return ap_get_module_config(s->module_config, &bosh_module);
}

void *bosh_config_create(apr_pool_t *p, server_rec *s)
{
    bosh_conf_t *conf = apr_pcalloc(p, sizeof(*conf));

    (void)s;
    for (const bosh_option_t *o = bosh_config_options; o->name; o++) {
        bosh_config_set(conf, o, BOSH_UNSET);
    }
    return conf;
}

void *bosh_config_merge(apr_pool_t *p, void *base, void *add)
{
    const bosh_conf_t *main_conf = base;
    const bosh_conf_t *host_conf = add;
    bosh_conf_t *conf = apr_pmemdup(p, host_conf, sizeof(*conf));

    for (const bosh_option_t *o = bosh_config_options; o->name; o++) {
        if (bosh_config_get(host_conf, o) == BOSH_UNSET) {
            bosh_config_set(conf, o, bosh_config_get(main_conf, o));
        }
    }
    if (!host_conf->domains) {
        conf->domains = main_conf->domains;
    }
    if (!host_conf->gone) {
        conf->gone = main_conf->gone;
    }
    if (!host_conf->origins) {
        conf->origins = main_conf->origins;
    }
    if (!host_conf->networks) {
        conf->networks = main_conf->networks;
    }
    if (!host_conf->routes) {
        conf->routes = main_conf->routes;
    }
    if (!host_conf->ca_file) {
        conf->ca_file = main_conf->ca_file;
    }
    if (!host_conf->ca_path) {
        conf->ca_path = main_conf->ca_path;
    }
    if (!host_conf->see_other) {
        conf->see_other = main_conf->see_other;
    }
    return conf;
}

void *bosh_config_create_dir(apr_pool_t *p, char *path)
{
    bosh_dir_conf_t *dir = apr_pcalloc(p, sizeof(*dir));

    dir->location = path ? apr_pstrdup(p, path) : "";
    return dir;
}

void bosh_config_mark(apr_pool_t *p, ap_conf_vector_t *section)
{
    const core_dir_config *core = ap_get_core_module_config(section);
    bosh_dir_conf_t *dir = bosh_config_create_dir(p, core->d);

    dir->is_pattern = core->r || core->d_is_fnmatch;
    ap_set_module_config(section, &bosh_module, dir);
}

const bosh_conf_t *bosh_config(const server_rec *s)
{
    return bosh_config_raw(s);
}

const char *bosh_config_location(const request_rec *r)
{
    const bosh_dir_conf_t *dir = ap_get_module_config(r->per_dir_config, &bosh_module);

    return dir ? dir->location : "";
}

bool bosh_config_is_pattern(const request_rec *r)
{
    const bosh_dir_conf_t *dir = ap_get_module_config(r->per_dir_config, &bosh_module);

    return dir && dir->is_pattern;
}
