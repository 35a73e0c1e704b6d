/* The periodic exporters against a real server: what arrives, under which path and headers, what a
 * partial answer does, spans while the receiver is away. */
#include "base/buf.h"
#include "export/otlp_push.h"
#include "export/remote_writer.h"
#include "proto/otlp.pb.h"
#include "telemetry/otlp.h"

#include "receiver.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#define METRICS_PATH "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"
#define TRACES_PATH  "/opentelemetry.proto.collector.trace.v1.TraceService/Export"

static const struct tn_otlp_source source = {.scope_name = TN_STR("tenon")};

struct seen {
    size_t metrics, traces;
    bool is_trace[RECEIVED_MAX];
    char type[64], token[32], path[128];
};

static void keep_header(struct tn_call *call, struct tn_str name, char *out, size_t room)
{
    snprintf(out, room, "%.*s", TN_STR_ARG(tn_call_header(call, name)));
}

static void on_came(struct receiver *receiver, struct tn_call *call)
{
    struct seen *seen = receiver->user;
    struct tn_str path = tn_call_info(call)->path;
    snprintf(seen->path, sizeof(seen->path), "%.*s", TN_STR_ARG(path));
    seen->metrics += strstr(seen->path, "etrics") != NULL;
    seen->is_trace[receiver->count - 1] = strstr(seen->path, "race") != NULL;
    seen->traces += seen->is_trace[receiver->count - 1];
    keep_header(call, TN_STR_OF("content-type"), seen->type, sizeof(seen->type));
    keep_header(call, TN_STR_OF("authorization"), seen->token, sizeof(seen->token));
}

static struct tn_metrics *example(unsigned series_count)
{
    struct tn_metrics *metrics;
    struct tn_metric_family *family;
    struct tn_metric_options options = {.name = "a_total", .help = "A.", .labels = {"n"}};
    assert_int_equal(tn_metrics_create(&metrics), TN_OK);
    assert_int_equal(tn_metrics_family(metrics, &options, &family), TN_OK);
    options.name = "b_total";
    for (unsigned half = 0; half < 2; half++) {
        for (unsigned i = 0; i < series_count / 2; i++) {
            char text[16];
            snprintf(text, sizeof(text), "%u", i);
            struct tn_str value = tn_str_from(text);
            struct tn_metric *metric;
            assert_int_equal(tn_metric_series(family, &value, &metric), TN_OK);
        }
        options.series_max = series_count;
        assert_int_equal(tn_metrics_family(metrics, &options, &family), TN_OK);
    }
    return metrics;
}

/* A plain server of one connection at a time, on a thread: ours refuses Snappy. */
struct plain_server {
    int fd;
    unsigned port;
    size_t stop_after, count;
    struct tn_buf requests[8];
    struct tn_loop *loop;
    struct tn_inbox inbox; /* tells the loop that it has enough */
};

static size_t body_left(const struct tn_buf *request)
{
    const char *text = (const char *)request->data;
    const char *end = memmem(text, request->size, "\r\n\r\n", 4);
    if (end == NULL) {
        return 1;
    }
    const char *length = strcasestr(text, "content-length:");
    assert_non_null(length);
    size_t whole = (size_t)(end - text) + 4 + strtoull(length + 15, NULL, 10);
    return request->size < whole ? whole - request->size : 0;
}

static void *plain_serve(void *argument)
{
    static const char answer[] = "HTTP/1.1 204 No Content\r\n\r\n";
    struct plain_server *server = argument;
    int fd = accept(server->fd, NULL, NULL);
    assert_true(fd >= 0);
    while (server->count < server->stop_after) {
        struct tn_buf *request = &server->requests[server->count];
        do {
            uint8_t *at = tn_buf_reserve(request, 65536);
            ssize_t got = recv(fd, at, 65535, 0);
            assert_true(got > 0);
            at[got] = '\0';
            tn_buf_commit(request, (size_t)got);
        } while (body_left(request) > 0);
        assert_int_equal(send(fd, answer, sizeof(answer) - 1, MSG_NOSIGNAL), sizeof(answer) - 1);
        server->count++;
    }
    assert_int_equal(tn_chan_push(&server->inbox.chan, server), TN_OK);
    close(fd);
    return NULL;
}

static void enough(struct tn_inbox *inbox, void **items, size_t count)
{
    (void)items, (void)count;
    tn_loop_stop(inbox->loop);
}

