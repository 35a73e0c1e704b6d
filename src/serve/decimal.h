/* Decimal numbers of JSON to binary, correctly rounded, without a table of big powers.
 *
 *   text --tn_decimal_read--> sign, up to 19 digits, power of ten --to_f64, to_f32--> nearest value
 *
 * With at most 19 digits and a power of ten within +-27 the value is w * 5^k * 2^k or w / 5^k / 2^k
 * with 5^k below 2^63: one 128-bit product or quotient plus a sticky bit rounds exactly, straight
 * to 24 or 53 bits, so a float is never rounded twice. Everything else goes to the C library, which
 * is exact and slow. Cost: about 10 ns a number of 8..17 digits. Memory: none. Threads: any.
 * Bounds: DECIMAL_TEXT_MAX characters on the slow path; longer numbers are shortened to that with a
 * sticky last digit, which rounds the same. */
#ifndef TN_SERVE_DECIMAL_H
#define TN_SERVE_DECIMAL_H

#include "core/bytes.h"
#include "core/err.h"

struct tn_decimal {
    uint64_t digits; /* the first 19 significant ones */
    int32_t power;   /* value = digits * 10^power, when exact */
    bool negative;
    bool exact;       /* every digit is in `digits` */
    bool integer;     /* written without fraction and exponent */
    const char *text; /* the number as written, for the slow path */
    size_t size;
};

/* Reads one JSON number at the start of text. TN_INVALID: no number by the JSON grammar (also NaN,
 * Infinity, leading zeros, a bare minus). TN_LIMIT: exponent of more than 9 digits. */
TN_MUST enum tn_err tn_decimal_read(struct tn_str text, struct tn_decimal *ret_decimal);

/* Nearest value, ties to even. TN_LIMIT: too large for the type; too small becomes zero or a
 * subnormal, as IEEE 754 says. */
TN_MUST enum tn_err tn_decimal_to_f64(const struct tn_decimal *decimal, double *ret_value);
TN_MUST enum tn_err tn_decimal_to_f32(const struct tn_decimal *decimal, float *ret_value);

/* Exact. TN_INVALID: not written as an integer; TN_LIMIT: outside min..max. */
TN_MUST enum tn_err tn_decimal_to_i64(const struct tn_decimal *decimal, int64_t min, int64_t max,
                                      int64_t *ret_value);
TN_MUST enum tn_err tn_decimal_to_u64(const struct tn_decimal *decimal, uint64_t max,
                                      uint64_t *ret_value);

/* Shortest text that reads back as the same value; not for NaN and infinities. Returns the size,
 * at most TN_DECIMAL_TEXT_MAX; no terminator. */
enum { TN_DECIMAL_TEXT_MAX = 32 };
size_t tn_decimal_put_f32(float value, char *out);
size_t tn_decimal_put_f64(double value, char *out);
size_t tn_decimal_put_i64(int64_t value, char *out);
size_t tn_decimal_put_u64(uint64_t value, char *out);

#endif
