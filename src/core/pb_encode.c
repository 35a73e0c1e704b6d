/* Structs to wire, from the last byte to the first: the length of a nested message is known once
 * its content stands, so nothing is remembered between tn_pb_size and tn_pb_encode and no level is
 * measured twice. Recursion follows the caller's own objects and is asserted to end. */
#include "core/pb.h"

#include "core/assert.h"

struct output {
    uint8_t *start;
    uint8_t *at; /* everything from here to the end is written */
    uint32_t depth;
};

/* The values that a field puts on the wire. */
struct values {
    const uint8_t *items;
    size_t count;
};

static inline size_t varint_size(uint64_t value)
{
    if (__builtin_expect(value < 0x80, 1)) {
        return 1;
    }
    return (size_t)((63 - __builtin_clzll(value)) * 9 + 73) >> 6;
}

static inline uint64_t zigzag32(int32_t value)
{
    return ((uint32_t)value << 1) ^ (uint32_t)(value >> 31);
}

static inline uint64_t zigzag64(int64_t value)
{
    return ((uint64_t)value << 1) ^ (uint64_t)(value >> 63);
}

/* A scalar as the number that is written; zero exactly for the default. */
static inline uint64_t load_scalar(const struct tn_pb_field *field, const uint8_t *slot)
{
    switch (field->kind) {
    case TN_PB_BOOL:
        return *(const bool *)slot;
    case TN_PB_INT32:
        return (uint64_t)(int64_t) * (const int32_t *)slot;
    case TN_PB_SINT32:
        return zigzag32(*(const int32_t *)slot);
    case TN_PB_SINT64:
        return zigzag64(*(const int64_t *)slot);
    case TN_PB_UINT32:
    case TN_PB_FIXED32:
        return *(const uint32_t *)slot;
    default:
        return *(const uint64_t *)slot;
    }
}

static inline bool is_view(const struct tn_pb_field *field)
{
    return field->kind == TN_PB_STRING || field->kind == TN_PB_BYTES;
}

static inline size_t view_size(const uint8_t *slot)
{
    return ((const struct tn_bytes *)slot)->size;
}

/* A scalar or text is set when it is not the default, a message when it is there. */
static inline bool is_set(const struct tn_pb_field *field, const uint8_t *slot)
{
    if (is_view(field)) {
        return view_size(slot) != 0;
    }
    if (field->kind == TN_PB_MESSAGE) {
        return *(void *const *)slot != NULL;
    }
    return load_scalar(field, slot) != 0;
}

/* Whether a field that is not repeated goes on the wire. */
static inline bool is_written(const struct tn_pb_field *field, const uint8_t *object)
{
    const uint8_t *aux = object + field->aux;
    switch (field->label) {
    case TN_PB_SINGULAR:
        return is_set(field, object + field->offset);
    case TN_PB_OPTIONAL:
        return *(const bool *)aux;
    case TN_PB_ONEOF:
        return *(const uint32_t *)aux == field->number;
    default:
        return true;
    }
}

static inline bool is_repeated(const struct tn_pb_field *field)
{
    return field->label >= TN_PB_REPEATED;
}

static inline struct values repeated_values(const struct tn_pb_field *field, const uint8_t *object)
{
    return (struct values){*(const uint8_t *const *)(object + field->offset),
                           *(const size_t *)(object + field->aux)};
}

/* A nested message stands in an array by value and elsewhere by pointer; a member of a oneof or map
 * entry that is NULL counts as empty. */
static inline const uint8_t *nested_object(const struct tn_pb_field *field, const uint8_t *slot)
{
    return is_repeated(field) ? slot : *(const uint8_t *const *)slot;
}

static size_t object_size(const struct tn_pb_message *message, const uint8_t *object,
                          uint32_t depth);

static inline size_t with_length(size_t size)
{
    return size + varint_size(size);
}

/* One value without its tag. */
static inline size_t value_size(const struct tn_pb_field *field, const uint8_t *slot,
                                uint32_t depth)
{
    if (field->wire == TN_PB_WIRE_LEN) {
        return with_length(
            is_view(field) ? view_size(slot)
                           : object_size(field->message, nested_object(field, slot), depth + 1));
    }
    if (field->wire == TN_PB_WIRE_VARINT) {
        return varint_size(load_scalar(field, slot));
    }
    return field->wire == TN_PB_WIRE_32 ? 4 : 8;
}

static size_t repeated_size(const struct tn_pb_field *field, struct values values, uint32_t depth)
{
    if (values.count == 0) {
        return 0;
    }
    size_t size = 0;
    if (field->wire == TN_PB_WIRE_32 || field->wire == TN_PB_WIRE_64) {
        size = values.count * field->width;
    } else {
        for (size_t i = 0; i < values.count; i++) {
            size += value_size(field, values.items + i * field->width, depth);
        }
    }
    return field->label == TN_PB_PACKED ? field->tag_size + with_length(size)
                                        : values.count * field->tag_size + size;
}

static size_t object_size(const struct tn_pb_message *message, const uint8_t *object,
                          uint32_t depth)
{
    TN_ASSERT(depth <= TN_PB_DEPTH_MAX);

    size_t total = 0;
    if (object == NULL) {
        return 0;
    }
    for (size_t i = 0; i < message->field_count; i++) { /* `fields` is NULL where there are none */
        const struct tn_pb_field *field = &message->fields[i];
        if (is_repeated(field)) {
            total += repeated_size(field, repeated_values(field, object), depth);
        } else if (is_written(field, object)) {
            total += field->tag_size + value_size(field, object + field->offset, depth);
        }
    }
    return total;
}

