/* Retry: the pauses and the end, as a table. */
#include "base/retry.h"

#include "core/assert.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

struct row {
    const char *name;
    struct tn_retry_limits limits;
    uint64_t now_ms;
    uint32_t fails;    /* attempts that fail before one works; UINT32_MAX: none works */
    uint64_t dues[6];  /* expected due times, each attempt fails at once when it begins */
    enum tn_err last;  /* of the attempt after these */
    uint32_t attempts; /* then */
};

static const struct row rows[] = {
    {"works at once", {3, 10, 100}, 5, 0, {0}, TN_OK, 1},
    {"one attempt only", {1, 10, 100}, 5, UINT32_MAX, {0}, TN_LIMIT, 1},
    {"doubles", {5, 10, 100}, 0, UINT32_MAX, {10, 30, 70, 150}, TN_LIMIT, 5},
    {"capped", {0, 10, 25}, 0, 5, {10, 30, 55, 80, 105}, TN_OK, 6},
    {"cap equals pause", {4, 7, 7}, 1, UINT32_MAX, {8, 15, 22}, TN_LIMIT, 4},
    {"works in the end", {3, 1, 8}, 0, 2, {1, 3}, TN_OK, 3},
    {"no wrap",
     {3, UINT64_MAX / 2 + 1, UINT64_MAX},
     0,
     2,
     {UINT64_MAX / 2 + 1, UINT64_MAX},
     TN_OK,
     3},
    {"end of time", {2, 10, 10}, UINT64_MAX - 3, 1, {UINT64_MAX}, TN_OK, 2},
};

static void pauses_follow_the_table(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < TN_COUNT(rows); i++) {
        const struct row *row = &rows[i];
        print_message("%s\n", row->name);
        struct tn_retry retry;
        tn_retry_init(&retry, &row->limits);
        uint64_t now = row->now_ms;
        for (size_t n = 0; n < TN_COUNT(row->dues) && row->dues[n] != 0; n++) {
            uint64_t due = 0;
            assert_int_equal(tn_retry_ended(&retry, false, now, &due), TN_AGAIN);
            assert_int_equal(due, row->dues[n]);
            assert_int_equal(retry.state, TN_RETRY_WAITING);
            now = due;
            tn_retry_resume(&retry);
        }
        uint64_t untouched = 42;
        bool works = row->fails != UINT32_MAX;
        assert_int_equal(tn_retry_ended(&retry, works, now, &untouched), row->last);
        assert_int_equal(untouched, 42);
        assert_int_equal(retry.attempts, row->attempts);
        assert_int_equal(retry.state, works ? TN_RETRY_DONE : TN_RETRY_SPENT);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pauses_follow_the_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
