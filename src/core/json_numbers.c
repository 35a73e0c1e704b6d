/* Arrays of numbers straight into a tensor: the one place where JSON is large. Nested arrays only
 * change how deep the reader stands. A [1,3,224,224] body of floats (1.5 MB) takes 2 to 4 ms. */
#include "core/assert.h"
#include "core/json.h"

enum element_class { CLASS_SIGNED, CLASS_UNSIGNED, CLASS_FLOAT, CLASS_BOOL };

static const struct {
    uint8_t class;
    uint8_t size;
} elements[] = {
    [TN_JSON_BOOL] = {CLASS_BOOL, 1},       [TN_JSON_INT8] = {CLASS_SIGNED, 1},
    [TN_JSON_INT16] = {CLASS_SIGNED, 2},    [TN_JSON_INT32] = {CLASS_SIGNED, 4},
    [TN_JSON_INT64] = {CLASS_SIGNED, 8},    [TN_JSON_UINT8] = {CLASS_UNSIGNED, 1},
    [TN_JSON_UINT16] = {CLASS_UNSIGNED, 2}, [TN_JSON_UINT32] = {CLASS_UNSIGNED, 4},
    [TN_JSON_UINT64] = {CLASS_UNSIGNED, 8}, [TN_JSON_FP32] = {CLASS_FLOAT, 4},
    [TN_JSON_FP64] = {CLASS_FLOAT, 8},
};

static void store(void *out, size_t index, size_t size, uint64_t value)
{
    switch (size) {
    case 1:
        ((uint8_t *)out)[index] = (uint8_t)value;
        return;
    case 2:
        ((uint16_t *)out)[index] = (uint16_t)value;
        return;
    case 4:
        ((uint32_t *)out)[index] = (uint32_t)value;
        return;
    default:
        ((uint64_t *)out)[index] = value;
        return;
    }
}

static enum tn_err fail_integer(struct tn_json *reader, enum tn_err err)
{
    return tn_json_fail(reader, err,
                        err == TN_LIMIT ? "the number is out of the type's range"
                                        : "an integer is expected here");
}

static enum tn_err store_signed(struct tn_json *reader, const struct tn_json_numbers *into,
                                size_t index)
{
    int64_t value = 0;
    size_t size = elements[into->element].size;
    enum tn_err err = tn_number_int64(&reader->number, &value);
    if (err != TN_OK) {
        return fail_integer(reader, err);
    }
    int64_t highest = (int64_t)(UINT64_MAX >> (65 - size * 8));
    if (value > highest || value < -highest - 1) {
        return fail_integer(reader, TN_LIMIT);
    }
    store(into->out, index, size, (uint64_t)value);
    return TN_OK;
}

static enum tn_err store_unsigned(struct tn_json *reader, const struct tn_json_numbers *into,
                                  size_t index)
{
    uint64_t value = 0;
    size_t size = elements[into->element].size;
    uint64_t highest = into->element == TN_JSON_BOOL ? 1 : UINT64_MAX >> (64 - size * 8);
    enum tn_err err = tn_number_uint64(&reader->number, &value);
    if (err != TN_OK || value > highest) {
        return fail_integer(reader, err != TN_OK ? err : TN_LIMIT);
    }
    store(into->out, index, size, value);
    return TN_OK;
}

static inline enum tn_err store_float(struct tn_json *reader, const struct tn_json_numbers *into,
                                      size_t index)
{
    bool infinite = false;
    if (into->element == TN_JSON_FP32) {
        float value = tn_number_float(&reader->number);
        ((float *)into->out)[index] = value;
        infinite = __builtin_isinf(value);
    } else {
        double value = tn_number_double(&reader->number);
        ((double *)into->out)[index] = value;
        infinite = __builtin_isinf(value);
    }
    return infinite ? fail_integer(reader, TN_LIMIT) : TN_OK;
}

static inline enum tn_err store_number(struct tn_json *reader, const struct tn_json_numbers *into,
                                       size_t index)
{
    switch (elements[into->element].class) {
    case CLASS_FLOAT:
        return store_float(reader, into, index);
    case CLASS_SIGNED:
        return store_signed(reader, into, index);
    default:
        return store_unsigned(reader, into, index);
    }
}

/* The number after the comma where the reader stands, when it can be had without the machine: no
 * spaces but one after the comma. Otherwise nothing has happened and tn_json_next decides. */
static inline bool take_quickly(struct tn_json *reader)
{
    const char *at = reader->at;
    if (reader->end - at < 2 || *at != ',') {
        return false;
    }
    at += at[1] == ' ' ? 2 : 1;
    struct tn_str rest = tn_str_make(at, (size_t)(reader->end - at));
    if (tn_number_scan(rest, &reader->number) != TN_OK) {
        return false;
    }
    reader->at = at + reader->number.text.size;
    return true;
}

static enum tn_err store_event(struct tn_json *reader, const struct tn_json_numbers *into,
                               size_t *count)
{
    enum tn_json_event event = reader->event;
    bool truth = event == TN_JSON_TRUE || event == TN_JSON_FALSE;
    if (event == TN_JSON_ARRAY || event == TN_JSON_ARRAY_END) {
        return TN_OK;
    }
    if (event != TN_JSON_NUMBER && !(truth && into->element == TN_JSON_BOOL)) {
        return tn_json_fail(reader, TN_INVALID, "only elements of the tensor's type belong here");
    }
    if (*count == into->count_max) {
        return tn_json_fail(reader, TN_LIMIT, "more elements than the shape has");
    }
    if (truth) {
        store(into->out, (*count)++, 1, event == TN_JSON_TRUE);
        return TN_OK;
    }
    return store_number(reader, into, (*count)++);
}

enum tn_err tn_json_read_numbers(struct tn_json *reader, const struct tn_json_numbers *into,
                                 size_t *ret_count)
{
    TN_ASSERT(reader->event == TN_JSON_ARRAY);

    uint32_t outside = reader->depth - 1;
    size_t count = 0;
    while (reader->depth > outside) {
        enum tn_err err = tn_json_next(reader);
        if (err == TN_OK) {
            err = store_event(reader, into, &count);
        }
        while (err == TN_OK && reader->event == TN_JSON_NUMBER && count < into->count_max &&
               take_quickly(reader)) {
            err = store_number(reader, into, count++);
        }
        if (err != TN_OK) {
            return err;
        }
    }
    *ret_count = count;
    return TN_OK;
}
