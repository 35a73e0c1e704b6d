/* Runs one batch: inputs side by side, one run, outputs as slices of one block.
 *
 *   one job:      its bytes --no copy--> run --> block, or straight into its target
 *   more jobs:    bytes --gather--> buffer --> run --> block; each job gets a slice
 *   axis behind:  as before, and a copy out of the block's first part into its second
 *
 * A batch that fails is run again job by job, so that one bad item fails alone. A model whose
 * output does not split by items loses the right to batch. Outputs whose shape the signature tells
 * are written into one block of ours; the others stay in the library's memory and are handed out
 * by reference. Memory: one block a batch, and a buffer for each input that is kept. */
#include "infer/model_parts.h"

#include "base/clock.h"
#include "base/mem.h"
#include "core/assert.h"
#include "infer/gather.h"
#include "infer/model_metrics.h"

enum { ALIGN = 64 };

#define SHRINK_PAUSE_NS TN_NS_PER_S

/* The batch that runs. */
struct batch_run {
    struct tn_instance *instance;
    struct tn_model *model;
    struct tn_infer_job **jobs;
    size_t count;
    uint64_t items;
    struct tn_run run;
    size_t copies[TN_TENSORS_MAX]; /* offset of an output's second part in the block */
    bool direct[TN_TENSORS_MAX];   /* written straight into the job's target */
};

static size_t aligned(size_t size)
{
    return (size + ALIGN - 1) & ~(size_t)(ALIGN - 1);
}

static uint8_t *buffer_for(struct tn_instance *instance, size_t input, size_t size)
{
    struct tn_gather_buffer *buffer = &instance->buffers[input];
    if (buffer->room < size) {
        size_t room = 4096;
        while (room < size) {
            room *= 2;
        }
        uint8_t *data = tn_mem_take_aligned(room, ALIGN);
        if (data == NULL) {
            return NULL;
        }
        tn_mem_give(buffer->data);
        buffer->data = data;
        buffer->room = room;
    }
    return buffer->data;
}

static enum tn_err no_memory(struct batch_run *batch)
{
    return tn_fault_set(&batch->instance->fault, TN_NOMEM, "no memory for a batch of %zu",
                        (size_t)batch->items);
}

static enum tn_err gather_input(struct batch_run *batch, size_t i)
{
    struct tn_run_input *input = &batch->instance->inputs[i];
    const struct tn_tensor *first = &batch->jobs[0]->run_inputs[i];
    int axis = batch->model->plan.input_axes[i];
    size_t size = 0;
    for (size_t k = 0; k < batch->count; k++) {
        size += batch->jobs[k]->run_inputs[i].data.size;
    }
    uint8_t *room = buffer_for(batch->instance, i, size);
    if (room == NULL) {
        return no_memory(batch);
    }
    input->shape = first->shape;
    input->shape.dims[axis] = (int64_t)batch->items;
    input->data = tn_bytes_make(room, size);
    if (axis == 0) {
        for (size_t k = 0; k < batch->count; k++) {
            struct tn_bytes data = batch->jobs[k]->run_inputs[i].data;
            if (data.size > 0) {
                memcpy(room, data.data, data.size);
            }
            room += data.size;
        }
        return TN_OK;
    }
    struct tn_stride stride =
        tn_stride_of(&input->shape, (size_t)axis, tn_dtype_size(first->dtype));
    size_t at = 0;
    for (size_t k = 0; k < batch->count; k++) {
        size_t items = batch->jobs[k]->entry.items;
        tn_gather(stride, batch->jobs[k]->run_inputs[i].data.data, items, room, batch->items, at);
        at += items;
    }
    return TN_OK;
}

static enum tn_err prepare_input(struct batch_run *batch, size_t i)
{
    const struct tn_tensor *first = &batch->jobs[0]->run_inputs[i];
    struct tn_run_input *input = &batch->instance->inputs[i];
    if (batch->count > 1 && batch->model->plan.input_axes[i] != TN_PLAN_SHARED) {
        return gather_input(batch, i);
    }
    input->shape = first->shape;
    input->data = first->data;
    size_t size = tn_dtype_size(first->dtype);
    if (size > 1 && (uintptr_t)first->data.data % size != 0) {
        uint8_t *room = buffer_for(batch->instance, i, first->data.size);
        if (room == NULL) {
            return no_memory(batch);
        }
        memcpy(room, first->data.data, first->data.size);
        input->data.data = room;
    }
    return TN_OK;
}

