/* Printing numbers. Shortest digits by Schubfach (R. Giulietti): the interval of decimals that read
 * back as the value is scaled by one power of ten so that its ends are small integers, rounded "to
 * odd" so that comparing them compares the exact ends; then at most two candidates are left. */
#include "core/number.h"
#include "core/number_power.h"

/* digits * 10^exponent */
struct decimal {
    uint64_t digits;
    int exponent;
};

/* A finite value other than zero: mantissa * 2^exponent, even when its last bit is. */
struct finite {
    uint64_t mantissa;
    int exponent;
    bool is_power_of_two; /* then the neighbour below is only half as far away */
};

/* floor(value * power / 2^128), with the lowest bit set when that was not exact. */
static inline uint64_t round_to_odd(struct tn_wide power, uint64_t value)
{
    uint64_t carry = tn_wide_multiply(power.low, value).high;
    struct tn_wide product = tn_wide_add(tn_wide_multiply(power.high, value), carry);
    /* The power is rounded up a little, so up to 1 counts as nothing. */
    return product.high | (product.low > 1);
}

static struct decimal shortest(struct finite value)
{
    bool even = (value.mantissa & 1) == 0;
    bool closer = value.is_power_of_two;
    /* floor(log10(2^e)), or of 3/4 of that: the tenths place of the interval's width. */
    int k = (value.exponent * 1262611 - (closer ? 524031 : 0)) >> 22;
    int shift = value.exponent + tn_power_log2(-k) + 1;
    struct tn_wide power = tn_power_of(-k);
    uint64_t low = round_to_odd(power, (4 * value.mantissa - 2 + (closer ? 1 : 0)) << shift);
    uint64_t middle = round_to_odd(power, (4 * value.mantissa) << shift);
    uint64_t high = round_to_odd(power, (4 * value.mantissa + 2) << shift);
    low += even ? 0 : 1;
    high -= even ? 0 : 1;

    /* All three are four times the scaled value. One digit less, if exactly one such fits. */
    uint64_t whole = middle / 4;
    uint64_t tens = whole / 10;
    bool tens_down = low <= 40 * tens;
    bool tens_up = 40 * tens + 40 <= high;
    if (whole >= 10 && tens_down != tens_up) {
        return (struct decimal){tens + (tens_up ? 1 : 0), k + 1};
    }
    bool down = low <= 4 * whole;
    bool up = 4 * whole + 4 <= high;
    if (down == up) {
        uint64_t half = 4 * whole + 2;
        up = middle > half || (middle == half && (whole & 1) != 0);
    }
    return (struct decimal){whole + (up ? 1 : 0), k};
}

static size_t put_digits(char *out, uint64_t value)
{
    static const char pairs[] = "00010203040506070809101112131415161718192021222324"
                                "25262728293031323334353637383940414243444546474849"
                                "50515253545556575859606162636465666768697071727374"
                                "75767778798081828384858687888990919293949596979899";
    char reversed[TN_NUMBER_SIZE_MAX];
    size_t at = sizeof(reversed);
    while (value >= 100) {
        at -= 2;
        memcpy(reversed + at, pairs + 2 * (value % 100), 2);
        value /= 100;
    }
    if (value >= 10) {
        at -= 2;
        memcpy(reversed + at, pairs + 2 * value, 2);
    } else {
        reversed[--at] = (char)('0' + value);
    }
    memcpy(out, reversed + at, sizeof(reversed) - at);
    return sizeof(reversed) - at;
}

static size_t put_text(char *out, const char *text)
{
    size_t size = strlen(text);
    memcpy(out, text, size);
    return size;
}

static size_t put_exponent(char *out, int exponent)
{
    out[0] = 'e';
    out[1] = exponent < 0 ? '-' : '+';
    return 2 + put_digits(out + 2, (uint64_t)(exponent < 0 ? -exponent : exponent));
}

/* As ECMAScript's Number::toString lays digits out. */
static size_t put_decimal(char *out, struct decimal value)
{
    while (value.digits % 10 == 0) {
        value.digits /= 10;
        value.exponent++;
    }
    char digits[TN_NUMBER_SIZE_MAX];
    size_t count = put_digits(digits, value.digits);
    int point = (int)count + value.exponent; /* digits before the point */
    if (point > 21 || point <= -6) {
        out[0] = digits[0];
        size_t size = 1;
        if (count > 1) {
            out[1] = '.';
            memcpy(out + 2, digits + 1, count - 1);
            size = count + 1;
        }
        return size + put_exponent(out + size, point - 1);
    }
    if (point <= 0) {
        size_t zeros = (size_t)-point;
        memcpy(out, "0.000000", 2 + zeros);
        memcpy(out + 2 + zeros, digits, count);
        return 2 + zeros + count;
    }
    size_t whole = (size_t)point;
    if (whole >= count) {
        memcpy(out, digits, count);
        memset(out + count, '0', whole - count);
        return whole;
    }
    memcpy(out, digits, whole);
    out[whole] = '.';
    memcpy(out + whole + 1, digits + whole, count - whole);
    return count + 1;
}

size_t tn_number_put_double(char out[TN_NUMBER_SIZE_MAX], double value)
{
    uint64_t bits = 0;
    memcpy(&bits, &value, sizeof(bits));
    uint64_t mantissa = bits & (((uint64_t)1 << 52) - 1);
    int exponent = (int)(bits >> 52 & 0x7FF);
    bool negative = bits >> 63 != 0;
    if (exponent == 0x7FF) {
        return put_text(out, mantissa != 0 ? "NaN" : negative ? "-Inf" : "+Inf");
    }
    size_t sign = negative ? put_text(out, "-") : 0;
    if (exponent == 0 && mantissa == 0) {
        return sign + put_text(out + sign, "0");
    }
    struct finite finite = {.mantissa = mantissa | (exponent > 0 ? (uint64_t)1 << 52 : 0),
                            .exponent = (exponent > 0 ? exponent : 1) - 1075,
                            .is_power_of_two = mantissa == 0 && exponent > 1};
    return sign + put_decimal(out + sign, shortest(finite));
}

size_t tn_number_put_float(char out[TN_NUMBER_SIZE_MAX], float value)
{
    uint32_t bits = 0;
    memcpy(&bits, &value, sizeof(bits));
    uint32_t mantissa = bits & ((1U << 23) - 1);
    int exponent = (int)(bits >> 23 & 0xFF);
    bool negative = bits >> 31 != 0;
    if (exponent == 0xFF) {
        return put_text(out, mantissa != 0 ? "NaN" : negative ? "-Inf" : "+Inf");
    }
    size_t sign = negative ? put_text(out, "-") : 0;
    if (exponent == 0 && mantissa == 0) {
        return sign + put_text(out + sign, "0");
    }
    struct finite finite = {.mantissa = mantissa | (exponent > 0 ? 1U << 23 : 0),
                            .exponent = (exponent > 0 ? exponent : 1) - 150,
                            .is_power_of_two = mantissa == 0 && exponent > 1};
    return sign + put_decimal(out + sign, shortest(finite));
}

size_t tn_number_put_int64(char out[TN_NUMBER_SIZE_MAX], int64_t value)
{
    if (value >= 0) {
        return put_digits(out, (uint64_t)value);
    }
    out[0] = '-';
    return 1 + put_digits(out + 1, 0 - (uint64_t)value);
}

size_t tn_number_put_uint64(char out[TN_NUMBER_SIZE_MAX], uint64_t value)
{
    return put_digits(out, value);
}
