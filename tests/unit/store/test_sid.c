/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* Session ids: their text, who is found by them, and that nobody can guess one. */

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "box.h"

#include "../core/rng.h"
#include "../core/unit.h"
#include "store_int.h"

#define PROCESSES 8
#define EACH      10000

static box_t box;

static int begin(void **state)
{
    (void)state;
    box_open(&box, 8 << 20, 200, 2, 1);
    return 0;
}

static int end(void **state)
{
    (void)state;
    box_close(&box);
    return 0;
}

static void text_and_bytes_are_the_same(void **state)
{
    unsigned char sid[BOSH_SID_BYTES], back[BOSH_SID_BYTES];
    char text[BOSH_SID_CHARS + 1];
    rng_t rng = rng_seeded("sid");

    (void)state;
    for (unsigned n = 0; n < 5000; n++) {
        for (unsigned i = 0; i < BOSH_SID_BYTES; i++) {
            sid[i] = (unsigned char)rng_next(&rng);
        }
        memset(sid, n % 3 == 0 ? 0xff : 0, n % 5);
        sid_encode(sid, text);
        assert_int_equal(strlen(text), BOSH_SID_CHARS);
        assert_int_equal(
            strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"),
            BOSH_SID_CHARS);
        assert_true(sid_decode(bosh_str(text), back));
        assert_memory_equal(sid, back, sizeof(sid));
    }
}

static void text_of_known_bytes(void **state)
{
    unsigned char sid[BOSH_SID_BYTES];
    char text[BOSH_SID_CHARS + 1];

    (void)state;
    for (unsigned i = 0; i < BOSH_SID_BYTES; i++) {
        sid[i] = (unsigned char)(i * 11 + 250);
    }
    sid_encode(sid, text);
    assert_string_equal(text, "-gUQGyYxPEdSXWhzfomUn6q1wMvW4ez3");
}

static void other_text_is_no_sid(void **state)
{
    static const char *const wrong[] = { "",
                                         "A",
                                         "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
                                         "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
                                         "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
                                         "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA+",
                                         "AAAAAAAAAAAAAAAA/AAAAAAAAAAAAAAA",
                                         " AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" };
    unsigned char sid[BOSH_SID_BYTES];

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_false(sid_decode(bosh_str(wrong[i]), sid));
    }
    assert_false(sid_decode(BOSH_ABSENT, sid));
    assert_false(sid_decode((bosh_str_t){ "AAAAAAAAAAAAAAAA\0AAAAAAAAAAAAAAA", 32 }, sid));
}

static void every_session_is_found_by_its_own_sid_only(void **state)
{
    static sess_t s[100];

    (void)state;
    for (unsigned i = 0; i < 100; i++) {
        assert_int_equal(box_create(&box, &s[i]), BOSH_GOT_HOLD);
    }
    for (unsigned i = 0; i < 100; i++) {
        sess_t near = s[i];

        assert_int_equal(box_request(&box, &s[i], 1000, 0, BOSH_ABSENT), BOSH_GOT_HOLD);
        assert_true(bosh_ref_same(box.out.ref, s[i].ref));
        assert_true(box.out.serial == s[i].serial);
        box_gone(&box, &s[i], 1000, box.holder);
        for (unsigned k = 0; k < BOSH_SID_CHARS; k++) {
            near = s[i];
            near.sid[k] = near.sid[k] == 'A' ? 'B' : 'A';
            assert_int_equal(box_request(&box, &near, 1000, 0, BOSH_ABSENT), BOSH_GOT_UNKNOWN);
        }
    }
    for (unsigned i = 0; i < 100; i++) {
        box_forget(&box, &s[i]);
        assert_int_equal(box_request(&box, &s[i], 1000, 0, BOSH_ABSENT), BOSH_GOT_UNKNOWN);
    }
}

static int by_bytes(const void *a, const void *b)
{
    return memcmp(a, b, BOSH_SID_CHARS);
}

/* In a segment of its own: creates, forgets, and keeps the sids. */
static void make_sids(char (*sids)[BOSH_SID_CHARS])
{
    box_t own;
    sess_t s;

    box_open(&own, 1 << 20, 10, 1, 1);
    for (unsigned i = 0; i < EACH; i++) {
        bosh_ref_t refs[8];
        uint32_t cursor = 0;
        bosh_birth_t birth = box_birth(1000);
        bosh_request_t req = { .rid = 1000, .holder = BOSH_NOBODY };

        bosh_store_create_session(own.st, &birth, &req, own.now, s.sid, &own.buf, &own.out);
        if (own.out.got == BOSH_GOT_FULL) {
            _exit(1);
        }
        memcpy(sids[i], s.sid, BOSH_SID_CHARS);
        bosh_store_up_ended(own.st, own.out.ref, BOSH_COND_NONE, BOSH_REASON_STREAM_CLOSED,
                            BOSH_ABSENT, own.now, &own.knocks);
        bosh_store_connector_mail(own.st, 0, refs, 8);
        own.now += BOSH_SEC(31);
        bosh_store_tick(own.st, 0, &cursor, own.now, &own.knocks);
    }
    _exit(0);
}

static void sids_of_many_processes_are_all_different(void **state)
{
    size_t n = PROCESSES * EACH;
    char(*sids)[BOSH_SID_CHARS] =
        mmap(NULL, n * BOSH_SID_CHARS, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    unsigned seen[BOSH_SID_CHARS][256] = { 0 };

    (void)state;
    for (unsigned i = 0; i < PROCESSES; i++) {
        if (fork() == 0) {
            make_sids(sids + i * EACH);
        }
    }
    for (unsigned i = 0; i < PROCESSES; i++) {
        int status;

        wait(&status);
        assert_int_equal(status, 0);
    }
    for (size_t i = 0; i < n; i++) {
        for (unsigned k = 0; k < BOSH_SID_CHARS; k++) {
            seen[k][(unsigned char)sids[i][k]]++;
        }
    }
    qsort(sids, n, BOSH_SID_CHARS, by_bytes);
    for (size_t i = 1; i < n; i++) {
        assert_int_not_equal(memcmp(sids[i - 1], sids[i], BOSH_SID_CHARS), 0);
    }
    /* 80000 of 64 digits in each place: 1250 each, give or take eight standard deviations */
    for (unsigned k = 0; k < BOSH_SID_CHARS; k++) {
        for (unsigned c = 0; c < 256; c++) {
            assert_true(seen[k][c] == 0 || (seen[k][c] > 950 && seen[k][c] < 1550));
        }
    }
    munmap(sids, n * BOSH_SID_CHARS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_and_bytes_are_the_same),
        cmocka_unit_test(text_of_known_bytes),
        cmocka_unit_test(other_text_is_no_sid),
        cmocka_unit_test(every_session_is_found_by_its_own_sid_only),
        cmocka_unit_test(sids_of_many_processes_are_all_different),
    };

    return cmocka_run_group_tests_name("sid", tests, begin, end);
}
