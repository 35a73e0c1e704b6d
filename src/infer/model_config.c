/* model.yaml: read by the table (model_table.c), then turned into what the server works with, with
 * the checks that a table cannot express. Faults name file, line and column.
 * Memory: the caller's arena. Threads: any, one at a time per arena. */
#include "infer/model_config.h"

#include "base/clock.h"
#include "base/config.h"
#include "base/units.h"
#include "core/assert.h"
#include "infer/model_table.h"

enum { TOKEN_SIZE = 64 };

void tn_model_config_init(struct tn_model_config *config)
{
    static const struct tn_model_config defaults = {
        .platform = TN_STR("onnxruntime_onnx"),
        .instances = 1,
        .batching = {.mode = TN_BATCHING_AUTO, .queue_max = 1024},
        .session = {.intra_op_threads = 1,
                    .inter_op_threads = 1,
                    .arena = true,
                    .memory_pattern = true,
                    .optimization = 99},
        .cache = {.ttl_ns = 300 * TN_NS_PER_S, .size_max = 64 << 20},
        .sequence = {.sequences_max = 4096, .idle_timeout_ns = 60 * TN_NS_PER_S},
        .version_policy = TN_VERSIONS_LATEST,
        .versions_latest = 1,
    };
    *config = defaults;
}

struct reading {
    const struct tn_model_yaml *yaml;
    struct tn_option_given given;
    struct tn_arena *arena;
    struct tn_model_config *config;
    struct tn_fault *fault;
};

static enum tn_err no_memory(struct reading *reading)
{
    return tn_fault_set(reading->fault, TN_NOMEM, "no memory for the model's configuration");
}

static enum tn_err read_shape(struct reading *reading, const struct tn_option_list *list,
                              struct tn_shape *ret_shape)
{
    const int64_t *dims = list->items;
    struct tn_shape shape = {.rank = list->count};
    for (size_t i = 0; i < list->count; i++) {
        if (dims[i] < -1) {
            return tn_option_fault(&reading->given, list, reading->fault,
                                   "a dimension is -1 (free) or a size, not %lld",
                                   (long long)dims[i]);
        }
        shape.dims[i] = dims[i];
    }
    *ret_shape = shape;
    return TN_OK;
}

static enum tn_err read_axis(struct reading *reading, const struct tn_model_yaml_tensor *tensor,
                             int32_t *ret_axis)
{
    struct tn_str text = tn_str_from(tensor->batch_axis);
    uint64_t axis = 0;
    if (tn_str_is(text, "auto")) {
        *ret_axis = TN_AXIS_AUTO;
    } else if (tn_str_is(text, "none")) {
        *ret_axis = TN_AXIS_NONE;
    } else if (tn_units_parse_uint(text, &axis) == TN_OK && axis < TN_RANK_MAX) {
        *ret_axis = (int32_t)axis;
    } else {
        return tn_option_fault(&reading->given, &tensor->batch_axis, reading->fault,
                               "batch_axis is auto, none or a number below %d, not '%s'",
                               TN_RANK_MAX, tensor->batch_axis);
    }
    return TN_OK;
}

static enum tn_err read_tensors(struct reading *reading, const struct tn_option_list *list,
                                struct tn_signature_config **ret_tensors, size_t *ret_count)
{
    const struct tn_model_yaml_tensor *from = list->items;
    struct tn_signature_config *to =
        TN_ARENA_ARRAY(reading->arena, struct tn_signature_config, list->count + 1);
    if (to == NULL) {
        return no_memory(reading);
    }
    for (size_t i = 0; i < list->count; i++) {
        to[i].name = tn_str_from(from[i].name);
        if (from[i].datatype != NULL) {
            to[i].dtype = tn_dtype_parse(tn_str_from(from[i].datatype));
            if (to[i].dtype == TN_DTYPE_INVALID) {
                return tn_option_fault(&reading->given, &from[i].datatype, reading->fault,
                                       "'%s' is no datatype; they are BOOL, UINT8 to UINT64, INT8 "
                                       "to INT64, FP16, BF16, FP32, FP64 and BYTES",
                                       from[i].datatype);
            }
        }
        enum tn_err err = read_shape(reading, &from[i].shape, &to[i].shape);
        if (err == TN_OK) {
            err = read_axis(reading, &from[i], &to[i].batch_axis);
        }
        if (err != TN_OK) {
            return err;
        }
    }
    *ret_tensors = to;
    *ret_count = list->count;
    return TN_OK;
}

