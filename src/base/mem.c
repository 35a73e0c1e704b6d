/* The heap behind one door; see mem.h.
 *
 * Live blocks are counted in shards, one cache line each, so that threads do not fight over one
 * counter: a take or give costs one uncontended locked add (about 5 ns). The hot paths use arenas,
 * pools and blocks and come here rarely. Fault injection is one thread-local load when it is off.
 * Memory: malloc's. Threads: any. Bounds: none here; arenas, pools and channels carry theirs. */
#include "base/mem.h"

#include "core/assert.h"

#include <stdatomic.h>
#include <stdlib.h>

enum { SHARDS = 16, ALIGN_MAX = 4096 };

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

void *tn_mem_take(size_t size)
{
    return must_fail() ? NULL : counted(malloc(size > 0 ? size : 1));
}

void *tn_mem_take_zeroed(size_t count, size_t size)
{
    if (count == 0 || size == 0) {
        count = size = 1;
    }
    return must_fail() ? NULL : counted(calloc(count, size)); /* calloc checks the product */
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

void *tn_mem_resize(void *memory, size_t size)
{
    if (memory == NULL) {
        return tn_mem_take(size);
    }
    return must_fail() ? NULL : realloc(memory, size > 0 ? size : 1);
}

void tn_mem_give(void *memory)
{
    if (memory != NULL) {
        atomic_fetch_sub_explicit(own_counter(), 1, memory_order_relaxed);
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
