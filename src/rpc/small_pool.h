/* Small pieces of heap of one loop, kept for the next request. nghttp2 takes and gives some ten a
 * request (stream, outbound frames, header fields); from here each costs a few instructions.
 *
 *   [class: 16 bytes][memory ...]      free lists by class of 64 bytes, up to 1 KiB
 *
 * Larger pieces go to the heap. Every piece carries its class, so it can be given back without a
 * size. Memory: at most TN_SMALL_POOL_DEPTH idle pieces a class. Threads: the loop's; all pieces
 * are given back before deinit. */
#ifndef TN_RPC_SMALL_POOL_H
#define TN_RPC_SMALL_POOL_H

#include <stddef.h>
#include <stdint.h>

enum { TN_SMALL_POOL_STEP = 64, TN_SMALL_POOL_CLASSES = 16, TN_SMALL_POOL_DEPTH = 2048 };

struct tn_small_pool {
    struct tn_small_piece *idle[TN_SMALL_POOL_CLASSES];
    uint32_t count[TN_SMALL_POOL_CLASSES];
};

void tn_small_pool_init(struct tn_small_pool *pool);
void tn_small_pool_deinit(struct tn_small_pool *pool); /* accepts a zeroed struct */

/* As malloc, calloc, realloc and free; aligned to 16. NULL: no memory. */
void *tn_small_pool_take(struct tn_small_pool *pool, size_t size);
void *tn_small_pool_take_zeroed(struct tn_small_pool *pool, size_t count, size_t size);
void *tn_small_pool_resize(struct tn_small_pool *pool, void *memory, size_t size);
void tn_small_pool_give(struct tn_small_pool *pool, void *memory); /* NULL accepted */

#endif
