/* Objects of one size, taken and given back in O(1) without the heap in a steady load.
 *
 *   slab:  [ object | object | object | ... ]   free ones form a list through their first word
 *
 * Memory: slabs from the heap, kept until deinit. Threads: one at a time. Bounds: count_max. */
#ifndef TN_BASE_POOL_H
#define TN_BASE_POOL_H

#include "core/bytes.h"
#include "core/err.h"

struct tn_pool_slab;

struct tn_pool {
    void *free;
    struct tn_pool_slab *slabs;
    size_t size; /* of an object, rounded up to its alignment */
    size_t align;
    size_t slab_count; /* objects a slab */
    size_t count_max;
    size_t made; /* objects in all slabs */
    size_t live; /* objects taken */
};

struct tn_pool_options {
    size_t size;
    size_t align;      /* power of two up to 64; 0: 16 */
    size_t count_max;  /* objects at once */
    size_t slab_count; /* 0: as many as fit in about 16 KiB */
};
void tn_pool_init(struct tn_pool *pool, const struct tn_pool_options *options);

/* NULL or zeroed is accepted. Everything must have been given back: asserted. */
void tn_pool_deinit(struct tn_pool *pool);

/* Not zeroed. NULL at count_max or without memory. */
void *tn_pool_take(struct tn_pool *pool);
void tn_pool_give(struct tn_pool *pool, void *object); /* NULL is accepted */

#endif