static void plain_open(struct plain_server *server, struct tn_loop *loop)
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    socklen_t size = sizeof(at);
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    server->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(server->fd, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(listen(server->fd, 4), 0);
    assert_int_equal(getsockname(server->fd, (struct sockaddr *)&at, &size), 0);
    server->port = ntohs(at.sin_port);
    assert_int_equal(tn_inbox_init(&server->inbox, loop, 2, enough), TN_OK);
}

static struct tn_remote_writer *remote_open(struct tn_loop *loop, struct tn_metrics *metrics,
                                            const char *url)
{
    static const struct tn_header token = {TN_STR("authorization"), TN_STR("Bearer x")};
    static const struct tn_remote_writer_label external = {TN_STR("job"), TN_STR("tenon")};
    struct tn_remote_writer_options options = {
        .loop = loop,
        .metrics = metrics,
        .url = url,
        .headers = &token,
        .header_count = 1,
        .external = &external,
        .external_count = 1,
        .interval_ns = 20 * TN_NS_PER_MS,
    };
    struct tn_remote_writer *writer;
    assert_int_equal(tn_remote_writer_create(&options, &writer, NULL), TN_OK);
    return writer;
}

static void remote_write_comes_as_the_standard_says(void **unused)
{
    (void)unused;
    static const char *const lines[] = {
        "POST /api/v1/write HTTP/1.1\r\n",  "\r\ncontent-type: application/x-protobuf\r\n",
        "\r\ncontent-encoding: snappy\r\n", "\r\nx-prometheus-remote-write-version: 0.1.0\r\n",
        "\r\nauthorization: Bearer x\r\n",  "\r\nuser-agent: tenon",
    };
    size_t live = tn_mem_live();
    struct receiver receiver = {0};
    struct plain_server server = {.stop_after = 4};
    struct tn_metrics *metrics = example(1900);
    receiver_open(&receiver, NULL);
    plain_open(&server, receiver.loop);
    char url[128];
    snprintf(url, sizeof(url), "http://127.0.0.1:%u/api/v1/write", server.port);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, plain_serve, &server), 0);
    struct tn_remote_writer *writer = remote_open(receiver.loop, metrics, url);
    receiver_run(&receiver);
    pthread_join(thread, NULL);
    for (size_t n = 0; n < server.count; n++) {
        for (size_t i = 0; i < TN_COUNT(lines); i++) {
            assert_non_null(strcasestr((const char *)server.requests[n].data, lines[i]));
        }
        tn_buf_deinit(&server.requests[n]);
    }
    struct tn_push_counts counts = tn_remote_writer_count(writer);
    /* Each round is a request of 1900 samples and the exporter's own counters. */
    assert_true(counts.delivered >= 3 * 1900);
    assert_int_equal(counts.rejected + counts.dropped + counts.retries, 0);
    tn_remote_writer_destroy(writer);
    tn_inbox_deinit(&server.inbox);
    close(server.fd);
    receiver_close(&receiver);
    tn_metrics_destroy(metrics);
    assert_int_equal(tn_mem_live(), live);
}

static void a_receiver_that_refuses_is_not_asked_twice(void **unused)
{
    (void)unused;
    size_t live = tn_mem_live();
    struct receiver receiver = {0}; /* 415: it does not unpack Snappy */
    struct tn_metrics *metrics = example(100);
    receiver_open(&receiver, NULL);
    struct tn_remote_writer *writer = remote_open(receiver.loop, metrics, receiver.url);
    struct tn_push_counts counts = {0};
    for (unsigned tries = 0; tries < 100 && counts.rejected < 300; tries++) {
        tn_timer_arm(&receiver.limit, tn_clock_mono_ns() + 20 * TN_NS_PER_MS);
        tn_loop_run(receiver.loop);
        counts = tn_remote_writer_count(writer);
    }
    assert_true(counts.rejected >= 300);
    assert_int_equal(counts.delivered + counts.dropped + counts.retries, 0);
    tn_remote_writer_destroy(writer);
    receiver_close(&receiver);
    tn_metrics_destroy(metrics);
    assert_int_equal(tn_mem_live(), live);
}

