/* Wire to structs. One loop over tags; a nested message is the same loop one level deeper, so the
 * C stack is bounded by TN_PB_DEPTH_MAX.
 *
 * Arrays: before the first element of a run is stored, the run is walked over its tags once and the
 * array is taken at that size, so the usual message allocates each array exactly once. The room of
 * an array stands in a head before it. When runs alternate the room doubles, so the whole work and
 * the whole memory stay linear in the input. */
#include "core/pb.h"

#include "core/assert.h"
#include "core/utf8.h"

enum { ARRAY_ALIGN = 16 };

struct array_head {
    _Alignas(ARRAY_ALIGN) size_t room; /* elements */
};

struct input {
    const uint8_t *at;
    const uint8_t *end;
    struct tn_arena *arena;
    uint32_t depth;
};

struct tag {
    uint32_t number;
    uint32_t wire;
    const uint8_t *at; /* as encoded */
    size_t size;
};

/* Ten bytes at most, the tenth carries one bit. Longer than necessary is legal. */
static enum tn_err read_long_varint(struct input *in, uint64_t *ret_value)
{
    uint64_t value = 0;
    const uint8_t *at = in->at;
    for (unsigned shift = 0; shift < 70; shift += 7) {
        if (at == in->end) {
            return TN_TRUNCATED;
        }
        uint8_t byte = *at++;
        if (shift == 63 && byte > 1) {
            return TN_INVALID;
        }
        value |= (uint64_t)(byte & 0x7F) << shift;
        if (byte < 0x80) {
            in->at = at;
            *ret_value = value;
            return TN_OK;
        }
    }
    return TN_INVALID;
}

static inline enum tn_err read_varint(struct input *in, uint64_t *ret_value)
{
    if (in->at < in->end && *in->at < 0x80) {
        *ret_value = *in->at++;
        return TN_OK;
    }
    return read_long_varint(in, ret_value);
}

static inline enum tn_err read_tag(struct input *in, struct tag *ret_tag)
{
    const uint8_t *start = in->at;
    uint64_t value = 0;
    enum tn_err err = read_varint(in, &value);
    if (err != TN_OK) {
        return err;
    }
    if (value > UINT32_MAX || value < 8) {
        return TN_INVALID;
    }
    *ret_tag = (struct tag){.number = (uint32_t)value >> 3,
                            .wire = (uint32_t)value & 7,
                            .at = start,
                            .size = (size_t)(in->at - start)};
    return TN_OK;
}

static inline enum tn_err read_view(struct input *in, struct tn_bytes *ret_view)
{
    uint64_t size = 0;
    enum tn_err err = read_varint(in, &size);
    if (err != TN_OK) {
        return err;
    }
    if (size > (size_t)(in->end - in->at)) {
        return TN_TRUNCATED;
    }
    *ret_view = tn_bytes_make(in->at, (size_t)size);
    in->at += size;
    return TN_OK;
}

static enum tn_err skip_plain(struct input *in, uint32_t wire)
{
    uint64_t value = 0;
    struct tn_bytes view;
    size_t width = wire == TN_PB_WIRE_64 ? 8 : 4;
    switch (wire) {
    case TN_PB_WIRE_VARINT:
        return read_varint(in, &value);
    case TN_PB_WIRE_LEN:
        return read_view(in, &view);
    case TN_PB_WIRE_64:
    case TN_PB_WIRE_32:
        if ((size_t)(in->end - in->at) < width) {
            return TN_TRUNCATED;
        }
        in->at += width;
        return TN_OK;
    default:
        return TN_INVALID;
    }
}

/* Groups are long deprecated but legal in unknown fields; each end must name its start. */
static enum tn_err skip_group(struct input *in, uint32_t number)
{
    uint32_t open[TN_PB_DEPTH_MAX] = {number};
    size_t depth = 1;
    while (depth > 0) {
        struct tag tag;
        enum tn_err err = read_tag(in, &tag);
        if (err != TN_OK) {
            return err;
        }
        if (tag.wire == TN_PB_WIRE_GROUP) {
            if (depth == TN_COUNT(open)) {
                return TN_LIMIT;
            }
            open[depth++] = tag.number;
            continue;
        }
        if (tag.wire == TN_PB_WIRE_END) {
            if (open[--depth] != tag.number) {
                return TN_INVALID;
            }
            continue;
        }
        err = skip_plain(in, tag.wire);
        if (err != TN_OK) {
            return err;
        }
    }
    return TN_OK;
}

