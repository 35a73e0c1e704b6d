/* Warm-up samples; see warmup.h. Data from a file is the inputs' raw bytes one after the other, in
 * the model's order. Memory: one block an input, given back after the sample. */
#include "infer/warmup.h"

#include "base/file.h"
#include "base/mem.h"
#include "core/assert.h"
#include "infer/made_up.h"
#include "infer/model_parts.h"

#include <stdio.h>

enum { SAMPLE_SIZE_MAX = 1 << 30, PATH_SIZE = 4096 };

struct sample {
    struct tn_model *model;
    const struct tn_warmup_config *config;
    struct tn_run_input inputs[TN_TENSORS_MAX];
    struct tn_run_output outputs[TN_TENSORS_MAX];
    struct tn_block *blocks[TN_TENSORS_MAX];
    struct tn_block *file;
    size_t file_at;
    struct tn_made_up values;
    struct tn_fault *fault;
};

static enum tn_err sample_shape(struct sample *sample, size_t i, struct tn_shape *ret_shape)
{
    const struct tn_signature *input = &sample->model->program_info.inputs[i];
    struct tn_shape_text want;
    struct tn_shape_text have;
    struct tn_shape shape = input->shape;
    int axis = sample->model->plan.input_axes[i];
    if (axis != TN_PLAN_SHARED) {
        shape.dims[axis] = sample->config->batch;
    }
    for (size_t k = 0; k < sample->config->shape_count; k++) {
        if (tn_str_equal(sample->config->shapes[k].input, input->name)) {
            shape = sample->config->shapes[k].shape;
        }
    }
    if (!tn_shape_fits(&input->shape, &shape)) {
        return tn_fault_set(sample->fault, TN_INVALID,
                            "input '%.*s' is %s: give its shape (now %s) under shapes",
                            TN_STR_ARG(input->name), tn_shape_print(&input->shape, &want),
                            tn_shape_print(&shape, &have));
    }
    *ret_shape = shape;
    return TN_OK;
}

/* The next input's bytes of the file: `size`, or for texts as far as its elements reach. */
static enum tn_err take_from_file(struct sample *sample, size_t i, uint64_t elements)
{
    const struct tn_signature *input = &sample->model->program_info.inputs[i];
    struct tn_tensor tensor = {
        .name = input->name, .dtype = input->dtype, .shape = sample->inputs[i].shape};
    const uint8_t *data = sample->file->data + sample->file_at;
    size_t left = sample->file->size - sample->file_at;
    size_t size = (size_t)elements * tn_dtype_size(input->dtype);
    for (uint64_t k = 0; input->dtype == TN_DTYPE_BYTES && k < elements && size + 4 <= left; k++) {
        size += 4 + (size_t)tn_load_le32(data + size);
    }
    tensor.data = tn_bytes_make(data, size < left ? size : left);
    enum tn_err err = tn_tensor_check(&tensor, sample->fault);
    if (err != TN_OK) {
        return err;
    }
    sample->file_at += tensor.data.size;
    /* Copied, since the file's tensors need not be aligned. */
    err = tn_block_copy(tensor.data, &sample->blocks[i]);
    return err == TN_OK ? TN_OK : tn_fault_set(sample->fault, err, "no memory for a sample");
}

