/* Jobs in: check, bound, queue. Jobs out before their time: cancel.
 *
 * Submitting takes no lock: two atomic adds and one push, and the instances are woken once a turn
 * by tn_infer_flush. Cancelling takes the lock, since it is rare. */
#include "base/clock.h"
#include "base/mem.h"
#include "core/assert.h"
#include "infer/model_parts.h"

static void set_times(const struct tn_model *model, struct tn_infer_job *job)
{
    struct tn_batch_entry *entry = &job->entry;
    entry->arrival_ns = job->queued_ns;
    entry->deadline_ns = job->deadline_ns;
    entry->expires_ns = job->deadline_ns;
    entry->group = 0;
    entry->level = 0;
    if (model->batching.queue_timeout_ns != 0) {
        uint64_t last = job->queued_ns + model->batching.queue_timeout_ns;
        bool sooner = entry->expires_ns == 0 || last < entry->expires_ns;
        entry->expires_ns = sooner ? last : entry->expires_ns;
    }
    if (model->batching.priority_levels > 1) {
        uint32_t level = job->priority != 0 ? job->priority : model->batching.priority_default;
        uint32_t lowest = model->batching.priority_levels;
        entry->level = level > lowest ? lowest : level;
    }
}

void tn_job_enqueue(struct tn_model *model, struct tn_infer_job *job)
{
    enum tn_err err = tn_chan_push_quiet(&model->queue, job);
    TN_ASSERT(err == TN_OK); /* it has room for queue_max, and `pending` counts what is inside */
}

/* Takes back what submit had begun. */
static enum tn_err refuse(struct tn_model *model, struct tn_infer_job *job, enum tn_err err)
{
    atomic_fetch_sub_explicit(&model->pending, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&model->rejected, 1, memory_order_relaxed);
    tn_mem_give(job->frame);
    job->frame = NULL;
    atomic_store_explicit(&job->state, TN_JOB_NEW, memory_order_relaxed);
    return err;
}

enum tn_err tn_infer_submit(struct tn_model *model, struct tn_infer_job *job,
                            struct tn_fault *fault)
{
    TN_ASSERT(job->reply != NULL);

    enum tn_err err = tn_job_check(model, job, fault);
    if (err != TN_OK) {
        atomic_fetch_add_explicit(&model->rejected, 1, memory_order_relaxed);
        return err;
    }
    job->queued_ns = tn_clock_mono_ns();
    if (job->deadline_ns != 0 && job->deadline_ns <= job->queued_ns) {
        atomic_fetch_add_explicit(&model->expired, 1, memory_order_relaxed);
        tn_mem_give(job->frame);
        return tn_fault_set(fault, TN_TIMEOUT, "the deadline has passed already");
    }
    size_t before = atomic_fetch_add_explicit(&model->pending, 1, memory_order_relaxed);
    if (before >= model->batching.queue_max) {
        tn_fault_set(fault, TN_LIMIT, "the queue of model '%.*s' is full: %u requests wait",
                     TN_STR_ARG(model->info.name), model->batching.queue_max);
        return refuse(model, job, TN_LIMIT);
    }
    set_times(model, job);
    job->model = model;
    job->fault.code = TN_OK;
    atomic_store_explicit(&job->cancelled, false, memory_order_relaxed);
    atomic_store_explicit(&job->state, TN_JOB_QUEUED, memory_order_relaxed);
    if (model->carried != NULL) {
        err = tn_carried_enter(model, job, fault);
        if (err != TN_OK) { /* TN_AGAIN: it waits its turn in its sequence */
            return err == TN_AGAIN ? TN_OK : refuse(model, job, err);
        }
    }
    if (model->cached != NULL && tn_cached_enter(model, job) != TN_OK) {
        return TN_OK; /* answered already, or with another's run */
    }
    tn_job_classify(model, job);
    tn_job_enqueue(model, job);
    return TN_OK;
}

void tn_infer_flush(struct tn_model *model)
{
    tn_chan_wake(&model->queue);
}

/* Takes a job that has not begun out of the model; otherwise stops its run when it runs alone. */
static bool withdraw(struct tn_model *model, struct tn_infer_job *job)
{
    if (model->carried != NULL && tn_carried_forget(model->carried, job)) {
        return true; /* it waited for its turn in a sequence */
    }
    if (model->cached != NULL && tn_cached_forget(model->cached, job)) {
        return true; /* it waited for another's run */
    }
    pthread_mutex_lock(&model->lock);
    tn_model_drain(model); /* it may still be in the queue */
    bool waiting = tn_batcher_remove(&model->batcher, &job->entry);
    for (size_t i = 0; i < model->instance_count && !waiting; i++) {
        if (model->instances[i].solo == job) {
            model->backend->stop(model->instances[i].runner);
        }
    }
    pthread_mutex_unlock(&model->lock);
    /* Draining ended the queue's sleep, and what came out had perhaps been seen by nobody: an idle
     * instance must look and declare its sleep again. */
    tn_model_wake_one(model);
    return waiting;
}

void tn_infer_cancel(struct tn_infer_job *job)
{
    struct tn_model *model = job->model;
    struct tn_reply_wakes wakes;
    if (model->ensemble != NULL) {
        tn_ensemble_cancel(model->ensemble, job);
        return;
    }
    int state = atomic_load_explicit(&job->state, memory_order_relaxed);
    if ((state != TN_JOB_QUEUED && state != TN_JOB_RUNNING) || !withdraw(model, job)) {
        return;
    }
    atomic_fetch_sub_explicit(&model->pending, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&model->cancelled, 1, memory_order_relaxed);
    job->ended_ns = tn_clock_mono_ns();
    job->output_count = 0;
    tn_fault_set(&job->fault, TN_CANCELLED, "the request was cancelled");
    tn_reply_wakes_init(&wakes);
    tn_job_let_go(job, &wakes);
    tn_model_wake_one(model);   /* the next of its sequence may have come into the queue */
    tn_job_return(job, &wakes); /* from here on the owner may let go of the model */
    tn_reply_wake(&wakes);
    tn_reply_wakes_deinit(&wakes);
}
