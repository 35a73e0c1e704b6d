/* One run of a session: values around the caller's memory in, values around the caller's memory or
 * blocks around the library's memory out. Nothing is copied but text.
 *
 * Cost of a run beside the kernels: one small value object for each tensor (some 0.15 us each).
 * Memory: a runner holds two option objects; each output that the library placed lives until its
 * block's last reference goes, on whatever thread that happens. Threads: a runner is used by one;
 * stop may come from any. */
#include "infer/onnx.h"

#include "base/mem.h"
#include "core/assert.h"

#include <stdatomic.h>

struct runner {
    struct tn_onnx_program *program;
    OrtRunOptions *options;
    OrtRunOptions *shrinking;
    atomic_bool stopped;
    OrtValue *inputs[TN_TENSORS_MAX];
    OrtValue *outputs[TN_TENSORS_MAX];
    const char *output_names[TN_TENSORS_MAX];
};

/* An output in the library's memory, as a block. */
struct held_value {
    struct tn_block block;
    const OrtApi *api;
    OrtValue *value;
};

static OrtStatus *make_options(const OrtApi *api, OrtRunOptions **ret_options)
{
    OrtStatus *status = api->CreateRunOptions(ret_options);
    /* A failed run is reported by its fault; the library need not print it as well. */
    return status != NULL
               ? status
               : api->RunOptionsSetRunLogSeverityLevel(*ret_options, ORT_LOGGING_LEVEL_FATAL);
}

enum tn_err tn_onnx_runner_create(void *program, void **ret_runner, struct tn_fault *fault)
{
    struct tn_onnx_program *self = program;
    const OrtApi *api = self->engine->api;
    struct runner *runner = tn_mem_take_zeroed(1, sizeof(*runner));
    if (runner == NULL) {
        return tn_fault_set(fault, TN_NOMEM, "no memory for a runner");
    }
    runner->program = self;
    OrtStatus *status = make_options(api, &runner->options);
    status = status != NULL ? status : make_options(api, &runner->shrinking);
    status = status != NULL
                 ? status
                 : api->AddRunConfigEntry(runner->shrinking, "memory.enable_memory_arena_shrinkage",
                                          "cpu:0");
    enum tn_err err = tn_onnx_check(self->engine, status, "setting run options", fault);
    if (err != TN_OK) {
        tn_onnx_runner_destroy(runner);
        return err;
    }
    *ret_runner = runner;
    return TN_OK;
}

void tn_onnx_runner_destroy(void *runner)
{
    struct runner *self = runner;
    if (self == NULL) {
        return;
    }
    const OrtApi *api = self->program->engine->api;
    if (self->options != NULL) {
        api->ReleaseRunOptions(self->options);
    }
    if (self->shrinking != NULL) {
        api->ReleaseRunOptions(self->shrinking);
    }
    tn_mem_give(self);
}

/* A value around the caller's bytes; no copy. */
static enum tn_err wrap(struct runner *self, enum tn_dtype dtype, const struct tn_shape *shape,
                        struct tn_bytes bytes, OrtValue **ret_value, struct tn_fault *fault)
{
    static uint8_t nothing[8]; /* the library wants an address even for no elements */
    const struct tn_engine *engine = self->program->engine;
    /* The cast drops const: inputs are only read by the library. */
    void *data = bytes.size > 0 ? (void *)(uintptr_t)bytes.data : nothing;
    return tn_onnx_check(
        engine,
        engine->api->CreateTensorWithDataAsOrtValue(engine->memory, data, bytes.size, shape->dims,
                                                    shape->rank, tn_onnx_type(dtype), ret_value),
        "wrapping a tensor", fault);
}

static enum tn_err wrap_inputs(struct runner *self, const struct tn_run *run,
                               struct tn_fault *fault)
{
    for (size_t i = 0; i < run->input_count; i++) {
        const struct tn_run_input *input = &run->inputs[i];
        enum tn_dtype dtype = self->program->input_dtypes[i];
        enum tn_err err =
            dtype == TN_DTYPE_BYTES
                ? tn_onnx_text_in(self->program->engine, input, &self->inputs[i], fault)
                : wrap(self, dtype, &input->shape, input->data, &self->inputs[i], fault);
        if (err != TN_OK) {
            return err;
        }
    }
    return TN_OK;
}

