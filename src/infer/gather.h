/* Items of several jobs side by side in one tensor, and back.
 *
 * Along the first dimension that is one copy a job; along a later one, a copy for each row in
 * front of it. Pure: the caller's memory. */
#ifndef TN_INFER_GATHER_H
#define TN_INFER_GATHER_H

#include "infer/tensor.h"

/* A tensor of `shape` seen as `outer` runs of `shape.dims[axis]` items of `inner` bytes each. */
struct tn_stride {
    size_t outer;
    size_t inner;
};
struct tn_stride tn_stride_of(const struct tn_shape *shape, size_t axis, size_t element_size);

/* Copies `items` items of one job into a batch tensor of `total` items, at item `at`. */
void tn_gather(struct tn_stride stride, const uint8_t *job, size_t items, uint8_t *batch,
               size_t total, size_t at);

/* The reverse. */
void tn_scatter(struct tn_stride stride, const uint8_t *batch, size_t total, size_t at,
                uint8_t *job, size_t items);

/* Bytes that the first `elements` elements of a checked BYTES tensor take. */
size_t tn_text_size(struct tn_bytes data, uint64_t elements);

#endif
