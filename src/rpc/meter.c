/* The server's own figures; see meter.h. Memory: series of the registry. Threads: any after init.
 * Bounds: a fixed number of series, and one a route. */
#include "rpc/meter.h"

#include "core/assert.h"
#include "rpc/grpc.h"
#include "telemetry/metrics.h"

static const char *const causes[TN_REFUSAL_COUNT] = {
    [TN_REFUSAL_CONNECTIONS] = "connections",
    [TN_REFUSAL_STREAMS] = "streams",
    [TN_REFUSAL_HEADER_BYTES] = "header_bytes",
    [TN_REFUSAL_BODY_BYTES] = "body_bytes",
    [TN_REFUSAL_BUFFERED_BYTES] = "buffered_bytes",
    [TN_REFUSAL_HEADER_TIMEOUT] = "header_timeout",
    [TN_REFUSAL_BODY_TIMEOUT] = "body_timeout",
    [TN_REFUSAL_WRITE_TIMEOUT] = "write_timeout",
    [TN_REFUSAL_TLS_TIMEOUT] = "tls_timeout",
    [TN_REFUSAL_RESETS] = "resets",
    [TN_REFUSAL_CONTROL_FRAMES] = "control_frames",
    [TN_REFUSAL_PROTOCOL] = "protocol",
    [TN_REFUSAL_TLS] = "tls",
    [TN_REFUSAL_DRAINING] = "draining",
    [TN_REFUSAL_MEMORY] = "memory",
};

/* The last one stands for all others. */
static const struct {
    unsigned code;
    struct tn_str text;
} http_codes[TN_METER_HTTP_CODES] = {
    {200, TN_STR("200")}, {400, TN_STR("400")}, {404, TN_STR("404")}, {503, TN_STR("503")},
    {429, TN_STR("429")}, {500, TN_STR("500")}, {201, TN_STR("201")}, {204, TN_STR("204")},
    {304, TN_STR("304")}, {401, TN_STR("401")}, {403, TN_STR("403")}, {405, TN_STR("405")},
    {408, TN_STR("408")}, {409, TN_STR("409")}, {411, TN_STR("411")}, {412, TN_STR("412")},
    {413, TN_STR("413")}, {415, TN_STR("415")}, {417, TN_STR("417")}, {431, TN_STR("431")},
    {499, TN_STR("499")}, {501, TN_STR("501")}, {504, TN_STR("504")}, {0, TN_STR("other")},
};

static const struct tn_str kinds[] = {
    [TN_CALL_HTTP] = TN_STR("http"),
    [TN_CALL_GRPC] = TN_STR("grpc"),
};

/* One series of a family without further labels. */
static enum tn_err single(struct tn_metrics *metrics, const struct tn_metric_options *options,
                          struct tn_metric **ret_metric)
{
    struct tn_metric_family *family = NULL;
    enum tn_err err = tn_metrics_family(metrics, options, &family);
    return err < 0 ? err : tn_metric_series(family, NULL, ret_metric);
}

static enum tn_err init_singles(struct tn_meter *meter, struct tn_metrics *metrics)
{
    const struct tn_metric_options connections = {
        .kind = TN_METRIC_GAUGE,
        .name = "tenon_rpc_connections",
        .help = "Open connections.",
    };
    const struct tn_metric_options received = {
        .kind = TN_METRIC_COUNTER,
        .name = "tenon_rpc_received_bytes_total",
        .help = "Bytes read from sockets.",
    };
    const struct tn_metric_options sent = {
        .kind = TN_METRIC_COUNTER,
        .name = "tenon_rpc_sent_bytes_total",
        .help = "Bytes written to sockets.",
    };
    enum tn_err err = single(metrics, &connections, &meter->connections);
    if (err >= 0) {
        err = single(metrics, &received, &meter->received_bytes);
    }
    if (err >= 0) {
        err = single(metrics, &sent, &meter->sent_bytes);
    }
    return err;
}

static enum tn_err init_refused(struct tn_meter *meter, struct tn_metrics *metrics)
{
    const struct tn_metric_options options = {
        .kind = TN_METRIC_COUNTER,
        .name = "tenon_rpc_refused_total",
        .help = "Connections, requests and frames refused, by the limit that was met.",
        .labels = {"cause"},
    };
    struct tn_metric_family *family = NULL;
    enum tn_err err = tn_metrics_family(metrics, &options, &family);
    for (size_t i = 0; err >= 0 && i < TN_REFUSAL_COUNT; i++) {
        struct tn_str cause = tn_str_from(causes[i]);
        err = tn_metric_series(family, &cause, &meter->refused[i]);
    }
    return err;
}

