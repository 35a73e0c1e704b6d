/* The HTTP/2 wire with gRPC on it, against nghttp2's client in memory: answers, every cut, limits,
 * floods, deadlines, windows, drain, and the failure of each allocation. */
#include "base/clock.h"
#include "base/mem.h"
#include "core/assert.h"
#include "tests/support/h2_pair.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct h2_pair pair;

/* ---- handlers ---- */

static void echo(void *context, struct tn_call *call)
{
    (void)context;
    struct tn_block *body = tn_call_body(call);
    struct tn_piece piece = {tn_bytes_make(body->data, body->size), tn_block_ref(body)};
    if (tn_call_info(call)->kind == TN_CALL_HTTP) {
        tn_call_reply(call, 200, TN_STR_OF("text/plain"), &piece, 1);
        return;
    }
    enum tn_err err = tn_call_send(call, &piece, 1);
    if (err < 0) {
        tn_block_unref(body);
    }
    enum tn_grpc_status status = err < 0 ? TN_GRPC_RESOURCE_EXHAUSTED : TN_GRPC_OK;
    tn_call_finish(call, status, tn_str_make("", 0));
}

/* Calls that a test finishes itself. */
static struct tn_call *kept;
static size_t kept_count, cancelled_count;

static void keep(void *context, struct tn_call *call)
{
    (void)context;
    kept = call;
    kept_count++;
}

static void cancel(void *context, struct tn_call *call)
{
    (void)context;
    cancelled_count++;
    assert_true(tn_call_is_cancelled(call));
    tn_call_finish(call, TN_GRPC_CANCELLED, tn_str_make("", 0));
    if (kept == call) {
        kept = NULL;
    }
}

/* Streaming: sends each message back. */
static size_t message_count, ended_count, writable_count;
static bool pause_next;

static void stream_begin(void *context, struct tn_call *call)
{
    (void)context;
    kept = call;
}

static void stream_message(void *context, struct tn_call *call, struct tn_block *message)
{
    (void)context;
    message_count++;
    struct tn_piece piece = {tn_bytes_make(message->data, message->size), tn_block_ref(message)};
    if (tn_call_send(call, &piece, 1) < 0) {
        tn_block_unref(message);
    }
    if (pause_next) {
        pause_next = false;
        tn_call_pause(call);
    }
}

static void stream_ended(void *context, struct tn_call *call)
{
    (void)context;
    ended_count++;
    tn_call_finish(call, TN_GRPC_OK, tn_str_make("", 0));
    kept = NULL;
}

static void stream_writable(void *context, struct tn_call *call)
{
    (void)context;
    (void)call;
    writable_count++;
}

static const struct tn_handler echo_handler = {.request = echo};
static const struct tn_handler keep_handler = {.request = keep, .cancelled = cancel};
static const struct tn_handler stream_handler = {.request = stream_begin,
                                                 .message = stream_message,
                                                 .ended = stream_ended,
                                                 .writable = stream_writable,
                                                 .cancelled = cancel,
                                                 .streaming = true};

static enum tn_err try_open(const struct tn_server_limits *limits, uint32_t window)
{
    kept = NULL;
    kept_count = cancelled_count = message_count = ended_count = writable_count = 0;
    pause_next = false;
    h2_pair_setup(&pair, limits);
    h2_pair_route(&pair, TN_CALL_GRPC, "/t.T/Echo", &echo_handler);
    h2_pair_route(&pair, TN_CALL_GRPC, "/t.T/Keep", &keep_handler);
    h2_pair_route(&pair, TN_CALL_GRPC, "/t.T/Stream", &stream_handler);
    h2_pair_route(&pair, TN_CALL_HTTP, "/echo", &echo_handler);
    return h2_pair_open(&pair, window);
}

static void open_pair(const struct tn_server_limits *limits)
{
    assert_int_equal(try_open(limits, 0), TN_OK);
}

