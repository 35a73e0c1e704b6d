/* Numbers against the C library: reading as strtod and strtof do, printing what reads back and
 * nothing longer than need be; random bits, random texts, exact midpoints, and the grammar. */
#include "core/assert.h"
#include "core/number.h"
#include "core/wide.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static uint64_t random_state;

static uint64_t random_next(void)
{
    random_state += 0x9E3779B97F4A7C15U;
    uint64_t z = random_state;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
    return z ^ (z >> 31);
}

static uint64_t double_bits(double value)
{
    uint64_t bits = 0;
    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

static double double_of(uint64_t bits)
{
    double value = 0;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

static uint32_t float_bits(float value)
{
    uint32_t bits = 0;
    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

static float float_of(uint32_t bits)
{
    float value = 0;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

static void assert_reads_as_the_library(const char *text)
{
    struct tn_number number;
    assert_int_equal(tn_number_scan(tn_str_from(text), &number), TN_OK);
    assert_int_equal(number.text.size, strlen(text));
    double expected = strtod(text, NULL);
    float expected_float = strtof(text, NULL);
    if (double_bits(tn_number_double(&number)) != double_bits(expected) ||
        float_bits(tn_number_float(&number)) != float_bits(expected_float)) {
        print_message("%s\n", text);
    }
    assert_true(double_bits(tn_number_double(&number)) == double_bits(expected));
    assert_int_equal(float_bits(tn_number_float(&number)), float_bits(expected_float));
}

/* 2^1024 - 2^970, half way from the largest double to infinity, less one. */
static const char largest_and_half[] =
    "1797693134862315807937289714053034150799341327100378269361737789804449682927647509466"
    "4901797758720709633028641669288791094655554785194040263065748867150582068190890200070"
    "8383676273854845817711531764475730270069855571366959622842914819860834936475292719074"
    "168444365510704342711559699508093042880177904174497791";

static void known_hard_texts(void **unused)
{
    (void)unused;
    static const char *const texts[] = {
        "0",
        "-0",
        "0.0e5",
        "1",
        "-1.5",
        "0.1",
        "1e22",
        "1e23",
        "9007199254740993",
        "9007199254740992.5",
        "9007199254740993.0000000000000000000000000000000000000000000000001",
        "2.2250738585072011e-308",
        "2.2250738585072012e-308",
        "2.2250738585072014e-308",
        "4.9406564584124654e-324",
        "2.4703282292062327e-324",
        "2.4703282292062328e-324",
        "2.47032822920623272088284396434110686182e-324",
        "1.7976931348623157e308",
        "1.7976931348623158e308",
        "1.7976931348623159e308",
        "1e308",
        "1e309",
        "-1e400",
        "1e-400",
        "123456789012345678901234567890e-10",
        "7.038531e-26",
        "8.5e-46",
        "7.0064923216240853546186479164495806564013097093825788587853e-46",
        "7.0064923216240853546186479164495806564013097093825788587854e-46",
        "3.4028235677973366e38",
        "3.4028235677973365e38",
        "16777217",
        "16777217.0000000000000000000000001",
        "1e-45",
        largest_and_half,
    };
    for (size_t i = 0; i < TN_COUNT(texts); i++) {
        assert_reads_as_the_library(texts[i]);
    }
}

static void random_texts_read_as_the_library(void **unused)
{
    (void)unused;
    random_state = 1;
    for (size_t i = 0; i < 400000; i++) {
        char text[128];
        size_t size = 0;
        unsigned digits = 1 + random_next() % (random_next() % 8 == 0 ? 40 : 20);
        unsigned point = (unsigned)(random_next() % (digits + 1));
        size += random_next() % 2 ? (size_t)sprintf(text, "-") : 0;
        text[size++] = point == 0 ? '0' : (char)('1' + random_next() % 9);
        for (unsigned k = 1; k < point; k++) {
            text[size++] = (char)('0' + random_next() % 10);
        }
        if (point < digits) {
            text[size++] = '.';
            for (unsigned k = point; k < digits; k++) {
                text[size++] = (char)('0' + random_next() % 10);
            }
        }
        int range = random_next() % 2 ? 700 : 90;
        size += (size_t)sprintf(text + size, "e%d", (int)(random_next() % 700) % range - range / 2);
        text[size] = '\0';
        assert_reads_as_the_library(text);
    }
}

/* Takes one from the last place of the digits before `end`, borrowing as in school. */
static bool take_one_away(char *text, char *end)
{
    for (char *at = end - 1; at > text; at--) {
        if (*at == '.') {
            continue;
        }
        if (*at != '0') {
            (*at)--;
            return text[0] != '0';
        }
        *at = '9';
    }
    return false;
}

/* Texts of exactly the middle between two neighbours, and a hair above and below it. The x87 format
 * holds each such middle, and the library prints it in full. */
static void midpoints_go_to_even_and_hairs_decide(void **unused)
{
    (void)unused;
    random_state = 2;
    for (size_t i = 0; i < 3000; i++) {
        char text[1400];
        if (i % 2 == 0) {
            double low = fabs(double_of(random_next()));
            if (!isfinite(low)) {
                continue;
            }
            long double middle = ((long double)low + (long double)nextafter(low, INFINITY)) / 2;
            (void)snprintf(text, sizeof(text), "%.780Le", isinf(middle) ? 1.0L : middle);
        } else {
            float low = fabsf(float_of((uint32_t)random_next()));
            if (!isfinite(low)) {
                continue;
            }
            double middle = ((double)low + (double)nextafterf(low, INFINITY)) / 2;
            (void)snprintf(text, sizeof(text), "%.200e", isinf(middle) ? 1.0 : middle);
        }
        assert_reads_as_the_library(text);
        char *e = strchr(text, 'e');
        e[-1] = '1'; /* the last digits are zeros: above */
        assert_reads_as_the_library(text);
        char longer[1500];
        (void)snprintf(longer, sizeof(longer), "%.*s%s1%s", (int)(e - text) - 1, text,
                       "0000000000000000000000000000000000000000000000000000000", e);
        assert_reads_as_the_library(longer);
        e[-1] = '0';
        if (take_one_away(text, e)) {
            assert_reads_as_the_library(text);
        }
    }
}

static size_t significant(const char *text)
{
    size_t count = 0;
    size_t zeros = 0;
    for (; *text != '\0' && *text != 'e'; text++) {
        if (*text >= '0' && *text <= '9' && (*text != '0' || count > 0)) {
            count++;
            zeros = *text == '0' ? zeros + 1 : 0;
        }
    }
    return count - zeros;
}

static void assert_no_shorter(const char *printed, double value, bool is_float)
{
    char shorter[64];
    for (int precision = 0; precision < (int)significant(printed); precision++) {
        (void)snprintf(shorter, sizeof(shorter), "%.*e", precision, value);
        bool same =
            is_float ? strtof(shorter, NULL) == (float)value : strtod(shorter, NULL) == value;
        if (same) {
            /* The library's is as long, and it is the nearest of that length. */
            assert_int_equal(significant(printed), precision + 1);
            assert_true(strtold(shorter, NULL) == strtold(printed, NULL));
            return;
        }
    }
}

static void doubles_survive_and_are_shortest(void **unused)
{
    (void)unused;
    random_state = 3;
    for (size_t i = 0; i < 600000; i++) {
        uint64_t bits = random_next();
        double value = double_of(bits);
        if (i % 3 == 0) {
            value = (double)(int64_t)(bits % 2000000000) / 1000;
        } else if (i % 64 == 1) {
            value = double_of(bits & 0xFFF0000000000000U); /* powers of two */
        }
        if (!isfinite(value)) {
            continue;
        }
        char text[TN_NUMBER_SIZE_MAX + 1];
        text[tn_number_put_double(text, value)] = '\0';
        assert_true(double_bits(strtod(text, NULL)) == double_bits(value));
        struct tn_number number;
        assert_int_equal(tn_number_scan(tn_str_from(text), &number), TN_OK);
        assert_int_equal(number.text.size, strlen(text));
        assert_true(double_bits(tn_number_double(&number)) == double_bits(value));
        if (i % 16 == 1) {
            assert_no_shorter(text, value, false);
        }
    }
}

static void floats_survive_and_are_shortest(void **unused)
{
    (void)unused;
    random_state = 4;
    for (size_t i = 0; i < 600000; i++) {
        float value = float_of((uint32_t)random_next());
        if (i % 64 == 1) {
            value = float_of((uint32_t)random_next() & 0xFF800000U);
        }
        if (!isfinite(value)) {
            continue;
        }
        char text[TN_NUMBER_SIZE_MAX + 1];
        text[tn_number_put_float(text, value)] = '\0';
        assert_int_equal(float_bits(strtof(text, NULL)), float_bits(value));
        struct tn_number number;
        assert_int_equal(tn_number_scan(tn_str_from(text), &number), TN_OK);
        assert_int_equal(float_bits(tn_number_float(&number)), float_bits(value));
        if (i % 16 == 1) {
            assert_no_shorter(text, (double)value, true);
        }
    }
}

static void assert_prints(double value, const char *expected)
{
    char text[TN_NUMBER_SIZE_MAX + 1];
    text[tn_number_put_double(text, value)] = '\0';
    assert_string_equal(text, expected);
}

static void layout_is_that_of_ecmascript(void **unused)
{
    (void)unused;
    assert_prints(0.0, "0");
    assert_prints(-0.0, "-0");
    assert_prints(1.0, "1");
    assert_prints(-1.5, "-1.5");
    assert_prints(100.0, "100");
    assert_prints(0.1, "0.1");
    assert_prints(0.000001, "0.000001");
    assert_prints(0.0000001, "1e-7");
    assert_prints(1.5e-7, "1.5e-7");
    assert_prints(123456789012345680000.0, "123456789012345680000");
    assert_prints(1e21, "1e+21");
    assert_prints(1.7976931348623157e308, "1.7976931348623157e+308");
    assert_prints(5e-324, "5e-324");
    assert_prints(9007199254740993.0, "9007199254740992");
    assert_prints(1e23, "1e+23");
    assert_prints((double)INFINITY, "+Inf");
    assert_prints(-(double)INFINITY, "-Inf");
    assert_prints((double)NAN, "NaN");
    char text[TN_NUMBER_SIZE_MAX + 1];
    text[tn_number_put_float(text, 0.1F)] = '\0';
    assert_string_equal(text, "0.1");
    text[tn_number_put_float(text, 3.4028235e38F)] = '\0';
    assert_string_equal(text, "3.4028235e+38");
}

static void integers_both_ways(void **unused)
{
    (void)unused;
    random_state = 5;
    for (size_t i = 0; i < 300000; i++) {
        uint64_t value = random_next() >> (random_next() % 64);
        char text[TN_NUMBER_SIZE_MAX + 1];
        char expected[TN_NUMBER_SIZE_MAX];
        text[tn_number_put_uint64(text, value)] = '\0';
        (void)snprintf(expected, sizeof(expected), "%llu", (unsigned long long)value);
        assert_string_equal(text, expected);
        struct tn_number number;
        uint64_t back = 0;
        assert_int_equal(tn_number_scan(tn_str_from(text), &number), TN_OK);
        assert_int_equal(tn_number_uint64(&number, &back), TN_OK);
        assert_true(back == value);
        int64_t negative = -(int64_t)(value >> 1);
        text[tn_number_put_int64(text, negative)] = '\0';
        (void)snprintf(expected, sizeof(expected), "%lld", (long long)negative);
        assert_string_equal(text, expected);
        int64_t signed_back = 0;
        assert_int_equal(tn_number_scan(tn_str_from(text), &number), TN_OK);
        assert_int_equal(tn_number_int64(&number, &signed_back), TN_OK);
        assert_true(signed_back == negative);
    }
}

static void integers_at_their_ends(void **unused)
{
    (void)unused;
    static const struct {
        const char *text;
        enum tn_err as_signed, as_unsigned;
    } rows[] = {
        {"9223372036854775807", TN_OK, TN_OK},
        {"9223372036854775808", TN_LIMIT, TN_OK},
        {"-9223372036854775808", TN_OK, TN_LIMIT},
        {"-9223372036854775809", TN_LIMIT, TN_LIMIT},
        {"18446744073709551615", TN_LIMIT, TN_OK},
        {"18446744073709551616", TN_LIMIT, TN_LIMIT},
        {"99999999999999999999", TN_LIMIT, TN_LIMIT},
        {"184467440737095516150", TN_LIMIT, TN_LIMIT},
        {"100000000000000000000000000000", TN_LIMIT, TN_LIMIT},
        {"-0", TN_OK, TN_OK},
        {"1.0", TN_INVALID, TN_INVALID},
        {"1e3", TN_INVALID, TN_INVALID},
    };
    for (size_t i = 0; i < TN_COUNT(rows); i++) {
        struct tn_number number;
        int64_t as_signed = 0;
        uint64_t as_unsigned = 0;
        assert_int_equal(tn_number_scan(tn_str_from(rows[i].text), &number), TN_OK);
        assert_int_equal(tn_number_int64(&number, &as_signed), rows[i].as_signed);
        assert_int_equal(tn_number_uint64(&number, &as_unsigned), rows[i].as_unsigned);
    }
}

static void wide_products_agree(void **unused)
{
    (void)unused;
    random_state = 6;
    for (size_t i = 0; i < 100000; i++) {
        uint64_t a = random_next() >> (random_next() % 64);
        uint64_t b = i % 8 == 0 ? UINT64_MAX - i : random_next() >> (random_next() % 64);
        struct tn_wide portable = tn_wide_multiply_portable(a, b);
        struct tn_wide native = tn_wide_multiply(a, b);
        assert_true(portable.high == native.high && portable.low == native.low);
    }
    struct tn_wide most = tn_wide_multiply_portable(UINT64_MAX, UINT64_MAX);
    assert_true(most.high == UINT64_MAX - 1 && most.low == 1);
    most = tn_wide_add(most, UINT64_MAX);
    assert_true(most.high == UINT64_MAX && most.low == 0);
}

static void grammar_is_that_of_json(void **unused)
{
    (void)unused;
    static const struct {
        const char *text;
        enum tn_err err;
        size_t size;
    } rows[] = {
        {"", TN_TRUNCATED, 0},
        {"-", TN_TRUNCATED, 0},
        {"1.", TN_TRUNCATED, 0},
        {"1e", TN_TRUNCATED, 0},
        {"1e+", TN_TRUNCATED, 0},
        {"+1", TN_INVALID, 0},
        {".5", TN_INVALID, 0},
        {"-a", TN_INVALID, 0},
        {"1.e5", TN_INVALID, 0},
        {"1e-x", TN_INVALID, 0},
        {"NaN", TN_INVALID, 0},
        {"-Infinity", TN_INVALID, 0},
        {"01", TN_OK, 1},
        {"-01", TN_OK, 2},
        {"1,2", TN_OK, 1},
        {"12345678,", TN_OK, 8},
        {"1.5e+007]", TN_OK, 8},
        {"0x10", TN_OK, 1},
        {"123456789012345678901234567890 ", TN_OK, 30},
    };
    for (size_t i = 0; i < TN_COUNT(rows); i++) {
        struct tn_number number;
        assert_int_equal(tn_number_scan(tn_str_from(rows[i].text), &number), rows[i].err);
        if (rows[i].err == TN_OK) {
            assert_int_equal(number.text.size, rows[i].size);
        }
    }
}

/* Exponents and digits that would overflow careless arithmetic. */
static void absurd_sizes(void **unused)
{
    (void)unused;
    assert_reads_as_the_library("1e99999999999999999999");
    assert_reads_as_the_library("1e-99999999999999999999");
    assert_reads_as_the_library("0e99999999999999999999");
    enum { ZEROS = 5000 };
    static char text[ZEROS + 64];
    text[0] = '0';
    text[1] = '.';
    memset(text + 2, '0', ZEROS);
    (void)sprintf(text + 2 + ZEROS, "12345678901234567890123e%d", ZEROS + 5);
    assert_reads_as_the_library(text);
    text[0] = '1';
    memset(text + 1, '0', ZEROS);
    (void)sprintf(text + 1 + ZEROS, "e-%d", ZEROS);
    assert_reads_as_the_library(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_hard_texts),
        cmocka_unit_test(random_texts_read_as_the_library),
        cmocka_unit_test(midpoints_go_to_even_and_hairs_decide),
        cmocka_unit_test(doubles_survive_and_are_shortest),
        cmocka_unit_test(floats_survive_and_are_shortest),
        cmocka_unit_test(layout_is_that_of_ecmascript),
        cmocka_unit_test(integers_both_ways),
        cmocka_unit_test(integers_at_their_ends),
        cmocka_unit_test(wide_products_agree),
        cmocka_unit_test(grammar_is_that_of_json),
        cmocka_unit_test(absurd_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
