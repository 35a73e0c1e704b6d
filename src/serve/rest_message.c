/* JSON to ModelInferRequest: see rest_infer.h. */
#include "core/assert.h"
#include "core/json.h"
#include "proto/inference.pb.h"
#include "serve/json_tensor.h"
#include "serve/rest_infer.h"

enum { PARAMETERS_MAX = 32 };

struct reading {
    struct tn_rest_call *rest;
    struct tn_json json;
    struct tn_oip_model_infer_request *message;
    struct tn_bytes binary; /* what is left of the tensors behind the JSON */
};

static enum tn_err no_memory(struct tn_rest_call *rest)
{
    return tn_fault_set(&rest->fault, TN_NOMEM, "no memory for this request");
}

static enum tn_err read_value(struct tn_rest_call *rest, struct tn_json *reader,
                              struct tn_oip_infer_parameter *value)
{
    if (tn_json_next(reader) != TN_OK) {
        return tn_rest_wrong_json(rest, reader);
    }
    switch (reader->event) {
    case TN_JSON_TRUE:
    case TN_JSON_FALSE:
        value->parameter_choice = TN_OIP_INFER_PARAMETER_BOOL_PARAM;
        value->bool_param = reader->event == TN_JSON_TRUE;
        return TN_OK;
    case TN_JSON_STRING:
        value->parameter_choice = TN_OIP_INFER_PARAMETER_STRING_PARAM;
        return tn_json_text(reader, rest->with.arena, &value->string_param) == TN_OK
                   ? TN_OK
                   : no_memory(rest);
    case TN_JSON_NUMBER:
        if (tn_number_uint64(&reader->number, &value->uint64_param) == TN_OK) {
            value->parameter_choice = TN_OIP_INFER_PARAMETER_UINT64_PARAM;
        } else if (tn_number_int64(&reader->number, &value->int64_param) == TN_OK) {
            value->parameter_choice = TN_OIP_INFER_PARAMETER_INT64_PARAM;
        } else {
            value->parameter_choice = TN_OIP_INFER_PARAMETER_DOUBLE_PARAM;
            value->double_param = tn_number_double(&reader->number);
        }
        return TN_OK;
    default:
        return tn_rest_wrong_value(rest, reader, "parameters", "texts, numbers, true or false");
    }
}

enum tn_err tn_rest_read_parameters(struct tn_rest_call *rest, struct tn_json *reader,
                                    struct tn_oip_infer_parameter_entry **ret_entries,
                                    size_t *ret_count)
{
    static const char *const none[] = {NULL};
    struct tn_arena *arena = rest->with.arena;
    struct tn_oip_infer_parameter_entry *entries =
        TN_ARENA_ARRAY(arena, struct tn_oip_infer_parameter_entry, PARAMETERS_MAX);
    struct tn_oip_infer_parameter *values =
        TN_ARENA_ARRAY(arena, struct tn_oip_infer_parameter, PARAMETERS_MAX);
    size_t count = 0;
    uint32_t seen = 0;
    size_t index = 0;
    if (entries == NULL || values == NULL) {
        return no_memory(rest);
    }
    if (tn_json_next(reader) != TN_OK || reader->event != TN_JSON_OBJECT) {
        return tn_rest_wrong_value(rest, reader, "parameters", "an object");
    }
    enum tn_err err = TN_OK;
    while ((err = tn_rest_next_key(rest, reader, none, &seen, &index)) == TN_OK) {
        struct tn_str key;
        if (count == PARAMETERS_MAX) {
            return tn_fault_set(&rest->fault, TN_INVALID, "more than %d parameters",
                                PARAMETERS_MAX);
        }
        if (tn_json_text(reader, arena, &key) != TN_OK) {
            return no_memory(rest);
        }
        if (tn_request_parameter(entries, count, key) != NULL) {
            return tn_fault_set(&rest->fault, TN_INVALID, "parameter \"%.*s\" appears twice",
                                TN_STR_ARG(key));
        }
        err = read_value(rest, reader, &values[count]);
        if (err != TN_OK) {
            return err;
        }
        entries[count] = (struct tn_oip_infer_parameter_entry){key, &values[count]};
        count++;
    }
    *ret_entries = entries;
    *ret_count = count;
    return err == TN_DONE ? TN_OK : err;
}

