/* Building and walking the graph of an ensemble; see ensemble.h. Graphs are small, so names are
 * compared one by one at load; a run only counts indices. */
#include "infer/ensemble.h"

#include "core/assert.h"

enum { NOBODY = -1, INPUT = -2 };

struct building {
    struct tn_ensemble *ensemble;
    int givers[TN_ENSEMBLE_TENSORS_MAX]; /* step, INPUT or NOBODY */
    struct tn_fault *fault;
};

/* The index of a name, added when new; SIZE_MAX: no room. */
static size_t tensor_index(struct building *with, struct tn_str name)
{
    struct tn_ensemble *ensemble = with->ensemble;
    for (size_t i = 0; i < ensemble->tensor_count; i++) {
        if (tn_str_equal(ensemble->tensors[i], name)) {
            return i;
        }
    }
    if (ensemble->tensor_count == TN_ENSEMBLE_TENSORS_MAX) {
        return SIZE_MAX;
    }
    with->givers[ensemble->tensor_count] = NOBODY;
    ensemble->tensors[ensemble->tensor_count] = name;
    return ensemble->tensor_count++;
}

static enum tn_err link_names(struct building *with, const struct tn_map_config *from, size_t count,
                              struct tn_ensemble_link *to)
{
    for (size_t i = 0; i < count; i++) {
        size_t tensor = tensor_index(with, from[i].outside);
        if (tensor == SIZE_MAX) {
            return tn_fault_set(with->fault, TN_LIMIT, "an ensemble has at most %d tensors",
                                TN_ENSEMBLE_TENSORS_MAX);
        }
        to[i] = (struct tn_ensemble_link){.inside = from[i].inside, .tensor = (uint16_t)tensor};
        for (size_t k = 0; k < i; k++) {
            if (tn_str_equal(to[k].inside, to[i].inside)) {
                return tn_fault_set(with->fault, TN_INVALID, "a step maps '%.*s' twice",
                                    TN_STR_ARG(to[i].inside));
            }
        }
    }
    return TN_OK;
}

static enum tn_err add_step(struct building *with, const struct tn_step_config *config, size_t at)
{
    struct tn_ensemble_step *step = &with->ensemble->steps[at];
    step->model = config->model;
    step->version = config->version;
    step->input_count = config->input_count;
    step->output_count = config->output_count;
    if (config->output_count == 0) {
        return tn_fault_set(with->fault, TN_INVALID, "step %zu ('%.*s') has no outputs", at + 1,
                            TN_STR_ARG(config->model));
    }
    enum tn_err err = link_names(with, config->inputs, config->input_count, step->inputs);
    if (err == TN_OK) {
        err = link_names(with, config->outputs, config->output_count, step->outputs);
    }
    for (size_t i = 0; i < step->output_count && err == TN_OK; i++) {
        int *giver = &with->givers[step->outputs[i].tensor];
        if (*giver != NOBODY) {
            err = tn_fault_set(
                with->fault, TN_INVALID, "tensor '%.*s' is given by step %zu ('%.*s') and by %s",
                TN_STR_ARG(config->outputs[i].outside), at + 1, TN_STR_ARG(config->model),
                *giver == INPUT ? "the ensemble's inputs" : "another step");
        }
        *giver = (int)at;
    }
    return err;
}

static enum tn_err check_givers(struct building *with)
{
    for (size_t i = 0; i < with->ensemble->step_count; i++) {
        struct tn_ensemble_step *step = &with->ensemble->steps[i];
        for (size_t k = 0; k < step->input_count; k++) {
            uint16_t tensor = step->inputs[k].tensor;
            if (with->givers[tensor] == NOBODY) {
                return tn_fault_set(with->fault, TN_INVALID,
                                    "step %zu ('%.*s') needs tensor '%.*s', which no step gives "
                                    "and which is no input of the ensemble",
                                    i + 1, TN_STR_ARG(step->model),
                                    TN_STR_ARG(with->ensemble->tensors[tensor]));
            }
            step->needs += with->givers[tensor] != INPUT;
        }
    }
    return TN_OK;
}

static enum tn_err add_outputs(struct building *with, const struct tn_model_config *config)
{
    struct tn_ensemble *ensemble = with->ensemble;
    for (size_t i = 0; i < config->output_count; i++) {
        size_t tensor = tensor_index(with, config->outputs[i].name);
        if (tensor == SIZE_MAX || with->givers[tensor] == NOBODY) {
            return tn_fault_set(with->fault, TN_INVALID, "no step gives the output '%.*s'",
                                TN_STR_ARG(config->outputs[i].name));
        }
        ensemble->outputs[i] = (uint16_t)tensor;
    }
    ensemble->output_count = config->output_count;
    return TN_OK;
}

