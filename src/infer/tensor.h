/* Tensors as they travel through the server: a name, an element type, a shape and bytes.
 *
 * Bytes are row-major, little-endian, packed. TN_DTYPE_BYTES elements are a 4-byte little-endian
 * length and that many bytes each, as in raw contents of the Open Inference Protocol.
 * Memory: `data` lies in `owner` (one reference held by the tensor), or is the caller's when
 * `owner` is NULL. Threads: constant once shared. Bounds: TN_RANK_MAX dimensions. */
#ifndef TN_INFER_TENSOR_H
#define TN_INFER_TENSOR_H

#include "base/block.h"
#include "base/fault.h"

enum tn_dtype {
    TN_DTYPE_INVALID,
    TN_DTYPE_BOOL,
    TN_DTYPE_UINT8,
    TN_DTYPE_UINT16,
    TN_DTYPE_UINT32,
    TN_DTYPE_UINT64,
    TN_DTYPE_INT8,
    TN_DTYPE_INT16,
    TN_DTYPE_INT32,
    TN_DTYPE_INT64,
    TN_DTYPE_FP16,
    TN_DTYPE_FP32,
    TN_DTYPE_FP64,
    TN_DTYPE_BF16,
    TN_DTYPE_BYTES,
    TN_DTYPE_COUNT,
};

enum { TN_RANK_MAX = 8, TN_TENSORS_MAX = 64 };

struct tn_shape {
    int64_t dims[TN_RANK_MAX]; /* -1: any, in a model's signature only */
    size_t rank;
};

struct tn_tensor {
    struct tn_str name;
    enum tn_dtype dtype;
    struct tn_shape shape;
    struct tn_bytes data;
    struct tn_block *owner;
};

/* "FP32" and so on, as the protocol spells them; INVALID for TN_DTYPE_INVALID. */
const char *tn_dtype_name(enum tn_dtype dtype);
enum tn_dtype tn_dtype_parse(struct tn_str name);

/* Bytes an element; 0 for BYTES and INVALID. */
size_t tn_dtype_size(enum tn_dtype dtype);

/* Elements of a fixed shape. TN_INVALID: a negative dimension; TN_LIMIT: more than 2^62. */
TN_MUST enum tn_err tn_shape_elements(const struct tn_shape *shape, uint64_t *ret_elements);

bool tn_shape_equal(const struct tn_shape *a, const struct tn_shape *b);

/* Whether `actual` fits `expected`, in which -1 fits any. */
bool tn_shape_fits(const struct tn_shape *expected, const struct tn_shape *actual);

/* A shape in words, "[-1,3,48]"; returns text->chars. */
struct tn_shape_text {
    char chars[TN_RANK_MAX * 21 + 3];
};
const char *tn_shape_print(const struct tn_shape *shape, struct tn_shape_text *text);

/* Checks that data is exactly what dtype and shape need; for BYTES walks the lengths. */
TN_MUST enum tn_err tn_tensor_check(const struct tn_tensor *tensor, struct tn_fault *fault);

#endif
