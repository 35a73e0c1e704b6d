/* Finding and proving the batch dimension; see plan.h.
 *
 * The probe makes two items of random small values. Free dimensions beside the batch get one of a
 * few sizes, the first with which the model runs. Then: item one, item two, both together. Cost:
 * three runs of a small shape at load, and nothing when the guess already says no. */
#include "infer/plan.h"

#include "base/mem.h"
#include "core/assert.h"
#include "infer/gather.h"
#include "infer/made_up.h"

#include <math.h>
#include <stdlib.h>

enum { ITEMS = 2, INPUT_SIZE_MAX = 64 << 20 };

/* The second item is faint, so that a maximum or mean taken over all items shows in its answer. */
static const float item_two_scale = 1.0F / 65536;

static int free_axis(const struct tn_shape *shape)
{
    int found = TN_PLAN_SHARED;
    if (shape->rank > 0 && shape->dims[0] < 0) {
        return 0;
    }
    for (size_t i = 0; i < shape->rank; i++) {
        if (shape->dims[i] < 0) {
            if (found != TN_PLAN_SHARED) {
                return TN_PLAN_SHARED; /* two candidates: no telling */
            }
            found = (int)i;
        }
    }
    return found;
}

static void judge_first(const struct tn_program_info *info, struct tn_plan *plan)
{
    plan->first = plan->batchable;
    for (size_t i = 0; i < info->input_count; i++) {
        plan->first = plan->first && plan->input_axes[i] == 0;
    }
    for (size_t i = 0; i < info->output_count; i++) {
        plan->first = plan->first && plan->output_axes[i] == 0;
    }
}

static enum tn_err guess_axis(const struct tn_signature *signature, int8_t *ret_axis,
                              struct tn_fault *fault)
{
    int axis = signature->batch_axis;
    struct tn_shape_text text;
    if (axis == TN_AXIS_AUTO) {
        axis = free_axis(&signature->shape);
        /* Texts can be joined only back to back. */
        axis = axis > 0 && signature->dtype == TN_DTYPE_BYTES ? TN_PLAN_SHARED : axis;
    } else if (axis != TN_AXIS_NONE && (axis < 0 || (size_t)axis >= signature->shape.rank ||
                                        signature->shape.dims[axis] >= 0 ||
                                        (axis > 0 && signature->dtype == TN_DTYPE_BYTES))) {
        return tn_fault_set(fault, TN_INVALID,
                            "batch_axis %d of '%.*s' is not a free dimension of %s %s", axis,
                            TN_STR_ARG(signature->name), tn_dtype_name(signature->dtype),
                            tn_shape_print(&signature->shape, &text));
    }
    *ret_axis = (int8_t)(axis == TN_AXIS_NONE ? TN_PLAN_SHARED : axis);
    return TN_OK;
}

enum tn_err tn_plan_guess(const struct tn_program_info *info, struct tn_plan *ret_plan,
                          struct tn_fault *fault)
{
    bool in = false;
    bool out = info->output_count > 0;
    struct tn_plan plan = {0};
    for (size_t i = 0; i < info->input_count; i++) {
        enum tn_err err = guess_axis(&info->inputs[i], &plan.input_axes[i], fault);
        if (err != TN_OK) {
            return err;
        }
        in = in || plan.input_axes[i] != TN_PLAN_SHARED;
    }
    for (size_t i = 0; i < info->output_count; i++) {
        enum tn_err err = guess_axis(&info->outputs[i], &plan.output_axes[i], fault);
        if (err != TN_OK) {
            return err;
        }
        out = out && plan.output_axes[i] != TN_PLAN_SHARED;
    }
    plan.batchable = in && out;
    judge_first(info, &plan);
    *ret_plan = plan;
    return TN_OK;
}

/* --- The probe --- */

struct probe {
    const struct tn_backend *backend;
    void *runner;
    const struct tn_program_info *info;
    struct tn_plan *plan;
    int64_t free_size;             /* for free dimensions beside the batch */
    uint8_t *both[TN_TENSORS_MAX]; /* inputs of two items */
    uint8_t *apart[ITEMS][TN_TENSORS_MAX];
    size_t sizes[TN_TENSORS_MAX]; /* of one item */
    struct tn_run_input inputs[TN_TENSORS_MAX];
    struct tn_run_output together[TN_TENSORS_MAX];
    struct tn_run_output single[ITEMS][TN_TENSORS_MAX];
    struct tn_made_up values;
};

static struct tn_shape input_shape(const struct probe *probe, size_t i, int64_t items)
{
    struct tn_shape shape = probe->info->inputs[i].shape;
    for (size_t k = 0; k < shape.rank; k++) {
        if ((int)k == probe->plan->input_axes[i]) {
            shape.dims[k] = items;
        } else if (shape.dims[k] < 0) {
            shape.dims[k] = probe->free_size;
        }
    }
    return shape;
}

