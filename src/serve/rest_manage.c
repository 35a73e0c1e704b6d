/* Repository and shared memory by REST. Memory: the arena and one block an answer. */
#include "core/assert.h"
#include "core/json.h"
#include "proto/inference.pb.h"
#include "serve/rest_call.h"

#define KEY(text) TN_STR_OF(text)

/* --- Repository --- */
static enum tn_err read_index_body(struct tn_rest_call *rest, bool *ret_ready)
{
    static const char *const names[] = {"ready", NULL};
    struct tn_json json;
    uint32_t seen = 0;
    size_t index = 0;
    enum tn_err err = tn_rest_body_begin(rest, &json);
    while (err == TN_OK) {
        err = tn_rest_next_key(rest, &json, names, &seen, &index);
        if (err == TN_OK) {
            err = index == 0 ? tn_rest_read_bool(rest, &json, "ready", ret_ready)
                             : tn_rest_skip(rest, &json);
        }
    }
    return err == TN_DONE ? TN_OK : err;
}

void tn_rest_repository_index(struct tn_rest_call *rest)
{
    struct tn_oip_repository_index_request request = {0};
    struct tn_oip_repository_index_response response = {0};
    struct tn_rest_out out;
    if (read_index_body(rest, &request.ready) != TN_OK ||
        tn_service_repository_index(&rest->with, &request, &response) != TN_OK) {
        tn_rest_fail(rest);
        return;
    }
    tn_rest_out_begin(&out);
    tn_json_open_array(&out.json);
    for (size_t i = 0; i < response.models_count; i++) {
        const struct tn_oip_repository_index_response_model_index *model = &response.models[i];
        tn_json_open_object(&out.json);
        tn_json_pair_str(&out.json, KEY("name"), model->name);
        tn_json_pair_str(&out.json, KEY("version"), model->version);
        tn_json_pair_str(&out.json, KEY("state"), model->state);
        tn_json_pair_str(&out.json, KEY("reason"), model->reason);
        tn_json_close(&out.json);
    }
    tn_json_close(&out.json);
    tn_rest_out_reply(rest, &out);
}

/* The parameters are looked at only to refuse the ones that would change what is loaded. */
static enum tn_err read_load_body(struct tn_rest_call *rest,
                                  struct tn_oip_repository_model_load_request *request)
{
    static const char *const names[] = {"parameters", NULL};
    static const char *const none[] = {NULL};
    struct tn_json json;
    uint32_t seen = 0;
    uint32_t inner = 0;
    size_t index = 0;
    enum tn_err err = tn_rest_body_begin(rest, &json);
    if (err == TN_OK) {
        err = tn_rest_next_key(rest, &json, names, &seen, &index);
    }
    if (err != TN_OK || index != 0) {
        return err == TN_DONE ? TN_OK : err;
    }
    if (tn_json_next(&json) != TN_OK || json.event != TN_JSON_OBJECT) {
        return tn_rest_wrong_value(rest, &json, "parameters", "an object");
    }
    while ((err = tn_rest_next_key(rest, &json, none, &inner, &index)) == TN_OK) {
        struct tn_oip_model_repository_parameter_entry *entry =
            TN_ARENA_NEW(rest->with.arena, struct tn_oip_model_repository_parameter_entry);
        if (entry == NULL || tn_json_text(&json, rest->with.arena, &entry->key) != TN_OK) {
            return tn_fault_set(&rest->fault, TN_NOMEM, "no memory for this request");
        }
        request->parameters = entry;
        request->parameters_count = 1;
        if (tn_str_is(entry->key, "config") || tn_str_starts(entry->key, TN_STR_OF("file:"))) {
            return TN_OK;
        }
        err = tn_rest_skip(rest, &json);
        if (err != TN_OK) {
            return err;
        }
    }
    return err == TN_DONE ? TN_OK : err;
}

static void on_order_done(struct tn_store_order *order)
{
    struct tn_rest_call *rest = order->user;
    if (order->fault.code != TN_OK) {
        rest->fault = order->fault;
        tn_rest_fail(rest);
        return;
    }
    tn_rest_done(rest);
}

static void place(struct tn_rest_call *rest, struct tn_store_order *order, enum tn_err err)
{
    if (err == TN_OK) {
        order->reply = &rest->with.lane->orders.chan;
        order->done = on_order_done;
        order->user = rest;
        err = tn_store_ask(rest->with.service->store, order);
        if (err != TN_OK) {
            tn_fault_set(&rest->fault, err, "the repository takes no more orders now");
        }
    }
    if (err != TN_OK) {
        tn_rest_fail(rest);
    }
}

static struct tn_store_order *take_order(struct tn_rest_call *rest)
{
    struct tn_store_order *order = TN_ARENA_NEW(rest->with.arena, struct tn_store_order);
    if (order == NULL) {
        tn_fault_set(&rest->fault, TN_NOMEM, "no memory for this request");
    }
    return order;
}