/* The shape of an output by the signature; false when that leaves something open. */
static bool known_shape(const struct batch_run *batch, size_t output, struct tn_shape *ret_shape)
{
    const struct tn_model *model = batch->model;
    if (!atomic_load_explicit(&model->bindable[output], memory_order_relaxed)) {
        return false;
    }
    *ret_shape = model->program_info.outputs[output].shape;
    int axis = model->plan.output_axes[output];
    if (axis != TN_PLAN_SHARED) {
        ret_shape->dims[axis] = (int64_t)batch->items;
    }
    return true;
}

static const struct tn_output_target *target_of(const struct tn_infer_job *job, size_t output)
{
    for (size_t i = 0; job->targets != NULL && i < job->output_count; i++) {
        size_t index = job->wanted != NULL ? job->wanted[i] : i;
        if (index == output) {
            return job->targets[i].data != NULL ? &job->targets[i] : NULL;
        }
    }
    return NULL;
}

/* Picks the place of one output; returns how many bytes of the block it needs. */
static size_t place_output(struct batch_run *batch, size_t at, size_t output, size_t offset)
{
    struct tn_run_output *out = &batch->instance->outputs[at];
    uint64_t elements = 0;
    *out = (struct tn_run_output){.index = output};
    batch->copies[at] = SIZE_MAX;
    batch->direct[at] = false;
    if (!known_shape(batch, output, &out->shape) ||
        tn_shape_elements(&out->shape, &elements) != TN_OK) {
        return 0;
    }
    size_t element = tn_dtype_size(batch->model->program_info.outputs[output].dtype);
    out->size = (size_t)elements * element;
    const struct tn_output_target *target =
        batch->count == 1 ? target_of(batch->jobs[0], output) : NULL;
    if (target != NULL && target->room >= out->size && (uintptr_t)target->data % element == 0) {
        out->room = target->data;
        batch->direct[at] = true;
        return 0;
    }
    size_t need = aligned(out->size);
    if (batch->count > 1 && batch->model->plan.output_axes[output] > 0) {
        batch->copies[at] = offset + need;
        need *= 2;
    }
    return need;
}

static enum tn_err prepare_outputs(struct batch_run *batch, bool bind)
{
    struct tn_instance *instance = batch->instance;
    size_t offsets[TN_TENSORS_MAX];
    size_t total = 0;
    size_t count = 0;
    for (uint64_t mask = batch->jobs[0]->wanted_mask; mask != 0; mask &= mask - 1) {
        size_t output = (size_t)__builtin_ctzll(mask);
        offsets[count] = total;
        if (bind) {
            total += place_output(batch, count, output, total);
        } else {
            instance->outputs[count] = (struct tn_run_output){.index = output};
            batch->copies[count] = SIZE_MAX;
            batch->direct[count] = false;
        }
        count++;
    }
    instance->block = NULL;
    if (total > 0 && tn_block_create(total, &instance->block) != TN_OK) {
        return no_memory(batch);
    }
    for (size_t i = 0; i < count && total > 0; i++) {
        struct tn_run_output *out = &instance->outputs[i];
        size_t end = i + 1 < count ? offsets[i + 1] : total;
        if (end > offsets[i]) {
            out->room = instance->block->data + offsets[i];
        }
    }
    if (instance->block != NULL) {
        instance->block->size = total;
    }
    batch->run.outputs = instance->outputs;
    batch->run.output_count = count;
    return TN_OK;
}

static void drop_outputs(struct batch_run *batch)
{
    for (size_t i = 0; i < batch->run.output_count; i++) {
        tn_block_unref(batch->instance->outputs[i].block);
        batch->instance->outputs[i].block = NULL;
    }
    tn_block_unref(batch->instance->block);
    batch->instance->block = NULL;
    batch->run.output_count = 0;
}

/* The signature promised a shape that the model did not keep: let the library place outputs. */
static enum tn_err run_unbound(struct batch_run *batch)
{
    struct tn_instance *instance = batch->instance;
    bool bound[TN_TENSORS_MAX];
    bool any = false;
    for (size_t i = 0; i < batch->run.output_count; i++) {
        bound[i] = instance->outputs[i].room != NULL;
        any = any || bound[i];
    }
    if (!any || instance->fault.code == TN_CANCELLED) {
        return instance->fault.code;
    }
    struct tn_fault first = instance->fault;
    drop_outputs(batch);
    enum tn_err err = prepare_outputs(batch, false);
    if (err == TN_OK) {
        err = batch->model->backend->run(instance->runner, &batch->run, &instance->fault);
    }
    if (err != TN_OK) {
        instance->fault = first; /* the run was at fault, not the shapes */
        return first.code;
    }
    for (size_t i = 0; i < batch->run.output_count; i++) {
        if (bound[i]) {
            atomic_store_explicit(&batch->model->bindable[instance->outputs[i].index], false,
                                  memory_order_relaxed);
        }
    }
    return TN_OK;
}

