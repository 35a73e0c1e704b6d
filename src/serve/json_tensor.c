/* JSON arrays to tensor bytes and back: see json_tensor.h.
 * Memory: the caller's arena, one run for the whole tensor. Threads: any. Bounds: the shape. */
#include "serve/json_tensor.h"

#include "base/buf.h"
#include "core/assert.h"
#include "core/utf8.h"
#include "serve/decimal.h"

#include <math.h>

struct reader {
    const char *at;
    const char *end;
    const char *start;
    enum tn_dtype dtype;
    const struct tn_shape *shape;
    uint64_t expected;
    uint64_t count; /* elements so far */
    uint8_t *out;
    uint8_t *out_end;
    struct tn_fault *fault;
};

static void skip_space(struct reader *reader)
{
    while (reader->at < reader->end && (*reader->at == ' ' || *reader->at == '\n' ||
                                        *reader->at == '\r' || *reader->at == '\t')) {
        reader->at++;
    }
}

static enum tn_err refuse(struct reader *reader, enum tn_err err, const char *what)
{
    return tn_fault_set(reader->fault, err, "element %llu of the %s data %s",
                        (unsigned long long)reader->count, tn_dtype_name(reader->dtype), what);
}

static const struct {
    int64_t min;
    uint64_t max;
} integer_range[TN_DTYPE_COUNT] = {
    [TN_DTYPE_UINT8] = {0, UINT8_MAX},         [TN_DTYPE_UINT16] = {0, UINT16_MAX},
    [TN_DTYPE_UINT32] = {0, UINT32_MAX},       [TN_DTYPE_UINT64] = {0, UINT64_MAX},
    [TN_DTYPE_INT8] = {INT8_MIN, INT8_MAX},    [TN_DTYPE_INT16] = {INT16_MIN, INT16_MAX},
    [TN_DTYPE_INT32] = {INT32_MIN, INT32_MAX}, [TN_DTYPE_INT64] = {INT64_MIN, INT64_MAX},
};

static enum tn_err read_integer(struct reader *reader, const struct tn_decimal *decimal)
{
    enum tn_err err = TN_OK;
    uint64_t bits = 0;
    if (integer_range[reader->dtype].min < 0) {
        int64_t value = 0;
        err = tn_decimal_to_i64(decimal, integer_range[reader->dtype].min,
                                (int64_t)integer_range[reader->dtype].max, &value);
        bits = (uint64_t)value;
    } else {
        err = tn_decimal_to_u64(decimal, integer_range[reader->dtype].max, &bits);
    }
    if (err == TN_INVALID) {
        return refuse(reader, TN_INVALID, "is not written as an integer");
    }
    if (err != TN_OK) {
        return refuse(reader, TN_INVALID, "is outside the range of its type");
    }
    /* Little-endian: the low bytes come first, so narrow types are a prefix. */
    uint8_t bytes[8];
    tn_store_le64(bytes, bits);
    size_t size = tn_dtype_size(reader->dtype);
    memcpy(reader->out, bytes, size);
    reader->out += size;
    return TN_OK;
}

static enum tn_err read_number(struct reader *reader)
{
    struct tn_decimal decimal;
    struct tn_str rest = tn_str_make(reader->at, (size_t)(reader->end - reader->at));
    enum tn_err err = tn_decimal_read(rest, &decimal);
    if (err != TN_OK) {
        return refuse(reader, TN_INVALID,
                      "is not a JSON number (NaN and Infinity need the binary data extension)");
    }
    if (reader->dtype == TN_DTYPE_FP32) {
        float value = 0.0F;
        err = tn_decimal_to_f32(&decimal, &value);
        memcpy(reader->out, &value, sizeof(value));
        reader->out += sizeof(value);
    } else if (reader->dtype == TN_DTYPE_FP64) {
        double value = 0.0;
        err = tn_decimal_to_f64(&decimal, &value);
        memcpy(reader->out, &value, sizeof(value));
        reader->out += sizeof(value);
    } else {
        enum tn_err failed = read_integer(reader, &decimal);
        if (failed != TN_OK) {
            return failed;
        }
    }
    if (err != TN_OK) {
        return refuse(reader, TN_INVALID, "is too large for its type");
    }
    reader->at += decimal.size;
    return TN_OK;
}

