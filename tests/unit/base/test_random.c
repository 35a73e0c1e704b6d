/* Chance: the published sequence, unbiased bounds, the unit interval, and a kernel that answers. */
#include "base/random.h"
#include "core/assert.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* xoshiro256++ from the state {1, 2, 3, 4}, as its authors' C code gives it. */
static void the_sequence_is_the_published_one(void **unused)
{
    (void)unused;
    static const uint64_t wanted[] = {41943041u,
                                      58720359u,
                                      3588806011781223u,
                                      3591011842654386u,
                                      9228616714210784205u,
                                      9973669472204895162u,
                                      14011001112246962877u,
                                      12406186145184390807u,
                                      15849039046786891736u,
                                      10450023813501588000u};
    struct tn_random random = {.state = {1, 2, 3, 4}};
    for (size_t i = 0; i < TN_COUNT(wanted); i++) {
        assert_true(tn_random_next(&random) == wanted[i]);
    }
}

static void a_seed_repeats_and_seeds_differ(void **unused)
{
    (void)unused;
    struct tn_random a, b, c;
    tn_random_seed(&a, 0);
    tn_random_seed(&b, 0);
    tn_random_seed(&c, 1);
    for (size_t i = 0; i < 100; i++) {
        uint64_t x = tn_random_next(&a);
        assert_true(x == tn_random_next(&b));
        assert_true(x != tn_random_next(&c));
    }
    uint8_t whole[19], parts[19];
    tn_random_fill(&a, whole, sizeof(whole));
    tn_random_fill(&b, parts, sizeof(parts));
    assert_memory_equal(whole, parts, sizeof(whole));
}

static void bounds_hold_and_all_values_are_alike(void **unused)
{
    (void)unused;
    struct tn_random random;
    tn_random_seed(&random, 42);
    size_t counts[7] = {0};
    for (size_t i = 0; i < 70000; i++) {
        counts[tn_random_below(&random, 7)]++;
    }
    for (size_t i = 0; i < 7; i++) {
        assert_true(counts[i] > 9500 && counts[i] < 10500); /* 5 standard deviations */
    }
    /* Above 2^63 half the draws would be uneven without the rejection. */
    size_t upper = 0;
    for (size_t i = 0; i < 30000; i++) {
        uint64_t below = UINT64_C(3) << 62;
        uint64_t value = tn_random_below(&random, below);
        assert_true(value < below);
        upper += value >= UINT64_C(1) << 63;
    }
    assert_true(upper > 9500 && upper < 10500);
    assert_int_equal(tn_random_below(&random, 1), 0);
}

static void the_unit_is_half_open_and_even(void **unused)
{
    (void)unused;
    struct tn_random random;
    tn_random_seed(&random, 7);
    double sum = 0;
    for (size_t i = 0; i < 100000; i++) {
        double x = tn_random_unit(&random);
        assert_true(x >= 0 && x < 1);
        sum += x;
    }
    assert_true(sum > 49500 && sum < 50500);
    struct tn_random ones = {.state = {UINT64_MAX, 0, 0, 0}};
    assert_true(tn_random_unit(&ones) < 1);
}

static void the_kernel_gives_something_else_each_time(void **unused)
{
    (void)unused;
    uint8_t a[300] = {0}, b[300] = {0};
    tn_random_secure(a, sizeof(a));
    tn_random_secure(b, sizeof(b));
    assert_memory_not_equal(a, b, sizeof(a));
    tn_random_secure(a, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_sequence_is_the_published_one),
        cmocka_unit_test(a_seed_repeats_and_seeds_differ),
        cmocka_unit_test(bounds_hold_and_all_values_are_alike),
        cmocka_unit_test(the_unit_is_half_open_and_even),
        cmocka_unit_test(the_kernel_gives_something_else_each_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