/* Whether every output of a batch of several jobs has the items where the plan says. */
static bool splits(const struct batch_run *batch)
{
    for (size_t i = 0; i < batch->run.output_count; i++) {
        const struct tn_run_output *out = &batch->instance->outputs[i];
        int axis = batch->model->plan.output_axes[out->index];
        if (axis == TN_PLAN_SHARED || (size_t)axis >= out->shape.rank ||
            out->shape.dims[axis] != (int64_t)batch->items) {
            return false;
        }
    }
    return true;
}

/* Where one output of a run lies, and the reference that keeps it. */
static struct tn_bytes output_bytes(const struct batch_run *batch, size_t at,
                                    struct tn_block **ret_owner)
{
    const struct tn_run_output *out = &batch->instance->outputs[at];
    if (out->room != NULL) {
        *ret_owner = batch->direct[at] ? NULL : batch->instance->block;
        return tn_bytes_make(out->room, out->size);
    }
    *ret_owner = out->block;
    return tn_bytes_make(out->block->data, out->size);
}

/* Copies a job's part along a later axis into memory of its own. */
static enum tn_err scatter_part(struct batch_run *batch, size_t at, struct tn_bytes whole,
                                size_t from, struct tn_tensor *tensor)
{
    const struct tn_run_output *out = &batch->instance->outputs[at];
    size_t axis = (size_t)batch->model->plan.output_axes[out->index];
    struct tn_stride stride = tn_stride_of(&out->shape, axis, tn_dtype_size(tensor->dtype));
    size_t items = (size_t)tensor->shape.dims[axis];
    size_t size = stride.outer * stride.inner * items;
    struct tn_block *owner = batch->instance->block;
    uint8_t *to = NULL;
    if (batch->copies[at] != SIZE_MAX) {
        to = owner->data + batch->copies[at] + stride.outer * stride.inner * from;
        tn_block_ref(owner);
    } else {
        if (tn_block_create(size, &owner) != TN_OK) {
            return no_memory(batch);
        }
        owner->size = size;
        to = owner->data;
    }
    tn_scatter(stride, whole.data, batch->items, from, to, items);
    tensor->data = tn_bytes_make(to, size);
    tensor->owner = owner;
    return TN_OK;
}

/* A job's part of output `at`: the items from `from` on. */
static enum tn_err take_part(struct batch_run *batch, size_t at, struct tn_infer_job *job,
                             size_t from, struct tn_tensor *tensor)
{
    const struct tn_run_output *out = &batch->instance->outputs[at];
    const struct tn_signature *signature = &batch->model->program_info.outputs[out->index];
    int axis = batch->model->plan.output_axes[out->index];
    struct tn_block *owner = NULL;
    struct tn_bytes whole = output_bytes(batch, at, &owner);
    *tensor = (struct tn_tensor){
        .name = signature->name, .dtype = signature->dtype, .shape = out->shape, .data = whole};
    if (batch->count > 1) {
        tensor->shape.dims[axis] = job->entry.items;
        if (axis > 0) {
            return scatter_part(batch, at, whole, from, tensor);
        }
        uint64_t elements = 0;
        struct tn_shape rest = out->shape;
        rest.dims[0] = 1;
        if (tn_shape_elements(&rest, &elements) != TN_OK) {
            return tn_fault_set(&batch->instance->fault, TN_INTERNAL, "an output has no shape");
        }
        if (signature->dtype == TN_DTYPE_BYTES) {
            size_t skip = tn_text_size(whole, elements * from);
            whole = tn_bytes_make(whole.data + skip, whole.size - skip);
            tensor->data =
                tn_bytes_make(whole.data, tn_text_size(whole, elements * job->entry.items));
        } else {
            size_t item = (size_t)elements * tn_dtype_size(signature->dtype);
            tensor->data = tn_bytes_make(whole.data + item * from, item * (size_t)job->entry.items);
        }
    }
    tensor->owner = owner != NULL ? tn_block_ref(owner) : NULL;
    return TN_OK;
}

