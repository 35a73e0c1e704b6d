/* An instance: a thread that takes batches and runs them.
 *
 *   IDLE --woken, or the batcher's time--> CHOOSING --a batch--> RUNNING --> CHOOSING
 *     ^------------- nothing to do ----------'
 *
 * Choosing happens under the model's lock: drain the queue, let the batcher decide, and when more
 * is left over, wake one more sleeping instance. Running happens outside. A turn costs one lock,
 * one decision, four clock reads, one wake-up for each owner, however many items it carries. */
#include "infer/model_parts.h"

#include "base/clock.h"
#include "core/assert.h"

enum { DRAIN_ROOM = 128, WAKE_DELAY_NS = 20000 };

static struct tn_infer_job *job_of(struct tn_batch_entry *entry)
{
    return TN_CONTAINER(entry, struct tn_infer_job, entry);
}

void tn_model_drain(struct tn_model *model)
{
    void *items[DRAIN_ROOM];
    size_t count = 0;
    do {
        count = tn_chan_drain(&model->queue, items, DRAIN_ROOM);
        for (size_t i = 0; i < count; i++) {
            struct tn_infer_job *job = items[i];
            tn_batcher_add(&model->batcher, &job->entry);
        }
    } while (count == DRAIN_ROOM);
}

void tn_model_wake_one(void *context)
{
    struct tn_model *model = context;
    uint64_t idle = atomic_load_explicit(&model->idle, memory_order_relaxed);
    while (idle != 0) {
        unsigned index = (unsigned)__builtin_ctzll(idle);
        uint64_t bit = UINT64_C(1) << index;
        idle = atomic_fetch_and_explicit(&model->idle, ~bit, memory_order_acq_rel);
        if ((idle & bit) != 0) {
            struct tn_waker waker = tn_parker_waker(&model->instances[index].parker);
            waker.wake(waker.context);
            return;
        }
    }
}

static void set_idle(struct tn_instance *instance, bool idle)
{
    uint64_t bit = UINT64_C(1) << instance->index;
    if (idle) {
        atomic_fetch_or_explicit(&instance->model->idle, bit, memory_order_acq_rel);
    } else {
        atomic_fetch_and_explicit(&instance->model->idle, ~bit, memory_order_acq_rel);
    }
}

/* Decides what this instance does next. True: a batch is in `instance->batch`, or it ended for
 * expired jobs alone. False: nothing to run; the instance is marked idle. Under the lock. */
static bool choose(struct tn_instance *instance)
{
    struct tn_model *model = instance->model;
    struct tn_batch *batch = &instance->batch;
    if (instance->ran) { /* here, since the lock is held anyway */
        tn_batcher_learn(&model->batcher, batch->group, batch->items, instance->ran_ns);
        instance->ran = false;
    }
    tn_model_drain(model);
    tn_batcher_decide(&model->batcher, tn_clock_mono_ns(), batch);
    if (batch->action == TN_BATCH_WAIT && batch->expired_count == 0) {
        instance->solo = NULL;
        set_idle(instance, true);
        if (tn_chan_sleep(&model->queue)) {
            return false;
        }
        set_idle(instance, false); /* something came in between: look again */
        batch->until_ns = 0;
        return true;
    }
    atomic_fetch_sub_explicit(&model->pending, batch->count + batch->expired_count,
                              memory_order_relaxed);
    instance->solo = batch->count == 1 ? job_of(batch->jobs[0]) : NULL;
    /* The next push must find a sleeper, and what is left over needs one now. */
    if (atomic_load_explicit(&model->idle, memory_order_relaxed) != 0 &&
        (!tn_chan_sleep(&model->queue) || model->batcher.count > 0)) {
        tn_model_wake_one(model);
    }
    return true;
}

static void return_expired(struct tn_instance *instance)
{
    struct tn_batch *batch = &instance->batch;
    uint64_t now = batch->expired_count > 0 ? tn_clock_mono_ns() : 0;
    for (size_t i = 0; i < batch->expired_count; i++) {
        struct tn_infer_job *job = job_of(batch->expired[i]);
        job->ended_ns = now;
        job->output_count = 0;
        tn_fault_set(&job->fault, TN_TIMEOUT, "the deadline passed in the queue");
        atomic_fetch_add_explicit(&instance->model->expired, 1, memory_order_relaxed);
        tn_job_finish(job, &instance->wakes);
    }
    batch->expired_count = 0;
}

/* A wake-up costs as much as a run of a small model. Under load, with the next batch at hand, it
 * may wait for some microseconds, so that one serves several short runs. */
static void wake_owners(struct tn_instance *instance, uint64_t now_ns)
{
    bool long_run = instance->ran_ns == 0 || instance->ran_ns > WAKE_DELAY_NS;
    if (long_run || now_ns - instance->wakes.since_ns > WAKE_DELAY_NS) {
        tn_reply_wake(&instance->wakes);
    }
}

static void run_batch(struct tn_instance *instance)
{
    struct tn_batch *batch = &instance->batch;
    return_expired(instance);
    uint64_t infer_ns = 0;
    size_t count = batch->count;
    if (batch->items > instance->ran_items) {
        tn_reply_wake(&instance->wakes); /* this one may take longer than the last */
    }
    for (size_t i = 0; i < count; i++) {
        instance->jobs[i] = job_of(batch->jobs[i]);
        atomic_store_explicit(&instance->jobs[i]->state, TN_JOB_RUNNING, memory_order_relaxed);
    }
    uint64_t ended = 0;
    if (count > 0) {
        tn_instance_execute(instance, count, batch->items, &infer_ns);
        ended = instance->jobs[0]->ended_ns;
    }
    for (size_t i = 0; i < count; i++) {
        tn_job_finish(instance->jobs[i], &instance->wakes);
    }
    instance->ran = count > 0;
    instance->ran_ns = infer_ns;
    instance->ran_items = batch->items;
    wake_owners(instance, ended);
}

static uint64_t pause_until(uint64_t until_ns)
{
    if (until_ns == UINT64_MAX) {
        return UINT64_MAX;
    }
    uint64_t now = tn_clock_mono_ns();
    return until_ns > now ? until_ns - now : 0;
}

void tn_instance_run(void *context)
{
    struct tn_instance *instance = context;
    struct tn_model *model = instance->model;
    for (;;) {
        pthread_mutex_lock(&model->lock);
        bool busy = choose(instance);
        bool over = !busy && atomic_load_explicit(&model->closing, memory_order_acquire) &&
                    model->batcher.count == 0;
        uint64_t until = instance->batch.until_ns;
        pthread_mutex_unlock(&model->lock);
        if (over) {
            tn_reply_wake(&instance->wakes);
            return;
        }
        if (busy) {
            run_batch(instance);
        } else {
            tn_reply_wake(&instance->wakes);
            tn_parker_wait(&instance->parker, pause_until(until));
            set_idle(instance, false);
        }
    }
}
