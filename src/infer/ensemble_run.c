/* The thread of an ensemble; see ensemble_run.h.
 *
 * All of a run happens on this thread, so it needs no lock: new jobs come through the model's
 * queue, members' answers through `replies`, and both wake the same parker. Members are flushed
 * once a turn. Cost a step: what a submit costs, and a reference for each tensor. */
#include "infer/ensemble_run.h"

#include "base/clock.h"
#include "base/mem.h"
#include "core/assert.h"
#include "infer/model_metrics.h"
#include "infer/model_parts.h"

#include <inttypes.h>
#include <stdio.h>

enum { REPLIES_MAX = 1 << 22, DRAIN_ROOM = 64, FLUSH_ROOM = TN_STEPS_MAX * 2 };

struct run;

struct step_run {
    struct tn_infer_job job;
    struct run *run;
    size_t step;
    struct tn_model *member; /* a reference while the job is out */
    struct tn_tensor inputs[TN_ENSEMBLE_LINKS_MAX];
    struct tn_tensor outputs[TN_ENSEMBLE_LINKS_MAX];
    size_t wanted[TN_ENSEMBLE_LINKS_MAX];
};

struct run {
    struct tn_ensemble_runner *runner;
    struct tn_infer_job *job; /* the caller's */
    struct run *next, *prev;  /* of the active ones; `next` of the free ones */
    uint64_t started_ns;
    size_t out;   /* steps in their models */
    size_t ended; /* steps that gave their outputs */
    bool failed;
    uint16_t missing[TN_STEPS_MAX];
    struct tn_tensor *tensors; /* values; inputs belong to the job, the rest holds references */
    struct step_run *steps;
};

struct tn_ensemble_runner {
    struct tn_model *model;
    struct tn_ensemble ensemble;
    enum tn_err (*find)(void *context, struct tn_str name, int64_t version,
                        struct tn_model **ret_model);
    void *find_context;
    struct tn_chan replies;
    struct tn_parker *parker;
    struct run *active, *unused;
    atomic_bool cancels;
    struct tn_model *touched[FLUSH_ROOM]; /* members to flush, with references */
    size_t touched_count;
    struct tn_reply_wakes *wakes;
};

static void flush_touched(struct tn_ensemble_runner *runner)
{
    for (size_t i = 0; i < runner->touched_count; i++) {
        tn_infer_flush(runner->touched[i]);
        tn_model_unref(runner->touched[i]);
    }
    runner->touched_count = 0;
}

static void touch(struct tn_ensemble_runner *runner, struct tn_model *member)
{
    for (size_t i = 0; i < runner->touched_count; i++) {
        if (runner->touched[i] == member) {
            return;
        }
    }
    if (runner->touched_count == FLUSH_ROOM) {
        flush_touched(runner);
    }
    runner->touched[runner->touched_count++] = tn_model_ref(member);
}

static struct run *take_run(struct tn_ensemble_runner *runner)
{
    struct run *run = runner->unused;
    if (run != NULL) {
        runner->unused = run->next;
        return run;
    }
    size_t steps = runner->ensemble.step_count;
    size_t tensors = runner->ensemble.tensor_count;
    run = tn_mem_take_zeroed(1, sizeof(*run) + steps * sizeof(struct step_run) +
                                    tensors * sizeof(struct tn_tensor));
    if (run != NULL) {
        run->runner = runner;
        run->steps = (struct step_run *)(void *)(run + 1);
        run->tensors = (struct tn_tensor *)(void *)(run->steps + steps);
    }
    return run;
}

static void fail_run(struct run *run, const struct tn_fault *fault, size_t step)
{
    struct tn_infer_job *job = run->job;
    if (!run->failed) {
        run->failed = true;
        job->fault = *fault;
        tn_fault_wrap(&job->fault, "step %zu ('%.*s')", step + 1,
                      TN_STR_ARG(run->runner->ensemble.steps[step].model));
    }
    for (size_t i = 0; i < run->runner->ensemble.step_count; i++) {
        if (run->steps[i].member != NULL) {
            tn_infer_cancel(&run->steps[i].job);
        }
    }
}

