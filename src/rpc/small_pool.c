/* Small pieces of heap; see small_pool.h. Memory: base/mem. Threads: one. Bounds: the depth. */
#include "rpc/small_pool.h"

#include "base/mem.h"
#include "core/assert.h"

#include <stdbool.h>
#include <string.h>

/* In front of each piece; its size keeps the memory aligned to 16. */
struct tn_small_piece {
    struct tn_small_piece *next; /* while idle */
    uint64_t class;              /* TN_SMALL_POOL_CLASSES: a piece of the heap's own size */
};

enum { LARGE = TN_SMALL_POOL_CLASSES };

void tn_small_pool_init(struct tn_small_pool *pool)
{
    memset(pool, 0, sizeof(*pool));
}

void tn_small_pool_deinit(struct tn_small_pool *pool)
{
    for (size_t class = 0; class < TN_SMALL_POOL_CLASSES; class ++) {
        while (pool->idle[class] != NULL) {
            struct tn_small_piece *piece = pool->idle[class];
            pool->idle[class] = piece->next;
            tn_mem_give(piece);
        }
        pool->count[class] = 0;
    }
}

static size_t room_of(uint64_t class)
{
    return (size_t)(class + 1) * TN_SMALL_POOL_STEP;
}

static uint64_t class_of(size_t size)
{
    uint64_t class = size > 0 ? (size - 1) / TN_SMALL_POOL_STEP : 0;
    return class < LARGE ? class : LARGE;
}

void *tn_small_pool_take(struct tn_small_pool *pool, size_t size)
{
    uint64_t class = class_of(size);
    if (class < LARGE && pool->idle[class] != NULL) {
        struct tn_small_piece *piece = pool->idle[class];
        pool->idle[class] = piece->next;
        pool->count[class]--;
        return piece + 1;
    }
    if (size > SIZE_MAX / 2) {
        return NULL;
    }
    size_t room = class < LARGE ? room_of(class) : size;
    struct tn_small_piece *piece = tn_mem_take(sizeof(*piece) + room);
    if (piece == NULL) {
        return NULL;
    }
    piece->class = class;
    return piece + 1;
}

void *tn_small_pool_take_zeroed(struct tn_small_pool *pool, size_t count, size_t size)
{
    size_t total = 0;
    if (__builtin_mul_overflow(count, size, &total)) {
        return NULL;
    }
    void *memory = tn_small_pool_take(pool, total);
    if (memory != NULL) {
        memset(memory, 0, total);
    }
    return memory;
}

void tn_small_pool_give(struct tn_small_pool *pool, void *memory)
{
    if (memory == NULL) {
        return;
    }
    struct tn_small_piece *piece = (struct tn_small_piece *)memory - 1;
    uint64_t class = piece->class;
    TN_ASSERT(class <= LARGE);
    if (class == LARGE || pool->count[class] >= TN_SMALL_POOL_DEPTH) {
        tn_mem_give(piece);
        return;
    }
    piece->next = pool->idle[class];
    pool->idle[class] = piece;
    pool->count[class]++;
}

void *tn_small_pool_resize(struct tn_small_pool *pool, void *memory, size_t size)
{
    if (memory == NULL) {
        return tn_small_pool_take(pool, size);
    }
    struct tn_small_piece *piece = (struct tn_small_piece *)memory - 1;
    if (piece->class < LARGE && size <= room_of(piece->class)) {
        return memory;
    }
    if (piece->class == LARGE && class_of(size) == LARGE) {
        if (size > SIZE_MAX / 2) {
            return NULL;
        }
        struct tn_small_piece *moved = tn_mem_resize(piece, sizeof(*piece) + size);
        return moved != NULL ? moved + 1 : NULL;
    }
    void *other = tn_small_pool_take(pool, size);
    if (other == NULL) {
        return NULL;
    }
    /* From a class to a larger one, or from the heap into a class: the smaller room bounds both. */
    size_t kept = piece->class < LARGE ? room_of(piece->class) : size;
    memcpy(other, memory, kept);
    tn_small_pool_give(pool, memory);
    return other;
}
