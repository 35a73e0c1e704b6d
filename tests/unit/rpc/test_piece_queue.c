/* The queue of pieces against a plain copy of what went in; references counted; failing memory. */
#include "rpc/piece_queue.h"

#include "base/mem.h"
#include "core/assert.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static uint64_t seed;

static size_t below(size_t bound)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (size_t)(seed >> 33) % bound;
}

static void random_pushes_come_out_in_order(void **unused)
{
    (void)unused;
    seed = 20261123;
    print_message("seed %llu\n", (unsigned long long)seed);
    static uint8_t in[200000], out[200000];
    size_t in_size = 0;
    size_t out_size = 0;
    struct tn_piece_queue queue;
    tn_piece_queue_init(&queue);
    size_t live = tn_mem_live();
    for (size_t round = 0; round < 3000; round++) {
        size_t size = below(60);
        if (below(3) != 0 && in_size + size <= sizeof(in)) {
            struct tn_block *block = NULL;
            for (size_t i = 0; i < size; i++) {
                in[in_size + i] = (uint8_t)below(256);
            }
            assert_int_equal(tn_block_copy(tn_bytes_make(in + in_size, size), &block), TN_OK);
            assert_int_equal(tn_piece_queue_reserve(&queue, 1), TN_OK);
            tn_piece_queue_push(&queue, (struct tn_piece){tn_bytes_make(block->data, size), block});
            in_size += size;
        } else if (queue.count > 0) {
            struct tn_piece front = tn_piece_queue_front(&queue);
            size_t part = 1 + below(front.bytes.size);
            memcpy(out + out_size, front.bytes.data, part);
            out_size += part;
            tn_piece_queue_advance(&queue, part);
        }
        assert_int_equal(queue.bytes, in_size - out_size);
    }
    assert_true(out_size > 5000);
    assert_memory_equal(in, out, out_size);
    tn_piece_queue_deinit(&queue);
    assert_int_equal(queue.count, 0);
    assert_int_equal(tn_mem_live(), live);
}

static void failed_reserve_changes_nothing(void **unused)
{
    (void)unused;
    struct tn_piece_queue queue;
    tn_piece_queue_init(&queue);
    static const uint8_t byte = 7;
    for (size_t i = 0; i < TN_PIECE_QUEUE_FEW; i++) {
        assert_int_equal(tn_piece_queue_reserve(&queue, 1), TN_OK);
        tn_piece_queue_push(&queue, (struct tn_piece){tn_bytes_make(&byte, 1), NULL});
    }
    tn_mem_fail_from(1, false);
    assert_int_equal(tn_piece_queue_reserve(&queue, 1), TN_NOMEM);
    tn_mem_fail_from(0, false);
    assert_int_equal(tn_piece_queue_reserve(&queue, SIZE_MAX / 2), TN_NOMEM);
    assert_int_equal(queue.bytes, TN_PIECE_QUEUE_FEW);
    assert_int_equal(tn_piece_queue_front(&queue).bytes.data[0], 7);
    tn_piece_queue_deinit(&queue);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_pushes_come_out_in_order),
        cmocka_unit_test(failed_reserve_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
