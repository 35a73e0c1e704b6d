/* ModelConfig: what a model runs with, in Triton's words. Memory: the arena of the call. A failed
 * allocation leaves NULL behind, which `failed` remembers; the one check is at the end. */
#include "serve/service.h"

#include "core/assert.h"
#include "proto/inference.pb.h"

#include <stdio.h>

struct describing {
    struct tn_arena *arena;
    const struct tn_entry *entry;
    const struct tn_model_config *config;
    struct tn_oip_model_config *out;
    bool failed;
};

static void *take(struct describing *describing, size_t count, size_t size)
{
    static _Alignas(16) uint8_t nothing[16];
    void *memory = tn_arena_take_zeroed(describing->arena, count > 0 ? count : 1, size, 16);
    if (memory == NULL) {
        describing->failed = true;
        return nothing;
    }
    return memory;
}

/* An array that could not be taken is treated as empty, so nothing is written to it. */
static size_t room(const struct describing *describing, size_t count)
{
    return describing->failed ? 0 : count;
}

static int32_t data_type(enum tn_dtype dtype)
{
    static const uint8_t types[TN_DTYPE_COUNT] = {
        [TN_DTYPE_BOOL] = TN_OIP_TYPE_BOOL,     [TN_DTYPE_UINT8] = TN_OIP_TYPE_UINT8,
        [TN_DTYPE_UINT16] = TN_OIP_TYPE_UINT16, [TN_DTYPE_UINT32] = TN_OIP_TYPE_UINT32,
        [TN_DTYPE_UINT64] = TN_OIP_TYPE_UINT64, [TN_DTYPE_INT8] = TN_OIP_TYPE_INT8,
        [TN_DTYPE_INT16] = TN_OIP_TYPE_INT16,   [TN_DTYPE_INT32] = TN_OIP_TYPE_INT32,
        [TN_DTYPE_INT64] = TN_OIP_TYPE_INT64,   [TN_DTYPE_FP16] = TN_OIP_TYPE_FP16,
        [TN_DTYPE_FP32] = TN_OIP_TYPE_FP32,     [TN_DTYPE_FP64] = TN_OIP_TYPE_FP64,
        [TN_DTYPE_BF16] = TN_OIP_TYPE_BF16,     [TN_DTYPE_BYTES] = TN_OIP_TYPE_STRING,
    };
    return types[dtype];
}

/* Without the batch dimension, as the message has it. The dims are read, never written. */
static int64_t *dims(const struct describing *describing, const struct tn_shape *shape,
                     size_t *ret_count)
{
    size_t skip = describing->entry->info->batched && shape->rank > 0 ? 1 : 0;
    *ret_count = shape->rank - skip;
    return (int64_t *)(uintptr_t)(shape->dims + skip);
}

static void describe_tensors(struct describing *describing)
{
    const struct tn_model_info *info = describing->entry->info;
    struct tn_oip_model_config *out = describing->out;
    out->input = take(describing, info->input_count, sizeof(*out->input));
    out->output = take(describing, info->output_count, sizeof(*out->output));
    out->input_count = room(describing, info->input_count);
    out->output_count = room(describing, info->output_count);
    for (size_t i = 0; i < out->input_count; i++) {
        out->input[i].name = info->inputs[i].name;
        out->input[i].data_type = data_type(info->inputs[i].dtype);
        out->input[i].dims = dims(describing, &info->inputs[i].shape, &out->input[i].dims_count);
    }
    for (size_t i = 0; i < out->output_count; i++) {
        out->output[i].name = info->outputs[i].name;
        out->output[i].data_type = data_type(info->outputs[i].dtype);
        out->output[i].dims = dims(describing, &info->outputs[i].shape, &out->output[i].dims_count);
    }
    for (size_t i = 0; i < describing->config->label_count; i++) {
        for (size_t k = 0; k < out->output_count; k++) {
            if (tn_str_equal(out->output[k].name, describing->config->labels[i].name)) {
                out->output[k].label_filename = describing->config->labels[i].value;
            }
        }
    }
}