static enum tn_err read_batching(struct reading *reading)
{
    const struct tn_model_yaml_batching *from = &reading->yaml->batching;
    struct tn_batching_config *to = &reading->config->batching;
    const uint32_t *preferred = from->preferred.items;
    to->mode = (enum tn_batching_mode)from->mode;
    to->batch_max = from->max;
    to->delay_max_ns = from->delay;
    to->queue_max = from->queue;
    to->queue_timeout_ns = from->timeout;
    to->priority_levels = from->priorities;
    to->priority_default = from->default_priority != 0 ? from->default_priority : from->priorities;
    if (from->default_priority > from->priorities) {
        return tn_option_fault(&reading->given, &from->default_priority, reading->fault,
                               "default_priority %u is above priorities %u", from->default_priority,
                               from->priorities);
    }
    bool fixed = to->mode == TN_BATCHING_FIXED;
    if (!fixed && (from->delay != 0 || from->preferred.count > 0)) {
        const void *field =
            from->delay != 0 ? (const void *)&from->delay : (const void *)&from->preferred;
        return tn_option_fault(&reading->given, field, reading->fault,
                               "delay and preferred need mode fixed; mode auto finds the size "
                               "itself and does not wait");
    }
    for (size_t i = 0; i < from->preferred.count; i++) {
        bool above = from->max != 0 && preferred[i] > from->max;
        if (above || (i > 0 && preferred[i] <= preferred[i - 1])) {
            return tn_option_fault(&reading->given, &from->preferred, reading->fault,
                                   above ? "a preferred size is above max"
                                         : "preferred sizes must ascend");
        }
        to->preferred[i] = preferred[i];
    }
    to->preferred_count = from->preferred.count;
    return TN_OK;
}

static void read_session(struct reading *reading)
{
    const struct tn_model_yaml *yaml = reading->yaml;
    reading->config->session = (struct tn_session_config){
        .parallel = yaml->session.execution == 1,
        .intra_op_threads = yaml->session.intra_op_threads,
        .inter_op_threads = yaml->session.inter_op_threads,
        .spinning = yaml->session.spinning,
        .arena = yaml->session.arena,
        .shrink = yaml->session.shrink,
        .memory_pattern = yaml->session.memory_pattern,
        .optimization = (uint32_t)yaml->session.optimization,
    };
    reading->config->cache = (struct tn_cache_config){
        .enabled = yaml->cache.enabled, .ttl_ns = yaml->cache.ttl, .size_max = yaml->cache.size};
}

static enum tn_err read_sequence(struct reading *reading)
{
    const struct tn_model_yaml_sequence *from = &reading->yaml->sequence;
    struct tn_sequence_config *to = &reading->config->sequence;
    const struct tn_model_yaml_state *states = from->states.items;
    for (size_t i = 0; i < from->states.count; i++) {
        to->states[i] = (struct tn_state_config){.input = tn_str_from(states[i].input),
                                                 .output = tn_str_from(states[i].output)};
    }
    to->state_count = from->states.count;
    to->sequences_max = from->max;
    to->idle_timeout_ns = from->idle_timeout;
    if (to->state_count > 0 && reading->config->cache.enabled) {
        return tn_option_fault(&reading->given, &reading->yaml->cache.enabled, reading->fault,
                               "a model with carried state cannot have a cache");
    }
    return TN_OK;
}

static void read_links(const struct tn_option_map *map, struct tn_map_config *to, size_t *ret_count)
{
    const char *const *outside = map->items;
    for (size_t i = 0; i < map->count; i++) {
        to[i] = (struct tn_map_config){.inside = tn_str_from(map->names[i]),
                                       .outside = tn_str_from(outside[i])};
    }
    *ret_count = map->count;
}

static enum tn_err read_steps(struct reading *reading)
{
    const struct tn_option_list *list = &reading->yaml->steps;
    const struct tn_model_yaml_step *from = list->items;
    struct tn_model_config *config = reading->config;
    bool ensemble = tn_str_is(config->platform, "ensemble");
    if (ensemble != (list->count > 0)) {
        return tn_option_fault(&reading->given, list, reading->fault,
                               ensemble ? "platform ensemble needs steps"
                                        : "steps need platform: ensemble");
    }
    config->steps = TN_ARENA_ARRAY(reading->arena, struct tn_step_config, list->count + 1);
    if (config->steps == NULL) {
        return no_memory(reading);
    }
    for (size_t i = 0; i < list->count; i++) {
        config->steps[i].model = tn_str_from(from[i].model);
        config->steps[i].version = from[i].version;
        read_links(&from[i].inputs, config->steps[i].inputs, &config->steps[i].input_count);
        read_links(&from[i].outputs, config->steps[i].outputs, &config->steps[i].output_count);
    }
    config->step_count = list->count;
    return TN_OK;
}

