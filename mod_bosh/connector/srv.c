/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* SRV records: which are usable, and in which order. */

#include <string.h>

#include "srv.h"

#define MAX_LABEL 63

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit(c) || c == '-' || c == '_';
}

bool srv_is_name(const char *name)
{
    size_t len = strlen(name), label = 0, digits = 0;

    if (len == 0 || len >= SRV_NAME) {
        return false;
    }
    for (const char *p = name; *p; p++) {
        if (*p == '.') {
            if (label == 0) {
                return false;
            }
            label = digits = 0;
            continue;
        }
        digits += is_digit(*p);
        if (!is_name_char(*p) || ++label > MAX_LABEL) {
            return false;
        }
    }
    /* No top-level domain is a number (RFC 3696, 2): "10.0.0.1", "127.1", "0". */
    return label > 0 && digits < label;
}

static unsigned count(const srv_set_t *set, bool direct)
{
    unsigned n = 0;

    for (unsigned i = 0; i < set->n; i++) {
        n += set->record[i].direct == direct;
    }
    return n;
}

void srv_add(srv_set_t *set, bool direct, uint16_t priority, uint16_t weight, uint16_t port,
             const char *target)
{
    srv_record_t *r = &set->record[set->n];
    size_t len = strlen(target);

    if (len > 0 && target[len - 1] == '.') {
        len--;
    }
    if (len == 0) { /* the root; c-ares writes it as "" */
        set->is_denied = true;
        return;
    }
    if (len >= SRV_NAME) {
        set->has_broken = true;
        return;
    }
    if (count(set, direct) == SRV_RECORDS) {
        return;
    }
    *r = (srv_record_t){ .priority = priority, .weight = weight, .port = port, .direct = direct };
    memcpy(r->target, target, len);
    if (port == 0 || !srv_is_name(r->target)) {
        set->has_broken = true;
        return;
    }
    set->n++;
}

static void move_to(srv_set_t *set, unsigned from, unsigned to)
{
    srv_record_t r = set->record[from];

    memmove(&set->record[to + 1], &set->record[to], (from - to) * sizeof(r));
    set->record[to] = r;
}

/* By priority; within one, those of weight 0 first, as RFC 2782 wants them for its draw. */
static void sort(srv_set_t *set)
{
    for (unsigned i = 1; i < set->n; i++) {
        const srv_record_t *r = &set->record[i];
        unsigned to = i;

        while (to > 0
               && (set->record[to - 1].priority > r->priority
                   || (set->record[to - 1].priority == r->priority && r->weight == 0
                       && set->record[to - 1].weight != 0))) {
            to--;
        }
        move_to(set, i, to);
    }
}

/* RFC 2782: a number between 0 and the sum of the weights; the first whose running sum reaches
 * it. So weight 0 has a small chance beside others, and the same as others beside its like. */
static unsigned draw(const srv_set_t *set, unsigned from, unsigned to, srv_random_fn *random,
                     void *baton)
{
    uint32_t sum = 0, point;

    for (unsigned i = from; i < to; i++) {
        sum += set->record[i].weight;
    }
    if (sum == 0) { /* the running sum would always stop at the first */
        return from + random(baton, to - from - 1);
    }
    point = random(baton, sum);
    sum = 0;
    for (unsigned i = from; i < to; i++) {
        sum += set->record[i].weight;
        if (sum >= point) {
            return i;
        }
    }
    return from;
}

static unsigned end_of_priority(const srv_set_t *set, unsigned from)
{
    unsigned to = from;

    while (to < set->n && set->record[to].priority == set->record[from].priority) {
        to++;
    }
    return to;
}

void srv_order(srv_set_t *set, srv_random_fn *random, void *baton)
{
    sort(set);
    for (unsigned i = 0; i < set->n; i++) {
        move_to(set, draw(set, i, end_of_priority(set, i), random, baton), i);
    }
    if (set->n > SRV_TARGETS) {
        set->n = SRV_TARGETS;
    }
}
