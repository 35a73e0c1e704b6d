/* Sessions of ONNX Runtime: from a model's bytes to a program whose inputs and outputs are known.
 *
 * The session is made from memory, so what was hashed is what is loaded, and the bytes may go
 * afterwards. Defaults follow what was measured: one intra-op thread and no spinning, since two
 * threads doubled the CPU time a run without a steady gain; parallelism comes from instances.
 * Memory: names and signatures in the load's arena, the rest in the library. */
#include "infer/onnx.h"

#include "base/mem.h"
#include "core/assert.h"

static const struct {
    ONNXTensorElementDataType type;
    enum tn_dtype dtype;
} types[] = {
    {ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL, TN_DTYPE_BOOL},
    {ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8, TN_DTYPE_UINT8},
    {ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT16, TN_DTYPE_UINT16},
    {ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT32, TN_DTYPE_UINT32},
    {ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT64, TN_DTYPE_UINT64},
    {ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8, TN_DTYPE_INT8},
    {ONNX_TENSOR_ELEMENT_DATA_TYPE_INT16, TN_DTYPE_INT16},
    {ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32, TN_DTYPE_INT32},
    {ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64, TN_DTYPE_INT64},
    {ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16, TN_DTYPE_FP16},
    {ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, TN_DTYPE_FP32},
    {ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE, TN_DTYPE_FP64},
    {ONNX_TENSOR_ELEMENT_DATA_TYPE_BFLOAT16, TN_DTYPE_BF16},
    {ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING, TN_DTYPE_BYTES},
};

enum tn_dtype tn_onnx_dtype(ONNXTensorElementDataType type)
{
    for (size_t i = 0; i < TN_COUNT(types); i++) {
        if (types[i].type == type) {
            return types[i].dtype;
        }
    }
    return TN_DTYPE_INVALID;
}

ONNXTensorElementDataType tn_onnx_type(enum tn_dtype dtype)
{
    for (size_t i = 0; i < TN_COUNT(types); i++) {
        if (types[i].dtype == dtype) {
            return types[i].type;
        }
    }
    return ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
}

static OrtStatus *set_options(const OrtApi *api, OrtSessionOptions *options,
                              const struct tn_session_config *config)
{
    GraphOptimizationLevel level = config->optimization == 0   ? ORT_DISABLE_ALL
                                   : config->optimization == 1 ? ORT_ENABLE_BASIC
                                   : config->optimization == 2 ? ORT_ENABLE_EXTENDED
                                                               : ORT_ENABLE_ALL;
    const char *spinning = config->spinning ? "1" : "0";
    OrtStatus *status = api->SetSessionGraphOptimizationLevel(options, level);
    status = status != NULL ? status
                            : api->SetSessionExecutionMode(
                                  options, config->parallel ? ORT_PARALLEL : ORT_SEQUENTIAL);
    status =
        status != NULL ? status : api->SetIntraOpNumThreads(options, (int)config->intra_op_threads);
    status =
        status != NULL ? status : api->SetInterOpNumThreads(options, (int)config->inter_op_threads);
    status = status != NULL  ? status
             : config->arena ? api->EnableCpuMemArena(options)
                             : api->DisableCpuMemArena(options);
    status = status != NULL           ? status
             : config->memory_pattern ? api->EnableMemPattern(options)
                                      : api->DisableMemPattern(options);
    status = status != NULL
                 ? status
                 : api->AddSessionConfigEntry(options, "session.intra_op.allow_spinning", spinning);
    return status != NULL
               ? status
               : api->AddSessionConfigEntry(options, "session.inter_op.allow_spinning", spinning);
}

static enum tn_err open_session(struct tn_onnx_program *program, const struct tn_backend_load *load,
                                struct tn_fault *fault)
{
    const OrtApi *api = load->engine->api;
    OrtSessionOptions *options = NULL;
    enum tn_err err = tn_onnx_check(load->engine, api->CreateSessionOptions(&options),
                                    "creating session options", fault);
    if (err == TN_OK) {
        err = tn_onnx_check(load->engine, set_options(api, options, load->config),
                            "setting session options", fault);
    }
    if (err == TN_OK) {
        err =
            tn_onnx_check(load->engine,
                          api->CreateSessionFromArray(load->engine->env, load->bytes.data,
                                                      load->bytes.size, options, &program->session),
                          "the model does not load", fault);
    }
    if (options != NULL) {
        api->ReleaseSessionOptions(options);
    }
    return err;
}

