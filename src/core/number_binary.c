/* From decimal digits to the nearest float or double.
 *
 * Nearly every number takes the first fitting of three ways:
 *   few digits, small exponent: both are exact as doubles, one operation rounds correctly (Clinger)
 *   up to 19 digits: one 64 x 128-bit product decides (Eisel-Lemire; Mushtak and Lemire showed that
 *     it never needs help for 64-bit digits)
 *   more: the cut digits and the cut digits plus one nearly always round alike; else the exact
 *     decimal is compared with the exact midpoint, as big integers of at most 4,608 bits */
#include "core/assert.h"
#include "core/number.h"
#include "core/number_power.h"

/* What the algorithm must know of a binary format. */
struct format {
    int mantissa_bits; /* without the hidden one */
    int bias;
    int exponent_max;  /* the biased one that means infinity */
    int decimal_first; /* below, everything rounds to zero */
    int decimal_last;  /* above, everything is infinite */
    int tie_first;     /* decimal exponents at which digits can lie exactly between two values */
    int tie_last;
};

static const struct format double_format = {52, 1023, 0x7FF, -342, 308, -4, 23};
static const struct format float_format = {23, 127, 0xFF, -65, 38, -17, 10};

/* A value as mantissa without hidden bit and biased exponent, which compare as one number. */
struct binary {
    uint64_t mantissa;
    int exponent;
};

static inline uint64_t bits_of(const struct format *format, struct binary binary)
{
    return (uint64_t)binary.exponent << format->mantissa_bits | binary.mantissa;
}

/* The top 128 bits of digits * 5^q, the lower half only when it can matter. */
static inline struct tn_wide scale(const struct format *format, uint64_t digits, int q)
{
    struct tn_wide power = tn_power_of(q);
    /* The table is rounded up; where 5^q has no short form the proof wants it rounded down. */
    uint64_t low = power.low - (q < -27 || q > 55 ? 1 : 0);
    uint64_t mask = UINT64_MAX >> (format->mantissa_bits + 3);
    struct tn_wide product = tn_wide_multiply(digits, power.high);
    if ((product.high & mask) == mask) {
        product = tn_wide_add(product, tn_wide_multiply(digits, low).high);
    }
    return product;
}

static inline struct binary subnormal(const struct format *format, uint64_t mantissa, int exponent)
{
    if (1 - exponent >= 64) {
        return (struct binary){0, 0};
    }
    mantissa >>= 1 - exponent;
    mantissa += mantissa & 1;
    mantissa >>= 1;
    uint64_t hidden = (uint64_t)1 << format->mantissa_bits;
    /* Rounding may have carried into the smallest normal number. */
    return mantissa < hidden ? (struct binary){mantissa, 0} : (struct binary){0, 1};
}

static inline struct binary nearest(const struct format *format, uint64_t digits, int q)
{
    if (digits == 0 || q < format->decimal_first) {
        return (struct binary){0, 0};
    }
    if (q > format->decimal_last) {
        return (struct binary){0, format->exponent_max};
    }
    int zeros = __builtin_clzll(digits);
    struct tn_wide product = scale(format, digits << zeros, q);
    int upper = (int)(product.high >> 63);
    int shift = upper + 64 - format->mantissa_bits - 3;
    uint64_t mantissa = product.high >> shift;
    int exponent = tn_power_log2(q) + 64 + upper - zeros + format->bias - 1;
    if (exponent <= 0) {
        return subnormal(format, mantissa, exponent);
    }
    /* Exactly in the middle: the bit that would round up to odd is taken off. */
    if (product.low <= 1 && q >= format->tie_first && q <= format->tie_last &&
        (mantissa & 3) == 1 && mantissa << shift == product.high) {
        mantissa &= ~(uint64_t)1;
    }
    mantissa += mantissa & 1;
    mantissa >>= 1;
    uint64_t hidden = (uint64_t)1 << format->mantissa_bits;
    if (mantissa >= 2 * hidden) {
        mantissa = hidden;
        exponent++;
    }
    if (exponent >= format->exponent_max) {
        return (struct binary){0, format->exponent_max};
    }
    return (struct binary){mantissa & ~hidden, exponent};
}

/* --- exact comparison, for cut digits next to a midpoint --- */

enum {
    BIG_WORDS = 72,
    /* A midpoint of doubles has at most 767 significant digits: what follows more of them only
     * matters by being zero or not. */
    EXACT_DIGITS_MAX = 800,
};

struct big {
    uint64_t words[BIG_WORDS]; /* least significant first */
    size_t count;
};

static void big_multiply_add(struct big *big, uint64_t factor, uint64_t carry)
{
    for (size_t i = 0; i < big->count; i++) {
        struct tn_wide sum = tn_wide_add(tn_wide_multiply(big->words[i], factor), carry);
        big->words[i] = sum.low;
        carry = sum.high;
    }
    if (carry != 0) {
        TN_ASSERT(big->count < BIG_WORDS);
        big->words[big->count++] = carry;
    }
}

