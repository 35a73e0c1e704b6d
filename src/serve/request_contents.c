/* Elements in and out: see request_contents.h. */
#include "serve/request_contents.h"

#include "core/assert.h"
#include "proto/inference.pb.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

static enum tn_err no_memory(const struct tn_contents *contents, uint64_t size)
{
    return tn_fault_set(contents->fault, TN_NOMEM, "no memory for %llu bytes of tensor '%.*s'",
                        (unsigned long long)size, TN_STR_ARG(contents->tensor->name));
}

static enum tn_err copy_raw(const struct tn_contents *contents, struct tn_bytes raw)
{
    uint8_t *copy = tn_arena_take(contents->arena, raw.size > 0 ? raw.size : 1, 64);
    if (copy == NULL) {
        return no_memory(contents, raw.size);
    }
    if (raw.size > 0) {
        memcpy(copy, raw.data, raw.size);
    }
    contents->tensor->data = tn_bytes_make(copy, raw.size);
    return TN_OK;
}

enum tn_err tn_contents_raw(const struct tn_contents *contents, struct tn_bytes raw)
{
    size_t each = tn_dtype_size(contents->tensor->dtype);
    if (each > 1 && ((uintptr_t)raw.data & (each - 1)) != 0) {
        return copy_raw(contents, raw);
    }
    contents->tensor->data = raw;
    return TN_OK;
}

/* Its owner may write into the region at any time. Numbers may change under a run, for its owner
 * alone; what decides about memory or about other requests must not: the lengths of BYTES, the
 * small inputs that a batch has in common, and what the key of a kept answer was made of. */
enum { SHARED_COPY_MAX = 256 };

enum tn_err tn_contents_shared(const struct tn_contents *contents, struct tn_bytes shared,
                               bool kept)
{
    if (kept || contents->tensor->dtype == TN_DTYPE_BYTES || shared.size <= SHARED_COPY_MAX) {
        return copy_raw(contents, shared);
    }
    return tn_contents_raw(contents, shared);
}

/* Which member of InferTensorContents holds which datatype. */
enum member { IN_NONE, IN_BOOL, IN_INT, IN_INT64, IN_UINT, IN_UINT64, IN_FP32, IN_FP64, IN_BYTES };

static const uint8_t members[TN_DTYPE_COUNT] = {
    [TN_DTYPE_BOOL] = IN_BOOL,   [TN_DTYPE_INT8] = IN_INT,    [TN_DTYPE_INT16] = IN_INT,
    [TN_DTYPE_INT32] = IN_INT,   [TN_DTYPE_INT64] = IN_INT64, [TN_DTYPE_UINT8] = IN_UINT,
    [TN_DTYPE_UINT16] = IN_UINT, [TN_DTYPE_UINT32] = IN_UINT, [TN_DTYPE_UINT64] = IN_UINT64,
    [TN_DTYPE_FP32] = IN_FP32,   [TN_DTYPE_FP64] = IN_FP64,   [TN_DTYPE_BYTES] = IN_BYTES,
};
static const char *const member_names[] = {
    "none",           "bool_contents", "int_contents",
    "int64_contents", "uint_contents", "uint64_contents",
    "fp32_contents",  "fp64_contents", "bytes_contents",
};

struct member_view {
    const void *data;
    size_t count;
};

static struct member_view view_of(const struct tn_oip_infer_tensor_contents *typed,
                                  enum member member)
{
    switch (member) {
    case IN_BOOL:
        return (struct member_view){typed->bool_contents, typed->bool_contents_count};
    case IN_INT:
        return (struct member_view){typed->int_contents, typed->int_contents_count};
    case IN_INT64:
        return (struct member_view){typed->int64_contents, typed->int64_contents_count};
    case IN_UINT:
        return (struct member_view){typed->uint_contents, typed->uint_contents_count};
    case IN_UINT64:
        return (struct member_view){typed->uint64_contents, typed->uint64_contents_count};
    case IN_FP32:
        return (struct member_view){typed->fp32_contents, typed->fp32_contents_count};
    case IN_FP64:
        return (struct member_view){typed->fp64_contents, typed->fp64_contents_count};
    case IN_BYTES:
        return (struct member_view){typed->bytes_contents, typed->bytes_contents_count};
    default:
        return (struct member_view){NULL, 0};
    }
}

static enum tn_err out_of_range(const struct tn_contents *contents, size_t index)
{
    return tn_fault_set(contents->fault, TN_INVALID,
                        "element %zu of input '%.*s' is outside the range of %s", index,
                        TN_STR_ARG(contents->tensor->name), tn_dtype_name(contents->tensor->dtype));
}