static enum tn_err make_input(struct sample *sample, size_t i)
{
    enum tn_dtype dtype = sample->model->program_info.inputs[i].dtype;
    struct tn_run_input *input = &sample->inputs[i];
    uint64_t elements = 0;
    size_t element = tn_made_up_size(dtype);
    enum tn_err err = sample_shape(sample, i, &input->shape);
    if (err != TN_OK) {
        return err;
    }
    if (tn_shape_elements(&input->shape, &elements) != TN_OK ||
        elements > SAMPLE_SIZE_MAX / element) {
        return tn_fault_set(sample->fault, TN_LIMIT, "the sample is larger than %d bytes",
                            SAMPLE_SIZE_MAX);
    }
    if (sample->file != NULL) {
        err = take_from_file(sample, i, elements);
    } else {
        size_t size = (size_t)elements * element;
        err = tn_block_create(size, &sample->blocks[i]);
        if (err != TN_OK) {
            return tn_fault_set(sample->fault, err, "no memory for a sample");
        }
        sample->blocks[i]->size = size;
        tn_made_up_fill(&sample->values, dtype, sample->blocks[i]->data, elements, 1);
        if (tn_str_is(sample->config->data, "zero") && dtype != TN_DTYPE_BYTES) {
            memset(sample->blocks[i]->data, 0, size);
        }
    }
    if (err == TN_OK) {
        input->data = tn_bytes_make(sample->blocks[i]->data, sample->blocks[i]->size);
    }
    return err;
}

static enum tn_err run_sample(struct sample *sample)
{
    const struct tn_model *model = sample->model;
    const struct tn_program_info *info = &model->program_info;
    enum tn_err err = TN_OK;
    for (uint32_t n = 0; n < sample->config->count && err == TN_OK; n++) {
        struct tn_run run = {.inputs = sample->inputs,
                             .input_count = info->input_count,
                             .outputs = sample->outputs,
                             .output_count = info->output_count};
        for (size_t i = 0; i < info->output_count; i++) {
            sample->outputs[i] = (struct tn_run_output){.index = i};
        }
        err = model->backend->run(model->instances[0].runner, &run, sample->fault);
        for (size_t i = 0; i < info->output_count && err == TN_OK; i++) {
            tn_block_unref(sample->outputs[i].block);
        }
    }
    return err;
}

static enum tn_err open_file(struct sample *sample, const char *directory)
{
    char path[PATH_SIZE];
    struct tn_str name = sample->config->data;
    if (tn_str_is(name, "zero") || tn_str_is(name, "random") || name.size == 0) {
        return TN_OK;
    }
    bool outside = memchr(name.data, '/', name.size) != NULL;
    if (directory == NULL || outside) {
        return tn_fault_set(sample->fault, TN_INVALID,
                            "data '%.*s' is neither zero, random nor a file beside model.yaml",
                            TN_STR_ARG(name));
    }
    snprintf(path, sizeof(path), "%s/%.*s", directory, TN_STR_ARG(name));
    return tn_file_read(path, SAMPLE_SIZE_MAX, &sample->file, sample->fault);
}

static enum tn_err warm(struct sample *sample, const char *directory)
{
    enum tn_err err = open_file(sample, directory);
    size_t count = sample->model->program_info.input_count;
    for (size_t i = 0; i < count && err == TN_OK; i++) {
        err = make_input(sample, i);
    }
    if (err == TN_OK && sample->file != NULL && sample->file_at != sample->file->size) {
        err = tn_fault_set(sample->fault, TN_INVALID, "its file has %zu bytes too many",
                           sample->file->size - sample->file_at);
    }
    if (err == TN_OK) {
        err = run_sample(sample);
    }
    for (size_t i = 0; i < count; i++) {
        tn_block_unref(sample->blocks[i]);
    }
    tn_block_unref(sample->file);
    return err;
}

enum tn_err tn_warmup_run(struct tn_model *model, const struct tn_model_options *options,
                          struct tn_fault *fault)
{
    for (size_t i = 0; i < options->config->warmup_count; i++) {
        struct sample *sample = tn_mem_take_zeroed(1, sizeof(*sample));
        if (sample == NULL) {
            return tn_fault_set(fault, TN_NOMEM, "no memory for a sample");
        }
        sample->model = model;
        sample->config = &options->config->warmup[i];
        sample->fault = fault;
        tn_made_up_init(&sample->values);
        enum tn_err err = warm(sample, options->directory);
        tn_mem_give(sample);
        if (err != TN_OK) {
            tn_fault_wrap(fault, "warm-up '%.*s'", TN_STR_ARG(options->config->warmup[i].name));
            return err;
        }
    }
    return TN_OK;
}
