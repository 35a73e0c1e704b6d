/* Encodes the registry for a scrape: Prometheus text 0.0.4 and OpenMetrics 1.0.
 *
 *   tn_prometheus_next --> one family --> ... --> (# EOF) DONE
 *
 * One call appends one family, so that a large registry leaves in pieces and the registry is locked
 * for one family at a time. Order: families by name, series by label values: two encodings of one
 * state are the same bytes. HELP and TYPE once a family, also for one without a series.
 *
 * OpenMetrics insists that a counter's sample ends in _total. A counter whose name does not (the
 * nv_inference_* names, which dashboards know) is shown there with type "unknown" and keeps its
 * name. Exemplars appear in OpenMetrics only.
 * Cost: a histogram series of 19 bounds is about 2.2 KB and takes about 2 us.
 * Memory: the caller's buffer. Threads: any. */
#ifndef TN_TELEMETRY_PROMETHEUS_H
#define TN_TELEMETRY_PROMETHEUS_H

#include "base/buf.h"
#include "telemetry/reading.h"

enum tn_prometheus_format { TN_PROMETHEUS_TEXT, TN_PROMETHEUS_OPENMETRICS };

struct tn_prometheus {
    struct tn_metrics *metrics;
    enum tn_prometheus_format format;
    bool created; /* OpenMetrics: *_created samples too, where the time is known */
    struct tn_metric_cursor cursor; /* zero at the start */
};

/* For the header of the answer. Static. */
struct tn_str tn_prometheus_content_type(enum tn_prometheus_format format);

/* Appends the next family. TN_AGAIN: call again. TN_DONE: that was all (the end mark is written).
 * TN_NOMEM, TN_LIMIT: the buffer failed. */
TN_MUST enum tn_err tn_prometheus_next(struct tn_prometheus *encoder, struct tn_buf *buf);

/* Appends everything. TN_OK, TN_NOMEM, TN_LIMIT. */
TN_MUST enum tn_err tn_prometheus_encode(struct tn_metrics *metrics,
                                         enum tn_prometheus_format format, struct tn_buf *buf);

#endif
