/* HTTP/1.x of the server without a socket: no bytes crash it, leak, or break an assertion, and
 * every request that is begun is finished.
 *
 * Byte 0: the seed of the cuts. Byte 1: whether it drains at the end. The rest is the wire. */
#include "rpc/conn_http1.h"
#include "base/clock.h"
#include "base/mem.h"
#include "core/assert.h"
#include "rpc/call_state.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { OUT_ROOM = 256 << 10 };

static struct tn_call *kept;

static void whole(void *context, struct tn_call *call)
{
    (void)context;
    struct tn_block *body = tn_call_body(call);
    struct tn_piece piece = {tn_bytes_make(body->data, body->size), tn_block_ref(body)};
    tn_call_reply(call, body->size % 5 == 4 ? 204 : 200, TN_STR_OF("text/plain"), &piece, 1);
}

/* Sends a part now and the rest when the test says so. */
static void parts(void *context, struct tn_call *call)
{
    (void)context;
    struct tn_block *body = tn_call_body(call);
    struct tn_piece piece = {tn_bytes_make(body->data, body->size), tn_block_ref(body)};
    tn_call_set_http_status(call, 200, TN_STR_OF("text/plain"));
    if (tn_call_send(call, &piece, 1) < 0) {
        tn_block_unref(body);
    }
    kept = call;
}

static void finish_kept(void)
{
    if (kept != NULL) {
        struct tn_call *call = kept;
        kept = NULL;
        tn_call_reply(call, 200, TN_STR_OF(""), NULL, 0);
    }
}

static void forget(void *context, struct tn_call *call)
{
    (void)context;
    kept = NULL;
    tn_call_reply(call, 200, TN_STR_OF(""), NULL, 0);
}

/* False: the wire is broken. */
static bool collect(struct tn_wire *wire)
{
    static uint8_t scratch[OUT_ROOM];
    struct tn_out out;
    enum tn_err err = TN_AGAIN;
    while (err == TN_AGAIN) {
        tn_out_init(&out, scratch, sizeof(scratch));
        err = wire->i->collect(wire, &out);
        tn_out_clear(&out);
    }
    return err >= 0;
}

static void feed(struct tn_lane *lane, struct tn_wire *wire, struct tn_bytes bytes, uint32_t seed)
{
    for (size_t at = 0; at < bytes.size && !wire->i->is_over(wire);) {
        seed = seed * 1664525u + 1013904223u;
        size_t size = 1 + (seed >> 24) % 90;
        size = size < bytes.size - at ? size : bytes.size - at;
        uint8_t copy[90]; /* the parser lower-cases names in place */
        memcpy(copy, bytes.data + at, size);
        if (!wire->full || kept == NULL) {
            if (wire->i->receive(wire, tn_bytes_make(copy, size)) < 0) {
                return;
            }
            at += size;
        }
        if ((seed >> 12) % 3 == 0) {
            finish_kept();
        }
        if ((seed >> 16) % 11 == 0) {
            lane->now_ns += (seed >> 20 & 7) * TN_NS_PER_S;
        }
        if (wire->due_ns <= lane->now_ns) {
            wire->i->tick(wire);
        }
        if (!collect(wire)) {
            return;
        }
    }
}

static void play(struct tn_lane *lane, const uint8_t *data, size_t size)
{
    const struct tn_wire_options options = {.lane = lane, .peer = TN_STR("fuzz")};
    struct tn_wire *wire = NULL;
    enum tn_err err = tn_conn_http1_create(&options, &wire);
    TN_ASSERT(err >= 0);
    feed(lane, wire, tn_bytes_make(data + 2, size - 2), data[0]);
    if ((data[1] & 1) != 0) {
        wire->i->drain(wire);
        finish_kept();
        (void)collect(wire);
    }
    wire->i->destroy(wire);
    TN_ASSERT(kept == NULL);
    TN_ASSERT(lane->call_count == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct tn_handler wholes = {.request = whole};
    static const struct tn_handler in_parts = {.request = parts, .cancelled = forget};
    if (size < 2) {
        return 0;
    }
    size_t live = tn_mem_live();
    struct tn_router router;
    struct tn_meter meter = {0};
    atomic_size_t buffered = 0;
    struct tn_route *route = NULL;
    tn_router_init(&router);
    enum tn_err err = tn_router_add(&router, TN_CALL_HTTP, TN_STR_OF("/"), &wholes, &route);
    TN_ASSERT(err >= 0);
    err = tn_router_add(&router, TN_CALL_HTTP, TN_STR_OF("/p"), &in_parts, &route);
    TN_ASSERT(err >= 0);
    struct tn_lane lane;
    const struct tn_lane_options options = {
        .limits = {.body_bytes_max = 1 << 14, .header_bytes_max = 2048},
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