static enum tn_err wrap_outputs(struct runner *self, const struct tn_run *run,
                                struct tn_fault *fault)
{
    for (size_t i = 0; i < run->output_count; i++) {
        struct tn_run_output *output = &run->outputs[i];
        enum tn_dtype dtype = self->program->output_dtypes[output->index];
        TN_ASSERT(output->room == NULL || dtype != TN_DTYPE_BYTES);
        self->output_names[i] = self->program->output_names[output->index];
        self->outputs[i] = NULL;
        if (output->room != NULL) {
            enum tn_err err =
                wrap(self, dtype, &output->shape, tn_bytes_make(output->room, output->size),
                     &self->outputs[i], fault);
            if (err != TN_OK) {
                return err;
            }
        }
    }
    return TN_OK;
}

static void release_held(struct tn_block *block)
{
    struct held_value *held = TN_CONTAINER(block, struct held_value, block);
    held->api->ReleaseValue(held->value);
    tn_mem_give(held);
}

/* Takes the value over on success. */
static enum tn_err hold_value(struct runner *self, OrtValue **value, size_t size,
                              struct tn_run_output *output, struct tn_fault *fault)
{
    const struct tn_engine *engine = self->program->engine;
    void *data = NULL;
    enum tn_err err = tn_onnx_check(engine, engine->api->GetTensorMutableData(*value, &data),
                                    "reading an output", fault);
    if (err != TN_OK) {
        return err;
    }
    struct held_value *held = tn_mem_take(sizeof(*held));
    if (held == NULL) {
        return tn_fault_set(fault, TN_NOMEM, "no memory for an output");
    }
    held->api = engine->api;
    held->value = *value;
    tn_block_init_foreign(&held->block, tn_bytes_make(data, size), release_held, NULL);
    *value = NULL;
    output->block = &held->block;
    return TN_OK;
}

static enum tn_err read_shape(const struct tn_engine *engine, const OrtValue *value,
                              struct tn_shape *shape, struct tn_fault *fault)
{
    const OrtApi *api = engine->api;
    OrtTensorTypeAndShapeInfo *info = NULL;
    enum tn_err err = tn_onnx_check(engine, api->GetTensorTypeAndShape(value, &info),
                                    "reading an output's shape", fault);
    if (err != TN_OK) {
        return err;
    }
    size_t rank = 0;
    err = tn_onnx_check(engine, api->GetDimensionsCount(info, &rank), "reading a rank", fault);
    if (err == TN_OK && rank > TN_RANK_MAX) {
        err = tn_fault_set(fault, TN_UNSUPPORTED, "an output has %zu dimensions, at most %d", rank,
                           TN_RANK_MAX);
    }
    if (err == TN_OK) {
        err = tn_onnx_check(engine, api->GetDimensions(info, shape->dims, rank),
                            "reading an output's shape", fault);
        shape->rank = rank;
    }
    api->ReleaseTensorTypeAndShapeInfo(info);
    return err;
}

static enum tn_err take_output(struct runner *self, size_t i, struct tn_run_output *output,
                               struct tn_fault *fault)
{
    const struct tn_engine *engine = self->program->engine;
    uint64_t elements = 0;
    if (self->outputs[i] == NULL) {
        return tn_fault_set(fault, TN_INTERNAL, "the model gave no output '%s'",
                            self->output_names[i]);
    }
    enum tn_err err = read_shape(engine, self->outputs[i], &output->shape, fault);
    if (err == TN_OK) {
        err = tn_shape_elements(&output->shape, &elements);
    }
    if (err != TN_OK) {
        return err;
    }
    enum tn_dtype dtype = self->program->output_dtypes[output->index];
    if (dtype == TN_DTYPE_BYTES) {
        err = tn_onnx_text_out(engine, self->outputs[i], elements, &output->block, fault);
    } else {
        err = hold_value(self, &self->outputs[i], (size_t)elements * tn_dtype_size(dtype), output,
                         fault);
    }
    if (err == TN_OK) {
        output->size = output->block->size;
    }
    return err;
}