static const char *kind_text(enum ONNXType kind)
{
    switch (kind) {
    case ONNX_TYPE_SEQUENCE:
        return "a sequence; convert it to a tensor in the model (of scikit-learn: zipmap off)";
    case ONNX_TYPE_MAP:
        return "a map; convert it to a tensor in the model (of scikit-learn: zipmap off)";
    case ONNX_TYPE_SPARSETENSOR:
        return "a sparse tensor; make it dense in the model";
    case ONNX_TYPE_OPTIONAL:
        return "an optional value; make it a plain tensor in the model";
    default:
        return "of a kind that has no place in the protocol";
    }
}

struct describing {
    struct tn_engine *engine;
    struct tn_arena *arena;
    struct tn_fault *fault;
    const char *side; /* "input" or "output" */
};

static enum tn_err describe_shape(const struct describing *with,
                                  const OrtTensorTypeAndShapeInfo *info,
                                  struct tn_signature *signature,
                                  struct tn_str symbols[TN_RANK_MAX])
{
    const OrtApi *api = with->engine->api;
    size_t rank = 0;
    enum tn_err err =
        tn_onnx_check(with->engine, api->GetDimensionsCount(info, &rank), "reading", with->fault);
    if (err != TN_OK) {
        return err;
    }
    if (rank > TN_RANK_MAX) {
        return tn_fault_set(with->fault, TN_UNSUPPORTED, "%s '%.*s' has %zu dimensions, at most %d",
                            with->side, TN_STR_ARG(signature->name), rank, TN_RANK_MAX);
    }
    const char *names[TN_RANK_MAX] = {NULL};
    signature->shape.rank = rank;
    err = tn_onnx_check(with->engine, api->GetDimensions(info, signature->shape.dims, rank),
                        "reading", with->fault);
    if (err == TN_OK) {
        err = tn_onnx_check(with->engine, api->GetSymbolicDimensions(info, names, rank), "reading",
                            with->fault);
    }
    for (size_t i = 0; i < rank && err == TN_OK; i++) {
        /* Files of older exporters write 0 where they mean "any". */
        if (signature->shape.dims[i] <= 0) {
            signature->shape.dims[i] = -1;
        }
        struct tn_str symbol = tn_str_from(names[i]);
        const char *copy = tn_arena_copy_str(with->arena, symbol);
        symbols[i] = tn_str_make(copy, symbol.size);
        err = copy != NULL ? TN_OK : tn_fault_set(with->fault, TN_NOMEM, "no memory for names");
    }
    return err;
}

static enum tn_err describe_type(const struct describing *with, const OrtTypeInfo *type,
                                 struct tn_signature *signature, struct tn_str symbols[TN_RANK_MAX])
{
    const OrtApi *api = with->engine->api;
    enum ONNXType kind = ONNX_TYPE_UNKNOWN;
    const OrtTensorTypeAndShapeInfo *info = NULL;
    ONNXTensorElementDataType element = ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
    enum tn_err err = tn_onnx_check(with->engine, api->GetOnnxTypeFromTypeInfo(type, &kind),
                                    "reading", with->fault);
    if (err == TN_OK && kind != ONNX_TYPE_TENSOR) {
        return tn_fault_set(with->fault, TN_UNSUPPORTED, "%s '%.*s' is %s", with->side,
                            TN_STR_ARG(signature->name), kind_text(kind));
    }
    if (err == TN_OK) {
        err = tn_onnx_check(with->engine, api->CastTypeInfoToTensorInfo(type, &info), "reading",
                            with->fault);
    }
    if (err == TN_OK) {
        err = tn_onnx_check(with->engine, api->GetTensorElementType(info, &element), "reading",
                            with->fault);
    }
    if (err != TN_OK) {
        return err;
    }
    signature->dtype = tn_onnx_dtype(element);
    if (signature->dtype == TN_DTYPE_INVALID) {
        return tn_fault_set(with->fault, TN_UNSUPPORTED,
                            "%s '%.*s' has element type %d of ONNX, which the protocol cannot name",
                            with->side, TN_STR_ARG(signature->name), (int)element);
    }
    return describe_shape(with, info, signature, symbols);
}

/* One side of the session: names, types and shapes into the arena. */
struct side {
    size_t count;
    const char **names;
    enum tn_dtype *dtypes;
    struct tn_signature *signatures;
    struct tn_str (*symbols)[TN_RANK_MAX];
};

