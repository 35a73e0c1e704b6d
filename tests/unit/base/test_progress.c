/* The progress line: what it shows, that it fits, and that set and end accept NULL. */
#include "base/clock.h"
#include "base/mem.h"
#include "base/progress.h"
#include "core/assert.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void lines(void **unused)
{
    (void)unused;
    static const struct {
        struct tn_progress_view view;
        const char *text;
    } rows[] = {
        {{"load", 0, 100, 0, 0, false}, "load    0 %  0/100"},
        {{"load", 46, 100, 23 * TN_NS_PER_S, 0, false}, "load   46 %  46/100  2/s  27s left"},
        {{"load", 100, 100, TN_NS_PER_S, 0, false}, "load  100 %  100/100  100/s"},
        {{"load", 200, 100, TN_NS_PER_S, 0, false}, "load  100 %  200/100  200/s"},
        {{"t", 2 * TN_NS_PER_S, 5 * TN_NS_PER_S, 2 * TN_NS_PER_S, 0, true},
         "t   40 %  2s/5s  3s left"},
        {{"x", 1234, 0, TN_NS_PER_S, 80, false}, "x  1234  1.2k/s"},
        {{"x", 999600, 0, TN_NS_PER_S, 80, false}, "x  999600  1.0M/s"},
        {{"x", 1, 200, TN_NS_PER_S, 0, false}, "x    0 %  1/200  1/s  3m19s left"},
        {{"x", 1, 9001, TN_NS_PER_S, 0, false}, "x    0 %  1/9001  1/s  2h30m left"},
        {{"x", 5, 10, 0, 50, false}, "x  [================>               ]  50 %  5/10"},
    };
    for (size_t i = 0; i < TN_COUNT(rows); i++) {
        struct tn_buf out = {0};
        tn_progress_render(&rows[i].view, &out);
        tn_buf_put_byte(&out, 0);
        assert_string_equal((char *)out.data, rows[i].text);
        tn_buf_deinit(&out);
    }
}

static void a_bar_never_exceeds_the_width(void **unused)
{
    (void)unused;
    for (unsigned width = 1; width < 200; width++) {
        for (uint64_t done = 0; done <= 1000; done += 125) {
            struct tn_buf bare = {0};
            struct tn_buf out = {0};
            struct tn_progress_view view = {"label", done, 1000, 7 * TN_NS_PER_S, 0, false};
            tn_progress_render(&view, &bare);
            view.width = width;
            tn_progress_render(&view, &out);
            assert_true(out.size <= width || out.size == bare.size);
            tn_buf_deinit(&bare);
            tn_buf_deinit(&out);
        }
    }
}

static void disabled_or_without_memory_it_is_null_and_harmless(void **unused)
{
    (void)unused;
    struct tn_arena arena;
    tn_arena_init(&arena, &(struct tn_arena_options){.source = tn_mem_source()});
    assert_null(tn_progress_begin(&arena, "x", 10, false));
    tn_mem_fail_from(1, false);
    assert_null(tn_progress_begin(&arena, "x", 10, true));
    tn_mem_fail_from(0, false);
    tn_progress_set(NULL, 5);
    tn_progress_end(NULL);
    tn_arena_deinit(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines),
        cmocka_unit_test(a_bar_never_exceeds_the_width),
        cmocka_unit_test(disabled_or_without_memory_it_is_null_and_harmless),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
