/* The model's series. The counters of the registry follow the model's own: at a scrape each gets
 * what came since the last one, so that they rise as those do and start at zero with the model.
 *
 * Memory: one struct, and one reference to each series. Threads: a scrape is one at a time; ran()
 * from every instance. */
#include "infer/model_metrics.h"

#include "base/mem.h"
#include "core/assert.h"
#include "infer/model_parts.h"
#include "telemetry/metrics.h"
#include "telemetry/traceparent.h"

#include <stdio.h>

enum { LABELS_MAX = 3 };

/* What follows a counter of the model. */
enum follower {
    FOLLOW_OK,
    FOLLOW_ERROR,
    FOLLOW_REJECTED,
    FOLLOW_CANCELLED,
    FOLLOW_EXPIRED,
    FOLLOW_HIT,
    FOLLOW_MISS,
    FOLLOW_NV_SUCCESS,
    FOLLOW_NV_REJECTED,
    FOLLOW_NV_CANCELED,
    FOLLOW_NV_BACKEND,
    FOLLOW_NV_OTHER,
    FOLLOW_NV_COUNT,
    FOLLOW_NV_EXEC_COUNT,
    FOLLOW_NV_REQUEST_US,
    FOLLOW_NV_QUEUE_US,
    FOLLOW_NV_INPUT_US,
    FOLLOW_NV_INFER_US,
    FOLLOW_NV_OUTPUT_US,
    FOLLOW_NV_HITS,
    FOLLOW_NV_MISSES,
    FOLLOW_COUNT,
};

struct tn_model_metrics {
    struct tn_metrics *registry;
    struct tn_model *model;
    struct tn_metric *request_seconds, *queue_seconds, *compute_seconds, *batch_items;
    struct tn_metric *input_bytes, *output_bytes;
    struct tn_metric *pending, *nv_pending, *memory;
    struct tn_metric *followers[FOLLOW_COUNT];
    uint64_t seen[FOLLOW_COUNT];
    bool collecting; /* the registry calls collect() */
};

static const double item_bounds[] = {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024};

static const struct {
    const char *name, *help;
    const char *label, *value; /* a third label, NULL: none */
} follower_rows[FOLLOW_COUNT] = {
#define REQUESTS                                                                                   \
    "tenon_infer_requests_total", "Requests that a model is done with, by what became of them.",   \
        "result"
    [FOLLOW_OK] = {REQUESTS, "ok"},
    [FOLLOW_ERROR] = {REQUESTS, "error"},
    [FOLLOW_REJECTED] = {REQUESTS, "rejected"},
    [FOLLOW_CANCELLED] = {REQUESTS, "cancelled"},
    [FOLLOW_EXPIRED] = {REQUESTS, "expired"},
#undef REQUESTS
#define CACHE "tenon_infer_cache_total", "Look-ups in a model's response cache.", "result"
    [FOLLOW_HIT] = {CACHE, "hit"},
    [FOLLOW_MISS] = {CACHE, "miss"},
#undef CACHE
    [FOLLOW_NV_SUCCESS] = {"nv_inference_request_success",
                           "Number of successful inference requests, all batch sizes"},
#define FAILURE                                                                                    \
    "nv_inference_request_failure", "Number of failed inference requests, all batch sizes", "reason"
    [FOLLOW_NV_REJECTED] = {FAILURE, "REJECTED"},
    [FOLLOW_NV_CANCELED] = {FAILURE, "CANCELED"},
    [FOLLOW_NV_BACKEND] = {FAILURE, "BACKEND"},
    [FOLLOW_NV_OTHER] = {FAILURE, "OTHER"},
#undef FAILURE
    [FOLLOW_NV_COUNT] = {"nv_inference_count",
                         "Number of inferences performed (does not include cached requests)"},
    [FOLLOW_NV_EXEC_COUNT] = {"nv_inference_exec_count",
                              "Number of model executions performed (does not include cached "
                              "requests)"},
    [FOLLOW_NV_REQUEST_US] = {"nv_inference_request_duration_us",
                              "Cumulative inference request duration in microseconds (includes "
                              "cached requests)"},
    [FOLLOW_NV_QUEUE_US] = {"nv_inference_queue_duration_us",
                            "Cumulative inference queuing duration in microseconds (includes "
                            "cached requests)"},
    [FOLLOW_NV_INPUT_US] = {"nv_inference_compute_input_duration_us",
                            "Cumulative compute input duration in microseconds (does not include "
                            "cached requests)"},
    [FOLLOW_NV_INFER_US] = {"nv_inference_compute_infer_duration_us",
                            "Cumulative compute inference duration in microseconds (does not "
                            "include cached requests)"},
    [FOLLOW_NV_OUTPUT_US] = {"nv_inference_compute_output_duration_us",
                             "Cumulative inference compute output duration in microseconds (does "
                             "not include cached requests)"},
    [FOLLOW_NV_HITS] = {"nv_cache_num_hits_per_model", "Number of cache hits per model"},
    [FOLLOW_NV_MISSES] = {"nv_cache_num_misses_per_model", "Number of cache misses per model"},
};

