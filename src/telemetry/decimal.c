/* Numbers for the text formats. Most values of a scrape are whole: those take the short way. */
#include "telemetry/decimal.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

size_t tn_decimal_uint(char out[TN_DECIMAL_MAX], uint64_t value)
{
    char digits[20];
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

size_t tn_decimal_double(char out[TN_DECIMAL_MAX], double value)
{
    if (isnan(value)) {
        memcpy(out, "NaN", 3);
        return 3;
    }
    if (isinf(value)) {
        memcpy(out, value > 0 ? "+Inf" : "-Inf", 4);
        return 4;
    }
    if (fabs(value) < 9007199254740992.0 && value == (double)(int64_t)value) {
        size_t sign = value < 0;
        out[0] = '-';
        return sign + tn_decimal_uint(out + sign, (uint64_t)(value < 0 ? -value : value));
    }
    int size = 0;
    for (int digits = 15; digits <= 17; digits++) {
        size = snprintf(out, TN_DECIMAL_MAX, "%.*g", digits, value);
        if (strtod(out, NULL) == value) {
            break;
        }
    }
    return (size_t)size;
}

size_t tn_decimal_bound(char out[TN_DECIMAL_MAX], double value)
{
    size_t size = tn_decimal_double(out, value);
    bool whole =
        isfinite(value) && memchr(out, '.', size) == NULL && memchr(out, 'e', size) == NULL;
    if (whole) {
        memcpy(out + size, ".0", 2);
    }
    return whole ? size + 2 : size;
}
