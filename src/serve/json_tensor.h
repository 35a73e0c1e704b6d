/* The "data" of a JSON tensor, straight into the tensor's bytes, and back: no tree of values in
 * between.
 *
 *   [1.5, 2, 3] or [[1.5], [2], [3]]  --tn_json_tensor_read-->  elements, row-major
 *
 * Numbers stand flat or nested exactly as the shape says, are correctly rounded; integers are exact
 * over the whole range of their type and must be written as integers. NaN, Infinity, null, and
 * numbers beyond the type's range are refused. FP16 and BF16 have no JSON form (binary data
 * extension). BYTES elements are strings, however nested.
 * Cost: about 15 ns a number. Memory: one run in the caller's arena. Threads: any. Bounds: the
 * shape; a shape far beyond its text is refused before it asks for memory. */
#ifndef TN_SERVE_JSON_TENSOR_H
#define TN_SERVE_JSON_TENSOR_H

#include "core/json.h"
#include "core/json_write.h"
#include "infer/tensor.h"

/* After the reader delivered TN_JSON_ARRAY: reads it to its end into tensor->data; name, dtype and
 * shape are set. The fault names the tensor. */
TN_MUST enum tn_err tn_json_tensor_read(struct tn_json *reader, struct tn_tensor *tensor,
                                        struct tn_arena *arena, struct tn_fault *fault);

/* Writes the elements as a flat array. TN_UNSUPPORTED for FP16, BF16 and values JSON cannot say
 * (NaN, infinities, BYTES that are not UTF-8): the fault advises binary data. */
TN_MUST enum tn_err tn_json_tensor_write(const struct tn_tensor *tensor,
                                         struct tn_json_writer *writer, struct tn_fault *fault);

#endif
