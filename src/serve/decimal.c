/* Decimal numbers of JSON to binary and back: see decimal.h for the method.
 * Memory: the stack. Threads: any. Bounds: DECIMAL_TEXT_MAX digits are told apart. */
#include "serve/decimal.h"

#include "core/assert.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { DECIMAL_DIGITS_MAX = 19, DECIMAL_POWER_MAX = 27, DECIMAL_TEXT_MAX = 800 };

/* 5^k, all below 2^63. */
static const uint64_t fives[DECIMAL_POWER_MAX + 1] = {
    1,
    5,
    25,
    125,
    625,
    3125,
    15625,
    78125,
    390625,
    1953125,
    9765625,
    48828125,
    244140625,
    1220703125,
    6103515625,
    30517578125,
    152587890625,
    762939453125,
    3814697265625,
    19073486328125,
    95367431640625,
    476837158203125,
    2384185791015625,
    11920928955078125,
    59604644775390625,
    298023223876953125,
    1490116119384765625,
    7450580596923828125,
};

static bool is_digit(char c)
{
    return (unsigned char)(c - '0') < 10;
}

/* Eight digits at once: all of them digits? (D. Lemire, "Quickly parsing eight digits".) */
static bool eight_are_digits(uint64_t v)
{
    return ((v & UINT64_C(0xF0F0F0F0F0F0F0F0)) |
            (((v + UINT64_C(0x0606060606060606)) & UINT64_C(0xF0F0F0F0F0F0F0F0)) >> 4)) ==
           UINT64_C(0x3333333333333333);
}

static uint32_t eight_to_number(uint64_t v)
{
    v -= UINT64_C(0x3030303030303030);
    v = v * 10 + (v >> 8);
    uint64_t low = (v & UINT64_C(0x000000FF000000FF)) * UINT64_C(0x000F424000000064);
    uint64_t high = ((v >> 16) & UINT64_C(0x000000FF000000FF)) * UINT64_C(0x0000271000000001);
    return (uint32_t)((low + high) >> 32);
}

/* Reads a run of digits into *digits as long as they count; returns where it ends. `kept` counts
 * significant digits that were taken, `lost` those that did not fit. */
struct digit_run {
    uint64_t digits;
    uint32_t kept;
    size_t lost;
    bool lost_nonzero;
};

static const char *read_run(const char *at, const char *end, struct digit_run *run)
{
    while (end - at >= 8 && run->kept <= DECIMAL_DIGITS_MAX - 8) {
        uint64_t eight = tn_load_le64((const uint8_t *)at);
        if (!eight_are_digits(eight)) {
            break;
        }
        run->digits = run->digits * 100000000 + eight_to_number(eight);
        run->kept = run->digits == 0 ? 0 : run->kept + 8;
        at += 8;
    }
    for (; at < end && is_digit(*at); at++) {
        if (run->kept < DECIMAL_DIGITS_MAX) {
            run->digits = run->digits * 10 + (uint64_t)(*at - '0');
            run->kept = run->digits == 0 ? 0 : run->kept + 1;
        } else {
            run->lost++;
            run->lost_nonzero = run->lost_nonzero || *at != '0';
        }
    }
    return at;
}

static enum tn_err read_exponent(const char **at, const char *end, int32_t *ret_exponent)
{
    const char *p = *at + 1;
    bool negative = p < end && *p == '-';
    if (p < end && (*p == '-' || *p == '+')) {
        p++;
    }
    if (p >= end || !is_digit(*p)) {
        return TN_INVALID;
    }
    int32_t exponent = 0;
    for (; p < end && is_digit(*p); p++) {
        if (exponent > 99999999) {
            return TN_LIMIT;
        }
        exponent = exponent * 10 + (*p - '0');
    }
    *ret_exponent = negative ? -exponent : exponent;
    *at = p;
    return TN_OK;
}

enum tn_err tn_decimal_read(struct tn_str text, struct tn_decimal *ret_decimal)
{
    const char *at = text.data;
    const char *end = at + text.size;
    struct digit_run run = {0};
    struct tn_decimal decimal = {.text = at, .integer = true};