static enum tn_err read_bool(struct reader *reader)
{
    struct tn_str rest = tn_str_make(reader->at, (size_t)(reader->end - reader->at));
    bool yes = tn_str_starts(rest, TN_STR_OF("true"));
    if (!yes && !tn_str_starts(rest, TN_STR_OF("false"))) {
        return refuse(reader, TN_INVALID, "is neither true nor false");
    }
    *reader->out++ = yes ? 1 : 0;
    reader->at += yes ? 4 : 5;
    return TN_OK;
}

static bool hex4(const char *at, const char *end, uint32_t *ret_value)
{
    if (end - at < 4) {
        return false;
    }
    uint32_t value = 0;
    for (int i = 0; i < 4; i++) {
        char c = at[i];
        uint32_t digit = c >= '0' && c <= '9'   ? (uint32_t)(c - '0')
                         : c >= 'a' && c <= 'f' ? (uint32_t)(c - 'a') + 10
                         : c >= 'A' && c <= 'F' ? (uint32_t)(c - 'A') + 10
                                                : 16;
        if (digit == 16) {
            return false;
        }
        value = value << 4 | digit;
    }
    *ret_value = value;
    return true;
}

static bool read_unicode(struct reader *reader, uint32_t *ret_rune)
{
    uint32_t rune = 0;
    if (!hex4(reader->at, reader->end, &rune)) {
        return false;
    }
    reader->at += 4;
    if (rune >= 0xD800 && rune < 0xDC00) {
        uint32_t low = 0;
        if (reader->end - reader->at < 6 || reader->at[0] != '\\' || reader->at[1] != 'u' ||
            !hex4(reader->at + 2, reader->end, &low) || low < 0xDC00 || low > 0xDFFF) {
            return false;
        }
        reader->at += 6;
        rune = 0x10000 + ((rune - 0xD800) << 10) + (low - 0xDC00);
    } else if (rune >= 0xDC00 && rune < 0xE000) {
        return false;
    }
    *ret_rune = rune;
    return true;
}

/* One escape, after its backslash. */
static bool read_escape(struct reader *reader)
{
    static const char names[] = "\"\\/bfnrt";
    static const char values[] = "\"\\/\b\f\n\r\t";
    if (reader->at >= reader->end) {
        return false;
    }
    char c = *reader->at++;
    if (c == 'u') {
        uint32_t rune = 0;
        if (!read_unicode(reader, &rune)) {
            return false;
        }
        reader->out += tn_utf8_put(reader->out, rune);
        return true;
    }
    const char *found = c != '\0' ? strchr(names, c) : NULL;
    if (found == NULL) {
        return false;
    }
    *reader->out++ = (uint8_t)values[found - names];
    return true;
}

static enum tn_err read_string(struct reader *reader)
{
    if (*reader->at != '"') {
        return refuse(reader, TN_INVALID, "is not a string");
    }
    reader->at++;
    uint8_t *length = reader->out;
    reader->out += 4;
    while (reader->at < reader->end && *reader->at != '"') {
        unsigned char c = (unsigned char)*reader->at++;
        if (c < 0x20) {
            return refuse(reader, TN_INVALID, "holds a control character that is not escaped");
        }
        if (c == '\\') {
            if (!read_escape(reader)) {
                return refuse(reader, TN_INVALID, "holds a wrong escape");
            }
        } else {
            *reader->out++ = c;
        }
    }
    if (reader->at >= reader->end) {
        return refuse(reader, TN_TRUNCATED, "is a string that does not end");
    }
    reader->at++;
    size_t size = (size_t)(reader->out - length) - 4;
    if (size > UINT32_MAX) {
        return refuse(reader, TN_LIMIT, "is longer than 4 GiB");
    }
    if (!tn_utf8_valid(tn_str_make((const char *)length + 4, size))) {
        return refuse(reader, TN_INVALID, "is not UTF-8");
    }
    tn_store_le32(length, (uint32_t)size);
    return TN_OK;
}

