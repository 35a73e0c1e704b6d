/* Metadata, configuration and statistics as JSON. Memory: the arena and one block an answer. */
#include "core/assert.h"
#include "proto/inference.pb.h"
#include "serve/rest_call.h"

#define KEY(text) TN_STR_OF(text)

void tn_rest_server_metadata(struct tn_rest_call *rest)
{
    struct tn_oip_server_metadata_request request = {0};
    struct tn_oip_server_metadata_response response = {0};
    struct tn_rest_out out;
    if (tn_service_server_metadata(&rest->with, &request, &response) != TN_OK) {
        tn_rest_fail(rest);
        return;
    }
    tn_rest_out_begin(&out);
    tn_json_open_object(&out.json);
    tn_json_pair_str(&out.json, KEY("name"), response.name);
    tn_json_pair_str(&out.json, KEY("version"), response.version);
    tn_json_key(&out.json, KEY("extensions"));
    tn_json_open_array(&out.json);
    for (size_t i = 0; i < response.extensions_count; i++) {
        tn_json_put_str(&out.json, response.extensions[i]);
    }
    tn_json_close(&out.json);
    tn_json_close(&out.json);
    tn_rest_out_reply(rest, &out);
}

static void put_dims(struct tn_json_writer *json, struct tn_str key, const int64_t *dims,
                     size_t count)
{
    tn_json_key(json, key);
    tn_json_open_array(json);
    for (size_t i = 0; i < count; i++) {
        tn_json_put_int64(json, dims[i]);
    }
    tn_json_close(json);
}

static void put_tensors(struct tn_json_writer *json, struct tn_str key,
                        const struct tn_oip_model_metadata_response_tensor_metadata *tensors,
                        size_t count)
{
    tn_json_key(json, key);
    tn_json_open_array(json);
    for (size_t i = 0; i < count; i++) {
        tn_json_open_object(json);
        tn_json_pair_str(json, KEY("name"), tensors[i].name);
        tn_json_pair_str(json, KEY("datatype"), tensors[i].datatype);
        put_dims(json, KEY("shape"), tensors[i].shape, tensors[i].shape_count);
        tn_json_close(json);
    }
    tn_json_close(json);
}

void tn_rest_model_metadata(struct tn_rest_call *rest)
{
    struct tn_oip_model_metadata_request request = {rest->arguments[0], rest->arguments[1]};
    struct tn_oip_model_metadata_response response = {0};
    struct tn_rest_out out;
    if (tn_service_model_metadata(&rest->with, &request, &response) != TN_OK) {
        tn_rest_fail(rest);
        return;
    }
    tn_rest_out_begin(&out);
    struct tn_json_writer *json = &out.json;
    tn_json_open_object(json);
    tn_json_pair_str(json, KEY("name"), response.name);
    tn_json_key(json, KEY("versions"));
    tn_json_open_array(json);
    for (size_t i = 0; i < response.versions_count; i++) {
        tn_json_put_str(json, response.versions[i]);
    }
    tn_json_close(json);
    tn_json_pair_str(json, KEY("platform"), response.platform);
    put_tensors(json, KEY("inputs"), response.inputs, response.inputs_count);
    put_tensors(json, KEY("outputs"), response.outputs, response.outputs_count);
    tn_json_key(json, KEY("properties"));
    tn_json_open_object(json);
    for (size_t i = 0; i < response.properties_count; i++) {
        tn_json_pair_str(json, response.properties[i].key, response.properties[i].value);
    }
    tn_json_close(json);
    tn_json_close(json);
    tn_rest_out_reply(rest, &out);
}

/* --- Configuration, in the JSON form of the protobuf message --- */
static struct tn_str type_name(int32_t type)
{
    static const char *const names[] = {
        "TYPE_INVALID", "TYPE_BOOL", "TYPE_UINT8", "TYPE_UINT16", "TYPE_UINT32",
        "TYPE_UINT64",  "TYPE_INT8", "TYPE_INT16", "TYPE_INT32",  "TYPE_INT64",
        "TYPE_FP16",    "TYPE_FP32", "TYPE_FP64",  "TYPE_STRING", "TYPE_BF16",
    };
    return tn_str_from(type >= 0 && (size_t)type < TN_COUNT(names) ? names[type] : names[0]);
}