/* --- At a scrape --- */
static void totals_of(const struct tn_model *model, uint64_t totals[FOLLOW_COUNT])
{
    struct tn_model_stats stats;
    tn_model_stats(model, &stats);
    uint64_t expired = atomic_load_explicit(&model->expired, memory_order_relaxed);
    totals[FOLLOW_OK] = totals[FOLLOW_NV_SUCCESS] = stats.success_count;
    totals[FOLLOW_ERROR] = totals[FOLLOW_NV_BACKEND] = stats.fail_count;
    totals[FOLLOW_REJECTED] = totals[FOLLOW_NV_REJECTED] = stats.rejected_count;
    totals[FOLLOW_CANCELLED] = totals[FOLLOW_NV_CANCELED] = stats.cancelled_count;
    totals[FOLLOW_EXPIRED] = totals[FOLLOW_NV_OTHER] = expired;
    totals[FOLLOW_HIT] = totals[FOLLOW_NV_HITS] = stats.cache_hit_count;
    totals[FOLLOW_MISS] = totals[FOLLOW_NV_MISSES] = stats.cache_miss_count;
    totals[FOLLOW_NV_COUNT] = stats.inference_count;
    totals[FOLLOW_NV_EXEC_COUNT] = stats.execution_count;
    totals[FOLLOW_NV_REQUEST_US] = stats.success_ns / 1000;
    totals[FOLLOW_NV_QUEUE_US] = stats.queue_ns / 1000;
    totals[FOLLOW_NV_INPUT_US] = stats.compute_input_ns / 1000;
    totals[FOLLOW_NV_INFER_US] = stats.compute_infer_ns / 1000;
    totals[FOLLOW_NV_OUTPUT_US] = stats.compute_output_ns / 1000;
}

static void collect(void *context)
{
    struct tn_model_metrics *metrics = context;
    uint64_t totals[FOLLOW_COUNT];
    totals_of(metrics->model, totals);
    for (size_t i = 0; i < FOLLOW_COUNT; i++) {
        tn_metric_count(metrics->followers[i], totals[i] - metrics->seen[i]);
        metrics->seen[i] = totals[i];
    }
    double pending = (double)atomic_load_explicit(&metrics->model->pending, memory_order_relaxed);
    tn_metric_set(metrics->pending, pending);
    tn_metric_set(metrics->nv_pending, pending);
}

/* --- At the end of a run --- */
static uint64_t bytes_of(const struct tn_tensor *tensors, size_t count)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
        bytes += tensors[i].data.size;
    }
    return bytes;
}

/* With the trace that shows an example, when there is one. */
static void observe_request(struct tn_metric *seconds, const struct tn_infer_job *job)
{
    double spent = 1e-9 * (double)(job->ended_ns - job->queued_ns);
    if (job->trace != NULL) {
        tn_metric_observe_traced(seconds, spent, job->trace->trace_id, job->trace->span_id);
    } else {
        tn_metric_observe(seconds, spent);
    }
}

void tn_model_metrics_ran(struct tn_model_metrics *metrics, struct tn_infer_job *const *jobs,
                          size_t count, uint64_t items)
{
    if (metrics == NULL) {
        return;
    }
    uint64_t taken = 0, given = 0;
    for (size_t i = 0; i < count; i++) {
        const struct tn_infer_job *job = jobs[i];
        observe_request(metrics->request_seconds, job);
        tn_metric_observe(metrics->queue_seconds,
                          1e-9 * (double)(job->started_ns - job->queued_ns));
        taken += bytes_of(job->inputs, job->input_count);
        given += job->fault.code == TN_OK ? bytes_of(job->outputs, job->output_count) : 0;
    }
    uint64_t run_ns = jobs[0]->infer_done_ns - jobs[0]->input_done_ns;
    tn_metric_observe(metrics->compute_seconds, 1e-9 * (double)run_ns);
    tn_metric_observe(metrics->batch_items, (double)items);
    tn_metric_count(metrics->input_bytes, taken);
    tn_metric_count(metrics->output_bytes, given);
}

/* --- Life --- */
struct maker {
    struct tn_metrics *registry;
    struct tn_str values[LABELS_MAX];
    enum tn_err err;
};

static struct tn_metric *series_make(struct maker *maker, struct tn_metric_options options)
{
    struct tn_metric_family *family;
    struct tn_metric *metric = NULL;
    options.labels[0] = "model";
    options.labels[1] = "version";
    if (options.kind == TN_METRIC_HISTOGRAM && options.bounds == NULL) {
        options.bounds = tn_metric_seconds_bounds;
        options.bound_count = tn_metric_seconds_bound_count;
    }
    if (maker->err == TN_OK) {
        maker->err = tn_metrics_family(maker->registry, &options, &family);
    }
    if (maker->err == TN_OK) {
        maker->err = tn_metric_series(family, maker->values, &metric);
    }
    return metric;
}

