/* What may be changed while the server runs: log and trace settings, under Triton's names.
 *
 * Log: log_file (read only: stderr), log_info, log_warning, log_error, log_verbose_level (above 0:
 * debug), log_format. They move the one log level of base/log.h: turning log_info off leaves
 * warnings, and so on.
 * Trace: trace_file, trace_level (OFF, TIMESTAMPS, TENSORS: as TIMESTAMPS), trace_rate,
 * trace_count, log_frequency, trace_mode (triton); for all models or for one, which inherits what
 * it does not set. Memory: fixed. Threads: any, one lock; tn_settings_sample is lock-free. Bounds:
 * TN_SETTINGS_MODELS_MAX models with settings of their own. */
#ifndef TN_SERVE_SETTINGS_H
#define TN_SERVE_SETTINGS_H

#include "base/fault.h"

#include <pthread.h>
#include <stdatomic.h>

enum { TN_SETTINGS_MODELS_MAX = 256, TN_SETTINGS_NAME_MAX = 128, TN_SETTINGS_PATH_MAX = 256 };

struct tn_trace_settings {
    char model[TN_SETTINGS_NAME_MAX]; /* "": all models */
    char file[TN_SETTINGS_PATH_MAX];
    bool timestamps;
    uint32_t rate;          /* one of so many requests [1000] */
    int64_t count;          /* traces left to take; -1: without end */
    uint32_t log_frequency; /* 0: write at once */
    bool has_file, has_level, has_rate, has_count, has_frequency;
};

struct tn_settings {
    pthread_mutex_t lock;
    struct tn_trace_settings all;
    struct tn_trace_settings models[TN_SETTINGS_MODELS_MAX];
    size_t model_count;
    atomic_bool tracing; /* any settings ask for traces: the only thing the hot path reads */
    atomic_uint_fast64_t seen;
    bool log_info, log_warning, log_error;
    uint32_t log_verbose;
};

void tn_settings_init(struct tn_settings *settings);
void tn_settings_deinit(struct tn_settings *settings);

/* The settings that hold for a model ("" for all). */
void tn_settings_trace_get(struct tn_settings *settings, struct tn_str model,
                           struct tn_trace_settings *ret_settings);

/* At start: the operator's file, and one of `rate` requests (0: none until somebody asks). */
void tn_settings_trace_start(struct tn_settings *settings, const char *file, unsigned rate);

/* Sets one; `count` 0 puts it back to what it inherits. TN_INVALID, TN_LIMIT. */
TN_MUST enum tn_err tn_settings_trace_set(struct tn_settings *settings, struct tn_str model,
                                          struct tn_str key, const struct tn_str *values,
                                          size_t count, struct tn_fault *fault);

/* Whether this request shall be traced, and into which file. */
bool tn_settings_sample_slow(struct tn_settings *settings, struct tn_str model,
                             struct tn_trace_settings *ret_settings);
static inline bool tn_settings_sample(struct tn_settings *settings, struct tn_str model,
                                      struct tn_trace_settings *ret_settings)
{
    return atomic_load_explicit(&settings->tracing, memory_order_relaxed) &&
           tn_settings_sample_slow(settings, model, ret_settings);
}

/* log_info, log_warning, log_error (on: 0 or 1), log_verbose_level. */
void tn_settings_log_set(struct tn_settings *settings, struct tn_str key, uint32_t value);

#endif
