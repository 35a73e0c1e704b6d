/* What may stand in a model.yaml: names, types, bounds, defaults, help. Constant data. */
#include "infer/model_table.h"

#include "infer/model_config.h"

#define AT(member) TN_OPTION_AT(struct tn_model_yaml, member)

static const struct tn_option number_item = {.kind = TN_OPTION_INT, .size = sizeof(int64_t)};
static const struct tn_option shape_item = {
    .kind = TN_OPTION_LIST,
    .size = sizeof(struct tn_option_list),
    .element = &number_item,
    .count_max = TN_RANK_MAX,
};

static const struct tn_option tensor_rows[] = {
    {.name = "name",
     .kind = TN_OPTION_TEXT,
     TN_OPTION_AT(struct tn_model_yaml_tensor, name),
     .required = true,
     .help = "name of the tensor"},
    {.name = "datatype",
     .kind = TN_OPTION_TEXT,
     TN_OPTION_AT(struct tn_model_yaml_tensor, datatype),
     .value = "TYPE",
     .help = "element type, such as FP32; by default what the model file says"},
    {.name = "shape",
     .kind = TN_OPTION_LIST,
     TN_OPTION_AT(struct tn_model_yaml_tensor, shape),
     .element = &number_item,
     .count_max = TN_RANK_MAX,
     .help = "dimensions, -1 for a free one; by default what the model file says"},
    {.name = "batch_axis",
     .kind = TN_OPTION_TEXT,
     TN_OPTION_AT(struct tn_model_yaml_tensor, batch_axis),
     .fallback = "auto",
     .value = "auto|none|N",
     .help = "dimension along which requests are joined; none: only requests with equal bytes "
             "run together"},
};
static const struct tn_option_table tensor_table =
    TN_OPTION_TABLE(struct tn_model_yaml_tensor, tensor_rows);
static const struct tn_option tensor_item = {
    .kind = TN_OPTION_STRUCT, .size = sizeof(struct tn_model_yaml_tensor), .table = &tensor_table};

static const struct tn_option_choice batching_modes[] = {
    {"auto", TN_BATCHING_AUTO}, {"fixed", TN_BATCHING_FIXED}, {"off", TN_BATCHING_OFF}, {NULL, 0}};
static const struct tn_option size_item = {
    .kind = TN_OPTION_UINT, .size = sizeof(uint32_t), .min = 1, .max = 1024};
static const struct tn_option batching_rows[] = {
    {.name = "mode",
     .kind = TN_OPTION_ENUM,
     TN_OPTION_AT(struct tn_model_yaml_batching, mode),
     .choices = batching_modes,
     .fallback = "auto",
     .help = "auto learns what a batch costs and never delays; fixed waits for preferred sizes; "
             "off runs each request alone"},
    {.name = "max",
     .kind = TN_OPTION_UINT,
     TN_OPTION_AT(struct tn_model_yaml_batching, max),
     .max = 1024,
     .help = "items in one run at most; 0: up to 64 where the model was seen to treat items apart"},
    {.name = "delay",
     .kind = TN_OPTION_DURATION,
     TN_OPTION_AT(struct tn_model_yaml_batching, delay),
     .help = "mode fixed: how long the first request may wait for others"},
    {.name = "preferred",
     .kind = TN_OPTION_LIST,
     TN_OPTION_AT(struct tn_model_yaml_batching, preferred),
     .element = &size_item,
     .count_max = 16,
     .help = "mode fixed: sizes that run at once when reached, ascending"},
    {.name = "queue",
     .kind = TN_OPTION_UINT,
     TN_OPTION_AT(struct tn_model_yaml_batching, queue),
     .fallback = "1024",
     .min = 1,
     .max = 1 << 20,
     .help = "requests that may wait; more are refused at once"},
    {.name = "timeout",
     .kind = TN_OPTION_DURATION,
     TN_OPTION_AT(struct tn_model_yaml_batching, timeout),
     .help = "a request that waited this long is given up; 0: only its own deadline counts"},
    {.name = "priorities",
     .kind = TN_OPTION_UINT,
     TN_OPTION_AT(struct tn_model_yaml_batching, priorities),
     .max = 1000,
     .help = "number of priority levels, 1 is the highest; 0: all requests are alike"},
    {.name = "default_priority",
     .kind = TN_OPTION_UINT,
     TN_OPTION_AT(struct tn_model_yaml_batching, default_priority),
     .max = 1000,
     .help = "level of requests that name none; 0: the lowest"},
};
static const struct tn_option_table batching_table =
    TN_OPTION_TABLE(struct tn_model_yaml_batching, batching_rows);

