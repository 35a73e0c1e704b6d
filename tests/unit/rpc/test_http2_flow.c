/* The HTTP/2 wire against nghttp2's client in memory: deadlines, slow peers, windows, streams,
 * drain, and the failure of each allocation. */
#include "base/clock.h"
#include "base/mem.h"
#include "core/assert.h"
#include "tests/support/h2_calls.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

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