/* Copies an output that was not run straight into its target. */
static enum tn_err move_to_target(const struct tn_output_target *target, struct tn_tensor *tensor,
                                  struct tn_fault *fault)
{
    if (tensor->data.data == target->data) {
        return TN_OK;
    }
    if (tensor->data.size > target->room) {
        return tn_fault_set(fault, TN_INVALID,
                            "output '%.*s' has %zu bytes, its shared memory has room for %zu",
                            TN_STR_ARG(tensor->name), tensor->data.size, target->room);
    }
    if (tensor->data.size > 0) {
        memcpy(target->data, tensor->data.data, tensor->data.size);
    }
    tensor->data.data = target->data;
    tn_block_unref(tensor->owner);
    tensor->owner = NULL;
    return TN_OK;
}

/* Outputs run in the order of the model's; this is the place of one among the wanted. */
static size_t place_of(const struct tn_infer_job *job, size_t output)
{
    return (size_t)__builtin_popcountll(job->wanted_mask & ((UINT64_C(1) << output) - 1));
}

/* Keeps the new state of the job's sequence. */
static enum tn_err keep_states(struct batch_run *batch, struct tn_infer_job *job, size_t from)
{
    struct tn_carried *carried = batch->model->carried;
    if (carried == NULL || job->turn.sequence == NULL) {
        return TN_OK;
    }
    enum tn_err err = TN_OK;
    for (size_t i = 0; i < tn_carried_count(carried) && err == TN_OK; i++) {
        struct tn_tensor part;
        err = take_part(batch, place_of(job, tn_carried_output(carried, i)), job, from, &part);
        if (err == TN_OK) {
            err = tn_carried_store(carried, job, i, &part, &batch->instance->fault);
            tn_block_unref(part.owner);
        }
    }
    if (err != TN_OK) {
        job->fault = batch->instance->fault;
        job->output_count = 0;
    }
    return err;
}

static void give_outputs(struct batch_run *batch, struct tn_infer_job *job, size_t from)
{
    job->fault.code = TN_OK;
    if (keep_states(batch, job, from) != TN_OK) {
        return;
    }
    for (size_t i = 0; i < job->output_count; i++) {
        size_t output = job->wanted != NULL ? job->wanted[i] : i;
        enum tn_err err = take_part(batch, place_of(job, output), job, from, &job->outputs[i]);
        if (err != TN_OK) {
            job->fault = batch->instance->fault;
            job->outputs[i].owner = NULL;
        } else if (job->targets != NULL && job->targets[i].data != NULL) {
            err = move_to_target(&job->targets[i], &job->outputs[i], &job->fault);
        }
        if (err != TN_OK) {
            for (size_t k = 0; k <= i; k++) {
                tn_block_unref(job->outputs[k].owner);
                job->outputs[k].owner = NULL;
            }
            job->output_count = 0;
            return;
        }
    }
}

/* Prepares and runs; on success the outputs lie in the instance. */
static enum tn_err run_once(struct batch_run *batch, uint64_t now_ns, uint64_t *ret_input_done_ns)
{
    struct tn_instance *instance = batch->instance;
    batch->run = (struct tn_run){.inputs = instance->inputs,
                                 .input_count = batch->model->program_info.input_count};
    if (batch->model->shrink && now_ns - instance->shrunk_ns > SHRINK_PAUSE_NS) {
        batch->run.shrink = true;
        instance->shrunk_ns = now_ns;
    }
    enum tn_err err = TN_OK;
    for (size_t i = 0; i < batch->run.input_count && err == TN_OK; i++) {
        err = prepare_input(batch, i);
    }
    /* A job whose inputs disagree about the number of items has outputs of unknown shape. */
    bool bind = !batch->model->plan.batchable || !batch->jobs[0]->entry.alone;
    if (err == TN_OK) {
        err = prepare_outputs(batch, bind);
    }
    *ret_input_done_ns = tn_clock_mono_ns();
    if (err == TN_OK) {
        err = batch->model->backend->run(instance->runner, &batch->run, &instance->fault);
        if (err != TN_OK) {
            err = run_unbound(batch);
        }
    }
    return err;
}

static void stamp(struct batch_run *batch, uint64_t started, uint64_t input_done,
                  uint64_t infer_done)
{
    for (size_t i = 0; i < batch->count; i++) {
        struct tn_infer_job *job = batch->jobs[i];
        job->started_ns = started;
        job->input_done_ns = input_done;
        job->infer_done_ns = infer_done;
        job->batch_size = (uint32_t)(batch->items < UINT32_MAX ? batch->items : UINT32_MAX);
        job->cached = false;
    }
}