static void big_multiply_power_of_ten(struct big *big, int exponent)
{
    for (; exponent >= 19; exponent -= 19) {
        big_multiply_add(big, 10000000000000000000U, 0);
    }
    for (; exponent > 0; exponent--) {
        big_multiply_add(big, 10, 0);
    }
}

static void big_shift_left(struct big *big, int bits)
{
    for (; bits >= 63; bits -= 63) {
        big_multiply_add(big, (uint64_t)1 << 63, 0);
    }
    big_multiply_add(big, (uint64_t)1 << bits, 0);
}

static int big_compare(const struct big *a, const struct big *b)
{
    if (a->count != b->count) {
        return a->count < b->count ? -1 : 1;
    }
    for (size_t i = a->count; i > 0; i--) {
        if (a->words[i - 1] != b->words[i - 1]) {
            return a->words[i - 1] < b->words[i - 1] ? -1 : 1;
        }
    }
    return 0;
}

/* The digits of the text as an integer, at most EXACT_DIGITS_MAX of them; moves *exponent from the
 * place after the 19th to the place after the last one taken. Says whether something was left. */
static bool big_from_text(struct big *big, struct tn_str text, int *exponent)
{
    int taken = 0;
    bool rest = false;
    big->count = 0;
    for (size_t i = 0; i < text.size && text.data[i] != 'e' && text.data[i] != 'E'; i++) {
        char c = text.data[i];
        if (c == '.' || c == '-' || (c == '0' && taken == 0)) {
            continue;
        }
        if (taken == EXACT_DIGITS_MAX) {
            rest = rest || c != '0';
            continue;
        }
        big_multiply_add(big, 10, (uint64_t)(c - '0'));
        taken++;
        *exponent -= taken > 19 ? 1 : 0;
    }
    return rest;
}

/* Whether the exact value lies above (1), on (0) or below (-1) the midpoint over `low`. */
static int compare_with_midpoint(const struct format *format, const struct tn_number *number,
                                 struct binary low)
{
    struct big decimal;
    struct big middle = {.count = 1};
    int exponent = number->exponent;
    bool rest = big_from_text(&decimal, number->text, &exponent);
    uint64_t hidden = low.exponent > 0 ? (uint64_t)1 << format->mantissa_bits : 0;
    middle.words[0] = 2 * (low.mantissa | hidden) + 1;
    int power = (low.exponent > 0 ? low.exponent : 1) - format->bias - format->mantissa_bits - 1;
    if (exponent >= 0) {
        big_multiply_power_of_ten(&decimal, exponent);
    } else {
        big_multiply_power_of_ten(&middle, -exponent);
    }
    if (power >= 0) {
        big_shift_left(&middle, power);
    } else {
        big_shift_left(&decimal, -power);
    }
    int order = big_compare(&decimal, &middle);
    return order == 0 && rest ? 1 : order;
}

static inline struct binary convert(const struct format *format, const struct tn_number *number)
{
    struct binary low = nearest(format, number->digits, number->exponent);
    if (!number->cut) {
        return low;
    }
    struct binary high = nearest(format, number->digits + 1, number->exponent);
    if (bits_of(format, low) == bits_of(format, high)) {
        return low;
    }
    int order = compare_with_midpoint(format, number, low);
    bool up = order > 0 || (order == 0 && (low.mantissa & 1) != 0);
    return up ? high : low;
}

double tn_number_double(const struct tn_number *number)
{
    static const double exact[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                   1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                   1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    int q = number->exponent;
    if (number->digits >> 53 == 0 && q >= -22 && q <= 22 && !number->cut) {
        double digits = (double)number->digits;
        double value = q < 0 ? digits / exact[-q] : digits * exact[q];
        return number->negative ? -value : value;
    }
    uint64_t bits = bits_of(&double_format, convert(&double_format, number));
    bits |= (uint64_t)number->negative << 63;
    double value = 0;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

float tn_number_float(const struct tn_number *number)
{
    static const float exact[] = {1e0F, 1e1F, 1e2F, 1e3F, 1e4F, 1e5F,
                                  1e6F, 1e7F, 1e8F, 1e9F, 1e10F};
    int q = number->exponent;
    if (number->digits >> 24 == 0 && q >= -10 && q <= 10 && !number->cut) {
        float digits = (float)number->digits;
        float value = q < 0 ? digits / exact[-q] : digits * exact[q];
        return number->negative ? -value : value;
    }
    uint32_t bits = (uint32_t)bits_of(&float_format, convert(&float_format, number));
    bits |= (uint32_t)number->negative << 31;
    float value = 0;
    memcpy(&value, &bits, sizeof(value));
    return value;
}
