/* The server side of tests on struct h2_pair; see h2_calls.h. Memory: statics. Threads: one. */
#include "tests/support/h2_calls.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

struct h2_pair pair;

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
struct tn_call *kept;
size_t kept_count, cancelled_count;

void keep(void *context, struct tn_call *call)
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
size_t message_count, ended_count, writable_count;
bool pause_next;

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

const struct tn_handler echo_handler = {.request = echo};
const struct tn_handler keep_handler = {.request = keep, .cancelled = cancel};
const struct tn_handler stream_handler = {.request = stream_begin,
                                          .message = stream_message,
                                          .ended = stream_ended,
                                          .writable = stream_writable,
                                          .cancelled = cancel,
                                          .streaming = true};

enum tn_err try_open(const struct tn_server_limits *limits, uint32_t window)
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

void open_pair(const struct tn_server_limits *limits)
{
    assert_int_equal(try_open(limits, 0), TN_OK);
}

void close_pair(size_t live)
{
    size_t calls = pair.lane.call_count;
    h2_pair_close(&pair);
    assert_int_equal(pair.lane.call_count, kept != NULL ? calls : 0);
    assert_int_equal(atomic_load(&pair.buffered), 0);
    assert_int_equal(tn_mem_live(), live);
}

const char hello[6] = "hello";

struct h2_request echo_request(uint8_t *message)
{
    size_t size = h2_pair_message(message, hello, 5);
    return (struct h2_request){.path = "/t.T/Echo", .body = tn_bytes_make(message, size)};
}

void assert_hello(const struct h2_stream *stream)
{
    uint8_t message[16];
    assert_int_equal(stream->http_status, 200);
    assert_int_equal(stream->grpc_status, 0);
    assert_int_equal(stream->body_size, h2_pair_message(message, hello, 5));
    assert_memory_equal(stream->body, message, stream->body_size);
    assert_true(stream->closed);
    assert_int_equal(stream->error_code, 0);
}

void assert_calmed(uint32_t code)
{
    assert_true(pair.goaway);
    assert_int_equal(pair.goaway_code, code);
    assert_true(pair.wire->i->is_over(pair.wire));
}
