/* Idle blocks by class of room; see block_pool.h. Taking and giving are a few instructions and no
 * locked operation. Memory: bytes_max. Threads: one loop. Bounds: depth and bytes. */
#include "rpc/block_pool.h"

#include "core/assert.h"

static const size_t rooms[TN_BLOCK_POOL_CLASSES] = {1024, 8 * 1024, 64 * 1024, 512 * 1024,
                                                    4 * 1024 * 1024};

void tn_block_pool_init(struct tn_block_pool *pool, size_t bytes_max)
{
    memset(pool->count, 0, sizeof(pool->count));
    pool->bytes = 0;
    pool->bytes_max = bytes_max;
}

void tn_block_pool_deinit(struct tn_block_pool *pool)
{
    if (pool == NULL) {
        return;
    }
    for (size_t class = 0; class < TN_BLOCK_POOL_CLASSES; class ++) {
        while (pool->count[class] > 0) {
            tn_block_unref(pool->idle[class][--pool->count[class]]);
        }
    }
    pool->bytes = 0;
}

/* The smallest class with `room`, TN_BLOCK_POOL_CLASSES when none has. */
static size_t class_of(size_t room)
{
    size_t class = 0;
    while (class < TN_BLOCK_POOL_CLASSES && rooms[class] < room) {
        class ++;
    }
    return class;
}

enum tn_err tn_block_pool_take(struct tn_block_pool *pool, size_t room, struct tn_block **ret_block)
{
    size_t class = class_of(room);
    if (pool == NULL || class == TN_BLOCK_POOL_CLASSES) {
        return tn_block_create(room, ret_block);
    }
    if (pool->count[class] == 0) {
        return tn_block_create(rooms[class], ret_block);
    }
    struct tn_block *block = pool->idle[class][--pool->count[class]];
    pool->bytes -= block->room;
    *ret_block = block;
    return TN_OK;
}

void tn_block_pool_give(struct tn_block_pool *pool, struct tn_block *block)
{
    if (block == NULL) {
        return;
    }
    size_t class = class_of(block->room);
    bool fits = pool != NULL && block->release == NULL && class < TN_BLOCK_POOL_CLASSES &&
                block->room == rooms[class] && pool->count[class] < TN_BLOCK_POOL_DEPTH &&
                block->room <= pool->bytes_max - pool->bytes;
    /* With one reference left it is ours: nobody else could take another. Acquire, so that the
     * last reader's work is over before the bytes are written again. */
    if (!fits || atomic_load_explicit(&block->refs, memory_order_acquire) != 1) {
        tn_block_unref(block);
        return;
    }
    TN_ASSERT(pool->bytes <= pool->bytes_max);
    block->size = 0;
    /* A user may have moved the start by less than its alignment. */
    block->data = (uint8_t *)((uintptr_t)block->data & ~(uintptr_t)63);
    pool->idle[class][pool->count[class]++] = block;
    pool->bytes += block->room;
}
