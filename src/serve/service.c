/* The calls about the server and its models: see service.h. */
#include "serve/service.h"

#include "base/log.h"
#include "core/assert.h"
#include "proto/inference.pb.h"

struct tn_serve_lane *tn_service_lane(struct tn_service *service, const struct tn_loop *loop)
{
    for (size_t i = 0; i < service->lane_count; i++) {
        if (service->lanes[i].loop == loop) {
            return &service->lanes[i];
        }
    }
    TN_UNREACHABLE();
}

bool tn_service_ready(struct tn_service *service)
{
    if (atomic_load_explicit(&service->draining, memory_order_relaxed)) {
        return false;
    }
    struct tn_store_state state = tn_store_state(service->store);
    return state.settled && (state.complete || !service->strict_readiness);
}

static enum tn_err no_memory(const struct tn_service_call *call)
{
    return tn_fault_set(call->fault, TN_NOMEM, "no memory for this answer");
}

enum tn_err tn_service_entry(const struct tn_service_call *call, struct tn_str name,
                             struct tn_str version, struct tn_entry **ret_entry)
{
    struct tn_entry *entry = NULL;
    enum tn_err err = tn_catalog_resolve(tn_catalog_read(&call->lane->reader), name, version,
                                         &entry, call->fault);
    if (err == TN_OK) {
        err = tn_entry_allows(entry, call->authorization, call->fault);
    }
    if (err == TN_OK) {
        *ret_entry = entry;
    }
    return err;
}

enum tn_err tn_service_server_live(const struct tn_service_call *call,
                                   const struct tn_oip_server_live_request *request,
                                   struct tn_oip_server_live_response *ret_response)
{
    (void)call;
    (void)request;
    ret_response->live = true;
    return TN_OK;
}

enum tn_err tn_service_server_ready(const struct tn_service_call *call,
                                    const struct tn_oip_server_ready_request *request,
                                    struct tn_oip_server_ready_response *ret_response)
{
    (void)request;
    ret_response->ready = tn_service_ready(call->service);
    return TN_OK;
}

enum tn_err tn_service_model_ready(const struct tn_service_call *call,
                                   const struct tn_oip_model_ready_request *request,
                                   struct tn_oip_model_ready_response *ret_response)
{
    struct tn_entry *entry = NULL;
    enum tn_err err = tn_service_entry(call, request->name, request->version, &entry);
    if (err != TN_OK && err != TN_NOTFOUND) {
        return err;
    }
    ret_response->ready =
        err == TN_OK && !atomic_load_explicit(&call->service->draining, memory_order_relaxed);
    return TN_OK;
}

enum tn_err tn_service_server_metadata(const struct tn_service_call *call,
                                       const struct tn_oip_server_metadata_request *request,
                                       struct tn_oip_server_metadata_response *ret_response)
{
    static const struct tn_str extensions[] = {
        TN_STR("classification"),
        TN_STR("sequence"),
        TN_STR("model_repository"),
        TN_STR("schedule_policy"),
        TN_STR("model_configuration"),
        TN_STR("system_shared_memory"),
        TN_STR("binary_tensor_data"),
        TN_STR("parameters"),
        TN_STR("statistics"),
        TN_STR("trace"),
        TN_STR("logging"),
    };
    (void)request;
    struct tn_str *copy = tn_arena_take(call->arena, sizeof(extensions), _Alignof(struct tn_str));
    if (copy == NULL) {
        return no_memory(call);
    }
    memcpy(copy, extensions, sizeof(extensions));
    ret_response->name = TN_STR_OF("tenon");
    ret_response->version = call->service->version;
    ret_response->extensions = copy;
    ret_response->extensions_count = TN_COUNT(extensions);
    return TN_OK;
}

static struct tn_oip_model_metadata_response_tensor_metadata *tensors(
    const struct tn_service_call *call, const struct tn_signature *signatures, size_t count)
{
    struct tn_oip_model_metadata_response_tensor_metadata *result = TN_ARENA_ARRAY(
        call->arena, struct tn_oip_model_metadata_response_tensor_metadata, count + 1);
    for (size_t i = 0; result != NULL && i < count; i++) {
        /* The shape is read, never written. */
        result[i].name = signatures[i].name;
        result[i].datatype = tn_str_from(tn_dtype_name(signatures[i].dtype));
        result[i].shape = (int64_t *)(uintptr_t)signatures[i].shape.dims;
        result[i].shape_count = signatures[i].shape.rank;
    }
    return result;
}