size_t tn_pb_size(const struct tn_pb_message *message, const void *object)
{
    return object_size(message, object, 0);
}

/* Asserted each time: an object that changed since it was measured must not write elsewhere. */
static inline uint8_t *put_room(struct output *out, size_t size)
{
    TN_ASSERT((size_t)(out->at - out->start) >= size);
    out->at -= size;
    return out->at;
}

static inline uint8_t *write_varint(uint8_t *at, uint64_t value)
{
    while (__builtin_expect(value >= 0x80, 0)) {
        *at++ = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    *at++ = (uint8_t)value;
    return at;
}

static inline uint8_t *write_tag(uint8_t *at, const struct tn_pb_field *field, uint32_t wire)
{
    return write_varint(at, (uint64_t)field->number << 3 | wire);
}

/* Tag and length in front of what has just been written. */
static inline void put_head(struct output *out, const struct tn_pb_field *field, size_t size)
{
    uint8_t *at = put_room(out, field->tag_size + varint_size(size));
    at = write_tag(at, field, TN_PB_WIRE_LEN);
    write_varint(at, size);
}

/* Names and types are short: two overlapping words are cheaper than a call. */
static inline void copy_bytes(uint8_t *to, const uint8_t *from, size_t size)
{
    if (size > 16) {
        memcpy(to, from, size);
    } else if (size >= 8) {
        uint64_t words[2];
        memcpy(&words[0], from, 8);
        memcpy(&words[1], from + size - 8, 8);
        memcpy(to, &words[0], 8);
        memcpy(to + size - 8, &words[1], 8);
    } else if (size >= 4) {
        uint32_t words[2];
        memcpy(&words[0], from, 4);
        memcpy(&words[1], from + size - 4, 4);
        memcpy(to, &words[0], 4);
        memcpy(to + size - 4, &words[1], 4);
    } else if (size > 0) {
        to[0] = from[0];
        to[size / 2] = from[size / 2];
        to[size - 1] = from[size - 1];
    }
}

static inline void put_view(struct output *out, const struct tn_pb_field *field,
                            const struct tn_bytes *view)
{
    uint8_t *at = put_room(out, field->tag_size + varint_size(view->size) + view->size);
    at = write_tag(at, field, TN_PB_WIRE_LEN);
    at = write_varint(at, view->size);
    copy_bytes(at, view->data, view->size);
}

static inline void put_scalar(struct output *out, const struct tn_pb_field *field,
                              const uint8_t *slot)
{
    uint64_t value = load_scalar(field, slot);
    switch (field->wire) {
    case TN_PB_WIRE_32:
        tn_store_le32(put_room(out, 4), (uint32_t)value);
        return;
    case TN_PB_WIRE_64:
        tn_store_le64(put_room(out, 8), value);
        return;
    default:
        write_varint(put_room(out, varint_size(value)), value);
        return;
    }
}

static void put_object(struct output *out, const struct tn_pb_message *message,
                       const uint8_t *object);

static inline void put_value(struct output *out, const struct tn_pb_field *field,
                             const uint8_t *slot)
{
    if (is_view(field)) {
        put_view(out, field, (const struct tn_bytes *)slot);
    } else if (field->kind == TN_PB_MESSAGE) {
        const uint8_t *end = out->at;
        put_object(out, field->message, nested_object(field, slot));
        put_head(out, field, (size_t)(end - out->at));
    } else {
        put_scalar(out, field, slot);
        write_tag(put_room(out, field->tag_size), field, field->wire);
    }
}

static void put_packed(struct output *out, const struct tn_pb_field *field, struct values values)
{
    const uint8_t *end = out->at;
    bool as_it_is = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ && field->wire != TN_PB_WIRE_VARINT;
    if (values.count == 0) {
        return;
    }
    if (as_it_is) {
        size_t size = values.count * field->width;
        memcpy(put_room(out, size), values.items, size);
    } else {
        for (size_t i = values.count; i > 0; i--) {
            put_scalar(out, field, values.items + (i - 1) * field->width);
        }
    }
    put_head(out, field, (size_t)(end - out->at));
}

static void put_repeated(struct output *out, const struct tn_pb_field *field, struct values values)
{
    if (field->label == TN_PB_PACKED) {
        put_packed(out, field, values);
        return;
    }
    for (size_t i = values.count; i > 0; i--) {
        put_value(out, field, values.items + (i - 1) * field->width);
    }
}

static void put_object(struct output *out, const struct tn_pb_message *message,
                       const uint8_t *object)
{
    TN_ASSERT(out->depth <= TN_PB_DEPTH_MAX);

    if (object == NULL) {
        return;
    }
    out->depth++;
    for (size_t i = message->field_count; i > 0; i--) {
        const struct tn_pb_field *field = &message->fields[i - 1];
        if (is_repeated(field)) {
            put_repeated(out, field, repeated_values(field, object));
        } else if (is_written(field, object)) {
            put_value(out, field, object + field->offset);
        }
    }
    out->depth--;
}

void tn_pb_encode(const struct tn_pb_message *message, const void *object, uint8_t *out,
                  size_t size)
{
    struct output output = {.start = out, .at = out + size};
    put_object(&output, message, object);
    TN_ASSERT(output.at == out);
}

size_t tn_pb_put_head(uint8_t out[TN_PB_HEAD_SIZE_MAX], uint32_t number, size_t size)
{
    uint8_t *at = write_varint(out, (uint64_t)number << 3 | TN_PB_WIRE_LEN);
    return (size_t)(write_varint(at, size) - out);
}
