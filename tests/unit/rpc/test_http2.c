/* The HTTP/2 wire with gRPC on it, against nghttp2's client in memory: answers at every cut, and
 * what limits and floods do. */
#include "base/clock.h"
#include "base/mem.h"
#include "core/assert.h"
#include "tests/support/h2_calls.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
