/* Views of memory that somebody else owns: bytes and text, both with a length and no terminator.
 *
 * A view is two words, passed by value. It never owns; whoever hands one out states how long the
 * memory behind it lives. An empty view may have a NULL pointer. Freestanding. */
#ifndef TN_CORE_BYTES_H
#define TN_CORE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct tn_bytes {
    const uint8_t *data;
    size_t size;
};

/* UTF-8 unless a header says otherwise. */
struct tn_str {
    const char *data;
    size_t size;
};

/* A view of a string literal, also usable in static initialisers. */
#define TN_STR(literal)                                                                            \
    {                                                                                              \
        .data = (literal), .size = sizeof(literal) - 1                                             \
    }
#define TN_STR_OF(literal) ((struct tn_str)TN_STR(literal))

/* For printf: printf("%.*s", TN_STR_ARG(name)). */
#define TN_STR_ARG(str) (int)(str).size, (str).data != NULL ? (str).data : ""

static inline struct tn_bytes tn_bytes_make(const void *data, size_t size)
{
    return (struct tn_bytes){.data = data, .size = size};
}

static inline struct tn_str tn_str_make(const char *data, size_t size)
{
    return (struct tn_str){.data = data, .size = size};
}

/* View of a terminated string, NULL gives the empty view. */
static inline struct tn_str tn_str_from(const char *terminated)
{
    return tn_str_make(terminated, terminated != NULL ? strlen(terminated) : 0);
}

static inline bool tn_bytes_equal(struct tn_bytes a, struct tn_bytes b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

static inline bool tn_str_equal(struct tn_str a, struct tn_str b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

static inline bool tn_str_is(struct tn_str a, const char *terminated)
{
    return tn_str_equal(a, tn_str_from(terminated));
}

static inline bool tn_str_starts(struct tn_str str, struct tn_str prefix)
{
    return str.size >= prefix.size &&
           (prefix.size == 0 || memcmp(str.data, prefix.data, prefix.size) == 0);
}

/* The part from `offset` on; an offset beyond the end gives the empty view. */
static inline struct tn_str tn_str_from_offset(struct tn_str str, size_t offset)
{
    return offset >= str.size ? tn_str_make(NULL, 0)
                              : tn_str_make(str.data + offset, str.size - offset);
}

/* Little-endian loads and stores at any alignment. */
static inline uint32_t tn_load_le32(const uint8_t *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static inline uint64_t tn_load_le64(const uint8_t *at)
{
    return (uint64_t)tn_load_le32(at) | (uint64_t)tn_load_le32(at + 4) << 32;
}

static inline uint32_t tn_load_be32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | (uint32_t)at[3];
}

static inline void tn_store_le32(uint8_t *at, uint32_t value)
{
    at[0] = (uint8_t)value;
    at[1] = (uint8_t)(value >> 8);
    at[2] = (uint8_t)(value >> 16);
    at[3] = (uint8_t)(value >> 24);
}

static inline void tn_store_le64(uint8_t *at, uint64_t value)
{
    tn_store_le32(at, (uint32_t)value);
    tn_store_le32(at + 4, (uint32_t)(value >> 32));
}

static inline void tn_store_be32(uint8_t *at, uint32_t value)
{
    at[0] = (uint8_t)(value >> 24);
    at[1] = (uint8_t)(value >> 16);
    at[2] = (uint8_t)(value >> 8);
    at[3] = (uint8_t)value;
}

#endif