static enum tn_err init_calls(struct tn_meter *meter, struct tn_metrics *metrics)
{
    const struct tn_metric_options options = {
        .kind = TN_METRIC_COUNTER,
        .name = "tenon_rpc_calls_total",
        .help = "Calls answered, by kind and status.",
        .labels = {"kind", "code"},
    };
    struct tn_metric_family *family = NULL;
    enum tn_err err = tn_metrics_family(metrics, &options, &family);
    for (size_t i = 0; err >= 0 && i < TN_METER_GRPC_CODES; i++) {
        const struct tn_str values[] = {kinds[TN_CALL_GRPC],
                                        tn_grpc_status_name((enum tn_grpc_status)i)};
        err = tn_metric_series(family, values, &meter->grpc_calls[i]);
    }
    for (size_t i = 0; err >= 0 && i < TN_METER_HTTP_CODES; i++) {
        const struct tn_str values[] = {kinds[TN_CALL_HTTP], http_codes[i].text};
        err = tn_metric_series(family, values, &meter->http_calls[i]);
    }
    return err;
}

static enum tn_err init_seconds(struct tn_meter *meter, struct tn_metrics *metrics)
{
    const struct tn_metric_options options = {
        .kind = TN_METRIC_HISTOGRAM,
        .name = "tenon_rpc_call_seconds",
        .help = "From complete headers to the queued answer.",
        .labels = {"kind", "route"},
        .bounds = tn_metric_seconds_bounds,
        .bound_count = tn_metric_seconds_bound_count,
    };
    enum tn_err err = tn_metrics_family(metrics, &options, &meter->seconds);
    for (size_t i = 0; err >= 0 && i < TN_COUNT(kinds); i++) {
        const struct tn_str values[] = {kinds[i], TN_STR("")};
        err = tn_metric_series(meter->seconds, values, &meter->lost[i]);
    }
    return err;
}

enum tn_err tn_meter_init(struct tn_meter *meter, struct tn_metrics *metrics)
{
    *meter = (struct tn_meter){0};
    if (metrics == NULL) {
        return TN_OK;
    }
    enum tn_err err = init_singles(meter, metrics);
    if (err >= 0) {
        err = init_refused(meter, metrics);
    }
    if (err >= 0) {
        err = init_calls(meter, metrics);
    }
    if (err >= 0) {
        err = init_seconds(meter, metrics);
    }
    if (err < 0) {
        tn_meter_deinit(meter);
    }
    return err;
}

void tn_meter_deinit(struct tn_meter *meter)
{
    if (meter == NULL) {
        return;
    }
    tn_metric_retire(meter->connections);
    tn_metric_retire(meter->received_bytes);
    tn_metric_retire(meter->sent_bytes);
    for (size_t i = 0; i < TN_REFUSAL_COUNT; i++) {
        tn_metric_retire(meter->refused[i]);
    }
    for (size_t i = 0; i < TN_METER_GRPC_CODES; i++) {
        tn_metric_retire(meter->grpc_calls[i]);
    }
    for (size_t i = 0; i < TN_METER_HTTP_CODES; i++) {
        tn_metric_retire(meter->http_calls[i]);
    }
    for (size_t i = 0; i < TN_COUNT(meter->lost); i++) {
        tn_metric_retire(meter->lost[i]);
    }
    *meter = (struct tn_meter){0};
}

enum tn_err tn_meter_route(struct tn_meter *meter, struct tn_route *route)
{
    if (meter->seconds == NULL) {
        return TN_OK;
    }
    const struct tn_str values[] = {kinds[route->kind], route->path};
    return tn_metric_series(meter->seconds, values, &route->seconds);
}

void tn_meter_refused(const struct tn_meter *meter, enum tn_refusal cause)
{
    if (meter->refused[cause] != NULL) {
        tn_metric_count(meter->refused[cause], 1);
    }
}

void tn_meter_connection(const struct tn_meter *meter, int change)
{
    if (meter->connections != NULL) {
        tn_metric_add(meter->connections, change);
    }
}

void tn_meter_bytes(const struct tn_meter *meter, size_t received, size_t sent)
{
    if (meter->received_bytes != NULL && received > 0) {
        tn_metric_count(meter->received_bytes, received);
    }
    if (meter->sent_bytes != NULL && sent > 0) {
        tn_metric_count(meter->sent_bytes, sent);
    }
}

static struct tn_metric *calls_of(const struct tn_meter *meter, enum tn_call_kind kind,
                                  unsigned code)
{
    if (kind == TN_CALL_GRPC) {
        return meter->grpc_calls[code < TN_METER_GRPC_CODES ? code : TN_GRPC_UNKNOWN];
    }
    size_t at = 0;
    while (at + 1 < TN_METER_HTTP_CODES && http_codes[at].code != code) {
        at++;
    }
    return meter->http_calls[at];
}

void tn_meter_call(const struct tn_meter *meter, enum tn_call_kind kind, unsigned code,
                   const struct tn_route *route, uint64_t duration_ns)
{
    if (meter->seconds == NULL) {
        return;
    }
    tn_metric_count(calls_of(meter, kind, code), 1);
    struct tn_metric *seconds = route != NULL ? route->seconds : meter->lost[kind];
    tn_metric_observe(seconds, (double)duration_ns * 1e-9);
}
