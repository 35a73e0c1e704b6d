/* The sender of bodies; see push.h for its machine.
 *
 * Every step starts from the timer: a body that is queued, an answer, a pause that is over. So
 * nothing is asked inside a callback of the client. Memory: one struct with the queue's ring.
 * Threads: the loop's. Bounds: see the options. */
#include "export/push.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/retry.h"
#include "core/assert.h"
#include "export/target.h"
#include "rpc/header.h"
#include "rpc/tls.h"
#include "telemetry/metrics.h"

enum {
    BODIES_DEFAULT = 64,
    BODIES_MAX = 65536,
    HEADERS_MAX = 32,
    HEADER_BYTES_MAX = 4096,
    ANSWER_MAX = 65536,
};

enum push_state { PUSH_IDLE, PUSH_ASKING, PUSH_WAITING };

#define TO(state) (1U << PUSH_##state)
static const uint8_t moves[] = {
    [PUSH_IDLE] = TO(ASKING),
    [PUSH_ASKING] = TO(IDLE) | TO(WAITING),
    [PUSH_WAITING] = TO(ASKING) | TO(IDLE),
};

enum { SETTLED_DELIVERED, SETTLED_REJECTED, SETTLED_DROPPED, SETTLED_COUNT };

struct body {
    struct tn_block *block;
    size_t items;
};

struct counters {
    struct tn_metric *accepted;
    struct tn_metric *settled[SETTLED_COUNT];
    struct tn_metric *buffered;
    struct tn_metric *retries;
    struct tn_metric *seconds;
};

struct tn_push {
    struct tn_push_options options;
    struct tn_target target;
    struct tn_tls *tls;
    struct tn_client *client;
    struct tn_client_call *call; /* ASKING */
    struct tn_timer timer;
    enum push_state state;
    struct tn_retry_limits limits;
    struct tn_retry retry; /* of the first body */
    uint64_t retry_after_ns;
    uint64_t asked_ns;
    uint64_t chance;
    size_t refused;      /* items that the answer under way refuses */
    struct body *bodies; /* a ring */
    size_t first, count, bytes;
    struct tn_push_counts counts;
    struct counters counters;
    struct tn_header headers[HEADERS_MAX];
    char header_text[HEADER_BYTES_MAX];
};

static void push_move(struct tn_push *push, enum push_state to)
{
    TN_ASSERT((moves[push->state] >> to & 1) != 0);
    push->state = to;
}

/* --- Counting --- */
static enum tn_err series_make(struct tn_push *push, const struct tn_metric_options *options,
                               const char *result, struct tn_metric **ret_metric)
{
    struct tn_metric_family *family;
    struct tn_str values[] = {tn_str_from(push->options.name), tn_str_from(result)};
    enum tn_err err = tn_metrics_family(push->options.metrics, options, &family);
    return err != TN_OK ? err : tn_metric_series(family, values, ret_metric);
}

static enum tn_err counters_init(struct tn_push *push)
{
    static const char *const results[] = {"delivered", "rejected", "dropped"};
    static const struct tn_metric_options accepted = {.name = "tenon_export_accepted_total",
                                                      .help =
                                                          "Samples or spans handed to an exporter.",
                                                      .labels = {"exporter"}};
    static const struct tn_metric_options settled = {
        .name = "tenon_export_settled_total",
        .help = "Samples or spans that an exporter is done with, by what became of them.",
        .labels = {"exporter", "result"}};
    static const struct tn_metric_options buffered = {
        .kind = TN_METRIC_GAUGE,
        .name = "tenon_export_buffered",
        .help = "Samples or spans that wait in an exporter's queue.",
        .labels = {"exporter"}};
    static const struct tn_metric_options retries = {.name = "tenon_export_retries_total",
                                                     .help =
                                                         "Export requests that were made again.",
                                                     .labels = {"exporter"}};
    const struct tn_metric_options seconds = {
        .kind = TN_METRIC_HISTOGRAM,
        .name = "tenon_export_request_seconds",
        .help = "Time from an export request to its answer or failure.",
        .labels = {"exporter"},
        .bounds = tn_metric_seconds_bounds,
        .bound_count = tn_metric_seconds_bound_count};
    struct counters *counters = &push->counters;
    if (push->options.metrics == NULL) {
        return TN_OK;
    }
    enum tn_err err = series_make(push, &accepted, NULL, &counters->accepted);
    for (size_t i = 0; i < SETTLED_COUNT && err == TN_OK; i++) {
        err = series_make(push, &settled, results[i], &counters->settled[i]);
    }
    err = err != TN_OK ? err : series_make(push, &buffered, NULL, &counters->buffered);
    err = err != TN_OK ? err : series_make(push, &retries, NULL, &counters->retries);
    return err != TN_OK ? err : series_make(push, &seconds, NULL, &counters->seconds);
}

