/* The cache of large pieces; see mem_cache.h. A take or give is a few dozen instructions; an
 * eviction looks over the classes once. */
#include "base/mem_cache.h"

#include "core/assert.h"

#include <limits.h>

/* The class whose size is the largest one not above `size`. */
static size_t class_below(size_t size)
{
    unsigned doubling = (unsigned)(sizeof(long) * CHAR_BIT) - 1 - (unsigned)__builtin_clzl(size);
    size_t step = (size >> (doubling - 2)) & 3;
    size_t index = ((size_t)doubling - 13) * 4 + step; /* 8 KiB is 2^13 */
    return index < TN_MEM_CACHE_CLASSES ? index : TN_MEM_CACHE_CLASSES - 1;
}

static size_t class_size(size_t index)
{
    return ((size_t)4 + index % 4) << (11 + index / 4);
}

size_t tn_mem_cache_round(size_t size)
{
    if (size < TN_MEM_CACHE_SIZE_MIN || size > TN_MEM_CACHE_SIZE_MAX) {
        return 0;
    }
    size_t index = class_below(size);
    return class_size(index) == size ? size : class_size(index + 1);
}

void *tn_mem_cache_take(struct tn_mem_cache *cache, size_t size)
{
    size_t index = class_below(size);
    TN_ASSERT(class_size(index) == size);

    struct tn_mem_piece *piece = cache->pieces[index];
    cache->used[index] = ++cache->tick;
    if (piece != NULL) {
        cache->pieces[index] = piece->next;
        cache->bytes -= piece->size;
    }
    return piece;
}

/* The class with pieces that was longest unused; TN_MEM_CACHE_CLASSES when all are empty. */
static size_t stalest(const struct tn_mem_cache *cache)
{
    size_t best = TN_MEM_CACHE_CLASSES;
    for (size_t i = 0; i < TN_MEM_CACHE_CLASSES; i++) {
        if (cache->pieces[i] != NULL &&
            (best == TN_MEM_CACHE_CLASSES || cache->used[i] < cache->used[best])) {
            best = i;
        }
    }
    return best;
}

struct tn_mem_piece *tn_mem_cache_give(struct tn_mem_cache *cache, void *memory, size_t size)
{
    TN_ASSERT(size >= TN_MEM_CACHE_SIZE_MIN);

    struct tn_mem_piece *piece = memory;
    size_t index = class_below(size);
    *piece = (struct tn_mem_piece){.size = size};
    /* A piece far above the largest class would be wasted on it. */
    if (size > cache->bytes_max / 2 || size > TN_MEM_CACHE_SIZE_MAX + TN_MEM_CACHE_SIZE_MAX / 4) {
        return piece;
    }
    cache->used[index] = ++cache->tick;
    struct tn_mem_piece *gone = NULL;
    while (cache->bytes + size > cache->bytes_max) {
        size_t old = stalest(cache);
        if (old == index) { /* its own class fills the cache: one in, one out is no gain */
            piece->next = gone;
            return piece;
        }
        struct tn_mem_piece *victim = cache->pieces[old];
        cache->pieces[old] = victim->next;
        cache->bytes -= victim->size;
        victim->next = gone;
        gone = victim;
    }
    piece->next = cache->pieces[index];
    cache->pieces[index] = piece;
    cache->bytes += size;
    return gone;
}

struct tn_mem_piece *tn_mem_cache_clear(struct tn_mem_cache *cache)
{
    struct tn_mem_piece *all = NULL;
    for (size_t i = 0; i < TN_MEM_CACHE_CLASSES; i++) {
        while (cache->pieces[i] != NULL) {
            struct tn_mem_piece *piece = cache->pieces[i];
            cache->pieces[i] = piece->next;
            piece->next = all;
            all = piece;
        }
    }
    cache->bytes = 0;
    return all;
}