enum tn_err tn_service_model_metadata(const struct tn_service_call *call,
                                      const struct tn_oip_model_metadata_request *request,
                                      struct tn_oip_model_metadata_response *ret_response)
{
    struct tn_entry *entry = NULL;
    enum tn_err err = tn_service_entry(call, request->name, request->version, &entry);
    if (err != TN_OK) {
        return err;
    }
    const struct tn_model_info *info = entry->info;
    const struct tn_catalog_view *view = call->lane->reader.view;
    struct tn_str *versions = TN_ARENA_ARRAY(call->arena, struct tn_str, view->count + 1);
    struct tn_oip_string_entry *properties =
        TN_ARENA_ARRAY(call->arena, struct tn_oip_string_entry, 1);
    ret_response->inputs = tensors(call, info->inputs, info->input_count);
    ret_response->outputs = tensors(call, info->outputs, info->output_count);
    if (versions == NULL || properties == NULL || ret_response->inputs == NULL ||
        ret_response->outputs == NULL) {
        return no_memory(call);
    }
    size_t count = 0;
    for (size_t i = view->count; i > 0; i--) {
        if (tn_str_equal(view->entries[i - 1]->info->name, info->name)) {
            versions[count++] = view->entries[i - 1]->version;
        }
    }
    properties[0] = (struct tn_oip_string_entry){TN_STR("model_sha256"), entry->sha256};
    ret_response->name = info->name;
    ret_response->versions = versions;
    ret_response->versions_count = count;
    ret_response->platform = tn_str_from(info->platform);
    ret_response->inputs_count = info->input_count;
    ret_response->outputs_count = info->output_count;
    ret_response->properties = properties;
    ret_response->properties_count = 1;
    return TN_OK;
}

/* --- Statistics --- */
static struct tn_oip_statistic_duration *duration(const struct tn_service_call *call,
                                                  uint64_t count, uint64_t ns, bool *failed)
{
    struct tn_oip_statistic_duration *result =
        TN_ARENA_NEW(call->arena, struct tn_oip_statistic_duration);
    if (result == NULL) {
        *failed = true;
        return NULL;
    }
    *result = (struct tn_oip_statistic_duration){count, ns};
    return result;
}

enum { BATCH_SIZES_MAX = 128 };

static bool batch_statistics(const struct tn_service_call *call, const struct tn_entry *entry,
                             struct tn_oip_model_statistics *out)
{
    struct tn_batch_stats stats[BATCH_SIZES_MAX];
    bool failed = false;
    size_t count = tn_model_batch_stats(entry->model, stats, BATCH_SIZES_MAX);
    out->batch_stats = TN_ARENA_ARRAY(call->arena, struct tn_oip_infer_batch_statistics, count + 1);
    if (out->batch_stats == NULL) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        struct tn_oip_infer_batch_statistics *batch = &out->batch_stats[out->batch_stats_count++];
        uint64_t runs = stats[i].count;
        batch->batch_size = stats[i].batch_size;
        batch->compute_input = duration(call, runs, stats[i].compute_input_ns, &failed);
        batch->compute_infer = duration(call, runs, stats[i].compute_infer_ns, &failed);
        batch->compute_output = duration(call, runs, stats[i].compute_output_ns, &failed);
    }
    return !failed;
}

static bool statistics(const struct tn_service_call *call, const struct tn_entry *entry,
                       struct tn_oip_model_statistics *out)
{
    struct tn_model_stats stats;
    bool failed = false;
    tn_model_stats(entry->model, &stats);
    struct tn_oip_infer_statistics *infer =
        TN_ARENA_NEW(call->arena, struct tn_oip_infer_statistics);
    struct tn_oip_memory_usage *memory = TN_ARENA_NEW(call->arena, struct tn_oip_memory_usage);
    if (infer == NULL || memory == NULL) {
        return false;
    }
    uint64_t computed = stats.success_count;
    infer->success = duration(call, stats.success_count, stats.success_ns, &failed);
    infer->fail = duration(call, stats.fail_count, stats.fail_ns, &failed);
    infer->queue = duration(call, stats.queue_count, stats.queue_ns, &failed);
    computed -= stats.cache_hit_count < computed ? stats.cache_hit_count : computed;
    infer->compute_input = duration(call, computed, stats.compute_input_ns, &failed);
    infer->compute_infer = duration(call, computed, stats.compute_infer_ns, &failed);
    infer->compute_output = duration(call, computed, stats.compute_output_ns, &failed);
    infer->cache_hit = duration(call, stats.cache_hit_count, stats.cache_hit_ns, &failed);
    infer->cache_miss = duration(call, stats.cache_miss_count, stats.cache_miss_ns, &failed);
    *memory =
        (struct tn_oip_memory_usage){.type = TN_STR("CPU"), .byte_size = entry->info->memory_bytes};
    *out = (struct tn_oip_model_statistics){
        .name = entry->info->name,
        .version = entry->version,
        .last_inference = stats.last_inference_ms,
        .inference_count = stats.inference_count,
        .execution_count = stats.execution_count,
        .inference_stats = infer,
        .memory_usage = memory,
        .memory_usage_count = 1,
    };
    return !failed && batch_statistics(call, entry, out);
}