static enum tn_err read_element(struct reader *reader)
{
    if (reader->count == reader->expected) {
        return tn_fault_set(reader->fault, TN_INVALID,
                            "the data has more elements than its shape, which has %llu",
                            (unsigned long long)reader->expected);
    }
    enum tn_err err = reader->dtype == TN_DTYPE_BYTES  ? read_string(reader)
                      : reader->dtype == TN_DTYPE_BOOL ? read_bool(reader)
                                                       : read_number(reader);
    if (err == TN_OK) {
        reader->count++;
    }
    return err;
}

/* How many '[' open before the first element: 1 is flat, the rank is nested. */
static enum tn_err find_depth(struct reader *reader, size_t *ret_depth)
{
    const char *start = reader->at;
    size_t depth = 0;
    for (skip_space(reader); reader->at < reader->end && *reader->at == '['; skip_space(reader)) {
        reader->at++;
        depth++;
        if (depth > TN_RANK_MAX) {
            return tn_fault_set(reader->fault, TN_INVALID,
                                "the data is nested deeper than %d levels", TN_RANK_MAX);
        }
    }
    reader->at = start;
    if (depth == 0) {
        return tn_fault_set(reader->fault, TN_INVALID, "the data is not an array");
    }
    if (depth != 1 && depth != reader->shape->rank && reader->expected > 0) {
        return tn_fault_set(reader->fault, TN_INVALID,
                            "the data is nested %zu levels deep: it must be flat, or nested as its "
                            "shape of %zu dimensions",
                            depth, reader->shape->rank);
    }
    *ret_depth = depth;
    return TN_OK;
}

static enum tn_err wrong_nesting(struct reader *reader)
{
    return tn_fault_set(reader->fault, TN_INVALID,
                        "the nesting of the data does not follow its shape (near element %llu)",
                        (unsigned long long)reader->count);
}

/* Opens or closes lists at one place. `items` counts what each open list holds so far. */
struct nesting {
    size_t depth; /* of the innermost lists */
    size_t level; /* open now */
    int64_t items[TN_RANK_MAX + 1];
};

static enum tn_err close_list(struct reader *reader, struct nesting *nesting)
{
    bool nested = nesting->depth > 1;
    if (nested && nesting->items[nesting->level] != reader->shape->dims[nesting->level - 1]) {
        return wrong_nesting(reader);
    }
    nesting->level--;
    reader->at++;
    return TN_OK;
}

static enum tn_err read_value(struct reader *reader, struct nesting *nesting)
{
    nesting->items[nesting->level]++;
    if (*reader->at == '[') {
        if (nesting->level == nesting->depth) {
            return wrong_nesting(reader);
        }
        nesting->level++;
        nesting->items[nesting->level] = 0;
        reader->at++;
        return TN_OK;
    }
    if (nesting->level != nesting->depth) {
        return wrong_nesting(reader);
    }
    return read_element(reader);
}

/* Elements of one dense run inside an innermost list; the common case in a tight loop. */
static enum tn_err read_lists(struct reader *reader, size_t depth)
{
    struct nesting nesting = {.depth = depth, .level = 0};
    bool wants_value = true; /* after '[' (optional) or ',' (demanded) */
    bool after_comma = false;
    do {
        skip_space(reader);
        if (reader->at >= reader->end) {
            return tn_fault_set(reader->fault, TN_TRUNCATED, "the data ends inside its array");
        }
        if (nesting.level > 0 && *reader->at == ']' && !after_comma) {
            enum tn_err err = close_list(reader, &nesting);
            if (err != TN_OK) {
                return err;
            }
            wants_value = false;
            continue;
        }
        if (wants_value) {
            size_t level = nesting.level;
            enum tn_err err = read_value(reader, &nesting);
            if (err != TN_OK) {
                return err;
            }
            wants_value = nesting.level > level;
            after_comma = false;
            continue;
        }
        if (*reader->at != ',') {
            return refuse(reader, TN_INVALID, "is not followed by ',' or ']'");
        }
        reader->at++;
        wants_value = after_comma = true;
    } while (nesting.level > 0);
    return TN_OK;
}

