/* Quantities with units; see units.h. A number is read as an integer of thousandths, so "1.5GiB" is
 * exact and "0.0001s" is refused instead of rounded. Pure. */
#include "base/units.h"

#include "core/assert.h"
#include "core/number.h"

#include <math.h>
#include <stdio.h>

struct unit {
    const char *name;
    uint64_t factor;
};

/* Largest first within each family: printing takes the first that divides. */
static const struct unit size_units[] = {
    {"TiB", UINT64_C(1) << 40},
    {"GiB", UINT64_C(1) << 30},
    {"MiB", UINT64_C(1) << 20},
    {"KiB", UINT64_C(1) << 10},
    {"TB", 1000000000000},
    {"GB", 1000000000},
    {"MB", 1000000},
    {"KB", 1000},
    {"B", 1},
};
static const struct unit duration_units[] = {
    {"d", UINT64_C(86400000000000)},
    {"h", UINT64_C(3600000000000)},
    {"m", UINT64_C(60000000000)},
    {"s", UINT64_C(1000000000)},
    {"ms", 1000000},
    {"us", 1000},
    {"ns", 1},
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Reads digits and up to three decimals at *at: the value in thousandths. The whole part fits in 64
 * bits, so 128 are enough for the thousandths and for their product with a unit. */
static enum tn_err read_thousandths(struct tn_str text, size_t *at, unsigned __int128 *ret_value)
{
    size_t start = *at;
    uint64_t whole = 0;
    for (; *at < text.size && is_digit(text.data[*at]); ++*at) {
        if (__builtin_mul_overflow(whole, UINT64_C(10), &whole) ||
            __builtin_add_overflow(whole, (uint64_t)(text.data[*at] - '0'), &whole)) {
            return TN_LIMIT;
        }
    }
    if (*at == start) {
        return TN_INVALID;
    }
    unsigned thousandths = 0;
    if (*at < text.size && text.data[*at] == '.') {
        size_t first = ++*at;
        for (unsigned place = 100; *at < text.size && is_digit(text.data[*at]);
             place /= 10, ++*at) {
            thousandths += (unsigned)(text.data[*at] - '0') * place;
        }
        if (*at == first || *at - first > 3) {
            return TN_INVALID;
        }
    }
    *ret_value = (unsigned __int128)whole * 1000 + thousandths;
    return TN_OK;
}

static const struct unit *read_unit(struct tn_str text, size_t *at, const struct unit *units,
                                    size_t count)
{
    size_t end = *at;
    while (end < text.size && !is_digit(text.data[end])) {
        end++;
    }
    struct tn_str name = tn_str_make(text.data + *at, end - *at);
    for (size_t i = 0; i < count; i++) {
        if (tn_str_is(name, units[i].name)) {
            *at = end;
            return &units[i];
        }
    }
    return NULL;
}

/* One "1.5GiB" at *at, added to *sum. */
static enum tn_err read_quantity(struct tn_str text, size_t *at, const struct unit *units,
                                 size_t count, uint64_t *sum)
{
    unsigned __int128 thousandths = 0;
    enum tn_err err = read_thousandths(text, at, &thousandths);
    if (err < 0) {
        return err;
    }
    const struct unit *unit = read_unit(text, at, units, count);
    if (unit == NULL) {
        return TN_INVALID;
    }
    unsigned __int128 product = thousandths * unit->factor;
    if (product % 1000 != 0) {
        return TN_INVALID;
    }
    product = product / 1000 + *sum;
    if (product > INT64_MAX) {
        return TN_LIMIT;
    }
    *sum = (uint64_t)product;
    return TN_OK;
}

enum tn_err tn_units_parse_size(struct tn_str text, uint64_t *ret_bytes)
{
    uint64_t sum = 0;
    enum tn_err err = tn_units_parse_uint(text, &sum);
    if (err != TN_INVALID) { /* no unit: bytes, or far too many */
        if (err == TN_OK && sum > INT64_MAX) {
            err = TN_LIMIT;
        }
        if (err == TN_OK) {
            *ret_bytes = sum;
        }
        return err;
    }
    size_t at = 0;
    sum = 0;
    err = read_quantity(text, &at, size_units, TN_COUNT(size_units), &sum);
    if (err == TN_OK && at != text.size) {
        err = TN_INVALID;
    }
    if (err == TN_OK) {
        *ret_bytes = sum;
    }
    return err;
}

enum tn_err tn_units_parse_duration(struct tn_str text, uint64_t *ret_ns)
{
    if (tn_str_is(text, "0")) {
        *ret_ns = 0;
        return TN_OK;
    }
    uint64_t sum = 0;
    size_t at = 0;
    do {
        enum tn_err err = read_quantity(text, &at, duration_units, TN_COUNT(duration_units), &sum);
        if (err < 0) {
            return err;
        }
    } while (at < text.size);
    *ret_ns = sum;
    return TN_OK;
}

static unsigned digit_of(char c)
{
    if (is_digit(c)) {
        return (unsigned)(c - '0');
    }
    char lower = (char)(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? (unsigned)(lower - 'a') + 10 : 99;
}

enum tn_err tn_units_parse_uint(struct tn_str text, uint64_t *ret_value)
{
    size_t at = 0;
    uint64_t base = 10;
    if (text.size > 2 && text.data[0] == '0' && (text.data[1] | 0x20) == 'x') {
        base = 16;
        at = 2;
    }
    if (at == text.size) {
        return TN_INVALID;
    }
    uint64_t value = 0;
    bool over = false; /* read on: "99999999999999999999x" is no number at all */
    for (; at < text.size; at++) {
        unsigned digit = digit_of(text.data[at]);
        if (digit >= base) {
            return TN_INVALID;
        }
        over = __builtin_mul_overflow(value, base, &value) ||
               __builtin_add_overflow(value, (uint64_t)digit, &value) || over;
    }
    if (over) {
        return TN_LIMIT;
    }
    *ret_value = value;
    return TN_OK;
}

enum tn_err tn_units_parse_int(struct tn_str text, int64_t *ret_value)
{
    bool minus = text.size > 0 && text.data[0] == '-';
    bool sign = minus || (text.size > 0 && text.data[0] == '+');
    uint64_t magnitude = 0;
    enum tn_err err = tn_units_parse_uint(tn_str_from_offset(text, sign ? 1 : 0), &magnitude);
    if (err < 0) {
        return err;
    }
    if (magnitude > (uint64_t)INT64_MAX + (minus ? 1 : 0)) {
        return TN_LIMIT;
    }
    *ret_value = minus ? (int64_t)(0 - magnitude) : (int64_t)magnitude;
    return TN_OK;
}

enum tn_err tn_units_parse_float(struct tn_str text, double *ret_value)
{
    struct tn_number number;
    if (tn_number_scan(text, &number) < 0 || number.text.size != text.size) {
        return TN_INVALID;
    }
    double value = tn_number_double(&number);
    if (!isfinite(value)) {
        return TN_INVALID;
    }
    *ret_value = value;
    return TN_OK;
}

static size_t print_units(char *out, uint64_t value, const struct unit *units, size_t count)
{
    size_t best = 0;
    while (best + 1 < count && (value == 0 || value % units[best].factor != 0)) {
        best++;
    }
    int size = snprintf(out, TN_UNITS_TEXT_MAX, "%llu%s",
                        (unsigned long long)(value / units[best].factor), units[best].name);
    return (size_t)size;
}

size_t tn_units_print_size(char out[TN_UNITS_TEXT_MAX], uint64_t bytes)
{
    size_t size = print_units(out, bytes, size_units, TN_COUNT(size_units));
    if (out[size - 1] == 'B' && is_digit(out[size - 2])) {
        out[--size] = '\0'; /* bytes need no unit */
    }
    return size;
}

size_t tn_units_print_duration(char out[TN_UNITS_TEXT_MAX], uint64_t ns)
{
    if (ns == 0) {
        return (size_t)snprintf(out, TN_UNITS_TEXT_MAX, "0s");
    }
    return print_units(out, ns, duration_units, TN_COUNT(duration_units));
}

size_t tn_units_print_float(char out[TN_UNITS_TEXT_MAX], double value)
{
    size_t size = tn_number_put_double(out, value);
    out[size] = '\0';
    return size;
}
