/* Large pieces of memory kept for reuse, so that the pages of a tensor are not given to the kernel
 * and fetched back for every request.
 *
 *   classes:  8K  10K  12K  14K  16K  20K ... 16M      four a doubling; a list of free pieces each
 *
 * Why: the C library returns the top of its heap, and every piece above 128 KiB, to the kernel when
 * it is freed. Measured here, a 16 KiB buffer taken and given 32 at a time costs 8.7 us and a 600
 * KB one 350 us, all of it page faults; from this cache 0.4 us and 8 us, which is writing it once.
 *
 * The pure part: lists and a bound, no lock, no heap; base/mem.c owns one behind a mutex.
 * Memory: the pieces themselves. Threads: one at a time. Bounds: bytes_max; over it, pieces of the
 * class that was longest unused go first. */
#ifndef TN_BASE_MEM_CACHE_H
#define TN_BASE_MEM_CACHE_H

#include <stddef.h>
#include <stdint.h>

enum {
    TN_MEM_CACHE_SIZE_MIN = 8 << 10,
    TN_MEM_CACHE_SIZE_MAX = 16 << 20,
    TN_MEM_CACHE_CLASSES = 4 * 11 + 1,
};

/* How a piece lies in a list: in its own first bytes. */
struct tn_mem_piece {
    struct tn_mem_piece *next;
    size_t size;
};

struct tn_mem_cache {
    struct tn_mem_piece *pieces[TN_MEM_CACHE_CLASSES];
    uint64_t used[TN_MEM_CACHE_CLASSES]; /* the tick of the last take or give */
    uint64_t tick;
    size_t bytes;
    size_t bytes_max;
};

/* The size to ask the heap for, so that the piece serves its whole class; 0: not for the cache. */
size_t tn_mem_cache_round(size_t size);

/* A piece of at least `size` bytes (a rounded size), or NULL. */
void *tn_mem_cache_take(struct tn_mem_cache *cache, size_t size);

/* Keeps a piece that can hold `size` bytes. Returns the list of pieces that have to go instead, to
 * be freed by the caller; maybe `memory` itself, maybe NULL. */
struct tn_mem_piece *tn_mem_cache_give(struct tn_mem_cache *cache, void *memory, size_t size);

/* Empties it: all its pieces, to be freed by the caller. */
struct tn_mem_piece *tn_mem_cache_clear(struct tn_mem_cache *cache);

#endif