/* Runs the graph without models: steps that never become ready stand in a circle. */
struct dry_run {
    bool done[TN_STEPS_MAX];
    size_t queue[TN_STEPS_MAX];
    size_t count;
};

static void dry_ready(void *context, size_t step)
{
    struct dry_run *run = context;
    TN_ASSERT(!run->done[step]);
    run->done[step] = true;
    run->queue[run->count++] = step;
}

static enum tn_err check_circles(struct building *with)
{
    uint16_t missing[TN_STEPS_MAX];
    struct dry_run run = {.count = 0};
    tn_ensemble_begin(with->ensemble, missing, dry_ready, &run);
    for (size_t i = 0; i < run.count; i++) {
        tn_ensemble_ended(with->ensemble, missing, run.queue[i], dry_ready, &run);
    }
    for (size_t i = 0; i < with->ensemble->step_count; i++) {
        if (!run.done[i]) {
            return tn_fault_set(with->fault, TN_INVALID,
                                "step %zu ('%.*s') waits, through others, for itself", i + 1,
                                TN_STR_ARG(with->ensemble->steps[i].model));
        }
    }
    return TN_OK;
}

enum tn_err tn_ensemble_init(struct tn_ensemble *ensemble, const struct tn_model_config *config,
                             struct tn_arena *arena, struct tn_fault *fault)
{
    struct building with = {.ensemble = ensemble, .fault = fault};
    *ensemble = (struct tn_ensemble){.step_count = config->step_count};
    if (config->step_count == 0 || config->step_count > TN_STEPS_MAX || config->output_count == 0 ||
        config->input_count > TN_TENSORS_MAX || config->output_count > TN_TENSORS_MAX) {
        return tn_fault_set(fault, TN_INVALID,
                            "an ensemble needs 1 to %d steps, and 1 to %d inputs and outputs",
                            TN_STEPS_MAX, TN_TENSORS_MAX);
    }
    ensemble->steps = TN_ARENA_ARRAY(arena, struct tn_ensemble_step, config->step_count);
    ensemble->tensors = TN_ARENA_ARRAY(arena, struct tn_str, TN_ENSEMBLE_TENSORS_MAX);
    ensemble->outputs = TN_ARENA_ARRAY(arena, uint16_t, config->output_count);
    if (ensemble->steps == NULL || ensemble->tensors == NULL || ensemble->outputs == NULL) {
        return tn_fault_set(fault, TN_NOMEM, "no memory for the ensemble");
    }
    for (size_t i = 0; i < config->input_count; i++) {
        if (tensor_index(&with, config->inputs[i].name) != i) {
            return tn_fault_set(fault, TN_INVALID, "the ensemble has two inputs '%.*s'",
                                TN_STR_ARG(config->inputs[i].name));
        }
        with.givers[i] = INPUT;
    }
    ensemble->input_count = config->input_count;
    enum tn_err err = TN_OK;
    for (size_t i = 0; i < config->step_count && err == TN_OK; i++) {
        err = add_step(&with, &config->steps[i], i);
    }
    if (err == TN_OK) {
        err = check_givers(&with);
    }
    if (err == TN_OK) {
        err = add_outputs(&with, config);
    }
    return err == TN_OK ? check_circles(&with) : err;
}

void tn_ensemble_begin(const struct tn_ensemble *ensemble, uint16_t *missing,
                       void (*ready)(void *context, size_t step), void *context)
{
    for (size_t i = 0; i < ensemble->step_count; i++) {
        missing[i] = (uint16_t)ensemble->steps[i].needs;
    }
    for (size_t i = 0; i < ensemble->step_count; i++) {
        if (ensemble->steps[i].needs == 0) {
            ready(context, i);
        }
    }
}

/* How many inputs of `step` are outputs of `giver`. */
static size_t links_between(const struct tn_ensemble_step *giver,
                            const struct tn_ensemble_step *step)
{
    size_t links = 0;
    for (size_t i = 0; i < step->input_count; i++) {
        for (size_t k = 0; k < giver->output_count; k++) {
            links += step->inputs[i].tensor == giver->outputs[k].tensor;
        }
    }
    return links;
}

void tn_ensemble_ended(const struct tn_ensemble *ensemble, uint16_t *missing, size_t step,
                       void (*ready)(void *context, size_t step), void *context)
{
    for (size_t i = 0; i < ensemble->step_count; i++) {
        size_t links = links_between(&ensemble->steps[step], &ensemble->steps[i]);
        if (links == 0) {
            continue;
        }
        TN_ASSERT(missing[i] >= links);
        missing[i] = (uint16_t)(missing[i] - links);
        if (missing[i] == 0) {
            ready(context, i);
        }
    }
}
