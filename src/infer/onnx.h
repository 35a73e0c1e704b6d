/* What the files of the ONNX Runtime back end share: the opened library, sessions, and how a status
 * of the library becomes a fault. Only this back end includes it. */
#ifndef TN_INFER_ONNX_H
#define TN_INFER_ONNX_H

#include "infer/backend.h"

#include <onnxruntime_c_api.h>

/* All we call is in the API table of 1.16 already; later libraries still hand that table out. */
enum { TN_ONNX_API_VERSION = 16 };

struct tn_engine {
    void *library; /* never closed: its threads and thread-locals may outlive us */
    const OrtApi *api;
    OrtEnv *env;
    OrtMemoryInfo *memory;   /* CPU, for values around memory of ours */
    OrtAllocator *allocator; /* the library's default; not ours to release */
    char version[32];
};

struct tn_onnx_program {
    struct tn_engine *engine;
    OrtSession *session;
    size_t input_count, output_count;
    const char **input_names, **output_names; /* terminated, in the load's arena */
    enum tn_dtype *input_dtypes, *output_dtypes;
};

/* TN_OK for a NULL status; otherwise releases it and says what the library said. */
enum tn_err tn_onnx_check(const struct tn_engine *engine, OrtStatus *status, const char *doing,
                          struct tn_fault *fault);

/* TN_DTYPE_INVALID for element types that the protocol has no name for. */
enum tn_dtype tn_onnx_dtype(ONNXTensorElementDataType type);
ONNXTensorElementDataType tn_onnx_type(enum tn_dtype dtype);

/* infer/onnx_run.c */
enum tn_err tn_onnx_runner_create(void *program, void **ret_runner, struct tn_fault *fault);
void tn_onnx_runner_destroy(void *runner);
enum tn_err tn_onnx_run(void *runner, struct tn_run *run, struct tn_fault *fault);
void tn_onnx_stop(void *runner);

/* infer/onnx_text.c: BYTES tensors to string values and back. */
enum tn_err tn_onnx_text_in(const struct tn_engine *engine, const struct tn_run_input *input,
                            OrtValue **ret_value, struct tn_fault *fault);
enum tn_err tn_onnx_text_out(const struct tn_engine *engine, const OrtValue *value,
                             uint64_t elements, struct tn_block **ret_block,
                             struct tn_fault *fault);

#endif
