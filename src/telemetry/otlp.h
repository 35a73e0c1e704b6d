/* The registry and the spans as OTLP messages, for tn_pb_size and tn_pb_encode.
 *
 *   tn_otlp_metrics_next --> one request (some families) --> ... --> DONE
 *   tn_otlp_spans        --> one request
 *
 * Names stay as Prometheus has them, and the unit is told beside (`_seconds`: "s", `_bytes`: "By").
 * Counters are monotonic cumulative sums, histograms have explicit bounds; a series that appeared
 * later starts at its own creation time, so that a model that was reloaded is not a fall.
 * Memory: everything in the caller's arena, valid until it is reset; bounds are the families' own.
 * Threads: any. Bounds: TN_OTLP_FAMILIES_MAX families or about TN_OTLP_POINTS_SOFT points a
 * request, whichever comes first; a family is not split. */
#ifndef TN_TELEMETRY_OTLP_H
#define TN_TELEMETRY_OTLP_H

#include "core/arena.h"
#include "telemetry/reading.h"
#include "telemetry/trace.h"

struct tn_otlp_export_metrics_service_request; /* proto/otlp.pb.h */
struct tn_otlp_export_trace_service_request;

enum { TN_OTLP_FAMILIES_MAX = 64, TN_OTLP_POINTS_SOFT = 2000 };

struct tn_otlp_attribute {
    struct tn_str key;
    struct tn_str value;
};

/* Who speaks: outlives the requests. */
struct tn_otlp_source {
    const struct tn_otlp_attribute *resource; /* service.name, service.version... */
    size_t resource_count;
    struct tn_str scope_name; /* "tenon" */
    struct tn_str scope_version;
    uint64_t start_ns; /* wall time of the program's start */
};

/* The next families as one request. TN_AGAIN: there are more. TN_DONE: these were the last; the
 * request may be empty (resource_metrics_count 0). TN_NOMEM. */
TN_MUST enum tn_err tn_otlp_metrics_next(
    struct tn_metrics *metrics, const struct tn_otlp_source *source,
    struct tn_metric_cursor *cursor, uint64_t now_ns, struct tn_arena *arena,
    struct tn_otlp_export_metrics_service_request *ret_request);

/* Views of `spans`, which must outlive the request. TN_NOMEM. */
TN_MUST enum tn_err tn_otlp_spans(const struct tn_span *spans, size_t count,
                                  const struct tn_otlp_source *source, struct tn_arena *arena,
                                  struct tn_otlp_export_trace_service_request *ret_request);

#endif
