/* The response cache of a model: equal requests get one answer. The table is infer/cache.h; this is
 * the lock, the clock and the jobs around it.
 *
 *   submit --HIT--> back at once       --MISS--> runs, fills      --WAIT--> comes back with that
 * run
 *
 * When the run fails, those who wait get the same fault; when it was only cancelled or expired, the
 * first of them runs instead. Requests of a sequence are never cached.
 * Threads: any, under one lock held for a lookup. Bounds: the cache's size; waiting jobs count in
 * the model's queue. */
#ifndef TN_INFER_CACHED_H
#define TN_INFER_CACHED_H

#include "infer/cache.h"
#include "infer/model.h"

struct tn_cached;
struct tn_reply_wakes;

TN_MUST enum tn_err tn_cached_create(const struct tn_cache_config *config,
                                     struct tn_cached **ret_cached, struct tn_fault *fault);
void tn_cached_destroy(struct tn_cached *cached); /* NULL accepted */

/* A checked job comes. TN_OK: run it. TN_DONE: it is back with its answer. TN_AGAIN: it waits for
 * another's run. */
TN_MUST enum tn_err tn_cached_enter(struct tn_model *model, struct tn_infer_job *job);

/* A job that was run is over, before it is given back: fills the cache, gives the waiting ones
 * back or lets the first of them run. */
void tn_cached_leave(struct tn_model *model, struct tn_infer_job *job,
                     struct tn_reply_wakes *wakes);

/* Takes a waiting job out. */
bool tn_cached_forget(struct tn_cached *cached, struct tn_infer_job *job);

struct tn_cached_stats {
    uint64_t hits, hit_ns, misses, miss_ns;
};
void tn_cached_stats(const struct tn_cached *cached, struct tn_cached_stats *ret_stats);

#endif
