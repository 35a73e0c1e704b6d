/* The object pool; see pool.h. The object given back last is taken first: it is still in the cache.
 * Under the address sanitizer free objects are poisoned, so a use after give is found. */
#include "base/pool.h"

#include "base/mem.h"
#include "core/assert.h"

#if defined(__SANITIZE_ADDRESS__)
#define POOL_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define POOL_ASAN 1
#endif
#endif
#ifdef POOL_ASAN
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(at, size)   ((void)(at), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(at, size) ((void)(at), (void)(size))
#endif

enum { SLAB_BYTES = 16 << 10, ALIGN_DEFAULT = 16, ALIGN_MAX = 64 };

struct tn_pool_slab {
    _Alignas(ALIGN_MAX) struct tn_pool_slab *older;
    size_t size; /* of the objects' bytes behind this header */
};

void tn_pool_init(struct tn_pool *pool, const struct tn_pool_options *options)
{
    size_t align = options->align > 0 ? options->align : ALIGN_DEFAULT;
    TN_ASSERT(align <= ALIGN_MAX && (align & (align - 1)) == 0);
    TN_ASSERT(options->size > 0 && options->size < SIZE_MAX / 4 && options->count_max > 0);

    size_t size = options->size < sizeof(void *) ? sizeof(void *) : options->size;
    align = align < _Alignof(void *) ? _Alignof(void *) : align;
    size = (size + align - 1) & ~(align - 1);
    size_t per_slab = options->slab_count > 0 ? options->slab_count : SLAB_BYTES / size;
    *pool = (struct tn_pool){
        .size = size,
        .align = align,
        .slab_count = per_slab > 0 ? per_slab : 1,
        .count_max = options->count_max,
    };
}

void tn_pool_deinit(struct tn_pool *pool)
{
    if (pool == NULL) {
        return;
    }
    TN_ASSERT(pool->live == 0);
    for (struct tn_pool_slab *slab = pool->slabs; slab != NULL;) {
        struct tn_pool_slab *older = slab->older;
        ASAN_UNPOISON_MEMORY_REGION(slab + 1, slab->size);
        tn_mem_give(slab);
        slab = older;
    }
    *pool = (struct tn_pool){0};
}

static void put_free(struct tn_pool *pool, void *object)
{
    *(void **)object = pool->free;
    pool->free = object;
    ASAN_POISON_MEMORY_REGION(object, pool->size);
}

static bool grow(struct tn_pool *pool)
{
    size_t left = pool->count_max - pool->made;
    size_t count = left < pool->slab_count ? left : pool->slab_count;
    size_t size = 0;
    if (count == 0 || __builtin_mul_overflow(count, pool->size, &size) ||
        size > SIZE_MAX / 2 - sizeof(struct tn_pool_slab)) {
        return false;
    }
    struct tn_pool_slab *slab = tn_mem_take_aligned(sizeof(*slab) + size, ALIGN_MAX);
    if (slab == NULL) {
        return false;
    }
    slab->older = pool->slabs;
    slab->size = size;
    pool->slabs = slab;
    pool->made += count;
    uint8_t *first = (uint8_t *)(slab + 1);
    for (size_t i = count; i-- > 0;) {
        put_free(pool, first + i * pool->size);
    }
    return true;
}

void *tn_pool_take(struct tn_pool *pool)
{
    if (pool->free == NULL && !grow(pool)) {
        return NULL;
    }
    void *object = pool->free;
    ASAN_UNPOISON_MEMORY_REGION(object, pool->size);
    pool->free = *(void **)object;
    pool->live++;
    return object;
}

void tn_pool_give(struct tn_pool *pool, void *object)
{
    if (object != NULL) {
        TN_ASSERT(pool->live > 0);
        pool->live--;
        put_free(pool, object);
    }
}
