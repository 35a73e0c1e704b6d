/* Decimal text to numbers and back, exactly: what is read is the nearest float or double (ties to
 * even), what is printed is the shortest text that reads back as the same value.
 *
 *   text --tn_number_scan--> digits * 10^exponent --tn_number_double, _float, _int64, _uint64-->
 *
 * Reading takes about 15 ns for 8 digits and 25 ns for 17 (Eisel-Lemire; a big integer on the
 * stack settles the rare text with more than 19 digits that lies next to a tie). Printing takes
 * about 35 ns (Schubfach). No locale, no memory beyond the stack, any thread. Freestanding. */
#ifndef TN_CORE_NUMBER_H
#define TN_CORE_NUMBER_H

#include "core/bytes.h"
#include "core/err.h"

/* Room for any number that is printed here. */
enum { TN_NUMBER_SIZE_MAX = 32 };

struct tn_number {
    struct tn_str text; /* what was scanned; a view */
    uint64_t digits;    /* the first 19 significant ones */
    int32_t exponent;   /* value = digits * 10^exponent, and a bit more when cut */
    bool negative;
    bool integral; /* written without fraction and exponent */
    bool cut;      /* there were more than 19 significant digits */
};

/* Reads the longest number in JSON's grammar (RFC 8259, section 6) at the start of `text`; what
 * follows is the caller's business. TN_INVALID: there is none. TN_TRUNCATED: the text ends where
 * the number must go on ("-", "1.", "1e+"). */
TN_MUST enum tn_err tn_number_scan(struct tn_str text, struct tn_number *ret_number);

/* The nearest value; infinite beyond the range. */
double tn_number_double(const struct tn_number *number);
float tn_number_float(const struct tn_number *number);

/* TN_INVALID: not integral ("1.0", "1e3"). TN_LIMIT: out of range. */
TN_MUST enum tn_err tn_number_int64(const struct tn_number *number, int64_t *ret_value);
TN_MUST enum tn_err tn_number_uint64(const struct tn_number *number, uint64_t *ret_value);

/* Prints without a terminator and returns the size. Doubles and floats look as in ECMAScript and
 * canonical JSON (RFC 8785): 1, 0.1, 1e+21, 1.5e-7; not finite: NaN, +Inf, -Inf, which are no JSON.
 * A float is printed with the digits that a float needs. */
size_t tn_number_put_double(char out[TN_NUMBER_SIZE_MAX], double value);
size_t tn_number_put_float(char out[TN_NUMBER_SIZE_MAX], float value);
size_t tn_number_put_int64(char out[TN_NUMBER_SIZE_MAX], int64_t value);
size_t tn_number_put_uint64(char out[TN_NUMBER_SIZE_MAX], uint64_t value);

#endif