static const struct tn_output_target *target_for(const struct run *run, size_t tensor)
{
    const struct tn_ensemble *ensemble = &run->runner->ensemble;
    const struct tn_infer_job *job = run->job;
    for (size_t i = 0; job->targets != NULL && i < job->output_count; i++) {
        size_t output = job->wanted != NULL ? job->wanted[i] : i;
        if (ensemble->outputs[output] == tensor && job->targets[i].data != NULL) {
            return &job->targets[i];
        }
    }
    return NULL;
}

static enum tn_err find_output(const struct tn_model_info *info, struct tn_str name,
                               size_t *ret_index)
{
    for (size_t i = 0; i < info->output_count; i++) {
        if (tn_str_equal(info->outputs[i].name, name)) {
            *ret_index = i;
            return TN_OK;
        }
    }
    return TN_NOTFOUND;
}

static enum tn_err fill_step(struct run *run, struct step_run *step, struct tn_fault *fault)
{
    const struct tn_ensemble_step *plan = &run->runner->ensemble.steps[step->step];
    const struct tn_model_info *info = tn_model_info(step->member);
    struct tn_infer_job *job = &step->job;
    memset(job, 0, offsetof(struct tn_infer_job, fault));
    for (size_t i = 0; i < plan->input_count; i++) {
        step->inputs[i] = run->tensors[plan->inputs[i].tensor];
        step->inputs[i].name = plan->inputs[i].inside;
    }
    for (size_t i = 0; i < plan->output_count; i++) {
        if (find_output(info, plan->outputs[i].inside, &step->wanted[i]) != TN_OK) {
            return tn_fault_set(fault, TN_INVALID, "model '%.*s' has no output '%.*s'",
                                TN_STR_ARG(info->name), TN_STR_ARG(plan->outputs[i].inside));
        }
    }
    job->inputs = step->inputs;
    job->input_count = plan->input_count;
    job->outputs = step->outputs;
    job->wanted = step->wanted;
    job->output_count = plan->output_count;
    job->deadline_ns = run->job->deadline_ns;
    job->priority = run->job->priority;
    job->sequence_id = run->job->sequence_id;
    job->sequence_name = run->job->sequence_name;
    job->sequence_flags = run->job->sequence_flags;
    job->reply = &run->runner->replies;
    job->user = step;
    return TN_OK;
}

static void start_step(void *context, size_t at)
{
    struct run *run = context;
    struct tn_ensemble_runner *runner = run->runner;
    struct step_run *step = &run->steps[at];
    const struct tn_ensemble_step *plan = &runner->ensemble.steps[at];
    struct tn_fault fault;
    if (run->failed) {
        return;
    }
    step->run = run;
    step->step = at;
    enum tn_err err = runner->find(runner->find_context, plan->model, plan->version, &step->member);
    if (err != TN_OK) {
        step->member = NULL;
        tn_fault_set(&fault, TN_UNAVAILABLE, "model '%.*s' is not loaded", TN_STR_ARG(plan->model));
        fail_run(run, &fault, at);
        return;
    }
    err = step->member == runner->model
              ? tn_fault_set(&fault, TN_INVALID, "an ensemble cannot be a step of itself")
              : fill_step(run, step, &fault);
    if (err == TN_OK) {
        err = tn_infer_submit(step->member, &step->job, &fault);
    }
    if (err != TN_OK) {
        tn_model_unref(step->member);
        step->member = NULL;
        fail_run(run, &fault, at);
        return;
    }
    run->out++;
    touch(runner, step->member);
}

static void count_up(_Atomic uint64_t *counter, uint64_t amount)
{
    uint64_t now = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, now + amount, memory_order_relaxed);
}

