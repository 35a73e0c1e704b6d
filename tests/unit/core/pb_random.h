/* Random objects of any message, made by walking its table; for tests and benches. */
#ifndef TN_TESTS_PB_RANDOM_H
#define TN_TESTS_PB_RANDOM_H

#include "core/assert.h"
#include "core/pb.h"

struct pb_random {
    uint64_t state;
    struct tn_arena *arena;
};

static inline uint64_t random_next(struct pb_random *random)
{
    random->state += 0x9E3779B97F4A7C15U;
    uint64_t z = random->state;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
    return z ^ (z >> 31);
}

/* Small, large and extreme values alike. */
static inline uint64_t random_scalar(struct pb_random *random)
{
    uint64_t value = random_next(random) >> (random_next(random) % 64);
    return random_next(random) % 4 == 0 ? 0 - value : value;
}

static inline void random_object(struct pb_random *random, const struct tn_pb_message *message,
                                 uint8_t *object, unsigned depth);

static inline void random_value(struct pb_random *random, const struct tn_pb_field *field,
                                uint8_t *slot, unsigned depth)
{
    size_t size = random_next(random) % 20;
    switch (field->kind) {
    case TN_PB_BOOL:
        *(bool *)slot = random_next(random) & 1;
        return;
    case TN_PB_INT64:
    case TN_PB_UINT64:
    case TN_PB_SINT64:
    case TN_PB_FIXED64:
        *(uint64_t *)slot = random_scalar(random);
        return;
    case TN_PB_STRING:
    case TN_PB_BYTES: {
        uint8_t *data = tn_arena_take(random->arena, size + 1, 1);
        TN_ASSERT(data != NULL);
        for (size_t i = 0; i < size; i++) {
            uint64_t byte = random_next(random);
            data[i] = (uint8_t)(field->kind == TN_PB_STRING ? byte & 0x7F : byte);
        }
        *(struct tn_bytes *)slot = tn_bytes_make(data, size);
        return;
    }
    case TN_PB_MESSAGE:
        if (field->label < TN_PB_REPEATED) {
            void *nested = tn_arena_take_zeroed(random->arena, 1, field->message->size, 16);
            TN_ASSERT(nested != NULL);
            *(void **)slot = nested;
            slot = nested;
        }
        random_object(random, field->message, slot, depth + 1);
        return;
    default:
        *(uint32_t *)slot = (uint32_t)random_scalar(random);
        return;
    }
}

static inline void random_field(struct pb_random *random, const struct tn_pb_field *field,
                                uint8_t *object, unsigned depth)
{
    if (field->label < TN_PB_REPEATED) {
        if (field->label == TN_PB_OPTIONAL) {
            *(bool *)(object + field->aux) = true;
        }
        if (field->label == TN_PB_ONEOF) {
            *(uint32_t *)(object + field->aux) = field->number;
        }
        random_value(random, field, object + field->offset, depth);
        return;
    }
    size_t count = random_next(random) % 5;
    size_t stride = field->width;
    uint8_t *items = tn_arena_take_zeroed(random->arena, count + 1, stride, 16);
    TN_ASSERT(items != NULL);
    for (size_t i = 0; i < count; i++) {
        random_value(random, field, items + i * stride, depth);
    }
    *(void **)(object + field->offset) = items;
    *(size_t *)(object + field->aux) = count;
}

/* `object` is zeroed. About every third field is set, fewer the deeper it lies. */
static inline void random_object(struct pb_random *random, const struct tn_pb_message *message,
                                 uint8_t *object, unsigned depth)
{
    for (size_t i = 0; i < message->field_count; i++) {
        const struct tn_pb_field *field = &message->fields[i];
        bool nests = field->kind == TN_PB_MESSAGE;
        if (random_next(random) % (3 + 2 * depth) != 0 || (nests && depth >= 5)) {
            continue;
        }
        random_field(random, field, object, depth);
    }
}

#endif
