/* Memory that is given back all at once: one arena per request, model or evaluation.
 *
 *   first block (the caller's)      chunks from the source, newest first
 *   [used....|free]        <-       [used..|free] <- [used.......|free]
 *
 * Taking is a pointer bump. When the current block is full the arena asks its source for a chunk;
 * without a source it is a fixed region, as firmware uses it. Reset keeps the first block and the
 * newest chunk, so a steady load allocates nothing.
 * Memory: the caller's first block, then chunks of the source. Threads: one at a time.
 * Bounds: size_max over all blocks. Freestanding. */
#ifndef TN_CORE_ARENA_H
#define TN_CORE_ARENA_H

#include "core/bytes.h"
#include "core/err.h"

/* Where chunks come from. `take` returns NULL when there is nothing left. */
struct tn_arena_source {
    void *(*take)(void *context, size_t size);
    void (*give)(void *context, void *memory, size_t size);
    void *context;
};

struct tn_arena_chunk;

struct tn_arena {
    uint8_t *at;                   /* next free byte of the current block */
    uint8_t *end;                  /* end of the current block */
    uint8_t *first;                /* the caller's block, may be NULL */
    size_t first_size;             /* bytes */
    struct tn_arena_chunk *chunks; /* newest first */
    struct tn_arena_source source; /* take == NULL: a fixed region */
    size_t chunk_size;             /* bytes asked for at least */
    size_t size_max;               /* bytes over all blocks; SIZE_MAX: no limit but the source's */
    size_t size;                   /* bytes held now */
};

struct tn_arena_options {
    void *first; /* caller's block, outlives the arena; NULL with first_size 0 for none */
    size_t first_size;
    const struct tn_arena_source *source; /* copied; NULL for a fixed region */
    size_t chunk_size;                    /* 0: 4096 */
    size_t size_max;                      /* 0: SIZE_MAX */
};

void tn_arena_init(struct tn_arena *arena, const struct tn_arena_options *options);

/* Gives every chunk back. Accepts a zeroed arena. */
void tn_arena_deinit(struct tn_arena *arena);

/* Forgets all that was taken, keeps the first block and the newest chunk. */
void tn_arena_reset(struct tn_arena *arena);

/* `size` bytes at a multiple of `align` (a power of two, at most 64), not zeroed. NULL when the
 * bound or the source is exhausted; the arena stays usable. */
void *tn_arena_take(struct tn_arena *arena, size_t size, size_t align);

/* The same, zeroed, for `count` items; NULL too when count * size overflows. */
void *tn_arena_take_zeroed(struct tn_arena *arena, size_t count, size_t size, size_t align);

/* A terminated copy of the text. NULL like tn_arena_take. */
char *tn_arena_copy_str(struct tn_arena *arena, struct tn_str str);

/* Typed forms: struct foo *f = TN_ARENA_NEW(arena, struct foo). Zeroed. */
#define TN_ARENA_NEW(arena, type)                                                                  \
    ((type *)tn_arena_take_zeroed((arena), 1, sizeof(type), _Alignof(type)))
#define TN_ARENA_ARRAY(arena, type, count)                                                         \
    ((type *)tn_arena_take_zeroed((arena), (count), sizeof(type), _Alignof(type)))

#endif
