/* Blocks of one loop, kept for the next request: a steady load asks the heap for nothing.
 *
 * Five classes of room (1 KiB, 8 KiB, 64 KiB, 512 KiB, 4 MiB). A block comes back only when the
 * giver holds its last reference; a block that somebody else still holds is simply let go, and the
 * heap gets it from whoever lets go last.
 * Memory: at most `bytes_max` idle bytes. Threads: the loop's. */
#ifndef TN_RPC_BLOCK_POOL_H
#define TN_RPC_BLOCK_POOL_H

#include "base/block.h"

enum { TN_BLOCK_POOL_CLASSES = 5, TN_BLOCK_POOL_DEPTH = 256 };

struct tn_block_pool {
    struct tn_block *idle[TN_BLOCK_POOL_CLASSES][TN_BLOCK_POOL_DEPTH];
    size_t count[TN_BLOCK_POOL_CLASSES];
    size_t bytes;
    size_t bytes_max;
};

void tn_block_pool_init(struct tn_block_pool *pool, size_t bytes_max);
void tn_block_pool_deinit(struct tn_block_pool *pool);

/* Like tn_block_create; a NULL pool is the heap. */
TN_MUST enum tn_err tn_block_pool_take(struct tn_block_pool *pool, size_t room,
                                       struct tn_block **ret_block);

/* Gives one reference up; NULL block and NULL pool are accepted. */
void tn_block_pool_give(struct tn_block_pool *pool, struct tn_block *block);

#endif
