/* The turns of sequences: the drawn moves, the bounds, and random requests against a plain model.
 */
#include "core/assert.h"
#include "infer/sequence.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

enum { SLOTS = 8, IDLE = 1000 };

static struct tn_sequence slots[SLOTS];
static struct tn_sequence *buckets[4]; /* fewer than slots: chains are used */
static struct tn_sequences table;

static void begin(void)
{
    memset(slots, 0, sizeof(slots));
    memset(buckets, 0, sizeof(buckets));
    struct tn_sequences_memory memory = {slots, SLOTS, buckets, 4};
    tn_sequences_init(&table, &memory, IDLE);
}

static enum tn_err enter(uint64_t id, struct tn_sequence_request *request, uint64_t now)
{
    uint64_t key[2] = {id, 0};
    return tn_sequences_enter(&table, key, request, now);
}

static void requests_take_turns(void **unused)
{
    (void)unused;
    struct tn_sequence_request a = {.flags = TN_SEQUENCE_START};
    struct tn_sequence_request b = {.flags = 0};
    struct tn_sequence_request c = {.flags = TN_SEQUENCE_END};
    struct tn_sequence_request d = {.flags = 0};
    begin();
    assert_int_equal(enter(1, &b, 0), TN_INVALID);
    assert_int_equal(enter(1, &a, 0), TN_OK);
    assert_true(a.sequence->fresh && a.sequence->started);
    assert_int_equal(enter(1, &b, 1), TN_AGAIN);
    assert_int_equal(enter(1, &c, 2), TN_AGAIN);
    assert_int_equal(enter(1, &d, 3), TN_AGAIN);
    a.sequence->fresh = false;
    assert_ptr_equal(tn_sequences_leave(&table, &a, 4), &b);
    assert_false(b.sequence->fresh);
    assert_ptr_equal(tn_sequences_leave(&table, &b, 5), &c);
    assert_ptr_equal(tn_sequences_leave(&table, &c, 6), &d);
    assert_false(d.sequence->started); /* behind the END */
    assert_null(tn_sequences_leave(&table, &d, 7));
    assert_int_equal(table.count, 0);
    assert_int_equal(enter(1, &b, 8), TN_INVALID);
}

static void idle_ones_go(void **unused)
{
    (void)unused;
    struct tn_sequence_request request = {.flags = TN_SEQUENCE_START};
    struct tn_sequence_request more = {.flags = 0};
    begin();
    assert_int_equal(enter(1, &request, 0), TN_OK);
    assert_null(tn_sequences_leave(&table, &request, 10));
    assert_int_equal(enter(1, &more, 10 + IDLE - 1), TN_OK);
    assert_null(tn_sequences_leave(&table, &more, 2000));
    assert_int_equal(enter(1, &more, 2000 + IDLE), TN_INVALID);
    assert_int_equal(table.count, 0);
}

static void table_is_bounded(void **unused)
{
    (void)unused;
    struct tn_sequence_request requests[SLOTS + 1];
    memset(requests, 0, sizeof(requests));
    begin();
    for (size_t i = 0; i < SLOTS; i++) {
        requests[i].flags = TN_SEQUENCE_START;
        assert_int_equal(enter(i + 1, &requests[i], 0), TN_OK);
    }
    requests[SLOTS].flags = TN_SEQUENCE_START;
    assert_int_equal(enter(99, &requests[SLOTS], 5 * IDLE), TN_LIMIT); /* busy ones stay */
    assert_null(tn_sequences_leave(&table, &requests[3], 0));
    assert_int_equal(enter(99, &requests[SLOTS], IDLE - 1), TN_LIMIT);
    assert_int_equal(enter(99, &requests[SLOTS], IDLE), TN_OK);
}

static void forgotten_ones_leave_the_line(void **unused)
{
    (void)unused;
    struct tn_sequence_request r[5] = {{.flags = TN_SEQUENCE_START}};
    begin();
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(enter(7, &r[i], 0), i == 0 ? TN_OK : TN_AGAIN);
    }
    assert_false(tn_sequences_forget(&table, &r[0])); /* it runs */
    assert_true(tn_sequences_forget(&table, &r[4]));  /* the last */
    assert_true(tn_sequences_forget(&table, &r[2]));  /* in the middle */
    assert_false(tn_sequences_forget(&table, &r[2]));
    assert_ptr_equal(tn_sequences_leave(&table, &r[0], 1), &r[1]);
    assert_ptr_equal(tn_sequences_leave(&table, &r[1], 1), &r[3]);
    assert_null(tn_sequences_leave(&table, &r[3], 1));
}

/* Random enters and leaves; order within a sequence and one at a time are checked throughout. */
static void random_requests_keep_order(void **unused)
{
    (void)unused;
    enum { REQUESTS = 20000, IDS = 12 };
    unsigned seed = (unsigned)time(NULL);
    print_message("seed %u\n", seed);
    srand(seed);
    static struct tn_sequence_request requests[REQUESTS];
    static uint64_t ids[REQUESTS];
    struct tn_sequence_request *running[IDS] = {NULL};
    size_t last[IDS] = {0}; /* index + 1 of the newest that ran */
    begin();
    for (size_t i = 0; i < REQUESTS; i++) {
        uint64_t id = (uint64_t)rand() % IDS;
        requests[i] = (struct tn_sequence_request){.flags = rand() % 4 == 0   ? TN_SEQUENCE_START
                                                            : rand() % 8 == 0 ? TN_SEQUENCE_END
                                                                              : 0};
        ids[i] = id;
        enum tn_err err = enter(id, &requests[i], i);
        if (err == TN_OK) {
            assert_null(running[id]);
            running[id] = &requests[i];
            assert_true(i + 1 > last[id]);
            last[id] = i + 1;
        } else {
            assert_true(err == TN_AGAIN || err == TN_INVALID || err == TN_LIMIT);
            assert_int_equal(err == TN_AGAIN, running[id] != NULL);
        }
        uint64_t other = (uint64_t)rand() % IDS;
        if (running[other] != NULL && rand() % 2 == 0) {
            running[other] = tn_sequences_leave(&table, running[other], i);
            if (running[other] != NULL) {
                size_t at = (size_t)(running[other] - requests);
                assert_int_equal(ids[at], other);
                assert_true(at + 1 > last[other]);
                last[other] = at + 1;
            }
        }
        assert_true(table.count <= SLOTS);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_take_turns),
        cmocka_unit_test(idle_ones_go),
        cmocka_unit_test(table_is_bounded),
        cmocka_unit_test(forgotten_ones_leave_the_line),
        cmocka_unit_test(random_requests_keep_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
