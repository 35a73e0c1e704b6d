/* Giving jobs back to their owners.
 *
 * The jobs of one batch mostly have the same one or two owners, so each is woken once for all of
 * them, after the last push. Once pushed, a job is its owner's again and may be gone. */
#include "infer/model_parts.h"

#include "core/assert.h"

#include <sched.h>

void tn_job_return(struct tn_infer_job *job, struct tn_reply_wakes *wakes)
{
    struct tn_chan *reply = job->reply;
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

void tn_job_finish(struct tn_infer_job *job, struct tn_reply_wakes *wakes)
{
    struct tn_model *model = job->model;
    if (model->carried != NULL) {
        tn_carried_leave(model, job, wakes);
    }
    tn_job_return(job, wakes);
}

void tn_reply_wake(struct tn_reply_wakes *wakes)
{
    for (size_t i = 0; i < wakes->count; i++) {
        tn_chan_wake(wakes->chans[i]);
    }
    wakes->count = 0;
}
