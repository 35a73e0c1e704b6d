/* Jobs and the table of answers; see cached.h. A hit costs the hash of its inputs (2.5 GB/s), one
 * lock and a reference for each output. */
#include "infer/cached.h"

#include "base/clock.h"
#include "base/mem.h"
#include "core/assert.h"
#include "infer/model_parts.h"

struct tn_cached {
    pthread_mutex_t lock;
    struct tn_cache cache;
    _Atomic uint64_t hits, hit_ns, misses, miss_ns;
};

enum tn_err tn_cached_create(const struct tn_cache_config *config, struct tn_cached **ret_cached,
                             struct tn_fault *fault)
{
    struct tn_cached *cached = tn_mem_take_zeroed(1, sizeof(*cached));
    if (cached == NULL ||
        tn_cache_init(&cached->cache, config->size_max, config->ttl_ns) != TN_OK) {
        tn_mem_give(cached);
        return tn_fault_set(fault, TN_NOMEM, "no memory for the response cache");
    }
    pthread_mutex_init(&cached->lock, NULL);
    *ret_cached = cached;
    return TN_OK;
}

void tn_cached_destroy(struct tn_cached *cached)
{
    if (cached == NULL) {
        return;
    }
    tn_cache_deinit(&cached->cache);
    pthread_mutex_destroy(&cached->lock);
    tn_mem_give(cached);
}

static struct tn_hash key_of(const struct tn_model *model, const struct tn_infer_job *job)
{
    struct tn_siphash hash;
    tn_siphash_init(&hash, &model->secret);
    tn_siphash_add(&hash, tn_bytes_make(model->info.sha256, sizeof(model->info.sha256)));
    tn_siphash_add(&hash, tn_bytes_make(&job->wanted_mask, sizeof(job->wanted_mask)));
    for (size_t i = 0; i < model->info.input_count; i++) {
        const struct tn_tensor *input = &job->run_inputs[i];
        const struct tn_shape *shape = &input->shape;
        tn_siphash_add(&hash, tn_bytes_make(shape->dims, shape->rank * sizeof(shape->dims[0])));
        tn_siphash_add(&hash, tn_bytes_make(&input->data.size, sizeof(input->data.size)));
        tn_siphash_add(&hash, input->data);
    }
    return tn_siphash_end(&hash);
}

/* The place of an output among the wanted ones, which entries keep in the model's order. */
static size_t place_of(const struct tn_infer_job *job, size_t at)
{
    size_t output = job->wanted != NULL ? job->wanted[at] : at;
    return (size_t)__builtin_popcountll(job->wanted_mask & ((UINT64_C(1) << output) - 1));
}

/* Fills the job from the entry's outputs; on a target that is too small, the fault says so. */
static void answer(struct tn_infer_job *job, const struct tn_tensor *outputs)
{
    job->fault.code = TN_OK;
    for (size_t i = 0; i < job->output_count; i++) {
        const struct tn_tensor *from = &outputs[place_of(job, i)];
        const struct tn_output_target *target =
            job->targets != NULL && job->targets[i].data != NULL ? &job->targets[i] : NULL;
        job->outputs[i] = *from;
        if (target == NULL) {
            tn_block_ref(from->owner);
            continue;
        }
        job->outputs[i].owner = NULL;
        if (from->data.size > target->room) {
            tn_fault_set(&job->fault, TN_INVALID,
                         "output '%.*s' has %zu bytes, its shared memory has room for %zu",
                         TN_STR_ARG(from->name), from->data.size, target->room);
            for (size_t k = 0; k < i; k++) {
                tn_block_unref(job->outputs[k].owner);
            }
            job->output_count = 0;
            return;
        }
        if (from->data.size > 0) {
            memcpy(target->data, from->data.data, from->data.size);
        }
        job->outputs[i].data.data = target->data;
    }
}

static void stamp(struct tn_infer_job *job, uint64_t now)
{
    job->started_ns = job->input_done_ns = job->infer_done_ns = job->ended_ns = now;
    job->batch_size = 1;
    job->cached = true;
}

