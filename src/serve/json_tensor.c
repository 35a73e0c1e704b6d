/* JSON arrays to tensor bytes and back: see json_tensor.h. */
#include "serve/json_tensor.h"

#include "core/assert.h"
#include "core/utf8.h"

#include <inttypes.h>
#include <math.h>

static const uint8_t json_elements[TN_DTYPE_COUNT] = {
    [TN_DTYPE_BOOL] = TN_JSON_BOOL,     [TN_DTYPE_UINT8] = TN_JSON_UINT8,
    [TN_DTYPE_UINT16] = TN_JSON_UINT16, [TN_DTYPE_UINT32] = TN_JSON_UINT32,
    [TN_DTYPE_UINT64] = TN_JSON_UINT64, [TN_DTYPE_INT8] = TN_JSON_INT8,
    [TN_DTYPE_INT16] = TN_JSON_INT16,   [TN_DTYPE_INT32] = TN_JSON_INT32,
    [TN_DTYPE_INT64] = TN_JSON_INT64,   [TN_DTYPE_FP32] = TN_JSON_FP32,
    [TN_DTYPE_FP64] = TN_JSON_FP64,
};

static enum tn_err wrong_json(const struct tn_json *reader, const struct tn_tensor *tensor,
                              struct tn_fault *fault)
{
    struct tn_json_position at = tn_json_at(reader);
    return tn_fault_set(
        fault, TN_INVALID,
        "the %s data of '%.*s', line %zu column %zu: %s (NaN, infinities and 16-bit "
        "floats need the binary data extension)",
        tn_dtype_name(tensor->dtype), TN_STR_ARG(tensor->name), at.line, at.column,
        reader->fault != NULL ? reader->fault : "not such an array");
}

static enum tn_err wrong_count(const struct tn_tensor *tensor, uint64_t have, uint64_t want,
                               struct tn_fault *fault)
{
    return tn_fault_set(
        fault, TN_INVALID, "the data of '%.*s' has %s%" PRIu64 " elements, its shape %" PRIu64,
        TN_STR_ARG(tensor->name), have > want ? "more than " : "", have > want ? want : have, want);
}

static uint8_t *take_room(struct tn_arena *arena, uint64_t size, const struct tn_tensor *tensor,
                          struct tn_fault *fault)
{
    uint8_t *out = tn_arena_take(arena, size > 0 ? size : 1, 64);
    if (out == NULL) {
        tn_fault_set(fault, TN_NOMEM, "no memory for %" PRIu64 " bytes of '%.*s'", size,
                     TN_STR_ARG(tensor->name));
    }
    return out;
}

static enum tn_err read_numbers(struct tn_json *reader, struct tn_tensor *tensor, uint64_t elements,
                                struct tn_arena *arena, struct tn_fault *fault)
{
    uint64_t size = elements * tn_dtype_size(tensor->dtype);
    uint8_t *out = take_room(arena, size, tensor, fault);
    if (out == NULL) {
        return TN_NOMEM;
    }
    struct tn_json_numbers into = {.element = json_elements[tensor->dtype],
                                   .out = out,
                                   .count_max = elements,
                                   .dims = tensor->shape.dims,
                                   .rank = tensor->shape.rank};
    if (tn_json_read_numbers(reader, &into) != TN_OK) {
        return wrong_json(reader, tensor, fault);
    }
    tensor->data = tn_bytes_make(out, size);
    return TN_OK;
}

static enum tn_err put_string(struct tn_json *reader, struct tn_arena *arena, uint8_t **out)
{
    struct tn_str text;
    enum tn_err err = tn_json_text(reader, arena, &text);
    if (err != TN_OK || text.size > UINT32_MAX) {
        return err != TN_OK ? err : TN_LIMIT;
    }
    tn_store_le32(*out, (uint32_t)text.size);
    if (text.size > 0) {
        memcpy(*out + 4, text.data, text.size);
    }
    *out += 4 + text.size;
    return TN_OK;
}

/* Escapes only shrink, so the text that is left bounds the bytes. */
static enum tn_err read_strings(struct tn_json *reader, struct tn_tensor *tensor, uint64_t elements,
                                struct tn_arena *arena, struct tn_fault *fault)
{
    struct tn_json ahead = *reader;
    if (tn_json_skip(&ahead) != TN_OK) {
        return wrong_json(&ahead, tensor, fault);
    }
    uint64_t room = (uint64_t)(ahead.at - reader->at) + 4 * elements;
    uint8_t *out = take_room(arena, room, tensor, fault);
    if (out == NULL) {
        return TN_NOMEM;
    }
    uint8_t *at = out;
    uint64_t count = 0;
    uint32_t depth = reader->depth;
    while (reader->depth >= depth) {
        enum tn_err err = tn_json_next(reader);
        if (err == TN_OK && reader->event == TN_JSON_STRING) {
            err = ++count <= elements ? put_string(reader, arena, &at) : TN_OK;
        } else if (err == TN_OK && reader->event != TN_JSON_ARRAY &&
                   reader->event != TN_JSON_ARRAY_END) {
            err = tn_json_fail(reader, TN_INVALID, "only strings and arrays of them");
        }
        if (err != TN_OK) {
            return wrong_json(reader, tensor, fault);
        }
    }
    if (count != elements) {
        return wrong_count(tensor, count, elements, fault);
    }
    tensor->data = tn_bytes_make(out, (size_t)(at - out));
    return TN_OK;
}

