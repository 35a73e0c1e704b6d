/* What the server counts about itself, in the one metrics registry.
 *
 *   tenon_rpc_connections                    gauge
 *   tenon_rpc_calls_total{kind,code}         code: "OK", "NOT_FOUND", ... or "200", "404", ...
 *   tenon_rpc_call_seconds{kind,route}       histogram, headers complete to answer queued
 *   tenon_rpc_received_bytes_total, tenon_rpc_sent_bytes_total
 *   tenon_rpc_refused_total{cause}           every limit that bit
 *
 * All series are looked up at start, so a call costs relaxed adds only.
 * Memory: one struct a server. Threads: any. */
#ifndef TN_RPC_METER_H
#define TN_RPC_METER_H

#include "rpc/router.h"

struct tn_metrics;
struct tn_metric;
struct tn_metric_family;

enum tn_refusal {
    TN_REFUSAL_CONNECTIONS,
    TN_REFUSAL_STREAMS,
    TN_REFUSAL_HEADER_BYTES,
    TN_REFUSAL_BODY_BYTES,
    TN_REFUSAL_BUFFERED_BYTES,
    TN_REFUSAL_HEADER_TIMEOUT,
    TN_REFUSAL_BODY_TIMEOUT,
    TN_REFUSAL_WRITE_TIMEOUT,
    TN_REFUSAL_TLS_TIMEOUT,
    TN_REFUSAL_RESETS,
    TN_REFUSAL_CONTROL_FRAMES,
    TN_REFUSAL_PROTOCOL,
    TN_REFUSAL_TLS,
    TN_REFUSAL_DRAINING,
    TN_REFUSAL_MEMORY,
    TN_REFUSAL_COUNT,
};

enum { TN_METER_GRPC_CODES = 17, TN_METER_HTTP_CODES = 24 };

struct tn_meter {
    struct tn_metric *connections; /* all of these NULL without a registry */
    struct tn_metric *received_bytes;
    struct tn_metric *sent_bytes;
    struct tn_metric *refused[TN_REFUSAL_COUNT];
    struct tn_metric *grpc_calls[TN_METER_GRPC_CODES];
    struct tn_metric *http_calls[TN_METER_HTTP_CODES];
    struct tn_metric *lost[2]; /* calls without a route, by kind */
    struct tn_metric_family *seconds;
};

/* NULL metrics: counts nothing. */
TN_MUST enum tn_err tn_meter_init(struct tn_meter *meter, struct tn_metrics *metrics);
void tn_meter_deinit(struct tn_meter *meter);

/* The histogram of a new route; stays NULL without a registry. */
TN_MUST enum tn_err tn_meter_route(struct tn_meter *meter, struct tn_route *route);

void tn_meter_refused(const struct tn_meter *meter, enum tn_refusal cause);
void tn_meter_connection(const struct tn_meter *meter, int change);
void tn_meter_bytes(const struct tn_meter *meter, size_t received, size_t sent);
/* `code`: a gRPC or an HTTP status. `route` may be NULL. */
void tn_meter_call(const struct tn_meter *meter, enum tn_call_kind kind, unsigned code,
                   const struct tn_route *route, uint64_t duration_ns);

#endif
