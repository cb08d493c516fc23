/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* Limits for each client address: sessions at a time, and new ones. */

#include "box.h"

#include "../core/unit.h"

#define MINUTE BOSH_SEC(60)

static box_t box;

static int open_box(void **state)
{
    (void)state;
    box_open(&box, 16 << 20, 2000, 2, 1);
    return 0;
}

static int close_box(void **state)
{
    (void)state;
    box_close(&box);
    return 0;
}

static bosh_got_t create(bosh_client_t client, sess_t *s)
{
    bosh_birth_t birth = box_birth(1000);
    bosh_request_t req = { .rid = 1000, .holder = { box.child, ++box.tickets } };
    sess_t unused;

    s = s ? s : &unused;
    birth.client = client;
    box_connectors_live(&box);
    bosh_store_create_session(box.st, &birth, &req, box.now, s->sid, &box.buf, &box.out);
    s->ref = box.out.ref;
    s->rid = 1001;
    box_check(&box);
    return box.out.got;
}

static void a_client_has_so_many_at_a_time(void **state)
{
    const bosh_client_t one = { .key = 1, .max_living = 2 }, other = { .key = 2, .max_living = 2 };
    sess_t s;

    (void)state;
    assert_int_equal(create(one, &s), BOSH_GOT_HOLD);
    assert_int_equal(create(one, NULL), BOSH_GOT_HOLD);
    assert_int_equal(create(one, NULL), BOSH_GOT_CROWDED);
    assert_int_equal(create(one, NULL), BOSH_GOT_CROWDED);
    assert_int_equal(create(other, NULL), BOSH_GOT_HOLD);
    /* One that ends makes room at once, though late requests still learn why. */
    box_request(&box, &s, 1001, BOSH_ASKS_TERMINATE, BOSH_STR(""));
    assert_int_equal(create(one, NULL), BOSH_GOT_HOLD);
    assert_int_equal(create(one, NULL), BOSH_GOT_CROWDED);
    box.now += 100 * MINUTE; /* time alone makes none */
    assert_int_equal(create(one, NULL), BOSH_GOT_CROWDED);
}

static void a_client_begins_so_many_in_a_minute(void **state)
{
    const bosh_client_t client = { .key = 1, .max_new = 3 };
    sess_t s;

    (void)state;
    for (unsigned n = 0; n < 3; n++) {
        assert_int_equal(create(client, &s), BOSH_GOT_HOLD);
        box_request(&box, &s, 1001, BOSH_ASKS_TERMINATE, BOSH_STR(""));
        box.now += 1000;
    }
    box.now += MINUTE - 3001;
    assert_int_equal(create(client, NULL), BOSH_GOT_CROWDED);
    box.now += 1;
    assert_int_equal(create(client, NULL), BOSH_GOT_HOLD);
}

static void who_is_not_limited_is_not_counted(void **state)
{
    const bosh_client_t nobody = { .key = 0 };

    (void)state;
    for (unsigned n = 0; n < 50; n++) {
        assert_int_equal(create(nobody, NULL), BOSH_GOT_HOLD);
    }
}

/* The same place in the table: each is counted for itself, and the places of those who are
 * gone are taken by others. */
static void clients_whose_addresses_meet_do_not_share(void **state)
{
    uint64_t step = box.st->h->buckets;
    sess_t s[12];

    (void)state;
    for (unsigned round = 0; round < 5; round++) {
        for (unsigned n = 0; n < 12; n++) {
            bosh_client_t client = { .key = 5 + step * (1 + n + 12 * round), .max_living = 1 };

            assert_int_equal(create(client, &s[n]), BOSH_GOT_HOLD);
            assert_int_equal(create(client, NULL), BOSH_GOT_CROWDED);
        }
        for (unsigned n = 0; n < 12; n++) {
            box_request(&box, &s[n], 1001, BOSH_ASKS_TERMINATE, BOSH_STR(""));
        }
        box.now += MINUTE;
    }
}

static void more_of_them_than_places_are_let_in(void **state)
{
    uint64_t step = box.st->h->buckets;

    (void)state;
    for (unsigned n = 0; n < 40; n++) {
        bosh_client_t client = { .key = 5 + step * (1 + n), .max_living = 1 };

        assert_int_equal(create(client, NULL), BOSH_GOT_HOLD);
    }
}

static void a_repair_counts_anew(void **state)
{
    const bosh_client_t client = { .key = 1, .max_living = 2 };
    bosh_knocks_t knocks = { 0 };

    (void)state;
    create(client, NULL);
    create(client, NULL);
    for (unsigned i = 0; i < box.st->h->buckets; i++) {
        box.st->clients[i].living += 7;
    }
    assert_non_null(bosh_store_check(box.st));
    repair_locked(box.st, &knocks);
    box_check(&box);
    assert_int_equal(create(client, NULL), BOSH_GOT_CROWDED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_client_has_so_many_at_a_time, open_box, close_box),
        cmocka_unit_test_setup_teardown(a_client_begins_so_many_in_a_minute, open_box, close_box),
        cmocka_unit_test_setup_teardown(who_is_not_limited_is_not_counted, open_box, close_box),
        cmocka_unit_test_setup_teardown(clients_whose_addresses_meet_do_not_share, open_box,
                                        close_box),
        cmocka_unit_test_setup_teardown(more_of_them_than_places_are_let_in, open_box, close_box),
        cmocka_unit_test_setup_teardown(a_repair_counts_anew, open_box, close_box),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
