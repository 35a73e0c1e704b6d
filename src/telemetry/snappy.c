/* Snappy block format: varint of the length, then literals and copies.
 *
 *   literal:  00 with length-1 in the tag (up to 60) or in 1..2 bytes after it, then the bytes
 *   copy 1:   01, length 4..11, offset below 2048      copy 2:   10, length 1..64, offset of 16 bit
 *
 * Blocks of 64 KB keep every offset in 16 bit and every table entry too. Runs without a match are
 * walked in growing steps, so that bytes that do not compress cost little.
 * Memory: 16 KB of stack. Threads: any. Source: the format description of Snappy. */
#include "telemetry/snappy.h"

#include "core/assert.h"

enum {
    BLOCK = 65536,
    TABLE_BITS = 13,
    MATCH_MIN = 4,
    COPY_MAX = 64,
    TAIL = 15, /* bytes at a block's end that no match starts in */
};

static uint32_t hash_of(uint32_t word)
{
    return (word * UINT32_C(0x1e35a7bd)) >> (32 - TABLE_BITS);
}

static uint8_t *put_literal(uint8_t *out, const uint8_t *from, size_t size)
{
    if (size == 0) {
        return out;
    }
    size_t last = size - 1;
    if (last < 60) {
        *out++ = (uint8_t)(last << 2);
    } else if (last < 256) {
        *out++ = 60 << 2;
        *out++ = (uint8_t)last;
    } else {
        *out++ = 61 << 2;
        *out++ = (uint8_t)last;
        *out++ = (uint8_t)(last >> 8);
    }
    memcpy(out, from, size);
    return out + size;
}

static uint8_t *put_copy_piece(uint8_t *out, size_t offset, size_t size)
{
    if (size >= 4 && size <= 11 && offset < 2048) {
        *out++ = (uint8_t)(1 | (size - 4) << 2 | offset >> 8 << 5);
        *out++ = (uint8_t)offset;
        return out;
    }
    *out++ = (uint8_t)(2 | (size - 1) << 2);
    *out++ = (uint8_t)offset;
    *out++ = (uint8_t)(offset >> 8);
    return out;
}

static uint8_t *put_copy(uint8_t *out, size_t offset, size_t size)
{
    /* Leave at least four for the last piece: it then has the short form to choose. */
    while (size >= COPY_MAX + MATCH_MIN) {
        out = put_copy_piece(out, offset, COPY_MAX);
        size -= COPY_MAX;
    }
    if (size > COPY_MAX) {
        out = put_copy_piece(out, offset, COPY_MAX - MATCH_MIN);
        size -= COPY_MAX - MATCH_MIN;
    }
    return put_copy_piece(out, offset, size);
}

static size_t match_size(const uint8_t *a, const uint8_t *b, const uint8_t *end)
{
    const uint8_t *start = b;
    while (b + 8 <= end) {
        uint64_t differ = tn_load_le64(a) ^ tn_load_le64(b);
        if (differ != 0) {
            return (size_t)(b - start) + (size_t)__builtin_ctzll(differ) / 8;
        }
        a += 8;
        b += 8;
    }
    while (b < end && *a == *b) {
        a++;
        b++;
    }
    return (size_t)(b - start);
}

/* Compresses up to BLOCK bytes; `out` has room for the worst case. */
static uint8_t *block_compress(const uint8_t *in, size_t size, uint8_t *out)
{
    uint16_t table[1 << TABLE_BITS];
    memset(table, 0, sizeof(table));
    const uint8_t *end = in + size;
    const uint8_t *limit = size > TAIL ? end - TAIL : in;
    const uint8_t *literal = in;
    const uint8_t *at = in + 1;
    size_t misses = 32;
    while (at < limit) {
        uint32_t word = tn_load_le32(at);
        uint16_t *entry = &table[hash_of(word)];
        const uint8_t *candidate = in + *entry;
        *entry = (uint16_t)(at - in);
        if (candidate >= at || tn_load_le32(candidate) != word) {
            at += misses++ >> 5;
            continue;
        }
        misses = 32;
        size_t matched = MATCH_MIN + match_size(candidate + MATCH_MIN, at + MATCH_MIN, end);
        out = put_literal(out, literal, (size_t)(at - literal));
        out = put_copy(out, (size_t)(at - candidate), matched);
        at += matched;
        literal = at;
        if (at < limit) {
            table[hash_of(tn_load_le32(at - 1))] = (uint16_t)(at - 1 - in);
        }
    }
    return put_literal(out, literal, (size_t)(end - literal));
}

size_t tn_snappy_size_max(size_t size)
{
    /* A length of 5 bytes; a literal of 60 bytes costs one more, and a copy never grows. */
    return 32 + size + size / 6;
}

void tn_snappy_compress(struct tn_bytes input, struct tn_buf *buf)
{
    if (input.size > UINT32_MAX) {
        buf->failed = TN_LIMIT;
        return;
    }
    uint8_t *start = tn_buf_reserve(buf, tn_snappy_size_max(input.size));
    if (start == NULL) {
        return;
    }
    uint8_t *out = start;
    size_t length = input.size;
    while (length >= 128) {
        *out++ = (uint8_t)(length | 128);
        length >>= 7;
    }
    *out++ = (uint8_t)length;
    for (size_t done = 0; done < input.size; done += BLOCK) {
        size_t left = input.size - done;
        out = block_compress(input.data + done, left < BLOCK ? left : BLOCK, out);
    }
    TN_ASSERT((size_t)(out - start) <= tn_snappy_size_max(input.size));
    tn_buf_commit(buf, (size_t)(out - start));
}
