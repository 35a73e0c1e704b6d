/* The only subtle part is the second byte: its range depends on the first one, which is how
 * overlong forms, surrogates and codes beyond the end are refused (Unicode, table 3-7). */
#include "core/utf8.h"

#include "core/assert.h"

static bool is_continuation(uint8_t byte)
{
    return (byte & 0xC0) == 0x80;
}

static bool is_second_byte(uint8_t first, uint8_t second)
{
    switch (first) {
    case 0xE0:
        return second >= 0xA0 && second <= 0xBF;
    case 0xED:
        return second >= 0x80 && second <= 0x9F;
    case 0xF0:
        return second >= 0x90 && second <= 0xBF;
    case 0xF4:
        return second >= 0x80 && second <= 0x8F;
    default:
        return is_continuation(second);
    }
}

size_t tn_utf8_sequence_size(const uint8_t *at, size_t room)
{
    if (room == 0) {
        return 0;
    }
    uint8_t first = at[0];
    if (first < 0x80) {
        return 1;
    }
    if (first < 0xC2 || first > 0xF4) {
        return 0;
    }
    size_t size = first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
    if (room < size || !is_second_byte(first, at[1])) {
        return 0;
    }
    for (size_t i = 2; i < size; i++) {
        if (!is_continuation(at[i])) {
            return 0;
        }
    }
    return size;
}

static inline uint64_t load_word(const uint8_t *at)
{
    uint64_t word = 0;
    memcpy(&word, at, sizeof(word));
    return word;
}

/* Bytes of ASCII at the start, rounded down to whole words unless all is ASCII. */
static inline size_t ascii_size(const uint8_t *at, size_t size)
{
    const uint64_t high = 0x8080808080808080U;
    size_t done = 0;
    while (size - done >= sizeof(high)) {
        if ((load_word(at + done) & high) != 0) {
            return done;
        }
        done += sizeof(high);
    }
    if (size >= sizeof(high)) {
        /* The last word overlaps what was seen. */
        return (load_word(at + size - sizeof(high)) & high) == 0 ? size : done;
    }
    uint8_t seen = 0;
    for (size_t i = 0; i < size; i++) {
        seen |= at[i];
    }
    return seen < 0x80 ? size : 0;
}

bool tn_utf8_valid(struct tn_str text)
{
    const uint8_t *at = (const uint8_t *)text.data;
    const uint8_t *end = text.size > 0 ? at + text.size : at;
    while (at < end) {
        size_t ascii = ascii_size(at, (size_t)(end - at));
        at += ascii;
        /* Text in other scripts stays here for a word's length before ASCII is tried again. */
        for (unsigned i = 0; i < 8 && at < end; i++) {
            size_t size = tn_utf8_sequence_size(at, (size_t)(end - at));
            if (size == 0) {
                return false;
            }
            at += size;
        }
    }
    return true;
}

size_t tn_utf8_put(uint8_t out[TN_UTF8_SIZE_MAX], uint32_t code)
{
    TN_ASSERT(code <= TN_UTF8_CODE_MAX && (code < 0xD800 || code > 0xDFFF));

    if (code < 0x80) {
        out[0] = (uint8_t)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (uint8_t)(0xC0 | code >> 6);
        out[1] = (uint8_t)(0x80 | (code & 0x3F));
        return 2;
    }
    if (code < 0x10000) {
        out[0] = (uint8_t)(0xE0 | code >> 12);
        out[1] = (uint8_t)(0x80 | (code >> 6 & 0x3F));
        out[2] = (uint8_t)(0x80 | (code & 0x3F));
        return 3;
    }
    out[0] = (uint8_t)(0xF0 | code >> 18);
    out[1] = (uint8_t)(0x80 | (code >> 12 & 0x3F));
    out[2] = (uint8_t)(0x80 | (code >> 6 & 0x3F));
    out[3] = (uint8_t)(0x80 | (code & 0x3F));
    return 4;
}
