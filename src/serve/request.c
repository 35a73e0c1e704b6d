/* From a decoded ModelInferRequest to a job: see request.h. */
#include "serve/request.h"

#include "core/assert.h"
#include "proto/inference.pb.h"
#include "serve/request_contents.h"

struct preparing {
    struct tn_request *request;
    const struct tn_request_source *source;
    const struct tn_oip_model_infer_request *message;
    struct tn_fault *fault;
    size_t raw_used;
};

static enum tn_err no_memory(struct tn_fault *fault)
{
    return tn_fault_set(fault, TN_NOMEM, "no memory for this request");
}

const struct tn_oip_infer_parameter *tn_request_parameter(
    const struct tn_oip_infer_parameter_entry *entries, size_t count, struct tn_str name)
{
    /* Of equal keys the last entry counts. */
    for (size_t i = count; i > 0; i--) {
        if (tn_str_equal(entries[i - 1].key, name)) {
            return entries[i - 1].value;
        }
    }
    return NULL;
}

enum tn_err tn_parameter_u64(const struct tn_oip_infer_parameter *parameter, uint64_t *ret_value)
{
    if (parameter->parameter_choice == TN_OIP_INFER_PARAMETER_UINT64_PARAM) {
        *ret_value = parameter->uint64_param;
        return TN_OK;
    }
    if (parameter->parameter_choice == TN_OIP_INFER_PARAMETER_INT64_PARAM &&
        parameter->int64_param >= 0) {
        *ret_value = (uint64_t)parameter->int64_param;
        return TN_OK;
    }
    return TN_INVALID;
}

enum tn_err tn_parameter_bool(const struct tn_oip_infer_parameter *parameter, bool *ret_value)
{
    if (parameter->parameter_choice != TN_OIP_INFER_PARAMETER_BOOL_PARAM) {
        return TN_INVALID;
    }
    *ret_value = parameter->bool_param;
    return TN_OK;
}

/* --- Parameters of the request --- */
static enum tn_err wrong_parameter(struct preparing *preparing, struct tn_str name,
                                   const char *wanted)
{
    return tn_fault_set(preparing->fault, TN_INVALID, "parameter '%.*s' must be %s",
                        TN_STR_ARG(name), wanted);
}

static enum tn_err set_sequence(struct preparing *preparing,
                                const struct tn_oip_infer_parameter *value)
{
    struct tn_infer_job *job = &preparing->request->job;
    if (value->parameter_choice == TN_OIP_INFER_PARAMETER_STRING_PARAM) {
        job->sequence_name = value->string_param;
        return TN_OK;
    }
    return tn_parameter_u64(value, &job->sequence_id);
}

static enum tn_err set_flag(struct preparing *preparing, const struct tn_oip_infer_parameter *value,
                            unsigned flag)
{
    bool on = false;
    enum tn_err err = tn_parameter_bool(value, &on);
    if (err == TN_OK && on) {
        preparing->request->job.sequence_flags |= flag;
    }
    return err;
}

static enum tn_err set_timeout(struct preparing *preparing,
                               const struct tn_oip_infer_parameter *value)
{
    uint64_t timeout_us = 0;
    enum tn_err err = tn_parameter_u64(value, &timeout_us);
    if (err != TN_OK || timeout_us == 0 || timeout_us > UINT64_MAX / 2000) {
        return err;
    }
    uint64_t due = preparing->source->now_ns + timeout_us * 1000;
    struct tn_infer_job *job = &preparing->request->job;
    if (job->deadline_ns == 0 || due < job->deadline_ns) {
        job->deadline_ns = due;
    }
    return TN_OK;
}

static enum tn_err set_priority(struct preparing *preparing,
                                const struct tn_oip_infer_parameter *value)
{
    uint64_t priority = 0;
    enum tn_err err = tn_parameter_u64(value, &priority);
    if (err == TN_OK) {
        preparing->request->job.priority = priority > UINT32_MAX ? UINT32_MAX : (uint32_t)priority;
    }
    return err;
}

/* Parameters that are not ours are left alone: the protocol lets servers ignore them. */
static enum tn_err read_parameter(struct preparing *preparing,
                                  const struct tn_oip_infer_parameter_entry *entry)
{
    enum tn_err err = TN_OK;
    const char *wanted = "a number";
    if (entry->value == NULL) {
        return TN_OK;
    }
    if (tn_str_is(entry->key, "sequence_id")) {
        err = set_sequence(preparing, entry->value);
        wanted = "a number or a text";
    } else if (tn_str_is(entry->key, "sequence_start")) {
        err = set_flag(preparing, entry->value, TN_SEQUENCE_START);
        wanted = "true or false";
    } else if (tn_str_is(entry->key, "sequence_end")) {
        err = set_flag(preparing, entry->value, TN_SEQUENCE_END);
        wanted = "true or false";
    } else if (tn_str_is(entry->key, "priority")) {
        err = set_priority(preparing, entry->value);
    } else if (tn_str_is(entry->key, "timeout")) {
        err = set_timeout(preparing, entry->value);
        wanted = "a number of microseconds";
    }
    return err == TN_OK ? TN_OK : wrong_parameter(preparing, entry->key, wanted);
}

