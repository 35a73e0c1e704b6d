/* The client against the real server, in one process: every protocol, every way a call ends. */
#include "support/client_bench.h"
#include "support/rpc_server.h"

static void unary_echoes_every_size(void **unused)
{
    (void)unused;
    struct rpc_server server;
    struct bench bench;
    rpc_server_start(&server, NULL, NULL);
    open_bench(&bench, &(struct tn_client_options){.target = server.target});
    static const size_t sizes[] = {0,     1,     4091,  4092,    4096,    4097,
                                   16384, 65536, 99999, 1048576, 5000000, 16777216};
    for (size_t i = 0; i < TN_COUNT(sizes); i++) {
        forget(&bench);
        struct tn_client_call *call = start_grpc(&bench, "/t.E/Unary");
        send_bytes(call, sizes[i], 3, true);
        run(&bench);
        assert_int_equal(bench.result[0].err, TN_OK);
        assert_int_equal(bench.result[0].messages, 1);
        assert_int_equal(bench.result[0].bytes, sizes[i]);
        assert_int_equal(bench.result[0].sum, 3 * sizes[i]);
        assert_string_equal(bench.result[0].content_type, "application/grpc");
    }
    close_bench(&bench);
    assert_int_equal(server.begun, TN_COUNT(sizes));
    rpc_server_stop(&server);
}

static void pieces_are_one_message(void **unused)
{
    (void)unused;
    struct rpc_server server;
    struct bench bench;
    rpc_server_start(&server, NULL, NULL);
    open_bench(&bench, &(struct tn_client_options){.target = server.target});
    static const uint8_t ours[10] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    for (size_t size = 10; size < 100000; size *= 20) {
        forget(&bench);
        struct tn_block *block = NULL;
        assert_int_equal(tn_block_create(size, &block), TN_OK);
        memset(block->data, 2, size);
        block->size = size;
        const struct tn_piece pieces[] = {
            {tn_bytes_make(ours, 10), NULL},
            {tn_bytes_make(block->data, size), block},
            {tn_bytes_make(NULL, 0), NULL},
            {tn_bytes_make(block->data + 3, 5), tn_block_ref(block)},
            {tn_bytes_make(ours, 1), NULL},
        };
        struct tn_client_call *call = start_grpc(&bench, "/t.E/Unary");
        assert_int_equal(tn_client_send(call, pieces, TN_COUNT(pieces), true), TN_OK);
        run(&bench);
        assert_int_equal(bench.result[0].err, TN_OK);
        assert_int_equal(bench.result[0].messages, 1);
        assert_int_equal(bench.result[0].sum, 11 + 2 * (size + 5));
    }
    close_bench(&bench);
    rpc_server_stop(&server);
}

static void stream_of_one(struct bench *bench, struct tn_client_call *call)
{
    struct result *result = result_of(bench, call);
    if (result->messages < 100) {
        send_bytes(call, result->messages * 100, 1, result->messages == 99);
    }
}

static void streams_go_both_ways(void **unused)
{
    (void)unused;
    struct rpc_server server;
    struct bench bench;
    rpc_server_start(&server, NULL, NULL);
    open_bench(&bench, &(struct tn_client_options){.target = server.target});
    bench.on_message = stream_of_one;
    for (size_t i = 0; i < 4; i++) {
        send_bytes(start_grpc(&bench, "/t.E/Stream"), 0, 1, false);
    }
    run(&bench);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(bench.result[i].err, TN_OK);
        assert_int_equal(bench.result[i].messages, 100);
        assert_int_equal(bench.result[i].sum, 100 * 99 * 100 / 2);
    }
    close_bench(&bench);
    rpc_server_stop(&server);
}

static void full_output_says_again_and_then_writable(void **unused)
{
    (void)unused;
    struct rpc_server server;
    struct bench bench;
    rpc_server_start(&server, NULL, NULL);
    open_bench(&bench, &(struct tn_client_options){.target = server.target});
    struct tn_client_call *call = start_grpc(&bench, "/t.E/Stream");
    struct tn_block *block = NULL;
    assert_int_equal(tn_block_create(1 << 20, &block), TN_OK);
    memset(block->data, 1, 1 << 20);
    block->size = 1 << 20;
    size_t taken = 0;
    enum tn_err err = TN_OK;
    while (err == TN_OK) {
        struct tn_piece piece = {tn_bytes_make(block->data, block->size), tn_block_ref(block)};
        err = tn_client_send(call, &piece, 1, false);
        taken++;
    }
    tn_block_unref(block);
    assert_int_equal(err, TN_AGAIN);
    assert_in_range(taken, 3, 6);
    assert_int_equal(tn_client_send(call, NULL, 0, true), TN_OK);
    run(&bench);
    assert_int_equal(bench.result[0].err, TN_OK);
    assert_int_equal(bench.result[0].messages, taken);
    assert_int_equal(bench.result[0].writable, 1);
    close_bench(&bench);
    rpc_server_stop(&server);
}