static enum tn_err take_outputs(struct runner *self, struct tn_run *run, struct tn_fault *fault)
{
    for (size_t i = 0; i < run->output_count; i++) {
        struct tn_run_output *output = &run->outputs[i];
        if (output->room != NULL) {
            continue;
        }
        enum tn_err err = take_output(self, i, output, fault);
        if (err != TN_OK) {
            for (size_t k = 0; k < i; k++) {
                tn_block_unref(run->outputs[k].block);
                run->outputs[k].block = NULL;
            }
            return err;
        }
    }
    return TN_OK;
}

static void release_values(struct runner *self, const struct tn_run *run)
{
    const OrtApi *api = self->program->engine->api;
    for (size_t i = 0; i < run->input_count; i++) {
        if (self->inputs[i] != NULL) {
            api->ReleaseValue(self->inputs[i]);
            self->inputs[i] = NULL;
        }
    }
    for (size_t i = 0; i < run->output_count; i++) {
        if (self->outputs[i] != NULL) {
            api->ReleaseValue(self->outputs[i]);
            self->outputs[i] = NULL;
        }
    }
}

/* A stop that came after its run ended must not end the next one. */
static void forget_stop(struct runner *self)
{
    const struct tn_engine *engine = self->program->engine;
    if (atomic_exchange_explicit(&self->stopped, false, memory_order_acq_rel)) {
        OrtStatus *status = engine->api->RunOptionsUnsetTerminate(self->options);
        (void)tn_onnx_check(engine, status, "resetting", NULL);
        status = engine->api->RunOptionsUnsetTerminate(self->shrinking);
        (void)tn_onnx_check(engine, status, "resetting", NULL);
    }
}

static enum tn_err run_session(struct runner *self, const struct tn_run *run,
                               struct tn_fault *fault)
{
    const struct tn_onnx_program *program = self->program;
    forget_stop(self);
    OrtStatus *status = program->engine->api->Run(
        program->session, run->shrink ? self->shrinking : self->options, program->input_names,
        (const OrtValue *const *)self->inputs, run->input_count, self->output_names,
        run->output_count, self->outputs);
    enum tn_err err = tn_onnx_check(program->engine, status, "the model failed", fault);
    if (err != TN_OK && atomic_load_explicit(&self->stopped, memory_order_acquire)) {
        err = tn_fault_set(fault, TN_CANCELLED, "the run was cancelled");
    }
    return err;
}

enum tn_err tn_onnx_run(void *runner, struct tn_run *run, struct tn_fault *fault)
{
    struct runner *self = runner;
    TN_ASSERT(run->input_count == self->program->input_count);
    TN_ASSERT(run->output_count <= TN_TENSORS_MAX);

    enum tn_err err = wrap_outputs(self, run, fault);
    if (err == TN_OK) {
        err = wrap_inputs(self, run, fault);
    }
    if (err == TN_OK) {
        err = run_session(self, run, fault);
    }
    if (err == TN_OK) {
        err = take_outputs(self, run, fault);
    }
    release_values(self, run);
    return err;
}

void tn_onnx_stop(void *runner)
{
    struct runner *self = runner;
    const struct tn_engine *engine = self->program->engine;
    OrtStatus *status = engine->api->RunOptionsSetTerminate(self->options);
    (void)tn_onnx_check(engine, status, "stopping", NULL);
    status = engine->api->RunOptionsSetTerminate(self->shrinking);
    (void)tn_onnx_check(engine, status, "stopping", NULL);
    /* Last, so that forget_stop never resets options that are still to be set: they would end
     * every later run of this runner. */
    atomic_store_explicit(&self->stopped, true, memory_order_release);
}
