/* Quantities: tables of what is read and refused, and everything printed is read back. */
#include "base/units.h"
#include "core/assert.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

struct row {
    const char *text;
    enum tn_err err;
    uint64_t value;
};

static void sizes(void **unused)
{
    (void)unused;
    static const struct row rows[] = {
        {"0", TN_OK, 0},
        {"4096", TN_OK, 4096},
        {"0x10", TN_OK, 16},
        {"64MiB", TN_OK, 64 << 20},
        {"1.5GiB", TN_OK, UINT64_C(3) << 29},
        {"10MB", TN_OK, 10000000},
        {"7B", TN_OK, 7},
        {"0.125KiB", TN_OK, 128},
        {"8TiB", TN_OK, UINT64_C(8) << 40},
        {"9223372036854775807", TN_OK, INT64_MAX},
        {"9223372036854775808", TN_LIMIT, 0},
        {"99999999999999999999", TN_LIMIT, 0},
        {"9000000TiB", TN_LIMIT, 0},
        {"99999999999999999999MiB", TN_LIMIT, 0},
        {"", TN_INVALID, 0},
        {"MiB", TN_INVALID, 0},
        {"64mib", TN_INVALID, 0},
        {"64 MiB", TN_INVALID, 0},
        {"1.5", TN_INVALID, 0},
        {"0.0001KiB", TN_INVALID, 0},
        {"0.001KiB", TN_INVALID, 0},
        {"-1", TN_INVALID, 0},
        {"1.MiB", TN_INVALID, 0},
        {".5MiB", TN_INVALID, 0},
        {"1..5MiB", TN_INVALID, 0},
        {"1MiB1", TN_INVALID, 0},
        {"1MiB1KiB", TN_INVALID, 0},
    };
    for (size_t i = 0; i < TN_COUNT(rows); i++) {
        uint64_t value = 77;
        assert_int_equal(tn_units_parse_size(tn_str_from(rows[i].text), &value), rows[i].err);
        assert_int_equal(value, rows[i].err == TN_OK ? rows[i].value : 77);
    }
}

static void durations(void **unused)
{
    (void)unused;
    static const struct row rows[] = {
        {"0", TN_OK, 0},
        {"250ms", TN_OK, 250000000},
        {"1h30m", TN_OK, UINT64_C(5400000000000)},
        {"1.5s", TN_OK, 1500000000},
        {"100us", TN_OK, 100000},
        {"5ns", TN_OK, 5},
        {"2d", TN_OK, UINT64_C(172800000000000)},
        {"1m1s1ms", TN_OK, UINT64_C(61001000000)},
        {"0.001us", TN_OK, 1},
        {"106751d", TN_OK, UINT64_C(106751) * 86400000000000},
        {"106752d", TN_LIMIT, 0},
        {"106751d100d", TN_LIMIT, 0},
        {"", TN_INVALID, 0},
        {"5", TN_INVALID, 0},
        {"00", TN_INVALID, 0},
        {"s", TN_INVALID, 0},
        {"5 s", TN_INVALID, 0},
        {"5sec", TN_INVALID, 0},
        {"-5s", TN_INVALID, 0},
        {"0.5ns", TN_INVALID, 0},
        {"1h30", TN_INVALID, 0},
    };
    for (size_t i = 0; i < TN_COUNT(rows); i++) {
        uint64_t value = 77;
        assert_int_equal(tn_units_parse_duration(tn_str_from(rows[i].text), &value), rows[i].err);
        assert_int_equal(value, rows[i].err == TN_OK ? rows[i].value : 77);
    }
}

static void integers(void **unused)
{
    (void)unused;
    static const struct {
        const char *text;
        enum tn_err err;
        int64_t value;
    } rows[] = {{"-9223372036854775808", TN_OK, INT64_MIN},
                {"9223372036854775807", TN_OK, INT64_MAX},
                {"+5", TN_OK, 5},
                {"-0x10", TN_OK, -16},
                {"9223372036854775808", TN_LIMIT, 0},
                {"-9223372036854775809", TN_LIMIT, 0},
                {"99999999999999999999999x", TN_INVALID, 0},
                {"--5", TN_INVALID, 0},
                {"-", TN_INVALID, 0},
                {"0x", TN_INVALID, 0},
                {"0xg", TN_INVALID, 0},
                {"1_000", TN_INVALID, 0},
                {" 1", TN_INVALID, 0},
                {"", TN_INVALID, 0}};
    for (size_t i = 0; i < TN_COUNT(rows); i++) {
        int64_t value = 77;
        assert_int_equal(tn_units_parse_int(tn_str_from(rows[i].text), &value), rows[i].err);
        assert_int_equal(value, rows[i].err == TN_OK ? rows[i].value : 77);
    }
    uint64_t wide = 0;
    assert_int_equal(tn_units_parse_uint(TN_STR_OF("18446744073709551615"), &wide), TN_OK);
    assert_true(wide == UINT64_MAX);
    assert_int_equal(tn_units_parse_uint(TN_STR_OF("18446744073709551616"), &wide), TN_LIMIT);
    assert_int_equal(tn_units_parse_uint(TN_STR_OF("+1"), &wide), TN_INVALID);
}

static void floats(void **unused)
{
    (void)unused;
    static const char *const wrong[] = {"",    "nan", "inf", ".5",    "5.",    "1e", "1e+",
                                        "0x1", "1 ",  "--1", "1e999", "1.2.3", "e5", "1,5"};
    for (size_t i = 0; i < TN_COUNT(wrong); i++) {
        double value = 7;
        assert_int_equal(tn_units_parse_float(tn_str_from(wrong[i]), &value), TN_INVALID);
        assert_true(value == 7);
    }
    double value = 0;
    assert_int_equal(tn_units_parse_float(TN_STR_OF("-1.25e-2"), &value), TN_OK);
    assert_true(value == -0.0125);
}

static void what_is_printed_is_read_back(void **unused)
{
    (void)unused;
    uint64_t state = 88172645463325252u;
    for (size_t i = 0; i < 200000; i++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        uint64_t value = (state >> (1 + i % 63)) << (i % 7 * (i % 5));
        value = value > INT64_MAX ? value >> 1 : value;
        value = i % 11 == 0 ? value / 86400000000000u * 86400000000000u : value;
        char text[TN_UNITS_TEXT_MAX];
        uint64_t back = 1;
        size_t size = tn_units_print_size(text, value);
        assert_int_equal(tn_units_parse_size(tn_str_make(text, size), &back), TN_OK);
        assert_true(back == value);
        size = tn_units_print_duration(text, value);
        assert_int_equal(tn_units_parse_duration(tn_str_make(text, size), &back), TN_OK);
        assert_true(back == value);
        union {
            uint64_t bits;
            double number;
        } any = {.bits = state};
        double read = 0;
        size = tn_units_print_float(text, any.number);
        if (any.number - any.number == 0) { /* finite */
            assert_int_equal(tn_units_parse_float(tn_str_make(text, size), &read), TN_OK);
            assert_true(read == any.number);
        }
    }
    char text[TN_UNITS_TEXT_MAX];
    tn_units_print_size(text, 65536);
    assert_string_equal(text, "64KiB");
    tn_units_print_size(text, 10000000);
    assert_string_equal(text, "10MB");
    tn_units_print_duration(text, 90000000000);
    assert_string_equal(text, "90s");
    tn_units_print_duration(text, 0);
    assert_string_equal(text, "0s");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes),
        cmocka_unit_test(durations),
        cmocka_unit_test(integers),
        cmocka_unit_test(floats),
        cmocka_unit_test(what_is_printed_is_read_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