static void close_pair(size_t live)
{
    size_t calls = pair.lane.call_count;
    h2_pair_close(&pair);
    assert_int_equal(pair.lane.call_count, kept != NULL ? calls : 0);
    assert_int_equal(atomic_load(&pair.buffered), 0);
    assert_int_equal(tn_mem_live(), live);
}

static const char hello[] = "hello";

static struct h2_request echo_request(uint8_t *message)
{
    size_t size = h2_pair_message(message, hello, 5);
    return (struct h2_request){.path = "/t.T/Echo", .body = tn_bytes_make(message, size)};
}

static void assert_hello(const struct h2_stream *stream)
{
    uint8_t message[16];
    assert_int_equal(stream->http_status, 200);
    assert_int_equal(stream->grpc_status, 0);
    assert_int_equal(stream->body_size, h2_pair_message(message, hello, 5));
    assert_memory_equal(stream->body, message, stream->body_size);
    assert_true(stream->closed);
    assert_int_equal(stream->error_code, 0);
}

/* ---- answers ---- */

static void every_cut_is_the_same_request(void **state)
{
    (void)state;
    size_t live = tn_mem_live();
    for (size_t cut = 0; cut < 130; cut++) {
        open_pair(NULL);
        pair.cut = cut;
        uint8_t message[16];
        struct h2_request request = echo_request(message);
        int32_t first = h2_pair_request(&pair, &request);
        request.body.size--; /* ends inside its message */
        int32_t second = h2_pair_request(&pair, &request);
        h2_pair_run(&pair);
        assert_hello(h2_pair_stream(&pair, first));
        assert_int_equal(h2_pair_stream(&pair, second)->grpc_status, TN_GRPC_INTERNAL);
        close_pair(live);
    }
}

static void what_cannot_be_served_is_answered(void **state)
{
    (void)state;
    size_t live = tn_mem_live();
    open_pair(NULL);
    uint8_t message[16];
    uint8_t twice[32];
    struct h2_request request = echo_request(message);
    struct h2_request unknown = request;
    unknown.path = "/t.T/Nothing";
    struct h2_request encoding = request;
    encoding.extra[0] = "grpc-encoding";
    encoding.extra[1] = "zstd";
    struct h2_request timeout = request;
    timeout.extra[0] = "grpc-timeout";
    timeout.extra[1] = "soon";
    struct h2_request empty = request;
    empty.body.size = 0;
    struct h2_request two = request;
    size_t size = h2_pair_message(twice, hello, 5);
    size += h2_pair_message(twice + size, hello, 5);
    two.body = tn_bytes_make(twice, size);
    const struct {
        struct h2_request *request;
        int status;
    } rows[] = {
        {&unknown, TN_GRPC_UNIMPLEMENTED},
        {&encoding, TN_GRPC_UNIMPLEMENTED},
        {&timeout, TN_GRPC_INVALID_ARGUMENT},
        {&empty, TN_GRPC_INTERNAL},
        {&two, TN_GRPC_INTERNAL},
        {&request, TN_GRPC_OK},
    };
    for (size_t i = 0; i < TN_COUNT(rows); i++) {
        int32_t id = h2_pair_request(&pair, rows[i].request);
        h2_pair_run(&pair);
        struct h2_stream *stream = h2_pair_stream(&pair, id);
        assert_int_equal(stream->http_status, 200);
        assert_int_equal(stream->grpc_status, rows[i].status);
        assert_true(stream->closed);
        assert_int_equal(stream->error_code, 0);
        assert_int_equal(stream->accept_encoding[0] != '\0', rows[i].request == &encoding);
    }
    close_pair(live);
}