static const struct tn_option_choice executions[] = {{"sequential", 0}, {"parallel", 1}, {NULL, 0}};
static const struct tn_option_choice optimizations[] = {
    {"none", 0}, {"basic", 1}, {"extended", 2}, {"all", 99}, {NULL, 0}};
static const struct tn_option session_rows[] = {
    {.name = "execution",
     .kind = TN_OPTION_ENUM,
     TN_OPTION_AT(struct tn_model_yaml_session, execution),
     .choices = executions,
     .fallback = "sequential",
     .help = "whether independent branches of the model run at the same time"},
    {.name = "intra_op_threads",
     .kind = TN_OPTION_UINT,
     TN_OPTION_AT(struct tn_model_yaml_session, intra_op_threads),
     .fallback = "1",
     .min = 1,
     .max = 1024,
     .help = "threads inside one operator"},
    {.name = "inter_op_threads",
     .kind = TN_OPTION_UINT,
     TN_OPTION_AT(struct tn_model_yaml_session, inter_op_threads),
     .fallback = "1",
     .min = 1,
     .max = 1024,
     .help = "threads for branches, with execution parallel"},
    {.name = "spinning",
     .kind = TN_OPTION_BOOL,
     TN_OPTION_AT(struct tn_model_yaml_session, spinning),
     .fallback = "false",
     .help = "threads of an operator burn CPU while they wait"},
    {.name = "arena",
     .kind = TN_OPTION_BOOL,
     TN_OPTION_AT(struct tn_model_yaml_session, arena),
     .fallback = "true",
     .help = "keep memory between runs"},
    {.name = "shrink",
     .kind = TN_OPTION_BOOL,
     TN_OPTION_AT(struct tn_model_yaml_session, shrink),
     .fallback = "false",
     .help = "give unused arena memory back now and then; for shapes that vary much"},
    {.name = "memory_pattern",
     .kind = TN_OPTION_BOOL,
     TN_OPTION_AT(struct tn_model_yaml_session, memory_pattern),
     .fallback = "true",
     .help = "plan the memory of each shape once"},
    {.name = "optimization",
     .kind = TN_OPTION_ENUM,
     TN_OPTION_AT(struct tn_model_yaml_session, optimization),
     .choices = optimizations,
     .fallback = "all",
     .help = "how far the graph is rewritten at load"},
};
static const struct tn_option_table session_table =
    TN_OPTION_TABLE(struct tn_model_yaml_session, session_rows);

static const struct tn_option cache_rows[] = {
    {.name = "enabled",
     .kind = TN_OPTION_BOOL,
     TN_OPTION_AT(struct tn_model_yaml_cache, enabled),
     .fallback = "false",
     .help = "answer equal requests from memory; never for models with state"},
    {.name = "ttl",
     .kind = TN_OPTION_DURATION,
     TN_OPTION_AT(struct tn_model_yaml_cache, ttl),
     .fallback = "5m",
     .help = "how long an answer is good"},
    {.name = "size",
     .kind = TN_OPTION_SIZE,
     TN_OPTION_AT(struct tn_model_yaml_cache, size),
     .fallback = "64MiB",
     .min = 4096,
     .help = "bytes of answers kept; the least recently used go first"},
};
static const struct tn_option_table cache_table =
    TN_OPTION_TABLE(struct tn_model_yaml_cache, cache_rows);

static const struct tn_option state_rows[] = {
    {.name = "input",
     .kind = TN_OPTION_TEXT,
     TN_OPTION_AT(struct tn_model_yaml_state, input),
     .required = true,
     .help = "input that takes the state; clients may leave it out"},
    {.name = "output",
     .kind = TN_OPTION_TEXT,
     TN_OPTION_AT(struct tn_model_yaml_state, output),
     .required = true,
     .help = "output that gives the next state"},
};
static const struct tn_option_table state_table =
    TN_OPTION_TABLE(struct tn_model_yaml_state, state_rows);
