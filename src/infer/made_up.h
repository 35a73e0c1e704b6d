/* Made-up tensor contents, for probing and warming a model: fractions for floats, 0 and 1 for the
 * rest, so that any model can take them. The same at each load, so that a load is repeatable.
 * Pure. */
#ifndef TN_INFER_MADE_UP_H
#define TN_INFER_MADE_UP_H

#include "infer/tensor.h"

struct tn_made_up {
    uint64_t state;
};
void tn_made_up_init(struct tn_made_up *values);

/* Bytes an element takes: a BYTES element is one digit with its length. */
size_t tn_made_up_size(enum tn_dtype dtype);

/* `scale` multiplies FP32 and FP64. */
void tn_made_up_fill(struct tn_made_up *values, enum tn_dtype dtype, uint8_t *to, uint64_t elements,
                     float scale);

#endif
