/* The arena: alignment, growth, bounds, reset, and a source that fails. */
#include "core/arena.h"
#include "core/assert.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

struct source_state {
    size_t taken, given, fail_at, count;
};

static void *state_take(void *context, size_t size)
{
    struct source_state *state = context;
    state->count++;
    if (state->fail_at != 0 && state->count == state->fail_at) {
        return NULL;
    }
    state->taken += size;
    return malloc(size);
}

static void state_give(void *context, void *memory, size_t size)
{
    struct source_state *state = context;
    state->given += size;
    free(memory);
}

static void fixed_region_refuses_at_its_end(void **unused)
{
    (void)unused;
    _Alignas(64) uint8_t memory[128];
    struct tn_arena arena;
    tn_arena_init(&arena, &(struct tn_arena_options){.first = memory, .first_size = 128});
    assert_ptr_equal(tn_arena_take(&arena, 1, 1), memory);
    assert_ptr_equal(tn_arena_take(&arena, 8, 64), memory + 64);
    assert_non_null(tn_arena_take(&arena, 56, 1));
    assert_null(tn_arena_take(&arena, 1, 1));
    tn_arena_reset(&arena);
    assert_ptr_equal(tn_arena_take(&arena, 128, 1), memory);
    tn_arena_deinit(&arena);
}

static void every_take_is_aligned_and_apart(void **unused)
{
    (void)unused;
    struct source_state state = {0};
    struct tn_arena_source source = {state_take, state_give, &state};
    struct tn_arena arena;
    tn_arena_init(&arena, &(struct tn_arena_options){.source = &source, .chunk_size = 256});
    uint8_t *at[200];
    for (size_t i = 0; i < TN_COUNT(at); i++) {
        size_t align = (size_t)1 << (i % 7);
        at[i] = tn_arena_take(&arena, i, align);
        assert_non_null(at[i]);
        assert_int_equal((uintptr_t)at[i] % align, 0);
        memset(at[i], (int)i, i);
    }
    for (size_t i = 0; i < TN_COUNT(at); i++) {
        for (size_t k = 0; k < i; k++) {
            assert_int_equal(at[i][k], i);
        }
    }
    tn_arena_deinit(&arena);
    assert_int_equal(state.taken, state.given);
}

static void bound_holds_and_reset_keeps_one_chunk(void **unused)
{
    (void)unused;
    struct source_state state = {0};
    struct tn_arena_source source = {state_take, state_give, &state};
    struct tn_arena arena;
    tn_arena_init(
        &arena, &(struct tn_arena_options){.source = &source, .chunk_size = 512, .size_max = 2048});
    size_t got = 0;
    while (tn_arena_take(&arena, 100, 8) != NULL) {
        got++;
    }
    assert_true(got >= 14 && got <= 20);
    assert_true(arena.size <= 2048);
    tn_arena_reset(&arena);
    size_t calls = state.count;
    assert_non_null(tn_arena_take(&arena, 100, 8));
    assert_int_equal(state.count, calls);
    assert_null(TN_ARENA_ARRAY(&arena, uint64_t, SIZE_MAX / 4));
    tn_arena_deinit(&arena);
    assert_int_equal(state.taken, state.given);
}

static void failing_source_leaves_the_arena_usable(void **unused)
{
    (void)unused;
    struct source_state state = {.fail_at = 1};
    struct tn_arena_source source = {state_take, state_give, &state};
    struct tn_arena arena;
    tn_arena_init(&arena, &(struct tn_arena_options){.source = &source});
    assert_null(tn_arena_take(&arena, 10, 1));
    char *copy = tn_arena_copy_str(&arena, TN_STR_OF("tenon"));
    assert_string_equal(copy, "tenon");
    tn_arena_deinit(&arena);
    assert_int_equal(state.taken, state.given);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fixed_region_refuses_at_its_end),
        cmocka_unit_test(every_take_is_aligned_and_apart),
        cmocka_unit_test(bound_holds_and_reset_keeps_one_chunk),
        cmocka_unit_test(failing_source_leaves_the_arena_usable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
