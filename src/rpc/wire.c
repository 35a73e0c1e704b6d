/* What both protocols share; see wire.h. Timers cost nothing per call: a wire keeps only the
 * earliest due time, a lower bound; when it comes, all open calls are looked at and the bound is
 * computed anew. With deadlines of seconds and calls of milliseconds that is one scan a second.
 * Memory: none of its own. Threads: the lane's loop. Bounds: streams_max calls a scan. */
#include "rpc/wire.h"

#include "core/assert.h"
#include "rpc/call_state.h"

void tn_wire_init(struct tn_wire *wire, const struct tn_wire_i *i,
                  const struct tn_wire_options *options)
{
    *wire = (struct tn_wire){
        .i = i,
        .lane = options->lane,
        .wake = options->wake,
        .context = options->context,
        .peer = options->peer,
        .peer_subject = options->peer_subject,
        .routes = options->routes != 0 ? options->routes : TN_LISTEN_HTTP | TN_LISTEN_GRPC,
        .tls = options->tls,
        .due_ns = UINT64_MAX,
        .idle_ns = options->lane->now_ns,
    };
}

void tn_wire_wake(struct tn_wire *wire)
{
    if (wire->wake != NULL) {
        wire->wake(wire);
    }
}

void tn_wire_due(struct tn_wire *wire, uint64_t due_ns)
{
    if (due_ns < wire->due_ns) {
        wire->due_ns = due_ns;
        tn_wire_wake(wire);
    }
}

/* When this call must be looked at again. */
static uint64_t call_due(const struct tn_call *call)
{
    const struct tn_server_limits *limits = &call->lane->limits;
    uint64_t due_ns = UINT64_MAX;
    if (call->info.deadline_ns != 0 && !call->ended) {
        due_ns = call->info.deadline_ns;
    }
    if (!call->input_over && !call->paused && call->input_ns + limits->body_timeout_ns < due_ns) {
        due_ns = call->input_ns + limits->body_timeout_ns;
    }
    if (call->out_bytes > 0 && call->output_ns + limits->write_timeout_ns < due_ns) {
        due_ns = call->output_ns + limits->write_timeout_ns;
    }
    return due_ns;
}

/* A body that stopped coming. A streaming call may be silent for as long as it likes, the
 * connection's own limits watch over it. */
static void check_input(struct tn_call *call)
{
    struct tn_lane *lane = call->lane;
    if (call->input_over || call->paused || call->ended ||
        (call->route != NULL && call->route->handler.streaming)) {
        call->input_ns = lane->now_ns;
    } else if (call->input_ns + lane->limits.body_timeout_ns <= lane->now_ns) {
        tn_call_refuse(call, TN_REFUSAL_BODY_TIMEOUT, TN_GRPC_DEADLINE_EXCEEDED, 408,
                       "the body stopped coming");
    }
}

void tn_wire_tick_calls(struct tn_wire *wire)
{
    uint64_t now_ns = wire->lane->now_ns;
    wire->due_ns = UINT64_MAX;
    struct tn_call *next = NULL;
    for (struct tn_call *call = wire->calls; call != NULL; call = next) {
        next = call->next;
        if (call->info.deadline_ns != 0 && call->info.deadline_ns <= now_ns && !call->ended) {
            tn_call_expire(call);
        }
        check_input(call);
    }
    for (struct tn_call *call = wire->calls; call != NULL; call = call->next) {
        uint64_t due_ns = call_due(call);
        wire->due_ns = due_ns < wire->due_ns ? due_ns : wire->due_ns;
    }
}

bool tn_wire_attend(struct tn_wire *wire)
{
    if (!wire->attention) {
        return false;
    }
    wire->attention = false;
    struct tn_call *next = NULL;
    for (struct tn_call *call = wire->calls; call != NULL; call = next) {
        next = call->next;
        if (call->resuming) {
            tn_call_resumed(call);
        }
        tn_call_tell_writable(call);
        wire->attention |= call->wants_room;
    }
    return true;
}

void tn_wire_cut_calls(struct tn_wire *wire)
{
    while (wire->calls != NULL) {
        tn_call_cut(wire->calls);
    }
}