/* --- Shared memory --- */
struct region_place {
    struct tn_str region; /* empty: none asked for */
    uint64_t offset;
    uint64_t size;
};

static enum tn_err read_place(struct preparing *preparing,
                              const struct tn_oip_infer_parameter_entry *entries, size_t count,
                              struct region_place *ret_place)
{
    struct region_place place = {0};
    const struct tn_oip_infer_parameter *region =
        count > 0 ? tn_request_parameter(entries, count, TN_STR_OF("shared_memory_region")) : NULL;
    if (region == NULL) {
        *ret_place = place;
        return TN_OK;
    }
    struct tn_str size_name = TN_STR("shared_memory_byte_size");
    struct tn_str offset_name = TN_STR("shared_memory_offset");
    if (region->parameter_choice != TN_OIP_INFER_PARAMETER_STRING_PARAM ||
        region->string_param.size == 0) {
        return wrong_parameter(preparing, TN_STR_OF("shared_memory_region"), "a name");
    }
    place.region = region->string_param;
    const struct tn_oip_infer_parameter *size = tn_request_parameter(entries, count, size_name);
    if (size == NULL || tn_parameter_u64(size, &place.size) != TN_OK) {
        return wrong_parameter(preparing, size_name,
                               "given with shared_memory_region, as a number");
    }
    const struct tn_oip_infer_parameter *offset = tn_request_parameter(entries, count, offset_name);
    if (offset != NULL && tn_parameter_u64(offset, &place.offset) != TN_OK) {
        return wrong_parameter(preparing, offset_name, "a number");
    }
    *ret_place = place;
    return TN_OK;
}

static enum tn_err use_place(struct preparing *preparing, const struct region_place *place,
                             uint8_t **ret_data)
{
    struct tn_request *request = preparing->request;
    if (request->regions == NULL) {
        /* Once, for the most that can come. */
        size_t room = preparing->message->inputs_count + preparing->message->outputs_count;
        request->regions = TN_ARENA_ARRAY(preparing->source->arena, struct tn_shm_region *, room);
        if (request->regions == NULL) {
            return no_memory(preparing->fault);
        }
    }
    enum tn_err err =
        tn_shm_use(preparing->source->shm, place->region, place->offset, place->size, ret_data,
                   &request->regions[request->region_count], preparing->fault);
    if (err == TN_OK) {
        request->region_count++;
    }
    return err;
}

/* --- Inputs --- */
static enum tn_err input_data(struct preparing *preparing,
                              const struct tn_oip_infer_input_tensor *input,
                              struct tn_tensor *tensor)
{
    struct region_place place;
    enum tn_err err = read_place(preparing, input->parameters, input->parameters_count, &place);
    if (err != TN_OK) {
        return err;
    }
    struct tn_contents contents = {
        .tensor = tensor, .arena = preparing->source->arena, .fault = preparing->fault};
    const struct tn_oip_model_infer_request *message = preparing->message;
    if (place.region.size > 0) {
        uint8_t *data = NULL;
        if (input->contents != NULL) {
            return tn_fault_set(preparing->fault, TN_INVALID,
                                "input '%.*s' has contents and lies in shared memory: send one",
                                TN_STR_ARG(input->name));
        }
        err = use_place(preparing, &place, &data);
        const struct tn_model_config *config = preparing->request->entry->config;
        /* The steps of an ensemble may have caches. */
        bool kept = config != NULL && (config->cache.enabled || config->step_count > 0);
        struct tn_bytes shared = tn_bytes_make(data, place.size);
        return err == TN_OK ? tn_contents_shared(&contents, shared, kept) : err;
    }
    if (message->raw_input_contents_count == 0) {
        return tn_contents_typed(&contents, input->contents);
    }
    if (input->contents != NULL) {
        return tn_fault_set(preparing->fault, TN_INVALID,
                            "input '%.*s' has typed contents in a request with "
                            "raw_input_contents: use one of them for all inputs",
                            TN_STR_ARG(input->name));
    }
    if (preparing->raw_used == message->raw_input_contents_count) {
        return tn_fault_set(preparing->fault, TN_INVALID,
                            "raw_input_contents has %zu items, but more inputs need one",
                            message->raw_input_contents_count);
    }
    return tn_contents_raw(&contents, message->raw_input_contents[preparing->raw_used++]);
}

