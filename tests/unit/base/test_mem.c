/* The heap door: sizes, alignment, overflow, the injected faults and the count of live blocks. */
#include "base/mem.h"
#include "core/assert.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void every_kind_of_take_is_aligned_and_counted(void **unused)
{
    (void)unused;
    size_t before = tn_mem_live();
    void *taken[16];
    size_t count = 0;
    taken[count++] = tn_mem_take(0);
    taken[count++] = tn_mem_take(1);
    taken[count++] = tn_mem_take_zeroed(0, 8);
    taken[count++] = tn_mem_take_zeroed(7, 9);
    for (size_t i = 0; i < count; i++) {
        assert_non_null(taken[i]);
        assert_int_equal((uintptr_t)taken[i] % 16, 0);
    }
    for (size_t align = 1; align <= 4096; align *= 4) {
        taken[count] = tn_mem_take_aligned(align + 1, align);
        assert_int_equal((uintptr_t)taken[count] % align, 0);
        count++;
    }
    const uint8_t *zeroed = taken[3];
    for (size_t i = 0; i < 63; i++) {
        assert_int_equal(zeroed[i], 0);
    }
    assert_int_equal(tn_mem_live() - before, count);
    for (size_t i = 0; i < count; i++) {
        tn_mem_give(taken[i]);
    }
    tn_mem_give(NULL);
    assert_int_equal(tn_mem_live(), before);
}

static void impossible_sizes_give_null(void **unused)
{
    (void)unused;
    size_t before = tn_mem_live();
    assert_null(tn_mem_take_zeroed(SIZE_MAX / 2, 3));
    volatile size_t huge = SIZE_MAX / 2; /* volatile: the compiler would warn of the constant */
    assert_null(tn_mem_take(huge));
    assert_null(tn_mem_copy_str(tn_str_make("x", SIZE_MAX)));
    assert_int_equal(tn_mem_live(), before);
}

static void resize_keeps_the_bytes(void **unused)
{
    (void)unused;
    size_t before = tn_mem_live();
    char *text = tn_mem_resize(NULL, 4);
    memcpy(text, "abc", 4);
    text = tn_mem_resize(text, 100000);
    assert_string_equal(text, "abc");
    tn_mem_fail_from(1, false);
    assert_null(tn_mem_resize(text, 200000));
    assert_string_equal(text, "abc");
    tn_mem_give(text);
    assert_int_equal(tn_mem_live(), before);
}

static void the_nth_allocation_fails_once_or_for_good(void **unused)
{
    (void)unused;
    for (int persistent = 0; persistent < 2; persistent++) {
        for (size_t n = 1; n < 6; n++) {
            tn_mem_fail_from(n, persistent != 0);
            for (size_t i = 1; i < 10; i++) {
                void *memory = i % 2 == 0 ? tn_mem_take(8) : tn_mem_take_zeroed(1, 8);
                bool fails = i == n || (persistent != 0 && i > n);
                assert_int_equal(memory == NULL, fails);
                assert_int_equal(tn_mem_fail_delivered(), i >= n);
                tn_mem_give(memory);
            }
        }
    }
    tn_mem_fail_from(0, false);
    assert_false(tn_mem_fail_delivered());
    void *memory = tn_mem_take_aligned(8, 64);
    assert_non_null(memory);
    tn_mem_give(memory);
}

static void *take_once(void *result)
{
    *(void **)result = tn_mem_take(8);
    return NULL;
}

static void faults_stay_on_their_thread_and_counts_cross(void **unused)
{
    (void)unused;
    size_t before = tn_mem_live();
    tn_mem_fail_from(1, true);
    void *taken = NULL;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, take_once, &taken), 0);
    pthread_join(thread, NULL);
    tn_mem_fail_from(0, false);
    assert_non_null(taken);
    assert_int_equal(tn_mem_live(), before + 1);
    tn_mem_give(taken);
    assert_int_equal(tn_mem_live(), before);
}

static void an_arena_on_the_heap_gives_all_back(void **unused)
{
    (void)unused;
    size_t before = tn_mem_live();
    struct tn_arena arena;
    tn_arena_init(&arena, &(struct tn_arena_options){.source = tn_mem_source()});
    for (size_t i = 0; i < 1000; i++) {
        assert_non_null(tn_arena_take(&arena, i, 8));
    }
    assert_true(tn_mem_live() > before);
    tn_arena_deinit(&arena);
    assert_int_equal(tn_mem_live(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_of_take_is_aligned_and_counted),
        cmocka_unit_test(impossible_sizes_give_null),
        cmocka_unit_test(resize_keeps_the_bytes),
        cmocka_unit_test(the_nth_allocation_fails_once_or_for_good),
        cmocka_unit_test(faults_stay_on_their_thread_and_counts_cross),
        cmocka_unit_test(an_arena_on_the_heap_gives_all_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