    if (at < end && *at == '-') {
        decimal.negative = true;
        at++;
    }
    if (at >= end || !is_digit(*at)) {
        return TN_INVALID;
    }
    if (*at == '0' && end - at > 1 && is_digit(at[1])) {
        return TN_INVALID;
    }
    at = read_run(at, end, &run);
    int64_t power = (int64_t)run.lost;
    if (at < end && *at == '.') {
        const char *fraction = ++at;
        if (at >= end || !is_digit(*at)) {
            return TN_INVALID;
        }
        size_t lost = run.lost;
        at = read_run(at, end, &run);
        power -= (int64_t)(at - fraction) - (int64_t)(run.lost - lost);
        decimal.integer = false;
    }
    if (at < end && (*at == 'e' || *at == 'E')) {
        int32_t exponent = 0;
        enum tn_err err = read_exponent(&at, end, &exponent);
        if (err != TN_OK) {
            return err;
        }
        power += exponent;
        decimal.integer = false;
    }
    if (power > INT32_MAX || power < INT32_MIN) {
        return TN_LIMIT;
    }
    decimal.digits = run.digits;
    decimal.power = (int32_t)power;
    decimal.exact = !run.lost_nonzero;
    decimal.size = (size_t)(at - text.data);
    *ret_decimal = decimal;
    return TN_OK;
}

/* A positive binary number: bits * 2^exponent, the top bit of `bits` set, `sticky` when the true
 * value is a little larger. */
struct binary {
    uint64_t bits;
    int exponent;
    bool sticky;
};

static struct binary scale(uint64_t digits, int power)
{
    int shift = __builtin_clzll(digits);
    uint64_t w = digits << shift;
    if (power >= 0) {
        unsigned __int128 product = (unsigned __int128)w * fives[power];
        uint64_t high = (uint64_t)(product >> 64);
        uint64_t low = (uint64_t)product;
        if (high == 0) {
            return (struct binary){w, power - shift, false};
        }
        int up = __builtin_clzll(high);
        unsigned __int128 normal = product << up;
        (void)low;
        return (struct binary){(uint64_t)(normal >> 64), power - shift + 64 - up,
                               (uint64_t)normal != 0};
    }
    /* d has its top bit set, w / 2 is below it: the quotient has 63 or 64 bits. */
    uint64_t five = fives[-power];
    int five_shift = __builtin_clzll(five);
    uint64_t d = five << five_shift;
    unsigned __int128 dividend = (unsigned __int128)(w >> 1) << 64;
    dividend |= (unsigned __int128)(w & 1) << 63;
    uint64_t quotient = (uint64_t)(dividend / d);
    bool sticky = (uint64_t)(dividend - (unsigned __int128)quotient * d) != 0;
    int up = __builtin_clzll(quotient);
    TN_ASSERT(up <= 1);
    /* value = w 2^-shift / (d 2^-five_shift) 2^power, and the dividend is w 2^63. */
    return (struct binary){quotient << up, power - shift + five_shift - 63 - up, sticky};
}

/* Rounds to `keep` bits, to nearest, ties to even; may carry into one more bit. */
static uint64_t round_bits(struct binary binary, unsigned keep)
{
    unsigned drop = 64 - keep;
    uint64_t kept = binary.bits >> drop;
    uint64_t rest = binary.bits & ((UINT64_C(1) << drop) - 1);
    uint64_t half = UINT64_C(1) << (drop - 1);
    bool up = rest > half || (rest == half && (binary.sticky || (kept & 1) != 0));
    return kept + (up ? 1 : 0);
}

static bool is_fast(const struct tn_decimal *decimal)
{
    return decimal->exact && decimal->power >= -DECIMAL_POWER_MAX &&
           decimal->power <= DECIMAL_POWER_MAX;
}

/* The text for the C library, terminated. Beyond DECIMAL_TEXT_MAX digits only "more or not" counts:
 * no tie of a double has so many, so a last digit 1 stands for the rest. */
static void copy_text(const struct tn_decimal *decimal, char out[DECIMAL_TEXT_MAX + 32])
{
    size_t digits = 0;
    size_t size = 0;
    int64_t power = 0;
    bool fraction = false;
    bool started = false;
    const char *at = decimal->text;
    const char *end = at + decimal->size;
    for (; at < end && *at != 'e' && *at != 'E'; at++) {
        if (*at == '.') {
            fraction = true;
            continue;
        }
        if (*at == '-') {
            out[size++] = '-';
            continue;
        }
        power -= fraction ? 1 : 0;
        started = started || *at != '0';
        if (!started) {
            continue;
        }
        if (digits < DECIMAL_TEXT_MAX) {
            out[size++] = *at;
            digits++;
            continue;
        }
        power++;
        if (*at != '0') {
            out[size - 1] = '1';
        }
    }
    if (digits == 0) {
        out[size++] = '0';
    }
    int32_t exponent = 0;
    if (at < end) {
        enum tn_err err = read_exponent(&at, end, &exponent);
        TN_ASSERT(err == TN_OK);
    }
    snprintf(out + size, 24, "e%ld", power + exponent);
}