static void plain_http_is_served_beside(void **state)
{
    (void)state;
    size_t live = tn_mem_live();
    open_pair(NULL);
    const struct {
        const char *method, *path, *encoding;
        unsigned status;
        size_t body_size; /* 0: not looked at */
    } rows[] = {
        {"POST", "/echo", NULL, 200, 5},       {"POST", "/echo/deeper?x=1", NULL, 200, 5},
        {"POST", "/echoes", NULL, 404, 0},     {"HEAD", "/echo", NULL, 200, 0},
        {"POST", "/echo", "identity", 200, 5}, {"POST", "/echo", "br", 415, 0},
        {"POST", "/echo", "gzip", 400, 0},
    };
    for (size_t i = 0; i < TN_COUNT(rows); i++) {
        const struct h2_request request = {
            .method = rows[i].method,
            .path = rows[i].path,
            .content_type = "text/plain",
            .extra = {rows[i].encoding != NULL ? "content-encoding" : NULL, rows[i].encoding},
            .body = tn_bytes_make(hello, 5),
        };
        int32_t id = h2_pair_request(&pair, &request);
        h2_pair_run(&pair);
        struct h2_stream *stream = h2_pair_stream(&pair, id);
        assert_int_equal(stream->http_status, rows[i].status);
        assert_int_equal(stream->grpc_status, -1);
        assert_true(stream->closed);
        assert_true(rows[i].body_size == 0 || stream->body_size == rows[i].body_size);
    }
    close_pair(live);
}

static void many_streams_do_not_mix(void **state)
{
    (void)state;
    enum { COUNT = 700 };
    size_t live = tn_mem_live();
    open_pair(NULL);
    static uint8_t messages[COUNT][3000];
    for (size_t i = 0; i < COUNT; i++) {
        uint8_t data[2900];
        size_t size = i * 4;
        memset(data, (int)i, sizeof(data));
        size = h2_pair_message(messages[i], data, size);
        const struct h2_request request = {.path = "/t.T/Echo",
                                           .body = tn_bytes_make(messages[i], size)};
        h2_pair_request(&pair, &request);
    }
    h2_pair_run(&pair);
    for (size_t i = 0; i < COUNT; i++) {
        struct h2_stream *stream = h2_pair_stream(&pair, (int32_t)(2 * i + 1));
        assert_int_equal(stream->grpc_status, 0);
        assert_int_equal(stream->body_size, i * 4 + 5);
        assert_memory_equal(stream->body, messages[i], i * 4 + 5);
    }
    close_pair(live);
}

/* ---- limits ---- */

static void large_bodies_are_refused_early(void **state)
{
    (void)state;
    size_t live = tn_mem_live();
    const struct tn_server_limits limits = {.body_bytes_max = 1000, .buffered_bytes_max = 3000};
    open_pair(&limits);
    static uint8_t message[200000];
    size_t size = h2_pair_message(message, message, 1001);
    const struct h2_request large = {
        .path = "/t.T/Echo", .body = tn_bytes_make(message, size), .open = true};
    int32_t id = h2_pair_request(&pair, &large);
    h2_pair_run(&pair);
    struct h2_stream *stream = h2_pair_stream(&pair, id);
    assert_int_equal(stream->grpc_status, TN_GRPC_RESOURCE_EXHAUSTED);
    assert_true(stream->closed); /* by RST_STREAM without error: the client need not go on */
    assert_int_equal(stream->error_code, NGHTTP2_NO_ERROR);

    const struct h2_request http = {
        .path = "/echo", .content_type = "text/plain", .body = tn_bytes_make(message, 1001)};
    id = h2_pair_request(&pair, &http);
    h2_pair_run(&pair);
    assert_int_equal(h2_pair_stream(&pair, id)->http_status, 413);

    /* Three unfinished bodies of 990 bytes fit, the fourth goes over what all may hold. */
    static uint8_t parts[4][1000];
    int32_t ids[4];
    for (size_t i = 0; i < 4; i++) {
        size = h2_pair_message(parts[i], message, 990);
        const struct h2_request part = {
            .path = "/t.T/Echo", .body = tn_bytes_make(parts[i], size - 1), .open = true};
        ids[i] = h2_pair_request(&pair, &part);
    }
    h2_pair_run(&pair);
    assert_int_equal(h2_pair_stream(&pair, ids[3])->grpc_status, TN_GRPC_RESOURCE_EXHAUSTED);
    for (size_t i = 0; i < 3; i++) {
        assert_false(h2_pair_stream(&pair, ids[i])->closed);
        h2_pair_upload(&pair, ids[i], tn_bytes_make(parts[i] + 994, 1), true);
    }
    h2_pair_run(&pair);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(h2_pair_stream(&pair, ids[i])->grpc_status, TN_GRPC_OK);
    }
    close_pair(live);
}

