/* Quantities as people write them: "64MiB", "250ms", "1h30m". Exact integer arithmetic, no locale,
 * no rounding: what cannot be kept exactly is refused. Pure. */
#ifndef TN_BASE_UNITS_H
#define TN_BASE_UNITS_H

#include "core/bytes.h"
#include "core/err.h"

enum { TN_UNITS_TEXT_MAX = 40 };

/* Bytes: digits, up to three decimals, then B, KB, MB, GB, TB (powers of 1000), KiB, MiB, GiB, TiB
 * (of 1024) or nothing (bytes). TN_INVALID, TN_LIMIT beyond 2^63 - 1. */
TN_MUST enum tn_err tn_units_parse_size(struct tn_str text, uint64_t *ret_bytes);

/* Nanoseconds: one or more of digits, up to three decimals, and ns, us, ms, s, m, h or d. A bare
 * "0" needs no unit. TN_INVALID, TN_LIMIT beyond 2^63 - 1. */
TN_MUST enum tn_err tn_units_parse_duration(struct tn_str text, uint64_t *ret_ns);

/* Decimal, or hexadecimal after 0x, with an optional sign. TN_INVALID, TN_LIMIT. */
TN_MUST enum tn_err tn_units_parse_int(struct tn_str text, int64_t *ret_value);
TN_MUST enum tn_err tn_units_parse_uint(struct tn_str text, uint64_t *ret_value);

/* Digits with an optional minus, fraction and exponent, as in JSON; no "inf", no "nan". TN_INVALID.
 */
TN_MUST enum tn_err tn_units_parse_float(struct tn_str text, double *ret_value);

/* The shortest exact form that the parsers above read back; returns the length. */
size_t tn_units_print_size(char out[TN_UNITS_TEXT_MAX], uint64_t bytes);
size_t tn_units_print_duration(char out[TN_UNITS_TEXT_MAX], uint64_t ns);
size_t tn_units_print_float(char out[TN_UNITS_TEXT_MAX], double value);

#endif
