/* The client when things go wrong: nobody listens, nobody answers, connections close, limits, calls
 * that are open at the end, and memory that fails at every allocation. */
#include "support/client_bench.h"
#include "support/rpc_server.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

static void what_cannot_be_connected_says_why(void **unused)
{
    (void)unused;
    struct bench bench;
    open_bench(&bench, &(struct tn_client_options){.target = "127.0.0.1:1"});
    start_grpc(&bench, "/t.E/Unary");
    run(&bench);
    assert_int_equal(bench.result[0].err, TN_UNAVAILABLE);
    assert_non_null(strstr(bench.result[0].message, "127.0.0.1:1: cannot connect"));
    forget(&bench);
    start_grpc(&bench, "/t.E/Unary"); /* in the pause: no second attempt, the same reason */
    run(&bench);
    assert_int_equal(bench.result[0].err, TN_UNAVAILABLE);
    assert_non_null(strstr(bench.result[0].message, "cannot connect"));
    close_bench(&bench);
}

/* A port that is free now; the test listens there later. */
static unsigned free_port(int *ret_fd)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    *ret_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(*ret_fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(getsockname(*ret_fd, (struct sockaddr *)&address, &size), 0);
    return ntohs(address.sin_port);
}

static void waiting_for_ready_outlasts_failures(void **unused)
{
    (void)unused;
    struct bench bench;
    char target[40];
    int fd = -1;
    snprintf(target, sizeof(target), "127.0.0.1:%u", free_port(&fd));
    open_bench(&bench, &(struct tn_client_options){.target = target});
    uint64_t now = tn_clock_mono_ns();
    start(&bench, (struct tn_client_request){.kind = TN_CALL_GRPC,
                                             .path = TN_STR_OF("/t.E/Unary"),
                                             .wait_for_ready = true,
                                             .deadline_ns = now + 400 * TN_NS_PER_MS});
    run(&bench);
    assert_int_equal(bench.result[0].err, TN_TIMEOUT); /* not TN_UNAVAILABLE */
    close_bench(&bench);
    close(fd);
}

/* A server that accepts and says nothing: the keep-alive notices. */
static void silence_is_noticed(void **unused)
{
    (void)unused;
    struct bench bench;
    char target[40];
    int fd = -1;
    snprintf(target, sizeof(target), "127.0.0.1:%u", free_port(&fd));
    assert_int_equal(listen(fd, 4), 0);
    open_bench(&bench,
               &(struct tn_client_options){.target = target, .keepalive_ns = 50 * TN_NS_PER_MS});
    send_bytes(start_grpc(&bench, "/t.E/Unary"), 1, 1, true);
    run(&bench);
    assert_int_equal(bench.result[0].err, TN_UNAVAILABLE);
    assert_non_null(strstr(bench.result[0].message, "does not answer a PING"));
    close_bench(&bench);
    close(fd);
}

/* The server closes the idle connection while the client looks away, so that the next call is sent
 * on it in vain, and must go out again without the user's help. */
static void connection_is_made_anew(void **unused)
{
    (void)unused;
    struct rpc_server server;
    struct bench bench;
    const struct tn_server_limits limits = {.idle_timeout_ns = 30 * TN_NS_PER_MS};
    rpc_server_start(&server, &limits, NULL);
    for (int protocol = TN_CLIENT_AUTO; protocol <= TN_CLIENT_HTTP2; protocol++) {
        open_bench(&bench,
                   &(struct tn_client_options){.target = server.target, .protocol = protocol});
        for (size_t i = 0; i < 5; i++) {
            forget(&bench);
            if (protocol == TN_CLIENT_AUTO) {
                send_bytes(start_grpc(&bench, "/t.E/Unary"), i * 7000, 1, true);
            } else {
                start(&bench, (struct tn_client_request){.method = TN_STR_OF("GET"),
                                                         .path = TN_STR_OF("/echo"),
                                                         .no_body = true});
            }
            run(&bench);
            assert_int_equal(bench.result[0].err, TN_OK);
            assert_int_equal(bench.result[0].bytes, protocol == TN_CLIENT_AUTO ? i * 7000 : 0);
            rpc_pause_ms(100);
        }
        close_bench(&bench);
    }
    rpc_server_stop(&server);
}