static void large_headers_are_refused(void **state)
{
    (void)state;
    size_t live = tn_mem_live();
    const struct tn_server_limits limits = {.header_bytes_max = 2000};
    open_pair(&limits);
    uint8_t message[16];
    static char value[3000];
    memset(value, 'v', 2500);
    struct h2_request request = echo_request(message);
    request.extra[0] = "x-large";
    request.extra[1] = value;
    int32_t first = h2_pair_request(&pair, &request);
    request.content_type = "text/plain";
    int32_t second = h2_pair_request(&pair, &request);
    request = echo_request(message);
    int32_t third = h2_pair_request(&pair, &request);
    h2_pair_run(&pair);
    assert_int_equal(h2_pair_stream(&pair, second)->http_status, 431);
    assert_hello(h2_pair_stream(&pair, third));
    /* Content-type comes before the large header here, so gRPC hears it its own way. */
    assert_int_equal(h2_pair_stream(&pair, first)->grpc_status, TN_GRPC_RESOURCE_EXHAUSTED);
    close_pair(live);
}

static void assert_calmed(uint32_t code)
{
    assert_true(pair.goaway);
    assert_int_equal(pair.goaway_code, code);
    assert_true(pair.wire->i->is_over(pair.wire));
}

static void rapid_reset_ends_the_connection(void **state)
{
    (void)state;
    size_t live = tn_mem_live();
    const struct tn_server_limits limits = {.resets_per_second_max = 50};
    open_pair(&limits);
    uint8_t message[16];
    struct h2_request request = echo_request(message);
    request.path = "/t.T/Keep";
    request.open = true;
    unsigned rounds = 0;
    while (!pair.goaway && rounds < 200) {
        int32_t id = h2_pair_request(&pair, &request);
        h2_pair_run(&pair);
        nghttp2_submit_rst_stream(pair.client, 0, id, NGHTTP2_CANCEL);
        h2_pair_run(&pair);
        rounds++;
    }
    assert_int_equal(rounds, 51);
    assert_calmed(NGHTTP2_ENHANCE_YOUR_CALM);
    close_pair(live);

    /* Slower than the limit goes on for ever. */
    open_pair(&limits);
    for (rounds = 0; rounds < 200; rounds++) {
        int32_t id = h2_pair_request(&pair, &request);
        h2_pair_run(&pair);
        nghttp2_submit_rst_stream(pair.client, 0, id, NGHTTP2_CANCEL);
        h2_pair_pass(&pair, 25 * TN_NS_PER_MS);
    }
    assert_false(pair.goaway);
    close_pair(live);
}

static void control_floods_end_the_connection(void **state)
{
    (void)state;
    size_t live = tn_mem_live();
    const struct tn_server_limits limits = {.control_per_second_max = 100};
    static const uint8_t ping[17] = {0, 0, 8, 6};
    static const uint8_t settings[9] = {0, 0, 0, 4};
    static const uint8_t empty[9] = {0, 0, 0, 0, 0, 0, 0, 0, 1};
    static const uint8_t priority[14] = {0, 0, 5, 2, 0, 0, 0, 0, 3, 0, 0, 0, 0, 16};
    const struct tn_bytes frames[] = {
        {ping, sizeof(ping)},
        {settings, sizeof(settings)},
        {empty, sizeof(empty)},
        {priority, sizeof(priority)},
    };
    for (size_t i = 0; i < TN_COUNT(frames); i++) {
        open_pair(&limits);
        uint8_t message[16];
        struct h2_request request = echo_request(message);
        request.open = true;
        request.body.size = 2;
        h2_pair_request(&pair, &request);
        h2_pair_run(&pair);
        for (unsigned n = 0; n < 110 && !pair.goaway; n++) {
            h2_pair_inject(&pair, frames[i]);
            h2_pair_run(&pair);
        }
        /* The client gives up on its own at an unasked SETTINGS acknowledgement. */
        assert_true(pair.goaway || frames[i].data == settings);
        assert_true(pair.wire->i->is_over(pair.wire));
        close_pair(live);
    }
}

