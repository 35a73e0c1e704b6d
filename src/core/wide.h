/* Products of 128 bits, also where the compiler has no such integer (32-bit firmware). */
#ifndef TN_CORE_WIDE_H
#define TN_CORE_WIDE_H

#include <stdint.h>

struct tn_wide {
    uint64_t high;
    uint64_t low;
};

/* a * b from four products of 32 bits. */
static inline struct tn_wide tn_wide_multiply_portable(uint64_t a, uint64_t b)
{
    uint64_t a_low = (uint32_t)a;
    uint64_t a_high = a >> 32;
    uint64_t b_low = (uint32_t)b;
    uint64_t b_high = b >> 32;
    uint64_t low = a_low * b_low;
    uint64_t cross = a_high * b_low + (low >> 32); /* at most 2^64 - 2^32 */
    uint64_t middle = a_low * b_high + (uint32_t)cross;
    return (struct tn_wide){.high = a_high * b_high + (cross >> 32) + (middle >> 32),
                            .low = middle << 32 | (uint32_t)low};
}

static inline struct tn_wide tn_wide_multiply(uint64_t a, uint64_t b)
{
#ifdef __SIZEOF_INT128__
    unsigned __int128 product = (unsigned __int128)a * b;
    return (struct tn_wide){.high = (uint64_t)(product >> 64), .low = (uint64_t)product};
#else
    return tn_wide_multiply_portable(a, b);
#endif
}

static inline struct tn_wide tn_wide_add(struct tn_wide a, uint64_t b)
{
    uint64_t low = a.low + b;
    return (struct tn_wide){.high = a.high + (low < b ? 1 : 0), .low = low};
}

#endif