static enum tn_err skip_field(struct input *in, const struct tag *tag)
{
    return tag->wire == TN_PB_WIRE_GROUP ? skip_group(in, tag->number) : skip_plain(in, tag->wire);
}

static inline bool is_repeated(const struct tn_pb_field *field)
{
    return field->label >= TN_PB_REPEATED;
}

/* Room for `extra` more elements; NULL when the arena is exhausted. */
static uint8_t *array_reserve(struct tn_arena *arena, const struct tn_pb_field *field,
                              uint8_t *object, size_t extra)
{
    void **items = (void **)(object + field->offset);
    size_t count = *(size_t *)(object + field->aux);
    size_t width = field->width;
    size_t room = *items != NULL ? ((struct array_head *)*items - 1)->room : 0;
    /* No element wanted and none there (a packed field that is one cut varint) takes an empty
     * array: NULL means that the arena is exhausted. */
    if (*items != NULL && room - count >= extra) {
        return (uint8_t *)*items + count * width;
    }
    size_t wanted = count + extra;
    wanted = wanted < 2 * room ? 2 * room : wanted;
    size_t size = 0;
    struct array_head *head = NULL;
    if (__builtin_mul_overflow(wanted, width, &size) || size > SIZE_MAX - sizeof(*head)) {
        return NULL;
    }
    head = tn_arena_take(arena, sizeof(*head) + size, ARRAY_ALIGN);
    if (head == NULL) {
        return NULL;
    }
    head->room = wanted;
    if (count > 0) {
        TN_ASSERT(*items != NULL);
        memcpy(head + 1, *items, count * width);
    }
    *items = head + 1;
    return (uint8_t *)(head + 1) + count * width;
}

/* How many values of this very tag follow each other here; the current one has been read. */
static size_t count_run(const struct input *in, const struct tag *tag)
{
    struct input ahead = *in;
    size_t count = 1;
    while ((size_t)(ahead.end - ahead.at) > tag->size &&
           memcmp(ahead.at, tag->at, tag->size) == 0) {
        ahead.at += tag->size;
        if (skip_plain(&ahead, tag->wire) != TN_OK) {
            break;
        }
        count++;
    }
    return count;
}

static uint8_t *array_append(struct input *in, const struct tn_pb_field *field, uint8_t *object,
                             const struct tag *tag)
{
    void *items = *(void **)(object + field->offset);
    size_t *count = (size_t *)(object + field->aux);
    size_t room = items != NULL ? ((struct array_head *)items - 1)->room : 0;
    uint8_t *slot = array_reserve(in->arena, field, object, *count < room ? 1 : count_run(in, tag));
    if (slot != NULL) {
        *count += 1;
    }
    return slot;
}

/* Where the value of a field goes, with its presence recorded. */
static inline uint8_t *slot_take(struct input *in, const struct tn_pb_field *field, uint8_t *object,
                                 const struct tag *tag)
{
    uint32_t *which = (uint32_t *)(object + field->aux);
    switch (field->label) {
    case TN_PB_OPTIONAL:
        *(bool *)(object + field->aux) = true;
        break;
    case TN_PB_ONEOF:
        /* The union still holds the member before this one. */
        if (*which != field->number && field->kind == TN_PB_MESSAGE) {
            *(void **)(object + field->offset) = NULL;
        }
        *which = field->number;
        break;
    case TN_PB_REPEATED:
    case TN_PB_PACKED:
        return array_append(in, field, object, tag);
    default:
        break;
    }
    return object + field->offset;
}

static inline uint64_t unzigzag(uint64_t value)
{
    return (value >> 1) ^ (0 - (value & 1));
}

