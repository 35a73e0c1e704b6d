/* What runs a model's arithmetic: ONNX Runtime now, the micro engine later, behind one struct of
 * functions. A back end knows nothing of queues, batches, deadlines or metrics.
 *
 *   load(bytes) --> program (shared, constant) --> runner, one an instance --> run, run, run
 *
 * Threads: load and unload may block for long; a program is used by many runners at once, a runner
 * by one thread, except `stop`, which any thread may call while it runs. */
#ifndef TN_INFER_BACKEND_H
#define TN_INFER_BACKEND_H

#include "infer/engine.h"
#include "infer/model.h"

/* One input of a run. The bytes must be aligned to the element size and stay until run returns. */
struct tn_run_input {
    struct tn_bytes data;
    struct tn_shape shape;
};

/* One output of a run. With `room` the result is written there and must have exactly `shape`;
 * without, the back end gives a block (one reference) and the shape. */
struct tn_run_output {
    size_t index; /* of the model's outputs */
    uint8_t *room;
    size_t size; /* of room; filled with the size of the block's bytes otherwise */
    struct tn_shape shape;
    struct tn_block *block;
};

struct tn_run {
    const struct tn_run_input *inputs; /* all of the model's, in its order */
    size_t input_count;
    struct tn_run_output *outputs; /* the wanted ones */
    size_t output_count;
    bool shrink; /* give unused arena memory back after this run */
};

struct tn_backend_load {
    struct tn_engine *engine;
    struct tn_bytes bytes; /* needed only during the load */
    const struct tn_session_config *config;
    struct tn_arena *arena; /* names and signatures are taken from it; outlives the program */
};

/* What a program takes and gives. Free dimensions are -1; `symbols` names them where the file does:
 * one text for each dimension, "" when it has none. */
struct tn_program_info {
    struct tn_signature *inputs, *outputs;
    struct tn_str (*input_symbols)[TN_RANK_MAX], (*output_symbols)[TN_RANK_MAX];
    size_t input_count, output_count;
};

struct tn_backend {
    const char *platform;
    enum tn_err (*load)(const struct tn_backend_load *load, void **ret_program,
                        struct tn_program_info *ret_info, struct tn_fault *fault);
    void (*unload)(void *program);
    enum tn_err (*runner_create)(void *program, void **ret_runner, struct tn_fault *fault);
    void (*runner_destroy)(void *runner);
    enum tn_err (*run)(void *runner, struct tn_run *run, struct tn_fault *fault);
    void (*stop)(void *runner); /* the current run ends soon with TN_CANCELLED */
};

/* ONNX Runtime, infer/onnx.c. */
const struct tn_backend *tn_onnx_backend(void);

#endif