static void counters_deinit(struct tn_push *push)
{
    tn_metric_retire(push->counters.accepted);
    for (size_t i = 0; i < SETTLED_COUNT; i++) {
        tn_metric_retire(push->counters.settled[i]);
    }
    tn_metric_retire(push->counters.buffered);
    tn_metric_retire(push->counters.retries);
    tn_metric_retire(push->counters.seconds);
}

static void count_settled(struct tn_push *push, unsigned result, size_t items)
{
    uint64_t *const own[] = {&push->counts.delivered, &push->counts.rejected,
                             &push->counts.dropped};
    *own[result] += items;
    if (push->options.metrics != NULL) {
        tn_metric_count(push->counters.settled[result], items);
        tn_metric_add(push->counters.buffered, -(double)items);
    }
}

static void count_accepted(struct tn_push *push, size_t items)
{
    push->counts.accepted += items;
    if (push->options.metrics != NULL) {
        tn_metric_count(push->counters.accepted, items);
        tn_metric_add(push->counters.buffered, (double)items);
    }
}

struct tn_push_counts tn_push_count(const struct tn_push *push)
{
    struct tn_push_counts counts = push->counts;
    counts.bodies = push->count;
    return counts;
}

/* --- The queue --- */
static struct body *body_at(struct tn_push *push, size_t index)
{
    return &push->bodies[(push->first + index) % push->options.bodies_max];
}

/* Takes the first body out. */
static struct body body_take(struct tn_push *push)
{
    struct body body = *body_at(push, 0);
    push->first = (push->first + 1) % push->options.bodies_max;
    push->count--;
    push->bytes -= body.block->size;
    return body;
}

/* Drops the oldest body that is not under way. False: there is none. */
static bool oldest_drop(struct tn_push *push)
{
    bool busy = push->state == PUSH_ASKING;
    if (push->count <= busy) {
        return false;
    }
    struct body kept = *body_at(push, 0);
    if (busy) {
        /* The one under way changes places with the one behind it, which goes. */
        *body_at(push, 0) = *body_at(push, 1);
        *body_at(push, 1) = kept;
    }
    struct body dropped = body_take(push);
    count_settled(push, SETTLED_DROPPED, dropped.items);
    tn_block_unref(dropped.block);
    if (!busy) {
        /* The next body has not been tried: it starts with a short pause of its own. */
        tn_retry_init(&push->retry, &push->limits);
    }
    return true;
}

enum tn_err tn_push_send(struct tn_push *push, struct tn_block *body, size_t items)
{
    if (body->size > push->options.bytes_max) {
        return TN_LIMIT;
    }
    while (push->count == push->options.bodies_max ||
           push->bytes + body->size > push->options.bytes_max) {
        if (push->options.refuse_when_full || !oldest_drop(push)) {
            return TN_LIMIT;
        }
    }
    *body_at(push, push->count) = (struct body){body, items};
    push->count++;
    push->bytes += body->size;
    count_accepted(push, items);
    if (push->state == PUSH_IDLE && push->count == 1) {
        tn_retry_init(&push->retry, &push->limits);
        tn_timer_arm(&push->timer, tn_loop_now_ns(push->options.loop));
    }
    return TN_OK;
}

void tn_push_drop(struct tn_push *push, size_t items)
{
    count_accepted(push, items);
    count_settled(push, SETTLED_DROPPED, items);
}

/* --- Asking --- */
static const struct tn_client_events client_events;

static enum tn_err body_ask(struct tn_push *push)
{
    struct tn_client_request request = {
        .kind = push->target.grpc ? TN_CALL_GRPC : TN_CALL_HTTP,
        .method = TN_STR_OF("POST"),
        .path = push->target.grpc ? push->options.grpc_path : tn_str_from(push->target.path),
        .headers = push->headers,
        .header_count = push->options.header_count,
        .deadline_ns = push->asked_ns + push->options.timeout_ns,
        .events = &client_events,
        .user = push,
    };
    enum tn_err err = tn_client_start(push->client, &request, &push->call);
    if (err != TN_OK) {
        push->call = NULL;
        return err;
    }
    struct tn_block *block = tn_block_ref(body_at(push, 0)->block);
    struct tn_piece piece = {.bytes = tn_bytes_make(block->data, block->size), .owner = block};
    err = tn_client_send(push->call, &piece, 1, true);
    if (err < 0) {
        tn_block_unref(block);
        tn_client_cancel(push->call); /* `ended` comes */
    }
    return TN_OK;
}

