/* The client's cores fed by hand, with what a server seldom sends: refusals, GOAWAY, interim and
 * early answers, bytes nobody asked for. */
#include "core/assert.h"
#include "tests/support/client_wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

struct outcome {
    unsigned ended, messages;
    enum tn_err err;
    unsigned http_status;
    bool sent;
    char message[100];
};

static struct client_wire world;
static struct tn_buf sent;

static void on_message(void *user, struct tn_client_call *call, struct tn_block *message)
{
    (void)call;
    (void)message;
    ((struct outcome *)user)->messages++;
}

static void on_ended(void *user, struct tn_client_call *call, const struct tn_client_end *end)
{
    (void)call;
    struct outcome *outcome = user;
    outcome->ended++;
    outcome->err = end->err;
    outcome->http_status = end->http_status;
    outcome->sent = end->sent;
    snprintf(outcome->message, sizeof(outcome->message), "%.*s", TN_STR_ARG(end->message));
}

static const struct tn_client_events events = {NULL, on_message, NULL, on_ended};

static struct tn_client_call *start(struct outcome *outcome, enum tn_call_kind kind,
                                    const char *method, size_t size, bool last)
{
    const struct tn_client_request request = {.kind = kind,
                                              .method = tn_str_from(method),
                                              .path = TN_STR_OF("/x"),
                                              .no_body = size == 0,
                                              .events = &events,
                                              .user = outcome};
    struct tn_client_call *call = NULL;
    memset(outcome, 0, sizeof(*outcome));
    assert_int_equal(tn_client_call_create(world.client, &request, &call), TN_OK);
    tn_timer_init(&call->timer, world.loop, NULL);
    tn_client_calls_add(&world.client->waiting, call);
    static uint8_t bytes[50000];
    memset(bytes, 'b', sizeof(bytes));
    struct tn_piece piece = {tn_bytes_make(bytes, size), NULL};
    if (size > 0) {
        assert_int_equal(tn_client_send(call, &piece, 1, last), TN_OK);
    }
    return call;
}

static void exchange(const void *bytes, size_t size)
{
    client_wire_turn(&world);
    tn_buf_reset(&sent);
    assert_true(client_wire_collect(&world, &sent));
    if (size > 0) {
        assert_true(client_wire_receive(&world, tn_bytes_make(bytes, size)));
    }
}

static int open_world(void **unused)
{
    (void)unused;
    client_wire_open(&world);
    tn_buf_init(&sent, 0);
    return 0;
}

static int close_world(void **unused)
{
    (void)unused;
    client_wire_close(&world);
    tn_buf_deinit(&sent);
    return 0;
}

/* How many bytes 'b' went out: the body, however it was framed. */
static size_t body_sent(void)
{
    size_t count = 0;
    for (size_t i = 0; i < sent.size; i++) {
        count += sent.data[i] == 'b';
    }
    return count;
}

static const uint8_t settings[] = {0, 0, 0, 4, 0, 0, 0, 0, 0};
static const uint8_t wide[] = {0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 4, 0x3f, 0xff, 0xff, 0xff};

static void put_refusal(uint8_t frame[13], uint8_t stream)
{
    const uint8_t bytes[13] = {0, 0, 4, 3, 0, 0, 0, 0, stream, 0, 0, 0, 7};
    memcpy(frame, bytes, sizeof(bytes));
}

static void refused_stream_goes_out_again_once(void **unused)
{
    (void)unused;
    static const size_t sizes[] = {0, 5, 4000, 30000};
    for (size_t i = 0; i < TN_COUNT(sizes); i++) {
        struct outcome outcome;
        uint8_t refusal[13];
        assert_true(client_wire_connect(&world, true));
        start(&outcome, TN_CALL_HTTP, "POST", sizes[i], true);
        exchange(wide, sizeof(wide));
        exchange(settings, sizeof(settings));
        put_refusal(refusal, 1);
        exchange(refusal, sizeof(refusal));
        assert_int_equal(outcome.ended, 0);
        exchange(settings, sizeof(settings)); /* stream 3, with the same body */
        assert_in_range(body_sent(), sizes[i], sizes[i] + 20);
        put_refusal(refusal, 3);
        exchange(refusal, sizeof(refusal));
        assert_int_equal(outcome.ended, 1);
        assert_int_equal(outcome.err, TN_UNAVAILABLE);
        assert_true(outcome.sent);
        client_wire_disconnect(&world);
    }
}

static void request_in_parts_is_not_sent_again(void **unused)
{
    (void)unused;
    struct outcome outcome;
    uint8_t refusal[13];
    assert_true(client_wire_connect(&world, true));
    start(&outcome, TN_CALL_HTTP, "POST", 5, false);
    exchange(settings, sizeof(settings));
    put_refusal(refusal, 1);
    exchange(refusal, sizeof(refusal));
    assert_int_equal(outcome.ended, 1);
    assert_int_equal(outcome.err, TN_UNAVAILABLE);
    client_wire_disconnect(&world);
}