static void garbage_ends_the_connection(void **state)
{
    (void)state;
    size_t live = tn_mem_live();
    open_pair(NULL);
    h2_pair_run(&pair);
    static const uint8_t garbage[40] = "GET / HTTP/1.1\r\n\r\n";
    h2_pair_inject(&pair, tn_bytes_make(garbage, sizeof(garbage)));
    h2_pair_run(&pair);
    assert_true(pair.goaway || pair.broken < 0);
    close_pair(live);
}

/* ---- time ---- */

static void deadlines_pass(void **state)
{
    (void)state;
    size_t live = tn_mem_live();
    open_pair(NULL);
    uint8_t message[16];
    struct h2_request request = echo_request(message);
    request.path = "/t.T/Keep";
    request.extra[0] = "grpc-timeout";
    request.extra[1] = "100m";
    int32_t first = h2_pair_request(&pair, &request);
    request.open = true;
    request.body.size = 3;
    int32_t second = h2_pair_request(&pair, &request); /* its message never comes */
    h2_pair_run(&pair);
    assert_int_equal(kept_count, 1);
    assert_int_equal(tn_call_info(kept)->deadline_ns, pair.lane.now_ns + 100 * TN_NS_PER_MS);
    h2_pair_pass(&pair, 99 * TN_NS_PER_MS);
    assert_int_equal(cancelled_count, 0);
    assert_false(h2_pair_stream(&pair, first)->closed);
    assert_true(pair.wire->due_ns <= pair.lane.now_ns + TN_NS_PER_MS);
    h2_pair_pass(&pair, TN_NS_PER_MS);
    assert_int_equal(cancelled_count, 1);
    assert_int_equal(h2_pair_stream(&pair, first)->grpc_status, TN_GRPC_DEADLINE_EXCEEDED);
    assert_int_equal(h2_pair_stream(&pair, second)->grpc_status, TN_GRPC_DEADLINE_EXCEEDED);
    assert_true(h2_pair_stream(&pair, second)->closed);
    close_pair(live);
}

static void a_finished_call_survives_its_client(void **state)
{
    (void)state;
    size_t live = tn_mem_live();
    static const struct tn_handler deaf = {.request = keep};
    kept = NULL;
    h2_pair_setup(&pair, NULL);
    h2_pair_route(&pair, TN_CALL_GRPC, "/t.T/Keep", &deaf);
    assert_int_equal(h2_pair_open(&pair, 0), TN_OK);
    uint8_t message[16];
    struct h2_request request = echo_request(message);
    request.path = "/t.T/Keep";
    int32_t id = h2_pair_request(&pair, &request);
    h2_pair_run(&pair);
    nghttp2_submit_rst_stream(pair.client, 0, id, NGHTTP2_CANCEL);
    h2_pair_run(&pair);
    assert_true(tn_call_is_cancelled(kept));
    assert_memory_equal(tn_call_body(kept)->data, hello, 5);
    assert_true(tn_str_is(tn_call_info(kept)->peer, "127.0.0.1:1"));
    struct tn_piece piece = {tn_bytes_make(hello, 5), NULL};
    assert_int_equal(tn_call_send(kept, &piece, 1), TN_CLOSED);
    tn_call_finish(kept, TN_GRPC_OK, tn_str_make("", 0));
    kept = NULL;
    close_pair(live);
}

