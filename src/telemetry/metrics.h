/* Metrics in memory: counters, gauges and histograms in families with labels.
 *
 *   tn_metrics --> family ("tenon_requests_total", labels model, version) --> series --> value
 *
 * Names follow Prometheus conventions (base units, `_total`). A series handle is looked up once and
 * then updated by relaxed atomics, without a lock: a counter costs one add, a histogram one search
 * in its bounds and three adds. Values are sharded by thread when a family asks for it. Limits:
 * `series_max` a family; beyond it everything lands in one series whose labels are "_other", and
 * the registry counts it. Series can be retired (a model was unloaded): a retired series leaves the
 * output and its memory is reused. Threads: any, for all functions. */
#ifndef TN_TELEMETRY_METRICS_H
#define TN_TELEMETRY_METRICS_H

#include "base/fault.h"

enum tn_metric_kind { TN_METRIC_COUNTER, TN_METRIC_GAUGE, TN_METRIC_HISTOGRAM };

enum {
    TN_METRIC_LABELS_MAX = 8,
    TN_METRIC_BOUNDS_MAX = 64,
    TN_METRIC_NAME_MAX = 128,  /* bytes of a family's name */
    TN_METRIC_VALUE_MAX = 256, /* bytes of a label value */
};

struct tn_metrics;
struct tn_metric_family;
struct tn_metric; /* one series */

TN_MUST enum tn_err tn_metrics_create(struct tn_metrics **ret_metrics);
void tn_metrics_destroy(struct tn_metrics *metrics);

struct tn_metric_options {
    enum tn_metric_kind kind;
    const char *name;                         /* static text, [a-zA-Z_:][a-zA-Z0-9_:]* */
    const char *help;                         /* static text */
    const char *labels[TN_METRIC_LABELS_MAX]; /* static names, NULL ends them */
    const double *bounds; /* histogram: upper bounds, ascending, without +Inf; static */
    size_t bound_count;
    size_t series_max; /* 0: 1000 */
    bool exemplars;    /* histogram and counter: keep the newest exemplar a bucket */
    bool sharded;      /* counter: a cell per thread, for counters that many threads raise at once.
                          Histograms are always sharded, gauges never */
};

/* Bounds for durations in seconds: 1-2.5-5 steps from 10 us to 10 s. */
extern const double tn_metric_seconds_bounds[];
extern const size_t tn_metric_seconds_bound_count;

/* Registers a family, or returns the one with the same name and shape. TN_EXISTS when the name is
 * taken by another shape; TN_INVALID for a name, label or bound that is against the rules above. */
TN_MUST enum tn_err tn_metrics_family(struct tn_metrics *metrics,
                                      const struct tn_metric_options *options,
                                      struct tn_metric_family **ret_family);

/* The series with these label values (as many as the family has labels; copied). The handle holds a
 * reference: give it back with tn_metric_retire. TN_NOMEM. */
TN_MUST enum tn_err tn_metric_series(struct tn_metric_family *family, const struct tn_str *values,
                                     struct tn_metric **ret_metric);
void tn_metric_retire(struct tn_metric *metric); /* NULL accepted */

void tn_metric_add(struct tn_metric *metric, double amount);     /* counter (>= 0), gauge */
void tn_metric_count(struct tn_metric *metric, uint64_t amount); /* counter, integer: fastest */
void tn_metric_set(struct tn_metric *metric, double value);      /* gauge */
void tn_metric_observe(struct tn_metric *metric, double value);  /* histogram; NaN: see below */

/* A NaN counts in the +Inf bucket and stays out of the sum, which it would spoil for ever.
 *
 * With the trace that shows an example of the value (16 and 8 bytes; OpenMetrics exemplar). */
void tn_metric_observe_traced(struct tn_metric *metric, double value, const uint8_t trace_id[16],
                              const uint8_t span_id[8]);
void tn_metric_count_traced(struct tn_metric *metric, uint64_t amount, const uint8_t trace_id[16],
                            const uint8_t span_id[8]);

/* Values now, for statistics endpoints. */
double tn_metric_value(const struct tn_metric *metric); /* histogram: the sum */
uint64_t tn_metric_observations(const struct tn_metric *metric);

/* Called before each collection, to refresh gauges that are read from elsewhere; one collection at
 * a time. After tn_metrics_off_collect returns, `collect` does not run any more: whoever owns
 * `context` calls it first when it goes. Neither may be called inside `collect`. */
TN_MUST enum tn_err tn_metrics_on_collect(struct tn_metrics *metrics,
                                          void (*collect)(void *context), void *context);
void tn_metrics_off_collect(struct tn_metrics *metrics, void (*collect)(void *context),
                            void *context);

#endif