static void describe_versions(struct describing *describing)
{
    const struct tn_model_config *config = describing->config;
    struct tn_oip_model_version_policy *policy = take(describing, 1, sizeof(*policy));
    describing->out->version_policy = policy;
    if (describing->failed) {
        return;
    }
    if (config->version_policy == TN_VERSIONS_LATEST) {
        policy->policy_choice = TN_OIP_MODEL_VERSION_POLICY_LATEST;
        policy->latest = take(describing, 1, sizeof(*policy->latest));
        policy->latest->num_versions = config->versions_latest > 0 ? config->versions_latest : 1;
    } else if (config->version_policy == TN_VERSIONS_ALL) {
        policy->policy_choice = TN_OIP_MODEL_VERSION_POLICY_ALL;
        policy->all = take(describing, 1, sizeof(*policy->all));
    } else {
        policy->policy_choice = TN_OIP_MODEL_VERSION_POLICY_SPECIFIC;
        policy->specific = take(describing, 1, sizeof(*policy->specific));
        int64_t *versions = take(describing, config->version_count, sizeof(*versions));
        size_t count = room(describing, config->version_count);
        for (size_t i = 0; i < count; i++) {
            versions[i] = (int64_t)config->versions[i];
        }
        policy->specific->versions = versions;
        policy->specific->versions_count = count;
    }
}

static void describe_batching(struct describing *describing)
{
    const struct tn_batching_config *batching = &describing->config->batching;
    struct tn_oip_model_dynamic_batching *out = take(describing, 1, sizeof(*out));
    if (describing->failed) {
        return;
    }
    int32_t *sizes = take(describing, batching->preferred_count, sizeof(*sizes));
    out->preferred_batch_size = sizes;
    out->preferred_batch_size_count = room(describing, batching->preferred_count);
    for (size_t i = 0; i < out->preferred_batch_size_count; i++) {
        sizes[i] = (int32_t)batching->preferred[i];
    }
    out->max_queue_delay_microseconds = batching->delay_max_ns / 1000;
    out->priority_levels = batching->priority_levels;
    out->default_priority_level = batching->priority_default;
    out->default_queue_policy = take(describing, 1, sizeof(*out->default_queue_policy));
    if (!describing->failed) {
        out->default_queue_policy->default_timeout_microseconds = batching->queue_timeout_ns / 1000;
        out->default_queue_policy->allow_timeout_override = true;
        out->default_queue_policy->max_queue_size = batching->queue_max;
    }
    describing->out->scheduling_choice = TN_OIP_MODEL_CONFIG_DYNAMIC_BATCHING;
    describing->out->dynamic_batching = out;
}

static void describe_sequence(struct describing *describing)
{
    const struct tn_sequence_config *sequence = &describing->config->sequence;
    struct tn_oip_model_sequence_batching *out = take(describing, 1, sizeof(*out));
    if (describing->failed) {
        return;
    }
    out->max_sequence_idle_microseconds = sequence->idle_timeout_ns / 1000;
    out->state = take(describing, sequence->state_count, sizeof(*out->state));
    out->state_count = room(describing, sequence->state_count);
    for (size_t i = 0; i < out->state_count; i++) {
        out->state[i].input_name = sequence->states[i].input;
        out->state[i].output_name = sequence->states[i].output;
    }
    describing->out->scheduling_choice = TN_OIP_MODEL_CONFIG_SEQUENCE_BATCHING;
    describing->out->sequence_batching = out;
}

static struct tn_oip_string_entry *describe_maps(struct describing *describing,
                                                 const struct tn_map_config *maps, size_t count,
                                                 size_t *ret_count)
{
    struct tn_oip_string_entry *out = take(describing, count, sizeof(*out));
    *ret_count = room(describing, count);
    for (size_t i = 0; i < *ret_count; i++) {
        out[i] = (struct tn_oip_string_entry){maps[i].inside, maps[i].outside};
    }
    return out;
}

static void describe_steps(struct describing *describing)
{
    const struct tn_model_config *config = describing->config;
    struct tn_oip_model_ensembling *out = take(describing, 1, sizeof(*out));
    if (describing->failed) {
        return;
    }
    out->step = take(describing, config->step_count, sizeof(*out->step));
    out->step_count = room(describing, config->step_count);
    for (size_t i = 0; i < out->step_count; i++) {
        const struct tn_step_config *step = &config->steps[i];
        out->step[i].model_name = step->model;
        out->step[i].model_version = step->version;
        out->step[i].input_map = describe_maps(describing, step->inputs, step->input_count,
                                               &out->step[i].input_map_count);
        out->step[i].output_map = describe_maps(describing, step->outputs, step->output_count,
                                                &out->step[i].output_map_count);
    }
    describing->out->scheduling_choice = TN_OIP_MODEL_CONFIG_ENSEMBLE_SCHEDULING;
    describing->out->ensemble_scheduling = out;
}