static void slow_senders_are_cut(void **state)
{
    (void)state;
    size_t live = tn_mem_live();
    const struct tn_server_limits limits = {.body_timeout_ns = 5 * TN_NS_PER_S,
                                            .header_timeout_ns = 3 * TN_NS_PER_S,
                                            .idle_timeout_ns = 60 * TN_NS_PER_S};
    open_pair(&limits);
    uint8_t message[16];
    struct h2_request request = echo_request(message);
    request.open = true;
    request.body.size = 1;
    int32_t id = h2_pair_request(&pair, &request);
    h2_pair_run(&pair);
    h2_pair_pass(&pair, 4 * TN_NS_PER_S);
    h2_pair_upload(&pair, id, tn_bytes_make(message + 1, 1), false);
    h2_pair_run(&pair);
    h2_pair_pass(&pair, 4 * TN_NS_PER_S);
    assert_false(h2_pair_stream(&pair, id)->closed);
    h2_pair_pass(&pair, 2 * TN_NS_PER_S);
    assert_int_equal(h2_pair_stream(&pair, id)->grpc_status, TN_GRPC_DEADLINE_EXCEEDED);
    h2_pair_pass(&pair, 59 * TN_NS_PER_S);
    assert_false(pair.goaway);
    h2_pair_pass(&pair, 2 * TN_NS_PER_S);
    assert_calmed(NGHTTP2_NO_ERROR);
    close_pair(live);

    /* A header block that never ends. */
    open_pair(&limits);
    h2_pair_run(&pair);
    static const uint8_t half[] = {0, 0, 1, 1, 0, 0, 0, 0, 1, 0x82};
    h2_pair_inject(&pair, tn_bytes_make(half, sizeof(half)));
    h2_pair_pass(&pair, 4 * TN_NS_PER_S);
    assert_calmed(NGHTTP2_NO_ERROR);
    close_pair(live);

    /* A connection that says nothing. */
    open_pair(&limits);
    pair.lane.now_ns += 4 * TN_NS_PER_S;
    assert_true(pair.wire->due_ns <= pair.lane.now_ns);
    pair.wire->i->tick(pair.wire);
    uint8_t *scratch = malloc(256 << 10);
    struct tn_out out;
    tn_out_init(&out, scratch, 256 << 10);
    assert_int_equal(pair.wire->i->collect(pair.wire, &out), TN_DONE);
    assert_true(pair.wire->i->is_over(pair.wire));
    tn_out_clear(&out);
    free(scratch);
    close_pair(live);
}

static void slow_readers_are_cut(void **state)
{
    (void)state;
    size_t live = tn_mem_live();
    const struct tn_server_limits limits = {.write_timeout_ns = 5 * TN_NS_PER_S};
    kept = NULL;
    h2_pair_setup(&pair, &limits);
    pair.manual = true;
    h2_pair_route(&pair, TN_CALL_GRPC, "/t.T/Echo", &echo_handler);
    assert_int_equal(h2_pair_open(&pair, 1000), TN_OK);
    static uint8_t message[10000];
    size_t size = h2_pair_message(message, message + 5, 9000);
    const struct h2_request request = {.path = "/t.T/Echo", .body = tn_bytes_make(message, size)};
    int32_t id = h2_pair_request(&pair, &request);
    h2_pair_run(&pair);
    assert_int_equal(h2_pair_stream(&pair, id)->body_size, 1000);
    h2_pair_pass(&pair, 4 * TN_NS_PER_S);
    assert_false(h2_pair_stream(&pair, id)->closed);
    h2_pair_pass(&pair, 2 * TN_NS_PER_S);
    assert_true(h2_pair_stream(&pair, id)->closed);
    assert_int_equal(h2_pair_stream(&pair, id)->error_code, NGHTTP2_CANCEL);
    close_pair(live);
}

/* ---- streaming ---- */

