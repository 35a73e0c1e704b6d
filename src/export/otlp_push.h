/* Sends metrics and spans to an OpenTelemetry collector, over gRPC or HTTP (protobuf).
 *
 *   metrics: timer -> collect -> [some families -> request -> push] a step a turn -> timer
 *   spans:   timer -> [up to SPANS_BATCH of the tracer's ring -> request -> push] -> timer
 *
 * The target's scheme chooses: grpc:// calls MetricsService and TraceService, http:// posts to
 * <path>/v1/metrics and <path>/v1/traces, as the standard has it. Retries, bounds and counts: see
 * export/push.h; a body is given up after five tries. Spans stay in the tracer's ring, which drops
 * and counts, while the queue is full.
 * Memory: queues and an arena of a step. Threads: the loop's, create and destroy too (or with the
 * loop stopped). */
#ifndef TN_EXPORT_OTLP_PUSH_H
#define TN_EXPORT_OTLP_PUSH_H

#include "export/push.h"

struct tn_otlp_push;
struct tn_otlp_source;
struct tn_tracer;

struct tn_otlp_push_options {
    struct tn_loop *loop;
    const char *url; /* "grpc://collector:4317", "http://collector:4318" */
    const char *ca_file;
    const struct tn_header *headers; /* copied */
    size_t header_count;
    struct tn_metrics *metrics;          /* NULL: no metrics are sent */
    struct tn_tracer *tracer;            /* NULL: no spans are sent */
    const struct tn_otlp_source *source; /* outlives the push */
    uint64_t metrics_interval_ns;        /* [60 s] */
    uint64_t spans_interval_ns;          /* [5 s] */
    uint64_t timeout_ns;                 /* [10 s] */
};

TN_MUST enum tn_err tn_otlp_push_create(const struct tn_otlp_push_options *options,
                                        struct tn_otlp_push **ret_push, struct tn_fault *fault);

/* Sends what is there now without waiting for the interval: before a program ends. */
void tn_otlp_push_flush(struct tn_otlp_push *push);
void tn_otlp_push_destroy(struct tn_otlp_push *push); /* NULL accepted */

/* How far each is; zero for what is not sent. */
struct tn_push_counts tn_otlp_push_count_metrics(const struct tn_otlp_push *push);
struct tn_push_counts tn_otlp_push_count_spans(const struct tn_otlp_push *push);

#endif
