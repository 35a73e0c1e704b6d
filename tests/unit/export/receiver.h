/* A receiver for exporters under test: a real server that answers as its script says and keeps what
 * came. Everything runs on one loop, which a deadline ends. For the tests of this folder. */
#ifndef TN_TESTS_EXPORT_RECEIVER_H
#define TN_TESTS_EXPORT_RECEIVER_H

#include "base/clock.h"
#include "base/mem.h"
#include "core/assert.h"
#include "rpc/server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { RECEIVED_MAX = 4096 };

struct receiver;

struct receiver {
    struct tn_loop *loop;
    struct tn_server *server;
    unsigned port;
    char url[64];
    struct tn_timer limit; /* ends a test that would hang */
    bool late;
    /* Script: status of the n-th request; NULL: always 200 or OK. */
    unsigned (*status)(struct receiver *receiver, size_t n);
    void (*came)(struct receiver *receiver, struct tn_call *call); /* may be NULL */
    const char *retry_after;                                       /* with a 429, may be NULL */
    struct tn_bytes answer;
    size_t count;
    struct tn_block *bodies[RECEIVED_MAX];
    unsigned statuses[RECEIVED_MAX];
    size_t stop_after; /* requests; 0: does not stop the loop */
    void *user;
};

static void receiver_answer(void *context, struct tn_call *call)
{
    struct receiver *receiver = context;
    size_t n = receiver->count++;
    assert_true(n < RECEIVED_MAX);
    unsigned status = receiver->status != NULL ? receiver->status(receiver, n) : 0;
    receiver->bodies[n] = tn_block_ref(tn_call_body(call));
    receiver->statuses[n] = status;
    if (receiver->came != NULL) {
        receiver->came(receiver, call);
    }
    struct tn_piece piece = {.bytes = receiver->answer};
    if (tn_call_info(call)->kind == TN_CALL_GRPC) {
        if (status == TN_GRPC_OK) {
            enum tn_err err = tn_call_send(call, &piece, 1);
            assert_true(err >= 0);
        }
        tn_call_finish(call, (enum tn_grpc_status)status, TN_STR_OF("as the script says"));
    } else {
        if (status == 429 && receiver->retry_after != NULL) {
            assert_int_equal(tn_call_add_header(call, TN_STR_OF("retry-after"),
                                                tn_str_from(receiver->retry_after)),
                             TN_OK);
        }
        tn_call_reply(call, status == 0 ? 200 : status, TN_STR_OF("text/plain"), &piece, 1);
    }
    if (receiver->count == receiver->stop_after) {
        tn_loop_stop(receiver->loop);
    }
}

static void receiver_limit(struct tn_timer *timer)
{
    struct receiver *receiver = TN_CONTAINER(timer, struct receiver, limit);
    receiver->late = true;
    tn_loop_stop(receiver->loop);
}

static void receiver_open(struct receiver *receiver, const char *grpc_path)
{
    struct tn_fault fault = {0};
    assert_int_equal(tn_loop_create("test", &receiver->loop, &fault), TN_OK);
    struct tn_server_options options = {.loops = &receiver->loop, .loop_count = 1};
    assert_int_equal(tn_server_create(&options, &receiver->server, &fault), TN_OK);
    struct tn_handler handler = {.request = receiver_answer, .context = receiver};
    assert_int_equal(tn_server_route_http(receiver->server, TN_STR_OF("/"), &handler), TN_OK);
    if (grpc_path != NULL) {
        assert_int_equal(tn_server_route_grpc(receiver->server, tn_str_from(grpc_path), &handler),
                         TN_OK);
    }
    struct tn_listen_options listen = {.address = "127.0.0.1"};
    assert_int_equal(tn_server_listen(receiver->server, &listen, &receiver->port, &fault), TN_OK);
    snprintf(receiver->url, sizeof(receiver->url), "%s://127.0.0.1:%u",
             grpc_path != NULL ? "grpc" : "http", receiver->port);
    tn_timer_init(&receiver->limit, receiver->loop, receiver_limit);
}

/* Runs the loop until somebody stops it. */
static void receiver_run(struct receiver *receiver)
{
    tn_timer_arm(&receiver->limit, tn_clock_mono_ns() + 10 * TN_NS_PER_S);
    tn_loop_run(receiver->loop);
    tn_timer_disarm(&receiver->limit);
    assert_false(receiver->late);
}

/* After the exporter has gone. */
static void receiver_close(struct receiver *receiver)
{
    for (size_t i = 0; i < receiver->count; i++) {
        tn_block_unref(receiver->bodies[i]);
    }
    tn_server_destroy(receiver->server);
    tn_loop_destroy(receiver->loop);
}

#endif
