/* The client's functions for its user, the calls that wait, and when to connect again.
 *
 *   no connection --a call starts--> connecting --> ready --> gone
 *         ^------ pause (base/retry), when the attempt failed ---'
 *
 * The work of a turn ends in one hook: calls that were cancelled end, connections write. Whatever
 * makes work arms a timer that is due at once and never fires twice for one turn, so work made
 * after the hook ran (by another hook) does not wait for the next event.
 * Memory: one struct, two runs of 64 KiB, pooled calls. Threads: the client's loop.
 * Bounds: calls_max; at most PAUSE_MS_MAX between two attempts. */
#include "rpc/client.h"

#include "base/clock.h"
#include "base/mem.h"
#include "core/assert.h"
#include "rpc/client_conn.h"

#include <stdio.h>

enum {
    CALLS_MAX = 1000,
    MESSAGE_BYTES_MAX = 256 << 20,
    BLOCK_BYTES_KEPT = 8 << 20,
    PAUSE_MS = 100,
    PAUSE_MS_MAX = 10000,
    ROUNDS_MAX = 4,
};

static void add_ending(struct tn_client_call *call, struct tn_client_end end)
{
    call->wire = NULL;
    call->state = TN_CLIENT_CALL_ENDING;
    call->end = end;
    tn_client_calls_add(&call->client->ending, call);
    tn_client_mark_dirty(call->client);
}

void tn_client_mark_dirty(struct tn_client *client)
{
    if (client->soon.due_ns == 0) {
        tn_timer_arm(&client->soon, 1);
    }
}

/* ---- calls to connections ---- */

static void begin_call(struct tn_client *client, struct tn_client_wire *wire,
                       struct tn_client_call *call)
{
    tn_client_calls_remove(call);
    enum tn_err err = wire->i->begin(wire, call);
    if (err < 0) {
        add_ending(call, tn_client_end_of(err, err == TN_UNSUPPORTED
                                                   ? "gRPC needs HTTP/2, and this is HTTP/1.1"
                                                   : "the call could not begin"));
        return;
    }
    call->state = TN_CLIENT_CALL_OPEN;
    call->wire = wire;
    tn_client_calls_add(&wire->calls, call);
    tn_client_conn_watch(client->conn);
    tn_client_mark_dirty(client);
}

void tn_client_dispatch(struct tn_client *client)
{
    struct tn_client_wire *wire = client->conn != NULL ? tn_client_conn_wire(client->conn) : NULL;
    /* What came on an idle connection is most often its end: hear it before a call is risked. The
     * bytes are in the socket, so the loop's next turn reads them and comes back here. */
    bool news = wire != NULL && client->waiting.first != NULL && wire->calls.count == 0 &&
                tn_client_conn_has_news(client->conn);
    while (wire != NULL && client->waiting.first != NULL && !news && wire->i->is_free(wire)) {
        begin_call(client, wire, client->waiting.first);
    }
    if (wire != NULL && (wire->draining || wire->over)) {
        client->conn = NULL; /* it finishes what it has; new calls need another */
        tn_client_mark_dirty(client);
    }
}

void tn_client_conn_ready(struct tn_client *client)
{
    tn_client_dispatch(client);
}

static void end_waiting(struct tn_client *client, bool all, enum tn_err err, const char *problem)
{
    struct tn_client_call *next = NULL;
    for (struct tn_client_call *call = client->waiting.first; call != NULL; call = next) {
        next = call->next;
        if (all || !call->wait_for_ready) {
            tn_client_calls_remove(call);
            add_ending(call, tn_client_end_of(err, problem));
        }
    }
}

/* A connection, or the reason why there is none now. */
static void connect_for_waiting(struct tn_client *client)
{
    if (client->waiting.first == NULL || client->conn != NULL || client->closing) {
        return;
    }
    if (client->retrying && client->retry.state == TN_RETRY_WAITING) {
        end_waiting(client, false, TN_UNAVAILABLE, client->last_problem);
        if (client->waiting.first != NULL && client->pause.due_ns == 0) {
            tn_timer_arm(&client->pause, client->pause_end_ms * TN_NS_PER_MS);
        }
        return;
    }
    enum tn_err err = tn_client_conn_create(client, &client->conn);
    if (err < 0) {
        end_waiting(client, true, err, "no memory for a connection, or no name look-up");
    }
}

