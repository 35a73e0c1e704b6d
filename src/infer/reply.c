/* Giving jobs back to their owners.
 *
 * The jobs of one batch mostly have the same one or two owners, so each is woken once for all of
 * them, after the last push. Once pushed, a job is its owner's again and may be gone; its channel
 * is touched once more, by the wake-up. An owner that wants its channel's memory back therefore
 * waits in tn_infer_settle until every giver's epoch is even or has moved.
 * Threads: each giver has its own struct; the list of givers is locked, at load and unload. */
#include "infer/model_parts.h"

#include "core/assert.h"

#include <sched.h>

static pthread_mutex_t givers_lock = PTHREAD_MUTEX_INITIALIZER;
static struct tn_reply_wakes *givers;

void tn_reply_wakes_init(struct tn_reply_wakes *wakes)
{
    memset(wakes, 0, sizeof(*wakes));
    pthread_mutex_lock(&givers_lock);
    wakes->next = givers;
    if (givers != NULL) {
        givers->prev = wakes;
    }
    givers = wakes;
    pthread_mutex_unlock(&givers_lock);
}

void tn_reply_wakes_deinit(struct tn_reply_wakes *wakes)
{
    TN_ASSERT(wakes->count == 0);
    pthread_mutex_lock(&givers_lock);
    *(wakes->prev != NULL ? &wakes->prev->next : &givers) = wakes->next;
    if (wakes->next != NULL) {
        wakes->next->prev = wakes->prev;
    }
    pthread_mutex_unlock(&givers_lock);
}

void tn_infer_settle(void)
{
    pthread_mutex_lock(&givers_lock);
    for (struct tn_reply_wakes *at = givers; at != NULL; at = at->next) {
        unsigned epoch = atomic_load_explicit(&at->epoch, memory_order_acquire);
        while (epoch % 2 == 1 && atomic_load_explicit(&at->epoch, memory_order_acquire) == epoch) {
            sched_yield(); /* for the rest of one batch's replies */
        }
    }
    pthread_mutex_unlock(&givers_lock);
}

void tn_job_return(struct tn_infer_job *job, struct tn_reply_wakes *wakes)
{
    struct tn_chan *reply = job->reply;
    if (wakes->count == 0) {
        /* An exchange: the push behind it must not be seen without it. */
        unsigned epoch = atomic_load_explicit(&wakes->epoch, memory_order_relaxed);
        if (epoch % 2 == 0) {
            atomic_exchange_explicit(&wakes->epoch, epoch + 1, memory_order_acq_rel);
        }
        wakes->since_ns = job->ended_ns;
    }
    atomic_store_explicit(&job->state, TN_JOB_BACK, memory_order_relaxed);
    while (tn_chan_push_quiet(reply, job) != TN_OK) {
        /* Its owner promised room; should it be late, wait for it instead of losing the job. */
        tn_chan_wake(reply);
        sched_yield();
    }
    for (size_t i = 0; i < wakes->count; i++) {
        if (wakes->chans[i] == reply) {
            return;
        }
    }
    if (wakes->count == TN_COUNT(wakes->chans)) {
        tn_chan_wake(reply);
    } else {
        wakes->chans[wakes->count++] = reply;
    }
}

void tn_job_let_go(struct tn_infer_job *job, struct tn_reply_wakes *wakes)
{
    struct tn_model *model = job->model;
    if (model->cached != NULL) {
        tn_cached_leave(model, job, wakes);
    }
    if (model->carried != NULL) {
        tn_carried_leave(model, job, wakes);
    }
}

void tn_job_finish(struct tn_infer_job *job, struct tn_reply_wakes *wakes)
{
    tn_job_let_go(job, wakes);
    tn_job_return(job, wakes);
}

void tn_reply_wake(struct tn_reply_wakes *wakes)
{
    for (size_t i = 0; i < wakes->count; i++) {
        tn_chan_wake(wakes->chans[i]);
    }
    wakes->count = 0;
    unsigned epoch = atomic_load_explicit(&wakes->epoch, memory_order_relaxed);
    if (epoch % 2 == 1) {
        atomic_store_explicit(&wakes->epoch, epoch + 1, memory_order_release);
    }
}