/* INT8, INT16, UINT8 and UINT16 travel in 32 bits. */
static enum tn_err narrow(const struct tn_contents *contents, struct member_view view,
                          bool is_signed)
{
    size_t each = tn_dtype_size(contents->tensor->dtype);
    uint8_t *out = tn_arena_take(contents->arena, view.count * each + 1, 64);
    if (out == NULL) {
        return no_memory(contents, view.count * each);
    }
    for (size_t i = 0; i < view.count; i++) {
        uint32_t bits = 0;
        memcpy(&bits, (const uint8_t *)view.data + 4 * i, sizeof(bits));
        unsigned width = 8 * (unsigned)each;
        int64_t value = is_signed ? (int64_t)(int32_t)bits : (int64_t)bits;
        int64_t min = is_signed ? -(INT64_C(1) << (width - 1)) : 0;
        int64_t max = (INT64_C(1) << (is_signed ? width - 1 : width)) - 1;
        if (value < min || value > max) {
            return out_of_range(contents, i);
        }
        memcpy(out + i * each, &bits, each);
    }
    contents->tensor->data = tn_bytes_make(out, view.count * each);
    return TN_OK;
}

static enum tn_err join_bytes(const struct tn_contents *contents, const struct tn_bytes *items,
                              size_t count)
{
    uint64_t size = 0;
    for (size_t i = 0; i < count; i++) {
        if (items[i].size > UINT32_MAX) {
            return out_of_range(contents, i);
        }
        size += 4 + items[i].size;
    }
    uint8_t *out = tn_arena_take(contents->arena, size + 1, 64);
    if (out == NULL) {
        return no_memory(contents, size);
    }
    uint8_t *at = out;
    for (size_t i = 0; i < count; i++) {
        tn_store_le32(at, (uint32_t)items[i].size);
        if (items[i].size > 0) {
            memcpy(at + 4, items[i].data, items[i].size);
        }
        at += 4 + items[i].size;
    }
    contents->tensor->data = tn_bytes_make(out, (size_t)size);
    return TN_OK;
}

static enum tn_err check_members(const struct tn_contents *contents,
                                 const struct tn_oip_infer_tensor_contents *typed,
                                 enum member member, uint64_t elements)
{
    const struct tn_tensor *tensor = contents->tensor;
    for (enum member other = IN_BOOL; other <= IN_BYTES; other++) {
        if (other != member && view_of(typed, other).count > 0) {
            return tn_fault_set(contents->fault, TN_INVALID,
                                "input '%.*s' of datatype %s must use %s, not %s",
                                TN_STR_ARG(tensor->name), tn_dtype_name(tensor->dtype),
                                member_names[member], member_names[other]);
        }
    }
    size_t count = view_of(typed, member).count;
    if (count != elements) {
        return tn_fault_set(contents->fault, TN_INVALID,
                            "input '%.*s' has %zu elements in %s, its shape needs %" PRIu64,
                            TN_STR_ARG(tensor->name), count, member_names[member], elements);
    }
    return TN_OK;
}

enum tn_err tn_contents_typed(const struct tn_contents *contents,
                              const struct tn_oip_infer_tensor_contents *typed)
{
    static const struct tn_oip_infer_tensor_contents none;
    struct tn_tensor *tensor = contents->tensor;
    enum member member = members[tensor->dtype];
    uint64_t elements = 0;
    if (tn_shape_elements(&tensor->shape, &elements) != TN_OK) {
        return tn_fault_set(contents->fault, TN_INVALID,
                            "the shape of input '%.*s' is negative or too large",
                            TN_STR_ARG(tensor->name));
    }
    if (member == IN_NONE && elements > 0) {
        return tn_fault_set(contents->fault, TN_INVALID,
                            "input '%.*s' of datatype %s must be sent in raw_input_contents",
                            TN_STR_ARG(tensor->name), tn_dtype_name(tensor->dtype));
    }
    typed = typed != NULL ? typed : &none;
    enum tn_err err = check_members(contents, typed, member, elements);
    if (err != TN_OK) {
        return err;
    }
    struct member_view view = view_of(typed, member);
    size_t each = tn_dtype_size(tensor->dtype);
    if (member == IN_BYTES) {
        return join_bytes(contents, view.data, view.count);
    }
    if ((member == IN_INT || member == IN_UINT) && each < 4) {
        return narrow(contents, view, member == IN_INT);
    }
    tensor->data = tn_bytes_make(view.data, view.count * each);
    return TN_OK;
}

/* --- Classification --- */
bool tn_classes_known(enum tn_dtype dtype)
{
    return dtype != TN_DTYPE_INVALID && dtype != TN_DTYPE_BYTES && dtype != TN_DTYPE_BOOL &&
           dtype != TN_DTYPE_FP16 && dtype != TN_DTYPE_BF16;
}

