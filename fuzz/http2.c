/* HTTP/2 and gRPC of the server without a socket: no bytes crash it, leak, or break an assertion.
 *
 * Bytes 0 and 1: how the rest is cut, and whether the client's preface and SETTINGS are put before
 * it (most inputs would otherwise never get past them). The rest is the wire. Time passes between
 * pieces, so timeouts and deadlines run too. */
#include "rpc/http2.h"
#include "base/clock.h"
#include "base/mem.h"
#include "core/assert.h"
#include "rpc/call_state.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { KEPT = 64, OUT_ROOM = 256 << 10 };

static struct tn_call *kept[KEPT];
static size_t kept_count;

static void finish(struct tn_call *call)
{
    tn_call_finish(call, TN_GRPC_OK, TN_STR_OF("an end, 100 %\n"));
}

static void answer(void *context, struct tn_call *call)
{
    (void)context;
    struct tn_block *body = tn_call_body(call);
    struct tn_piece piece = {tn_bytes_make(body->data, body->size), tn_block_ref(body)};
    if (tn_call_info(call)->kind == TN_CALL_HTTP) {
        tn_call_reply(call, 200, TN_STR_OF("text/plain"), &piece, 1);
        return;
    }
    if (tn_call_send(call, &piece, 1) < 0) {
        tn_block_unref(body);
    }
    finish(call);
}

/* Answered later, or when cancelled. */
static void keep(void *context, struct tn_call *call)
{
    (void)context;
    if (kept_count == KEPT) {
        finish(call);
        return;
    }
    kept[kept_count++] = call;
}

static void forget(void *context, struct tn_call *call)
{
    (void)context;
    for (size_t i = 0; i < kept_count; i++) {
        if (kept[i] == call) {
            kept[i] = kept[--kept_count];
            break;
        }
    }
    finish(call);
}

static void message(void *context, struct tn_call *call, struct tn_block *block)
{
    (void)context;
    struct tn_piece piece = {tn_bytes_make(block->data, block->size), tn_block_ref(block)};
    if (tn_call_send(call, &piece, 1) < 0) {
        tn_block_unref(block);
    }
    if (block->size % 3 == 1) {
        tn_call_pause(call);
    }
}

static void add(struct tn_router *router, enum tn_call_kind kind, const char *path,
                const struct tn_handler *handler)
{
    struct tn_route *route = NULL;
    enum tn_err err = tn_router_add(router, kind, tn_str_from(path), handler, &route);
    TN_ASSERT(err >= 0);
}

static void drain_output(struct tn_wire *wire)
{
    static uint8_t scratch[OUT_ROOM];
    struct tn_out out;
    enum tn_err err = TN_AGAIN;
    for (size_t round = 0; err == TN_AGAIN && round < 64; round++) {
        tn_out_init(&out, scratch, sizeof(scratch));
        err = wire->i->collect(wire, &out);
        if (err == TN_DONE && tn_wire_attend(wire)) {
            err = wire->i->collect(wire, &out);
        }
        tn_out_clear(&out);
    }
}

static void step(struct tn_lane *lane, struct tn_wire *wire, uint32_t chance)
{
    if (kept_count > 0 && chance % 5 == 0) {
        struct tn_call *call = kept[--kept_count];
        tn_call_resume(call);
        finish(call);
    }
    if (chance % 7 == 0) {
        lane->now_ns += TN_NS_PER_S * (chance >> 8 & 15);
    }
    if (wire->due_ns <= lane->now_ns) {
        wire->i->tick(wire);
    }
    drain_output(wire);
}

static void feed(struct tn_lane *lane, struct tn_wire *wire, struct tn_bytes bytes, uint32_t seed)
{
    for (size_t at = 0; at < bytes.size;) {
        seed = seed * 1664525u + 1013904223u;
        size_t size = 1 + (seed >> 24) % 60;
        size = size < bytes.size - at ? size : bytes.size - at;
        if (wire->i->receive(wire, tn_bytes_make(bytes.data + at, size)) < 0) {
            return;
        }
        at += size;
        step(lane, wire, seed >> 4);
    }
}

static void play(struct tn_lane *lane, const uint8_t *data, size_t size)
{
    static const uint8_t settings[9] = {0, 0, 0, 4};
    const struct tn_wire_options options = {.lane = lane, .peer = TN_STR("fuzz")};
    struct tn_wire *wire = NULL;
    enum tn_err err = tn_http2_create(&options, &wire);
    TN_ASSERT(err >= 0);
    if ((data[1] & 1) == 0) {
        feed(lane, wire, tn_bytes_make(tn_http2_preface.data, tn_http2_preface.size), data[0]);
        feed(lane, wire, tn_bytes_make(settings, sizeof(settings)), data[0]);
    }
    feed(lane, wire, tn_bytes_make(data + 2, size - 2), data[0]);
    if ((data[1] & 2) != 0) {
        wire->i->drain(wire);
        step(lane, wire, 0);
    }
    wire->i->destroy(wire);
    TN_ASSERT(kept_count == 0);
    TN_ASSERT(lane->call_count == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct tn_handler answers = {.request = answer};
    static const struct tn_handler keeps = {.request = keep, .cancelled = forget};
    static const struct tn_handler streams = {
        .request = keep, .message = message, .cancelled = forget, .streaming = true};
    if (size < 2) {
        return 0;
    }
    size_t live = tn_mem_live();
    struct tn_router router;
    struct tn_meter meter = {0};
    atomic_size_t buffered = 0;
    tn_router_init(&router);
    add(&router, TN_CALL_GRPC, "/t.T/Echo", &answers);
    add(&router, TN_CALL_GRPC, "/t.T/Keep", &keeps);
    add(&router, TN_CALL_GRPC, "/t.T/Stream", &streams);
    add(&router, TN_CALL_HTTP, "/", &answers);
    struct tn_lane lane;
    const struct tn_lane_options options = {
        .limits = {.body_bytes_max = 1 << 16, .header_bytes_max = 4096, .window_bytes = 1 << 16},
        .router = &router,
        .meter = &meter,
        .buffered_bytes = &buffered,
        .server_header = TN_STR("fuzz"),
    };
    tn_lane_init(&lane, &options);
    lane.now_ns = TN_NS_PER_S;
    play(&lane, data, size);
    TN_ASSERT(atomic_load(&buffered) == 0);
    tn_lane_deinit(&lane);
    tn_router_deinit(&router);
    TN_ASSERT(tn_mem_live() == live);
    return 0;
}
