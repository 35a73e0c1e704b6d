/* Decompression by zlib; see inflate.h. The first guess of the result's size is the gzip trailer's
 * own word (never trusted: bounded by size_max and by the best ratio deflate can reach), then
 * doubling. Memory: zlib's 40 KB of state while it runs, by base/mem. Threads: any.
 * Bounds: size_max, checked before each growth. */
#include "rpc/inflate.h"

#include "base/mem.h"
#include "core/assert.h"

#include <zlib.h>

enum { GUESS_MIN = 1024, GUESS_RATIO = 8, INPUT_STEP = 1 << 30 };

static void *zip_take(void *context, unsigned count, unsigned size)
{
    (void)context;
    return tn_mem_take_zeroed(count, size);
}

static void zip_give(void *context, void *memory)
{
    (void)context;
    tn_mem_give(memory);
}

/* 15 window bits; 16 more: gzip's wrapper; negative: none. */
static int window_bits(struct tn_bytes input, enum tn_inflate_format format)
{
    if (format == TN_INFLATE_GZIP) {
        return MAX_WBITS + 16;
    }
    bool wrapped = input.size >= 2 && (input.data[0] & 0x0F) == Z_DEFLATED &&
                   ((unsigned)input.data[0] << 8 | input.data[1]) % 31 == 0;
    return wrapped ? MAX_WBITS : -MAX_WBITS;
}

static size_t first_guess(struct tn_bytes input, const struct tn_inflate_options *options)
{
    size_t guess = input.size > SIZE_MAX / GUESS_RATIO ? SIZE_MAX : input.size * GUESS_RATIO;
    if (options->format == TN_INFLATE_GZIP && input.size >= 18) {
        size_t stated = tn_load_le32(input.data + input.size - 4);
        guess = stated < guess ? stated : guess;
    }
    guess = guess < GUESS_MIN ? GUESS_MIN : guess;
    return guess < options->size_max ? guess : options->size_max;
}

/* A block twice as large with the bytes so far. The old one stays when this fails. */
static enum tn_err grow(struct tn_block **block, const struct tn_inflate_options *options)
{
    struct tn_block *old = *block;
    if (old->size >= options->size_max) {
        return TN_LIMIT;
    }
    size_t room = old->size > options->size_max / 2 ? options->size_max : old->size * 2;
    room = room < GUESS_MIN && GUESS_MIN < options->size_max ? GUESS_MIN : room;
    struct tn_block *larger = NULL;
    enum tn_err err = tn_block_pool_take(options->pool, room, &larger);
    if (err < 0) {
        return err;
    }
    memcpy(larger->data, old->data, old->size);
    larger->size = old->size;
    tn_block_pool_give(options->pool, old);
    *block = larger;
    return TN_OK;
}

/* One step of zlib into the block's free room. TN_DONE: the stream ended. */
static enum tn_err step(z_stream *zip, struct tn_block *block, size_t size_max)
{
    size_t most = block->room < size_max ? block->room : size_max;
    size_t room = most - block->size;
    zip->next_out = block->data + block->size;
    zip->avail_out = room > INPUT_STEP ? INPUT_STEP : (unsigned)room;
    unsigned before = zip->avail_out;
    int code = inflate(zip, Z_NO_FLUSH);
    block->size += before - zip->avail_out;
    if (code == Z_STREAM_END) {
        return TN_DONE;
    }
    if (code == Z_MEM_ERROR) {
        return TN_NOMEM;
    }
    if (code != Z_OK && code != Z_BUF_ERROR) {
        return TN_CORRUPT;
    }
    return zip->avail_out == 0 ? TN_AGAIN : TN_OK;
}

/* Runs the whole input through zlib. */
static enum tn_err run(z_stream *zip, struct tn_bytes input,
                       const struct tn_inflate_options *options, struct tn_block **block)
{
    size_t at = 0;
    for (;;) {
        if (zip->avail_in == 0) {
            size_t left = input.size - at;
            zip->avail_in = left > INPUT_STEP ? INPUT_STEP : (unsigned)left;
            zip->next_in = (Bytef *)(uintptr_t)(input.data + at);
            at += zip->avail_in;
        }
        enum tn_err err = step(zip, *block, options->size_max);
        if (err == TN_DONE) {
            return zip->avail_in == 0 && at == input.size ? TN_OK : TN_CORRUPT;
        }
        if (err == TN_AGAIN) {
            err = grow(block, options);
        } else if (err == TN_OK && zip->avail_in == 0 && at == input.size) {
            err = TN_CORRUPT; /* the input ends before its stream does */
        }
        if (err < 0) {
            return err;
        }
    }
}

enum tn_err tn_inflate(struct tn_bytes input, const struct tn_inflate_options *options,
                       struct tn_block **ret_block)
{
    struct tn_block *block = NULL;
    enum tn_err err = tn_block_pool_take(options->pool, first_guess(input, options), &block);
    if (err < 0) {
        return err;
    }
    z_stream zip = {.zalloc = zip_take, .zfree = zip_give};
    int code = inflateInit2(&zip, window_bits(input, options->format));
    if (code != Z_OK) {
        err = code == Z_MEM_ERROR ? TN_NOMEM : TN_INTERNAL;
        goto fail;
    }
    err = run(&zip, input, options, &block);
    inflateEnd(&zip);
    if (err < 0) {
        goto fail;
    }
    *ret_block = block;
    return TN_OK;
fail:
    tn_block_pool_give(options->pool, block);
    return err;
}
