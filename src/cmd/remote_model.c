/* Reads ModelMetadata and ModelConfig into one picture; see remote_model.h. */
#include "cmd/remote_model.h"

#include "core/assert.h"
#include "proto/inference.pb.h"

#include <stdio.h>

static enum tn_err no_memory(struct tn_fault *fault)
{
    return tn_fault_set(fault, TN_NOMEM, "no memory for the model's description");
}

static struct tn_str keep(struct tn_arena *arena, struct tn_str text, bool *failed)
{
    const char *copy = tn_arena_copy_str(arena, text);
    *failed = *failed || copy == NULL;
    return tn_str_make(copy, copy != NULL ? text.size : 0);
}

static enum tn_err read_tensors(const struct tn_oip_model_metadata_response_tensor_metadata *items,
                                size_t count, struct tn_arena *arena,
                                struct tn_remote_tensor **ret_tensors, struct tn_fault *fault)
{
    struct tn_remote_tensor *tensors = TN_ARENA_ARRAY(arena, struct tn_remote_tensor, count);
    bool failed = tensors == NULL;
    for (size_t i = 0; i < count && !failed; i++) {
        struct tn_remote_tensor *tensor = &tensors[i];
        tensor->name = keep(arena, items[i].name, &failed);
        tensor->dtype = tn_dtype_parse(items[i].datatype);
        if (items[i].shape_count > TN_RANK_MAX) {
            return tn_fault_set(fault, TN_UNSUPPORTED, "'%.*s' has more than %d dimensions",
                                TN_STR_ARG(tensor->name), TN_RANK_MAX);
        }
        tensor->shape.rank = items[i].shape_count;
        for (size_t d = 0; d < items[i].shape_count; d++) {
            tensor->shape.dims[d] = items[i].shape[d];
        }
    }
    *ret_tensors = tensors;
    return failed ? no_memory(fault) : TN_OK;
}

static struct tn_str parameter(const struct tn_oip_model_config *config, const char *kind,
                               struct tn_str name, struct tn_arena *arena, bool *failed)
{
    char key[256];
    int size = snprintf(key, sizeof(key), "%s.%.*s", kind, TN_STR_ARG(name));
    for (size_t i = 0; size > 0 && (size_t)size < sizeof(key) && i < config->parameters_count;
         i++) {
        const struct tn_oip_model_parameter_entry *entry = &config->parameters[i];
        if (tn_str_is(entry->key, key) && entry->value != NULL) {
            return keep(arena, entry->value->string_value, failed);
        }
    }
    return tn_str_make(NULL, 0);
}

static void mark_state(struct tn_remote_tensor *tensors, size_t count, struct tn_str name)
{
    for (size_t i = 0; i < count; i++) {
        tensors[i].state = tensors[i].state || tn_str_equal(tensors[i].name, name);
    }
}

static enum tn_err read_config(const struct tn_oip_model_config *config, struct tn_arena *arena,
                               struct tn_remote_model *model, struct tn_fault *fault)
{
    TN_ASSERT(model->inputs != NULL && model->outputs != NULL);

    bool failed = false;
    model->batch_max = config->max_batch_size;
    for (size_t i = 0; i < model->input_count; i++) {
        struct tn_remote_tensor *input = &model->inputs[i];
        input->recipe = parameter(config, "input", input->name, arena, &failed);
    }
    for (size_t i = 0; i < model->output_count; i++) {
        struct tn_remote_tensor *output = &model->outputs[i];
        output->recipe = parameter(config, "output", output->name, arena, &failed);
        output->labels = parameter(config, "labels", output->name, arena, &failed);
    }
    if (config->scheduling_choice == TN_OIP_MODEL_CONFIG_SEQUENCE_BATCHING &&
        config->sequence_batching != NULL) {
        const struct tn_oip_model_sequence_batching *sequence = config->sequence_batching;
        model->sequence = true;
        for (size_t i = 0; i < sequence->state_count; i++) {
            mark_state(model->inputs, model->input_count, sequence->state[i].input_name);
            mark_state(model->outputs, model->output_count, sequence->state[i].output_name);
        }
    }
    return failed ? no_memory(fault) : TN_OK;
}

static enum tn_err fetch_config(struct tn_session *session, struct tn_arena *arena,
                                struct tn_remote_model *model, struct tn_fault *fault)
{
    struct tn_oip_model_config_request request = {.name = model->name, .version = model->version};
    struct tn_oip_model_config_response response;
    enum tn_err err =
        tn_session_call(session, tn_session_method("ModelConfig"), &request, &response, fault);
    if (err == TN_UNSUPPORTED) {
        return TN_OK; /* a server of the bare protocol: metadata is all there is */
    }
    if (err == TN_OK && response.config != NULL) {
        err = read_config(response.config, arena, model, fault);
    }
    return err;
}

enum tn_err tn_remote_model_fetch(struct tn_session *session, struct tn_str name,
                                  struct tn_str version, struct tn_arena *arena,
                                  struct tn_remote_model *ret_model, struct tn_fault *fault)
{
    struct tn_remote_model model = {.name = name, .version = version};
    struct tn_oip_model_metadata_request request = {.name = name, .version = version};
    struct tn_oip_model_metadata_response response;
    enum tn_err err =
        tn_session_call(session, tn_session_method("ModelMetadata"), &request, &response, fault);
    if (err == TN_OK) {
        model.input_count = response.inputs_count;
        model.output_count = response.outputs_count;
        err = read_tensors(response.inputs, response.inputs_count, arena, &model.inputs, fault);
    }
    if (err == TN_OK) {
        err = read_tensors(response.outputs, response.outputs_count, arena, &model.outputs, fault);
    }
    if (err == TN_OK) {
        err = fetch_config(session, arena, &model, fault);
    }
    tn_session_reset(session);
    if (err == TN_OK) {
        *ret_model = model;
    }
    return err;
}

const struct tn_remote_tensor *tn_remote_model_input(const struct tn_remote_model *model,
                                                     struct tn_str name)
{
    for (size_t i = 0; i < model->input_count; i++) {
        if (tn_str_equal(model->inputs[i].name, name)) {
            return &model->inputs[i];
        }
    }
    return NULL;
}