/* The order of classes needs no more than a double holds; the text is made from the element. */
static double score_at(const struct tn_tensor *tensor, size_t index)
{
    union {
        float f32;
        double f64;
        uint64_t u64;
    } value = {.u64 = 0};
    size_t each = tn_dtype_size(tensor->dtype);
    memcpy(&value, tensor->data.data + index * each, each);
    switch (tensor->dtype) {
    case TN_DTYPE_FP32:
        return (double)value.f32;
    case TN_DTYPE_FP64:
        return value.f64;
    case TN_DTYPE_INT8:
        return (double)(int8_t)value.u64;
    case TN_DTYPE_INT16:
        return (double)(int16_t)value.u64;
    case TN_DTYPE_INT32:
        return (double)(int32_t)value.u64;
    case TN_DTYPE_INT64:
        return (double)(int64_t)value.u64;
    default:
        return (double)value.u64;
    }
}

static size_t print_class(const struct tn_tensor *tensor, size_t index, size_t class_index,
                          const struct tn_entry_labels *labels, char *out, size_t room)
{
    struct tn_str label = {0};
    if (class_index < labels->count) {
        label = labels->names[class_index];
    }
    double score = score_at(tensor, index);
    bool whole = tensor->dtype != TN_DTYPE_FP32 && tensor->dtype != TN_DTYPE_FP64;
    int size = snprintf(out, room, whole ? "%.0f:%zu%s%.*s" : "%f:%zu%s%.*s", score, class_index,
                        label.size > 0 ? ":" : "", TN_STR_ARG(label));
    return (size_t)size < room ? (size_t)size : room - 1;
}

/* Is class a better than class b? NaN is worse than everything. */
static bool better(const struct tn_tensor *tensor, size_t row, size_t a, size_t b)
{
    double left = score_at(tensor, row + a);
    double right = score_at(tensor, row + b);
    if (isnan(left) || isnan(right)) {
        return isnan(left) == isnan(right) ? a < b : isnan(right);
    }
    return left != right ? left > right : a < b;
}

struct ranking {
    const struct tn_tensor *tensor;
    size_t row;   /* index of its first element */
    size_t *best; /* a heap of classes, the worst on top */
};

static void sift(const struct ranking *ranking, size_t at, size_t count)
{
    size_t *best = ranking->best;
    for (;;) {
        size_t worst = at;
        for (size_t child = 2 * at + 1; child <= 2 * at + 2 && child < count; child++) {
            if (better(ranking->tensor, ranking->row, best[worst], best[child])) {
                worst = child;
            }
        }
        if (worst == at) {
            return;
        }
        size_t swap = best[at];
        best[at] = best[worst];
        best[worst] = swap;
        at = worst;
    }
}

/* The `count` best of `classes`, best first: n log(count) comparisons, whatever their order. */
static void rank(const struct ranking *ranking, size_t classes, size_t count)
{
    size_t *best = ranking->best;
    for (size_t i = 0; i < count; i++) {
        best[i] = i;
    }
    for (size_t i = count / 2; i > 0; i--) {
        sift(ranking, i - 1, count);
    }
    for (size_t i = count; count > 0 && i < classes; i++) {
        if (better(ranking->tensor, ranking->row, i, best[0])) {
            best[0] = i;
            sift(ranking, 0, count);
        }
    }
    for (size_t left = count; left > 1; left--) {
        size_t worst = best[0];
        best[0] = best[left - 1];
        best[left - 1] = worst;
        sift(ranking, 0, left - 1);
    }
}

enum { CLASS_TEXT_MAX = 400 };

enum tn_err tn_contents_classify(const struct tn_contents *contents, size_t count, bool batched,
                                 const struct tn_entry_labels *labels)
{
    struct tn_tensor *tensor = contents->tensor;
    size_t total = tensor->data.size / tn_dtype_size(tensor->dtype);
    size_t rows = batched && tensor->shape.rank > 0 ? (size_t)tensor->shape.dims[0] : 1;
    size_t classes = rows > 0 ? total / rows : 0;
    count = count < classes ? count : classes;
    size_t *best = TN_ARENA_ARRAY(contents->arena, size_t, count + 1);
    size_t room = rows * count * (CLASS_TEXT_MAX + 4);
    uint8_t *out = tn_arena_take(contents->arena, room + 1, 64);
    if (best == NULL || out == NULL) {
        return no_memory(contents, room);
    }
    uint8_t *at = out;
    for (size_t row = 0; row < rows; row++) {
        rank(&(struct ranking){tensor, row * classes, best}, classes, count);
        for (size_t i = 0; i < count; i++) {
            size_t size = print_class(tensor, row * classes + best[i], best[i], labels,
                                      (char *)at + 4, CLASS_TEXT_MAX);
            tn_store_le32(at, (uint32_t)size);
            at += 4 + size;
        }
    }
    tn_block_unref(tensor->owner);
    tensor->owner = NULL;
    tensor->dtype = TN_DTYPE_BYTES;
    tensor->data = tn_bytes_make(out, (size_t)(at - out));
    tensor->shape = batched ? (struct tn_shape){{(int64_t)rows, (int64_t)count}, 2}
                            : (struct tn_shape){{(int64_t)count}, 1};
    return TN_OK;
}
