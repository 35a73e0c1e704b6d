/* The methods of GRPCInferenceService: see grpc_service.h. */
#include "serve/grpc_service.h"

#include "core/assert.h"
#include "core/pb.h"
#include "proto/inference.pb.h"

void tn_grpc_fail(struct tn_call *call, const struct tn_fault *fault)
{
    tn_call_finish(call, tn_grpc_status_of(fault->code), tn_str_from(fault->text));
}

/* --- Methods by the table --- */
/* The generated codec works on untyped structs, so the functions are called through one type; each
 * row pairs a function with the tables of exactly its own argument types. */
enum { MESSAGE_SIZE_MAX = 512 };

union answer_memory {
    uint8_t bytes[MESSAGE_SIZE_MAX];
    _Alignas(16) uint64_t align;
};

struct method {
    enum tn_oip_grpc_inference_service_method number;
    enum tn_err (*run)(const struct tn_service_call *call, const void *request, void *ret_response);
};

/* Adapters from void pointers to the typed functions. */
#define ADAPT(name, function)                                                                      \
    static enum tn_err run_##name(const struct tn_service_call *call, const void *request,         \
                                  void *ret_response)                                              \
    {                                                                                              \
        return function(call, request, ret_response);                                              \
    }
ADAPT(server_live, tn_service_server_live)
ADAPT(server_ready, tn_service_server_ready)
ADAPT(model_ready, tn_service_model_ready)
ADAPT(server_metadata, tn_service_server_metadata)
ADAPT(model_metadata, tn_service_model_metadata)
ADAPT(model_config, tn_service_model_config)
ADAPT(model_statistics, tn_service_model_statistics)
ADAPT(repository_index, tn_service_repository_index)
ADAPT(shm_status, tn_service_shm_status)
ADAPT(shm_register, tn_service_shm_register)
ADAPT(shm_unregister, tn_service_shm_unregister)
ADAPT(cuda_status, tn_service_cuda_status)
ADAPT(cuda_register, tn_service_cuda_register)
ADAPT(cuda_unregister, tn_service_cuda_unregister)
ADAPT(trace_setting, tn_service_trace_setting)
ADAPT(log_settings, tn_service_log_settings)

static const struct method methods[] = {
    {TN_OIP_GRPC_INFERENCE_SERVER_LIVE, run_server_live},
    {TN_OIP_GRPC_INFERENCE_SERVER_READY, run_server_ready},
    {TN_OIP_GRPC_INFERENCE_MODEL_READY, run_model_ready},
    {TN_OIP_GRPC_INFERENCE_SERVER_METADATA, run_server_metadata},
    {TN_OIP_GRPC_INFERENCE_MODEL_METADATA, run_model_metadata},
    {TN_OIP_GRPC_INFERENCE_MODEL_CONFIG, run_model_config},
    {TN_OIP_GRPC_INFERENCE_MODEL_STATISTICS, run_model_statistics},
    {TN_OIP_GRPC_INFERENCE_REPOSITORY_INDEX, run_repository_index},
    {TN_OIP_GRPC_INFERENCE_SYSTEM_SHARED_MEMORY_STATUS, run_shm_status},
    {TN_OIP_GRPC_INFERENCE_SYSTEM_SHARED_MEMORY_REGISTER, run_shm_register},
    {TN_OIP_GRPC_INFERENCE_SYSTEM_SHARED_MEMORY_UNREGISTER, run_shm_unregister},
    {TN_OIP_GRPC_INFERENCE_CUDA_SHARED_MEMORY_STATUS, run_cuda_status},
    {TN_OIP_GRPC_INFERENCE_CUDA_SHARED_MEMORY_REGISTER, run_cuda_register},
    {TN_OIP_GRPC_INFERENCE_CUDA_SHARED_MEMORY_UNREGISTER, run_cuda_unregister},
    {TN_OIP_GRPC_INFERENCE_TRACE_SETTING, run_trace_setting},
    {TN_OIP_GRPC_INFERENCE_LOG_SETTINGS, run_log_settings},
};

/* The context of a table method: which one, of which service. */
struct bound_method {
    struct tn_service *service;
    const struct method *method;
    const struct tn_pb_method *messages;
};

static enum tn_err decode(struct tn_call *call, const struct tn_pb_message *message, void **ret,
                          struct tn_fault *fault)
{
    struct tn_arena *arena = tn_call_arena(call);
    const struct tn_block *body = tn_call_body(call);
    void *object = tn_arena_take(arena, message->size, 16);
    if (object == NULL) {
        return tn_fault_set(fault, TN_NOMEM, "no memory for this request");
    }
    enum tn_err err = tn_pb_decode(message, tn_bytes_make(body->data, body->size), arena, object);
    if (err != TN_OK) {
        return tn_fault_set(fault, err == TN_TRUNCATED ? TN_INVALID : err,
                            "the body is not a %s: %s", message->name, tn_err_name(err));
    }
    *ret = object;
    return TN_OK;
}