static void count_run(const struct run *run)
{
    struct tn_instance_counters *counters = &run->runner->model->instances[0].counters;
    const struct tn_infer_job *job = run->job;
    bool ok = job->fault.code == TN_OK;
    count_up(ok ? &counters->success : &counters->fail, 1);
    count_up(ok ? &counters->success_ns : &counters->fail_ns, job->ended_ns - job->queued_ns);
    count_up(&counters->queue_ns, run->started_ns - job->queued_ns);
    count_up(&counters->infer_ns, job->ended_ns - run->started_ns);
    count_up(&counters->items, 1);
    count_up(&counters->executions, 1);
    atomic_store_explicit(&counters->last_ms, tn_clock_wall_ns() / TN_NS_PER_MS,
                          memory_order_relaxed);
    tn_model_metrics_ran(run->runner->model->metrics, &run->job, 1, 1);
}

/* Moves an output's value to the job; its target, if it has one, gets a copy. */
static enum tn_err give_output(struct run *run, size_t at)
{
    const struct tn_ensemble *ensemble = &run->runner->ensemble;
    struct tn_infer_job *job = run->job;
    size_t output = job->wanted != NULL ? job->wanted[at] : at;
    size_t tensor = ensemble->outputs[output];
    const struct tn_output_target *target = target_for(run, tensor);
    struct tn_tensor *to = &job->outputs[at];
    *to = run->tensors[tensor];
    to->name = run->runner->model->info.outputs[output].name;
    if (target != NULL) {
        if (to->data.size > target->room) {
            to->owner = NULL;
            return tn_fault_set(&job->fault, TN_INVALID,
                                "output '%.*s' has %zu bytes, its shared memory has room for %zu",
                                TN_STR_ARG(to->name), to->data.size, target->room);
        }
        if (to->data.size > 0) {
            memcpy(target->data, to->data.data, to->data.size);
        }
        to->data.data = target->data;
        to->owner = NULL;
        return TN_OK;
    }
    if (to->owner != NULL) {
        tn_block_ref(to->owner);
    }
    return TN_OK;
}

static void end_run(struct run *run)
{
    struct tn_ensemble_runner *runner = run->runner;
    struct tn_infer_job *job = run->job;
    enum tn_err err = run->failed ? job->fault.code : TN_OK;
    size_t given = 0;
    while (err == TN_OK && given < job->output_count) {
        err = give_output(run, given);
        given += err == TN_OK;
    }
    if (err != TN_OK) {
        for (size_t i = 0; i < given; i++) {
            tn_block_unref(job->outputs[i].owner);
        }
        job->output_count = 0;
    }
    for (size_t i = runner->ensemble.input_count; i < runner->ensemble.tensor_count; i++) {
        tn_block_unref(run->tensors[i].owner);
        run->tensors[i] = (struct tn_tensor){.owner = NULL};
    }
    job->started_ns = job->input_done_ns = run->started_ns;
    job->infer_done_ns = job->ended_ns = tn_clock_mono_ns();
    job->batch_size = 1;
    job->cached = false;
    count_run(run);
    *(run->prev != NULL ? &run->prev->next : &runner->active) = run->next;
    if (run->next != NULL) {
        run->next->prev = run->prev;
    }
    run->next = runner->unused;
    runner->unused = run;
    /* Only now: `pending` bounds the runs, and with them what `replies` must hold. */
    atomic_fetch_sub_explicit(&runner->model->pending, 1, memory_order_relaxed);
    tn_job_finish(job, runner->wakes);
}

static void end_if_over(struct run *run)
{
    if (run->out == 0 && (run->failed || run->ended == run->runner->ensemble.step_count)) {
        end_run(run);
    }
}

static void begin_run(struct tn_ensemble_runner *runner, struct tn_infer_job *job)
{
    struct run *run = take_run(runner);
    atomic_store_explicit(&job->state, TN_JOB_RUNNING, memory_order_relaxed);
    if (run == NULL) {
        tn_fault_set(&job->fault, TN_NOMEM, "no memory for a run of the ensemble");
        job->output_count = 0;
        job->ended_ns = tn_clock_mono_ns();
        atomic_fetch_sub_explicit(&runner->model->pending, 1, memory_order_relaxed);
        tn_job_finish(job, runner->wakes);
        return;
    }
    run->job = job;
    run->started_ns = tn_clock_mono_ns();
    run->out = run->ended = 0;
    run->failed = false;
    run->prev = NULL;
    run->next = runner->active;
    if (run->next != NULL) {
        run->next->prev = run;
    }
    runner->active = run;
    for (size_t i = 0; i < runner->ensemble.input_count; i++) {
        run->tensors[i] = job->run_inputs[i]; /* the job's, valid until it is back */
    }
    tn_ensemble_begin(&runner->ensemble, run->missing, start_step, run);
    end_if_over(run);
}

