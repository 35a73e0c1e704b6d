/* The "data" of a JSON tensor, straight into the tensor's bytes: no tree of values in between.
 *
 *   [1.5, 2, 3]  or  [[1.5], [2], [3]]   --tn_json_tensor_read-->  elements, row-major
 *
 * The array is flat, or nested exactly as the shape says. Numbers are correctly rounded; integers
 * are exact over the whole range of their type and must be written as integers. NaN, Infinity,
 * null, and numbers beyond the type's range are refused. FP16 and BF16 have no JSON form (binary
 * data extension). BYTES elements are strings; escapes are decoded, the result is UTF-8.
 * Cost: 15..25 ns a number. Memory: the caller's output. Threads: any. Bounds: TN_RANK_MAX levels.
 */
#ifndef TN_SERVE_JSON_TENSOR_H
#define TN_SERVE_JSON_TENSOR_H

#include "core/arena.h"
#include "infer/tensor.h"

/* Reads the array at the start of `json` into memory from the arena. `ret_size` is how much text it
 * took. The fault names the element that is wrong. */
TN_MUST enum tn_err tn_json_tensor_read(struct tn_str json, enum tn_dtype dtype,
                                        const struct tn_shape *shape, struct tn_arena *arena,
                                        struct tn_bytes *ret_data, size_t *ret_size,
                                        struct tn_fault *fault);

struct tn_buf;

/* Writes a tensor's elements as a flat JSON array. TN_UNSUPPORTED for FP16 and BF16 and for
 * values JSON cannot say (NaN, infinities, BYTES that are not UTF-8): the fault advises binary. */
TN_MUST enum tn_err tn_json_tensor_write(const struct tn_tensor *tensor, struct tn_buf *out,
                                         struct tn_fault *fault);

#endif
