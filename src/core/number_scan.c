/* The grammar of numbers, and integers. Digits are taken eight at a time where eight are left; a
 * text of more than a gigabyte of digits would lose its exponent, everything below is exact. */
#include "core/number.h"

enum { DIGITS_MAX = 19, EXPONENT_MAX = 100000000 };

static inline bool is_digit(char c)
{
    return (unsigned char)(c - '0') <= 9;
}

static inline bool are_eight_digits(uint64_t word)
{
    const uint64_t high = 0xF0F0F0F0F0F0F0F0U;
    const uint64_t zeros = 0x3030303030303030U;
    return ((word & high) == zeros) && (((word + 0x0606060606060606U) & high) == zeros);
}

/* Pairs, then fours, then all eight: three multiplications instead of eight. */
static inline uint64_t eight_digits(uint64_t word)
{
    word -= 0x3030303030303030U;
    word = word * 10 + (word >> 8);
    const uint64_t mask = 0x000000FF000000FFU;
    uint64_t upper = (word & mask) * (100 + (1000000ULL << 32));
    uint64_t lower = ((word >> 16) & mask) * (1 + (10000ULL << 32));
    return (upper + lower) >> 32 & 0xFFFFFFFFU;
}

/* Appends the digits here to *value, which wraps when there are too many. */
static inline const char *scan_digits(const char *at, const char *end, uint64_t *value)
{
    uint64_t sum = *value;
    while (end - at >= 8) {
        uint64_t word = tn_load_le64((const uint8_t *)at);
        if (!are_eight_digits(word)) {
            break;
        }
        sum = sum * 100000000 + eight_digits(word);
        at += 8;
    }
    while (at < end && is_digit(*at)) {
        sum = sum * 10 + (uint64_t)(*at - '0');
        at++;
    }
    *value = sum;
    return at;
}

/* More digits than fit: takes the first 19 significant ones again. */
static void cut_digits(struct tn_number *number, const char *first, const char *last)
{
    uint64_t digits = 0;
    int taken = 0;
    int32_t dropped = 0;
    for (const char *at = first; at < last; at++) {
        if (*at == '.') {
            continue;
        }
        if (taken == DIGITS_MAX) {
            dropped++;
        } else if (*at != '0' || taken > 0) {
            digits = digits * 10 + (uint64_t)(*at - '0');
            taken++;
        }
    }
    number->cut = dropped > 0;
    number->digits = digits;
    number->exponent += dropped;
}

static enum tn_err scan_exponent(const char **at, const char *end, int32_t *ret_exponent)
{
    const char *now = *at + 1;
    bool negative = false;
    if (now < end && (*now == '+' || *now == '-')) {
        negative = *now == '-';
        now++;
    }
    if (now == end) {
        return TN_TRUNCATED;
    }
    if (!is_digit(*now)) {
        return TN_INVALID;
    }
    int32_t exponent = 0;
    while (now < end && is_digit(*now)) {
        if (exponent < EXPONENT_MAX) {
            exponent = exponent * 10 + (*now - '0');
        }
        now++;
    }
    *at = now;
    *ret_exponent = negative ? -exponent : exponent;
    return TN_OK;
}

/* Where the fraction ends; NULL with *ret_err set when it breaks off. */
static const char *scan_fraction(const char *at, const char *end, uint64_t *digits,
                                 enum tn_err *ret_err)
{
    const char *first = at + 1;
    if (first == end) {
        *ret_err = TN_TRUNCATED;
        return NULL;
    }
    at = scan_digits(first, end, digits);
    if (at == first) {
        *ret_err = TN_INVALID;
        return NULL;
    }
    return at;
}

enum tn_err tn_number_scan(struct tn_str text, struct tn_number *ret_number)
{
    const char *at = text.data;
    const char *end = text.size > 0 ? at + text.size : at;
    struct tn_number number = {.integral = true};
    enum tn_err err = TN_OK;
    if (at < end && *at == '-') {
        number.negative = true;
        at++;
    }
    if (at == end) {
        return TN_TRUNCATED;
    }
    const char *first = at;
    at = *at == '0' ? at + 1 : scan_digits(at, end, &number.digits);
    if (at == first) {
        return TN_INVALID;
    }
    size_t count = (size_t)(at - first);
    if (at < end && *at == '.') {
        const char *point = at;
        at = scan_fraction(at, end, &number.digits, &err);
        if (at == NULL) {
            return err;
        }
        number.integral = false;
        size_t fraction = (size_t)(at - point) - 1;
        count += fraction;
        number.exponent = -(int32_t)(fraction < EXPONENT_MAX ? fraction : EXPONENT_MAX);
    }
    if (count > DIGITS_MAX) {
        cut_digits(&number, first, at);
    }
    if (at < end && (*at == 'e' || *at == 'E')) {
        int32_t exponent = 0;
        err = scan_exponent(&at, end, &exponent);
        if (err != TN_OK) {
            return err;
        }
        number.integral = false;
        number.exponent += exponent;
    }
    number.text = tn_str_make(text.data, (size_t)(at - text.data));
    *ret_number = number;
    return TN_OK;
}

/* All 20 digits that a uint64_t may have; scanning kept 19. */
static enum tn_err read_magnitude(const struct tn_number *number, uint64_t *ret_value)
{
    if (!number->integral) {
        return TN_INVALID;
    }
    if (!number->cut) {
        *ret_value = number->digits;
        return TN_OK;
    }
    if (number->exponent > 1) {
        return TN_LIMIT;
    }
    uint64_t value = 0;
    uint64_t last = (uint64_t)(number->text.data[number->text.size - 1] - '0');
    if (__builtin_mul_overflow(number->digits, 10U, &value) ||
        __builtin_add_overflow(value, last, &value)) {
        return TN_LIMIT;
    }
    *ret_value = value;
    return TN_OK;
}

enum tn_err tn_number_int64(const struct tn_number *number, int64_t *ret_value)
{
    uint64_t value = 0;
    enum tn_err err = read_magnitude(number, &value);
    if (err != TN_OK) {
        return err;
    }
    uint64_t limit = (uint64_t)INT64_MAX + (number->negative ? 1 : 0);
    if (value > limit) {
        return TN_LIMIT;
    }
    *ret_value = (int64_t)(number->negative ? 0 - value : value);
    return TN_OK;
}

enum tn_err tn_number_uint64(const struct tn_number *number, uint64_t *ret_value)
{
    uint64_t value = 0;
    enum tn_err err = read_magnitude(number, &value);
    if (err != TN_OK) {
        return err;
    }
    if (number->negative && value != 0) {
        return TN_LIMIT;
    }
    *ret_value = value;
    return TN_OK;
}
