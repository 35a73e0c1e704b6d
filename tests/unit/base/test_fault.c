/* Error texts: codes, system reasons, wrapping, and the cut at the end of the room. */
#include "base/fault.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void set_fills_and_returns_the_code(void **unused)
{
    (void)unused;
    struct tn_fault fault = {0};
    assert_int_equal(tn_fault_set(&fault, TN_NOTFOUND, "model '%s' has no version %u", "silero", 7),
                     TN_NOTFOUND);
    assert_int_equal(fault.code, TN_NOTFOUND);
    assert_string_equal(fault.text, "model 'silero' has no version 7");
    assert_int_equal(tn_fault_set(NULL, TN_LIMIT, "nobody looks"), TN_LIMIT);
    tn_fault_set(&fault, TN_INVALID, "two lines\n\n");
    assert_string_equal(fault.text, "two lines");
}

static void errno_chooses_the_code_and_names_the_reason(void **unused)
{
    (void)unused;
    const struct {
        int errnum;
        enum tn_err code;
    } rows[] = {{ENOENT, TN_NOTFOUND}, {EACCES, TN_DENIED}, {EPERM, TN_DENIED},
                {ENOMEM, TN_NOMEM},    {EEXIST, TN_EXISTS}, {EIO, TN_IO}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct tn_fault fault = {0};
        assert_int_equal(tn_fault_errno(&fault, rows[i].errnum, "open %s", "/x"), rows[i].code);
        char wanted[200];
        snprintf(wanted, sizeof(wanted), "open /x: %s", strerror(rows[i].errnum));
        assert_string_equal(fault.text, wanted);
        assert_int_equal(tn_fault_errno(NULL, rows[i].errnum, "x"), rows[i].code);
    }
}

static void wrap_puts_the_context_first(void **unused)
{
    (void)unused;
    struct tn_fault fault = {0};
    tn_fault_set(&fault, TN_CORRUPT, "hash differs");
    tn_fault_wrap(&fault, "load %s", "silero");
    tn_fault_wrap(NULL, "nobody");
    assert_string_equal(fault.text, "load silero: hash differs");
    assert_int_equal(fault.code, TN_CORRUPT);
}

static void text_may_quote_its_own_fault(void **unused)
{
    (void)unused;
    struct tn_fault fault = {0};
    tn_fault_set(&fault, TN_IO, "inner");
    tn_fault_set(&fault, TN_INTERNAL, "outer (%s)", fault.text);
    assert_string_equal(fault.text, "outer (inner)");
}

/* Every length around the room, with one-, two- and three-byte characters: what fits is whole,
 * what does not ends in "..." and stays valid UTF-8. */
static void long_texts_are_cut_between_characters(void **unused)
{
    (void)unused;
    const char *glyphs[] = {"x", "\xC3\xA9", "\xE2\x82\xAC"};
    for (size_t g = 0; g < 3; g++) {
        size_t width = strlen(glyphs[g]);
        for (size_t size = TN_FAULT_TEXT_MAX - 8; size < TN_FAULT_TEXT_MAX + 40; size++) {
            char text[TN_FAULT_TEXT_MAX + 64];
            memset(text, 'a', size % width);
            for (size_t at = size % width; at < size; at += width) {
                memcpy(text + at, glyphs[g], width);
            }
            text[size] = '\0';
            struct tn_fault fault = {0};
            tn_fault_set(&fault, TN_LIMIT, "%s", text);
            size_t got = strlen(fault.text);
            if (size < TN_FAULT_TEXT_MAX) {
                assert_string_equal(fault.text, text);
                continue;
            }
            assert_true(got < TN_FAULT_TEXT_MAX && got >= TN_FAULT_TEXT_MAX - 8);
            assert_string_equal(fault.text + got - 3, "...");
            assert_memory_equal(fault.text, text, got - 3);
            assert_int_equal((got - 3 - size % width) % width, 0);
            tn_fault_wrap(&fault, "context");
            assert_string_equal(fault.text + strlen(fault.text) - 3, "...");
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(set_fills_and_returns_the_code),
        cmocka_unit_test(errno_chooses_the_code_and_names_the_reason),
        cmocka_unit_test(wrap_puts_the_context_first),
        cmocka_unit_test(text_may_quote_its_own_fault),
        cmocka_unit_test(long_texts_are_cut_between_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