/* The pause may be over without the timer, which runs only while somebody waits. */
static void resume_if_due(struct tn_client *client)
{
    if (client->retrying && client->retry.state == TN_RETRY_WAITING &&
        tn_loop_now_ns(client->loop) / TN_NS_PER_MS >= client->pause_end_ms) {
        tn_retry_resume(&client->retry);
    }
}

static void on_pause_end(struct tn_timer *timer)
{
    struct tn_client *client = TN_CONTAINER(timer, struct tn_client, pause);
    resume_if_due(client);
    connect_for_waiting(client);
}

void tn_client_conn_gone(struct tn_client *client, enum tn_err err, bool proved,
                         const char *problem)
{
    if (client->closing) {
        return;
    }
    if (proved) {
        client->retrying = false;
        tn_client_mark_dirty(client);
        return;
    }
    snprintf(client->last_problem, sizeof(client->last_problem), "%s", problem);
    if (!client->retrying) {
        tn_retry_init(&client->retry, &(struct tn_retry_limits){.pause_ms = PAUSE_MS,
                                                                .pause_ms_max = PAUSE_MS_MAX});
        client->retrying = true;
    }
    if (client->retry.state == TN_RETRY_TRYING) {
        uint64_t now_ms = tn_loop_now_ns(client->loop) / TN_NS_PER_MS;
        err = tn_retry_ended(&client->retry, false, now_ms, &client->pause_end_ms);
        TN_ASSERT(err == TN_AGAIN); /* there is no end of attempts */
    }
    tn_client_mark_dirty(client);
}

/* ---- the end of a turn ---- */

/* Only those that were there before: `ended` may start calls that end at once in turn. */
static void run_ending(struct tn_client *client)
{
    for (size_t left = client->ending.count; left > 0; left--) {
        struct tn_client_call *call = client->ending.first;
        struct tn_client_end end = call->end;
        tn_client_call_end(call, &end);
    }
}

static void run_round(struct tn_client *client)
{
    run_ending(client);
    struct tn_client_conn *next = NULL;
    for (struct tn_client_conn *conn = client->conns; conn != NULL; conn = next) {
        next = tn_client_conn_next(conn);
        tn_client_conn_flush(conn);
    }
    tn_client_dispatch(client);
    connect_for_waiting(client);
}

static void run_hook(struct tn_turn_hook *hook)
{
    struct tn_client *client = TN_CONTAINER(hook, struct tn_client, hook);
    for (int i = 0; i < ROUNDS_MAX && client->soon.due_ns != 0; i++) {
        tn_timer_disarm(&client->soon);
        run_round(client);
    }
}

static void on_soon(struct tn_timer *timer)
{
    struct tn_client *client = TN_CONTAINER(timer, struct tn_client, soon);
    tn_client_mark_dirty(client); /* it fired before the hook: leave the mark for it */
}

/* ---- for the user ---- */

static void on_deadline(struct tn_timer *timer)
{
    struct tn_client_call *call = TN_CONTAINER(timer, struct tn_client_call, timer);
    static const char message[] = "the deadline passed";
    if (call->state == TN_CLIENT_CALL_OPEN) {
        tn_client_mark_dirty(call->client);
        tn_client_call_fail(call, TN_TIMEOUT, message);
    } else if (call->state == TN_CLIENT_CALL_WAITING) {
        struct tn_client_end end = tn_client_end_of(TN_TIMEOUT, message);
        tn_client_call_end(call, &end);
    }
}

enum tn_err tn_client_start(struct tn_client *client, const struct tn_client_request *request,
                            struct tn_client_call **ret_call)
{
    if (client->closing) {
        return TN_CLOSED;
    }
    struct tn_client_call *call = NULL;
    enum tn_err err = tn_client_call_create(client, request, &call);
    if (err < 0) {
        return err;
    }
    tn_timer_init(&call->timer, client->loop, on_deadline);
    if (request->deadline_ns != 0) {
        tn_timer_arm(&call->timer, request->deadline_ns);
    }
    tn_client_calls_add(&client->waiting, call);
    resume_if_due(client);
    tn_client_dispatch(client);
    connect_for_waiting(client);
    *ret_call = call;
    return TN_OK;
}

