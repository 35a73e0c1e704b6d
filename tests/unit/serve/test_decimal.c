/* Decimal numbers: against the C library's exact conversion, both ways, and exact integers. */
#include "serve/decimal.h"

#include "core/assert.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static uint64_t seed = 0x9E3779B97F4A7C15;

static uint64_t next_random(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

static void check_text(const char *text)
{
    struct tn_decimal decimal;
    assert_int_equal(tn_decimal_read(tn_str_from(text), &decimal), TN_OK);
    assert_int_equal(decimal.size, strlen(text));
    double want64 = strtod(text, NULL);
    float want32 = strtof(text, NULL);
    double got64 = 0;
    float got32 = 0;
    enum tn_err err64 = tn_decimal_to_f64(&decimal, &got64);
    enum tn_err err32 = tn_decimal_to_f32(&decimal, &got32);
    if ((err64 != TN_OK) != (isinf(want64) != 0) || (err32 != TN_OK) != (isinf(want32) != 0) ||
        (err64 == TN_OK && memcmp(&want64, &got64, 8) != 0) ||
        (err32 == TN_OK && memcmp(&want32, &got32, 4) != 0)) {
        fail_msg("%s: want %a %a, got %a %a (%d %d)", text, want64, (double)want32, got64,
                 (double)got32, err64, err32);
    }
}

static void hard_cases_round_as_the_c_library(void **unused)
{
    (void)unused;
    static const char *const texts[] = {
        "0",
        "-0",
        "0.0",
        "-0.0e10",
        "1",
        "-1",
        "0.1",
        "1e22",
        "1e23",
        "1e-27",
        "1e27",
        "1e-28",
        "1e28",
        "123456789012345678",
        "9007199254740993",
        "9007199254740992.5",
        "1e308",
        "1e309",
        "1.7976931348623157e308",
        "1.7976931348623159e308",
        "4.9e-324",
        "2.4703282292062327e-324",
        "2.4703282292062328e-324",
        "2.2250738585072011e-308",
        "3.4028235e38",
        "3.4028236e38",
        "3.40282356779733661637539395458142568447e38",
        "340282356779733661637539395458142568448",
        "340282356779733661637539395458142568447",
        "1.1754943e-38",
        "1e-45",
        "7e-46",
        "7.1e-46",
        "1e-99999999",
        "16777217",
        "16777219",
        "16777217.0000000001",
        "33554435",
        "8589934594.5",
        "0.000000000000000000000000001",
        "1.00000005960464477539062500000000001",
        "1.000000059604644775390625",
        "1.0000000596046447753906249",
        "12345678901234567890123",
        "0.12345678901234567890123456789",
        "100000000000000000000000000000000",
        "5e-324",
        "18446744073709551615",
        "18446744073709551616",
        "0.00000000000000000000000000000000001",
        "10000000000000000000",
        "99999999999999999999",
        "1e-400",
        "0e999",
    };
    for (size_t i = 0; i < TN_COUNT(texts); i++) {
        check_text(texts[i]);
    }
    /* A tie of a subnormal has 767 digits; one more decides. */
    char longest[1200];
    size_t size = (size_t)snprintf(longest, sizeof(longest), "%.1074f", 4.9406564584124654e-324);
    check_text(longest);
    longest[size] = '1';
    longest[size + 1] = '\0';
    check_text(longest);
}

static void random_numbers_round_as_the_c_library(void **unused)
{
    (void)unused;
    char text[96];
    for (int i = 0; i < 300000; i++) {
        uint64_t bits = next_random();
        float single = 0;
        uint32_t low = (uint32_t)bits;
        memcpy(&single, &low, sizeof(single));
        double wide = 0;
        memcpy(&wide, &bits, sizeof(wide));
        switch (i % 6) {
        case 0:
            snprintf(text, sizeof(text), "%.*g", 1 + (int)(bits % 20), isfinite(wide) ? wide : 1.0);
            break;
        case 1:
            snprintf(text, sizeof(text), "%.9g", isfinite(single) ? (double)single : 1.0);
            break;
        case 2: /* exactly between two floats, and a little beside */
            single = (float)((double)(bits >> 40) / 1024.0);
            snprintf(text, sizeof(text), "%.*f", 12 + (int)(bits % 9),
                     ((double)single + (double)nextafterf(single, INFINITY)) / 2);
            break;
        case 3:
            snprintf(text, sizeof(text), "%llue%d", (unsigned long long)bits,
                     (int)(next_random() % 70) - 35);
            break;
        case 4:
            snprintf(text, sizeof(text), "%llu.%llu", (unsigned long long)(bits >> (bits % 64)),
                     (unsigned long long)next_random());
            break;
        default:
            snprintf(text, sizeof(text), "-0.%0*llu", (int)(bits % 30),
                     (unsigned long long)next_random());
        }
        check_text(text);
    }
}

static void grammar_is_that_of_json(void **unused)
{
    (void)unused;
    static const char *const wrong[] = {"",    "-",    "+1", ".5",  "-.5", "1.",       "1.e5",
                                        "1e",  "1e+",  "01", "-01", "NaN", "Infinity", "-Infinity",
                                        "nan", "0x10", "00", "e5",  "--1"};
    struct tn_decimal decimal;
    for (size_t i = 0; i < TN_COUNT(wrong); i++) {
        bool hex = strcmp(wrong[i], "0x10") == 0; /* a zero, then something else */
        enum tn_err err = tn_decimal_read(tn_str_from(wrong[i]), &decimal);
        assert_true(hex ? err == TN_OK && decimal.size == 1 : err == TN_INVALID);
    }
    assert_int_equal(tn_decimal_read(TN_STR_OF("1e9999999999"), &decimal), TN_LIMIT);
    assert_int_equal(tn_decimal_read(TN_STR_OF("12,3"), &decimal), TN_OK);
    assert_int_equal(decimal.size, 2);
}

static void integers_are_exact(void **unused)
{
    (void)unused;
    struct tn_decimal decimal;
    int64_t i64 = 0;
    uint64_t u64 = 0;
    assert_int_equal(tn_decimal_read(TN_STR_OF("-9223372036854775808"), &decimal), TN_OK);
    assert_int_equal(tn_decimal_to_i64(&decimal, INT64_MIN, INT64_MAX, &i64), TN_OK);
    assert_true(i64 == INT64_MIN);
    assert_int_equal(tn_decimal_to_u64(&decimal, UINT64_MAX, &u64), TN_LIMIT);
    assert_int_equal(tn_decimal_read(TN_STR_OF("9223372036854775808"), &decimal), TN_OK);
    assert_int_equal(tn_decimal_to_i64(&decimal, INT64_MIN, INT64_MAX, &i64), TN_LIMIT);
    assert_int_equal(tn_decimal_read(TN_STR_OF("18446744073709551615"), &decimal), TN_OK);
    assert_int_equal(tn_decimal_to_u64(&decimal, UINT64_MAX, &u64), TN_OK);
    assert_true(u64 == UINT64_MAX);
    assert_int_equal(tn_decimal_read(TN_STR_OF("18446744073709551616"), &decimal), TN_OK);
    assert_int_equal(tn_decimal_to_u64(&decimal, UINT64_MAX, &u64), TN_LIMIT);
    assert_int_equal(tn_decimal_read(TN_STR_OF("9007199254740993"), &decimal), TN_OK);
    assert_int_equal(tn_decimal_to_i64(&decimal, INT64_MIN, INT64_MAX, &i64), TN_OK);
    assert_true(i64 == INT64_C(9007199254740993));
    assert_int_equal(tn_decimal_read(TN_STR_OF("1.0"), &decimal), TN_OK);
    assert_int_equal(tn_decimal_to_i64(&decimal, INT64_MIN, INT64_MAX, &i64), TN_INVALID);
    assert_int_equal(tn_decimal_read(TN_STR_OF("300"), &decimal), TN_OK);
    assert_int_equal(tn_decimal_to_u64(&decimal, 255, &u64), TN_LIMIT);
    assert_int_equal(tn_decimal_to_i64(&decimal, -128, 127, &i64), TN_LIMIT);
}

static void written_floats_read_back(void **unused)
{
    (void)unused;
    char text[TN_DECIMAL_TEXT_MAX + 1];
    for (int i = 0; i < 200000; i++) {
        uint32_t bits = (uint32_t)next_random();
        float value = 0;
        memcpy(&value, &bits, sizeof(value));
        if (i % 2 == 0) {
            value = (float)((double)(int32_t)bits / (double)(1U << (bits % 31)));
        }
        if (!isfinite(value)) {
            continue;
        }
        size_t size = tn_decimal_put_f32(value, text);
        assert_true(size <= TN_DECIMAL_TEXT_MAX);
        text[size] = '\0';
        float back = strtof(text, NULL);
        if (memcmp(&back, &value, sizeof(back)) != 0) {
            fail_msg("%a written as %s", (double)value, text);
        }
        check_text(text);
        double wide = (double)value * 1.000000001;
        size = tn_decimal_put_f64(wide, text);
        text[size] = '\0';
        assert_true(strtod(text, NULL) == wide);
    }
    size_t size = tn_decimal_put_f32(0.1F, text);
    assert_memory_equal(text, "0.1", size);
    size = tn_decimal_put_f32(-2.0F, text);
    assert_memory_equal(text, "-2", size);
    size = tn_decimal_put_i64(INT64_MIN, text);
    assert_int_equal(size, 20);
    assert_memory_equal(text, "-9223372036854775808", 20);
}

int main(void)
{
    print_message("seed %llx\n", (unsigned long long)seed);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hard_cases_round_as_the_c_library),
        cmocka_unit_test(random_numbers_round_as_the_c_library),
        cmocka_unit_test(grammar_is_that_of_json),
        cmocka_unit_test(integers_are_exact),
        cmocka_unit_test(written_floats_read_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
