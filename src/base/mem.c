/* The heap behind one door; see mem.h.
 *
 * Live blocks are counted in shards, one cache line each, so that threads do not fight over one
 * counter: a take or give costs one uncontended locked add (about 5 ns). The hot paths use arenas,
 * pools and blocks and come here rarely. Fault injection is one thread-local load when it is off.
 * From 8 KiB on, memory comes from a cache of pieces under a mutex (about 25 ns, nothing beside the
 * page faults that it spares). Sanitizers see every take and give: the cache is off under them.
 * Memory: malloc's. Threads: any. Bounds: the cache's; arenas, pools and channels carry theirs. */
#include "base/mem.h"

#include "base/mem_cache.h"
#include "core/assert.h"

#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define CACHE_BYTES_MAX 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) ||                         \
    __has_feature(memory_sanitizer)
#define CACHE_BYTES_MAX 0
#endif
#endif
#ifndef CACHE_BYTES_MAX
#define CACHE_BYTES_MAX (32 << 20)
#endif

enum { SHARDS = 16, ALIGN_MAX = 4096 };

static pthread_mutex_t cache_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct tn_mem_cache cache = {.bytes_max = CACHE_BYTES_MAX};
static atomic_bool cache_on = CACHE_BYTES_MAX > 0;

struct shard {
    _Alignas(64) atomic_size_t live; /* wraps below zero when another shard did the take */
};

static struct shard shards[SHARDS];
static atomic_uint next_shard;

static _Thread_local struct {
    unsigned shard; /* 0: not chosen yet, else index + 1 */
    size_t fail_in; /* allocations until the fault; 0: off */
    bool fail_persistent;
    bool fail_delivered;
} self;

static atomic_size_t *own_counter(void)
{
    if (self.shard == 0) {
        self.shard = atomic_fetch_add_explicit(&next_shard, 1, memory_order_relaxed) % SHARDS + 1;
    }
    return &shards[self.shard - 1].live;
}

static bool must_fail(void)
{
    if (self.fail_in == 0) {
        return false;
    }
    if (self.fail_in > 1) {
        self.fail_in--;
        return false;
    }
    if (!self.fail_persistent) {
        self.fail_in = 0;
    }
    self.fail_delivered = true;
    return true;
}

static void *counted(void *memory)
{
    if (memory != NULL) {
        atomic_fetch_add_explicit(own_counter(), 1, memory_order_relaxed);
    }
    return memory;
}

/* ---- large pieces ---- */

static bool is_large(size_t size)
{
    return size >= TN_MEM_CACHE_SIZE_MIN && atomic_load_explicit(&cache_on, memory_order_relaxed);
}

static void *take_large(size_t size)
{
    size_t rounded = tn_mem_cache_round(size);
    if (rounded == 0) {
        return malloc(size);
    }
    pthread_mutex_lock(&cache_mutex);
    void *memory = tn_mem_cache_take(&cache, rounded);
    pthread_mutex_unlock(&cache_mutex);
    return memory != NULL ? memory : malloc(rounded);
}

static void free_pieces(struct tn_mem_piece *piece)
{
    while (piece != NULL) {
        struct tn_mem_piece *next = piece->next;
        free(piece);
        piece = next;
    }
}

static void give_large(void *memory, size_t size)
{
    pthread_mutex_lock(&cache_mutex);
    struct tn_mem_piece *gone = tn_mem_cache_give(&cache, memory, size);
    pthread_mutex_unlock(&cache_mutex);
    free_pieces(gone);
}

void tn_mem_cache_limit(size_t bytes_max)
{
    pthread_mutex_lock(&cache_mutex);
    struct tn_mem_piece *gone = tn_mem_cache_clear(&cache);
    cache.bytes_max = CACHE_BYTES_MAX > 0 ? bytes_max : 0;
    atomic_store(&cache_on, cache.bytes_max > 0);
    pthread_mutex_unlock(&cache_mutex);
    free_pieces(gone);
}

