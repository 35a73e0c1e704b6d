/* The periodic OTLP exporter; see otlp_push.h.
 *
 *   metrics: RESTING --interval--> COLLECTING --a request a turn--> RESTING
 *   spans:   RESTING --interval--> DRAINING --a batch a turn, while the queue has room--> RESTING
 */
#include "export/otlp_push.h"

#include "base/clock.h"
#include "base/mem.h"
#include "core/assert.h"
#include "export/target.h"
#include "proto/otlp.pb.h"
#include "telemetry/otlp.h"

#include <stdio.h>

enum {
    SPANS_BATCH = 256,
    QUEUE_BODIES = 32,
    QUEUE_BYTES = 32 << 20,
    ATTEMPTS = 5,
    ARENA_CHUNK = 64 << 10,
    ARENA_MAX = 128 << 20,
    HEADERS_MAX = 16,
};

struct tn_otlp_push {
    struct tn_otlp_push_options options;
    struct tn_target target;
    struct tn_push *metrics;
    struct tn_timer metrics_timer;
    struct tn_metric_cursor cursor;
    bool collecting;
    uint64_t wall_ns;        /* of the round */
    uint64_t metrics_due_ns; /* of the next one */
    struct tn_push *spans;
    struct tn_timer spans_timer;
    struct tn_span *batch;
};

/* The arena of one step: rounds are seconds apart, so nothing is kept in between. */
static void arena_open(struct tn_arena *arena)
{
    tn_arena_init(arena, &(struct tn_arena_options){.source = tn_mem_source(),
                                                    .chunk_size = ARENA_CHUNK,
                                                    .size_max = ARENA_MAX});
}

/* Encodes a message and queues it. */
static enum tn_err message_send(struct tn_push *to, const struct tn_pb_message *message,
                                const void *object, size_t items)
{
    size_t size = tn_pb_size(message, object);
    struct tn_block *body;
    enum tn_err err = tn_block_create(size, &body);
    if (err != TN_OK) {
        return err;
    }
    tn_pb_encode(message, object, body->data, size);
    body->size = size;
    err = tn_push_send(to, body, items);
    if (err != TN_OK) {
        tn_block_unref(body);
    }
    return err;
}

/* --- Metrics --- */
static size_t points_in(const struct tn_otlp_export_metrics_service_request *request)
{
    size_t count = 0;
    const struct tn_otlp_scope_metrics *scope = request->resource_metrics->scope_metrics;
    for (size_t i = 0; i < scope->metrics_count; i++) {
        const struct tn_otlp_metric *metric = &scope->metrics[i];
        count += metric->data == TN_OTLP_METRIC_SUM     ? metric->sum->data_points_count
                 : metric->data == TN_OTLP_METRIC_GAUGE ? metric->gauge->data_points_count
                                                        : metric->histogram->data_points_count;
    }
    return count;
}

/* One request; false when the round is over, or memory is short: the next round tells it all. */
static bool metrics_request(struct tn_otlp_push *push)
{
    struct tn_arena arena;
    struct tn_otlp_export_metrics_service_request request = {0};
    arena_open(&arena);
    enum tn_err more = tn_otlp_metrics_next(push->options.metrics, push->options.source,
                                            &push->cursor, push->wall_ns, &arena, &request);
    enum tn_err err = more < 0 ? more : TN_OK;
    if (err == TN_OK && request.resource_metrics_count > 0) {
        err = message_send(push->metrics, &tn_otlp_export_metrics_service_request_pb, &request,
                           points_in(&request));
    }
    tn_arena_deinit(&arena);
    return err == TN_OK && more == TN_AGAIN;
}

static void metrics_step(struct tn_timer *timer)
{
    struct tn_otlp_push *push = TN_CONTAINER(timer, struct tn_otlp_push, metrics_timer);
    uint64_t now_ns = tn_loop_now_ns(timer->loop);
    if (!push->collecting) {
        push->wall_ns = tn_clock_wall_ns();
        tn_metrics_collect(push->options.metrics, push->wall_ns);
        push->collecting = true;
        push->cursor = (struct tn_metric_cursor){0};
        push->metrics_due_ns = now_ns + push->options.metrics_interval_ns;
    }
    push->collecting = metrics_request(push);
    tn_timer_arm(timer, push->collecting ? now_ns : push->metrics_due_ns);
}

