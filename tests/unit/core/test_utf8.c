/* UTF-8: every code point both ways, and every sequence of up to three bytes against the rule
 * "valid means: decodes to a code point whose own encoding is these bytes". */
#include "core/utf8.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static bool is_surrogate(uint32_t code)
{
    return code >= 0xD800 && code <= 0xDFFF;
}

static void every_code_point_is_valid_at_its_size(void **unused)
{
    (void)unused;
    for (uint32_t code = 0; code <= TN_UTF8_CODE_MAX; code++) {
        if (is_surrogate(code)) {
            continue;
        }
        uint8_t out[TN_UTF8_SIZE_MAX];
        size_t size = tn_utf8_put(out, code);
        assert_int_equal(tn_utf8_sequence_size(out, size), size);
        assert_int_equal(tn_utf8_sequence_size(out, size - 1), 0);
    }
}

/* The textbook decoding, without any check of shortness. */
static uint32_t loose_decode(const uint8_t *at, size_t size)
{
    static const uint8_t mask[] = {0, 0x7F, 0x1F, 0x0F, 0x07};
    uint32_t code = at[0] & mask[size];
    for (size_t i = 1; i < size; i++) {
        code = code << 6 | (at[i] & 0x3F);
    }
    return code;
}

static void assert_like_the_rule(const uint8_t *bytes, size_t room)
{
    size_t size = tn_utf8_sequence_size(bytes, room);
    size_t expected = 0;
    for (size_t length = 1; length <= room && expected == 0; length++) {
        uint8_t again[TN_UTF8_SIZE_MAX];
        uint32_t code = loose_decode(bytes, length);
        bool fits = code <= TN_UTF8_CODE_MAX && !is_surrogate(code);
        if (fits && tn_utf8_put(again, code) == length && memcmp(again, bytes, length) == 0) {
            expected = length;
        }
    }
    assert_int_equal(size, expected);
}

static void every_short_sequence_is_judged_by_the_rule(void **unused)
{
    (void)unused;
    for (uint32_t value = 0; value < 1U << 24; value += value < 1U << 20 ? 1 : 3) {
        uint8_t bytes[3] = {(uint8_t)(value >> 16), (uint8_t)(value >> 8), (uint8_t)value};
        assert_like_the_rule(bytes, 3);
    }
    for (uint32_t value = 0; value < 1U << 24; value += 5) {
        uint8_t bytes[4] = {(uint8_t)(0xF0 | value >> 20), (uint8_t)(0x80 | (value >> 14 & 0x7F)),
                            (uint8_t)(value >> 7), (uint8_t)value};
        assert_like_the_rule(bytes, 4);
    }
}

static void whole_texts(void **unused)
{
    (void)unused;
    assert_true(tn_utf8_valid(tn_str_make(NULL, 0)));
    assert_true(tn_utf8_valid(TN_STR_OF("plain ASCII longer than eight bytes")));
    assert_true(tn_utf8_valid(TN_STR_OF("gr\xc3\xbc\xc3\x9f dich, \xe4\xb8\x96\xe7\x95\x8c "
                                        "\xf0\x9f\x8c\x8d")));
    assert_false(tn_utf8_valid(TN_STR_OF("12345678\xc3")));
    assert_false(tn_utf8_valid(TN_STR_OF("1234567\xff 12345678")));
    assert_false(tn_utf8_valid(TN_STR_OF("\xc0\x80")));
    assert_false(tn_utf8_valid(TN_STR_OF("\xf4\x90\x80\x80")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_point_is_valid_at_its_size),
        cmocka_unit_test(every_short_sequence_is_judged_by_the_rule),
        cmocka_unit_test(whole_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