static inline void store_varint(uint8_t kind, uint8_t *slot, uint64_t value)
{
    switch (kind) {
    case TN_PB_BOOL:
        *(bool *)slot = value != 0;
        return;
    case TN_PB_SINT32:
        *(uint32_t *)slot = (uint32_t)unzigzag((uint32_t)value);
        return;
    case TN_PB_SINT64:
        *(uint64_t *)slot = unzigzag(value);
        return;
    case TN_PB_INT64:
    case TN_PB_UINT64:
        *(uint64_t *)slot = value;
        return;
    default:
        *(uint32_t *)slot = (uint32_t)value;
        return;
    }
}

static inline void store_fixed(uint8_t kind, uint8_t *slot, const uint8_t *at)
{
    if (kind == TN_PB_FIXED32) {
        *(uint32_t *)slot = tn_load_le32(at);
    } else {
        *(uint64_t *)slot = tn_load_le64(at);
    }
}

static enum tn_err decode_packed_varints(struct input *in, const struct tn_pb_field *field,
                                         uint8_t *object, struct tn_bytes view)
{
    size_t count = 0;
    for (size_t i = 0; i < view.size; i++) {
        count += view.data[i] < 0x80;
    }
    uint8_t *slot = array_reserve(in->arena, field, object, count);
    if (slot == NULL) {
        return TN_NOMEM;
    }
    struct input packed = {.at = view.data, .end = view.data + view.size};
    size_t width = field->width;
    while (packed.at < packed.end) {
        uint64_t value = 0;
        enum tn_err err = read_varint(&packed, &value);
        if (err != TN_OK) {
            return err;
        }
        store_varint(field->kind, slot, value);
        slot += width;
    }
    *(size_t *)(object + field->aux) += count;
    return TN_OK;
}

static enum tn_err decode_packed(struct input *in, const struct tn_pb_field *field, uint8_t *object,
                                 struct tn_bytes view)
{
    if (view.size == 0) {
        return TN_OK;
    }
    if (field->wire == TN_PB_WIRE_VARINT) {
        return decode_packed_varints(in, field, object, view);
    }
    size_t width = field->width;
    if (view.size % width != 0) {
        return TN_INVALID;
    }
    size_t count = view.size / width;
    uint8_t *slot = array_reserve(in->arena, field, object, count);
    if (slot == NULL) {
        return TN_NOMEM;
    }
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    memcpy(slot, view.data, view.size);
#else
    for (size_t i = 0; i < count; i++) {
        store_fixed(field->kind, slot + i * width, view.data + i * width);
    }
#endif
    *(size_t *)(object + field->aux) += count;
    return TN_OK;
}

static enum tn_err decode_fields(struct input *in, const struct tn_pb_message *message,
                                 uint8_t *object);

static void *nested_new(struct tn_arena *arena, const struct tn_pb_message *message)
{
    return tn_arena_take_zeroed(arena, 1, message->size, ARRAY_ALIGN);
}

/* An entry of a map whose value was left out has the empty value, so nobody has to look. */
static enum tn_err complete_entry(struct tn_arena *arena, const struct tn_pb_message *message,
                                  uint8_t *object)
{
    const struct tn_pb_field *value = &message->fields[message->field_count - 1];
    if (value->label != TN_PB_ALWAYS || value->kind != TN_PB_MESSAGE) {
        return TN_OK;
    }
    void **nested = (void **)(object + value->offset);
    if (*nested == NULL) {
        *nested = nested_new(arena, value->message);
    }
    return *nested != NULL ? TN_OK : TN_NOMEM;
}

static enum tn_err decode_nested(struct input *in, const struct tn_pb_field *field, uint8_t *slot,
                                 struct tn_bytes view)
{
    if (in->depth == TN_PB_DEPTH_MAX) {
        return TN_LIMIT;
    }
    const struct tn_pb_message *message = field->message;
    if (is_repeated(field)) {
        memset(slot, 0, message->size);
    } else {
        void **nested = (void **)slot;
        if (*nested == NULL) {
            *nested = nested_new(in->arena, message);
            if (*nested == NULL) {
                return TN_NOMEM;
            }
        }
        slot = *nested;
    }
    struct input inner = {
        .at = view.data, .end = view.data + view.size, .arena = in->arena, .depth = in->depth + 1};
    enum tn_err err = decode_fields(&inner, message, slot);
    if (err == TN_OK && is_repeated(field) && message->field_count > 0) {
        err = complete_entry(in->arena, message, slot);
    }
    return err;
}

