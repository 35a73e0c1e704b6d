/* The growing buffer: appends of every shape, its bound, and failures that change nothing. */
#include "base/buf.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void appends_of_every_kind_come_out_in_order(void **unused)
{
    (void)unused;
    size_t before = tn_mem_live();
    struct tn_buf buf;
    tn_buf_init(&buf, 0);
    assert_int_equal(tn_buf_bytes(&buf).size, 0);
    tn_buf_put(&buf, NULL, 0);
    tn_buf_put_text(&buf, "a=");
    tn_buf_put_str(&buf, TN_STR_OF("1"));
    tn_buf_put_byte(&buf, ' ');
    tn_buf_printf(&buf, "b=%d", 22);
    assert_true(tn_str_is(tn_buf_str(&buf), "a=1 b=22"));
    uint8_t *at = tn_buf_reserve(&buf, 1000);
    memset(at, 'z', 1000);
    tn_buf_commit(&buf, 3);
    assert_true(tn_str_is(tn_buf_str(&buf), "a=1 b=22zzz"));
    tn_buf_reset(&buf);
    assert_int_equal(buf.size, 0);
    assert_true(buf.room >= 1000);
    tn_buf_deinit(&buf);
    tn_buf_deinit(NULL);
    assert_int_equal(tn_mem_live(), before);
}

static void printf_of_any_length_is_whole(void **unused)
{
    (void)unused;
    struct tn_buf buf = {0};
    char text[700];
    for (size_t size = 240; size < sizeof(text); size++) {
        memset(text, 'p', size);
        text[size] = '\0';
        tn_buf_reset(&buf);
        tn_buf_printf(&buf, "%s", text);
        assert_true(tn_str_is(tn_buf_str(&buf), text));
    }
    tn_buf_deinit(&buf);
}

static void the_bound_is_exact_and_failure_sticks_until_reset(void **unused)
{
    (void)unused;
    for (size_t most = 1; most < 300; most++) {
        struct tn_buf buf;
        tn_buf_init(&buf, most);
        for (size_t i = 0; i < most; i++) {
            tn_buf_put_byte(&buf, (uint8_t)i);
        }
        assert_int_equal(tn_buf_failed(&buf), TN_OK);
        tn_buf_put_byte(&buf, 'x');
        assert_int_equal(tn_buf_failed(&buf), TN_LIMIT);
        assert_int_equal(buf.size, most);
        assert_true(buf.room <= most);
        assert_null(tn_buf_reserve(&buf, 0));
        tn_buf_reset(&buf);
        tn_buf_put(&buf, "x", 1);
        assert_int_equal(tn_buf_failed(&buf), TN_OK);
        tn_buf_deinit(&buf);
    }
}

static void no_memory_leaves_the_buffer_as_it_was(void **unused)
{
    (void)unused;
    struct tn_buf buf = {0};
    tn_buf_put_text(&buf, "kept");
    tn_mem_fail_from(1, false);
    assert_null(tn_buf_reserve(&buf, 1 << 20));
    tn_buf_put_text(&buf, "more"); /* would fit, but a hole in the output is worse */
    assert_int_equal(tn_buf_failed(&buf), TN_NOMEM);
    assert_true(tn_str_is(tn_buf_str(&buf), "kept"));
    tn_buf_deinit(&buf);
    tn_mem_fail_from(0, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(appends_of_every_kind_come_out_in_order),
        cmocka_unit_test(printf_of_any_length_is_whole),
        cmocka_unit_test(the_bound_is_exact_and_failure_sticks_until_reset),
        cmocka_unit_test(no_memory_leaves_the_buffer_as_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