static const struct tn_option state_item = {
    .kind = TN_OPTION_STRUCT, .size = sizeof(struct tn_model_yaml_state), .table = &state_table};
static const struct tn_option sequence_rows[] = {
    {.name = "states",
     .kind = TN_OPTION_LIST,
     TN_OPTION_AT(struct tn_model_yaml_sequence, states),
     .element = &state_item,
     .count_max = 8,
     .help = "state carried from one request of a sequence to the next"},
    {.name = "max",
     .kind = TN_OPTION_UINT,
     TN_OPTION_AT(struct tn_model_yaml_sequence, max),
     .fallback = "4096",
     .min = 1,
     .max = 1 << 20,
     .help = "sequences open at once"},
    {.name = "idle_timeout",
     .kind = TN_OPTION_DURATION,
     TN_OPTION_AT(struct tn_model_yaml_sequence, idle_timeout),
     .fallback = "1m",
     .min = 1,
     .help = "a sequence without requests for this long is forgotten"},
};
static const struct tn_option_table sequence_table =
    TN_OPTION_TABLE(struct tn_model_yaml_sequence, sequence_rows);

static const struct tn_option step_rows[] = {
    {.name = "model",
     .kind = TN_OPTION_TEXT,
     TN_OPTION_AT(struct tn_model_yaml_step, model),
     .required = true,
     .help = "member model"},
    {.name = "version",
     .kind = TN_OPTION_INT,
     TN_OPTION_AT(struct tn_model_yaml_step, version),
     .fallback = "-1",
     .min = -1,
     .max = INT64_MAX,
     .help = "its version; -1: the latest"},
    {.name = "inputs",
     .kind = TN_OPTION_MAP,
     TN_OPTION_AT(struct tn_model_yaml_step, inputs),
     .count_max = 16,
     .help = "the member's inputs, each with the ensemble's name of the tensor"},
    {.name = "outputs",
     .kind = TN_OPTION_MAP,
     TN_OPTION_AT(struct tn_model_yaml_step, outputs),
     .count_max = 16,
     .help = "the member's outputs, likewise"},
};
static const struct tn_option_table step_table =
    TN_OPTION_TABLE(struct tn_model_yaml_step, step_rows);
static const struct tn_option step_item = {
    .kind = TN_OPTION_STRUCT, .size = sizeof(struct tn_model_yaml_step), .table = &step_table};

static const struct tn_option warmup_rows[] = {
    {.name = "name",
     .kind = TN_OPTION_TEXT,
     TN_OPTION_AT(struct tn_model_yaml_warmup, name),
     .fallback = "warmup",
     .help = "name in messages"},
    {.name = "batch",
     .kind = TN_OPTION_UINT,
     TN_OPTION_AT(struct tn_model_yaml_warmup, batch),
     .fallback = "1",
     .min = 1,
     .max = 1024,
     .help = "items in the run"},
    {.name = "count",
     .kind = TN_OPTION_UINT,
     TN_OPTION_AT(struct tn_model_yaml_warmup, count),
     .fallback = "1",
     .min = 1,
     .max = 1000,
     .help = "runs"},
    {.name = "data",
     .kind = TN_OPTION_TEXT,
     TN_OPTION_AT(struct tn_model_yaml_warmup, data),
     .fallback = "random",
     .value = "zero|random|FILE",
     .help = "what the inputs hold: zero, random, or a file of raw tensors beside model.yaml"},
    {.name = "shapes",
     .kind = TN_OPTION_MAP,
     TN_OPTION_AT(struct tn_model_yaml_warmup, shapes),
     .element = &shape_item,
     .count_max = 16,
     .help = "shapes of inputs with free dimensions"},
};
static const struct tn_option_table warmup_table =
    TN_OPTION_TABLE(struct tn_model_yaml_warmup, warmup_rows);
static const struct tn_option warmup_item = {
    .kind = TN_OPTION_STRUCT, .size = sizeof(struct tn_model_yaml_warmup), .table = &warmup_table};

