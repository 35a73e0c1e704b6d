/* The two pools against what malloc promises: random takes, resizes and gives keep every byte, stay
 * aligned, and leave nothing behind; blocks come back only when nobody else holds them. */
#include "base/mem.h"
#include "core/assert.h"
#include "rpc/block_pool.h"
#include "rpc/small_pool.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include <cmocka.h>

static uint32_t next_random(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

struct piece {
    uint8_t *memory;
    size_t size;
    uint8_t value;
};

static void assert_whole(const struct piece *piece, size_t size)
{
    assert_int_equal((uintptr_t)piece->memory % 16, 0);
    for (size_t i = 0; i < size; i++) {
        assert_int_equal(piece->memory[i], piece->value);
    }
}

static void change(struct tn_small_pool *pool, struct piece *piece, uint32_t chance, size_t size)
{
    if (piece->memory == NULL) {
        piece->memory = chance % 2 == 0 ? tn_small_pool_take(pool, size)
                                        : tn_small_pool_take_zeroed(pool, size, 1);
        assert_non_null(piece->memory);
        if (chance % 2 != 0) {
            piece->value = 0;
            assert_whole(piece, size);
        }
    } else if (chance % 3 == 0) {
        assert_whole(piece, piece->size);
        tn_small_pool_give(pool, piece->memory);
        piece->memory = NULL;
        return;
    } else {
        piece->memory = tn_small_pool_resize(pool, piece->memory, size);
        assert_non_null(piece->memory);
        assert_whole(piece, size < piece->size ? size : piece->size);
    }
    piece->size = size;
    piece->value = (uint8_t)chance;
    memset(piece->memory, piece->value, size);
}

static void small_pieces_keep_their_bytes(void **state)
{
    (void)state;
    uint32_t seed = (uint32_t)time(NULL);
    printf("seed %u\n", seed);
    size_t live = tn_mem_live();
    struct tn_small_pool pool;
    struct piece pieces[200] = {{0}};
    tn_small_pool_init(&pool);
    for (size_t step = 0; step < 200000; step++) {
        struct piece *piece = &pieces[next_random(&seed) % TN_COUNT(pieces)];
        uint32_t chance = next_random(&seed);
        size_t size = next_random(&seed) % (chance % 16 == 0 ? 5000 : 1200);
        change(&pool, piece, chance, size);
    }
    for (size_t i = 0; i < TN_COUNT(pieces); i++) {
        tn_small_pool_give(&pool, pieces[i].memory);
    }
    assert_true(tn_mem_live() > live); /* it keeps some */
    tn_small_pool_deinit(&pool);
    assert_int_equal(tn_mem_live(), live);
}

static void small_pieces_may_fail(void **state)
{
    (void)state;
    struct tn_small_pool pool;
    tn_small_pool_init(&pool);
    assert_null(tn_small_pool_take(&pool, SIZE_MAX));
    assert_null(tn_small_pool_take_zeroed(&pool, SIZE_MAX / 2, 4));
    uint8_t *memory = tn_small_pool_take(&pool, 10);
    assert_non_null(memory);
    memory[9] = 7;
    tn_mem_fail_from(1, true);
    assert_null(tn_small_pool_resize(&pool, memory, 100));
    assert_null(tn_small_pool_take(&pool, 2000));
    tn_mem_fail_from(0, false);
    assert_int_equal(memory[9], 7);
    tn_small_pool_give(&pool, memory);
    tn_small_pool_deinit(&pool);
}

static void blocks_come_back_when_nobody_holds_them(void **state)
{
    (void)state;
    size_t live = tn_mem_live();
    struct tn_block_pool pool;
    struct tn_block *first = NULL;
    struct tn_block *second = NULL;
    tn_block_pool_init(&pool, 100000);
    assert_int_equal(tn_block_pool_take(&pool, 100, &first), TN_OK);
    tn_block_pool_give(&pool, first);
    assert_int_equal(tn_block_pool_take(&pool, 200, &second), TN_OK);
    assert_ptr_equal(first, second);
    tn_block_ref(second);
    tn_block_pool_give(&pool, second); /* somebody still reads it: not for the next taker */
    assert_int_equal(tn_block_pool_take(&pool, 100, &first), TN_OK);
    assert_ptr_not_equal(first, second);
    tn_block_unref(second);
    tn_block_pool_give(&pool, first);

    /* No more idle bytes than allowed, and none larger than the classes. */
    struct tn_block *blocks[4];
    for (size_t i = 0; i < TN_COUNT(blocks); i++) {
        assert_int_equal(tn_block_pool_take(&pool, 40000, &blocks[i]), TN_OK);
        assert_int_equal((uintptr_t)blocks[i]->data % 64, 0);
    }
    for (size_t i = 0; i < TN_COUNT(blocks); i++) {
        tn_block_pool_give(&pool, blocks[i]);
    }
    assert_true(pool.bytes <= 100000);
    tn_block_pool_give(&pool, NULL);
    tn_block_pool_deinit(&pool);
    assert_int_equal(tn_mem_live(), live);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_pieces_keep_their_bytes),
        cmocka_unit_test(small_pieces_may_fail),
        cmocka_unit_test(blocks_come_back_when_nobody_holds_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
