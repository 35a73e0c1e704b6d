/* Structs to wire, from the last byte to the first: the length of a nested message is known once
 * its content stands, so nothing is remembered between tn_pb_size and tn_pb_encode and no level is
 * measured twice. Recursion follows the caller's own objects and is asserted to end. */
#include "core/pb.h"

#include "core/assert.h"

enum wire { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_LEN = 2, WIRE_32 = 5 };

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
static inline uint64_t load_scalar(uint8_t kind, const uint8_t *slot)
{
    switch (kind) {
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

static inline uint32_t wire_of(uint8_t kind)
{
    switch (kind) {
    case TN_PB_FIXED32:
        return WIRE_32;
    case TN_PB_FIXED64:
        return WIRE_64;
    case TN_PB_STRING:
    case TN_PB_BYTES:
    case TN_PB_MESSAGE:
        return WIRE_LEN;
    default:
        return WIRE_VARINT;
    }
}

static inline size_t slot_size(const struct tn_pb_field *field)
{
    switch (field->kind) {
    case TN_PB_BOOL:
        return sizeof(bool);
    case TN_PB_INT32:
    case TN_PB_UINT32:
    case TN_PB_SINT32:
    case TN_PB_FIXED32:
        return 4;
    case TN_PB_STRING:
    case TN_PB_BYTES:
        return sizeof(struct tn_bytes);
    case TN_PB_MESSAGE:
        return field->message->size;
    default:
        return 8;
    }
}

static inline bool is_default(const struct tn_pb_field *field, const uint8_t *slot)
{
    switch (field->kind) {
    case TN_PB_STRING:
    case TN_PB_BYTES:
        return ((const struct tn_bytes *)slot)->size == 0;
    case TN_PB_MESSAGE:
        return *(void *const *)slot == NULL;
    default:
        return load_scalar(field->kind, slot) == 0;
    }
}

static inline struct values field_values(const struct tn_pb_field *field, const uint8_t *object)
{
    const uint8_t *slot = object + field->offset;
    switch (field->label) {
    case TN_PB_SINGULAR:
        return (struct values){slot, is_default(field, slot) ? 0 : 1};
    case TN_PB_OPTIONAL:
        return (struct values){slot, *(const bool *)(object + field->aux) ? 1 : 0};
    case TN_PB_ONEOF:
        return (struct values){slot,
                               *(const uint32_t *)(object + field->aux) == field->number ? 1 : 0};
    case TN_PB_ALWAYS:
        return (struct values){slot, 1};
    default:
        return (struct values){*(const uint8_t *const *)slot,
                               *(const size_t *)(object + field->aux)};
    }
}

/* A nested message stands in an array by value and elsewhere by pointer; a member of a oneof or map
 * entry that is NULL counts as empty. */
static inline const uint8_t *nested_object(const struct tn_pb_field *field, const uint8_t *slot)
{
    return field->label >= TN_PB_REPEATED ? slot : *(const uint8_t *const *)slot;
}

static inline size_t scalar_size(const struct tn_pb_field *field, const uint8_t *slot)
{
    switch (wire_of(field->kind)) {
    case WIRE_32:
        return 4;
    case WIRE_64:
        return 8;
    default:
        return varint_size(load_scalar(field->kind, slot));
    }
}

static inline size_t tag_size(const struct tn_pb_field *field)
{
    return varint_size((uint64_t)field->number << 3);
}

static size_t object_size(const struct tn_pb_message *message, const uint8_t *object,
                          uint32_t depth);

static size_t values_size(const struct tn_pb_field *field, struct values values, uint32_t depth)
{
    size_t total = 0;
    size_t stride = slot_size(field);
    for (size_t i = 0; i < values.count; i++) {
        const uint8_t *slot = values.items + i * stride;
        size_t size = 0;
        switch (field->kind) {
        case TN_PB_STRING:
        case TN_PB_BYTES:
            size = ((const struct tn_bytes *)slot)->size;
            total += size + varint_size(size);
            break;
        case TN_PB_MESSAGE:
            size = object_size(field->message, nested_object(field, slot), depth + 1);
            total += size + varint_size(size);
            break;
        default:
            total += scalar_size(field, slot);
            break;
        }
    }
    return total;
}

static size_t object_size(const struct tn_pb_message *message, const uint8_t *object,
                          uint32_t depth)
{
    TN_ASSERT(depth <= TN_PB_DEPTH_MAX);

    size_t total = 0;
    if (object == NULL) {
        return 0;
    }
    for (size_t i = 0; i < message->field_count; i++) {
        const struct tn_pb_field *field = &message->fields[i];
        struct values values = field_values(field, object);
        if (values.count == 0) {
            continue;
        }
        size_t size = values_size(field, values, depth);
        if (field->label == TN_PB_PACKED) {
            total += tag_size(field) + varint_size(size) + size;
        } else {
            total += values.count * tag_size(field) + size;
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

static inline size_t write_varint(uint8_t *at, uint64_t value)
{
    size_t size = 0;
    while (value >= 0x80) {
        at[size++] = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    at[size++] = (uint8_t)value;
    return size;
}

static inline void put_varint(struct output *out, uint64_t value)
{
    if (value < 0x80) {
        *put_room(out, 1) = (uint8_t)value;
        return;
    }
    write_varint(put_room(out, varint_size(value)), value);
}

static inline void put_bytes(struct output *out, const void *data, size_t size)
{
    uint8_t *at = put_room(out, size);
    if (size > 0) {
        memcpy(at, data, size);
    }
}

static inline void put_scalar(struct output *out, const struct tn_pb_field *field,
                              const uint8_t *slot)
{
    uint64_t value = load_scalar(field->kind, slot);
    switch (wire_of(field->kind)) {
    case WIRE_32:
        tn_store_le32(put_room(out, 4), (uint32_t)value);
        return;
    case WIRE_64:
        tn_store_le64(put_room(out, 8), value);
        return;
    default:
        put_varint(out, value);
        return;
    }
}

static void put_object(struct output *out, const struct tn_pb_message *message,
                       const uint8_t *object);

static void put_values(struct output *out, const struct tn_pb_field *field, struct values values)
{
    size_t stride = slot_size(field);
    bool packed = field->label == TN_PB_PACKED;
    const uint8_t *end = out->at;
    uint64_t tag = (uint64_t)field->number << 3 | wire_of(field->kind);
    for (size_t i = values.count; i > 0; i--) {
        const uint8_t *slot = values.items + (i - 1) * stride;
        const uint8_t *content_end = out->at;
        switch (field->kind) {
        case TN_PB_STRING:
        case TN_PB_BYTES:
            put_bytes(out, ((const struct tn_bytes *)slot)->data,
                      ((const struct tn_bytes *)slot)->size);
            put_varint(out, (uint64_t)(content_end - out->at));
            break;
        case TN_PB_MESSAGE:
            put_object(out, field->message, nested_object(field, slot));
            put_varint(out, (uint64_t)(content_end - out->at));
            break;
        default:
            put_scalar(out, field, slot);
            break;
        }
        if (!packed) {
            put_varint(out, tag);
        }
    }
    if (packed) {
        put_varint(out, (uint64_t)(end - out->at));
        put_varint(out, (uint64_t)field->number << 3 | WIRE_LEN);
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
        struct values values = field_values(field, object);
        if (values.count > 0) {
            put_values(out, field, values);
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
    size_t tag = write_varint(out, (uint64_t)number << 3 | WIRE_LEN);
    return tag + write_varint(out + tag, size);
}
