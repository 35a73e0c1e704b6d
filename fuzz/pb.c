/* Protobuf codec: no bytes crash it, and what was read is a fixed point: written, read and written
 * again it stays the same.
 *
 * Byte 0 chooses the message, the rest is the wire. */
#include "base/mem.h"
#include "core/assert.h"
#include "proto/inference.pb.h"
#include "proto/otlp.pb.h"
#include "proto/reflection.pb.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { OBJECT_SIZE_MAX = 1024, ARENA_SIZE_MAX = 8 << 20 };

static const struct tn_pb_message *const messages[] = {
    &tn_oip_model_infer_request_pb,
    &tn_oip_model_infer_response_pb,
    &tn_oip_model_config_response_pb,
    &tn_oip_model_statistics_response_pb,
    &tn_otlp_export_metrics_service_request_pb,
    &tn_otlp_export_trace_service_request_pb,
    &tn_reflection_server_reflection_request_pb,
};

static struct tn_bytes encode(const struct tn_pb_message *message, const void *object,
                              struct tn_arena *arena)
{
    size_t size = tn_pb_size(message, object);
    uint8_t *out = tn_arena_take(arena, size, 1);
    TN_ASSERT(out != NULL);
    tn_pb_encode(message, object, out, size);
    return tn_bytes_make(out, size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    const struct tn_pb_message *message = messages[data[0] % TN_COUNT(messages)];
    _Alignas(16) uint8_t object[OBJECT_SIZE_MAX];
    TN_ASSERT(message->size <= sizeof(object));
    struct tn_arena input;
    struct tn_arena output;
    tn_arena_init(
        &input, &(struct tn_arena_options){.source = tn_mem_source(), .size_max = ARENA_SIZE_MAX});
    tn_arena_init(&output, &(struct tn_arena_options){.source = tn_mem_source()});
    enum tn_err err = tn_pb_decode(message, tn_bytes_make(data + 1, size - 1), &input, object);
    if (err == TN_OK) {
        struct tn_bytes first = encode(message, object, &output);
        err = tn_pb_decode(message, first, &output, object);
        TN_ASSERT(err == TN_OK);
        TN_ASSERT(tn_bytes_equal(first, encode(message, object, &output)));
    }
    tn_arena_deinit(&output);
    tn_arena_deinit(&input);
    return 0;
}
