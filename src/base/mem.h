/* The only way to the heap: counted, and able to fail on purpose. Bounds belong to what is built
 * on it: arenas, pools, channels, tables.
 *
 * Every room above base requests memory here, through an arena whose source is tn_mem_source(), or
 * from a pool built on these. Tests sweep the n-th allocation: see tn_mem_fail_from.
 * Threads: all functions from any thread. */
#ifndef TN_BASE_MEM_H
#define TN_BASE_MEM_H

#include "core/arena.h"

/* `size` bytes, aligned to 16, not zeroed. NULL when there is no memory. Size 0 gives a valid
 * pointer. */
void *tn_mem_take(size_t size);

/* count * size bytes, zeroed. NULL when there is no memory or the product overflows. */
void *tn_mem_take_zeroed(size_t count, size_t size);

/* `size` bytes at a multiple of `align` (power of two, up to 4096). Give back with tn_mem_give. */
void *tn_mem_take_aligned(size_t size, size_t align);

/* Resizes, keeps the bytes; NULL memory is a take. On NULL the old memory is untouched. Not for
 * memory of tn_mem_take_aligned: the alignment would be lost. */
void *tn_mem_resize(void *memory, size_t size);

/* NULL is accepted. */
void tn_mem_give(void *memory);

/* A terminated copy on the heap. NULL when there is no memory. */
char *tn_mem_copy_str(struct tn_str str);

/* Source for arenas. */
const struct tn_arena_source *tn_mem_source(void);

/* Large memory given back is kept for the next that needs it (base/mem_cache.h), at most
 * `bytes_max` bytes of it, 32 MiB unless set. 0 switches it off. */
void tn_mem_cache_limit(size_t bytes_max);

/* Returns to the kernel what is kept: after a model was unloaded, or when work has ceased. Takes
 * milliseconds. */
void tn_mem_trim(void);

/* Fault injection, for tests: the n-th allocation from now on (1 is the next) fails; with
 * `persistent`, every later one too. n = 0 switches off. Counts on the calling thread only. */
void tn_mem_fail_from(size_t n, bool persistent);

/* Whether the fault above was delivered since it was set. */
bool tn_mem_fail_delivered(void);

/* Heap blocks alive now over all threads, for leak checks in tests. */
size_t tn_mem_live(void);

#endif
