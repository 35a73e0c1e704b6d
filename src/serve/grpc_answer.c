/* Encodes answers: see grpc_answer.h. Field numbers are those of proto/inference.proto. */
#include "serve/grpc_answer.h"

#include "core/assert.h"
#include "core/pb.h"
#include "proto/inference.pb.h"

enum { ANSWER_COPY_MAX = 4096, VARINT_MAX = 10 };

enum {
    RESPONSE_ID = 3,
    RESPONSE_OUTPUTS = 5,
    RESPONSE_RAW = 6,
    OUTPUT_NAME = 1,
    OUTPUT_DATATYPE = 2,
    OUTPUT_PARAMETERS = 4,
    STREAM_RESPONSE = 2,
    TAG_SHAPE_PACKED = 3 << 3 | 2,
};

static uint8_t *put_varint(uint8_t *at, uint64_t value)
{
    while (value >= 0x80) {
        *at++ = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    *at++ = (uint8_t)value;
    return at;
}

static size_t varint_size(uint64_t value)
{
    return (size_t)(70 - __builtin_clzll(value | 1)) / 7;
}

static uint8_t *put_text(uint8_t *at, uint32_t number, struct tn_str text)
{
    at += tn_pb_put_head(at, number, text.size);
    if (text.size > 0) {
        memcpy(at, text.data, text.size);
    }
    return at + text.size;
}

static uint8_t *put_bytes(uint8_t *at, struct tn_bytes bytes)
{
    memcpy(at, bytes.data, bytes.size);
    return at + bytes.size;
}

/* name: {key, value: {int64_param or string_param}} as one map entry. */
static uint8_t *put_parameter(uint8_t *at, const char *key, struct tn_str text, uint64_t number)
{
    struct tn_str name = tn_str_from(key);
    size_t text_size = 1 + varint_size(text.size) + text.size;
    size_t value_size = text.data != NULL ? text_size : 1 + varint_size(number);
    size_t key_size = 1 + varint_size(name.size) + name.size;
    at +=
        tn_pb_put_head(at, OUTPUT_PARAMETERS, key_size + 1 + varint_size(value_size) + value_size);
    at = put_text(at, 1, name);
    at += tn_pb_put_head(at, 2, value_size);
    if (text.data != NULL) {
        return put_text(at, 3, text);
    }
    *at++ = 2 << 3;
    return put_varint(at, number);
}

static uint8_t *put_region(uint8_t *at, const struct tn_request_output *asked,
                           const struct tn_tensor *tensor)
{
    struct tn_str none = {0};
    at = put_parameter(at, "shared_memory_region", asked->region, 0);
    at = put_parameter(at, "shared_memory_byte_size", none, tensor->data.size);
    if (asked->region_offset > 0) {
        at = put_parameter(at, "shared_memory_offset", none, asked->region_offset);
    }
    return at;
}

static size_t shape_size(const struct tn_shape *shape)
{
    size_t size = 0;
    for (size_t i = 0; i < shape->rank; i++) {
        size += varint_size((uint64_t)shape->dims[i]);
    }
    return size;
}

/* The body goes to `at`, its size is known only after: the head is put in front afterwards, where
 * HEAD_ROOM bytes were left. Shorter heads move the body; it is a few dozen bytes. */
static uint8_t *put_output(uint8_t *at, const struct tn_request *request, size_t index)
{
    const struct tn_tensor *tensor = &request->job.outputs[index];
    const struct tn_request_output *asked = &request->asked[index];
    uint8_t *body = at + TN_PB_HEAD_SIZE_MAX;
    uint8_t *end = body;
    if (asked->classes == 0) {
        end = put_bytes(end, request->entry->output_heads[asked->index]);
    } else {
        end = put_text(end, OUTPUT_NAME, tensor->name);
        end = put_text(end, OUTPUT_DATATYPE, TN_STR_OF("BYTES"));
    }
    if (tensor->shape.rank > 0) {
        *end++ = TAG_SHAPE_PACKED;
        end = put_varint(end, shape_size(&tensor->shape));
        for (size_t i = 0; i < tensor->shape.rank; i++) {
            end = put_varint(end, (uint64_t)tensor->shape.dims[i]);
        }
    }
    if (asked->region.size > 0) {
        end = put_region(end, asked, tensor);
    }
    size_t size = (size_t)(end - body);
    at += tn_pb_put_head(at, RESPONSE_OUTPUTS, size);
    memmove(at, body, size);
    return at + size;
}

static size_t bound(const struct tn_request *request)
{
    const struct tn_entry *entry = request->entry;
    size_t size = 2 * TN_PB_HEAD_SIZE_MAX + entry->head.size + entry->parameters.size +
                  request->id.size + TN_PB_HEAD_SIZE_MAX;
    for (size_t i = 0; i < request->job.output_count; i++) {
        const struct tn_request_output *asked = &request->asked[i];
        size_t data = request->job.outputs[i].data.size;
        size += entry->output_heads[asked->index].size + 4 * TN_PB_HEAD_SIZE_MAX +
                (TN_RANK_MAX + 1) * VARINT_MAX + 16;
        size += data < ANSWER_COPY_MAX ? data : 0;
        size += asked->region.size > 0 ? asked->region.size + 256 : 0;
    }
    return size;
}

struct writing {
    uint8_t *start; /* of the piece that is being written */
    uint8_t *at;
    struct tn_piece *pieces;
    size_t count;
    size_t size; /* of the pieces so far */
};

static void cut(struct writing *writing)
{
    size_t size = (size_t)(writing->at - writing->start);
    if (size > 0) {
        writing->pieces[writing->count++] =
            (struct tn_piece){.bytes = tn_bytes_make(writing->start, size)};
        writing->size += size;
    }
    writing->start = writing->at;
}

static void put_raw(struct writing *writing, const struct tn_request *request, size_t index)
{
    const struct tn_tensor *tensor = &request->job.outputs[index];
    struct tn_bytes data = tensor->data;
    if (request->asked[index].region.size > 0) {
        data.size = 0; /* it lies there already; the place in the list stays */
    }
    writing->at += tn_pb_put_head(writing->at, RESPONSE_RAW, data.size);
    if (data.size < ANSWER_COPY_MAX) {
        if (data.size > 0) {
            writing->at = put_bytes(writing->at, data);
        }
        return;
    }
    cut(writing);
    /* Without an owner the bytes lie in the arena of the request, which outlives the answer. */
    struct tn_block *owner = tensor->owner != NULL ? tn_block_ref(tensor->owner) : NULL;
    writing->pieces[writing->count++] = (struct tn_piece){.bytes = data, .owner = owner};
    writing->size += data.size;
}

enum tn_err tn_grpc_answer(const struct tn_request *request, struct tn_arena *arena, bool nested,
                           struct tn_piece *ret_pieces, size_t *ret_count)
{
    uint8_t *memory = tn_arena_take(arena, bound(request), 8);
    if (memory == NULL) {
        return TN_NOMEM;
    }
    uint8_t *start = memory + (nested ? TN_PB_HEAD_SIZE_MAX : 0);
    struct writing writing = {.start = start, .at = start, .pieces = ret_pieces};
    writing.at = put_bytes(writing.at, request->entry->head);
    if (request->id.size > 0) {
        writing.at = put_text(writing.at, RESPONSE_ID, request->id);
    }
    writing.at = put_bytes(writing.at, request->entry->parameters);
    for (size_t i = 0; i < request->job.output_count; i++) {
        writing.at = put_output(writing.at, request, i);
    }
    for (size_t i = 0; i < request->job.output_count; i++) {
        put_raw(&writing, request, i);
    }
    cut(&writing);
    if (nested) {
        uint8_t head[TN_PB_HEAD_SIZE_MAX];
        size_t size = tn_pb_put_head(head, STREAM_RESPONSE, writing.size);
        memcpy(start - size, head, size);
        ret_pieces[0].bytes.data -= size;
        ret_pieces[0].bytes.size += size;
    }
    *ret_count = writing.count;
    return TN_OK;
}