void tn_mem_trim(void)
{
    pthread_mutex_lock(&cache_mutex);
    struct tn_mem_piece *gone = tn_mem_cache_clear(&cache);
    pthread_mutex_unlock(&cache_mutex);
    free_pieces(gone);
    malloc_trim(0);
}

/* ---- the door ---- */

static void *take(size_t size)
{
    return counted(is_large(size) ? take_large(size) : malloc(size > 0 ? size : 1));
}

void *tn_mem_take(size_t size)
{
    return must_fail() ? NULL : take(size);
}

void *tn_mem_take_zeroed(size_t count, size_t size)
{
    if (count == 0 || size == 0) {
        count = size = 1;
    }
    /* Not from the cache: fresh pages are zero already, and a sparse table never touches most. */
    size_t product = 0;
    bool over = __builtin_mul_overflow(count, size, &product);
    return over || must_fail() ? NULL : counted(calloc(count, size));
}

void *tn_mem_take_aligned(size_t size, size_t align)
{
    TN_ASSERT(align > 0 && align <= ALIGN_MAX && (align & (align - 1)) == 0);

    if (must_fail()) {
        return NULL;
    }
    void *memory = NULL;
    size_t least = align < sizeof(void *) ? sizeof(void *) : align;
    int refused = posix_memalign(&memory, least, size > 0 ? size : 1);
    return refused != 0 ? NULL : counted(memory);
}

/* A large piece grows into another one: the C library would fetch new pages from the kernel, which
 * costs more than copying the old. */
static void *resize_large(void *memory, size_t room, size_t size)
{
    if (size <= room && size >= room / 4) {
        return memory;
    }
    void *wider = take(size);
    if (wider != NULL) {
        memcpy(wider, memory, room < size ? room : size);
        tn_mem_give(memory);
    }
    return wider;
}

void *tn_mem_resize(void *memory, size_t size)
{
    if (memory == NULL) {
        return tn_mem_take(size);
    }
    if (must_fail()) {
        return NULL;
    }
    size_t room = malloc_usable_size(memory);
    if (is_large(size) || is_large(room)) {
        return resize_large(memory, room, size);
    }
    return realloc(memory, size > 0 ? size : 1);
}

void tn_mem_give(void *memory)
{
    if (memory == NULL) {
        return;
    }
    atomic_fetch_sub_explicit(own_counter(), 1, memory_order_relaxed);
    size_t room = malloc_usable_size(memory);
    if (is_large(room)) {
        give_large(memory, room);
    } else {
        free(memory);
    }
}

char *tn_mem_copy_str(struct tn_str str)
{
    if (str.size == SIZE_MAX) {
        return NULL;
    }
    char *copy = tn_mem_take(str.size + 1);
    if (copy == NULL) {
        return NULL;
    }
    if (str.size > 0) {
        memcpy(copy, str.data, str.size);
    }
    copy[str.size] = '\0';
    return copy;
}

static void *source_take(void *context, size_t size)
{
    (void)context;
    return tn_mem_take(size);
}

static void source_give(void *context, void *memory, size_t size)
{
    (void)context;
    (void)size;
    tn_mem_give(memory);
}

const struct tn_arena_source *tn_mem_source(void)
{
    static const struct tn_arena_source source = {.take = source_take, .give = source_give};
    return &source;
}

void tn_mem_fail_from(size_t n, bool persistent)
{
    self.fail_in = n;
    self.fail_persistent = persistent;
    self.fail_delivered = false;
}

bool tn_mem_fail_delivered(void)
{
    return self.fail_delivered;
}

size_t tn_mem_live(void)
{
    size_t sum = 0;
    for (size_t i = 0; i < SHARDS; i++) {
        sum += atomic_load_explicit(&shards[i].live, memory_order_relaxed);
    }
    return sum;
}
