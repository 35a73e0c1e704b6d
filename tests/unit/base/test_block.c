/* Reference-counted bytes: alignment, foreign memory, and a release that runs once. */
#include "base/block.h"
#include "base/mem.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void created_blocks_are_aligned_at_every_size(void **unused)
{
    (void)unused;
    size_t before = tn_mem_live();
    for (size_t room = 0; room < 300; room++) {
        struct tn_block *block = NULL;
        assert_int_equal(tn_block_create(room, &block), TN_OK);
        assert_int_equal((uintptr_t)block->data % 64, 0);
        assert_int_equal(block->room, room);
        assert_int_equal(block->size, 0);
        memset(block->data, 1, room);
        assert_ptr_equal(tn_block_ref(block), block);
        tn_block_unref(block);
        tn_block_unref(block);
    }
    tn_block_unref(NULL);
    assert_int_equal(tn_mem_live(), before);
}

static void a_copy_holds_its_own_bytes(void **unused)
{
    (void)unused;
    char text[] = "tensor";
    struct tn_block *block = NULL;
    assert_int_equal(tn_block_copy(tn_bytes_make(text, 6), &block), TN_OK);
    text[0] = 'X';
    assert_int_equal(block->size, 6);
    assert_memory_equal(block->data, "tensor", 6);
    tn_block_unref(block);
    assert_int_equal(tn_block_copy(tn_bytes_make(NULL, 0), &block), TN_OK);
    assert_int_equal(block->size, 0);
    tn_block_unref(block);
}

static void no_memory_writes_no_output(void **unused)
{
    (void)unused;
    struct tn_block *block = (struct tn_block *)0x10;
    tn_mem_fail_from(1, true);
    assert_int_equal(tn_block_create(8, &block), TN_NOMEM);
    assert_int_equal(tn_block_copy(tn_bytes_make("x", 1), &block), TN_NOMEM);
    tn_mem_fail_from(0, false);
    assert_int_equal(tn_block_create(SIZE_MAX - 70, &block), TN_NOMEM);
    assert_ptr_equal(block, (struct tn_block *)0x10);
}

static void count_release(struct tn_block *block)
{
    ++*(int *)block->owner;
}

static void *drop(void *block)
{
    tn_block_unref(block);
    return NULL;
}

static void foreign_memory_is_released_once_by_the_last(void **unused)
{
    (void)unused;
    int released = 0;
    struct tn_block block;
    tn_block_init_foreign(&block, tn_bytes_make("static", 6), count_release, &released);
    assert_int_equal(block.room, 0);
    pthread_t threads[8];
    for (size_t i = 0; i < 8; i++) {
        tn_block_ref(&block);
        assert_int_equal(pthread_create(&threads[i], NULL, drop, &block), 0);
    }
    for (size_t i = 0; i < 8; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_int_equal(released, 0);
    tn_block_unref(&block);
    assert_int_equal(released, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(created_blocks_are_aligned_at_every_size),
        cmocka_unit_test(a_copy_holds_its_own_bytes),
        cmocka_unit_test(no_memory_writes_no_output),
        cmocka_unit_test(foreign_memory_is_released_once_by_the_last),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