static void statuses_and_unknown_methods(void **unused)
{
    (void)unused;
    struct rpc_server server;
    struct bench bench;
    rpc_server_start(&server, NULL, NULL);
    open_bench(&bench, &(struct tn_client_options){.target = server.target});
    send_bytes(start_grpc(&bench, "/t.E/Fail"), 5, 1, true);
    send_bytes(start_grpc(&bench, "/t.E/Nothing"), 5, 1, true);
    run(&bench);
    assert_int_equal(bench.result[0].err, TN_NOTFOUND);
    assert_int_equal(bench.result[0].status, TN_GRPC_NOT_FOUND);
    assert_string_equal(bench.result[0].message, "no such thing: 100 %");
    assert_int_equal(bench.result[1].err, TN_UNSUPPORTED);
    assert_int_equal(bench.result[1].status, TN_GRPC_UNIMPLEMENTED);
    assert_string_not_equal(bench.result[1].message, "");
    close_bench(&bench);
    rpc_server_stop(&server);
}

static void cancel_here(struct bench *bench, struct tn_client_call *call)
{
    (void)bench;
    tn_client_cancel(call);
    tn_client_cancel(call);
    assert_int_equal(tn_client_send(call, NULL, 0, true), TN_CLOSED);
}

static void deadlines_and_cancels_reach_the_server(void **unused)
{
    (void)unused;
    struct rpc_server server;
    struct bench bench;
    rpc_server_start(&server, NULL, NULL);
    open_bench(&bench, &(struct tn_client_options){.target = server.target});
    uint64_t start_ns = tn_clock_mono_ns();
    struct tn_client_call *call =
        start(&bench, (struct tn_client_request){.kind = TN_CALL_GRPC,
                                                 .path = TN_STR_OF("/t.E/Hold"),
                                                 .deadline_ns = start_ns + 50 * TN_NS_PER_MS});
    send_bytes(call, 1, 1, true);
    run(&bench);
    assert_int_equal(bench.result[0].err, TN_TIMEOUT);
    assert_int_equal(bench.result[0].status, TN_GRPC_DEADLINE_EXCEEDED);
    assert_in_range(tn_clock_mono_ns() - start_ns, 50 * TN_NS_PER_MS, 8 * TN_NS_PER_S);
    forget(&bench);
    bench.on_message = cancel_here;
    send_bytes(start_grpc(&bench, "/t.E/Stream"), 1, 1, false); /* from inside a callback */
    run(&bench);
    assert_int_equal(bench.result[0].err, TN_CANCELLED);
    assert_int_equal(bench.result[0].messages, 1);
    forget(&bench);
    tn_client_cancel(start_grpc(&bench, "/t.E/Hold")); /* before anything was sent */
    assert_false(bench.result[0].ended);
    run(&bench);
    assert_int_equal(bench.result[0].err, TN_CANCELLED);
    close_bench(&bench);
    rpc_server_stop(&server); /* asserts that every call that began was finished */
    assert_in_range(server.cancelled, 2, 3);
}

static void http_works_over_both_versions(void **unused)
{
    (void)unused;
    struct rpc_server server;
    struct bench bench;
    rpc_server_start(&server, NULL, NULL);
    for (int protocol = TN_CLIENT_HTTP1; protocol <= TN_CLIENT_HTTP2; protocol++) {
        open_bench(&bench,
                   &(struct tn_client_options){.target = server.target, .protocol = protocol});
        struct tn_client_request post = {.method = TN_STR_OF("POST"),
                                         .path = TN_STR_OF("/echo?x=1")};
        struct tn_client_request get = {
            .method = TN_STR_OF("GET"), .path = TN_STR_OF("/big"), .no_body = true};
        struct tn_client_call *slow = start(&bench, post); /* in parts, so chunked in HTTP/1.1 */
        start(&bench, get);
        send_bytes(start(&bench, post), 100000, 2, true);
        get.path = TN_STR_OF("/nothing");
        start(&bench, get);
        get.method = TN_STR_OF("HEAD");
        get.path = TN_STR_OF("/big");
        start(&bench, get);
        for (size_t i = 0; i < 10; i++) {
            send_bytes(slow, 30000, 1, i == 9);
        }
        run(&bench);
        for (size_t i = 0; i < 5; i++) {
            assert_int_equal(bench.result[i].err, TN_OK);
            assert_int_equal(bench.result[i].messages, 1);
            assert_int_equal(bench.result[i].http_status, i == 3 ? 404 : 200);
        }
        assert_int_equal(bench.result[0].sum, 300000);
        assert_int_equal(bench.result[1].bytes, 1 << 20);
        assert_int_equal(bench.result[2].sum, 200000);
        assert_int_equal(bench.result[4].bytes, 0);
        close_bench(&bench);
    }
    rpc_server_stop(&server);
}

int main(int argc, char **argv)
{
    cmocka_set_test_filter(argc > 1 ? argv[1] : NULL); /* one test by name */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unary_echoes_every_size),
        cmocka_unit_test(pieces_are_one_message),
        cmocka_unit_test(streams_go_both_ways),
        cmocka_unit_test(full_output_says_again_and_then_writable),
        cmocka_unit_test(statuses_and_unknown_methods),
        cmocka_unit_test(deadlines_and_cancels_reach_the_server),
        cmocka_unit_test(http_works_over_both_versions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
