/* POST .../infer: see rest_infer.h.
 *
 *   READ --submit--> OUT --done--> answered     OUT --cancelled--> job cancelled, still waits
 *
 * Memory: the call's arena until the answer. Threads: the call's loop. */
#include "serve/rest_infer.h"

#include "core/assert.h"
#include "proto/inference.pb.h"
#include "serve/json_tensor.h"
#include "serve/tracing.h"

struct rest_request {
    struct tn_request request;
    struct tn_rest_call *rest;
};

/* --- The answer --- */
static void put_shape(struct tn_json_writer *json, const struct tn_shape *shape)
{
    tn_json_key(json, TN_STR_OF("shape"));
    tn_json_open_array(json);
    for (size_t i = 0; i < shape->rank; i++) {
        tn_json_put_int64(json, shape->dims[i]);
    }
    tn_json_close(json);
}

static void put_region(struct tn_json_writer *json, const struct tn_request_output *asked,
                       const struct tn_tensor *tensor)
{
    tn_json_key(json, TN_STR_OF("parameters"));
    tn_json_open_object(json);
    tn_json_pair_str(json, TN_STR_OF("shared_memory_region"), asked->region);
    tn_json_pair_uint64(json, TN_STR_OF("shared_memory_byte_size"), tensor->data.size);
    if (asked->region_offset > 0) {
        tn_json_pair_uint64(json, TN_STR_OF("shared_memory_offset"), asked->region_offset);
    }
    tn_json_close(json);
}

static enum tn_err put_output(struct tn_json_writer *json, const struct tn_request *request,
                              size_t index, struct tn_fault *fault)
{
    const struct tn_tensor *tensor = &request->job.outputs[index];
    const struct tn_request_output *asked = &request->asked[index];
    enum tn_err err = TN_OK;
    tn_json_open_object(json);
    tn_json_pair_str(json, TN_STR_OF("name"), request->entry->info->outputs[asked->index].name);
    tn_json_pair_str(json, TN_STR_OF("datatype"), tn_str_from(tn_dtype_name(tensor->dtype)));
    put_shape(json, &tensor->shape);
    if (asked->region.size > 0) {
        put_region(json, asked, tensor);
    } else if (asked->binary) {
        tn_json_key(json, TN_STR_OF("parameters"));
        tn_json_open_object(json);
        tn_json_pair_uint64(json, TN_STR_OF("binary_data_size"), tensor->data.size);
        tn_json_close(json);
    } else {
        tn_json_key(json, TN_STR_OF("data"));
        err = tn_json_tensor_write(tensor, json, fault);
    }
    tn_json_close(json);
    return err;
}

static enum tn_err put_answer(struct tn_rest_out *out, const struct tn_request *request,
                              struct tn_fault *fault)
{
    struct tn_json_writer *json = &out->json;
    enum tn_err err = TN_OK;
    tn_json_open_object(json);
    if (request->id.size > 0) {
        tn_json_pair_str(json, TN_STR_OF("id"), request->id);
    }
    tn_json_pair_str(json, TN_STR_OF("model_name"), request->entry->info->name);
    tn_json_pair_str(json, TN_STR_OF("model_version"), request->entry->version);
    tn_json_key(json, TN_STR_OF("parameters"));
    tn_json_open_object(json);
    tn_json_pair_str(json, TN_STR_OF("model_sha256"), request->entry->sha256);
    tn_json_close(json);
    tn_json_key(json, TN_STR_OF("outputs"));
    tn_json_open_array(json);
    for (size_t i = 0; err == TN_OK && i < request->job.output_count; i++) {
        err = put_output(json, request, i, fault);
    }
    tn_json_close(json);
    tn_json_close(json);
    tn_json_flush(json);
    if (err == TN_OK && out->failed != TN_OK) {
        err = tn_fault_set(fault, out->failed, "no memory for this answer");
    }
    return err;
}

/* Binary outputs behind the JSON, each by a reference of its own. */
static size_t put_binary(const struct tn_request *request, struct tn_piece *pieces)
{
    size_t count = 0;
    for (size_t i = 0; i < request->job.output_count; i++) {
        const struct tn_tensor *tensor = &request->job.outputs[i];
        if (!request->asked[i].binary || tensor->data.size == 0) {
            continue;
        }
        struct tn_block *owner = tensor->owner != NULL ? tn_block_ref(tensor->owner) : NULL;
        pieces[count++] = (struct tn_piece){tensor->data, owner};
    }
    return count;
}

/* The reply ends the call and with it the arena that holds the request: what that holds goes
 * before. The pieces of the answer have references of their own. */
