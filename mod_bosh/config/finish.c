/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * Once all files are read and virtual hosts merged: defaults, and finding the
 * <Location>s that are ours.
 *
 * A module gets a per-directory record only where one of its own directives stands. In
 *
 *     <Location "/http-bind">
 *         SetHandler bosh
 *     </Location>
 *
 * the directive is the core's, so we put the record there ourselves. It follows that a
 * SetHandler elsewhere (.htaccess, <Files>, <If>) gives a request to our handler, but no
 * location; the front refuses such a request.
 */
#include "config_int.h"

#include <string.h>

#include "apr_strings.h"
#include "http_core.h"
#include "util_cfgtree.h"

static void fill_defaults(bosh_conf_t *conf, apr_pool_t *p)
{
    for (const bosh_option_t *o = bosh_config_options; o->name; o++) {
        if (bosh_config_get(conf, o) == BOSH_UNSET) {
            bosh_config_set(conf, o, o->preset);
        }
    }
    if (!conf->domains) {
        conf->domains = apr_array_make(p, 0, sizeof(bosh_domain_t));
    }
    if (!conf->gone) {
        conf->gone = apr_array_make(p, 0, sizeof(const char *));
    }
    if (!conf->origins) {
        conf->origins = apr_array_make(p, 0, sizeof(const char *));
    }
    if (!conf->networks) {
        conf->networks = apr_array_make(p, 0, sizeof(bosh_network_t));
    }
    if (!conf->routes) {
        conf->routes = apr_array_make(p, 0, sizeof(bosh_route_t));
    }
    if (!conf->ca_file) {
        conf->ca_file = "";
    }
    if (!conf->ca_path) {
        conf->ca_path = "";
    }
    if (!conf->see_other) {
        conf->see_other = "";
    }
}

/* SetHandler takes an expression, which tells where it was written but not its text; that
 * has to be looked up in the tree of directives. Numbers of lines repeat in macros, so it
 * has to be a SetHandler, too. */
static const ap_directive_t *find_sethandler(const ap_directive_t *d, const ap_expr_info_t *expr)
{
    for (; d; d = d->next) {
        const ap_directive_t *found;

        if ((unsigned)d->line_num == expr->line_number && d->filename && expr->filename
            && strcmp(d->filename, expr->filename) == 0
            && strcasecmp(d->directive, "SetHandler") == 0) {
            return d;
        }
        found = find_sethandler(d->first_child, expr);
        if (found) {
            return found;
        }
    }
    return NULL;
}

static bool is_ours(const core_dir_config *section, apr_pool_t *ptemp)
{
    const ap_directive_t *d;
    const char *args;

    if (!section || !section->d || !section->expr_handler) {
        return false;
    }
    d = find_sethandler(ap_conftree, section->expr_handler);
    if (!d || !d->args) {
        return false;
    }
    args = d->args;
    return strcasecmp(ap_getword_conf(ptemp, &args), BOSH_HANDLER) == 0;
}

static apr_array_header_t *sections(const server_rec *s)
{
    core_server_config *core = ap_get_core_module_config(s->module_config);

    return core ? core->sec_url : NULL;
}

static void mark_locations(const server_rec *s, apr_pool_t *p)
{
    const apr_array_header_t *secs = sections(s);

    for (int i = 0; secs && i < secs->nelts; i++) {
        ap_conf_vector_t *section = APR_ARRAY_IDX(secs, i, ap_conf_vector_t *);
        const core_dir_config *core = ap_get_core_module_config(section);

        if (!ap_get_module_config(section, &bosh_module) && is_ours(core, p)) {
            bosh_config_mark(p, section);
        }
    }
}

void bosh_config_finish(apr_pool_t *p, server_rec *main_server)
{
    for (server_rec *s = main_server; s; s = s->next) {
        fill_defaults(bosh_config_raw(s), p);
        mark_locations(s, p);
    }
}

apr_array_header_t *bosh_config_locations(apr_pool_t *p, const server_rec *s)
{
    apr_array_header_t *paths = apr_array_make(p, 2, sizeof(const char *));
    const apr_array_header_t *secs = sections(s);

    for (int i = 0; secs && i < secs->nelts; i++) {
        ap_conf_vector_t *section = APR_ARRAY_IDX(secs, i, ap_conf_vector_t *);

        if (ap_get_module_config(section, &bosh_module)) {
            const core_dir_config *core = ap_get_core_module_config(section);

            APR_ARRAY_PUSH(paths, const char *) = core->d;
        }
    }
    return paths;
}
