/* A loaded model: what it takes and gives, and the threads that run it.
 *
 *   submit --> cache? --> queue (pure batcher) --> instance thread: gather, run, scatter --> reply
 *
 * A model is ONNX (ONNX Runtime), later TFLite (micro), or an ensemble of other models; all look
 * the same from outside. `struct tn_infer_job` is the caller's memory from submit until it comes
 * back through `job->reply`, exactly once, also when cancelled, expired or failed. Memory: a model
 * counts references; the last unref stops its threads and gives everything back. Threads: load and
 * unref from any thread but an I/O loop (they block); submit and cancel from any. Bounds: queue_max
 * jobs queued; tensors as in tensor.h. */
#ifndef TN_INFER_MODEL_H
#define TN_INFER_MODEL_H

#include "base/chan.h"
#include "infer/batcher.h"
#include "infer/model_config.h"
#include "infer/sequence.h"
#include "infer/tensor.h"

struct tn_model;
struct tn_metrics;
struct tn_trace_context; /* telemetry/traceparent.h */

/* One input or output of the model, without data. The batch dimension is included in `shape`
 * (as -1) when `batched`. */
struct tn_signature {
    struct tn_str name;
    enum tn_dtype dtype;
    struct tn_shape shape;
    int32_t batch_axis; /* the dimension along which requests are joined, or TN_AXIS_NONE */
};

struct tn_model_info {
    struct tn_str name;
    uint64_t version;
    const char *platform; /* "onnxruntime_onnx", "ensemble" */
    uint8_t sha256[32];   /* of the model's bytes (ensemble: of its configuration) */
    const struct tn_signature *inputs;
    size_t input_count;
    const struct tn_signature *outputs;
    size_t output_count;
    bool batched;     /* the first dimension of every tensor is a batch, seen to be one at load */
    size_t batch_max; /* 0 when not batched */
    size_t memory_bytes; /* measured growth at load, for people */
};

/* Where an output shall go, when not into memory of ours (shared memory). */
struct tn_output_target {
    uint8_t *data;
    size_t room;
};

enum tn_job_state { TN_JOB_NEW, TN_JOB_QUEUED, TN_JOB_RUNNING, TN_JOB_BACK };

struct tn_infer_job {
    /* the caller fills */
    struct tn_tensor *inputs; /* in any order; submit sorts them by the signature, in place */
    size_t input_count;
    struct tn_tensor *outputs; /* room for TN_TENSORS_MAX or output_wanted; filled on return */
    const size_t *wanted;      /* indices into info->outputs; NULL: all */
    const struct tn_output_target *targets; /* parallel to wanted; NULL or .data NULL: ours */
    size_t output_count;                    /* in: wanted; out: filled */
    uint64_t deadline_ns;                   /* monotonic, 0: none */
    uint32_t priority;                      /* 0: the model's default; 1 is the highest */
    uint64_t sequence_id;                   /* 0: none */
    struct tn_str sequence_name;            /* or text ids */
    unsigned sequence_flags;                /* TN_SEQUENCE_START, TN_SEQUENCE_END */
    const struct tn_trace_context *trace;   /* of a sampled span, for exemplars; NULL: none */
    struct tn_chan *reply; /* receives this job; has room for all its owner has out; see settle */
    void *user;
    /* the model fills */
    struct tn_fault fault; /* code TN_OK: outputs are valid */
    uint64_t queued_ns, started_ns, input_done_ns, infer_done_ns, ended_ns; /* monotonic */
    uint32_t batch_size; /* items that ran together with this one */
    bool cached;
    /* the model's own */
    _Atomic int state; /* enum tn_job_state */
    _Atomic bool cancelled;
    struct tn_model *model;
    struct tn_batch_entry entry;
    uint64_t wanted_mask;         /* a bit for each output */
    struct tn_tensor *run_inputs; /* by the signature: `inputs`, or `frame` with state filled in */
    struct tn_tensor *frame;
    struct tn_sequence_request turn;
    struct tn_cache_entry *filling, *waiting_for;
    struct tn_infer_job *next_waiting;
};

struct tn_engine; /* ONNX Runtime's environment, one a process: infer/engine.h */

struct tn_model_options {
    struct tn_engine *engine;
    struct tn_str name;
    uint64_t version;
    struct tn_block *bytes; /* the model file, hashed and loaded from here; NULL for an ensemble */
    const struct tn_model_config *config; /* copied */
    const char *directory; /* where files named in model.yaml lie (warm-up data); NULL: nowhere */
    struct tn_metrics *metrics;
    /* Ensemble: finds the member models, with a reference; called at submit, any thread. */
    enum tn_err (*find)(void *context, struct tn_str name, int64_t version,
                        struct tn_model **ret_model);
    void *find_context;
};

/* Loads, warms up and is ready to serve. Failures name the cause in words (missing operator,
 * corrupt file, shape conflict between file and configuration). */
TN_MUST enum tn_err tn_model_create(const struct tn_model_options *options,
                                    struct tn_model **ret_model, struct tn_fault *fault);

struct tn_model *tn_model_ref(struct tn_model *model);
void tn_model_unref(struct tn_model *model); /* the last one blocks until its threads ended */

const struct tn_model_info *tn_model_info(const struct tn_model *model);

/* Takes the job, or refuses at once with a fault (then the job never comes back): TN_INVALID wrong
 * inputs, TN_LIMIT queue full, TN_TIMEOUT deadline passed, TN_CLOSED unloading. */
TN_MUST enum tn_err tn_infer_submit(struct tn_model *model, struct tn_infer_job *job,
                                    struct tn_fault *fault);

/* Wakes the instances for all jobs submitted quietly by this thread's turn: call it from a turn
 * hook. */
void tn_infer_flush(struct tn_model *model);

/* A queued job comes back with TN_CANCELLED soon; a running one when its run ends. */
void tn_infer_cancel(struct tn_infer_job *job);

/* Before a reply channel's memory goes: waits until nobody will wake it for a job that is back
 * already. Not for an I/O loop in service; lasts about as long as one batch's replies. */
void tn_infer_settle(void);

/* Counters for ModelStatistics and /stats; monotonic since load. */
struct tn_model_stats {
    uint64_t success_count, success_ns, fail_count, fail_ns, queue_count, queue_ns;
    uint64_t compute_input_ns, compute_infer_ns, compute_output_ns;
    uint64_t inference_count, execution_count, last_inference_ms; /* wall clock */
    uint64_t cache_hit_count, cache_hit_ns, cache_miss_count, cache_miss_ns;
    uint64_t rejected_count, cancelled_count, pending;
};
void tn_model_stats(const struct tn_model *model, struct tn_model_stats *ret_stats);

/* Executions by batch size, ascending, only sizes that occurred; the last stands for 128 and more.
 * Returns how many were written, at most `count`. */
struct tn_batch_stats {
    uint64_t batch_size, count;
    uint64_t compute_input_ns, compute_infer_ns, compute_output_ns;
};
size_t tn_model_batch_stats(const struct tn_model *model, struct tn_batch_stats *ret_stats,
                            size_t count);

#endif
