/* Is this job one that the model can run, and with which others may it share a run?
 *
 * Inputs are put into the model's order in place, so that everything behind works by index. Cost
 * for the usual two inputs: two name comparisons, two shape comparisons. Shapes that the signature
 * leaves open beside the batch go into the compat key, keyed by a secret of the model, so nobody
 * can make two kinds look alike. */
#include "infer/model_parts.h"

#include "base/mem.h"
#include "core/assert.h"

#include <inttypes.h>

enum { SHARED_SIZE_MAX = 256 }; /* bytes of an input without batch dimension that are compared */

static enum tn_err name_fault(const struct tn_model *model, const struct tn_infer_job *job,
                              size_t missing, struct tn_fault *fault)
{
    const struct tn_model_info *info = &model->info;
    for (size_t i = 0; i < job->input_count; i++) {
        bool known = false;
        for (size_t k = 0; k < info->input_count; k++) {
            known = known || tn_str_equal(job->inputs[i].name, info->inputs[k].name);
        }
        if (!known) {
            return tn_fault_set(fault, TN_INVALID, "model '%.*s' has no input '%.*s'",
                                TN_STR_ARG(info->name), TN_STR_ARG(job->inputs[i].name));
        }
    }
    if (job->input_count > info->input_count) {
        return tn_fault_set(fault, TN_INVALID, "model '%.*s' takes %zu inputs, the request has %zu",
                            TN_STR_ARG(info->name), info->input_count, job->input_count);
    }
    return tn_fault_set(fault, TN_INVALID, "model '%.*s' needs input '%.*s'",
                        TN_STR_ARG(info->name), TN_STR_ARG(info->inputs[missing].name));
}

/* For a model with carried state: a frame by the signature, in which state inputs that the request
 * does not bring stay empty (dtype INVALID) until it is the job's turn. */
static enum tn_err frame_inputs(const struct tn_model *model, struct tn_infer_job *job,
                                struct tn_fault *fault)
{
    const struct tn_model_info *info = &model->info;
    struct tn_tensor *frame = tn_mem_take_zeroed(info->input_count, sizeof(*frame));
    if (frame == NULL) {
        return tn_fault_set(fault, TN_NOMEM, "no memory for the inputs");
    }
    job->frame = job->run_inputs = frame;
    size_t used = 0;
    for (size_t i = 0; i < info->input_count; i++) {
        size_t at = 0;
        while (at < job->input_count && !tn_str_equal(job->inputs[at].name, info->inputs[i].name)) {
            at++;
        }
        if (at < job->input_count) {
            frame[i] = job->inputs[at];
            used++;
        } else if (!tn_carried_gives(model->carried, i)) {
            return name_fault(model, job, i, fault);
        }
    }
    return used == job->input_count ? TN_OK : name_fault(model, job, 0, fault);
}

static enum tn_err sort_inputs(const struct tn_model *model, struct tn_infer_job *job,
                               struct tn_fault *fault)
{
    const struct tn_model_info *info = &model->info;
    job->run_inputs = job->inputs;
    for (size_t i = 0; i < info->input_count; i++) {
        size_t at = i;
        while (at < job->input_count && !tn_str_equal(job->inputs[at].name, info->inputs[i].name)) {
            at++;
        }
        if (at >= job->input_count) {
            return name_fault(model, job, i, fault);
        }
        if (at != i) {
            struct tn_tensor swap = job->inputs[i];
            job->inputs[i] = job->inputs[at];
            job->inputs[at] = swap;
        }
    }
    return job->input_count == info->input_count ? TN_OK : name_fault(model, job, 0, fault);
}

static enum tn_err check_input(const struct tn_model *model, const struct tn_signature *expected,
                               const struct tn_tensor *input, struct tn_fault *fault)
{
    struct tn_shape_text want;
    struct tn_shape_text have;
    if (input->dtype != expected->dtype) {
        return tn_fault_set(fault, TN_INVALID, "input '%.*s' of model '%.*s' is %s, not %s",
                            TN_STR_ARG(expected->name), TN_STR_ARG(model->info.name),
                            tn_dtype_name(expected->dtype), tn_dtype_name(input->dtype));
    }
    if (!tn_shape_fits(&expected->shape, &input->shape)) {
        return tn_fault_set(
            fault, TN_INVALID, "input '%.*s' of model '%.*s' has shape %s, the request gave %s",
            TN_STR_ARG(expected->name), TN_STR_ARG(model->info.name),
            tn_shape_print(&expected->shape, &want), tn_shape_print(&input->shape, &have));
    }
    return tn_tensor_check(input, fault);
}