/* Room for the elements. Text of a string never grows when decoded, so the text bounds BYTES. */
static enum tn_err take_room(struct reader *reader, struct tn_arena *arena)
{
    size_t text = (size_t)(reader->end - reader->start);
    size_t each = tn_dtype_size(reader->dtype);
    uint64_t room =
        reader->dtype == TN_DTYPE_BYTES ? text + reader->expected * 4 : reader->expected * each;
    /* Each element takes two characters at least, so a shape far beyond the text is refused
     * before it asks for memory. */
    if (reader->expected > text / 2 + 1) {
        return tn_fault_set(reader->fault, TN_INVALID,
                            "the data has fewer elements than its shape, which has %llu",
                            (unsigned long long)reader->expected);
    }
    reader->out = tn_arena_take(arena, room > 0 ? room : 1, 64);
    if (reader->out == NULL) {
        return tn_fault_set(reader->fault, TN_NOMEM, "no memory for a tensor of %llu bytes",
                            (unsigned long long)room);
    }
    reader->out_end = reader->out + room;
    return TN_OK;
}

enum tn_err tn_json_tensor_read(struct tn_str json, enum tn_dtype dtype,
                                const struct tn_shape *shape, struct tn_arena *arena,
                                struct tn_bytes *ret_data, size_t *ret_size, struct tn_fault *fault)
{
    TN_ASSERT(dtype != TN_DTYPE_INVALID);

    if (dtype == TN_DTYPE_FP16 || dtype == TN_DTYPE_BF16) {
        return tn_fault_set(fault, TN_INVALID,
                            "%s has no JSON form: send it with the binary data extension",
                            tn_dtype_name(dtype));
    }
    struct reader reader = {
        .at = json.data,
        .start = json.data,
        .end = json.data + json.size,
        .dtype = dtype,
        .shape = shape,
        .fault = fault,
    };
    enum tn_err err = tn_shape_elements(shape, &reader.expected);
    if (err != TN_OK) {
        return tn_fault_set(fault, TN_INVALID, "the shape is negative or too large");
    }
    size_t depth = 0;
    if ((err = find_depth(&reader, &depth)) != TN_OK ||
        (err = take_room(&reader, arena)) != TN_OK) {
        return err;
    }
    uint8_t *first = reader.out;
    err = read_lists(&reader, depth);
    if (err != TN_OK) {
        return err;
    }
    TN_ASSERT(reader.out <= reader.out_end);
    if (reader.count != reader.expected) {
        return tn_fault_set(fault, TN_INVALID, "the data has %llu elements, its shape %llu",
                            (unsigned long long)reader.count, (unsigned long long)reader.expected);
    }
    *ret_data = tn_bytes_make(first, (size_t)(reader.out - first));
    *ret_size = (size_t)(reader.at - json.data);
    return TN_OK;
}

static enum tn_err no_json(const struct tn_tensor *tensor, const char *why, struct tn_fault *fault)
{
    return tn_fault_set(fault, TN_UNSUPPORTED,
                        "output '%.*s' %s: ask for it with the binary data extension "
                        "(parameter binary_data)",
                        TN_STR_ARG(tensor->name), why);
}

