/* Numbers as Prometheus reads them: the shortest text that gives the same double again, whole
 * numbers without an exponent, NaN, +Inf and -Inf. Pure. */
#ifndef TN_TELEMETRY_DECIMAL_H
#define TN_TELEMETRY_DECIMAL_H

#include <stddef.h>
#include <stdint.h>

enum { TN_DECIMAL_MAX = 32 };

/* Each returns the size; not terminated. */
size_t tn_decimal_double(char out[TN_DECIMAL_MAX], double value);
/* A bucket's bound as OpenMetrics writes it: with a point or an exponent, since it is a label. */
size_t tn_decimal_bound(char out[TN_DECIMAL_MAX], double value);
size_t tn_decimal_uint(char out[TN_DECIMAL_MAX], uint64_t value);

#endif