static void put_config_tensors(struct tn_json_writer *json,
                               const struct tn_oip_model_config *config)
{
    tn_json_key(json, KEY("input"));
    tn_json_open_array(json);
    for (size_t i = 0; i < config->input_count; i++) {
        tn_json_open_object(json);
        tn_json_pair_str(json, KEY("name"), config->input[i].name);
        tn_json_pair_str(json, KEY("data_type"), type_name(config->input[i].data_type));
        put_dims(json, KEY("dims"), config->input[i].dims, config->input[i].dims_count);
        tn_json_close(json);
    }
    tn_json_close(json);
    tn_json_key(json, KEY("output"));
    tn_json_open_array(json);
    for (size_t i = 0; i < config->output_count; i++) {
        tn_json_open_object(json);
        tn_json_pair_str(json, KEY("name"), config->output[i].name);
        tn_json_pair_str(json, KEY("data_type"), type_name(config->output[i].data_type));
        put_dims(json, KEY("dims"), config->output[i].dims, config->output[i].dims_count);
        tn_json_pair_str(json, KEY("label_filename"), config->output[i].label_filename);
        tn_json_close(json);
    }
    tn_json_close(json);
}

static void put_versions(struct tn_json_writer *json,
                         const struct tn_oip_model_version_policy *policy)
{
    tn_json_key(json, KEY("version_policy"));
    tn_json_open_object(json);
    if (policy->policy_choice == TN_OIP_MODEL_VERSION_POLICY_LATEST) {
        tn_json_key(json, KEY("latest"));
        tn_json_open_object(json);
        tn_json_pair_uint64(json, KEY("num_versions"), policy->latest->num_versions);
        tn_json_close(json);
    } else if (policy->policy_choice == TN_OIP_MODEL_VERSION_POLICY_ALL) {
        tn_json_key(json, KEY("all"));
        tn_json_open_object(json);
        tn_json_close(json);
    } else {
        tn_json_key(json, KEY("specific"));
        tn_json_open_object(json);
        put_dims(json, KEY("versions"), policy->specific->versions,
                 policy->specific->versions_count);
        tn_json_close(json);
    }
    tn_json_close(json);
}

static void put_batching(struct tn_json_writer *json,
                         const struct tn_oip_model_dynamic_batching *batching)
{
    tn_json_key(json, KEY("dynamic_batching"));
    tn_json_open_object(json);
    tn_json_key(json, KEY("preferred_batch_size"));
    tn_json_open_array(json);
    for (size_t i = 0; i < batching->preferred_batch_size_count; i++) {
        tn_json_put_int64(json, batching->preferred_batch_size[i]);
    }
    tn_json_close(json);
    tn_json_pair_uint64(json, KEY("max_queue_delay_microseconds"),
                        batching->max_queue_delay_microseconds);
    tn_json_pair_uint64(json, KEY("priority_levels"), batching->priority_levels);
    tn_json_pair_uint64(json, KEY("default_priority_level"), batching->default_priority_level);
    tn_json_close(json);
}

static void put_sequence(struct tn_json_writer *json,
                         const struct tn_oip_model_sequence_batching *sequence)
{
    tn_json_key(json, KEY("sequence_batching"));
    tn_json_open_object(json);
    tn_json_pair_uint64(json, KEY("max_sequence_idle_microseconds"),
                        sequence->max_sequence_idle_microseconds);
    tn_json_key(json, KEY("state"));
    tn_json_open_array(json);
    for (size_t i = 0; i < sequence->state_count; i++) {
        tn_json_open_object(json);
        tn_json_pair_str(json, KEY("input_name"), sequence->state[i].input_name);
        tn_json_pair_str(json, KEY("output_name"), sequence->state[i].output_name);
        tn_json_close(json);
    }
    tn_json_close(json);
    tn_json_close(json);
}