static void step_ended(struct step_run *step)
{
    struct run *run = step->run;
    const struct tn_ensemble_step *plan = &run->runner->ensemble.steps[step->step];
    struct tn_infer_job *job = &step->job;
    tn_model_unref(step->member);
    step->member = NULL;
    run->out--;
    if (job->fault.code != TN_OK) {
        fail_run(run, &job->fault, step->step);
    } else {
        run->ended++;
        for (size_t i = 0; i < job->output_count; i++) {
            run->tensors[plan->outputs[i].tensor] = step->outputs[i];
        }
        tn_ensemble_ended(&run->runner->ensemble, run->missing, step->step, start_step, run);
    }
    end_if_over(run);
}

static void look_for_cancelled(struct tn_ensemble_runner *runner)
{
    if (!atomic_exchange_explicit(&runner->cancels, false, memory_order_acq_rel)) {
        return;
    }
    struct run *next = NULL;
    for (struct run *run = runner->active; run != NULL; run = next) {
        next = run->next;
        if (!run->failed && atomic_load_explicit(&run->job->cancelled, memory_order_acquire)) {
            run->failed = true;
            tn_fault_set(&run->job->fault, TN_CANCELLED, "the request was cancelled");
            fail_run(run, &run->job->fault, 0);
            end_if_over(run);
        }
    }
}

/* True when something was done. */
static bool turn(struct tn_ensemble_runner *runner)
{
    void *items[DRAIN_ROOM];
    size_t answers = tn_chan_drain(&runner->replies, items, DRAIN_ROOM);
    for (size_t i = 0; i < answers; i++) {
        struct tn_infer_job *job = items[i];
        step_ended(job->user);
    }
    size_t jobs = tn_chan_drain(&runner->model->queue, items, DRAIN_ROOM);
    for (size_t i = 0; i < jobs; i++) {
        begin_run(runner, items[i]);
    }
    look_for_cancelled(runner);
    flush_touched(runner);
    tn_reply_wake(runner->wakes);
    return answers + jobs > 0;
}

void tn_ensemble_thread(void *context)
{
    struct tn_ensemble_runner *runner = context;
    struct tn_model *model = runner->model;
    for (;;) {
        if (turn(runner)) {
            continue;
        }
        if (!tn_chan_sleep(&runner->replies) || !tn_chan_sleep(&model->queue) ||
            atomic_load_explicit(&runner->cancels, memory_order_acquire)) {
            continue;
        }
        if (runner->active == NULL && atomic_load_explicit(&model->closing, memory_order_acquire)) {
            return;
        }
        tn_parker_wait(runner->parker, UINT64_MAX);
    }
}

void tn_ensemble_cancel(struct tn_ensemble_runner *runner, struct tn_infer_job *job)
{
    atomic_store_explicit(&job->cancelled, true, memory_order_release);
    atomic_store_explicit(&runner->cancels, true, memory_order_release);
    struct tn_waker waker = tn_parker_waker(runner->parker);
    waker.wake(waker.context);
}

static struct tn_signature *declare(struct tn_arena *arena,
                                    const struct tn_signature_config *config, size_t count)
{
    struct tn_signature *signatures = TN_ARENA_ARRAY(arena, struct tn_signature, count + 1);
    for (size_t i = 0; i < count && signatures != NULL; i++) {
        const char *name = tn_arena_copy_str(arena, config[i].name);
        if (name == NULL) {
            return NULL;
        }
        signatures[i] = (struct tn_signature){.name = tn_str_make(name, config[i].name.size),
                                              .dtype = config[i].dtype,
                                              .shape = config[i].shape,
                                              .batch_axis = TN_AXIS_NONE};
    }
    return signatures;
}