/* --- Spans --- */
static size_t spans_send(struct tn_otlp_push *push)
{
    struct tn_push_counts counts = tn_push_count(push->spans);
    if (counts.bodies == QUEUE_BODIES) {
        return 0; /* leave them in the ring, which counts what it must drop */
    }
    size_t count = tn_tracer_drain(push->options.tracer, push->batch, SPANS_BATCH);
    if (count == 0) {
        return 0;
    }
    struct tn_arena arena;
    struct tn_otlp_export_trace_service_request request = {0};
    arena_open(&arena);
    enum tn_err err = tn_otlp_spans(push->batch, count, push->options.source, &arena, &request);
    if (err == TN_OK) {
        err = message_send(push->spans, &tn_otlp_export_trace_service_request_pb, &request, count);
    }
    tn_arena_deinit(&arena);
    if (err != TN_OK) {
        tn_push_drop(push->spans, count);
    }
    return count;
}

static void spans_step(struct tn_timer *timer)
{
    struct tn_otlp_push *push = TN_CONTAINER(timer, struct tn_otlp_push, spans_timer);
    uint64_t now_ns = tn_loop_now_ns(timer->loop);
    bool more = spans_send(push) == SPANS_BATCH;
    tn_timer_arm(timer, more ? now_ns : now_ns + push->options.spans_interval_ns);
}

/* --- Answers: what the collector took only in part --- */
enum { ANSWER_ARENA = 4096 };

static size_t metrics_rejected(struct tn_bytes answer)
{
    _Alignas(16) uint8_t memory[ANSWER_ARENA];
    struct tn_arena arena;
    struct tn_otlp_export_metrics_service_response response;
    tn_arena_init(&arena, &(struct tn_arena_options){.first = memory, .first_size = ANSWER_ARENA});
    enum tn_err err =
        tn_pb_decode(&tn_otlp_export_metrics_service_response_pb, answer, &arena, &response);
    bool partly = err == TN_OK && response.partial_success != NULL &&
                  response.partial_success->rejected_data_points > 0;
    return partly ? (size_t)response.partial_success->rejected_data_points : 0;
}

static size_t spans_rejected(struct tn_bytes answer)
{
    _Alignas(16) uint8_t memory[ANSWER_ARENA];
    struct tn_arena arena;
    struct tn_otlp_export_trace_service_response response;
    tn_arena_init(&arena, &(struct tn_arena_options){.first = memory, .first_size = ANSWER_ARENA});
    enum tn_err err =
        tn_pb_decode(&tn_otlp_export_trace_service_response_pb, answer, &arena, &response);
    bool partly = err == TN_OK && response.partial_success != NULL &&
                  response.partial_success->rejected_spans > 0;
    return partly ? (size_t)response.partial_success->rejected_spans : 0;
}

/* --- Life --- */
struct signal {
    const char *name;
    struct tn_str grpc_path;
    const char *http_path;
    size_t (*rejected_in)(struct tn_bytes answer);
};

static const struct signal metrics_signal = {
    .name = "otlp_metrics",
    .grpc_path = TN_STR("/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"),
    .http_path = "/v1/metrics",
    .rejected_in = metrics_rejected,
};

static const struct signal spans_signal = {
    .name = "otlp_spans",
    .grpc_path = TN_STR("/opentelemetry.proto.collector.trace.v1.TraceService/Export"),
    .http_path = "/v1/traces",
    .rejected_in = spans_rejected,
};

