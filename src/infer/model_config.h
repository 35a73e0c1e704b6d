/* What model.yaml may say about one model; all of it is optional. Parsed by base/config tables, so
 * unknown keys are errors with a line number.
 * Memory: strings and lists lie in the arena given to the parser. Threads: constant after parsing.
 */
#ifndef TN_INFER_MODEL_CONFIG_H
#define TN_INFER_MODEL_CONFIG_H

#include "base/fault.h"
#include "core/arena.h"
#include "infer/tensor.h"

enum tn_batching_mode {
    TN_BATCHING_AUTO, /* learns cost(b), never delays an idle model, spends the deadline's slack */
    TN_BATCHING_FIXED,
    TN_BATCHING_OFF,
};

struct tn_batching_config {
    enum tn_batching_mode mode;
    uint32_t batch_max;    /* items; 0: auto 64 where the model has a free first dimension */
    uint64_t delay_max_ns; /* fixed: how long the first may wait */
    uint32_t preferred[16];
    size_t preferred_count;
    uint32_t queue_max;       /* jobs [1024] */
    uint32_t priority_levels; /* 0: one level */
    uint32_t priority_default;
    uint64_t queue_timeout_ns; /* 0: none */
};

struct tn_session_config {
    bool parallel;             /* execution mode; sequential by default */
    uint32_t intra_op_threads; /* [1] */
    uint32_t inter_op_threads; /* [1] */
    bool spinning;             /* [false] */
    bool arena;                /* [true] */
    bool shrink;               /* give unused arena memory back now and then [false] */
    bool memory_pattern;       /* [true] */
    uint32_t optimization;     /* 0 none, 1 basic, 2 extended, 99 all [99] */
};

struct tn_cache_config {
    bool enabled;    /* [false] */
    uint64_t ttl_ns; /* [5 min] */
    size_t size_max; /* bytes [64 MiB] */
};

/* Carried state of a sequence: what `output` gave becomes `input` of the next request. */
struct tn_state_config {
    struct tn_str input;
    struct tn_str output;
};

struct tn_sequence_config {
    struct tn_state_config states[8];
    size_t state_count;       /* 0: not a sequence model */
    uint32_t sequences_max;   /* at once [4096] */
    uint64_t idle_timeout_ns; /* [60 s] */
};

struct tn_map_config {
    struct tn_str inside;  /* the member's tensor name */
    struct tn_str outside; /* the ensemble's tensor name */
};

struct tn_pair_config {
    struct tn_str name;
    struct tn_str value;
};

struct tn_step_config {
    struct tn_str model;
    int64_t version; /* -1: latest */
    struct tn_map_config inputs[16], outputs[16];
    size_t input_count, output_count;
};

enum { TN_AXIS_AUTO = -2, TN_AXIS_NONE = -1 };
enum { TN_WARMUP_MAX = 8, TN_STEPS_MAX = 32 };

struct tn_warmup_config {
    struct tn_str name;
    uint32_t batch;     /* [1] */
    uint32_t count;     /* runs [1] */
    struct tn_str data; /* "zero", "random" or a file of raw tensors beside model.yaml */
    struct tn_warmup_shape {
        struct tn_str input;
        struct tn_shape shape;
    } shapes[16]; /* for inputs with free dimensions */
    size_t shape_count;
};

enum tn_version_policy { TN_VERSIONS_LATEST, TN_VERSIONS_ALL, TN_VERSIONS_SPECIFIC };

struct tn_model_config {
    struct tn_str platform; /* "onnxruntime_onnx" (default), "ensemble" */
    uint32_t instances;     /* threads that run it [1] */
    struct tn_batching_config batching;
    struct tn_session_config session;
    struct tn_cache_config cache;
    struct tn_sequence_config sequence;
    struct tn_step_config *steps; /* ensemble */
    size_t step_count;
    struct tn_signature_config {
        struct tn_str name;
        enum tn_dtype dtype;   /* INVALID: as the file says */
        struct tn_shape shape; /* rank 0: as the file says */
        /* Where requests are joined, for models whose batch is not the first dimension of every
         * tensor (silero: state is [2,batch,128], sr is shared). TN_AXIS_AUTO: the first dimension
         * when it is free, else the only free one, proved at load; TN_AXIS_NONE: shared, so only
         * requests with equal bytes run together. */
        int32_t batch_axis;
    } * inputs, *outputs; /* override or, for ensembles, declare */
    size_t input_count, output_count;
    struct tn_warmup_config warmup[TN_WARMUP_MAX];
    size_t warmup_count;
    enum tn_version_policy version_policy;
    uint32_t versions_latest; /* [1] */
    uint64_t versions[32];
    size_t version_count;
    /* "labels: {OUTPUT: FILE}": class names, a line each, in a file beside model.yaml. */
    struct tn_pair_config labels[16];
    size_t label_count;
    /* "parameters: {NAME: TEXT}": handed to clients in ModelConfig.parameters as they are. `tenon
     * infer` reads "input.NAME" (how to make the tensor of a file: "image resize=320x48 ...") and
     * "output.NAME" (how to read the answer: "ctc", "classes"); see docs/configuration.md. */
    struct tn_pair_config parameters[32];
    size_t parameter_count;
    struct tn_str tokens[16]; /* SHA-256 in hex of bearer tokens that may use this model */
    size_t token_count;
};

/* The defaults alone. */
void tn_model_config_init(struct tn_model_config *config);

/* Parses a model.yaml. Faults read "FILE:LINE:COLUMN: ...; did you mean ...". */
TN_MUST enum tn_err tn_model_config_parse(struct tn_str yaml, const char *file,
                                          struct tn_arena *arena,
                                          struct tn_model_config *ret_config,
                                          struct tn_fault *fault);

#endif
