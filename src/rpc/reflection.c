/* gRPC server reflection; see reflection.h. Both versions have the same messages, so one set of
 * tables speaks both. Symbols are found by walking the files: reflection is asked by people.
 * Memory: per request, given back with its answer. Threads: the loops', read only. Bounds: as in
 * the header; FILES_MAX files with their imports. */
#include "rpc/reflection.h"

#include "base/mem.h"
#include "core/assert.h"
#include "proto/reflection.pb.h"
#include "proto/reflection_alpha.pb.h"

enum { FILES_MAX = 128, REQUEST_BYTES_MAX = 64 << 10, ARENA_BYTES_MAX = 1 << 20 };

struct tn_reflection {
    size_t file_count; /* with all imports, each once */
    const struct tn_pb_file *files[FILES_MAX];
};

/* One request and what answers it. */
struct exchange {
    const struct tn_reflection *reflection;
    struct tn_arena *arena;
    struct tn_reflection_server_reflection_request *request;
    struct tn_reflection_server_reflection_response response;
};

static enum tn_err add_file(struct tn_reflection *reflection, const struct tn_pb_file *file)
{
    for (size_t i = 0; i < reflection->file_count; i++) {
        if (reflection->files[i] == file) {
            return TN_OK;
        }
    }
    if (reflection->file_count == FILES_MAX) {
        return TN_LIMIT;
    }
    reflection->files[reflection->file_count++] = file;
    return TN_OK;
}

/* Appends the imports of all files, breadth first: the list grows while it is walked. */
static enum tn_err add_imports(struct tn_reflection *reflection)
{
    for (size_t i = 0; i < reflection->file_count; i++) {
        const struct tn_pb_file *const *import = reflection->files[i]->imports;
        for (; import != NULL && *import != NULL; import++) {
            enum tn_err err = add_file(reflection, *import);
            if (err < 0) {
                return err;
            }
        }
    }
    return TN_OK;
}

/* ---- answers ---- */

static enum tn_err answer_error(struct exchange *exchange, enum tn_grpc_status status,
                                const char *message)
{
    struct tn_reflection_error_response *error =
        TN_ARENA_NEW(exchange->arena, struct tn_reflection_error_response);
    if (error == NULL) {
        return TN_NOMEM;
    }
    error->error_code = (int32_t)status;
    error->error_message = tn_str_from(message);
    exchange->response.message_response = TN_REFLECTION_SERVER_REFLECTION_RESPONSE_ERROR_RESPONSE;
    exchange->response.error_response = error;
    return TN_OK;
}

/* The file, and behind it all it needs. */
static enum tn_err answer_file(struct exchange *exchange, const struct tn_pb_file *file)
{
    struct tn_reflection *needed = TN_ARENA_NEW(exchange->arena, struct tn_reflection);
    struct tn_reflection_file_descriptor_response *answer =
        TN_ARENA_NEW(exchange->arena, struct tn_reflection_file_descriptor_response);
    if (needed == NULL || answer == NULL) {
        return TN_NOMEM;
    }
    enum tn_err err = add_file(needed, file);
    err = err < 0 ? err : add_imports(needed);
    TN_ASSERT(err >= 0); /* a part of what create found to fit */
    struct tn_bytes *descriptors =
        TN_ARENA_ARRAY(exchange->arena, struct tn_bytes, needed->file_count);
    if (descriptors == NULL) {
        return TN_NOMEM;
    }
    for (size_t i = 0; i < needed->file_count; i++) {
        descriptors[i] = needed->files[i]->descriptor;
    }
    answer->file_descriptor_proto = descriptors;
    answer->file_descriptor_proto_count = needed->file_count;
    exchange->response.message_response =
        TN_REFLECTION_SERVER_REFLECTION_RESPONSE_FILE_DESCRIPTOR_RESPONSE;
    exchange->response.file_descriptor_response = answer;
    return TN_OK;
}

static enum tn_err answer_by_name(struct exchange *exchange, struct tn_str name)
{
    const struct tn_reflection *reflection = exchange->reflection;
    for (size_t i = 0; i < reflection->file_count; i++) {
        if (tn_str_is(name, reflection->files[i]->name)) {
            return answer_file(exchange, reflection->files[i]);
        }
    }
    return answer_error(exchange, TN_GRPC_NOT_FOUND, "no such file");
}