static void put_map(struct tn_json_writer *json, struct tn_str key,
                    const struct tn_oip_string_entry *entries, size_t count)
{
    tn_json_key(json, key);
    tn_json_open_object(json);
    for (size_t i = 0; i < count; i++) {
        tn_json_pair_str(json, entries[i].key, entries[i].value);
    }
    tn_json_close(json);
}

static void put_steps(struct tn_json_writer *json, const struct tn_oip_model_ensembling *steps)
{
    tn_json_key(json, KEY("ensemble_scheduling"));
    tn_json_open_object(json);
    tn_json_key(json, KEY("step"));
    tn_json_open_array(json);
    for (size_t i = 0; i < steps->step_count; i++) {
        const struct tn_oip_model_ensembling_step *step = &steps->step[i];
        tn_json_open_object(json);
        tn_json_pair_str(json, KEY("model_name"), step->model_name);
        tn_json_key(json, KEY("model_version"));
        tn_json_put_int64(json, step->model_version);
        put_map(json, KEY("input_map"), step->input_map, step->input_map_count);
        put_map(json, KEY("output_map"), step->output_map, step->output_map_count);
        tn_json_close(json);
    }
    tn_json_close(json);
    tn_json_close(json);
}

static void put_scheduling(struct tn_json_writer *json, const struct tn_oip_model_config *config)
{
    if (config->scheduling_choice == TN_OIP_MODEL_CONFIG_DYNAMIC_BATCHING) {
        put_batching(json, config->dynamic_batching);
    } else if (config->scheduling_choice == TN_OIP_MODEL_CONFIG_SEQUENCE_BATCHING) {
        put_sequence(json, config->sequence_batching);
    } else if (config->scheduling_choice == TN_OIP_MODEL_CONFIG_ENSEMBLE_SCHEDULING) {
        put_steps(json, config->ensemble_scheduling);
    }
}

void tn_rest_model_config(struct tn_rest_call *rest)
{
    struct tn_oip_model_config_request request = {rest->arguments[0], rest->arguments[1]};
    struct tn_oip_model_config_response response = {0};
    struct tn_rest_out out;
    if (tn_service_model_config(&rest->with, &request, &response) != TN_OK) {
        tn_rest_fail(rest);
        return;
    }
    const struct tn_oip_model_config *config = response.config;
    tn_rest_out_begin(&out);
    struct tn_json_writer *json = &out.json;
    tn_json_open_object(json);
    tn_json_pair_str(json, KEY("name"), config->name);
    tn_json_pair_str(json, KEY("platform"), config->platform);
    tn_json_pair_str(json, KEY("backend"), config->backend);
    put_versions(json, config->version_policy);
    tn_json_key(json, KEY("max_batch_size"));
    tn_json_put_int64(json, config->max_batch_size);
    put_config_tensors(json, config);
    tn_json_key(json, KEY("instance_group"));
    tn_json_open_array(json);
    for (size_t i = 0; i < config->instance_group_count; i++) {
        tn_json_open_object(json);
        tn_json_pair_str(json, KEY("name"), config->instance_group[i].name);
        tn_json_pair_str(json, KEY("kind"), TN_STR_OF("KIND_CPU"));
        tn_json_pair_uint64(json, KEY("count"), (uint64_t)config->instance_group[i].count);
        tn_json_close(json);
    }
    tn_json_close(json);
    tn_json_pair_str(json, KEY("default_model_filename"), config->default_model_filename);
    put_scheduling(json, config);
    tn_json_key(json, KEY("parameters"));
    tn_json_open_object(json);
    for (size_t i = 0; i < config->parameters_count; i++) {
        tn_json_key(json, config->parameters[i].key);
        tn_json_open_object(json);
        tn_json_pair_str(json, KEY("string_value"), config->parameters[i].value->string_value);
        tn_json_close(json);
    }
    tn_json_close(json);
    tn_json_key(json, KEY("response_cache"));
    tn_json_open_object(json);
    tn_json_key(json, KEY("enable"));
    tn_json_put_bool(json, config->response_cache->enable);
    tn_json_close(json);
    tn_json_key(json, KEY("model_transaction_policy"));
    tn_json_open_object(json);
    tn_json_key(json, KEY("decoupled"));
    tn_json_put_bool(json, false);
    tn_json_close(json);
    tn_json_close(json);
    tn_rest_out_reply(rest, &out);
}