static enum tn_err signal_open(struct tn_otlp_push *push, const struct signal *signal,
                               struct tn_push **ret_push, struct tn_fault *fault)
{
    const struct tn_otlp_push_options *options = &push->options;
    struct tn_target target = push->target;
    struct tn_header headers[HEADERS_MAX + 1];
    size_t count = options->header_count;
    for (size_t i = 0; i < count; i++) {
        headers[i] = options->headers[i];
    }
    if (!target.grpc) {
        size_t size = strlen(target.path);
        bool slash = size > 0 && target.path[size - 1] == '/';
        size -= slash;
        if (size + strlen(signal->http_path) >= sizeof(target.path) ||
            strchr(target.path, '?') != NULL) {
            return tn_fault_set(fault, TN_INVALID, "an OTLP path is short and has no query");
        }
        memcpy(target.path + size, signal->http_path, strlen(signal->http_path) + 1);
        headers[count++] =
            (struct tn_header){TN_STR("content-type"), TN_STR("application/x-protobuf")};
    }
    struct tn_push_options to = {
        .loop = options->loop,
        .target = &target,
        .ca_file = options->ca_file,
        .grpc_path = signal->grpc_path,
        .headers = headers,
        .header_count = count,
        .rules = TN_VERDICT_OTLP,
        .bodies_max = QUEUE_BODIES,
        .bytes_max = QUEUE_BYTES,
        .timeout_ns = options->timeout_ns,
        .attempts_max = ATTEMPTS,
        .metrics = options->metrics,
        .name = signal->name,
        .rejected_in = signal->rejected_in,
    };
    return tn_push_create(&to, ret_push, fault);
}

static enum tn_err signals_open(struct tn_otlp_push *push, struct tn_fault *fault)
{
    enum tn_err err = tn_target_parse(tn_str_from(push->options.url), &push->target, fault);
    if (err == TN_OK && push->options.header_count > HEADERS_MAX) {
        err = tn_fault_set(fault, TN_LIMIT, "more than %d headers", HEADERS_MAX);
    }
    if (err == TN_OK && push->options.metrics != NULL) {
        err = signal_open(push, &metrics_signal, &push->metrics, fault);
    }
    if (err == TN_OK && push->options.tracer != NULL) {
        push->batch = tn_mem_take(SPANS_BATCH * sizeof(*push->batch));
        err = push->batch != NULL ? signal_open(push, &spans_signal, &push->spans, fault)
                                  : tn_fault_set(fault, TN_NOMEM, "no memory for spans");
    }
    return err;
}

enum tn_err tn_otlp_push_create(const struct tn_otlp_push_options *options,
                                struct tn_otlp_push **ret_push, struct tn_fault *fault)
{
    struct tn_otlp_push *push = tn_mem_take_zeroed(1, sizeof(*push));
    if (push == NULL) {
        return tn_fault_set(fault, TN_NOMEM, "no memory for the OTLP exporter");
    }
    push->options = *options;
    if (push->options.metrics_interval_ns == 0) {
        push->options.metrics_interval_ns = 60 * TN_NS_PER_S;
    }
    if (push->options.spans_interval_ns == 0) {
        push->options.spans_interval_ns = 5 * TN_NS_PER_S;
    }
    tn_timer_init(&push->metrics_timer, options->loop, metrics_step);
    tn_timer_init(&push->spans_timer, options->loop, spans_step);
    enum tn_err err = signals_open(push, fault);
    if (err != TN_OK) {
        tn_otlp_push_destroy(push);
        return err;
    }
    uint64_t now_ns = tn_clock_mono_ns();
    if (push->metrics != NULL) {
        tn_timer_arm(&push->metrics_timer, now_ns + push->options.metrics_interval_ns);
    }
    if (push->spans != NULL) {
        tn_timer_arm(&push->spans_timer, now_ns + push->options.spans_interval_ns);
    }
    *ret_push = push;
    return TN_OK;
}

void tn_otlp_push_flush(struct tn_otlp_push *push)
{
    uint64_t now_ns = tn_loop_now_ns(push->options.loop);
    if (push->metrics != NULL) {
        tn_timer_arm(&push->metrics_timer, now_ns);
    }
    if (push->spans != NULL) {
        tn_timer_arm(&push->spans_timer, now_ns);
    }
}

void tn_otlp_push_destroy(struct tn_otlp_push *push)
{
    if (push == NULL) {
        return;
    }
    tn_timer_disarm(&push->metrics_timer);
    tn_timer_disarm(&push->spans_timer);
    tn_push_destroy(push->metrics);
    tn_push_destroy(push->spans);
    tn_mem_give(push->batch);
    tn_mem_give(push);
}

struct tn_push_counts tn_otlp_push_count_metrics(const struct tn_otlp_push *push)
{
    return push->metrics != NULL ? tn_push_count(push->metrics) : (struct tn_push_counts){0};
}

struct tn_push_counts tn_otlp_push_count_spans(const struct tn_otlp_push *push)
{
    return push->spans != NULL ? tn_push_count(push->spans) : (struct tn_push_counts){0};
}