/* The file that defines the symbol, NULL when none does. */
static const struct tn_pb_file *file_of(const struct tn_reflection *reflection, struct tn_str name)
{
    for (size_t i = 0; i < reflection->file_count; i++) {
        const char *const *symbol = reflection->files[i]->symbols;
        for (; symbol != NULL && *symbol != NULL; symbol++) {
            if (tn_str_is(name, *symbol)) {
                return reflection->files[i];
            }
        }
    }
    return NULL;
}

static enum tn_err answer_by_symbol(struct exchange *exchange, struct tn_str symbol)
{
    const struct tn_pb_file *file = file_of(exchange->reflection, symbol);
    return file != NULL ? answer_file(exchange, file)
                        : answer_error(exchange, TN_GRPC_NOT_FOUND, "no such symbol");
}

/* proto3 has no extensions but of options: known messages have none, others are unknown. */
static enum tn_err answer_extensions(struct exchange *exchange, struct tn_str type)
{
    if (file_of(exchange->reflection, type) == NULL) {
        return answer_error(exchange, TN_GRPC_NOT_FOUND, "no such message");
    }
    struct tn_reflection_extension_number_response *answer =
        TN_ARENA_NEW(exchange->arena, struct tn_reflection_extension_number_response);
    if (answer == NULL) {
        return TN_NOMEM;
    }
    answer->base_type_name = type;
    exchange->response.message_response =
        TN_REFLECTION_SERVER_REFLECTION_RESPONSE_ALL_EXTENSION_NUMBERS_RESPONSE;
    exchange->response.all_extension_numbers_response = answer;
    return TN_OK;
}

static enum tn_err answer_services(struct exchange *exchange)
{
    const struct tn_reflection *reflection = exchange->reflection;
    size_t count = 0;
    for (size_t i = 0; i < reflection->file_count; i++) {
        const struct tn_pb_service *const *service = reflection->files[i]->served;
        for (; service != NULL && *service != NULL; service++) {
            count++;
        }
    }
    struct tn_reflection_list_service_response *answer =
        TN_ARENA_NEW(exchange->arena, struct tn_reflection_list_service_response);
    struct tn_reflection_service_response *services =
        TN_ARENA_ARRAY(exchange->arena, struct tn_reflection_service_response, count);
    if (answer == NULL || services == NULL) {
        return TN_NOMEM;
    }
    for (size_t i = 0; i < reflection->file_count; i++) {
        const struct tn_pb_service *const *service = reflection->files[i]->served;
        for (; service != NULL && *service != NULL; service++) {
            services[answer->service_count++].name = tn_str_from((*service)->name);
        }
    }
    answer->service = services;
    exchange->response.message_response =
        TN_REFLECTION_SERVER_REFLECTION_RESPONSE_LIST_SERVICES_RESPONSE;
    exchange->response.list_services_response = answer;
    return TN_OK;
}

static enum tn_err answer(struct exchange *exchange)
{
    const struct tn_reflection_server_reflection_request *request = exchange->request;
    switch (request->message_request) {
    case TN_REFLECTION_SERVER_REFLECTION_REQUEST_FILE_BY_FILENAME:
        return answer_by_name(exchange, request->file_by_filename);
    case TN_REFLECTION_SERVER_REFLECTION_REQUEST_FILE_CONTAINING_SYMBOL:
        return answer_by_symbol(exchange, request->file_containing_symbol);
    case TN_REFLECTION_SERVER_REFLECTION_REQUEST_FILE_CONTAINING_EXTENSION:
        return answer_error(exchange, TN_GRPC_NOT_FOUND, "no such extension");
    case TN_REFLECTION_SERVER_REFLECTION_REQUEST_ALL_EXTENSION_NUMBERS_OF_TYPE:
        return answer_extensions(exchange, request->all_extension_numbers_of_type);
    case TN_REFLECTION_SERVER_REFLECTION_REQUEST_LIST_SERVICES:
        return answer_services(exchange);
    default:
        return answer_error(exchange, TN_GRPC_INVALID_ARGUMENT, "the request asks for nothing");
    }
}

/* ---- the stream ---- */

static void begin(void *context, struct tn_call *call)
{
    (void)context;
    (void)call; /* each message is answered when it comes */
}

