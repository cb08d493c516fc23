/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * The dump. expat joins a name's namespace and local part with a character that
 * XML cannot contain.
 */
#include "oracle_int.h"

#include <expat.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define JOINT           "\f"
#define JOINED_HTTPBIND "http://jabber.org/protocol/httpbind" JOINT
#define JOINED_CLIENT   "jabber:client" JOINT
#define JOINED_LANG     "http://www.w3.org/XML/1998/namespace" JOINT "lang"

static bool is_wanted(const oracle_t *o)
{
    return o->depth >= 2 && (o->wanted == 0 || o->wanted == o->children + 1);
}

static void add_name(oracle_t *o, const char *name)
{
    size_t len = strlen(JOINED_HTTPBIND);

    if (o->hides_httpbind && strncmp(name, JOINED_HTTPBIND, len) == 0) {
        (void)bosh_buf_add_z(&o->dump, JOINED_CLIENT);
        name += len;
    }
    (void)bosh_buf_add_z(&o->dump, name);
}

static void on_start(void *data, const XML_Char *name, const XML_Char **attr)
{
    oracle_t *o = data;

    o->depth++;
    if (!is_wanted(o)) {
        return;
    }
    (void)bosh_buf_add_z(&o->dump, "\x01");
    add_name(o, name);
    for (size_t i = 0; attr[i]; i += 2) {
        if (o->hides_lang && o->depth == 2 && strcmp(attr[i], JOINED_LANG) == 0) {
            continue;
        }
        (void)bosh_buf_add_z(&o->dump, "\x02");
        (void)bosh_buf_add_z(&o->dump, attr[i]);
        (void)bosh_buf_add_z(&o->dump, "\x03");
        (void)bosh_buf_add_z(&o->dump, attr[i + 1]);
    }
    (void)bosh_buf_add_z(&o->dump, "\x04");
}

static void on_end(void *data, const XML_Char *name)
{
    oracle_t *o = data;

    (void)name;
    if (is_wanted(o)) {
        (void)bosh_buf_add_z(&o->dump, "\x05");
    }
    if (o->depth == 2) {
        o->children++;
    }
    o->depth--;
}

static void on_text(void *data, const XML_Char *p, int len)
{
    oracle_t *o = data;

    if (is_wanted(o)) {
        (void)bosh_buf_add(&o->dump, p, (size_t)len);
    }
}

void oracle_read(oracle_t *o, bosh_str_t doc, oracle_options_t options)
{
    XML_Parser parser = XML_ParserCreateNS("UTF-8", JOINT[0]);

    memset(o, 0, sizeof(*o));
    bosh_buf_init(&o->dump, 0);
    o->wanted = options.only_child;
    o->hides_httpbind = options.hides_httpbind;
    o->hides_lang = options.hides_lang;
    if (!parser) {
        abort();
    }
    XML_SetUserData(parser, o);
    XML_SetElementHandler(parser, on_start, on_end);
    XML_SetCharacterDataHandler(parser, on_text);
    o->is_accepted = XML_Parse(parser, doc.p, (int)doc.len, options.is_whole) == XML_STATUS_OK;
    XML_ParserFree(parser);
}

void oracle_free(oracle_t *o)
{
    bosh_buf_free(&o->dump);
}

bool oracle_has_declaration(bosh_str_t doc)
{
    return doc.len >= 5 && memcmp(doc.p, "<?xml", 5) == 0;
}

void oracle_require(bool is_true, const char *what, bosh_str_t a, bosh_str_t b)
{
    if (is_true) {
        return;
    }
    fprintf(stderr, "oracle: %s\n  %.*s\n  %.*s\n", what, (int)a.len, a.p, (int)b.len, b.p);
    abort();
}