void tn_client_cancel(struct tn_client_call *call)
{
    struct tn_client_wire *wire = call->wire;
    if (call->state != TN_CLIENT_CALL_WAITING && call->state != TN_CLIENT_CALL_OPEN) {
        return;
    }
    tn_client_calls_remove(call);
    if (wire != NULL) {
        wire->i->drop(wire, call);
    }
    add_ending(call, tn_client_end_of(TN_CANCELLED, "cancelled by the caller"));
}

size_t tn_client_calls(const struct tn_client *client)
{
    return client->call_count;
}

static uint64_t or_default(uint64_t value, uint64_t fallback)
{
    return value > 0 ? value : fallback;
}

static enum tn_err fill_client(struct tn_client *client, const struct tn_client_options *options,
                               struct tn_fault *fault)
{
    client->options = *options;
    client->loop = options->loop;
    client->options.calls_max = or_default(options->calls_max, CALLS_MAX);
    client->options.message_bytes_max = or_default(options->message_bytes_max, MESSAGE_BYTES_MAX);
    client->options.connect_timeout_ns = or_default(options->connect_timeout_ns, 5 * TN_NS_PER_S);
    client->options.keepalive_ns = or_default(options->keepalive_ns, 30 * TN_NS_PER_S);
    client->user_agent = tn_str_from(options->user_agent != NULL ? options->user_agent : "tenon");
    if (!tn_header_value_is_valid(client->user_agent)) {
        return tn_fault_set(fault, TN_INVALID, "the user agent has a control character");
    }
    enum tn_err err = tn_client_target_parse(options->target, &client->target, fault);
    if (err < 0) {
        return err;
    }
    client->out_data = tn_mem_take(TN_CLIENT_IO_BYTES);
    client->in_data = tn_mem_take(TN_CLIENT_IO_BYTES);
    client->options.target = tn_mem_copy_str(tn_str_from(options->target));
    if (client->out_data == NULL || client->in_data == NULL || client->options.target == NULL) {
        return tn_fault_set(fault, TN_NOMEM, "no memory for a client of %s", options->target);
    }
    return TN_OK;
}

static void free_client(struct tn_client *client)
{
    tn_mem_give(client->out_data);
    tn_mem_give(client->in_data);
    tn_mem_give((void *)(uintptr_t)client->options.target);
    tn_mem_give(client);
}

enum tn_err tn_client_create(const struct tn_client_options *options, struct tn_client **ret_client,
                             struct tn_fault *fault)
{
    TN_ASSERT(options->loop != NULL && options->target != NULL);
    struct tn_client *client = tn_mem_take_zeroed(1, sizeof(*client));
    if (client == NULL) {
        return tn_fault_set(fault, TN_NOMEM, "no memory for a client of %s", options->target);
    }
    enum tn_err err = fill_client(client, options, fault);
    if (err < 0) {
        if (client->options.target == options->target) {
            client->options.target = NULL;
        }
        free_client(client);
        return err;
    }
    tn_block_pool_init(&client->blocks, BLOCK_BYTES_KEPT);
    tn_out_init(&client->out, client->out_data, TN_CLIENT_IO_BYTES);
    tn_timer_init(&client->soon, client->loop, on_soon);
    tn_timer_init(&client->pause, client->loop, on_pause_end);
    client->hook.run = run_hook;
    tn_loop_add_turn_hook(client->loop, &client->hook);
    *ret_client = client;
    return TN_OK;
}

void tn_client_destroy(struct tn_client *client)
{
    if (client == NULL) {
        return;
    }
    TN_ASSERT(client->depth == 0);
    client->closing = true;
    static const char message[] = "the client is being closed";
    end_waiting(client, true, TN_CANCELLED, message);
    while (client->conns != NULL) {
        tn_client_conn_break(client->conns, TN_CANCELLED, message);
    }
    while (client->ending.count > 0) {
        run_ending(client);
    }
    TN_ASSERT(client->call_count == 0);
    while (client->idle != NULL) {
        struct tn_client_call *call = client->idle;
        client->idle = call->next;
        tn_mem_give(call);
    }
    tn_loop_remove_turn_hook(client->loop, &client->hook);
    tn_timer_disarm(&client->soon);
    tn_timer_disarm(&client->pause);
    tn_block_pool_deinit(&client->blocks);
    free_client(client);
}