static void spans_end(struct tn_tracer *tracer, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct tn_trace_context context;
        struct tn_span span;
        tn_tracer_decide(tracer, NULL, &context);
        tn_span_begin(&span, &context, NULL, TN_STR_OF("work"), TN_SPAN_SERVER, 1);
        tn_span_end(tracer, &span, 2);
    }
}

static struct tn_otlp_push *otlp_open(struct receiver *receiver, struct tn_metrics *metrics,
                                      struct tn_tracer *tracer)
{
    struct tn_otlp_push_options options = {
        .loop = receiver->loop,
        .url = receiver->url,
        .metrics = metrics,
        .tracer = tracer,
        .source = &source,
        .metrics_interval_ns = 20 * TN_NS_PER_MS,
        .spans_interval_ns = 20 * TN_NS_PER_MS,
    };
    struct tn_otlp_push *push;
    assert_int_equal(tn_otlp_push_create(&options, &push, NULL), TN_OK);
    return push;
}

static struct tn_tracer *tracer_of(size_t capacity)
{
    struct tn_tracer *tracer;
    struct tn_tracer_options options = {.capacity = capacity, .rate = 1};
    assert_int_equal(tn_tracer_create(&options, &tracer), TN_OK);
    return tracer;
}

static void both_signals_arrive_over_http(void **unused)
{
    (void)unused;
    size_t live = tn_mem_live();
    struct seen seen = {0};
    struct receiver receiver = {.came = on_came, .user = &seen, .stop_after = 8};
    struct tn_metrics *metrics = example(100);
    struct tn_tracer *tracer = tracer_of(1024);
    receiver_open(&receiver, NULL);
    size_t length = strlen(receiver.url);
    assert_true(length + 1 < sizeof(receiver.url));
    memcpy(receiver.url + length, "/", 2);
    spans_end(tracer, 600); /* batches of 256, 256 and 88, at once */
    struct tn_otlp_push *push = otlp_open(&receiver, metrics, tracer);
    receiver_run(&receiver);
    assert_true(seen.metrics >= 2 && seen.traces == 3);
    assert_string_equal(seen.type, "application/x-protobuf");
    assert_int_equal(tn_otlp_push_count_spans(push).accepted, 600);
    size_t spans = 0;
    struct tn_arena arena;
    tn_arena_init(&arena, &(struct tn_arena_options){.source = tn_mem_source()});
    for (size_t i = 0; i < receiver.count; i++) {
        if (!seen.is_trace[i]) {
            continue;
        }
        struct tn_bytes body = tn_bytes_make(receiver.bodies[i]->data, receiver.bodies[i]->size);
        struct tn_otlp_export_trace_service_request traces;
        assert_int_equal(
            tn_pb_decode(&tn_otlp_export_trace_service_request_pb, body, &arena, &traces), TN_OK);
        struct tn_otlp_scope_spans *scope = traces.resource_spans->scope_spans;
        assert_true(tn_str_is(scope->spans[0].name, "work"));
        spans += scope->spans_count;
    }
    assert_int_equal(spans, 600);
    tn_arena_deinit(&arena);
    tn_otlp_push_destroy(push);
    receiver_close(&receiver);
    tn_tracer_destroy(tracer);
    tn_metrics_destroy(metrics);
    assert_int_equal(tn_mem_live(), live);
}

static void a_partial_answer_over_grpc_is_counted(void **unused)
{
    (void)unused;
    size_t live = tn_mem_live();
    struct seen seen = {0};
    /* partial_success { rejected_data_points: 7 } */
    static const uint8_t partly[] = {0x0a, 0x02, 0x08, 0x07};
    struct receiver receiver = {
        .came = on_came, .user = &seen, .stop_after = 3, .answer = {partly, sizeof(partly)}};
    struct tn_metrics *metrics = example(100);
    receiver_open(&receiver, METRICS_PATH);
    struct tn_otlp_push *push = otlp_open(&receiver, metrics, NULL);
    receiver_run(&receiver);
    assert_string_equal(seen.path, METRICS_PATH);
    assert_memory_equal(seen.type, "application/grpc", 16);
    struct tn_push_counts counts = tn_otlp_push_count_metrics(push);
    assert_true(counts.rejected >= 2 * 7 && counts.rejected % 7 == 0);
    assert_true(counts.delivered > 150);
    tn_otlp_push_destroy(push);
    receiver_close(&receiver);
    tn_metrics_destroy(metrics);
    assert_int_equal(tn_mem_live(), live);
}