static enum tn_err check_declared(const struct tn_signature_config *config, size_t count,
                                  const char *side, struct tn_fault *fault)
{
    for (size_t i = 0; i < count; i++) {
        if (config[i].dtype == TN_DTYPE_INVALID) {
            return tn_fault_set(fault, TN_INVALID, "%s '%.*s' of the ensemble needs a datatype",
                                side, TN_STR_ARG(config[i].name));
        }
    }
    return TN_OK;
}

/* The names in the graph are the configuration's, which may go after the load. */
static enum tn_err own_names(struct tn_ensemble *ensemble, struct tn_arena *arena)
{
    bool complete = true;
    for (size_t i = 0; i < ensemble->step_count; i++) {
        struct tn_ensemble_step *step = &ensemble->steps[i];
        step->model.data = tn_arena_copy_str(arena, step->model);
        complete = complete && step->model.data != NULL;
        for (size_t k = 0; k < step->input_count; k++) {
            step->inputs[k].inside.data = tn_arena_copy_str(arena, step->inputs[k].inside);
            complete = complete && step->inputs[k].inside.data != NULL;
        }
        for (size_t k = 0; k < step->output_count; k++) {
            step->outputs[k].inside.data = tn_arena_copy_str(arena, step->outputs[k].inside);
            complete = complete && step->outputs[k].inside.data != NULL;
        }
    }
    return complete ? TN_OK : TN_NOMEM;
}

enum tn_err tn_ensemble_runner_create(struct tn_model *model,
                                      const struct tn_model_options *options,
                                      struct tn_ensemble_runner **ret_runner,
                                      struct tn_fault *fault)
{
    const struct tn_model_config *config = options->config;
    struct tn_program_info *info = &model->program_info;
    enum tn_err err = check_declared(config->inputs, config->input_count, "input", fault);
    if (err == TN_OK) {
        err = check_declared(config->outputs, config->output_count, "output", fault);
    }
    if (err != TN_OK) {
        return err;
    }
    struct tn_ensemble_runner *runner = tn_mem_take_zeroed(1, sizeof(*runner));
    if (runner == NULL) {
        return tn_fault_set(fault, TN_NOMEM, "no memory for the ensemble");
    }
    runner->model = model;
    runner->find = options->find;
    runner->find_context = options->find_context;
    runner->parker = &model->instances[0].parker;
    runner->wakes = &model->instances[0].wakes;
    err = tn_ensemble_init(&runner->ensemble, config, &model->arena, fault);
    /* Every run may have all its steps out at once. */
    size_t room = (size_t)model->batching.queue_max * runner->ensemble.step_count;
    if (err == TN_OK && room > REPLIES_MAX) {
        err = tn_fault_set(fault, TN_LIMIT, "batching.queue_max times steps must not exceed %d",
                           REPLIES_MAX);
    }
    if (err == TN_OK) {
        info->inputs = declare(&model->arena, config->inputs, config->input_count);
        info->outputs = declare(&model->arena, config->outputs, config->output_count);
        info->input_count = config->input_count;
        info->output_count = config->output_count;
        if (info->inputs == NULL || info->outputs == NULL ||
            own_names(&runner->ensemble, &model->arena) != TN_OK ||
            tn_chan_init(&runner->replies, room, tn_parker_waker(runner->parker)) != TN_OK) {
            err = tn_fault_set(fault, TN_NOMEM, "no memory for the ensemble");
        }
    }
    if (err != TN_OK) {
        tn_ensemble_runner_destroy(runner);
        return err;
    }
    *ret_runner = runner;
    return TN_OK;
}

void tn_ensemble_runner_destroy(struct tn_ensemble_runner *runner)
{
    if (runner == NULL) {
        return;
    }
    TN_ASSERT(runner->active == NULL);
    while (runner->unused != NULL) {
        struct run *run = runner->unused;
        runner->unused = run->next;
        tn_mem_give(run);
    }
    tn_infer_settle(); /* a member's instance may be about to wake us once more */
    tn_chan_deinit(&runner->replies);
    tn_mem_give(runner);
}
