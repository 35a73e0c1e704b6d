/* The keys of model.yaml as a table (base/option.h), and the plain struct that it fills; only
 * model_config.c turns that into a struct tn_model_config. Constant. */
#ifndef TN_INFER_MODEL_TABLE_H
#define TN_INFER_MODEL_TABLE_H

#include "base/option.h"

struct tn_model_yaml_tensor {
    const char *name;
    const char *datatype;        /* NULL: as the file says */
    struct tn_option_list shape; /* int64_t */
    const char *batch_axis;      /* "auto", "none" or a number */
};

struct tn_model_yaml_batching {
    int mode; /* enum tn_batching_mode */
    uint32_t max;
    uint64_t delay;
    struct tn_option_list preferred; /* uint32_t */
    uint32_t queue;
    uint64_t timeout;
    uint32_t priorities;
    uint32_t default_priority;
};

struct tn_model_yaml_session {
    int execution; /* 1: parallel */
    uint32_t intra_op_threads;
    uint32_t inter_op_threads;
    bool spinning;
    bool arena;
    bool shrink;
    bool memory_pattern;
    int optimization;
};

struct tn_model_yaml_cache {
    bool enabled;
    uint64_t ttl;
    uint64_t size;
};

struct tn_model_yaml_state {
    const char *input;
    const char *output;
};

struct tn_model_yaml_sequence {
    struct tn_option_list states; /* struct tn_model_yaml_state */
    uint32_t max;
    uint64_t idle_timeout;
};

struct tn_model_yaml_step {
    const char *model;
    int64_t version;
    struct tn_option_map inputs; /* inside: outside */
    struct tn_option_map outputs;
};

struct tn_model_yaml_warmup {
    const char *name;
    uint32_t batch;
    uint32_t count;
    const char *data;
    struct tn_option_map shapes; /* input: struct tn_option_list of int64_t */
};

struct tn_model_yaml_versions {
    int policy; /* enum tn_version_policy */
    uint32_t count;
    struct tn_option_list list; /* uint64_t */
};

struct tn_model_yaml {
    const char *platform;
    uint32_t instances;
    struct tn_option_list inputs, outputs; /* struct tn_model_yaml_tensor */
    struct tn_model_yaml_batching batching;
    struct tn_model_yaml_session session;
    struct tn_model_yaml_cache cache;
    struct tn_model_yaml_sequence sequence;
    struct tn_option_list steps;  /* struct tn_model_yaml_step */
    struct tn_option_list warmup; /* struct tn_model_yaml_warmup */
    struct tn_model_yaml_versions versions;
    struct tn_option_map labels, parameters;
    struct tn_option_list tokens;
};

extern const struct tn_option_table tn_model_table;

#endif