enum tn_err tn_decimal_to_f64(const struct tn_decimal *decimal, double *ret_value)
{
    double value = 0.0;
    if (decimal->digits == 0 && decimal->exact) {
        value = 0.0;
    } else if (is_fast(decimal)) {
        struct binary binary = scale(decimal->digits, decimal->power);
        value = ldexp((double)round_bits(binary, 53), binary.exponent + 11);
    } else {
        char text[DECIMAL_TEXT_MAX + 32];
        copy_text(decimal, text);
        value = fabs(strtod(text, NULL));
        if (isinf(value)) {
            return TN_LIMIT;
        }
    }
    *ret_value = decimal->negative ? -value : value;
    return TN_OK;
}

enum tn_err tn_decimal_to_f32(const struct tn_decimal *decimal, float *ret_value)
{
    float value = 0.0F;
    if (decimal->digits == 0 && decimal->exact) {
        value = 0.0F;
    } else if (is_fast(decimal)) {
        /* Within 10^-27..10^46: never subnormal, but perhaps too large. */
        struct binary binary = scale(decimal->digits, decimal->power);
        uint64_t bits = round_bits(binary, 24);
        int exponent = binary.exponent + 40;
        if (exponent + 24 + (int)(bits >> 24) > 128) {
            return TN_LIMIT;
        }
        /* (bits - 2^23) carries into the exponent by itself when rounding overflowed. */
        uint32_t raw = ((uint32_t)(exponent + 150) << 23) + (uint32_t)(bits - (1U << 23));
        memcpy(&value, &raw, sizeof(value));
    } else {
        char text[DECIMAL_TEXT_MAX + 32];
        copy_text(decimal, text);
        value = fabsf(strtof(text, NULL));
        if (isinf(value)) {
            return TN_LIMIT;
        }
    }
    *ret_value = decimal->negative ? -value : value;
    return TN_OK;
}

/* The magnitude of an integer; more than 19 digits can still fit 64 bits. */
static enum tn_err magnitude(const struct tn_decimal *decimal, uint64_t *ret_value)
{
    if (!decimal->integer) {
        return TN_INVALID;
    }
    uint64_t value = 0;
    for (size_t i = decimal->negative ? 1 : 0; i < decimal->size; i++) {
        if (__builtin_mul_overflow(value, UINT64_C(10), &value) ||
            __builtin_add_overflow(value, (uint64_t)(decimal->text[i] - '0'), &value)) {
            return TN_LIMIT;
        }
    }
    *ret_value = value;
    return TN_OK;
}

enum tn_err tn_decimal_to_i64(const struct tn_decimal *decimal, int64_t min, int64_t max,
                              int64_t *ret_value)
{
    uint64_t value = decimal->digits;
    if (!decimal->integer || decimal->power != 0) {
        enum tn_err err = magnitude(decimal, &value);
        if (err != TN_OK) {
            return err;
        }
    }
    uint64_t limit = (uint64_t)INT64_MAX + (decimal->negative ? 1 : 0);
    if (value > limit) {
        return TN_LIMIT;
    }
    int64_t result = (int64_t)(decimal->negative ? UINT64_C(0) - value : value);
    if (result < min || result > max) {
        return TN_LIMIT;
    }
    *ret_value = result;
    return TN_OK;
}

enum tn_err tn_decimal_to_u64(const struct tn_decimal *decimal, uint64_t max, uint64_t *ret_value)
{
    uint64_t value = decimal->digits;
    if (!decimal->integer || decimal->power != 0) {
        enum tn_err err = magnitude(decimal, &value);
        if (err != TN_OK) {
            return err;
        }
    }
    if (value > max || (decimal->negative && value != 0)) {
        return TN_LIMIT;
    }
    *ret_value = value;
    return TN_OK;
}