static void histograms_make(struct tn_model_metrics *metrics, struct maker *maker)
{
    metrics->request_seconds =
        series_make(maker, (struct tn_metric_options){
                               .kind = TN_METRIC_HISTOGRAM,
                               .name = "tenon_infer_request_seconds",
                               .help = "Time of a request in the model: queue, run and outputs.",
                               .exemplars = true});
    metrics->queue_seconds =
        series_make(maker, (struct tn_metric_options){.kind = TN_METRIC_HISTOGRAM,
                                                      .name = "tenon_infer_queue_seconds",
                                                      .help = "Time of a request in the queue."});
    metrics->compute_seconds =
        series_make(maker, (struct tn_metric_options){.kind = TN_METRIC_HISTOGRAM,
                                                      .name = "tenon_infer_compute_seconds",
                                                      .help = "Time of one run of the model, "
                                                              "whatever its batch."});
    metrics->batch_items =
        series_make(maker, (struct tn_metric_options){.kind = TN_METRIC_HISTOGRAM,
                                                      .name = "tenon_infer_batch_items",
                                                      .help = "Items that ran together.",
                                                      .bounds = item_bounds,
                                                      .bound_count = TN_COUNT(item_bounds)});
}

static void values_make(struct tn_model_metrics *metrics, struct maker *maker)
{
    metrics->input_bytes =
        series_make(maker, (struct tn_metric_options){.name = "tenon_infer_input_bytes_total",
                                                      .help = "Bytes of tensors taken in.",
                                                      .sharded = true});
    metrics->output_bytes =
        series_make(maker, (struct tn_metric_options){.name = "tenon_infer_output_bytes_total",
                                                      .help = "Bytes of tensors given out.",
                                                      .sharded = true});
    metrics->pending =
        series_make(maker, (struct tn_metric_options){.kind = TN_METRIC_GAUGE,
                                                      .name = "tenon_infer_pending_requests",
                                                      .help = "Requests that wait in the queue."});
    metrics->nv_pending = series_make(
        maker,
        (struct tn_metric_options){
            .kind = TN_METRIC_GAUGE,
            .name = "nv_inference_pending_request_count",
            .help = "Instantaneous number of pending requests awaiting execution per-model"});
    metrics->memory = series_make(
        maker, (struct tn_metric_options){.kind = TN_METRIC_GAUGE,
                                          .name = "tenon_infer_model_memory_bytes",
                                          .help = "Growth of resident memory when the model was "
                                                  "loaded."});
}

static void followers_make(struct tn_model_metrics *metrics, struct maker *maker)
{
    for (size_t i = 0; i < FOLLOW_COUNT; i++) {
        struct tn_metric_options options = {.name = follower_rows[i].name,
                                            .help = follower_rows[i].help};
        options.labels[2] = follower_rows[i].label;
        maker->values[2] = tn_str_from(follower_rows[i].value);
        metrics->followers[i] = series_make(maker, options);
    }
}

enum tn_err tn_model_metrics_create(struct tn_metrics *registry, struct tn_model *model,
                                    struct tn_model_metrics **ret_metrics, struct tn_fault *fault)
{
    if (registry == NULL) {
        *ret_metrics = NULL;
        return TN_OK;
    }
    struct tn_model_metrics *metrics = tn_mem_take_zeroed(1, sizeof(*metrics));
    if (metrics == NULL) {
        return tn_fault_set(fault, TN_NOMEM, "no memory for the model's metrics");
    }
    metrics->registry = registry;
    metrics->model = model;
    char version[24];
    int size = snprintf(version, sizeof(version), "%llu", (unsigned long long)model->info.version);
    struct maker maker = {.registry = registry,
                          .values = {model->info.name, tn_str_make(version, (size_t)size)}};
    histograms_make(metrics, &maker);
    values_make(metrics, &maker);
    followers_make(metrics, &maker);
    if (maker.err == TN_OK) {
        tn_metric_set(metrics->memory, (double)model->info.memory_bytes);
        maker.err = tn_metrics_on_collect(registry, collect, metrics);
        metrics->collecting = maker.err == TN_OK;
    }
    if (maker.err != TN_OK) {
        tn_model_metrics_destroy(metrics);
        return tn_fault_set(fault, maker.err, "the model's metrics: %s", tn_err_name(maker.err));
    }
    *ret_metrics = metrics;
    return TN_OK;
}

void tn_model_metrics_destroy(struct tn_model_metrics *metrics)
{
    if (metrics == NULL) {
        return;
    }
    if (metrics->collecting) {
        tn_metrics_off_collect(metrics->registry, collect, metrics);
    }
    struct tn_metric *const series[] = {
        metrics->request_seconds, metrics->queue_seconds, metrics->compute_seconds,
        metrics->batch_items,     metrics->input_bytes,   metrics->output_bytes,
        metrics->pending,         metrics->nv_pending,    metrics->memory,
    };
    for (size_t i = 0; i < TN_COUNT(series); i++) {
        tn_metric_retire(series[i]);
    }
    for (size_t i = 0; i < FOLLOW_COUNT; i++) {
        tn_metric_retire(metrics->followers[i]);
    }
    tn_mem_give(metrics);
}