/* --- One input --- */
static enum tn_err read_shape(struct reading *reading, struct tn_oip_infer_input_tensor *input)
{
    struct tn_rest_call *rest = reading->rest;
    struct tn_json *json = &reading->json;
    int64_t *dims = TN_ARENA_ARRAY(rest->with.arena, int64_t, TN_RANK_MAX);
    if (dims == NULL) {
        return no_memory(rest);
    }
    if (tn_json_next(json) != TN_OK || json->event != TN_JSON_ARRAY) {
        return tn_rest_wrong_value(rest, json, "shape", "an array of whole numbers");
    }
    for (size_t count = 0; tn_json_next(json) == TN_OK; count++) {
        if (json->event == TN_JSON_ARRAY_END) {
            input->shape = dims;
            input->shape_count = count;
            return TN_OK;
        }
        if (count == TN_RANK_MAX || json->event != TN_JSON_NUMBER ||
            tn_number_int64(&json->number, &dims[count]) != TN_OK) {
            return tn_rest_wrong_value(rest, json, "shape", "an array of up to 8 whole numbers");
        }
    }
    return tn_rest_wrong_json(rest, json);
}

static enum tn_err parse_data(struct reading *reading, struct tn_json *json,
                              const struct tn_oip_infer_input_tensor *input,
                              struct tn_bytes *ret_data)
{
    struct tn_rest_call *rest = reading->rest;
    struct tn_tensor tensor = {.name = input->name, .dtype = tn_dtype_parse(input->datatype)};
    if (tensor.dtype == TN_DTYPE_INVALID) {
        return tn_fault_set(&rest->fault, TN_INVALID, "input '%.*s' has unknown datatype '%.*s'",
                            TN_STR_ARG(input->name), TN_STR_ARG(input->datatype));
    }
    tensor.shape.rank = input->shape_count;
    for (size_t i = 0; i < input->shape_count; i++) {
        tensor.shape.dims[i] = input->shape[i];
    }
    if (tn_json_next(json) != TN_OK || json->event != TN_JSON_ARRAY) {
        return tn_rest_wrong_value(rest, json, "data", "an array");
    }
    enum tn_err err = tn_json_tensor_read(json, &tensor, rest->with.arena, &rest->fault);
    if (err == TN_OK) {
        *ret_data = tensor.data;
    }
    return err;
}

/* Which of the three ways the elements came. */
static enum tn_err place_data(struct reading *reading, struct tn_oip_infer_input_tensor *input,
                              const struct tn_bytes *data)
{
    struct tn_rest_call *rest = reading->rest;
    const struct tn_oip_infer_parameter *size = tn_request_parameter(
        input->parameters, input->parameters_count, TN_STR_OF("binary_data_size"));
    bool shared = tn_request_parameter(input->parameters, input->parameters_count,
                                       TN_STR_OF("shared_memory_region")) != NULL;
    struct tn_oip_model_infer_request *message = reading->message;
    uint64_t bytes = 0;
    if ((data->data != NULL) + (size != NULL) + shared > 1) {
        return tn_fault_set(&rest->fault, TN_INVALID,
                            "input '%.*s' comes in more than one of data, binary data and shared "
                            "memory",
                            TN_STR_ARG(input->name));
    }
    if (shared) {
        return TN_OK;
    }
    if (size == NULL) {
        if (data->data == NULL) {
            return tn_fault_set(&rest->fault, TN_INVALID, "input '%.*s' has no data",
                                TN_STR_ARG(input->name));
        }
        message->raw_input_contents[message->raw_input_contents_count++] = *data;
        return TN_OK;
    }
    if (tn_parameter_u64(size, &bytes) != TN_OK || bytes > reading->binary.size) {
        return tn_fault_set(&rest->fault, TN_INVALID,
                            "binary_data_size of input '%.*s' goes beyond the body",
                            TN_STR_ARG(input->name));
    }
    message->raw_input_contents[message->raw_input_contents_count++] =
        tn_bytes_make(reading->binary.data, (size_t)bytes);
    reading->binary.data += bytes;
    reading->binary.size -= (size_t)bytes;
    return TN_OK;
}

enum { INPUT_NAME, INPUT_SHAPE, INPUT_DATATYPE, INPUT_PARAMETERS, INPUT_DATA };