static void limits_refuse(void **unused)
{
    (void)unused;
    struct rpc_server server;
    struct bench bench;
    rpc_server_start(&server, NULL, NULL);
    open_bench(&bench, &(struct tn_client_options){
                           .target = server.target, .calls_max = 2, .message_bytes_max = 1000});
    send_bytes(start_grpc(&bench, "/t.E/Unary"), 1001, 1, true);
    send_bytes(start_grpc(&bench, "/t.E/Unary"), 1000, 1, true);
    struct tn_client_request request = {
        .kind = TN_CALL_GRPC, .path = TN_STR_OF("/x"), .events = &events, .user = &bench};
    struct tn_client_call *call = NULL;
    assert_int_equal(tn_client_start(bench.client, &request, &call), TN_LIMIT);
    run(&bench);
    assert_int_equal(bench.result[0].err, TN_LIMIT);
    assert_int_equal(bench.result[0].status, TN_GRPC_RESOURCE_EXHAUSTED);
    assert_int_equal(bench.result[1].err, TN_OK);
    static const char *const paths[] = {"", "x", "/a b", "/a\r\nx: y", "/\xff", "/a#b"};
    for (size_t i = 0; i < TN_COUNT(paths); i++) {
        request.path = tn_str_from(paths[i]);
        assert_int_equal(tn_client_start(bench.client, &request, &call), TN_INVALID);
    }
    request.path = TN_STR_OF("/x");
    static const struct tn_header headers[] = {{TN_STR("X"), TN_STR("upper")},
                                               {TN_STR(""), TN_STR("")},
                                               {TN_STR(":path"), TN_STR("/")},
                                               {TN_STR("a b"), TN_STR("")},
                                               {TN_STR("a"), TN_STR("b\r\nc: d")}};
    for (size_t i = 0; i < TN_COUNT(headers); i++) {
        request.headers = &headers[i];
        request.header_count = 1;
        assert_int_equal(tn_client_start(bench.client, &request, &call), TN_INVALID);
    }
    assert_int_equal(tn_client_calls(bench.client), 0);
    close_bench(&bench);
    rpc_server_stop(&server);
}

static void destroy_ends_open_calls(void **unused)
{
    (void)unused;
    struct rpc_server server;
    struct bench bench;
    rpc_server_start(&server, NULL, NULL);
    for (size_t open = 0; open < 2; open++) {
        open_bench(&bench, &(struct tn_client_options){.target = server.target});
        if (open != 0) { /* a connection first */
            send_bytes(start_grpc(&bench, "/t.E/Unary"), 1, 1, true);
            run(&bench);
            forget(&bench);
        }
        for (size_t i = 0; i < CALLS; i++) {
            send_bytes(start_grpc(&bench, "/t.E/Hold"), 10000, 1, true);
        }
        close_bench(&bench);
        assert_int_equal(bench.ended, CALLS);
        for (size_t i = 0; i < CALLS; i++) {
            assert_int_equal(bench.result[i].err, TN_CANCELLED);
        }
    }
    rpc_server_stop(&server);
}

/* The n-th allocation of this thread fails, once: a call ends one way or the other, and nothing is
 * lost. The server's thread is not touched. */
static void failing_memory_loses_nothing(void **unused)
{
    (void)unused;
    struct rpc_server server;
    rpc_server_start(&server, NULL, NULL);
    for (int protocol = TN_CLIENT_HTTP1; protocol <= TN_CLIENT_HTTP2; protocol++) {
        bool delivered = true;
        size_t n = 0;
        for (n = 1; delivered && n < 500; n++) {
            struct bench bench;
            struct tn_fault fault = {0};
            memset(&bench, 0, sizeof(bench));
            assert_int_equal(tn_loop_create("client", &bench.loop, &fault), TN_OK);
            tn_timer_init(&bench.timer, bench.loop, on_late);
            tn_mem_fail_from(n, false);
            const struct tn_client_options options = {
                .loop = bench.loop, .target = server.target, .protocol = protocol};
            struct tn_client_call *call = NULL;
            const struct tn_client_request request = {.method = TN_STR_OF("POST"),
                                                      .path = TN_STR_OF("/echo"),
                                                      .events = &events,
                                                      .user = &bench};
            static const uint8_t bytes[20000];
            struct tn_piece piece = {tn_bytes_make(bytes, sizeof(bytes)), NULL};
            if (tn_client_create(&options, &bench.client, &fault) >= 0 &&
                tn_client_start(bench.client, &request, &call) >= 0) {
                bench.call[0] = call;
                bench.count = 1;
                if (tn_client_send(call, &piece, 1, true) < 0) {
                    tn_client_cancel(call);
                }
                run(&bench);
                assert_true(bench.result[0].err == TN_OK || bench.result[0].err < 0);
                if (bench.result[0].err == TN_OK) {
                    assert_int_equal(bench.result[0].bytes, sizeof(bytes));
                }
            }
            delivered = tn_mem_fail_delivered();
            tn_mem_fail_from(0, false);
            tn_client_destroy(bench.client);
            tn_timer_disarm(&bench.timer);
            tn_loop_destroy(bench.loop);
        }
        assert_in_range(n, 10, 499);
    }
    rpc_server_stop(&server);
}

int main(int argc, char **argv)
{
    cmocka_set_test_filter(argc > 1 ? argv[1] : NULL); /* one test by name */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_cannot_be_connected_says_why),
        cmocka_unit_test(waiting_for_ready_outlasts_failures),
        cmocka_unit_test(silence_is_noticed),
        cmocka_unit_test(connection_is_made_anew),
        cmocka_unit_test(limits_refuse),
        cmocka_unit_test(destroy_ends_open_calls),
        cmocka_unit_test(failing_memory_loses_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
