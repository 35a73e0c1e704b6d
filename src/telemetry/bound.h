/* A bucket's bound as OpenMetrics writes it: with a point or an exponent ("1.0"), since `le` is a
 * label and labels are compared as texts. Pure. */
#ifndef TN_TELEMETRY_BOUND_H
#define TN_TELEMETRY_BOUND_H

#include "core/number.h"

enum { TN_BOUND_SIZE_MAX = TN_NUMBER_SIZE_MAX + 2 };

/* Returns the size; not terminated. */
static inline size_t tn_bound_put(char out[TN_BOUND_SIZE_MAX], double bound)
{
    size_t size = tn_number_put_double(out, bound);
    for (size_t i = 0; i < size; i++) {
        if (out[i] == '.' || out[i] == 'e' || out[i] == 'I') { /* I: Inf */
            return size;
        }
    }
    memcpy(out + size, ".0", 2);
    return size + 2;
}

#endif
