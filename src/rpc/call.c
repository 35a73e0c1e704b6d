/* One request: its life, and what a handler reads of it; see call.h and call_state.h. What comes in
 * is in call_input.c, what goes out in call_output.c.
 *
 * Cost of a steady request: no allocation; the slot comes from the lane's list, headers and small
 * pieces from its arena, the body from the lane's blocks.
 * Memory: TN_CALL_SLOT a call, more by the arena. Threads: the lane's loop. Bounds: the limits. */
#include "rpc/call.h"

#include "base/mem.h"
#include "core/assert.h"
#include "rpc/call_state.h"

enum { ARENA_CHUNK = 8192, HTTP_CLIENT_GONE = 499 };

static struct tn_call *slot_take(struct tn_lane *lane)
{
    struct tn_call *call = lane->idle_calls;
    if (call != NULL) {
        lane->idle_calls = call->next;
        lane->idle_count--;
        return call;
    }
    call = tn_mem_take(TN_CALL_SLOT);
    if (call != NULL) {
        const struct tn_arena_options options = {
            .first = call + 1,
            .first_size = TN_CALL_SLOT - sizeof(*call),
            .source = tn_mem_source(),
            .chunk_size = ARENA_CHUNK,
        };
        tn_arena_init(&call->arena, &options);
    }
    return call;
}

static void slot_destroy(struct tn_call *call)
{
    tn_arena_deinit(&call->arena);
    tn_mem_give(call);
}

static void slot_give(struct tn_lane *lane, struct tn_call *call)
{
    if (lane->idle_count >= TN_CALL_IDLE_MAX || call->arena.size > TN_CALL_ARENA_KEPT) {
        slot_destroy(call);
        return;
    }
    tn_arena_reset(&call->arena);
    call->next = lane->idle_calls;
    lane->idle_calls = call;
    lane->idle_count++;
}

static void list_add(struct tn_wire *wire, struct tn_call *call)
{
    call->next = wire->calls;
    call->link = &wire->calls;
    if (call->next != NULL) {
        call->next->link = &call->next;
    }
    wire->calls = call;
    wire->call_count++;
}

static void list_remove(struct tn_wire *wire, struct tn_call *call)
{
    *call->link = call->next;
    if (call->next != NULL) {
        call->next->link = call->link;
    }
    call->next = NULL;
    wire->call_count--;
    if (wire->call_count == 0) {
        wire->idle_ns = wire->lane->now_ns;
        tn_wire_due(wire, wire->idle_ns + wire->lane->limits.idle_timeout_ns);
    }
}

struct tn_call *tn_call_create(struct tn_wire *wire, unsigned http_version)
{
    struct tn_lane *lane = wire->lane;
    struct tn_call *call = slot_take(lane);
    if (call == NULL) {
        return NULL;
    }
    /* All but the arena, which is the last member and is already set up. */
    memset(call, 0, offsetof(struct tn_call, arena));
    call->headers = TN_ARENA_ARRAY(&call->arena, struct tn_header, TN_CALL_HEADERS_FIRST);
    TN_ASSERT(call->headers != NULL); /* the first block has room for it */
    call->header_room = TN_CALL_HEADERS_FIRST;
    call->lane = lane;
    call->wire = wire;
    call->holds = 1;
    call->length_in = TN_CALL_LENGTH_UNKNOWN;
    call->length_out = TN_CALL_LENGTH_UNKNOWN;
    call->http_status = 200;
    call->input_ns = lane->now_ns;
    call->output_ns = lane->now_ns;
    call->info.http_version = http_version;
    call->info.peer = wire->peer;
    call->info.peer_subject = wire->peer_subject;
    call->info.tls = wire->tls;
    list_add(wire, call);
    lane->call_count++;
    return call;
}

/* A body counts until its call ends: also while the handler works on it, or a full queue of
 * requests would hold more than the server was told to. */
static void unbuffer(struct tn_call *call)
{
    if (call->buffered > 0) {
        atomic_fetch_sub_explicit(call->lane->buffered_bytes, call->buffered, memory_order_relaxed);
        call->buffered = 0;
    }
}

static void call_end(struct tn_call *call)
{
    struct tn_lane *lane = call->lane;
    tn_call_drop_output(call);
    unbuffer(call);
    tn_grpc_reader_deinit(&call->reader);
    tn_buf_deinit(&call->held);
    tn_block_pool_give(&lane->blocks, call->body);
    lane->call_count--;
    slot_give(lane, call);
}

void tn_call_let_go(struct tn_call *call)
{
    TN_ASSERT(call->holds > 0);
    if (--call->holds == 0) {
        call_end(call);
    }
}