void tn_rest_answer(struct tn_rest_call *rest, struct tn_request *request)
{
    struct tn_rest_out out;
    struct tn_piece pieces[TN_TENSORS_MAX + 1];
    tn_rest_out_begin(&out);
    bool binary = false;
    for (size_t i = 0; i < request->job.output_count; i++) {
        binary = binary || request->asked[i].binary;
    }
    enum tn_err err = tn_request_classify(request, rest->with.arena, &rest->fault);
    if (err == TN_OK) {
        err = put_answer(&out, request, &rest->fault);
    }
    if (err == TN_OK && binary) {
        char size[TN_NUMBER_SIZE_MAX];
        size_t digits = tn_number_put_uint64(size, out.block->size);
        err = tn_call_add_header(rest->call, TN_STR_OF("inference-header-content-length"),
                                 tn_str_make(size, digits));
    }
    if (err != TN_OK) {
        tn_rest_out_drop(&out);
        rest->fault.code = err;
        tn_request_release(request);
        tn_rest_fail(rest);
        return;
    }
    pieces[0] = (struct tn_piece){tn_bytes_make(out.block->data, out.block->size), out.block};
    size_t count = 1 + (binary ? put_binary(request, pieces + 1) : 0);
    tn_request_release(request);
    tn_call_reply(rest->call, 200,
                  binary ? TN_STR_OF("application/octet-stream") : TN_STR_OF("application/json"),
                  pieces, count);
}

/* --- The way there --- */
static void on_done(struct tn_request *request)
{
    struct rest_request *holder = TN_CONTAINER(request, struct rest_request, request);
    struct tn_rest_call *rest = holder->rest;
    tn_call_set_user(rest->call, NULL);
    tn_tracing_note(request);
    if (request->job.fault.code != TN_OK) {
        rest->fault = request->job.fault;
        tn_request_release(request);
        tn_rest_fail(rest);
        return;
    }
    tn_rest_answer(rest, request);
}

static enum tn_err json_size(struct tn_rest_call *rest, size_t *ret_size)
{
    struct tn_str header = tn_call_header(rest->call, TN_STR_OF("inference-header-content-length"));
    struct tn_number number;
    uint64_t size = rest->body.size;
    if (header.size > 0 &&
        (tn_number_scan(header, &number) != TN_OK || number.text.size != header.size ||
         tn_number_uint64(&number, &size) != TN_OK || size > rest->body.size)) {
        return tn_fault_set(&rest->fault, TN_INVALID,
                            "Inference-Header-Content-Length is not a length within the body");
    }
    *ret_size = (size_t)size;
    return TN_OK;
}

static enum tn_err set_binary(struct tn_rest_call *rest, const struct tn_rest_message *message,
                              struct tn_request *request)
{
    for (size_t i = 0; i < request->job.output_count; i++) {
        struct tn_request_output *asked = &request->asked[i];
        const struct tn_oip_infer_parameter *value = NULL;
        if (i < message->message->outputs_count) {
            const struct tn_oip_infer_requested_output_tensor *output =
                &message->message->outputs[i];
            value = tn_request_parameter(output->parameters, output->parameters_count,
                                         TN_STR_OF("binary_data"));
        }
        asked->binary = message->binary_output;
        if (value != NULL && tn_parameter_bool(value, &asked->binary) != TN_OK) {
            return tn_fault_set(&rest->fault, TN_INVALID, "binary_data must be true or false");
        }
        asked->binary = asked->binary && asked->region.size == 0;
    }
    return TN_OK;
}

static enum tn_err begin(struct tn_rest_call *rest)
{
    struct tn_service *service = rest->with.service;
    const struct tn_call_info *info = tn_call_info(rest->call);
    struct tn_entry *entry = NULL;
    struct tn_rest_message message;
    size_t size = 0;
    enum tn_err err = tn_service_entry(&rest->with, rest->arguments[0], rest->arguments[1], &entry);
    if (err == TN_OK) {
        err = json_size(rest, &size);
    }
    if (err == TN_OK) {
        err = tn_rest_message_read(rest, size, &message);
    }
    if (err != TN_OK) {
        return err;
    }
    struct rest_request *holder = TN_ARENA_NEW(rest->with.arena, struct rest_request);
    if (holder == NULL) {
        return tn_fault_set(&rest->fault, TN_NOMEM, "no memory for this request");
    }
    struct tn_request_source source = {
        .message = message.message,
        .arena = rest->with.arena,
        .shm = service->shm,
        .now_ns = info->start_ns,
        .deadline_ns = info->deadline_ns,
    };
    holder->rest = rest;
    holder->request.done = on_done;
    err = tn_request_prepare(&holder->request, &source, entry, &rest->fault);
    if (err != TN_OK) {
        return err;
    }
    tn_tracing_begin(service, &holder->request, rest->call, rest->with.arena);
    err = set_binary(rest, &message, &holder->request);
    if (err == TN_OK) {
        err = tn_serve_lane_submit(rest->with.lane, &holder->request, &rest->fault);
    }
    if (err != TN_OK) {
        holder->request.job.output_count = 0;
        tn_request_release(&holder->request);
        return err;
    }
    tn_call_set_user(rest->call, holder);
    return TN_OK;
}

void tn_rest_infer(struct tn_rest_call *rest)
{
    if (begin(rest) != TN_OK) {
        tn_rest_fail(rest);
    }
}

void tn_rest_infer_cancelled(struct tn_call *call)
{
    struct rest_request *holder = tn_call_user(call);
    if (holder != NULL) {
        tn_infer_cancel(&holder->request.job);
    }
}
