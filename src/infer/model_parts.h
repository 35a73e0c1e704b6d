/* A loaded model as its own files see it; the rest of the tree uses infer/model.h.
 *
 *   I/O threads --push quietly--> queue --(who holds the lock drains)--> batcher --> an instance
 *
 * The lock guards the consumer's side of the queue, the batcher, and which job an instance runs. An
 * instance holds it once a batch, for about a microsecond; submitting threads never take it.
 * Waking: `idle` has a bit for each sleeping instance; whoever wakes one clears its bit, so each
 * is woken once. */
#ifndef TN_INFER_MODEL_PARTS_H
#define TN_INFER_MODEL_PARTS_H

#include "base/thread.h"
#include "core/hash.h"
#include "infer/backend.h"
#include "infer/batcher.h"
#include "infer/cached.h"
#include "infer/carried.h"
#include "infer/ensemble_run.h"
#include "infer/plan.h"

enum { TN_INSTANCES_MAX = 64, TN_SIZES_COUNTED = 128 };

/* Written by one instance, read by anybody. */
struct tn_instance_size {
    _Atomic uint64_t count, input_ns, infer_ns, output_ns;
};

struct tn_instance_counters {
    _Atomic uint64_t success, success_ns, fail, fail_ns, queue_ns, cancelled;
    _Atomic uint64_t input_ns, infer_ns, output_ns, items, executions, last_ms;
    struct tn_instance_size sizes[TN_SIZES_COUNTED]; /* [0]: size 1; the last: and larger */
};

struct tn_gather_buffer {
    uint8_t *data;
    size_t room;
};

/* Who must be woken for jobs given back, and the proof that nobody's channel is touched late: the
 * epoch is odd from the first push until the last wake. */
struct tn_reply_wakes {
    struct tn_chan *chans[8];
    size_t count;
    uint64_t since_ns; /* when the first of them was given back */
    atomic_uint epoch;
    struct tn_reply_wakes *next, *prev; /* of all that tn_infer_settle looks at */
};
void tn_reply_wakes_init(struct tn_reply_wakes *wakes);
void tn_reply_wakes_deinit(struct tn_reply_wakes *wakes);

struct tn_instance {
    struct tn_model *model;
    unsigned index;
    void *runner;
    struct tn_parker parker;
    struct tn_thread thread;
    struct tn_infer_job *solo; /* runs alone now; under the model's lock */
    struct tn_batch batch;
    struct tn_reply_wakes wakes;
    bool ran; /* `batch` ran in ran_ns (0: failed), not yet learnt */
    uint64_t ran_ns;
    uint64_t ran_items;
    uint64_t shrunk_ns;                           /* when its runs last gave arena memory back */
    struct tn_block *block;                       /* of the outputs of the batch that runs */
    struct tn_infer_job *jobs[TN_BATCH_JOBS_MAX]; /* of the batch that runs */
    struct tn_run_input inputs[TN_TENSORS_MAX];
    struct tn_run_output outputs[TN_TENSORS_MAX];
    struct tn_gather_buffer buffers[TN_TENSORS_MAX]; /* one an input, reused */
    struct tn_fault fault;
    char gap[64];
    struct tn_instance_counters counters;
};

struct tn_model_metrics;

struct tn_model {
    atomic_uint refs;
    struct tn_model_info info;
    struct tn_arena arena;
    struct tn_engine *engine;
    const struct tn_backend *backend;
    void *program;
    struct tn_program_info program_info;
    struct tn_plan plan;
    struct tn_batching_config batching;
    bool shrink;
    struct tn_hash_key secret; /* for keys that requests decide */
    bool always_same;          /* all shapes are fixed but for the batch: no key to compute */
    atomic_bool bindable[TN_TENSORS_MAX]; /* outputs whose shape the signature tells */
    atomic_bool mixes; /* batching turned out to be wrong: run jobs alone from now on */
    struct tn_instance *instances;
    size_t instance_count;
    size_t started; /* instances whose threads run */
    struct tn_model_metrics *metrics;
    struct tn_carried *carried;          /* NULL: no state between requests */
    struct tn_cached *cached;            /* NULL: no response cache */
    struct tn_ensemble_runner *ensemble; /* NULL: a model of its own */
    char gap_a[64];
    atomic_size_t pending; /* accepted, not begun */
    _Atomic uint64_t rejected, cancelled, expired;
    char gap_b[64];
    struct tn_chan queue;
    _Atomic uint64_t idle;
    atomic_bool closing;
    pthread_mutex_t lock;
    struct tn_batcher batcher;
};

/* instance.c */
void tn_instance_run(void *instance); /* the thread */
void tn_model_wake_one(void *model);
void tn_model_drain(struct tn_model *model); /* queue into batcher; under the lock */

/* reply.c: gives a job back, with its fault set or outputs filled. Quiet: without a wake-up. */
void tn_job_return(struct tn_infer_job *job, struct tn_reply_wakes *wakes);
/* The same for a job that was accepted: first lets go of what it held in the model. */
void tn_job_finish(struct tn_infer_job *job, struct tn_reply_wakes *wakes);
void tn_job_let_go(struct tn_infer_job *job, struct tn_reply_wakes *wakes);
void tn_reply_wake(struct tn_reply_wakes *wakes);

/* execute.c: runs the instance's `jobs`, fills their outputs or faults, counts. */
void tn_instance_execute(struct tn_instance *instance, size_t count, uint64_t items,
                         uint64_t *ret_infer_ns);

/* job_check.c: sorts and checks the inputs and what is wanted; sets run_inputs, perhaps a frame. */
TN_MUST enum tn_err tn_job_check(const struct tn_model *model, struct tn_infer_job *job,
                                 struct tn_fault *fault);
/* With run_inputs complete: fills the entry's compat, items and alone. */
void tn_job_classify(const struct tn_model *model, struct tn_infer_job *job);

/* submit.c: a classified job into the queue, quietly. */
void tn_job_enqueue(struct tn_model *model, struct tn_infer_job *job);

#endif
