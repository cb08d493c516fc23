/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* The system has no random bytes: no session, and never a weak sid. */

#include <string.h>

#include <apr_general.h>

#include "box.h"

#include "../core/unit.h"

static box_t box;
static unsigned calls, good; /* so many calls succeed */
static unsigned char counter;

/* In the place of APR's own. */
apr_status_t apr_generate_random_bytes(unsigned char *buf, apr_size_t length)
{
    if (calls++ >= good) {
        memset(buf, 0, length);
        return APR_EGENERAL;
    }
    memset(buf, ++counter, length);
    return APR_SUCCESS;
}

static bosh_got_t create(unsigned streams, char *sid)
{
    bosh_birth_t birth = box_birth(1000);
    bosh_request_t req = { .rid = 1000, .holder = { box.child, ++box.tickets } };

    birth.terms.streams = (uint8_t)streams;
    memset(sid, 'x', BOSH_SID_CHARS + 1);
    bosh_store_create_session(box.st, &birth, &req, box.now, sid, &box.buf, &box.out);
    box_check(&box);
    return box.out.got;
}

static void no_random_bytes_no_session(void **state)
{
    bosh_store_status_t status;
    char sid[BOSH_SID_CHARS + 1];
    unsigned free_blocks;
    sess_t s;

    (void)state;
    box_open(&box, 4 << 20, 10, 2, 1);
    good = UINT32_MAX;
    box_session(&box, &s);
    free_blocks = box_blocks_free(&box);
    calls = good = 0;
    assert_int_equal(create(1, sid), BOSH_GOT_NO_RANDOM);
    assert_string_equal(sid, "");
    for (good = 0; good < 4; good++) { /* the sid, and then the streams' names */
        calls = 0;
        if (create(3, sid) != BOSH_GOT_NO_RANDOM) {
            break;
        }
        assert_string_equal(sid, "");
        bosh_store_status(box.st, box.now, &status);
        assert_int_equal(status.sessions, 1);
        assert_int_equal(status.blocks_free, free_blocks);
        assert_false(box.out.knocks.any);
    }
    assert_true(good > 1);
    assert_int_equal(box.out.got, BOSH_GOT_HOLD);
    /* The others go on. */
    calls = good = 0;
    assert_int_equal(box_request(&box, &s, 1001, 0, BOSH_STR("<m/>")), BOSH_GOT_HOLD);
    box_close(&box);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_random_bytes_no_session),
    };

    return cmocka_run_group_tests_name("entropy", tests, NULL, NULL);
}