static void streams_flow_both_ways(void **state)
{
    (void)state;
    size_t live = tn_mem_live();
    for (size_t cut = 0; cut < 40; cut += 3) {
        open_pair(NULL);
        pair.cut = cut;
        uint8_t message[16];
        size_t size = h2_pair_message(message, hello, 5);
        const struct h2_request request = {.path = "/t.T/Stream", .open = true};
        int32_t id = h2_pair_request(&pair, &request);
        h2_pair_run(&pair);
        for (size_t i = 1; i <= 100; i++) {
            h2_pair_upload(&pair, id, tn_bytes_make(message, size), i == 100);
            h2_pair_run(&pair);
            assert_int_equal(message_count, i);
            assert_int_equal(h2_pair_stream(&pair, id)->body_size, i * size);
        }
        assert_int_equal(ended_count, 1);
        assert_int_equal(h2_pair_stream(&pair, id)->grpc_status, 0);
        close_pair(live);
    }
}

/* A paused handler gets nothing more, and its sender is stopped by the window; after the pause
 * everything arrives, and the connection's window is whole again. */
static void a_pause_is_back_pressure(void **state)
{
    (void)state;
    size_t live = tn_mem_live();
    const struct tn_server_limits limits = {.window_bytes = 1 << 17};
    assert_int_equal(try_open(&limits, 8 << 20), TN_OK);
    static uint8_t messages[600000];
    static uint8_t data[1000];
    size_t size = 0;
    while (size + 1005 <= sizeof(messages)) {
        size += h2_pair_message(messages + size, data, 1000);
    }
    size_t count = size / 1005;
    const struct h2_request request = {.path = "/t.T/Stream",
                                       .body = tn_bytes_make(messages, size)};
    pause_next = true;
    int32_t id = h2_pair_request(&pair, &request);
    h2_pair_run(&pair);
    assert_int_equal(message_count, 1);
    size_t left = h2_pair_stream(&pair, id)->upload.size;
    assert_true(left >= size - (1 << 17) - 1005 && left > 0);
    tn_call_resume(kept);
    assert_int_equal(message_count, 1); /* not from within resume */
    h2_pair_run(&pair);
    assert_int_equal(message_count, count);
    assert_int_equal(ended_count, 1);
    assert_int_equal(h2_pair_stream(&pair, id)->body_size, size);
    assert_int_equal(h2_pair_stream(&pair, id)->grpc_status, 0);

    /* Paused for good and reset: what it held goes back to the connection's window. */
    for (size_t i = 0; i < 10; i++) {
        pause_next = true;
        id = h2_pair_request(&pair, &request);
        h2_pair_run(&pair);
        nghttp2_submit_rst_stream(pair.client, 0, id, NGHTTP2_CANCEL);
        h2_pair_run(&pair);
    }
    uint8_t message[16];
    const struct h2_request last = echo_request(message);
    id = h2_pair_request(&pair, &last);
    h2_pair_run(&pair);
    assert_hello(h2_pair_stream(&pair, id));
    close_pair(live);
}

static void output_beyond_the_mark_says_again(void **state)
{
    (void)state;
    size_t live = tn_mem_live();
    const struct tn_server_limits limits = {.output_bytes_high = 10000};
    kept = NULL;
    writable_count = 0;
    h2_pair_setup(&pair, &limits);
    pair.manual = true;
    h2_pair_route(&pair, TN_CALL_GRPC, "/t.T/Stream", &stream_handler);
    assert_int_equal(h2_pair_open(&pair, 1000), TN_OK);
    const struct h2_request request = {.path = "/t.T/Stream", .open = true};
    int32_t id = h2_pair_request(&pair, &request);
    h2_pair_run(&pair);
    static uint8_t data[6000];
    struct tn_piece piece = {tn_bytes_make(data, sizeof(data)), NULL};
    assert_int_equal(tn_call_send(kept, &piece, 1), TN_OK);
    assert_int_equal(tn_call_send(kept, &piece, 1), TN_AGAIN);
    h2_pair_run(&pair);
    assert_int_equal(writable_count, 0);
    size_t taken = 0;
    while (writable_count == 0 && taken < 12010) {
        struct h2_stream *stream = h2_pair_stream(&pair, id);
        nghttp2_session_consume(pair.client, id, stream->body_size - taken);
        taken = stream->body_size;
        h2_pair_run(&pair);
    }
    assert_int_equal(writable_count, 1);
    assert_true(taken >= 5000 && taken <= 9000);
    close_pair(live);
}