static void goaway_puts_back_what_was_not_looked_at(void **unused)
{
    (void)unused;
    static const uint8_t goaway[] = {0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0};
    struct outcome first, second;
    assert_true(client_wire_connect(&world, true));
    start(&first, TN_CALL_HTTP, "POST", 5, true);
    start(&second, TN_CALL_HTTP, "POST", 5, true);
    exchange(settings, sizeof(settings));
    exchange(goaway, sizeof(goaway)); /* stream 1 is still served, 3 is not */
    assert_int_equal(first.ended + second.ended, 0);
    assert_int_equal(world.client->waiting.count, 1);
    assert_int_equal(world.wire->calls.count, 1);
    assert_true(world.wire->draining);
    assert_false(world.wire->i->is_free(world.wire));
    client_wire_disconnect(&world);
    assert_int_equal(first.err, TN_UNAVAILABLE);
}

/* 40 responses to one request; the last counts. */
static void interim_answers_are_passed_over(void **unused)
{
    (void)unused;
    struct outcome outcome;
    char text[4000];
    char *at = text;
    for (size_t i = 0; i < 39; i++) {
        at += sprintf(at, "HTTP/1.1 1%02zu Early\r\nlink: x\r\n\r\n", 2 + i % 2);
    }
    at += sprintf(at, "HTTP/1.1 201 Created\r\ncontent-length: 2\r\n\r\nok");
    assert_true(client_wire_connect(&world, false));
    start(&outcome, TN_CALL_HTTP, "POST", 5, true);
    exchange(text, (size_t)(at - text));
    assert_int_equal(outcome.ended, 1);
    assert_int_equal(outcome.err, TN_OK);
    assert_int_equal(outcome.http_status, 201);
    assert_int_equal(outcome.messages, 1);
    assert_false(world.wire->over);
    client_wire_disconnect(&world);
}

/* Bytes behind an answer belong to nobody: the connection is not used again. */
static void bytes_nobody_asked_for_end_the_connection(void **unused)
{
    (void)unused;
    static const char answers[] =
        "HTTP/1.1 204 No\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n";
    struct outcome outcome;
    assert_true(client_wire_connect(&world, false));
    start(&outcome, TN_CALL_HTTP, "GET", 0, true);
    exchange(answers, sizeof(answers) - 1);
    assert_int_equal(outcome.err, TN_OK);
    assert_int_equal(outcome.http_status, 204);
    assert_true(world.wire->over);
    client_wire_disconnect(&world);
    assert_true(client_wire_connect(&world, false));
    exchange("HTTP/1.1 408 Late\r\n\r\n", 21);
    assert_true(world.wire->over);
    client_wire_disconnect(&world);
}

/* The answer comes while the body still goes out: it counts, and the connection is not reused. */
static void early_answer_counts(void **unused)
{
    (void)unused;
    static const char answer[] = "HTTP/1.1 413 Large\r\ncontent-length: 0\r\n\r\n";
    struct outcome outcome;
    assert_true(client_wire_connect(&world, false));
    start(&outcome, TN_CALL_HTTP, "POST", 5, false);
    exchange(answer, sizeof(answer) - 1);
    assert_int_equal(outcome.ended, 1);
    assert_int_equal(outcome.http_status, 413);
    assert_true(world.wire->over);
    client_wire_disconnect(&world);
}

static void grpc_needs_http2(void **unused)
{
    (void)unused;
    struct outcome outcome;
    assert_true(client_wire_connect(&world, false));
    start(&outcome, TN_CALL_GRPC, "", 5, true);
    client_wire_turn(&world);
    assert_int_equal(outcome.ended, 1);
    assert_int_equal(outcome.err, TN_UNSUPPORTED);
    client_wire_disconnect(&world);
}

/* A stale kept-alive connection: GET goes out again, POST does not. */
static void only_safe_requests_are_repeated(void **unused)
{
    (void)unused;
    static const char answer[] = "HTTP/1.1 204 No\r\n\r\n";
    for (int post = 0; post < 2; post++) {
        struct outcome outcome;
        assert_true(client_wire_connect(&world, false));
        start(&outcome, TN_CALL_HTTP, "GET", 0, true);
        exchange(answer, sizeof(answer) - 1);
        assert_int_equal(outcome.ended, 1);
        start(&outcome, TN_CALL_HTTP, post ? "POST" : "GET", 0, true);
        exchange(NULL, 0);
        world.wire->i->eof(world.wire);
        assert_int_equal(world.client->waiting.count, post ? 0 : 1);
        client_wire_disconnect(&world);
        assert_int_equal(outcome.ended, 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refused_stream_goes_out_again_once),
        cmocka_unit_test(request_in_parts_is_not_sent_again),
        cmocka_unit_test(goaway_puts_back_what_was_not_looked_at),
        cmocka_unit_test(interim_answers_are_passed_over),
        cmocka_unit_test(bytes_nobody_asked_for_end_the_connection),
        cmocka_unit_test(early_answer_counts),
        cmocka_unit_test(grpc_needs_http2),
        cmocka_unit_test(only_safe_requests_are_repeated),
    };
    return cmocka_run_group_tests(tests, open_world, close_world);
}