static void put_string(struct tn_buf *out, struct tn_str text)
{
    static const char hex[] = "0123456789abcdef";
    tn_buf_put_byte(out, '"');
    size_t from = 0;
    for (size_t i = 0; i < text.size; i++) {
        unsigned char c = (unsigned char)text.data[i];
        if (c >= 0x20 && c != '"' && c != '\\') {
            continue;
        }
        tn_buf_put(out, text.data + from, i - from);
        from = i + 1;
        char escape[6] = {'\\', (char)c, '0', '0', hex[c >> 4], hex[c & 15]};
        if (c < 0x20) {
            escape[1] = 'u';
            memcpy(escape + 2, "00", 2);
        }
        tn_buf_put(out, escape, c < 0x20 ? 6 : 2);
    }
    tn_buf_put(out, text.data + from, text.size - from);
    tn_buf_put_byte(out, '"');
}

static enum tn_err write_strings(const struct tn_tensor *tensor, struct tn_buf *out,
                                 struct tn_fault *fault)
{
    const uint8_t *at = tensor->data.data;
    const uint8_t *end = at + tensor->data.size;
    for (bool first = true; end - at >= 4; first = false) {
        size_t size = tn_load_le32(at);
        at += 4;
        if (size > (size_t)(end - at)) {
            return no_json(tensor, "is malformed", fault);
        }
        struct tn_str text = tn_str_make((const char *)at, size);
        if (!tn_utf8_valid(text)) {
            return no_json(tensor, "holds bytes that are not UTF-8", fault);
        }
        if (!first) {
            tn_buf_put_byte(out, ',');
        }
        put_string(out, text);
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

/* One number as text; 0: JSON has no word for it. */
static size_t put_number(enum tn_dtype dtype, const uint8_t *at, size_t size, char *out)
{
    float single = 0.0F;
    double wide = 0.0;
    switch (dtype) {
    case TN_DTYPE_FP32:
        memcpy(&single, at, sizeof(single));
        return isfinite(single) ? tn_decimal_put_f32(single, out) : 0;
    case TN_DTYPE_FP64:
        memcpy(&wide, at, sizeof(wide));
        return isfinite(wide) ? tn_decimal_put_f64(wide, out) : 0;
    case TN_DTYPE_BOOL:
        memcpy(out, *at != 0 ? "true" : "false", 5);
        return *at != 0 ? 4 : 5;
    case TN_DTYPE_INT8:
    case TN_DTYPE_INT16:
    case TN_DTYPE_INT32:
    case TN_DTYPE_INT64:
        return tn_decimal_put_i64(load_signed(at, size), out);
    default:
        return tn_decimal_put_u64(load_unsigned(at, size), out);
    }
}

static enum tn_err write_numbers(const struct tn_tensor *tensor, struct tn_buf *out,
                                 struct tn_fault *fault)
{
    size_t size = tn_dtype_size(tensor->dtype);
    size_t count = tensor->data.size / size;
    for (size_t i = 0; i < count; i++) {
        char *text = (char *)tn_buf_reserve(out, TN_DECIMAL_TEXT_MAX + 1);
        if (text == NULL) {
            break;
        }
        size_t used = 0;
        if (i > 0) {
            text[used++] = ',';
        }
        size_t digits = put_number(tensor->dtype, tensor->data.data + i * size, size, text + used);
        if (digits == 0) {
            return no_json(tensor, "holds NaN or an infinity, which JSON cannot say", fault);
        }
        tn_buf_commit(out, used + digits);
    }
    return TN_OK;
}

enum tn_err tn_json_tensor_write(const struct tn_tensor *tensor, struct tn_buf *out,
                                 struct tn_fault *fault)
{
    if (tensor->dtype == TN_DTYPE_FP16 || tensor->dtype == TN_DTYPE_BF16) {
        return no_json(tensor, "is a 16-bit float, which has no JSON form", fault);
    }
    tn_buf_put_byte(out, '[');
    enum tn_err err = tensor->dtype == TN_DTYPE_BYTES ? write_strings(tensor, out, fault)
                                                      : write_numbers(tensor, out, fault);
    if (err != TN_OK) {
        return err;
    }
    tn_buf_put_byte(out, ']');
    if (out->failed != TN_OK) {
        return tn_fault_set(fault, out->failed, "the answer does not fit its buffer");
    }
    return TN_OK;
}