struct input_state {
    struct tn_json bookmark; /* before the data, when it came before datatype and shape */
    bool later;
    struct tn_bytes data;
};

static enum tn_err read_data(struct reading *reading, struct tn_oip_infer_input_tensor *input,
                             uint32_t seen, struct input_state *state)
{
    if ((seen & 1U << INPUT_SHAPE) != 0 && (seen & 1U << INPUT_DATATYPE) != 0) {
        return parse_data(reading, &reading->json, input, &state->data);
    }
    state->bookmark = reading->json;
    state->later = true;
    return tn_rest_skip(reading->rest, &reading->json);
}

static enum tn_err read_input_key(struct reading *reading, struct tn_oip_infer_input_tensor *input,
                                  size_t index, uint32_t seen, struct input_state *state)
{
    switch (index) {
    case INPUT_NAME:
        return tn_rest_read_str(reading->rest, &reading->json, "name", &input->name);
    case INPUT_SHAPE:
        return read_shape(reading, input);
    case INPUT_DATATYPE:
        return tn_rest_read_str(reading->rest, &reading->json, "datatype", &input->datatype);
    case INPUT_PARAMETERS:
        return tn_rest_read_parameters(reading->rest, &reading->json, &input->parameters,
                                       &input->parameters_count);
    case INPUT_DATA:
        return read_data(reading, input, seen, state);
    default:
        return tn_rest_skip(reading->rest, &reading->json);
    }
}

static enum tn_err read_input(struct reading *reading, struct tn_oip_infer_input_tensor *input)
{
    static const char *const names[] = {"name", "shape", "datatype", "parameters", "data", NULL};
    static const uint32_t needed = 1U << INPUT_NAME | 1U << INPUT_SHAPE | 1U << INPUT_DATATYPE;
    struct input_state state;
    uint32_t seen = 0;
    size_t index = 0;
    enum tn_err err = TN_OK;
    state.later = false;
    state.data = (struct tn_bytes){0};
    while ((err = tn_rest_next_key(reading->rest, &reading->json, names, &seen, &index)) == TN_OK) {
        err = read_input_key(reading, input, index, seen, &state);
        if (err != TN_OK) {
            return err;
        }
    }
    if (err == TN_DONE && (seen & needed) != needed) {
        return tn_fault_set(&reading->rest->fault, TN_INVALID,
                            "an input needs \"name\", \"shape\" and \"datatype\"");
    }
    if (err == TN_DONE && state.later) {
        err = parse_data(reading, &state.bookmark, input, &state.data);
    }
    return err == TN_OK || err == TN_DONE ? place_data(reading, input, &state.data) : err;
}

/* --- Outputs --- */
static enum tn_err read_output(struct reading *reading,
                               struct tn_oip_infer_requested_output_tensor *output)
{
    static const char *const names[] = {"name", "parameters", NULL};
    uint32_t seen = 0;
    size_t index = 0;
    enum tn_err err = TN_OK;
    struct tn_rest_call *rest = reading->rest;
    struct tn_json *json = &reading->json;
    while ((err = tn_rest_next_key(rest, json, names, &seen, &index)) == TN_OK) {
        err = index == 0   ? tn_rest_read_str(rest, json, "name", &output->name)
              : index == 1 ? tn_rest_read_parameters(rest, json, &output->parameters,
                                                     &output->parameters_count)
                           : tn_rest_skip(rest, json);
        if (err != TN_OK) {
            return err;
        }
    }
    if (err == TN_DONE && (seen & 1) == 0) {
        return tn_fault_set(&rest->fault, TN_INVALID, "an output needs a \"name\"");
    }
    return err == TN_DONE ? TN_OK : err;
}

/* An array of objects, each read by `inputs` or `outputs`. */
static enum tn_err read_list(struct reading *reading, bool inputs)
{
    struct tn_oip_model_infer_request *message = reading->message;
    struct tn_json *json = &reading->json;
    const char *what = inputs ? "inputs" : "outputs";
    if (tn_json_next(json) != TN_OK || json->event != TN_JSON_ARRAY) {
        return tn_rest_wrong_value(reading->rest, json, what, "an array");
    }
    while (tn_json_next(json) == TN_OK) {
        size_t *count = inputs ? &message->inputs_count : &message->outputs_count;
        if (json->event == TN_JSON_ARRAY_END) {
            return TN_OK;
        }
        if (json->event != TN_JSON_OBJECT || *count == TN_TENSORS_MAX) {
            return tn_rest_wrong_value(reading->rest, json, what, "an array of up to 64 objects");
        }
        enum tn_err err = inputs ? read_input(reading, &message->inputs[*count])
                                 : read_output(reading, &message->outputs[*count]);
        if (err != TN_OK) {
            return err;
        }
        (*count)++;
    }
    return tn_rest_wrong_json(reading->rest, json);
}