void tn_rest_load(struct tn_rest_call *rest)
{
    struct tn_oip_repository_model_load_request request = {.model_name = rest->arguments[0]};
    struct tn_store_order *order = take_order(rest);
    enum tn_err err = order != NULL ? read_load_body(rest, &request) : TN_NOMEM;
    if (err == TN_OK) {
        err = tn_service_load_order(&rest->with, &request, order);
    }
    place(rest, order, err);
}

void tn_rest_unload(struct tn_rest_call *rest)
{
    struct tn_oip_repository_model_unload_request request = {.model_name = rest->arguments[0]};
    struct tn_store_order *order = take_order(rest);
    enum tn_err err =
        order != NULL ? tn_service_unload_order(&rest->with, &request, order) : TN_NOMEM;
    place(rest, order, err);
}

/* --- Shared memory --- */
void tn_rest_shm_status(struct tn_rest_call *rest)
{
    struct tn_oip_system_shared_memory_status_request request = {rest->arguments[0]};
    struct tn_oip_system_shared_memory_status_response response = {0};
    struct tn_rest_out out;
    if (tn_service_shm_status(&rest->with, &request, &response) != TN_OK) {
        tn_rest_fail(rest);
        return;
    }
    tn_rest_out_begin(&out);
    tn_json_open_array(&out.json);
    for (size_t i = 0; i < response.regions_count; i++) {
        tn_json_open_object(&out.json);
        tn_json_pair_str(&out.json, KEY("name"), response.regions[i].value->name);
        tn_json_pair_str(&out.json, KEY("key"), response.regions[i].value->key);
        tn_json_pair_uint64(&out.json, KEY("offset"), response.regions[i].value->offset);
        tn_json_pair_uint64(&out.json, KEY("byte_size"), response.regions[i].value->byte_size);
        tn_json_close(&out.json);
    }
    tn_json_close(&out.json);
    tn_rest_out_reply(rest, &out);
}

static enum tn_err read_register(struct tn_rest_call *rest,
                                 struct tn_oip_system_shared_memory_register_request *request)
{
    static const char *const names[] = {"key", "offset", "byte_size", NULL};
    struct tn_json json;
    uint32_t seen = 0;
    size_t index = 0;
    enum tn_err err = tn_rest_body_begin(rest, &json);
    while (err == TN_OK) {
        err = tn_rest_next_key(rest, &json, names, &seen, &index);
        if (err != TN_OK) {
            break;
        }
        err = index == 0   ? tn_rest_read_str(rest, &json, "key", &request->key)
              : index == 1 ? tn_rest_read_u64(rest, &json, "offset", &request->offset)
              : index == 2 ? tn_rest_read_u64(rest, &json, "byte_size", &request->byte_size)
                           : tn_rest_skip(rest, &json);
    }
    if (err == TN_DONE && (seen & 5) != 5) {
        return tn_fault_set(&rest->fault, TN_INVALID,
                            "registering a region needs \"key\" and \"byte_size\"");
    }
    return err == TN_DONE ? TN_OK : err;
}

void tn_rest_shm_register(struct tn_rest_call *rest)
{
    struct tn_oip_system_shared_memory_register_request request = {.name = rest->arguments[0]};
    struct tn_oip_system_shared_memory_register_response response;
    if (read_register(rest, &request) != TN_OK ||
        tn_service_shm_register(&rest->with, &request, &response) != TN_OK) {
        tn_rest_fail(rest);
        return;
    }
    tn_rest_done(rest);
}

void tn_rest_shm_unregister(struct tn_rest_call *rest)
{
    struct tn_oip_system_shared_memory_unregister_request request = {rest->arguments[0]};
    struct tn_oip_system_shared_memory_unregister_response response;
    if (tn_service_shm_unregister(&rest->with, &request, &response) != TN_OK) {
        tn_rest_fail(rest);
        return;
    }
    tn_rest_done(rest);
}

void tn_rest_cuda_status(struct tn_rest_call *rest)
{
    struct tn_oip_cuda_shared_memory_status_request request = {rest->arguments[0]};
    struct tn_oip_cuda_shared_memory_status_response response = {0};
    if (tn_service_cuda_status(&rest->with, &request, &response) != TN_OK) {
        tn_rest_fail(rest);
        return;
    }
    tn_rest_reply_text(rest, 200, TN_STR_OF("application/json"), TN_STR_OF("[]"));
}

void tn_rest_cuda_register(struct tn_rest_call *rest)
{
    struct tn_oip_cuda_shared_memory_register_request request = {.name = rest->arguments[0]};
    struct tn_oip_cuda_shared_memory_register_response response;
    if (tn_service_cuda_register(&rest->with, &request, &response) != TN_OK) {
        tn_rest_fail(rest);
        return;
    }
    tn_rest_done(rest);
}

void tn_rest_cuda_unregister(struct tn_rest_call *rest)
{
    tn_rest_done(rest);
}
