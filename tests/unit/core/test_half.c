/* FP16 and BF16: all 65,536 values back and forth, and every place where rounding turns. */
#include "core/half.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#include <cmocka.h>

static void every_half_means_what_the_standard_says(void **unused)
{
    (void)unused;
    for (uint32_t half = 0; half < 0x10000; half++) {
        float value = tn_half_to_float((uint16_t)half);
        int exponent = (int)(half >> 10 & 31);
        double mantissa = half & 0x3FF;
        if (exponent == 31) {
            assert_true(mantissa == 0 ? isinf(value) : isnan(value));
        } else {
            double expected =
                exponent == 0 ? ldexp(mantissa, -24) : ldexp(mantissa + 1024, exponent - 25);
            assert_true((double)fabsf(value) == expected);
        }
        assert_int_equal(signbit(value) != 0, half >> 15);
        if (!isnan(value)) {
            assert_int_equal(tn_half_from_float(value), half);
        }
    }
}

/* Between neighbours everything follows from the midpoint and its own two neighbours. */
static void every_midpoint_goes_to_even(void **unused)
{
    (void)unused;
    for (uint32_t half = 0; half < 0x7C00; half++) {
        float low = tn_half_to_float((uint16_t)half);
        float high = half == 0x7BFF ? 65536.0F : tn_half_to_float((uint16_t)(half + 1));
        float middle = (low + high) / 2;
        assert_int_equal(tn_half_from_float(middle), (half & 1) ? half + 1 : half);
        assert_int_equal(tn_half_from_float(nextafterf(middle, 0)), half);
        assert_int_equal(tn_half_from_float(nextafterf(middle, INFINITY)), half + 1);
        assert_int_equal(tn_half_from_float(-nextafterf(middle, INFINITY)), (half + 1) | 0x8000);
    }
    assert_int_equal(tn_half_from_float(1e30F), 0x7C00);
    assert_int_equal(tn_half_from_float(-INFINITY), 0xFC00);
    assert_int_equal(tn_half_from_float(1e-30F), 0);
    assert_int_equal(tn_half_from_float(-0.0F), 0x8000);
}

static void every_bfloat_both_ways(void **unused)
{
    (void)unused;
    for (uint32_t bfloat = 0; bfloat < 0x10000; bfloat++) {
        float value = tn_bfloat_to_float((uint16_t)bfloat);
        if (isnan(value)) {
            assert_true(isnan(tn_bfloat_to_float(tn_bfloat_from_float(value))));
            continue;
        }
        assert_int_equal(tn_bfloat_from_float(value), bfloat);
        uint32_t bits = bfloat << 16;
        if ((bfloat & 0x7FFF) != 0x7F80) { /* infinity has no neighbour above */
            assert_int_equal(tn_bfloat_from_float(tn_float_of_bits(bits | 0x7FFF)), bfloat);
            assert_int_equal(tn_bfloat_from_float(tn_float_of_bits(bits | 0x8000)),
                             bfloat + (bfloat & 1));
            assert_int_equal(tn_bfloat_from_float(tn_float_of_bits(bits | 0x8001)), bfloat + 1);
        }
    }
}

static void nans_stay_nans(void **unused)
{
    (void)unused;
    static const uint32_t nans[] = {0x7F800001, 0x7F801FFF, 0x7FC00000, 0xFFFFFFFF, 0xFF800001};
    for (size_t i = 0; i < sizeof(nans) / sizeof(nans[0]); i++) {
        float nan = tn_float_of_bits(nans[i]);
        assert_true(isnan(tn_half_to_float(tn_half_from_float(nan))));
        assert_true(isnan(tn_bfloat_to_float(tn_bfloat_from_float(nan))));
        assert_int_equal(tn_half_from_float(nan) >> 15, nans[i] >> 31);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_half_means_what_the_standard_says),
        cmocka_unit_test(every_midpoint_goes_to_even),
        cmocka_unit_test(every_bfloat_both_ways),
        cmocka_unit_test(nans_stay_nans),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