static enum tn_err make_input(struct probe *probe, size_t i)
{
    enum tn_dtype dtype = probe->info->inputs[i].dtype;
    struct tn_shape shape = input_shape(probe, i, 1);
    uint64_t elements = 0;
    size_t element = tn_made_up_size(dtype);
    int axis = probe->plan->input_axes[i];
    if (tn_shape_elements(&shape, &elements) != TN_OK || elements > INPUT_SIZE_MAX / element) {
        return TN_LIMIT;
    }
    size_t size = (size_t)elements * element;
    size_t all = axis == TN_PLAN_SHARED ? size : size * ITEMS;
    uint8_t *memory = tn_mem_take_aligned(size * ITEMS + all + 1, 64);
    if (memory == NULL) {
        return TN_NOMEM;
    }
    probe->sizes[i] = size;
    probe->apart[0][i] = memory;
    probe->apart[1][i] = memory + size;
    probe->both[i] = memory + size * ITEMS;
    tn_made_up_fill(&probe->values, dtype, memory, elements, 1);
    if (axis == TN_PLAN_SHARED) {
        memcpy(memory + size, memory, size);
        memcpy(probe->both[i], memory, size);
        return TN_OK;
    }
    tn_made_up_fill(&probe->values, dtype, memory + size, elements, item_two_scale);
    struct tn_stride stride = tn_stride_of(&shape, (size_t)axis, element);
    for (size_t k = 0; k < ITEMS; k++) {
        tn_gather(stride, probe->apart[k][i], 1, probe->both[i], ITEMS, k);
    }
    return TN_OK;
}

static void give_inputs(struct probe *probe)
{
    for (size_t i = 0; i < probe->info->input_count; i++) {
        tn_mem_give(probe->apart[0][i]);
        probe->apart[0][i] = NULL;
    }
}

static void give_outputs(struct probe *probe, struct tn_run_output *outputs)
{
    for (size_t i = 0; i < probe->info->output_count; i++) {
        tn_block_unref(outputs[i].block);
        outputs[i].block = NULL;
    }
}

static enum tn_err run_one(struct probe *probe, uint8_t **data, int64_t items,
                           struct tn_run_output *outputs)
{
    for (size_t i = 0; i < probe->info->input_count; i++) {
        bool shared = probe->plan->input_axes[i] == TN_PLAN_SHARED;
        size_t size = shared ? probe->sizes[i] : probe->sizes[i] * (size_t)items;
        probe->inputs[i] =
            (struct tn_run_input){.data = {data[i], size}, .shape = input_shape(probe, i, items)};
    }
    for (size_t i = 0; i < probe->info->output_count; i++) {
        outputs[i] = (struct tn_run_output){.index = i};
    }
    struct tn_run run = {.inputs = probe->inputs,
                         .input_count = probe->info->input_count,
                         .outputs = outputs,
                         .output_count = probe->info->output_count};
    return probe->backend->run(probe->runner, &run, NULL);
}

/* Makes inputs with one of the sizes and runs item one. */
static enum tn_err find_size(struct probe *probe)
{
    static const int64_t sizes[] = {64, 96, 224, 512, 32, 2048, 320, 16};
    enum tn_err err = TN_INVALID;
    bool any_free = false;
    for (size_t i = 0; i < probe->info->input_count; i++) {
        const struct tn_shape *shape = &probe->info->inputs[i].shape;
        for (size_t k = 0; k < shape->rank; k++) {
            any_free = any_free || (shape->dims[k] < 0 && (int)k != probe->plan->input_axes[i]);
        }
    }
    for (size_t n = 0; n < (any_free ? TN_COUNT(sizes) : 1); n++) {
        probe->free_size = sizes[n];
        err = TN_OK;
        for (size_t i = 0; i < probe->info->input_count && err == TN_OK; i++) {
            err = make_input(probe, i);
        }
        if (err == TN_OK) {
            err = run_one(probe, probe->apart[0], 1, probe->single[0]);
        }
        if (err == TN_OK || err == TN_NOMEM) {
            return err;
        }
        give_inputs(probe);
    }
    return err;
}

/* The one dimension that is 1 for one item and 2 for two; TN_PLAN_SHARED: there is none. */
static int grown_axis(const struct tn_shape *one, const struct tn_shape *two)
{
    int axis = TN_PLAN_SHARED;
    if (one->rank != two->rank) {
        return TN_PLAN_SHARED;
    }
    for (size_t i = 0; i < one->rank; i++) {
        if (one->dims[i] == two->dims[i]) {
            continue;
        }
        if (axis != TN_PLAN_SHARED || one->dims[i] != 1 || two->dims[i] != ITEMS) {
            return TN_PLAN_SHARED;
        }
        axis = (int)i;
    }
    return axis;
}

