/* Element types, shapes, and the check that a tensor's bytes are what its shape says. Pure: no
 * allocation, no state. A check of a fixed-size type is a handful of multiplications; of BYTES it
 * walks the lengths once. */
#include "infer/tensor.h"

#include "core/assert.h"

#include <inttypes.h>
#include <stdio.h>

static const struct {
    const char *name;
    uint8_t size;
} dtypes[TN_DTYPE_COUNT] = {
    [TN_DTYPE_INVALID] = {"INVALID", 0}, [TN_DTYPE_BOOL] = {"BOOL", 1},
    [TN_DTYPE_UINT8] = {"UINT8", 1},     [TN_DTYPE_UINT16] = {"UINT16", 2},
    [TN_DTYPE_UINT32] = {"UINT32", 4},   [TN_DTYPE_UINT64] = {"UINT64", 8},
    [TN_DTYPE_INT8] = {"INT8", 1},       [TN_DTYPE_INT16] = {"INT16", 2},
    [TN_DTYPE_INT32] = {"INT32", 4},     [TN_DTYPE_INT64] = {"INT64", 8},
    [TN_DTYPE_FP16] = {"FP16", 2},       [TN_DTYPE_FP32] = {"FP32", 4},
    [TN_DTYPE_FP64] = {"FP64", 8},       [TN_DTYPE_BF16] = {"BF16", 2},
    [TN_DTYPE_BYTES] = {"BYTES", 0},
};

/* Bounds every product below: 2^62 elements of 8 bytes would not be addressable anyway. */
#define ELEMENTS_MAX (UINT64_C(1) << 62)

const char *tn_dtype_name(enum tn_dtype dtype)
{
    return (unsigned)dtype < TN_DTYPE_COUNT ? dtypes[dtype].name : dtypes[TN_DTYPE_INVALID].name;
}

enum tn_dtype tn_dtype_parse(struct tn_str name)
{
    for (unsigned i = TN_DTYPE_INVALID + 1; i < TN_DTYPE_COUNT; i++) {
        if (tn_str_is(name, dtypes[i].name)) {
            return (enum tn_dtype)i;
        }
    }
    return TN_DTYPE_INVALID;
}

size_t tn_dtype_size(enum tn_dtype dtype)
{
    return (unsigned)dtype < TN_DTYPE_COUNT ? dtypes[dtype].size : 0;
}

enum tn_err tn_shape_elements(const struct tn_shape *shape, uint64_t *ret_elements)
{
    TN_ASSERT(shape->rank <= TN_RANK_MAX);

    uint64_t elements = 1;
    bool empty = false;
    bool large = false;
    for (size_t i = 0; i < shape->rank; i++) {
        if (shape->dims[i] < 0) {
            return TN_INVALID;
        }
        uint64_t dim = (uint64_t)shape->dims[i];
        if (dim == 0) {
            empty = true; /* [huge, huge, 0] holds nothing, whatever the others say */
        } else if (elements > ELEMENTS_MAX / dim) {
            large = true;
        } else {
            elements *= dim;
        }
    }
    if (large && !empty) {
        return TN_LIMIT;
    }
    *ret_elements = empty ? 0 : elements;
    return TN_OK;
}

bool tn_shape_equal(const struct tn_shape *a, const struct tn_shape *b)
{
    return a->rank == b->rank && memcmp(a->dims, b->dims, a->rank * sizeof(a->dims[0])) == 0;
}

bool tn_shape_fits(const struct tn_shape *expected, const struct tn_shape *actual)
{
    if (expected->rank != actual->rank) {
        return false;
    }
    for (size_t i = 0; i < actual->rank; i++) {
        if (actual->dims[i] < 0 ||
            (expected->dims[i] >= 0 && expected->dims[i] != actual->dims[i])) {
            return false;
        }
    }
    return true;
}

const char *tn_shape_print(const struct tn_shape *shape, struct tn_shape_text *text)
{
    size_t at = 0;
    text->chars[at++] = '[';
    for (size_t i = 0; i < shape->rank; i++) {
        /* Eight numbers of 20 characters and their commas always fit. */
        at += (size_t)snprintf(text->chars + at, sizeof(text->chars) - at, "%s%" PRId64,
                               i > 0 ? "," : "", shape->dims[i]);
    }
    text->chars[at++] = ']';
    text->chars[at] = '\0';
    return text->chars;
}

/* Walks the 4-byte lengths; true when there are exactly `elements` and nothing behind them. */
static bool bytes_elements_fit(struct tn_bytes data, uint64_t elements)
{
    size_t at = 0;
    for (uint64_t i = 0; i < elements; i++) {
        if (data.size - at < 4) {
            return false; /* also ends a hostile count early: each turn consumes four bytes */
        }
        uint32_t length = tn_load_le32(data.data + at);
        at += 4;
        if (data.size - at < length) {
            return false;
        }
        at += length;
    }
    return at == data.size;
}

static enum tn_err size_fault(struct tn_fault *fault, const struct tn_tensor *tensor,
                              uint64_t needed)
{
    struct tn_shape_text text;
    return tn_fault_set(fault, TN_INVALID,
                        "tensor '%.*s': %s %s needs %" PRIu64 " bytes, but has %zu",
                        TN_STR_ARG(tensor->name), tn_dtype_name(tensor->dtype),
                        tn_shape_print(&tensor->shape, &text), needed, tensor->data.size);
}

enum tn_err tn_tensor_check(const struct tn_tensor *tensor, struct tn_fault *fault)
{
    struct tn_shape_text text;
    if (tensor->dtype <= TN_DTYPE_INVALID || tensor->dtype >= TN_DTYPE_COUNT) {
        return tn_fault_set(fault, TN_INVALID, "tensor '%.*s' has no valid datatype",
                            TN_STR_ARG(tensor->name));
    }
    uint64_t elements = 0;
    enum tn_err err = tn_shape_elements(&tensor->shape, &elements);
    if (err < 0) {
        return tn_fault_set(fault, TN_INVALID, "tensor '%.*s': shape %s %s",
                            TN_STR_ARG(tensor->name), tn_shape_print(&tensor->shape, &text),
                            err == TN_LIMIT ? "has more elements than memory can hold"
                                            : "has a negative dimension");
    }
    if (tensor->dtype == TN_DTYPE_BYTES) {
        if (!bytes_elements_fit(tensor->data, elements)) {
            return tn_fault_set(fault, TN_INVALID,
                                "tensor '%.*s': %zu bytes are not %" PRIu64
                                " elements of 4-byte length and content",
                                TN_STR_ARG(tensor->name), tensor->data.size, elements);
        }
        return TN_OK;
    }
    size_t size = tn_dtype_size(tensor->dtype);
    if (elements > UINT64_MAX / size || elements * size != tensor->data.size) {
        return size_fault(fault, tensor,
                          elements > UINT64_MAX / size ? UINT64_MAX : elements * size);
    }
    return TN_OK;
}
