/* Matches what was typed with what the model takes; see question.h. */
#include "cmd/question.h"

#include "base/clock.h"
#include "base/suggest.h"
#include "core/assert.h"

#include <stdio.h>
#include <stdlib.h>

static const char *value_of(const struct tn_option_map *map, struct tn_str name)
{
    for (size_t i = 0; i < map->count; i++) {
        if (tn_str_is(name, map->names[i])) {
            return ((const char **)map->items)[i];
        }
    }
    return NULL;
}

/* Every name that was given must be an input of the model. */
static enum tn_err check_names(const struct tn_option_map *map, const struct tn_remote_model *model,
                               const char *flag, struct tn_fault *fault)
{
    for (size_t i = 0; i < map->count; i++) {
        struct tn_str name = tn_str_from(map->names[i]);
        if (tn_remote_model_input(model, name) != NULL) {
            continue;
        }
        struct tn_suggest suggest;
        tn_suggest_init(&suggest, name);
        for (size_t k = 0; k < model->input_count; k++) {
            tn_suggest_offer(&suggest, model->inputs[k].name.data);
        }
        return tn_fault_set(fault, TN_INVALID, "%s %s: the model has no such input%s%s", flag,
                            map->names[i], suggest.best != NULL ? "; did you mean " : "",
                            suggest.best != NULL ? suggest.best : "");
    }
    return TN_OK;
}

static enum tn_err read_shape(const char *text, struct tn_shape *ret_shape, struct tn_fault *fault)
{
    struct tn_shape shape = {0};
    const char *at = text;
    while (shape.rank < TN_RANK_MAX) {
        char *end = NULL;
        long long dim = strtoll(at, &end, 10);
        if (end == at || dim < 0 || (*end != '\0' && *end != ',')) {
            break;
        }
        shape.dims[shape.rank++] = dim;
        if (*end == '\0') {
            *ret_shape = shape;
            return TN_OK;
        }
        at = end + 1;
    }
    return tn_fault_set(fault, TN_INVALID, "'%s' is no shape; write up to %d numbers as 1,3,48,192",
                        text, TN_RANK_MAX);
}

static enum tn_err missing(const struct tn_remote_model *model,
                           const struct tn_remote_tensor *input, struct tn_fault *fault)
{
    char shape[128] = "";
    size_t at = 0;
    for (size_t i = 0; i < input->shape.rank && at < sizeof(shape); i++) {
        at += (size_t)snprintf(shape + at, sizeof(shape) - at, "%s%lld", i > 0 ? "," : "",
                               (long long)input->shape.dims[i]);
    }
    return tn_fault_set(fault, TN_INVALID,
                        "model '%.*s' needs input '%.*s' (%s [%s]); give it with --input "
                        "%.*s=VALUE, where VALUE is JSON, @FILE, zeros, ones or random",
                        TN_STR_ARG(model->name), TN_STR_ARG(input->name),
                        tn_dtype_name(input->dtype), shape, TN_STR_ARG(input->name));
}

/* One input of the model. It may have none: a state that the server carries. */
static enum tn_err read_input(const struct tn_question_options *options,
                              const struct tn_remote_tensor *input, struct tn_arena *arena,
                              struct tn_question *question, struct tn_fault *fault)
{
    struct tn_str fixed = TN_STR("value ");
    const char *typed = value_of(&options->inputs, input->name);
    struct tn_str value = tn_str_from(typed);
    if (typed == NULL && tn_str_starts(input->recipe, fixed)) {
        value = tn_str_from_offset(input->recipe, fixed.size);
    } else if (typed == NULL) {
        return input->state ? TN_OK : missing(&question->model, input, fault);
    }
    struct tn_input_spec spec = {.name = input->name,
                                 .dtype = input->dtype,
                                 .shape = input->shape,
                                 .recipe = input->recipe,
                                 .seed = options->seed};
    if (tn_str_starts(input->recipe, fixed)) {
        spec.recipe = tn_str_make(NULL, 0);
    }
    const char *shape = value_of(&options->shapes, input->name);
    enum tn_err err = shape != NULL ? read_shape(shape, &spec.wanted, fault) : TN_OK;
    if (err == TN_OK) {
        err = tn_input_read(&spec, value, arena, &question->inputs[question->input_count], fault);
    }
    if (err != TN_OK) {
        return err;
    }
    size_t count = question->inputs[question->input_count].count;
    question->request_count = count > question->request_count ? count : question->request_count;
    question->input_count++;
    return TN_OK;
}

enum tn_err tn_question_read(const struct tn_question_options *options, struct tn_session *session,
                             struct tn_arena *arena, struct tn_question *ret_question,
                             struct tn_fault *fault)
{
    struct tn_question question = {.request_count = 1};
    enum tn_err err =
        tn_remote_model_fetch(session, tn_str_from(options->model), tn_str_from(options->version),
                              arena, &question.model, fault);
    if (err == TN_OK) {
        err = check_names(&options->inputs, &question.model, "--input", fault);
    }
    if (err == TN_OK) {
        err = check_names(&options->shapes, &question.model, "--shape", fault);
    }
    if (err != TN_OK) {
        return err;
    }
    if (question.model.input_count > TN_TENSORS_MAX) {
        return tn_fault_set(fault, TN_LIMIT, "the model has more than %d inputs", TN_TENSORS_MAX);
    }
    question.inputs = TN_ARENA_ARRAY(arena, struct tn_input, question.model.input_count);
    if (question.inputs == NULL) {
        return tn_fault_set(fault, TN_NOMEM, "no memory for the inputs");
    }
    for (size_t i = 0; i < question.model.input_count; i++) {
        err = read_input(options, &question.model.inputs[i], arena, &question, fault);
        if (err != TN_OK) {
            return err;
        }
    }
    /* Positive, since it travels as a signed number; unlike any other client's with luck. */
    question.sequence_id = question.model.sequence ? (tn_clock_wall_ns() >> 1 | 1) : 0;
    *ret_question = question;
    return TN_OK;
}

struct tn_exchange tn_question_request(const struct tn_question *question, size_t index,
                                       struct tn_tensor inputs[TN_TENSORS_MAX])
{
    TN_ASSERT(index < question->request_count);

    for (size_t i = 0; i < question->input_count; i++) {
        const struct tn_input *input = &question->inputs[i];
        inputs[i] = input->tensors[index < input->count ? index : input->count - 1];
    }
    return (struct tn_exchange){
        .model = &question->model,
        .inputs = inputs,
        .input_count = question->input_count,
        .sequence_id = question->sequence_id,
        .sequence_start = index == 0,
        .sequence_end = index + 1 == question->request_count,
    };
}