static const struct tn_option_choice policies[] = {{"latest", TN_VERSIONS_LATEST},
                                                   {"all", TN_VERSIONS_ALL},
                                                   {"specific", TN_VERSIONS_SPECIFIC},
                                                   {NULL, 0}};
static const struct tn_option version_item = {
    .kind = TN_OPTION_UINT, .size = sizeof(uint64_t), .min = 1};
static const struct tn_option versions_rows[] = {
    {.name = "policy",
     .kind = TN_OPTION_ENUM,
     TN_OPTION_AT(struct tn_model_yaml_versions, policy),
     .choices = policies,
     .fallback = "latest",
     .help = "which versions in the model's folder are served"},
    {.name = "count",
     .kind = TN_OPTION_UINT,
     TN_OPTION_AT(struct tn_model_yaml_versions, count),
     .fallback = "1",
     .min = 1,
     .max = 1000,
     .help = "policy latest: how many"},
    {.name = "list",
     .kind = TN_OPTION_LIST,
     TN_OPTION_AT(struct tn_model_yaml_versions, list),
     .element = &version_item,
     .count_max = 32,
     .help = "policy specific: which"},
};
static const struct tn_option_table versions_table =
    TN_OPTION_TABLE(struct tn_model_yaml_versions, versions_rows);

static const struct tn_option token_item = {
    .kind = TN_OPTION_TEXT, .size = sizeof(const char *), .secret = true};

static const struct tn_option rows[] = {
    {.name = "platform",
     .kind = TN_OPTION_TEXT,
     AT(platform),
     .fallback = "onnxruntime_onnx",
     .value = "NAME",
     .help = "onnxruntime_onnx, or ensemble for a model made of others"},
    {.name = "instances",
     .kind = TN_OPTION_UINT,
     AT(instances),
     .fallback = "1",
     .min = 1,
     .max = 64,
     .help = "threads that run the model"},
    {.name = "inputs",
     .kind = TN_OPTION_LIST,
     AT(inputs),
     .element = &tensor_item,
     .count_max = TN_TENSORS_MAX,
     .help = "inputs to describe closer than the file does; of an ensemble: all"},
    {.name = "outputs",
     .kind = TN_OPTION_LIST,
     AT(outputs),
     .element = &tensor_item,
     .count_max = TN_TENSORS_MAX,
     .help = "the same for outputs"},
    {.name = "batching",
     .kind = TN_OPTION_STRUCT,
     AT(batching),
     .table = &batching_table,
     .help = "how requests are put together"},
    {.name = "session",
     .kind = TN_OPTION_STRUCT,
     AT(session),
     .table = &session_table,
     .help = "how ONNX Runtime runs the model"},
    {.name = "cache",
     .kind = TN_OPTION_STRUCT,
     AT(cache),
     .table = &cache_table,
     .help = "answers kept for equal requests"},
    {.name = "sequence",
     .kind = TN_OPTION_STRUCT,
     AT(sequence),
     .table = &sequence_table,
     .help = "state carried between requests"},
    {.name = "steps",
     .kind = TN_OPTION_LIST,
     AT(steps),
     .element = &step_item,
     .count_max = TN_STEPS_MAX,
     .help = "of an ensemble: its members"},
    {.name = "warmup",
     .kind = TN_OPTION_LIST,
     AT(warmup),
     .element = &warmup_item,
     .count_max = TN_WARMUP_MAX,
     .help = "runs before the model is ready"},
    {.name = "versions",
     .kind = TN_OPTION_STRUCT,
     AT(versions),
     .table = &versions_table,
     .help = "which versions are served"},
    {.name = "labels",
     .kind = TN_OPTION_MAP,
     AT(labels),
     .count_max = 16,
     .help = "for an output, a file with a name for each class, a line each"},
    {.name = "parameters",
     .kind = TN_OPTION_MAP,
     AT(parameters),
     .count_max = 32,
     .help = "texts handed to clients with the model's configuration"},
    {.name = "tokens",
     .kind = TN_OPTION_LIST,
     AT(tokens),
     .element = &token_item,
     .count_max = 16,
     .help = "SHA-256 in hex of each bearer token that may use the model; none: everybody"},
};

const struct tn_option_table tn_model_table = TN_OPTION_TABLE(struct tn_model_yaml, rows);