/* ---- the end ---- */

static void drain_finishes_what_is_open(void **state)
{
    (void)state;
    size_t live = tn_mem_live();
    open_pair(NULL);
    uint8_t message[16];
    struct h2_request request = echo_request(message);
    request.path = "/t.T/Keep";
    int32_t id = h2_pair_request(&pair, &request);
    h2_pair_run(&pair);
    pair.wire->i->drain(pair.wire);
    h2_pair_run(&pair);
    assert_int_equal(pair.goaways, 1);
    assert_int_equal(pair.goaway_last, INT32_MAX);
    assert_false(pair.wire->i->is_over(pair.wire));
    h2_pair_pass(&pair, 200 * TN_NS_PER_MS);
    assert_int_equal(pair.goaways, 2);
    assert_int_equal(pair.goaway_last, id);
    assert_int_equal(pair.goaway_code, NGHTTP2_NO_ERROR);
    assert_false(pair.wire->i->is_over(pair.wire));
    tn_call_finish(kept, TN_GRPC_OK, tn_str_make("", 0));
    kept = NULL;
    h2_pair_run(&pair);
    assert_int_equal(h2_pair_stream(&pair, id)->grpc_status, 0);
    assert_true(pair.wire->i->is_over(pair.wire));
    close_pair(live);
}

/* Each allocation fails once, then from the n-th on: no crash, no leak, and a call that is
 * answered is answered rightly. */
static void no_allocation_failure_leaks(void **state)
{
    (void)state;
    for (unsigned persistent = 0; persistent < 2; persistent++) {
        size_t live = tn_mem_live();
        for (size_t n = 1;; n++) {
            tn_mem_fail_from(0, false);
            kept = NULL;
            h2_pair_setup(&pair, NULL);
            h2_pair_route(&pair, TN_CALL_GRPC, "/t.T/Echo", &echo_handler);
            tn_mem_fail_from(n, persistent != 0);
            enum tn_err err = h2_pair_open(&pair, 0);
            uint8_t message[16];
            int32_t id = 1;
            if (err >= 0) {
                struct h2_request request = echo_request(message);
                request.extra[0] = "grpc-timeout";
                request.extra[1] = "10S";
                id = h2_pair_request(&pair, &request);
                h2_pair_run(&pair);
            }
            bool delivered = tn_mem_fail_delivered();
            tn_mem_fail_from(0, false);
            assert_true(err >= 0 || err == TN_NOMEM);
            struct h2_stream *stream = h2_pair_stream(&pair, id);
            if (stream->closed && stream->grpc_status == 0) {
                assert_hello(stream);
            }
            assert_true(delivered || stream->grpc_status == 0);
            close_pair(live);
            if (!delivered) {
                break;
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_cut_is_the_same_request),
        cmocka_unit_test(what_cannot_be_served_is_answered),
        cmocka_unit_test(plain_http_is_served_beside),
        cmocka_unit_test(many_streams_do_not_mix),
        cmocka_unit_test(large_bodies_are_refused_early),
        cmocka_unit_test(large_headers_are_refused),
        cmocka_unit_test(rapid_reset_ends_the_connection),
        cmocka_unit_test(control_floods_end_the_connection),
        cmocka_unit_test(garbage_ends_the_connection),
        cmocka_unit_test(deadlines_pass),
        cmocka_unit_test(a_finished_call_survives_its_client),
        cmocka_unit_test(slow_senders_are_cut),
        cmocka_unit_test(slow_readers_are_cut),
        cmocka_unit_test(streams_flow_both_ways),
        cmocka_unit_test(a_pause_is_back_pressure),
        cmocka_unit_test(output_beyond_the_mark_says_again),
        cmocka_unit_test(drain_finishes_what_is_open),
        cmocka_unit_test(no_allocation_failure_leaks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