static enum tn_err check_wanted(const struct tn_model *model, struct tn_infer_job *job,
                                struct tn_fault *fault)
{
    size_t count = model->info.output_count;
    if (job->wanted == NULL) {
        job->output_count = count;
        job->wanted_mask = count == 64 ? UINT64_MAX : (UINT64_C(1) << count) - 1;
        return TN_OK;
    }
    if (job->output_count == 0 || job->output_count > count) {
        return tn_fault_set(fault, TN_INVALID, "%zu outputs asked for, model '%.*s' has %zu",
                            job->output_count, TN_STR_ARG(model->info.name), count);
    }
    job->wanted_mask = 0;
    for (size_t i = 0; i < job->output_count; i++) {
        TN_ASSERT(job->wanted[i] < count);
        uint64_t bit = UINT64_C(1) << job->wanted[i];
        if ((job->wanted_mask & bit) != 0) {
            return tn_fault_set(fault, TN_INVALID, "output '%.*s' is asked for twice",
                                TN_STR_ARG(model->info.outputs[job->wanted[i]].name));
        }
        job->wanted_mask |= bit;
    }
    return TN_OK;
}

/* How many items the job brings; 0 when its inputs do not agree, so that it must run alone. */
static uint64_t count_items(const struct tn_model *model, const struct tn_infer_job *job)
{
    int64_t items = -1;
    for (size_t i = 0; i < model->info.input_count; i++) {
        int axis = model->plan.input_axes[i];
        if (axis == TN_PLAN_SHARED || job->run_inputs[i].dtype == TN_DTYPE_INVALID) {
            continue;
        }
        int64_t here = job->run_inputs[i].shape.dims[axis];
        if (items >= 0 && here != items) {
            return 0;
        }
        items = here;
    }
    return items > 0 ? (uint64_t)items : 0;
}

/* False: an input cannot be shared and the job must run alone. */
static bool make_compat(const struct tn_model *model, struct tn_infer_job *job)
{
    uint64_t *key = job->entry.compat;
    key[0] = job->wanted_mask;
    key[1] = 0;
    if (model->always_same) {
        return true;
    }
    struct tn_siphash hash;
    tn_siphash_init(&hash, &model->secret);
    tn_siphash_add(&hash, tn_bytes_make(&job->wanted_mask, sizeof(job->wanted_mask)));
    for (size_t i = 0; i < model->info.input_count; i++) {
        const struct tn_tensor *input = &job->run_inputs[i];
        int axis = model->plan.input_axes[i];
        struct tn_shape shape = input->shape;
        if (axis != TN_PLAN_SHARED) {
            shape.dims[axis] = 0; /* how many items does not matter */
        }
        tn_siphash_add(&hash, tn_bytes_make(shape.dims, shape.rank * sizeof(shape.dims[0])));
        if (axis == TN_PLAN_SHARED) {
            if (input->data.size > SHARED_SIZE_MAX) {
                return false;
            }
            tn_siphash_add(&hash, tn_bytes_make(&input->data.size, sizeof(input->data.size)));
            tn_siphash_add(&hash, input->data);
        }
    }
    struct tn_hash value = tn_siphash_end(&hash);
    key[0] = value.low;
    key[1] = value.high;
    return true;
}

static enum tn_err check_items(const struct tn_model *model, const struct tn_infer_job *job,
                               struct tn_fault *fault)
{
    uint64_t items = count_items(model, job);
    if (model->plan.batchable && model->batching.batch_max > 0 &&
        items > model->batching.batch_max) {
        return tn_fault_set(fault, TN_INVALID,
                            "a batch of %" PRIu64 " is above the %u that model '%.*s' allows",
                            items, model->batching.batch_max, TN_STR_ARG(model->info.name));
    }
    return TN_OK;
}

enum tn_err tn_job_check(const struct tn_model *model, struct tn_infer_job *job,
                         struct tn_fault *fault)
{
    job->frame = NULL;
    job->turn.sequence = NULL;
    enum tn_err err =
        model->carried != NULL ? frame_inputs(model, job, fault) : sort_inputs(model, job, fault);
    for (size_t i = 0; i < model->info.input_count && err == TN_OK; i++) {
        if (job->run_inputs[i].dtype != TN_DTYPE_INVALID || job->frame == NULL) {
            err = check_input(model, &model->info.inputs[i], &job->run_inputs[i], fault);
        }
    }
    if (err == TN_OK) {
        err = check_wanted(model, job, fault);
    }
    if (err == TN_OK) {
        err = check_items(model, job, fault);
    }
    if (err != TN_OK) {
        tn_mem_give(job->frame);
        job->frame = NULL;
    }
    return err;
}

void tn_job_classify(const struct tn_model *model, struct tn_infer_job *job)
{
    uint64_t items = count_items(model, job);
    bool apart = !model->plan.batchable || items == 0 ||
                 atomic_load_explicit(&model->mixes, memory_order_relaxed);
    job->entry.alone = apart || !make_compat(model, job);
    job->entry.items = items > 0 ? (uint32_t)(items < UINT32_MAX ? items : UINT32_MAX) : 1;
}
