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

static enum tn_err store_signed(struct tn_json *reader, struct tn_json_numbers *into)
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
    store(into->out, into->count, size, (uint64_t)value);
    return TN_OK;
}

static enum tn_err store_unsigned(struct tn_json *reader, struct tn_json_numbers *into)
{
    uint64_t value = 0;
    size_t size = elements[into->element].size;
    uint64_t highest = into->element == TN_JSON_BOOL ? 1 : UINT64_MAX >> (64 - size * 8);
    enum tn_err err = tn_number_uint64(&reader->number, &value);
    if (err != TN_OK || value > highest) {
        return fail_integer(reader, err != TN_OK ? err : TN_LIMIT);
    }
    store(into->out, into->count, size, value);
    return TN_OK;
}

static inline enum tn_err store_float(struct tn_json *reader, struct tn_json_numbers *into)
{
    bool infinite = false;
    if (into->element == TN_JSON_FP32) {
        float value = tn_number_float(&reader->number);
        ((float *)into->out)[into->count] = value;
        infinite = __builtin_isinf(value);
    } else {
        double value = tn_number_double(&reader->number);
        ((double *)into->out)[into->count] = value;
        infinite = __builtin_isinf(value);
    }
    return infinite ? fail_integer(reader, TN_LIMIT) : TN_OK;
}

static inline enum tn_err store_number(struct tn_json *reader, struct tn_json_numbers *into)
{
    enum tn_err err = TN_OK;
    switch (elements[into->element].class) {
    case CLASS_FLOAT:
        err = store_float(reader, into);
        break;
    case CLASS_SIGNED:
        err = store_signed(reader, into);
        break;
    default:
        err = store_unsigned(reader, into);
        break;
    }
    into->count += err == TN_OK ? 1 : 0;
    return err;
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

/* Where the reader stands inside the tensor: level 0 is the outermost array. */
struct nesting {
    uint32_t outside; /* the reader's depth around level 0 */
    bool begun;
    bool nested;                      /* the first thing was an array, so all dimensions show */
    int64_t items[TN_JSON_DEPTH_MAX]; /* so far, by level */
};

static enum tn_err fail_shape(struct tn_json *reader)
{
    return tn_json_fail(reader, TN_INVALID, "the array is neither flat nor nested as the shape is");
}

static enum tn_err open_level(struct tn_json *reader, const struct tn_json_numbers *into,
                              struct nesting *nesting)
{
    uint32_t level = reader->depth - nesting->outside - 1;
    if (into->dims == NULL) {
        return TN_OK;
    }
    if (!nesting->begun) {
        nesting->begun = true;
        nesting->nested = true;
    }
    if (!nesting->nested || level >= into->rank) {
        return fail_shape(reader);
    }
    nesting->items[level - 1]++;
    nesting->items[level] = 0;
    return TN_OK;
}

static enum tn_err close_level(struct tn_json *reader, const struct tn_json_numbers *into,
                               struct nesting *nesting)
{
    uint32_t level = reader->depth - nesting->outside;
    if (into->dims == NULL) {
        return TN_OK;
    }
    if (nesting->nested && nesting->items[level] != into->dims[level]) {
        return fail_shape(reader);
    }
    if (level == 0 && into->count != into->count_max) {
        return tn_json_fail(reader, TN_INVALID, "fewer elements than the shape has");
    }
    return TN_OK;
}

/* Whether numbers may stand at this level. */
static enum tn_err begin_numbers(struct tn_json *reader, const struct tn_json_numbers *into,
                                 struct nesting *nesting)
{
    nesting->begun = true;
    bool innermost = reader->depth - nesting->outside == into->rank;
    return into->dims != NULL && nesting->nested && !innermost ? fail_shape(reader) : TN_OK;
}

static enum tn_err store_value(struct tn_json *reader, struct tn_json_numbers *into)
{
    enum tn_json_event event = reader->event;
    bool truth = event == TN_JSON_TRUE || event == TN_JSON_FALSE;
    if (event != TN_JSON_NUMBER && !(truth && into->element == TN_JSON_BOOL)) {
        return tn_json_fail(reader, TN_INVALID, "only elements of the tensor's type belong here");
    }
    if (into->count == into->count_max) {
        return tn_json_fail(reader, TN_LIMIT, "more elements than the shape has");
    }
    if (truth) {
        store(into->out, into->count++, 1, event == TN_JSON_TRUE);
        return TN_OK;
    }
    return store_number(reader, into);
}

/* The value just delivered and the numbers behind it. */
static enum tn_err read_run(struct tn_json *reader, struct tn_json_numbers *into,
                            struct nesting *nesting)
{
    size_t before = into->count;
    enum tn_err err = begin_numbers(reader, into, nesting);
    if (err == TN_OK) {
        err = store_value(reader, into);
    }
    while (err == TN_OK && into->count < into->count_max && take_quickly(reader)) {
        err = store_number(reader, into);
    }
    nesting->items[reader->depth - nesting->outside - 1] += (int64_t)(into->count - before);
    return err;
}

enum tn_err tn_json_read_numbers(struct tn_json *reader, struct tn_json_numbers *into)
{
    TN_ASSERT(reader->event == TN_JSON_ARRAY);
    TN_ASSERT(into->rank < TN_JSON_DEPTH_MAX);

    struct nesting nesting = {.outside = reader->depth - 1};
    into->count = 0;
    while (reader->depth > nesting.outside) {
        enum tn_err err = tn_json_next(reader);
        if (err != TN_OK) {
            return err;
        }
        if (reader->event == TN_JSON_ARRAY) {
            err = open_level(reader, into, &nesting);
        } else if (reader->event == TN_JSON_ARRAY_END) {
            err = close_level(reader, into, &nesting);
        } else {
            err = read_run(reader, into, &nesting);
        }
        if (err != TN_OK) {
            return err;
        }
    }
    return TN_OK;
}