static bool close_reals(double a, double b)
{
    /* Kernels sum in another order for another batch; the difference stays far below this. */
    return a == b || (isnan(a) && isnan(b)) || fabs(a - b) <= 1e-4 + 1e-3 * fmax(fabs(a), fabs(b));
}

static bool same_values(enum tn_dtype dtype, const uint8_t *a, const uint8_t *b, size_t size)
{
    if (dtype == TN_DTYPE_FP32) {
        for (size_t at = 0; at + 4 <= size; at += 4) {
            float x = 0;
            float y = 0;
            memcpy(&x, a + at, 4);
            memcpy(&y, b + at, 4);
            if (!close_reals((double)x, (double)y)) {
                return false;
            }
        }
        return true;
    }
    if (dtype == TN_DTYPE_FP64) {
        for (size_t at = 0; at + 8 <= size; at += 8) {
            double x = 0;
            double y = 0;
            memcpy(&x, a + at, 8);
            memcpy(&y, b + at, 8);
            if (!close_reals(x, y)) {
                return false;
            }
        }
        return true;
    }
    if (dtype == TN_DTYPE_FP16 || dtype == TN_DTYPE_BF16) {
        for (size_t at = 0; at + 2 <= size; at += 2) {
            int x = a[at] | a[at + 1] << 8;
            int y = b[at] | b[at + 1] << 8;
            if (abs(x - y) > 4) { /* neighbours in the last bits */
                return false;
            }
        }
        return true;
    }
    return memcmp(a, b, size) == 0;
}

/* Whether output `i` of the run of two is the two single outputs side by side. */
static bool output_splits(struct probe *probe, size_t i, uint8_t *scratch)
{
    const struct tn_run_output *both = &probe->together[i];
    enum tn_dtype dtype = probe->info->outputs[i].dtype;
    if (dtype == TN_DTYPE_BYTES) {
        const struct tn_block *first = probe->single[0][i].block;
        const struct tn_block *second = probe->single[1][i].block;
        return probe->plan->output_axes[i] == 0 &&
               both->block->size == first->size + second->size &&
               memcmp(both->block->data, first->data, first->size) == 0 &&
               memcmp(both->block->data + first->size, second->data, second->size) == 0;
    }
    struct tn_stride stride =
        tn_stride_of(&both->shape, (size_t)probe->plan->output_axes[i], tn_dtype_size(dtype));
    for (size_t k = 0; k < ITEMS; k++) {
        const struct tn_block *alone = probe->single[k][i].block;
        tn_scatter(stride, both->block->data, ITEMS, k, scratch, 1);
        if (!same_values(dtype, scratch, alone->data, alone->size)) {
            return false;
        }
    }
    return true;
}

static enum tn_err compare(struct probe *probe, bool *ret_same)
{
    bool same = true;
    for (size_t i = 0; i < probe->info->output_count && same; i++) {
        const struct tn_run_output *first = &probe->single[0][i];
        int axis = grown_axis(&first->shape, &probe->together[i].shape);
        if (axis == TN_PLAN_SHARED || !tn_shape_equal(&first->shape, &probe->single[1][i].shape)) {
            same = false;
            break;
        }
        probe->plan->output_axes[i] = (int8_t)axis;
        uint8_t *scratch = tn_mem_take(first->block->size + 1);
        if (scratch == NULL) {
            return TN_NOMEM;
        }
        same = output_splits(probe, i, scratch);
        tn_mem_give(scratch);
    }
    *ret_same = same;
    return TN_OK;
}

enum tn_err tn_plan_probe(const struct tn_backend *backend, void *runner,
                          const struct tn_program_info *info, struct tn_plan *plan)
{
    if (!plan->batchable) {
        return TN_OK;
    }
    struct probe *probe = tn_mem_take_zeroed(1, sizeof(*probe));
    if (probe == NULL) {
        return TN_NOMEM;
    }
    probe->backend = backend;
    probe->runner = runner;
    probe->info = info;
    probe->plan = plan;
    tn_made_up_init(&probe->values);
    bool same = false;
    enum tn_err err = find_size(probe);
    if (err == TN_OK) {
        err = run_one(probe, probe->apart[1], 1, probe->single[1]);
    }
    if (err == TN_OK) {
        err = run_one(probe, probe->both, ITEMS, probe->together);
    }
    if (err == TN_OK) {
        err = compare(probe, &same);
    }
    give_outputs(probe, probe->single[0]);
    give_outputs(probe, probe->single[1]);
    give_outputs(probe, probe->together);
    give_inputs(probe);
    tn_mem_give(probe);
    plan->batchable = same;
    judge_first(info, plan);
    return err == TN_NOMEM ? err : TN_OK;
}