/* Encodes the answer into a block and sends it; TN_AGAIN: the client reads slowly. */
static enum tn_err send_answer(struct tn_call *call, const struct exchange *exchange)
{
    const struct tn_pb_message *message = &tn_reflection_server_reflection_response_pb;
    size_t size = tn_pb_size(message, &exchange->response);
    struct tn_block *block = NULL;
    enum tn_err err = tn_block_create(size, &block);
    if (err < 0) {
        return err;
    }
    tn_pb_encode(message, &exchange->response, block->data, size);
    block->size = size;
    struct tn_piece piece = {tn_bytes_make(block->data, size), block};
    err = tn_call_send(call, &piece, 1);
    if (err < 0) {
        tn_block_unref(block);
    }
    return err;
}

static enum tn_err answer_message(const struct tn_reflection *reflection, struct tn_call *call,
                                  struct tn_bytes bytes)
{
    struct tn_arena arena;
    const struct tn_arena_options options = {.source = tn_mem_source(),
                                             .size_max = ARENA_BYTES_MAX};
    tn_arena_init(&arena, &options);
    struct exchange exchange = {.reflection = reflection, .arena = &arena};
    exchange.request = TN_ARENA_NEW(&arena, struct tn_reflection_server_reflection_request);
    enum tn_err err = exchange.request != NULL ? TN_OK : TN_NOMEM;
    if (err >= 0) {
        err = bytes.size <= REQUEST_BYTES_MAX
                  ? tn_pb_decode(&tn_reflection_server_reflection_request_pb, bytes, &arena,
                                 exchange.request)
                  : TN_LIMIT;
    }
    if (err >= 0) {
        exchange.response.valid_host = exchange.request->host;
        exchange.response.original_request = exchange.request;
        err = answer(&exchange);
    }
    if (err >= 0) {
        err = send_answer(call, &exchange);
    }
    tn_arena_deinit(&arena);
    return err;
}

static void on_message(void *context, struct tn_call *call, struct tn_block *message)
{
    enum tn_err err = answer_message(context, call, tn_bytes_make(message->data, message->size));
    if (err == TN_AGAIN) {
        tn_call_pause(call);
    } else if (err < 0 && err != TN_CLOSED) {
        tn_call_finish(call, tn_grpc_status_of(err), TN_STR_OF("not a reflection request"));
    }
}

static void on_writable(void *context, struct tn_call *call)
{
    (void)context;
    tn_call_resume(call);
}

static void on_end(void *context, struct tn_call *call)
{
    (void)context;
    tn_call_finish(call, TN_GRPC_OK, tn_str_make("", 0));
}

/* ---- life ---- */

enum tn_err tn_reflection_create(struct tn_server *server, const struct tn_pb_file *const *files,
                                 size_t file_count, struct tn_reflection **ret_reflection)
{
    struct tn_reflection *reflection = tn_mem_take_zeroed(1, sizeof(*reflection));
    if (reflection == NULL) {
        return TN_NOMEM;
    }
    const struct tn_handler handler = {
        .request = begin,
        .message = on_message,
        .ended = on_end,
        .writable = on_writable,
        .cancelled = on_end,
        .context = reflection,
        .streaming = true,
    };
    enum tn_err err = TN_OK;
    for (size_t i = 0; err >= 0 && i < file_count; i++) {
        err = add_file(reflection, files[i]);
    }
    err = err < 0 ? err : add_file(reflection, &tn_reflection_reflection_file);
    err = err < 0 ? err : add_file(reflection, &tn_reflection_alpha_reflection_file);
    err = err < 0 ? err : add_imports(reflection);
    if (err >= 0) {
        err = tn_server_route_grpc(
            server, tn_str_from(tn_reflection_server_reflection_service.methods[0].path), &handler);
    }
    if (err >= 0) {
        err = tn_server_route_grpc(
            server, tn_str_from(tn_reflection_alpha_server_reflection_service.methods[0].path),
            &handler);
    }
    if (err < 0) {
        tn_mem_give(reflection);
        return err;
    }
    *ret_reflection = reflection;
    return TN_OK;
}

void tn_reflection_destroy(struct tn_reflection *reflection)
{
    tn_mem_give(reflection);
}