static enum tn_err read_warmup(struct reading *reading)
{
    const struct tn_option_list *list = &reading->yaml->warmup;
    const struct tn_model_yaml_warmup *from = list->items;
    struct tn_model_config *config = reading->config;
    for (size_t i = 0; i < list->count; i++) {
        struct tn_warmup_config *to = &config->warmup[i];
        const struct tn_option_list *shapes = from[i].shapes.items;
        *to = (struct tn_warmup_config){.name = tn_str_from(from[i].name),
                                        .batch = from[i].batch,
                                        .count = from[i].count,
                                        .data = tn_str_from(from[i].data),
                                        .shape_count = from[i].shapes.count};
        for (size_t k = 0; k < from[i].shapes.count; k++) {
            to->shapes[k].input = tn_str_from(from[i].shapes.names[k]);
            enum tn_err err = read_shape(reading, &shapes[k], &to->shapes[k].shape);
            if (err != TN_OK) {
                return err;
            }
        }
    }
    config->warmup_count = list->count;
    return TN_OK;
}

static enum tn_err read_versions(struct reading *reading)
{
    const struct tn_model_yaml_versions *from = &reading->yaml->versions;
    struct tn_model_config *config = reading->config;
    config->version_policy = (enum tn_version_policy)from->policy;
    config->versions_latest = from->count;
    config->version_count = from->list.count;
    if (from->list.count > 0) {
        memcpy(config->versions, from->list.items, from->list.count * sizeof(uint64_t));
    }
    bool specific = config->version_policy == TN_VERSIONS_SPECIFIC;
    if (specific != (from->list.count > 0)) {
        return tn_option_fault(&reading->given, &from->list, reading->fault,
                               specific ? "versions: policy specific needs a list"
                                        : "versions: a list needs policy: specific");
    }
    return TN_OK;
}

static size_t read_pairs(const struct tn_option_map *map, struct tn_pair_config *to)
{
    const char *const *values = map->items;
    for (size_t i = 0; i < map->count; i++) {
        to[i] = (struct tn_pair_config){.name = tn_str_from(map->names[i]),
                                        .value = tn_str_from(values[i])};
    }
    return map->count;
}

static enum tn_err read_tokens(struct reading *reading)
{
    const struct tn_option_list *list = &reading->yaml->tokens;
    const char *const *tokens = list->items;
    for (size_t i = 0; i < list->count; i++) {
        struct tn_str token = tn_str_from(tokens[i]);
        if (token.size != TOKEN_SIZE || strspn(tokens[i], "0123456789abcdef") != TOKEN_SIZE) {
            return tn_option_fault(&reading->given, list, reading->fault,
                                   "a token is given as the SHA-256 of it, 64 digits 0-9 a-f "
                                   "(printf %%s TOKEN | sha256sum)");
        }
        reading->config->tokens[i] = token;
    }
    reading->config->token_count = list->count;
    return TN_OK;
}

static enum tn_err convert(struct reading *reading)
{
    struct tn_model_config *config = reading->config;
    const struct tn_model_yaml *yaml = reading->yaml;
    config->platform = tn_str_from(yaml->platform);
    config->instances = yaml->instances;
    config->label_count = read_pairs(&yaml->labels, config->labels);
    config->parameter_count = read_pairs(&yaml->parameters, config->parameters);
    read_session(reading);
    enum tn_err err = read_tensors(reading, &yaml->inputs, &config->inputs, &config->input_count);
    if (err == TN_OK) {
        err = read_tensors(reading, &yaml->outputs, &config->outputs, &config->output_count);
    }
    static enum tn_err (*const parts[])(struct reading *) = {
        read_batching, read_sequence, read_steps, read_warmup, read_versions, read_tokens};
    for (size_t i = 0; i < TN_COUNT(parts) && err == TN_OK; i++) {
        err = parts[i](reading);
    }
    return err;
}

enum tn_err tn_model_config_parse(struct tn_str yaml, const char *file, struct tn_arena *arena,
                                  struct tn_model_config *ret_config, struct tn_fault *fault)
{
    struct tn_model_yaml *image = TN_ARENA_NEW(arena, struct tn_model_yaml);
    struct tn_model_config *config = TN_ARENA_NEW(arena, struct tn_model_config);
    if (image == NULL || config == NULL) {
        return tn_fault_set(fault, TN_NOMEM, "no memory for the model's configuration");
    }
    tn_model_config_init(config);
    struct reading reading = {.yaml = image, .arena = arena, .config = config, .fault = fault};
    tn_option_given_init(&reading.given, arena);
    enum tn_err err = tn_config_read_all(yaml, file, &tn_model_table, image, &reading.given, fault);
    if (err == TN_OK) {
        err = convert(&reading);
    }
    if (err == TN_OK) {
        *ret_config = *config;
    }
    return err;
}