static void add_parameter(struct describing *describing, struct tn_str key, struct tn_str value)
{
    struct tn_oip_model_parameter *parameter = take(describing, 1, sizeof(*parameter));
    if (!describing->failed) {
        parameter->string_value = value;
        describing->out->parameters[describing->out->parameters_count++] =
            (struct tn_oip_model_parameter_entry){key, parameter};
    }
}

/* model.yaml's own parameters as they are, and the labels as text, so that a client needs no file:
 * "labels.OUTPUT". */
static void describe_parameters(struct describing *describing)
{
    const struct tn_model_config *config = describing->config;
    const struct tn_entry *entry = describing->entry;
    size_t most = config->parameter_count + entry->info->output_count + 1;
    struct tn_oip_model_parameter_entry *entries = take(describing, most, sizeof(*entries));
    if (describing->failed) {
        return;
    }
    describing->out->parameters = entries;
    for (size_t i = 0; i < config->parameter_count; i++) {
        add_parameter(describing, config->parameters[i].name, config->parameters[i].value);
    }
    for (size_t i = 0; i < entry->info->output_count; i++) {
        if (entry->labels[i].count == 0) {
            continue;
        }
        char name[256];
        int size =
            snprintf(name, sizeof(name), "labels.%.*s", TN_STR_ARG(entry->info->outputs[i].name));
        size = size < (int)sizeof(name) ? size : (int)sizeof(name) - 1;
        char *copy = tn_arena_copy_str(describing->arena, tn_str_make(name, (size_t)size));
        if (copy == NULL) {
            describing->failed = true;
            return;
        }
        add_parameter(describing, tn_str_from(copy), entry->labels[i].text);
    }
    add_parameter(describing, TN_STR_OF("model_sha256"), entry->sha256);
}

static void describe_instances(struct describing *describing)
{
    struct tn_oip_model_instance_group *group = take(describing, 1, sizeof(*group));
    if (describing->failed) {
        return;
    }
    uint32_t count = describing->config->instances;
    group->name = describing->entry->info->name;
    group->kind = TN_OIP_MODEL_INSTANCE_GROUP_KIND_CPU;
    group->count = count > 0 ? (int32_t)count : 1;
    describing->out->instance_group = group;
    describing->out->instance_group_count = 1;
}

enum tn_err tn_service_model_config(const struct tn_service_call *call,
                                    const struct tn_oip_model_config_request *request,
                                    struct tn_oip_model_config_response *ret_response)
{
    struct tn_entry *entry = NULL;
    enum tn_err err = tn_service_entry(call, request->name, request->version, &entry);
    if (err != TN_OK) {
        return err;
    }
    struct tn_oip_model_config *out = TN_ARENA_NEW(call->arena, struct tn_oip_model_config);
    struct tn_oip_model_transaction_policy *policy =
        TN_ARENA_NEW(call->arena, struct tn_oip_model_transaction_policy);
    struct tn_oip_model_response_cache *cache =
        TN_ARENA_NEW(call->arena, struct tn_oip_model_response_cache);
    if (out == NULL || policy == NULL || cache == NULL) {
        return tn_fault_set(call->fault, TN_NOMEM, "no memory for this answer");
    }
    bool ensemble = tn_str_is(entry->config->platform, "ensemble");
    struct describing describing = {
        .arena = call->arena, .entry = entry, .config = entry->config, .out = out};
    out->name = entry->info->name;
    out->platform = tn_str_from(entry->info->platform);
    out->backend = ensemble ? TN_STR_OF("") : TN_STR_OF("onnxruntime");
    out->default_model_filename = ensemble ? TN_STR_OF("") : TN_STR_OF("model.onnx");
    out->max_batch_size = (int32_t)entry->info->batch_max;
    out->model_transaction_policy = policy;
    cache->enable = entry->config->cache.enabled;
    out->response_cache = cache;
    describe_tensors(&describing);
    describe_versions(&describing);
    describe_parameters(&describing);
    if (ensemble) {
        describe_steps(&describing);
    } else {
        describe_instances(&describing);
    }
    if (!ensemble && entry->config->sequence.state_count > 0) {
        describe_sequence(&describing);
    } else if (!ensemble && entry->info->batched &&
               entry->config->batching.mode != TN_BATCHING_OFF) {
        describe_batching(&describing);
    }
    if (describing.failed) {
        return tn_fault_set(call->fault, TN_NOMEM, "no memory for this answer");
    }
    ret_response->config = out;
    return TN_OK;
}
