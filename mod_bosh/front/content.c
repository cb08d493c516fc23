/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * The Content-Type that a client wants its answers to have (XEP-0124 section 7.1). It
 * becomes a header, so it is let through only if all of it follows the grammar of RFC
 * 7231 section 3.1.1.1. What a browser makes of such an answer is bounded by the headers
 * that all answers have.
 */

#include "front_int.h"

#include "apr_lib.h"

static bool is_token_char(char c)
{
    return (c > ' ' && c < 0x7f) && (apr_isalnum(c) || strchr("!#$%&'*+-.^_`|~", c));
}

static bool take_char(bosh_str_t *s, char c)
{
    if (s->len == 0 || *s->p != c) {
        return false;
    }
    s->p++;
    s->len--;
    return true;
}

static bool take_token(bosh_str_t *s, bosh_str_t *token)
{
    *token = (bosh_str_t){ s->p, 0 };
    while (s->len > 0 && is_token_char(*s->p)) {
        take_char(s, *s->p);
        token->len++;
    }
    return token->len > 0;
}

/* Without escapes: nobody needs them here. */
static bool take_quoted(bosh_str_t *s, bosh_str_t *text)
{
    if (!take_char(s, '"')) {
        return false;
    }
    *text = (bosh_str_t){ s->p, 0 };
    while (s->len > 0 && *s->p >= ' ' && *s->p < 0x7f && *s->p != '"' && *s->p != '\\') {
        take_char(s, *s->p);
        text->len++;
    }
    return take_char(s, '"');
}

static void skip_space(bosh_str_t *s)
{
    while (take_char(s, ' ')) {
    }
}

static bool is_word(bosh_str_t s, const char *word)
{
    return s.len == strlen(word) && strncasecmp(s.p, word, s.len) == 0;
}

/* Answers are UTF-8, and the header must not say otherwise. */
static bool take_parameter(bosh_str_t *s)
{
    bosh_str_t name, value;

    skip_space(s);
    if (!take_char(s, ';')) {
        return false;
    }
    skip_space(s);
    if (!take_token(s, &name) || !take_char(s, '=')
        || !(take_quoted(s, &value) || take_token(s, &value))) {
        return false;
    }
    return !is_word(name, "charset") || is_word(value, "utf-8") || is_word(value, "utf8");
}

bool content_take(bosh_str_t asked, char *content)
{
    bosh_str_t rest = asked, token;

    content[0] = '\0';
    if (!take_token(&rest, &token) || !take_char(&rest, '/') || !take_token(&rest, &token)) {
        return false;
    }
    while (rest.len > 0) {
        if (!take_parameter(&rest)) {
            return false;
        }
    }
    return bosh_str_copy(content, BOSH_CONTENT_SIZE, asked);
}
