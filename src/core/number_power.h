/* 5^q as a 128-bit mantissa, for every q that a double can need; shared by reading and printing.
 *
 *   10^q = 2^q * 5^q,   5^q ~ (high * 2^64 + low) * 2^e,   high's top bit is set
 *
 * Rounded up; exact for 0 <= q <= 55. The binary exponent is tn_power_log2. 11 KB of constants,
 * computed by tools/powers.py when the tree is built. */
#ifndef TN_CORE_NUMBER_POWER_H
#define TN_CORE_NUMBER_POWER_H

#include "core/wide.h"

/* The build passes the same two numbers to tools/powers.py. */
enum { TN_POWER_FIRST = -342, TN_POWER_LAST = 326 };

extern const struct tn_wide tn_powers[TN_POWER_LAST - TN_POWER_FIRST + 1];

static inline struct tn_wide tn_power_of(int q)
{
    return tn_powers[q - TN_POWER_FIRST];
}

/* floor(log2(10^q)); right for -1500 < q < 1500. */
static inline int tn_power_log2(int q)
{
    return (q * 1741647) >> 19;
}

#endif