static enum tn_err read_input(struct preparing *preparing,
                              const struct tn_oip_infer_input_tensor *input,
                              struct tn_tensor *tensor)
{
    *tensor = (struct tn_tensor){.name = input->name, .dtype = tn_dtype_parse(input->datatype)};
    if (tensor->dtype == TN_DTYPE_INVALID) {
        return tn_fault_set(preparing->fault, TN_INVALID,
                            "input '%.*s' has unknown datatype '%.*s'", TN_STR_ARG(input->name),
                            TN_STR_ARG(input->datatype));
    }
    if (input->shape_count > TN_RANK_MAX) {
        return tn_fault_set(preparing->fault, TN_INVALID,
                            "input '%.*s' has %zu dimensions, %d is the most",
                            TN_STR_ARG(input->name), input->shape_count, TN_RANK_MAX);
    }
    tensor->shape.rank = input->shape_count;
    for (size_t i = 0; i < input->shape_count; i++) {
        tensor->shape.dims[i] = input->shape[i];
    }
    return input_data(preparing, input, tensor);
}

static enum tn_err read_inputs(struct preparing *preparing)
{
    const struct tn_oip_model_infer_request *message = preparing->message;
    struct tn_infer_job *job = &preparing->request->job;
    if (message->inputs_count > TN_TENSORS_MAX) {
        return tn_fault_set(preparing->fault, TN_INVALID, "%zu inputs, %d is the most",
                            message->inputs_count, TN_TENSORS_MAX);
    }
    job->inputs =
        tn_arena_take(preparing->source->arena, (message->inputs_count + 1) * sizeof(*job->inputs),
                      _Alignof(struct tn_tensor));
    if (job->inputs == NULL) {
        return no_memory(preparing->fault);
    }
    for (size_t i = 0; i < message->inputs_count; i++) {
        enum tn_err err = read_input(preparing, &message->inputs[i], &job->inputs[i]);
        if (err != TN_OK) {
            return err;
        }
    }
    job->input_count = message->inputs_count;
    if (preparing->raw_used != message->raw_input_contents_count) {
        return tn_fault_set(preparing->fault, TN_INVALID,
                            "raw_input_contents has %zu items, %zu are needed",
                            message->raw_input_contents_count, preparing->raw_used);
    }
    return TN_OK;
}

/* --- Outputs --- */
static enum tn_err find_output(struct preparing *preparing, struct tn_str name, size_t *ret_index)
{
    const struct tn_model_info *info = preparing->request->entry->info;
    for (size_t i = 0; i < info->output_count; i++) {
        if (tn_str_equal(info->outputs[i].name, name)) {
            *ret_index = i;
            return TN_OK;
        }
    }
    return tn_fault_set(preparing->fault, TN_INVALID, "model '%.*s' has no output '%.*s'",
                        TN_STR_ARG(info->name), TN_STR_ARG(name));
}

static enum tn_err read_classes(struct preparing *preparing,
                                const struct tn_oip_infer_requested_output_tensor *output,
                                struct tn_request_output *asked)
{
    const struct tn_oip_infer_parameter *value = tn_request_parameter(
        output->parameters, output->parameters_count, TN_STR_OF("classification"));
    uint64_t classes = 0;
    if (value == NULL) {
        return TN_OK;
    }
    if (tn_parameter_u64(value, &classes) != TN_OK) {
        return wrong_parameter(preparing, TN_STR_OF("classification"), "a number of classes");
    }
    if (classes > TN_CLASSES_MAX) {
        return tn_fault_set(preparing->fault, TN_INVALID,
                            "classification of output '%.*s' asks for %llu classes, %d is the most",
                            TN_STR_ARG(output->name), (unsigned long long)classes, TN_CLASSES_MAX);
    }
    enum tn_dtype dtype = preparing->request->entry->info->outputs[asked->index].dtype;
    if (classes > 0 && !tn_classes_known(dtype)) {
        return tn_fault_set(preparing->fault, TN_INVALID,
                            "output '%.*s' is %s, which has no classes", TN_STR_ARG(output->name),
                            tn_dtype_name(dtype));
    }
    asked->classes = (uint32_t)classes;
    return TN_OK;
}