static enum tn_err describe_one(const struct describing *with, const OrtSession *session,
                                bool input, size_t index, struct side *side)
{
    const OrtApi *api = with->engine->api;
    char *name = NULL;
    OrtTypeInfo *type = NULL;
    OrtStatus *status =
        input ? api->SessionGetInputName(session, index, with->engine->allocator, &name)
              : api->SessionGetOutputName(session, index, with->engine->allocator, &name);
    enum tn_err err = tn_onnx_check(with->engine, status, "reading a name", with->fault);
    if (err != TN_OK) {
        return err;
    }
    struct tn_str view = tn_str_from(name);
    side->names[index] = tn_arena_copy_str(with->arena, view);
    side->signatures[index].name = tn_str_make(side->names[index], view.size);
    side->signatures[index].batch_axis = TN_AXIS_AUTO;
    /* A failed free would be the library's bug; the status must not leak all the same. */
    (void)tn_onnx_check(with->engine, api->AllocatorFree(with->engine->allocator, name), "freeing",
                        NULL);
    if (side->names[index] == NULL) {
        return tn_fault_set(with->fault, TN_NOMEM, "no memory for names");
    }
    status = input ? api->SessionGetInputTypeInfo(session, index, &type)
                   : api->SessionGetOutputTypeInfo(session, index, &type);
    err = tn_onnx_check(with->engine, status, "reading a type", with->fault);
    if (err == TN_OK) {
        err = describe_type(with, type, &side->signatures[index], side->symbols[index]);
        api->ReleaseTypeInfo(type);
    }
    side->dtypes[index] = side->signatures[index].dtype;
    return err;
}

static enum tn_err describe_side(const struct describing *with, const OrtSession *session,
                                 bool input, struct side *side)
{
    const OrtApi *api = with->engine->api;
    OrtStatus *status = input ? api->SessionGetInputCount(session, &side->count)
                              : api->SessionGetOutputCount(session, &side->count);
    enum tn_err err = tn_onnx_check(with->engine, status, "counting", with->fault);
    if (err != TN_OK) {
        return err;
    }
    if (side->count > TN_TENSORS_MAX) {
        return tn_fault_set(with->fault, TN_UNSUPPORTED, "the model has %zu %ss, at most %d",
                            side->count, with->side, TN_TENSORS_MAX);
    }
    side->names = TN_ARENA_ARRAY(with->arena, const char *, side->count + 1);
    side->dtypes = TN_ARENA_ARRAY(with->arena, enum tn_dtype, side->count + 1);
    side->signatures = TN_ARENA_ARRAY(with->arena, struct tn_signature, side->count + 1);
    side->symbols = tn_arena_take_zeroed(with->arena, side->count + 1, sizeof(*side->symbols),
                                         _Alignof(struct tn_str));
    if (side->names == NULL || side->dtypes == NULL || side->signatures == NULL ||
        side->symbols == NULL) {
        return tn_fault_set(with->fault, TN_NOMEM, "no memory for signatures");
    }
    for (size_t i = 0; i < side->count && err == TN_OK; i++) {
        err = describe_one(with, session, input, i, side);
    }
    return err;
}

static void onnx_unload(void *program)
{
    struct tn_onnx_program *self = program;
    if (self == NULL) {
        return;
    }
    if (self->session != NULL) {
        self->engine->api->ReleaseSession(self->session);
    }
    tn_mem_give(self);
}

static enum tn_err onnx_load(const struct tn_backend_load *load, void **ret_program,
                             struct tn_program_info *ret_info, struct tn_fault *fault)
{
    TN_ASSERT(load->engine != NULL);

    struct tn_onnx_program *program = tn_mem_take_zeroed(1, sizeof(*program));
    if (program == NULL) {
        return tn_fault_set(fault, TN_NOMEM, "no memory for the program");
    }
    program->engine = load->engine;
    struct side in = {0};
    struct side out = {0};
    struct describing with = {load->engine, load->arena, fault, "input"};
    enum tn_err err = load->bytes.size > 0
                          ? open_session(program, load, fault)
                          : tn_fault_set(fault, TN_CORRUPT, "the model file is empty");
    if (err == TN_OK) {
        err = describe_side(&with, program->session, true, &in);
    }
    if (err == TN_OK) {
        with.side = "output";
        err = describe_side(&with, program->session, false, &out);
    }
    if (err != TN_OK) {
        onnx_unload(program);
        return err;
    }
    program->input_count = in.count;
    program->input_names = in.names;
    program->input_dtypes = in.dtypes;
    program->output_count = out.count;
    program->output_names = out.names;
    program->output_dtypes = out.dtypes;
    *ret_info = (struct tn_program_info){.inputs = in.signatures,
                                         .outputs = out.signatures,
                                         .input_symbols = in.symbols,
                                         .output_symbols = out.symbols,
                                         .input_count = in.count,
                                         .output_count = out.count};
    *ret_program = program;
    return TN_OK;
}

const struct tn_backend *tn_onnx_backend(void)
{
    static const struct tn_backend backend = {
        .platform = "onnxruntime_onnx",
        .load = onnx_load,
        .unload = onnx_unload,
        .runner_create = tn_onnx_runner_create,
        .runner_destroy = tn_onnx_runner_destroy,
        .run = tn_onnx_run,
        .stop = tn_onnx_stop,
    };
    return &backend;
}