static enum tn_err decode_length_delimited(struct input *in, const struct tn_pb_field *field,
                                           uint8_t *object, const struct tag *tag)
{
    struct tn_bytes view;
    enum tn_err err = read_view(in, &view);
    if (err != TN_OK) {
        return err;
    }
    if (field->kind < TN_PB_STRING) {
        return decode_packed(in, field, object, view);
    }
    uint8_t *slot = slot_take(in, field, object, tag);
    if (slot == NULL) {
        return TN_NOMEM;
    }
    if (field->kind == TN_PB_MESSAGE) {
        return decode_nested(in, field, slot, view);
    }
    if (field->kind == TN_PB_BYTES) {
        *(struct tn_bytes *)slot = view;
        return TN_OK;
    }
    struct tn_str text = tn_str_make((const char *)view.data, view.size);
    *(struct tn_str *)slot = text;
    return tn_utf8_valid(text) ? TN_OK : TN_INVALID;
}

static enum tn_err decode_scalar(struct input *in, const struct tn_pb_field *field, uint8_t *object,
                                 const struct tag *tag)
{
    const uint8_t *at = in->at;
    uint64_t value = 0;
    enum tn_err err =
        tag->wire == TN_PB_WIRE_VARINT ? read_varint(in, &value) : skip_plain(in, tag->wire);
    if (err != TN_OK) {
        return err;
    }
    uint8_t *slot = slot_take(in, field, object, tag);
    if (slot == NULL) {
        return TN_NOMEM;
    }
    if (tag->wire == TN_PB_WIRE_VARINT) {
        store_varint(field->kind, slot, value);
    } else {
        store_fixed(field->kind, slot, at);
    }
    return TN_OK;
}

static inline const struct tn_pb_field *find_field(const struct tn_pb_message *message,
                                                   uint32_t number)
{
    if (number <= message->dense_count) {
        return &message->fields[number - 1];
    }
    size_t low = message->dense_count;
    size_t high = message->field_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (message->fields[middle].number < number) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    bool found = low < message->field_count && message->fields[low].number == number;
    return found ? &message->fields[low] : NULL;
}

static inline bool wire_fits(const struct tn_pb_field *field, uint32_t wire)
{
    return wire == field->wire || (wire == TN_PB_WIRE_LEN && is_repeated(field));
}

static enum tn_err decode_fields(struct input *in, const struct tn_pb_message *message,
                                 uint8_t *object)
{
    while (in->at < in->end) {
        struct tag tag;
        enum tn_err err = read_tag(in, &tag);
        if (err != TN_OK) {
            return err;
        }
        const struct tn_pb_field *field = find_field(message, tag.number);
        if (field == NULL || !wire_fits(field, tag.wire)) {
            err = skip_field(in, &tag);
        } else if (tag.wire == TN_PB_WIRE_LEN) {
            err = decode_length_delimited(in, field, object, &tag);
        } else {
            err = decode_scalar(in, field, object, &tag);
        }
        if (err != TN_OK) {
            return err;
        }
    }
    return TN_OK;
}

enum tn_err tn_pb_decode(const struct tn_pb_message *message, struct tn_bytes bytes,
                         struct tn_arena *arena, void *object)
{
    TN_ASSERT(bytes.data != NULL || bytes.size == 0);

    memset(object, 0, message->size);
    if (bytes.size == 0) {
        return TN_OK;
    }
    struct input in = {.at = bytes.data, .end = bytes.data + bytes.size, .arena = arena};
    enum tn_err err = decode_fields(&in, message, object);
    if (err != TN_OK) {
        memset(object, 0, message->size);
    }
    return err;
}