static void give_back(struct tn_model *model, struct tn_infer_job *job,
                      struct tn_reply_wakes *wakes)
{
    stamp(job, tn_clock_mono_ns());
    job->waiting_for = NULL;
    tn_mem_give(job->frame);
    job->frame = NULL;
    atomic_fetch_sub_explicit(&model->pending, 1, memory_order_relaxed);
    tn_job_return(job, wakes);
}

/* Outputs in a client's shared memory can be changed by it before they are kept: no answer for
 * others is made from them. */
static bool has_target(const struct tn_infer_job *job)
{
    for (size_t i = 0; job->targets != NULL && i < job->output_count; i++) {
        if (job->targets[i].data != NULL) {
            return true;
        }
    }
    return false;
}

enum tn_err tn_cached_enter(struct tn_model *model, struct tn_infer_job *job)
{
    struct tn_cached *cached = model->cached;
    job->filling = NULL;
    job->waiting_for = NULL;
    if (job->sequence_id != 0 || job->sequence_name.size > 0) {
        return TN_OK;
    }
    enum tn_cache_answer found = TN_CACHE_MISS;
    struct tn_cache_entry *entry = NULL;
    struct tn_hash key = key_of(model, job);
    pthread_mutex_lock(&cached->lock);
    enum tn_err err =
        tn_cache_begin(&cached->cache, key, job->output_count, job->queued_ns, &found, &entry);
    if (err == TN_OK && found == TN_CACHE_HIT) {
        answer(job, entry->outputs);
    } else if (err == TN_OK && has_target(job)) {
        if (found == TN_CACHE_MISS) {
            tn_cache_drop(&cached->cache, entry);
        }
        found = TN_CACHE_MISS; /* it runs by itself */
    } else if (err == TN_OK && found == TN_CACHE_WAIT) {
        struct tn_infer_job *last = entry->waiting_last;
        job->waiting_for = entry;
        job->next_waiting = NULL;
        *(last != NULL ? (void **)&last->next_waiting : &entry->waiting_first) = job;
        entry->waiting_last = job;
    } else if (err == TN_OK) {
        job->filling = entry;
    }
    pthread_mutex_unlock(&cached->lock);
    bool hit = err == TN_OK && found != TN_CACHE_MISS;
    uint64_t took = tn_clock_mono_ns() - job->queued_ns;
    atomic_fetch_add_explicit(hit ? &cached->hits : &cached->misses, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(hit ? &cached->hit_ns : &cached->miss_ns, took, memory_order_relaxed);
    if (err != TN_OK || found == TN_CACHE_MISS) {
        return TN_OK; /* without memory for an entry the job runs all the same */
    }
    if (found == TN_CACHE_WAIT) {
        return TN_AGAIN;
    }
    struct tn_reply_wakes wakes;
    tn_reply_wakes_init(&wakes);
    give_back(model, job, &wakes);
    tn_reply_wake(&wakes);
    tn_reply_wakes_deinit(&wakes);
    return TN_DONE;
}

/* The leader's outputs in the model's order. */
static void order_outputs(const struct tn_infer_job *job, struct tn_tensor *to)
{
    for (size_t i = 0; i < job->output_count; i++) {
        to[place_of(job, i)] = job->outputs[i];
    }
}

/* Leads the entry on with the first of those who wait; NULL: nobody does. */
static struct tn_infer_job *next_leader(struct tn_cache_entry *entry)
{
    struct tn_infer_job *first = entry->waiting_first;
    if (first != NULL) {
        entry->waiting_first = first->next_waiting;
        entry->waiting_last = entry->waiting_first != NULL ? entry->waiting_last : NULL;
        first->waiting_for = NULL;
        first->filling = entry;
    }
    return first;
}

/* Keeps the leader's outputs, or forgets the entry. Under the lock. Returns the outputs to answer
 * with; NULL: there are none, or they lie in the leader's own shared memory and may not be shared.
 */
static const struct tn_tensor *settle_entry(struct tn_cached *cached, struct tn_cache_entry *entry,
                                            const struct tn_infer_job *leader,
                                            struct tn_tensor *outputs)
{
    bool kept = false;
    if (leader->fault.code != TN_OK) {
        tn_cache_drop(&cached->cache, entry);
        return NULL;
    }
    order_outputs(leader, outputs);
    if (tn_cache_fill(&cached->cache, entry, outputs, tn_clock_mono_ns(), &kept) != TN_OK) {
        tn_cache_drop(&cached->cache, entry);
    }
    if (kept) {
        return entry->outputs;
    }
    for (size_t i = 0; i < leader->output_count; i++) {
        if (outputs[i].owner == NULL) {
            return NULL;
        }
    }
    return outputs;
}

/* Under the lock, since a cancel looks at `waiting_for` under it. */
static void answer_waiting(struct tn_infer_job *waiting, const struct tn_infer_job *leader,
                           const struct tn_tensor *outputs)
{
    for (struct tn_infer_job *at = waiting; at != NULL; at = at->next_waiting) {
        at->waiting_for = NULL;
        if (outputs != NULL) {
            answer(at, outputs);
            continue;
        }
        at->output_count = 0;
        if (leader->fault.code != TN_OK) {
            at->fault = leader->fault;
        } else {
            tn_fault_set(&at->fault, TN_UNAVAILABLE, "the answer could not be kept; try again");
        }
    }
}

void tn_cached_leave(struct tn_model *model, struct tn_infer_job *job, struct tn_reply_wakes *wakes)
{
    struct tn_cached *cached = model->cached;
    struct tn_cache_entry *entry = job->filling;
    struct tn_tensor outputs[TN_TENSORS_MAX];
    struct tn_infer_job *waiting = NULL;
    if (entry == NULL) {
        return;
    }
    job->filling = NULL;
    pthread_mutex_lock(&cached->lock);
    bool gone = job->fault.code == TN_CANCELLED || job->fault.code == TN_TIMEOUT;
    struct tn_infer_job *leader = gone ? next_leader(entry) : NULL;
    if (leader == NULL) {
        waiting = entry->waiting_first;
        answer_waiting(waiting, job, settle_entry(cached, entry, job, outputs));
    }
    pthread_mutex_unlock(&cached->lock);
    if (leader != NULL) {
        tn_job_classify(model, leader);
        tn_job_enqueue(model, leader);
        tn_chan_wake(&model->queue);
    }
    while (waiting != NULL) {
        struct tn_infer_job *at = waiting;
        waiting = at->next_waiting;
        give_back(model, at, wakes);
    }
}

bool tn_cached_forget(struct tn_cached *cached, struct tn_infer_job *job)
{
    pthread_mutex_lock(&cached->lock);
    struct tn_cache_entry *entry = job->waiting_for;
    if (entry != NULL) {
        struct tn_infer_job *before = NULL;
        struct tn_infer_job *at = entry->waiting_first;
        while (at != job) {
            before = at;
            at = at->next_waiting;
        }
        *(before != NULL ? (void **)&before->next_waiting : &entry->waiting_first) =
            job->next_waiting;
        entry->waiting_last = entry->waiting_last == job ? before : entry->waiting_last;
        job->waiting_for = NULL;
    }
    pthread_mutex_unlock(&cached->lock);
    return entry != NULL;
}

void tn_cached_stats(const struct tn_cached *cached, struct tn_cached_stats *ret_stats)
{
    *ret_stats = (struct tn_cached_stats){
        .hits = atomic_load_explicit(&cached->hits, memory_order_relaxed),
        .hit_ns = atomic_load_explicit(&cached->hit_ns, memory_order_relaxed),
        .misses = atomic_load_explicit(&cached->misses, memory_order_relaxed),
        .miss_ns = atomic_load_explicit(&cached->miss_ns, memory_order_relaxed),
    };
}