static enum tn_err read_output(struct preparing *preparing, size_t at,
                               struct tn_output_target *targets)
{
    const struct tn_oip_infer_requested_output_tensor *output = &preparing->message->outputs[at];
    struct tn_request_output *asked = &preparing->request->asked[at];
    enum tn_err err = find_output(preparing, output->name, &asked->index);
    if (err != TN_OK || output->parameters_count == 0) {
        return err;
    }
    struct region_place place;
    err = read_classes(preparing, output, asked);
    if (err == TN_OK) {
        err = read_place(preparing, output->parameters, output->parameters_count, &place);
    }
    if (err != TN_OK || place.region.size == 0) {
        return err;
    }
    if (asked->classes > 0) {
        return tn_fault_set(preparing->fault, TN_INVALID,
                            "output '%.*s': classification and shared memory exclude each other",
                            TN_STR_ARG(output->name));
    }
    asked->region = place.region;
    asked->region_offset = place.offset;
    targets[at].room = place.size;
    return use_place(preparing, &place, &targets[at].data);
}

static enum tn_err read_outputs(struct preparing *preparing)
{
    const struct tn_oip_model_infer_request *message = preparing->message;
    struct tn_request *request = preparing->request;
    struct tn_arena *arena = preparing->source->arena;
    size_t all = request->entry->info->output_count;
    size_t count = message->outputs_count;
    if (count > TN_TENSORS_MAX) {
        return tn_fault_set(preparing->fault, TN_INVALID, "%zu outputs, %d is the most", count,
                            TN_TENSORS_MAX);
    }
    size_t room = (count > all ? count : all) + 1;
    request->job.outputs = TN_ARENA_ARRAY(arena, struct tn_tensor, room);
    request->asked = TN_ARENA_ARRAY(arena, struct tn_request_output, room);
    if (request->job.outputs == NULL || request->asked == NULL) {
        return no_memory(preparing->fault);
    }
    if (count == 0) {
        for (size_t i = 0; i < all; i++) {
            request->asked[i].index = i;
        }
        request->job.output_count = all;
        return TN_OK;
    }
    size_t *wanted = TN_ARENA_ARRAY(arena, size_t, count);
    struct tn_output_target *targets = TN_ARENA_ARRAY(arena, struct tn_output_target, count);
    if (wanted == NULL || targets == NULL) {
        return no_memory(preparing->fault);
    }
    for (size_t i = 0; i < count; i++) {
        enum tn_err err = read_output(preparing, i, targets);
        if (err != TN_OK) {
            return err;
        }
        wanted[i] = request->asked[i].index;
    }
    request->job.wanted = wanted;
    request->job.targets = targets;
    request->job.output_count = count;
    return TN_OK;
}

enum tn_err tn_request_prepare(struct tn_request *request, const struct tn_request_source *source,
                               struct tn_entry *entry, struct tn_fault *fault)
{
    struct preparing preparing = {
        .request = request, .source = source, .message = source->message, .fault = fault};
    void (*done)(struct tn_request * request) = request->done;
    *request = (struct tn_request){.done = done, .entry = tn_entry_ref(entry)};
    request->id = source->message->id;
    request->job.deadline_ns = source->deadline_ns;
    enum tn_err err = TN_OK;
    for (size_t i = 0; err == TN_OK && i < source->message->parameters_count; i++) {
        err = read_parameter(&preparing, &source->message->parameters[i]);
    }
    if (err == TN_OK) {
        err = read_inputs(&preparing);
    }
    if (err == TN_OK) {
        err = read_outputs(&preparing);
    }
    if (err != TN_OK) {
        request->job.output_count = 0;
        tn_request_release(request);
    }
    return err;
}

void tn_request_release(struct tn_request *request)
{
    if (request->job.fault.code == TN_OK) {
        for (size_t i = 0; i < request->job.output_count; i++) {
            tn_block_unref(request->job.outputs[i].owner);
            request->job.outputs[i].owner = NULL;
        }
    }
    while (request->region_count > 0) {
        tn_shm_release(request->regions[--request->region_count]);
    }
    tn_entry_unref(request->entry);
    request->entry = NULL;
}

enum tn_err tn_request_classify(struct tn_request *request, struct tn_arena *arena,
                                struct tn_fault *fault)
{
    for (size_t i = 0; i < request->job.output_count; i++) {
        const struct tn_request_output *asked = &request->asked[i];
        if (asked->classes == 0) {
            continue;
        }
        struct tn_contents contents = {&request->job.outputs[i], arena, fault};
        enum tn_err err =
            tn_contents_classify(&contents, asked->classes, request->entry->info->batched,
                                 &request->entry->labels[asked->index]);
        if (err != TN_OK) {
            return err;
        }
    }
    return TN_OK;
}
