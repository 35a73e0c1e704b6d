/* The histogram against sorted values: quantiles within the stated error, merging as recording. */
#include "core/assert.h"
#include "core/hist.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

enum { COUNT = 20000 };

static uint64_t random_state;

static uint64_t random_next(void)
{
    random_state = random_state * 6364136223846793005U + 1442695040888963407U;
    return random_state >> 16;
}

static int by_value(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a;
    uint64_t right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

static void assert_near(uint64_t got, uint64_t exact)
{
    uint64_t off = got > exact ? got - exact : exact - got;
    assert_true(off <= exact / 128);
}

static void quantiles_are_within_the_stated_error(void **unused)
{
    (void)unused;
    static struct tn_hist hist;
    static uint64_t values[COUNT];
    static const double qs[] = {0, 0.001, 0.25, 0.5, 0.9, 0.99, 0.999, 0.9999, 1};
    for (uint64_t seed = 1; seed <= 20; seed++) {
        random_state = seed;
        tn_hist_init(&hist);
        uint64_t sum = 0;
        for (size_t i = 0; i < COUNT; i++) {
            values[i] = random_next() % ((uint64_t)1 << (1 + random_next() % 39));
            tn_hist_record(&hist, values[i]);
            sum += values[i];
        }
        qsort(values, COUNT, sizeof(values[0]), by_value);
        for (size_t i = 0; i < TN_COUNT(qs); i++) {
            double exact = qs[i] * COUNT;
            size_t rank = (size_t)exact;
            rank += (double)rank < exact || rank == 0 ? 1 : 0;
            assert_near(tn_hist_quantile(&hist, qs[i]), values[rank - 1]);
        }
        assert_int_equal(hist.count, COUNT);
        assert_int_equal(hist.min, values[0]);
        assert_int_equal(hist.max, values[COUNT - 1]);
        assert_true(tn_hist_mean(&hist) == (double)sum / COUNT);
    }
}

static void buckets_follow_each_other_without_gaps(void **unused)
{
    (void)unused;
    for (uint64_t value = 0; value < 100000; value++) {
        size_t here = tn_hist_bucket_of(value);
        size_t next = tn_hist_bucket_of(value + 1);
        assert_true(next == here || next == here + 1);
    }
    for (unsigned bit = 8; bit < 64; bit++) {
        uint64_t power = (uint64_t)1 << bit;
        size_t below = tn_hist_bucket_of(power - 1);
        size_t at = tn_hist_bucket_of(power);
        assert_int_equal(at, bit < TN_HIST_VALUE_BITS ? below + 1 : below);
    }
    assert_int_equal(tn_hist_bucket_of(UINT64_MAX), TN_HIST_BUCKETS - 1);
}

static void merging_is_recording_both(void **unused)
{
    (void)unused;
    static struct tn_hist parts[3];
    static struct tn_hist whole;
    tn_hist_init(&whole);
    for (size_t i = 0; i < TN_COUNT(parts); i++) {
        tn_hist_init(&parts[i]);
    }
    random_state = 7;
    for (size_t i = 0; i < COUNT; i++) {
        uint64_t value = random_next() >> (random_next() % 40);
        tn_hist_record(&whole, value);
        tn_hist_record(&parts[1 + i % 2], value);
    }
    tn_hist_merge(&parts[0], &parts[1]);
    tn_hist_merge(&parts[0], &parts[2]);
    assert_memory_equal(&parts[0], &whole, sizeof(whole));
}

static void empty_and_beyond_the_range(void **unused)
{
    (void)unused;
    static struct tn_hist hist;
    tn_hist_init(&hist);
    assert_int_equal(tn_hist_quantile(&hist, 0.5), 0);
    assert_true(tn_hist_mean(&hist) == 0);
    tn_hist_record(&hist, UINT64_MAX);
    tn_hist_record(&hist, 5);
    assert_int_equal(tn_hist_quantile(&hist, 0), 5);
    assert_true(tn_hist_quantile(&hist, 1) == UINT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quantiles_are_within_the_stated_error),
        cmocka_unit_test(buckets_follow_each_other_without_gaps),
        cmocka_unit_test(merging_is_recording_both),
        cmocka_unit_test(empty_and_beyond_the_range),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