static enum tn_err read_top(struct reading *reading)
{
    static const char *const names[] = {"id", "parameters", "inputs", "outputs", NULL};
    struct tn_rest_call *rest = reading->rest;
    struct tn_oip_model_infer_request *message = reading->message;
    uint32_t seen = 0;
    size_t index = 0;
    enum tn_err err = TN_OK;
    while ((err = tn_rest_next_key(rest, &reading->json, names, &seen, &index)) == TN_OK) {
        switch (index) {
        case 0:
            err = tn_rest_read_str(rest, &reading->json, "id", &message->id);
            break;
        case 1:
            err = tn_rest_read_parameters(rest, &reading->json, &message->parameters,
                                          &message->parameters_count);
            break;
        case 2:
        case 3:
            err = read_list(reading, index == 2);
            break;
        default:
            err = tn_rest_skip(rest, &reading->json);
        }
        if (err != TN_OK) {
            return err;
        }
    }
    if (err == TN_DONE && tn_json_next(&reading->json) != TN_DONE) {
        return tn_rest_wrong_json(rest, &reading->json);
    }
    if (err == TN_DONE && (seen & 4) == 0) {
        return tn_fault_set(&rest->fault, TN_INVALID, "the request has no \"inputs\"");
    }
    return err == TN_DONE ? TN_OK : err;
}

static bool make_message(struct reading *reading)
{
    struct tn_arena *arena = reading->rest->with.arena;
    struct tn_oip_model_infer_request *message =
        TN_ARENA_NEW(arena, struct tn_oip_model_infer_request);
    if (message == NULL) {
        return false;
    }
    message->inputs = TN_ARENA_ARRAY(arena, struct tn_oip_infer_input_tensor, TN_TENSORS_MAX);
    message->outputs =
        TN_ARENA_ARRAY(arena, struct tn_oip_infer_requested_output_tensor, TN_TENSORS_MAX);
    message->raw_input_contents = TN_ARENA_ARRAY(arena, struct tn_bytes, TN_TENSORS_MAX);
    reading->message = message;
    return message->inputs != NULL && message->outputs != NULL &&
           message->raw_input_contents != NULL;
}

enum tn_err tn_rest_message_read(struct tn_rest_call *rest, size_t json_size,
                                 struct tn_rest_message *ret_message)
{
    struct reading reading = {.rest = rest};
    struct tn_str body = rest->body;
    if (!make_message(&reading)) {
        return no_memory(rest);
    }
    reading.binary = tn_bytes_make(body.data + json_size, body.size - json_size);
    rest->body.size = json_size;
    enum tn_err err = tn_rest_body_begin(rest, &reading.json);
    if (err == TN_DONE) {
        return tn_fault_set(&rest->fault, TN_INVALID, "the body is empty");
    }
    if (err == TN_OK) {
        err = read_top(&reading);
    }
    if (err != TN_OK) {
        return err;
    }
    if (reading.binary.size > 0) {
        return tn_fault_set(&rest->fault, TN_INVALID,
                            "%zu bytes behind the last binary tensor belong to none",
                            reading.binary.size);
    }
    struct tn_oip_model_infer_request *message = reading.message;
    const struct tn_oip_infer_parameter *binary = tn_request_parameter(
        message->parameters, message->parameters_count, TN_STR_OF("binary_data_output"));
    bool on = false;
    if (binary != NULL && tn_parameter_bool(binary, &on) != TN_OK) {
        return tn_fault_set(&rest->fault, TN_INVALID, "binary_data_output must be true or false");
    }
    message->model_name = rest->arguments[0];
    message->model_version = rest->arguments[1];
    *ret_message = (struct tn_rest_message){message, on};
    return TN_OK;
}
