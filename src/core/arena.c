/* Bump allocation over a caller's block and chunks of a source; see arena.h for the picture.
 *
 * A chunk's header sits at its start, so giving back needs no table. Memory: as stated in the
 * header. Threads: one at a time. Bounds: size_max is checked before the source is asked. */
#include "core/arena.h"

#include "core/assert.h"

enum { ARENA_ALIGN_MAX = 64, ARENA_CHUNK_DEFAULT = 4096 };

struct tn_arena_chunk {
    struct tn_arena_chunk *older;
    size_t size; /* with this header */
};

void tn_arena_init(struct tn_arena *arena, const struct tn_arena_options *options)
{
    TN_ASSERT(options->first != NULL || options->first_size == 0);

    *arena = (struct tn_arena){
        .at = options->first,
        .end = options->first_size > 0 ? (uint8_t *)options->first + options->first_size : NULL,
        .first = options->first,
        .first_size = options->first_size,
        .chunk_size = options->chunk_size > 0 ? options->chunk_size : ARENA_CHUNK_DEFAULT,
        .size_max = options->size_max > 0 ? options->size_max : SIZE_MAX,
        .size = options->first_size,
    };
    if (options->source != NULL) {
        arena->source = *options->source;
    }
}

static void give_chunks(struct tn_arena *arena, struct tn_arena_chunk *chunk)
{
    while (chunk != NULL) {
        struct tn_arena_chunk *older = chunk->older;
        arena->size -= chunk->size;
        arena->source.give(arena->source.context, chunk, chunk->size);
        chunk = older;
    }
}

void tn_arena_deinit(struct tn_arena *arena)
{
    give_chunks(arena, arena->chunks);
    *arena = (struct tn_arena){0};
}

static void use_chunk(struct tn_arena *arena, struct tn_arena_chunk *chunk)
{
    arena->at = (uint8_t *)(chunk + 1);
    arena->end = (uint8_t *)chunk + chunk->size;
}

void tn_arena_reset(struct tn_arena *arena)
{
    struct tn_arena_chunk *newest = arena->chunks;
    if (newest == NULL) {
        arena->at = arena->first;
        return;
    }
    give_chunks(arena, newest->older);
    newest->older = NULL;
    use_chunk(arena, newest);
}

static uint8_t *fit(const struct tn_arena *arena, size_t size, size_t align)
{
    uintptr_t start = ((uintptr_t)arena->at + (align - 1)) & ~(uintptr_t)(align - 1);
    uintptr_t end = (uintptr_t)arena->end;
    if (arena->at == NULL || start > end || end - start < size) {
        return NULL;
    }
    return arena->at + (start - (uintptr_t)arena->at);
}

/* A request near the chunk size gets a chunk of its own size, so one large tensor does not make
 * every later chunk large. */
static bool grow(struct tn_arena *arena, size_t size, size_t align)
{
    size_t overhead = sizeof(struct tn_arena_chunk) + align;
    if (arena->source.take == NULL || size > SIZE_MAX - overhead) {
        return false;
    }
    size_t wanted = size + overhead;
    if (wanted < arena->chunk_size) {
        wanted = arena->chunk_size;
    }
    if (arena->size > arena->size_max || wanted > arena->size_max - arena->size) {
        wanted = size + overhead;
        if (arena->size > arena->size_max || wanted > arena->size_max - arena->size) {
            return false;
        }
    }
    struct tn_arena_chunk *chunk = arena->source.take(arena->source.context, wanted);
    if (chunk == NULL) {
        return false;
    }
    *chunk = (struct tn_arena_chunk){.older = arena->chunks, .size = wanted};
    arena->chunks = chunk;
    arena->size += wanted;
    use_chunk(arena, chunk);
    return true;
}

void *tn_arena_take(struct tn_arena *arena, size_t size, size_t align)
{
    TN_ASSERT(align > 0 && align <= ARENA_ALIGN_MAX && (align & (align - 1)) == 0);

    uint8_t *start = fit(arena, size, align);
    if (start == NULL) {
        if (!grow(arena, size, align)) {
            return NULL;
        }
        start = fit(arena, size, align);
        TN_ASSERT(start != NULL);
    }
    arena->at = start + size;
    return start;
}

void *tn_arena_take_zeroed(struct tn_arena *arena, size_t count, size_t size, size_t align)
{
    size_t total = 0;
    if (__builtin_mul_overflow(count, size, &total)) {
        return NULL;
    }
    void *memory = tn_arena_take(arena, total, align);
    if (memory != NULL) {
        memset(memory, 0, total);
    }
    return memory;
}

char *tn_arena_copy_str(struct tn_arena *arena, struct tn_str str)
{
    char *copy = tn_arena_take(arena, str.size + 1, 1);
    if (copy == NULL) {
        return NULL;
    }
    if (str.size > 0) {
        memcpy(copy, str.data, str.size);
    }
    copy[str.size] = '\0';
    return copy;
}