static unsigned unavailable(struct receiver *receiver, size_t n)
{
    (void)receiver, (void)n;
    return TN_GRPC_UNAVAILABLE;
}

static void spans_are_all_accounted_for_while_nobody_takes_them(void **unused)
{
    (void)unused;
    size_t live = tn_mem_live();
    struct receiver receiver = {.status = unavailable, .stop_after = 1};
    struct tn_tracer *tracer = tracer_of(1024);
    receiver_open(&receiver, TRACES_PATH);
    struct tn_otlp_push *push = otlp_open(&receiver, NULL, tracer);
    for (unsigned round = 1; round <= 40; round++) {
        spans_end(tracer, 500);
        tn_otlp_push_flush(push);
        receiver.stop_after = receiver.count + (round == 1);
        tn_timer_arm(&receiver.limit, tn_clock_mono_ns() + 10 * TN_NS_PER_MS);
        tn_loop_run(receiver.loop);
        struct tn_tracer_counts ring = tn_tracer_count(tracer);
        struct tn_push_counts sent = tn_otlp_push_count_spans(push);
        assert_int_equal(ring.ended, 500 * round);
        assert_int_equal(ring.drained, sent.accepted);
        assert_in_range(ring.ended - ring.drained - ring.dropped, 0, 1024);
        assert_int_equal(sent.delivered + sent.rejected, 0);
        assert_true(sent.bodies <= 32);
    }
    assert_true(tn_tracer_count(tracer).dropped > 0); /* 32 bodies and the ring are full */
    tn_otlp_push_destroy(push);
    receiver_close(&receiver);
    tn_tracer_destroy(tracer);
    assert_int_equal(tn_mem_live(), live);
}

static void creation_refuses_and_survives(void **unused)
{
    (void)unused;
    struct receiver receiver = {0};
    struct tn_metrics *metrics = example(2);
    struct tn_tracer *tracer = tracer_of(2);
    receiver_open(&receiver, NULL);
    struct tn_fault fault = {0};
    struct tn_otlp_push *push = NULL;
    struct tn_remote_writer *writer = NULL;
    struct tn_otlp_push_options otlp = {
        .loop = receiver.loop, .url = "nowhere", .metrics = metrics, .source = &source};
    struct tn_remote_writer_options remote = {
        .loop = receiver.loop, .url = "grpc://a", .metrics = metrics};
    assert_int_equal(tn_otlp_push_create(&otlp, &push, &fault), TN_INVALID);
    assert_non_null(strstr(fault.text, "nowhere"));
    assert_int_equal(tn_remote_writer_create(&remote, &writer, &fault), TN_INVALID);
    otlp.url = "http://a/x?y";
    assert_int_equal(tn_otlp_push_create(&otlp, &push, &fault), TN_INVALID);
    otlp.url = remote.url = receiver.url;
    otlp.tracer = tracer;
    size_t live = tn_mem_live();
    size_t n = 1;
    for (bool delivered = true; delivered; n++) {
        struct tn_metrics *fresh;
        assert_int_equal(tn_metrics_create(&fresh), TN_OK);
        otlp.metrics = remote.metrics = fresh;
        tn_mem_fail_from(n, n % 2 == 0);
        enum tn_err err = tn_otlp_push_create(&otlp, &push, &fault);
        err = err != TN_OK ? err : tn_remote_writer_create(&remote, &writer, &fault);
        delivered = tn_mem_fail_delivered();
        tn_mem_fail_from(0, false);
        assert_int_equal(err, delivered ? TN_NOMEM : TN_OK);
        tn_otlp_push_destroy(push);
        tn_remote_writer_destroy(writer);
        push = NULL;
        writer = NULL;
        tn_metrics_destroy(fresh);
        assert_int_equal(tn_mem_live(), live);
    }
    assert_true(n > 20);
    receiver_close(&receiver);
    tn_tracer_destroy(tracer);
    tn_metrics_destroy(metrics);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(remote_write_comes_as_the_standard_says),
        cmocka_unit_test(a_receiver_that_refuses_is_not_asked_twice),
        cmocka_unit_test(both_signals_arrive_over_http),
        cmocka_unit_test(a_partial_answer_over_grpc_is_counted),
        cmocka_unit_test(spans_are_all_accounted_for_while_nobody_takes_them),
        cmocka_unit_test(creation_refuses_and_survives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
