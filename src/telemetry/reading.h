/* The reading side of the registry: how an encoder sees families and series.
 *
 *   collect (gauges refreshed) -> visit family, its series in order -> next family -> ... DONE
 *
 * One call visits one family, under the registry's lock: updates go on, while look-ups and retires
 * wait for microseconds. Families come in the order of their names, series in the order of their
 * label values, so two scrapes of the same state are the same bytes. Threads: any. */
#ifndef TN_TELEMETRY_READING_H
#define TN_TELEMETRY_READING_H

#include "telemetry/metrics.h"

struct tn_exemplar {
    uint8_t trace_id[16]; /* all zero: there is none */
    uint8_t span_id[8];
    double value;
};

struct tn_metric_reading {
    const struct tn_str *values;         /* as many as the family has labels; valid UTF-8 */
    double value;                        /* counter and gauge; histogram: the sum */
    uint64_t count;                      /* histogram: observations */
    const uint64_t *buckets;             /* histogram: bound_count + 1, not cumulative */
    const struct tn_exemplar *exemplars; /* one a bucket, counter: one; NULL: not kept */
    uint64_t created_ns; /* wall time at which it was still zero; 0: before the first collection */
};

struct tn_metric_visitor {
    void (*family)(void *context, const struct tn_metric_options *family, size_t series_count);
    void (*series)(void *context, const struct tn_metric_options *family,
                   const struct tn_metric_reading *reading);
    void *context;
};

/* Runs the functions registered with tn_metrics_on_collect. `wall_ns` becomes the time of creation
 * of series that appear before the next collection. */
void tn_metrics_collect(struct tn_metrics *metrics, uint64_t wall_ns);

struct tn_metric_cursor {
    const char *after; /* name of the family visited last; NULL: start */
};

/* Visits the next family. TN_AGAIN: visited one. TN_DONE: there is no further one. Views are valid
 * inside the visitor's functions, which must not call into the registry. */
TN_MUST enum tn_err tn_metrics_visit(struct tn_metrics *metrics, struct tn_metric_cursor *cursor,
                                     const struct tn_metric_visitor *visitor);

#endif