static void send_message(struct tn_call *call, const struct tn_pb_message *message,
                         const void *object)
{
    struct tn_fault fault = {0};
    size_t size = tn_pb_size(message, object);
    uint8_t *out = tn_arena_take(tn_call_arena(call), size + 1, 1);
    if (out == NULL) {
        tn_fault_set(&fault, TN_NOMEM, "no memory for this answer");
        tn_grpc_fail(call, &fault);
        return;
    }
    tn_pb_encode(message, object, out, size);
    struct tn_piece piece = {.bytes = tn_bytes_make(out, size)};
    enum tn_err err = tn_call_send(call, &piece, 1);
    tn_call_finish(call, err < TN_OK ? TN_GRPC_INTERNAL : TN_GRPC_OK, TN_STR_OF(""));
}

static struct tn_service_call service_call(struct tn_service *service, struct tn_call *call,
                                           struct tn_fault *fault)
{
    return (struct tn_service_call){
        .service = service,
        .lane = tn_service_lane(service, tn_call_loop(call)),
        .arena = tn_call_arena(call),
        .authorization = tn_call_header(call, TN_STR_OF("authorization")),
        .fault = fault,
    };
}

static void on_request(void *context, struct tn_call *call)
{
    const struct bound_method *bound = context;
    struct tn_fault fault = {0};
    struct tn_service_call with = service_call(bound->service, call, &fault);
    void *request = NULL;
    union answer_memory answer;
    TN_ASSERT(bound->messages->response->size <= sizeof(answer));
    memset(&answer, 0, bound->messages->response->size);
    enum tn_err err = decode(call, bound->messages->request, &request, &fault);
    if (err == TN_OK) {
        err = bound->method->run(&with, request, &answer);
    }
    if (err != TN_OK) {
        fault.code = err;
        tn_grpc_fail(call, &fault);
        return;
    }
    send_message(call, bound->messages->response, &answer);
}

/* --- Load and unload: answered when the repository's thread is done --- */
static void on_order_done(struct tn_store_order *order)
{
    struct tn_call *call = order->user;
    if (order->fault.code != TN_OK) {
        tn_grpc_fail(call, &order->fault);
        return;
    }
    static const struct tn_oip_repository_model_load_response empty;
    send_message(call, &tn_oip_repository_model_load_response_pb, &empty);
}

static void place_order(struct tn_service *service, struct tn_call *call, bool load)
{
    struct tn_fault fault = {0};
    struct tn_service_call with = service_call(service, call, &fault);
    struct tn_store_order *order = TN_ARENA_NEW(with.arena, struct tn_store_order);
    void *request = NULL;
    enum tn_err err = order != NULL ? decode(call,
                                             load ? &tn_oip_repository_model_load_request_pb
                                                  : &tn_oip_repository_model_unload_request_pb,
                                             &request, &fault)
                                    : tn_fault_set(&fault, TN_NOMEM, "no memory for this request");
    if (err == TN_OK) {
        err = load ? tn_service_load_order(&with, request, order)
                   : tn_service_unload_order(&with, request, order);
    }
    if (err == TN_OK) {
        order->reply = &with.lane->orders.chan;
        order->done = on_order_done;
        order->user = call;
        err = tn_store_ask(service->store, order);
        if (err != TN_OK) {
            tn_fault_set(&fault, err, "the repository takes no more orders now");
        }
    }
    if (err != TN_OK) {
        tn_grpc_fail(call, &fault);
    }
}

static void on_load(void *context, struct tn_call *call)
{
    place_order(context, call, true);
}

static void on_unload(void *context, struct tn_call *call)
{
    place_order(context, call, false);
}

/* --- Routes --- */
static struct bound_method bound_methods[TN_COUNT(methods)];

static enum tn_err route(struct tn_server *server, size_t number, struct tn_handler handler,
                         void *context)
{
    const struct tn_pb_method *method = &tn_oip_grpc_inference_service.methods[number];
    handler.context = context;
    return tn_server_route_grpc(server, tn_str_from(method->path), &handler);
}

enum tn_err tn_grpc_service_route(struct tn_service *service, struct tn_server *server)
{
    struct tn_handler load = {.request = on_load};
    struct tn_handler unload = {.request = on_unload};
    enum tn_err err = TN_OK;
    for (size_t i = 0; err == TN_OK && i < TN_COUNT(methods); i++) {
        struct tn_handler handler = {.request = on_request};
        bound_methods[i] = (struct bound_method){
            service, &methods[i], &tn_oip_grpc_inference_service.methods[methods[i].number]};
        err = route(server, methods[i].number, handler, &bound_methods[i]);
    }
    if (err == TN_OK) {
        err = route(server, TN_OIP_GRPC_INFERENCE_REPOSITORY_MODEL_LOAD, load, service);
    }
    if (err == TN_OK) {
        err = route(server, TN_OIP_GRPC_INFERENCE_REPOSITORY_MODEL_UNLOAD, unload, service);
    }
    if (err == TN_OK) {
        err = route(server, TN_OIP_GRPC_INFERENCE_MODEL_INFER, tn_grpc_infer_handler, service);
    }
    if (err == TN_OK) {
        err = route(server, TN_OIP_GRPC_INFERENCE_MODEL_STREAM_INFER, tn_grpc_stream_handler,
                    service);
    }
    return err;
}
