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
    return (size_t)((63 - __builtin_clzll(value | 1)) * 9 + 73) >> 6;
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

static inline struct values field_values(const struct tn_pb_field *field, const uint8_t *object)
{
    const uint8_t *slot = object + field->offset;
    const uint8_t *aux = object + field->aux;
    switch (field->label) {
    case TN_PB_SINGULAR:
        return (struct values){slot, is_set(field, slot)};
    case TN_PB_OPTIONAL:
        return (struct values){slot, *(const bool *)aux};
    case TN_PB_ONEOF:
        return (struct values){slot, *(const uint32_t *)aux == field->number};
    case TN_PB_ALWAYS:
        return (struct values){slot, 1};
    default:
        return (struct values){*(const uint8_t *const *)slot, *(const size_t *)aux};
    }
}

/* A nested message stands in an array by value and elsewhere by pointer; a member of a oneof or map
 * entry that is NULL counts as empty. */
static inline const uint8_t *nested_object(const struct tn_pb_field *field, const uint8_t *slot)
{
    return field->label >= TN_PB_REPEATED ? slot : *(const uint8_t *const *)slot;
}

static size_t object_size(const struct tn_pb_message *message, const uint8_t *object,
                          uint32_t depth);

/* One value without its tag. */
static inline size_t value_size(const struct tn_pb_field *field, const uint8_t *slot,
                                uint32_t depth)
{
    size_t size = 0;
    switch (field->wire) {
    case TN_PB_WIRE_32:
        return 4;
    case TN_PB_WIRE_64:
        return 8;
    case TN_PB_WIRE_VARINT:
        return varint_size(load_scalar(field, slot));
    default:
        size = is_view(field) ? view_size(slot)
                              : object_size(field->message, nested_object(field, slot), depth + 1);
        return size + varint_size(size);
    }
}

static size_t object_size(const struct tn_pb_message *message, const uint8_t *object,
                          uint32_t depth)
{
    TN_ASSERT(depth <= TN_PB_DEPTH_MAX);

    size_t total = 0;
    if (object == NULL) {
        return 0;
    }
    for (size_t k = 0; k < message->field_count; k++) { /* `fields` is NULL where there are none */
        const struct tn_pb_field *field = &message->fields[k];
        struct values values = field_values(field, object);
        if (values.count == 0) {
            continue;
        }
        size_t size = 0;
        for (size_t i = 0; i < values.count; i++) {
            size += value_size(field, values.items + i * field->width, depth);
        }
        if (field->label == TN_PB_PACKED) {
            total += field->tag_size + varint_size(size) + size;
        } else {
            total += values.count * field->tag_size + size;
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
    while (value >= 0x80) {
        *at++ = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    *at++ = (uint8_t)value;
    return at;
}

/* Tag and length in front of what has just been written. */
static inline void put_head(struct output *out, const struct tn_pb_field *field, size_t size)
{
    uint8_t *at = put_room(out, field->tag_size + varint_size(size));
    at = write_varint(at, (uint64_t)field->number << 3 | TN_PB_WIRE_LEN);
    write_varint(at, size);
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
    const uint8_t *end = out->at;
    if (field->wire != TN_PB_WIRE_LEN) {
        put_scalar(out, field, slot);
        write_varint(put_room(out, field->tag_size), (uint64_t)field->number << 3 | field->wire);
        return;
    }
    if (field->kind == TN_PB_MESSAGE) {
        put_object(out, field->message, nested_object(field, slot));
    } else {
        size_t size = view_size(slot);
        uint8_t *at = put_room(out, size);
        if (size > 0) {
            memcpy(at, ((const struct tn_bytes *)slot)->data, size);
        }
    }
    put_head(out, field, (size_t)(end - out->at));
}

static void put_packed(struct output *out, const struct tn_pb_field *field, struct values values)
{
    const uint8_t *end = out->at;
    for (size_t i = values.count; i > 0; i--) {
        put_scalar(out, field, values.items + (i - 1) * field->width);
    }
    put_head(out, field, (size_t)(end - out->at));
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
        struct values values = field_values(field, object);
        if (field->label == TN_PB_PACKED && values.count > 0) {
            put_packed(out, field, values);
            continue;
        }
        for (size_t k = values.count; k > 0; k--) {
            put_value(out, field, values.items + (k - 1) * field->width);
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