/* The connection's texts go away with it; the call may live on in its handler. */
static void keep_texts(struct tn_call *call)
{
    char *peer = tn_arena_copy_str(&call->arena, call->info.peer);
    char *subject = tn_arena_copy_str(&call->arena, call->info.peer_subject);
    call->info.peer = tn_str_make(peer, peer != NULL ? call->info.peer.size : 0);
    call->info.peer_subject =
        tn_str_make(subject, subject != NULL ? call->info.peer_subject.size : 0);
}

void tn_call_cut(struct tn_call *call)
{
    TN_ASSERT(call->wire != NULL);
    list_remove(call->wire, call);
    call->wire = NULL;
    call->input_over = true;
    tn_call_drop_output(call);
    if (call->begun) {
        bool grpc = call->info.kind == TN_CALL_GRPC;
        tn_call_count(call, grpc ? TN_GRPC_CANCELLED : HTTP_CLIENT_GONE);
    }
    if (call->dispatched && !call->finished) {
        keep_texts(call);
        if (!call->cancelled) {
            call->cancelled = true;
            const struct tn_handler *handler = &call->route->handler;
            if (handler->cancelled != NULL) {
                handler->cancelled(handler->context, call);
            }
        }
    }
    tn_call_let_go(call);
}

/* ---- what a handler reads ---- */

const struct tn_call_info *tn_call_info(const struct tn_call *call)
{
    return &call->info;
}

struct tn_str tn_call_header(const struct tn_call *call, struct tn_str name)
{
    for (size_t i = 0; i < call->header_count; i++) {
        if (tn_str_equal(call->headers[i].name, name)) {
            return call->headers[i].value;
        }
    }
    return tn_str_make(NULL, 0);
}

size_t tn_call_header_count(const struct tn_call *call)
{
    return call->header_count;
}

void tn_call_header_at(const struct tn_call *call, size_t index, struct tn_str *ret_name,
                       struct tn_str *ret_value)
{
    TN_ASSERT(index < call->header_count);
    *ret_name = call->headers[index].name;
    *ret_value = call->headers[index].value;
}

struct tn_block *tn_call_body(struct tn_call *call)
{
    TN_ASSERT(call->body != NULL);
    return call->body;
}

struct tn_arena *tn_call_arena(struct tn_call *call)
{
    return &call->arena;
}

struct tn_loop *tn_call_loop(struct tn_call *call)
{
    return call->lane->loop;
}

bool tn_call_is_cancelled(const struct tn_call *call)
{
    return call->cancelled;
}

void tn_call_set_user(struct tn_call *call, void *user)
{
    call->user = user;
}

void *tn_call_user(const struct tn_call *call)
{
    return call->user;
}

/* ---- the lane, which owns the pool ---- */

struct tn_server_limits tn_server_limits_filled(struct tn_server_limits limits)
{
#define FILL(field, value) limits.field = limits.field != 0 ? limits.field : (value)
    FILL(connections_max, 20000);
    FILL(streams_max, 1000);
    FILL(header_bytes_max, 32 << 10);
    FILL(body_bytes_max, 256 << 20);
    FILL(buffered_bytes_max, 1 << 30);
    FILL(output_bytes_high, 4 << 20);
    FILL(header_timeout_ns, UINT64_C(10000000000));
    FILL(body_timeout_ns, UINT64_C(30000000000));
    FILL(idle_timeout_ns, UINT64_C(300000000000));
    FILL(write_timeout_ns, UINT64_C(60000000000));
    FILL(resets_per_second_max, 200);
    FILL(control_per_second_max, 1000);
    FILL(window_bytes, 8 << 20);
#undef FILL
    return limits;
}

void tn_lane_init(struct tn_lane *lane, const struct tn_lane_options *options)
{
    enum { BLOCKS_KEPT = 32 << 20 };
    memset(lane, 0, sizeof(*lane));
    lane->loop = options->loop;
    lane->limits = tn_server_limits_filled(options->limits);
    lane->router = options->router;
    lane->meter = options->meter;
    lane->buffered_bytes = options->buffered_bytes;
    lane->server_header = options->server_header;
    lane->access_log = options->access_log;
    tn_block_pool_init(&lane->blocks, BLOCKS_KEPT);
    tn_small_pool_init(&lane->small);
}

void tn_lane_deinit(struct tn_lane *lane)
{
    if (lane == NULL) {
        return;
    }
    while (lane->idle_calls != NULL) {
        struct tn_call *call = lane->idle_calls;
        lane->idle_calls = call->next;
        slot_destroy(call);
    }
    lane->idle_count = 0;
    tn_log_batch_flush(&lane->access_lines);
    tn_block_pool_deinit(&lane->blocks);
    tn_small_pool_deinit(&lane->small);
}