enum tn_err tn_service_model_statistics(const struct tn_service_call *call,
                                        const struct tn_oip_model_statistics_request *request,
                                        struct tn_oip_model_statistics_response *ret_response)
{
    struct tn_entry *one = NULL;
    if (request->name.size > 0) {
        enum tn_err err = tn_service_entry(call, request->name, request->version, &one);
        if (err != TN_OK) {
            return err;
        }
    }
    const struct tn_catalog_view *view = tn_catalog_read(&call->lane->reader);
    struct tn_oip_model_statistics *all =
        TN_ARENA_ARRAY(call->arena, struct tn_oip_model_statistics, view->count + 1);
    size_t count = 0;
    if (all == NULL) {
        return no_memory(call);
    }
    for (size_t i = 0; i < view->count; i++) {
        struct tn_entry *entry = view->entries[i];
        bool wanted =
            one == NULL || entry == one ||
            (request->version.size == 0 && tn_str_equal(entry->info->name, one->info->name));
        if (wanted && !statistics(call, entry, &all[count++])) {
            return no_memory(call);
        }
    }
    ret_response->model_stats = all;
    ret_response->model_stats_count = count;
    return TN_OK;
}

/* --- Repository --- */
enum tn_err tn_service_repository_index(const struct tn_service_call *call,
                                        const struct tn_oip_repository_index_request *request,
                                        struct tn_oip_repository_index_response *ret_response)
{
    struct tn_store_index_item *items = NULL;
    size_t count = 0;
    if (tn_store_index(call->service->store, call->arena, &items, &count) != TN_OK) {
        return no_memory(call);
    }
    struct tn_oip_repository_index_response_model_index *models =
        TN_ARENA_ARRAY(call->arena, struct tn_oip_repository_index_response_model_index, count + 1);
    if (models == NULL) {
        return no_memory(call);
    }
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        if (request->ready && !tn_str_is(items[i].state, "READY")) {
            continue;
        }
        models[used++] = (struct tn_oip_repository_index_response_model_index){
            items[i].name, items[i].version, items[i].state, items[i].reason};
    }
    ret_response->models = models;
    ret_response->models_count = used;
    return TN_OK;
}

static enum tn_err fill_order(const struct tn_service_call *call, struct tn_str name,
                              enum tn_store_verb verb, struct tn_store_order *order)
{
    if (name.size == 0) {
        return tn_fault_set(call->fault, TN_INVALID, "which model? The name is empty");
    }
    /* Who may not use a model may not take it away from those who do. */
    const struct tn_entry *entry = tn_catalog_find(tn_catalog_read(&call->lane->reader), name, -1);
    if (entry != NULL) {
        enum tn_err err = tn_entry_allows(entry, call->authorization, call->fault);
        if (err != TN_OK) {
            return err;
        }
    }
    *order = (struct tn_store_order){.verb = verb, .name = name};
    return TN_OK;
}

enum tn_err tn_service_load_order(const struct tn_service_call *call,
                                  const struct tn_oip_repository_model_load_request *request,
                                  struct tn_store_order *order)
{
    for (size_t i = 0; i < request->parameters_count; i++) {
        struct tn_str key = request->parameters[i].key;
        if (tn_str_is(key, "config") || tn_str_starts(key, TN_STR_OF("file:"))) {
            return tn_fault_set(call->fault, TN_UNSUPPORTED,
                                "load parameter '%.*s' is not supported: models are loaded from "
                                "the repository alone, so that their hash can be trusted",
                                TN_STR_ARG(key));
        }
    }
    return fill_order(call, request->model_name, TN_STORE_LOAD, order);
}

enum tn_err tn_service_unload_order(const struct tn_service_call *call,
                                    const struct tn_oip_repository_model_unload_request *request,
                                    struct tn_store_order *order)
{
    return fill_order(call, request->model_name, TN_STORE_UNLOAD, order);
}
