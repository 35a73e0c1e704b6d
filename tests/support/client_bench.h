/* A client on a loop of its own, and what became of its calls, for tests with cmocka. */
#ifndef TN_TESTS_CLIENT_BENCH_H
#define TN_TESTS_CLIENT_BENCH_H

#include "base/clock.h"
#include "base/mem.h"
#include "core/assert.h"
#include "rpc/client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

enum { CALLS = 8 };

struct result {
    bool ended;
    enum tn_err err;
    enum tn_grpc_status status;
    unsigned http_status;
    char message[120];
    size_t messages;
    size_t bytes;
    uint64_t sum; /* of all bytes */
    size_t headers;
    size_t writable;
    char content_type[60];
};

struct bench {
    struct tn_loop *loop;
    struct tn_client *client;
    struct tn_client_call *call[CALLS];
    struct result result[CALLS];
    size_t count, ended;
    struct tn_timer timer;
    void (*on_message)(struct bench *bench, struct tn_client_call *call);
};

static inline struct result *result_of(struct bench *bench, const struct tn_client_call *call)
{
    for (size_t i = 0; i < bench->count; i++) {
        if (bench->call[i] == call) {
            return &bench->result[i];
        }
    }
    return &bench->result[bench->count]; /* tn_client_start has not returned yet: a bug */
}

static inline void on_headers(void *user, struct tn_client_call *call, unsigned http_status,
                              const struct tn_header *headers, size_t count)
{
    struct result *result = result_of(user, call);
    struct tn_str type = tn_header_find(headers, count, TN_STR_OF("content-type"));
    result->headers = count;
    result->http_status = http_status;
    snprintf(result->content_type, sizeof(result->content_type), "%.*s", TN_STR_ARG(type));
}

static inline void on_message(void *user, struct tn_client_call *call, struct tn_block *message)
{
    struct bench *bench = user;
    struct result *result = result_of(bench, call);
    result->messages++;
    result->bytes += message->size;
    for (size_t i = 0; i < message->size; i++) {
        result->sum += message->data[i];
    }
    if (bench->on_message != NULL) {
        bench->on_message(bench, call);
    }
}

static inline void on_writable(void *user, struct tn_client_call *call)
{
    result_of(user, call)->writable++;
}

static inline void on_ended(void *user, struct tn_client_call *call,
                            const struct tn_client_end *end)
{
    struct bench *bench = user;
    struct result *result = result_of(bench, call);
    assert_false(result->ended);
    result->ended = true;
    result->err = end->err;
    result->status = end->grpc_status;
    result->http_status = end->http_status;
    snprintf(result->message, sizeof(result->message), "%.*s", TN_STR_ARG(end->message));
    bench->ended++;
    if (bench->ended == bench->count) {
        tn_loop_stop(bench->loop);
    }
}

static const struct tn_client_events events = {on_headers, on_message, on_writable, on_ended};

static inline void on_late(struct tn_timer *timer)
{
    struct bench *bench = TN_CONTAINER(timer, struct bench, timer);
    tn_loop_stop(bench->loop);
}

static inline void open_bench(struct bench *bench, const struct tn_client_options *options)
{
    struct tn_fault fault = {0};
    struct tn_client_options with_loop = *options;
    memset(bench, 0, sizeof(*bench));
    assert_int_equal(tn_loop_create("client", &bench->loop, &fault), TN_OK);
    with_loop.loop = bench->loop;
    assert_int_equal(tn_client_create(&with_loop, &bench->client, &fault), TN_OK);
    tn_timer_init(&bench->timer, bench->loop, on_late);
}

static inline void close_bench(struct bench *bench)
{
    tn_client_destroy(bench->client);
    tn_timer_disarm(&bench->timer);
    tn_loop_destroy(bench->loop);
}

static inline struct tn_client_call *start(struct bench *bench, struct tn_client_request request)
{
    request.events = &events;
    request.user = bench;
    struct tn_client_call *call = NULL;
    assert_true(bench->count < CALLS);
    assert_int_equal(tn_client_start(bench->client, &request, &call), TN_OK);
    bench->call[bench->count] = call;
    memset(&bench->result[bench->count], 0, sizeof(*bench->result));
    bench->count++;
    return call;
}

static inline struct tn_client_call *start_grpc(struct bench *bench, const char *path)
{
    return start(bench,
                 (struct tn_client_request){.kind = TN_CALL_GRPC, .path = tn_str_from(path)});
}

static inline void send_bytes(struct tn_client_call *call, size_t size, uint8_t value, bool last)
{
    struct tn_block *block = NULL;
    assert_int_equal(tn_block_create(size, &block), TN_OK);
    memset(block->data, value, size);
    block->size = size;
    struct tn_piece piece = {tn_bytes_make(block->data, size), block};
    assert_true(tn_client_send(call, &piece, 1, last) >= 0);
}

/* Until every call has ended, at most ten seconds. */
static inline void run(struct bench *bench)
{
    tn_timer_arm(&bench->timer, tn_clock_mono_ns() + 10 * TN_NS_PER_S);
    tn_loop_run(bench->loop);
    assert_int_equal(bench->ended, bench->count);
}

/* The same bench for the next calls. */
static inline void forget(struct bench *bench)
{
    bench->count = 0;
    bench->ended = 0;
}

#endif