/* --- Statistics --- */
static void put_duration(struct tn_json_writer *json, struct tn_str key,
                         const struct tn_oip_statistic_duration *duration)
{
    tn_json_key(json, key);
    tn_json_open_object(json);
    tn_json_pair_uint64(json, KEY("count"), duration->count);
    tn_json_pair_uint64(json, KEY("ns"), duration->ns);
    tn_json_close(json);
}

static void put_statistics(struct tn_json_writer *json, const struct tn_oip_model_statistics *stats)
{
    const struct tn_oip_infer_statistics *infer = stats->inference_stats;
    tn_json_open_object(json);
    tn_json_pair_str(json, KEY("name"), stats->name);
    tn_json_pair_str(json, KEY("version"), stats->version);
    tn_json_pair_uint64(json, KEY("last_inference"), stats->last_inference);
    tn_json_pair_uint64(json, KEY("inference_count"), stats->inference_count);
    tn_json_pair_uint64(json, KEY("execution_count"), stats->execution_count);
    tn_json_key(json, KEY("inference_stats"));
    tn_json_open_object(json);
    put_duration(json, KEY("success"), infer->success);
    put_duration(json, KEY("fail"), infer->fail);
    put_duration(json, KEY("queue"), infer->queue);
    put_duration(json, KEY("compute_input"), infer->compute_input);
    put_duration(json, KEY("compute_infer"), infer->compute_infer);
    put_duration(json, KEY("compute_output"), infer->compute_output);
    put_duration(json, KEY("cache_hit"), infer->cache_hit);
    put_duration(json, KEY("cache_miss"), infer->cache_miss);
    tn_json_close(json);
    tn_json_key(json, KEY("batch_stats"));
    tn_json_open_array(json);
    for (size_t i = 0; i < stats->batch_stats_count; i++) {
        const struct tn_oip_infer_batch_statistics *batch = &stats->batch_stats[i];
        tn_json_open_object(json);
        tn_json_pair_uint64(json, KEY("batch_size"), batch->batch_size);
        put_duration(json, KEY("compute_input"), batch->compute_input);
        put_duration(json, KEY("compute_infer"), batch->compute_infer);
        put_duration(json, KEY("compute_output"), batch->compute_output);
        tn_json_close(json);
    }
    tn_json_close(json);
    tn_json_key(json, KEY("memory_usage"));
    tn_json_open_array(json);
    for (size_t i = 0; i < stats->memory_usage_count; i++) {
        tn_json_open_object(json);
        tn_json_pair_str(json, KEY("type"), stats->memory_usage[i].type);
        tn_json_pair_uint64(json, KEY("id"), (uint64_t)stats->memory_usage[i].id);
        tn_json_pair_uint64(json, KEY("byte_size"), stats->memory_usage[i].byte_size);
        tn_json_close(json);
    }
    tn_json_close(json);
    tn_json_close(json);
}

void tn_rest_model_stats(struct tn_rest_call *rest)
{
    struct tn_oip_model_statistics_request request = {rest->arguments[0], rest->arguments[1]};
    struct tn_oip_model_statistics_response response = {0};
    struct tn_rest_out out;
    if (tn_service_model_statistics(&rest->with, &request, &response) != TN_OK) {
        tn_rest_fail(rest);
        return;
    }
    tn_rest_out_begin(&out);
    tn_json_open_object(&out.json);
    tn_json_key(&out.json, KEY("model_stats"));
    tn_json_open_array(&out.json);
    for (size_t i = 0; i < response.model_stats_count; i++) {
        put_statistics(&out.json, &response.model_stats[i]);
    }
    tn_json_close(&out.json);
    tn_json_close(&out.json);
    tn_rest_out_reply(rest, &out);
}
