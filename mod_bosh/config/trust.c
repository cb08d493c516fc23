/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * BoshTLSCACertificateFile and BoshTLSCACertificatePath: that what they name is there. Whose
 * certificates they are, the connector finds out, which knows TLS.
 */
#include "config_int.h"

#include <string.h>
#include <unistd.h>

#include "apr_file_info.h"
#include "apr_file_io.h"
#include "apr_strings.h"
#include "http_log.h"
#include "unixd.h"

APLOG_USE_MODULE(bosh);

/* What the connector is told has room for no more. */
#define MAX_PATH 255

const char *bosh_config_parse_path(apr_pool_t *p, const char *text, const char **path)
{
    *path = ap_server_root_relative(p, text);
    if (!*path || !*text) {
        return apr_psprintf(p, "takes a path, or none, not '%s'", text);
    }
    return strlen(*path) <= MAX_PATH
               ? NULL
               : apr_psprintf(p, "takes a path of at most %d bytes, not '%s'", MAX_PATH, *path);
}

static bool is_certificate(const char *line)
{
    static const char *const names[] = { "CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE" };
    static const char begin[] = "-----BEGIN ";

    if (strncmp(line, begin, sizeof(begin) - 1) != 0) {
        return false;
    }
    line += sizeof(begin) - 1;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        size_t len = strlen(names[i]);

        if (strncmp(line, names[i], len) == 0 && strncmp(line + len, "-----", 5) == 0) {
            return true;
        }
    }
    return false;
}

static const char *examine_file(apr_pool_t *p, const char *path)
{
    char line[256], why[128];
    const char *error = "holds no certificate in PEM form";
    apr_file_t *file;
    apr_finfo_t info;
    apr_status_t rv = apr_file_open(&file, path, APR_READ | APR_BUFFERED, 0, p);

    if (rv != APR_SUCCESS) {
        return apr_pstrdup(p, apr_strerror(rv, why, sizeof(why)));
    }
    rv = apr_file_info_get(&info, APR_FINFO_TYPE, file);
    if (rv != APR_SUCCESS || info.filetype != APR_REG) {
        error = "is not a file";
    }
    else {
        while (apr_file_gets(line, sizeof(line), file) == APR_SUCCESS) {
            if (is_certificate(line)) {
                error = NULL;
                break;
            }
        }
    }
    apr_file_close(file);
    return error;
}

static const char *examine_dir(apr_pool_t *p, const char *path)
{
    char why[128];
    apr_dir_t *dir;
    apr_status_t rv = apr_dir_open(&dir, path, p);

    if (rv != APR_SUCCESS) {
        return apr_pstrdup(p, apr_strerror(rv, why, sizeof(why)));
    }
    apr_dir_close(dir);
    return NULL;
}

static bool is_good(const server_rec *s, const char *directive, const char *path, const char *error)
{
    if (error) {
        ap_log_error(APLOG_MARK, APLOG_ERR, 0, s, BOSHNO(0006) "%s %s: %s", directive, path, error);
    }
    return !error;
}

/* Of other groups that the user is in, nobody asks. */
static bool is_for_user(const apr_finfo_t *info)
{
    apr_fileperms_t bit = info->user == ap_unixd_config.user_id     ? APR_FPROT_UREAD
                          : info->group == ap_unixd_config.group_id ? APR_FPROT_GREAD
                                                                    : APR_FPROT_WREAD;

    return (info->protection & bit) != 0;
}

static void warn_user(const server_rec *s, apr_pool_t *p, const char *directive, const char *path)
{
    apr_finfo_t info;

    if (*path && apr_stat(&info, path, APR_FINFO_PROT | APR_FINFO_OWNER, p) == APR_SUCCESS
        && !is_for_user(&info)) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s,
                     BOSHNO(0012) "%s %s: httpd's user %s may not be able to read it, and is who "
                                  "has to",
                     directive, path, ap_unixd_config.user_name);
    }
}

/* The connector reads them, which is not root any more. */
void bosh_config_warn_trust(const server_rec *s, apr_pool_t *p)
{
    const bosh_conf_t *conf = bosh_config(s);

    if (geteuid() == 0) {
        warn_user(s, p, "BoshTLSCACertificateFile", conf->ca_file);
        warn_user(s, p, "BoshTLSCACertificatePath", conf->ca_path);
    }
}

bool bosh_config_check_trust(const server_rec *s, apr_pool_t *p)
{
    const bosh_conf_t *conf = bosh_config(s);

    return (!*conf->ca_file
            || is_good(s, "BoshTLSCACertificateFile", conf->ca_file,
                       examine_file(p, conf->ca_file)))
           && (!*conf->ca_path
               || is_good(s, "BoshTLSCACertificatePath", conf->ca_path,
                          examine_dir(p, conf->ca_path)));
}
