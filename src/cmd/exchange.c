/* Builds a ModelInferRequest and reads the ModelInferResponse; see exchange.h. Tensors travel as
 * raw contents, so all datatypes go the same way. */
#include "cmd/exchange.h"

#include "core/assert.h"
#include "proto/inference.pb.h"

static enum tn_err no_memory(struct tn_fault *fault)
{
    return tn_fault_set(fault, TN_NOMEM, "no memory for the request");
}

static void set_bool(struct tn_oip_infer_parameter_entry *entry,
                     struct tn_oip_infer_parameter *value, struct tn_str key, bool flag)
{
    *value = (struct tn_oip_infer_parameter){.parameter_choice = TN_OIP_INFER_PARAMETER_BOOL_PARAM,
                                             .bool_param = flag};
    *entry = (struct tn_oip_infer_parameter_entry){.key = key, .value = value};
}

static bool add_sequence(const struct tn_exchange *exchange, struct tn_arena *arena,
                         struct tn_oip_model_infer_request *request)
{
    if (exchange->sequence_id == 0) {
        return true;
    }
    struct tn_oip_infer_parameter_entry *entries =
        TN_ARENA_ARRAY(arena, struct tn_oip_infer_parameter_entry, 3);
    struct tn_oip_infer_parameter *values = TN_ARENA_ARRAY(arena, struct tn_oip_infer_parameter, 3);
    if (entries == NULL || values == NULL) {
        return false;
    }
    values[0] =
        (struct tn_oip_infer_parameter){.parameter_choice = TN_OIP_INFER_PARAMETER_INT64_PARAM,
                                        .int64_param = (int64_t)exchange->sequence_id};
    entries[0] =
        (struct tn_oip_infer_parameter_entry){.key = TN_STR_OF("sequence_id"), .value = &values[0]};
    set_bool(&entries[1], &values[1], TN_STR_OF("sequence_start"), exchange->sequence_start);
    set_bool(&entries[2], &values[2], TN_STR_OF("sequence_end"), exchange->sequence_end);
    request->parameters = entries;
    request->parameters_count = 3;
    return true;
}

static enum tn_err build(const struct tn_exchange *exchange, struct tn_arena *arena,
                         struct tn_oip_model_infer_request *ret_request, struct tn_fault *fault)
{
    struct tn_oip_model_infer_request request = {
        .model_name = exchange->model->name,
        .model_version = exchange->model->version,
    };
    request.inputs = TN_ARENA_ARRAY(arena, struct tn_oip_infer_input_tensor, exchange->input_count);
    request.raw_input_contents = TN_ARENA_ARRAY(arena, struct tn_bytes, exchange->input_count);
    request.outputs =
        TN_ARENA_ARRAY(arena, struct tn_oip_infer_requested_output_tensor, exchange->wanted_count);
    if (request.inputs == NULL || request.raw_input_contents == NULL || request.outputs == NULL ||
        !add_sequence(exchange, arena, &request)) {
        return no_memory(fault);
    }
    request.inputs_count = request.raw_input_contents_count = exchange->input_count;
    for (size_t i = 0; i < exchange->input_count; i++) {
        const struct tn_tensor *tensor = &exchange->inputs[i];
        int64_t *shape = TN_ARENA_ARRAY(arena, int64_t, tensor->shape.rank);
        if (shape == NULL) {
            return no_memory(fault);
        }
        memcpy(shape, tensor->shape.dims, tensor->shape.rank * sizeof(*shape));
        request.inputs[i].name = tensor->name;
        request.inputs[i].datatype = tn_str_from(tn_dtype_name(tensor->dtype));
        request.inputs[i].shape = shape;
        request.inputs[i].shape_count = tensor->shape.rank;
        request.raw_input_contents[i] = tensor->data;
    }
    request.outputs_count = exchange->wanted_count;
    for (size_t i = 0; i < exchange->wanted_count; i++) {
        request.outputs[i].name = exchange->wanted[i];
    }
    *ret_request = request;
    return TN_OK;
}

static enum tn_err copy_output(const struct tn_oip_infer_output_tensor *from, struct tn_bytes raw,
                               struct tn_arena *arena, struct tn_tensor *tensor,
                               struct tn_fault *fault)
{
    const char *name = tn_arena_copy_str(arena, from->name);
    uint8_t *data = tn_arena_take(arena, raw.size, 64);
    if (name == NULL || data == NULL) {
        return no_memory(fault);
    }
    if (raw.size > 0) {
        memcpy(data, raw.data, raw.size);
    }
    if (from->shape_count > TN_RANK_MAX) {
        return tn_fault_set(fault, TN_UNSUPPORTED, "output '%s' has more than %d dimensions", name,
                            TN_RANK_MAX);
    }
    *tensor = (struct tn_tensor){.name = tn_str_from(name),
                                 .dtype = tn_dtype_parse(from->datatype),
                                 .data = tn_bytes_make(data, raw.size)};
    tensor->shape.rank = from->shape_count;
    for (size_t i = 0; i < from->shape_count; i++) {
        tensor->shape.dims[i] = from->shape[i];
    }
    return tn_tensor_check(tensor, fault);
}

static enum tn_err read_outputs(const struct tn_oip_model_infer_response *response,
                                struct tn_arena *arena, struct tn_tensor **ret_outputs,
                                size_t *ret_count, struct tn_fault *fault)
{
    size_t count = response->outputs_count;
    if (response->raw_output_contents_count != count) {
        return tn_fault_set(fault, TN_CORRUPT, "the server sent %zu outputs and %zu contents",
                            count, response->raw_output_contents_count);
    }
    struct tn_tensor *outputs = TN_ARENA_ARRAY(arena, struct tn_tensor, count);
    if (outputs == NULL) {
        return no_memory(fault);
    }
    for (size_t i = 0; i < count; i++) {
        enum tn_err err = copy_output(&response->outputs[i], response->raw_output_contents[i],
                                      arena, &outputs[i], fault);
        if (err != TN_OK) {
            return err;
        }
    }
    *ret_outputs = outputs;
    *ret_count = count;
    return TN_OK;
}

enum tn_err tn_exchange_run(const struct tn_exchange *exchange, struct tn_session *session,
                            struct tn_arena *arena, struct tn_tensor **ret_outputs,
                            size_t *ret_count, struct tn_fault *fault)
{
    struct tn_oip_model_infer_request request;
    struct tn_oip_model_infer_response response;
    enum tn_err err = build(exchange, &session->arena, &request, fault);
    if (err == TN_OK) {
        err = tn_session_call(session, tn_session_method("ModelInfer"), &request, &response, fault);
    }
    if (err == TN_OK) {
        err = read_outputs(&response, arena, ret_outputs, ret_count, fault);
    }
    tn_session_reset(session);
    return err;
}

enum tn_err tn_exchange_encode(const struct tn_exchange *exchange, struct tn_arena *arena,
                               struct tn_bytes *ret_message, struct tn_fault *fault)
{
    struct tn_oip_model_infer_request request;
    enum tn_err err = build(exchange, arena, &request, fault);
    if (err != TN_OK) {
        return err;
    }
    const struct tn_pb_message *message = tn_session_method("ModelInfer")->request;
    size_t size = tn_pb_size(message, &request);
    uint8_t *data = tn_arena_take(arena, size, 64);
    if (data == NULL) {
        return no_memory(fault);
    }
    tn_pb_encode(message, &request, data, size);
    *ret_message = tn_bytes_make(data, size);
    return TN_OK;
}