size_t tn_decimal_put_u64(uint64_t value, char *out)
{
    char digits[24];
    size_t count = 0;
    do {
        digits[count++] = (char)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    for (size_t i = 0; i < count; i++) {
        out[i] = digits[count - 1 - i];
    }
    return count;
}

size_t tn_decimal_put_i64(int64_t value, char *out)
{
    if (value >= 0) {
        return tn_decimal_put_u64((uint64_t)value, out);
    }
    out[0] = '-';
    return 1 + tn_decimal_put_u64(UINT64_C(0) - (uint64_t)value, out + 1);
}

static size_t put_precise(double value, int from, int to, bool single, char *out)
{
    int size = 0;
    for (int precision = from; precision <= to; precision++) {
        size = snprintf(out, TN_DECIMAL_TEXT_MAX, "%.*g", precision, value);
        double back = single ? (double)strtof(out, NULL) : strtod(out, NULL);
        if (back == value) {
            break;
        }
    }
    return (size_t)size;
}

/* digits * 10^power as text, plain where that is short. */
static size_t put_digits(uint64_t digits, int power, char *out)
{
    while (digits % 10 == 0 && power < 0) {
        digits /= 10;
        power++;
    }
    char text[TN_DECIMAL_TEXT_MAX];
    size_t count = tn_decimal_put_u64(digits, text);
    if (power >= 0) {
        memcpy(out, text, count);
        return count;
    }
    size_t fraction = (size_t)-power;
    if (fraction < count) {
        memcpy(out, text, count - fraction);
        out[count - fraction] = '.';
        memcpy(out + count - fraction + 1, text + count - fraction, fraction);
        return count + 1;
    }
    out[0] = '0';
    out[1] = '.';
    memset(out + 2, '0', fraction - count);
    memcpy(out + 2 + fraction - count, text, count);
    return 2 + fraction;
}

/* Common floats: scaled to an integer of up to 9 digits, then shortened while it reads back. */
static bool put_quick(float value, char *out, size_t *ret_size)
{
    static const double tens[] = {1e0, 1e1, 1e2, 1e3,  1e4,  1e5,  1e6,
                                  1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13};
    double magnitude_of = (double)value;
    if (!(magnitude_of >= 1e-4 && magnitude_of < 1e8)) {
        return false;
    }
    int whole = 0; /* digits before the point; below zero: zeros after it */
    while (whole < 9 && magnitude_of >= tens[whole]) {
        whole++;
    }
    for (int k = 1; whole == 0 && k <= 4 && magnitude_of * tens[k] < 1.0; k++) {
        whole = -k;
    }
    while (whole < 0 && magnitude_of * tens[-whole] >= 1.0) {
        whole++;
    }
    for (int precision = 6; precision <= 9; precision++) {
        int fraction = precision - whole;
        if (fraction < 0) {
            fraction = 0;
        }
        uint64_t digits = (uint64_t)(magnitude_of * tens[fraction] + 0.5);
        struct tn_decimal decimal = {.digits = digits, .power = -fraction, .exact = true};
        float back = 0.0F;
        if (tn_decimal_to_f32(&decimal, &back) == TN_OK && back == value) {
            *ret_size = put_digits(digits, -fraction, out);
            return true;
        }
    }
    return false;
}

size_t tn_decimal_put_f32(float value, char *out)
{
    TN_ASSERT(isfinite(value));
    size_t size = 0;
    if (signbit(value)) {
        out[size++] = '-';
        value = -value;
    }
    if (value == 0.0F) {
        out[size++] = '0';
        return size;
    }
    size_t quick = 0;
    if (put_quick(value, out + size, &quick)) {
        return size + quick;
    }
    /* The minus is out already; what is left of the room holds any "%.9g". */
    char text[TN_DECIMAL_TEXT_MAX];
    size_t count = put_precise((double)value, 1, 9, true, text);
    memcpy(out + size, text, count);
    return size + count;
}

size_t tn_decimal_put_f64(double value, char *out)
{
    TN_ASSERT(isfinite(value));
    if (value == 0.0) {
        memcpy(out, "-0", 2);
        size_t skip = signbit(value) ? 0 : 1;
        memmove(out, out + skip, 2 - skip);
        return 2 - skip;
    }
    return put_precise(value, 15, 17, false, out);
}