/* The first body is done with, well or not. */
static void body_settle(struct tn_push *push, enum tn_verdict verdict)
{
    struct body body = body_take(push);
    push_move(push, PUSH_IDLE);
    if (verdict == TN_VERDICT_DELIVERED) {
        size_t refused = push->refused < body.items ? push->refused : body.items;
        count_settled(push, SETTLED_DELIVERED, body.items - refused);
        count_settled(push, SETTLED_REJECTED, refused);
    } else {
        unsigned result = verdict == TN_VERDICT_REJECTED ? SETTLED_REJECTED : SETTLED_DROPPED;
        count_settled(push, result, body.items);
    }
    tn_block_unref(body.block);
    if (push->count > 0) {
        tn_retry_init(&push->retry, &push->limits);
        tn_timer_arm(&push->timer, tn_loop_now_ns(push->options.loop));
    }
    if (push->options.settled != NULL) {
        push->options.settled(push->options.context, verdict, body.items);
    }
}

/* xorshift64: spreads the senders of many machines, needs no better. */
static uint64_t chance_below(struct tn_push *push, uint64_t below)
{
    push->chance ^= push->chance << 13;
    push->chance ^= push->chance >> 7;
    push->chance ^= push->chance << 17;
    return below > 0 ? push->chance % below : 0;
}

static void attempt_failed(struct tn_push *push)
{
    uint64_t now_ns = tn_loop_now_ns(push->options.loop);
    uint64_t due_ms;
    if (tn_retry_ended(&push->retry, false, now_ns / TN_NS_PER_MS, &due_ms) != TN_AGAIN) {
        body_settle(push, TN_VERDICT_RETRY);
        return;
    }
    uint64_t pause_ns = due_ms * TN_NS_PER_MS > now_ns ? due_ms * TN_NS_PER_MS - now_ns : 0;
    pause_ns += chance_below(push, pause_ns / 10);
    pause_ns = pause_ns > push->retry_after_ns ? pause_ns : push->retry_after_ns;
    push_move(push, PUSH_WAITING);
    tn_timer_arm(&push->timer, now_ns + pause_ns);
}

static void push_step(struct tn_timer *timer)
{
    struct tn_push *push = TN_CONTAINER(timer, struct tn_push, timer);
    if (push->state == PUSH_ASKING || push->count == 0) {
        return;
    }
    if (push->retry.state == TN_RETRY_WAITING) {
        tn_retry_resume(&push->retry);
        push->counts.retries++;
        if (push->options.metrics != NULL) {
            tn_metric_count(push->counters.retries, 1);
        }
    }
    push_move(push, PUSH_ASKING);
    push->retry_after_ns = 0;
    push->refused = 0;
    push->asked_ns = tn_loop_now_ns(push->options.loop);
    if (body_ask(push) != TN_OK) {
        attempt_failed(push);
    }
}

static void on_headers(void *user, struct tn_client_call *call, unsigned http_status,
                       const struct tn_header *headers, size_t count)
{
    (void)call, (void)http_status;
    struct tn_push *push = user;
    for (size_t i = 0; i < count; i++) {
        if (tn_str_is(headers[i].name, "retry-after")) {
            push->retry_after_ns = tn_verdict_retry_after_ns(headers[i].value);
        }
    }
}

static void on_message(void *user, struct tn_client_call *call, struct tn_block *message)
{
    (void)call;
    struct tn_push *push = user;
    if (push->options.rejected_in != NULL) {
        push->refused = push->options.rejected_in(tn_bytes_make(message->data, message->size));
    }
}

static void on_ended(void *user, struct tn_client_call *call, const struct tn_client_end *end)
{
    (void)call;
    struct tn_push *push = user;
    push->call = NULL;
    if (push->client == NULL) {
        return; /* destroying */
    }
    if (push->options.metrics != NULL) {
        uint64_t spent_ns = tn_loop_now_ns(push->options.loop) - push->asked_ns;
        tn_metric_observe(push->counters.seconds, (double)spent_ns / 1e9);
    }
    enum tn_call_kind kind = push->target.grpc ? TN_CALL_GRPC : TN_CALL_HTTP;
    enum tn_verdict verdict = tn_verdict_of(push->options.rules, kind, end);
    if (verdict == TN_VERDICT_RETRY) {
        attempt_failed(push);
    } else {
        body_settle(push, verdict);
    }
}

static const struct tn_client_events client_events = {
    .headers = on_headers, .message = on_message, .ended = on_ended};

