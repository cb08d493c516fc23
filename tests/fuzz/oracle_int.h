/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * oracle - a second opinion: expat, in namespace mode, which is what Prosody
 * and ejabberd read with.
 *
 * A document becomes a list of its root's children, each dumped as text that
 * depends on namespaces, names, attributes and character data only.
 */
#ifndef BOSH_FUZZ_ORACLE_INT_H
#define BOSH_FUZZ_ORACLE_INT_H

#include "bosh/base.h"

typedef struct oracle_t {
    bosh_buf_t dump;   /* all children, one after the other */
    unsigned children; /* complete ones */
    bool is_accepted;  /* no error; and if the end was given, complete */
    /* private */
    unsigned depth;
    unsigned wanted;
    bool hides_httpbind;
    bool hides_lang;
} oracle_t;

typedef struct oracle_options_t {
    bool is_whole;       /* there is nothing behind the bytes */
    unsigned only_child; /* dump this child (1, 2, ...); 0: all */
    bool hides_httpbind; /* dump httpbind as jabber:client */
    bool hides_lang;     /* leave out the children's own xml:lang */
} oracle_options_t;

void oracle_read(oracle_t *o, bosh_str_t doc, oracle_options_t options);
void oracle_free(oracle_t *o);

/* "<?xml" at the start. */
bool oracle_has_declaration(bosh_str_t doc);

/* Says what is wrong and aborts. */
void oracle_require(bool is_true, const char *what, bosh_str_t a, bosh_str_t b);

#endif