enum tn_err tn_json_tensor_read(struct tn_json *reader, struct tn_tensor *tensor,
                                struct tn_arena *arena, struct tn_fault *fault)
{
    TN_ASSERT(reader->event == TN_JSON_ARRAY);

    uint64_t elements = 0;
    if (tensor->dtype == TN_DTYPE_FP16 || tensor->dtype == TN_DTYPE_BF16) {
        return tn_fault_set(fault, TN_INVALID,
                            "'%.*s' is %s, which has no JSON form: use the binary data extension",
                            TN_STR_ARG(tensor->name), tn_dtype_name(tensor->dtype));
    }
    if (tn_shape_elements(&tensor->shape, &elements) != TN_OK) {
        return tn_fault_set(fault, TN_INVALID, "the shape of '%.*s' is negative or too large",
                            TN_STR_ARG(tensor->name));
    }
    /* An element takes two characters at least, but for the last. */
    if (elements > (uint64_t)(reader->end - reader->at) / 2 + 1) {
        return tn_fault_set(fault, TN_INVALID,
                            "the data of '%.*s' has fewer elements than its shape, %" PRIu64,
                            TN_STR_ARG(tensor->name), elements);
    }
    return tensor->dtype == TN_DTYPE_BYTES ? read_strings(reader, tensor, elements, arena, fault)
                                           : read_numbers(reader, tensor, elements, arena, fault);
}

/* --- Writing --- */
static enum tn_err no_json(const struct tn_tensor *tensor, const char *why, struct tn_fault *fault)
{
    return tn_fault_set(fault, TN_UNSUPPORTED,
                        "output '%.*s' %s: ask for it with the binary data extension "
                        "(parameter binary_data)",
                        TN_STR_ARG(tensor->name), why);
}

static enum tn_err write_strings(const struct tn_tensor *tensor, struct tn_json_writer *writer,
                                 struct tn_fault *fault)
{
    const uint8_t *at = tensor->data.data;
    const uint8_t *end = at + tensor->data.size;
    while (end - at >= 4) {
        size_t size = tn_load_le32(at);
        at += 4;
        struct tn_str text = tn_str_make((const char *)at, size);
        if (size > (size_t)(end - at) || !tn_utf8_valid(text)) {
            return no_json(tensor, "holds bytes that are not UTF-8", fault);
        }
        tn_json_put_str(writer, text);
        at += size;
    }
    return TN_OK;
}

static int64_t load_signed(const uint8_t *at, size_t size)
{
    uint64_t bits = 0;
    memcpy(&bits, at, size);
    unsigned shift = 64 - 8 * (unsigned)size;
    return (int64_t)(bits << shift) >> shift;
}

static uint64_t load_unsigned(const uint8_t *at, size_t size)
{
    uint64_t bits = 0;
    memcpy(&bits, at, size);
    return bits;
}

/* False: JSON has no word for it. */
static bool write_number(enum tn_dtype dtype, const uint8_t *at, size_t size,
                         struct tn_json_writer *writer)
{
    float single = 0.0F;
    double wide = 0.0;
    switch (dtype) {
    case TN_DTYPE_FP32:
        memcpy(&single, at, sizeof(single));
        tn_json_put_float(writer, single);
        return isfinite(single);
    case TN_DTYPE_FP64:
        memcpy(&wide, at, sizeof(wide));
        tn_json_put_double(writer, wide);
        return isfinite(wide);
    case TN_DTYPE_BOOL:
        tn_json_put_bool(writer, *at != 0);
        return true;
    case TN_DTYPE_INT8:
    case TN_DTYPE_INT16:
    case TN_DTYPE_INT32:
    case TN_DTYPE_INT64:
        tn_json_put_int64(writer, load_signed(at, size));
        return true;
    default:
        tn_json_put_uint64(writer, load_unsigned(at, size));
        return true;
    }
}

enum tn_err tn_json_tensor_write(const struct tn_tensor *tensor, struct tn_json_writer *writer,
                                 struct tn_fault *fault)
{
    if (tensor->dtype == TN_DTYPE_FP16 || tensor->dtype == TN_DTYPE_BF16) {
        tn_json_put_null(writer); /* what is begun must stay JSON, also when it is thrown away */
        return no_json(tensor, "is a 16-bit float, which has no JSON form", fault);
    }
    tn_json_open_array(writer);
    enum tn_err err = TN_OK;
    if (tensor->dtype == TN_DTYPE_BYTES) {
        err = write_strings(tensor, writer, fault);
    } else {
        size_t size = tn_dtype_size(tensor->dtype);
        for (size_t at = 0; err == TN_OK && at + size <= tensor->data.size; at += size) {
            if (!write_number(tensor->dtype, tensor->data.data + at, size, writer)) {
                err = no_json(tensor, "holds NaN or an infinity, which JSON cannot say", fault);
            }
        }
    }
    tn_json_close(writer);
    return err;
}