/* --- Life --- */
static enum tn_err headers_copy(struct tn_push *push, const struct tn_push_options *options,
                                struct tn_fault *fault)
{
    size_t used = 0;
    if (options->header_count > HEADERS_MAX) {
        return tn_fault_set(fault, TN_LIMIT, "more than %d headers", HEADERS_MAX);
    }
    for (size_t i = 0; i < options->header_count; i++) {
        const struct tn_header *from = &options->headers[i];
        if (!tn_header_name_is_valid(from->name) || !tn_header_value_is_valid(from->value)) {
            return tn_fault_set(fault, TN_INVALID, "'%.*s' is no header name, or its value is none",
                                TN_STR_ARG(from->name));
        }
        if (from->name.size + from->value.size > sizeof(push->header_text) - used) {
            return tn_fault_set(fault, TN_LIMIT, "headers of more than %d bytes", HEADER_BYTES_MAX);
        }
        char *at = push->header_text + used;
        memcpy(at, from->name.data, from->name.size);
        if (from->value.size > 0) {
            memcpy(at + from->name.size, from->value.data, from->value.size);
        }
        push->headers[i].name = tn_str_make(at, from->name.size);
        push->headers[i].value = tn_str_make(at + from->name.size, from->value.size);
        used += from->name.size + from->value.size;
    }
    return TN_OK;
}

static void defaults_set(struct tn_push_options *options)
{
    options->bodies_max = options->bodies_max > 0 ? options->bodies_max : BODIES_DEFAULT;
    options->bytes_max = options->bytes_max > 0 ? options->bytes_max : (size_t)64 << 20;
    options->timeout_ns = options->timeout_ns > 0 ? options->timeout_ns : 10 * TN_NS_PER_S;
    options->pause_ns = options->pause_ns >= TN_NS_PER_MS ? options->pause_ns : TN_NS_PER_S;
    options->pause_ns_max = options->pause_ns_max > 0 ? options->pause_ns_max : 30 * TN_NS_PER_S;
    if (options->pause_ns_max < options->pause_ns) {
        options->pause_ns_max = options->pause_ns;
    }
}

static enum tn_err client_make(struct tn_push *push, struct tn_fault *fault)
{
    if (push->target.tls) {
        struct tn_tls_options tls = {.ca_file = push->options.ca_file};
        enum tn_err err = tn_tls_create(&tls, &push->tls, fault);
        if (err != TN_OK) {
            return err;
        }
    }
    struct tn_client_options client = {
        .loop = push->options.loop,
        .target = push->target.address,
        .tls = push->tls,
        .calls_max = 1,
        .message_bytes_max = ANSWER_MAX,
    };
    return tn_client_create(&client, &push->client, fault);
}

enum tn_err tn_push_create(const struct tn_push_options *options, struct tn_push **ret_push,
                           struct tn_fault *fault)
{
    TN_ASSERT(options->bodies_max <= BODIES_MAX);

    struct tn_push *push = tn_mem_take_zeroed(1, sizeof(*push));
    if (push == NULL) {
        return tn_fault_set(fault, TN_NOMEM, "no memory for an exporter");
    }
    push->options = *options;
    defaults_set(&push->options);
    push->target = *options->target;
    push->chance = tn_clock_mono_ns() | 1;
    push->limits = (struct tn_retry_limits){
        .attempts_max = options->attempts_max,
        .pause_ms = push->options.pause_ns / TN_NS_PER_MS,
        .pause_ms_max = push->options.pause_ns_max / TN_NS_PER_MS,
    };
    tn_retry_init(&push->retry, &push->limits);
    tn_timer_init(&push->timer, options->loop, push_step);
    push->bodies = tn_mem_take_zeroed(push->options.bodies_max, sizeof(*push->bodies));
    enum tn_err err = headers_copy(push, options, fault);
    if (err == TN_OK && (push->bodies == NULL || counters_init(push) != TN_OK)) {
        err = tn_fault_set(fault, TN_NOMEM, "no memory for an exporter's queue");
    }
    err = err != TN_OK ? err : client_make(push, fault);
    if (err != TN_OK) {
        tn_push_destroy(push);
        return err;
    }
    *ret_push = push;
    return TN_OK;
}

void tn_push_destroy(struct tn_push *push)
{
    if (push == NULL) {
        return;
    }
    tn_timer_disarm(&push->timer);
    struct tn_client *client = push->client;
    push->client = NULL;
    tn_client_destroy(client);
    while (push->bodies != NULL && push->count > 0) {
        struct body body = body_take(push);
        count_settled(push, SETTLED_DROPPED, body.items);
        tn_block_unref(body.block);
    }
    tn_tls_destroy(push->tls);
    counters_deinit(push);
    tn_mem_give(push->bodies);
    tn_mem_give(push);
}