static void count_up(_Atomic uint64_t *counter, uint64_t amount)
{
    /* One writer: no locked instruction needed. */
    uint64_t now = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, now + amount, memory_order_relaxed);
}

static void count_run(struct batch_run *batch, uint64_t started, uint64_t input_done,
                      uint64_t infer_done, uint64_t ended)
{
    struct tn_instance_counters *counters = &batch->instance->counters;
    size_t at = batch->items < TN_SIZES_COUNTED ? batch->items - 1 : TN_SIZES_COUNTED - 1;
    struct tn_instance_size *size = &counters->sizes[at];
    for (size_t i = 0; i < batch->count; i++) {
        struct tn_infer_job *job = batch->jobs[i];
        bool ok = job->fault.code == TN_OK;
        count_up(ok ? &counters->success : &counters->fail, 1);
        count_up(ok ? &counters->success_ns : &counters->fail_ns, ended - job->queued_ns);
        count_up(&counters->queue_ns, started - job->queued_ns);
    }
    /* As Triton counts: a batch's times are added once for each request in it. */
    count_up(&counters->input_ns, (input_done - started) * batch->count);
    count_up(&counters->infer_ns, (infer_done - input_done) * batch->count);
    count_up(&counters->output_ns, (ended - infer_done) * batch->count);
    count_up(&counters->items, batch->items);
    count_up(&counters->executions, 1);
    count_up(&size->count, 1);
    count_up(&size->input_ns, input_done - started);
    count_up(&size->infer_ns, infer_done - input_done);
    count_up(&size->output_ns, ended - infer_done);
    atomic_store_explicit(&counters->last_ms, tn_clock_wall_ns() / TN_NS_PER_MS,
                          memory_order_relaxed);
    tn_model_metrics_ran(batch->model->metrics, batch->jobs, batch->count, batch->items);
}

static void execute(struct tn_instance *instance, struct tn_infer_job **jobs, size_t count,
                    uint64_t items, uint64_t *ret_infer_ns)
{
    struct batch_run batch = {.instance = instance,
                              .model = instance->model,
                              .jobs = jobs,
                              .count = count,
                              .items = items};
    uint64_t started = tn_clock_mono_ns();
    uint64_t input_done = started;
    instance->block = NULL;
    enum tn_err err = run_once(&batch, started, &input_done);
    uint64_t infer_done = tn_clock_mono_ns();
    *ret_infer_ns = err == TN_OK ? infer_done - input_done : 0;
    stamp(&batch, started, input_done, infer_done);
    if (err == TN_OK && count > 1 && !splits(&batch)) {
        atomic_store_explicit(&instance->model->mixes, true, memory_order_relaxed);
        err = tn_fault_set(&instance->fault, TN_INTERNAL, "the outputs do not split by items");
    }
    size_t from = 0;
    for (size_t i = 0; i < count; i++) {
        if (err == TN_OK) {
            give_outputs(&batch, jobs[i], from);
        } else {
            jobs[i]->fault = instance->fault;
            jobs[i]->output_count = 0;
        }
        from += jobs[i]->entry.items;
    }
    drop_outputs(&batch);
    uint64_t ended = tn_clock_mono_ns();
    for (size_t i = 0; i < count; i++) {
        jobs[i]->ended_ns = ended;
    }
    if (err == TN_OK) {
        /* With the moving of bytes: joining large tensors of a quick model costs more than it
         * saves, and the batcher can learn that only from the whole. */
        *ret_infer_ns = ended - started;
    }
    if (err == TN_OK || count == 1) {
        count_run(&batch, started, input_done, infer_done, ended);
    }
}

void tn_instance_execute(struct tn_instance *instance, size_t count, uint64_t items,
                         uint64_t *ret_infer_ns)
{
    size_t wanted[TN_BATCH_JOBS_MAX];
    for (size_t i = 0; i < count; i++) {
        wanted[i] = instance->jobs[i]->output_count;
    }
    execute(instance, instance->jobs, count, items, ret_infer_ns);
    if (count == 1 || *ret_infer_ns != 0) {
        if (count == 1 || !atomic_load_explicit(&instance->model->mixes, memory_order_relaxed)) {
            return;
        }
    }
    /* The batch failed as a whole: each by itself, so that only the guilty one fails. */
    *ret_infer_ns = 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t infer_ns = 0;
        struct tn_infer_job *job = instance->jobs[i];
        if (job->fault.code == TN_OK) {
            continue;
        }
        job->output_count = wanted[i];
        execute(instance, &instance->jobs[i], 1, job->entry.items, &infer_ns);
    }
}
